"""What had to be decided while an old database was read: counted, with the first examples, to be told at the end."""

from __future__ import annotations

import dataclasses

EXAMPLES = 3


@dataclasses.dataclass(frozen=True, slots=True)
class Oddity:
    """One sort of it."""

    what: str
    number: int
    examples: tuple[str, ...]


class Oddities:
    """All of them, in the order in which they were met first."""

    def __init__(self) -> None:
        self._numbers: dict[str, int] = {}
        self._examples: dict[str, list[str]] = {}

    def note(self, what: str, example: str, number: int = 1) -> None:
        """Once more; ``number`` if the example stands for several."""
        self._numbers[what] = self._numbers.get(what, 0) + number
        examples = self._examples.setdefault(what, [])
        if len(examples) < EXAMPLES:
            examples.append(example)

    def told(self) -> list[Oddity]:
        """What is to be said."""
        return [Oddity(what, number, tuple(self._examples[what])) for what, number in self._numbers.items()]
