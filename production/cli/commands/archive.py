"""``production archive check|list|get``: for the person who sets the archive up."""

from __future__ import annotations

import argparse
import contextlib
import logging
import os
import sys
import time
from collections.abc import Iterator
from typing import TYPE_CHECKING

from production import disk, errors, settings
from production.cli import asking, door, options, passing

# Imported late otherwise: --help and a mistyped option shouldn't wait for ftplib.
if TYPE_CHECKING:
    from production.transfer import base

_TELL_EVERY = 1.0
"""Seconds between two words about a transfer, on a terminal; there they are one line."""
_TELL_ELSEWHERE = 60.0


def add_to(commands: argparse._SubParsersAction[options.Parser]) -> None:
    """Add the command to ``production``."""
    archive = commands.add_parser(
        "archive",
        help="try the archive by hand",
        description="Try the archive of the settings by hand: is it there, are we let in, what is in it, does a file come?",
    ).add_subparsers(metavar="COMMAND", required=True)
    check = archive.add_parser(
        "check",
        help="is it there, and are we let in?",
        description="Look whether the archive is there and lets us in, and how much there is at its top.",
    )
    check.set_defaults(command=_check)
    listing = archive.add_parser(
        "list", help="what is in it", description="List a directory of the archive: sizes in bytes, and names."
    )
    listing.add_argument("directory", metavar="DIRECTORY", nargs="?", default="", help="below the archive's own")
    listing.set_defaults(command=_list)
    get = archive.add_parser(
        "get",
        help="bring the raw file of one run",
        description="Bring the raw file of one run, here and now, and tell how fast it came. No production takes notice.",
    )
    get.add_argument("run", metavar="RUN", help="its number")
    get.add_argument("--production", metavar="TYPE", help="for which program, if several have an input")
    get.add_argument("--to", metavar="FILE", help="where to (default: its own name, here)")
    get.set_defaults(command=_get)
    for command in (check, listing, get):
        asking.add_config(command)


@contextlib.contextmanager
def _opened(chosen: settings.Settings) -> Iterator[base.Transfer]:
    from production.cli import wiring
    from production.transfer import sftp

    if not chosen.archive.url:
        raise errors.UsageError('no archive is set; write archive = "ftp://HOST/raw" into production.toml')
    door.unwind()
    # What it says meanwhile, that a login was refused and is tried again, is said as our errors are.
    logging.basicConfig(format="production: %(message)s", level=logging.WARNING)
    with contextlib.closing(wiring.transfer(chosen.archive)) as transfer:
        if isinstance(transfer, sftp.Sftp):
            wiring.greet(transfer)  # a key may have a passphrase, which only a person knows
        yield transfer


def _check(given: argparse.Namespace) -> int:
    chosen = options.load_settings(given.config, {})
    with _opened(chosen) as transfer:
        entries = transfer.listing("")
        files = [entry for entry in entries if not entry.directory]
        options.say(
            f"{disk.printable(chosen.archive.url)}: it is there and lets us in; {len(files)} files, "
            f"{len(entries) - len(files)} directories"
        )
        if not entries:
            raise errors.ProductionError(f"{disk.printable(chosen.archive.url)} is empty: is the directory right?")
    return 0


def _list(given: argparse.Namespace) -> int:
    with _opened(options.load_settings(given.config, {})) as transfer:
        for entry in transfer.listing(given.directory.strip("/")):
            size = "directory" if entry.directory else "?" if entry.bytes is None else f"{entry.bytes:,}"
            options.say(f"{size:>20}  {disk.shown(entry.name)}")
    return 0


def _get(given: argparse.Namespace) -> int:
    from production import room

    chosen = options.load_settings(given.config, {})
    program = _program(chosen, given.production)
    # of what else a name may speak there is nothing here: no production, no attempt
    fields = {"run": asking.run(given.run), "program": program.name, "version": 1, "attempt": 1}
    remote = settings.expand(program.input, fields)
    local = os.path.abspath(given.to or os.path.basename(remote))
    if os.path.isdir(local):
        local = os.path.join(local, os.path.basename(remote))
    for path in (local, local + ".part"):  # the second is where it is written
        if os.path.lexists(path):
            raise errors.UsageError(f"{disk.shown(path)} is there already; nothing was changed")
    with _opened(chosen) as transfer:
        size, begun = transfer.size(remote), time.monotonic()
        with _Told(remote, size) as told:
            count = transfer.fetch(remote, local, told, size)
        seconds = time.monotonic() - begun
    options.say(f"{disk.shown(local)}: {count:,} bytes in {seconds:.1f} s, {room.shown(count / max(seconds, 1e-3))}/s")
    return 0


def _program(chosen: settings.Settings, name: str | None) -> settings.Program:
    """The program that is meant, or the only one with a raw file. Raises: UsageError."""
    having = {one.name: one for one in chosen.programs.values() if one.input}
    if name is not None:
        if name not in having:
            there = ", ".join(sorted(having)) or "none"
            raise errors.UsageError(f"--production={name}: no such program with an input; there are: {there}")
        return having[name]
    if len({one.input for one in having.values()}) != 1:
        there = ", ".join(sorted(having)) or "none"
        raise errors.UsageError(f"say with --production=TYPE whose input is meant; there are: {there}")
    return next(iter(having.values()))


class _Told:
    """Says how far a transfer is, or that nothing has come yet: on a terminal in one line, which goes at the end."""

    def __init__(self, remote: str, size: int | None) -> None:
        self._remote = disk.printable(remote)
        self._whole = "" if size is None else f" of {size:,}"
        self._line = passing.Line()
        self._every = _TELL_EVERY if self._line.terminal else _TELL_ELSEWHERE
        self._next = time.monotonic() + self._every

    def __enter__(self) -> _Told:
        return self

    def __exit__(self, *_error: object) -> None:
        self._line.clear()

    def __call__(self, count: int) -> None:
        if time.monotonic() >= self._next:
            self._next = time.monotonic() + self._every
            state = f"{count:,}{self._whole} bytes" if count else "waiting for the first byte (a tape?)"
            if self._line.terminal:
                self._line.tell(f"{self._remote}: {state}")
            else:
                print(f"{self._remote}: {state}", file=sys.stderr, flush=True)
