"""``production log RUN``: what the jobs of a run have said, to the end or as they say it."""

from __future__ import annotations

import argparse
import contextlib
import dataclasses
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING

from production import disk, errors
from production import run as runs
from production.cli import asking, options

if TYPE_CHECKING:
    from production import facts
    from production.cli import tail
    from production.monitor import reach

LINES = 100
"""That a terminal is shown unless more are asked for."""
POLL = 0.5
"""Seconds between two looks at a log that is followed."""


@dataclasses.dataclass(frozen=True, slots=True)
class _Wanted:
    """What is to be shown."""

    run: int
    attempt: int | None
    streams: tuple[str, ...]
    lines: int | None
    """None: as many as suit; 0: all."""
    logs: reach.Reach
    """Opens them."""


def add_to(commands: argparse._SubParsersAction[options.Parser]) -> None:
    """Add the command to ``production``."""
    parser = commands.add_parser(
        "log",
        help="what the job of a run has said; -f: as it says it",
        description="What the job of a run has said on stdout and stderr; with -f as it says it, until the attempt is over.",
    )
    parser.add_argument("run", metavar="RUN", help="its number")
    asking.add_production(parser)
    parser.add_argument(
        "-f", "--follow", action="store_true", help="go on as the log grows, until the attempt is over; or Ctrl-C"
    )
    parser.add_argument("--attempt", metavar="N", help="of this attempt (default: the last one with a log)")
    which = parser.add_mutually_exclusive_group()
    which.add_argument("--out", action="store_true", help="only what it said on stdout")
    which.add_argument("--err", action="store_true", help="only what it said on stderr")
    parser.add_argument(
        "-n",
        "--lines",
        metavar="LINES",
        help=f"only so many last ones; 0: all (default {LINES} on a terminal, else all)",
    )
    asking.add_where(parser)
    parser.set_defaults(command=_log)


def _log(given: argparse.Namespace) -> int:
    streams = ("out",) if given.out else ("err",) if given.err else ("out", "err")
    attempt = asking.whole(given.attempt, "--attempt", least=1)
    from production.cli import remote

    wanted = _Wanted(asking.run(given.run), attempt, streams, asking.whole(given.lines, "--lines"), remote.logs())
    path = asking.database(given)
    with asking.catalogue(path) as catalogue:
        production = asking.looked_at(catalogue, given, wanted.run)
        row = asking.row(catalogue, production, wanted.run)
        attempts = catalogue.records.attempts(production.id, wanted.run)
    one = _chosen(row, attempts, wanted, given.follow)
    try:
        if given.follow:
            _follow(path, production, one, wanted)
        else:
            _print(row, one, wanted)
    except disk.Trouble as trouble:
        raise errors.ProductionError(f"run {row}, attempt {one.attempt}: {trouble}") from trouble
    return 0


def _chosen(row: facts.Row, attempts: Sequence[facts.Attempt], wanted: _Wanted, follow: bool) -> facts.Attempt:
    """The attempt that is meant. Raises: UsageError, if it has no log and will not soon."""
    if wanted.attempt is not None:
        meant = [one for one in attempts if one.attempt == wanted.attempt]
        if not meant:
            raise errors.UsageError(f"run {row} has no attempt {wanted.attempt}; it had {row.attempt or 'none'}")
    elif follow and row.state in runs.IN_FLIGHT:
        return attempts[-1]
    else:
        meant = [one for one in attempts if one.olog or one.elog]
    if not meant or not (follow or meant[-1].olog or meant[-1].elog):
        raise errors.ProductionError(_none_yet(row, attempts, wanted.attempt))
    return meant[-1]


def _none_yet(row: facts.Row, attempts: Sequence[facts.Attempt], attempt: int | None) -> str:
    """Why there is no log."""
    if attempt is not None:
        return f"run {row}, attempt {attempt}: no job was submitted, so there is no log"
    last = attempts[-1] if attempts else None
    why = f": {last.cause}: {last.message}" if last and last.cause else f": {row.why}" if row.why else ""
    return f"run {row} has no log: it is {row.state}, and no job was submitted for it{disk.printable(why)}"


def _logs(one: facts.Attempt, wanted: _Wanted) -> list[tail.Log]:
    from production.cli import tail

    paths = {"out": one.olog, "err": one.elog}
    return [_reached(tail.Log(path, wanted.logs)) for stream in wanted.streams if (path := paths[stream])]


def _reached(log: tail.Log) -> tail.Log:
    """For one on another machine we log in now, while there is a person who may be asked."""
    from production.cli import wiring
    from production.monitor import reach

    if reach.elsewhere(log.path):
        wiring.greet(reach.split(log.path)[0])
    return log


def _print(row: facts.Row, one: facts.Attempt, wanted: _Wanted) -> None:
    logs = _logs(one, wanted)
    full = [log for log in logs if log.has_more()]
    if not full:
        _tell_empty(row, one, logs)
    for log in full:
        _begin(log, wanted.lines)
        if len(full) > 1:
            options.say(_heading(log, first=log is full[0]))
        log.show()


def _heading(log: tail.Log, *, first: bool) -> str:
    return f"{'' if first else chr(10)}==> {disk.shown(log.path)} <=="


def _tell_empty(row: facts.Row, one: facts.Attempt, logs: Sequence[tail.Log]) -> None:
    """Raises: Trouble, if its log is gone though it was there."""
    if one.ended is not None and one.exit is not None:
        for log in logs:
            log.check()
    _say(
        f"run {row}, attempt {one.attempt} ({row.state}): nothing in {' or '.join(disk.shown(log.path) for log in logs)}"
    )


def _begin(log: tail.Log, lines: int | None) -> None:
    """At its beginning, or so that only the last lines are shown, which is said if nobody asked for it."""
    if lines is None and sys.stdout.isatty():
        if log.begin_at_line(LINES):
            _say(f"the last {LINES} lines of {disk.shown(log.path)}; -n 0 shows all")
    elif lines:
        log.begin_at_line(lines)


def _say(text: str) -> None:
    with contextlib.suppress(OSError):
        print(f"production: {text}", file=sys.stderr, flush=True)


# ── following ──


def _follow(path: str, production: runs.Production, one: facts.Attempt, wanted: _Wanted) -> None:
    """Until the attempt is over. The database is opened for each look: a follower must not be in anybody's way."""
    from production import clock

    waiting, shown = clock.SystemClock(), _Shown(wanted)
    while True:
        row, now = _look(path, production, one, wanted.run)
        over = now.ended is not None and not (row.state is runs.State.ENDED and row.attempt == one.attempt)
        shown.go_on(row, now, over=over)
        if over:
            _say(f"run {row}, attempt {one.attempt} is over: {_verdict(row, now)}")
            return
        waiting.wait(max(POLL, shown.pause()))


def _look(path: str, production: runs.Production, one: facts.Attempt, run: int) -> tuple[facts.Row, facts.Attempt]:
    """The run and the attempt as they are now."""
    with asking.catalogue(path) as catalogue:
        row = asking.row(catalogue, production, run)
        attempts = catalogue.records.attempts(production.id, run)
    return row, next(each for each in attempts if each.attempt == one.attempt)


class _Shown:
    """The logs of an attempt that goes on, and what of them has been shown."""

    def __init__(self, wanted: _Wanted) -> None:
        self._wanted = wanted
        self._logs: dict[str, tail.Log] = {}
        self._last = ""
        """The stream that was shown last."""
        self._told = False
        self._away: set[str] = set()
        """Streams that can't be read for now."""

    def go_on(self, row: facts.Row, one: facts.Attempt, *, over: bool) -> None:
        """Show what is new. Raises: Trouble; but a machine that is away is waited for, unless it is ``over``."""
        from production.monitor import reach

        self._find(one)
        for stream, log in self._logs.items():
            try:
                if log.has_more():
                    self._show(stream, log)
            except reach.Away as away:
                if over or not away.transient:
                    raise
                self._wait_for(stream, str(away))
            else:
                self._wait_for(stream, "")
        if not self._logs and not self._told and one.ended is None:
            self._told = True
            _say(f"run {row}, attempt {one.attempt} is {row.state}, and has no log yet; waiting")

    def _find(self, one: facts.Attempt) -> None:
        from production.cli import tail

        paths = {"out": one.olog, "err": one.elog}
        for stream in self._wanted.streams:
            path = paths[stream]
            if path and stream not in self._logs:
                self._logs[stream] = _reached(tail.Log(path, self._wanted.logs))
            elif path:
                # The logs of an earlier attempt are kept under another name; the file is the same.
                self._logs[stream].path = path

    def _wait_for(self, stream: str, trouble: str) -> None:
        """Say it once when a log is away, and when it is back."""
        if trouble and not self._away:
            _say(f"{trouble}; waiting")
        if trouble:
            self._away.add(stream)
        elif stream in self._away:
            self._away.discard(stream)
            if not self._away:
                _say(f"{disk.shown(self._logs[stream].path)} can be read again")

    def pause(self) -> float:
        """Seconds that have to lie between two looks."""
        from production.monitor import reach

        return max((reach.pause(log.path) for log in self._logs.values()), default=0.0)

    def _show(self, stream: str, log: tail.Log) -> None:
        if not log.shown:
            _begin(log, self._wanted.lines)
        elif log.anew():
            _say(f"{disk.shown(log.path)} begins anew: it was cut off, or is another file")
        if len(self._wanted.streams) > 1 and self._last != stream:
            options.say(_heading(log, first=not self._last))
        self._last = stream
        log.show()


def _verdict(row: facts.Row, one: facts.Attempt) -> str:
    """How it ended, and what that means for the run."""
    code = f"signal {one.signal}" if one.signal is not None else f"exit {one.exit}" if one.exit is not None else "ended"
    how = f"{one.cause}: {one.message or code}" if one.cause else code
    again = f"; attempt {row.attempt} follows" if row.attempt > one.attempt else ""
    return f"{disk.printable(how)}; the run is {row.state}{again}"
