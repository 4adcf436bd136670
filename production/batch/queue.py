"""A cluster as a batch system: whatever its scheduler, by its dialect; wherever its commands are, by its shell.

In comes a submission, out go array jobs and what became of them. A submission costs a call for each set of needs in it,
however many runs it has; following costs one listing a poll for all jobs, and one look into the accounting for those
that have left it. What was seen is told until the next poll.

A job's id says its array and index, so another manager can follow it. What only we know is of no weight: when we are
killed, the next manager sees the same.
"""

from __future__ import annotations

import dataclasses
import math
import os
from collections.abc import Collection, Iterable, Mapping, Sequence

from production import clock, errors
from production.batch import array, base, client, scheduler, watch
from production.batch import depot as depots

_Needs = tuple[tuple[str, ...], object, tuple[str, ...]]


@dataclasses.dataclass(frozen=True, slots=True)
class _Line:
    """What is sent of a task."""

    text: str
    """Its line of the manifest."""
    options: tuple[str, ...]
    """Of its script."""


class Queue:
    """The BatchSystem of a cluster. Called from one thread; jobs of other users and names don't matter."""

    def __init__(
        self,
        dialect: scheduler.Dialect,
        shell: scheduler.Shell,
        user: str,
        ticking: clock.Clock,
        policy: scheduler.Policy | None = None,
        *,
        typed: str = "",
        depot: base.Depot | None = None,
    ) -> None:
        """``user`` is the Unix user whose jobs ours are; ``typed`` is what people type before a command, ``ssh login ``.

        ``depot``: where the jobs' files are, if not on a disk that is ours, too.
        """
        self._dialect = dialect
        self.depot: base.Depot = depot or depots.Here()
        self._typed = typed
        self._clock = ticking
        self._policy = policy or scheduler.Policy()
        self._client = client.Client(dialect, shell, self._policy.timeout)
        self._watch = watch.Watch(dialect, self._client, user, ticking, self._policy)
        self._manifests: dict[str, str] = {}
        """{id of an array: its manifest}, of our own submissions."""
        self._full = ""
        """Why the last submission was refused, if there were only too many jobs, or nobody to be asked."""
        self._full_until = -math.inf
        self._refused = 0
        """So many times in a row."""
        self._limit = dialect.tasks if self._policy.tasks is None else self._policy.tasks
        self._most = self._limit
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
            asked = scheduler.Array(name, len(tasks), first.resources, first.excluded, submission.niceness)
            try:
                self._write(manifest, array.manifest(lines[task.mark].text for task in tasks))
                job = self._submit_anywhere(asked, array.script(manifest, options, self._dialect))
            except errors.SubmitRefused as refused:
                self.depot.remove([manifest])
                if self.full():
                    break
                refusals.append(str(refused))
                continue
            self._manifests[job] = manifest
            if len(tasks) == self._most:
                self._most = min(2 * self._most, self._limit)
            started |= {task.mark: self._dialect.job(job, index) for index, task in enumerate(tasks, 1)}
        if refusals and not started and not self.full():
            raise errors.SubmitRefused(f"no job was started: {refusals[0]}")
        self._watch.begin(started.values())
        return started

    def takes(self) -> int:
        if self.full():
            return 0
        return self._most if self._most < self._limit else base.ANY_NUMBER

    def full(self) -> str:
        return self._full if self._clock.boottime() < self._full_until else ""

    def _write(self, manifest: str, content: bytes) -> None:
        """Raises: SubmitRefused. Whatever happens here, no job was asked for yet."""
        try:
            self.depot.write(manifest, content)
        except (errors.BatchUnanswered, errors.DiskFull) as trouble:
            self._put_off(trouble)
            raise errors.SubmitRefused(str(trouble)) from trouble

    def _put_off(self, why: errors.ProductionError) -> None:
        """Until the next poll."""
        self._full, self._full_until = str(why), self._clock.boottime() + self._policy.poll

    def _submit_anywhere(self, asked: scheduler.Array, script: bytes) -> str:
        """The array's id. If hosts can't be avoided, because there are no others, they aren't."""
        try:
            return self._submit(asked, script)
        except errors.SubmitRefused:
            if not asked.excluded or self.full():
                raise
        return self._submit(dataclasses.replace(asked, excluded=()), script)

    def _submit(self, asked: scheduler.Array, script: bytes) -> str:
        """The array's id; if there are too many jobs, that is remembered for a poll, or for more and more.

        So is, for a poll, that nobody can be asked: it is certain that there is no job.
        """
        try:
            job = self._client.submit(asked, script)
        except errors.BatchUnasked as away:
            self._put_off(away)
            raise errors.SubmitRefused(str(away)) from away
        except errors.BatchError as trouble:
            if self._dialect.full(str(trouble)) or (asked.size > 1 and self._dialect.too_large(str(trouble))):
                self._send_less(asked.size, str(trouble))
            raise
        self._refused = 0
        return job

    def _send_less(self, size: int, why: str) -> None:
        """Half of it may fit, and later more; where arrays have to be smaller, not more."""
        pause = self._policy.poll * min(scheduler.SLOWEST, 2**self._refused)
        self._full, self._full_until = why, self._clock.boottime() + pause
        self._most = max(1, size // 2)
        if self._dialect.too_large(why):
            self._limit = self._most
        else:
            self._refused += 1

    def _lines(self, tasks: Sequence[base.Task], refusals: list[str]) -> dict[str, _Line]:
        """{mark: what is sent of it} of the tasks that can be run; of none, if nobody can say now what is there."""
        lines: dict[str, _Line] = {}
        try:
            there = self.depot.present({os.path.dirname(log) for task in tasks for log in (task.stdout, task.stderr)})
        except errors.BatchUnanswered as trouble:
            self._put_off(trouble)
            return lines
        options: dict[str, tuple[str, ...]] = {}
        for task in tasks:
            try:
                for log in (task.stdout, task.stderr):
                    if os.path.dirname(log) not in there:
                        raise errors.SubmitRefused(
                            f"run {task.run}: its log {log} can't be written: make its directory"
                        )
                script = task.script or task.argv[0]
                if script not in options:
                    options[script] = array.options_of(script, self._dialect)
                lines[task.mark] = _Line(array.line(task), options[script])
            except errors.SubmitRefused as refused:
                refusals.append(str(refused))
        return lines

    def _groups(
        self, submission: base.Submission, lines: Mapping[str, _Line]
    ) -> Iterable[tuple[tuple[str, ...], Sequence[base.Task]]]:
        """Options of their script, and tasks, of each array: what needs the same goes together, as many as may."""
        groups: dict[_Needs, list[base.Task]] = {}
        for task in submission.tasks:
            if task.mark in lines:
                groups.setdefault((lines[task.mark].options, task.resources, task.excluded), []).append(task)
        for (wanted, _, _), tasks in groups.items():
            left = tasks
            while left:
                most = self._most
                yield wanted, left[:most]
                left = left[most:]

    # --- query, find, cancel, close -------------------------------------------------------------------------------

    def query(self, jobs: Mapping[str, str], foreign: Mapping[str, str] = base.NOBODYS) -> dict[str, base.Report]:
        reports = self._watch.reports(set(jobs.values()), {jobs[mark]: user for mark, user in foreign.items()})
        self._remove_manifests()
        return {mark: reports[id] for mark, id in jobs.items()}

    def _remove_manifests(self) -> None:
        """Of arrays whose jobs are all gone: nobody will look for them by name."""
        over = self._manifests.keys() - self._watch.arrays()
        if over:
            self.depot.remove([self._manifests.pop(one) for one in over])

    def find(self, sought: Mapping[str, base.Sought]) -> dict[str, str]:
        found: dict[str, str] = {}
        wanted: dict[str, Sequence[str]] = {}
        for directory in {os.path.dirname(each.witness) for each in sought.values()}:
            here = {mark: each for mark, each in sought.items() if os.path.dirname(each.witness) == directory}
            names = {os.path.basename(each.witness): mark for mark, each in here.items()}
            for file, seen in self.depot.witnesses(directory, names).items():
                if seen.job and self._dialect.split(seen.job):
                    found[names[file]] = seen.job
            wanted |= self._marks(directory, {each.submission for each in here.values()})
        missing = sought.keys() - found
        wanted = {name: marks for name, marks in wanted.items() if not missing.isdisjoint(marks)}
        if wanted:
            listing = self._watch.listing({each.user for each in sought.values() if each.user})
            found |= self._named(wanted, listing, missing)
        wanted = {name: marks for name, marks in wanted.items() if not (missing - found.keys()).isdisjoint(marks)}
        if wanted:
            found |= self._named(wanted, self._ask_for_names(list(wanted)), missing - found.keys())
        return found

    def _marks(self, directory: str, submissions: Collection[str]) -> dict[str, Sequence[str]]:
        """{name of an array: its marks} of these submissions, as far as their manifests are there."""
        names = [name for name in self.depot.names(directory) if base.submission_of(name) in submissions]
        paths = {os.path.join(directory, name): name.removesuffix(base.MANIFEST) for name in names}
        return {paths[path]: marks for path, marks in (self.depot.marks(paths) if paths else {}).items()}

    def _named(
        self, wanted: Mapping[str, Sequence[str]], seen: Mapping[str, scheduler.Seen], missing: Collection[str]
    ) -> dict[str, str]:
        """{mark: job id} of the jobs of arrays of these names; ``wanted`` is {name: marks}."""
        found = {}
        for id, one in seen.items():
            split, marks = self._dialect.split(id), wanted.get(one.name, ())
            if split and 0 < split[1] <= len(marks) and marks[split[1] - 1] in missing:
                found[marks[split[1] - 1]] = id
        return found

    def _ask_for_names(self, names: Sequence[str]) -> dict[str, scheduler.Seen]:
        """What the accounting says of arrays of these names, none asked for more than once a poll."""
        now = self._clock.boottime()
        due = [name for name in names if now - self._sought.get(name, -math.inf) >= self._policy.poll][
            : scheduler.ARRAYS
        ]
        self._sought = {name: when for name, when in self._sought.items() if name in names} | dict.fromkeys(due, now)
        return self._client.named(due) if due else {}

    def cancel(self, jobs: Mapping[str, str]) -> None:
        self._watch.cancel(jobs.values())

    def by_hand(self, job: str) -> str:
        return self._typed + self._dialect.by_hand(job)

    def close(self) -> None:
        self._remove_manifests()
        self._client.close()
