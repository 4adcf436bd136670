"""How a machine is reached: over the hosts between, each encrypted, known, and logged in to. Nothing stays open of a way that fails.

In comes the way, out go the library's connections, the last of which is to whom we want. ``connection`` keeps them.
"""

from __future__ import annotations

import errno
import logging
import os
import select
import socket
import threading
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING

from production import disk, errors, threads
from production.ssh import config, known, login
from production.ssh import patience as patience_

if TYPE_CHECKING:
    import paramiko

ALIVE = 15
"""Seconds between two signs of life, for those in between who forget silent connections."""
QUICK = ("aes128-gcm@openssh.com", "aes256-gcm@openssh.com")
"""Ciphers that cost us least: they need no checksum beside. See docs/decisions/0014."""
_DYING = 1.0
"""Seconds that the library may take over a connection's end, on a busy machine."""
LOST = 30_000
"""Milliseconds after which the kernel believes no more in a machine that acknowledges nothing."""


def dial(
    way: Sequence[tuple[config.Host, login.Login]], waiting: patience_.Patience, ask: login.Ask | None
) -> list[paramiko.Transport]:
    """Through every host of the way. Raises: RemoteError; UsageError: a known_hosts file can't be read."""
    _be_silent()
    line: list[paramiko.Transport] = []
    try:
        for host, who in way:
            there = known.entries(host)
            line.append(_greeted(_socket(host, line, waiting), host, there, waiting))
            who.enter(line[-1], waiting, ask)
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

    from production.ssh import transport as transports

    try:
        transport = transports.Transport(end)
    except BaseException:
        end.close()
        raise
    try:
        options = transport.get_security_options()
        options.key_types = tuple(known.algorithms(there, options.key_types))
        options.ciphers = sorted(options.ciphers, key=lambda one: one not in QUICK)
        event = threading.Event()
        with threads.deaf():
            transport.start_client(event)
        waiting.wait(event, f"no connection to {host.name}", transport.is_active)
        if not transport.is_active():
            cause = transport.get_exception()
            raise errors.RemoteAway(f"no connection to {host.name}: {said(cause) if cause else 'it hung up'}")
        key = transport.get_remote_server_key()
        known.check(host, there, key.get_name(), key.asbytes())
    except (paramiko.SSHException, EOFError, OSError) as cause:
        transport.close()
        raise errors.RemoteAway(f"no connection to {host.name}: {said(cause)}") from cause
    except BaseException:
        transport.close()
        raise
    return transport


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
        text = cause.text if isinstance(cause, paramiko.ChannelException) else said(cause)
        raise errors.RemoteAway(
            f"no connection to {host.name} through its ProxyJump: {disk.printable(text)}"
        ) from cause


def _dialled(host: config.Host, waiting: patience_.Patience) -> socket.socket:
    try:
        found = socket.getaddrinfo(host.address, host.port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError) as cause:
        raise errors.RemoteAway(f"no connection to {host.name}: {host.address}: {said(cause)}") from cause
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


def dead(channel: paramiko.Channel) -> bool:
    """Whether a channel that has ended did so with its connection: the library ends the channels first, and then says so."""
    transport = channel.get_transport()
    transport.join(_DYING)
    return not transport.is_active()


def said(cause: BaseException) -> str:
    """A library's words, in one line."""
    words = cause.strerror if isinstance(cause, OSError) and cause.strerror else str(cause)
    return disk.printable(words or type(cause).__name__)
