"""This machine as a batch system: jobs are processes in sessions of their own, which outlive the manager.

In comes a submission, out go processes behind ``wrapper.sh`` and what became of them. A job's id says which process
it is (pid, start, boot, host), so another manager can follow the jobs of one that was killed. Nothing waits here: ends
are noticed by pidfd, and what a job left behind is ended over the next calls of ``query``.

What is left of a job when its wrapper has ended:

* In its process group: it gets TERM at once, KILL after the grace, and the job isn't gone before they are.
* Elsewhere, but with the job's mark in its environment (daemons; what ``timeout`` runs): for a cancelled job the same.
  For others, looking through /proc at each end would cost more than the job, so GONE is said first, and one look a
  second serves all that ended since; ``close`` has a last one. ``submit`` looks for those of a run's earlier attempts,
  and doesn't start the next before they are dead.

Out of sight are processes that leave the session *and* wipe their environment, or may not be looked into (ssh-agent).
"""

from __future__ import annotations

import contextlib
import dataclasses
import errno
import math
import os
import resource
import signal
import time
from collections.abc import Iterable, Mapping

from production import errors
from production import process as processes
from production.batch import base, process
from production.batch import depot as depots
from production.batch import witness as witness_

WRAPPER = os.path.join(os.path.dirname(os.path.abspath(__file__)), "wrapper.sh")

HIDDEN = 98
"""The wrapper's exit code instead of 99 and 100."""

SWEEP = 1.0
"""Seconds between looks for daemons of ended jobs."""
SAMPLE = 5.0
"""Seconds between looks at what living jobs use."""
PATIENCE = 2.0
"""Seconds that ``submit`` waits for the end of an earlier attempt's processes, which were sent a KILL."""
_LOOK = 0.1
"""Seconds between two looks at it, unless something of it ends."""
FRESH = 0.5
"""Seconds after the end of a process in which its pid isn't used for another session."""
REMEMBERED = 10_000
"""Marks known to have left nothing."""

_LOG = os.O_WRONLY | os.O_CREAT | os.O_APPEND
"""Appending, so that a log that is cut while it is written doesn't begin with a hole."""
_SIGNALS = tuple(signal.valid_signals() - {signal.SIGKILL, signal.SIGSTOP})
"""Jobs begin with none ignored: Python ignores PIPE and XFSZ, nohup HUP."""
_MENDS = {
    errno.ENOENT: "make its directory",
    errno.EACCES: "see who may write there",
    errno.EAGAIN: "too many processes: lower --nproc, or raise ulimit -u",
    errno.ENOMEM: "no memory left: lower --nproc",
    errno.ENOSPC: "the disk is full: make room",
    errno.EDQUOT: "the quota is used up: make room",
    errno.E2BIG: "its arguments and environment are too long",
}


@dataclasses.dataclass(slots=True, eq=False)
class _Job:
    """What we know of one job; changed as more is seen."""

    mark: str
    identity: process.Identity | None
    witness: str = ""
    """Path; only of our own children."""
    descriptor: int | None = None
    """Its pidfd while it lives and is watched."""
    end: base.Report | None = None
    """How its wrapper ended; None while it lives."""
    reaped: float = -math.inf
    """Monotonic seconds; for a while after it the session's number can't be anybody else's."""
    gone: bool = False
    """Nothing that must be waited for is left of it."""
    cancelled: bool = False
    kill_at: float = math.inf
    cpu: float | None = None
    memory: int | None = None

    @property
    def child(self) -> bool:
        return bool(self.witness)


class Local:
    """The BatchSystem of this machine. Called from one thread; ``query`` once a cycle, even for no jobs.

    ``fileno()`` is readable when a job has ended, until the next ``query``. ``grace``: seconds between TERM and KILL.
    """

    def __init__(self, grace: float = 3.0, depot: base.Depot | None = None) -> None:
        self.depot: base.Depot = depot or depots.Here()
        if signal.getsignal(signal.SIGCHLD) is signal.SIG_IGN:  # inherited: the kernel would throw exit codes away
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        self._grace = grace
        self._watch = process.Watch()
        self._hunt = process.Hunt(self._watch, grace)
        self._jobs: dict[str, _Job] = {}
        self._watched: dict[int, _Job] = {}
        self._unwatched: set[_Job] = set()
        self._emptying: dict[str, _Job] = {}
        """{mark: job} of those that ended and may have left something that we wait for."""
        self._unswept: set[str] = set()
        self._swept: set[str] = set()
        self._told: set[str] = set()
        self._next_sweep = self._next_sample = time.monotonic()
        _keep_to_ourselves()

    def fileno(self) -> int:
        return self._watch.fileno()

    # --- submit ---------------------------------------------------------------------------------------------------

    def submit(self, submission: base.Submission) -> dict[str, str]:
        self._notice()
        environment = dict(os.environ)
        blocked = self._end_earlier(submission.tasks)
        started: dict[str, str] = {}
        refusals = []
        for task in submission.tasks:
            if task.mark in blocked:
                refusals.append(f"run {task.run}: processes of an earlier attempt don't end; look for them with ps")
                continue
            try:
                pid = self._spawn(task, environment)
            except (OSError, ValueError) as cause:  # there is no process
                refusals.append(_refusal(task, cause))
                continue
            started[task.mark] = self._follow_child(pid, task, submission.niceness)
        if refusals and not started:
            raise errors.SubmitRefused(f"no job was started: {refusals[0]}")
        return started

    def _spawn(self, task: base.Task, environment: Mapping[str, str]) -> int:
        error_log = (
            (os.POSIX_SPAWN_DUP2, 1, 2)
            if task.stderr == task.stdout
            else (os.POSIX_SPAWN_OPEN, 2, task.stderr, _LOG, 0o666)
        )
        wrapper = ("/bin/sh", WRAPPER, task.ticket, task.witness, task.directory, *task.scratch, "--", *task.argv)
        return os.posix_spawn(
            "/bin/sh",
            wrapper,
            {**environment, **dict(task.environment), process.MARK: task.mark},
            file_actions=(
                (os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDONLY, 0),
                (os.POSIX_SPAWN_OPEN, 1, task.stdout, _LOG, 0o666),
                error_log,
            ),
            setsid=True,
            setsigmask=(),
            setsigdef=_SIGNALS,
        )

    def _follow_child(self, pid: int, task: base.Task, niceness: int) -> str:
        """Its id. It can't be used again by another process before we have waited for it."""
        try:
            identity = process.identify(pid)
            if identity is None:
                raise ProcessLookupError(errno.ESRCH, "somebody else has waited for it")
            if niceness:
                os.setpriority(os.PRIO_PGRP, pid, os.getpriority(os.PRIO_PROCESS, 0) + niceness)
            job = self._jobs[str(identity)] = _Job(task.mark, identity, task.witness)
            self._follow(job, pid)
        except OSError as cause:
            raise errors.BatchUnanswered(f"run {task.run} was started, but can't be watched: {cause}") from cause
        return str(identity)

    def _end_earlier(self, tasks: Iterable[base.Task]) -> set[str]:
        """KILL what is left of earlier attempts; marks of the tasks for which that didn't help."""
        later = {
            f"{task.mark.removesuffix(f'-{task.attempt}')}-{earlier}": task.mark
            for task in tasks
            if task.mark.endswith(f"-{task.attempt}")
            for earlier in range(1, task.attempt)
        }
        wanted = later.keys() - self._swept
        deadline, looks = time.monotonic() + PATIENCE, 0
        while wanted and (found := self._hunt.search(wanted)):
            # counted, too: time also passes while we are kept from looking
            if looks >= PATIENCE / _LOOK and time.monotonic() >= deadline:
                return {later[mark] for mark in found}
            self._hunt.press(math.inf, wanted)
            self._watch.wait(_LOOK)
            self._notice()
            looks += 1
        return set()

    # --- query ----------------------------------------------------------------------------------------------------

    def takes(self) -> int:
        return base.ANY_NUMBER

    def full(self) -> str:
        return ""

    def query(self, jobs: Mapping[str, str], foreign: Mapping[str, str] = base.NOBODYS) -> dict[str, base.Report]:  # noqa: ARG002
        self._notice()
        now = time.monotonic()
        asked = {mark: self._job(mark, id) for mark, id in jobs.items()}
        for job in (job for job in self._jobs.values() if now >= job.kill_at and job.end is None):
            self._signal(job, signal.SIGKILL)
        self._hunt.press(now)
        self._clean(now)
        self._sample(now)
        self._forget(set(jobs.values()))
        return {mark: _report(job) for mark, job in asked.items()}

    def _job(self, mark: str, id: str) -> _Job:
        job = self._jobs.get(id)
        if job is None:
            job = self._jobs[id] = self._adopt(mark, id)
        return job

    def _adopt(self, mark: str, id: str) -> _Job:
        """A job that another manager started."""
        identity = process.parse(id)
        job = _Job(mark, identity)
        if identity is None:
            job.end = base.Report(base.Phase.UNKNOWN, reason=f"{id!r} is not the id of a local job")
        elif identity.of_this_boot():
            self._follow_other(job, identity)
        elif identity.host == processes.host():
            job.end = base.Report(base.Phase.GONE, host=identity.host, reason=f"{identity.host} was restarted")
            job.gone = True
        else:
            job.end = base.Report(base.Phase.UNKNOWN, host=identity.host, reason=f"a process of {identity.host}")
        return job

    def _follow_other(self, job: _Job, identity: process.Identity) -> None:
        try:
            self._follow(job, identity.pid)
        except ProcessLookupError:
            self._ended(job)
            return
        state = identity.state()
        if not state and process.exists(identity.pid):
            self._unfollow(job)
            job.end = base.Report(base.Phase.UNKNOWN, host=identity.host, reason="/proc doesn't show others' processes")
        elif state in ("Z", ""):
            self._ended(job)

    def _follow(self, job: _Job, pid: int) -> None:
        job.descriptor = self._watch.add(pid)
        if job.descriptor is None:
            self._unwatched.add(job)
        else:
            self._watched[job.descriptor] = job

    def _unfollow(self, job: _Job) -> None:
        self._unwatched.discard(job)
        if job.descriptor is not None:
            del self._watched[job.descriptor]
            self._watch.remove(job.descriptor)
            job.descriptor = None

    def _forget(self, asked: set[str]) -> None:
        """Whoever was told of an end, and asks no more, has written it down."""
        for id in self._told - asked:
            del self._jobs[id]
        self._told = {id for id in asked if _report(self._jobs[id]).phase is not base.Phase.RUNNING}

    def _sample(self, now: float) -> None:
        """What living jobs use, so that long ones, and those of a manager before us, have figures."""
        living = {job.identity.pid: job for job in self._jobs.values() if job.identity and job.end is None}
        if now < self._next_sample or not living:
            return
        for pid, (cpu, memory) in process.usage(living).items():
            job = living[pid]
            job.cpu, job.memory = max(cpu, job.cpu or 0.0), max(memory, job.memory or 0)
        self._next_sample = now + max(SAMPLE, 20 * (time.monotonic() - now))

    # --- the end of a job -----------------------------------------------------------------------------------------

    def _notice(self) -> None:
        """See which processes have ended since the last time."""
        for descriptor in self._watch.ended():
            job = self._watched.get(descriptor)
            if job is None:
                self._hunt.ended(descriptor)
            else:
                self._ended(job)
        for job in [job for job in self._unwatched if job.identity and job.identity.state() in ("Z", "")]:
            self._ended(job)

    def _ended(self, job: _Job) -> None:
        """Its wrapper has ended. What is left in its group gets a TERM while the pid can't be anybody else's."""
        assert job.identity is not None
        pid, ran = job.identity.pid, True
        job.end = base.Report(base.Phase.GONE, host=job.identity.host, cpu=job.cpu, memory=job.memory)
        if job.child:
            try:
                if os.waitid(os.P_PID, pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is None:  # a debugger holds it
                    job.end = None
                    return
            except ChildProcessError:
                pass  # somebody else has waited for it: the pid may be anybody's
            else:
                process.send(pid, signal.SIGTERM)
                _, status, usage = os.wait4(pid, 0)
                job.end, ran = _verdict(job, status, usage)
                job.reaped = time.monotonic()
        self._unfollow(job)
        if ran and (job.cancelled or process.group_exists(pid)):
            self._emptying[job.mark] = job
        else:
            job.gone = True
            if ran:
                self._unswept.add(job.mark)

    def _clean(self, now: float) -> None:
        """Look for what ended jobs left behind, if it is time."""
        busy = self._hunt.marks()
        waiting = {mark: job for mark, job in self._emptying.items() if mark not in busy}
        wanted = set(waiting)
        if self._unswept and now >= self._next_sweep:
            wanted |= self._unswept
            self._next_sweep = now + SWEEP
        if not wanted:
            return
        fresh = [job for job in waiting.values() if job.identity and now - job.reaped < FRESH]
        found = self._hunt.search(wanted, {job.identity.pid: job.mark for job in fresh if job.identity})
        for mark in waiting.keys() - found:
            self._emptying.pop(mark).gone = True
        if len(self._swept) > REMEMBERED:
            self._swept.clear()
        self._swept |= wanted - found
        self._unswept -= self._swept

    # --- find, cancel, close --------------------------------------------------------------------------------------

    def find(self, sought: Mapping[str, base.Sought]) -> dict[str, str]:
        tasks = {mark: each.witness for mark, each in sought.items()}
        found: dict[str, str] = {}
        for directory in {os.path.dirname(path) for path in tasks.values()}:
            names = {os.path.basename(path): mark for mark, path in tasks.items() if os.path.dirname(path) == directory}
            for name, seen in witness_.read_directory(directory, names).items():
                if seen.ticks is not None and seen.boot and seen.host:
                    found[names[name]] = str(process.Identity(seen.pid, seen.ticks, seen.boot, seen.host))
        silent = tasks.keys() - found
        for pid, mark in process.marked(silent) if silent else ():
            identity = process.identify(pid)
            if identity and process.session(pid) == pid and tasks[mark] in process.arguments(pid):
                found[mark] = str(identity)  # the wrapper, before it has written its witness
        return found

    def cancel(self, jobs: Mapping[str, str]) -> None:
        self._notice()
        known = [self._job(mark, id) for mark, id in jobs.items()]
        living = {job.identity.pid: job for job in known if job.identity and job.end is None}
        for job in living.values():
            job.cancelled = True
            job.kill_at = min(job.kill_at, time.monotonic() + self._grace)
            self._signal(job, signal.SIGTERM, signal.SIGCONT)
        here = {job.mark for job in known if job.identity and job.identity.of_this_boot()}
        if here:
            self._hunt.search(here, spare=living)

    def _signal(self, job: _Job, *signals: signal.Signals) -> None:
        """Signal its process group, if that is still its."""
        if job.identity and (job.child or job.identity.state() not in ("Z", "")):
            process.send(job.identity.pid, *signals)

    def by_hand(self, job: str) -> str:
        return process.by_hand(job)

    def close(self) -> None:
        """Jobs live on; what ended jobs left behind is killed."""
        self._notice()
        ended = self._unswept | self._emptying.keys()
        if ended:
            self._hunt.search(ended)
        self._hunt.press(math.inf)
        self._watch.close()


def _verdict(job: _Job, status: int, usage: resource.struct_rusage) -> tuple[base.Report, bool]:
    """How our own child ended, and whether it was the one that ran the script."""
    assert job.identity is not None
    code = os.waitstatus_to_exitcode(status)
    exit_, signal_ = witness_.status(code) if code >= 0 else (None, -code)
    ran, reason = True, ""
    if code < 0 or code in (witness_.NOT_RUN, HIDDEN):
        seen = witness_.read(job.witness)
        own = seen is not None and (seen.pid, seen.ticks) == (job.identity.pid, job.identity.ticks)
        if own and seen is not None and seen.ended:
            exit_, signal_ = seen.exit, seen.signal
        elif code == witness_.NOT_RUN:
            exit_, reason = (
                None,
                "its ticket was taken back" if own else "not run: no ticket, or another copy has begun",
            )
        ran = own or (seen is None and code != witness_.NOT_RUN)
    # the kernel counts the manager's own size to a process that it spawned: less than that can't be seen
    ours = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    memory = usage.ru_maxrss * 1024 if usage.ru_maxrss > ours else job.memory
    cpu = usage.ru_utime + usage.ru_stime
    return base.Report(base.Phase.GONE, exit_, signal_, job.identity.host, cpu, memory, reason), ran


def _report(job: _Job) -> base.Report:
    if job.end is not None and (job.gone or job.end.phase is base.Phase.UNKNOWN):
        return job.end
    host = job.identity.host if job.identity else None
    reason = "" if job.end is None else "it has ended; ending what it left behind"
    return base.Report(base.Phase.RUNNING, host=host, cpu=job.cpu, memory=job.memory, reason=reason)


def _refusal(task: base.Task, cause: OSError | ValueError) -> str:
    """Why there is no process, and the mend. The kernel doesn't say which file it was."""
    what = f"run {task.run} can't be started"
    for log in (task.stdout, task.stderr):
        try:
            os.close(os.open(log, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o666))
        except OSError as found:
            what, cause = f"run {task.run}: its log {log} can't be written", found
            break
    if not isinstance(cause, OSError):
        return f"{what}: {cause}"
    mend = _MENDS.get(cause.errno or 0)
    return f"{what}: {cause.strerror}" + (f" ({mend})" if mend else "")


def _keep_to_ourselves() -> None:
    """Jobs don't get what whoever started us left open (``9>lock``): a job that lives on would hold the lock."""
    # Not closed by posix_spawn: it refuses a number above today's ulimit -n, under which it may have been opened.
    for descriptor in [int(name) for name in os.listdir("/proc/self/fd") if int(name) > 2]:
        with contextlib.suppress(OSError):  # the listing's own
            os.set_inheritable(descriptor, False)
