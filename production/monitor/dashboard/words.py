"""What was said while somebody looks on: by the manager that shows itself so, and to the person who asks for something."""

from __future__ import annotations

import contextlib
import datetime
import os

from production import clock
from production.monitor.dashboard import line as lines
from production.monitor.dashboard import surroundings

KEPT = 1000
"""Lines."""


class Words:
    """The last of them."""

    def __init__(self, descriptor: int | None, production: int) -> None:
        """``descriptor``: of the lines of the manager of that production; None: it is not ours."""
        self.descriptor = descriptor
        self._production = production
        self.leaving = False
        """The manager was told to stop."""
        self.over = False
        """It has ended, and said so."""
        self.orphaned = False
        """It has gone without a word."""
        self._said: list[tuple[str, str, int]] = []
        """(instant, text, production)."""
        self._half = b""
        if descriptor is not None:
            os.set_blocking(descriptor, False)

    def hear(self) -> bool:
        """What is new; False: there is nobody to say more."""
        try:
            block = os.read(self.descriptor or 0, 1 << 16)
        except BlockingIOError:
            return True
        except ConnectionError:  # it went without reading what we wrote
            block = b""
        *whole, self._half = (self._half + block).split(b"\n")
        for raw in whole:
            text = raw.decode("utf-8", "replace")
            if text == surroundings.LEAVING:
                self.leaving = True
            elif text == surroundings.OVER:
                self.over = True
            else:
                self._keep(text, self._production)
        self.orphaned = not block and not self.over
        return bool(block)

    def note(self, text: str, production: int, now: datetime.datetime) -> None:
        """What was done for a person. ``now``: local."""
        self._keep(f"{now:%Y-%m-%d %H:%M:%S%z} YOU     {text}", production)

    def _keep(self, text: str, production: int) -> None:
        self._said.append((_instant(text), text, production))
        del self._said[:-KEPT]

    def said(self, production: int) -> list[tuple[str, str]]:
        """(instant, text) of what concerns a production."""
        return [(at, text) for at, text, of in self._said if of == production]

    def pressed(self) -> None:
        """Tell the manager that somebody is there."""
        if self.descriptor is not None:
            with contextlib.suppress(OSError):
                os.write(self.descriptor, b"k")

    def last(self, number: int, production: int, columns: int) -> list[lines.Line]:
        """The last lines of a screen."""
        told = self.said(production)[-number:] if number else []
        return [lines.within(lines.plain(text, role(text)), columns) for _, text in told]


def role(text: str) -> str:
    """Of a line, by its level."""
    return {"ERROR": "bad", "WARNING": "held", "YOU": "name"}.get(text[25:33].strip(), "dim")


def _instant(text: str) -> str:
    """Of a line that begins with its local time."""
    try:
        return clock.text(datetime.datetime.fromisoformat(text[:24]))
    except ValueError:
        return clock.text(datetime.datetime.now(datetime.UTC))
