"""What both ends say of a file's bytes: for who fetches, and for who sends.

Next is ``sums``, which has the sums taken there; before it are ``fetching`` and ``sending``.
"""

from __future__ import annotations

import contextlib
import logging
import os
import threading
from collections.abc import Callable

from production import errors
from production.ssh import connection, sums, talks

_LOG = logging.getLogger(__name__)


class Anew(Exception):
    """What was gone on with isn't the beginning of the file."""


class Checks:
    """Those of a machine, where somebody can be asked."""

    def __init__(self, way: connection.Connection, talking: talks.Talks) -> None:
        self._name = way.host.name
        self._sums = sums.Sums(way)
        self._talks = talking
        self._lock = threading.Lock()
        self.why = ""
        """There are none, because of this; empty as long as nothing is known against it."""

    def ask(self, there: str, size: int, waiting: Callable[[], None], *, at_once: bool) -> sums.Asked:
        """Put the question, if it can be put, or ``at_once``."""
        if self.why:
            return sums.Asked(self._sums, None)
        with self._talks.patience(waiting) as patience:
            return self._sums.ask(os.fsencode(there), size, patience, at_once=at_once)

    def answer(self, asked: sums.Asked, there: str, size: int, waiting: Callable[[], None]) -> str:
        """The sum as it is told there; empty if nobody tells. Asked now if there was no room for the question."""
        with contextlib.ExitStack() as stack:
            if not asked.put:
                asked = stack.enter_context(self.ask(there, size, waiting, at_once=False))
            if not asked.put:
                return ""
            try:
                return asked.answer(self._talks.stall + size / sums.SLOWEST, waiting)
            except sums.Nothing as nothing:
                self._give_up(str(nothing))
                return ""

    def _give_up(self, why: str) -> None:
        with self._lock:
            told, self.why = bool(self.why), self.why or why
        if not told:
            _LOG.warning("%s takes no checksums (%s): files are compared by their size alone", self._name, why)

    def close(self) -> None:
        self._sums.close()


def wrong(what: str, theirs: str, ours: str) -> errors.TransferError:
    """Both ends have other bytes."""
    return errors.TransferError(f"{what}: its SHA-256 is {theirs} there, {ours} here")
