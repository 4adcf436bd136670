"""``production retry, hold, release, cancel, priority, reset``: tell runs what to do."""

from __future__ import annotations

import argparse
import dataclasses
import datetime
import functools
import itertools
import time
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

from production import clock, errors, journal, process
from production import filter as filters
from production import run as runs
from production.cli import asking, heirs, options

if TYPE_CHECKING:
    from production import facts
    from production.catalogue import base, sqlite

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


@dataclasses.dataclass(slots=True)
class _Told:
    """What was done, or would be."""

    done: list[int] = dataclasses.field(default_factory=list)
    asked: dict[int, list[int]] = dataclasses.field(default_factory=dict)
    """{id of a manager: runs it has}."""
    left: dict[str, list[int]] = dataclasses.field(default_factory=dict)
    """{why nothing is done: runs}."""
    requests: list[int] = dataclasses.field(default_factory=list)
    """Ids, of those that managers will answer."""
    resets: dict[int, int] = dataclasses.field(default_factory=dict)
    """{id: run}, of finished ones, which are written down, too: what is killed while outputs are on their way aside is gone on with."""

    based: dict[str, dict[runs.State, int]] = dataclasses.field(default_factory=dict)
    """{production based on this one: {state: runs}}, that wait again after a reset."""
    heirs_left: list[tuple[str, str]] = dataclasses.field(default_factory=list)
    """Of those (which run of which production, why nothing is done)."""

    missing: list[tuple[int, int]] = dataclasses.field(default_factory=list)
    """Runs that were named, and are not in the production, as ranges."""

    def reached(self) -> Iterator[int]:
        """Runs that it is done to, by us or by their managers."""
        return itertools.chain(self.done, *self.asked.values())

    def add(self, other: _Told) -> None:
        """What was done in one transaction more."""
        self.done += other.done
        self.requests += other.requests
        self.resets |= other.resets
        self.heirs_left += other.heirs_left
        for manager, numbers in other.asked.items():
            self.asked.setdefault(manager, []).extend(numbers)
        for why, numbers in other.left.items():
            self.left.setdefault(why, []).extend(numbers)


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
    path, now = asking.database(given), clock.SystemClock().now()
    with asking.catalogue(path, read_only=not given.yes) as catalogue:
        production = asking.production(catalogue, given)
        # not a list of rows: a million would not fit into the memory
        told = _plan(verb, catalogue.records.select(production.id, wanted, now))
        numbers = sorted(itertools.chain(told.reached(), *told.left.values()))
        if verb is request.Verb.RESET:
            told.based = catalogue.records.based(production.id, told.reached())
        if given.yes:
            from production.catalogue import base

            told = _do(catalogue, production, told, numbers, base.Ask(verb, argument, process.user(), given.why))
        told.missing = _missing(catalogue, production, wanted, numbers)
        managers = _managers(catalogue, told)
        if given.json:
            answers = _answers(catalogue, told.requests, wait) if wait is not None else {}
            _say_json(given, production, told, answers, managers)
            return _code(told, answers)
        _say(given, production, told, managers, heirs.closed(catalogue) if told.based else frozenset())
        return _code(told, _answers(catalogue, told.requests, wait, _tell) if wait is not None else {})


def _code(told: _Told, answers: Mapping[int, str]) -> int:
    """1: nothing was done, or something that was asked was not."""
    from production import request

    nothing = told.left and not told.done and not told.asked
    no = any(answer.startswith(request.NO) for answer in answers.values())
    return 1 if told.heirs_left or nothing or no else 0


def _plan(verb: str, rows: Iterable[facts.Row]) -> _Told:
    from production import request

    told = _Told()
    for row in rows:
        if no := request.refusal(request.Verb(verb), row.state, row.attempt):
            told.left.setdefault(no, []).append(row.run)
        elif row.owner is not None and verb != request.Verb.PRIORITY:
            told.asked.setdefault(row.owner, []).append(row.run)
        else:
            told.done.append(row.run)
    return told


def _do(
    catalogue: sqlite.Database, production: runs.Production, planned: _Told, numbers: Sequence[int], ask: base.Ask
) -> _Told:
    """As it was planned, many runs at a time."""
    from production import request

    names = {one.id: one.name for one in catalogue.productions()}
    told = _Told()
    for some in _batches(numbers):
        told.add(asking.patiently(functools.partial(_carry_out, catalogue, production, some, ask)))
        settled = asking.patiently(lambda: request.settle_open(catalogue, production.id, clock.SystemClock().now()))
        told.heirs_left += [
            (f"run {asked.run} of {names.get(asked.production, asked.production)}", answer.removeprefix(request.NO))
            for asked, answer in settled
            if asked.production != production.id and answer.startswith(request.NO)
        ]
    _tell_resets(catalogue, told)
    if ask.verb == request.Verb.RESET:
        missed = set(planned.reached()) - set(told.reached())
        told.based = heirs.without(planned.based, catalogue.records.based(production.id, missed))
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
    with catalogue.write() as change:
        for number in numbers:
            run = change.run(production.id, number)
            assert run is not None  # runs of a production are never deleted
            no = request.refusal(request.Verb(ask.verb), run.state, run.attempt)
            if not no and run.owner is not None and ask.verb != request.Verb.PRIORITY:
                told.requests.append(change.ask(run, ask, now))
                told.asked.setdefault(run.owner, []).append(number)
                continue
            if no:
                told.left.setdefault(no, []).append(number)
            elif ask.verb == request.Verb.RESET and run.attempt:
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


def _missing(
    catalogue: sqlite.Database, production: runs.Production, wanted: filters.Filter, numbers: Sequence[int]
) -> list[tuple[int, int]]:
    """Runs that were named one by one or by a range, and that the production hasn't."""
    named = filters.Filter(runs=wanted.runs)
    if wanted == named:
        return filters.missing(wanted.runs, numbers)
    there = catalogue.records.select(production.id, named, clock.SystemClock().now())
    return filters.missing(wanted.runs, (row.run for row in there))


def _say_json(
    given: argparse.Namespace,
    production: runs.Production,
    told: _Told,
    answers: Mapping[int, str],
    managers: Mapping[int, facts.AtWork],
) -> None:
    answer = {"production": production.name, "verb": given.verb, "dry_run": not given.yes, "done": told.done}
    asked = {str(managers.get(id_, f"manager {id_}")): numbers for id_, numbers in told.asked.items()}
    asking.say_json(
        answer | {"asked": asked, "left": told.left, "missing": told.missing, "based": told.based, "answers": answers}
    )


def _managers(catalogue: sqlite.Database, told: _Told) -> dict[int, facts.AtWork]:
    """Who may be asked; those that have left, too, as they may still have runs."""
    there = catalogue.records.managers(everybody=True, number=MANAGERS) if told.asked else []
    return {one.id: one for one in there}


def _say(
    given: argparse.Namespace,
    production: runs.Production,
    told: _Told,
    managers: Mapping[int, facts.AtWork],
    closed: Collection[str],
) -> None:
    from production import request

    verb = given.verb
    done = request.PAST[request.Verb(verb)] if given.yes else f"would be {request.PAST[request.Verb(verb)]}"
    lines = [f"{done}: {_runs(told.done)}"] if told.done else []
    lines += [_asked(given, production, managers, id_, numbers) for id_, numbers in told.asked.items()]
    lines += heirs.lines(told.based, closed)
    lines += [f"left as they are: {_runs(numbers)}: {why}" for why, numbers in told.left.items()]
    if told.missing and lines:
        number = sum(last - first + 1 for first, last in told.missing)
        lines.append(f"not in {production.name}: {journal.count(number)} ({filters.spans(told.missing)})")
    lines += [f"left as it is: {run}: {why}" for run, why in told.heirs_left]
    lines = lines or [f"no run of {production.name} is meant by: {' '.join(given.filter)}"]
    if not given.yes and (told.done or told.asked):
        lines.append("nothing was changed; to do it: --yes")
    if production.stop and told.done and verb in (request.Verb.RETRY, request.Verb.RELEASE):
        undo = f"production close --undo --production={production.name} --yes"
        lines.append(f"{production.name} is closed: nothing of it is taken until: {undo}")
    asking.say_folded(lines)


def _asked(
    given: argparse.Namespace,
    production: runs.Production,
    managers: Mapping[int, facts.AtWork],
    id_: int,
    numbers: Sequence[int],
) -> str:
    """Who will do it."""
    from production.monitor import holders

    would, manager = "" if given.yes else "would be ", managers.get(id_)
    if manager is None or holders.alive(manager) is not False:
        return f"{would}asked: {manager or f'manager {id_}'}, which has {_runs(numbers)}: its next cycle does it"
    gone = f"{would}written down: {manager}, which is gone, has {_runs(numbers)}"
    for heir in managers.values():
        # one of the same batch system: only that can take over jobs
        alike = (heir.production, heir.batch) == (manager.production, manager.batch)
        if alike and holders.alive(heir) is not False:
            return f"{gone}: {heir} takes over, and does it"
    start = f"run_production --production={production.program} --version={production.version} --batch={manager.batch}"
    return f"{gone}: the next manager does it: {start}"


def _runs(numbers: Sequence[int]) -> str:
    return f"{journal.count(len(numbers))} ({filters.ranges(numbers)})"


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
