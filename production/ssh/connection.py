"""One connection to another machine for all that is asked of it: made when it is needed, made again when it broke.

In comes a ``config.Host``, out go channels, as many side by side as the server allows. Any thread may ask. Nothing there
listens for us or calls back.
"""

from __future__ import annotations

import contextlib
import errno
import logging
import os
import select
import signal
import socket
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING

from production import disk, errors
from production.ssh import config, known, login
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
ALIVE = 15
"""Seconds between two signs of life, for those in between who forget silent connections."""
LOST = 30_000
"""Milliseconds after which the kernel believes no more in a machine that acknowledges nothing."""
PAUSES = (2.0, 60.0)
"""Seconds before it is tried again after it was away; twice as long each time, up to the second."""
REFUSED_PAUSES = (15.0, 600.0)
"""The same after we weren't let in: who knocks too often is locked out."""


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

    def greet(self, waiting: patience_.Patience, ask: login.Ask | None = None) -> None:
        """See that we get in; ``ask`` asks a person for what only a person knows. Later there is nobody to be asked.

        Raises: RemoteAway, RemoteRefused; UsageError: a known_hosts file can't be read.
        """
        self._ask = ask
        try:
            self._reached(waiting)
        finally:
            self._ask = None

    @contextlib.contextmanager
    def channel(self, waiting: patience_.Patience) -> Iterator[paramiko.Channel]:
        """A channel of our own, closed at the end.

        Raises: RemoteAway, RemoteRefused.
        """
        opened = self._opened(waiting)
        try:
            yield opened
        finally:
            with contextlib.suppress(Exception):  # the connection may be anything by now
                opened.close()
            self._leave_room()

    @contextlib.contextmanager
    def session(self, command: str, waiting: patience_.Patience) -> Iterator[paramiko.Channel]:
        """A channel on which the account's login shell has been given a command.

        Raises: RemoteAway, RemoteRefused.
        """
        import paramiko

        with self.channel(waiting) as channel:
            with _watched(channel, waiting):  # it waits for the answer as long as that takes
                try:
                    channel.exec_command(command)
                except (paramiko.SSHException, EOFError, OSError) as cause:
                    self._drop(channel.get_transport())
                    raise errors.RemoteAway(f"the connection to {self.host.name} broke: {_said(cause)}") from cause
            yield channel

    def close(self) -> None:
        """Let go; whoever asks again connects again."""
        with self._lock:
            self._hang_up()

    # --- channels -----------------------------------------------------------------------------------------------------

    def _opened(self, waiting: patience_.Patience) -> paramiko.Channel:
        import paramiko

        while True:
            self._take_room(waiting)
            try:
                return self._open(waiting)
            except paramiko.ChannelException:
                # it has as many as it takes; some of them may be those of commands that haven't ended yet
                self._leave_room(refused=True)
                waiting.check(f"{self.host.name} opens no more channels (MaxSessions of its sshd)")
                threading.Event().wait(waiting.slice())
            except BaseException:
                self._leave_room()
                raise

    def _take_room(self, waiting: patience_.Patience) -> None:
        with self._room:
            while self._in_use >= self._most:
                waiting.check(f"{self.host.name}: all {self._most} channels are in use")
                self._room.wait(waiting.slice())
            self._in_use += 1

    def _leave_room(self, *, refused: bool = False) -> None:
        with self._room:
            self._in_use -= 1
            if refused:
                self._most = max(1, min(self._most, self._in_use))
            self._room.notify_all()

    def _open(self, waiting: patience_.Patience) -> paramiko.Channel:
        """A channel of the connection that there is; of a new one if it turns out to be dead: nothing was asked yet."""
        import paramiko

        line, fresh = self._reached(waiting)
        while True:
            try:
                with self._opening:
                    return line.open_session(timeout=min(OPEN, max(0.1, waiting.left())))
            except paramiko.ChannelException:
                raise
            except (paramiko.SSHException, EOFError, OSError) as cause:
                self._drop(line)
                if fresh:
                    raise errors.RemoteAway(f"the connection to {self.host.name} broke: {_said(cause)}") from cause
            line, _ = self._reached(waiting)
            fresh = True

    # --- the connection -----------------------------------------------------------------------------------------------

    def _reached(self, waiting: patience_.Patience) -> tuple[paramiko.Transport, bool]:
        """The connection, and whether it was made just now."""
        while not self._lock.acquire(timeout=max(0.01, waiting.slice())):
            waiting.check(f"no connection to {self.host.name}")
        try:
            if self._line and all(one.is_active() for one in self._line):
                return self._line[-1], False
            self._hang_up()
            if self._trouble is not None and self._now() < self._again:
                raise type(self._trouble)(str(self._trouble))
            until = time.monotonic() + (CONNECT if self._ask is None else TYPING)
            try:
                # who is asked a question may take longer over it than a command may take
                ours = min(waiting.deadline, until) if self._ask is None else until
                self._line = self._connect(patience_.Patience(ours, waiting.leaving))
            except errors.RemoteError as trouble:
                self._put_off(trouble)
                raise
            self._trouble, self._failures = None, 0
            with self._room:
                self._most = CHANNELS
            return self._line[-1], True
        finally:
            self._lock.release()

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

    def _connect(self, waiting: patience_.Patience) -> list[paramiko.Transport]:
        """Through every host of the way. Raises: RemoteError."""
        _be_silent()
        line: list[paramiko.Transport] = []
        try:
            for host, who in self._way:
                there = known.entries(host)
                line.append(_greeted(_socket(host, line, waiting), host, there, waiting))
                who.enter(line[-1], waiting, self._ask)
                line[-1].set_keepalive(ALIVE)
        except BaseException:
            for one in reversed(line):
                one.close()
            raise
        return line


def _be_silent() -> None:
    """What the library would tell the shift, our errors tell better."""
    theirs = logging.getLogger("paramiko")
    theirs.propagate = False
    theirs.setLevel(logging.CRITICAL + 1)


def _greeted(
    end: socket.socket | paramiko.Channel,
    host: config.Host,
    there: Sequence[known.Entry],
    waiting: patience_.Patience,
) -> paramiko.Transport:
    """Encrypted, and with the host that we know. Raises: RemoteError."""
    import paramiko

    try:
        transport = paramiko.Transport(end)
    except BaseException:
        end.close()
        raise
    try:
        options = transport.get_security_options()
        options.key_types = tuple(known.algorithms(there, options.key_types))
        event = threading.Event()
        with _deaf():
            transport.start_client(event)
        waiting.wait(event, f"no connection to {host.name}", transport.is_active)
        if not transport.is_active():
            cause = transport.get_exception()
            raise errors.RemoteAway(f"no connection to {host.name}: {_said(cause) if cause else 'it hung up'}")
        key = transport.get_remote_server_key()
        known.check(host, there, key.get_name(), key.asbytes())
    except (paramiko.SSHException, EOFError, OSError) as cause:
        transport.close()
        raise errors.RemoteAway(f"no connection to {host.name}: {_said(cause)}") from cause
    except BaseException:
        transport.close()
        raise
    return transport


@contextlib.contextmanager
def _watched(channel: paramiko.Channel, waiting: patience_.Patience) -> Iterator[None]:
    """If this takes too long the channel is closed, which ends it."""
    over = threading.Event()

    def watch() -> None:
        while not over.wait(waiting.slice()):
            if not waiting.left():
                channel.close()
                return

    with _deaf():
        threading.Thread(target=watch, name="ssh-watch", daemon=True).start()
    try:
        yield
    finally:
        over.set()


@contextlib.contextmanager
def _deaf() -> Iterator[None]:
    """A thread that is started meanwhile gets no signals: they are for the main thread alone, see ``threads``."""
    own = {signal.SIGSEGV, signal.SIGBUS, signal.SIGFPE, signal.SIGILL, signal.SIGABRT, signal.SIGTRAP}
    before = signal.pthread_sigmask(signal.SIG_BLOCK, set(signal.valid_signals()) - own)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _socket(
    host: config.Host, line: list[paramiko.Transport], waiting: patience_.Patience
) -> socket.socket | paramiko.Channel:
    """To its port: from here, or from the last host of the way."""
    import paramiko

    if not line:
        return _dialled(host, waiting)
    where = (host.address, host.port)
    try:
        return line[-1].open_channel("direct-tcpip", where, ("127.0.0.1", 0), timeout=max(0.1, waiting.left()))
    except (paramiko.SSHException, EOFError, OSError) as cause:
        text = cause.text if isinstance(cause, paramiko.ChannelException) else _said(cause)
        raise errors.RemoteAway(
            f"no connection to {host.name} through its ProxyJump: {disk.printable(text)}"
        ) from cause


def _dialled(host: config.Host, waiting: patience_.Patience) -> socket.socket:
    try:
        found = socket.getaddrinfo(host.address, host.port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError) as cause:
        raise errors.RemoteAway(f"no connection to {host.name}: {host.address}: {_said(cause)}") from cause
    why = "it has no address"
    for number, (family, kind, protocol, _, where) in enumerate(found):
        waiting.check(f"no connection to {host.name}")
        share = patience_.Patience(time.monotonic() + waiting.left() / (len(found) - number), waiting.leaving)
        end = socket.socket(family, kind, protocol)
        trouble = _ring(end, where, share)
        if not trouble:
            return end
        end.close()
        why = os.strerror(trouble)
    raise errors.RemoteAway(f"no connection to {host.name} ({host.address} port {host.port}): {why}")


def _ring(end: socket.socket, where: tuple[object, ...], waiting: patience_.Patience) -> int:
    """Connect; the error's number, 0 if there is none."""
    end.setblocking(False)
    end.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    end.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, LOST)
    trouble = end.connect_ex(where)
    if trouble != errno.EINPROGRESS:
        return trouble
    poll = select.poll()
    poll.register(end, select.POLLOUT)
    while not poll.poll(1000 * waiting.slice()):
        if not waiting.left():
            return errno.ETIMEDOUT
    return end.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)


def _said(cause: BaseException) -> str:
    """A library's words, in one line."""
    words = cause.strerror if isinstance(cause, OSError) and cause.strerror else str(cause)
    return disk.printable(words or type(cause).__name__)
