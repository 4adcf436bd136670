"""Whole files from another machine: written as ``.part`` here, verified, synced, then given their name.

In comes a path there and one here, out goes the file here. Beside ``sending``; next are ``talks`` and ``checks``. The sum is asked
for there while the file comes. What breaks off stays, and is gone on with if this process wrote it and size and time are the same there.
"""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import os
import threading
import time
from collections.abc import Callable, Iterator

from production import course, disk, errors
from production.ssh import checks as checks_
from production.ssh import sftp, stream, talks, words

_SETTLED = 60.0
"""Seconds since a file's last change before its time alone says that it is the same; clocks differ by some."""
_MOST_LEFT = 256
"""Parts remembered; the oldest is removed."""


@dataclasses.dataclass(frozen=True, slots=True)
class _Asked:
    """A file there."""

    there: str
    follow: bool
    """Whether it may be behind a link."""


@dataclasses.dataclass(frozen=True, slots=True)
class _Begun:
    """A file that broke off on its way here."""

    size: int | None
    modified: int | None
    part: disk.Left
    digest: hashlib._Hash


class Fetching:
    """From one machine. Any thread may fetch."""

    def __init__(self, talking: talks.Talks, checks: checks_.Checks) -> None:
        self._talks = talking
        self._checks = checks
        self._lock = threading.Lock()
        self._begun: dict[str, _Begun] = {}

    def fetch(
        self,
        there: str,
        local: str,
        progress: Callable[[int], None],
        received: Callable[[], None],
        *,
        follow: bool = True,
    ) -> int:
        """As ``Files.fetch``."""
        so_far, asked = course.SoFar(progress), _Asked(there, follow)
        with self._lock:
            begun = self._begun.pop(local, None)
        with self._talks.telling(there):
            try:
                return self._bring(asked, local, so_far, begun, received)
            except checks_.Anew:
                return self._bring(asked, local, so_far, None, received)
            except (stream.Broken, errors.RemoteAway):
                if begun is not None:
                    self._keep_if_none(local, begun)  # it didn't come to that
                raise

    def close(self) -> None:
        """Parts that nobody went on with are removed."""
        with self._lock:
            begun, self._begun = self._begun, {}
        for local, one in begun.items():
            disk.remove_left(local + ".part", one.part)

    def _bring(
        self, file: _Asked, local: str, so_far: course.SoFar, begun: _Begun | None, received: Callable[[], None]
    ) -> int:
        """The conversation is given back before the sum and our disk are waited for."""
        there = file.there
        with contextlib.ExitStack() as stack:
            with self._talks.one(so_far.again) as talk:
                before = self._talks.looked(talk, there, follow=file.follow)
                if begun is not None and not self._same(begun, before):
                    begun = None
                disk.make_directory(os.path.dirname(local))
                part = stack.enter_context(disk.new(local + ".part", begun.part if begun else None))
                digest = begun.digest if begun and part.bytes else hashlib.sha256()
                resumed = part.bytes > 0
                asked = stack.enter_context(self._checks.ask(there, before.size or 0, so_far.again, at_once=True))
                with self._keeping(local, before, part, digest):
                    self._receive(talk, there, before, part, digest, so_far)
                    self._see_it_unchanged(talk, file, before, part.bytes)
            with self._keeping(local, before, part, digest):
                theirs = self._checks.answer(asked, there, part.bytes, so_far.again)
            if theirs not in ("", digest.hexdigest()):
                if resumed:
                    raise checks_.Anew
                raise checks_.wrong(
                    f"{self._talks.name}: {disk.shown(there)} is not what came", theirs, digest.hexdigest()
                )
            received()
            part.sync()
            part.publish(local)
            return part.bytes

    @contextlib.contextmanager
    def _keeping(self, local: str, before: words.Attributes, part: disk.Part, digest: hashlib._Hash) -> Iterator[None]:
        """Leave the part for the next fetch if the line breaks."""
        try:
            yield
        except (stream.Broken, errors.RemoteAway):
            if part.bytes:
                self._keep(local, _Begun(before.size, before.modified, part.leave(), digest))
            raise

    def _same(self, begun: _Begun, now: words.Attributes) -> bool:
        """Whether it is still the file that we have the beginning of; if nobody takes its sum, it must have settled."""
        settled = now.modified is not None and now.modified + _SETTLED < time.time()
        return (begun.size, begun.modified) == (now.size, now.modified) and (settled or not self._checks.why)

    @staticmethod
    def _receive(
        talk: sftp.Conversation,
        there: str,
        before: words.Attributes,
        part: disk.Part,
        digest: hashlib._Hash,
        so_far: course.SoFar,
    ) -> None:
        if part.bytes:
            so_far.tell(part.bytes)
        with talk.file(os.fsencode(there), sftp.READ) as handle:
            for block in talk.read(handle, part.bytes, before.size or 0):
                part.write(memoryview(block))
                digest.update(block)
                so_far.tell(part.bytes)

    def _see_it_unchanged(self, talk: sftp.Conversation, file: _Asked, before: words.Attributes, count: int) -> None:
        """Raises: TransferError: it grew, shrank or was written meanwhile."""
        there, after = file.there, self._talks.looked(talk, file.there, follow=file.follow)
        if after != before or count != before.size:
            raise errors.TransferError(
                f"{self._talks.name}: {disk.shown(there)} is still being written: {before.size:,} bytes at first,"
                f" {count:,} copied, {after.size:,} now"
            )

    def _keep_if_none(self, local: str, begun: _Begun) -> None:
        with self._lock:
            self._begun.setdefault(local, begun)

    def _keep(self, local: str, begun: _Begun) -> None:
        with self._lock:
            self._begun[local] = begun
            oldest = next(iter(self._begun)) if len(self._begun) > _MOST_LEFT else None
            dropped = self._begun.pop(oldest) if oldest else None
        if oldest and dropped:
            disk.remove_left(oldest + ".part", dropped.part)
