"""One connection to an FTP server: commands, their replies, and the bytes of a file, none of which can hang us.

``ftplib`` knows the protocol; here every wait is cut into seconds, so that whoever waits can be told to end, and has a
limit. In come commands, out go the server's words; what the network does to us leaves as ``Cut`` or ``Silence``, what
the server refuses as ftplib's ``error_temp`` and ``error_perm``. Next is the pool, which keeps connections.
"""

from __future__ import annotations

import contextlib
import dataclasses
import errno
import ftplib
import math
import os
import re
import select
import socket
import ssl
import struct
import time
import urllib.parse
from collections.abc import Callable, Iterator

from production import disk, errors
from production.transfer import login as logins

TICK = 1.0
"""Seconds between two looks whether to go on."""
BLOCK = 256 << 10
"""Bytes read at a time."""
_LONGEST_REPLY = 1 << 20
"""Bytes; a server that says more to one command is mad."""
_LEAST = 1000
"""Bytes that have to come within the limit: who sends one a second holds a seat for ever."""
_IN_PROGRESS = {errno.EINPROGRESS, errno.EALREADY, errno.EWOULDBLOCK, errno.EINTR}
_TICK = struct.pack("ll", int(TICK), 0)
"""As the kernel has it."""

_NUMBERS = re.compile(r"213 \d+|22[79][^\d|]*[\d,|]+[^\d|]*")
"""Replies that are nothing but numbers: a password of digits must not spoil them, and nobody can read it out of them."""

Waiting = Callable[[], None]
_Address = tuple[str | int | bytes, ...]


class Cut(Exception):
    """The connection is gone, or can't be had."""


class Silence(Cut):
    """Nothing came for too long."""


@dataclasses.dataclass(frozen=True, slots=True)
class Place:
    """Where the server is."""

    host: str
    port: int
    secure: bool
    context: ssl.SSLContext | None

    @property
    def url(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"ftp{'s' if self.secure else ''}://{host}:{self.port}"

    @property
    def implicit(self) -> bool:
        """Whether it speaks TLS from the first byte."""
        return self.secure and self.port == 990


class Control(ftplib.FTP):
    """A connection; used by one thread at a time, who says first whom to ask whether to go on: ``attend``."""

    def __init__(self, place: Place, limit: float, login: logins.Login) -> None:
        """``limit``: seconds without an answer after which a connection is given up."""
        super().__init__(timeout=TICK)
        self.place = place
        self.replies = 0
        self.pending = False
        """A command's last reply is still to come, so nothing else can be asked."""
        self._limit = limit
        self._login = login
        self._secrets = _forms(login.password, login.account)
        self._peer: _Address = (place.host, place.port)
        self._ahead = b""
        self._heard = 0
        self._deadline = math.inf
        self._waiting: Waiting = _nobody
        self._told = time.monotonic()
        self._buffer = memoryview(b"")

    def attend(self, waiting: Waiting) -> None:
        """From now on ``waiting`` is called once a second, whatever comes; what it raises ends what is under way."""
        self._waiting = waiting
        self._told = time.monotonic()

    @property
    def spoke(self) -> bool:
        """Whether the server said something that nobody asked for (one answer too many; that it closes), or is gone."""
        if self.sock is None or self._ahead or (isinstance(self.sock, ssl.SSLSocket) and self.sock.pending()):
            return True
        poll = select.poll()
        poll.register(self.sock, select.POLLIN)
        return bool(poll.poll(0))

    def open(self) -> None:
        """Reach the server and hear its greeting; with ftps also agree on the cipher.

        Raises: Cut, Silence, TransferWaits, ftplib.Error, ssl.SSLCertVerificationError.
        """
        self.sock = self._reach(self.place.host, self.place.port)
        self.af = self.sock.family
        self._peer = self.sock.getpeername()
        # A long transfer leaves this connection idle, and a router forgets idle ones.
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        self.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, 60)
        if self.place.implicit:
            self.sock = self._secured(self.sock)
        self.pending = True
        self._deadline = time.monotonic() + self._limit
        self.welcome = self._last(self.getresp())
        if self.place.secure and not self.place.implicit:
            self.sendcmd("AUTH TLS")
            self._ahead = b""  # what was said before the cipher may be anybody's
            self.sock = self._secured(self.sock)

    def enter(self) -> None:
        """Say who we are. Raises: as ``ask``."""
        self.login(self._login.user, self._login.password, self._login.account)

    def prepare(self) -> None:
        """Make ready for transfers. Raises: as ``ask``."""
        if self.place.secure:
            self.ask("PBSZ 0")
            self.ask("PROT P")
        self.ask("TYPE I")  # first of all: in ASCII mode some servers refuse SIZE

    def ask(self, command: str, limit: float | None = None) -> str:
        """The last reply to a command. Raises: Cut, Silence, ftplib.Error, and what ``waiting`` raises."""
        return self._last(self.sendcmd(command) if limit is None else self._patiently(command, limit))

    def _last(self, reply: str) -> str:
        """What comes after those that only say: wait."""
        while reply.startswith("1"):
            reply = self.getresp()
        return reply

    def _patiently(self, command: str, limit: float) -> str:
        before, self._limit = self._limit, limit
        try:
            return self.sendcmd(command)
        finally:
            self._limit = before

    # --- replies, for ftplib ---

    def putline(self, line: str) -> None:
        if any(sign in line for sign in "\r\n\0"):
            raise ftplib.error_proto("a line end in a command: not sent")
        self.pending = True
        self._heard = 0
        self._deadline = time.monotonic() + self._limit  # for all that it answers: many a word is no answer
        try:
            with _Network(self.place):
                assert self.sock is not None
                self.sock.sendall((line + "\r\n").encode("utf-8", "surrogateescape"))
        except TimeoutError:
            raise Cut("the server does not listen") from None

    def getresp(self) -> str:
        try:
            return super().getresp()
        finally:
            if self.lastresp[:1] in {"2", "3", "4", "5"}:
                self.pending = False

    def getmultiline(self) -> str:
        self.lastresp = ""
        reply = super().getmultiline()
        self.replies += 1
        self.lastresp = reply[:3]
        return self._masked(reply)

    def _masked(self, reply: str) -> str:
        """Without our secrets: any server may quote them, in any reply, and any reply may be told to the shift."""
        if self._secrets is None or _NUMBERS.fullmatch(reply):
            return reply
        code = 3 if reply[:3].isdecimal() else 0
        return reply[:code] + self._secrets.sub("…", reply[code:])

    def getline(self) -> str:
        while b"\n" not in self._ahead:
            self._ahead += self._more()
        line, _, self._ahead = self._ahead.partition(b"\n")
        self._heard += len(line)
        return line.rstrip(b"\r").decode("utf-8", "surrogateescape")

    def _more(self) -> bytes:
        if self._heard + len(self._ahead) > _LONGEST_REPLY:
            raise Cut("its reply has no end")
        while True:
            self._look(self._deadline, self._limit)
            try:
                with _Network(self.place):
                    assert self.sock is not None
                    block = self.sock.recv(8192)
            except TimeoutError:
                continue
            if not block:
                raise Cut("the server closed the connection")
            return block

    def _look(self, deadline: float, limit: float) -> None:
        """Once a second: is it still wanted, is there still time?"""
        now = time.monotonic()
        if now - self._told >= TICK:
            self._told = now
            self._waiting()
        if now >= deadline:
            raise Silence(f"no answer for {limit:.0f} s")

    # --- the bytes of a file ---

    @contextlib.contextmanager
    def data(self, command: str, first_byte: float, offset: int = 0) -> Iterator[Iterator[memoryview]]:
        """The blocks that a command sends, each valid until the next; ends once the server says that it was all.

        ``first_byte``: seconds until the first one. Raises: Cut, Silence, ftplib.Error, and what ``waiting`` raises.
        """
        began = time.monotonic()
        with contextlib.closing(self._connected(self.af, self._passive(), time.monotonic() + self._limit)) as plain:
            reply = self._begin(command, first_byte, offset)
            if not reply.startswith("1"):
                raise ftplib.error_reply(reply)
            with contextlib.closing(self._secured(plain) if self.place.secure else plain) as connection:
                yield self._blocks(connection, began, first_byte)
                _say_goodbye(connection)
        self._deadline = time.monotonic() + self._limit
        self._last(self.getresp())

    def _begin(self, command: str, first_byte: float, offset: int) -> str:
        if not offset:
            return self._patiently(command, first_byte)
        try:
            self.sendcmd(f"REST {offset}")
            return self._patiently(command, first_byte)
        except ftplib.Error:
            self.pending = True  # a REST stays in force until the next transfer: nothing more is asked here
            raise

    def _blocks(self, connection: socket.socket, began: float, limit: float) -> Iterator[memoryview]:
        if not self._buffer:
            self._buffer = memoryview(bytearray(BLOCK))
        buffer = self._buffer
        # However late the server said that it comes: then it has to be given time to.
        deadline = max(began + limit, time.monotonic() + min(limit, self._limit))
        came = _LEAST  # by the first byte alone the tape is wound
        while True:
            try:
                with _Network(self.place):
                    count = connection.recv_into(buffer)
            except TimeoutError:
                count = None
            now = time.monotonic()
            if now - self._told >= TICK:
                self._told = now
                self._waiting()
            if count == 0:
                return
            came += count or 0
            if came >= _LEAST and count:
                came, limit = 0, self._limit
                deadline = now + limit
            elif now >= deadline:
                raise Silence(f"no byte for {limit:.0f} s" if came in (0, _LEAST) else f"{came} bytes in {limit:.0f} s")
            if count:
                yield buffer[:count]
                deadline += time.monotonic() - now  # our own disk's time

    def _passive(self) -> _Address:
        """Where the server waits for us: the host is where it is, whatever it says."""
        if self.af == socket.AF_INET:
            return self._peer[0], ftplib.parse227(self.sendcmd("PASV"))[1]
        host, _, *scope = self._peer
        return host, ftplib.parse229(self.sendcmd("EPSV"), self._peer[:2])[1], *scope

    # --- sockets ---

    def _reach(self, host: str, port: int) -> socket.socket:
        try:
            with _Network(self.place):
                addresses = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
        except UnicodeError:
            raise Cut("that is no host's name") from None
        trouble: Cut | None = None
        deadline = time.monotonic() + self._limit
        for family, _, _, _, address in addresses[:8]:
            try:
                return self._connected(family, address, deadline)
            except Cut as cut:
                trouble = cut
        raise trouble or Cut("it has no address")

    def _connected(self, family: int, address: _Address, deadline: float) -> socket.socket:
        with _Network(self.place):
            one = socket.socket(family, socket.SOCK_STREAM)
        try:
            self._connect(one, address, deadline)
        except BaseException:
            one.close()
            raise
        return one

    def _connect(self, one: socket.socket, address: _Address, deadline: float) -> None:
        if not 0 < int(address[1]) < 1 << 16:
            raise Cut(f"there is no port {address[1]!s:.20}")
        # The kernel's time limits: Python's cost a poll before each call, and a change of the thread that has its lock.
        one.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, _TICK)
        one.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, _TICK)
        self._told = time.monotonic()
        while number := one.connect_ex(address):
            if number not in _IN_PROGRESS:
                raise Cut(os.strerror(number))
            self._look(deadline, self._limit)

    def _secured(self, plain: socket.socket) -> ssl.SSLSocket:
        assert self.place.context is not None
        # Many servers want the data's session to be the one of the commands, as a proof that it is the same client.
        session = self.sock.session if isinstance(self.sock, ssl.SSLSocket) else None
        plain.settimeout(TICK)  # a socket with a cipher knows no other limit
        with _Network(self.place):
            secured = self.place.context.wrap_socket(
                plain, server_hostname=self.place.host, session=session, do_handshake_on_connect=False
            )
        deadline = time.monotonic() + self._limit
        try:
            while True:
                try:
                    with _Network(self.place):
                        secured.do_handshake()
                except TimeoutError:
                    self._look(deadline, self._limit)
                else:
                    return secured
        except BaseException:
            secured.close()
            raise


def _nobody() -> None:
    """Nobody wants it to end."""


def _forms(*secrets: str) -> re.Pattern[str] | None:
    """What finds the secrets, also as a server may write them: escaped, in other letters, or in another coding."""
    forms = set[str]()
    for secret in filter(None, secrets):
        forms |= {secret, repr(secret)[1:-1], secret.encode("unicode_escape").decode()}
        forms |= {urllib.parse.quote(secret), urllib.parse.quote(secret, ""), urllib.parse.quote_plus(secret)}
        forms.add(secret.encode("latin-1", "replace").decode("utf-8", "surrogateescape"))
    longest_first = sorted(forms, key=len, reverse=True)
    return re.compile("|".join(map(re.escape, longest_first)), re.IGNORECASE) if forms else None


def _say_goodbye(connection: socket.socket) -> None:
    if isinstance(connection, ssl.SSLSocket):
        with contextlib.suppress(OSError, ValueError):  # all bytes have come: its manners don't matter
            connection.unwrap()


class _Network:
    """Let an OSError of the network leave as what it means: TimeoutError after a second; a bad certificate stays one.

    Entered a dozen times a file: a class is quicker than a generator.
    """

    def __init__(self, place: Place) -> None:
        self._place = place

    def __enter__(self) -> None:
        pass

    def __exit__(self, _kind: object, error: BaseException | None, _trace: object) -> None:
        if not isinstance(error, OSError) or isinstance(error, ssl.SSLCertVerificationError):
            return
        if isinstance(error, BlockingIOError):
            raise TimeoutError from error
        if isinstance(error, TimeoutError) and error.errno is None:
            return
        if error.errno in disk.SHORT and not isinstance(error, ssl.SSLError):
            raise errors.TransferWaits(str(disk.Trouble("open a connection to", self._place.url, error))) from error
        raise Cut(error.strerror or type(error).__name__) from error
