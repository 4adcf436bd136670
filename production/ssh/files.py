"""Whole files on another machine: brought here, sent there, listed, removed, over the one connection that there is.

In come paths there (absolute, or from where a login begins) and here, out go files that are whole or not there at all. Next
are ``talks``, who speak to its SFTP server, and ``sums``, by which both ends agree on the bytes: they are asked of a command there
while the file comes. Where nobody can run one, size and time alone count, and the log says so once.

What breaks off stays as ``.part`` and is gone on with, if this process wrote it, and if size and time of the file there are the same.
"""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import logging
import os
import threading
import time
from collections.abc import Callable, Iterator, Sequence

from production import disk, errors
from production.ssh import connection, sftp, sums, talks
from production.ssh.talks import lasting

_LOG = logging.getLogger(__name__)

STALL = 60.0
"""Seconds without an answer after which a server stands still."""
_SETTLED = 60.0
"""Seconds since a file's last change before its time alone says that it is the same; clocks differ by some."""
_MOST_LEFT = 256
"""Parts remembered; the oldest is removed."""


def nobody() -> None:
    """Nobody wants it to end."""


def never() -> bool:
    """Nobody is leaving."""
    return False


class Anew(Exception):
    """What was gone on with isn't the beginning of the file."""


@dataclasses.dataclass(frozen=True, slots=True)
class Begun:
    """A file that broke off on its way here."""

    size: int | None
    modified: int | None
    part: disk.Left
    digest: hashlib._Hash


class _SoFar:
    """Tells the caller's ``progress``, also while nothing comes."""

    def __init__(self, progress: Callable[[int], None]) -> None:
        self.count = 0
        self._progress = progress

    def tell(self, count: int) -> None:
        self.count = count
        self._progress(count)

    def again(self) -> None:
        self._progress(self.count)


class Files:
    """Those of one machine. Any thread may ask."""

    def __init__(self, way: connection.Connection, stall: float = STALL, leaving: Callable[[], bool] = never) -> None:
        """``stall``: seconds without an answer after which the server stands still. Touches no network."""
        self.name = way.host.name
        self.talks = talks.Talks(way, stall, leaving)
        self.checks = Checks(way, self.talks)
        self._lock = threading.Lock()
        self._begun: dict[str, Begun] = {}

    def size(self, there: str, waiting: Callable[[], None] = nobody) -> int:
        """Bytes of a file. Raises: InputMissing, TransferWaits, LoginRefused, TransferError."""
        with self.talks.telling(there), self.talks.one(waiting) as talk:
            return self._looked(talk, there).size or 0

    def fetch(
        self,
        there: str,
        local: str,
        progress: Callable[[int], None],
        *,
        received: Callable[[], None] = nobody,
    ) -> int:
        """Bring it to ``local``, whole or not at all, in the manner of ``transfer.base``; its bytes. What is there already stays.

        Raises: InputMissing, TransferWaits, LoginRefused, TransferError.
        """
        so_far = _SoFar(progress)
        with self._lock:
            begun = self._begun.pop(local, None)
        with self.talks.telling(there):
            try:
                return self._bring(there, local, so_far, begun, received)
            except Anew:
                return self._bring(there, local, so_far, None, received)

    def listing(self, directory: str, waiting: Callable[[], None] = nobody) -> list[tuple[str, sftp.Attributes]]:
        """What is in a directory, by name; links count as what they lead to. Raises: as ``size``."""
        path = os.fsencode(directory)
        with self.talks.telling(directory), self.talks.one(waiting) as talk:
            found = list(talk.entries(path))
            return sorted((os.fsdecode(name), _led(talk, path + b"/" + name, one)) for name, one in found)

    def remove(self, paths: Sequence[str], waiting: Callable[[], None] = nobody) -> None:
        """Remove files; those that aren't there are no trouble. Raises: as ``size``."""
        for path in paths:
            with self.talks.telling(path), self.talks.one(waiting) as talk, unless(sftp.MISSING):
                talk.remove(os.fsencode(path))

    def close(self) -> None:
        """Let go of what is kept; parts that nobody went on with are removed."""
        self.checks.close()
        self.talks.close()
        with self._lock:
            begun, self._begun = self._begun, {}
        for local, one in begun.items():
            disk.remove_left(local + ".part", one.part)

    # --- on its way here ----------------------------------------------------------------------------------------------

    def _bring(self, there: str, local: str, so_far: _SoFar, begun: Begun | None, received: Callable[[], None]) -> int:
        """The conversation is given back before the sum and our disk are waited for."""
        with contextlib.ExitStack() as stack:
            with self.talks.one(so_far.again) as talk:
                before = self._looked(talk, there)
                if begun is not None and not self._same(begun, before):
                    begun = None
                disk.make_directory(os.path.dirname(local))
                part = stack.enter_context(disk.new(local + ".part", begun.part if begun else None))
                digest = begun.digest if begun and part.bytes else hashlib.sha256()
                resumed = part.bytes > 0
                asked = stack.enter_context(self.checks.ask(there, so_far.again, at_once=True))
                try:
                    self._receive(talk, there, before, part, digest, so_far)
                    self._see_it_unchanged(talk, there, before, part.bytes)
                except (sftp.Broken, errors.RemoteAway):
                    if part.bytes:
                        self._keep(local, Begun(before.size, before.modified, part.leave(), digest))
                    raise
            theirs = self.checks.answer(asked, there, part.bytes, so_far.again)
            if theirs not in ("", digest.hexdigest()):
                if resumed:
                    raise Anew
                raise wrong(f"{self.name}: {disk.shown(there)} is not what came", theirs, digest.hexdigest())
            received()
            part.sync()
            part.publish(local)
            return part.bytes

    def _same(self, begun: Begun, now: sftp.Attributes) -> bool:
        """Whether it is still the file that we have the beginning of; if nobody takes its sum, it must have settled."""
        settled = now.modified is not None and now.modified + _SETTLED < time.time()
        return (begun.size, begun.modified) == (now.size, now.modified) and (settled or not self.checks.why)

    @staticmethod
    def _receive(
        talk: sftp.Conversation,
        there: str,
        before: sftp.Attributes,
        part: disk.Part,
        digest: hashlib._Hash,
        so_far: _SoFar,
    ) -> None:
        so_far.count = part.bytes
        with talk.file(os.fsencode(there), sftp.READ) as handle:
            for block in talk.read(handle, part.bytes, before.size or 0):
                part.write(memoryview(block))
                digest.update(block)
                so_far.tell(part.bytes)

    def _see_it_unchanged(self, talk: sftp.Conversation, there: str, before: sftp.Attributes, count: int) -> None:
        """Raises: TransferError: it grew, shrank or was written meanwhile."""
        after = self._looked(talk, there)
        if after != before or count != before.size:
            raise errors.TransferError(
                f"{self.name}: {disk.shown(there)} is still being written: {before.size:,} bytes at first,"
                f" {count:,} copied, {after.size:,} now"
            )

    def _looked(self, talk: sftp.Conversation, there: str) -> sftp.Attributes:
        """What it is. Raises: TransferError, for good: no regular file."""
        found = talk.stat(os.fsencode(there))
        if not found.regular:  # a pipe would be opened for ever
            kind = "a directory" if found.directory else "a pipe or device"
            raise lasting(f"{self.name}: {disk.shown(there)} is not a regular file but {kind}")
        if found.size is None:
            raise errors.TransferError(f"{self.name}: {disk.shown(there)}: the server doesn't say how large it is")
        return found

    def _keep(self, local: str, begun: Begun) -> None:
        with self._lock:
            self._begun[local] = begun
            oldest = next(iter(self._begun)) if len(self._begun) > _MOST_LEFT else None
            dropped = self._begun.pop(oldest) if oldest else None
        if oldest and dropped:
            disk.remove_left(oldest + ".part", dropped.part)


class Checks:
    """What both ends say of a file's bytes, where the other one can be asked."""

    def __init__(self, way: connection.Connection, talking: talks.Talks) -> None:
        self._name = way.host.name
        self._sums = sums.Sums(way)
        self._talks = talking
        self._lock = threading.Lock()
        self.why = ""
        """There are none, because of this; empty as long as nothing is known against it."""

    def ask(self, there: str, waiting: Callable[[], None], *, at_once: bool) -> sums.Asked:
        """Put the question, if it can be put, or ``at_once``."""
        if self.why:
            return sums.Asked(self._sums, None)
        with self._talks.patience(waiting) as patience:
            return self._sums.ask(os.fsencode(there), patience, at_once=at_once)

    def answer(self, asked: sums.Asked, there: str, size: int, waiting: Callable[[], None]) -> str:
        """The sum as it is told there; empty if nobody tells. Asked now if there was no room for the question."""
        with contextlib.ExitStack() as stack:
            if not asked.put:
                asked = stack.enter_context(self.ask(there, waiting, at_once=False))
            if not asked.put:
                return ""
            try:
                return asked.answer(self._talks.stall + size / sums.SLOWEST, waiting)
            except sums.Nothing as nothing:
                self._give_up(str(nothing))
                return ""

    def _give_up(self, why: str) -> None:
        with self._lock:
            told, self.why = bool(self.why), self.why or why
        if not told:
            _LOG.warning("%s takes no checksums (%s): files are compared by their size alone", self._name, why)

    def close(self) -> None:
        self._sums.close()


def wrong(what: str, theirs: str, ours: str) -> errors.TransferError:
    """Both ends have other bytes."""
    return errors.TransferError(f"{what}: its SHA-256 is {theirs} there, {ours} here")


def _led(talk: sftp.Conversation, path: bytes, found: sftp.Attributes) -> sftp.Attributes:
    """What a link leads to; one that leads nowhere has no size."""
    if found.mode is None or not found.link:
        return found
    try:
        return talk.stat(path)
    except sftp.Refused:
        return sftp.Attributes(None, found.mode, found.modified)


@contextlib.contextmanager
def unless(*codes: int) -> Iterator[None]:
    """The server may say no in these ways."""
    try:
        yield
    except sftp.Refused as refused:
        if refused.code not in codes:
            raise
