"""Submit staged runs, as many as may compute at a time, in one call.

The submission is written down before it is made: whoever is killed between finds it by its name and looks for it.
"""

from __future__ import annotations

import dataclasses
import datetime
import os
from collections.abc import Mapping, Sequence

from production import attempt, errors, retry
from production import run as runs
from production import site as site_
from production.batch import base as batch
from production.catalogue import base
from production.journal import log, once, over, waiting

State, Cause = runs.State, runs.Cause


def step(site: site_.Site) -> None:
    """staged → submitting → submitted; or staged again, if there are too many jobs; or failed for cause ``launch``; or held."""
    hands = site.catalogue.in_flight(site.lease.owner)
    slots = attempt.places(site) - hands.get(State.SUBMITTING, 0) - hands.get(State.SUBMITTED, 0)
    slots = min(slots, site.batch.takes())
    if slots <= 0 or not hands.get(State.STAGED):
        return
    if site.layout.program.outputs and site.room.full():
        return
    staged = site.catalogue.owned(site.lease.owner, State.STAGED)
    if not staged:
        return  # taken over between the two questions
    try:
        ready = _prepared(site, staged[:slots])
        if not ready:
            return
        name, sent = _write_down(site, ready)
    except errors.LostLease:
        attempt.clear(site, staged[:slots])  # they were given back: nobody else has, or will have, their files
        raise
    if sent:
        _submit(site, name, sent)


def _prepared(site: site_.Site, staged: Sequence[runs.Run]) -> list[runs.Run]:
    """Those whose attempts' files are made, and nothing stands where their outputs go.

    Raises: DiskFull; ProductionError, if we may not work there.
    """
    in_the_way = {run.run: path for run in staged if (path := _in_the_way(site, run))}
    free = [run for run in staged if run.run not in in_the_way]
    wrong = attempt.prepare(site, free) if free else {}
    if in_the_way or wrong:
        now = site.clock.now()
        with attempt.writing(site) as change:
            for run in staged:
                if run.run in in_the_way:
                    attempt.hold(
                        change, run, Cause.OUTPUT, f"{in_the_way[run.run]} is there already; move it away", now
                    )
                elif run.run in wrong:
                    attempt.fail(site, change, run, base.Ending(Cause.LAUNCH, wrong[run.run]), now)
    return [run for run in free if run.run not in wrong]


def _in_the_way(site: site_.Site, run: runs.Run) -> str:
    """What stands where an output goes."""
    return next((output.final for output in site.layout.outputs(run) if os.path.lexists(output.final)), "")


def _write_down(site: site_.Site, ready: Sequence[runs.Run]) -> tuple[str, list[runs.Run]]:
    """The intent: (name of the submission, its runs), committed."""
    now, sent = site.clock.now(), []
    with attempt.writing(site) as change:
        for run in ready:
            if not _take_paths(site, change, run, now):
                continue
            if run.attempt > 1 and not site.layout.elsewhere:
                _keep_earlier_logs(site, change, run)
            if change.move(run, State.SUBMITTING, "", now):
                sent.append(run)
            else:
                attempt.stale(run)
        if not sent:
            return "", []
        places = [_place(site, number, run) for number, run in enumerate(sent, 1)]
        name = change.submission(site.lease.owner, site.settings.batch.name, site.layout.production, places, now)
    return name, [dataclasses.replace(place.run, state=State.SUBMITTING, asked=place.resources) for place in places]


def _place(site: site_.Site, number: int, run: runs.Run) -> base.Place:
    layout, earlier = site.layout, _earlier(site, run)
    asked = retry.resources(layout.program.resources, layout.program.retry, earlier)
    logs = layout.told(layout.log(run, "out")), layout.told(layout.log(run, "err"))
    return base.Place(
        run, number, *logs, layout.command(run),
        asked, layout.modules or None, retry.avoided(earlier),
    )  # fmt: skip


def _earlier(site: site_.Site, run: runs.Run) -> list[runs.Earlier]:
    return site.catalogue.earlier(run) if run.attempt > 1 else []


def _take_paths(site: site_.Site, change: base.Change, run: runs.Run, now: datetime.datetime) -> bool:
    """The fixed paths of an old script are this attempt's. False: somebody else's attempt has one, or one is in the way."""
    uses = {path: change.path_use(path) for path in site.layout.fixed(run)}
    for path, use in uses.items():
        if use is not None and use.busy:
            once(
                f"path {path}",
                f"{path} is being written by run {use.run} of {_name(site, use.production)}; others wait",
            )
            return False
        if os.path.lexists(path) and (use is None or use.leftover != attempt.leftover(path)):
            why = f"{path} is in the way, and no attempt of ours left it so; move it away"
            attempt.hold(change, run, Cause.OUTPUT, why, now)
            return False
    for path, use in uses.items():
        over(f"path {path}")
        if use is not None and os.path.lexists(path):
            aside = f"{path}.left-{use.production}-{use.run}-{use.attempt}"
            os.rename(path, aside)
            log.info("Put aside %s, left by an earlier attempt, as %s", path, os.path.basename(aside))
        change.take_path(run, path)
    return True


def _name(site: site_.Site, production: int) -> str:
    return next((one.name for one in site.catalogue.productions() if one.id == production), "?")


def _keep_earlier_logs(site: site_.Site, change: base.Change, run: runs.Run) -> None:
    """The plain names are for the last attempt's logs; those of the one before are kept beside."""
    earlier = change.earlier_log(run, site.layout.log(run, "out"))
    if earlier is None:
        return
    kept = {stream: site.layout.earlier_log(run, stream, earlier) for stream in ("out", "err")}
    for stream, path in kept.items():
        if os.path.exists(site.layout.log(run, stream)):
            os.rename(site.layout.log(run, stream), path)
    change.keep_log(run, earlier, kept["out"], kept["err"])


def _submit(site: site_.Site, name: str, sent: Sequence[runs.Run]) -> None:
    """Make the call, and write down what the batch system said.

    Raises: BatchUnanswered: the runs stay ``submitting`` and are looked for.
    """
    for run in sent:
        log.info("Submitting run: %s (attempt %d, %s)", run, run.attempt, run.why)
    tasks = tuple(_task(site, run) for run in sent)
    try:
        jobs: Mapping[str, str] = site.batch.submit(batch.Submission(name, tasks, site.settings.niceness))
        refusal = "the batch system didn't start it"
    except errors.SubmitRefused as refused:
        jobs, refusal = {}, str(refused)
    now = site.clock.now()
    full, refused_runs = site.batch.full(), []
    if full:
        waiting("full", f"No more jobs for now: {full}; the other runs wait", site.clock.boottime())
    else:
        over("full")
    with attempt.writing(site) as change:
        for run in sent:
            job = jobs.get(site.layout.mark(run))
            if job is None and full:
                change.move(run, State.STAGED, full, now)
            elif job is None:
                attempt.fail(site, change, run, base.Ending(Cause.LAUNCH, refusal), now)
                refused_runs.append(run)
            elif change.move(run, State.SUBMITTED, "", now):
                change.job(run, job)
            else:
                attempt.stale(run)
    attempt.clear(site, refused_runs)


def _task(site: site_.Site, run: runs.Run) -> batch.Task:
    layout, program = site.layout, site.layout.program
    environment = dict(program.environment)
    host = site.settings.batch.host  # where a user's own HOME may be another, and is known to the login
    if program.home == "private" or ("HOME" not in environment and not host):
        environment["HOME"] = layout.home(run)  # also said where it is the manager's own: a login's may be another
    return batch.Task(
        run=run.run,
        attempt=run.attempt,
        mark=layout.mark(run),
        argv=layout.command(run),
        directory=layout.directory(run),
        stdout=layout.log(run, "out"),
        stderr=layout.log(run, "err"),
        ticket=layout.ticket(run),
        witness=layout.witness(run),
        environment=tuple(environment.items()),
        scratch=layout.scratch(run),
        resources=run.asked or program.resources,
        excluded=retry.avoided(_earlier(site, run)),
        script=program.script,
    )
