"""Who we are on another machine: keys of an agent and of files, and what only a person knows.

In comes a connection that shows the right host key, out goes one that is logged in. What a person was asked is kept while
we run, for the next time the connection breaks, and is shown and written nowhere. No message quotes a secret.
"""

from __future__ import annotations

import contextlib
import functools
import os
import stat
import threading
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

from production import disk, errors
from production.ssh import config
from production.ssh import patience as patience_

if TYPE_CHECKING:
    import paramiko

MANY = 3
"""Who hangs up after so many refusals has had enough of us; servers take six, some fewer."""

Ask = Callable[[str, bool], str]
"""Asks a person; the second word says whether what is typed may be seen."""


class Login:
    """Who we are at one host."""

    def __init__(self, host: config.Host) -> None:
        self._host = host
        self._opened: dict[str, paramiko.PKey] = {}
        """{file: the key in it}, of those that had a passphrase."""
        self._password = ""
        self._notes: list[str] = []
        """Why keys couldn't be tried."""
        self._refusals = 0
        """In this login."""

    def enter(self, transport: paramiko.Transport, waiting: patience_.Patience, ask: Ask | None) -> None:
        """Log in. Without ``ask`` there is nobody to ask.

        Raises: RemoteRefused: we aren't let in. RemoteAway: it took too long, or the connection broke.
        """
        self._notes, self._refusals = [], 0
        offered = self._offered(transport, waiting)
        if "publickey" in offered:
            with contextlib.ExitStack() as stack:
                offered = self._shown(transport, waiting, self._keys(ask, stack), offered)
        if offered and not self._answered(transport, waiting, ask, offered):
            raise self._refusal(offered)

    def _shown(
        self,
        transport: paramiko.Transport,
        waiting: patience_.Patience,
        keys: Iterator[paramiko.PKey],
        offered: list[str],
    ) -> list[str]:
        """What is still to be shown after our keys."""
        for key in keys:
            begin = functools.partial(transport.auth_publickey, self._host.user, key)
            offered = self._try(transport, waiting, begin, offered)
            if "publickey" not in offered:
                break
        return offered

    def _offered(self, transport: paramiko.Transport, waiting: patience_.Patience) -> list[str]:
        """How we may say who we are; empty: it lets us in as we are."""
        import paramiko

        transport.auth_timeout = max(0.1, waiting.left())
        try:
            transport.auth_none(self._host.user)
        except paramiko.BadAuthenticationType as told:
            return list(told.allowed_types)
        except (paramiko.SSHException, EOFError, OSError) as cause:
            raise errors.RemoteAway(f"{self._host.name} broke off the login: {disk.first_line(cause)}") from cause
        return []

    def _try(
        self,
        transport: paramiko.Transport,
        waiting: patience_.Patience,
        begin: Callable[..., object],
        offered: list[str],
    ) -> list[str]:
        """What is still to be shown after this: nothing if we are in, as before if it was refused."""
        import paramiko

        event = threading.Event()
        try:
            begin(event=event)
        except (paramiko.SSHException, EOFError, OSError) as cause:
            raise errors.RemoteAway(f"{self._host.name} broke off the login: {disk.first_line(cause)}") from cause
        waiting.wait(event, f"{self._host.name}: login", transport.is_active)
        if transport.is_authenticated():
            return []
        trouble = transport.get_exception()
        if isinstance(trouble, paramiko.ssh_exception.PartialAuthentication):
            return list(trouble.allowed_types)
        self._refusals += 1
        if transport.is_active():
            return offered
        broken = f"{self._host.name} broke off the login of {self._host.user}"
        if self._refusals >= MANY:
            mend = "name the right one: IdentityFile and IdentitiesOnly in ~/.ssh/config"
            raise errors.RemoteRefused(f"{broken} after {self._refusals} keys", mend)
        raise errors.RemoteAway(broken)

    # --- keys ---------------------------------------------------------------------------------------------------------

    def _keys(self, ask: Ask | None, stack: contextlib.ExitStack) -> Iterator[paramiko.PKey]:
        """Those that were named first, those with a passphrase last: an agent may spare us the question.

        ``stack`` closes the agent, who signs with its keys.
        """
        tried: set[bytes] = set()
        locked: list[str] = []
        files = [*self._host.identities, *self._host.defaults]
        agents = self._agents(files, stack)
        for key in [*(one for one, named in agents if named), *self._unlocked(files, locked)]:
            if key.asbytes() not in tried:
                tried.add(key.asbytes())
                yield key
        if not self._host.only:
            yield from (one for one, named in agents if not named and one.asbytes() not in tried)
        for path in locked:
            if (key_ := self._open(path, ask)) and key_.asbytes() not in tried:
                yield key_

    def _agents(self, files: list[str], stack: contextlib.ExitStack) -> list[tuple[paramiko.PKey, bool]]:
        """Keys of the agent, and whether there is a file beside which its public half lies."""
        import paramiko

        if not self._host.agent or not os.path.exists(os.environ.get("SSH_AUTH_SOCK", "")):
            return []
        try:
            agent = paramiko.Agent()
            stack.callback(agent.close)
            keys = agent.get_keys()
        except (paramiko.SSHException, OSError, EOFError):
            self._notes.append("the agent doesn't answer")
            return []
        public = {words[1] for path in files if len(words := _public(path).split()) > 1}
        return [(key, key.get_base64() in public) for key in keys]

    def _unlocked(self, files: list[str], locked: list[str]) -> Iterator[paramiko.PKey]:
        """The keys that are there for the taking; ``locked`` gets the files of the others."""
        for path in files:
            if path in self._opened:
                yield self._opened[path]
                continue
            key = self._read(path, None)
            if key is not None:
                yield key
            elif self._locked(path):
                locked.append(path)

    def _locked(self, path: str) -> bool:
        return bool(self._notes) and self._notes[-1] == _passphrase(path)

    def _read(self, path: str, passphrase: str | None) -> paramiko.PKey | None:
        """The key in a file; None, and a note, if it can't be had so."""
        shown = disk.shown(path)
        try:
            status = os.stat(path)
            if not stat.S_ISREG(status.st_mode):
                self._notes.append(f"{shown} is no file")
            elif status.st_mode & 0o077 and status.st_uid == os.geteuid():
                self._notes.append(f"{shown} may be read by others: chmod 600 it")
            else:
                return self._parsed(path, passphrase)
        except FileNotFoundError:
            if path in self._host.identities:
                self._notes.append(f"{shown} is not there")
        except OSError as cause:
            self._notes.append(f"{shown} can't be read: {cause.strerror}")
        return None

    def _parsed(self, path: str, passphrase: str | None) -> paramiko.PKey | None:
        """The same of a file that is in order. Raises: OSError."""
        import paramiko

        why = ""
        for kind in (paramiko.Ed25519Key, paramiko.ECDSAKey, paramiko.RSAKey):
            try:
                key: paramiko.PKey = kind.from_private_key_file(path, passphrase)
                if os.path.exists(path + "-cert.pub"):
                    key.load_certificate(path + "-cert.pub")
            except paramiko.PasswordRequiredException:
                self._notes.append(_passphrase(path))
                return None
            except OSError:
                raise
            except Exception as cause:  # noqa: BLE001  whatever a broken file makes of its parsers
                why = disk.first_line(cause)
            else:
                return key
        wrong = "the passphrase is wrong" if passphrase is not None else f"is no key that can be used: {why}"
        self._notes.append(f"{disk.shown(path)}: {wrong}")
        return None

    def _open(self, path: str, ask: Ask | None) -> paramiko.PKey | None:
        """A key whose passphrase somebody knows."""
        if ask is None:
            return None
        self._notes.remove(_passphrase(path))
        key = self._read(path, ask(f"Passphrase of {disk.shown(path)}: ", False))
        if key is not None:
            self._opened[path] = key
        return key

    # --- questions ----------------------------------------------------------------------------------------------------

    def _answered(
        self, transport: paramiko.Transport, waiting: patience_.Patience, ask: Ask | None, offered: list[str]
    ) -> bool:
        """Whether a person's answers let us in."""
        import paramiko

        who = f"{self._host.user}@{self._host.name}"
        if "password" in offered and (self._password or ask):
            word = self._password or (ask(f"Password of {who}: ", False) if ask else "")
            begin = functools.partial(transport.auth_password, self._host.user, word, fallback=False)
            if not self._try(transport, waiting, begin, offered):
                self._password = word
                return True
        if "keyboard-interactive" in offered and ask:
            told = ask

            def answer(_title: str, _text: str, questions: list[tuple[str, bool]]) -> list[str]:
                return [told(f"{who}: {disk.printable(question)}", echo) for question, echo in questions]

            transport.auth_timeout = 300.0  # a person looks for a telephone
            try:
                return not transport.auth_interactive(self._host.user, answer)
            except (paramiko.SSHException, EOFError, OSError):
                return False
        return False

    def _refusal(self, offered: list[str]) -> errors.RemoteRefused:
        notes = list(dict.fromkeys(self._notes))
        why = f" ({'; '.join(notes)})" if notes else ""
        wants = disk.printable(", ".join(offered))
        return errors.RemoteRefused(
            f"{self._host.name} doesn't let {self._host.user} in{why}; it takes: {wants}",
            f"make this work without a question: ssh {self._host.name} true",
        )


def _passphrase(path: str) -> str:
    return f"{disk.shown(path)} has a passphrase and nobody can be asked: ssh-add {disk.shown(path)}"


def _public(path: str) -> str:
    try:
        with open(path + ".pub", encoding="ascii", errors="replace") as file:
            return file.read(1 << 16)
    except OSError:
        return ""
