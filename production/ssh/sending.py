"""Whole files sent to another machine: written under a name of their own, verified there, then given theirs.

In comes a path here and one there, out goes the file there; its parents are made. Beside ``files``, with the same conversations.

A part there is called by a suffix that nobody else has: over SFTP nobody can hold a lock, so two senders never write one. What
breaks off is gone on with by this process, under the same name; with a suffix that the caller chose also by another.
"""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import os
import secrets
import threading
from collections.abc import Callable, Iterator

from production import course, disk, errors
from production.ssh import checks as checks_
from production.ssh import sftp, stream, talks, words

_TIDY = 3.0
"""Seconds in which what was begun may be removed there; who wants to leave at once leaves it."""


@dataclasses.dataclass(frozen=True, slots=True)
class _Begun:
    """A file that broke off on its way there."""

    part: str
    written: int
    status: tuple[int, int, int, int]
    """Of the file here."""


@dataclasses.dataclass(frozen=True, slots=True)
class _Way:
    """From where to where."""

    local: str
    there: str
    descriptor: int
    status: os.stat_result

    @property
    def size(self) -> int:
        return self.status.st_size

    @property
    def identity(self) -> tuple[int, int, int, int]:
        """By what our file is known again."""
        return _identity(self.status)


class _Unwritten(Exception):
    """The server couldn't write."""


class Sending:
    """To one machine. Any thread may send."""

    def __init__(self, talking: talks.Talks, checks: checks_.Checks) -> None:
        self._talks = talking
        self._checks = checks
        self._lock = threading.Lock()
        self._begun: dict[str, _Begun] = {}

    def send(self, local: str, there: str, progress: Callable[[int], None], suffix: str) -> int:
        """As ``Files.send``."""
        written = course.SoFar(progress)
        with self._lock:
            begun = self._begun.pop(there, None)
        if begun is None and suffix:
            begun = _Begun(f"{there}.{suffix}.part", -1, (0, 0, 0, 0))
        with self._talks.telling(there), disk.reading(local) as (descriptor, status):
            try:
                return self._carry(_Way(local, there, descriptor, status), begun, written)
            except checks_.Anew:
                return self._carry(_Way(local, there, descriptor, status), None, written)

    def close(self) -> None:
        """Parts that nobody went on with are removed, if the machine can be reached at once."""
        with self._lock:
            begun, self._begun = self._begun, {}
        for one in begun.values():
            self._remove(one.part)

    # --- on its way there ---------------------------------------------------------------------------------------------

    def _carry(self, way: _Way, begun: _Begun | None, written: course.SoFar) -> int:
        if begun is not None and begun.written >= 0 and begun.status != way.identity:
            self._remove(begun.part)
            begun = None
        part = begun.part if begun else f"{way.there}.{secrets.token_hex(4)}.part"
        digest = hashlib.sha256()
        try:
            with self._talks.one(written.again) as talk:
                if self._arrived(talk, way, begun):
                    return way.size
                written.count = at = self._place(talk, part, begun, way)
                with self._opened(talk, part, at) as handle, _writing():
                    talk.write(handle, at, _blocks(way, at, digest, written), written.tell)
                    talk.sync(handle)
                self._see_it_whole(talk, part, way)
            self._agree(way, part, digest.hexdigest(), written, at)
            with self._talks.one(written.again) as talk:
                _publish(talk, part, way)
        except (stream.Broken, errors.RemoteAway):
            # before it came to that, as far as it was
            self._keep(way, part, max(begun.written if begun else 0, written.count))
            raise
        except _Unwritten as unwritten:
            self._remove(part)
            raise self._full(way, unwritten) from unwritten
        except BaseException:
            self._remove(part)
            raise
        return way.size

    def _arrived(self, talk: sftp.Conversation, way: _Way, begun: _Begun | None) -> bool:
        """Whether we gave it its name before, and only never heard so. Raises: TransferError: another file is there."""
        found = _there(talk, way.there)
        if found is None:
            return False
        all_written = begun is not None and begun.written == way.size
        if begun is not None and all_written and found.size == way.size and _there(talk, begun.part) is None:
            return True
        raise _exists(self._talks.name, way)

    def _place(self, talk: sftp.Conversation, part: str, begun: _Begun | None, way: _Way) -> int:
        """From where on it is to be written; another process's part is only gone on with if its sum can be taken."""
        found = _there(talk, part) if begun is not None else None
        if begun is None or found is None or found.size is None:
            return 0
        if begun.written >= 0:
            return begun.written if found.size >= begun.written else 0
        return found.size if found.size <= way.size and not self._checks.why else 0

    @contextlib.contextmanager
    def _opened(self, talk: sftp.Conversation, part: str, at: int) -> Iterator[bytes]:
        """The part there, its directory made if need be."""
        path, flags = os.fsencode(part), sftp.WRITE | sftp.CREATE | (0 if at else sftp.EMPTIED)
        with contextlib.ExitStack() as stack:
            try:
                handle = stack.enter_context(talk.file(path, flags))
            except words.Refused as refused:
                directory = os.path.dirname(path)
                if refused.code != words.MISSING or not directory:
                    raise
                _make_directory(talk, directory)
                handle = stack.enter_context(talk.file(path, flags))
            yield handle

    def _see_it_whole(self, talk: sftp.Conversation, part: str, way: _Way) -> None:
        """Raises: TransferError: our file changed meanwhile, or theirs isn't as long."""
        with disk.reading(way.local) as (_, after):
            if _identity(after) != way.identity:
                raise errors.TransferError(f"{disk.shown(way.local)} is still being written: it changed as it was sent")
        found = talk.stat(os.fsencode(part))
        if found.size not in (None, way.size):
            raise errors.TransferError(
                f"{self._talks.name}: {disk.shown(part)} has {found.size:,} bytes there, {way.size:,} were sent"
            )

    def _agree(self, way: _Way, part: str, ours: str, written: course.SoFar, at: int) -> None:
        """Raises: TransferError: other bytes are there; Anew: but that may be of what was gone on with."""
        with self._checks.ask(part, way.size, written.again, at_once=False) as asked:
            theirs = self._checks.answer(asked, part, way.size, written.again)
        if theirs not in ("", ours):
            if at:
                self._remove(part)
                raise checks_.Anew
            raise checks_.wrong(f"{self._talks.name}: {disk.shown(way.there)} is not what was sent", theirs, ours)

    def _full(self, way: _Way, unwritten: _Unwritten) -> errors.TransferError:
        """The protocol has no word for a full disk; whoever can't write there for any reason waits."""
        free: int | None = None
        trouble = contextlib.suppress(stream.Broken, words.Refused, errors.RemoteError)
        with trouble, self._talks.one(_nobody) as talk:
            free = talk.free(os.path.dirname(os.fsencode(way.there)) or b".")
        what = f"{self._talks.name} can't write {disk.shown(way.there)}"
        if free is not None and free < way.size:
            return errors.TransferWaits(f"{what}: its disk is full ({free:,} bytes are free there): make room on it")
        return errors.TransferWaits(f"{what} ({unwritten}): is its disk full, or the quota there used up?")

    def _remove(self, part: str) -> None:
        """Whoever leaves doesn't wait for it."""
        trouble = contextlib.suppress(stream.Broken, words.Refused, errors.RemoteError)
        with trouble, self._talks.one(_nobody, _TIDY) as talk:
            talk.remove(os.fsencode(part))

    def _keep(self, way: _Way, part: str, written: int) -> None:
        with self._lock:
            self._begun[way.there] = _Begun(part, written, way.identity)


def _nobody() -> None:
    """Nobody wants it to end."""


def _identity(status: os.stat_result) -> tuple[int, int, int, int]:
    return status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns


@contextlib.contextmanager
def _writing() -> Iterator[None]:
    """What is refused here is room."""
    try:
        yield
    except words.Refused as refused:
        if refused.code != words.FAILURE:
            raise
        raise _Unwritten(str(refused)) from refused


def _blocks(way: _Way, at: int, digest: hashlib._Hash, written: course.SoFar) -> Iterator[memoryview]:
    """What is to be sent from a place on; all of it goes into the sum."""
    place = 0
    for block in disk.blocks(way.descriptor, way.local, way.size):
        digest.update(block)
        if place + len(block) > way.size:
            return  # it grows, which is told at the end
        if at > place:
            written.again()
        some = block[max(0, at - place) :]
        place += len(block)
        if some:
            yield some


def _there(talk: sftp.Conversation, path: str) -> words.Attributes | None:
    """What has that name there, a link or not."""
    try:
        return talk.stat(os.fsencode(path), follow=False)
    except words.Refused as refused:
        if refused.code != words.MISSING:
            raise
        return None


def _make_directory(talk: sftp.Conversation, path: bytes) -> None:
    """With its parents; somebody else may be as quick."""
    try:
        talk.make_directory(path)
    except words.Refused as refused:
        if refused.code == words.MISSING and os.path.dirname(path) not in (b"", path):
            _make_directory(talk, os.path.dirname(path))
            with talks.unless(words.FAILURE):
                talk.make_directory(path)
        elif refused.code != words.FAILURE or not talk.stat(path).directory:
            raise


def _publish(talk: sftp.Conversation, part: str, way: _Way) -> None:
    """OpenSSH never replaces a file by this; before others we have looked."""
    if _there(talk, way.there) is not None:
        raise _exists(talk.name, way)
    try:
        talk.rename(os.fsencode(part), os.fsencode(way.there))
    except words.Refused:
        if _there(talk, way.there) is not None:
            raise _exists(talk.name, way) from None
        raise


def _exists(name: str, way: _Way) -> errors.TransferError:
    return errors.TransferError(
        f"{name}: {disk.shown(way.there)}: File exists (it is there already, and isn't replaced)"
    )
