"""What the dashboard is given by whoever opens it, in one bundle: the memory, and the answers that other rooms know."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from typing import Protocol

from production import filter as filters
from production import run as runs
from production.catalogue import library
from production.monitor import outlook, reach
from production.monitor.dashboard import scroll

ATTENDED = 60.0
"""Seconds after a key for which somebody is there, and sees the end of a production before the screen goes."""
LEAVING, OVER = "\0leaving", "\0over"
"""Lines that a manager says when it has been told to stop, and when it has ended; no line of its log is like these."""


@dataclasses.dataclass(frozen=True, slots=True)
class Wish:
    """What a person asks for, of some runs or of a manager."""

    verb: str
    production: runs.Production
    wanted: filters.Filter = filters.EVERYTHING
    argument: str = ""
    why: str = ""
    manager: int | None = None


@dataclasses.dataclass(frozen=True, slots=True)
class Plan:
    """What would become of a wish."""

    lines: Sequence[str]
    void: bool
    """Nothing would be done."""


class Answers(Protocol):
    """What ``production show``, ``why``, ``failures``, ``estimate`` and the requests say, as lines. Asked in readers' threads.

    All raise ProductionError.
    """

    def portray(self, memory: library.Library, production: runs.Production, run: int) -> Sequence[str]:
        """History, attempts, inputs, outputs, requests of a run."""
        ...

    def explain(self, memory: library.Library, production: runs.Production, run: int) -> Sequence[tuple[str, str]]:
        """(layer, what it says): why a run is where it is, and what will be next. May take seconds."""
        ...

    def failures(self, memory: library.Library, production: runs.Production) -> Sequence[scroll.Entry]:
        """What failed, in groups; the target of each is (a filter that means its runs, one of them)."""
        ...

    def outlook(self, memory: library.Library, production: runs.Production) -> outlook.Outlook:
        """When it will be finished."""
        ...

    def plan(self, memory: library.Library, wish: Wish) -> Plan:
        """What would be done; nothing is."""
        ...

    def tell(self, wish: Wish, wanted: Callable[[], bool]) -> Sequence[str]:
        """Do it, and say what was done; while somebody holds the lock, and when there is much to do, ask if it is still wanted."""
        ...


@dataclasses.dataclass(frozen=True, slots=True)
class Surroundings:
    """Who looks, from where, at what."""

    open: Callable[[], library.Library]
    """The memory, anew, read-only."""
    production: runs.Production
    database: str
    """As people call it."""
    user: str
    lease: float
    """Seconds."""
    answers: Answers
    logs: reach.Reach = reach.HERE
    """Opens logs."""
    filter: str = ""
    """Only these runs, to begin with."""
    read_only: bool = False
    palette: str = ""
    """Empty: the one that suits."""
    manager: int | None = None
    """Id of the one that shows itself so."""
    lines: int | None = None
    """A descriptor on which it tells its log; its end is the manager's."""
