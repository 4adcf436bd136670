"""Carries files without threads: one piece each time the cycle asks how far they are."""

from __future__ import annotations

import contextlib
import dataclasses
import os
from collections.abc import Callable, Mapping, Sequence

from production import errors
from production.transfer import base


def content(remote: str) -> bytes:
    """What the archive has under a name."""
    return f"raw data of {remote}\n".encode() * 4


@dataclasses.dataclass
class Archive:
    """What every porter of a world reads from."""

    missing: set[str] = dataclasses.field(default_factory=set)
    trouble: int = 0
    """So many fetches go wrong, but wouldn't another time."""


@dataclasses.dataclass(eq=False)
class _Fetch:
    remote: str
    local: str
    measured: bool = False
    inode: int = 0
    bytes: int = 0
    done: bool = False
    error: Exception | None = None


class FakePorter:
    """One manager's."""

    def __init__(self, archive: Archive) -> None:
        self._archive = archive
        self._fetches: dict[str, _Fetch] = {}

    def start(self, remote: str, local: str, most: int | None = None) -> None:
        known = self._fetches.get(local)
        if known is None or known.done:
            fetch = self._fetches[local] = _Fetch(remote, local)
            size = len(content(remote))
            if most is not None and size > most:
                self._failed(fetch, errors.TooLarge(f"{remote} has {size} bytes", size))

    def measure(self, remote: str, local: str) -> None:
        self._fetches[local] = _Fetch(remote, local, measured=True)

    def recall(self, remotes: Sequence[str]) -> None:
        """There is no tape."""

    def progress(self) -> Mapping[str, base.Progress]:
        for fetch in self._fetches.values():
            if not fetch.done:
                self._carry(fetch)
        return {
            fetch.local: base.Progress(
                fetch.bytes, len(content(fetch.remote)), fetch.done, fetch.error, measured=fetch.measured
            )
            for fetch in self._fetches.values()
        }

    def _carry(self, fetch: _Fetch) -> None:
        if fetch.remote in self._archive.missing:
            self._failed(fetch, errors.InputMissing(f"{fetch.remote} is missing in the archive"))
            return
        if fetch.measured:
            fetch.done = True
            return
        text, part = content(fetch.remote), fetch.local + ".part"
        half = len(text) // 2
        if not fetch.inode:
            os.makedirs(os.path.dirname(part), exist_ok=True)
            with contextlib.suppress(FileNotFoundError):
                os.unlink(part)
            with open(part, "xb") as file:
                fetch.inode = os.fstat(file.fileno()).st_ino
                file.write(text[:half])
            fetch.bytes = half
        elif not self._ours(fetch):
            self._failed(fetch, errors.TransferError(f"{part}: somebody else writes it now"))
        elif self._archive.trouble:
            self._archive.trouble -= 1
            self._failed(fetch, errors.TransferError(f"{fetch.remote}: the archive has hiccups"))
        else:
            with open(part, "ab") as file:
                file.write(text[half:])
            os.rename(part, fetch.local)
            fetch.bytes, fetch.done = len(text), True

    def _failed(self, fetch: _Fetch, error: Exception) -> None:
        self._clean(fetch)
        fetch.error, fetch.done = error, True

    def _ours(self, fetch: _Fetch) -> bool:
        try:
            return os.stat(fetch.local + ".part").st_ino == fetch.inode
        except FileNotFoundError:
            return False

    def _clean(self, fetch: _Fetch) -> None:
        if fetch.inode and self._ours(fetch):
            os.unlink(fetch.local + ".part")

    def forget(self, locals: Sequence[str]) -> None:
        for local in locals:
            fetch = self._fetches.pop(local, None)
            if fetch is not None and not fetch.done:
                self._clean(fetch)

    def stop(self, again: Callable[[], bool] = base.never) -> None:
        self.forget([fetch.local for fetch in self._fetches.values() if not fetch.done])

    def close(self) -> None:
        self.stop()
