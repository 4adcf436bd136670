"""Measuring in turn, and printing what came out as a table."""

from __future__ import annotations

import contextlib
import dataclasses
import os
import pathlib
import platform
import shutil
import sqlite3
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TypeVar

_Found = TypeVar("_Found")

ROOT = pathlib.Path(__file__).resolve().parents[1]


@dataclasses.dataclass(frozen=True, slots=True)
class Sample:
    """What one process cost, with all children that were waited for."""

    wall: float
    """Seconds."""
    cpu: float
    """Processor seconds, user and system."""


def command(
    argv: Sequence[str | os.PathLike[str]], directory: pathlib.Path, text: str = "", **environment: str
) -> Sample:
    """Run it to its end, which has to be a good one; its words are kept in ``said`` for when it isn't.

    ``text`` is what it reads.
    """
    said = directory / "said"
    (directory / "text").write_text(text)
    with open(said, "wb") as file, open(directory / "text", "rb") as stdin:
        begin = time.perf_counter()
        process = subprocess.Popen(
            argv, cwd=directory, env=surroundings(directory, **environment), stdin=stdin,
            stdout=file, stderr=subprocess.STDOUT,
        )  # fmt: skip
        _, status, usage = os.wait4(process.pid, 0)
        wall = time.perf_counter() - begin
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        tail = said.read_text(errors="replace")[-2000:]
        raise SystemExit(f"{' '.join(map(str, argv))}\nended with {process.returncode}:\n{tail}")
    return Sample(wall, usage.ru_utime + usage.ru_stime)


def surroundings(home: pathlib.Path, **more: str) -> dict[str, str]:
    """The environment of what is measured: this checkout, and a home of its own, so that nobody's settings are read."""
    return {**os.environ, "HOME": str(home), "XDG_CONFIG_HOME": str(home / "config"), "PYTHONPATH": str(ROOT)} | more


def python(*words: str) -> list[str]:
    """An argv for this interpreter."""
    return [sys.executable, *words]


@contextlib.contextmanager
def workspace() -> Iterator[pathlib.Path]:
    """A directory for a while, where TMPDIR says: on a disk, if fsync is to cost what it costs."""
    directory = pathlib.Path(tempfile.mkdtemp(prefix="bench-"))
    try:
        yield directory
    finally:
        shutil.rmtree(directory, ignore_errors=True)


def in_turn(contenders: Mapping[str, Callable[[], _Found]], rounds: int) -> dict[str, list[_Found]]:
    """A B C A B C …: whatever the machine does meanwhile, it does to all."""
    found: dict[str, list[_Found]] = {name: [] for name in contenders}
    for number in range(rounds):
        for name, contender in contenders.items():
            tell(f"round {number + 1} of {rounds}: {name}")
            found[name].append(contender())
    tell("")
    return found


def tell(text: str) -> None:
    """Where we are, on a terminal."""
    if sys.stderr.isatty():
        sys.stderr.write(f"\r\x1b[K{text}")
        sys.stderr.flush()


def spread(values: Sequence[float], digits: int = 0) -> str:
    """``512 (498–530)``: median, least and most."""
    middle, least, most = statistics.median(values), min(values), max(values)
    if len(values) < 2:
        return f"{middle:,.{digits}f}"
    return f"{middle:,.{digits}f} ({least:,.{digits}f}–{most:,.{digits}f})"


def ratio(ours: Sequence[float], floor: Sequence[float]) -> str:
    """Ours over the floor's, round by round."""
    return spread([one / other for one, other in zip(ours, floor, strict=True)], 2)


def table(title: str, heads: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Print it; the first column is words, the others end at the same place."""
    widths = [max(len(row[column]) for row in [heads, *rows]) for column in range(len(heads))]
    print(f"\n{title}\n")
    for row in [heads, ["-" * width for width in widths], *rows]:
        first, *rest = (
            cell.rjust(width) if at else cell.ljust(width)
            for at, (cell, width) in enumerate(zip(row, widths, strict=True))
        )
        print("  " + "  ".join([first, *rest]).rstrip())
    print(flush=True)


def machine() -> str:
    """What it is that we measure on."""
    try:
        system = platform.freedesktop_os_release().get("PRETTY_NAME", "Linux")
    except OSError:
        system = "Linux"
    load = ", ".join(f"{one:.1f}" for one in os.getloadavg())
    return (
        f"{os.cpu_count()} cores, {system}, Python {platform.python_version()}, SQLite {sqlite3.sqlite_version}; "
        f"load {load} as we begin"
    )
