"""``production watch``: the dashboard, from any terminal, at any time."""

from __future__ import annotations

import argparse
import os
import signal
from typing import TYPE_CHECKING

from production import errors, process
from production import filter as filters
from production.cli import asking, options

if TYPE_CHECKING:
    from production.catalogue import sqlite

PALETTES = ("dark", "light", "plain")
PATIENCE = 1.0
"""Seconds that a look waits for somebody else's lock; then it is told, and looked again."""


def add_to(commands: argparse._SubParsersAction[options.Parser]) -> None:
    """Add the command to ``production``."""
    parser = commands.add_parser(
        "watch",
        help="the dashboard: everything at a glance, as it changes",
        description="The dashboard of a production: its runs, transfers, managers, failures and logs, as they change. ? tells its keys.",
        epilog="Looking changes nothing: it may be closed, killed or opened many times, here and elsewhere. What it looks like:"
        " docs/dashboard.md.",
    )
    asking.add_filter(parser)
    asking.add_production(parser)
    parser.add_argument("--read-only", action="store_true", help="without the keys that ask for something")
    parser.add_argument(
        "--palette",
        metavar="COLOURS",
        help=f"{', '.join(PALETTES)} (default: what suits the terminal; plain with NO_COLOR)",
    )
    parser.add_argument("--lines", help=argparse.SUPPRESS)  # the descriptor on which the manager it belongs to speaks
    parser.add_argument("--manager", help=argparse.SUPPRESS)  # and its id
    asking.add_where(parser)
    parser.set_defaults(command=_watch)


def _watch(given: argparse.Namespace) -> int:
    lines, manager = asking.whole(given.lines, "--lines"), asking.whole(given.manager, "--manager")
    filters.parse(given.filter)
    if given.palette not in (None, *PALETTES):
        raise errors.UsageError(f"--palette={given.palette}: {', '.join(PALETTES)}")
    chosen = asking.chosen(given)
    path = options.database(chosen)
    with asking.catalogue(path) as catalogue:
        production = asking.looked_at(catalogue, given)
        catalogue.records.opened()  # one of an earlier version says now what is to be done
    from production.cli import terminal

    if trouble := terminal.unfit():
        raise errors.ProductionError(f"the dashboard {trouble}; for programs: production status --json")
    from production.cli import answers, remote
    from production.monitor.dashboard import app, surroundings

    logs = remote.logs()
    here = surroundings.Surroundings(
        open=lambda: _open(path),
        production=production,
        database=os.path.basename(path),
        user=process.user(),
        lease=chosen.lease,
        answers=answers.Answers(chosen, logs),
        logs=logs,
        filter=" ".join(map(_quoted, given.filter)),
        read_only=given.read_only,
        palette=given.palette or "",
        manager=manager,
        lines=lines,
    )
    if lines is not None:  # a Ctrl-C is meant for the manager; no SIG_IGN, which a pager would inherit
        signal.signal(signal.SIGINT, lambda *_: None)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})
    # and so a QUIT: as it is, it would leave the terminal as that is
    signal.signal(signal.SIGQUIT, signal.getsignal(signal.SIGINT))
    app.run(here)
    return 0


def _open(path: str) -> sqlite.Database:
    from production.catalogue import sqlite

    return sqlite.Database(path, read_only=True, patience=PATIENCE, opening=PATIENCE)


def _quoted(word: str) -> str:
    """As a line of the dashboard has it."""
    if not any(character.isspace() for character in word):
        return word
    return f"'{word}'" if '"' in word else f'"{word}"'
