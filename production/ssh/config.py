"""What the user's and the machine's SSH settings say of a host: where it is, who we are there, over which others it is reached.

In comes a destination as people write it behind ``ssh``, out goes a ``Host``. Next: ``known`` and ``connection``. What would
change whom we talk to, and can't be heeded, is refused, never left out.
"""

from __future__ import annotations

import dataclasses
import getpass
import glob
import os
import re
import stat
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from production import disk, errors

if TYPE_CHECKING:
    import paramiko

SYSTEM = "/etc/ssh"
PORT = 22
DEEPEST = 16
"""Files that include each other, hosts that are reached over each other."""
_LONGEST = 1 << 20
"""Bytes of a settings file."""
_DEFAULTS = ("id_ed25519", "id_ecdsa", "id_rsa")
"""Keys that are tried where none is named."""
_DESTINATION = re.compile(r"(?:(?P<user>[^@\s]+)@)?(?P<host>\[[^\]\s]+\]|[^@:\s]+)(?::(?P<port>[0-9]{1,5}))?")


@dataclasses.dataclass(frozen=True, slots=True)
class Host:
    """A machine, and how it lets us in."""

    name: str
    """As the settings call it."""
    address: str
    port: int
    user: str
    known: tuple[str, ...]
    """Files with keys of hosts; the first is the user's."""
    identities: tuple[str, ...] = ()
    """Files with keys of ours that were named; there may be none there."""
    defaults: tuple[str, ...] = ()
    """Those that are tried beside."""
    agent: bool = True
    """Keys of an agent are tried: only those of ``identities`` if ``only``."""
    only: bool = False
    alias: str = ""
    """What its key is known by, if not by its address."""
    through: tuple[Host, ...] = ()
    """The hosts between, nearest first."""

    @property
    def label(self) -> str:
        """What its key is listed under."""
        name = self.alias or self.address.lower()
        return name if self.port == PORT or self.alias else f"[{name}]:{self.port}"


def find(destination: str, home: str, system: str = SYSTEM) -> Host:
    """What is to be known before we go there.

    ``[user@]host[:port]``. Raises: UsageError: the file, and what is wrong with it.
    """
    return _host(destination, _Files(home, system), 0)


class _Files:
    """The settings of both files, the user's first."""

    def __init__(self, home: str, system: str) -> None:
        import paramiko

        self.home = home
        self.system = system
        self._parsed = paramiko.SSHConfig()
        own = os.path.join(home, ".ssh")
        for path, ours in ((os.path.join(own, "config"), True), (os.path.join(system, "ssh_config"), False)):
            self._add(path, own if ours else system, ours)

    def _add(self, path: str, directory: str, ours: bool) -> None:
        import paramiko

        text = "\n".join(_lines(path, directory, self.home, ours, "Host *", 0))
        try:
            self._parsed.parse(iter(text.splitlines()))
        except (paramiko.SSHException, ValueError, ImportError) as cause:
            raise errors.UsageError(f"{disk.shown(path)} can't be understood: {disk.printable(str(cause))}") from cause

    def lookup(self, host: str) -> paramiko.SSHConfigDict:
        import paramiko

        try:
            return self._parsed.lookup(host)
        except (paramiko.SSHException, LookupError, ValueError, ImportError, OSError) as cause:
            why = disk.printable(str(cause) or type(cause).__name__)
            raise errors.UsageError(f"what ~/.ssh/config says of {host} can't be understood: {why}") from cause


def _lines(path: str, directory: str, home: str, ours: bool, block: str, depth: int) -> Iterator[str]:
    """The file's lines; those of files that it includes in their place, and the block that they stand in after them."""
    for line in _content(path, ours).splitlines():
        words = line.strip().replace("=", " ", 1).split()
        keyword = words[0].lower() if words else ""
        if keyword in ("host", "match"):
            block = line.strip()
        if keyword != "include":
            yield line
            continue
        if depth == DEEPEST:
            raise errors.UsageError(f"{disk.shown(path)}: more than {DEEPEST} files that include each other")
        for pattern in (word.strip('"') for word in words[1:]):
            full = os.path.join(directory, home + pattern[1:] if pattern.startswith("~/") else pattern)
            for included in sorted(glob.glob(full)):
                yield from _lines(included, directory, home, ours, block, depth + 1)
                yield block


def _content(path: str, ours: bool) -> str:
    """Its text; nothing if it isn't there. One that others may write to says what they like."""
    shown = disk.shown(path)
    try:
        with open(path, "rb") as file:
            status = os.fstat(file.fileno())
            if not stat.S_ISREG(status.st_mode):
                raise errors.UsageError(f"{shown} is not a file; move it away, or write the settings there")
            if ours and (status.st_uid not in (os.geteuid(), 0) or status.st_mode & 0o022):
                raise errors.UsageError(f"{shown} may be changed by others: chmod go-w {shown}")
            return file.read(_LONGEST).decode("utf-8", "replace")
    except (FileNotFoundError, NotADirectoryError):
        return ""
    except OSError as cause:
        if not ours and isinstance(cause, PermissionError):
            return ""
        raise errors.UsageError(f"{shown} can't be read: {cause.strerror}") from cause


def _host(destination: str, files: _Files, depth: int) -> Host:
    match = _DESTINATION.fullmatch(destination)
    if match is None:
        raise errors.UsageError(
            f"{disk.printable(destination)!r} is no host; write it as behind ssh: [user@]host[:port]"
        )
    if depth == DEEPEST:
        raise errors.UsageError(f"~/.ssh/config: {destination} is reached through itself; look at its ProxyJump")
    name = match["host"].strip("[]")
    said = files.lookup(name)
    _refuse_unheeded(name, said)
    home = files.home
    identities = tuple(_path(one, home) for one in said.get("identityfile", ()) if one.lower() != "none")
    address = str(said["hostname"])
    user = match["user"] or said.get("user") or getpass.getuser()
    return Host(
        name=destination,
        address=address,
        port=_port(match["port"] or said.get("port") or PORT, name),
        user=user,
        known=_known(said, name, user, files),
        identities=identities,
        defaults=() if identities else tuple(os.path.join(home, ".ssh", one) for one in _DEFAULTS),
        agent=str(said.get("identityagent", "")).lower() != "none",
        only=str(said.get("identitiesonly", "no")).lower() in ("yes", "true"),
        alias=str(said.get("hostkeyalias", "")).lower(),
        through=_through(said, files, depth),
    )


def _refuse_unheeded(name: str, said: Any) -> None:
    """Raises: UsageError: there is a way of getting there that we don't know."""
    if said.get("proxycommand") and not said.get("proxyjump"):
        raise errors.UsageError(
            f"~/.ssh/config has a ProxyCommand for {name}, which can't be used here: write ProxyJump instead"
        )


def _port(value: object, name: str) -> int:
    if not re.fullmatch(r"[0-9]{1,5}", str(value)) or not 0 < int(str(value)) < 1 << 16:
        raise errors.UsageError(f"~/.ssh/config: Port of {name}: a whole number from 1 to 65535")
    return int(str(value))


def _path(path: str, home: str) -> str:
    if path.startswith("~/"):
        path = home + path[1:]
    return os.path.join(home, ".ssh", path) if not os.path.isabs(path) else path


def _known(said: Any, name: str, user: str, files: _Files) -> tuple[str, ...]:
    own = str(said.get("userknownhostsfile", "~/.ssh/known_hosts ~/.ssh/known_hosts2"))
    others = str(said.get("globalknownhostsfile", f"{files.system}/ssh_known_hosts {files.system}/ssh_known_hosts2"))
    values = {"%%": "%", "%d": files.home, "%h": str(said["hostname"]), "%n": name, "%r": user}
    found = [
        re.sub("%.", lambda sign: values.get(sign[0], sign[0]), word.strip('"'))
        for word in (own + " " + others).split()
        if word.lower() != "none"
    ]
    return tuple(_path(one, files.home) for one in found)


def _through(said: Any, files: _Files, depth: int) -> tuple[Host, ...]:
    """The first of them may itself be behind others; how the next are reached is said here."""
    jump = str(said.get("proxyjump") or "none")
    if jump.lower() == "none":
        return ()
    hosts = [_host(one.strip().removeprefix("ssh://"), files, depth + 1) for one in jump.split(",")]
    return (*hosts[0].through, *(dataclasses.replace(one, through=()) for one in hosts))
