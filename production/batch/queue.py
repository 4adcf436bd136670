"""A cluster as a batch system: whatever its scheduler, by its dialect; wherever its commands are, by its shell.

In comes a submission, out go array jobs and what became of them. A submission costs a call for each set of needs in it,
however many runs it has; following costs one listing a poll for all jobs, and one look into the accounting for those
that have left it. What was seen is told until the next poll.

A job's id says its array and index, so another manager can follow it. What only we know is of no weight: when we are
killed, the next manager sees the same.
"""

from __future__ import annotations

import contextlib
import dataclasses
import itertools
import math
import os
import random
from collections.abc import Collection, Iterable, Mapping, Sequence

from production import clock, errors
from production import run as runs
from production.batch import array, base
from production.batch import witness as witness_

ARRAYS = 10
"""Arrays that the accounting is asked about in one poll; Grid Engine reads its whole file for each."""
SLOWEST = 8
"""Back-off goes up to so many polls."""
HURRY = 0.5
"""Seconds to the first look after jobs were cancelled; each further one waits twice as long."""

_Needs = tuple[tuple[str, ...], object, tuple[str, ...]]


_LOST = base.Report(
    base.Phase.GONE, reason="it left the queue, and no accounting knows of it", cause=runs.Cause.LOST
)  # fmt: skip
_NEVER_BEGAN = base.Report(
    base.Phase.GONE, reason="it left the queue before it began: deleted", cause=runs.Cause.CANCELLED, began=False
)


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


@dataclasses.dataclass(slots=True, eq=False)
class _Job:
    """What we know of one job; changed as more is seen."""

    id: str
    report: base.Report
    alias: str = ""
    asked: bool = False
    """Somebody has asked for it."""
    foreign: bool = False
    """Another user's: a site may hide it from us, so only if we have seen it we can see it gone."""
    absent: float | None = None
    """When a listing first lacked it."""
    waited: bool | None = None
    """Whether it hadn't begun when it was last listed; None: it never was."""
    ask_at: float = -math.inf
    """When the accounting is asked (again)."""
    pause: float = 0.0
    settled: bool = False
    """Nothing more will be known."""
    cancelled: bool = False
    looks: int = 0
    """Listings in a row that say that it is hopeless."""
    why: str = ""
    """Why it was deleted by us."""

    @property
    def gone(self) -> bool:
        return self.report.phase is base.Phase.GONE


class Queue:
    """The BatchSystem of a cluster. Called from one thread; jobs of other users and names don't matter."""

    def __init__(
        self,
        dialect: base.Dialect,
        shell: base.Shell,
        user: str,
        ticking: clock.Clock,
        policy: Policy | None = None,
    ) -> None:
        """``user`` is the Unix user whose jobs ours are."""
        self._dialect = dialect
        self._shell = shell
        self._user = user
        self._clock = ticking
        self._policy = policy or Policy()
        self._users = {user}
        """Whose jobs are listed."""
        self._jobs: dict[str, _Job] = {}
        self._listing: dict[str, base.Seen] = {}
        self._next = -math.inf
        """When the next listing is due."""
        self._trouble = ""
        """Why the last listing failed."""
        self._failures = 0
        self._hurry = 0.0
        self._manifests: dict[str, str] = {}
        """{id of an array: its manifest}, of our own submissions."""
        self._ledger = 0
        """Which accounting the site has, as far as we have found out."""
        self._full = ""
        """Why the last submission was refused, if there were only too many jobs."""
        self._full_until = -math.inf
        self._most = dialect.tasks if self._policy.tasks is None else self._policy.tasks
        """Indices of the next arrays: fewer, where the site lets no more in."""
        self._sought: dict[str, float] = {}
        """{name of an array: when the accounting was last asked for it}."""

    # --- submit ---------------------------------------------------------------------------------------------------

    def submit(self, submission: base.Submission) -> dict[str, str]:
        started: dict[str, str] = {}
        refusals: list[str] = []
        lines = self._lines(submission.tasks, refusals)
        for number, (options, tasks) in enumerate(self._groups(submission, lines), 1):
            first = tasks[0]
            name = array.name(submission.name, number)
            manifest = os.path.join(os.path.dirname(first.ticket), name + base.MANIFEST)
            asked = base.Array(name, len(tasks), first.resources, first.excluded, submission.niceness)
            try:
                array.write(manifest, (lines[task.mark] for task in tasks))
                job = self._submit_anywhere(asked, array.script(manifest, options, self._dialect))
            except errors.SubmitRefused as refused:
                with contextlib.suppress(OSError):
                    os.unlink(manifest)
                if self.full():
                    self._most = max(1, len(tasks) // 2)  # half of it may fit
                    break
                refusals.append(str(refused))
                continue
            self._manifests[job] = manifest
            if len(tasks) == self._most:
                self._most = min(2 * self._most, self._policy.tasks or self._dialect.tasks)
            started |= {task.mark: self._dialect.job(job, index) for index, task in enumerate(tasks, 1)}
        if refusals and not started and not self.full():
            raise errors.SubmitRefused(f"no job was started: {refusals[0]}")
        for id in started.values():
            self._jobs[id] = _Job(id, base.Report(base.Phase.PENDING))
        return started

    def full(self) -> str:
        return self._full if self._clock.boottime() < self._full_until else ""

    def _submit_anywhere(self, asked: base.Array, script: bytes) -> str:
        """The array's id. If hosts can't be avoided, because there are no others, they aren't."""
        try:
            return self._submit(asked, script)
        except errors.SubmitRefused:
            if not asked.excluded or self.full():
                raise
        return self._submit(dataclasses.replace(asked, excluded=()), script)

    def _submit(self, asked: base.Array, script: bytes) -> str:
        """The array's id."""
        command = self._dialect.submit_command(asked)
        reply = self._shell.run(command, input=script, timeout=self._policy.timeout)
        if reply.returncode == 0:
            return self._dialect.parse_submit(reply.stdout)
        refusal = self._dialect.refusal(reply)
        if not refusal:
            raise errors.BatchUnanswered(_problem(command, reply))
        if self._dialect.full(refusal):
            self._full, self._full_until = f"{command[0]}: {refusal}", self._clock.boottime() + self._policy.poll
        raise errors.SubmitRefused(f"{command[0]}: {refusal}")

    def _lines(self, tasks: Iterable[base.Task], refusals: list[str]) -> dict[str, str]:
        """{mark: line of the manifest} of the tasks that can be run."""
        lines: dict[str, str] = {}
        directories: dict[str, bool] = {}
        for task in tasks:
            try:
                for log in (task.stdout, task.stderr):
                    where = os.path.dirname(log)
                    if not directories.setdefault(where, os.path.isdir(where)):
                        raise errors.SubmitRefused(
                            f"run {task.run}: its log {log} can't be written: make its directory"
                        )
                lines[task.mark] = array.line(task)
            except errors.SubmitRefused as refused:
                refusals.append(str(refused))
        return lines

    def _groups(
        self, submission: base.Submission, lines: Collection[str]
    ) -> Iterable[tuple[tuple[str, ...], Sequence[base.Task]]]:
        """Options of their script, and tasks, of each array: what needs the same goes together, as many as may."""
        groups: dict[_Needs, list[base.Task]] = {}
        options: dict[str, tuple[str, ...]] = {}
        for task in submission.tasks:
            if task.mark in lines:
                script = task.argv[0]
                if script not in options:
                    options[script] = array.options_of(script, self._dialect)
                groups.setdefault((options[script], task.resources, task.excluded), []).append(task)
        for (wanted, _, _), tasks in groups.items():
            left = tasks
            while left:
                most = self._most
                yield wanted, left[:most]
                left = left[most:]

    # --- query ----------------------------------------------------------------------------------------------------

    def query(self, jobs: Mapping[str, str], foreign: Mapping[str, str] = base.NOBODYS) -> dict[str, base.Report]:
        asked = set(jobs.values())
        self._users = {self._user, *foreign.values()}
        self._forget([id for id, job in self._jobs.items() if job.asked and id not in asked])
        for id in asked:
            self._job(id).asked = True
        for mark in foreign:
            self._jobs[jobs[mark]].foreign = True
        if any(not self._jobs[id].settled for id in asked):
            self._look()
        return {mark: self._jobs[id].report for mark, id in jobs.items()}

    def _forget(self, ids: Collection[str]) -> None:
        """Whoever asks no more has written down what became of them."""
        if not ids:
            return
        for id in ids:
            del self._jobs[id]
        arrays = {split[0] for split in map(self._dialect.split, self._jobs) if split}
        for over in self._manifests.keys() - arrays:
            with contextlib.suppress(OSError):
                os.unlink(self._manifests.pop(over))

    def _job(self, id: str) -> _Job:
        job = self._jobs.get(id)
        if job is None:
            job = self._jobs[id] = _Job(id, base.Report(base.Phase.UNKNOWN))
            if self._dialect.split(id) is None:
                job.report, job.settled = base.Report(base.Phase.UNKNOWN, reason=f"{id!r} is no id of its jobs"), True
            elif id in self._listing:
                self._see(job, self._clock.boottime())
        return job

    def _look(self) -> None:
        """One listing for everything, if it is time.

        Raises: BatchUnanswered; also as long as the last one failed, and it isn't time for the next.
        """
        began = self._clock.boottime()
        if began < self._next:
            if self._trouble:
                raise errors.BatchUnanswered(self._trouble)
            return
        try:
            self._listing = self._list()
        except errors.BatchUnanswered as trouble:
            self._failures += 1
            self._trouble = str(trouble)
            self._rest(began, self._policy.poll * min(SLOWEST, 2**self._failures))
            raise
        self._failures, self._trouble = 0, ""
        for job in self._jobs.values():
            self._see(job, began)
        self._ask_accounting(began)
        self._give_up(began)
        self._delete_hopeless()
        self._rest(began, self._pause())

    def _list(self) -> dict[str, base.Seen]:
        command = self._dialect.query_command(sorted(self._users))
        reply = self._shell.run(command, timeout=self._policy.timeout)
        # Whoever says nothing but an error has no empty queue: squeue ends with 0 if it doesn't know the user.
        if reply.returncode != 0 or ("error" in reply.stderr.lower() and not reply.stdout.strip()):
            raise errors.BatchUnanswered(_problem(command, reply))
        return self._dialect.parse_query(reply.stdout)

    def _pause(self) -> float:
        if not self._hurry:
            return self._policy.poll
        pause, self._hurry = self._hurry, self._hurry * 2
        if self._hurry >= self._policy.poll:
            self._hurry = 0.0
        return min(pause, self._policy.poll)

    def _rest(self, began: float, seconds: float) -> None:
        now = self._clock.boottime()
        share = min(self._policy.share * (now - began), SLOWEST * self._policy.poll)
        # so that a hundred managers that were started together don't ask together
        self._next = now + max(seconds, share) * random.uniform(0.9, 1.1)  # noqa: S311

    def _see(self, job: _Job, now: float) -> None:
        """What the listing says of a job."""
        seen = self._listing.get(job.id)
        if job.settled and (seen is None or seen.report.phase is base.Phase.GONE):
            return
        if seen is None:
            if job.absent is None:
                job.absent, job.ask_at, job.pause = now, now, self._policy.poll
            if not job.gone:
                job.report = base.Report(base.Phase.UNKNOWN, host=job.report.host, reason="it isn't listed any more")
            return
        job.absent, job.settled, job.report, job.alias = None, False, seen.report, seen.alias
        job.waited = seen.report.phase is base.Phase.PENDING
        job.looks = job.looks + 1 if seen.hopeless else 0
        if job.gone:
            job.ask_at = now

    def _ask_accounting(self, now: float) -> None:
        """What ended, and what isn't listed: how that was."""
        due = sorted(
            (job for job in self._jobs.values() if not job.settled and job.ask_at <= now and (job.gone or job.absent)),
            key=lambda job: job.ask_at,
        )
        arrays = {job.id: (self._dialect.split(job.id) or ("",))[0] for job in due}
        now_asked = set(itertools.islice(dict.fromkeys(arrays.values()), ARRAYS))
        due = [job for job in due if arrays[job.id] in now_asked]
        if not due:
            return
        found = self._accounting({job.id: job.alias for job in due})
        for job in due:
            seen = found.get(job.id) or found.get(job.alias)
            job.ask_at, job.pause = now + job.pause, min(2 * job.pause, SLOWEST * self._policy.poll)
            if seen is not None and seen.report.phase is base.Phase.GONE:
                job.report, job.settled = _merged(job, seen.report), True
            elif job.gone:
                job.settled = True  # the listing has said enough
            elif seen is not None and seen.report.phase is not base.Phase.UNKNOWN:
                job.report, job.absent = seen.report, now  # it isn't over, whoever doesn't list it

    def _accounting(self, jobs: Mapping[str, str]) -> dict[str, base.Seen]:
        """What the accounting says of {job id: alias}; nothing if it can't be asked."""
        while self._ledger < self._dialect.ledgers:
            ledger = self._ledger
            found = self._read_ledger(self._dialect.accounting_commands(jobs, ledger))
            if self._ledger == ledger:
                return found
        return {}

    def _read_ledger(self, commands: Iterable[Sequence[str]]) -> dict[str, base.Seen]:
        """What these commands say. One that fails is no answer: the accounting lags anyway."""
        found: dict[str, base.Seen] = {}
        for command in commands:
            with contextlib.suppress(errors.BatchUnanswered):
                reply = self._shell.run(command, timeout=self._policy.timeout)
                if self._dialect.no_ledger(reply):
                    self._ledger += 1
                    return {}
                if reply.returncode == 0:
                    found |= self._dialect.parse_accounting(reply.stdout, self._ledger)
        return found

    def _give_up(self, now: float) -> None:
        """Jobs that nobody will say anything of any more."""
        for job in self._jobs.values():
            if job.settled or job.absent is None or job.ask_at <= now or (job.foreign and job.waited is None):
                continue
            if job.why:
                job.report = base.Report(base.Phase.GONE, reason=job.why, cause=runs.Cause.LAUNCH)
            elif job.cancelled:
                job.report = base.Report(base.Phase.GONE, reason="cancelled", cause=runs.Cause.CANCELLED)
            elif job.waited is not False and (rest := self._rest_of(job.id)) is not None:
                job.report = dataclasses.replace(rest, began=False)
            elif now - job.absent >= self._policy.grace:
                job.report = _NEVER_BEGAN if job.waited else _LOST
            job.settled = job.gone

    def _rest_of(self, id: str) -> base.Report | None:
        """How the jobs of its array ended that hadn't begun, where the scheduler has one record for all of them."""
        split = self._dialect.split(id)
        seen = self._listing.get(split[0]) if split else None
        return seen.report if seen is not None and seen.report.phase is base.Phase.GONE else None

    def _delete_hopeless(self) -> None:
        """Jobs that wait for what will never be; their reason is kept."""
        hopeless = [
            job
            for job in self._jobs.values()
            if (seen := self._listing.get(job.id)) and seen.hopeless and job.looks >= seen.hopeless
        ]
        if not hopeless:
            return
        unknown = {split[0] for job in hopeless if not job.why and (split := self._dialect.split(job.id))}
        reasons: dict[str, str] = {}
        command = self._dialect.why_command(sorted(unknown)[:ARRAYS]) if unknown else []
        if command:
            with contextlib.suppress(errors.BatchUnanswered):
                reasons = self._dialect.parse_why(self._shell.run(command, timeout=self._policy.timeout).stdout)
        for job in hopeless:
            job.why = job.why or reasons.get(job.id) or f"it would never start: {job.report.reason}"
        with contextlib.suppress(errors.BatchUnanswered):  # it is still there then, and tried again
            self._cancel([job.id for job in hopeless])

    # --- find, cancel, close --------------------------------------------------------------------------------------

    def find(self, sought: Mapping[str, base.Sought]) -> dict[str, str]:
        found: dict[str, str] = {}
        wanted: dict[str, list[str]] = {}
        for directory in {os.path.dirname(each.witness) for each in sought.values()}:
            here = {mark: each for mark, each in sought.items() if os.path.dirname(each.witness) == directory}
            names = {os.path.basename(each.witness): mark for mark, each in here.items()}
            for file, seen in witness_.read_directory(directory, names).items():
                if seen.job and self._dialect.split(seen.job):
                    found[names[file]] = seen.job
            manifests = array.of_submissions(directory, {each.submission for each in here.values()})
            wanted |= {name: array.marks(path) for name, path in manifests.items()}
        missing = sought.keys() - found
        wanted = {name: marks for name, marks in wanted.items() if not missing.isdisjoint(marks)}
        if wanted:
            self._users |= {each.user for each in sought.values() if each.user}
            self._look()
            found |= self._named(wanted, self._listing, missing)
        wanted = {name: marks for name, marks in wanted.items() if not (missing - found.keys()).isdisjoint(marks)}
        if wanted:
            found |= self._named(wanted, self._ask_for_names(list(wanted)), missing - found.keys())
        return found

    def _named(
        self, wanted: Mapping[str, Sequence[str]], seen: Mapping[str, base.Seen], missing: Collection[str]
    ) -> dict[str, str]:
        """{mark: job id} of the jobs of arrays of these names; ``wanted`` is {name: marks}."""
        found = {}
        for id, one in seen.items():
            split, marks = self._dialect.split(id), wanted.get(one.name, ())
            if split and 0 < split[1] <= len(marks) and marks[split[1] - 1] in missing:
                found[marks[split[1] - 1]] = id
        return found

    def _ask_for_names(self, names: Sequence[str]) -> dict[str, base.Seen]:
        """What the accounting says of arrays of these names, none asked for more than once a poll."""
        now = self._clock.boottime()
        due = [name for name in names if now - self._sought.get(name, -math.inf) >= self._policy.poll][:ARRAYS]
        self._sought = {name: when for name, when in self._sought.items() if name in names} | dict.fromkeys(due, now)
        while due and self._ledger < self._dialect.ledgers:
            ledger = self._ledger
            found = self._read_ledger(self._dialect.named_commands(due, ledger))
            if self._ledger == ledger:
                return found
        return {}

    def cancel(self, jobs: Mapping[str, str]) -> None:
        known = [self._job(id) for id in jobs.values()]
        living = [job for job in known if not job.gone]
        self._cancel([job.id for job in living])
        for job in living:
            job.cancelled = True
        if living:
            self._hurry = min(HURRY, self._policy.poll)
            self._next = min(self._next, self._clock.boottime() + self._hurry)

    def _cancel(self, ids: Sequence[str]) -> None:
        """Raises: BatchUnanswered: at least one of the calls didn't arrive."""
        trouble = ""
        for command in self._dialect.cancel_commands(ids):
            try:
                reply = self._shell.run(command, timeout=self._policy.timeout)
                trouble = _problem(command, reply) if self._dialect.uncancelled(reply) else trouble
            except errors.BatchUnanswered as cause:
                trouble = str(cause)
        if trouble:
            raise errors.BatchUnanswered(trouble)

    def by_hand(self, job: str) -> str:
        return self._dialect.by_hand(job)

    def close(self) -> None:
        self._forget([id for id, job in self._jobs.items() if job.gone])
        self._shell.close()


def _merged(job: _Job, accounted: base.Report) -> base.Report:
    """The accounting's words over the listing's, and what only we know."""
    listed = job.report
    cause, reason = accounted.cause or listed.cause, accounted.reason or listed.reason
    if job.why:
        cause, reason = runs.Cause.LAUNCH, job.why
    elif cause is None and job.cancelled and accounted.exit != 0:
        cause, reason = runs.Cause.CANCELLED, reason or "cancelled"
    return dataclasses.replace(accounted, host=accounted.host or listed.host, cause=cause, reason=reason)


def _problem(command: Sequence[str], reply: base.Completed) -> str:
    """What a client said when it failed, in one line."""
    lines = [line.strip() for line in (reply.stderr or reply.stdout).splitlines() if line.strip()]
    told = lines[-1].removeprefix(f"{command[0]}: ").removeprefix("error: ")[:300] if lines else ""
    return f"{command[0]}: {told}" if told else f"{command[0]}: exit {reply.returncode}"
