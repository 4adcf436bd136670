"""SFTP on a channel: what is asked goes out many requests at a time, what is answered comes back in the order of the questions.

In come the names and bytes of ``files``, out go the server's replies; below is ``connection``. Version 3 of the protocol, with
what OpenSSH adds to it where the server says that it has it. Every wait is cut short, so that who waits can be told to end.
Source: draft-ietf-secsh-filexfer-02, and OpenSSH's PROTOCOL, section 4 (9.2).
"""

from __future__ import annotations

import collections
import contextlib
import struct
from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING

from production.ssh import stream, words

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
_HANDLE, _DATA, _NAME, _ATTRS, _EXTENDED, _EXTENDED_REPLY = 102, 103, 104, 105, 200, 201

READ, WRITE, CREATE, EMPTIED = 0x01, 0x02, 0x08, 0x10


class Conversation:
    """With the SFTP server at the other end of a channel. One thread at a time, who says first whom to ask whether to go on."""

    def __init__(self, name: str, channel: paramiko.Channel, stall: float, waiting: Callable[[], None]) -> None:
        """``stall``: seconds without an answer after which it is broken. Raises: Broken, Mute, and what ``waiting`` raises."""
        self.name = name
        self._stream = stream.Stream(channel, stall, waiting)
        self._number = 0
        self._early: dict[int, tuple[int, bytes]] = {}
        self.open = 0
        """Requests whose replies haven't come."""
        self.longest_read = self.longest_write = BLOCK
        self._extensions = self._begin()
        if b"limits@openssh.com" in self._extensions:
            self._learn_limits()

    def attend(self, waiting: Callable[[], None]) -> None:
        """From now on ``waiting`` is called while nothing comes; what it raises ends what is under way."""
        self._stream.attend(waiting)

    @property
    def alive(self) -> bool:
        """Whether something can be asked."""
        return not self.open and self._stream.alive

    # --- what is asked ------------------------------------------------------------------------------------------------

    def stat(self, path: bytes, *, follow: bool = True) -> words.Attributes:
        return words.attributes(self._ask(_ATTRS, _STAT if follow else _LSTAT, words.text(path)))[0]

    def stat_open(self, handle: bytes) -> words.Attributes:
        return words.attributes(self._ask(_ATTRS, _FSTAT, words.text(handle)))[0]

    def real(self, path: bytes) -> bytes:
        """The absolute path."""
        return words.texts(self._ask(_NAME, _REALPATH, words.text(path))[4:], 1)[0]

    @contextlib.contextmanager
    def file(self, path: bytes, flags: int) -> Iterator[bytes]:
        """A file's handle."""
        with self._held_open(self._ask(_HANDLE, _OPEN, words.text(path) + struct.pack(">II", flags, 0))) as handle:
            yield handle

    def remove(self, path: bytes) -> None:
        self._do(_REMOVE, words.text(path))

    def make_directory(self, path: bytes) -> None:
        self._do(_MKDIR, words.text(path) + struct.pack(">I", 0))

    def rename(self, path: bytes, final: bytes) -> None:
        """OpenSSH refuses if ``final`` is there: it links and unlinks."""
        self._do(_RENAME, words.text(path) + words.text(final))

    def sync(self, handle: bytes) -> None:
        """Return when the file's bytes are on the disk there, as far as the server can tell."""
        if b"fsync@openssh.com" in self._extensions:
            with self._stream.patient(_SYNC):
                self._do(_EXTENDED, words.text(b"fsync@openssh.com") + words.text(handle))

    def free(self, path: bytes) -> int | None:
        """Bytes that we may still write there; None if nobody can say. 0 if there is no name left."""
        if b"statvfs@openssh.com" not in self._extensions:
            return None
        reply = self._ask(_EXTENDED_REPLY, _EXTENDED, words.text(b"statvfs@openssh.com") + words.text(path))
        _, fragment, _, _, available, files, _, names, *_ = struct.unpack(">11Q", reply[:88])
        return 0 if files and not names else int(fragment * available)

    def entries(self, path: bytes) -> Iterator[tuple[bytes, words.Attributes]]:
        """What is in a directory, without itself and its parent."""
        with self._held_open(self._ask(_HANDLE, _OPENDIR, words.text(path))) as handle:
            while True:
                try:
                    reply = self._ask(_NAME, _READDIR, words.text(handle))
                except words.Refused as refused:
                    if refused.code == words.END:
                        return
                    raise
                yield from words.names(reply)

    def read(self, handle: bytes, begin: int, end: int) -> Iterator[bytes]:
        """The bytes of a file between two places, in order; fewer if it ends before."""
        asked: collections.deque[tuple[int, int]] = collections.deque()
        at = to_ask = begin
        while at < end:
            requests = []
            while to_ask < end and len(asked) * self.longest_read < AHEAD:
                length = min(self.longest_read, end - to_ask)
                requests.append(self._request(_READ, words.text(handle) + struct.pack(">QI", to_ask, length)))
                asked.append((self._number, length))
                to_ask += length
            self._stream.send(b"".join(requests))
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
                self._stream.send(self._request(_WRITE, words.text(handle) + struct.pack(">QI", at, len(some)), some))
                at += len(some)
                sent.append((self._number, at))
                while len(sent) * self.longest_write > AHEAD:
                    self._acknowledged(sent, written)
        while sent:
            self._acknowledged(sent, written)

    def _acknowledged(self, sent: collections.deque[tuple[int, int]], written: Callable[[int], None]) -> None:
        number, at = sent.popleft()
        words.done(*self._reply(number))
        written(at)

    # --- requests and replies -----------------------------------------------------------------------------------------

    def _begin(self) -> dict[bytes, bytes]:
        """Greet the server; {what it has beyond the protocol: in which version}."""
        self._stream.send(struct.pack(">IBI", 5, _INIT, 3))
        try:
            kind, _, body = self._packet()
        except stream.Mute:
            raise
        except stream.Broken as broken:
            if self._stream.late or not self._stream.connected():
                raise
            raise stream.Mute("it hung up at once") from broken
        if kind != _VERSION:
            raise stream.Mute(_NO_SERVER)
        told = words.texts(body)
        return dict(zip(told[::2], told[1::2], strict=False))

    def _learn_limits(self) -> None:
        reply = self._ask(_EXTENDED_REPLY, _EXTENDED, words.text(b"limits@openssh.com"))
        _, read, write, _ = struct.unpack(">4Q", reply[:32])
        self.longest_read = min(read, _LARGEST) or BLOCK
        self.longest_write = min(write, _LARGEST) or BLOCK

    @contextlib.contextmanager
    def _held_open(self, reply: bytes) -> Iterator[bytes]:
        handle = words.texts(reply, 1)[0]
        try:
            yield handle
        finally:
            if not self.open:  # else what is to come is anybody's, and the whole conversation is ended
                self._do(_CLOSE, words.text(handle))

    def _ask(self, wanted: int, kind: int, body: bytes) -> bytes:
        """One question, and its answer. Raises: words.Refused, Broken, and what ``waiting`` raises."""
        self._stream.send(self._request(kind, body))
        answered, reply = self._reply(self._number)
        if answered != wanted:
            words.done(answered, reply)
            raise stream.Broken(f"reply {answered} to a question for {wanted}")
        return reply

    def _do(self, kind: int, body: bytes) -> None:
        self._stream.send(self._request(kind, body))
        words.done(*self._reply(self._number))

    def _request(self, kind: int, body: bytes, more: memoryview | bytes = b"") -> bytes:
        self._number = (self._number + 1) & 0xFFFFFFFF
        self.open += 1
        return b"".join((struct.pack(">IBI", 5 + len(body) + len(more), kind, self._number), body, more))

    def _data(self, number: int) -> bytes:
        """The bytes that were asked for; none at the file's end."""
        kind, body = self._reply(number)
        if kind == _DATA:
            return body
        with contextlib.suppress(words.End):
            words.done(kind, body)
            raise stream.Broken("bytes were asked for, and it says that all is well")
        return b""

    def _reply(self, number: int) -> tuple[int, bytes]:
        """The kind of a request's reply, and what stands behind the request's number; of bytes only they."""
        while number not in self._early:
            kind, answered, body = self._packet()
            self._early[answered] = kind, body
        self.open -= 1
        kind, body = self._early.pop(number)
        return kind, body

    def _packet(self) -> tuple[int, int, bytes]:
        """Its kind, its number, and what is behind; of bytes only they."""
        length, kind, number = struct.unpack(">IBI", self._stream.take(9))
        if not 5 <= length < _LONGEST:
            raise stream.Mute(_NO_SERVER)
        if kind == _DATA:
            self._stream.take(4)  # how many they are, once more
            return kind, number, self._stream.take(length - 9)
        return kind, number, self._stream.take(length - 5)
