"""What is asked of runs, from the words of a person to the rows of the database: what would be done, then the deed.

For the commands and for the dashboard. What is planned and what was done have one form, and are told in the same words.
"""

from __future__ import annotations

import dataclasses
import datetime
import functools
import itertools
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from production import clock, journal
from production import filter as filters
from production import run as runs
from production.cli import heirs

if TYPE_CHECKING:
    from production import facts
    from production.catalogue import base, library

_HAS_A_JOB = (runs.State.SUBMITTING, runs.State.SUBMITTED)

TOGETHER = 500
"""Runs that are moved in one transaction."""
MANAGERS = 10_000
"""The newest, among which who has a run is looked for."""


@dataclasses.dataclass(slots=True)
class Told:
    """What was done, or would be."""

    done: list[int] = dataclasses.field(default_factory=list)
    asked: dict[int, list[int]] = dataclasses.field(default_factory=dict)
    """{id of a manager: runs it has}."""
    jobs: list[int] = dataclasses.field(default_factory=list)
    """Runs of those whose jobs end by it."""
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

    def every(self) -> list[int]:
        """All runs that were meant, by number."""
        return sorted(itertools.chain(self.reached(), *self.left.values()))

    def add(self, other: Told) -> None:
        """What was done in one transaction more."""
        self.done += other.done
        self.jobs += other.jobs
        self.requests += other.requests
        self.resets |= other.resets
        self.heirs_left += other.heirs_left
        for manager, numbers in other.asked.items():
            self.asked.setdefault(manager, []).extend(numbers)
        for why, numbers in other.left.items():
            self.left.setdefault(why, []).extend(numbers)


def plan(catalogue: library.Library, production: runs.Production, verb: str, wanted: filters.Filter) -> Told:
    """What would be done to the runs that a filter means. Not a list of rows: a million would not fit into the memory."""
    from production import request

    told = Told()
    for row in catalogue.records.select(production.id, wanted, clock.SystemClock().now()):
        if no := request.refusal(request.Verb(verb), row.state, row.attempt):
            told.left.setdefault(no, []).append(row.run)
        elif row.owner is not None and verb != request.Verb.PRIORITY:
            told.asked.setdefault(row.owner, []).append(row.run)
            told.jobs += [row.run] if verb in request.ENDS and row.state in _HAS_A_JOB else []
        else:
            told.done.append(row.run)
    if verb == request.Verb.RESET:
        told.based = catalogue.records.based(production.id, told.reached())
    told.missing = _missing(catalogue, production, wanted, told.every())
    return told


def do(
    catalogue: library.Library,
    production: runs.Production,
    planned: Told,
    ask: base.Ask,
    patiently: Callable[[Callable[[], Any]], Any],
) -> Told:
    """As it was planned, many runs at a time; ``patiently`` waits for the lock."""
    from production import request

    names = {one.id: one.name for one in catalogue.productions()}
    told = Told(missing=planned.missing)
    for some in _batches(planned.every()):
        told.add(patiently(functools.partial(_carry_out, catalogue, production, some, ask)))
        settled = patiently(lambda: request.settle_open(catalogue, production.id, clock.SystemClock().now()))
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


def _carry_out(catalogue: library.Library, production: runs.Production, numbers: Sequence[int], ask: base.Ask) -> Told:
    """Some runs, in one transaction; what was asked of their managers is written down."""
    from production import request

    told = Told()
    now = clock.SystemClock().now()
    with catalogue.write() as change:
        for number in numbers:
            run = change.run(production.id, number)
            assert run is not None  # runs of a production are never deleted
            no = request.refusal(request.Verb(ask.verb), run.state, run.attempt)
            if not no and run.owner is not None and ask.verb != request.Verb.PRIORITY:
                told.requests.append(change.ask(run, ask, now))
                told.asked.setdefault(run.owner, []).append(number)
                told.jobs += [number] if ask.verb in request.ENDS and run.state in _HAS_A_JOB else []
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


def _tell_resets(catalogue: library.Library, told: Told) -> None:
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
    catalogue: library.Library, production: runs.Production, wanted: filters.Filter, numbers: Sequence[int]
) -> list[tuple[int, int]]:
    """Runs that were named one by one or by a range, and that the production hasn't."""
    named = filters.Filter(runs=wanted.runs)
    if wanted == named:
        return filters.missing(wanted.runs, numbers)
    there = catalogue.records.select(production.id, named, clock.SystemClock().now())
    return filters.missing(wanted.runs, (row.run for row in there))


def managers(catalogue: library.Library, told: Told) -> dict[int, facts.AtWork]:
    """Who may be asked; those that have left, too, as they may still have runs."""
    there = catalogue.records.managers(everybody=True, number=MANAGERS) if told.asked else []
    return {one.id: one for one in there}


def lines(catalogue: library.Library, production: runs.Production, told: Told, verb: str, *, done: bool) -> list[str]:
    """What was done, or would be; nothing if no run was meant."""
    from production import request

    past, there = request.PAST[request.Verb(verb)], managers(catalogue, told)
    said = [f"{past if done else f'would be {past}'}: {_runs(told.done)}"] if told.done else []
    said += [_asked(production, there, id_, numbers, done=done) for id_, numbers in told.asked.items()]
    said += [f"{'ends' if done else 'would end'} the {_jobs(told.jobs)}"] if told.jobs else []
    said += heirs.lines(told.based, heirs.closed(catalogue)) if told.based else []
    said += [f"left as they are: {_runs(numbers)}: {why}" for why, numbers in told.left.items()]
    if told.missing and said:
        number = sum(last - first + 1 for first, last in told.missing)
        said.append(f"not in {production.name}: {journal.count(number)} ({filters.spans(told.missing)})")
    said += [f"left as it is: {run}: {why}" for run, why in told.heirs_left]
    if production.stop and told.done and verb in (request.Verb.RETRY, request.Verb.RELEASE):
        undo = f"production close --undo --production={production.name} --yes"
        said.append(f"{production.name} is closed: nothing of it is taken until: {undo}")
    return said


def _asked(
    production: runs.Production,
    managers: Mapping[int, facts.AtWork],
    id_: int,
    numbers: Sequence[int],
    *,
    done: bool,
) -> str:
    """Who will do it."""
    from production.monitor import holders

    would, manager = "" if done else "would be ", managers.get(id_)
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


def _jobs(numbers: Sequence[int]) -> str:
    which = "job of run" if len(numbers) == 1 else f"{len(numbers):,} jobs of runs"
    return f"{which} {filters.ranges(numbers)}"


def _runs(numbers: Sequence[int]) -> str:
    return f"{journal.count(len(numbers))} ({filters.ranges(numbers)})"
