"""Who we are at the archive: user and password from a netrc file that nobody else can read.

In comes a host's name, out goes a ``Login``; next are the connections, the only ones who look into it. No message of
this module quotes the file: what can't be understood may be the password.
"""

from __future__ import annotations

import dataclasses
import netrc
import os
import stat

from production import disk, errors


@dataclasses.dataclass(frozen=True, slots=True)
class Login:
    """Shows nothing of its secrets when it is printed."""

    user: str
    password: str = dataclasses.field(repr=False)
    account: str = dataclasses.field(default="", repr=False)
    file: str = ""
    """The netrc it is from, printable."""


def find(file: str, host: str, user: str = "") -> Login:
    """The login for a host; ``user`` is who the archive's URL names, if it does.

    A host has one entry (the last counts), else the ``default`` entry is taken. For ``anonymous`` no file is needed.

    Raises: UsageError, with the mend.
    """
    if user == "anonymous":
        return Login(user, "anonymous@")
    path = os.path.expanduser(file)
    shown = disk.shown(path)
    _check(path, host)
    name, account, password = _entry(path, host)
    if user and name and name != user:
        raise errors.UsageError(
            f"{shown} has another user for {host} than the archive's URL ({disk.printable(user)}; of several"
            " entries for one host the last counts)"
        )
    if not (user or name) or not password:
        what = "login" if not (user or name) else "password"
        raise errors.UsageError(f"{shown} has no {what} for {host}: write `machine {host} login … password …`")
    login = Login(user or name, password, account, shown)
    for value in (login.user, login.password, login.account):
        if any(sign in value for sign in "\r\n\0"):
            raise errors.UsageError(f"{shown}: login or password for {host} holds a line end")
    return login


def _check(path: str, host: str) -> None:
    """Whether the file is there, ours, and nobody else's to read."""
    shown = disk.shown(path)
    try:
        status = os.stat(path)
        readable = os.access(path, os.R_OK)
    except (FileNotFoundError, NotADirectoryError):
        raise errors.UsageError(
            f"{shown} is missing: write `machine {host} login … password …` into it, then chmod 600 {shown}"
        ) from None
    except OSError as cause:
        raise errors.UsageError(f"{shown} can't be read: {cause.strerror}") from cause
    if not stat.S_ISREG(status.st_mode):
        raise errors.UsageError(f"{shown} is not a file; it should hold `machine {host} login … password …`")
    if status.st_uid not in (os.geteuid(), 0):
        raise errors.UsageError(f"{shown} belongs to somebody else (uid {status.st_uid}): make your own, mode 600")
    if status.st_mode & 0o077:
        raise errors.UsageError(f"{shown} may be read by others: chmod 600 {shown}")
    if not readable:
        raise errors.UsageError(f"{shown} may not be read by us: chmod 600 {shown}")


def _entry(path: str, host: str) -> tuple[str, str, str]:
    """User, account and password. What the parser says is not passed on: it quotes."""
    hosts: dict[str, tuple[str, str | None, str | None]] = {}
    line: int | None = None
    try:
        hosts = {name.lower(): entry for name, entry in netrc.netrc(path).hosts.items()}
    except netrc.NetrcParseError as trouble:
        line = trouble.lineno or 0
    except (OSError, UnicodeError):
        line = 0
    if line is not None:
        where = f", line {line}" if line else ""
        raise errors.UsageError(
            f"{disk.shown(path)}{where} can't be understood: write `machine HOST login USER password PASSWORD`,"
            ' with "quotes" around what holds spaces'
        )
    entry = hosts.get(host.lower()) or hosts.get("default")
    if entry is None:
        raise errors.UsageError(f"{disk.shown(path)} has no entry for {host}: add `machine {host} login … password …`")
    name, account, password = entry
    return name, account or "", password or ""
