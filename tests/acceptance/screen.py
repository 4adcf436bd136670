"""A terminal for a test: a command in it, keys that are typed, and what stands on its screen, as a terminal emulator sees it.

Nothing here waits by the clock: the screen is read whenever something comes, until what is expected stands there.
"""

from __future__ import annotations

import contextlib
import copy
import fcntl
import os
import re
import select
import signal
import struct
import subprocess
import termios
import time
from collections.abc import Callable, Sequence
from typing import Any

import pyte
import pytest

from tests.acceptance.campaign import PATIENCE, Campaign, User

_LEADER = (
    "import fcntl, os, sys, termios\n"
    "fcntl.ioctl(0, termios.TIOCSCTTY, 0)\n"
    "os.tcsetpgrp(0, os.getpid())\n"
    "os.execvp(sys.argv[1], sys.argv[1:])"
)
"""Makes the terminal that of its session, then becomes the command: no fork of a test that has threads."""

KEYS = {
    "enter": "\r", "esc": "\x1b", "tab": "\t", "backspace": "\x7f", "up": "\x1b[A", "down": "\x1b[B", "right": "\x1b[C",
    "left": "\x1b[D", "page up": "\x1b[5~", "page down": "\x1b[6~", "home": "\x1b[H", "end": "\x1b[F", "f1": "\x1bOP",
    "ctrl b": "\x02", "ctrl c": "\x03", "ctrl f": "\x06", "ctrl l": "\x0c", "ctrl u": "\x15", "ctrl z": "\x1a",
}  # fmt: skip
"""What a keyboard sends for keys by their names (xterm's ctlseqs)."""

_ALTERNATE, _MOUSE, _PASTE, _FRAME = 1049, (1000, 1002, 1003, 1006), 2004, 2026
"""Modes of a terminal (ctlseqs, DECSET)."""


class Emulated(pyte.Screen):  # type: ignore[misc]  # it has no types
    """pyte's, with a second screen that is entered and left."""

    def __init__(self, columns: int, rows: int) -> None:
        super().__init__(columns, rows)
        self.ordinary: tuple[Any, Any] | None = None
        """What stands on the first, while the second is shown."""
        self.entered = 0
        """Times that the second was."""

    def set_mode(self, *modes: int, **how: bool) -> None:
        if _ALTERNATE in modes and how.get("private") and self.ordinary is None:
            self.ordinary = copy.deepcopy(self.buffer), copy.copy(self.cursor)
            self.entered += 1
            self.erase_in_display(2)
        super().set_mode(*modes, **how)

    def reset_mode(self, *modes: int, **how: bool) -> None:
        super().reset_mode(*modes, **how)
        if _ALTERNATE in modes and how.get("private") and self.ordinary is not None:
            (buffer, cursor), self.ordinary = self.ordinary, None
            self.buffer.clear()
            self.buffer.update(buffer)
            self.cursor.x, self.cursor.y = min(cursor.x, self.columns - 1), min(cursor.y, self.lines - 1)


class Screen:
    """A terminal of so many columns and rows."""

    def __init__(
        self, campaign: Campaign, command: Sequence[str], columns: int = 100, rows: int = 30,
        user: User | None = None, **environment: str | None,
    ) -> None:  # fmt: skip
        """``user``: somebody else, in whose name it is started. ``environment``: over the campaign's; None: not there."""
        self._master, slave = os.openpty()
        _set_size(self._master, columns, rows)
        self.before = termios.tcgetattr(slave)
        words = campaign.environment | {"TERM": "xterm-256color", "LC_ALL": "C.UTF-8"} | environment
        words = {name: word for name, word in words.items() if word is not None}
        self._process = subprocess.Popen(
            [campaign.python, "-I", "-S", "-c", _LEADER, *command], stdin=slave, stdout=slave, stderr=slave,
            cwd=campaign.directory, env=words, start_new_session=True,
            user=user.uid if user else None, group=user.gid if user else None, extra_groups=user.groups if user else None,
        )  # fmt: skip
        os.close(slave)
        self.pid = self._process.pid
        self._over = os.pidfd_open(self.pid)
        self.raw = b""
        """All that was sent to it."""
        self.emulated = Emulated(columns, rows)
        self._stream = pyte.ByteStream(self.emulated)
        self.closed = False
        self._marked = 0
        self.typed: list[str] = []

    # ── what stands on it ──

    @property
    def lines(self) -> list[str]:
        """Without the blanks at their ends."""
        buffer, wide = self.emulated.buffer, self.emulated.columns
        return ["".join(buffer[y][x].data for x in range(wide)).rstrip() for y in range(self.emulated.lines)]

    @property
    def text(self) -> str:
        return "\n".join(self.lines)

    def row(self, text: str) -> int:
        """The number of the first line with this in it."""
        found = [number for number, line in enumerate(self.lines) if text in line]
        assert found, f"{text!r} is not there:\n{self.told()}"
        return found[0]

    def line(self, text: str) -> str:
        """The first line with this in it."""
        return self.lines[self.row(text)]

    def style(self, row: int, column: int) -> Any:
        """How a place looks: ``fg``, ``bg``, ``bold``, ``reverse`` …"""
        return self.emulated.buffer[row][column]

    def mark(self) -> None:
        """``fresh`` is what comes from now on."""
        self._marked = len(self.raw)

    @property
    def fresh(self) -> bytes:
        return self.raw[self._marked :]

    @property
    def whole(self) -> bool:
        """Nothing more of a screen is known to come: it was begun, and ended (DECSET 2026, synchronized output)."""
        while self._read(0):
            pass
        return _FRAME << 5 not in self.emulated.mode

    @property
    def in_dashboard(self) -> bool:
        """Whether the second screen is shown."""
        return self.emulated.ordinary is not None

    def told(self) -> str:
        edge = "+" + "-" * self.emulated.columns + "+"
        last = " ".join(map(repr, self.typed[-12:]))
        return "\n".join([edge, *(f"|{line}" for line in self.lines), edge, f"typed last: {last}"])

    # ── what happens to it ──

    def type(self, *keys: str) -> None:
        """Keys by their names in ``KEYS``, or text as it is. Esc is the last: what comes right behind it is Alt with that key."""
        assert "esc" not in keys[:-1]
        for key in keys:
            self.typed.append(key)
            os.write(self._master, KEYS.get(key, key).encode())

    def press(self, row: int, column: int = 5, button: int = 0, times: int = 1) -> None:
        """The mouse; buttons 64 and 65 are the wheel, up and down (ctlseqs, SGR mouse mode). ``times``: one right upon the other."""
        place = f"{button};{column + 1};{row + 1}"
        once = f"\x1b[<{place}M".encode() + (b"" if button >= 64 else f"\x1b[<{place}m".encode())
        os.write(self._master, once * times)

    def resize(self, columns: int, rows: int) -> None:
        """The kernel tells those who are in it."""
        self.emulated.resize(rows, columns)
        _set_size(self._master, columns, rows)

    # ── waiting ──

    def until(self, expected: str | Callable[[Screen], object], seconds: float = PATIENCE) -> None:
        """Until this stands on it, or is so."""
        said = f"{expected!r}" if isinstance(expected, str) else "what was expected"
        deadline = time.monotonic() + seconds
        while not (self.whole and (expected in self.text if isinstance(expected, str) else expected(self))):
            more = self._read(deadline - time.monotonic())
            if not more:
                how = "in time" if self._process.poll() is None else f"until it ended ({self._process.returncode})"
                pytest.fail(f"{said} was never there {how}:\n{self.told()}")

    def until_gone(self, text: str) -> None:
        """Until this doesn't stand on it any more."""
        self.until(lambda screen: text not in screen.text)

    def again(self) -> None:
        """Until it was painted once more."""
        before = len(self.raw)
        self.until(lambda screen: len(screen.raw) > before)

    def _read(self, seconds: float) -> bool:
        """More; False: nothing came in time, or ever will."""
        ready, _, _ = select.select([self._master, self._over], [], [], max(0.0, seconds))
        if self._master in ready:
            with contextlib.suppress(OSError):  # the other side was closed
                if piece := os.read(self._master, 65536):
                    self.raw += piece
                    self._stream.feed(piece)
                    self._answer(piece)
                    return True
        return False

    def _answer(self, piece: bytes) -> None:
        """Asked whether it knows a mode, it says yes, and it is reset: as xterm does (ctlseqs, DECRQM)."""
        for mode in re.findall(rb"\x1b\[\?([0-9]+)\$p", piece):
            os.write(self._master, b"\x1b[?" + mode + b";2$y")

    # ── its end ──

    def send(self, number: signal.Signals) -> None:
        """To the command alone."""
        os.kill(self.pid, number)

    def end(self) -> int:
        """All that comes until the command ends, and its exit code."""
        deadline = time.monotonic() + PATIENCE
        while not select.select([self._over], [], [], 0)[0]:
            if not self._read(deadline - time.monotonic()) and time.monotonic() > deadline:
                pytest.fail(f"it still runs:\n{self.told()}")
        while self._read(0):
            pass
        return self._process.wait()

    @property
    def unrestored(self) -> list[str]:
        """What of the terminal is not as it was."""
        left = {mode for mode in (_ALTERNATE, *_MOUSE, _PASTE) if mode << 5 in self.emulated.mode}
        found = [f"mode {mode}" for mode in sorted(left)]
        if self.emulated.cursor.hidden:
            found.append("the cursor is hidden")
        if termios.tcgetattr(self._master) != self.before:
            found.append("termios")
        return found

    def close(self) -> None:
        """What still runs in it is killed."""
        if not self.closed:
            self.closed = True
            if self._process.poll() is None:
                for pid in {*_session(self.pid), self.pid}:
                    with contextlib.suppress(ProcessLookupError):
                        os.kill(pid, signal.SIGKILL)
            self._process.wait()
            os.close(self._over)
            os.close(self._master)


def _set_size(terminal: int, columns: int, rows: int) -> None:
    fcntl.ioctl(terminal, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))


def _session(leader: int) -> list[int]:
    """The processes of a session (proc(5), stat)."""
    found = []
    for entry in filter(str.isdigit, os.listdir("/proc")):
        with contextlib.suppress(OSError), open(f"/proc/{entry}/stat", "rb") as file:
            if int(file.read().rpartition(b")")[2].split()[3]) == leader:
                found.append(int(entry))
    return found
