"""``production upgrade``: a database of an earlier run_production becomes one of this."""

from __future__ import annotations

import argparse

from production.cli import asking, options


def add_to(commands: argparse._SubParsersAction[options.Parser]) -> None:
    """Add the command to ``production``."""
    upgrade = commands.add_parser(
        "upgrade",
        help="bring a database of an earlier version up to date",
        description="Bring a database of an earlier version up to date, as the next manager would. Nothing of it is lost; "
        "programs of the earlier version that are at work go on, but can't be started any more.",
    )
    asking.add_json(upgrade)
    asking.add_where(upgrade)
    upgrade.set_defaults(command=_command)


def _command(given: argparse.Namespace) -> int:
    from production.catalogue import sqlite

    path = asking.database(given)
    with asking.catalogue(path, read_only=False) as catalogue:
        before = catalogue.is_current()

        def bring_up() -> None:
            with catalogue.write():
                """Whoever writes brings it up."""

        asking.patiently(bring_up)
    if given.json:
        asking.say_json({"database": path, "current": True, "changed": not before})
        return 0
    options.say(f"{path} {'is' if before else 'has been brought'} up to date (schema version {sqlite.VERSION})")
    return 0
