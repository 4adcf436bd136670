"""A crew: the few threads that carry bytes and hash them, so that the cycle never waits for a disk.

Below the rooms that use it (transfer, outputs); knows nothing of runs. A task is a call without arguments that keeps
its own result where its owner finds it. Tasks never change a run's state (law 5).
"""

from __future__ import annotations

import contextlib
import queue
import signal
import threading
import time
from collections.abc import Callable, Iterator

_OWN_FAULTS = {signal.SIGSEGV, signal.SIGBUS, signal.SIGFPE, signal.SIGILL, signal.SIGABRT, signal.SIGTRAP}
"""A thread's own faults stay open: blocked, they would kill without a word from faulthandler."""


@contextlib.contextmanager
def deaf() -> Iterator[None]:
    """A thread that is started in this block hears no signals.

    It inherits the mask of the one that starts it. Ctrl-Z and Ctrl-C are for the main thread alone: were they open
    there, the kernel could hand a SIGTSTP to that thread and stop the whole process in the middle of a transaction,
    although the main thread holds it back until the commit.
    """
    before = signal.pthread_sigmask(signal.SIG_BLOCK, set(signal.valid_signals()) - _OWN_FAULTS)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


class Crew:
    """At most ``width`` threads, hired when there is work for them; daemons, so a hung one can't hold the exit."""

    def __init__(self, name: str, width: int, wake: Callable[[], None]) -> None:
        """``wake`` is called after each task, from its thread; never once the crew has been dismissed."""
        self._name = name
        self._width = max(1, width)
        self._wake = wake
        self._tasks: queue.SimpleQueue[Callable[[], None] | None] = queue.SimpleQueue()
        self._lock = threading.Lock()
        self._threads: list[threading.Thread] = []
        self._open = 0  # tasks given and not yet ended
        self._dismissed = False

    @property
    def dismissed(self) -> bool:
        """Long tasks look here between two blocks."""
        return self._dismissed

    def give(self, task: Callable[[], None]) -> None:
        """Queue a task; returns at once.

        Raises: RuntimeError: the crew was dismissed, or the system gives us no first thread.
        """
        with self._lock:
            if self._dismissed:
                raise RuntimeError(f"{self._name}: work after the end")
            self._open += 1
            wanted = self._open > len(self._threads) and len(self._threads) < self._width
        self._tasks.put(task)
        if wanted:
            self._hire()

    def wake(self) -> None:
        """From the middle of a task: there is news already."""
        with self._lock:
            self._tell()

    def dismiss(self, seconds: float) -> bool:
        """Drop what is queued and wait until the threads are gone; False if one still hangs after ``seconds``."""
        with self._lock:
            self._dismissed = True
        while not self._tasks.empty():
            self._tasks.get()
        for _ in self._threads:
            self._tasks.put(None)
        deadline = time.monotonic() + seconds
        for thread in self._threads:
            thread.join(max(0.0, deadline - time.monotonic()))
        return not any(thread.is_alive() for thread in self._threads)

    def _tell(self) -> None:
        if not self._dismissed:  # afterwards the clock may be closed, its descriptor somebody else's
            self._wake()

    def _hire(self) -> None:
        thread = threading.Thread(target=self._work, name=f"{self._name}-{len(self._threads)}", daemon=True)
        try:
            with deaf():
                thread.start()
            self._threads.append(thread)
        except RuntimeError:
            if not self._threads:
                raise  # with one thread or more it is only slower

    def _work(self) -> None:
        while (task := self._tasks.get()) is not None:
            try:
                task()
            finally:
                with self._lock:
                    self._open -= 1
                    self._tell()
