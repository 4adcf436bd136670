"""MIDAS files, event by event: what the data acquisition writes and ``alcapana`` unpacks.

A file is nothing but its events, one after the other, little-endian. An event has a header of 16 bytes (u16 id, u16
trigger mask, u32 serial number, u32 unix time, u32 bytes of data) and data. The first one begins the run, the last one
ends it: their serial number is the run's, their data the online database (ODB) as text. The data of the others are
banks: u32 bytes of all banks, u32 flags, then for each bank a name of 4 characters, its type and size (u16 or u32 each,
by the flags) and its data, padded to 8 bytes.

Source: the MIDAS documentation, "Event Structure". Compressed files are read by their ending, ``.mid.gz``, ``.mid.bz2``.
"""

from __future__ import annotations

import bz2
import dataclasses
import gzip
import os
import struct
import zlib
from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, BinaryIO

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

BEGIN, END, MESSAGE = 0x8000, 0x8001, 0x8002
"""Ids of the events that aren't data; their trigger mask is MARK."""
MARK = 0x494D
HEADER = struct.Struct("<2H3I")
BANKS = struct.Struct("<2I")
LARGEST = 1 << 28
"""Bytes of one event; with more, it isn't MIDAS."""

BANK_HEADERS = {0x1: struct.Struct("<4s2H"), 0x11: struct.Struct("<4s2I")}
"""By the flags of an event."""
TYPES = {1: "u1", 2: "i1", 3: "S1", 4: "<u2", 5: "<i2", 6: "<u4", 7: "<i4", 8: "<u4", 9: "<f4", 10: "<f8"}
"""Of a bank's data; other types (12 string, 14 struct) are bytes."""


class BadFile(Exception):
    """The file is no whole MIDAS file; the message says why in one line."""


@dataclasses.dataclass(frozen=True, slots=True)
class Bank:
    """A named array."""

    name: str
    type: int
    data: bytes

    @property
    def array(self) -> npt.NDArray[np.generic]:
        """Its numbers; they can't be written to. Raises: BadFile."""
        import numpy as np

        kind = np.dtype(TYPES.get(self.type, "u1"))
        if len(self.data) % kind.itemsize:
            raise BadFile(f"bank {self.name}: {len(self.data)} bytes are no numbers of {kind.itemsize}")
        return np.frombuffer(self.data, kind)


@dataclasses.dataclass(frozen=True, slots=True)
class Event:
    """One event, its data as they are in the file."""

    id: int
    mask: int
    serial: int
    time: int
    """Unix time, in seconds."""
    data: bytes

    @property
    def text(self) -> str:
        """The ODB of a begin or end of run, or a message."""
        return self.data.decode("latin-1").rstrip("\0")

    def banks(self) -> Iterator[Bank]:
        """Its banks, in order.

        Raises: BadFile.
        """
        if len(self.data) < BANKS.size:
            raise BadFile(f"event {self.serial}: {len(self.data)} bytes are no banks")
        size, flags = BANKS.unpack_from(self.data)
        header = BANK_HEADERS.get(flags)
        if header is None:
            raise BadFile(f"event {self.serial}: banks with flags {flags:#x}, known are 0x1 and 0x11")
        end, at = BANKS.size + size, BANKS.size
        if end > len(self.data):
            raise BadFile(f"event {self.serial}: {size} bytes of banks in {len(self.data)} bytes of data")
        while at < end:
            start = at + header.size
            name, type_, length = header.unpack_from(self.data, at) if start <= end else (b"", 0, 0)
            at = start + _padded(length)
            if start + length > end:
                raise BadFile(f"event {self.serial}: a bank goes beyond the end of its event")
            yield Bank(name.decode("latin-1"), type_, self.data[start : start + length])


def read(path: str | os.PathLike[str]) -> Iterator[Event]:
    """Every event of a run, the begin and the end of the run among them.

    Raises: BadFile if it is something else, truncated, or has no end of run (then all its events have been handed out);
        OSError if it can't be read.
    """
    try:
        with _opened(path) as file:
            yield from _events(file)
    except BadFile as error:
        raise BadFile(f"{path}: {error}") from error
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise BadFile(f"{path}: truncated or damaged: {error}") from error


def write(path: str | os.PathLike[str], events: Iterable[Event]) -> None:
    """Write the file under a temporary name and rename it: a file of that name is always whole."""
    part = f"{os.fspath(path)}.part"
    with open(part, "wb") as file:
        file.writelines(_pack(event) for event in events)
    os.replace(part, path)


def banks(found: Sequence[Bank], flags: int = 0x11) -> bytes:
    """The data of an event with these banks."""
    header = BANK_HEADERS[flags]
    body = b"".join(
        header.pack(bank.name.encode("latin-1"), bank.type, len(bank.data))
        + bank.data.ljust(_padded(len(bank.data)), b"\0")
        for bank in found
    )
    return BANKS.pack(len(body), flags) + body


def _pack(event: Event) -> bytes:
    return HEADER.pack(event.id, event.mask, event.serial, event.time, len(event.data)) + event.data


def _padded(size: int) -> int:
    return -(-size // 8) * 8


def _opened(path: str | os.PathLike[str]) -> BinaryIO:
    name = os.fspath(path)
    if name.endswith(".gz"):
        return gzip.open(name, "rb")  # type: ignore[return-value]  # it reads like one
    if name.endswith(".bz2"):
        return bz2.open(name, "rb")
    return open(name, "rb")


def _events(file: BinaryIO) -> Iterator[Event]:
    event, at = None, 0
    while raw := file.read(HEADER.size):
        if event and event.id == END:
            raise BadFile(f"something follows the end of the run, at byte {at}")
        if len(raw) < HEADER.size:
            raise BadFile(f"truncated: it ends inside of an event's header, at byte {at + len(raw)}")
        id_, mask, serial, time, size = HEADER.unpack(raw)
        if at == 0 and (id_, mask) != (BEGIN, MARK):
            raise BadFile("no MIDAS file: it doesn't start with the begin of a run")
        if size > LARGEST:
            raise BadFile(f"damaged: an event of {size} bytes at byte {at}")
        data = file.read(size)
        if len(data) < size:
            raise BadFile(f"truncated: the event at byte {at} has {len(data)} of {size} bytes")
        event = Event(id_, mask, serial, time, data)
        at += HEADER.size + size
        yield event
    if event is None:
        raise BadFile("no MIDAS file: it is empty")
    if event.id != END:
        raise BadFile("no end of run: the run crashed, or the copy is short")
