"""Lines for the shift, with time and level; on a terminal a progress bar under them."""

from __future__ import annotations

import contextlib
import datetime
import functools
import logging
import os
import sys
import termios
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, TextIO

from production import disk, errors, process
from production import run as runs
from production.catalogue import base
from production.journal import log, numbers

if TYPE_CHECKING:
    from production.cli import display


@functools.lru_cache(maxsize=1)
def _second(instant: int) -> str:
    """Many lines share a second."""
    return datetime.datetime.fromtimestamp(instant).astimezone().strftime("%Y-%m-%d %H:%M:%S%z")


_CLEAR = "\r\x1b[J"
"""To the beginning of the line, and nothing from there to the end of the screen (ECMA-48, CR and ED)."""


class _Lines(logging.Formatter):
    def formatTime(self, record: logging.LogRecord, _datefmt: str | None = None) -> str:  # noqa: N802  logging's name
        return _second(int(record.created))

    def format(self, record: logging.LogRecord) -> str:
        text = super().format(record)
        return text if text.isprintable() else disk.printable(text)


class Lines(logging.Handler):
    """Writes lines; on a terminal keeps a bar of a production as the last one."""

    def __init__(self, stream: TextIO) -> None:
        super().__init__()
        self._stream = stream
        self._followed: tuple[base.Catalogue, int, runs.Wanted] | None = None
        self._counts: dict[runs.State, int] = {}
        self._again = 0.0
        """When they are counted again: to count chosen runs takes as long as these are many."""
        self._took = 0.0
        """Seconds that it took the last time."""
        self._is_terminal = stream.isatty() and os.environ.get("TERM", "dumb") != "dumb"
        self._display: display.Display | None = None
        self.setFormatter(_Lines("%(asctime)s %(levelname)-7s %(message)s"))

    def follow(self, catalogue: base.Catalogue, production: int, wanted: runs.Wanted) -> None:
        """Which runs of which production the bar is of."""
        self._followed = (catalogue, production, wanted)

    @contextlib.contextmanager
    def shown_in(self, arguments: Sequence[str], leaving: Callable[[], bool]) -> Iterator[None]:
        """While this lasts, the dashboard shows what is said; once it is closed, lines do.

        ``arguments``: its own; ``leaving``: whether somebody wants to go.
        """
        from production.cli import display

        self._wipe()
        try:
            opened = self._display = display.Display(arguments, self._go_on)
        except (OSError, termios.error) as trouble:
            log.warning("The dashboard can't be shown: %s", trouble)
            yield
            return
        try:
            with opened.stopping_together():
                yield
        finally:
            opened.close(leaving)

    def _go_on(self) -> None:
        """The dashboard is closed: what it was told last stands where it was. From its thread."""
        with self.lock or contextlib.nullcontext():
            shown, self._display = self._display, None
            if shown is not None and self._is_terminal:
                self._write("".join(f"{text}\n" for text in shown.last))

    def leaving(self) -> None:
        """The production was told to stop."""
        with self.lock or contextlib.nullcontext():
            if self._display is not None:
                self._display.leaving()

    def emit(self, record: logging.LogRecord) -> None:
        text = self.format(record) + "\n"
        if self._display is not None:
            self._display.say(text.rstrip("\n"))
            if self._is_terminal:
                return
        # The cursor waits at the bar's beginning: there a terminal keeps it when it is made narrower and breaks the bar
        # into several lines, and there it echoes a ^C. Everything from there on is removed with the bar.
        self._write(f"{_CLEAR}{text}{self._bar()}\r" if self._is_terminal else text)

    def close(self) -> None:
        self._wipe()
        super().close()

    def _wipe(self) -> None:
        """No bar any more."""
        if self._is_terminal:
            self._write(_CLEAR)

    def _write(self, text: str) -> None:
        with contextlib.suppress(OSError, ValueError):  # the terminal has gone; the work goes on
            self._stream.write(text)
            self._stream.flush()

    def _bar(self) -> str:
        if self._followed is None:
            return ""
        try:
            self._count(*self._followed)
            return bar(self._counts, os.get_terminal_size(self._stream.fileno()).columns)
        except (errors.CatalogueError, OSError):
            return ""

    def _count(self, catalogue: base.Catalogue, production: int, wanted: runs.Wanted) -> None:
        """A twentieth of our time at most; and not from the threads that carry files, which may say something, too.

        Once slow is chance, on a machine with other things to do, and the bar would stand still for it; twice is not.
        """
        before = time.monotonic()
        if before >= self._again and threading.current_thread() is threading.main_thread():
            self._counts = catalogue.counts(production, wanted)
            after = time.monotonic()
            last, self._took = self._took, after - before
            self._again = after + 20 * min(last, self._took)


def bar(counts: dict[runs.State, int], columns: int) -> str:
    """``[#####>>....] 12/40 finished, 3 failed``, within so many columns."""
    whole = sum(counts.values()) or 1
    finished = counts.get(runs.State.FINISHED, 0)
    stuck = counts.get(runs.State.FAILED, 0) + counts.get(runs.State.HELD, 0)
    flying = sum(counts.get(state, 0) for state in runs.IN_FLIGHT)
    words = f" {finished}/{whole} finished, {flying} in hand" + (f", {stuck} failed or held" if stuck else "")
    width = max(0, min(60, columns - len(words) - 3))
    done, going = width * finished // whole, width * (finished + flying) // whole
    return (f"[{'#' * done}{'>' * (going - done)}{'.' * (width - going)}]{words}" if width > 4 else words.strip())[
        : columns - 1
    ]


def named(production: runs.Production, wanted: runs.Wanted) -> str:
    """``alcapana_v4``; of chosen runs ``alcapana_v4, dataset Al50``."""
    chosen = [f"dataset {name}" for name in wanted.datasets] + [f"tranche {number}" for number in wanted.tranches]
    return ", ".join([production.name, *chosen])


def summary(counts: dict[runs.State, int]) -> str:
    """``5 finished, 1 failed``."""
    order = (
        runs.State.FINISHED,
        runs.State.FAILED,
        runs.State.HELD,
        *runs.IN_FLIGHT,
        runs.State.NEW,
        runs.State.WAITING,
    )
    return ", ".join(f"{counts[state]} {state}" for state in order if counts.get(state)) or "no runs"


def stuck(one: base.Stuck) -> list[str]:
    """Lines: ``held for cause staging: 102 and 104``, and examples."""
    cause = one.cause if one.cause == base.BY_HAND else f"for cause {one.cause or 'unknown'}"
    examples = [f"  e.g. run {run}: {disk.printable(why)}" for run, why in one.examples]
    how = "cancelled" if (one.state, one.cause) == (runs.State.FAILED, base.BY_HAND) else f"{one.state} {cause}"
    return [f"{how}: {numbers(one.first, one.runs)}", *examples]


@contextlib.contextmanager
def shown() -> Iterator[Lines]:
    """While this lasts, what the house says is seen on stderr."""
    lines = Lines(sys.stderr)
    log.setLevel(logging.INFO)
    log.addHandler(lines)
    try:
        yield lines
    finally:
        log.removeHandler(lines)
        lines.close()


def unfit() -> str:
    """Why a dashboard can't be shown here; empty: it can."""
    with contextlib.suppress(ValueError, OSError):
        if sys.stdin.isatty() and sys.stdout.isatty():
            if os.environ.get("TERM", "") in ("", "dumb"):
                return "needs more than TERM=dumb"
            return "" if process.in_front(sys.stdin.fileno()) else "needs to be in the foreground"
    return "needs a terminal"
