"""Lines for the shift, with time and level; on a terminal a progress bar under them."""

from __future__ import annotations

import contextlib
import datetime
import logging
import os
import sys
from collections.abc import Iterator
from typing import TextIO

from production import clock, errors
from production import run as runs
from production.catalogue import base
from production.journal import log


def local(instant: str) -> str:
    """An instant of the database in local time, with its offset."""
    return clock.instant(instant).astimezone().strftime("%Y-%m-%d %H:%M:%S %z")


class _Lines(logging.Formatter):
    def formatTime(self, record: logging.LogRecord, _datefmt: str | None = None) -> str:  # noqa: N802  logging's name
        return datetime.datetime.fromtimestamp(record.created).astimezone().strftime("%Y-%m-%d %H:%M:%S%z")

    def format(self, record: logging.LogRecord) -> str:
        text = super().format(record)
        if text.isprintable():
            return text
        return "".join(character if character.isprintable() else "\N{REPLACEMENT CHARACTER}" for character in text)


class _Bar(logging.Handler):
    """Writes lines; keeps a bar of the production as the last line of a terminal."""

    def __init__(self, stream: TextIO, catalogue: base.Catalogue, production: int) -> None:
        super().__init__()
        self._stream = stream
        self._catalogue = catalogue
        self._production = production
        self.setFormatter(_Lines("%(asctime)s %(levelname)-7s %(message)s"))

    def emit(self, record: logging.LogRecord) -> None:
        try:
            self._stream.write("\r\x1b[K" + self.format(record) + "\n" + self._bar())
            self._stream.flush()
        except OSError:
            pass  # the terminal has gone; the work goes on

    def _bar(self) -> str:
        try:
            counts = self._catalogue.counts(self._production)
        except errors.CatalogueError:
            return ""
        return bar(counts, os.get_terminal_size(self._stream.fileno()).columns)

    def close(self) -> None:
        with contextlib.suppress(OSError, ValueError):
            self._stream.write("\r\x1b[K")
            self._stream.flush()
        super().close()


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


@contextlib.contextmanager
def shown(catalogue: base.Catalogue, production: int) -> Iterator[None]:
    """While this lasts, what the house says is seen on stderr."""
    if sys.stderr.isatty() and os.environ.get("TERM", "dumb") != "dumb":
        handler: logging.Handler = _Bar(sys.stderr, catalogue, production)
    else:
        handler = logging.StreamHandler(sys.stderr)
        handler.setFormatter(_Lines("%(asctime)s %(levelname)-7s %(message)s"))
    logging.raiseExceptions = False  # a closed stderr is no reason to stop the work
    log.setLevel(logging.INFO)
    log.addHandler(handler)
    try:
        yield
    finally:
        log.removeHandler(handler)
        handler.close()
