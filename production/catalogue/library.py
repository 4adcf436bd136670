"""What people ask of the memory, through the commands that look and the dashboard: all that ``base`` has, and more.

Nothing here is needed to carry a run, so nothing here can hurt one.
"""

from __future__ import annotations

import array
import datetime
from collections.abc import Collection, Iterable, Iterator, Sequence
from typing import Protocol

from production import facts
from production import filter as filters
from production import run as runs
from production.catalogue import base


class Records(Protocol):
    """Questions about runs, productions and managers."""

    def select(
        self,
        production: int,
        wanted: filters.Filter,
        now: datetime.datetime,
        after: int = -1,
        *,
        down: bool = False,
    ) -> Iterator[facts.Row]:
        """The runs that a filter means, by number, from those beyond ``after`` on; read as they are asked for.

        ``down``: the highest first, from those below ``after`` on, or from the last.
        """
        ...

    def of_runs(self, production: int, numbers: Sequence[int]) -> list[facts.Row]:
        """These runs, in this order, without those that aren't there."""
        ...

    def in_order(self, production: int, key: str, down: bool) -> array.array[int]:
        """All runs, sorted by what one of ``facts.ORDERS`` names; the same by number. A million take a second or some."""
        ...

    def row(self, production: int, run: int) -> facts.Row | None: ...

    def attempts(self, production: int, run: int) -> list[facts.Attempt]: ...

    def inputs(self, production: int, run: int) -> list[facts.Input]: ...

    def ordered_with(self, path: str) -> list[facts.Transfer]:
        """Files on their way, with this one, to the manager that brings it."""
        ...

    def outputs(self, production: int, run: int) -> list[facts.Written]: ...

    def asides(self, production: int, run: int) -> list[facts.Aside]: ...

    def requests(self, production: int, run: int) -> list[facts.Request]: ...

    def answers(self, ids: Iterable[int]) -> dict[int, tuple[int, str]]:
        """{request: (run, answer)} of those that have been answered."""
        ...

    def modules(self, digest: str) -> str | bytes | None:
        """A configuration text; bytes, if it is not UTF-8."""
        ...

    def elsewhere(self, run: int) -> dict[str, runs.State]:
        """{name of a production that has a run: its state there}."""
        ...

    def based(self, production: int, numbers: Iterable[int]) -> dict[str, dict[runs.State, int]]:
        """{production based on this one, or on those: {state: runs}} that are to wait again if these runs are reset."""
        ...

    def memberships(self, run: int) -> list[tuple[str, int | None, str]]:
        """(dataset, tranche, quality) of a run, in a production or not."""
        ...

    def datasets(self) -> list[str]:
        """Names of all there are."""
        ...

    def hosts(self, production: int) -> list[str]:
        """Where an attempt has been, of any run."""
        ...

    def counts_at(self, production: int, at: datetime.datetime) -> dict[runs.State, int]:
        """Runs by state as they were at an instant; every state is there."""
        ...

    def failures(
        self, production: int, wanted: filters.Filter, now: datetime.datetime, *, ever: bool = False
    ) -> Iterator[facts.Failure]:
        """The last attempts of runs that are failed, held or tried again; or all that failed ``ever``.

        Read as they are asked for.
        """
        ...

    def datasets_of(self, some: Sequence[int]) -> dict[str, int]:
        """{dataset: how many of these runs it has}, the most first."""
        ...

    def other_dataset(self, dataset: str) -> bool:
        """Whether there is any but this."""
        ...

    def other_host(self, production: int, host: str) -> bool:
        """Whether an attempt was anywhere but there."""
        ...

    def took(self, production: int, number: int) -> tuple[list[facts.Took], bool]:
        """The last attempts with a job that are over, the latest first, and whether there are no earlier ones.

        What was given back is left out.
        """
        ...

    def running(self, production: int, number: int) -> list[str]:
        """Instants of submission of the runs that have a job, so many at most, the oldest first."""
        ...

    def finished_by_hour(self, production: int, since: datetime.datetime) -> dict[str, int]:
        """{hour in UTC, as ``2026-11-20T21``: runs that were finished in it}."""
        ...

    def managers(self, *, everybody: bool = False, number: int = 1000) -> list[facts.AtWork]:
        """Those at work, or all, the newest first, so many at most."""
        ...

    def stranded(self, production: int, managers: Collection[int]) -> int | None:
        """A run in flight that none of these managers has; without managers it may be a new one."""
        ...

    def ahead(
        self,
        production: int,
        row: facts.Row,
        choices: Sequence[facts.Choice],
        now: datetime.datetime,
        number: int = 10_000,
    ) -> tuple[int, bool]:
        """New runs that are claimed before this one by whoever takes these; and whether so many suffice to count all."""
        ...

    def hands(self, production: int) -> dict[int, dict[runs.State, int]]:
        """{manager: how many runs it has in each state}."""
        ...

    def opened(self) -> dict[int, facts.Opened]:
        """{production: who opened it}."""
        ...

    def transfers(self, production: int) -> list[facts.Coming]:
        """Files that are on their way, by run; one that several wait for is there for each."""
        ...

    def happenings(self, production: int, number: int, before: int | None = None) -> list[facts.Happening]:
        """The last events of all runs, the latest first, so many at most; ``before``: those before the one of this id."""
        ...

    def jobs(self, production: int) -> facts.Jobs:
        """How many runs have a job that waits in a queue, or that runs."""
        ...

    def again(self, production: int) -> int:
        """How many runs are under way that failed before."""
        ...

    def quota(self, production: int) -> facts.Quota | None:
        """How full the disk is, as the managers at work there know; None: none of them has looked."""
        ...

    def manager_answers(self, ids: Iterable[int]) -> dict[int, str]:
        """{request: answer} of those to managers that have been answered."""
        ...


class Books(Protocol):
    """Questions of an audit: everything that was written down, a few thousand rows at a time."""

    def numbers(self, production: int) -> Iterator[list[int]]:
        """All runs of a production, by number, so many at a time."""
        ...

    def accounts(self, production: int, numbers: Sequence[int]) -> list[facts.Account]: ...

    def columns(self, production: int) -> list[str]:
        """Names of the outputs of its program when it was opened."""
        ...

    def paths(self) -> Iterator[str]:
        """Where a file may stand that is known, of any production: outputs, asides, inputs and their parts."""
        ...

    def holders(self) -> list[facts.AtWork]:
        """Managers that have runs or bring files, dead ones, too."""
        ...

    def transfers(self) -> list[tuple[str, int]]:
        """(path, id of the manager that brings it)."""
        ...

    def stale(self, production: int) -> list[tuple[int, runs.State]]:
        """(run, state of its base run) of finished runs whose base run was done again, or is to be, since they worked on it."""
        ...

    def uneven(self, production: int) -> list[tuple[runs.State, int, int]]:
        """(state, runs as the triggers counted them, runs there are), where these differ."""
        ...


class Library(base.Catalogue, Protocol):
    """All questions: those of the corridor, of people, and of an audit."""

    @property
    def records(self) -> Records: ...

    @property
    def books(self) -> Books: ...

    def data_version(self) -> int:
        """Another number whenever somebody else has written since; costs next to nothing."""
        ...

    def check_place(self) -> None:
        """See that it is still what stands at its path. Raises: CatalogueError."""
        ...

    def interrupt(self) -> None:
        """End the question that another thread is asking, which raises Interrupted there; without one nothing happens."""
        ...
