"""The line in front of the database: writers wait for their turn on a side lock.

SQLite's own wait is a lottery: under eight writers some process gets nothing for seconds and then an error. A
``flock`` on a file beside the database is first come, first served, for 7 % of the speed. Where ``flock`` can't be
trusted (network file systems) there is no line, and ``sqlite`` retries with jitter.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import random
import signal
import threading
import time
from collections.abc import Iterator
from types import FrameType

from production import errors


class Line:
    """The side lock of one database, ``<real path>.lock``."""

    def __init__(self, database: str) -> None:
        """Raises: CatalogueError, if the lock file can be neither opened nor made."""
        self.path = database + ".lock"
        self._descriptor = self._open(database)

    def _open(self, database: str) -> int:
        # Opened before it is created: in a sticky directory the kernel refuses O_CREAT on somebody else's file.
        flags = os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW
        try:
            with contextlib.suppress(FileNotFoundError):
                return os.open(self.path, flags)
            descriptor = os.open(self.path, flags | os.O_CREAT, 0o600)
            with contextlib.suppress(PermissionError):  # made by another user between the two calls
                there = os.stat(database)
                with contextlib.suppress(PermissionError):  # not of its group: the mode has to do
                    os.fchown(descriptor, -1, there.st_gid)
                os.fchmod(descriptor, there.st_mode & 0o777)
            return descriptor
        except OSError as cause:
            raise errors.CatalogueError(
                f"{self.path}: {cause.strerror}; mend, as its owner: "
                f"chgrp --reference='{database}' '{self.path}'; chmod --reference='{database}' '{self.path}'"
            ) from cause

    @contextlib.contextmanager
    def turn(self, patience: float) -> Iterator[None]:
        """Our turn, after at most ``patience`` seconds.

        Raises: CatalogueBusy.
        """
        self._wait(patience)
        try:
            yield
        finally:
            fcntl.flock(self._descriptor, fcntl.LOCK_UN)

    def _wait(self, patience: float) -> None:
        with contextlib.suppress(BlockingIOError):
            return fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        if threading.current_thread() is threading.main_thread():
            self._wait_in_line(patience)
        else:
            self._wait_with_jitter(patience)  # only the main thread can have an alarm
        return None

    def _wait_in_line(self, patience: float) -> None:
        waiting = True

        def ring(_signal: int, _frame: FrameType | None) -> None:
            if waiting:  # not when it rings just as our turn comes
                raise TimeoutError

        before = signal.signal(signal.SIGALRM, ring)
        try:
            signal.setitimer(signal.ITIMER_REAL, max(patience, 0.001))  # 0 would be for ever
            fcntl.flock(self._descriptor, fcntl.LOCK_EX)
            waiting = False
        except TimeoutError:
            fcntl.flock(self._descriptor, fcntl.LOCK_UN)
            raise errors.CatalogueBusy(f"{self.path}: somebody has held the lock for {patience:.0f} s") from None
        finally:
            signal.setitimer(signal.ITIMER_REAL, 0)
            signal.signal(signal.SIGALRM, before)

    def _wait_with_jitter(self, patience: float) -> None:
        end = time.monotonic() + patience
        while time.monotonic() < end:
            time.sleep(random.uniform(0.0005, 0.005))  # noqa: S311  jitter, not a secret
            with contextlib.suppress(BlockingIOError):
                return fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        raise errors.CatalogueBusy(f"{self.path}: somebody has held the lock for {patience:.0f} s")

    def close(self) -> None:
        os.close(self._descriptor)
