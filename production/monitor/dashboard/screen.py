"""The terminal as urwid has it, for a process that a shell may put into the background, and into which people paste."""

from __future__ import annotations

import signal
import sys
import termios
import time
from collections.abc import Callable, Sequence
from typing import Any

import urwid

from production import process

GLANCE = 0.2
"""Seconds between two looks whether we are in front again."""


class Screen(urwid.display.raw.Screen):
    """Touches the terminal only while that is ours: a shell may have it (``bg``), and would stop all of our process group."""

    def __init__(self) -> None:
        super().__init__(bracketed_paste_mode=True)

    def _start(self, *arguments: Any, **keywords: Any) -> None:
        signal.signal(signal.SIGTTOU, signal.SIG_IGN)  # else whoever restores the terminal from behind is stopped
        while not process.in_front(sys.stdin.fileno()):
            time.sleep(GLANCE)  # until somebody says fg
        super()._start(*arguments, **keywords)
        self._keep_what_was_typed()

    def _keep_what_was_typed(self) -> None:
        """A Ctrl-C or Ctrl-Z would throw away keys that we were told of, and who reads them would wait for the next one."""
        terminal = sys.stdin.fileno()
        mode = termios.tcgetattr(terminal)
        mode[3] |= termios.NOFLSH
        termios.tcsetattr(terminal, termios.TCSANOW, mode)


class Paste:
    """Drops what is pasted where it would be keys, and its line ends where it would be a line."""

    def __init__(self, typing: Callable[[], bool]) -> None:
        """``typing``: whether a person is asked for a line."""
        self._typing = typing
        self._pasting = False

    def __call__(self, keys: Sequence[Any], _raw: object) -> list[Any]:
        left = []
        for key in keys:
            if key in ("begin paste", "end paste"):
                self._pasting = key == "begin paste"
            elif not self._pasting or (self._typing() and isinstance(key, str) and len(key) == 1):
                left.append(key)
        return left
