"""Why a run is where it is, and what will happen next: one line a layer. Pure: in comes what is known, out go lines.

The command ``production why`` gathers what is known; so will the dashboard.
"""

from __future__ import annotations

import dataclasses
import datetime
import json
from collections.abc import Iterator, Sequence

from production import facts, moment
from production import run as runs
from production.journal import count

State = runs.State


@dataclasses.dataclass(frozen=True, slots=True)
class Known:
    """All that is known of a run and of what it depends on. What nobody could tell is None or empty."""

    now: datetime.datetime
    production: runs.Production
    opened: facts.Opened
    row: facts.Row
    attempts: Sequence[facts.Attempt]
    inputs: Sequence[facts.Input]
    requests: Sequence[facts.Request]
    outputs: Sequence[facts.Written]
    managers: Sequence[facts.AtWork]
    """Those of its production that have not left."""
    dead: frozenset[int]
    """Ids of those that are seen dead from here."""
    in_hand: dict[int, dict[State, int]]
    """{manager: runs it has in each state}."""
    lease: float
    """Seconds."""
    limit: int
    """Failures after which a run is not tried again."""
    base: tuple[runs.Production, facts.Row] | None = None
    """Its base run."""
    ahead: int | None = None
    """New runs that go before it."""
    last_words: str = ""
    """Of the last manager that has left."""
    datasets: frozenset[tuple[str, int | None]] = frozenset()
    """(dataset, tranche) that the run is in."""
    room: str = ""
    """What the quota says; ``full`` if it says no."""
    full: bool = False
    job: str = ""
    """What the batch system says of its job."""
    touch: str = ""
    """Whose files its job wrote, if they are not to be moved by its manager's user."""


@dataclasses.dataclass(frozen=True, slots=True)
class Line:
    """What one layer says."""

    layer: str
    text: str


def headline(known: Known) -> str:
    """What state it is in, since when, and the last word about it."""
    row = known.row
    attempt = f", attempt {row.attempt}" if row.attempt else ""
    why = f": {row.why}" if row.why else ""
    return f"run {row} of {known.production.name} is {row.state} for {_ago(known, row.since)}{attempt}{why}"


def explain(known: Known) -> list[Line]:
    """The layers that say something, in the order in which a run meets them; the last line is what will be next."""
    lines = [line for layer in _LAYERS for line in layer(known)]
    return [*lines, Line("next", _next(known))]


def _request(known: Known) -> Iterator[Line]:
    for request in known.requests:
        if request.answered is None:
            why = f" ({request.why})" if request.why else ""
            yield Line(
                "request",
                f"{request.verb}, asked by {request.user}{why} {_ago(known, request.at)} ago, is not answered: {_answers(known)}",
            )


def _answers(known: Known) -> str:
    owner = _owner(known)
    if owner is None:
        return "the next manager or request does it"
    if owner.id in known.dead:
        return f"its manager {owner} is dead; the next one does it"
    return (
        f"{owner} does it in its next cycle"
        if not _silent(known, owner)
        else f"{owner} is silent; done when its lease lapses"
    )


def _closed(known: Known) -> Iterator[Line]:
    if known.production.stop is not None and known.row.state is not State.FINISHED:
        by = f" by {known.opened.closed_by}" if known.opened.closed_by else ""
        why = f" ({known.opened.closed_why})" if known.opened.closed_why else ""
        yield Line(
            "production",
            f"{known.production.name} is closed{by}{why} for {_ago(known, known.production.stop)}: nothing more of it is claimed",
        )


def _hold(known: Known) -> Iterator[Line]:
    row = known.row
    if row.state is State.HELD:
        who = f"by {row.asked_by}" if row.asked_by else "by its manager"
        yield Line("hold", f"held {who} for {_ago(known, row.since)}; it wants a human")
    if row.state is State.FAILED:
        if row.asked_by:
            yield Line("attempts", f"ended by {row.asked_by}")
        else:
            yield Line("attempts", f"{count(row.failures, 'failure')} of {known.limit}: not tried again")
        last = next((attempt for attempt in reversed(known.attempts) if attempt.elog), None)
        if last is not None:
            yield Line("log", f"of attempt {last.attempt}: {last.elog}")


def _base(known: Known) -> Iterator[Line]:
    if known.base is None or known.row.state is not State.WAITING:
        return
    production, row = known.base
    why = f": {row.why}" if row.why and row.state in (State.FAILED, State.HELD) else ""
    yield Line("base run", f"run {row} of {production.name} is {row.state} for {_ago(known, row.since)}{why}")


def _back_off(known: Known) -> Iterator[Line]:
    row = known.row
    if row.state is State.NEW and row.not_before is not None and _left(known, row.not_before) > 0:
        last = f"failure {row.failures} of {known.limit}" if row.failures else f"attempt {row.attempt} did not count"
        yield Line(
            "back-off",
            f"{last}; tried again in {moment.span(_left(known, row.not_before))}, at {moment.shown(row.not_before)}",
        )


def _claim(known: Known) -> Iterator[Line]:
    row = known.row
    if row.state in runs.IN_FLIGHT:
        owner = _owner(known)
        yield Line(
            "claim", f"{owner}, {_alive(known, owner)}" if owner else f"manager {row.owner}, of which nothing is known"
        )
    if row.state is not State.NEW:
        return
    takers = [manager for manager in _living(known) if _takes(known, manager)]
    if not _living(known):
        dead = [manager for manager in known.managers if manager.id in known.dead]
        yield Line("claim", "no manager is at work" + (f"; {dead[0]} is dead" if dead else ""))
    elif not takers:
        yield Line(
            "claim",
            f"no manager takes it: {'; '.join(f'{manager} takes {_chosen(manager)}' for manager in _living(known))}",
        )
    elif known.ahead:
        yield Line(
            "claim", f"{count(known.ahead)} go before it, by priority and number; it has priority {row.priority}"
        )
    if not _living(known) and known.last_words not in ("", "done", "stopped"):
        yield Line("brake", f"its last manager stopped: {known.last_words}")


def _limits(known: Known) -> Iterator[Line]:
    """Places that are taken."""
    if known.row.state is State.NEW:
        takers = [manager for manager in _living(known) if _takes(known, manager)]
    elif known.row.state in (State.CLAIMED, State.STAGED):
        takers = [manager for manager in known.managers if manager.id == known.row.owner]
    else:
        return
    for manager in takers:
        hands = known.in_hand.get(manager.id, {})
        jobs, whole = hands.get(State.SUBMITTING, 0) + hands.get(State.SUBMITTED, 0), sum(hands.values())
        if known.row.state is State.NEW:
            yield Line(
                "limits", f"{manager} has {whole} of {(manager.nproc or 0) + (manager.nprep or 0)} runs (nproc + nprep)"
            )
        else:
            yield Line("limits", f"{manager} has {jobs} of {manager.nproc} jobs (nproc)")


def _archive(known: Known) -> Iterator[Line]:
    if known.row.state is not State.CLAIMED:
        return
    for one in known.inputs:
        if one.come is not None:
            continue
        if one.begun is None:
            yield Line("archive", f"{one.source} is not ordered yet: other files come first, or there is no room")
        elif not one.so_far:
            yield Line("archive", f"{one.source}: no byte for {_ago(known, one.begun)} (a tape?)")
        else:
            share = f"{100 * one.so_far // one.bytes} %" if one.bytes else f"{one.so_far:,} bytes"
            yield Line("archive", f"{one.source}: {share} in {_ago(known, one.begun)}")
    if not known.inputs:
        yield Line("archive", "its input is not ordered yet: other files come first, or there is no room")


def _quota(known: Known) -> Iterator[Line]:
    if known.room and known.row.state in (State.NEW, State.CLAIMED, State.STAGED):
        yield Line("quota", known.room)


def _batch_system(known: Known) -> Iterator[Line]:
    row = known.row
    last = known.attempts[-1] if known.attempts else None
    if row.state is State.SUBMITTING:
        yield Line("batch system", "it has not told the job's number: the job is looked for by the submission's name")
    elif row.state is State.SUBMITTED and last is not None:
        since = f" for {_ago(known, last.submitted)}" if last.submitted else ""
        yield Line(
            "batch system",
            f"job {last.job} of {last.batch}{since}: {known.job or 'nothing can be told of it from here'}",
        )
    elif row.state is State.ENDED:
        told = (
            f"{known.touch} has to start a manager: its job wrote files that {_owner(known) or 'its manager'} may not move"
            if known.touch
            else "its job has ended; its outputs are looked at"
        )
        yield Line("outputs", told)


def _finished(known: Known) -> Iterator[Line]:
    if known.row.state is State.FINISHED:
        for one in known.outputs:
            if one.recorded and not one.deleted:
                yield Line("output", f"{one.name}: {one.path}")


_LAYERS = (_request, _closed, _hold, _base, _back_off, _claim, _limits, _archive, _quota, _batch_system, _finished)


def _next(known: Known) -> str:
    row = known.row
    if any(request.answered is None for request in known.requests):
        return "what was asked, as soon as it is answered"
    if known.production.stop is not None and row.state not in (*runs.IN_FLIGHT, State.FINISHED):
        return f"nothing; to open it again: production close --undo --production={known.production.name}"
    if row.state in runs.IN_FLIGHT:
        return _next_in_hand(known)
    if row.state is State.NEW:
        return _next_claim(known)
    if row.state is State.WAITING:
        return _next_waiting(known)
    return {
        State.HELD: "nothing until somebody releases it: production release",
        State.FAILED: "nothing until somebody wants it tried again: production retry",
        State.FINISHED: "nothing; it is done. To do it again: production reset",
    }[row.state] + f" --production={known.production.name} {row.run}"


def _next_waiting(known: Known) -> str:
    if known.base is None:
        return "nothing: its base run is not there"
    production, base = known.base
    if base.state is State.FAILED:
        return f"nothing until its base run is tried again: production retry --production={production.name} {base.run}"
    if base.state is State.HELD:
        return f"nothing until its base run is released: production release --production={production.name} {base.run}"
    return (
        f"it is new when its base run is finished; about that: production why --production={production.name} {base.run}"
    )


def _next_claim(known: Known) -> str:
    row, living = known.row, _living(known)
    start = f"run_production --production={known.production.program} --version={known.production.version}"
    if not living:
        return f"nothing until somebody starts a manager: {start}"
    if not any(_takes(known, manager) for manager in living):
        return f"nothing until a manager takes its dataset: {start}"
    if row.not_before is not None and _left(known, row.not_before) > 0:
        return f"claimed in {moment.span(_left(known, row.not_before))} or later, when there is a place"
    if known.full:
        return "claimed when there is room"
    return "claimed when there is a place" if known.ahead else "claimed in a manager's next cycle, if there is a place"


def _next_in_hand(known: Known) -> str:
    owner = _owner(known)
    if owner is not None and owner.id in known.dead:
        return "the next manager of this production takes over"
    if owner is not None and _silent(known, owner):
        lapses = known.lease - moment.since(owner.beat, known.now)
        when = f"in {moment.span(lapses)}" if lapses > 0 else "soon"
        return f"if {owner} stays silent, another manager takes over {when}"
    return {
        State.CLAIMED: "staged when its input is here",
        State.STAGED: "submitted when there is room, and a place among its manager's jobs",
        State.SUBMITTING: "submitted when its job is found, or new again when it is certain that there is none",
        State.SUBMITTED: "ended when its job is seen gone",
        State.ENDED: f"finished when {known.touch} has a manager at work"
        if known.touch
        else "finished when its outputs are in place",
    }[known.row.state]


def _owner(known: Known) -> facts.AtWork | None:
    return next((manager for manager in known.managers if manager.id == known.row.owner), None)


def _living(known: Known) -> list[facts.AtWork]:
    return [manager for manager in known.managers if manager.id not in known.dead and not _silent(known, manager)]


def _silent(known: Known, manager: facts.AtWork) -> bool:
    return manager.silent(known.now, known.lease / 2)


def _alive(known: Known, manager: facts.AtWork) -> str:
    if manager.id in known.dead:
        return "which is dead"
    return f"silent for {_ago(known, manager.beat)}" if _silent(known, manager) else "at work"


def _takes(known: Known, manager: facts.AtWork) -> bool:
    """Whether the run is among those that the manager was started for."""
    datasets, tranches = json.loads(manager.datasets), json.loads(manager.tranches)
    if not datasets and not tranches:
        return True
    return any(
        (not datasets or name in datasets) and (not tranches or part in tranches) for name, part in known.datasets
    )


def _chosen(manager: facts.AtWork) -> str:
    datasets, tranches = json.loads(manager.datasets), json.loads(manager.tranches)
    words = [f"dataset {name}" for name in datasets] + [f"tranche {number}" for number in tranches]
    return f"only {', '.join(words)}" if words else "all"


def _ago(known: Known, instant: str) -> str:
    return moment.age(instant, known.now)


def _left(known: Known, instant: str) -> float:
    """Seconds until then."""
    return -moment.since(instant, known.now)
