"""All that is known of one run and of whom it depends on, and what that says of the managers. Pure.

The command ``production why`` gathers it; ``why`` and ``sequel`` read it.
"""

from __future__ import annotations

import dataclasses
import datetime
import itertools
import json
from collections.abc import Mapping, Sequence

from production import clock, facts, moment
from production import run as runs

State = runs.State


@dataclasses.dataclass(frozen=True, slots=True)
class Known:
    """What nobody could tell is None or empty."""

    now: datetime.datetime
    production: runs.Production
    opened: facts.Opened
    row: facts.Row
    attempts: Sequence[facts.Attempt]
    inputs: Sequence[facts.Input]
    requests: Sequence[facts.Request]
    outputs: Sequence[facts.Written]
    managers: Sequence[facts.AtWork]
    """Those of its production that have not left; and its owner in any case."""
    lease: float
    """Seconds."""
    limit: int
    """Failures after which a run is not tried again."""
    in_hand: Mapping[int, Mapping[State, int]] = dataclasses.field(default_factory=dict)
    """{manager: runs it has in each state}."""
    dead: frozenset[int] = frozenset()
    """Ids of managers that are seen dead from here."""
    asleep: frozenset[int] = frozenset()
    """Of those that are seen stopped from here, by Ctrl-Z or another signal."""
    brakes: Mapping[int, str] = dataclasses.field(default_factory=dict)
    """{manager: why it takes nothing more}."""
    base: tuple[runs.Production, facts.Row] | None = None
    """Its base run."""
    ahead: int = 0
    """New runs that go before it, and that its takers take."""
    counted: bool = True
    """Whether that are all of them."""
    last_words: str = ""
    """Of the last manager, if that has left."""
    datasets: frozenset[tuple[str, int | None]] = frozenset()
    """(dataset, tranche) that the run is in."""
    transfers: Mapping[str, Sequence[facts.Transfer]] = dataclasses.field(default_factory=dict)
    """{input: all that its manager has ordered}."""
    at_a_time: int = 1
    """Files that come at the same time."""
    fetched_by: str = ""
    """What runs elsewhere to fetch its inputs, and where: ``batch.fetch (dccp) runs on login``; empty: its manager brings them."""
    tapes: bool = False
    """Whether they may be on tape: the archive is asked for them ahead."""
    quota: str = ""
    """What it says."""
    no_room: str = ""
    """What has to be before anything new is staged; empty: nothing, as far as the quota is known."""
    job: str = ""
    """What the batch system says of its job."""
    pending: bool = False
    """Whether that is that it waits."""
    end: str = ""
    """The command that ends its job, if that is another user's than its manager's, who alone can end it."""
    may_take: float | None = None
    """Seconds that a local job may take from its submission: nobody but its manager minds."""
    touch: str = ""
    """Whose files its job wrote, if they are not to be moved by its manager's user."""
    files: Mapping[str, int | None] = dataclasses.field(default_factory=dict)
    """{path of an output: bytes it has now, None if it isn't there}; those that could be looked at."""

    @property
    def owner(self) -> facts.AtWork | None:
        """The manager that has it."""
        return next((manager for manager in self.managers if manager.id == self.row.owner), None)

    @property
    def living(self) -> list[facts.AtWork]:
        """Managers that are at work."""
        return [manager for manager in self.managers if not self.trouble(manager)]

    @property
    def takers(self) -> list[facts.AtWork]:
        """Those of them that were started for runs such as this one."""
        return [manager for manager in self.living if self.takes(manager)]

    @property
    def lacks_base(self) -> bool:
        """Whether it is held because its base run has no output for it."""
        return self.row.state is State.HELD and self.base is not None and self.row.cause == runs.Cause.STAGING

    @property
    def closed(self) -> bool:
        return self.production.stop is not None

    def gone(self, manager: facts.AtWork) -> str:
        """That it will not come back; empty: it may, or is there."""
        return gone(manager, dead=manager.id in self.dead)

    def trouble(self, manager: facts.AtWork) -> str:
        """Why it does nothing; empty: it is at work."""
        dead, asleep = manager.id in self.dead, manager.id in self.asleep
        return trouble(manager, self.now, self.lease, dead=dead, asleep=asleep)

    def takes(self, manager: facts.AtWork) -> bool:
        """Whether the run is among those that it was started for."""
        choices = choices_of(manager)
        return (None, None) in choices or any(
            wanted in (None, name) and number in (None, part)
            for wanted, number in choices
            for name, part in self.datasets
        )

    @property
    def choices(self) -> list[facts.Choice]:
        """All that its takers take."""
        return [choice for manager in self.takers for choice in choices_of(manager)]

    def whole(self, manager: facts.AtWork) -> tuple[int, int]:
        """(runs it has, runs it may have)."""
        return sum(self.in_hand.get(manager.id, {}).values()), (manager.nproc or 0) + (manager.nprep or 0)

    def jobs(self, manager: facts.AtWork) -> tuple[int, int]:
        """(jobs it has, jobs it may have)."""
        hands = self.in_hand.get(manager.id, {})
        return hands.get(State.SUBMITTING, 0) + hands.get(State.SUBMITTED, 0), manager.nproc or 0

    @property
    def lost(self) -> list[facts.Written]:
        """Recorded outputs that are not there, or not as they were recorded."""
        return [
            one
            for one in self.outputs
            if one.recorded and not one.deleted and self.files.get(one.path, one.bytes) != one.bytes
        ]

    def ago(self, instant: str) -> str:
        """How long that is past."""
        return moment.span(max(0.0, -self.until(instant)))

    def until(self, instant: str) -> float:
        """Seconds until then."""
        return (clock.instant(instant) - self.now).total_seconds()


def gone(manager: facts.AtWork, *, dead: bool) -> str:
    """That it will not come back; empty: it may, or is there. ``dead``: it is seen so from here."""
    if manager.stop is not None:
        return "has left"
    return "is dead" if dead or manager.lapsed is not None else ""


def trouble(manager: facts.AtWork, now: datetime.datetime, lease: float, *, dead: bool, asleep: bool) -> str:
    """Why it does nothing; empty: it is at work. ``lease``: seconds; ``dead``, ``asleep``: as it is seen from here."""
    if told := gone(manager, dead=dead):
        return told
    if asleep:
        return "is stopped (Ctrl-Z?)"
    # by the clocks of two machines: for people, not for leases
    silence = (now - clock.instant(manager.beat)).total_seconds()
    return f"has been silent for {moment.span(silence)}" if silence > lease / 2 else ""


def choices_of(manager: facts.AtWork) -> list[facts.Choice]:
    """What it was started for: one of these."""
    return list(itertools.product(json.loads(manager.datasets) or [None], json.loads(manager.tranches) or [None]))


def local(instant: str) -> str:
    """As the clock on the wall has it."""
    return clock.instant(instant).astimezone().strftime("%Y-%m-%d %H:%M:%S %z")
