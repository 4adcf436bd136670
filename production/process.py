"""Who a process is: a pid with its start time and the kernel's boot id, so that a used-again pid is never mistaken."""

from __future__ import annotations

import functools
import os
import pwd
import socket

from production import run as runs


@functools.cache
def boot_id() -> str:
    """The kernel's boot id (proc(5), random/boot_id)."""
    with open("/proc/sys/kernel/random/boot_id", encoding="ascii") as file:
        return file.read().strip()


@functools.cache
def host() -> str:
    """This machine's name, as jobs and people see it."""
    return socket.gethostname()


def user() -> str:
    """The Unix user we work as; its number if it has no name."""
    try:
        return pwd.getpwuid(os.geteuid()).pw_name
    except KeyError:
        return str(os.geteuid())


def start_ticks(pid: int) -> int | None:
    """Clock ticks between boot and the start of a living process, None if there is none (proc(5), stat field 22)."""
    fields = _stat(pid)
    return None if not fields or fields[0] in (b"Z", b"X") else int(fields[19])


def _stat(pid: int) -> list[bytes]:
    """What proc(5) says from the state on; nothing if there is no such process."""
    try:
        with open(f"/proc/{pid}/stat", "rb") as file:
            return file.read().rpartition(b")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return []


def myself() -> runs.Owner:
    """This process as an owner, before the catalogue has given it an id."""
    pid = os.getpid()
    return runs.Owner(0, user(), host(), boot_id(), pid, start_ticks(pid) or 0)


def seen_dead(owner: runs.Owner) -> bool:
    """Certain, and only then: same user (others may hide theirs from us), host and boot, and no such process."""
    here = owner.host == host() and owner.boot == boot_id() and owner.user == user()
    return here and start_ticks(owner.pid) != owner.ticks


def seen_alive(owner: runs.Owner) -> bool | None:
    """What people are told: whether it is there; None: it can't be seen from here.

    Other users' processes count, too, where this machine shows them. For leases that is not enough: ``seen_dead``.
    """
    if owner.host != host() or owner.boot != boot_id():
        return None
    if _readable(owner.pid) and start_ticks(owner.pid) == owner.ticks:
        return True
    return False if owner.user == user() or _shows_others() else None


def _readable(pid: int) -> bool:
    """Whether we may know of this process (proc(5), hidepid=1)."""
    try:
        return bool(_stat(pid))
    except PermissionError:
        return False


def _shows_others() -> bool:
    """Whether /proc has everybody's processes for us: the first of all, if that is not ours, is one (hidepid=2)."""
    try:
        return os.geteuid() == 0 or (os.stat("/proc/1").st_uid != os.geteuid() and _readable(1))
    except OSError:
        return False


def seen_stopped(owner: runs.Owner) -> bool:
    """Whether a process of this machine was told to wait (Ctrl-Z, SIGSTOP), and is there still."""
    here = owner.host == host() and owner.boot == boot_id()
    fields = _stat(owner.pid) if here and _readable(owner.pid) else []
    return bool(fields) and fields[0] == b"T" and int(fields[19]) == owner.ticks


def in_front(descriptor: int) -> bool:
    """Whether a terminal is ours to draw on; one that nobody controls is, too."""
    try:
        return os.tcgetpgrp(descriptor) == os.getpgrp()
    except OSError:
        return True
