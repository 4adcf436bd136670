"""Why a run is where it is: what is said by every layer that it meets. Pure: in comes what is known, out go lines.

The last line is what will be next: ``sequel``. The command ``production why`` gathers what is known.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterator

from production import facts, moment
from production import run as runs
from production.journal import count
from production.monitor import known as knowns
from production.monitor import sequel

State = runs.State

MANAGERS = 3
"""So many are named at most."""


@dataclasses.dataclass(frozen=True, slots=True)
class Line:
    """What one layer says."""

    layer: str
    text: str


def headline(known: knowns.Known) -> str:
    """What state it is in, since when, and the last word about it."""
    row = known.row
    attempt = f", attempt {row.attempt}" if row.attempt else ""
    why = f": {row.why}" if row.why else ""
    return f"run {row} of {known.production.name} is {row.state} for {known.ago(row.since)}{attempt}{why}"


def explain(known: knowns.Known) -> list[Line]:
    """The layers that say something, in the order in which a run meets them; the last line is what will be next."""
    lines = [line for layer in _LAYERS for line in layer(known)]
    return [*lines, Line("next", sequel.tell(known))]


def _request(known: knowns.Known) -> Iterator[Line]:
    for request in known.requests:
        if request.answered is None:
            why = f" ({request.why})" if request.why else ""
            yield Line(
                "request",
                f"{request.verb}, asked by {request.user} {known.ago(request.at)} ago{why}, is not answered yet",
            )


def _closed(known: knowns.Known) -> Iterator[Line]:
    if known.production.stop is not None and known.row.state is not State.FINISHED:
        by = f" by {known.opened.closed_by}" if known.opened.closed_by else ""
        why = f" ({known.opened.closed_why})" if known.opened.closed_why else ""
        yield Line(
            "production",
            f"{known.production.name} was closed{by}{why} {known.ago(known.production.stop)} ago: nothing more of it is claimed",
        )


def _stuck(known: knowns.Known) -> Iterator[Line]:
    """Held, or failed for good."""
    row = known.row
    if row.state is State.HELD:
        yield Line("hold", f"{row.asked_by} holds it" if row.asked_by else "its manager holds it: it wants a person")
    if row.state is State.FAILED and row.asked_by:
        yield Line("attempts", f"ended by {row.asked_by}")
    elif row.state is State.FAILED:
        # less than the limit, if a retry would have been in vain; more, if the limit was another
        of = f" of {known.limit}" if row.failures == known.limit else ""
        yield Line("attempts", f"{count(row.failures, 'failure')}{of}: not tried again")
    if row.state in (State.HELD, State.FAILED):
        last = known.attempts[-1] if known.attempts else None
        if last is not None and last.submitted and last.elog:
            yield Line("log", f"of attempt {last.attempt}: {last.elog}")


def _base(known: knowns.Known) -> Iterator[Line]:
    if known.base is None or not (known.row.state is State.WAITING or known.lacks_base):
        return
    production, row = known.base
    why = f": {row.why}" if row.why and row.state in (State.FAILED, State.HELD) else ""
    yield Line("base run", f"run {row} of {production.name} is {row.state} for {known.ago(row.since)}{why}")


def _back_off(known: knowns.Known) -> Iterator[Line]:
    row = known.row
    if row.state is State.NEW and row.not_before is not None and known.until(row.not_before) > 0:
        last = f"failure {row.failures} of {known.limit}" if row.failures else f"attempt {row.attempt} did not count"
        yield Line(
            "back-off",
            f"{last}; not tried again before {knowns.local(row.not_before)}, in {moment.span(known.until(row.not_before))}",
        )


def _claim(known: knowns.Known) -> Iterator[Line]:
    row, owner = known.row, known.owner
    if row.state in runs.IN_FLIGHT:
        who = f"{owner}, which {known.trouble(owner) or 'is at work'}" if owner else f"manager {row.owner}"
        yield Line("claim", who)
    if row.state is not State.NEW or known.closed:
        return
    if not known.living:
        idle = [f"; {manager} {known.trouble(manager)}" for manager in known.managers[:MANAGERS]]
        yield Line("claim", f"no manager is at work{''.join(idle)}")
        if not known.managers and known.last_words not in ("", "done", "stopped"):
            yield Line("brake", f"its last manager stopped: {known.last_words}")
    elif not known.takers:
        more = f"; and {len(known.living) - MANAGERS} more" if len(known.living) > MANAGERS else ""
        yield Line(
            "claim",
            f"no manager takes it: {'; '.join(f'{manager} takes {_chosen(manager)}' for manager in known.living[:MANAGERS])}{more}",
        )
    elif known.ahead or not known.counted:
        many = count(known.ahead) if known.counted else f"{known.ahead:,} runs and more"
        go = "goes" if known.counted and known.ahead == 1 else "go"
        yield Line("claim", f"{many} {go} before it, by priority (it has {row.priority}) and number")


def _brake(known: knowns.Known) -> Iterator[Line]:
    if known.row.state is State.NEW and not known.closed:
        for manager in known.takers:
            if manager.id in known.brakes:
                yield Line("brake", f"{manager} takes nothing more: {known.brakes[manager.id]}")


def _limits(known: knowns.Known) -> Iterator[Line]:
    """Places that are taken."""
    if known.row.state is State.NEW and not known.closed:
        for manager in [one for one in known.takers if one.id not in known.brakes][:MANAGERS]:
            has, most = known.whole(manager)
            yield Line("limits", f"{manager} has {has} of {count(most)} (nproc + nprep)")
    elif known.row.state is State.STAGED and known.owner is not None:
        has, most = known.jobs(known.owner)
        yield Line("limits", f"{known.owner} has {has} of {count(most, 'job')} (nproc)")


def _archive(known: knowns.Known) -> Iterator[Line]:
    if known.row.state is not State.CLAIMED:
        return
    for one in known.inputs:
        if one.come is None:
            yield Line("archive", f"{one.source}: {_far(known, one)}")
    if not known.inputs:
        yield Line("archive", "its input is not ordered yet: other files come first, or there is no room")


def _far(known: knowns.Known, one: facts.Input) -> str:
    """How far an input is that has not come."""
    if one.begun is None:
        return "it is not ordered yet: other files come first, or there is no room"
    if one.so_far:
        share = f"{100 * one.so_far // one.bytes} %" if one.bytes else f"{one.so_far:,} bytes"
        return f"{share} in {known.ago(one.begun)}"
    ordered = known.transfers.get(one.path, ())
    busy = sum(other.begun for other in ordered if other.path != one.path)
    if busy >= known.at_a_time and not any(mine.begun for mine in ordered if mine.path == one.path):
        return f"ordered {known.ago(one.begun)} ago; others come first, {known.at_a_time} at a time (archive.transfers)"
    if known.fetched_by:
        return f"{known.fetched_by} for {known.ago(one.begun)}"
    return f"no byte for {known.ago(one.begun)}{' (a tape?)' if known.tapes else ''}"


def _quota(known: knowns.Known) -> Iterator[Line]:
    hungry = known.row.state in (State.CLAIMED, State.STAGED) or (known.row.state is State.NEW and not known.closed)
    if known.quota and hungry:
        yield Line("quota", known.quota)


def _batch_system(known: knowns.Known) -> Iterator[Line]:
    row = known.row
    last = known.attempts[-1] if known.attempts else None
    if row.state is State.SUBMITTING:
        yield Line("batch system", "it has not told the job's number: the job is looked for by the submission's name")
    elif row.state is State.SUBMITTED and last is not None:
        since = f" for {known.ago(last.submitted)}" if last.submitted else ""
        seen = f"it was seen to run {known.ago(last.began)} ago" if last.began else ""
        said = known.job or seen or "nothing can be told of it from here"
        yield Line("batch system", f"job {last.job} of {last.batch}{since}: {said}")
        if known.end:
            yield Line(
                "batch system", f"{_too_long(known, last)}it is {last.user}'s, who alone can end it: {known.end}"
            )
    elif row.state is State.ENDED:
        if known.touch:
            told = f"its job, of {known.touch}, wrote files that {known.owner or 'its manager'} may not move"
        elif last is not None and last.elog and last.elog.startswith("sftp:"):  # as its log, they are there
            where = last.elog.split("/")[2]
            told = f"its job has ended; they are brought back from {where}, and looked at (how far: its manager's log)"
        else:
            told = "its job has ended; its outputs are looked at"
        yield Line("outputs", told)


def _too_long(known: knowns.Known, last: facts.Attempt) -> str:
    """Of a job that its manager would end if it could."""
    if known.may_take is None or last.submitted is None or -known.until(last.submitted) <= known.may_take:
        return ""
    return f"it takes longer than the {moment.span(known.may_take)} that it may; "


def _finished(known: knowns.Known) -> Iterator[Line]:
    if known.row.state is not State.FINISHED:
        return
    lost = known.lost
    for one in known.outputs:
        if one.deleted:
            yield Line("output", f"{one.name}: {one.path} was removed, which is recorded")
        elif one.recorded:
            yield Line("output", f"{one.name}: {one.path}{_unlike(known, one) if one in lost else ''}")


def _unlike(known: knowns.Known, one: facts.Written) -> str:
    now = known.files[one.path]
    return " is not there" if now is None else f" has {now:,} bytes, and was recorded with {one.bytes:,}"


_LAYERS = (
    _request, _closed, _stuck, _base, _back_off, _claim, _brake, _limits, _archive, _quota, _batch_system, _finished,
)  # fmt: skip


def _chosen(manager: facts.AtWork) -> str:
    datasets, tranches = json.loads(manager.datasets), json.loads(manager.tranches)
    words = [f"dataset {name}" for name in datasets] + [f"tranche {number}" for number in tranches]
    return f"only {', '.join(words)}" if words else "all"
