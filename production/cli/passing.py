"""A line on stderr for whoever waits at a terminal: what is being done. It goes before the answer comes."""

from __future__ import annotations

import contextlib
import os
import sys

_CLEAR = "\r\x1b[K"
"""To the beginning of the line, and nothing from there to its end (ECMA-48, CR and EL)."""


class Line:
    """Elsewhere than on a terminal nothing is written."""

    def __init__(self) -> None:
        self.terminal = sys.stderr.isatty() and os.environ.get("TERM", "dumb") != "dumb"
        self._shown = False

    def __enter__(self) -> Line:
        return self

    def __exit__(self, *_error: object) -> None:
        self.clear()

    def tell(self, text: str) -> None:
        """Instead of what stands there."""
        self._shown = True
        self._write(_CLEAR + text)

    def clear(self) -> None:
        """Before a line of the answer, which may go to the same terminal."""
        if self._shown:
            self._shown = False
            self._write(_CLEAR)

    def _write(self, text: str) -> None:
        if self.terminal:
            with contextlib.suppress(OSError):  # the terminal has gone; the work goes on
                print(text, end="", file=sys.stderr, flush=True)
