"""One connection to another machine for all that is asked of it: made when it is needed, made again when it broke.

In comes a ``config.Host``, out go channels, as many side by side as the server allows. Any thread may ask. Nothing there
listens for us or calls back.
"""

from __future__ import annotations

import contextlib
import copy
import dataclasses
import threading
import time
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

from production import errors, threads
from production.ssh import config, dial, login
from production.ssh import patience as patience_

if TYPE_CHECKING:
    import paramiko

CHANNELS = 8
"""Side by side; servers allow ten unless told otherwise."""
CONNECT = 15.0
"""Seconds that it may take until we are in, at most."""
TYPING = 300.0
"""The same while there is a person who may be asked for a password."""
OPEN = 10.0
"""Seconds that a channel may take; who needs more is gone."""
PAUSES = (2.0, 60.0)
"""Seconds before it is tried again after it was away; twice as long each time, up to the second."""
REFUSED_PAUSES = (15.0, 600.0)
"""The same after we weren't let in: who knocks too often is locked out."""


@dataclasses.dataclass(frozen=True, slots=True)
class Size:
    """How much may be under way to us on a channel; None: as the library has it."""

    window: int | None = None
    """Bytes that may come before we have taken any."""
    packet: int | None = None
    """Bytes of one packet."""
    at_once: bool = False
    """If there is no room for it, it isn't waited for."""


class Connection:
    """To one host, over those in between."""

    def __init__(self, host: config.Host, now: Callable[[], float] = time.monotonic) -> None:
        self.host = host
        self._way = [(one, login.Login(one)) for one in (*host.through, host)]
        self._ask: login.Ask | None = None
        self._now = now
        self._lock = threading.Lock()
        """Of who connects."""
        self._opening = threading.Lock()
        """Of who opens a channel: of two refusals at a time the library tells only one."""
        self._line: list[paramiko.Transport] = []
        """Through each host of the way, the last is ours; empty: none is there."""
        self._trouble: errors.RemoteError | None = None
        self._failures = 0
        self._again = 0.0
        """Not to be tried before."""
        self._room = threading.Condition()
        self._most = CHANNELS
        self._in_use = 0
        self._lenders: list[Callable[[], bool]] = []

    def greet(self, waiting: patience_.Patience, ask: login.Ask | None = None) -> None:
        """See that we get in; ``ask`` asks a person for what only a person knows. Later there is nobody to be asked.

        Raises: RemoteAway, RemoteRefused; UsageError: a known_hosts file can't be read.
        """
        self._ask = ask
        try:
            self._reached(waiting)
        finally:
            self._ask = None

    def lend(self, give_up: Callable[[], bool]) -> None:
        """Who keeps channels in case, lets one go when this is called, and says whether there was one."""
        self._lenders.append(give_up)

    @contextlib.contextmanager
    def channel(self, waiting: patience_.Patience, size: Size | None = None) -> Iterator[paramiko.Channel]:
        """A channel of our own, closed at the end. With a ``size`` it is for files: one is left for commands.

        Raises: RemoteAway, RemoteRefused.
        """
        opened = self._opened(waiting, size)
        try:
            yield opened
        finally:
            with contextlib.suppress(Exception):  # the connection may be anything by now
                opened.close()
            self._leave_room()

    @contextlib.contextmanager
    def session(
        self, command: str, waiting: patience_.Patience, size: Size | None = None
    ) -> Iterator[paramiko.Channel]:
        """A channel on which the account's login shell has been given a command.

        Raises: RemoteAway, RemoteRefused.
        """
        import paramiko

        with self.channel(waiting, size) as channel:
            with _watched(channel, waiting):  # it waits for the answer as long as that takes
                try:
                    channel.exec_command(command)
                except (paramiko.SSHException, EOFError, OSError) as cause:
                    if waiting.leaving():
                        waiting.check(self.host.name)  # it was we who closed the channel
                    self._drop(channel.get_transport())
                    raise errors.RemoteAway(f"the connection to {self.host.name} broke: {dial.said(cause)}") from cause
            yield channel

    @contextlib.contextmanager
    def subsystem(
        self, name: str, waiting: patience_.Patience, size: Size, prepare: Callable[[paramiko.Channel], None]
    ) -> Iterator[paramiko.Channel]:
        """A channel at whose other end is one of the server's subsystems, for files; ``prepare``-d before anything is asked.

        Raises: RemoteAway, RemoteRefused.
        """
        import paramiko

        with self.channel(waiting, size) as channel:
            prepare(channel)
            with _watched(channel, waiting):
                try:
                    channel.invoke_subsystem(name)
                except (paramiko.SSHException, EOFError, OSError) as cause:
                    if waiting.left() and not dial.dead(channel):
                        raise errors.RemoteRefused(
                            f"the sshd of {self.host.name} has no {name}", f"see that {name} {self.host.name} works"
                        ) from cause
                    self._drop(channel.get_transport())
                    raise errors.RemoteAway(f"the connection to {self.host.name} broke: {dial.said(cause)}") from cause
            yield channel

    def close(self) -> None:
        """Let go; whoever asks again connects again."""
        with self._lock:
            self._hang_up()

    # --- channels -----------------------------------------------------------------------------------------------------

    def _opened(self, waiting: patience_.Patience, size: Size | None) -> paramiko.Channel:
        import paramiko

        while True:
            self._take_room(waiting, size)
            try:
                return self._open(waiting, size or Size())
            except paramiko.ChannelException:
                # it has as many as it takes; some of them may be those of commands that haven't ended yet
                self._leave_room(refused=True)
                if (size and size.at_once) or self._borrow():
                    continue
                waiting.check(f"{self.host.name} opens no more channels (MaxSessions of its sshd)")
                threading.Event().wait(waiting.slice())
            except BaseException:
                self._leave_room()
                raise

    def _take_room(self, waiting: patience_.Patience, size: Size | None) -> None:
        def room() -> bool:
            return self._in_use < (max(1, self._most - 1) if size else self._most)

        while True:
            with self._room:
                if room():
                    self._in_use += 1
                    return
            if size and size.at_once:
                raise errors.RemoteAway(f"{self.host.name}: all {self._most} channels are in use")
            if not self._borrow():
                waiting.check(f"{self.host.name}: all {self._most} channels are in use")
                with self._room:
                    self._room.wait_for(room, waiting.slice())

    def _borrow(self) -> bool:
        """Whether somebody let a channel go that was kept in case."""
        return any(give_up() for give_up in self._lenders)

    def _leave_room(self, *, refused: bool = False) -> None:
        with self._room:
            self._in_use -= 1
            if refused:
                self._most = max(1, min(self._most, self._in_use))
            self._room.notify_all()

    def _open(self, waiting: patience_.Patience, size: Size) -> paramiko.Channel:
        """A channel of the connection that there is; of a new one if it turns out to be dead: nothing was asked yet."""
        import paramiko

        line, fresh = self._reached(waiting)
        while True:
            try:
                with self._alone(self._opening, waiting):
                    waiting.check(f"no channel to {self.host.name}")  # who has gone doesn't break it for the others
                    soon = min(OPEN, max(0.1, waiting.left()))
                    return line.open_session(size.window, size.packet, timeout=soon)
            except paramiko.ChannelException:
                raise
            except (paramiko.SSHException, EOFError, OSError) as cause:
                self._drop(line)
                if fresh:
                    raise errors.RemoteAway(f"the connection to {self.host.name} broke: {dial.said(cause)}") from cause
            line, _ = self._reached(waiting)
            fresh = True

    # --- the connection -----------------------------------------------------------------------------------------------

    def _reached(self, waiting: patience_.Patience) -> tuple[paramiko.Transport, bool]:
        """The connection, and whether it was made just now."""
        with self._alone(self._lock, waiting):
            if self._line and all(one.is_active() for one in self._line):
                return self._line[-1], False
            self._hang_up()
            if self._trouble is not None and self._now() < self._again:
                raise copy.copy(self._trouble) from self._trouble.__cause__
            until = time.monotonic() + (CONNECT if self._ask is None else TYPING)
            # who is asked a question may take longer over it than a command may take
            ours = min(waiting.deadline, until) if self._ask is None else until
            try:
                self._line = dial.dial(self._way, patience_.Patience(ours, waiting.leaving), self._ask)
            except errors.RemoteError as trouble:
                self._put_off(trouble)
                raise
            self._trouble, self._failures = None, 0
            with self._room:
                self._most = CHANNELS
            return self._line[-1], True

    @contextlib.contextmanager
    def _alone(self, lock: threading.Lock, waiting: patience_.Patience) -> Iterator[None]:
        """Hold the lock. Raises: RemoteAway: others held it for too long."""
        while not lock.acquire(timeout=max(0.01, waiting.slice())):
            waiting.check(f"no connection to {self.host.name}")
        try:
            yield
        finally:
            lock.release()

    def _put_off(self, trouble: errors.RemoteError) -> None:
        first, longest = PAUSES if trouble.transient else REFUSED_PAUSES
        self._trouble = trouble
        self._again = self._now() + min(longest, first * 2 ** min(self._failures, 10))
        self._failures += 1

    def _drop(self, line: paramiko.Transport) -> None:
        """It is dead; unless somebody else has seen that before."""
        with self._lock:
            if self._line and self._line[-1] is line:
                self._hang_up()

    def _hang_up(self) -> None:
        for one in reversed(self._line):
            one.close()
        self._line = []


@contextlib.contextmanager
def _watched(channel: paramiko.Channel, waiting: patience_.Patience) -> Iterator[None]:
    """If this takes too long the channel is closed, which ends it."""
    over = threading.Event()

    def watch() -> None:
        while not over.wait(waiting.slice() or patience_.GLANCE):
            if not waiting.left():
                channel.close()
                channel.event.set()  # each time: who begins to wait for one that was closed just now is never told

    with threads.deaf():
        threading.Thread(target=watch, name="ssh-watch", daemon=True).start()
    try:
        yield
    finally:
        over.set()
