"""Checksums that an FTP server can be asked for, so that both ends agree on a file's bytes.

In come the features that the server lists and its replies, out goes the way to ask and what was answered. Text only.
Source: draft-bryan-ftpext-hash-02 (HASH), draft-twine-ftpmd5-00 (MD5), GFD.47 (CKSM), XCRC and its kin as ProFTPD's
mod_digest and FileZilla Server have them.
"""

from __future__ import annotations

import dataclasses
import hashlib
import re
import zlib
from collections.abc import Callable, Mapping
from typing import Protocol


class Digest(Protocol):
    """A checksum that grows with the bytes."""

    def update(self, block: memoryview, /) -> None: ...

    def hexdigest(self) -> str: ...


class _Rolling:
    """One of zlib's, in the manner of hashlib."""

    def __init__(self, step: Callable[[memoryview, int], int], value: int) -> None:
        self._step = step
        self._value = value

    def update(self, block: memoryview, /) -> None:
        self._value = self._step(block, self._value)

    def hexdigest(self) -> str:
        return f"{self._value:08x}"


_MAKE: dict[str, Callable[[], Digest]] = {
    "ADLER32": lambda: _Rolling(zlib.adler32, 1),
    "CRC32": lambda: _Rolling(zlib.crc32, 0),
    "MD5": lambda: hashlib.md5(usedforsecurity=False),
    "SHA1": lambda: hashlib.sha1(usedforsecurity=False),
    "SHA256": hashlib.sha256,
    "SHA512": hashlib.sha512,
}


@dataclasses.dataclass(frozen=True, slots=True)
class Way:
    """How to ask a server for a file's checksum."""

    algorithm: str
    command: str = ""
    """The path comes after it; empty if the server can't be asked."""

    def new(self) -> Digest:
        return _MAKE[self.algorithm]()

    def agrees(self, ours: str, reply: str) -> bool | None:
        """Whether the server's reply has our checksum; None if there is none in it: prose is no checksum."""
        words = reply[4:].lower().split()
        found = [
            each for each in re.findall(r"(?<![\w.])[0-9a-f]+(?![\w.])", reply[4:].lower()) if len(each) == len(ours)
        ]
        # A 32 bit number, alone, may have lost its zeros; without a digit it is rather a word.
        if not found and len(ours) == 8 and len(words) == 1 and re.fullmatch(r"(?=.*\d)[0-9a-f]{4,7}", words[0]):
            found = words
        return any(int(each, 16) == int(ours, 16) for each in found) if found else None


NO_WAY = Way("ADLER32")

_WAYS = (
    ("XADLER32", Way("ADLER32", "XADLER32 ")),
    ("XCRC", Way("CRC32", "XCRC ")),
    ("XMD5", Way("MD5", "XMD5 ")),
    ("MD5", Way("MD5", "MD5 ")),
    ("XSHA1", Way("SHA1", "XSHA1 ")),
    ("XSHA", Way("SHA1", "XSHA ")),
    ("XSHA256", Way("SHA256", "XSHA256 ")),
    ("XSHA512", Way("SHA512", "XSHA512 ")),
)
"""The cheapest first."""


def choose(features: Mapping[str, str]) -> Way:
    """The cheapest that the server lists; what it lists is {command: the rest of its line}."""
    listed = features.get("CKSUM", features.get("CKSM"))
    if listed is not None and "ADLER32" in listed.upper():
        return Way("ADLER32", "CKSM ADLER32 0 -1 ")
    for feature, way in _WAYS:
        if feature in features:
            return way
    current = re.search(r"([\w-]+)\*", features.get("HASH", ""))
    algorithm = current[1].upper().replace("-", "") if current else ""
    return Way(algorithm, "HASH ") if algorithm in _MAKE else NO_WAY
