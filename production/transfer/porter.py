"""Carries several files at a time: queues fetches for the stage step and tells it how far each is.

In come names from the corridor, out goes ``Progress`` for each local path; below is any ``Transfer``. Nothing here
knows of runs or changes their state, and nothing is tried twice: that is the corridor's to decide.
"""

from __future__ import annotations

import functools
import logging
import threading
from collections.abc import Mapping, Sequence

from production import clock as clocks
from production import disk, errors, threads
from production.transfer import base

_LOG = logging.getLogger(__name__)


class Unwanted(Exception):
    """Ends a fetch at its next block; goes from ``progress`` through the transfer back to us."""


class _Fetch:
    """One fetch. Changed under the porter's lock only."""

    __slots__ = ("bytes", "ended", "error", "local", "remote", "running", "size", "unwanted")

    def __init__(self, remote: str, local: str) -> None:
        self.remote = remote
        self.local = local
        self.bytes = 0
        self.size: int | None = None
        self.ended = False
        self.error: Exception | None = None
        self.running = False
        self.unwanted = False


class Threads:
    """Fetches in ``width`` threads."""

    def __init__(self, transfer: base.Transfer, clock: clocks.Clock, width: int, patience: float = 10.0) -> None:
        """``patience``: seconds that ``stop`` waits for threads that hang in the archive."""
        self._transfer = transfer
        self._clock = clock
        self._patience = patience
        self._crew = threads.Crew("transfer", width, clock.wake)
        self._lock = threading.Lock()
        self._fetches: dict[str, _Fetch] = {}
        self._leaving: set[str] = set()
        """Local paths that were forgotten while their bytes came; their threads are about to notice."""

    def start(self, remote: str, local: str) -> None:
        """Queue one fetch; wakes the clock when it ends. One that is under way already just goes on."""
        fetch = _Fetch(remote, local)
        with self._lock:
            known = self._fetches.get(local)
            if known is not None and not known.ended:
                return
            self._fetches[local] = fetch
            if local in self._leaving:  # two writers on one .part: never
                fetch.error = errors.TransferError(f"{disk.shown(local)}: its last transfer has not ended yet")
                fetch.ended = True
        if fetch.ended:
            self._clock.wake()
        else:
            self._crew.give(functools.partial(self._carry, fetch))

    def progress(self) -> Mapping[str, base.Progress]:
        """{local path: how far}. An ended one is ``done``; it failed if it also has an ``error``."""
        with self._lock:
            return {
                fetch.local: base.Progress(fetch.bytes, fetch.size, fetch.ended, fetch.error)
                for fetch in self._fetches.values()
            }

    def forget(self, locals: Sequence[str]) -> None:
        """Tell no more of these. One that has not ended is ended: dropped from the queue, or at its next block."""
        with self._lock:
            for local in locals:
                fetch = self._fetches.pop(local, None)
                if fetch is not None and not fetch.ended:
                    fetch.unwanted = True
                    if fetch.running:
                        self._leaving.add(local)

    def stop(self) -> None:
        """End all fetches; those that didn't come are told no more. Waits until what was partial is removed.

        A thread that hangs in the archive past the patience is left behind (it dies with this process); the log names
        its file. Nothing can be started afterwards.
        """
        with self._lock:
            under_way = [fetch for fetch in self._fetches.values() if not fetch.ended]
            for fetch in under_way:
                fetch.unwanted = True
        self._crew.dismiss(self._patience)
        with self._lock:
            for fetch in under_way:
                if not fetch.ended:
                    self._fetches.pop(fetch.local, None)
            hung = [fetch.local for fetch in under_way if fetch.running and not fetch.ended] + sorted(self._leaving)
        for local in hung:
            _LOG.warning("Transfer hangs, left behind: %s (remove its .part)", disk.shown(local))

    def close(self) -> None:
        """Stop, if that wasn't done. The transfer itself is closed by who opened it."""
        if not self._crew.dismissed:
            self.stop()

    def _carry(self, fetch: _Fetch) -> None:
        with self._lock:
            if fetch.unwanted:
                return
            fetch.running = True
        error: Exception | None = None
        try:
            size = self._transfer.size(fetch.remote)
            with self._lock:
                fetch.size = size
            count = self._transfer.fetch(fetch.remote, fetch.local, functools.partial(self._advance, fetch))
            with self._lock:
                fetch.bytes = count
        except errors.ProductionError as told:
            error = told
        except BaseException as unexpected:  # noqa: BLE001 -- a fetch without an end would be waited for, for ever
            what = f"{type(unexpected).__name__}: {disk.first_line(unexpected)}"
            error = errors.TransferError(f"{disk.shown(fetch.local)}: the transfer broke unexpectedly: {what}")
            error.__cause__ = unexpected
        self._end(fetch, error)

    def _advance(self, fetch: _Fetch, count: int) -> None:
        """Called by the transfer after each block."""
        with self._lock:
            if fetch.unwanted:
                raise Unwanted
            fetch.bytes = count

    def _end(self, fetch: _Fetch, error: Exception | None) -> None:
        with self._lock:
            fetch.running = False
            if self._fetches.get(fetch.local) is not fetch:
                self._leaving.discard(fetch.local)  # forgotten meanwhile
            elif error is None or not fetch.unwanted:  # what was stopped has neither come nor failed
                fetch.error = error
                fetch.ended = True
