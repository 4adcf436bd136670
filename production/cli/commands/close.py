"""``production close``: nothing more is taken of a production, though not all of its runs are finished."""

from __future__ import annotations

import argparse

from production import clock, disk, errors, moment, process
from production.cli import asking, options


def add_to(commands: argparse._SubParsersAction[options.Parser]) -> None:
    """Add the command to ``production``."""
    close = commands.add_parser(
        "close",
        help="end a production that is not finished",
        description="Close a production: what is under way is finished, nothing more of it is claimed, managers end. "
        "One whose runs are all finished closes by itself.",
    )
    asking.add_production(close)
    close.add_argument("--undo", action="store_true", help="open again what was closed so")
    close.add_argument("--why", metavar="TEXT", default="", help="to be shown with it: why")
    close.add_argument("--yes", action="store_true", help="do it; else it is only said what would be done")
    asking.add_json(close)
    asking.add_where(close)
    close.set_defaults(command=_command)


def _command(given: argparse.Namespace) -> int:
    from production.cli import terminal

    if not given.production:
        raise errors.UsageError("--production=TYPE is missing: which one shall be closed?")
    if not given.why.isprintable():
        raise errors.UsageError("--why: one line that can be printed, please")
    with asking.catalogue(asking.database(given), read_only=not given.yes) as catalogue:
        production = asking.production(catalogue, given)
        opened = catalogue.records.opened()[production.id]
        if given.undo and opened.closed_by is None:
            raise errors.UsageError(f"{production.name} was not closed by hand: there is nothing to undo")
        if not given.undo and production.stop is not None:
            by = f" by {opened.closed_by}" if opened.closed_by else ""
            raise errors.UsageError(f"{production.name} is closed{by} since {moment.shown(production.stop)}")
        if given.yes:
            with catalogue.write() as change:
                if given.undo:
                    done = change.open_again(production.id)
                else:
                    done = change.close_by_hand(production.id, process.user(), given.why, clock.SystemClock().now())
            if not done:
                raise errors.ProductionError(f"{production.name}: somebody else was faster; look again")
        counts = catalogue.counts(production.id)
        if given.json:
            answer = {"production": production.name, "undo": given.undo, "dry_run": not given.yes}
            asking.say_json(answer | {"counts": {state.value: number for state, number in counts.items()}})
            return 0
        deed = ("" if given.yes else "would be ") + ("opened again" if given.undo else "closed")
        options.say(disk.printable(f"{deed}: {production.name} ({terminal.summary(counts)})"))
        if not given.yes:
            options.say("nothing was changed; to do it: --yes")
    return 0
