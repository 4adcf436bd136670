"""What becomes of a cluster's jobs: one listing a poll for all, and the accounting for those that have left it.

In come job ids, out go reports; what was seen is told until the next poll. A listing that fails changes nothing, and
absence is no answer: who has left the listing is asked for in the accounting, and given up after the grace only.
"""

from __future__ import annotations

import contextlib
import dataclasses
import itertools
import math
import random
from collections.abc import Collection, Mapping

from production import clock, errors
from production import run as runs
from production.batch import base, client, scheduler

HURRY = 0.5
"""Seconds to the first look after jobs were cancelled; each further one waits twice as long."""

_LOST = base.Report(
    base.Phase.GONE, reason="it left the queue, and no accounting knows of it", cause=runs.Cause.LOST
)  # fmt: skip
_NEVER_BEGAN = base.Report(
    base.Phase.GONE, reason="it left the queue before it began: deleted", cause=runs.Cause.CANCELLED, began=False
)


@dataclasses.dataclass(slots=True, eq=False)
class _Job:
    """What we know of one job; changed as more is seen."""

    id: str
    array: str
    """Empty: it is no id of the scheduler's."""
    report: base.Report
    alias: str = ""
    name: str = ""
    """Of its array; empty: it was never listed."""
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


class Watch:
    """Of the jobs of one manager."""

    def __init__(
        self,
        dialect: scheduler.Dialect,
        calling: client.Client,
        user: str,
        ticking: clock.Clock,
        policy: scheduler.Policy,
    ) -> None:
        """``user`` is the Unix user whose jobs ours are."""
        self._dialect = dialect
        self._client = calling
        self._user = user
        self._users = {user}
        """Whose jobs are listed."""
        self._clock = ticking
        self._policy = policy
        self._jobs: dict[str, _Job] = {}
        self._listing: dict[str, scheduler.Seen] = {}
        self._next = -math.inf
        """When the next listing is due."""
        self._trouble = ""
        """Why the last listing failed."""
        self._failures = 0
        self._hurry = 0.0

    def begin(self, ids: Collection[str]) -> None:
        """These have just been submitted."""
        for id in ids:
            self._job(id).report = base.Report(base.Phase.PENDING)

    def reports(self, ids: Collection[str], foreign: Mapping[str, str]) -> dict[str, base.Report]:
        """{job id: report}; ``foreign`` is {job id: user}. Who was asked for before, and isn't now, is forgotten.

        Raises: BatchUnanswered.
        """
        self._users = {self._user, *foreign.values()}
        self.forget([id for id, job in self._jobs.items() if job.asked and id not in ids])
        for id in ids:
            job = self._job(id)
            job.asked, job.foreign = True, id in foreign
        if any(not self._jobs[id].settled for id in ids):
            self._look()
        return {id: self._jobs[id].report for id in ids}

    def listing(self, users: Collection[str]) -> Mapping[str, scheduler.Seen]:
        """All jobs of ours and of these users, as they were last listed. Raises: BatchUnanswered."""
        self._users |= set(users)
        self._look()
        return self._listing

    def forget(self, ids: Collection[str]) -> None:
        """What became of them is written down."""
        for id in ids:
            del self._jobs[id]

    def arrays(self) -> set[str]:
        """Those with jobs that haven't been seen gone."""
        return {job.array for job in self._jobs.values() if not job.gone}

    def cancel(self, ids: Collection[str]) -> None:
        """End those that aren't gone, and look for that soon. Raises: BatchUnanswered."""
        living = [job for job in map(self._job, ids) if not job.gone]
        if all(job.cancelled for job in living) and self._clock.boottime() < self._next:
            return  # it was said a moment ago
        self._client.cancel([job.id for job in living])
        for job in living:
            job.cancelled = True
        if living:
            self._hurry = min(HURRY, self._policy.poll)
            self._next = min(self._next, self._clock.boottime() + self._hurry)

    def _job(self, id: str) -> _Job:
        job = self._jobs.get(id)
        if job is None:
            split = self._dialect.split(id)
            job = self._jobs[id] = _Job(id, split[0] if split else "", base.Report(base.Phase.UNKNOWN))
            if not split:
                job.report, job.settled = base.Report(base.Phase.UNKNOWN, reason=f"{id!r} is no id of its jobs"), True
            elif id in self._listing:
                self._see(job, self._clock.boottime())
        return job

    # --- one look -------------------------------------------------------------------------------------------------

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
            self._listing = self._client.list(self._users)
        except errors.BatchUnanswered as trouble:
            self._failures += 1
            self._trouble = str(trouble)
            self._rest(began, self._policy.poll * min(scheduler.SLOWEST, 2**self._failures))
            raise
        self._failures, self._trouble = 0, ""
        for job in self._jobs.values():
            self._see(job, began)
        self._ask_accounting(began)
        self._give_up(began)
        self._delete_hopeless()
        self._rest(began, self._pause())

    def _pause(self) -> float:
        if not self._hurry:
            return self._policy.poll
        pause, self._hurry = self._hurry, self._hurry * 2
        if self._hurry >= self._policy.poll:
            self._hurry = 0.0
        return min(pause, self._policy.poll)

    def _rest(self, began: float, seconds: float) -> None:
        now = self._clock.boottime()
        share = min(self._policy.share * (now - began), scheduler.SLOWEST * self._policy.poll)
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
        job.name = seen.name
        job.looks = job.looks + 1 if seen.hopeless else 0
        if job.gone:
            job.ask_at = now

    def _ask_accounting(self, now: float) -> None:
        """What ended, and what isn't listed: how that was."""
        due = sorted(
            (job for job in self._jobs.values() if not job.settled and job.ask_at <= now and (job.gone or job.absent)),
            key=lambda job: job.ask_at,
        )
        now_asked = set(itertools.islice(dict.fromkeys(job.array for job in due), scheduler.ARRAYS))
        due = [job for job in due if job.array in now_asked]
        if not due:
            return
        found = self._client.ended({job.id: job.alias for job in due})
        for job in due:
            seen = found.get(job.id) or found.get(job.alias)
            if seen is not None and seen.name and job.name and seen.name != job.name:
                seen = None  # of an earlier job: numbers come again
            job.ask_at, job.pause = now + job.pause, min(2 * job.pause, scheduler.SLOWEST * self._policy.poll)
            if seen is not None and seen.report.phase is base.Phase.GONE:
                job.report, job.settled = _merged(job, seen.report), True
            elif job.gone:
                job.settled = True  # the listing has said enough
            elif seen is not None and seen.report.phase is not base.Phase.UNKNOWN:
                job.report, job.absent = seen.report, now  # it isn't over, whoever doesn't list it

    def _give_up(self, now: float) -> None:
        """Jobs that nobody will say anything of any more."""
        lost: list[str] = []
        for job in self._jobs.values():
            if job.settled or job.absent is None or job.ask_at <= now or (job.foreign and job.waited is None):
                continue
            if job.why:
                job.report = base.Report(base.Phase.GONE, reason=job.why, cause=runs.Cause.LAUNCH)
            elif job.cancelled:
                job.report = base.Report(base.Phase.GONE, reason="cancelled", cause=runs.Cause.CANCELLED)
            elif job.waited is not False and (rest := self._rest_of(job.array)) is not None:
                job.report = dataclasses.replace(rest, began=False)
            elif now - job.absent >= self._policy.grace:
                job.report = _NEVER_BEGAN if job.waited else _LOST
                lost.append(job.id)
            job.settled = job.gone
        if lost:  # a listing may be filtered by somebody: what is sent again must not run twice
            with contextlib.suppress(errors.BatchUnanswered):
                self._client.cancel(lost)

    def _rest_of(self, array: str) -> base.Report | None:
        """How the jobs of an array ended that hadn't begun, where the scheduler has one record for all of them."""
        seen = self._listing.get(array)
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
        reasons = self._client.why({job.array for job in hopeless if not job.why})
        for job in hopeless:
            job.why = job.why or reasons.get(job.id) or f"it would never start: {job.report.reason}"
        with contextlib.suppress(errors.BatchUnanswered):  # it is still there then, and tried again
            self._client.cancel([job.id for job in hopeless])


def _merged(job: _Job, accounted: base.Report) -> base.Report:
    """The accounting's words over the listing's, and what only we know."""
    listed = job.report
    cause, reason = accounted.cause or listed.cause, accounted.reason or listed.reason
    if job.why:
        cause, reason = runs.Cause.LAUNCH, job.why
    elif cause is None and job.cancelled and accounted.exit != 0:
        cause, reason = runs.Cause.CANCELLED, reason or "cancelled"
    return dataclasses.replace(accounted, host=accounted.host or listed.host, cause=cause, reason=reason)
