"""``production status``: how many runs are where."""

from __future__ import annotations

import argparse
import os

from production import disk
from production.cli import asking, options


def add_to(commands: argparse._SubParsersAction[options.Parser]) -> None:
    """Add the command to ``production``."""
    status = commands.add_parser("status", help="how many runs are where, in each production")
    asking.add_where(status)
    status.set_defaults(command=_status)


def _status(given: argparse.Namespace) -> int:
    from production.cli import terminal

    path = asking.database(given)
    with asking.catalogue(path) as catalogue:
        productions = catalogue.productions()
        if not productions:
            options.say(
                f"{os.path.basename(path)}: no productions yet; start one with run_production --production=TYPE --new=TAG"
            )
        for production in productions:
            base_ = f", on v{production.base_version} of its base" if production.base_version else ""
            state = "finished" if production.stop else "open"
            counts = terminal.summary(catalogue.counts(production.id))
            options.say(f"{production.name} ({production.tag}, {production.quality}{base_}): {state}: {counts}")
            for stuck in catalogue.causes(production.id):
                for line in terminal.stuck(stuck):
                    options.say(f"  {line}")
            words = "" if production.stop else catalogue.last_words(production.id)
            if words not in ("", "done", "stopped"):
                options.say(f"  its last manager stopped: {disk.printable(words)}")
    return 0
