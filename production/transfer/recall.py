"""Asks the archive for the files that will be wanted next, so that they are read from tape before we come.

Beside the porter, which says what is wanted and when a connection may be missing. What goes wrong here is told by the
file's fetch, which will meet it, too.
"""

from __future__ import annotations

import contextlib
import functools
import logging
import threading
import time
from collections.abc import Collection, Sequence

from production import disk, errors, threads
from production.transfer import away, base

_LOG = logging.getLogger(__name__)


class Unwanted(Exception):
    """Ends a fetch or a recall within a second; goes from the callback through the transfer back to who asked."""


class _Recall:
    """One file that the archive is asked to bring from tape. Changed under the lock only."""

    __slots__ = ("begun", "ended", "later", "unwanted")

    def __init__(self) -> None:
        self.begun = False
        self.ended = False
        self.later = False
        """It is withdrawn, and will be asked for again."""
        self.unwanted = False


class Recalls:
    """So many are asked for at the same time; each has a connection that no file comes by."""

    def __init__(self, transfer: base.Transfer, number: int) -> None:
        self._transfer = transfer
        self._crew = threads.Crew("recall", number, _no_news)
        self._lock = threading.Condition()
        self._known: dict[str, _Recall] = {}
        """By remote name, in the order in which they are wanted."""
        self._again = 0.0
        """When recalls are made again: a file that can't come for them goes first."""

    def want(self, remotes: Sequence[str], fetched: Collection[str]) -> None:
        """These next, in this order; what isn't named any more is withdrawn, unless it is fetched now."""
        with self._lock:
            known = self._known
            wanted = dict.fromkeys((*remotes, *(each for each in fetched if each in known)))
            self._known = {remote: known.get(remote) or _Recall() for remote in wanted}
            for remote, each in known.items():
                each.unwanted = remote not in wanted
        for _ in wanted.keys() - known.keys():
            self._crew.give(self._ask)

    def withdraw(self) -> None:
        """For a minute: their connections may be those that are missing."""
        with self._lock:
            self._again = time.monotonic() + away.LONGEST_WAIT
            for recall in self._known.values():
                recall.later = recall.begun and not recall.ended

    def stop(self) -> None:
        """End all; ``dismiss`` waits for it."""
        with self._lock:
            for recall in self._known.values():
                recall.unwanted = True
            self._lock.notify_all()

    def dismiss(self, seconds: float) -> bool:
        """Whether all threads are gone by then; nothing can be wanted afterwards."""
        return self._crew.dismiss(seconds)

    # --- in the threads ---

    def _ask(self) -> None:
        """The next that nobody has begun."""
        remote, recall = self._next()
        if recall is None:
            return
        try:
            self._transfer.recall(remote, functools.partial(self._go_on, recall))
        except Unwanted:
            pass
        except errors.TransferWaits:
            with self._lock:
                self._again = time.monotonic() + away.LONGEST_WAIT
                recall.later = True
        except Exception as error:  # noqa: BLE001 -- the fetch will meet it, too, and it is told whose file it is
            _LOG.debug("Recall of %s: %s", disk.shown(remote), disk.first_line(error))
        self._asked(recall)

    def _next(self) -> tuple[str, _Recall | None]:
        """From when recalls are made."""
        with self._lock:
            while True:
                waiting = ((name, each) for name, each in self._known.items() if not (each.begun or each.unwanted))
                remote, recall = next(waiting, ("", None))
                left = self._again - time.monotonic()
                if recall is None or left <= 0:
                    break
                self._lock.wait(left)
            if recall is not None:
                recall.begun = True
            return remote, recall

    def _go_on(self, recall: _Recall) -> None:
        """Called by the transfer once a second. Raises: Unwanted."""
        with self._lock:
            if recall.unwanted or recall.later:
                raise Unwanted

    def _asked(self, recall: _Recall) -> None:
        """It has ended, or begins once more."""
        with self._lock:
            again = recall.later and not recall.unwanted
            recall.begun, recall.ended, recall.later = not again, not again, False
        if again:
            with contextlib.suppress(RuntimeError):  # we have been stopped meanwhile
                self._crew.give(self._ask)


def _no_news() -> None:
    """A recall has none."""
