"""``production completion SHELL``: what makes Tab know the commands, options and filters of both programs."""

from __future__ import annotations

import argparse

from production.cli import options

_HOW = """
where to put it:
  bash  production completion bash >~/.local/share/bash-completion/completions/production
        or in ~/.bashrc: source <(production completion bash)
  zsh   production completion zsh >DIRECTORY/_production, a directory on $fpath
        or in ~/.zshrc, after compinit: source <(production completion zsh)
  fish  production completion fish >~/.config/fish/completions/production.fish
"""


def add_to(commands: argparse._SubParsersAction[options.Parser]) -> None:
    """Add the command to ``production``."""
    parser = commands.add_parser(
        "completion",
        help="let your shell complete commands, options and filters",
        description="Print a script that lets your shell complete commands, options and filters of both programs.",
        epilog=_HOW,
    )
    parser.add_argument("shell", choices=("bash", "zsh", "fish"), help="which one")
    parser.set_defaults(command=_completion)


def _completion(given: argparse.Namespace) -> int:
    from production.cli import completion, production, run_production, shells

    programs: shells.Programs = {
        "production": completion.commands(production.parser()),
        "run_production": completion.commands(run_production.parser()),
    }
    options.say(shells.SHELLS[given.shell](programs), end="")
    return 0
