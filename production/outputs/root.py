"""Is this ROOT file whole? Told from its header and the few records that a proper close writes last.

ROOT itself and uproot repair or overlook much of what a killed job leaves; this looks only, and says what it sees.

Source: ROOT's reference guide, class TFile, "ROOT file structure" (header), TKey and TDirectoryFile (records), and
``TFile::Init`` for what ROOT itself takes for normal, cut or not closed. All numbers are big-endian.
"""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import importlib
import os
import struct
from typing import Any

from production import disk

_SMALL = struct.Struct(">4siiiiiiiBiii")
"""magic, version, fBEGIN, fEND, fSeekFree, fNbytesFree, nfree, fNbytesName, fUnits, fCompress, fSeekInfo, fNbytesInfo."""
_BIG = struct.Struct(">4siiqqiiiBiqi")
"""The same of a file that may pass 2 GB: its version is 1,000,000 larger."""
_KEY = struct.Struct(">ihiIhh")
"""nbytes, version, object length, date and time, key length, cycle; then two places and three strings."""
_DIRECTORY = struct.Struct(">hIIii")
"""version, made, modified, fNbytesKeys, fNbytesName; then three places: fSeekDir, fSeekParent, fSeekKeys."""
_LONGEST = 10_000
"""ROOT takes a longer fNbytesName for a broken file."""


class Broken(Exception):
    """What is wrong with the file, to follow its name: ``ROOT file is cut: 1,024 of 20,480 bytes``."""


@dataclasses.dataclass(frozen=True, slots=True)
class _Header:
    begin: int
    end: int
    free: tuple[int, int]
    """Place and length of a record."""
    info: tuple[int, int]
    name: int
    """Bytes between the first record and the directory in it."""


@dataclasses.dataclass(frozen=True, slots=True)
class _Key:
    bytes: int
    length: int
    place: int
    """Where the record says that it stands."""
    kind: str
    """Class of the object."""


def check(descriptor: int, size: int) -> None:
    """Look at header and closing records of an open file of ``size`` bytes; a handful of small reads.

    Raises: Broken; OSError.
    """
    header = _header(descriptor, size)
    first = _record(descriptor, header, header.begin, "first record")
    if not first.kind.endswith("File"):  # TFile; a file written over the network has the class that wrote it
        kind = disk.printable(first.kind) or "nameless thing"
        raise Broken(f"is no whole ROOT file: its first record is a {kind}, not a TFile")
    place, length = _keys(descriptor, header)
    keys = _closing(descriptor, header, "list of keys", place, length)
    _closing(descriptor, header, "list of free segments", *header.free)
    if header.info[0]:
        _closing(descriptor, header, "streamer information", *header.info)
    if not int.from_bytes(os.pread(descriptor, 4, place + keys.length)):
        raise Broken("ROOT file holds no keys")
    _tail(descriptor, header, size)


def read(descriptor: int) -> None:
    """Open the file with uproot, if it is installed, and read its keys and their classes; else nothing.

    Raises: Broken.
    """
    uproot = _uproot()
    if uproot is None:
        return
    # Our own file object: a path would be mapped into memory (a file that is cut meanwhile then kills the manager
    # with SIGBUS) and searched for ":" and "*". No caches: two versions of a run may carry the same UUID.
    with open(descriptor, "rb", closefd=False) as stream:
        stream.seek(0)
        try:
            with uproot.open(stream, use_threads=False, object_cache=None, array_cache=None) as file:
                keys = file.keys(recursive=True)
        except Exception as error:
            raise Broken(f"ROOT file can't be read: {disk.first_line(error)}") from error
    if not keys:
        raise Broken("ROOT file holds no keys")


@functools.cache
def _uproot() -> Any:
    """The extra of that name, or None. Half a second once, in the thread that first needs it."""
    with contextlib.suppress(Exception):  # missing, or broken by another package: our own look has to do
        return importlib.import_module("uproot")
    return None


def _header(descriptor: int, size: int) -> _Header:
    text = os.pread(descriptor, _BIG.size, 0)
    if not size or not text:
        raise Broken("ROOT file is empty")
    if not text.startswith(b"root"):
        raise Broken("is no ROOT file: it begins with " + ("zeros" if not any(text) else repr(text[:4])[1:]))
    if len(text) < _BIG.size:
        raise Broken(f"ROOT file is cut: {size:,} bytes, not even a header")
    big = int.from_bytes(text[4:8]) >= 1_000_000
    header = _BIG.unpack(text) if big else _SMALL.unpack_from(text)
    _, version, begin, end, free, free_bytes, _, name, units, _, info, info_bytes = header
    if version <= 0 or not _SMALL.size <= begin < end or units not in (4, 8) or not 10 <= name <= _LONGEST:
        raise Broken("is no whole ROOT file: its header makes no sense")
    if end > size:
        raise Broken(f"ROOT file is cut: {size:,} of {end:,} bytes")
    return _Header(begin, end, (free, free_bytes), (info, info_bytes), name)


def _keys(descriptor: int, header: _Header) -> tuple[int, int]:
    """Place and length of the list of keys, from the directory in the first record."""
    text = os.pread(descriptor, _DIRECTORY.size + 24, header.begin + header.name)
    if len(text) < _DIRECTORY.size + 24:
        raise Broken("ROOT file was not closed: nothing follows its first record")
    version, _, _, length, _ = _DIRECTORY.unpack_from(text)
    places = struct.unpack_from(">qqq" if version > 1000 else ">iii", text, _DIRECTORY.size)
    return places[2], length


def _closing(descriptor: int, header: _Header, what: str, place: int, length: int) -> _Key:
    """One of the records that closing a file writes: there, where the header says, as long as the header says."""
    if place <= header.begin:
        raise Broken(f"ROOT file was not closed: it has no {what}")
    key = _record(descriptor, header, place, what)
    if key.bytes != length:
        raise Broken(f"ROOT file is damaged: its {what} at byte {place:,} has another length than the header says")
    return key


def _record(descriptor: int, header: _Header, place: int, what: str) -> _Key:
    """The key of the record at ``place``, if it makes sense."""
    key = _key(os.pread(descriptor, 512, place)) if place < header.end else None
    if key is None or key.place != place or place + key.bytes > header.end:
        raise Broken(f"ROOT file is damaged: no {what} at byte {place:,}")
    return key


def _tail(descriptor: int, header: _Header, size: int) -> None:
    """ROOT may leave bytes behind fEND: room it freed. A living record there was written after the last save."""
    if header.end < size:
        key = _key(os.pread(descriptor, 512, header.end))
        if key is not None and key.place == header.end:
            raise Broken(f"ROOT file was not closed: {size - header.end:,} bytes follow its last save")


def _key(text: bytes) -> _Key | None:
    """A record's key from its first bytes; None if they are none. A freed record has a negative length."""
    if len(text) < _KEY.size + 17:  # the shortest key is a little longer
        return None
    count, version, _, _, length, _ = _KEY.unpack_from(text)
    places = struct.Struct(">qq" if version > 1000 else ">ii")
    at = _KEY.size + places.size
    if not at < length <= count or version <= 0:
        return None
    kind = text[at + 1 : at + 1 + text[at]].decode("latin-1")
    return _Key(count, length, places.unpack_from(text, _KEY.size)[0], kind)
