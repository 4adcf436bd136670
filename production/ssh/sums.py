"""Checksums taken on another machine by a command there, so that both ends agree on a file's bytes.

In comes a path there, out goes its SHA-256, or why there is none: an account with files only has no shell. Next is ``files``.
One shell there answers for one file after the other; whatever the account's login shell is, it is given the same few words.
"""

from __future__ import annotations

import contextlib
import re
import secrets
import threading
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Self

from production import disk, errors
from production.ssh import connection, dial, stream, words
from production.ssh import patience as patience_

if TYPE_CHECKING:
    import paramiko

LOGIN = (
    'exec /bin/sh -c \'exec 2>&1; IFS= read -r m; echo; echo "$m begins"; while read -r t x;'
    ' do p=$(printf "$x."); p=${p%.}; if [ -r "$p" ]; then [ $t = large ] && openssl dgst -sha256 <"$p" || sha256sum <"$p";'
    ' s=$?; else s=unseen; fi; echo "$m $s"; done\''
)
"""The first line is a mark, each other one how large a file is, and its path in octal: nothing in it means anything to a shell. See ``batch.there``."""
_NEVER = {b"126": "sha256sum can't be run", b"127": "there is no sha256sum", b"unseen": "its shell sees other files"}
"""What is no single file's trouble."""
LARGE = 8 << 20
"""Bytes from which on openssl is worth its start: where the processor has instructions for it, it is six times as quick."""
SLOWEST = 10 << 20
"""Bytes a second that every machine manages."""
_LONGEST = 1 << 20
"""Bytes that a login may say of its own accord."""


class Nothing(Exception):
    """There are no checksums to be had, and why."""


class Shell:
    """One there; for one thread at a time."""

    def __init__(self, stack: contextlib.ExitStack, channel: paramiko.Channel) -> None:
        self._stack = stack
        self._channel = channel
        self._mark = secrets.token_hex(16)
        self._text = b""
        channel.settimeout(patience_.GLANCE)
        self._say(self._mark)

    @property
    def alive(self) -> bool:
        return not (self._channel.closed or self._channel.eof_received)

    def ask(self, path: bytes, size: int) -> None:
        self._say(("large " if size >= LARGE else "small ") + "".join(f"\\{sign:03o}" for sign in path))

    def answer(self, limit: float, waiting: Callable[[], None]) -> str:
        """The sum. Raises: Nothing; Refused: not of this file; Broken: the connection is gone."""
        until = time.monotonic() + limit
        while (end := re.search(rb"^%s ([0-9]+|unseen)\n" % self._mark.encode(), self._text, re.MULTILINE)) is None:
            try:
                block = self._channel.recv(1 << 16)
            except TimeoutError:
                waiting()
                if time.monotonic() > until:
                    raise Nothing(f"no answer in {limit:.0f} s") from None
                continue
            except stream.gone() as cause:
                raise stream.Broken("the connection broke") from cause
            if not block and dial.dead(self._channel):
                raise stream.Broken("the connection broke")
            self._text += block
            if not block or len(self._text) > _LONGEST:
                raise Nothing(_last(self._text) or "the login there ended")
        said, self._text = self._text[: end.start()], self._text[end.end() :]
        said = said.rpartition(b"%s begins\n" % self._mark.encode())[2]  # before that the login has spoken
        found = re.findall(rb"^(?:\S*\(stdin\)= )?([0-9a-f]{64})\s", said, re.MULTILINE)
        if end[1] in _NEVER:
            raise Nothing(_NEVER[end[1]])
        if end[1] != b"0" or not found:
            raise words.Refused(
                words.FAILURE, f"its checksum can't be taken: {_last(said) or 'sha256sum said nothing'}"
            )
        return str(found[-1].decode())

    def close(self) -> None:
        self._stack.close()

    def _say(self, line: str) -> None:
        with contextlib.suppress(*stream.gone()):  # who has hung up may have said why before
            self._channel.sendall(line.encode() + b"\n")


class Asked:
    """A question for a file's sum, put as early as possible; whoever asks hears the answer, or leaves the block."""

    def __init__(self, theirs: Sums, shell: Shell | None) -> None:
        self._theirs = theirs
        self._shell = shell

    @property
    def put(self) -> bool:
        return self._shell is not None

    def answer(self, limit: float, waiting: Callable[[], None]) -> str:
        """Raises: as ``Shell.answer``, and what ``waiting`` raises."""
        assert self._shell is not None
        found = self._shell.answer(limit, waiting)
        self._theirs.keep(self._shell)
        self._shell = None
        return found

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_error: object) -> None:
        if self._shell is not None:
            self._shell.close()


class Sums:
    """Those of a machine."""

    def __init__(self, way: connection.Connection) -> None:
        self._way = way
        self._lock = threading.Lock()
        self._idle: list[Shell] = []
        way.lend(self._give_up)

    def ask(self, path: bytes, size: int, waiting: patience_.Patience, *, at_once: bool) -> Asked:
        """Have it taken; not ``put`` if there is no channel for it ``at_once``. Raises: RemoteAway, RemoteRefused."""
        shell = self._kept()
        while shell is not None and not shell.alive:
            shell.close()
            shell = self._kept()
        if shell is None:
            stack = contextlib.ExitStack()
            room = connection.Size(at_once=at_once)
            try:
                shell = Shell(stack, stack.enter_context(self._way.session(LOGIN, waiting, room)))
            except errors.RemoteAway:
                if not at_once:
                    raise
                return Asked(self, None)
        shell.ask(path, size)
        return Asked(self, shell)

    def keep(self, shell: Shell) -> None:
        """It has answered, and waits for the next file."""
        with self._lock:
            self._idle.append(shell)

    def close(self) -> None:
        while self._give_up():
            pass

    def _kept(self) -> Shell | None:
        with self._lock:
            return self._idle.pop() if self._idle else None

    def _give_up(self) -> bool:
        shell = self._kept()
        if shell is not None:
            shell.close()
        return shell is not None


def _last(said: bytes) -> str:
    lines = said.decode("utf-8", "replace").strip().splitlines()
    return disk.printable(lines[-1][-200:]) if lines else ""
