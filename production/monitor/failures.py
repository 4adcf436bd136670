"""Failed attempts by what they have in common: "37 runs, same cause". Pure: the logs are read by whoever asks.

Rows of the memory come in (``facts.Failure``), groups leave; ``advice`` says of each which setting would help.
"""

from __future__ import annotations

import collections
import dataclasses
import json
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from production import facts
from production import filter as filters
from production import run as runs
from production.monitor import likeness

EXAMPLES = 3
"""Attempts of a group of which the logs are read: the first, the last, one between."""

READ = 20
"""Groups of which the logs are read, the largest."""

CONCENTRATED = 0.8
"""Share of a group that is in one place, from which on that is worth a word."""

FORMS = 1000
"""Different messages that are compared with each other, the most frequent; the rest stay as they are."""

ReadLog = Callable[[str], Sequence[str]]
"""The last lines of the log at a path; none if it can't be read."""

_ENDED = re.compile(r"(?:exit|signal) \d+(?:: |$)")
"""What a message begins with and the attempt says itself."""

_Sort = tuple[str | None, int | None, int | None]
"""Cause, exit, signal: what is different there is never one group."""


@dataclasses.dataclass(frozen=True, slots=True)
class Group:
    """Failed attempts that have their cause in common, and what their jobs said last."""

    cause: str | None
    """None: a person holds the runs."""
    exit: int | None
    signal: int | None
    form: str
    """What they said, without what differs from run to run; empty: nothing."""
    failures: tuple[facts.Failure, ...]
    """By run and attempt."""
    logs: Mapping[int, tuple[str, ...]] = dataclasses.field(default_factory=dict)
    """{place in ``failures``: last lines of its log}, of examples."""

    @property
    def numbers(self) -> list[int]:
        """Its runs."""
        return list(dict.fromkeys(one.run for one in self.failures))

    @property
    def ranges(self) -> tuple[tuple[int, int], ...]:
        """They again, both ends included."""
        return filters.joined((run, run) for run in self.numbers)

    @property
    def states(self) -> dict[str, int]:
        """How many of the runs are in each state now, the most first."""
        return dict(collections.Counter({one.run: one.state for one in self.failures}.values()).most_common())

    @property
    def hosts(self) -> dict[str, int]:
        """How many of the attempts were on each host, as far as known, the most first."""
        return dict(collections.Counter(one.host for one in self.failures if one.host).most_common())

    @property
    def times(self) -> tuple[str, str] | None:
        """Instants of the first and the last end."""
        ends = [one.ended for one in self.failures if one.ended]
        return (min(ends), max(ends)) if ends else None

    @property
    def example(self) -> facts.Failure:
        """One to look at: with a log that could be read, if there is any."""
        return self.failures[next(iter(self.logs), 0)]

    @property
    def lines(self) -> tuple[str, ...]:
        """The last of its log."""
        return next(iter(self.logs.values()), ())

    @property
    def unlike(self) -> bool:
        """Whether the examples' logs have little in common but their last line."""
        return likeness.differing(list(self.logs.values()))

    @property
    def asked(self) -> runs.Resources:
        """The most that one of them asked for."""
        texts = {one.resources for one in self.failures if one.resources}
        every: list[dict[str, Any]] = [json.loads(text) for text in texts]
        times, memories = ([one[key] for one in every if one.get(key)] for key in ("time", "memory"))
        return runs.Resources(max(times, default=None), max(memories, default=None))

    @property
    def used(self) -> runs.Resources:
        """The most that one of them was seen to use."""
        return runs.Resources(
            max((one.wall for one in self.failures if one.wall), default=None),
            max((one.memory for one in self.failures if one.memory), default=None),
        )


def groups(failures: Iterable[facts.Failure]) -> list[Group]:
    """Groups of one cause, exit and signal, and of messages that are alike; the largest first."""
    forms = likeness.Forms()
    found: dict[_Sort, dict[str, list[facts.Failure]]] = {}
    for one in failures:
        same = found.setdefault((one.cause, one.exit, one.signal), {})
        same.setdefault(forms.of(said(one)), []).append(one)
    whole = [
        Group(*sort, form, tuple(sorted(members, key=lambda one: (one.run, one.attempt))))
        for sort, same in found.items()
        for form, members in _alike(same).items()
    ]
    return sorted(whole, key=_largest)


def said(failure: facts.Failure) -> str:
    """What it said, without its exit code and its own label; of a run that a person holds, why."""
    text = failure.why if failure.cause is None else failure.message or ""
    if failure.label:
        text = text.replace(failure.label, "<run>")
    return _ENDED.sub("", text, count=1)


def _alike(same: Mapping[str, list[facts.Failure]]) -> dict[str, list[facts.Failure]]:
    """Messages that are alike are one, by the name of the most frequent."""
    forms = sorted(same, key=lambda form: (-len(same[form]), form))
    first = likeness.joined(forms[:FORMS])
    merged: dict[str, list[facts.Failure]] = {}
    for form in forms:
        merged.setdefault(first.get(form, form), []).extend(same[form])
    return merged


def _largest(group: Group) -> tuple[int, int]:
    return -len(group.failures), group.failures[0].run


def look_into(found: Sequence[Group], read: ReadLog) -> list[Group]:
    """The groups with the last lines of some logs; two whose logs end alike, line for line but in another order, are one."""
    looked = [dataclasses.replace(group, logs=_logs(group, read)) for group in found[:READ]]
    joined: list[Group] = []
    for group in looked:
        place = next((place for place, other in enumerate(joined) if _one(group, other)), None)
        if place is None:
            joined.append(group)
        else:
            joined[place] = _both(joined[place], group)
    return sorted([*joined, *found[READ:]], key=_largest)


def _logs(group: Group, read: ReadLog) -> dict[int, tuple[str, ...]]:
    number = len(group.failures)
    places = sorted({0, number // 2, number - 1})[:EXAMPLES]
    found: dict[int, tuple[str, ...]] = {}
    for place in places:
        one = group.failures[place]
        lines = next((lines for path in (one.elog, one.olog) if path and (lines := tuple(read(path)))), ())
        if lines:
            found[place] = lines
    return found


def _one(group: Group, other: Group) -> bool:
    same = (group.cause, group.exit, group.signal) == (other.cause, other.exit, other.signal)
    return same and likeness.crossed(group.lines, other.lines)


def _both(one: Group, other: Group) -> Group:
    """The larger one's words and logs for both."""
    logged = {(one.failures[place].run, one.failures[place].attempt): lines for place, lines in one.logs.items()}
    every = tuple(sorted(one.failures + other.failures, key=lambda failure: (failure.run, failure.attempt)))
    logs = {place: logged[key] for place, at in enumerate(every) if (key := (at.run, at.attempt)) in logged}
    return dataclasses.replace(one, failures=every, logs=logs)


def concentrated(counts: Mapping[str, int], number: int) -> tuple[str, int] | None:
    """(place, how many of so many) if nearly all are there, and there is something to be near to."""
    place, most = max(counts.items(), key=lambda item: item[1], default=("", 0))
    return (place, most) if number >= 3 and most >= CONCENTRATED * number else None
