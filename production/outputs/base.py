"""What the corridor asks before it believes a job: look at its outputs, hash them, say what is wrong."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Mapping, Sequence
from typing import Protocol

from production import run as runs


@dataclasses.dataclass(frozen=True, slots=True)
class Rule:
    """How one output is checked."""

    output: runs.Output
    check: str = "exists"
    """``exists``, ``root`` (opens the file and reads its keys), or ``command``."""
    minimum: int = 0
    """Smallest plausible size, bytes."""
    command: tuple[str, ...] = ()
    """For ``command``: an argv, run with the output's temporary path appended; exit 0 means whole."""
    optional: bool = False


@dataclasses.dataclass(frozen=True, slots=True)
class Verdict:
    """What was found for one attempt."""

    outputs: tuple[runs.Output, ...]
    """With size and checksum; on the final path's file system under ``temporary``."""
    problem: str = ""
    """Empty if all is well, else one line naming the file and what is wrong."""
    disk_full: bool = False
    """There was no room to look: it says nothing about the outputs; look again later."""


def copy(output: runs.Output, mark: str) -> str:
    """Where an output is copied to that isn't on the final path's file system."""
    directory, name = os.path.split(output.final)
    return os.path.join(directory, f".{name}.{mark}")


class Inspector(Protocol):
    """Looks at outputs in threads."""

    def start(self, mark: str, rules: Sequence[Rule]) -> None:
        """Queue one attempt's outputs; wakes the clock when done."""
        ...

    def verdict(self, mark: str) -> Verdict | None:
        """None while it is being looked at; tells an ended one once.

        Raises: KeyError: never started (this process was started after).
        """
        ...

    def waits(self) -> str:
        """What outputs are waited for that are on another machine, in one line; empty: none. It is tried again by itself."""
        ...

    def coming(self) -> Mapping[str, int]:
        """{mark: bytes that have come of an output that is on its way from another machine}."""
        ...

    def close(self) -> None: ...
