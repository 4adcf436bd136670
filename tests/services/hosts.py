"""Names in /etc/hosts, each line with the mark of whom it is for; written in place, as containers mount that file."""

from __future__ import annotations

import contextlib
import fcntl
import pathlib
from collections.abc import Iterator, Sequence
from typing import TextIO

HOSTS = pathlib.Path("/etc/hosts")


def add(names: Sequence[str], owner: pathlib.Path) -> None:
    """These names are this machine until ``remove``."""
    with _lines() as (file, lines):
        _write(file, [*_others(lines, owner), *(f"127.0.0.1 {name} {_mark(owner)}\n" for name in names)])


def remove(owner: pathlib.Path) -> None:
    with _lines() as (file, lines):
        if any(line.rstrip().endswith(_mark(owner)) for line in lines):
            _write(file, _others(lines, owner))


def _mark(owner: pathlib.Path) -> str:
    return f"# run_production's tests: {owner}"


def _others(lines: Sequence[str], owner: pathlib.Path) -> list[str]:
    return [line if line.endswith("\n") else line + "\n" for line in lines if not line.rstrip().endswith(_mark(owner))]


@contextlib.contextmanager
def _lines() -> Iterator[tuple[TextIO, list[str]]]:
    with HOSTS.open("r+", encoding="utf-8") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield file, file.readlines()


def _write(file: TextIO, lines: Sequence[str]) -> None:
    file.seek(0)
    file.writelines(lines)
    file.truncate()
