"""SFTP on a channel: what is asked goes out many requests at a time, what is answered comes back in the order of the questions.

In come the names and bytes of ``files``, out go the server's replies; below is ``connection``. Version 3 of the protocol, with
what OpenSSH adds to it where the server says that it has it. Every wait is cut short, so that who waits can be told to end.
Source: draft-ietf-secsh-filexfer-02, and OpenSSH's PROTOCOL, section 4 (9.2).
"""

from __future__ import annotations

import collections
import contextlib
import dataclasses
import stat
import struct
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING

from production import disk
from production.ssh import patience as patience_

if TYPE_CHECKING:
    import paramiko

AHEAD = 8 << 20
"""Bytes that are asked for, or sent, before their replies have come."""
BLOCK = 32 << 10
"""Bytes of one request that every server takes."""
_LARGEST = 255 << 10
"""Bytes of one request, whatever the server would take."""
_LONGEST = 1 << 20
"""Bytes of a reply; one that says more is no SFTP server."""
_SYNC = 600.0
"""Seconds that a disk may take to have all of a file."""

_NO_SERVER = "what answers is no SFTP server; does a login there say something of its own?"

_INIT, _VERSION, _OPEN, _CLOSE, _READ, _WRITE = 1, 2, 3, 4, 5, 6
_LSTAT, _FSTAT, _OPENDIR, _READDIR, _REMOVE, _MKDIR, _REALPATH, _STAT, _RENAME = 7, 8, 11, 12, 13, 14, 16, 17, 18
_STATUS, _HANDLE, _DATA, _NAME, _ATTRS, _EXTENDED, _EXTENDED_REPLY = 101, 102, 103, 104, 105, 200, 201

READ, WRITE, CREATE, EMPTIED = 0x01, 0x02, 0x08, 0x10
OK, END, MISSING, DENIED, FAILURE, MALFORMED, UNKNOWN = 0, 1, 2, 3, 4, 5, 8


class Broken(Exception):
    """The conversation is over: the connection is gone, or the server stands still."""


class Mute(Broken):
    """There was no conversation: the server ended it, or said something else, before its first reply."""


class Refused(Exception):
    """The server said no."""

    def __init__(self, code: int, said: str) -> None:
        super().__init__(said)
        self.code = code


@dataclasses.dataclass(frozen=True, slots=True)
class Attributes:
    """What a file is."""

    size: int | None
    mode: int | None
    modified: int | None
    """Seconds since 1970."""

    @property
    def regular(self) -> bool:
        """Whether it has bytes to be read; a server that doesn't say means so."""
        return self.mode is None or stat.S_ISREG(self.mode)

    @property
    def link(self) -> bool:
        return self.mode is not None and stat.S_ISLNK(self.mode)

    @property
    def directory(self) -> bool:
        return self.mode is not None and stat.S_ISDIR(self.mode)


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


def prepare(channel: paramiko.Channel) -> None:
    """Before anything can come on it."""
    channel.in_buffer = _Inbox()  # type: ignore[assignment]


class Conversation:
    """With the SFTP server at the other end of a channel. One thread at a time, who says first whom to ask whether to go on."""

    def __init__(self, name: str, channel: paramiko.Channel, stall: float, waiting: Callable[[], None]) -> None:
        """``stall``: seconds without an answer after which it is broken. Raises: Broken, Mute, and what ``waiting`` raises."""
        self.name = name
        self._channel = channel
        self._stall = stall
        self._limit = stall
        self._waiting = waiting
        self._pieces: collections.deque[memoryview] = collections.deque()
        self._held = 0
        self._number = 0
        self._early: dict[int, tuple[int, bytes]] = {}
        self._heard = time.monotonic()
        self.open = 0
        """Requests whose replies haven't come."""
        self.longest_read = self.longest_write = BLOCK
        channel.settimeout(patience_.GLANCE)
        self._extensions = self._begin()
        if b"limits@openssh.com" in self._extensions:
            self._learn_limits()

    def attend(self, waiting: Callable[[], None]) -> None:
        """From now on ``waiting`` is called while nothing comes; what it raises ends what is under way."""
        self._waiting = waiting

    @property
    def alive(self) -> bool:
        """Whether something can be asked."""
        ended = self._channel.closed or self._channel.eof_received
        return not (self.open or ended) and self._channel.get_transport().is_active()

    # --- what is asked ------------------------------------------------------------------------------------------------

    def stat(self, path: bytes, *, follow: bool = True) -> Attributes:
        return _attributes(self._ask(_ATTRS, _STAT if follow else _LSTAT, _text(path)))[0]

    def stat_open(self, handle: bytes) -> Attributes:
        return _attributes(self._ask(_ATTRS, _FSTAT, _text(handle)))[0]

    def real(self, path: bytes) -> bytes:
        """The absolute path."""
        return _texts(self._ask(_NAME, _REALPATH, _text(path))[4:], 1)[0]

    @contextlib.contextmanager
    def file(self, path: bytes, flags: int) -> Iterator[bytes]:
        """A file's handle."""
        with self._held_open(self._ask(_HANDLE, _OPEN, _text(path) + struct.pack(">II", flags, 0))) as handle:
            yield handle

    def remove(self, path: bytes) -> None:
        self._do(_REMOVE, _text(path))

    def make_directory(self, path: bytes) -> None:
        self._do(_MKDIR, _text(path) + struct.pack(">I", 0))

    def rename(self, path: bytes, final: bytes) -> None:
        """OpenSSH refuses if ``final`` is there: it links and unlinks."""
        self._do(_RENAME, _text(path) + _text(final))

    def sync(self, handle: bytes) -> None:
        """Return when the file's bytes are on the disk there, as far as the server can tell."""
        if b"fsync@openssh.com" in self._extensions:
            with self._patient(_SYNC):
                self._do(_EXTENDED, _text(b"fsync@openssh.com") + _text(handle))

    def free(self, path: bytes) -> int | None:
        """Bytes that we may still write there; None if nobody can say. 0 if there is no name left."""
        if b"statvfs@openssh.com" not in self._extensions:
            return None
        reply = self._ask(_EXTENDED_REPLY, _EXTENDED, _text(b"statvfs@openssh.com") + _text(path))
        _, fragment, _, _, available, files, _, names, *_ = struct.unpack(">11Q", reply[:88])
        return 0 if files and not names else int(fragment * available)

    def entries(self, path: bytes) -> Iterator[tuple[bytes, Attributes]]:
        """What is in a directory, without itself and its parent."""
        with self._held_open(self._ask(_HANDLE, _OPENDIR, _text(path))) as handle:
            while True:
                try:
                    reply = self._ask(_NAME, _READDIR, _text(handle))
                except Refused as refused:
                    if refused.code == END:
                        return
                    raise
                yield from _names(reply)

    def read(self, handle: bytes, begin: int, end: int) -> Iterator[bytes]:
        """The bytes of a file between two places, in order; fewer if it ends before."""
        asked: collections.deque[tuple[int, int]] = collections.deque()
        at = to_ask = begin
        while at < end:
            requests = []
            while to_ask < end and len(asked) * self.longest_read < AHEAD:
                length = min(self.longest_read, end - to_ask)
                requests.append(self._request(_READ, _text(handle) + struct.pack(">QI", to_ask, length)))
                asked.append((self._number, length))
                to_ask += length
            self._send(b"".join(requests))
            number, length = asked.popleft()
            block = self._data(number)
            if block:
                yield block
            at += len(block)
            if len(block) < length:
                for number, _ in asked:
                    self._data(number)
                asked.clear()
                if not block:
                    return
                self.longest_read, to_ask = max(1, min(self.longest_read, len(block))), at

    def write(self, handle: bytes, begin: int, blocks: Iterable[memoryview], written: Callable[[int], None]) -> None:
        """Write from a place on; ``written`` is called with the place up to which the server has it."""
        sent: collections.deque[tuple[int, int]] = collections.deque()
        at = begin
        for block in blocks:
            for first in range(0, len(block), self.longest_write):
                some = block[first : first + self.longest_write]
                self._send(self._request(_WRITE, _text(handle) + struct.pack(">QI", at, len(some)), some))
                at += len(some)
                sent.append((self._number, at))
                while len(sent) * self.longest_write > AHEAD:
                    self._acknowledged(sent, written)
        while sent:
            self._acknowledged(sent, written)

    def _acknowledged(self, sent: collections.deque[tuple[int, int]], written: Callable[[int], None]) -> None:
        number, at = sent.popleft()
        _done(*self._reply(number))
        written(at)

    # --- requests and replies -----------------------------------------------------------------------------------------

    def _begin(self) -> dict[bytes, bytes]:
        """Greet the server; {what it has beyond the protocol: in which version}."""
        self._send(struct.pack(">IBI", 5, _INIT, 3))
        try:
            kind, _, body = self._packet()
        except Broken as broken:
            if not self._channel.get_transport().is_active() or time.monotonic() - self._heard >= self._limit:
                raise
            raise Mute("it hung up at once") from broken
        if kind != _VERSION:
            raise Mute(_NO_SERVER)
        told = _texts(body)
        return dict(zip(told[::2], told[1::2], strict=False))

    def _learn_limits(self) -> None:
        reply = self._ask(_EXTENDED_REPLY, _EXTENDED, _text(b"limits@openssh.com"))
        _, read, write, _ = struct.unpack(">4Q", reply[:32])
        self.longest_read = min(read, _LARGEST) or BLOCK
        self.longest_write = min(write, _LARGEST) or BLOCK

    @contextlib.contextmanager
    def _held_open(self, reply: bytes) -> Iterator[bytes]:
        handle = _texts(reply, 1)[0]
        try:
            yield handle
        finally:
            if not self.open:  # else what is to come is anybody's, and the whole conversation is ended
                self._do(_CLOSE, _text(handle))

    @contextlib.contextmanager
    def _patient(self, seconds: float) -> Iterator[None]:
        self._limit = max(self._stall, seconds)
        try:
            yield
        finally:
            self._limit = self._stall

    def _ask(self, wanted: int, kind: int, body: bytes) -> bytes:
        """One question, and its answer. Raises: Refused, Broken, and what ``waiting`` raises."""
        self._send(self._request(kind, body))
        answered, reply = self._reply(self._number)
        if answered != wanted:
            _done(answered, reply)
            raise Broken(f"reply {answered} to a question for {wanted}")
        return reply

    def _do(self, kind: int, body: bytes) -> None:
        self._send(self._request(kind, body))
        _done(*self._reply(self._number))

    def _request(self, kind: int, body: bytes, more: memoryview | bytes = b"") -> bytes:
        self._number = (self._number + 1) & 0xFFFFFFFF
        self.open += 1
        return b"".join((struct.pack(">IBI", 5 + len(body) + len(more), kind, self._number), body, more))

    def _data(self, number: int) -> bytes:
        """The bytes that were asked for; none at the file's end."""
        kind, body = self._reply(number)
        if kind == _DATA:
            return body
        with contextlib.suppress(_End):
            _done(kind, body)
            raise Broken("bytes were asked for, and it says that all is well")
        return b""

    def _reply(self, number: int) -> tuple[int, bytes]:
        """The kind of a request's reply, and what stands behind the request's number; of bytes only they."""
        while number not in self._early:
            kind, answered, body = self._packet()
            self._early[answered] = kind, body
        self.open -= 1
        kind, body = self._early.pop(number)
        return kind, body

    # --- bytes --------------------------------------------------------------------------------------------------------

    def _packet(self) -> tuple[int, int, bytes]:
        """Its kind, its number, and what is behind; of bytes only they."""
        length, kind, number = struct.unpack(">IBI", self._take(9))
        if not 5 <= length < _LONGEST:
            raise Mute(_NO_SERVER)
        if kind == _DATA:
            self._take(4)  # how many they are, once more
            return kind, number, self._take(length - 9)
        return kind, number, self._take(length - 5)

    def _take(self, count: int) -> bytes:
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
        import paramiko

        try:
            block = self._channel.recv(1 << 20)
        except TimeoutError:
            self._look()
            return
        except (paramiko.SSHException, EOFError, OSError) as cause:  # it also says that there is room for more
            raise Broken("the connection broke") from cause
        if not block:
            raise Broken("the connection broke")
        self._heard = time.monotonic()
        self._pieces.append(memoryview(block))
        self._held += len(block)

    def _send(self, request: bytes) -> None:
        import paramiko

        self._heard = time.monotonic()
        at = 0
        while at < len(request):
            try:
                count = self._channel.send(request[at : at + BLOCK])
            except TimeoutError:
                self._look()
                continue
            except (paramiko.SSHException, EOFError, OSError) as cause:
                raise Broken("the connection broke") from cause
            if not count:
                raise Broken("the connection broke")
            self._heard = time.monotonic()
            at += count

    def _look(self) -> None:
        self._waiting()
        if time.monotonic() - self._heard > self._limit:
            raise Broken(f"no answer for {self._limit:.0f} s")


class _End(Refused):
    """The end of the file."""


def _done(kind: int, body: bytes) -> None:
    """Raises: Refused: the status isn't a good one."""
    if kind != _STATUS:
        raise Broken(f"reply {kind} where a status belongs")
    code = struct.unpack(">I", body[:4])[0]
    if code == OK:
        return
    said = disk.printable(_texts(body[4:], 1)[0].decode("utf-8", "backslashreplace")) if len(body) > 8 else ""
    raise (_End if code == END else Refused)(code, said or f"error {code}")


def _text(value: bytes) -> bytes:
    return struct.pack(">I", len(value)) + value


def _texts(body: bytes, most: int = 1 << 20) -> list[bytes]:
    found: list[bytes] = []
    at = 0
    while at < len(body) and len(found) < most:
        length = struct.unpack_from(">I", body, at)[0]
        found.append(body[at + 4 : at + 4 + length])
        at += 4 + length
    return found


def _names(body: bytes) -> Iterator[tuple[bytes, Attributes]]:
    at = 4
    for _ in range(struct.unpack(">I", body[:4])[0]):
        name, long = _texts(body[at:], 2)
        at += 8 + len(name) + len(long)
        attributes, length = _attributes(body[at:])
        at += length
        if name not in (b".", b".."):
            yield name, attributes


def _attributes(body: bytes) -> tuple[Attributes, int]:
    """What stands there, and how long it is."""
    flags, at = struct.unpack(">I", body[:4])[0], 4
    size = mode = modified = None
    if flags & 1:
        size, at = struct.unpack_from(">Q", body, at)[0], at + 8
    if flags & 2:
        at += 8
    if flags & 4:
        mode, at = struct.unpack_from(">I", body, at)[0], at + 4
    if flags & 8:
        modified, at = struct.unpack_from(">II", body, at)[1], at + 8
    if flags & 0x80000000:
        count, at = struct.unpack_from(">I", body, at)[0], at + 4
        for _ in range(2 * count):
            at += 4 + struct.unpack_from(">I", body, at)[0]
    return Attributes(size, mode, modified), at
