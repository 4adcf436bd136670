"""``production retry, hold, release, cancel, priority, reset``: tell runs what to do."""

from __future__ import annotations

import argparse
import dataclasses
import datetime
import functools
import itertools
import time
from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING

from production import clock, errors, journal, process
from production import filter as filters
from production import run as runs
from production.cli import asking, options

if TYPE_CHECKING:
    from production import facts
    from production.catalogue import base, sqlite

TOGETHER = 500
"""Runs that are moved in one transaction."""
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
        asking.add_filter(command)
        asking.add_production(command)
        command.add_argument("--why", metavar="TEXT", default="", help="for the history: why")
        command.add_argument("--yes", action="store_true", help="do it; else it is only said what would be done")
        command.add_argument(
            "--wait", metavar="S", help="wait so many seconds for the answers of managers that have runs of these"
        )
        asking.add_json(command)
        asking.add_where(command)
        command.set_defaults(command=_command, verb=verb)


@dataclasses.dataclass(slots=True)
class _Told:
    """What was done, or would be."""

    done: list[int] = dataclasses.field(default_factory=list)
    asked: dict[str, list[int]] = dataclasses.field(default_factory=dict)
    """{manager: runs it has}."""
    left: dict[str, list[int]] = dataclasses.field(default_factory=dict)
    """{why nothing is done: runs}."""
    requests: list[int] = dataclasses.field(default_factory=list)
    """Ids, of those that managers will answer."""
    resets: dict[int, int] = dataclasses.field(default_factory=dict)
    """{id: run}, of finished ones, which are written down, too: what is killed while outputs are on their way aside is gone on with."""

    def add(self, other: _Told) -> None:
        """What was done in one transaction more."""
        self.done += other.done
        self.requests += other.requests
        self.resets |= other.resets
        for ours, theirs in ((self.asked, other.asked), (self.left, other.left)):
            for key, numbers in theirs.items():
                ours.setdefault(key, []).extend(numbers)


def _command(given: argparse.Namespace) -> int:
    from production import request

    verb = request.Verb(given.verb)
    argument = str(request.priority(given.number)) if verb is request.Verb.PRIORITY else None
    wait = asking.seconds(given.wait, "--wait")
    wanted = filters.parse(given.filter)
    if wanted == filters.EVERYTHING:
        raise errors.UsageError(f"which runs? e.g. production {verb} 2091 2095-2103, or state:failed; all: 0-999999999")
    if not given.why.isprintable():
        raise errors.UsageError("--why: one line that can be printed, please")
    path, now = asking.database(given), clock.SystemClock().now()
    with asking.catalogue(path, read_only=not given.yes) as catalogue:
        production = asking.production(catalogue, given)
        rows = catalogue.records.select(production.id, wanted, now)
        if not given.yes:
            told = _plan(verb, rows)
        else:
            from production.catalogue import base

            ask = base.Ask(verb, argument, process.user(), given.why)
            told = _Told()
            for some in _batches([row.run for row in rows]):
                told.add(asking.patiently(functools.partial(_carry_out, catalogue, production, some, ask)))
                asking.patiently(lambda: request.settle_open(catalogue, production.id, clock.SystemClock().now()))
            _tell_resets(catalogue, told)
        _say(given, production, told, verb)
        if wait is not None and told.requests:
            return _wait(catalogue, told.requests, wait)
    return 0 if told.done or told.asked or not told.left else 1


def _plan(verb: str, rows: Iterable[facts.Row]) -> _Told:
    from production import request

    told = _Told()
    for row in rows:
        if no := request.refusal(request.Verb(verb), row.state, row.attempt):
            told.left.setdefault(no, []).append(row.run)
        elif row.owner is not None and verb != request.Verb.PRIORITY:
            told.asked.setdefault(row.manager or "?", []).append(row.run)
        else:
            told.done.append(row.run)
    return told


def _batches(numbers: Sequence[int]) -> Iterator[Sequence[int]]:
    left = iter(numbers)
    while batch := list(itertools.islice(left, TOGETHER)):
        yield batch


def _carry_out(catalogue: sqlite.Database, production: runs.Production, numbers: Sequence[int], ask: base.Ask) -> _Told:
    """Some runs, in one transaction; what was asked of their managers is written down."""
    from production import request

    told = _Told()
    now = clock.SystemClock().now()
    managers = {one.id: str(one) for one in catalogue.records.managers()}
    with catalogue.write() as change:
        for number in numbers:
            run = change.run(production.id, number)
            assert run is not None  # runs of a production are never deleted
            no = request.refusal(request.Verb(ask.verb), run.state, run.attempt)
            if not no and run.owner is not None and ask.verb != request.Verb.PRIORITY:
                told.requests.append(change.ask(run, ask, now))
                told.asked.setdefault(managers.get(run.owner, f"manager {run.owner}"), []).append(number)
                continue
            if no:
                told.left.setdefault(no, []).append(number)
            elif run.state is runs.State.FINISHED:
                told.resets[change.ask(run, ask, now)] = number
            else:
                _settle(change, run, ask, now)
                told.done.append(number)
    return told


def _settle(change: base.Change, run: runs.Run, ask: base.Ask, now: datetime.datetime) -> None:
    """What moves nothing is written down nevertheless, for the history."""
    from production import request
    from production.catalogue import base

    answer = request.settle(change, run, ask, now)
    if ask.verb == request.Verb.PRIORITY:
        change.answer(base.Asked(change.ask(run, ask, now), run.production, run.run, run.owner, ask), answer, now)


def _tell_resets(catalogue: sqlite.Database, told: _Told) -> None:
    """How it went with the finished ones."""
    from production import request

    answers = catalogue.records.answers(told.resets)
    for id_, number in told.resets.items():
        _, answer = answers.get(id_, (number, f"{request.NO}it is written down, behind what was asked before"))
        if answer.startswith(request.NO):
            told.left.setdefault(answer.removeprefix(request.NO), []).append(number)
        else:
            told.done.append(number)
    told.done.sort()


def _say(given: argparse.Namespace, production: runs.Production, told: _Told, verb: str) -> None:
    from production import request

    if given.json:
        asking.say_json(
            {
                "production": production.name,
                "verb": verb,
                "dry_run": not given.yes,
                "done": told.done,
                "asked": told.asked,
                "left": told.left,
            }
        )
        return
    done = request.PAST[request.Verb(verb)] if given.yes else f"would be {request.PAST[request.Verb(verb)]}"
    lines = [f"{done}: {_runs(told.done)}"] if told.done else []
    for manager, numbers in told.asked.items():
        asked = "asked" if given.yes else "would be asked"
        lines.append(f"{asked}: {manager}, which has {_runs(numbers)}: its next cycle does it")
    lines += [f"left as they are: {_runs(numbers)}: {why}" for why, numbers in told.left.items()]
    lines = lines or [f"no run of {production.name} is meant by: {' '.join(given.filter)}"]
    if not given.yes and (told.done or told.asked):
        lines.append("nothing was changed; to do it: --yes")
    if production.stop and told.done and verb in (request.Verb.RETRY, request.Verb.RELEASE):
        lines.append(f"{production.name} is closed: nothing of it is taken until: production close --undo --yes")
    asking.say_folded(lines)


def _runs(numbers: Sequence[int]) -> str:
    return f"{journal.count(len(numbers))} ({filters.ranges(numbers)})"


def _wait(catalogue: sqlite.Database, requests: Sequence[int], seconds: float) -> int:
    """Until managers have answered, and say what; 1 if some have not, or said no."""
    from production import request

    end, said = time.monotonic() + seconds, set[int]()
    refused = False
    while len(said) < len(requests):
        for id_, (run, answer) in sorted(catalogue.records.answers(requests).items()):
            if id_ not in said:
                said.add(id_)
                refused = refused or answer.startswith(request.NO)
                asking.say_folded([f"run {run}: {answer}"])
        if len(said) < len(requests) and time.monotonic() > end:
            missing = len(requests) - len(said)
            raise errors.ProductionError(
                f"{missing} not answered within {seconds:g} s; they are written down and will be; see production managers"
            )
        if len(said) < len(requests):
            time.sleep(POLL)
    return 1 if refused else 0
