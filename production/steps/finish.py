"""Done means verified: outputs are looked at, their way written down, put in place, and recorded.

Killed between the second and the last, the next manager finds the intent: a file that matches it is in place. A file
that was there before is never replaced.
"""

from __future__ import annotations

import contextlib
import dataclasses
import datetime
import errno
import os
import zlib
from collections.abc import Iterator, Sequence

from production import attempt, clock, errors, moment, pace, room
from production import run as runs
from production import site as site_
from production.catalogue import base
from production.journal import log, once, over, waiting
from production.outputs import base as outputs
from production.transfer import base as transfer

State, Cause = runs.State, runs.Cause

_pace = pace.Pace()


def step(site: site_.Site) -> None:
    """ended → finished; or new, failed for cause ``output``; or held."""
    ended = site.catalogue.owned(site.lease.owner, State.ENDED)
    if not ended:
        return
    _tell(site, ended)
    checked = [(run, verdict) for run in ended if (verdict := _verdict(site, run)) is not None]
    unread = [verdict.problem for _, verdict in checked if verdict.disk_full]
    good = _write_intents(site, [(run, verdict) for run, verdict in checked if not verdict.disk_full])
    placings = []
    for run, intents in good:
        attempt.stay_awake(site)  # at a fixed path another attempt's file may lie by now
        placings.append(_place_all(run, intents))
    for directory in {os.path.dirname(output.final) for _, intents in good for output in intents}:
        _sync(directory)
    _record(site, placings)
    if unread:
        raise errors.DiskFull(unread[0])


def _tell(site: site_.Site, ended: Sequence[runs.Run]) -> None:
    """How outputs come that are on another machine."""
    if waits := site.inspector.waits():
        waiting("outputs", f"{waits}; waiting", site.clock.boottime())
    else:
        over("outputs", "Outputs come again")
    come = site.inspector.coming()
    coming = {
        f"run {run}": transfer.Progress(come[mark], None, done=False)
        for run in ended
        if (mark := site.layout.mark(run)) in come
    }
    if line := _pace.line(coming, site.clock.boottime()):
        log.info("Outputs: %s", line)


def _verdict(site: site_.Site, run: runs.Run) -> outputs.Verdict | None:
    """What is known of the run's outputs; None while they are looked at."""
    if not site.layout.program.outputs:
        return outputs.Verdict(())
    intents = site.catalogue.intended(run)
    if intents:
        return outputs.Verdict(tuple(intents))
    if not attempt.touchable(site, run):
        once(
            f"waits {run}",
            f"Run {run} waits for {run.user}, whose files it wrote: {run.user} has to start a manager, too",
        )
        return None
    mark = site.layout.mark(run)
    try:
        return site.inspector.verdict(mark)
    except KeyError:
        rules = [
            outputs.Rule(output, rule.check, rule.minimum, rule.command, rule.optional)
            for output, rule in zip(site.layout.outputs(run), site.layout.program.outputs, strict=True)
        ]
        site.inspector.start(mark, rules)
        return None


def _write_intents(
    site: site_.Site, checked: Sequence[tuple[runs.Run, outputs.Verdict]]
) -> list[tuple[runs.Run, tuple[runs.Output, ...]]]:
    """The intent of every good one is committed; the bad ones' attempts have failed."""
    bad = [(run, verdict.problem) for run, verdict in checked if verdict.problem]
    good = [(run, verdict.outputs) for run, verdict in checked if not verdict.problem]
    if bad or any(intents for _, intents in good):
        now = site.clock.now()
        with attempt.writing(site) as change:
            for run, intents in good:
                change.intend(run, intents)
            failed = [
                run
                for run, problem in bad
                if attempt.fail(site, change, run, base.Ending(Cause.OUTPUT, problem + _fate(site, run)), now)
            ]
        attempt.clear(site, failed)
    return good


def _fate(site: site_.Site, run: runs.Run) -> str:
    """What becomes of bad outputs, of which the message speaks as if they could be looked at."""
    if site.layout.elsewhere:
        return " (what it wrote was removed)"
    work = os.path.join(site.layout.work(run), "")
    paths = [output.temporary for output in site.layout.outputs(run) if output.temporary.startswith(work)]
    return " (what it wrote was removed)" if any(map(os.path.lexists, paths)) else ""


@dataclasses.dataclass(frozen=True, slots=True)
class _Placing:
    """How it went with a run's outputs."""

    run: runs.Run
    placed: tuple[runs.Output, ...]
    problem: str = ""
    """What stands in the way of the next one; empty if all are in place."""


def _place_all(run: runs.Run, intents: Sequence[runs.Output]) -> _Placing:
    placed: list[runs.Output] = []
    try:
        for output in intents:
            place(output)
            placed.append(output)
    except errors.OutputError as problem:
        return _Placing(run, tuple(placed), str(problem))
    return _Placing(run, tuple(placed))


def place(output: runs.Output) -> None:
    """The output under its final name, too. Twice is as good as once; nothing is replaced.

    Raises: OutputError, if another file stands there.
    """
    try:
        os.makedirs(os.path.dirname(output.final), exist_ok=True)
        with contextlib.suppress(PermissionError):  # another user's file: he or his umask knows
            os.chmod(output.temporary, os.stat(output.temporary).st_mode & 0o7777 | 0o440)
        _link(output)
    except (FileNotFoundError, FileExistsError):
        _accept(output)  # moved by whoever was killed after it; or somebody else's
    except OSError as cause:
        raise errors.OutputError(f"output {output.name} can't be put at {output.final}: {cause.strerror}") from cause


def _withdraw(output: runs.Output) -> None:
    """Take back what was put in place; the run can't be finished."""
    with contextlib.suppress(FileNotFoundError):
        if not os.path.lexists(output.temporary) or os.path.samefile(output.temporary, output.final):
            os.rename(output.final, output.temporary)  # two names of one file: rename leaves both
            os.unlink(output.final)


def _link(output: runs.Output) -> None:
    try:
        os.link(output.temporary, output.final)  # unlike a rename it never replaces
    except OSError as cause:
        if cause.errno not in (errno.EPERM, errno.EOPNOTSUPP, errno.EMLINK) or os.path.lexists(output.final):
            raise
        os.rename(output.temporary, output.final)  # a file system without hard links


def _sync(directory: str) -> None:
    """The names in a directory survive a power cut."""
    with contextlib.suppress(OSError):
        descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def _accept(output: runs.Output) -> None:
    """The file that is there already must be ours: the same inode, or what was intended to the byte."""
    try:
        final = os.stat(output.final)
        with contextlib.suppress(FileNotFoundError):
            if os.path.samestat(final, os.stat(output.temporary)):
                return
        if final.st_size == output.bytes and _adler32(output.final) == output.checksum:
            return
    except OSError as cause:
        raise errors.OutputError(f"output {output.name} is gone from {output.temporary}: {cause.strerror}") from cause
    raise errors.OutputError(f"{output.final} is there already and is not this run's; move it away")


def _adler32(path: str) -> str:
    value = 1
    with open(path, "rb") as file:
        while block := file.read(1 << 20):
            value = zlib.adler32(block, value)
    return f"adler32:{value:08x}"


def _record(site: site_.Site, placings: Sequence[_Placing]) -> None:
    """Outputs come into place all or none. What is removed is removed while we hold the lock, and the run."""
    if not placings:
        return
    now = site.clock.now()
    with attempt.writing(site) as change:
        over = [
            placing.run
            for placing in placings
            if (_hold(change, placing, now) if placing.problem else _finish(change, placing, now))
        ]
    attempt.clear(site, over)


def _hold(change: base.Change, placing: _Placing, now: datetime.datetime) -> bool:
    if not attempt.hold(change, placing.run, Cause.OUTPUT, placing.problem, now):
        return False
    for output in placing.placed:
        _withdraw(output)
    return True


def _told(placing: _Placing) -> Iterator[str]:
    """What is worth a word: which attempt, how long it took from its submission, what it wrote."""
    run = placing.run
    yield f"attempt {run.attempt}"
    if run.submitted:
        yield moment.age(run.submitted, clock.instant(run.since))
    for output in placing.placed:
        yield f"{output.name} {room.shown(output.bytes)}"


def _finish(change: base.Change, placing: _Placing, now: datetime.datetime) -> bool:
    run = placing.run
    if not change.move(run, State.FINISHED, "", now):
        attempt.stale(run)
        return False
    change.record(run, now)
    for output in placing.placed:
        # The other name goes: a fixed path may be another attempt's the moment we lose the run.
        with contextlib.suppress(FileNotFoundError):
            os.unlink(output.temporary)
    attempt.remove_inputs(change, run)
    log.info("Finished run: %s (%s)", run, ", ".join(_told(placing)))
    return True
