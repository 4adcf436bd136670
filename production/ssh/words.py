"""What SFTP's messages are made of: attributes, names, statuses. Bytes in, values out, without I/O; next is ``sftp``.

Source: draft-ietf-secsh-filexfer-02.
"""

from __future__ import annotations

import dataclasses
import stat
import struct
from collections.abc import Iterator

from production import disk

STATUS = 101

OK, END, MISSING, DENIED, FAILURE = range(5)


class Refused(Exception):
    """The server said no."""

    def __init__(self, code: int, said: str) -> None:
        super().__init__(said)
        self.code = code


class End(Refused):
    """The end of the file."""


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


def done(kind: int, body: bytes) -> None:
    """Raises: Refused: the status isn't a good one."""
    if kind != STATUS:
        raise ValueError(f"reply {kind} where a status belongs")
    code = struct.unpack(">I", body[:4])[0]
    if code == OK:
        return
    said = disk.printable(texts(body[4:], 1)[0].decode("utf-8", "backslashreplace")) if len(body) > 8 else ""
    raise (End if code == END else Refused)(code, said or f"error {code}")


def text(value: bytes) -> bytes:
    """Bytes with their number before them."""
    return struct.pack(">I", len(value)) + value


def texts(body: bytes, most: int = 1 << 20) -> list[bytes]:
    """As many of them as stand there."""
    found: list[bytes] = []
    at = 0
    while at < len(body) and len(found) < most:
        length = struct.unpack_from(">I", body, at)[0]
        found.append(body[at + 4 : at + 4 + length])
        at += 4 + length
    return found


def names(body: bytes) -> Iterator[tuple[bytes, Attributes]]:
    """What stands in a piece of a directory, without itself and its parent."""
    at = 4
    for _ in range(struct.unpack(">I", body[:4])[0]):
        name, long = texts(body[at:], 2)
        at += 8 + len(name) + len(long)
        found, length = attributes(body[at:])
        at += length
        if name not in (b".", b".."):
            yield name, found


def attributes(body: bytes) -> tuple[Attributes, int]:
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
