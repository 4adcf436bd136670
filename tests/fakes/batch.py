"""A batch system without processes: jobs in a world that outlives the managers, able to lie.

A job is carried on one line of ``wrapper.sh`` at a time, so that whatever a manager does can come between two of
them. It leaves the wrapper's own witness, and what it writes says which attempt wrote it.
"""

from __future__ import annotations

import collections
import contextlib
import dataclasses
import os
from collections.abc import Mapping

from production import clock as clocks
from production import errors
from production.batch import base, depot

TEXT = "{mark} wrote this as {name}\n"

SENT, LOOKED, WITNESSED, RUNNING, GONE = "sent", "looked", "witnessed", "running", "gone"


def content(mark: str, name: str) -> bytes:
    """What a whole output of an attempt holds."""
    return TEXT.format(mark=mark, name=name).encode() * 3


@dataclasses.dataclass(eq=False)
class Job:
    """What the batch system has for an attempt."""

    id: str
    task: base.Task
    stage: str = SENT
    exit: int | None = None
    signal: int | None = None
    hidden: bool = False
    """The batch system took it, but nobody sees it yet."""
    unknown: bool = False
    """Its node doesn't answer."""
    stubborn: bool = False
    """It survives being cancelled."""
    started: float = 0.0

    @property
    def run(self) -> str:
        """Which run of which production: the mark without the attempt."""
        return self.task.mark.rpartition("-")[0]

    @property
    def outputs(self) -> list[tuple[str, str]]:
        """(name, path) of what the script was told to write: arguments such as ``tree=/data/…``."""
        pairs = [argument.partition("=") for argument in self.task.argv if "=" in argument]
        return [(name, path) for name, _, path in pairs if name != "input"]

    @property
    def input(self) -> str:
        return next((word.removeprefix("input=") for word in self.task.argv if word.startswith("input=")), "")


class World:
    """The cluster: all jobs there are or were. It goes on while managers come and go."""

    def __init__(self, clock: clocks.Clock) -> None:
        self.clock = clock
        self.jobs: list[Job] = []
        self.bodies: collections.Counter[str] = collections.Counter()
        """{mark: how often its script was started}."""
        self.lies: dict[str, str] = {}
        """{call: how its next one goes wrong}."""
        self.faults: list[str] = []
        """What must never happen, and did."""
        self.starved: list[str] = []
        """Inputs that were not there when a script began: only those may be that somebody put aside."""
        self.given_up: set[str] = set()
        """Marks of jobs whose node doesn't answer: their time may run out while they live."""

    def living(self) -> list[Job]:
        return [job for job in self.jobs if job.stage != GONE]

    def running(self) -> list[Job]:
        return [job for job in self.jobs if job.stage == RUNNING]

    def add(self, task: base.Task, *, hidden: bool = False) -> Job:
        job = Job(f"job{len(self.jobs) + 1}", task, hidden=hidden)
        self.jobs.append(job)
        return job

    def go_on(self, job: Job) -> None:
        """The next thing that the wrapper does before the script."""
        if job.stage == SENT:
            self._look(job)
        elif job.stage == LOOKED:
            self._write_witness(job)
        elif job.stage == WITNESSED:
            self._begin(job)

    def _look(self, job: Job) -> None:
        # the shell opens the logs before anything else, as Grid Engine and Slurm do
        for log in (job.task.stdout, job.task.stderr):
            with contextlib.suppress(OSError), open(log, "a", encoding="utf-8"):
                pass
        job.stage = LOOKED
        if not os.path.exists(job.task.ticket):
            self._gone(job, 75)

    def _write_witness(self, job: Job) -> None:
        job.started = self.clock.boottime()
        number = int(job.id.removeprefix("job"))
        try:
            with open(job.task.witness, "x", encoding="utf-8") as witness:
                witness.write(f"start node{number % 3} boot {number} {number} {job.started:.2f}\n")
        except OSError:
            self._gone(job, 75)
        else:
            job.stage = WITNESSED

    def _begin(self, job: Job) -> None:
        try:
            open(job.task.ticket, encoding="utf-8").close()
        except OSError:
            self._append(job, "revoked\n")
            self._gone(job, 75)
            return
        self._see_that_it_may(job)
        self.bodies[job.task.mark] += 1
        job.stage = RUNNING

    def _see_that_it_may(self, job: Job) -> None:
        paths = {path for _, path in job.outputs}
        if self.bodies[job.task.mark]:
            self.faults.append(f"{job.task.mark} is run twice")
        for other in self.running():
            if other.task.mark in self.given_up:
                continue
            if other.run == job.run:
                self.faults.append(f"{job.task.mark} starts while {other.task.mark} is running")
            elif paths & {path for _, path in other.outputs}:
                self.faults.append(f"{job.task.mark} writes where {other.task.mark} is writing")
        if job.input and not os.path.exists(job.input):
            self.starved.append(job.input)
        if not os.path.isdir(job.task.directory):
            self.faults.append(f"{job.task.mark} has no directory {job.task.directory}")

    def end(self, job: Job, status: int, outputs: str = "whole") -> None:
        """The script ends; ``outputs``: whole, short (cut), or missing."""
        for name, path in job.outputs:
            text = content(job.task.mark, name)
            with contextlib.suppress(OSError):
                if outputs == "whole":
                    _write(path, text)
                elif outputs == "short":
                    _write(path, text[:5])
        with contextlib.suppress(OSError), open(job.task.stderr, "a", encoding="utf-8") as log:
            log.write(f"{job.task.mark} ends with {status}\n")
        if not os.path.exists(job.task.ticket):
            self._gone(job, 75)
            return
        self._append(job, f"0m0.00s 0m0.01s\n0m1.25s 0m0.50s\nend {status} {self.clock.boottime():.2f}\n")
        if status > 128:
            job.signal = status - 128
            self._gone(job, None)
        else:
            self._gone(job, status)

    def kill(self, job: Job) -> None:
        """Without a word, and perhaps in the middle of a line."""
        if job.stage == RUNNING:
            self._append(job, "0m0.00s 0m0.0")
        job.signal = 9
        self._gone(job, None)

    def _append(self, job: Job, text: str) -> None:
        # "x" made it; it may have been taken away meanwhile, and sh's >> makes it anew
        with contextlib.suppress(OSError), open(job.task.witness, "a", encoding="utf-8") as witness:
            witness.write(text)

    def _gone(self, job: Job, status: int | None) -> None:
        job.exit = status
        job.stage = GONE


def _write(path: str, text: bytes) -> None:
    with open(path, "wb") as file:
        file.write(text)


class FakeBatch:
    """One manager's view of the world."""

    def __init__(self, world: World) -> None:
        self.depot = depot.Here()
        self._world = world
        self._full = ""

    def takes(self) -> int:
        """None after a submission that was one too many; when it is asked the next time it takes them again."""
        full, self._full = self._full, ""
        return 0 if full else base.ANY_NUMBER

    def full(self) -> str:
        return self._full

    def submit(self, submission: base.Submission) -> Mapping[str, str]:
        lie = self._world.lies.pop("submit", "")
        if lie == "refused":
            raise errors.SubmitRefused("no more jobs for you")
        if lie == "before":
            raise errors.BatchUnanswered("connection refused")
        if lie in ("full", "nearly full"):
            self._full = "only 2 jobs are allowed per user"
        started = {}
        for number, task in enumerate(submission.tasks):
            if (lie == "partial" and number % 2 == 0) or (lie in ("half", "nearly full") and number) or lie == "full":
                continue
            job = self._world.add(task, hidden=lie == "late")
            started[task.mark] = job.id
        if lie in ("after", "half", "late"):
            raise errors.BatchUnanswered("connection lost")
        return started

    def query(self, jobs: Mapping[str, str], foreign: Mapping[str, str] = base.NOBODYS) -> Mapping[str, base.Report]:
        if self._world.lies.pop("query", ""):
            raise errors.BatchUnanswered("slurm_load_jobs error: Unable to contact slurm controller")
        there = {job.id: job for job in self._world.jobs}
        return {mark: self._report(there.get(id)) for mark, id in jobs.items()}

    def _report(self, job: Job | None) -> base.Report:
        if job is None or job.unknown:
            return base.Report(base.Phase.UNKNOWN)
        if job.stage == GONE:
            return base.Report(base.Phase.GONE, job.exit, job.signal)
        return base.Report(base.Phase.PENDING if job.stage == SENT else base.Phase.RUNNING)

    def find(self, sought: Mapping[str, base.Sought]) -> Mapping[str, str]:
        if self._world.lies.pop("find", ""):
            raise errors.BatchUnanswered("qstat: timed out")
        return {
            job.task.mark: job.id
            for job in self._world.jobs
            if job.task.mark in sought
            and (os.path.exists(sought[job.task.mark].witness) or (job.stage != GONE and not job.hidden))
        }

    def cancel(self, jobs: Mapping[str, str]) -> None:
        if self._world.lies.pop("cancel", ""):
            raise errors.BatchUnanswered("qdel: timed out")
        for job in self._world.living():
            if jobs.get(job.task.mark) == job.id and not job.stubborn and not job.unknown:
                self._world.kill(job)

    def by_hand(self, job: str) -> str:
        return f"qdel {job}"

    def close(self) -> None:
        """Nothing is kept open."""
