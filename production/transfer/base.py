"""What the corridor asks of a transfer: size, fetch. Threads carry the bytes, the cycle asks how far they are."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from typing import Protocol


class Transfer(Protocol):
    """An archive: reads files from one place. Methods may be called from several threads at once."""

    def size(self, remote: str) -> int:
        """Bytes of the file in the archive.

        Raises: InputMissing, TransferError.
        """
        ...

    def fetch(self, remote: str, local: str, progress: Callable[[int], None]) -> int:
        """Bring ``remote`` to ``local``, whole or not at all; returns its bytes.

        Written as ``local`` + ``.part``, verified, synced, then renamed. ``progress`` is called with the bytes so
        far after each block; an exception out of it ends the transfer and removes the ``.part``.

        Raises: InputMissing, TransferError (the message names the file and the mend).
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


class Porter(Protocol):
    """Carries several files at a time, off the loop. Known by their local path."""

    def start(self, remote: str, local: str) -> None:
        """Queue one fetch; wakes the clock when it ends."""
        ...

    def progress(self) -> Mapping[str, Progress]:
        """{local path: how far}; an ended one is told until it is ``forget``-ted."""
        ...

    def forget(self, locals: Sequence[str]) -> None: ...

    def stop(self) -> None:
        """End all fetches and wait until their threads have removed what was partial."""
        ...

    def close(self) -> None: ...
