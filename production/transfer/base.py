"""What the corridor asks of an archive, of who carries its files, and of the disk they come to.

Threads carry the bytes; the cycle asks how far they are.
"""

from __future__ import annotations

import dataclasses
import datetime
from collections.abc import Callable, Mapping, Sequence
from typing import Protocol


@dataclasses.dataclass(frozen=True, slots=True)
class Entry:
    """One line of an archive's listing."""

    name: str
    bytes: int | None
    """None for a directory, or if the server doesn't say."""
    directory: bool = False


def nobody() -> None:
    """Nobody wants to be told, or wants it to end."""


def never() -> bool:
    """There is no hurry."""
    return False


class Transfer(Protocol):
    """An archive: reads files from one place. Methods may be called from several threads at once."""

    def size(self, remote: str, waiting: Callable[[], None] = nobody) -> int | None:
        """Bytes of the file in the archive; None if it can't tell.

        ``waiting`` is called about once a second while it takes that long; an exception out of it ends the question.

        Raises: InputMissing, TransferWaits, LoginRefused, TransferError.
        """
        ...

    def fetch(
        self,
        remote: str,
        local: str,
        progress: Callable[[int], None],
        size: int | None = None,
        received: Callable[[], None] = nobody,
    ) -> int:
        """Bring ``remote`` to ``local``, whole or not at all; returns its bytes.

        ``size``: what ``size`` has just said; who would have to ask over a network needn't ask again.
        ``received`` is called, if there is such a moment, when the archive has done its part and only our disk has not.
        Written as ``local`` + ``.part``, verified, synced, then given its name, unless a file has it already: that one
        stays. A power cut may take the name back, never give it to half a file. ``progress`` is called with the bytes so
        far after each block, and once a second while none comes; an exception out of it ends the transfer and
        removes the ``.part``. After an error of its own the ``.part`` may stay, for the next fetch to go on with.

        Raises: InputMissing, TransferWaits, LoginRefused, TransferError (the message names the file and the mend).
        """
        ...

    def recall(self, remote: str, waiting: Callable[[], None]) -> None:
        """Ask the archive to bring the file from tape to its disk; returns when it has said yes or has no tape.

        ``waiting`` is called about once a second; an exception out of it withdraws the request.

        Raises: InputMissing, TransferWaits, LoginRefused, TransferError.
        """
        ...

    def listing(self, directory: str) -> list[Entry]:
        """What is in a directory of the archive (empty: its root), by name.

        Raises: InputMissing, TransferWaits, LoginRefused, TransferError.
        """
        ...

    def close(self) -> None: ...


@dataclasses.dataclass(frozen=True, slots=True)
class Progress:
    """How far one fetch is."""

    bytes: int
    size: int | None
    done: bool
    error: Exception | None = None
    waits: str = ""
    """What it waits for, in one line: an archive that is away, a disk that is full. It is tried again by itself."""
    measured: bool = False
    """Only its size was asked for; no byte of it comes."""


class Porter(Protocol):
    """Carries several files at a time, off the loop. Known by their local path."""

    def start(self, remote: str, local: str, most: int | None = None) -> None:
        """Queue one fetch; wakes the clock when its size is known and when it ends.

        A file of more than ``most`` bytes isn't begun: ``TooLarge``.
        """
        ...

    def measure(self, remote: str, local: str) -> None:
        """Ask only how large the file is in the archive, to compare it with one that is here; told as ``measured``."""
        ...

    def recall(self, remotes: Sequence[str]) -> None:
        """The files that will be wanted next, in this order: asked for at the archive, as many at a time as may be.

        Those of an earlier call that aren't named any more are withdrawn, if nothing came of them yet.
        """
        ...

    def progress(self) -> Mapping[str, Progress]:
        """{local path: how far}; an ended one is told until it is ``forget``-ted."""
        ...

    def forget(self, locals: Sequence[str]) -> None: ...

    def stop(self, again: Callable[[], bool] = never) -> None:
        """End all fetches and wait until their threads have removed what was partial, or ``again`` says: no longer."""
        ...

    def close(self) -> None: ...


@dataclasses.dataclass(frozen=True, slots=True)
class Reading:
    """How full the disk was."""

    used: int
    """Bytes."""
    limit: int
    """Bytes."""
    began: datetime.datetime
    """When the reading began: what came to the disk later is not in it."""


class Quota(Protocol):
    """The disk's limit. Reading it may take a while, so it is read off the loop."""

    def reading(self) -> Reading | None:
        """The latest; None while it is read for the first time, or after nobody asked for long.

        Raises: QuotaUnread: it failed, or hangs.
        """
        ...

    def renew(self) -> None:
        """Somebody waits for room: read again as soon as may be; the clock is woken when the reading has come."""
        ...

    def close(self) -> None: ...
