"""Connections to one FTP server, kept and used again; a login costs more than a small file.

In comes what is to be done with a connection, out goes what came of it. A server that is away is ``TransferWaits``; a
login that is refused is tried a few times in all, by one thread: what tries for ever locks the account.
"""

from __future__ import annotations

import ftplib
import logging
import ssl
import threading
import time
from collections.abc import Callable, Mapping
from typing import TypeVar

from production import disk, errors
from production.transfer import control as controls
from production.transfer import login as logins

T = TypeVar("T")

_LOG = logging.getLogger(__name__)

_FRESH = 60.0
"""Seconds that a connection may have been idle: later a router may have forgotten it, which nobody would tell us."""


class Pool:
    """Any number of threads; each has a connection of its own for as long as it uses it."""

    def __init__(self, place: controls.Place, login: logins.Login, limit: float, tries: int) -> None:
        self.place = place
        self._login = login
        self._limit = limit
        self._tries = max(1, tries)
        self._door = threading.Lock()
        """Held by who logs in."""
        self._lock = threading.Lock()
        self._kept: list[tuple[controls.Control, float]] = []
        self._refused = 0
        self._words = ""
        self._features: dict[str, str] | None = None
        self._closed = False

    @property
    def features(self) -> Mapping[str, str]:
        """{command: what else its line says}, as the server lists what it has; known once somebody has logged in."""
        return self._features or {}

    def use(self, deed: Callable[[controls.Control], T], waiting: controls.Waiting) -> T:
        """Do something with a connection. One that the server closed while it was kept is replaced in silence.

        Raises: Cut, Silence, ftplib.Error, TransferWaits, LoginRefused, and whatever the deed raises.
        """
        kept = self._take()
        if kept is not None:
            before = kept.replies
            try:
                return self._lend(kept, deed, waiting)
            except controls.Cut:
                if kept.replies != before:
                    raise
            except ftplib.error_temp as error:
                if not gone(error) or kept.replies != before + 1:
                    raise
        return self._lend(self._open(waiting), deed, waiting)

    def probe(self, waiting: controls.Waiting) -> None:
        """Whether the server is there and lets us in. Raises: TransferWaits, LoginRefused."""
        self._give(self._open(waiting))

    def greet(self, waiting: controls.Waiting) -> None:
        """Log in once, and no more than that if it is refused. Raises: TransferWaits, LoginRefused."""
        with self._door:
            control = self._try(waiting)
        if control is None:
            raise self._refusal()
        self._give(control)

    def close(self) -> None:
        with self._lock:
            self._closed = True
            kept, self._kept = self._kept, []
        for control, _ in kept:
            _quit(control)

    def _lend(self, control: controls.Control, deed: Callable[[controls.Control], T], waiting: controls.Waiting) -> T:
        control.attend(waiting)
        try:
            return deed(control)
        except ftplib.error_temp as error:
            if gone(error):
                control.pending = True
            raise
        finally:
            self._give(control)

    def _give(self, control: controls.Control) -> None:
        with self._lock:
            keep = not control.pending and not self._closed
            if keep:
                self._kept.append((control, time.monotonic()))
        if not keep:
            control.close()

    def _take(self) -> controls.Control | None:
        """The one used last, if there is any that is still good."""
        while True:
            with self._lock:
                if not self._kept:
                    return None
                control, since = self._kept.pop()
            if time.monotonic() - since < _FRESH and not control.spoke:
                return control
            control.close()

    def _open(self, waiting: controls.Waiting) -> controls.Control:
        while not self._door.acquire(timeout=controls.TICK):
            waiting()
        try:
            while True:
                if self._refused >= self._tries:
                    raise self._refusal()
                self._pause(waiting)
                control = self._try(waiting)
                if control is not None:
                    return control
        finally:
            self._door.release()

    def _pause(self, waiting: controls.Waiting) -> None:
        """Before another try of a login that was refused: 1 s, 2 s, 4 s."""
        if self._refused:
            seconds = min(60.0, 2.0 ** (self._refused - 1))
            _LOG.warning("%s; tries again in %.0f s (%d of %d)", self._no(), seconds, self._refused, self._tries)
            until = time.monotonic() + seconds
            while (left := until - time.monotonic()) > 0:
                time.sleep(min(left, controls.TICK))
                waiting()

    def _try(self, waiting: controls.Waiting) -> controls.Control | None:
        """A connection that is logged in; None if the login was refused, and may be tried again."""
        control = controls.Control(self.place, self._limit, self._login)
        control.attend(waiting)
        try:
            self._reach(control)
            words = self._enter(control)
            if not words:
                self._learn(control)
                return control
        except controls.Cut as cut:
            control.close()
            raise self._away(str(cut)) from cut
        except ftplib.Error as error:
            control.close()
            raise self._away(said(error)) from error
        except BaseException:
            control.close()
            raise
        control.close()
        self._refused += 1
        self._words = words
        return None

    def _enter(self, control: controls.Control) -> str:
        """The server's words if it doesn't know us; whatever it says, but that it closes, is a no: locks count tries."""
        try:
            control.enter()
        except ftplib.Error as error:
            if gone(error):
                raise
            return said(error)
        self._refused = 0
        try:
            control.prepare()
        except ftplib.error_perm as error:
            raise errors.LoginRefused(f"{self.place.url} refuses what every transfer needs: {said(error)}") from error
        return ""

    def _reach(self, control: controls.Control) -> None:
        url = self.place.url
        try:
            control.open()
        except ssl.SSLCertVerificationError as error:
            raise untrusted(url, error) from error
        except ftplib.error_perm as error:
            if not control.welcome:
                raise
            raise errors.LoginRefused(f"{url}: the server has no TLS: {said(error)} (use ftp:// if you may)") from error

    def _learn(self, control: controls.Control) -> None:
        """Ask once what the server has; tell each connection that names are in UTF-8 where a server wants that."""
        if self._features is None:
            try:
                self._features = _features(control.ask("FEAT"))
            except (ftplib.error_perm, ftplib.error_temp):
                self._features = {}
        if "UTF8" in self._features:
            try:
                control.ask("OPTS UTF8 ON")
            except (ftplib.error_perm, ftplib.error_temp):
                pass  # it has it on in any case

    def _away(self, why: str) -> errors.TransferWaits:
        return errors.TransferWaits(f"{self.place.url} is away: {why}")

    def _refusal(self) -> errors.LoginRefused:
        times = "once" if self._refused == 1 else f"{self._refused} times"
        return errors.LoginRefused(
            f"{self._no()} ({times}; look at the user and password in {self._login.file or 'your netrc'})"
        )

    def _no(self) -> str:
        return f"{self.place.url} refuses the login of {disk.printable(self._login.user)}: {self._words}"


def untrusted(url: str, error: ssl.SSLCertVerificationError) -> errors.LoginRefused:
    """It may be somebody else who answers, on either of the two connections: nothing of ours goes there."""
    return errors.LoginRefused(
        f"{url}: its certificate is not trusted: {error.verify_message}"
        " (SSL_CERT_FILE names a file of authorities to trust)"
    )


def said(error: Exception) -> str:
    """The server's words in one printable line."""
    return disk.printable(" ".join(str(error).encode("utf-8", "surrogateescape").decode("utf-8", "replace").split()))[
        :500
    ]


def gone(error: Exception) -> bool:
    """Whether the server says that it closes the connection."""
    return str(error).startswith("421")


def _features(reply: str) -> dict[str, str]:
    """Source: RFC 2389, 3.2: one feature a line, after a space."""
    lines = [line.strip().partition(" ") for line in reply.splitlines()[1:-1]]
    return {name.upper(): rest for name, _, rest in lines}


def _quit(control: controls.Control) -> None:
    try:
        control.putline("QUIT")
    except controls.Cut:
        pass  # it is gone already
    control.close()
