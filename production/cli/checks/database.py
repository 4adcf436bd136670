"""The database: there, ours, whole, writable, and locked by one process at a time."""

from __future__ import annotations

import contextlib
import grp
import os
import pwd
import select
import stat
import subprocess
import sys
import time
from collections.abc import Iterator

import production
from production import errors
from production.catalogue import line, place, sqlite
from production.cli import options
from production.cli.checks import finding, rival

MOST = 256 << 20
"""Bytes that are read through: in a second or two."""
AT_ONCE = 5.0
"""Seconds that a lock may be held by others who work: a manager's transactions take milliseconds."""


def look(patient: finding.Patient) -> list[finding.Finding]:
    """It is there and one of ours, and we may write it."""
    from production import room

    path = options.database(patient.chosen)
    with contextlib.closing(_opened(path, patient, read_only=True)) as database:
        health, where = database.health(MOST), database.place
        patient.catalogue = database.id
    if health.damage:
        raise finding.Bad(f"{path} is damaged: {health.damage}", "stop all managers, and restore it from a copy")
    _check_rights(where)
    looked = "whole" if health.bytes <= MOST else "too large to be read through here"
    newer = f" ({sqlite.VERSION} after: production upgrade)" if health.version < sqlite.VERSION else ""
    found = (
        f"{finding.near(path)}: schema {health.version}{newer}, {room.shown(health.bytes)}, {looked}, {health.journal}"
    )
    return [finding.Finding("database", True, f"{found}, {_standing(where)}; {_writers(where.path)}")]


def _opened(path: str, patient: finding.Patient, *, read_only: bool) -> sqlite.Database:
    patience = min(AT_ONCE, patient.patience / 2)
    try:
        return sqlite.Database(path, read_only=read_only, patience=patience, opening=patience)
    except errors.CatalogueBusy as busy:
        raise finding.Bad(f"{busy}, for {patience:.0f} s", _mend_lock(path)) from busy


def _mend_lock(path: str) -> str:
    return f"see who does: fuser -v '{path}' (on each machine that has it), and end what hangs"


def _check_rights(where: place.Place) -> None:
    """Raises: Bad: we, or others who are meant to, can't write."""
    directory = os.path.dirname(where.path)
    if not os.access(where.path, os.W_OK):
        raise finding.Bad(f"{where.path} may not be written by you", f"as its owner: chmod g+w '{where.path}'")
    if not os.access(directory, os.W_OK):
        found = f"the directory of {where.path} may not be written by you: no journal can be made beside it"
        raise finding.Bad(found, f"as its owner: chmod g+rwxs '{directory}'")
    advice, mends, mend = where.advice.partition("; mend: ")
    if mends:
        raise finding.Bad(advice, mend)


def _standing(where: place.Place) -> str:
    kind = place.file_system(where.path)
    return f"on {kind} (network: slower journal, longer waits)" if where.network else f"on {kind}"


def _writers(path: str) -> str:
    """Who may write it, in words."""
    status = os.stat(path)
    try:
        owner, group = pwd.getpwuid(status.st_uid).pw_name, grp.getgrgid(status.st_gid).gr_name
    except KeyError:
        owner, group = str(status.st_uid), str(status.st_gid)
    if status.st_mode & stat.S_IWOTH:
        return "everybody may write it"
    return f"{owner} and group {group} may write it" if status.st_mode & stat.S_IWGRP else f"only {owner} may write it"


def locking(patient: finding.Patient) -> list[finding.Finding]:
    """While we hold the lock another process doesn't get it, and then it does."""
    path = options.database(patient.chosen)
    if os.path.exists(os.path.realpath(path) + ".lock"):
        line.Line(os.path.realpath(path)).close()  # the managers' own line: one that we can't enter keeps us out
    patience = min(AT_ONCE, patient.patience / 3)
    with (
        contextlib.closing(_opened(path, patient, read_only=False)) as database,
        _other(path, patience) as other,
    ):
        try:
            with database.locked(patience):
                began = time.monotonic()
                meanwhile = _answer(other, 0.0, patience)
        except errors.CatalogueBusy as busy:
            raise finding.Bad(f"{busy}, for {patience:.0f} s", _mend_lock(path)) from busy
        held, then = time.monotonic() - began, _answer(other, patience, 2 * patience)
        where = database.place
    if meanwhile == rival.GOT:
        found = f"{path}: two processes hold its lock at a time: runs would be done twice"
        raise finding.Bad(found, "move the database to a disk of this machine, or have the file server's lockd mended")
    if (meanwhile, then) != (rival.BUSY, rival.GOT):
        said = (then if meanwhile == rival.BUSY else meanwhile) or "nothing"
        raise finding.Bad(f"{path}: another process tries for its lock and says: {said}", _mend_lock(path))
    where_ = "; between machines the file server's word has to do" if where.network else ""
    return [finding.Finding("locking", True, f"two processes, one at a time; held for {held * 1000:.0f} ms{where_}")]


@contextlib.contextmanager
def _other(path: str, patience: float) -> Iterator[subprocess.Popen[bytes]]:
    """Another process that is ready to try for the lock; ended with the block."""
    ours = os.path.dirname(os.path.dirname(os.path.abspath(production.__file__)))
    places = os.pathsep.join(filter(None, (ours, os.environ.get("PYTHONPATH", ""))))
    process = subprocess.Popen(
        [sys.executable, "-m", rival.__name__, path],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, bufsize=0,
        env={**os.environ, "PYTHONPATH": places},
    )  # fmt: skip
    with process:
        try:
            if (word := _said(process, max(patience, AT_ONCE))) != rival.READY:
                raise finding.Bad(f"{path}: another process can't open it: {word or 'no answer'}", "try again")
            yield process
        finally:
            process.kill()


def _answer(other: subprocess.Popen[bytes], wait: float, patience: float) -> str:
    """What it says when it tries for so many seconds."""
    assert other.stdin
    with contextlib.suppress(BrokenPipeError):
        other.stdin.write(f"{wait}\n".encode())
    return _said(other, wait + patience)


def _said(other: subprocess.Popen[bytes], patience: float) -> str:
    """Its next line; empty if none comes."""
    assert other.stdout
    ready, _, _ = select.select([other.stdout], [], [], patience)
    return other.stdout.readline().decode(errors="replace").strip() if ready else ""
