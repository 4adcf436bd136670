"""How many jobs at a time a manager has: whom one may ask for another number, asking it, and what it answers.

In come the managers that the memory knows; a request leaves, which the manager answers in its next cycle
(``steps.answer``). Nothing here prints.
"""

from __future__ import annotations

import datetime
from collections.abc import Mapping, Sequence

from production import errors, facts, journal, process, settings
from production import run as runs
from production.catalogue import base

VERB = "nproc"

_JOBS = (runs.State.SUBMITTING, runs.State.SUBMITTED)


def number(text: str) -> int:
    """The number that was typed. Raises: UsageError."""
    rule = settings.RANGES["nproc"]
    if text.isascii() and text.isdecimal() and len(text) < 10 and int(text) in rule:
        return int(text)
    raise errors.UsageError(f"nproc {text}: {rule}")


def addressee(
    managers: Sequence[facts.AtWork], production: str, nproc: int, user: str, wanted: str | None = None
) -> facts.AtWork:
    """Whom this user means: the one named by its id or as ``user@host:pid``, or the only living one that is theirs.

    ``managers``: all that are known, for a name; else those that have not left.
    Raises: UsageError, if it is not clear, or gone, or somebody else's.
    """
    if wanted is not None:
        return _named(managers, nproc, user, wanted)
    here = [one for one in managers if one.production == production and not _gone(one)]
    mine = [one for one in here if one.user == user]
    if len(mine) == 1:
        return mine[0]
    if mine:
        which = ", or ".join(f"--manager={one.id} ({one}, {one.batch})" for one in mine)
        raise errors.UsageError(f"which of your managers of {production}? Say {which}")
    others = "".join(f"; {_whose(one, nproc)}" for one in here)
    raise errors.UsageError(f"no manager of yours is at work on {production}{others}")


def _named(managers: Sequence[facts.AtWork], nproc: int, user: str, wanted: str) -> facts.AtWork:
    found = [one for one in managers if wanted in (str(one.id), str(one))]
    if not found:
        raise errors.UsageError(f"--manager={wanted}: no such manager; see production managers --json")
    one = max(found, key=lambda one: one.id)
    if why := _gone(one):
        raise errors.UsageError(f"manager {one.id} ({one}) {why}")
    if one.user != user:
        raise errors.UsageError(_whose(one, nproc))
    return one


def _gone(one: facts.AtWork) -> str:
    """Why it can't answer any more; empty: it may be at work."""
    if one.stop is not None:
        return "has left"
    if one.lapsed is not None:
        return "was found dead"
    return "is dead: there is no such process" if process.seen_alive(one.owner) is False else ""


def _whose(one: facts.AtWork, nproc: int) -> str:
    return f"manager {one.id} ({one}) is {one.user}'s: ask {one.user} for production nproc {nproc} --manager={one.id} --yes"


def ask(
    catalogue: base.Catalogue, manager: facts.AtWork, nproc: int, user: str, why: str, now: datetime.datetime
) -> int:
    """Write it down; the id of the request. Raises: UsageError, if it has left meanwhile; CatalogueError."""
    with catalogue.write() as change:
        request = change.ask_manager(manager.id, VERB, str(nproc), user, why, now)
    if request is None:
        raise errors.UsageError(f"manager {manager.id} ({manager}) has left")
    return request


def answer(nproc: int, before: int, hands: Mapping[runs.State, int]) -> str:
    """What a manager says to it, that has had ``before`` until now. Lowering cancels nothing."""
    had = f"{before} until now" if nproc != before else "as before"
    return f"{journal.count(nproc, 'job')} at a time, {had}{waits(nproc, hands)}"


def waits(nproc: int, hands: Mapping[runs.State, int]) -> str:
    """What is said more if it has more jobs than that."""
    jobs = sum(hands.get(state, 0) for state in _JOBS)
    over = jobs - nproc
    return f"; its {jobs:,} jobs go on, and the next is sent when {over + 1:,} of them have ended" if over > 0 else ""
