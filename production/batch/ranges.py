"""Indices of an array, as schedulers write and read them: ``1-5,7``. And command lines that aren't too long."""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterable, Iterator, Sequence

from production import errors

LONGEST = 30_000
"""Characters of arguments in one command line: far below what any kernel takes."""
MOST = 1_000_000
"""Indices in one reply; a reply that tells of more isn't believed."""

_PART = re.compile(r"([0-9]{1,9})(?:-([0-9]{1,9})(?::([0-9]{1,9}))?)?")


def text(indices: Iterable[int]) -> list[str]:
    """``["1-3", "7"]`` for 3, 1, 2, 7."""
    found: list[str] = []
    for _, group in itertools.groupby(enumerate(sorted(set(indices))), lambda pair: pair[1] - pair[0]):
        numbers = [number for _, number in group]
        found.append(str(numbers[0]) if len(numbers) == 1 else f"{numbers[0]}-{numbers[-1]}")
    return found


def parse(text: str) -> list[int]:
    """The inverse, steps (``1-9:2``) and a throttle behind ``%`` included.

    Raises: BatchUnanswered.
    """
    found: list[int] = []
    for part in text.partition("%")[0].split(","):
        match = _PART.fullmatch(part.strip())
        if match is None:
            raise errors.BatchUnanswered(f"{text[:60]!r} are no indices of an array")
        first = int(match[1])
        numbers = range(first, int(match[2] or first) + 1, max(1, int(match[3] or 1)))
        if len(found) + len(numbers) > MOST:
            raise errors.BatchUnanswered(f"{text[:60]!r} are more jobs than there can be")
        found += numbers
    return found


def lines(words: Iterable[str], between: int = 1) -> Iterator[Sequence[str]]:
    """The words in as few groups as command lines need."""
    group: list[str] = []
    length = 0
    for word in words:
        if group and length + len(word) > LONGEST:
            yield group
            group, length = [], 0
        group.append(word)
        length += len(word) + between
    if group:
        yield group
