"""The batch system: a job that runs ``true`` goes the way of all jobs, wrapper and all, and is seen to end well.

In the main thread, as a manager's jobs are. Whatever happens, the job is gone afterwards, and so are its files.
"""

from __future__ import annotations

import contextlib
import dataclasses
import os
import secrets
import time
from collections.abc import Iterator

from production import clock, disk, errors, settings
from production import run as runs
from production.batch import base, witness
from production.cli import data, depots, wiring
from production.cli.checks import finding, ground, node, way

POLL = 2.0
"""Seconds between two questions to a cluster, at most: somebody waits."""
LATE = 5.0
"""Seconds that a witness may come after its job has gone, on a network file system; and that a cancelled job may live."""
ASKED = runs.Resources(time=300.0)
_PREFIX = {"slurm": "#SBATCH", "sge": "#$"}
"""How lines of a job script begin that are options to the cluster."""


@dataclasses.dataclass(slots=True)
class _Probe:
    """The job, and what is known of it."""

    system: base.BatchSystem
    ticking: clock.SystemClock
    submission: base.Submission
    poll: float
    job: str = ""
    over: bool = True
    """There is nothing to end."""
    last: base.Report = dataclasses.field(default_factory=lambda: base.Report(base.Phase.PENDING))

    @property
    def task(self) -> base.Task:
        return self.submission.tasks[0]


def batch(patient: finding.Patient) -> list[finding.Finding]:
    """It takes a job, runs it, and its end is seen."""
    chosen = _quick(patient.chosen)
    if chosen.batch.host:
        with way.told(chosen.batch.host, "[batch] host"):
            met = node.look(chosen.batch)
            disk = [finding.Finding("batch", True, depots.tried(chosen))] if chosen.batch.remote_data else []
            return [met, *disk, _tried(patient, chosen)]
    wiring.check_batch(chosen.batch)
    return [_tried(patient, chosen)]


def _tried(patient: finding.Patient, chosen: settings.Settings) -> finding.Finding:
    with contextlib.ExitStack() as stack:
        ticking = clock.SystemClock()
        stack.callback(ticking.close)
        system = wiring.batch(stack, chosen, ticking, lambda: False)
        place = stack.enter_context(_place(chosen, system.depot))
        poll = 0.5 if chosen.batch.system == "local" else chosen.batch.poll
        probe = _Probe(system, ticking, _submission(chosen, place, system.depot), poll)
        stack.callback(_clear, probe)
        began = time.monotonic()
        _submit(probe)
        seen = _end(probe, began + patient.patience)
        seconds = time.monotonic() - began
        if seen is not None:
            _see_gone(probe)
    if seen is None:
        raise finding.Bad(*_late(probe, seconds))
    host = seen.host or probe.last.host or "?"
    if seen.exit != 0:
        how = f"exit {seen.exit}" if seen.exit is not None else f"signal {seen.signal}"
        raise finding.Bad(
            f"{chosen.batch.name}: a job of `true` ended on {host} with {how}", "try a job of your own there"
        )
    return finding.Finding(
        "batch", True, f"{chosen.batch.name}: a job ran `true` on {host}: exit 0, seen after {seconds:.2f} s"
    )


def _quick(chosen: settings.Settings) -> settings.Settings:
    """Settings by which a cluster is asked more often than by a manager that has all night."""
    return dataclasses.replace(
        chosen,
        batch=dataclasses.replace(chosen.batch, poll=min(POLL, chosen.batch.poll)),
        grace=min(LATE, chosen.grace),
    )


@contextlib.contextmanager
def _place(chosen: settings.Settings, depot: base.Depot) -> Iterator[str]:
    """A directory of its own below the data: what its node doesn't see, no job's would."""
    if not depot.far:
        with ground.scratch(data.real(chosen.data)) as place:
            yield place
        return
    place = os.path.join(depots.settled(chosen).data, f".doctor-{secrets.token_hex(4)}")
    depot.make([place])
    try:
        yield place
    finally:
        depot.remove([place])


def _submission(chosen: settings.Settings, place: str, depot: base.Depot) -> base.Submission:
    """One task. Raises: SubmitRefused, BatchUnanswered."""
    path = {name: os.path.join(place, name) for name in ("true", "job.out", "job.err", "job.ticket", "job.witness")}
    depot.write(path["true"], os.fsencode("\n".join(["#!/bin/sh", *_options(chosen), "true\n"])))
    depot.give_tickets([base.Belongings(path["job.ticket"], os.path.join(place, "tickets"), path["job.witness"])])
    name = f"doctor-{secrets.token_hex(4)}"
    task = base.Task(
        run=1, attempt=1, mark=f"{name}-1-1", argv=(path["true"],), directory=place, stdout=path["job.out"],
        stderr=path["job.err"], ticket=path["job.ticket"], witness=path["job.witness"],
        environment=() if chosen.batch.host else (("HOME", os.path.expanduser("~")),), resources=ASKED,
        script=_script(chosen) if depot.far else "",
    )  # fmt: skip
    return base.Submission(name, (task,), chosen.niceness)


def _options(chosen: settings.Settings) -> list[str]:
    """What the script of the first program asks its cluster for: a site may want an account, or a partition."""
    prefix, script = _PREFIX.get(chosen.batch.system), _script(chosen)
    if prefix is None or not script:
        return []
    with contextlib.suppress(OSError, disk.Trouble), disk.reading(script) as (descriptor, _):
        lines = os.fsdecode(os.read(descriptor, 1 << 16)).splitlines()
        comments = next((at for at, line in enumerate(lines) if line.strip() and line[0] != "#"), len(lines))
        return [line for line in lines[:comments] if line.startswith(prefix)]
    return []


def _script(chosen: settings.Settings) -> str:
    """The first program's; empty: there is none."""
    programs = finding.own(chosen) or list(chosen.programs.values())
    return programs[0].script if programs else ""


def _submit(probe: _Probe) -> None:
    """Raises: Bad: it didn't become a job; BatchUnanswered."""
    probe.over = False
    try:
        started = probe.system.submit(probe.submission)
    except errors.SubmitRefused as refused:
        probe.over = True
        # it speaks of a run; here there is none
        text = str(refused).removeprefix("no job was started: ").removeprefix("run 1 ").removeprefix("run 1: ")
        found, mend = finding.parted(
            text, "ask the site what a job must ask for; #SBATCH and #$ lines of your script are heeded"
        )
        raise finding.Bad(f"a job of `true` was refused: {found}", mend) from refused
    if probe.task.mark not in started:
        probe.over = True
        raise finding.Bad(
            f"a job of `true` was not taken: {probe.system.full()}", "wait until some of your jobs have ended"
        )
    probe.job = started[probe.task.mark]


def _end(probe: _Probe, deadline: float) -> witness.Witness | None:
    """What the job says of its end; None if it didn't in time, or is gone without a word."""
    silent = float("inf")
    while (now := time.monotonic()) < min(deadline, silent):
        trouble = ""
        try:
            probe.last = probe.system.query({probe.task.mark: probe.job})[probe.task.mark]
        except errors.BatchUnanswered as cause:  # its witness may still come
            trouble = str(cause)
            probe.last = dataclasses.replace(probe.last, phase=base.Phase.UNKNOWN, reason=trouble)
        seen = _witness(probe)
        if seen is not None and seen.ended:
            return seen
        if probe.last.phase is base.Phase.GONE:
            probe.over = True
            silent = min(silent, now + LATE)
        probe.ticking.wait(min(probe.poll, max(0.0, min(deadline, silent) - now)))
    return None


def _witness(probe: _Probe) -> witness.Witness | None:
    directory, name = os.path.split(probe.task.witness)
    with contextlib.suppress(errors.BatchUnanswered):
        return probe.system.depot.witnesses(directory, [name]).get(name)
    return None


def _late(probe: _Probe, seconds: float) -> tuple[str, str]:
    """What is bad, and the mend, of a job whose end wasn't seen."""
    last, why = probe.last, f" ({probe.last.reason})" if probe.last.reason else ""
    if last.phase is base.Phase.GONE:
        code = "" if last.exit is None else f" with exit {last.exit}"
        found = f"job {probe.job} of `true` ended on {last.host or '?'}{code} and left no word{why}"
        return found, f"see whether that machine has {os.path.dirname(os.path.dirname(probe.task.witness))}"
    found = f"job {probe.job} of `true` is still {last.phase} after {seconds:.0f} s{why}; it was cancelled"
    return found, "look at the queue; if it is only full: production doctor --patience=600"


def _clear(probe: _Probe) -> None:
    """End the job, if there is one, and see it gone. Without its ticket it does nothing any more."""
    probe.system.depot.remove([probe.task.ticket])
    if probe.over:
        return
    mark = probe.task.mark
    with contextlib.suppress(errors.ProductionError):
        if not probe.job:
            sought = {mark: base.Sought(probe.submission.name, probe.task.witness)}
            probe.job = probe.system.find(sought).get(mark, "")
        if not probe.job:
            return
        probe.system.cancel({mark: probe.job})
        _see_gone(probe)


def _see_gone(probe: _Probe) -> None:
    """Wait, but not for long, until the job has left the batch system."""
    mark, end = probe.task.mark, time.monotonic() + LATE
    while time.monotonic() < end and not probe.over:
        with contextlib.suppress(errors.BatchUnanswered):
            probe.over = probe.system.query({mark: probe.job})[mark].phase is base.Phase.GONE
        if not probe.over:
            probe.ticking.wait(min(probe.poll, 0.5))
