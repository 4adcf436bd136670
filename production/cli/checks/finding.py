"""What a check says: all is well and what was found, or what is bad and its mend, or why it wasn't asked."""

from __future__ import annotations

import dataclasses
import os
import re
import threading
from collections.abc import Mapping

from production import disk, errors, settings


@dataclasses.dataclass(frozen=True, slots=True)
class Finding:
    """One line for the shift."""

    check: str
    ok: bool | None
    """None: not asked."""
    found: str
    mend: str = ""


class Bad(errors.ProductionError):
    """What is bad, and what to do."""

    def __init__(self, found: str, mend: str) -> None:
        super().__init__(found)
        self.mend = mend


class Unasked(Exception):
    """Why there is nothing to look at."""


@dataclasses.dataclass(slots=True)
class Patient:
    """What is looked at, and what earlier checks have learnt of it."""

    config: str | None
    flags: Mapping[str, object]
    """What was said beside the settings."""
    patience: float
    """Seconds that a check may take."""
    read: settings.Settings | None = None
    catalogue: str = ""
    """The database's id."""
    leave: threading.Event = dataclasses.field(default_factory=threading.Event)
    """Set when nobody waits for the present check any more."""

    @property
    def chosen(self) -> settings.Settings:
        """The settings; for checks that need them."""
        assert self.read
        return self.read


_DO = (
    "add|are you|bring|chgrp|chmod|choose|did you mean|give|is it|is the|let|load|look|lower|make|move|raise|remove|restore|say|see|set"
    "|shorten|tell|update|write"
)
_MEND = re.compile(rf"; mend: |[;:] (?=(?:{_DO})\b)| \((?=(?:{_DO})\b)")
"""Where in a message of this house its mend begins."""


def parted(message: str, mend: str) -> tuple[str, str]:
    """What is bad, and the mend: the message's own, else this one."""
    match = _MEND.search(message)
    if match is None:
        return message, mend
    own = message[match.end() :]
    return message[: match.start()], own.removesuffix(")") if match[0] == " (" else own


def near(path: str) -> str:
    """The path as people know it: from where they stand, or from home."""
    for directory, before in ((os.getcwd(), ""), (os.path.expanduser("~"), "~/")):
        inside = os.path.join(directory, "")
        if path.startswith(inside):
            return disk.shown(before + path.removeprefix(inside))
    return disk.shown(path)


def own(chosen: settings.Settings) -> list[settings.Program]:
    """The programs that somebody here has written into a file; the others came with the product."""
    return [program for program in chosen.programs.values() if not program.said.startswith(chosen.files[0])]
