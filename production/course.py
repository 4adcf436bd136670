"""How far a file is on its way, told to whoever waits for it: whatever carries it, and wherever to."""

from __future__ import annotations

from collections.abc import Callable


class SoFar:
    """Tells the caller's ``progress``, also while nothing comes."""

    def __init__(self, progress: Callable[[int], None]) -> None:
        """``progress`` is called with bytes; what it raises ends the transfer."""
        self.count = 0
        """Bytes."""
        self._progress = progress

    def tell(self, count: int) -> None:
        self.count = count
        self._progress(count)

    def again(self) -> None:
        self._progress(self.count)
