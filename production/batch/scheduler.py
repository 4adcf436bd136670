"""What a cluster is asked for in its scheduler's language (``Dialect``), and where its commands are (``Shell``).

In between go command lines, replies, and what was read in them. Next: ``sge`` and ``slurm``, ``shell``.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Protocol

from production import run as runs
from production.batch import base


@dataclasses.dataclass(frozen=True, slots=True)
class Policy:
    """How often, how long, how many."""

    poll: float = 15.0
    """Seconds between listings."""
    grace: float = 90.0
    """Seconds after which a job that has left the listing, and that no accounting knows, is lost."""
    timeout: float = 30.0
    """Seconds that one command may take."""
    share: float = 20.0
    """A look that took a second isn't repeated for so many, or ``SLOWEST`` polls: the controller has others to serve."""
    tasks: int | None = None
    """Indices of one array go up to this; None: the dialect's."""


SLOWEST = 8
"""Back-off goes up to so many polls."""

ARRAYS = 10
"""Arrays that the accounting is asked about in one poll; Grid Engine reads its whole file for each."""


@dataclasses.dataclass(frozen=True, slots=True)
class Completed:
    """A command of the batch system that ran to its end."""

    stdout: str
    stderr: str
    returncode: int
    """Negative: the signal that killed it."""


class Shell(Protocol):
    """Where the batch system's commands are run: here, or over SSH."""

    def run(self, argv: Sequence[str], *, input: bytes = b"", timeout: float) -> Completed:
        """Run a command to its end; what it says is bounded, and in English, times in epoch seconds.

        Raises: BatchError: there is no such command. BatchUnanswered: it took longer than ``timeout`` seconds, or said
        more than we can hold. BatchUnasked: its machine can't be reached, so it wasn't run.
        """
        ...

    def close(self) -> None:
        """Let go of connections."""
        ...


@dataclasses.dataclass(frozen=True, slots=True)
class Array:
    """Attempts with the same needs, as one array job with the indices 1 to ``size``."""

    name: str
    size: int
    resources: runs.Resources = runs.UNASKED
    excluded: tuple[str, ...] = ()
    niceness: int = 0


@dataclasses.dataclass(frozen=True, slots=True)
class Seen:
    """One job in a listing or in the accounting."""

    report: base.Report
    name: str = ""
    """Of the array job that it is a part of."""
    alias: str = ""
    """Another id that the accounting may know it by; empty if there is none."""
    hopeless: int = 0
    """0: it may start and end. Otherwise it won't, and after so many looks that say so it is to be deleted."""


class Dialect(Protocol):
    """A scheduler's commands and replies. Pure text: nothing is run here.

    Parsers raise BatchUnanswered for what they can't read, and nothing else. A job's id is the array's and the index's.
    """

    prefix: str
    """How lines of a job script begin that are options to the batch system."""
    variables: tuple[str, str]
    """What a job's environment calls the array's id and its index in it."""
    ledgers: int
    """How many kinds of accounting there may be, best first; sites have one of them, or none."""
    tasks: int
    """Indices of an array go up to this, unless a site has set it otherwise."""

    def unwanted(self, words: Sequence[str]) -> bool:
        """Whether an option line of a script would keep us from submitting or following its job."""
        ...

    def own_array(self, words: Sequence[str]) -> bool:
        """Whether an option line of a script makes an array of its own."""
        ...

    def submit_command(self, array: Array) -> list[str]:
        """Submits the script that it is given on its standard input."""
        ...

    def parse_submit(self, text: str) -> str:
        """The array's id."""
        ...

    def job(self, array: str, index: int) -> str:
        """The id of one job of an array."""
        ...

    def split(self, job: str) -> tuple[str, int] | None:
        """The array and index of an id; None if it isn't one of ours."""
        ...

    def query_command(self, users: Sequence[str]) -> list[str]:
        """Lists all jobs of these users."""
        ...

    def parse_query(self, text: str) -> dict[str, Seen]:
        """{job id: what is said of it}."""
        ...

    def why_command(self, arrays: Sequence[str]) -> list[str]:
        """Asks why jobs of these arrays are hopeless; empty if the listing has said it."""
        ...

    def parse_why(self, text: str) -> dict[str, str]:
        """{job id: reason}."""
        ...

    def accounting_commands(self, jobs: Mapping[str, str], ledger: int) -> list[list[str]]:
        """Ask for these {job id: alias or ""}."""
        ...

    def named_commands(self, names: Sequence[str], ledger: int) -> list[list[str]]:
        """Ask for arrays of these names."""
        ...

    def parse_accounting(self, text: str, ledger: int) -> dict[str, Seen]:
        """{job id or alias: how it ended, or that it goes on}. Of several records of a job the last one counts."""
        ...

    def no_ledger(self, reply: Completed) -> bool:
        """Whether the site has no such accounting."""
        ...

    def cancel_commands(self, jobs: Sequence[str]) -> list[list[str]]:
        """End these; as few calls as command lines can hold."""
        ...

    def uncancelled(self, reply: Completed) -> bool:
        """Whether a cancelling call didn't reach the batch system. A job that had ended is no failure."""
        ...

    def by_hand(self, job: str) -> str:
        """The command that ends a job by hand."""
        ...

    def refusal(self, reply: Completed) -> str:
        """Why a submission was refused, for certain; empty if it can't be told."""
        ...

    def too_large(self, refusal: str) -> bool:
        """Whether it was refused only because the site's arrays are smaller."""
        ...

    def full(self, refusal: str) -> bool:
        """Whether it was refused only because there are too many jobs of ours now."""
        ...
