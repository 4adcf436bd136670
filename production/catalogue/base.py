"""What the corridor asks of the memory. What people ask of it is in ``library``.

``Catalogue`` answers questions; all changes are made through a ``Change``, inside ``with catalogue.write(owner) as
change:``, which is one locked transaction.

An instant is passed in by every caller that moves something: the database has no clock of its own.
"""

from __future__ import annotations

import dataclasses
import datetime
from collections.abc import Iterable, Sequence
from contextlib import AbstractContextManager
from typing import Protocol

from production import run as runs


@dataclasses.dataclass(frozen=True, slots=True)
class DatasetRow:
    """A run's membership of a dataset."""

    run: int
    dataset: str
    tranche: int | None = None
    quality: str = "gold"
    geometry: str | None = None


@dataclasses.dataclass(frozen=True, slots=True)
class Opening:
    """A production to be opened."""

    program: str
    tag: str
    quality: str
    base: int | None
    """``id`` of the base production."""
    outputs: tuple[str, ...]
    """Their names: columns of its view."""
    data: str
    """Real path of the directory its files are below."""
    user: str


@dataclasses.dataclass(frozen=True, slots=True)
class Place:
    """An attempt's place in a submission, as it is written down."""

    run: runs.Run
    task: int
    stdout: str
    stderr: str
    command: tuple[str, ...]
    resources: runs.Resources
    modules: str | None
    avoided: tuple[str, ...] = ()
    """Hosts."""


@dataclasses.dataclass(frozen=True, slots=True)
class Ending:
    """All that is known of an attempt that ended; ``cause`` None means that it succeeded."""

    cause: runs.Cause | None
    message: str = ""
    counted: bool = False
    host: str | None = None
    exit: int | None = None
    signal: int | None = None
    wall: float | None = None
    cpu: float | None = None
    memory: int | None = None


@dataclasses.dataclass(frozen=True, slots=True)
class End:
    """How an attempt of a run ended."""

    run: int
    cause: str | None
    """None: it succeeded."""
    message: str = ""
    log: str = ""
    """What its job said on stderr; empty: there was no job."""


@dataclasses.dataclass(frozen=True, slots=True)
class Outlook:
    """What is left for a manager that has nothing in its hands."""

    new: bool
    """A wanted run is new, perhaps in back-off."""
    waiting: bool
    """A wanted run waits for a base run that may still finish."""
    others: tuple[tuple[runs.Owner, int], ...]
    """Other living managers and how many runs they have."""


@dataclasses.dataclass(frozen=True, slots=True)
class PathUse:
    """Which attempt uses a fixed path, or did last."""

    production: int
    run: int
    attempt: int
    busy: bool
    leftover: str | None = None
    """What it left there, as ``leave_path`` was told; None: nothing."""


UNSEEN = 1 << 30
"""Bytes that a run's outputs may have while none was seen, or so many times its input's: with a large quota all go at
once nevertheless, with a small one the first goes alone."""
UNSEEN_SHARE = 10


@dataclasses.dataclass(frozen=True, slots=True)
class Sizes:
    """Bytes that a run has on the disk, as far as experience goes."""

    input: int
    """The largest seen; 0: none was."""
    outputs: int
    """The median so far; before the first a cautious guess. 0: its program writes none."""


@dataclasses.dataclass(frozen=True, slots=True)
class Promised:
    """Bytes that are still to come to a data directory, by all managers' runs."""

    ordered: int
    """Inputs on their way, and the outputs of all whose input was ordered."""
    claimed: int
    """Inputs that nobody has ordered yet, and the outputs of these runs."""


@dataclasses.dataclass(frozen=True, slots=True)
class Seen:
    """How full a disk was when a manager looked."""

    used: int
    """Bytes, as all but the last."""
    limit: int
    allowed: int
    """What it may use of the limit."""
    at: datetime.datetime
    """When the reading began."""


@dataclasses.dataclass(frozen=True, slots=True)
class Ask:
    """What a person wants of a run."""

    verb: str
    """retry, hold, release, cancel, priority, reset."""
    argument: str | None
    user: str
    why: str = ""


@dataclasses.dataclass(frozen=True, slots=True)
class Asked:
    """A request that is written down and not answered."""

    id: int
    production: int
    run: int
    owner: int | None
    """The manager that has the run, and answers."""
    ask: Ask


@dataclasses.dataclass(frozen=True, slots=True)
class Told:
    """What a person asks of a manager itself, and has no answer to."""

    id: int
    verb: str
    """nproc."""
    argument: str
    user: str
    why: str


@dataclasses.dataclass(frozen=True, slots=True)
class Move:
    """Where an output is, and where it is put aside."""

    path: str
    aside: str


LISTED = 10
EXAMPLES = 3
BY_HAND = "by hand"


@dataclasses.dataclass(frozen=True, slots=True)
class Stuck:
    """Runs that failed or are held for one cause."""

    state: str
    cause: str
    """Empty: nobody said; ``BY_HAND``: a person wanted it."""
    runs: int
    first: tuple[int, ...]
    """The lowest of them, ``LISTED`` at most."""
    examples: tuple[tuple[int, str], ...]
    """(run, why) of the first that say different things, ``EXAMPLES`` at most."""


@dataclasses.dataclass(frozen=True, slots=True)
class Event:
    """One line of a run's history."""

    at: str
    attempt: int
    before: str
    after: str
    why: str
    who: str
    """``user@host:pid`` of the manager that did it; empty: none did."""
    asked_by: str
    """The person who asked for it; empty: nobody did."""


class Catalogue(Protocol):
    """Questions. None of them locks anything."""

    def write(self, owner: runs.Owner | None = None) -> AbstractContextManager[Change]:
        """The only transaction: locked from its first line, committed at its end, rolled back by an exception.

        Raises: CatalogueBusy, CatalogueFull (nothing was changed; try again later), LostLease.
        """
        ...

    def production(self, program: str, version: int | None = None) -> runs.Production | None:
        """That version, or the highest."""
        ...

    def productions(self) -> list[runs.Production]: ...

    def selections(self) -> tuple[set[str], set[int], set[str]]:
        """Names of datasets, tranches and qualities there are."""
        ...

    def counts(self, production: int, wanted: runs.Wanted = runs.EVERYTHING) -> dict[runs.State, int]:
        """Runs by state, all or only those that are wanted (which takes as long as these are many); every state is there."""
        ...

    def causes(self, production: int) -> list[Stuck]:
        """Failed and held runs by cause, the most frequent first."""
        ...

    def last_words(self, production: int) -> str:
        """What the manager that was started last said when it ended; empty if it has not."""
        ...

    def in_vain(self, production: int) -> tuple[int, int | None]:
        """How many runs wait for a base run that failed or is held, and the lowest of them."""
        ...

    def owned(self, owner: runs.Owner, *states: runs.State) -> list[runs.Run]:
        """A manager's runs in these states, by number."""
        ...

    def in_flight(self, owner: runs.Owner) -> dict[runs.State, int]:
        """How many runs a manager has in each state; absent means none."""
        ...

    def living(self, production: int) -> set[tuple[int, int]]:
        """(run, attempt) of everything that is in flight, whoever has it."""
        ...

    def managers(self, production: int) -> list[runs.Owner]:
        """Who has not said goodbye, nor was found dead."""
        ...

    def managers_of_all(self) -> list[runs.Owner]:
        """The same of all productions."""
        ...

    def orphans(self, production: int, owner: runs.Owner) -> list[int]:
        """Managers that are gone and still own runs that this one could take over."""
        ...

    def elsewhere(self, production: int, owner: runs.Owner) -> dict[str, int]:
        """{batch system: how many runs} of managers that are gone, with jobs that this one can't follow."""
        ...

    def outlook(self, production: int, owner: runs.Owner, wanted: runs.Wanted) -> Outlook: ...

    def next_runs(self, production: int, number: int, wanted: runs.Wanted, now: datetime.datetime) -> list[runs.Run]:
        """The first wanted runs that may be claimed now."""
        ...

    def computing(self, data: str) -> int:
        """How many runs below a data directory have a job, or outputs to be looked at, whoever has them."""
        ...

    def base_output(self, run: runs.Run, name: str) -> tuple[str, int | None] | None:
        """(path, bytes) of the base run's output."""
        ...

    def last_ends(self, owner: runs.Owner, number: int) -> list[End]:
        """Of a manager's last ended attempts, newest first."""
        ...

    def earlier(self, run: runs.Run) -> list[runs.Earlier]:
        """Its attempts before this one that ended for a cause, the oldest first."""
        ...

    def history(self, production: int, run: int) -> list[Event]: ...

    def intended(self, run: runs.Run) -> list[runs.Output]:
        """What its attempt means to put in place."""
        ...

    def asked(self, production: int, number: int, owner: runs.Owner | None) -> list[Asked]:
        """The oldest open requests for runs of this manager and of nobody, one a run, so many at most."""
        ...

    def asked_of(self, owner: runs.Owner) -> list[Told]:
        """What is asked of this manager itself, and not answered, the oldest first."""
        ...

    def nproc(self, owner: runs.Owner) -> int | None:
        """How many jobs at a time it has: a person may have changed it since it started."""
        ...

    def intake_due(self, production: int) -> bool:
        """Whether runs were added since the last intake."""
        ...

    def close(self) -> None: ...


class Change(Protocol):
    """Changes, all within one transaction."""

    def add_runs(self, rows: Iterable[DatasetRow]) -> int:
        """Idempotent; how many were new.

        Raises: UsageError, if a run is in the dataset already as something else.
        """
        ...

    def open_production(self, opening: Opening, now: datetime.datetime) -> runs.Production:
        """The next version, with its runs and its view."""
        ...

    def intake(self, production: int, now: datetime.datetime) -> int:
        """Runs added since enter an open production; how many."""
        ...

    def close_production(self, production: int, now: datetime.datetime) -> bool:
        """Closed, once, if every run is finished."""
        ...

    def enter(
        self,
        owner: runs.Owner,
        production: int,
        batch: str,
        nproc: int,
        nprep: int,
        now: datetime.datetime,
        wanted: runs.Wanted = runs.EVERYTHING,
    ) -> runs.Owner:
        """A manager starts; returned with its id."""
        ...

    def beat(self, owner: runs.Owner, now: datetime.datetime, seen: Seen | None = None) -> None:
        """It lives; ``seen``: how full its disk was when it looked last."""
        ...

    def lapse(self, dead: runs.Owner, now: datetime.datetime) -> bool:
        """False if its beat is not the one we saw: it lives."""
        ...

    def adopt(
        self, dead: int, production: int, owner: runs.Owner, now: datetime.datetime
    ) -> tuple[list[runs.Run], int, list[str]]:
        """Take over from a manager that is gone: (claims given back, runs with jobs now ours, half-brought files).

        Runs of our production only, those with jobs only if it used our batch system; files whoever's they were.
        """
        ...

    def reclaim(self, production: int, owner: runs.Owner, now: datetime.datetime) -> int:
        """Ended runs that another user's manager has followed come back to their own user; how many."""
        ...

    def leave(self, owner: runs.Owner, message: str, now: datetime.datetime) -> None: ...

    def claim(
        self, production: int, number: int, owner: runs.Owner, wanted: runs.Wanted, now: datetime.datetime
    ) -> list[runs.Run]: ...

    def move(
        self,
        run: runs.Run,
        to: runs.State,
        why: str,
        now: datetime.datetime,
        *,
        failures: int | None = None,
        not_before: datetime.datetime | None = None,
        by: runs.Owner | str | None = None,
    ) -> bool:
        """False if somebody else has moved the run since it was read: leave it.

        ``by``: another manager that moves it, or the person who asked for it.
        """
        ...

    def submission(
        self,
        owner: runs.Owner,
        batch: str,
        production: runs.Production,
        places: Sequence[Place],
        now: datetime.datetime,
    ) -> str:
        """Write down what will be sent; its name."""
        ...

    def job(self, run: runs.Run, job: str) -> None: ...

    def begin_job(self, run: runs.Run, host: str | None, now: datetime.datetime) -> None:
        """Its job is seen to run; only the first time counts."""
        ...

    def end(self, run: runs.Run, ending: Ending, now: datetime.datetime) -> None:
        """The run's attempt is over; its fixed paths are free, its intents forgotten unless it succeeded."""
        ...

    def keep_modules(self, content: bytes) -> str:
        """A configuration text, once; its digest (SHA-256)."""
        ...

    def need(
        self, run: runs.Run, path: str, source: str, size: int | None, ours: bool, come: datetime.datetime | None = None
    ) -> None:
        """The run needs a file. ``size`` None: not known yet, or as before; ``come``: when it was whole on our disk."""
        ...

    def drop_inputs(self, run: runs.Run) -> list[str]:
        """The run needs its inputs no more; the files that nobody needs and we brought."""
        ...

    def size(self, run: runs.Run, path: str) -> int | None:
        """Bytes of the run's input, if they are known."""
        ...

    def sizes(self, production: int) -> Sizes:
        """What to expect of a run nothing is known of."""
        ...

    def promised(self, data: str, since: datetime.datetime) -> Promised:
        """What is not among the files that a reading begun at ``since`` has seen below ``data``."""
        ...

    def needed(self, path: str) -> bool:
        """Whether any run needs the file."""
        ...

    def carried(self, path: str) -> bool:
        """Whether somebody is bringing that file already."""
        ...

    def begin_transfer(self, path: str, source: str, owner: runs.Owner, now: datetime.datetime) -> None: ...

    def progress(self, owner: runs.Owner, path: str, size: int | None, so_far: int) -> None: ...

    def end_transfer(self, path: str, owner: runs.Owner) -> None: ...

    def intend(self, run: runs.Run, outputs: Iterable[runs.Output]) -> None: ...

    def record(self, run: runs.Run, now: datetime.datetime) -> None: ...

    def path_use(self, path: str) -> PathUse | None:
        """Who has a fixed path or had it last; None if nobody ever did."""
        ...

    def take_path(self, run: runs.Run, path: str) -> None:
        """The attempt has a fixed path until it ends."""
        ...

    def taken_paths(self, run: runs.Run) -> list[str]:
        """The fixed paths that the attempt has."""
        ...

    def leave_path(self, run: runs.Run, path: str, leftover: str | None) -> None:
        """What the attempt leaves at one of them, by which it is known again; None: nothing."""
        ...

    def earlier_log(self, run: runs.Run, log: str) -> int | None:
        """The earlier attempt of the run that wrote this log."""
        ...

    def keep_log(self, run: runs.Run, attempt: int, olog: str, elog: str) -> None:
        """An earlier attempt's logs have been moved."""
        ...

    def run(self, production: int, run: int) -> runs.Run | None:
        """The run as it is now."""
        ...

    def ready(self, run: runs.Run) -> bool:
        """Whether its base run is finished, or it has none."""
        ...

    def base_leaves(self, run: runs.Run) -> bool:
        """Whether its base run is being reset, or was: not finished, or its outputs are on their way aside."""
        ...

    def data(self, run: runs.Run) -> str:
        """Real path of the directory that its production's files are below."""
        ...

    def based(self, run: runs.Run) -> list[runs.Run]:
        """The runs of other productions that work on its outputs."""
        ...

    def ask(self, run: runs.Run, ask: Ask, now: datetime.datetime) -> int:
        """Write a request down; its id."""
        ...

    def is_open(self, asked: Asked) -> bool:
        """Whether nobody has answered it."""
        ...

    def answer(self, asked: Asked, answer: str, now: datetime.datetime, owner: runs.Owner | None = None) -> None: ...

    def ask_manager(
        self, manager: int, verb: str, argument: str, user: str, why: str, now: datetime.datetime
    ) -> int | None:
        """Write down what a person asks of a manager itself; its id. None: it has left."""
        ...

    def answer_as_manager(self, told: Told, answer: str, now: datetime.datetime) -> None: ...

    def set_nproc(self, owner: runs.Owner, nproc: int) -> None: ...

    def prioritize(self, run: runs.Run, priority: int) -> None: ...

    def hasten(self, run: runs.Run) -> None:
        """A new run needn't wait, and nothing is held against it."""
        ...

    def in_place(self, run: runs.Run) -> bool:
        """Whether an output of the run is in its place, and nobody has written down where it will be put aside."""
        ...

    def intend_aside(self, run: runs.Run) -> None:
        """Write down where the run's outputs will be put aside."""
        ...

    def intended_aside(self, run: runs.Run) -> list[Move]: ...

    def forget_aside(self, run: runs.Run, path: str | None = None) -> None:
        """They, or this one, won't be."""
        ...

    def outputs_aside(self, run: runs.Run, now: datetime.datetime) -> None:
        """The run's outputs are aside, and its no more."""
        ...

    def close_by_hand(self, production: int, user: str, why: str, now: datetime.datetime) -> bool:
        """Nothing more is taken of it. False: it is closed."""
        ...

    def open_again(self, production: int) -> bool:
        """What was closed by hand is open. False: it was not."""
        ...
