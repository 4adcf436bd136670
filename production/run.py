"""The words as values: a run, its state, the moves it may make, the production it is part of. No I/O here.

Everything above speaks in these; the state diagram is also the comment at the top of ``schema.sql``.
"""

from __future__ import annotations

import dataclasses
import enum


class State(enum.StrEnum):
    """Where a run is on its way."""

    WAITING = "waiting"
    NEW = "new"
    CLAIMED = "claimed"
    STAGED = "staged"
    SUBMITTING = "submitting"
    SUBMITTED = "submitted"
    ENDED = "ended"
    FINISHED = "finished"
    FAILED = "failed"
    HELD = "held"


class Cause(enum.StrEnum):
    """Why an attempt ended without success."""

    PROGRAM = "program"
    TIME = "time"
    MEMORY = "memory"
    NODE = "node"
    LAUNCH = "launch"
    STAGING = "staging"
    OUTPUT = "output"
    CANCELLED = "cancelled"
    KILLED = "killed"
    LOST = "lost"
    RELEASED = "released"


_ENDS = {State.NEW, State.FAILED, State.HELD, State.WAITING}

MOVES: dict[State, frozenset[State]] = {
    State.WAITING: frozenset({State.NEW, State.HELD}),
    State.NEW: frozenset({State.CLAIMED, State.HELD, State.FAILED, State.WAITING}),
    State.CLAIMED: frozenset({State.STAGED} | _ENDS),
    State.STAGED: frozenset({State.SUBMITTING} | _ENDS),
    State.SUBMITTING: frozenset({State.SUBMITTED, State.ENDED, State.STAGED} | _ENDS),
    State.SUBMITTED: frozenset({State.ENDED} | _ENDS),
    State.ENDED: frozenset({State.FINISHED} | _ENDS),
    State.FINISHED: frozenset({State.NEW, State.WAITING}),
    State.FAILED: frozenset({State.NEW, State.HELD, State.WAITING}),
    State.HELD: frozenset({State.NEW, State.FAILED, State.WAITING}),
}
"""Each state and the states a run may go to from it. The last three rows are a person's requests, as is every move
to waiting: the base run was reset."""

IN_FLIGHT = (State.CLAIMED, State.STAGED, State.SUBMITTING, State.SUBMITTED, State.ENDED)
"""The states in which a manager owns the run."""


@dataclasses.dataclass(frozen=True, slots=True)
class Resources:
    """What one job asks for; None leaves it to the site."""

    time: float | None = None
    """Seconds of wall clock; in a settings file ``"1:30:00"`` or a number."""
    memory: int | None = None
    """Bytes; in a settings file ``"2G"`` or a number."""
    cores: int = 1


UNASKED = Resources()
"""What a site gives to whoever asks for nothing."""


@dataclasses.dataclass(frozen=True, slots=True)
class Production:
    """A program, a version and a software tag: one campaign over all runs."""

    id: int
    program: str
    version: int
    tag: str
    base: int | None
    """``id`` of the production whose outputs are this one's inputs."""
    base_version: int | None
    start: str
    stop: str | None
    quality: str
    data: str
    """Real path of the directory that its inputs, outputs and logs are below."""
    catalogue: str
    """Id of the database: makes submission names unique between databases."""

    @property
    def name(self) -> str:
        """``alcapana_v4``, the name of its table."""
        return f"{self.program}_v{self.version}"


@dataclasses.dataclass(frozen=True, slots=True)
class Run:
    """One run of one production, as the catalogue has it now."""

    production: int
    run: int
    label: str | None
    state: State
    owner: int | None
    attempt: int
    """Number of the latest attempt; 0 before the first claim."""
    failures: int
    """Failed attempts that count towards the limit."""
    since: str
    """Instant of the last move."""
    why: str
    submission: str | None
    """Name of the submission the attempt is in."""
    job: str | None
    """What the batch system calls the attempt's job."""
    input: str | None
    """Where the input is, or will be, on our disk."""
    user: str | None
    """Unix user whose job it is."""
    submitted: str | None
    """Instant of the submission."""
    asked: Resources | None = None
    """What its job asked for; None: it has none."""
    began: str | None = None
    """Instant a cluster's job was first seen to run."""

    def __str__(self) -> str:
        return self.label or str(self.run)


@dataclasses.dataclass(frozen=True, slots=True)
class Earlier:
    """What the next attempt of a run can learn from one that failed. What nobody knows is None."""

    cause: Cause
    asked: Resources | None
    host: str | None
    wall: float | None
    """Seconds that it took."""
    memory: int | None
    """Peak bytes."""


@dataclasses.dataclass(frozen=True, slots=True)
class Owner:
    """One manager process. A pid alone is soon somebody else's; with these it is not."""

    id: int
    user: str
    host: str
    boot: str
    """The kernel's boot id."""
    pid: int
    ticks: int
    """Start time of the process, in clock ticks since boot."""
    beat: int = 0

    def __str__(self) -> str:
        return f"{self.user}@{self.host}:{self.pid}"


@dataclasses.dataclass(frozen=True, slots=True)
class Wanted:
    """What one manager takes: empty means everything of its production."""

    datasets: tuple[str, ...] = ()
    tranches: tuple[int, ...] = ()


EVERYTHING = Wanted()


@dataclasses.dataclass(frozen=True, slots=True)
class Output:
    """One output of one run: where the job put it, where it belongs, and what was seen of it."""

    name: str
    temporary: str
    final: str
    bytes: int = 0
    checksum: str = ""
    """``adler32:`` and eight hexadecimal digits."""
