"""The SFTP conversations with one machine: kept for the next who asks, and what goes wrong in them told as an error of this house.

In comes a deed that wants a conversation; next is ``sftp``, which speaks, over channels of the one ``connection``.
"""

from __future__ import annotations

import contextlib
import os
import struct
import threading
from collections.abc import Callable, Iterator

from production import disk, errors
from production.ssh import connection, sftp, stream, words
from production.ssh import patience as patience_

SIZE = connection.Size(window=16 << 20)
"""For each conversation; as much may lie in our memory."""
_UNREADABLE = (struct.error, IndexError, ValueError)
"""What becomes of replies that are none."""
_ROOM = 20.0
"""Seconds that a conversation may take to begin."""


class Leave:
    """Asks, as often as a connection likes, whether to go on; keeps what was raised."""

    def __init__(self, leaving: Callable[[], bool], waiting: Callable[[], None]) -> None:
        self._leaving = leaving
        self._waiting = waiting
        self.raised: BaseException | None = None

    def __call__(self) -> bool:
        try:
            self._waiting()
        except BaseException as raised:  # noqa: BLE001  it may be asked in a thread that nobody listens to
            self.raised = raised
        return self.raised is not None or self._leaving()


class Talks:
    """Conversations; any thread may have one."""

    def __init__(self, way: connection.Connection, stall: float, leaving: Callable[[], bool]) -> None:
        self.name = way.host.name
        self.stall = stall
        self._way = way
        self._leaving = leaving
        self._lock = threading.Lock()
        self._idle: list[tuple[sftp.Conversation, contextlib.ExitStack]] = []
        way.lend(self._give_up)

    @contextlib.contextmanager
    def one(self, waiting: Callable[[], None], seconds: float = _ROOM) -> Iterator[sftp.Conversation]:
        """A conversation, kept afterwards if all that was asked was answered.

        Raises: Broken, Mute, RemoteAway, RemoteRefused, and what ``waiting`` raises.
        """
        talk, stack = self._kept() or self._begun(waiting, seconds)
        talk.attend(self._asking(waiting))
        try:
            yield talk
        except _UNREADABLE:
            stack.close()
            raise
        finally:
            if talk.alive:
                with self._lock:
                    self._idle.append((talk, stack))
            else:
                stack.close()

    @contextlib.contextmanager
    def patience(self, waiting: Callable[[], None], seconds: float = _ROOM) -> Iterator[patience_.Patience]:
        """For what the connection is asked. Raises: what ``waiting`` raises, after the connection has given up."""
        leave = Leave(self._leaving, waiting)
        try:
            yield patience_.of(seconds, leave)
        except errors.RemoteAway:
            if leave.raised is not None:
                raise leave.raised from None
            raise

    def close(self) -> None:
        while self._give_up():
            pass

    def _begun(self, waiting: Callable[[], None], seconds: float) -> tuple[sftp.Conversation, contextlib.ExitStack]:
        with contextlib.ExitStack() as stack, self.patience(waiting, seconds) as patience:
            channel = stack.enter_context(self._way.subsystem("sftp", patience, SIZE, stream.prepare))
            return sftp.Conversation(self.name, channel, self.stall, self._asking(waiting)), stack.pop_all()

    def _asking(self, waiting: Callable[[], None]) -> Callable[[], None]:
        def ask() -> None:
            waiting()
            if self._leaving():
                raise errors.RemoteAway(f"{self.name}: the manager is leaving")

        return ask

    def _kept(self) -> tuple[sftp.Conversation, contextlib.ExitStack] | None:
        """One that is still good."""
        while True:
            with self._lock:
                if not self._idle:
                    return None
                talk, stack = self._idle.pop()
            if talk.alive:
                return talk, stack
            stack.close()

    def _give_up(self) -> bool:
        with self._lock:
            kept = self._idle.pop() if self._idle else None
        if kept is not None:
            kept[1].close()
        return kept is not None

    @contextlib.contextmanager
    def telling(self, there: str) -> Iterator[None]:
        """Let what goes wrong with a file leave as an error of this house."""
        what = f"{self.name}: {disk.shown(there)}"
        try:
            yield
        except stream.Mute as mute:
            raise errors.LoginRefused(
                f"{self.name} lets us in, but has no SFTP for us: {mute}; see that sftp {self.name} works"
            ) from mute
        except (stream.Broken, *_UNREADABLE) as broken:
            why = str(broken) if isinstance(broken, stream.Broken) else "what it answered can't be read"
            raise errors.TransferWaits(f"{what}: {why}") from broken
        except words.Refused as refused:
            raise self.told(what, refused) from refused
        except errors.RemoteAway as away:
            raise errors.TransferWaits(str(away)) from away
        except errors.RemoteRefused as refusal:
            raise errors.LoginRefused(str(refusal)) from refusal
        except disk.Trouble as trouble:
            error = (errors.TransferWaits if trouble.waits else errors.TransferError)(str(trouble))
            error.transient = trouble.waits or trouble.transient
            raise error from trouble

    def looked(self, talk: sftp.Conversation, there: str, *, follow: bool = True) -> words.Attributes:
        """What it is. ``follow``: a link counts as what it leads to. Raises: TransferError, for good: no regular file."""
        found = talk.stat(os.fsencode(there), follow=follow)
        if not found.regular:  # a pipe would be opened for ever
            kind = "a directory" if found.directory else "a symbolic link" if found.link else "a pipe or device"
            raise lasting(f"{self.name}: {disk.shown(there)} is not a regular file but {kind}")
        if found.size is None:
            raise errors.TransferError(f"{self.name}: {disk.shown(there)}: the server doesn't say how large it is")
        return found

    @staticmethod
    def told(what: str, refused: words.Refused) -> errors.TransferError:
        if refused.code == words.MISSING:
            return errors.InputMissing(f"{what} is missing there")
        if refused.code == words.DENIED:
            return lasting(f"{what}: {refused}: look at the permissions of the file and of its directories there")
        return errors.TransferError(f"{what}: the server says: {refused}")


def lasting(message: str) -> errors.TransferError:
    """Trying again doesn't help."""
    error = errors.TransferError(message)
    error.transient = False
    return error


@contextlib.contextmanager
def unless(*codes: int) -> Iterator[None]:
    """The server may say no in these ways."""
    try:
        yield
    except words.Refused as refused:
        if refused.code not in codes:
            raise
