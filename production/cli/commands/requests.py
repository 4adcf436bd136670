"""``production retry, hold, release, cancel, priority, reset``: tell runs what to do."""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING

from production import errors, process
from production import filter as filters
from production import run as runs
from production.cli import asking, options

if TYPE_CHECKING:
    from production import facts
    from production.catalogue import sqlite
    from production.cli import telling

TOGETHER = 500
"""Runs that are moved in one transaction."""
MANAGERS = 10_000
"""The newest, among which who has a run is looked for."""
POLL = 0.2
"""Seconds between two looks for answers."""

_HELP = {
    "retry": ("once more: failed and held runs", "Failed and held runs are new again, with all their attempts; what is in back-off goes at once."),
    "hold": ("stop runs until somebody releases them", "Runs are held: not claimed any more. Jobs that run are cancelled, which is not held against the run."),
    "release": ("held runs, and claims, are new again", "Held runs are new again, with as many attempts as they had left. Runs under way are given back, their jobs cancelled."),
    "cancel": ("end what is under way", "Transfers and jobs of runs are ended; the runs are failed, for cause cancelled, until somebody retries them."),
    "priority": ("which runs go first", "Runs with a higher priority are claimed before others; all have 0 until told otherwise."),
    "reset": ("do runs again, finished ones too", "Runs are new again. Outputs are put aside as NAME.asideN; runs of productions based on this one wait again."),
}  # fmt: skip


def add_to(commands: argparse._SubParsersAction[options.Parser]) -> None:
    """Add the commands to ``production``."""
    for verb, (help_, description) in _HELP.items():
        command = commands.add_parser(verb, help=help_, description=description)
        if verb == "priority":
            command.add_argument("number", metavar="N", help="the priority; those with more go first")
        asking.add_filter(command, to_change=True)
        asking.add_production(command)
        command.add_argument("--why", metavar="TEXT", default="", help="for the history: why")
        command.add_argument("--yes", action="store_true", help="do it; else it is only said what would be done")
        command.add_argument(
            "--wait", metavar="S", help="wait so many seconds for the answers of managers that have runs of these"
        )
        asking.add_json(command)
        asking.add_where(command)
        command.set_defaults(command=_command, verb=verb)


def _command(given: argparse.Namespace) -> int:
    from production import request

    verb = request.Verb(given.verb)
    argument = str(request.priority(given.number)) if verb is request.Verb.PRIORITY else None
    wait = asking.seconds(given.wait, "--wait")
    wanted = filters.parse(given.filter)
    if not any(map(str.strip, given.filter)):
        deed = f"{verb} {argument}" if argument else verb
        raise errors.UsageError(
            f"which runs? e.g. production {deed} 2091 2095-2103, or state:failed,held; every one: all"
        )
    if not given.why.isprintable():
        raise errors.UsageError("--why: one line that can be printed, please")
    from production.cli import telling

    path = asking.database(given)
    with asking.catalogue(path, read_only=not given.yes) as catalogue:
        production = asking.production(catalogue, given)
        told = telling.plan(catalogue, production, verb, wanted)
        if given.yes:
            from production.catalogue import base

            ask = base.Ask(verb, argument, process.user(), given.why)
            told = telling.do(catalogue, production, told, ask, asking.patiently)
        if given.json:
            answers = _answers(catalogue, told.requests, wait) if wait is not None else {}
            _say_json(given, production, told, answers, telling.managers(catalogue, told))
            return _code(told, answers)
        _say(given, production, told, telling.lines(catalogue, production, told, verb, done=given.yes))
        return _code(told, _answers(catalogue, told.requests, wait, _tell) if wait is not None else {})


def _say(given: argparse.Namespace, production: runs.Production, told: telling.Told, lines: list[str]) -> None:
    shown = lines or [f"no run of {production.name} is meant by: {' '.join(given.filter)}"]
    if not given.yes and (told.done or told.asked):
        shown.append("nothing was changed; to do it: --yes")
    asking.say_folded(shown)


def _code(told: telling.Told, answers: Mapping[int, str]) -> int:
    """1: nothing was done, or something that was asked was not."""
    from production import request

    nothing = told.left and not told.done and not told.asked
    no = any(answer.startswith(request.NO) for answer in answers.values())
    return 1 if told.heirs_left or nothing or no else 0


def _say_json(
    given: argparse.Namespace,
    production: runs.Production,
    told: telling.Told,
    answers: Mapping[int, str],
    managers: Mapping[int, facts.AtWork],
) -> None:
    answer = {"production": production.name, "verb": given.verb, "dry_run": not given.yes, "done": told.done}
    asked = {str(managers.get(id_, f"manager {id_}")): numbers for id_, numbers in told.asked.items()}
    asking.say_json(
        answer
        | {
            "asked": asked,
            "jobs": told.jobs,
            "left": told.left,
            "missing": told.missing,
            "based": told.based,
            "answers": answers,
        }
    )


def _tell(run: int, answer: str) -> None:
    asking.say_folded([f"run {run}: {answer}"])


def _answers(
    catalogue: sqlite.Database, requests: Sequence[int], seconds: float, tell: Callable[[int, str], None] | None = None
) -> dict[int, str]:
    """{run: what its manager answered}, told as they come. Raises: ProductionError, if some haven't in time."""
    end, said = time.monotonic() + seconds, dict[int, tuple[int, str]]()
    while len(said) < len(requests):
        for id_, (run, answer) in sorted(catalogue.records.answers(requests).items()):
            if id_ not in said:
                said[id_] = run, answer
                if tell is not None:
                    tell(run, answer)
        if len(said) < len(requests) and time.monotonic() > end:
            missing = len(requests) - len(said)
            raise errors.ProductionError(
                f"{missing} not answered within {seconds:g} s; they are written down and will be; see production managers"
            )
        if len(said) < len(requests):
            time.sleep(POLL)
    return dict(said.values())
