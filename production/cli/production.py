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

GROUPS = {
    "setting up": (init, importing, datasets, archive, doctor),
    "looking": (status, runs, show, log, why, failures, estimate, managers, productions),
    "telling": (requests, close),
    "tending": (audit, upgrade, completion),
}
"""In the order of --help."""


def parser() -> options.Parser:
    """All of it, for the command line and for whatever is made from it: documentation, completion."""
    whole = options.Parser(
        prog="production",
        usage="production [-h] [--version] COMMAND …",
        description="Set a campaign up, ask how it goes, and tell it what to do. About each command: production COMMAND --help",
    )
    whole.add_argument(
        "--version", action="version", version=f"run_production {production.__version__}", help="of this software"
    )
    # argparse can't group commands: it says nothing of them, and we do
    commands = whole.add_subparsers(
        metavar="COMMAND", required=True, parser_class=options.Parser, prog="production", help=argparse.SUPPRESS
    )
    groups = []
    for title, modules in GROUPS.items():
        before = len(commands._choices_actions)
        for module in modules:
            module.add_to(commands)
        lines = [f"  {one.dest:<12} {one.help}" for one in commands._choices_actions[before:]]
        groups.append("\n".join([f"{title}:", *lines]))
    whole.epilog = "\n\n".join(groups)
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
