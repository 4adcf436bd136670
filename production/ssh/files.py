"""Whole files on another machine: brought here, sent there, listed, removed, over the one connection that there is.

In come paths there (absolute, or from where a login begins) and here, out go files that are whole or not there at all. Next
are ``fetching`` and ``sending``, over ``talks`` with its SFTP server, and ``sums``, by which both ends agree on the bytes.
Where nobody can take a sum, size and time alone count, and the log says so once.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence

from production.ssh import checks, connection, fetching, login, sending, sftp, talks, words
from production.ssh import patience as patience_

STALL = 60.0
"""Seconds without an answer after which a server stands still."""


def nobody() -> None:
    """Nobody wants it to end."""


def never() -> bool:
    """Nobody is leaving."""
    return False


class Files:
    """Those of one machine. Any thread may ask.

    Each of them may raise InputMissing; TransferWaits: it is away, a disk is full; LoginRefused; TransferError.
    """

    def __init__(self, way: connection.Connection, stall: float = STALL, leaving: Callable[[], bool] = never) -> None:
        """``stall``: seconds without an answer after which the server stands still. Touches no network."""
        self.name = way.host.name
        self._way = way
        self._talks = talks.Talks(way, stall, leaving)
        self._checks = checks.Checks(way, self._talks)
        self._fetching = fetching.Fetching(self._talks, self._checks)
        self._sending = sending.Sending(self._talks, self._checks)

    def greet(self, seconds: float, ask: login.Ask | None = None) -> None:
        """Log in and see that there are files; ``ask`` asks a person for what only a person knows."""
        with self._talks.telling("."):
            self._way.greet(patience_.of(seconds), ask)
            with self._talks.one(nobody) as talk:
                talk.real(b".")

    def size(self, there: str, waiting: Callable[[], None] = nobody) -> int:
        """Bytes of a file. ``waiting`` is called while it takes long; an exception out of it ends the question."""
        with self._talks.telling(there), self._talks.one(waiting) as talk:
            return self._talks.looked(talk, there).size or 0

    def fetch(
        self,
        there: str,
        local: str,
        progress: Callable[[int], None],
        *,
        received: Callable[[], None] = nobody,
        follow: bool = True,
    ) -> int:
        """Bring it to ``local``, whole or not at all, in the manner of ``transfer.base``; its bytes. What is there already stays.

        ``follow``: it may be behind a link.
        """
        return self._fetching.fetch(there, local, progress, received, follow=follow)

    def send(self, local: str, there: str, progress: Callable[[int], None], *, suffix: str = "") -> int:
        """Send ``local`` to ``there``, whole or not at all; its bytes. What is there already stays.

        Written as ``there`` + ``.SUFFIX.part``, verified, synced where the server can, then given its name. ``progress`` is
        called with the bytes that are there, also while nothing moves; an exception out of it ends it, and the part is removed.
        After a connection that broke the part stays, for the next ``send`` to go on with. Without a ``suffix`` one is drawn.
        """
        return self._sending.send(local, there, progress, suffix)

    def listing(self, directory: str, waiting: Callable[[], None] = nobody) -> list[tuple[str, words.Attributes]]:
        """What is in a directory, by name; links count as what they lead to."""
        path = os.fsencode(directory)
        with self._talks.telling(directory), self._talks.one(waiting) as talk:
            found = list(talk.entries(path))
            return sorted(
                ((os.fsdecode(name), _led(talk, path + b"/" + name, one)) for name, one in found),
                key=lambda entry: entry[0],
            )

    def remove(self, paths: Sequence[str], waiting: Callable[[], None] = nobody) -> None:
        """Remove files; those that aren't there are no trouble."""
        for path in paths:
            with self._talks.telling(path), self._talks.one(waiting) as talk, talks.unless(words.MISSING):
                talk.remove(os.fsencode(path))

    def close(self) -> None:
        """Let go of what is kept; parts that nobody went on with are removed."""
        self._fetching.close()
        self._sending.close()
        self._checks.close()
        self._talks.close()


def _led(talk: sftp.Conversation, path: bytes, found: words.Attributes) -> words.Attributes:
    """What a link leads to; one that leads nowhere has no size."""
    if found.mode is None or not found.link:
        return found
    try:
        return talk.stat(path)
    except words.Refused:
        return words.Attributes(None, found.mode, found.modified)
