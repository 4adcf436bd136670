"""What the corridor asks of a batch system: submit, query, find, cancel. Plural in, mapping out.

The batch system knows nothing of states. A job is known to us by its *mark* (one attempt, unique in the world)
before the batch system has given it an id, and by that id afterwards.
"""

from __future__ import annotations

import dataclasses
import enum
import re
import types
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Protocol

from production import run as runs

if TYPE_CHECKING:
    from production.batch import witness


@dataclasses.dataclass(frozen=True, slots=True)
class Task:
    """One attempt, ready to run. All paths are absolute, and exist where said."""

    run: int
    attempt: int
    mark: str
    """``<production name>-<catalogue id>-<run>-<attempt>``; also RUN_PRODUCTION_MARK in the job's environment."""
    argv: tuple[str, ...]
    """The job script and its arguments. One that isn't executable is run by what its first line names, else by sh."""
    directory: str
    """Where it runs; exists."""
    stdout: str
    stderr: str
    ticket: str
    """Exists. The job starts, and says how it ended, only while it does."""
    witness: str
    """Doesn't exist yet. Written by the wrapper, see ``witness.py``."""
    environment: tuple[tuple[str, str], ...] = ()
    """What is set beyond the environment that the batch system gives: the manager's own here and under Slurm, the
    login's under Grid Engine."""
    scratch: tuple[str, ...] = ()
    """Directories of this attempt that the wrapper empties first (a requeued job starts over)."""
    resources: runs.Resources = runs.UNASKED
    """What a cluster is asked for; this machine gives what it has."""
    excluded: tuple[str, ...] = ()
    """Hosts that it shall not run on."""
    script: str = ""
    """The job script where we can read it, if ``argv`` names it where only the job can; empty: there."""


@dataclasses.dataclass(frozen=True, slots=True)
class Submission:
    """One call that puts attempts into the batch system under a name we chose."""

    name: str
    tasks: tuple[Task, ...]
    niceness: int = 0


@dataclasses.dataclass(frozen=True, slots=True)
class Sought:
    """An attempt whose job's id we never learned."""

    submission: str
    """Name of the submission it is in."""
    witness: str
    """Path; the submission's manifests, if the batch system needs any, lie in the same directory."""
    user: str = ""
    """Whose job it is, if it isn't ours."""


class Phase(enum.StrEnum):
    """What the batch system says of a job."""

    PENDING = "pending"
    RUNNING = "running"
    GONE = "gone"
    """Not there any more (seen to have ended)."""
    UNKNOWN = "unknown"
    """Nothing can be said from here: another host's job, a record that is late."""


@dataclasses.dataclass(frozen=True, slots=True)
class Report:
    """What is known of one job. Fields that nobody knows are None."""

    phase: Phase
    exit: int | None = None
    """Exit code of the job script; None if a signal ended it."""
    signal: int | None = None
    host: str | None = None
    cpu: float | None = None
    """Processor seconds, user and system, with all children waited for."""
    memory: int | None = None
    """Peak resident bytes of the largest process; under Grid Engine the job's peak virtual memory, which it limits."""
    reason: str = ""
    """The batch system's own words."""
    cause: runs.Cause | None = None
    """Why it ended, where the batch system itself says so."""
    held: bool = False
    """It waits until somebody lets it go."""
    began: bool = True
    """False: it is gone without having run, for all that the batch system knows; its witness would know better."""


@dataclasses.dataclass(frozen=True, slots=True)
class Belongings:
    """What one attempt has on the disk that its job sees. All paths are absolute; it is known by its ticket."""

    ticket: str
    tickets: str
    """The file that all tickets of its manager may be names of."""
    witness: str
    work: str = ""
    """Made for it alone; empty: it has none."""
    input: str = ""
    """A directory of inputs that are its alone; empty: it has none."""
    directories: tuple[str, ...] = ()
    """Made below ``work``."""
    links: tuple[tuple[str, str], ...] = ()
    """(a name below ``work``, what it leads to)."""


class Revoked(enum.Enum):
    """What became of a ticket that was to be taken back."""

    TAKEN = enum.auto()
    """A late job won't start."""
    BEGUN = enum.auto()
    """The job was faster, and can be found; it has its ticket."""
    FORBIDDEN = enum.auto()
    """It is another user's, and may not be touched."""


class Depot(Protocol):
    """The disk on which jobs find what they need and leave what they have to say.

    Plural in, mapping out: it may be another machine's. Harmless twice. Each may raise what its machine may: BatchUnasked,
    BatchUnanswered.
    """

    far: bool
    """Whether it is a disk that this machine doesn't see."""

    def make(self, directories: Collection[str]) -> None:
        """Directories that we and jobs write into are there.

        Raises: DiskFull; ProductionError: we may not work there.
        """
        ...

    def prepare(self, attempts: Sequence[Belongings]) -> Mapping[str, str]:
        """An empty work directory with all that belongs into it, and last the ticket; {ticket: what kept it from that}.

        Raises: DiskFull.
        """
        ...

    def give_tickets(self, attempts: Sequence[Belongings]) -> None:
        """They have their tickets, as far as they lacked them."""
        ...

    def revoke(self, attempts: Sequence[Belongings]) -> Mapping[str, Revoked]:
        """Take tickets back, so that late jobs don't start."""
        ...

    def begin_cancel(self, attempts: Sequence[Belongings]) -> None:
        """Intent before deed: from now on a job's failure is a cancelled job's, whoever sees it."""
        ...

    def cancel_in_vain(self, attempts: Sequence[Belongings]) -> None:
        """Their jobs survive, and may say how they end."""
        ...

    def cancelled(self, attempts: Sequence[Belongings]) -> Collection[str]:
        """The tickets of those whose jobs somebody began to cancel."""
        ...

    def witnesses(self, directory: str, names: Iterable[str]) -> Mapping[str, witness.Witness]:
        """{name: witness} of those of these files that are there."""
        ...

    def last_words(self, paths: Sequence[str]) -> Mapping[str, str]:
        """{log: its last line with something on it}, at most 200 characters; of those that have one."""
        ...

    def present(self, paths: Collection[str]) -> Collection[str]:
        """Those that are there."""
        ...

    def touchable(self, directories: Collection[str]) -> bool:
        """Whether files in all of these may be moved by us."""
        ...

    def clear(self, attempts: Sequence[Belongings]) -> Mapping[str, str]:
        """Remove all of what attempts had that are over; {path that stays: why}. Never raises."""
        ...

    def names(self, directory: str) -> Collection[str]:
        """What is in it; nothing, if it isn't there."""
        ...

    def write(self, path: str, content: bytes) -> None:
        """A small file. Raises: DiskFull; SubmitRefused: it can't be written."""
        ...

    def marks(self, paths: Collection[str]) -> Mapping[str, Sequence[str]]:
        """{manifest: the marks in it, index 1 first}, of those that are there."""
        ...

    def remove(self, paths: Collection[str]) -> Mapping[str, str]:
        """Files that nobody needs; {path that stays: why}. Never raises."""
        ...

    def fold(self, directories: Collection[str]) -> None:
        """Remove directories that nobody needs any more, as far as they are empty. Never raises."""
        ...


ANY_NUMBER = 1 << 30
"""Of tasks; there is no limit that we know of."""

NOBODYS: Mapping[str, str] = types.MappingProxyType({})
"""All jobs are our own."""


class BatchSystem(Protocol):
    """Who computes: this machine, Grid Engine, Slurm."""

    depot: Depot
    """Where its jobs' files are."""

    def submit(self, submission: Submission) -> Mapping[str, str]:
        """Start every task; {mark: job id}, without the marks that are certain not to have started.

        The caller has committed the submission's name and tasks before. At most once per mark: if it can't be
        told whether a job started, raise.

        Raises: SubmitRefused: none of the tasks became a job. BatchUnanswered: it can't be told.
        """
        ...

    def takes(self) -> int:
        """How many tasks one submission may have now; 0 while there are too many jobs of ours."""
        ...

    def full(self) -> str:
        """Why it takes none, in its words; empty if it does, or may.

        After a ``submit`` that wasn't refused, the tasks that it left out may be submitted again when this is over.
        """
        ...

    def query(self, jobs: Mapping[str, str], foreign: Mapping[str, str] = NOBODYS) -> Mapping[str, Report]:
        """One report for each {mark: job id}, asked for all at once; told again if asked again.

        ``foreign`` is {mark: Unix user} of those that another user submitted: what isn't seen of theirs may be hidden.
        To be called once a cycle, even for no jobs: this is also where what ended jobs left behind is ended. Of a job
        that is gone nothing runs any more, but what left its process group may live a second longer (see ``local``).

        Raises: BatchUnanswered: nothing is known, so nothing may change.
        """
        ...

    def find(self, sought: Mapping[str, Sought]) -> Mapping[str, str]:
        """{mark: job id} of those of these attempts that have, or had, a job.

        Raises: BatchUnanswered.
        """
        ...

    def cancel(self, jobs: Mapping[str, str]) -> None:
        """End these {mark: job id}, all in one go; returns at once. ``query`` tells when they are gone.

        ``query`` is also what turns from asking to forcing, so it has to be called until then. Jobs of another Unix
        user stay as they are.
        """
        ...

    def by_hand(self, job: str) -> str:
        """The command that ends a job by hand."""
        ...

    def close(self) -> None:
        """Let go of descriptors; jobs live on."""
        ...


MANIFEST = ".manifest"
"""What names of manifests end with; they lie beside the tickets."""

_MANIFEST = re.compile(r"(.+?)(?:\.[0-9]+)?" + re.escape(MANIFEST))


def submission_of(file: str) -> str | None:
    """The name of the submission that a file is the manifest of; None if it is none.

    It is needed as long as one of the submission's attempts is ``submitting`` or ``submitted``.
    """
    match = _MANIFEST.fullmatch(file)
    return match[1] if match else None
