"""Whether a host is the one we know: its key against those of the known_hosts files. They are read, never written.

In come a host and the key that it showed; nothing goes out, or an error that says what a person has to look at, and the
line to run then. Source: sshd(8), "SSH_KNOWN_HOSTS FILE FORMAT", OpenSSH 9.2.
"""

from __future__ import annotations

import base64
import binascii
import dataclasses
import fnmatch
import hashlib
import hmac
import re
import shlex
from collections.abc import Iterator, Sequence

from production import disk, errors
from production.ssh import config

_SIGNATURES = {"ssh-rsa": ("rsa-sha2-512", "rsa-sha2-256")}
"""How a key of a kind signs, where that isn't called as the kind."""
_MARKERS = ("@revoked", "@cert-authority")


@dataclasses.dataclass(frozen=True, slots=True)
class Entry:
    """A line that means the host."""

    where: str
    """File and line."""
    kind: str
    key: bytes
    marker: str = ""
    exactly: bool = True
    """Its port, too, was meant."""


def entries(host: config.Host) -> list[Entry]:
    """What the files say of it. Raises: UsageError: a file can't be read."""
    return [entry for path in host.known for entry in _read(path, host)]


def algorithms(known: Sequence[Entry], offered: Sequence[str]) -> list[str]:
    """In which order it is asked for its keys: first for those of a kind that we know."""
    wanted = [sign for one in known if not one.marker for sign in _SIGNATURES.get(one.kind, (one.kind,))]
    return sorted(offered, key=lambda one: one not in wanted)


def check(host: config.Host, known: Sequence[Entry], kind: str, key: bytes) -> None:
    """Whether it is that host.

    Raises: RemoteRefused: nobody knows, or it is another.
    """
    told = f"{kind} {fingerprint(key)}"
    if any(one.marker == "@revoked" and one.key == key for one in known):
        raise errors.RemoteRefused(f"{host.name}: its host key {told} is revoked in known_hosts", "ask the site")
    plain = [one for one in known if not one.marker]
    if any(one.key == key for one in plain):
        return
    same = [one for one in plain if one.kind == kind and one.exactly]
    if same:
        file = same[0].where.rpartition(":")[0]
        raise errors.RemoteRefused(
            f"{host.name}: its host key CHANGED: now {told}, but {same[0].where} has {fingerprint(same[0].key)};"
            " somebody may be listening in",
            f"only if the site says that it has a new one: {_removal(host, file)}, then {_addition(host, kind, key)}",
        )
    authority = any(one.marker == "@cert-authority" for one in known)
    why = " (its @cert-authority line is of no use here: add the key itself)" if authority else ""
    what = (
        "its host key of this kind is not known" if any(one.exactly for one in plain) else "its host key is not known"
    )
    raise errors.RemoteRefused(
        f"{host.name}: {what}: {told}{why}",
        f"compare the fingerprint with the site's, then run: {_addition(host, kind, key)}",
    )


def fingerprint(key: bytes) -> str:
    """As ssh shows it."""
    return "SHA256:" + base64.b64encode(hashlib.sha256(key).digest()).decode().rstrip("=")


def _file(host: config.Host) -> str:
    return host.known[0] if host.known else "~/.ssh/known_hosts"


def _addition(host: config.Host, kind: str, key: bytes) -> str:
    """The line that makes it known."""
    file = _shown(_file(host))
    if host.through or host.alias:  # ssh-keyscan can't go there, or would write another name
        return f"echo {shlex.quote(f'{host.label} {kind} {base64.b64encode(key).decode()}')} >>{file}"
    port = "" if host.port == config.PORT else f"-p {host.port} "
    return f"ssh-keyscan {port}-t {_scanned(kind)} {host.address} >>{file}"


def _scanned(kind: str) -> str:
    return kind.removeprefix("ssh-").partition("-")[0]


def _removal(host: config.Host, file: str) -> str:
    label = f"'{host.label}'" if host.label.startswith("[") else host.label
    return f"ssh-keygen -R {label} -f {_shown(file)}"


def _shown(path: str) -> str:
    return disk.shown(path) if not re.search(r"[^A-Za-z0-9_./~@%+=:,-]", path) else shlex.quote(path)


def _read(path: str, host: config.Host) -> Iterator[Entry]:
    try:
        with open(path, encoding="utf-8", errors="replace") as file:
            lines = file.read(1 << 24).splitlines()
    except (FileNotFoundError, NotADirectoryError):
        return
    except OSError as cause:
        raise errors.UsageError(f"{disk.shown(path)} can't be read: {cause.strerror}") from cause
    for number, line in enumerate(lines, 1):
        entry = _entry(line, host, f"{path}:{number}")
        if entry is not None:
            yield entry


def _entry(line: str, host: config.Host, where: str) -> Entry | None:
    """None if the line doesn't mean this host, or means nothing."""
    words = line.split()
    if not words or words[0].startswith("#"):
        return None
    marker = words.pop(0) if words[0].startswith("@") else ""
    if len(words) < 3 or marker not in ("", *_MARKERS):
        return None
    name = host.alias or host.address.lower()
    exactly = _means(words[0], host.label)
    if not exactly and not _means(words[0], name):
        return None
    try:
        key = base64.b64decode(words[2], validate=True)
    except (binascii.Error, ValueError):
        return None
    return Entry(where, words[1], key, marker, exactly)


def _means(names: str, label: str) -> bool:
    """Whether one of the names, patterns or digests is this one, and none that begins with ``!``."""
    if names.startswith("|1|"):
        return _digested(names, label)
    meant = False
    for one in names.lower().split(","):
        if fnmatch.fnmatchcase(label, _pattern(one.removeprefix("!"))):
            if one.startswith("!"):
                return False
            meant = True
    return meant


def _pattern(name: str) -> str:
    """With ``*`` and ``?`` only: brackets are those around a host with its port."""
    return name.replace("[", "[[]")


def _digested(name: str, label: str) -> bool:
    try:
        salt, digest = (base64.b64decode(part) for part in name.split("|")[2:4])
    except (binascii.Error, ValueError):
        return False
    return hmac.compare_digest(hmac.new(salt, label.encode(), "sha1").digest(), digest)
