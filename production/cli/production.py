"""``production``: the command for setting a campaign up, asking how it goes, and telling it what to do."""

from __future__ import annotations

import argparse
import importlib
from collections.abc import Sequence

import production
from production.cli import options

GROUPS: dict[str, dict[str, tuple[str, ...]]] = {
    "setting up": {
        "init": ("init",),
        "importing": ("import",),
        "datasets": ("datasets",),
        "archive": ("archive",),
        "doctor": ("doctor",),
    },
    "looking": {
        "watch": ("watch",),
        "status": ("status",),
        "runs": ("runs",),
        "show": ("show",),
        "log": ("log",),
        "why": ("why",),
        "failures": ("failures",),
        "estimate": ("estimate",),
        "managers": ("managers",),
        "productions": ("productions",),
    },
    "telling": {
        "requests": ("retry", "hold", "release", "cancel", "priority", "reset"),
        "nproc": ("nproc",),
        "close": ("close",),
    },
    "tending": {
        "audit": ("audit",),
        "upgrade": ("upgrade",),
        "completion": ("completion",),
    },
}
"""{what for: {module below commands/: its commands}}, in the order of --help."""


def parser(word: str = "") -> options.Parser:
    """All of it, for --help and for whatever is made from it: documentation, completion.

    ``word``: the command that is meant, if it is one; then nobody waits for the modules of the others.
    """
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
    known = {word for modules in GROUPS.values() for words in modules.values() for word in words}
    groups = []
    for title, modules in GROUPS.items():
        before = len(commands._choices_actions)
        for module, words in modules.items():
            if word in words or word not in known:
                importlib.import_module(f"production.cli.commands.{module}").add_to(commands)
        lines = [f"  {one.dest:<12} {one.help}" for one in commands._choices_actions[before:]]
        groups.append("\n".join([f"{title}:", *lines]))
    whole.epilog = "\n\n".join(groups)
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
