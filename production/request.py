"""What people ask of runs: retry, hold, release, cancel, priority, reset; and what becomes of a run that nobody has.

Of a run that a manager has, only its cycle changes the state: what is asked of it is written down, and answered there
(``steps.answer``). Of others, whoever has the lock does it: the command that asks, or the next manager that comes by.
"""

from __future__ import annotations

import contextlib
import datetime
import enum
import errno
import os
import stat
from collections.abc import Sequence

from production import errors
from production import run as runs
from production.catalogue import base

State = runs.State


class Verb(enum.StrEnum):
    """What can be asked."""

    RETRY = "retry"
    HOLD = "hold"
    RELEASE = "release"
    CANCEL = "cancel"
    PRIORITY = "priority"
    RESET = "reset"


PAST = {
    Verb.RETRY: "retried",
    Verb.HOLD: "held",
    Verb.RELEASE: "released",
    Verb.CANCEL: "cancelled",
    Verb.PRIORITY: "given a priority",
    Verb.RESET: "reset",
}

ENDS = frozenset({Verb.HOLD, Verb.RELEASE, Verb.CANCEL, Verb.RESET})
"""What ends an attempt that is under way; anything else is answered while it goes on."""

NO = "no: "
"""What an answer begins with that is a refusal."""

HIGHEST = 1_000_000
"""Priorities go from minus to plus this."""

_LEFT = {
    (Verb.RETRY, State.NEW): "it is new already",
    (Verb.RETRY, State.WAITING): "it waits for its base run",
    (Verb.RETRY, State.FINISHED): "it is finished; to do it again: reset",
    (Verb.HOLD, State.HELD): "it is held already",
    (Verb.HOLD, State.FINISHED): "it is finished",
    (Verb.RELEASE, State.NEW): "it is new already",
    (Verb.RELEASE, State.WAITING): "it waits for its base run, nobody holds it",
    (Verb.RELEASE, State.FAILED): "it has failed; to try it again: retry",
    (Verb.RELEASE, State.FINISHED): "it is finished",
    (Verb.CANCEL, State.NEW): "nothing of it is under way; to keep it from being taken: hold",
    (Verb.CANCEL, State.WAITING): "nothing of it is under way; to keep it from being taken: hold",
    (Verb.CANCEL, State.FINISHED): "it is finished; to do it again: reset",
    (Verb.CANCEL, State.FAILED): "it has failed, nothing of it is under way",
    (Verb.CANCEL, State.HELD): "it is held, nothing of it is under way",
    (Verb.RESET, State.NEW): "it is new already",
    (Verb.RESET, State.WAITING): "it waits for its base run",
    (Verb.PRIORITY, State.FINISHED): "it is finished",
}
"""Why nothing is done."""


def refusal(verb: Verb, state: State, attempt: int) -> str:
    """Why this can't be asked of a run in that state; empty: it can. ``attempt``: the number of its last."""
    if state in runs.IN_FLIGHT:
        return f"it is under way, {state}" if verb is Verb.RETRY else ""
    if state is State.NEW and attempt and verb in (Verb.RETRY, Verb.RESET, Verb.CANCEL):
        return ""  # in back-off, perhaps
    return _LEFT.get((verb, state), "")


def priority(text: str | None) -> int:
    """The number that was typed. Raises: UsageError."""
    with contextlib.suppress(ValueError, TypeError):
        if abs(number := int(text or "")) <= HIGHEST:
            return number
    raise errors.UsageError(f"priority {text}: a whole number, {-HIGHEST} to {HIGHEST}; 0 is what runs have")


def reason(verb: Verb, user: str, why: str) -> str:
    """As it stands in the history and on the screen."""
    return f"{PAST[verb]} by {user}" + (f": {why}" if why else "")


def outcome(change: base.Change, run: runs.Run, verb: Verb) -> State:
    """Where a run goes whose attempt is ended because somebody asked for it."""
    ends = {Verb.HOLD: State.HELD, Verb.CANCEL: State.FAILED}
    return ends.get(verb) or (State.NEW if change.ready(run) else State.WAITING)


def settle(change: base.Change, run: runs.Run, ask: base.Ask, now: datetime.datetime) -> str:
    """Do what is asked of a run that nobody has; the answer. Empty: where its outputs go must be committed first."""
    verb = Verb(ask.verb)
    if no := refusal(verb, run.state, run.attempt):
        return NO + no
    if verb is Verb.PRIORITY:
        change.prioritize(run, priority(ask.argument))
        return f"priority {ask.argument}"
    if verb is Verb.RESET and (trouble := _put_aside(change, run, now)) is not None:
        return trouble
    why = reason(verb, ask.user, ask.why)
    if verb is Verb.CANCEL:
        change.move(run, State.FAILED, why, now, by=ask.user)
    elif run.state is State.NEW and verb in (Verb.RETRY, Verb.RESET) and change.ready(run):
        change.hasten(run)
        return "it is tried again at once"
    else:
        target = State.HELD if verb is Verb.HOLD else State.NEW if change.ready(run) else State.WAITING
        change.move(run, target, why, now, failures=0 if verb in (Verb.RETRY, Verb.RESET) else None, by=ask.user)
    if verb is Verb.RESET:
        _tell_based(change, run, ask, now)
    return PAST[verb]


def _tell_based(change: base.Change, run: runs.Run, ask: base.Ask, now: datetime.datetime) -> None:
    """Runs of productions based on this one wait again; what they made or are making of it is reset in its turn."""
    why = f"its base run was reset by {ask.user}"
    for based in change.based(run):
        if based.owner is not None or based.state is State.FINISHED:
            change.ask(based, base.Ask(Verb.RESET, None, ask.user, why), now)
        elif based.state in (State.NEW, State.FAILED):
            change.move(based, State.WAITING, why, now, failures=0, by=ask.user)


def _put_aside(change: base.Change, run: runs.Run, now: datetime.datetime) -> str | None:
    """The run's outputs leave their places, all or none, while we hold the lock. None: it is done; else the answer.

    Where they go has been committed before (``_intend``): killed anywhere, it is done once more.
    """
    if change.in_place(run):
        return ""
    moved: list[base.Move] = []
    try:
        for move in change.intended_aside(run):
            if _move(move):
                moved.append(move)
            elif os.path.isdir(data := change.data(run)):
                change.forget_aside(run, move.path)  # it was lost before
            else:
                raise FileNotFoundError(errno.ENOENT, f"{data} is not there: is the disk mounted?", move.path)
    except OSError as cause:
        for back in moved:
            with contextlib.suppress(OSError):
                _move(base.Move(back.aside, back.path))
        change.forget_aside(run)
        return f"{NO}{cause.filename or 'an output'} can't be put aside: {cause.strerror}"
    change.outputs_aside(run, now)
    return None


def _move(move: base.Move) -> bool:
    """A file under its other name, never onto another one. Twice is as good as once. False: it is nowhere.

    Raises: OSError.
    """
    try:
        there = os.lstat(move.path)
    except (FileNotFoundError, NotADirectoryError):
        return os.path.lexists(move.aside)
    if not os.path.isabs(move.path) or not (stat.S_ISREG(there.st_mode) or stat.S_ISLNK(there.st_mode)):
        raise OSError(errno.EINVAL, "it is no file of a run", move.path)
    try:
        os.link(move.path, move.aside, follow_symlinks=False)  # unlike a rename it never replaces
    except FileExistsError:
        if not os.path.samestat(there, os.lstat(move.aside)):
            raise OSError(errno.EEXIST, f"{move.aside} is there already", move.path) from None
    except OSError as cause:
        if cause.errno not in (errno.EPERM, errno.EOPNOTSUPP, errno.EMLINK) or os.path.lexists(move.aside):
            raise
        os.rename(move.path, move.aside)  # a file system without hard links, or somebody else's file
        return True
    os.unlink(move.path)
    return True


LOOK = 10_000
"""Open requests that are looked at in one go."""
TOGETHER = 200
"""Of these, so many are carried out in one transaction."""


def settle_open(
    catalogue: base.Catalogue, production: int, now: datetime.datetime, owner: runs.Owner | None = None
) -> list[tuple[base.Asked, str]]:
    """Carry out what is asked of runs that nobody has: (request, answer) of those that were, now, by us.

    Then what is asked of runs based on them, and so on: a reset asks it, and nobody may be there to hear.
    """
    chain, answered = {production}, []
    for one in catalogue.productions():  # by id: a base is older than what is based on it
        if one.base in chain:
            chain.add(one.id)
        if one.id in chain:
            answered += _settle_all(catalogue, one.id, now, owner)
    return answered


def _settle_all(
    catalogue: base.Catalogue, production: int, now: datetime.datetime, owner: runs.Owner | None
) -> list[tuple[base.Asked, str]]:
    answered: list[tuple[base.Asked, str]] = []
    while True:
        open_ = catalogue.asked(production, LOOK, owner)
        nobodys = [asked for asked in open_ if asked.owner is None]
        before = len(answered)
        for first in range(0, len(nobodys), TOGETHER):
            answered += _settle_some(catalogue, production, nobodys[first : first + TOGETHER], now, owner)
        if len(open_) < LOOK or len(answered) == before:
            return answered


def _settle_some(
    catalogue: base.Catalogue,
    production: int,
    open_: Sequence[base.Asked],
    now: datetime.datetime,
    owner: runs.Owner | None,
) -> list[tuple[base.Asked, str]]:
    _intend(catalogue, production, [asked.run for asked in open_ if asked.ask.verb == Verb.RESET], owner)
    answered = []
    with catalogue.write(owner) as change:
        for asked in open_:
            run = change.run(production, asked.run)
            if run is None or run.owner is not None or not change.is_open(asked):
                continue
            answer = settle(change, run, asked.ask, now)
            if answer:
                change.answer(asked, answer, now, owner)
                answered.append((asked, answer))
    return answered


def _intend(catalogue: base.Catalogue, production: int, numbers: Sequence[int], owner: runs.Owner | None) -> None:
    """Before runs are reset: where their outputs will be is committed."""
    if not numbers:
        return
    with catalogue.write(owner) as change:
        for number in numbers:
            run = change.run(production, number)
            if run is not None and run.owner is None:
                change.intend_aside(run)
