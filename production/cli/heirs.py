"""Runs of productions that are based on one: what becomes of them when its runs are reset."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from typing import TYPE_CHECKING

from production import run as runs

if TYPE_CHECKING:
    from production.catalogue import library

Heirs = Mapping[str, Mapping[runs.State, int]]
"""{production: {state: how many of its runs}}."""


def closed(catalogue: library.Library) -> frozenset[str]:
    """Productions that somebody closed: nothing of them is taken."""
    opened = catalogue.records.opened()
    return frozenset(one.name for one in catalogue.productions() if opened[one.id].closed_by)


def without(all_: Heirs, some: Heirs) -> dict[str, dict[runs.State, int]]:
    """All but some; what is none is left out."""
    found = {}
    for name, states in all_.items():
        left = {state: number - some.get(name, {}).get(state, 0) for state, number in states.items()}
        if rest := {state: number for state, number in left.items() if number > 0}:
            found[name] = rest
    return found


def lines(heirs: Heirs, closed: Collection[str]) -> Iterator[str]:
    """A sentence for each production."""
    for name, states in heirs.items():
        told = ", ".join(_some(state, number) for state, number in sorted(states.items(), key=_place))
        verb = "it waits again" if sum(states.values()) == 1 else "they wait again"
        shut = (
            f", but {name} is closed: nothing of it is taken until: production close --undo --production={name} --yes"
            if name in closed
            else ""
        )
        yield f"and of {name}: {told}: {verb}{shut}"


def _place(one: tuple[runs.State, int]) -> int:
    """Finished ones first: those have something to lose."""
    return -list(runs.State).index(one[0]) if one[0] is not runs.State.FINISHED else -len(runs.State)


def _some(state: runs.State, number: int) -> str:
    if state is runs.State.FINISHED:
        return f"{number:,} finished (outputs put aside)"
    return f"{number:,} {state}" + (" (cancelled)" if state in runs.IN_FLIGHT else "")
