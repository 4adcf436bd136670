"""What will happen next to a run, and what somebody has to do first if nothing will. Pure; see ``why``."""

from __future__ import annotations

from production import facts, moment
from production import run as runs
from production.monitor import known as knowns

State = runs.State


def tell(known: knowns.Known) -> str:
    """In one line: true whatever the reader does, and with the command if something is to be done."""
    row = known.row
    if row.state in runs.IN_FLIGHT:
        return _in_hand(known)
    if any(request.answered is None for request in known.requests):
        return f"{_open(known)} is answered {_by_the_next(known)}"
    if known.closed and row.state is not State.FINISHED:
        return f"nothing; to open it again: production close --undo --production={known.production.name} --yes"
    return {
        State.NEW: _new,
        State.WAITING: _waiting,
        State.HELD: _held,
        State.FAILED: _failed,
        State.FINISHED: _finished,
    }[row.state](known)


def _open(known: knowns.Known) -> str:
    """What is asked and not answered, the last first."""
    return next((request.verb for request in reversed(known.requests) if request.answered is None), "")


def _by_the_next(known: knowns.Known) -> str:
    if known.living:
        return f"by {known.living[0]} in its next cycle"
    return f"when somebody starts a manager: {_start(known)}"


def _start(known: knowns.Known) -> str:
    return f"run_production --production={known.production.program} --version={known.production.version}"


def _command(known: knowns.Known, verb: str) -> str:
    return f"production {verb} --production={known.production.name} {known.row.run}"


# ── nobody has it ───────────────────────────────────────────────────────────────────────────────────────────────────


def _held(known: knowns.Known) -> str:
    if known.row.asked_by:
        return f"nothing until somebody releases it: {_command(known, 'release')}"
    if known.lacks_base and known.base is not None:
        production, base = known.base
        advice = f"see production why --production={production.name} {base.run}"
    else:
        advice = f"advice: {_command(known, 'failures --suggest')}"
    return f"nothing until that is mended ({advice}) and it is tried again: {_command(known, 'retry')}"


def _failed(known: knowns.Known) -> str:
    if known.row.asked_by:
        return f"nothing until somebody wants it tried again: {_command(known, 'retry')}"
    advice = _command(known, "failures --suggest")
    return f"nothing until that is mended (advice: {advice}) and it is tried again: {_command(known, 'retry')}"


def _finished(known: knowns.Known) -> str:
    if known.lost:
        again = _command(known, "reset")
        return f"nothing; put back what is not as it was recorded, or have it done again: {again}"
    return f"nothing; it is done. To do it again: {_command(known, 'reset')}"


def _waiting(known: knowns.Known) -> str:
    if known.base is None:
        return "nothing: its base production has no such run"
    production, base = known.base
    about = f"--production={production.name} {base.run}"
    if base.state in (State.FAILED, State.HELD):
        return f"nothing until somebody sees to its base run: production why {about}"
    if production.stop is not None and base.state not in (State.FINISHED, *runs.IN_FLIGHT):
        return f"nothing: {production.name} is closed; about its base run: production why {about}"
    return f"it is new when its base run is finished; about that: production why {about}"


def _new(known: knowns.Known) -> str:
    row = known.row
    pause = known.until(row.not_before) if row.not_before is not None else 0.0
    if not known.living:
        return f"nothing until somebody starts a manager: {_start(known)}"
    if not known.takers:
        return f"nothing until somebody starts a manager that takes it: {_start(known)}"
    able = [manager for manager in known.takers if manager.id not in known.brakes]
    if not able:
        return f"nothing until what fails is mended, and then a manager started: {_start(known)}"
    if pause > 0:
        return f"claimed in {moment.span(pause)}, or later if there is no place for it then"
    if known.no_room:
        return f"claimed when {known.no_room}"
    return _claimed(known, able)


def _claimed(known: knowns.Known, able: list[facts.AtWork]) -> str:
    """When one of these managers takes it."""
    free = {manager: most - has for manager in able for has, most in [known.whole(manager)]}
    first = max(able, key=lambda manager: free[manager])
    before = " and those before it are claimed" if known.ahead or not known.counted else ""
    if free[first] <= 0:
        return f"claimed when {first} has finished one of its runs{before}"
    if not known.counted or known.ahead >= sum(place for place in free.values() if place > 0):
        return "claimed when those before it are, and there is a place again"
    return f"claimed in the next cycle of {first}, if the disk has room for its files"


# ── a manager has it ────────────────────────────────────────────────────────────────────────────────────────────────


def _in_hand(known: knowns.Known) -> str:
    owner, asked = known.owner, _open(known)
    if owner is None or known.gone(owner):
        if heir := _heir(known):
            return f"{heir} takes over in its next cycle" + (f", and does what was asked: {asked}" if asked else "")
        return f"{_nothing(known)} until {_taken_over(known)}"
    if known.trouble(owner):
        return _idle(known, owner)
    if asked:
        return f"{asked}, as was asked: {owner} does it in its next cycle"
    return {
        State.CLAIMED: "staged when its input is here",
        State.STAGED: _submitted(known, owner),
        State.SUBMITTING: "submitted when its job is found, or new again when it is certain that there is none",
        State.SUBMITTED: (
            "its job starts when the batch system has a place for it"
            if known.pending
            else "its outputs are looked at when its job has ended"
        ),
        State.ENDED: (
            f"finished when {known.touch} starts a manager, too: {_start(known)}"
            if known.touch
            else "finished when its outputs are in place"
        ),
    }[known.row.state]


def _nothing(known: knowns.Known) -> str:
    """While its manager is away, and nobody there can take over."""
    asked = _open(known)
    return f"nobody can answer {asked}" if asked else "nothing"


def _heir(known: knowns.Known) -> facts.AtWork | None:
    """The manager at work that takes over from its owner: a job is followed through the batch system that has it."""
    owner = known.owner
    has_job = known.row.state in (State.SUBMITTING, State.SUBMITTED)
    for manager in known.living:
        if manager != owner and (owner is None or not has_job or manager.batch == owner.batch):
            return manager
    return None


def _taken_over(known: knowns.Known) -> str:
    """Who has to do what, if nobody at work is an heir."""
    owner = known.owner
    if owner is None or known.row.state not in (State.SUBMITTING, State.SUBMITTED):
        return f"somebody starts a manager, which takes over: {_start(known)}"
    where = f" on {owner.host}" if owner.batch == "local" else ""
    return f"somebody starts a manager{where}, which takes over: {_start(known)} --batch={owner.batch}"


def _idle(known: knowns.Known, owner: facts.AtWork) -> str:
    """Its owner is there, or may be, and does nothing."""
    heir = _heir(known)
    if owner.id in known.asleep:
        wake = f"nothing until {owner} goes on: kill -CONT {owner.pid} (on {owner.host})"
        return wake + (f"; or {heir} takes over when it was silent for {moment.span(known.lease)}" if heir else "")
    if heir is None:
        return f"{_nothing(known)}, if {owner} stays silent, until {_taken_over(known)}"
    left = known.lease + known.until(owner.beat)
    return f"if {owner} stays silent, {heir} takes over {f'in {moment.span(left)}' if left > 0 else 'soon'}"


def _submitted(known: knowns.Known, owner: facts.AtWork) -> str:
    has, most = known.jobs(owner)
    if has >= most:
        return (
            f"submitted when one of the {most} jobs of its manager has ended"
            if most != 1
            else ("submitted when its manager's one job has ended")
        )
    if known.no_room:
        return f"submitted when {known.no_room}"
    return "submitted as soon as the batch system takes it"
