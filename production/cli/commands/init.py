"""``production init``: a new, empty database."""

from __future__ import annotations

import argparse

from production import clock
from production.cli import asking, door, options


def add_to(commands: argparse._SubParsersAction[options.Parser]) -> None:
    """Add the command to ``production``."""
    init = commands.add_parser(
        "init",
        help="make a new, empty database",
        description="Make a new, empty database: once, by whoever sets the experiment up. Others only name it.",
    )
    init.add_argument(
        "file",
        metavar="DB",
        nargs="?",
        help="the file to make (default: the settings' database, ~/data/production.db if they have none);"
        " an existing one is never touched",
    )
    asking.add_config(init)
    init.set_defaults(command=_init)


def _init(given: argparse.Namespace) -> int:
    from production.catalogue import sqlite

    door.unwind()
    path = options.load_settings(given.config, {}).database if given.file is None else given.file
    sqlite.create(path, clock.SystemClock().now())
    options.say(f"made {path}; next: production datasets add --help")
    return 0
