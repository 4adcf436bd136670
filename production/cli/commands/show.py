"""``production show RUN``: all that is known of one run. What is read here is told by ``production/cli/portrait.py``."""

from __future__ import annotations

import argparse
import dataclasses
import json
import os
from collections.abc import Mapping
from typing import TYPE_CHECKING

from production import run as runs
from production import settings
from production.cli import asking, options

if TYPE_CHECKING:
    from production import facts
    from production.catalogue import library


def add_to(commands: argparse._SubParsersAction[options.Parser]) -> None:
    """Add the command to ``production``."""
    parser = commands.add_parser(
        "show",
        help="all that is known of a run",
        description="All that is known of a run: history, attempts, files and whether they are there, requests, what is set for it.",
    )
    parser.add_argument("run", metavar="RUN", help="its number")
    asking.add_production(parser)
    parser.add_argument("--modules", action="store_true", help="with the text of the modules file of its last attempt")
    asking.add_json(parser)
    asking.add_where(parser)
    parser.set_defaults(command=_show)


def _show(given: argparse.Namespace) -> int:
    run = asking.run(given.run)
    chosen = asking.chosen(given)
    with asking.catalogue(options.database(chosen)) as catalogue:
        production = asking.looked_at(catalogue, given, run)
        told = all_of(catalogue, production, asking.row(catalogue, production, run), chosen.programs, given.modules)
    if given.json:
        asking.say_json(told)
    else:
        from production.cli import portrait

        asking.say_folded(portrait.lines(told))
    return 0


def all_of(
    catalogue: library.Library,
    production: runs.Production,
    row: facts.Row,
    programs: Mapping[str, settings.Program],
    with_modules: bool,
) -> dict[str, object]:
    """All that is known of the run."""
    records, key = catalogue.records, (production.id, row.run)
    attempts = records.attempts(*key)
    outputs = [_with_place(dataclasses.asdict(one), one.path) for one in records.outputs(*key)]
    asides = [_with_place(dataclasses.asdict(one), one.aside) for one in records.asides(*key)]
    answer: dict[str, object] = {
        "production": production.name,
        **dataclasses.asdict(row),
        "memberships": [
            {"dataset": dataset, "tranche": tranche, "quality": quality}
            for dataset, tranche, quality in records.memberships(row.run)
        ],
        "history": [dataclasses.asdict(one) for one in catalogue.history(*key)],
        "attempts": [_attempt(one) for one in attempts],
        "inputs": [_with_place(dataclasses.asdict(one), one.path) for one in records.inputs(*key)],
        "outputs": outputs,
        "asides": asides,
        "requests": [dataclasses.asdict(one) for one in records.requests(*key)],
        "settings": _settings(programs.get(production.program), attempts),
    }
    if with_modules:
        digest = next((one.modules for one in reversed(attempts) if one.modules), None)
        text = None if digest is None else records.modules(digest)
        answer["modules_text"] = text.decode("utf-8", "backslashreplace") if isinstance(text, bytes) else text
    return answer


def _attempt(one: facts.Attempt) -> dict[str, object]:
    """What stands in the database as JSON is part of ours."""
    parsed = {name: _parsed(getattr(one, name)) for name in ("resources", "command")}
    return dataclasses.asdict(one) | parsed


def _parsed(text: str | None) -> object:
    try:
        return None if text is None else json.loads(text)
    except ValueError:
        return text


def _with_place(file: dict[str, object], path: str) -> dict[str, object]:
    """And whether it is there now, with how many bytes."""
    try:
        size: int | None = os.stat(path).st_size
    except (OSError, ValueError):  # an old database may have anything for a path
        size = None
    return file | {"there": size is not None, "bytes_there": size}


def _settings(program: settings.Program | None, attempts: list[facts.Attempt]) -> dict[str, object] | None:
    """What the settings say now, and in what its last submitted attempt was otherwise; None: they don't know the program."""
    if program is None:
        return None
    now: dict[str, object] = {
        "script": program.script,
        "resources": dataclasses.asdict(program.resources),
        "retry": dataclasses.asdict(program.retry),
    }
    last = next((one for one in reversed(attempts) if one.command is not None), None)
    differs: dict[str, object] = {}
    if last is not None:
        command, asked = _parsed(last.command), _parsed(last.resources)
        if isinstance(command, list) and command and command[0] != program.script:
            differs["script"] = command[0]
        if isinstance(asked, dict):
            differs |= {name: asked.get(name) for name, value in dataclasses.asdict(program.resources).items() if asked.get(name) != value}  # fmt: skip
    return now | {"last_attempt_had": differs}
