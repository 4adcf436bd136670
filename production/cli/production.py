"""``production``: the command for setting a campaign up, asking how it goes, and telling it what to do."""

from __future__ import annotations

import argparse
import importlib
from collections.abc import Sequence

import production
from production.cli import options

COMMANDS: dict[str, tuple[str, ...]] = {
    "init": ("init",),
    "importing": ("import",),
    "datasets": ("datasets",),
    "doctor": ("doctor",),
    "status": ("status",),
    "runs": ("runs",),
    "show": ("show",),
    "log": ("log",),
    "why": ("why",),
    "failures": ("failures",),
    "estimate": ("estimate",),
    "managers": ("managers",),
    "productions": ("productions",),
    "audit": ("audit",),
    "requests": ("retry", "hold", "release", "cancel", "priority", "reset"),
    "close": ("close",),
    "upgrade": ("upgrade",),
    "archive": ("archive",),
    "completion": ("completion",),
}
"""{module below commands/: its commands}, in the order of --help: setting up, looking, telling, tending."""


def parser(word: str = "") -> options.Parser:
    """All of it, for --help and for whatever is made from it: documentation, completion.

    ``word``: the command that is meant, if it is one; then nobody waits for the modules of the others.
    """
    whole = options.Parser(prog="production", description="Set up a production database, and ask how it goes.")
    whole.add_argument(
        "--version", action="version", version=f"run_production {production.__version__}", help="of this software"
    )
    commands = whole.add_subparsers(metavar="COMMAND", required=True, parser_class=options.Parser)
    meant = [module for module, words in COMMANDS.items() if word in words]
    for module in meant or COMMANDS:
        importlib.import_module(f"production.cli.commands.{module}").add_to(commands)
    return whole


def main(arguments: Sequence[str] | None = None) -> int:
    """The command; returns its exit code."""
    return options.ending("production", _command, arguments)


def _command(arguments: Sequence[str]) -> int:
    whole = parser(arguments[0] if arguments else "")
    if not arguments:
        whole.print_help()
        return 0
    try:
        given: argparse.Namespace = whole.parse_args(arguments)
    except SystemExit as end:  # argparse's own --help, and --version
        return int(end.code or 0)
    code: int = given.command(given)
    return code
