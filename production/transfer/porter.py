"""Carries several files at a time: queues fetches for the stage step and tells it how far each is.

In come names from the corridor, out goes ``Progress`` for each local path; below is any ``Transfer``. Nothing here
knows of runs or changes their state. A file that fails is told, not tried again: that is the corridor's to decide. What
is no file's fault (the archive is away, the disk is full) is waited out here.
"""

from __future__ import annotations

import collections
import functools
import logging
import math
import threading
import time
from collections.abc import Callable, Mapping, Sequence

from production import clock as clocks
from production import disk, errors, threads
from production.transfer import away, base, recall, seats

_LOG = logging.getLogger(__name__)

_GLANCE = 0.1
"""Seconds between two looks whether we are told to stop at once."""
_QUICK = 0.0002
"""Seconds, for each connection: where our disk takes no longer, a thread waits for it itself. To let another go on
meanwhile costs as much; and the more connections there are, the less is lost while one rests."""


class _Fetch:
    """One fetch. Changed under the porter's lock only."""

    # fmt: off
    __slots__ = (
        "bytes", "ended", "error", "local", "measured", "most", "received", "remote", "running", "seated", "size",
        "unwanted", "waits",
    )
    # fmt: on

    def __init__(self, remote: str, local: str, most: int | None, measured: bool = False) -> None:
        self.remote = remote
        self.local = local
        self.most = most
        self.measured = measured
        self.bytes = 0
        self.size: int | None = None
        self.ended = False
        self.error: Exception | None = None
        self.received = 0.0
        """When the archive had done its part, as ``time.monotonic`` has it."""
        self.running = False
        self.seated = False
        """Whether it is its turn at the archive."""
        self.unwanted = False
        self.waits = ""

    @property
    def let_in(self) -> bool:
        """Whether the archive is busy with it, as far as we know."""
        return self.seated and not self.waits and self.size is not None

    def told(self) -> base.Progress:
        return base.Progress(self.bytes, self.size, self.ended, self.error, self.waits, self.measured)


class Threads:
    """Fetches ``width`` files at a time, and asks for others at the archive meanwhile, to have them from tape.

    There are twice as many threads as files that come: where our disk is slow, the others wait for it.
    """

    def __init__(
        self,
        transfer: base.Transfer,
        clock: clocks.Clock,
        width: int,
        patience: float = 10.0,
        *,
        recalls: int = 1,
        again: float = 1.0,
    ) -> None:
        """``patience``: seconds that ``stop`` waits for threads that hang in the archive.

        ``recalls``: files asked for at the archive at the same time; each has a connection that no file comes by.
        ``again``: seconds until the first new look at an archive that is away; then twice as many, up to a minute.
        """
        self._transfer = transfer
        self._clock = clock
        self._patience = patience
        self._lock = threading.Lock()
        self._seats = seats.Seats(max(1, width), self._lock)
        self._away = away.Away(again, self._lock)
        self._crew = threads.Crew("transfer", 2 * max(1, width), clock.wake)
        self._recalls = recall.Recalls(transfer, recalls)
        self._fetches: dict[str, _Fetch] = {}
        self._queue: collections.deque[_Fetch] = collections.deque()
        self._quick = _QUICK * width
        self._disk_took = math.inf
        """Seconds that our disk took for the last file after it had come."""
        self._leaving: set[str] = set()
        """Local paths that were forgotten while their bytes came; their threads are about to notice."""

    def start(self, remote: str, local: str, most: int | None = None) -> None:
        """Queue one fetch; wakes the clock when it has news. One that is under way already just goes on.

        One of more than ``most`` bytes isn't begun: ``TooLarge``.
        """
        self._queue_up(_Fetch(remote, local, most))

    def measure(self, remote: str, local: str) -> None:
        """Queue the question how large a file is in the archive; told as a fetch that brings nothing."""
        self._queue_up(_Fetch(remote, local, None, measured=True))

    def _queue_up(self, fetch: _Fetch) -> None:
        local = fetch.local
        with self._lock:
            known = self._fetches.get(local)
            if known is not None and not known.ended:
                return
            self._fetches[local] = fetch
            if local in self._leaving:  # two writers on one .part: never
                fetch.error = errors.TransferError(f"{disk.shown(local)}: its last transfer has not ended yet")
                fetch.ended = True
            else:
                self._queue.append(fetch)
        if fetch.ended:
            self._clock.wake()
        else:
            self._crew.give(self._carry)

    def recall(self, remotes: Sequence[str]) -> None:
        """Ask the archive for these next, in this order; what isn't named any more is withdrawn, unless it is fetched.

        Each is asked for once while it stays named. What goes wrong is told by its fetch.
        """
        with self._lock:
            fetched = [fetch.remote for fetch in self._fetches.values() if not fetch.ended]
        self._recalls.want(remotes, fetched)

    def progress(self) -> Mapping[str, base.Progress]:
        """{local path: how far}. An ended one is ``done``; it failed if it also has an ``error``."""
        with self._lock:
            return {fetch.local: fetch.told() for fetch in self._fetches.values()}

    def forget(self, locals: Sequence[str]) -> None:
        """Tell no more of these. One that has not ended is ended: dropped from the queue, or at its next block."""
        with self._lock:
            for local in locals:
                fetch = self._fetches.pop(local, None)
                if fetch is not None and not fetch.ended:
                    fetch.unwanted = True
                    if fetch.running:
                        self._leaving.add(local)
            self._look()

    def stop(self, again: Callable[[], bool] = base.never) -> None:
        """End all fetches; those that didn't come are told no more. Waits until what was partial is removed.

        A thread that hangs in the archive past the patience, or when ``again`` tells of a second Ctrl-C, is left behind
        (it dies with this process); the log names its file. Nothing can be started afterwards.
        """
        with self._lock:
            under_way = [fetch for fetch in self._fetches.values() if not fetch.ended]
            for fetch in under_way:
                fetch.unwanted = True
            self._queue.clear()
            self._look()
        self._recalls.stop()
        self._dismiss(again)
        with self._lock:
            for fetch in under_way:
                if not fetch.ended:
                    self._fetches.pop(fetch.local, None)
            hung = [fetch.local for fetch in under_way if fetch.running and not fetch.ended] + sorted(self._leaving)
        for local in hung:
            _LOG.warning("Transfer hangs, left behind: %s (remove its .part)", disk.shown(local))

    def _look(self) -> None:
        """What was wanted isn't any more: who waits for something looks whether it is his. Under the lock."""
        self._seats.notify()
        self._away.notify()

    def _dismiss(self, again: Callable[[], bool]) -> None:
        deadline = time.monotonic() + self._patience
        while True:
            left = deadline - time.monotonic()
            gone = [crew.dismiss(max(0.0, min(_GLANCE, left))) for crew in (self._crew, self._recalls)]
            if all(gone) or left <= 0 or again():
                return

    def close(self) -> None:
        """Stop, if that wasn't done. The transfer itself is closed by who opened it."""
        if not self._crew.dismissed:
            self.stop()

    # --- in the threads ---

    def _carry(self) -> None:
        """Those in the queue, one after the other, while there is a seat."""
        seated = False
        while (fetch := self._next(seated)) is not None:
            error: Exception | None = None
            try:
                self._bring(fetch)
            except errors.ProductionError as told:
                error = told
            except BaseException as unexpected:  # noqa: BLE001 -- a fetch without an end would be waited for, for ever
                what = f"{type(unexpected).__name__}: {disk.first_line(unexpected)}"
                error = errors.TransferError(f"{disk.shown(fetch.local)}: the transfer broke unexpectedly: {what}")
                error.__cause__ = unexpected
            seated = self._end(fetch, error)
            self._crew.wake()

    def _next(self, seated: bool) -> _Fetch | None:
        """From when there is a seat, if the thread has none; None if no other is wanted."""
        with self._lock:
            if seated and self._seats.returning:
                self._seats.give()
                seated = False
            if not (seated or self._seats.take(lambda: self._queue)):
                return None
            while self._queue:
                fetch = self._queue.popleft()
                if not fetch.unwanted:
                    fetch.running = fetch.seated = True
                    return fetch
            self._seats.give()
            return None

    def _bring(self, fetch: _Fetch) -> None:
        """Until it has come, failed, or isn't wanted any more; away is neither."""
        while True:
            self._wait_for_turn(fetch)
            try:
                size = self._transfer.size(fetch.remote, functools.partial(self._go_on, fetch))
                self._size_known(fetch, size)
                if fetch.measured:
                    return
                advance = functools.partial(self._advance, fetch)
                received = functools.partial(self._received, fetch)
                count = self._transfer.fetch(fetch.remote, fetch.local, advance, size, received)
            except errors.TransferWaits as waits:
                self._put_off(fetch, waits)
                self._crew.wake()
            else:
                with self._lock:
                    fetch.bytes = count
                return

    def _put_off(self, fetch: _Fetch, waits: errors.TransferWaits) -> None:
        """It waits until the archive is back, or the disk has room; if others come meanwhile, until one of them has."""
        ours = isinstance(waits.__cause__, disk.Trouble)
        with self._lock:
            coming = any(each.let_in for each in self._fetches.values() if each is not fetch)
            passed, fetch.bytes = fetch.bytes if ours else 0, 0
            if coming and not ours:
                self._away.there(fetch)
                fetch.waits = ""
                if fetch.seated:
                    fetch.seated = False
                    self._seats.shut()
            else:
                self._seats.reopen()
                fetch.waits = str(waits)
                self._away.begin(fetch, fetch.waits, passed)
        if not ours:
            self._recalls.withdraw()

    def _wait_for_turn(self, fetch: _Fetch) -> None:
        """While the archive is away only one at a time looks whether it is back. Raises: Unwanted."""
        with self._lock:
            fetch.seated = fetch.seated or self._seats.take_again(lambda: not fetch.unwanted)
            while self._away.text and not fetch.unwanted and not self._away.look(fetch):
                if not fetch.waits:
                    fetch.waits = self._away.text
                    self._crew.wake()
                self._away.wait()
            if fetch.unwanted:
                raise recall.Unwanted
            if not self._away.looks(fetch):
                fetch.waits = ""

    def _size_known(self, fetch: _Fetch, size: int | None) -> None:
        with self._lock:
            if fetch.unwanted:
                raise recall.Unwanted
            fetch.size = size
            self._away.answered(fetch)
        self._crew.wake()
        if size is not None and fetch.most is not None and size > fetch.most:
            raise errors.TooLarge(f"{disk.shown(fetch.remote)} has {size} bytes, there is room for {fetch.most}", size)

    def _go_on(self, fetch: _Fetch) -> None:
        """Called by the transfer once a second. Raises: Unwanted."""
        with self._lock:
            if fetch.unwanted:
                raise recall.Unwanted

    def _advance(self, fetch: _Fetch, count: int) -> None:
        """Called by the transfer after each block, and while none comes."""
        with self._lock:
            if fetch.unwanted:
                raise recall.Unwanted
            self._away.through(fetch, count)
            if not self._away.looks(fetch):
                fetch.waits = ""
            fetch.bytes = count

    def _received(self, fetch: _Fetch) -> None:
        """Its connection is free: another may come by it while our disk takes this one, if that takes long."""
        with self._lock:
            fetch.received = time.monotonic()
            if fetch.seated and self._disk_took > self._quick:
                fetch.seated = False
                self._seats.give()

    def _end(self, fetch: _Fetch, error: Exception | None) -> bool:
        """Whether its seat is still ours."""
        with self._lock:
            seated, fetch.seated = fetch.seated, False
            if fetch.received:
                self._disk_took = time.monotonic() - fetch.received
            fetch.running = False
            fetch.waits = ""
            if fetch.unwanted:
                self._away.leave(fetch)
            else:
                self._away.there(fetch)
            if self._fetches.get(fetch.local) is not fetch:
                self._leaving.discard(fetch.local)  # forgotten meanwhile
            elif error is None or not fetch.unwanted:  # what was stopped has neither come nor failed
                fetch.error = error
                fetch.ended = True
            return seated
