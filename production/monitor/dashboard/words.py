"""What was said while somebody looks on: by the manager that shows itself so, and to the person who asks for something."""

from __future__ import annotations

import datetime
import os

from production import clock
from production.monitor.dashboard import line as lines
from production.monitor.dashboard import surroundings

KEPT = 1000
"""Lines."""


class Words:
    """The last of them."""

    def __init__(self, descriptor: int | None) -> None:
        """``descriptor``: of the manager's lines; None: it is not ours."""
        self.descriptor = descriptor
        self.leaving = False
        """The manager was told to stop."""
        self.said: list[tuple[str, str]] = []
        """(instant, text)."""
        self._half = b""
        self._parent = os.getppid()
        if descriptor is not None:
            os.set_blocking(descriptor, False)

    def hear(self) -> bool:
        """What is new; False: its end, as the manager has ended."""
        try:
            block = os.read(self.descriptor or 0, 1 << 16)
        except BlockingIOError:
            return True
        *whole, self._half = (self._half + block).split(b"\n")
        for raw in whole:
            text = raw.decode("utf-8", "replace")
            if text == surroundings.LEAVING:
                self.leaving = True
            else:
                self._keep(text)
        return bool(block)

    def note(self, text: str, now: datetime.datetime) -> None:
        """What was done for a person. ``now``: local."""
        self._keep(f"{now:%Y-%m-%d %H:%M:%S%z} YOU     {text}")

    def _keep(self, text: str) -> None:
        self.said.append((_instant(text), text))
        del self.said[:-KEPT]

    def orphaned(self) -> bool:
        """Whether the manager has gone without a word."""
        return self.descriptor is not None and os.getppid() != self._parent

    def last(self, number: int, columns: int) -> list[lines.Line]:
        """The last lines of a screen."""
        return (
            [lines.within(lines.plain(text, role(text)), columns) for _, text in self.said[-number:]] if number else []
        )


def role(text: str) -> str:
    """Of a line, by its level."""
    return {"ERROR": "bad", "WARNING": "held", "YOU": "name"}.get(text[25:33].strip(), "dim")


def _instant(text: str) -> str:
    """Of a line that begins with its local time."""
    try:
        return clock.text(datetime.datetime.fromisoformat(text[:24]))
    except ValueError:
        return clock.text(datetime.datetime.now(datetime.UTC))
