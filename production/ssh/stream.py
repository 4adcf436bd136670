"""The bytes of a channel, both ways: what is sent goes out as there is room, what comes is taken as long as it is needed.

In comes a channel of ``connection``; next is ``sftp``, which knows what the bytes mean. Every wait is cut short, so that who
waits can be told to end, and has a limit.
"""

from __future__ import annotations

import collections
import contextlib
import threading
import time
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

from production.ssh import dial
from production.ssh import patience as patience_

if TYPE_CHECKING:
    import paramiko

_BLOCK = 32 << 10
"""Bytes that are handed over at a time; OpenSSH takes no more in a packet."""


class Broken(Exception):
    """The conversation is over: the connection is gone, or the server stands still."""


class Mute(Broken):
    """There was no conversation: the server ended it, or said something else, before its first reply."""


class _Inbox:
    """What has come on a channel, as it came: the library's own puts it together and takes it apart again, which costs a fifth."""

    def __init__(self) -> None:
        self._pieces: collections.deque[bytes] = collections.deque()
        self._news = threading.Condition()
        self._closed = False

    def feed(self, data: bytes) -> None:
        """Called by the library's thread."""
        with self._news:
            self._pieces.append(data)
            self._news.notify()

    def read(self, _most: int, timeout: float | None = None) -> bytes:
        """The next piece; nothing at the end. Raises: PipeTimeout."""
        from paramiko import buffered_pipe

        with self._news:
            if not self._pieces and not self._closed:
                self._news.wait(timeout)
            if self._pieces:
                return self._pieces.popleft()
            if self._closed:
                return b""
        raise buffered_pipe.PipeTimeout

    def close(self) -> None:
        """Called by the library, when nothing will come any more."""
        with self._news:
            self._closed = True
            self._news.notify_all()


def gone() -> tuple[type[Exception], ...]:
    """What the library raises when it can't send; taking what has come sends, too."""
    import paramiko

    return OSError, EOFError, paramiko.SSHException


def prepare(channel: paramiko.Channel) -> None:
    """Before anything can come on it."""
    channel.in_buffer = _Inbox()  # type: ignore[assignment]


class Stream:
    """Of one channel; one thread at a time, who says first whom to ask whether to go on."""

    def __init__(self, channel: paramiko.Channel, stall: float, waiting: Callable[[], None]) -> None:
        """``stall``: seconds without a byte after which it is broken."""
        self._channel = channel
        self._stall = stall
        self._limit = stall
        self._waiting = waiting
        self._pieces: collections.deque[memoryview] = collections.deque()
        self._held = 0
        self._heard = time.monotonic()
        channel.settimeout(patience_.GLANCE)

    def attend(self, waiting: Callable[[], None]) -> None:
        """From now on ``waiting`` is called while nothing comes; what it raises ends what is under way."""
        self._waiting = waiting

    @property
    def alive(self) -> bool:
        ended = self._channel.closed or self._channel.eof_received
        return not ended and bool(self._channel.get_transport().is_active())

    def connected(self) -> bool:
        """Whether at least the machine is there, now that the channel has ended."""
        return not dial.dead(self._channel)

    @property
    def late(self) -> bool:
        """Whether nothing has come for too long."""
        return time.monotonic() - self._heard > self._limit

    @contextlib.contextmanager
    def patient(self, seconds: float) -> Iterator[None]:
        """What is asked in this block may take so long."""
        self._limit = max(self._stall, seconds)
        try:
            yield
        finally:
            self._limit = self._stall

    def take(self, count: int) -> bytes:
        """The next bytes. Raises: Broken, and what ``waiting`` raises."""
        while self._held < count:
            self._hear()
        self._held -= count
        taken: list[memoryview] = []
        while count:
            piece = self._pieces.popleft()
            if len(piece) > count:
                self._pieces.appendleft(piece[count:])
                piece = piece[:count]
            taken.append(piece)
            count -= len(piece)
        return b"".join(taken)

    def _hear(self) -> None:
        try:
            block = self._channel.recv(1 << 20)
        except TimeoutError:
            self._look()
            return
        except gone() as cause:  # it also tells the server that there is room for more
            raise Broken("the connection broke") from cause
        if not block:
            raise Broken("the connection broke")
        self._heard = time.monotonic()
        self._pieces.append(memoryview(block))
        self._held += len(block)

    def send(self, request: bytes) -> None:
        """Raises: Broken, and what ``waiting`` raises."""
        self._heard = time.monotonic()
        at = 0
        while at < len(request):
            try:
                count = self._channel.send(request[at : at + _BLOCK])
            except TimeoutError:
                self._look()
                continue
            except gone() as cause:
                raise Broken("the connection broke") from cause
            if not count:
                raise Broken("the connection broke")
            self._heard = time.monotonic()
            at += count

    def _look(self) -> None:
        self._waiting()
        if self.late:
            raise Broken(f"no answer for {self._limit:.0f} s")
