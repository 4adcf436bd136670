"""Carries several files at a time: queues fetches for the stage step and tells it how far each is.

In come names from the corridor, out goes ``Progress`` for each local path; below is any ``Transfer``. Nothing here
knows of runs or changes their state. A file that fails is told, not tried again: that is the corridor's to decide. What
is no file's fault (the archive is away, the disk is full) is waited out here.
"""

from __future__ import annotations

import collections
import contextlib
import functools
import logging
import math
import threading
import time
from collections.abc import Callable, Mapping, Sequence

from production import clock as clocks
from production import disk, errors, threads
from production.transfer import base

_LOG = logging.getLogger(__name__)

_LONGEST_WAIT = 60.0
"""Seconds between two looks whether the archive is back."""
_GLANCE = 0.1
"""Seconds between two looks whether we are told to stop at once."""


class Unwanted(Exception):
    """Ends a fetch or a recall within a second; goes from the callback through the transfer back to us."""


class _Fetch:
    """One fetch. Changed under the porter's lock only."""

    # fmt: off
    __slots__ = (
        "bytes", "ended", "error", "local", "measured", "most", "remote", "running", "seated", "size", "unwanted", "waits",
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


class _Recall:
    """One file that the archive is asked to bring from tape. Changed under the porter's lock only."""

    __slots__ = ("begun", "ended", "later", "unwanted")

    def __init__(self) -> None:
        self.begun = False
        self.ended = False
        self.later = False
        """It is withdrawn, and will be asked for again."""
        self.unwanted = False


class _Away:
    """What all fetches wait for, and who may look whether it is over: one at a time. Under the porter's lock."""

    def __init__(self, first: float) -> None:
        self.text = ""
        self.again = 0.0
        self.prober: _Fetch | None = None
        self._first = first
        self._seconds = 0.0
        self._over = -math.inf
        """When it was last over."""
        self._passed = 0
        """Bytes that a file must have more of to show that it is over."""
        self._patience = math.inf
        """When it is over although no byte has come: the tape is wound."""

    def begin(self, fetch: _Fetch, text: str, passed: int) -> None:
        """This one found it away; the time until the next look doubles once for all of them."""
        now = time.monotonic()
        if not self.text and now - self._over > _LONGEST_WAIT:
            self._seconds = 0.0
        if not self.text or self.prober is fetch:
            self._seconds = min(_LONGEST_WAIT, self._seconds * 2 or self._first)
            self.again = now + self._seconds
            self._passed = passed
        self.text = text
        self.leave(fetch)

    def look(self, fetch: _Fetch) -> None:
        """This one looks now, for all."""
        self.prober, self._patience = fetch, math.inf

    def answered(self, fetch: _Fetch) -> None:
        """It told this one a size; what it does for longer than a minute now, it does with the file."""
        if self.prober is fetch and not self._passed:
            self._patience = time.monotonic() + _LONGEST_WAIT

    def through(self, fetch: _Fetch, count: int) -> bool:
        """Whether this one looked, and shows that it is over. What comes to others that had begun before shows nothing."""
        if self.prober is not fetch or (count <= self._passed and time.monotonic() < self._patience):
            return False
        self.there(fetch)
        return True

    def leave(self, fetch: _Fetch) -> bool:
        """This one looks no more; whether it did."""
        looked = self.prober is fetch
        if looked:
            self.prober = None
        return looked

    def there(self, fetch: _Fetch) -> None:
        """This one looked, and it is over. How long they waited is kept for a minute: they may be too many for it."""
        if self.leave(fetch):
            self.text = ""
            self._over = time.monotonic()


class _Seats:
    """How many files come at the same time: as settings say, or fewer where the archive lets no more in. Under the lock."""

    def __init__(self, width: int) -> None:
        self.free = width
        self._shut = 0
        self._again = 0.0

    def shut(self) -> None:
        """Take a free one away, for a minute."""
        self.free -= 1
        self._shut += 1
        self._again = time.monotonic() + _LONGEST_WAIT

    def reopen(self) -> None:
        """All: there aren't too many, none is let in."""
        self.free, self._shut = self.free + self._shut, 0

    def wait(self) -> float | None:
        """Seconds until one more is tried; None if there are none to try. Opens one when it is time."""
        if not self._shut:
            return None
        left = self._again - time.monotonic()
        if left <= 0:
            self.free += 1
            self._shut -= 1
            self._again = time.monotonic() + _LONGEST_WAIT
        return max(0.0, left)


class Threads:
    """Fetches ``width`` files at a time, and asks for others at the archive meanwhile, to have them from tape.

    There are twice as many threads as files that come: the others wait for our disk, which has its own pace.
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
        self._seats = _Seats(max(1, width))
        self._crew = threads.Crew("transfer", 2 * max(1, width), clock.wake)
        self._asking = threads.Crew("recall", recalls, _no_news)
        self._lock = threading.Condition()
        self._fetches: dict[str, _Fetch] = {}
        self._queue: collections.deque[_Fetch] = collections.deque()
        self._recalls: dict[str, _Recall] = {}
        """By remote name, in the order in which they are wanted."""
        self._recalls_again = 0.0
        """When recalls are made again: a file that can't come for them goes first."""
        self._away = _Away(again)
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
            known = self._recalls
            wanted = dict.fromkeys((*remotes, *(each for each in fetched if each in known)))
            self._recalls = {remote: known.get(remote) or _Recall() for remote in wanted}
            for remote, each in known.items():
                each.unwanted = remote not in wanted
        for _ in wanted.keys() - known.keys():
            self._asking.give(self._ask)

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
            self._lock.notify_all()

    def stop(self, again: Callable[[], bool] = base.never) -> None:
        """End all fetches; those that didn't come are told no more. Waits until what was partial is removed.

        A thread that hangs in the archive past the patience, or when ``again`` tells of a second Ctrl-C, is left behind
        (it dies with this process); the log names its file. Nothing can be started afterwards.
        """
        with self._lock:
            under_way = [fetch for fetch in self._fetches.values() if not fetch.ended]
            for fetch in under_way:
                fetch.unwanted = True
            for recall in self._recalls.values():
                recall.unwanted = True
            self._queue.clear()
            self._lock.notify_all()
        self._dismiss(again)
        with self._lock:
            for fetch in under_way:
                if not fetch.ended:
                    self._fetches.pop(fetch.local, None)
            hung = [fetch.local for fetch in under_way if fetch.running and not fetch.ended] + sorted(self._leaving)
        for local in hung:
            _LOG.warning("Transfer hangs, left behind: %s (remove its .part)", disk.shown(local))

    def _dismiss(self, again: Callable[[], bool]) -> None:
        deadline = time.monotonic() + self._patience
        while True:
            left = deadline - time.monotonic()
            gone = [crew.dismiss(max(0.0, min(_GLANCE, left))) for crew in (self._crew, self._asking)]
            if all(gone) or left <= 0 or again():
                return

    def close(self) -> None:
        """Stop, if that wasn't done. The transfer itself is closed by who opened it."""
        if not self._crew.dismissed:
            self.stop()

    # --- in the threads ---

    def _carry(self) -> None:
        """The next in the queue, from when there is a seat."""
        with self._lock:
            while self._queue and not self._seats.free:
                self._lock.wait(self._seats.wait())
            fetch = self._queue.popleft() if self._queue else None
            if fetch is None or fetch.unwanted:
                return
            fetch.running = True
            self._sit(fetch)
        error: Exception | None = None
        try:
            self._bring(fetch)
        except errors.ProductionError as told:
            error = told
        except BaseException as unexpected:  # noqa: BLE001 -- a fetch without an end would be waited for, for ever
            what = f"{type(unexpected).__name__}: {disk.first_line(unexpected)}"
            error = errors.TransferError(f"{disk.shown(fetch.local)}: the transfer broke unexpectedly: {what}")
            error.__cause__ = unexpected
        self._end(fetch, error)

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
            except errors.TransferWaits as away:
                self._put_off(fetch, away)
                self._crew.wake()
            else:
                with self._lock:
                    fetch.bytes = count
                return

    def _put_off(self, fetch: _Fetch, away: errors.TransferWaits) -> None:
        """It waits until the archive is back, or the disk has room; if others come meanwhile, until one of them has."""
        ours = isinstance(away.__cause__, disk.Trouble)
        with self._lock:
            coming = any(each.let_in for each in self._fetches.values() if each is not fetch)
            passed, fetch.bytes = fetch.bytes if ours else 0, 0
            if not ours:
                self._withdraw_recalls()
            if coming and not ours:
                self._away.there(fetch)
                fetch.waits = ""
                self._stand_up(fetch)
                self._seats.shut()
            else:
                self._seats.reopen()
                fetch.waits = str(away)
                self._away.begin(fetch, str(away), passed)

    def _withdraw_recalls(self) -> None:
        """For a minute: their connections may be those that are missing. Under the lock."""
        self._recalls_again = time.monotonic() + _LONGEST_WAIT
        for recall in self._recalls.values():
            recall.later = recall.begun and not recall.ended

    def _wait_for_turn(self, fetch: _Fetch) -> None:
        """While the archive is away only one at a time looks whether it is back. Raises: Unwanted."""
        away = self._away
        with self._lock:
            while not (fetch.seated or self._seats.free or fetch.unwanted):
                self._lock.wait(self._seats.wait())
            if not fetch.unwanted:
                self._sit(fetch)
            while away.text and not fetch.unwanted:
                left = away.again - time.monotonic()
                if left <= 0 and away.prober is None:
                    away.look(fetch)
                    break
                if not fetch.waits:
                    fetch.waits = away.text
                    self._crew.wake()
                self._lock.wait(max(left, 0.0) if away.prober is None else None)
            if fetch.unwanted:
                raise Unwanted
            if away.prober is not fetch:
                fetch.waits = ""

    def _size_known(self, fetch: _Fetch, size: int | None) -> None:
        with self._lock:
            if fetch.unwanted:
                raise Unwanted
            fetch.size = size
            self._away.answered(fetch)
        self._crew.wake()
        if size is not None and fetch.most is not None and size > fetch.most:
            raise errors.TooLarge(f"{disk.shown(fetch.remote)} has {size} bytes, there is room for {fetch.most}", size)

    def _go_on(self, one: _Fetch | _Recall) -> None:
        """Called by the transfer once a second. Raises: Unwanted."""
        with self._lock:
            if one.unwanted or (isinstance(one, _Recall) and one.later):
                raise Unwanted

    def _advance(self, fetch: _Fetch, count: int) -> None:
        """Called by the transfer after each block, and while none comes."""
        with self._lock:
            if fetch.unwanted:
                raise Unwanted
            if self._away.through(fetch, count):
                self._lock.notify_all()
            if self._away.prober is not fetch:
                fetch.waits = ""
            fetch.bytes = count

    def _received(self, fetch: _Fetch) -> None:
        """Its connection is free: another may come while our disk takes this one."""
        with self._lock:
            self._stand_up(fetch)

    def _sit(self, fetch: _Fetch) -> None:
        """Under the lock, when there is a seat."""
        if not fetch.seated:
            fetch.seated = True
            self._seats.free -= 1

    def _stand_up(self, fetch: _Fetch) -> None:
        """Give the seat to whoever waits for one. Under the lock."""
        if fetch.seated:
            fetch.seated = False
            self._seats.free += 1
            self._lock.notify_all()

    def _end(self, fetch: _Fetch, error: Exception | None) -> None:
        with self._lock:
            self._stand_up(fetch)
            fetch.running = False
            fetch.waits = ""
            if fetch.unwanted:
                self._away.leave(fetch)
            else:
                self._away.there(fetch)
            self._lock.notify_all()
            if self._fetches.get(fetch.local) is not fetch:
                self._leaving.discard(fetch.local)  # forgotten meanwhile
            elif error is None or not fetch.unwanted:  # what was stopped has neither come nor failed
                fetch.error = error
                fetch.ended = True

    def _ask(self) -> None:
        """The next recall that nobody has begun."""
        remote, recall = self._next_recall()
        if recall is None:
            return
        try:
            self._transfer.recall(remote, functools.partial(self._go_on, recall))
        except Unwanted:
            pass
        except errors.TransferWaits:
            with self._lock:
                self._recalls_again = time.monotonic() + _LONGEST_WAIT
                recall.later = True
        except Exception as error:  # noqa: BLE001 -- the fetch will meet it, too, and it is told whose file it is
            _LOG.debug("Recall of %s: %s", disk.shown(remote), disk.first_line(error))
        self._asked(recall)

    def _next_recall(self) -> tuple[str, _Recall | None]:
        """From when recalls are made."""
        with self._lock:
            while True:
                waiting = ((name, each) for name, each in self._recalls.items() if not (each.begun or each.unwanted))
                remote, recall = next(waiting, ("", None))
                left = self._recalls_again - time.monotonic()
                if recall is None or left <= 0:
                    break
                self._lock.wait(left)
            if recall is not None:
                recall.begun = True
            return remote, recall

    def _asked(self, recall: _Recall) -> None:
        """It has ended, or begins once more."""
        with self._lock:
            again = recall.later and not recall.unwanted
            recall.begun, recall.ended, recall.later = not again, not again, False
        if again:
            with contextlib.suppress(RuntimeError):  # we have been stopped meanwhile
                self._asking.give(self._ask)


def _no_news() -> None:
    """A recall has none."""
