"""``--display``: the dashboard of a manager, in a process of its own, which is told what the manager says, and tells of keys.

It may be closed, hang or die, and be killed: the work goes on, in lines. Ctrl-C reaches both, and the dashboard leaves
it to the manager.
"""

from __future__ import annotations

import collections
import contextlib
import math
import os
import signal
import socket
import subprocess
import sys
import termios
import time
from collections.abc import Callable, Iterator, Sequence

import production
from production import threads
from production.monitor.dashboard import surroundings

KEPT = 30
"""Lines that are shown when it has been closed."""
MOST = 1 << 20
"""Bytes that wait for it."""
PATIENCE = 2.0
"""Seconds that it may take to close itself, or to stop."""
LOOK = 0.01
"""Seconds between two looks whether it has stopped. They are counted: while the machine stands still, nobody gets on."""

_RESTORE = "\x1b[?1049l\x1b[?1000l\x1b[?1002l\x1b[?1006l\x1b[?2004l\x1b[?25h\x1b[0m\x1b(B\r\n"
"""Leave the other screen; no mouse, no bracketed paste; show the cursor; no colours (ECMA-48, xterm's ctlseqs)."""


class Display:
    """One, as long as it is open."""

    def __init__(self, arguments: Sequence[str], closed: Callable[[], None]) -> None:
        """``arguments``: of ``production watch``; ``closed`` is called from a thread when it is gone.

        Raises: OSError, termios.error.
        """
        self._terminal = termios.tcgetattr(sys.stdin.fileno())
        self._closed = closed
        self.last: collections.deque[str] = collections.deque(maxlen=KEPT)
        """What was said while it was open."""
        self._rest = b""
        self._key = -math.inf
        """When a key was pressed in it; monotonic."""
        self._line, theirs = socket.socketpair()
        self._line.setblocking(False)
        command = [sys.executable, "-m", "production", "watch", *arguments, f"--lines={theirs.fileno()}"]
        before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})  # the dashboard begins with it blocked
        try:
            self._process = subprocess.Popen(command, pass_fds=[theirs.fileno()], env=_environment())
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, before)
            theirs.close()
        self.open = True
        self._continued = False
        """A Ctrl-Z was taken back."""
        self._crew = threads.Crew("display", 1, lambda: None)
        self._crew.give(self._wait)

    def _wait(self) -> None:
        """In a thread, until it is gone."""
        code = self._process.wait()
        if code:
            self._restore()
        self.open = False
        self._closed()

    def _restore(self) -> None:
        """It could not do so itself."""
        with contextlib.suppress(OSError, termios.error):
            self._take_from_the_dead()
            termios.tcsetattr(sys.stdin.fileno(), termios.TCSANOW, self._terminal)
            os.write(sys.stdout.fileno(), _RESTORE.encode())

    def _take_from_the_dead(self) -> None:
        """A pager of its had the terminal, and went with it."""
        try:
            os.killpg(os.tcgetpgrp(sys.stdin.fileno()), 0)
        except ProcessLookupError:
            os.tcsetpgrp(sys.stdin.fileno(), os.getpgrp())  # this thread hears no SIGTTOU

    def leaving(self) -> None:
        """The production was told to stop."""
        self._hand_over(surroundings.LEAVING)

    def say(self, text: str) -> None:
        """A line of the log; one that hangs doesn't keep us, and misses some."""
        self.last.append(text)
        self._hand_over(text)

    def _hand_over(self, text: str) -> None:
        self._rest += text.encode("utf-8", "backslashreplace") + b"\n"
        self._listen()
        with contextlib.suppress(BlockingIOError, BrokenPipeError, ConnectionError):
            while self._rest:
                self._rest = self._rest[self._line.send(self._rest) :]
        if len(self._rest) > MOST:
            self._rest = self._rest[: self._rest.index(b"\n") + 1]  # it hangs: the line that was begun is all it gets

    def _listen(self) -> None:
        """Hear whether a key was pressed."""
        with contextlib.suppress(BlockingIOError, ConnectionError):
            while self._line.recv(1 << 12):
                self._key = time.monotonic()

    @contextlib.contextmanager
    def stopping_together(self) -> Iterator[None]:
        """While this lasts, a Ctrl-Z stops us only after the dashboard: a shell takes the terminal once we have stopped."""

        def stop(number: int, _frame: object) -> None:
            self._continued = False
            if self._has_stopped():
                os.kill(os.getpid(), signal.SIGSTOP)  # until somebody says fg; a further Ctrl-Z finds us here, too
            elif not self._continued:  # else somebody was quicker
                signal.signal(number, signal.SIG_DFL)
                os.kill(os.getpid(), number)  # nothing comes of it where no shell could say fg
                signal.signal(number, stop)

        def go_on(_number: int, _frame: object) -> None:
            self._continued = True

        if signal.getsignal(signal.SIGTSTP) is not signal.SIG_DFL:
            yield
            return
        signal.signal(signal.SIGTSTP, stop)
        before = signal.signal(signal.SIGCONT, go_on)
        try:
            yield
        finally:
            signal.signal(signal.SIGTSTP, signal.SIG_DFL)
            signal.signal(signal.SIGCONT, before)

    def _has_stopped(self) -> bool:
        """It has restored the terminal, and stopped; else it is gone, or hangs, or goes on."""
        for _ in range(round(PATIENCE / LOOK)):
            if not self.open or self._continued:
                return False
            with contextlib.suppress(ChildProcessError):
                if os.waitid(os.P_PID, self._process.pid, os.WSTOPPED | os.WNOHANG | os.WNOWAIT):
                    return True
            time.sleep(LOOK)
        return False

    def close(self, leaving: Callable[[], bool]) -> None:
        """It is told that we have ended. Somebody who looks on may go on looking, unless ``leaving``; who doesn't hear is ended."""
        self._hand_over(surroundings.OVER)
        with contextlib.suppress(OSError):
            self._line.shutdown(socket.SHUT_WR)
        self._listen()
        while self.open and not leaving() and time.monotonic() - self._key < surroundings.ATTENDED + PATIENCE:
            time.sleep(0.1)
            self._listen()
        for number in (None, signal.SIGTERM, signal.SIGKILL):
            if number is not None:
                self._process.send_signal(number)
            if self._crew.dismiss(PATIENCE):
                break
        self._closed()  # what was said is not lost with one that not even a KILL has ended yet
        self._line.close()


def _environment() -> dict[str, str]:
    """In which it finds the same program as we are."""
    root = os.path.dirname(os.path.dirname(os.path.abspath(production.__file__)))
    paths = [root, *filter(None, [os.environ.get("PYTHONPATH")])]
    return os.environ | {"PYTHONPATH": os.pathsep.join(paths)}
