"""``production``: the command for setting a campaign up, asking how it goes, and telling it what to do."""

from __future__ import annotations

import argparse
from collections.abc import Sequence

import production
from production.cli import options
from production.cli.commands import (
    archive,
    audit,
    close,
    completion,
    datasets,
    doctor,
    estimate,
    failures,
    importing,
    init,
    log,
    managers,
    productions,
    requests,
    runs,
    show,
    status,
    upgrade,
    why,
)

COMMANDS = (
    init,
    importing,
    datasets,
    doctor,
    status,
    runs,
    show,
    log,
    why,
    failures,
    estimate,
    managers,
    productions,
    audit,
    requests,
    close,
    upgrade,
    archive,
    completion,
)
"""In the order of --help: setting up, looking, telling, tending."""


def parser() -> options.Parser:
    """All of it, for the command line and for whatever is made from it: documentation, completion."""
    whole = options.Parser(prog="production", description="Set up a production database, and ask how it goes.")
    whole.add_argument(
        "--version", action="version", version=f"run_production {production.__version__}", help="of this software"
    )
    commands = whole.add_subparsers(metavar="COMMAND", required=True, parser_class=options.Parser)
    for command in COMMANDS:
        command.add_to(commands)
    return whole


def main(arguments: Sequence[str] | None = None) -> int:
    """The command; returns its exit code."""
    return options.ending("production", _command, arguments)


def _command(arguments: Sequence[str]) -> int:
    whole = parser()
    if not arguments:
        whole.print_help()
        return 0
    try:
        given: argparse.Namespace = whole.parse_args(arguments)
    except SystemExit as end:  # argparse's own --help, and --version
        return int(end.code or 0)
    code: int = given.command(given)
    return code
