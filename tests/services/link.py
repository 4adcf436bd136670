"""The line to a server as a test wants it: bytes go through, stand still, or it is cut; in threads of ours, on loopback."""

from __future__ import annotations

import contextlib
import select
import socket
import threading
from collections.abc import Callable, Iterator

LOOK = 0.05
"""Seconds between two looks at what the test wants."""


class Link:
    """Listens on ``port``, and carries to another port of this machine."""

    def __init__(self, target: int, listener: socket.socket | None = None) -> None:
        """``listener``: of another network, if the line begins there."""
        self.target = target
        self._listener = listener or socket.create_server(("127.0.0.1", 0))
        self.port = int(self._listener.getsockname()[1])
        self._over = threading.Event()
        self._flows = threading.Event()
        self._flows.set()
        self._generation = 0
        self._lock = threading.Lock()
        self.begun = 0
        """Connections so far."""
        self.up = 0
        """Bytes that went to the server so far."""
        self.down = 0
        """Bytes that came from the server and went on so far."""
        self._when_down: tuple[int, Callable[[], None]] | None = None
        self._when: tuple[int, Callable[[], None]] | None = None
        self._left: int | None = None
        """Bytes that may come from the server before all is cut."""
        self._closed = False
        self._threads = [threading.Thread(target=self._accept, daemon=True)]
        self._threads[0].start()

    def stall(self) -> None:
        """Nothing goes through any more, and nobody is told."""
        self._flows.clear()

    def go_on(self) -> None:
        self._flows.set()

    def cut(self) -> None:
        """Every connection there is, now. New ones go through."""
        self._generation += 1

    def refuse(self) -> None:
        """Connections are cut, now and as soon as they come."""
        self._closed = True
        self.cut()

    def accept(self) -> None:
        self._closed = False

    def after(self, up: int, deed: Callable[[], None]) -> None:
        """Once: do it when so many more bytes have gone to the server."""
        self._when = (self.up + up, deed)

    def after_down(self, down: int, deed: Callable[[], None]) -> None:
        """Once: do it when so many more bytes have come from the server."""
        self._when_down = (self.down + down, deed)

    def cut_after(self, down: int) -> None:
        """Once: every connection, when exactly so many more bytes have come from the server."""
        with self._lock:
            self._left = down

    def close(self) -> None:
        self._over.set()
        self._flows.set()
        self._listener.close()
        for thread in self._threads:
            thread.join(10)

    def _accept(self) -> None:
        while not self._over.is_set():
            try:
                if not select.select([self._listener], [], [], LOOK)[0]:
                    continue
                here, _ = self._listener.accept()
            except (OSError, ValueError):
                return
            if self._closed:
                here.close()
                continue
            self.begun += 1
            thread = threading.Thread(target=self._carry, args=(here, self._generation), daemon=True)
            self._threads.append(thread)
            thread.start()

    def _carry(self, here: socket.socket, generation: int) -> None:
        with here, contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", self.target), 5) as there:
            while not self._over.is_set() and generation == self._generation:
                if not self._flows.wait(LOOK):
                    continue
                for one in select.select([here, there], [], [], LOOK)[0]:
                    block = one.recv(1 << 16)
                    if not block:
                        return
                    if one is here:
                        there.sendall(block)
                        self._count(len(block))
                    elif self._goes_on(generation):
                        some = self._allowed(block)
                        here.sendall(some)
                        self._count_down(len(some))

    def _goes_on(self, generation: int) -> bool:
        """Whether what has come from the server isn't cut; of a line that stands still nothing is lost."""
        while generation == self._generation and not self._over.is_set():
            if self._flows.wait(LOOK):
                return generation == self._generation
        return False

    def _allowed(self, block: bytes) -> bytes:
        with self._lock:
            if self._left is None:
                return block
            block = block[: self._left]
            self._left -= len(block)
            if not self._left:
                self._left = None
                self.cut()
            return block

    def _count(self, number: int) -> None:
        with self._lock:
            self.up += number
            due = self._when if self._when and self.up >= self._when[0] else None
            if due:
                self._when = None
        if due:
            due[1]()

    def _count_down(self, number: int) -> None:
        with self._lock:
            self.down += number
            due = self._when_down if self._when_down and self.down >= self._when_down[0] else None
            if due:
                self._when_down = None
        if due:
            due[1]()


@contextlib.contextmanager
def to(port: int, listener: socket.socket | None = None) -> Iterator[Link]:
    """A line to this port."""
    link = Link(port, listener)
    try:
        yield link
    finally:
        link.close()
