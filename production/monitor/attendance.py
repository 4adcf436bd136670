"""Who is at work on a production, and what ails those that should be: what status says of it when nobody looks on."""

from __future__ import annotations

import dataclasses
import datetime
from collections.abc import Iterator, Mapping, Sequence

from production import facts, process
from production import run as runs
from production.monitor import holders
from production.monitor import known as knowns

MOST = 3
"""So many are named at most."""


@dataclasses.dataclass(frozen=True, slots=True)
class Attendance:
    """The managers of a production that have not left."""

    living: tuple[facts.AtWork, ...]
    """At work, as far as can be told."""
    idle: tuple[tuple[facts.AtWork, str], ...]
    """The others, and why they do nothing."""

    seen: Mapping[int, bool | None]
    """{manager: whether it is alive; None: it can't be told from here}."""

    def described(self) -> list[dict[str, object]]:
        """For programs, the newest first."""
        every = [*self.living, *(manager for manager, _ in self.idle)]
        every.sort(key=lambda manager: -manager.id)
        return [{"manager": str(manager), "alive": self.seen[manager.id], "runs": manager.runs} for manager in every]


def look(there: Sequence[facts.AtWork], production: str, lease: float, now: datetime.datetime) -> Attendance:
    """Those of a production, as they are seen from here. ``lease``: seconds."""
    living, idle, seen = [], [], {}
    for manager in there:
        if manager.production == production:
            seen[manager.id], asleep = holders.alive(manager), process.seen_stopped(manager.owner)
            trouble = knowns.trouble(manager, now, lease, dead=seen[manager.id] is False, asleep=asleep)
            if trouble:
                idle.append((manager, trouble))
            else:
                living.append(manager)
    return Attendance(tuple(living), tuple(idle), seen)


def lines(found: Attendance, production: runs.Production, stranded: int | None) -> Iterator[str]:
    """What is wrong, and what to do; nothing if all is well. ``stranded``: a run that nobody at work has."""
    idle = "; ".join(f"{manager} {trouble}" for manager, trouble in found.idle[:MOST])
    if len(found.idle) > MOST:
        idle += f"; and {len(found.idle) - MOST} more"
    if not found.living:
        start = f"run_production --production={production.program} --version={production.version}"
        yield f"no manager is at work{f' ({idle})' if idle else ''}; start: {start}"
    elif idle:
        yield idle
    if stranded is not None:
        yield f"nobody works on run {stranded}, e.g.: production why --production={production.name} {stranded}"
