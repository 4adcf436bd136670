"""What all fetches wait for together: an archive that is away, a disk that is full. One at a time looks whether it is over.

Everything here is done under the porter's lock; a fetch is anything that can be told from others.
"""

from __future__ import annotations

import math
import threading
import time

LONGEST_WAIT = 60.0
"""Seconds between two looks whether the archive is back."""


class Away:
    """Why they wait, who looks, and when next."""

    def __init__(self, first: float, lock: threading.Lock) -> None:
        """``first``: seconds until the first new look; then twice as many each time, up to a minute."""
        self.text = ""
        """Empty while nothing is waited for."""
        self._changed = threading.Condition(lock)
        self._prober: object = None
        self._again = 0.0
        self._first = first
        self._seconds = 0.0
        self._over = -math.inf
        """When it was last over."""
        self._passed = 0
        """Bytes that a file must have more of to show that it is over."""
        self._patience = math.inf
        """When it is over although no byte has come: the tape is wound."""

    def begin(self, fetch: object, text: str, passed: int) -> None:
        """This one found it away; the time until the next look doubles once for all of them."""
        now = time.monotonic()
        if not self.text and now - self._over > LONGEST_WAIT:
            self._seconds = 0.0
        if not self.text or self._prober is fetch:
            self._seconds = min(LONGEST_WAIT, self._seconds * 2 or self._first)
            self._again = now + self._seconds
            self._passed = passed
        self.text = text
        self.leave(fetch)

    def look(self, fetch: object) -> bool:
        """Whether it is time, and this one looks now, for all."""
        turn = self._prober is None and time.monotonic() >= self._again
        if turn:
            self._prober, self._patience = fetch, math.inf
        return turn

    def looks(self, fetch: object) -> bool:
        return self._prober is fetch

    def wait(self) -> None:
        """Until it may be over, or it is time to look, or something has changed for those who wait."""
        self._changed.wait(max(self._again - time.monotonic(), 0.0) if self._prober is None else None)

    def notify(self) -> None:
        """Something has changed for those who wait: is theirs still wanted?"""
        self._changed.notify_all()

    def answered(self, fetch: object) -> None:
        """It told this one a size; what it does for longer than a minute now, it does with the file."""
        if self._prober is fetch and not self._passed:
            self._patience = time.monotonic() + LONGEST_WAIT

    def through(self, fetch: object, count: int) -> None:
        """If this one looked, it may show that it is over. What comes to others that had begun before shows nothing."""
        if self._prober is fetch and (count > self._passed or time.monotonic() >= self._patience):
            self.there(fetch)

    def leave(self, fetch: object) -> bool:
        """This one looks no more; whether it did."""
        looked = self._prober is fetch
        if looked:
            self._prober = None
            self._changed.notify_all()
        return looked

    def there(self, fetch: object) -> None:
        """This one looked, and it is over. How long they waited is kept for a minute: they may be too many for it."""
        if self.leave(fetch):
            self.text = ""
            self._over = time.monotonic()
