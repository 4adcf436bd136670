"""See which jobs ended, and how: the batch system is asked once for all, the witnesses say the rest.

Absence is not an answer: a job that can't be seen changes nothing until its witness speaks or its time is long over.
"""

from __future__ import annotations

import dataclasses
import datetime
import os
import re
import signal
from collections.abc import Mapping, Sequence
from typing import TypeAlias

from production import attempt, clock, errors, request
from production import run as runs
from production import site as site_
from production.batch import base as batch
from production.batch import witness as witness_
from production.catalogue import base
from production.journal import log, once, over

State: TypeAlias = runs.State
Cause: TypeAlias = runs.Cause

_OUT_OF_MEMORY = re.compile(r"\b(?:MemoryError|bad_alloc|[Cc]annot allocate memory|[Oo]ut of memory)\b")
"""What Python, C++, the C library and others say last; Grid Engine limits what may be asked for, and sees no more."""

_THERE = (batch.Phase.PENDING, batch.Phase.RUNNING)
_SILENCE = batch.Report(batch.Phase.UNKNOWN)

_FROM_THE_TERMINAL = (signal.SIGHUP, signal.SIGINT, signal.SIGQUIT)


def step(site: site_.Site) -> None:
    """submitting, submitted → ended; or new, failed, held for a cause.

    Raises: BatchUnanswered: no run was changed but those whose witness says how they ended.
    """
    _recover(site, site.catalogue.owned(site.lease.owner, State.SUBMITTING))
    submitted = site.catalogue.owned(site.lease.owner, State.SUBMITTED)
    # Asked for no jobs, too: a batch system may have to look after what ended ones left behind.
    foreign = {site.layout.mark(run): run.user for run in submitted if run.user and run.user != site.lease.owner.user}
    trouble = None
    try:
        reports = site.batch.query({site.layout.mark(run): run.job or "" for run in submitted}, foreign)
    except errors.BatchUnanswered as cause:  # what has ended by its own word has ended, whoever else is silent
        reports, trouble = {site.layout.mark(run): _SILENCE for run in submitted}, cause
    if submitted:
        _judge_all(site, submitted, reports, heard=trouble is None)
    if trouble is not None:
        raise trouble


def _judge_all(
    site: site_.Site, submitted: Sequence[runs.Run], reports: Mapping[str, batch.Report], *, heard: bool
) -> None:
    quiet = [run for run in submitted if reports[site.layout.mark(run)].phase not in _THERE]
    witnesses = site.batch.depot.witnesses(site.layout.jobs(), [_witness_name(site, run) for run in quiet])
    now = site.clock.now()
    verdicts, unsaid = [], []
    for run in submitted:
        report, seen = reports[site.layout.mark(run)], witnesses.get(_witness_name(site, run))
        limit = _limit(site, run) if heard else None
        verdict = judge(run, report, seen, limit, site.settings.grace, now)
        if verdict is not None:
            verdicts.append((run, verdict))
            if not (seen and seen.ended):
                unsaid.append(run)
    # Once cancelling has begun no job can say how it ended: who has said it had ended before.
    cancelled = attempt.cancelled(site, unsaid)
    verdicts = [(run, _left(verdict) if run.run in cancelled else verdict) for run, verdict in verdicts]
    _write_down(site, verdicts, _begun(site, submitted, reports), reports, now)
    _tell_held(submitted, [reports[site.layout.mark(run)] for run in submitted])
    _end_overdue(site, submitted, reports, now)


def _left(verdict: base.Ending) -> base.Ending:
    return dataclasses.replace(verdict, cause=Cause.RELEASED, message="its manager was leaving")


def _begun(site: site_.Site, submitted: Sequence[runs.Run], reports: Mapping[str, batch.Report]) -> list[runs.Run]:
    """Whose job is seen to run for the first time. On this machine they run at once, which needn't be written down."""
    if site.settings.batch.system == "local":
        return []
    return [
        run for run in submitted if run.began is None and reports[site.layout.mark(run)].phase is batch.Phase.RUNNING
    ]


def judge(
    run: runs.Run,
    report: batch.Report,
    witness: witness_.Witness | None,
    limit: float | None,
    grace: float,
    now: datetime.datetime,
) -> base.Ending | None:
    """How the attempt ended, from all that is known; None: it goes on, or it can't be told yet. Pure.

    ``limit`` and ``grace`` are seconds. Exit 0 isn't success yet: the outputs have still to be seen.
    """
    elapsed = (now - clock.instant(run.submitted or run.since)).total_seconds()
    if report.phase is batch.Phase.UNKNOWN and not (witness and (witness.ended or witness.revoked)):
        overdue = limit is not None and elapsed > limit + grace
        return base.Ending(Cause.LOST, f"nothing was heard of its job {run.job} in time") if overdue else None
    if report.phase in _THERE:
        return None
    ending = _ending(report, witness, elapsed)
    took = elapsed if ending.wall is None else ending.wall
    if ending.cause in (Cause.PROGRAM, Cause.KILLED) and limit is not None and took >= limit:
        return dataclasses.replace(ending, cause=Cause.TIME, message=f"it took longer than {limit:.0f} s")
    return ending


def _ending(report: batch.Report, witness: witness_.Witness | None, elapsed: float) -> base.Ending:
    ended = witness is not None and witness.ended
    exit_, signal_ = (witness.exit, witness.signal) if witness and ended else (report.exit, report.signal)
    cause, message = _cause(report, witness, exit_, signal_)
    return base.Ending(
        cause,
        message,
        host=report.host or (witness.host if witness else None),
        exit=exit_,
        signal=signal_,
        wall=witness.wall if witness and ended else elapsed,
        cpu=report.cpu if report.cpu is not None else (witness.cpu if witness else None),
        memory=report.memory,
    )


def _cause(
    report: batch.Report, witness: witness_.Witness | None, exit_: int | None, signal_: int | None
) -> tuple[Cause | None, str]:
    """Why it ended, as the shift is told; no cause for exit 0. What the batch system itself says comes first."""
    if witness is not None and witness.revoked:
        return Cause.RELEASED, "its ticket had been taken back"
    if report.cause is not None and not _overruled(report, witness):
        return report.cause, report.reason or f"says the batch system: {report.cause}"
    if witness is None:
        return _never_ran(report, signal_)
    if exit_ is None and witness.ended:
        return Cause.PROGRAM, f"signal {signal_}"
    if exit_ is None:
        return Cause.KILLED, report.reason or "its job was killed"
    return _exited(exit_, witness.ended)


def _never_ran(report: batch.Report, signal_: int | None) -> tuple[Cause, str]:
    if signal_ in _FROM_THE_TERMINAL:
        return Cause.RELEASED, "a signal of the terminal met it before it began"
    return Cause.LAUNCH, report.reason or "its job left no witness: it never started, or removed it"


def _exited(exit_: int, said: bool) -> tuple[Cause | None, str]:
    """``said``: it is the witness's word."""
    if exit_ == witness_.NOT_RUN and not said:
        return Cause.NODE, "its job was started twice, which is not done, or its ticket was taken away"
    return (Cause.PROGRAM, f"exit {exit_}") if exit_ else (None, "")


def _overruled(report: batch.Report, witness: witness_.Witness | None) -> bool:
    """Whether the script had ended by itself before the batch system found its record, or its node, gone.

    What met the script itself (time, memory, a cancelling) it may have answered with 0: there the batch system is right.
    """
    if witness is None or not witness.ended:
        return False
    if report.cause in (Cause.LOST, Cause.LAUNCH) or not report.began:
        return True
    return report.cause is Cause.NODE and witness.exit == 0


def _write_down(
    site: site_.Site,
    verdicts: Sequence[tuple[runs.Run, base.Ending]],
    begun: Sequence[runs.Run],
    reports: Mapping[str, batch.Report],
    now: datetime.datetime,
) -> None:
    if not verdicts and not begun:
        return
    failed, asked, words = [], _asked(site, verdicts), _last_words(site, verdicts)
    with attempt.writing(site) as change:
        for run in begun:
            change.begin_job(run, reports[site.layout.mark(run)].host, now)
        for run, ending in verdicts:
            if ending.cause is not None:
                unknown = reports[site.layout.mark(run)].phase is batch.Phase.UNKNOWN
                told = _Told(words.get(run.run, ""), asked.get(run.run))
                if _failed(site, change, run, ending, told, unknown=unknown):
                    failed.append(run)
            elif change.move(run, State.ENDED, "exit 0", now):
                change.end(run, ending, now)
            else:
                attempt.stale(run)
    attempt.clear(site, failed)


@dataclasses.dataclass(frozen=True, slots=True)
class _Told:
    """What else is known of an attempt that failed."""

    words: str
    """The last ones of its log."""
    asked: base.Asked | None
    """What a person wants of its run."""


def _failed(
    site: site_.Site, change: base.Change, run: runs.Run, ending: base.Ending, told: _Told, *, unknown: bool
) -> bool:
    """Leave a run whose attempt did not succeed. False: it wasn't ours any more. ``unknown``: its job was never seen gone."""
    now = site.clock.now()
    paths = site.layout.fixed(run) if ending.cause is Cause.LOST and unknown else []
    if paths:
        why = f"{ending.message}, and it may still be writing {paths[0]}: see that it is gone, then release the run"
        return attempt.hold(change, run, Cause.LOST, why, now)
    if told.asked is not None and ending.cause is Cause.RELEASED:
        return attempt.end_as_asked(site, change, run, told.asked, ending, now)
    return attempt.fail(site, change, run, _with_last_words(site, run, ending, told.words), now)


def _asked(site: site_.Site, verdicts: Sequence[tuple[runs.Run, base.Ending]]) -> dict[int, base.Asked]:
    """{run: what a person asked of it} where jobs were cancelled."""
    if not any(ending.cause is Cause.RELEASED for _, ending in verdicts):
        return {}
    me = site.lease.owner
    open_ = site.catalogue.asked(site.layout.production.id, request.LOOK, me)
    return {asked.run: asked for asked in open_ if asked.ask.verb in request.ENDS}


def _last_words(site: site_.Site, verdicts: Sequence[tuple[runs.Run, base.Ending]]) -> dict[int, str]:
    """{run: the last line of its job's error log, else of the other}: mostly that is all the shift wants to know."""
    failed = [run for run, ending in verdicts if ending.cause is not None]
    logs = {run.run: [site.layout.log(run, stream) for stream in ("err", "out")] for run in failed}
    words = site.batch.depot.last_words([log for both in logs.values() for log in both]) if logs else {}
    return {run: next((words[log] for log in both if log in words), "") for run, both in logs.items()}


def _with_last_words(site: site_.Site, run: runs.Run, ending: base.Ending, line: str) -> base.Ending:
    if ending.cause is Cause.PROGRAM and _limited(site, run) and _OUT_OF_MEMORY.search(line):
        ending = dataclasses.replace(ending, cause=Cause.MEMORY)  # one large request: it never had what it asked for
    return dataclasses.replace(ending, message=f"{ending.message}: {line}") if line else ending


def _limited(site: site_.Site, run: runs.Run) -> bool:
    return (run.asked or site.layout.program.resources).memory is not None


def _tell_held(submitted: Sequence[runs.Run], reports: Sequence[batch.Report]) -> None:
    """Jobs that wait for a person, who may not know it."""
    held = [(run, report.reason) for run, report in zip(submitted, reports, strict=True) if report.held]
    if held:
        first, why = held[0]
        once(
            "held jobs", f"Jobs are held in the queue, e.g. {first.job} of run {first} ({why}): release or delete them"
        )
    else:
        over("held jobs")


def _end_overdue(
    site: site_.Site, submitted: Sequence[runs.Run], reports: Mapping[str, batch.Report], now: datetime.datetime
) -> None:
    """Jobs that run longer than they may, where the batch system itself doesn't mind."""
    overdue = {}
    for run in submitted:
        mark, limit = site.layout.mark(run), _limit(site, run)
        if limit is None:
            continue
        elapsed = (now - clock.instant(run.submitted or run.since)).total_seconds()
        if reports[mark].phase is batch.Phase.RUNNING and elapsed > limit:
            long = f"Run {run} takes longer than {limit:.0f} s"
            if run.user not in (None, site.lease.owner.user):
                end = site.batch.by_hand(run.job or "")
                once(f"overdue {mark}", f"{long}; its job is {run.user}'s, who alone can end it: {end}")
                continue
            overdue[mark] = run.job or ""
            once(f"overdue {mark}", f"{long}; ending its job")
    if overdue:
        site.batch.cancel(overdue)


def _recover(site: site_.Site, submitting: Sequence[runs.Run]) -> None:
    """Runs whose submission was written down, but not what became of it: a manager died, or the call did."""
    if not submitting:
        return
    found = site.batch.find({site.layout.mark(run): attempt.sought(site, run) for run in submitting})
    now = site.clock.now()
    unseen = [run for run in submitting if site.layout.mark(run) not in found]
    never = attempt.revoke(site, [run for run in unseen if _long_since(site, run, now)])
    again = []
    with attempt.writing(site) as change:
        for run in submitting:
            job = found.get(site.layout.mark(run))
            if job is not None and change.move(run, State.SUBMITTED, "found again", now):
                change.job(run, job)
                again.append(run)
                log.info("Found the job of run: %s", run)
        ending = base.Ending(Cause.RELEASED, "its job was never started")
        given_back = [run for run in never if attempt.fail(site, change, run, ending, now)]
    attempt.clear(site, given_back)
    attempt.give_tickets(site, again)  # somebody may have been killed who was taking them back


def _long_since(site: site_.Site, run: runs.Run, now: datetime.datetime) -> bool:
    """Whether its job would have been seen by now; without its ticket it will never be."""
    return (now - clock.instant(run.since)).total_seconds() >= site.settings.grace


def _limit(site: site_.Site, run: runs.Run) -> float | None:
    """Seconds from the submission that its job may take; none on a cluster, which counts itself, from the job's start."""
    return (run.asked or site.layout.program.resources).time if site.settings.batch.system == "local" else None


def _witness_name(site: site_.Site, run: runs.Run) -> str:
    return os.path.basename(site.layout.witness(run))
