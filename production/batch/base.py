"""What the corridor asks of a batch system: submit, query, find, cancel. Plural in, mapping out.

The batch system knows nothing of states. A job is known to us by its *mark* (one attempt, unique in the world)
before the batch system has given it an id, and by that id afterwards.
"""

from __future__ import annotations

import dataclasses
import enum
from collections.abc import Mapping
from typing import Protocol


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
    """What is set beyond the manager's own environment."""
    scratch: tuple[str, ...] = ()
    """Directories of this attempt that the wrapper empties first (a requeued job starts over)."""


@dataclasses.dataclass(frozen=True, slots=True)
class Submission:
    """One call that puts attempts into the batch system under a name we chose."""

    name: str
    tasks: tuple[Task, ...]
    niceness: int = 0


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
    """Peak resident bytes of the largest process."""
    reason: str = ""
    """The batch system's own words."""


class BatchSystem(Protocol):
    """Who computes: this machine, Grid Engine, Slurm."""

    def submit(self, submission: Submission) -> Mapping[str, str]:
        """Start every task; {mark: job id}, without the marks that are certain not to have started.

        The caller has committed the submission's name and tasks before. At most once per mark: if it can't be
        told whether a job started, raise.

        Raises: SubmitRefused: none of the tasks became a job. BatchUnanswered: it can't be told.
        """
        ...

    def query(self, jobs: Mapping[str, str]) -> Mapping[str, Report]:
        """One report for each {mark: job id}, asked for all at once; told again if asked again.

        To be called once a cycle, even for no jobs: this is also where what ended jobs left behind is ended. Of a job
        that is gone nothing runs any more, but what left its process group may live a second longer (see ``local``).

        Raises: BatchUnanswered: nothing is known, so nothing may change.
        """
        ...

    def find(self, tasks: Mapping[str, str]) -> Mapping[str, str]:
        """Jobs of {mark: witness path} whose ids we never learned; {mark: job id} of those there are or were."""
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
