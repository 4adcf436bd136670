"""What people are shown: rows of the memory as values. No I/O. Instants are text as the database has them; ``clock.instant`` reads it."""

from __future__ import annotations

import dataclasses
import datetime
from typing import TypeAlias

from production import clock
from production import run as runs

_Owner: TypeAlias = runs.Owner
"""By a name that no column has."""


@dataclasses.dataclass(frozen=True, slots=True)
class Row:
    """A run of a production, as a table shows it."""

    run: int
    label: str | None
    state: runs.State
    since: str
    """Instant."""
    attempt: int
    failures: int
    priority: int
    not_before: str | None
    """Instant; it is not claimed before."""
    why: str
    """Of the last move."""
    asked_by: str | None
    """The person who asked for it; None: nobody did."""
    cause: str | None
    """Of the last attempt, as all that follows."""
    message: str | None
    host: str | None
    job: str | None
    user: str | None
    submitted: str | None
    """Instant."""
    began: str | None
    """Instant a cluster's job was first seen to run."""
    wall: float | None
    """Seconds that its job ran; None until it has ended."""
    batch: str | None
    """System that has its job, or had."""
    owner: int | None
    """Id of the manager that has it."""
    manager: str | None
    """``user@host:pid`` of that."""
    datasets: tuple[str, ...]
    """Their names."""

    def took(self, now: datetime.datetime) -> float | None:
        """Seconds that its last job ran, or has run by now; None: it has none, or that waits."""
        if self.state is not runs.State.SUBMITTED:
            return self.wall
        since = self.submitted if self.batch == "local" else self.began
        return None if since is None else (now - clock.instant(since)).total_seconds()

    def __str__(self) -> str:
        return self.label or str(self.run)


ORDERS = ("since", "state", "attempt", "host", "cause", "user", "failures", "priority", "submitted", "datasets")
"""What a table of runs is sorted by, but for their numbers."""


@dataclasses.dataclass(frozen=True, slots=True)
class Attempt:
    """One try at a run."""

    attempt: int
    user: str
    host: str | None
    claimed: str
    submitted: str | None
    began: str | None
    """Instant a cluster's job was first seen to run."""
    ended: str | None
    submission: str | None
    """Its name."""
    task: int | None
    job: str | None
    batch: str | None
    resources: str | None
    """Asked for, JSON."""
    cause: str | None
    """None: it succeeded, or goes on."""
    counted: bool
    exit: int | None
    signal: int | None
    wall: float | None
    """Seconds, as ``cpu``."""
    cpu: float | None
    memory: int | None
    """Peak bytes."""
    message: str | None
    olog: str | None
    elog: str | None
    modules: str | None
    """Digest of its configuration."""
    command: str | None
    """Its argv, JSON."""


@dataclasses.dataclass(frozen=True, slots=True)
class Input:
    """A file that a run needs on our disk."""

    path: str
    source: str
    bytes: int | None
    ours: bool
    """We brought it."""
    come: str | None
    """Instant it was whole; None: it is not."""
    so_far: int | None
    """Bytes, while it is brought."""
    begun: str | None
    manager: str | None
    """``user@host:pid`` of who brings it."""


@dataclasses.dataclass(frozen=True, slots=True)
class Transfer:
    """A file that was ordered from the archive, and has not come."""

    path: str
    begun: bool
    """The archive has answered: its size, or bytes."""


@dataclasses.dataclass(frozen=True, slots=True)
class Written:
    """A file that a run wrote."""

    name: str
    attempt: int
    path: str
    bytes: int
    checksum: str
    recorded: str | None
    """Instant; None: only intended."""
    deleted: str | None


@dataclasses.dataclass(frozen=True, slots=True)
class Aside:
    """An output that a reset took from its place."""

    name: str
    attempt: int
    path: str
    aside: str
    bytes: int
    done: str | None
    """Instant; None: only intended."""


@dataclasses.dataclass(frozen=True, slots=True)
class Request:
    """What a person asked of a run."""

    id: int
    verb: str
    argument: str | None
    user: str
    why: str
    at: str
    answered: str | None
    answer: str | None


@dataclasses.dataclass(frozen=True, slots=True)
class AtWork:
    """One ``run_production`` process; of those that have left, what was."""

    id: int
    user: str
    host: str
    pid: int
    boot: str
    ticks: int
    production: str | None
    """Its name."""
    batch: str
    nproc: int | None
    nprep: int | None
    datasets: str
    """It takes runs of these only, JSON; an empty list: of all. So ``tranches``."""
    tranches: str
    start: str
    beat: str
    """Instant of the last beat, by its own clock."""
    stop: str | None
    lapsed: str | None
    message: str
    runs: int
    """In its hands."""
    nproc_asked: int | None = None
    """Jobs at a time that somebody wants it to have; None: it has answered."""

    @property
    def owner(self) -> _Owner:
        """Its process."""
        return runs.Owner(self.id, self.user, self.host, self.boot, self.pid, self.ticks)

    def silent(self, now: datetime.datetime, seconds: float) -> bool:
        """Whether its last beat is longer ago than that, by the clocks of two machines: for people, not for leases."""
        return (now - clock.instant(self.beat)).total_seconds() > seconds

    def __str__(self) -> str:
        return str(self.owner)


Choice: TypeAlias = tuple[str | None, int | None]
"""Dataset and tranche that a manager takes; None: any."""


@dataclasses.dataclass(frozen=True, slots=True)
class Opened:
    """Who opened a production, and who closed it though it was not finished."""

    user: str
    closed_by: str | None
    closed_why: str | None


@dataclasses.dataclass(frozen=True, slots=True)
class Account:
    """All that is written down of a run, for an audit."""

    run: int
    label: str | None
    state: runs.State
    owner: int | None
    """Id of the manager that has it."""
    outputs: tuple[Written, ...]
    asides: tuple[Aside, ...]
    inputs: tuple[Input, ...]
    """Without who brings them."""
    busy: tuple[str, ...]
    """Fixed paths that it has."""

    def __str__(self) -> str:
        return self.label or str(self.run)


@dataclasses.dataclass(frozen=True, slots=True)
class Failure:
    """An attempt that failed; or a run that is held though none of its attempts did."""

    run: int
    label: str | None
    state: str
    """Of the run, now; as ``why`` and ``asked_by``."""
    why: str
    asked_by: str | None
    attempt: int
    cause: str | None
    """None: a person holds the run."""
    message: str | None
    exit: int | None
    signal: int | None
    host: str | None
    ended: str | None
    """Instant."""
    wall: float | None
    """Seconds."""
    memory: int | None
    """Peak bytes."""
    resources: str | None
    """Asked for, JSON."""
    olog: str | None
    elog: str | None


@dataclasses.dataclass(frozen=True, slots=True)
class Took:
    """An attempt with a job that is over, by its instants."""

    over: str
    """The run left its manager's hands."""
    state: str
    """Where it went: finished, new (once more), failed, held."""
    claimed: str
    staged: str | None
    submitted: str
    ended: str | None
    wall: float | None
    """Seconds that its job ran."""


@dataclasses.dataclass(frozen=True, slots=True)
class Coming:
    """A file on its way to our disk, for a run that waits for it."""

    run: int
    label: str | None
    attempt: int
    path: str
    so_far: int
    """Bytes, when its manager last wrote it down."""
    size: int | None
    """Bytes; None: not known yet."""
    begun: str
    """Instant it was ordered."""
    manager: str
    """``user@host:pid`` of who brings it."""
    owner: int
    """Its id."""

    def __str__(self) -> str:
        return self.label or str(self.run)


@dataclasses.dataclass(frozen=True, slots=True)
class Happening:
    """An event in a production's history."""

    id: int
    at: str
    """Instant."""
    run: int
    label: str | None
    attempt: int
    before: str
    """State; if it is ``after``, too, something else has happened: ``why`` says what."""
    after: str
    manager: str
    """``user@host:pid`` of who did it; empty: no manager."""
    why: str
    asked_by: str
    """The person who asked for it; empty: nobody did."""

    def __str__(self) -> str:
        return self.label or str(self.run)


@dataclasses.dataclass(frozen=True, slots=True)
class Jobs:
    """Where the jobs of a production's runs are."""

    queued: int
    """In a cluster's queue, or on the way there."""
    running: int


@dataclasses.dataclass(frozen=True, slots=True)
class Quota:
    """How full the disk was when a manager looked last, in bytes."""

    used: int
    promised: int
    """To come yet, for all that was claimed, or had come since that look."""
    allowed: int
    """What may be used of the limit (``spacelim``)."""
    limit: int
    at: str
    """Instant of that look."""
