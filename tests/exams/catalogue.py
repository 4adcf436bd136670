"""The exam for a Catalogue: nobody does a run twice, none gets lost, history can't be forgotten.

Who sits it makes a class ``TestX(catalogue.Exam)`` with a fixture ``make`` that gives a new, empty ``Subject``.
"""

from __future__ import annotations

import contextlib
import dataclasses
import datetime
import itertools
from collections.abc import Callable, Sequence
from typing import Any, Protocol

import hypothesis
import pytest
from hypothesis import strategies as st

from production import clock as clock_
from production import errors
from production import run as runs
from production.catalogue import base
from tests.fakes import clock as fakes

State = runs.State
Cause = runs.Cause

WAY = (State.NEW, State.CLAIMED, State.STAGED, State.SUBMITTING, State.SUBMITTED, State.ENDED, State.FINISHED)

EVERYTHING = runs.Wanted()

ASKED = runs.Resources(time=3600.0, memory=2**31)


class Subject(Protocol):
    """One database to be examined."""

    def open(self) -> base.Catalogue:
        """One more connection, as another process would have it; closed at the end of the test."""
        ...

    def shell(self, statement: str) -> list[tuple[Any, ...]]:
        """What a person with a shell on the database gets to see, and may change."""
        ...


Make = Callable[[], Subject]


class Slip(Exception):
    """What goes wrong in the middle of a transaction."""


class Desk:
    """A catalogue, a clock, and the few sentences that every test begins with."""

    def __init__(self, subject: Subject) -> None:
        self.subject = subject
        self.catalogue = subject.open()
        self.clock = fakes.FakeClock()
        self._pids = itertools.count(100)

    @property
    def now(self) -> datetime.datetime:
        return self.clock.now()

    def write(self, owner: runs.Owner | None = None) -> contextlib.AbstractContextManager[base.Change]:
        return self.catalogue.write(owner)

    def add(
        self,
        *numbers: int,
        dataset: str = "Al50",
        tranche: int | None = None,
        quality: str = "gold",
        geometry: str = "",
    ) -> int:
        with self.write() as change:
            return change.add_runs(
                [base.DatasetRow(run, dataset, tranche, quality, geometry or None) for run in numbers]
            )

    def open(
        self,
        program: str = "alcapana",
        *,
        tag: str = "v5",
        on: runs.Production | None = None,
        quality: str = "gold",
        outputs: Sequence[str] = ("tree", "hist", "odb"),
    ) -> runs.Production:
        opening = base.Opening(program, tag, quality, on.id if on else None, tuple(outputs), "/data", "alice")
        with self.write() as change:
            return change.open_production(opening, self.now)

    def intake(self, production: runs.Production) -> int:
        with self.write() as change:
            return change.intake(production.id, self.now)

    def close_production(self, production: runs.Production) -> bool:
        with self.write() as change:
            return change.close_production(production.id, self.now)

    def enter(self, production: runs.Production, user: str = "alice", batch: str = "local") -> runs.Owner:
        somebody = runs.Owner(0, user, f"{user}-pc", "boot", next(self._pids), 7)
        with self.write() as change:
            return change.enter(somebody, production.id, batch, 10, 5, self.now)

    def claim(
        self, production: runs.Production, owner: runs.Owner, number: int = 1000, wanted: runs.Wanted = EVERYTHING
    ) -> list[runs.Run]:
        with self.write(owner) as change:
            return change.claim(production.id, number, owner, wanted, self.now)

    def move(self, run: runs.Run, to: State, why: str = "", **facts: Any) -> bool:
        with self.write() as change:
            return change.move(run, to, why, self.now, **facts)

    def walk(self, run: runs.Run, to: State) -> runs.Run:
        """Forward along the corridor, one step at a time."""
        while run.state is not to:
            following = WAY[WAY.index(run.state) + 1]
            assert self.move(run, following)
            owner = run.owner if following in runs.IN_FLIGHT else None
            run = dataclasses.replace(run, state=following, owner=owner, since=clock_.text(self.now))
        return run

    def end(self, run: runs.Run, cause: Cause | None, **facts: Any) -> None:
        with self.write() as change:
            change.end(run, base.Ending(cause, **facts), self.now)

    def lapse(self, dead: runs.Owner) -> bool:
        with self.write() as change:
            return change.lapse(dead, self.now)

    def adopt(self, dead: runs.Owner, owner: runs.Owner) -> tuple[list[runs.Run], int, list[str]]:
        with self.write(owner) as change:
            return change.adopt(dead.id, 1, owner, self.now)

    def leave(self, owner: runs.Owner, message: str = "done") -> None:
        with self.write() as change:
            change.leave(owner, message, self.now)

    def states(self, production: runs.Production) -> dict[int, str]:
        query = f"SELECT run, state FROM production_run WHERE production = {production.id} ORDER BY run"
        return dict(self.subject.shell(query))

    def events(self, production: runs.Production, run: int) -> list[str]:
        return [f"{event.before} {event.after}" for event in self.catalogue.history(production.id, run)]

    def everything(self) -> list[list[tuple[Any, ...]]]:
        """All that is remembered."""
        tables = "run datasets productions production_run manager submission attempt input transfer output fixed_path"
        return [self.subject.shell(f"SELECT * FROM {table}") for table in [*tables.split(), "event", "tally"]]

    def counted(self, production: runs.Production) -> dict[State, int]:
        """The counts, with what nobody is in left out, seen to be what there is."""
        counts = self.catalogue.counts(production.id)
        assert set(counts) == set(State)
        there = f"SELECT state, count(*) FROM production_run WHERE production = {production.id} GROUP BY state"
        found = {state: number for state, number in counts.items() if number}
        assert found == {State(state): number for state, number in self.subject.shell(there)}
        return found


def numbers(found: Sequence[runs.Run]) -> list[int]:
    return [run.run for run in found]


class Exam:
    """Every test is one promise of ``base.Catalogue`` and ``base.Change``."""

    @pytest.fixture
    def subject(self, make: Make) -> Subject:
        return make()

    @pytest.fixture
    def desk(self, subject: Subject) -> Desk:
        return Desk(subject)

    # ── datasets ──

    @pytest.mark.feature("AC-01")
    def test_runs_are_added_once(self, desk: Desk) -> None:
        assert desk.add(2091, 2092, 2093, tranche=1) == 3
        before = desk.everything()
        assert desk.add(2091, 2092, 2093, tranche=1) == 0
        assert desk.everything() == before
        assert desk.add(2093, 2094, tranche=1) == 1
        assert desk.add(2091, dataset="Si16") == 1

    @pytest.mark.parametrize("other", [{"tranche": 2}, {"tranche": None}, {"quality": "silver"}, {"geometry": "R15b"}])
    def test_a_run_is_in_a_dataset_as_one_thing(self, desk: Desk, other: dict[str, Any]) -> None:
        desk.add(2091, 2092, tranche=1)
        before = desk.everything()
        with pytest.raises(errors.UsageError, match=r"run 2092 is in dataset Al50 already, as gold, tranche 1"):
            desk.add(2090, 2092, **({"tranche": 1} | other))
        assert desk.everything() == before

    def test_what_may_be_chosen(self, desk: Desk) -> None:
        assert desk.catalogue.selections() == (set(), set(), set())
        desk.add(1, tranche=3)
        desk.add(2, dataset="Si16", quality="silver")
        assert desk.catalogue.selections() == ({"Al50", "Si16"}, {3}, {"gold", "silver"})

    # ── productions ──

    @pytest.mark.feature("AC-03")
    def test_versions_count_up_and_keep_their_tags(self, desk: Desk) -> None:
        desk.add(1, 2)
        assert desk.catalogue.production("alcapana") is None
        first = desk.open(tag="v5-1")
        desk.clock.advance(60)
        second = desk.open(tag="v5-2")
        assert (first.version, second.version) == (1, 2)
        assert (first.tag, second.tag) == ("v5-1", "v5-2")
        assert (first.start, second.start) == (
            "2026-11-20T21:00:00.000000Z",
            "2026-11-20T21:01:00.000000Z",
        )
        assert desk.catalogue.production("alcapana") == second
        assert desk.catalogue.production("alcapana", 1) == first
        assert desk.catalogue.production("alcapana", 3) is None
        assert desk.catalogue.production("rootana") is None
        assert desk.catalogue.productions() == [first, second]
        assert first.catalogue == second.catalogue != ""
        assert first.name == "alcapana_v1"

    @pytest.mark.feature("AC-02")
    def test_only_the_chosen_quality_enters(self, desk: Desk) -> None:
        desk.add(1, 2)
        desk.add(3, quality="silver")
        gold, silver = desk.open(), desk.open(quality="silver")
        assert desk.states(gold) == {1: "new", 2: "new"}
        assert desk.states(silver) == {3: "new"}

    @pytest.mark.feature("AC-02")
    def test_a_run_in_two_datasets_is_one_run(self, desk: Desk) -> None:
        desk.add(1, 2, dataset="Al50")
        desk.add(2, 3, dataset="Al100")
        production = desk.open()
        assert desk.counted(production) == {State.NEW: 3}
        desk.add(1, 3, dataset="all")
        assert desk.intake(production) == 0
        assert numbers(desk.claim(production, desk.enter(production))) == [1, 2, 3]

    @pytest.mark.parametrize("name", ["", "Alcapana", "1st", "a-b", "a b", 'a"b', "a'b", "a;b", "ä", "a\n", "sqlite_x"])
    def test_odd_names_are_refused(self, desk: Desk, name: str) -> None:
        desk.add(1)
        before = desk.everything()
        with pytest.raises(errors.UsageError, match="can't be the name"):
            desk.open(name)
        with pytest.raises(errors.UsageError, match="can't be the name"):
            desk.open(outputs=["tree", name])
        assert desk.everything() == before
        assert desk.open().version == 1

    @pytest.mark.feature("AC-18", "AC-04")
    def test_a_run_waits_for_its_base_run_and_wakes_with_it(self, desk: Desk) -> None:
        desk.add(1, 2)
        alcapana = desk.open()
        owner = desk.enter(alcapana)
        one, two = desk.claim(alcapana, owner)
        desk.walk(one, State.FINISHED)
        rootana = desk.open("rootana", on=alcapana, outputs=["out"])
        assert (rootana.base, rootana.base_version) == (alcapana.id, 1)
        assert desk.states(rootana) == {1: "new", 2: "waiting"}
        desk.walk(two, State.ENDED)
        assert desk.states(rootana)[2] == "waiting"
        assert numbers(desk.claim(rootana, desk.enter(rootana))) == [1]
        desk.clock.advance(60)
        desk.walk(dataclasses.replace(two, state=State.ENDED), State.FINISHED)
        assert desk.states(rootana)[2] == "new"
        (event,) = desk.catalogue.history(rootana.id, 2)
        assert (event.before, event.after, event.why) == ("waiting", "new", "its base run is finished")
        assert event.at == clock_.text(desk.now)
        desk.counted(rootana)

    def test_only_the_productions_on_this_base_wake(self, desk: Desk) -> None:
        desk.add(1)
        first, second = desk.open(), desk.open()
        on_first = desk.open("rootana", on=first)
        on_second = desk.open("rootana", on=second)
        desk.walk(desk.claim(first, desk.enter(first))[0], State.FINISHED)
        assert (desk.states(on_first), desk.states(on_second)) == ({1: "new"}, {1: "waiting"})

    def test_of_a_base_only_the_chosen_quality_enters(self, desk: Desk) -> None:
        desk.add(1)
        desk.add(1, 2, dataset="odd", quality="silver")
        silver = desk.open(quality="silver")
        assert desk.states(desk.open("rootana", on=silver)) == {1: "waiting"}

    def test_runs_added_later_enter_the_base_and_what_is_based_on_it(self, desk: Desk) -> None:
        desk.add(1)
        alcapana = desk.open()
        rootana = desk.open("rootana", on=alcapana)
        assert not desk.catalogue.intake_due(alcapana.id)
        desk.add(2)
        desk.add(3, quality="silver")
        assert desk.catalogue.intake_due(alcapana.id)
        assert not desk.catalogue.intake_due(rootana.id)
        assert desk.intake(alcapana) == 1
        assert not desk.catalogue.intake_due(alcapana.id)
        assert desk.intake(alcapana) == 0
        assert desk.states(alcapana) == {1: "new", 2: "new"}
        assert desk.states(rootana) == {1: "waiting", 2: "waiting"}
        desk.counted(rootana)

    def test_runs_added_later_enter_a_base_of_a_base(self, desk: Desk) -> None:
        desk.add(1)
        first = desk.open("first")
        second = desk.open("second", on=first)
        third = desk.open("third", on=second)
        desk.add(2)
        desk.intake(first)
        assert desk.states(second) == {1: "waiting", 2: "waiting"}
        assert desk.states(third) == {1: "waiting", 2: "waiting"}
        desk.counted(third)

    @pytest.mark.feature("AC-36")
    def test_a_production_is_closed_once_and_only_when_all_is_finished(self, desk: Desk) -> None:
        desk.add(1, 2)
        production = desk.open()
        assert not desk.close_production(production)
        one, two = desk.claim(production, desk.enter(production))
        desk.walk(one, State.FINISHED)
        two = desk.walk(two, State.ENDED)
        assert not desk.close_production(production)
        assert desk.catalogue.production("alcapana") == production
        desk.walk(two, State.FINISHED)
        desk.clock.advance(60)
        assert desk.close_production(production)
        closed = desk.catalogue.production("alcapana")
        assert closed is not None
        assert closed.stop == clock_.text(desk.now)
        desk.clock.advance(60)
        assert not desk.close_production(production)
        assert desk.catalogue.production("alcapana") == closed

    @pytest.mark.feature("AC-36")
    @pytest.mark.parametrize("state", [State.FAILED, State.HELD])
    def test_a_production_with_failed_or_held_runs_stays_open(self, desk: Desk, state: State) -> None:
        desk.add(1)
        production = desk.open()
        desk.move(desk.claim(production, desk.enter(production))[0], state)
        assert not desk.close_production(production)

    def test_a_closed_production_takes_nothing_in(self, desk: Desk) -> None:
        desk.add(1)
        production = desk.open()
        rootana = desk.open("rootana", on=production)
        desk.walk(desk.claim(production, desk.enter(production))[0], State.FINISHED)
        assert desk.close_production(production)
        desk.add(2)
        assert not desk.catalogue.intake_due(production.id)
        assert desk.intake(production) == 0
        assert set(desk.states(production)) == set(desk.states(rootana)) == {1}

    @pytest.mark.feature("AC-36")
    def test_a_production_is_not_closed_over_runs_that_were_just_added(self, desk: Desk) -> None:
        desk.add(1)
        production = desk.open()
        desk.walk(desk.claim(production, desk.enter(production))[0], State.FINISHED)
        desk.add(2, quality="silver")  # is none of its
        desk.add(2, dataset="late")
        assert not desk.close_production(production)
        assert desk.intake(production) == 1

    # ── claims ──

    @pytest.mark.feature("AC-05")
    def test_a_claim_is_seen_by_all(self, desk: Desk) -> None:
        desk.add(1, 2)
        production = desk.open()
        alice = desk.enter(production)
        (run,) = desk.claim(production, alice, 1)
        assert (run.run, run.state, run.owner, run.attempt, run.failures) == (1, State.CLAIMED, alice.id, 1, 0)
        other = desk.subject.open()
        assert other.owned(alice, State.CLAIMED) == [run]
        assert other.in_flight(alice) == {State.CLAIMED: 1}
        (event,) = other.history(production.id, 1)
        assert event.who == f"alice@alice-pc:{alice.pid}"
        assert event.at == clock_.text(desk.now)
        assert desk.subject.shell("SELECT run, user, status FROM alcapana_v1") == [(1, "alice", "C"), (2, None, "N")]

    def test_claims_come_in_order_as_many_as_asked_for(self, desk: Desk) -> None:
        desk.add(5, 1, 4, 2, 3)
        production = desk.open()
        desk.subject.shell("UPDATE production_run SET priority = 7 WHERE run = 4")
        desk.subject.shell("UPDATE production_run SET priority = -1 WHERE run = 1")
        owner = desk.enter(production)
        assert desk.claim(production, owner, 0) == []
        assert numbers(desk.claim(production, owner, 2)) == [4, 2]
        assert numbers(desk.claim(production, owner, 10)) == [3, 5, 1]
        assert desk.claim(production, owner, 10) == []
        assert not desk.catalogue.next_runs(production.id, 1, runs.Wanted(), desk.now)

    def test_a_negative_number_never_means_all(self, desk: Desk) -> None:
        desk.add(1, 2)
        production = desk.open()
        assert desk.claim(production, desk.enter(production), -1) == []

    @pytest.mark.feature("AC-07")
    @pytest.mark.parametrize(
        ("datasets", "tranches"), [(("late",), ()), (("late", "later"), ()), ((), (7,)), (("later", "late"), (7,))]
    )
    def test_runs_that_are_wanted_may_be_the_last_of_thousands(
        self, desk: Desk, datasets: tuple[str, ...], tranches: tuple[int, ...]
    ) -> None:
        desk.add(*range(1, 3001))
        desk.add(2990, 2991, 3001, dataset="late", tranche=7)
        desk.add(2991, 3000, dataset="later", tranche=8)
        production = desk.open()
        desk.subject.shell("UPDATE production_run SET priority = 1 WHERE run = 2991")
        expected = [2991, 2990, 3000, 3001] if datasets == ("late", "later") else [2991, 2990, 3001]
        wanted = runs.Wanted(datasets, tranches)
        assert numbers(desk.catalogue.next_runs(production.id, 2, wanted, desk.now)) == expected[:2]
        assert numbers(desk.catalogue.next_runs(production.id, 10, wanted, desk.now)) == expected
        assert desk.catalogue.outlook(production.id, desk.enter(production), wanted).new
        desk.subject.shell("UPDATE production_run SET state = 'held' WHERE run >= 2990")
        assert not desk.catalogue.next_runs(production.id, 1, wanted, desk.now)
        assert not desk.catalogue.outlook(production.id, desk.enter(production), wanted).new

    @pytest.mark.feature("AC-07")
    @pytest.mark.parametrize(
        ("datasets", "tranches", "expected"),
        [
            ((), (), [1, 2, 3, 4, 5]),
            (("Al50",), (), [1, 2]),
            (("Al50", "Si16"), (), [1, 2, 3, 4]),
            ((), (2,), [2, 4]),
            ((), (1, 2), [1, 2, 3, 4]),
            (("Al50",), (2,), [2]),
            (("Si16",), (1, 2), [3, 4]),
            (("other",), (1,), []),
            (("none",), (), []),
            (("Al'50",), (), []),
        ],
    )
    def test_filters_limit_the_manager_not_the_production(
        self, desk: Desk, datasets: tuple[str, ...], tranches: tuple[int, ...], expected: list[int]
    ) -> None:
        desk.add(1, tranche=1)
        desk.add(2, tranche=2)
        desk.add(3, dataset="Si16", tranche=1)
        desk.add(4, dataset="Si16", tranche=2)
        desk.add(5, dataset="other")
        production = desk.open()
        assert desk.counted(production) == {State.NEW: 5}
        wanted = runs.Wanted(datasets, tranches)
        assert bool(desk.catalogue.next_runs(production.id, 1, wanted, desk.now)) == bool(expected)
        owner = desk.enter(production)
        assert desk.catalogue.outlook(production.id, owner, wanted).new == bool(expected)
        assert numbers(desk.claim(production, owner, 10, wanted)) == expected
        assert not desk.catalogue.next_runs(production.id, 1, wanted, desk.now)
        assert not desk.catalogue.outlook(production.id, owner, wanted).new

    def test_dataset_and_tranche_mean_that_tranche_of_that_dataset(self, desk: Desk) -> None:
        desk.add(1, dataset="Al50", tranche=1)
        desk.add(1, dataset="Si16", tranche=2)
        production = desk.open()
        owner = desk.enter(production)
        assert desk.claim(production, owner, 10, runs.Wanted(("Al50",), (2,))) == []
        assert numbers(desk.claim(production, owner, 10, runs.Wanted(("Si16",), (2,)))) == [1]

    @pytest.mark.feature("AC-23")
    def test_a_run_in_back_off_is_not_claimed_before(self, desk: Desk) -> None:
        desk.add(1)
        production = desk.open()
        owner = desk.enter(production)
        (run,) = desk.claim(production, owner)
        later = desk.now + datetime.timedelta(seconds=30)
        assert desk.move(run, State.NEW, "program: exit 1", failures=1, not_before=later)
        desk.clock.advance(29.999)
        assert not desk.catalogue.next_runs(production.id, 1, runs.Wanted(), desk.now)
        assert desk.claim(production, owner) == []
        assert desk.catalogue.outlook(production.id, owner, runs.Wanted()).new  # so it is worth waiting
        desk.clock.advance(0.001)
        assert desk.catalogue.next_runs(production.id, 1, runs.Wanted(), desk.now)
        (again,) = desk.claim(production, owner)
        assert (again.attempt, again.failures) == (2, 1)
        assert desk.move(again, State.NEW)
        assert numbers(desk.claim(production, owner)) == [1]  # without a new one the old back-off is forgotten

    # ── moves ──

    @pytest.mark.parametrize(
        "what",
        [
            {"state": State.STAGED},
            {"owner": None},
            {"owner": 999},
            {"attempt": 2},
            {"attempt": 0},
            {"run": 3},
            {"production": 99},
        ],
    )
    def test_a_move_of_what_somebody_else_has_moved_changes_nothing(self, desk: Desk, what: dict[str, Any]) -> None:
        desk.add(1, 2)
        production = desk.open()
        (run,) = desk.claim(production, desk.enter(production), 1)
        before = desk.everything()
        to = State.SUBMITTING if what.get("state") else State.STAGED
        assert not desk.move(dataclasses.replace(run, **what), to)
        assert desk.everything() == before
        assert desk.move(run, State.STAGED)
        assert not desk.move(run, State.STAGED)

    def test_an_illegal_move_is_a_mistake_of_ours(self, desk: Desk) -> None:
        desk.add(1)
        production = desk.open()
        (run,) = desk.claim(production, desk.enter(production))
        with desk.write() as change:
            for before, after in itertools.product(State, State):
                if after not in runs.MOVES[before]:
                    with pytest.raises(ValueError, match=f"{before} → {after} is no move"):
                        change.move(dataclasses.replace(run, state=before), after, "", desk.now)
        assert desk.states(production) == {1: "claimed"}

    def test_the_end_of_a_block_that_went_wrong_is_as_its_beginning(self, desk: Desk) -> None:
        desk.add(1, 2)
        production = desk.open()
        owner = desk.enter(production)
        before = desk.everything()

        def deed() -> None:
            with desk.write(owner) as change:
                claimed = change.claim(production.id, 2, owner, runs.Wanted(), desk.now)
                assert change.move(claimed[0], State.STAGED, "", desk.now)
                change.add_runs([base.DatasetRow(3, "Al50")])
                change.need(claimed[0], "/raw/1", "1", 1, ours=True)
                raise Slip

        with pytest.raises(Slip):
            deed()
        assert desk.everything() == before
        assert numbers(desk.claim(production, owner)) == [1, 2]

    def test_history_says_who_when_and_why(self, desk: Desk) -> None:
        desk.add(1)
        production = desk.open()
        owner = desk.enter(production, "bob")
        (run,) = desk.claim(production, owner)
        start = desk.now
        desk.clock.advance(1.5)
        desk.move(run, State.STAGED, "12 bytes")
        desk.clock.advance(0.000001)
        desk.move(dataclasses.replace(run, state=State.STAGED), State.HELD, "in the way: ütf-8")
        history = desk.catalogue.history(production.id, 1)
        assert [(event.before, event.after, event.attempt, event.why) for event in history] == [
            ("new", "claimed", 1, ""),
            ("claimed", "staged", 1, "12 bytes"),
            ("staged", "held", 1, "in the way: ütf-8"),
        ]
        assert {event.who for event in history} == {f"bob@bob-pc:{owner.pid}"}
        seconds = [(clock_.instant(event.at) - start).total_seconds() for event in history]
        assert seconds == [0, 1.5, 1.500001]
        assert desk.catalogue.history(production.id, 2) == []

    def test_history_is_not_changed(self, desk: Desk) -> None:
        desk.add(1)
        production = desk.open()
        desk.claim(production, desk.enter(production))
        for statement, match in (
            ("UPDATE event SET why = ''", "history is not changed"),
            ("DELETE FROM production_run", "not deleted"),
        ):
            with pytest.raises(Exception, match=match):
                desk.subject.shell(statement)

    def test_a_run_in_no_ones_hands_has_no_owner(self, desk: Desk) -> None:
        desk.add(1, 2)
        production = desk.open()
        owner = desk.enter(production)
        one, two = desk.claim(production, owner)
        desk.move(one, State.NEW)
        desk.move(two, State.HELD)
        assert desk.catalogue.in_flight(owner) == {}
        assert desk.subject.shell("SELECT DISTINCT owner FROM production_run") == [(None,)]

    # ── managers ──

    @pytest.mark.feature("AC-30")
    def test_a_lease_lapses_only_with_the_beat_that_was_seen(self, desk: Desk) -> None:
        desk.add(1)
        production = desk.open()
        alice, bob = desk.enter(production), desk.enter(production, "bob")
        seen = desk.catalogue.managers(production.id)
        assert [(each.id, each.user, each.beat) for each in seen] == [(alice.id, "alice", 0), (bob.id, "bob", 0)]
        with desk.write(alice) as change:
            change.beat(alice, desk.now)
        assert not desk.lapse(seen[0])
        with desk.write(alice):
            pass
        (now, _) = desk.catalogue.managers(production.id)
        assert now.beat == 1
        assert desk.lapse(now)
        assert not desk.lapse(now)  # once
        assert desk.catalogue.managers(production.id) == [bob]
        with pytest.raises(errors.LostLease), desk.write(alice):
            pytest.fail("the block was entered")

    def test_who_has_lost_the_lease_changes_nothing(self, desk: Desk) -> None:
        desk.add(1)
        production = desk.open()
        alice, bob = desk.enter(production), desk.enter(production, "bob")
        (run,) = desk.claim(production, alice)
        assert desk.lapse(alice)
        desk.adopt(alice, bob)
        before = desk.everything()
        with pytest.raises(errors.LostLease), desk.write(alice) as change:
            change.move(run, State.STAGED, "", desk.now)
        assert desk.everything() == before
        assert not desk.move(run, State.STAGED)

    def test_a_beat_that_stopped_for_good_is_not_revived(self, desk: Desk) -> None:
        desk.add(1)
        production = desk.open()
        alice = desk.enter(production)
        desk.leave(alice)
        assert desk.catalogue.managers(production.id) == []
        assert not desk.lapse(alice)
        with pytest.raises(errors.LostLease), desk.write(alice):
            pytest.fail("the block was entered")

    @pytest.mark.feature("AC-30")
    @pytest.mark.parametrize("gone", ["lapsed", "left"])
    def test_who_adopts_gives_claims_back_and_follows_jobs(self, desk: Desk, gone: str) -> None:
        desk.add(1, 2, 3, 4, 5, 6)
        production = desk.open()
        alice, bob = desk.enter(production), desk.enter(production, "bob")
        six = desk.claim(production, alice)
        for run, state in zip(six, WAY[1:], strict=True):
            desk.walk(run, state)
        with desk.write(alice) as change:
            change.begin_transfer("/raw/1", "1.mid", alice, desk.now)
        assert desk.catalogue.orphans(production.id, bob) == []
        if gone == "lapsed":
            assert desk.lapse(alice)
        else:
            desk.leave(alice)
        assert desk.catalogue.orphans(production.id, bob) == [alice.id]
        desk.clock.advance(10)
        given_back, adopted, files = desk.adopt(alice, bob)
        assert numbers(given_back) == [1, 2]
        assert adopted == 3
        assert files == (["/raw/1"] if gone == "lapsed" else [])
        assert desk.catalogue.orphans(production.id, bob) == []
        expected = ["new", "new", "submitting", "submitted", "ended", "finished"]
        assert list(desk.states(production).values()) == expected
        assert numbers(desk.catalogue.owned(bob, *runs.IN_FLIGHT)) == [3, 4, 5]
        assert desk.catalogue.in_flight(alice) == {}
        assert desk.adopt(alice, bob) == ([], 0, [])
        desk.counted(production)
        # not counted, and the next attempt is another one
        again = desk.claim(production, bob)
        assert [(run.run, run.attempt, run.failures) for run in again] == [(1, 2, 0), (2, 2, 0)]
        ends = "SELECT run, cause, counted FROM attempt WHERE ended_at IS NOT NULL"
        assert desk.subject.shell(ends) == [(1, "released", 0), (2, "released", 0)]

    @pytest.mark.feature("AC-30")
    def test_a_takeover_is_history_of_who_took_over(self, desk: Desk) -> None:
        desk.add(1, 2)
        production = desk.open()
        alice, bob = desk.enter(production), desk.enter(production, "bob")
        one, _ = desk.claim(production, alice)
        desk.walk(one, State.SUBMITTED)
        desk.lapse(alice)
        desk.clock.advance(10)
        desk.adopt(alice, bob)
        for run, before, after in ((1, "submitted", "submitted"), (2, "claimed", "new")):
            event = desk.catalogue.history(production.id, run)[-1]
            assert (event.before, event.after, event.at) == (before, after, clock_.text(desk.now))
            assert event.who.startswith("bob@"), f"run {run}"

    def test_what_others_hold(self, desk: Desk) -> None:
        desk.add(1, 2, 3)
        production = desk.open()
        alice, bob, carol = (desk.enter(production, name) for name in ("alice", "bob", "carol"))
        desk.claim(production, bob, 2)
        looking = desk.catalogue.outlook(production.id, alice, runs.Wanted())
        assert looking == base.Outlook(new=True, waiting=False, others=((bob, 2),))
        desk.claim(production, carol)
        looking = desk.catalogue.outlook(production.id, alice, runs.Wanted())
        assert looking == base.Outlook(new=False, waiting=False, others=((bob, 2), (carol, 1)))
        assert desk.catalogue.outlook(production.id, bob, runs.Wanted()).others == ((carol, 1),)
        desk.lapse(bob)
        assert desk.catalogue.outlook(production.id, alice, runs.Wanted()).others == ((carol, 1),)

    @pytest.mark.feature("AC-18")
    def test_what_is_worth_waiting_for(self, desk: Desk) -> None:
        desk.add(1)
        desk.add(2, dataset="Si16")
        alcapana = desk.open()
        rootana = desk.open("rootana", on=alcapana)
        owner, me = desk.enter(alcapana), desk.enter(rootana)

        def look(*datasets: str) -> base.Outlook:
            return desk.catalogue.outlook(rootana.id, me, runs.Wanted(datasets))

        assert look() == base.Outlook(new=False, waiting=True, others=())
        one, two = desk.claim(alcapana, owner)
        desk.move(two, State.FAILED)
        assert look("Al50").waiting
        assert not look("Si16").waiting
        assert look().waiting
        desk.walk(one, State.FINISHED)
        assert look() == base.Outlook(new=True, waiting=False, others=())
        assert not look("Si16").new
        desk.move(dataclasses.replace(two, state=State.FAILED, owner=None), State.HELD)
        assert not look("Si16").waiting

    # ── attempts ──

    def test_the_last_ends_newest_first(self, desk: Desk) -> None:
        desk.add(1, 2, 3, 4)
        production = desk.open()
        owner, other = desk.enter(production), desk.enter(production)
        causes = (Cause.PROGRAM, None, Cause.RELEASED, Cause.LAUNCH)
        for run, cause in zip(desk.claim(production, owner), causes, strict=True):
            desk.clock.advance(1)
            desk.end(run, cause, message=f"run {run}")
        desk.subject.shell("UPDATE attempt SET elog = '/data/log' WHERE run = 1")
        ends = [
            base.End(4, "launch", "run 4"),
            base.End(2, None, "run 2"),
            base.End(1, "program", "run 1", "/data/log"),
        ]
        assert desk.catalogue.last_ends(owner, 10) == ends
        assert desk.catalogue.last_ends(owner, 2) == ends[:2]
        assert desk.catalogue.last_ends(other, 10) == []

    def test_the_last_words_of_whoever_was_started_last(self, desk: Desk) -> None:
        desk.add(1)
        production, other = desk.open(), desk.open()
        assert desk.catalogue.last_words(production.id) == ""
        first, second = desk.enter(production), desk.enter(production)
        for owner in (second, first):
            with desk.catalogue.write() as change:
                change.leave(owner, f"said by {owner.id}", desk.now)
        assert desk.catalogue.last_words(production.id) == f"said by {second.id}"
        assert desk.catalogue.last_words(other.id) == ""
        desk.enter(production)
        assert desk.catalogue.last_words(production.id) == "", "somebody works on it"

    def test_failed_and_held_runs_by_cause(self, desk: Desk) -> None:
        desk.add(*range(1, 7))
        production = desk.open()
        ends = [(Cause.PROGRAM, State.FAILED)] * 2 + [(Cause.TIME, State.FAILED), (Cause.OUTPUT, State.HELD)]
        for run, (cause, state) in zip(desk.claim(production, desk.enter(production), 4), ends, strict=True):
            desk.end(run, cause)
            desk.move(run, state)
        (held,) = desk.claim(production, desk.enter(production), 1)
        desk.move(held, State.HELD)
        desk.subject.shell("UPDATE production_run SET why = 'run ' || run WHERE run IN (1, 2, 5)")
        assert desk.catalogue.causes(production.id) == [
            base.Stuck("failed", "program", 2, (1, 2), ((1, "run 1"),)),
            base.Stuck("failed", "time", 1, (3,), ()),
            base.Stuck("held", "", 1, (5,), ((5, "run 5"),)),
            base.Stuck("held", "output", 1, (4,), ()),
        ]

    def test_of_many_stuck_runs_the_first_and_what_differs(self, desk: Desk) -> None:
        desk.add(*range(1, 31))
        production = desk.open()
        for run in desk.claim(production, desk.enter(production), 30):
            desk.end(run, Cause.PROGRAM)
            desk.move(run, State.FAILED)
        desk.subject.shell("UPDATE production_run SET why = 'exit ' || (90 + run / 6)")
        examples = ((1, "exit 90"), (6, "exit 91"), (12, "exit 92"))
        stuck = base.Stuck("failed", "program", 30, tuple(range(1, 11)), examples)
        assert desk.catalogue.causes(production.id) == [stuck]

    def test_an_ending_is_kept_with_all_that_is_known(self, desk: Desk) -> None:
        desk.add(1)
        production = desk.open()
        (run,) = desk.claim(production, desk.enter(production))
        facts = {"message": "exit 3: no such file", "counted": True, "host": "node7", "exit": 3, "wall": 1.5}
        desk.end(run, Cause.PROGRAM, cpu=0.5, memory=4096, **facts)
        row = "SELECT cause, message, counted, host, exit, signal, wall, cpu, memory, ended_at FROM attempt"
        assert desk.subject.shell(row) == [
            ("program", "exit 3: no such file", 1, "node7", 3, None, 1.5, 0.5, 4096, clock_.text(desk.now))
        ]

    @pytest.mark.feature("AC-29")
    def test_a_submission_is_found_again_by_its_name(self, desk: Desk) -> None:
        desk.add(1, 2)
        production = desk.open()
        owner = desk.enter(production)
        both = [desk.walk(run, State.SUBMITTING) for run in desk.claim(production, owner)]
        assert [run.submission for run in desk.catalogue.owned(owner, State.SUBMITTING)] == [None, None]
        with desk.write(owner) as change:
            digest = change.keep_modules(b"modules\n")
            places = [
                base.Place(run, task, f"/log/{run}.out", f"/log/{run}.err", ("job.sh", "a b"), ASKED, digest)
                for task, run in enumerate(both, 1)
            ]
            name = change.submission(owner, "local", production, places, desk.now)
            another = change.submission(owner, "local", production, places[:1], desk.now)
        assert name == f"alcapana-v1-{production.catalogue}-s000001"
        assert another.endswith("-s000002")
        one, two = desk.catalogue.owned(owner, State.SUBMITTING)
        assert (one.submission, two.submission) == (another, name)
        assert (two.job, two.user, two.submitted) == (None, "alice", clock_.text(desk.now))
        assert two.asked == ASKED
        with desk.write(owner) as change:
            change.job(two, "4711")
        assert [run.job for run in desk.catalogue.owned(owner, State.SUBMITTING)] == [None, "4711"]
        assert desk.subject.shell("SELECT run, task, olog, elog, command FROM attempt") == [
            (1, 1, "/log/1.out", "/log/1.err", '["job.sh", "a b"]'),
            (2, 2, "/log/2.out", "/log/2.err", '["job.sh", "a b"]'),
        ]

    def test_logs_of_earlier_attempts(self, desk: Desk) -> None:
        desk.add(1)
        production = desk.open()
        owner = desk.enter(production)
        for number in (1, 2):
            (run,) = desk.claim(production, owner)
            assert run.attempt == number
            with desk.write(owner) as change:
                assert change.earlier_log(run, "/log/1.out") == (1 if number == 2 else None)
                place = base.Place(run, 1, "/log/1.out", "/log/1.err", (), runs.Resources(), None)
                change.submission(owner, "local", production, [place], desk.now)
                if number == 2:
                    change.keep_log(run, 1, "/log/1.attempt1.out", "/log/1.attempt1.err")
                    assert change.earlier_log(run, "/log/1.out") is None
                change.move(run, State.NEW, "", desk.now)
        assert desk.subject.shell("SELECT attempt, olog FROM attempt") == [
            (1, "/log/1.attempt1.out"),
            (2, "/log/1.out"),
        ]

    @pytest.mark.feature("AC-27")
    @pytest.mark.parametrize("text", ["", "module TDPs\n", "µ⁺ → e⁺\r\n", "a\0b", "x" * 200_000])
    def test_a_configuration_text_is_kept_once(self, desk: Desk, text: str) -> None:
        with desk.write() as change:
            first = change.keep_modules(text.encode())
            assert change.keep_modules(text.encode()) == first
            assert change.keep_modules(text.encode() + b"#") != first
        rows = dict(desk.subject.shell("SELECT digest, text FROM modules"))
        assert rows == {first: text, **{digest: kept for digest, kept in rows.items() if digest != first}}
        assert len(rows) == 2

    @pytest.mark.feature("AC-27")
    def test_a_configuration_text_need_not_be_utf_8(self, desk: Desk) -> None:
        """An old file with a µ in Latin-1."""
        text = b"# muon lifetime 2.2 \xb5s\n"
        with desk.write() as change:
            first = change.keep_modules(text)
            assert change.keep_modules(text) == first
        assert desk.subject.shell("SELECT text FROM modules") == [(text,)]

    # ── inputs and transfers ──

    def test_a_file_goes_with_the_last_need_of_it(self, desk: Desk) -> None:
        desk.add(1)
        first, second = desk.open(), desk.open()
        (one,) = desk.claim(first, desk.enter(first))
        (two,) = desk.claim(second, desk.enter(second))
        with desk.write() as change:
            change.need(one, "/raw/1.mid", "1.mid", None, ours=True)
            change.need(one, "/raw/1.mid", "1.mid", 100, ours=True)  # once more, now that it has come
            change.need(two, "/raw/1.mid", "1.mid", 100, ours=False)
            assert change.drop_inputs(one) == []
            assert change.drop_inputs(one) == []
            assert change.drop_inputs(two) == ["/raw/1.mid"]
            assert change.drop_inputs(two) == []

    def test_a_file_that_was_there_before_us_is_not_ours_to_remove(self, desk: Desk) -> None:
        desk.add(1)
        first, second = desk.open(), desk.open()
        (one,) = desk.claim(first, desk.enter(first))
        (two,) = desk.claim(second, desk.enter(second))
        with desk.write() as change:
            change.need(one, "/raw/1.mid", "1.mid", 100, ours=False)
            change.need(two, "/raw/1.mid", "1.mid", 100, ours=False)
            assert change.drop_inputs(one) == []
            assert change.drop_inputs(two) == []

    def test_a_run_may_need_several_files_and_is_still_one_run(self, desk: Desk) -> None:
        desk.add(1)
        production = desk.open()
        owner = desk.enter(production)
        (run,) = desk.claim(production, owner)
        with desk.write() as change:
            change.need(run, "/raw/1.mid", "1.mid", 100, ours=True)
            change.need(run, "/raw/1.odb", "1.odb", 100, ours=True)
        assert numbers(desk.catalogue.owned(owner, State.CLAIMED)) == [1]
        with desk.write() as change:
            assert sorted(change.drop_inputs(run)) == ["/raw/1.mid", "/raw/1.odb"]

    def test_the_input_is_known_with_the_run(self, desk: Desk) -> None:
        desk.add(1)
        production = desk.open()
        owner = desk.enter(production)
        (run,) = desk.claim(production, owner)
        with desk.write() as change:
            change.need(run, "/raw/1.mid", "1.mid", 100, ours=True)
        assert [each.input for each in desk.catalogue.owned(owner, State.CLAIMED)] == ["/raw/1.mid"]

    def test_a_file_is_brought_by_one_at_a_time(self, desk: Desk) -> None:
        desk.add(1)
        production = desk.open()
        alice, bob = desk.enter(production), desk.enter(production, "bob")
        with desk.write() as change:
            change.begin_transfer("/raw/1", "1.mid", alice, desk.now)
            assert change.carried("/raw/1")
            assert not change.carried("/raw/2")
            change.begin_transfer("/raw/2", "2.mid", bob, desk.now)
            change.progress(bob, "/raw/1", 100, 99)
            change.end_transfer("/raw/1", bob)  # not his
            assert change.carried("/raw/1")
            change.progress(alice, "/raw/1", 100, 50)
            change.progress(alice, "/raw/1", None, 60)
        where = "SELECT manager, size, bytes FROM transfer WHERE path = '/raw/1'"
        assert desk.subject.shell(where) == [(alice.id, 100, 60)]
        with desk.write() as change:
            change.end_transfer("/raw/1", alice)
            assert not change.carried("/raw/1")
            change.begin_transfer("/raw/1", "1.mid", bob, desk.now)

    @pytest.mark.feature("AC-30")
    @pytest.mark.feature("AC-30", "AC-28")
    def test_jobs_are_followed_through_the_batch_system_that_has_them(self, desk: Desk) -> None:
        desk.add(1, 2, 3)
        production = desk.open()
        alice, bob = desk.enter(production, batch="slurm"), desk.enter(production, "bob")
        for run, state in zip(desk.claim(production, alice), (State.SUBMITTED, State.ENDED, State.STAGED), strict=True):
            desk.walk(run, state)
        assert desk.lapse(alice)
        assert desk.catalogue.elsewhere(production.id, bob) == {"slurm": 1}
        given_back, adopted, _ = desk.adopt(alice, bob)
        assert (numbers(given_back), adopted) == ([3], 1)
        assert desk.catalogue.orphans(production.id, bob) == []
        carol = desk.enter(production, "carol", batch="slurm")
        assert desk.catalogue.elsewhere(production.id, carol) == {}
        assert desk.catalogue.orphans(production.id, carol) == [alice.id]
        assert desk.adopt(alice, carol)[1] == 1

    @pytest.mark.feature("AC-21")
    def test_what_earlier_attempts_had_and_how_they_ended(self, desk: Desk) -> None:
        desk.add(1)
        production = desk.open()
        owner = desk.enter(production)
        (run,) = desk.claim(production, owner)
        with desk.write(owner) as change:
            place = base.Place(run, 1, "/log/1.out", "/log/1.err", (), ASKED, None, ("n02",))
            change.submission(owner, "slurm", production, [place], desk.now)
        desk.end(run, Cause.MEMORY, host="n01", wall=12.5, memory=2**31)
        desk.move(run, State.NEW)
        (run,) = desk.claim(production, owner)
        assert desk.catalogue.earlier(run) == [runs.Earlier(Cause.MEMORY, ASKED, "n01", 12.5, 2**31)]
        [(kept,)] = desk.subject.shell("SELECT resources FROM attempt WHERE attempt = 1")
        assert '"avoided": ["n02"]' in kept

    @pytest.mark.parametrize("gone", ["lapsed", "left"])
    def test_a_file_that_someone_gone_was_bringing_can_be_brought(self, desk: Desk, gone: str) -> None:
        """Also if nothing else is left of him that anybody would adopt."""
        desk.add(1)
        production = desk.open()
        alice, bob = desk.enter(production), desk.enter(production, "bob")
        (run,) = desk.claim(production, alice)
        with desk.write() as change:
            change.begin_transfer("/raw/1", "1.mid", alice, desk.now)
        desk.move(run, State.NEW)  # released; killed before he could say goodbye
        if gone == "lapsed":
            assert desk.lapse(alice)
        else:
            desk.leave(alice)
        for orphaned in desk.catalogue.orphans(production.id, bob):
            with desk.write() as change:
                change.adopt(orphaned, 1, bob, desk.now)
        with desk.write() as change:
            assert not change.carried("/raw/1")

    @pytest.mark.feature("AC-30")
    def test_another_production_can_bring_what_someone_gone_was_bringing(self, desk: Desk) -> None:
        """v3's only manager was killed while it staged; nobody will go on with v3, v4 wants the same raw file."""
        desk.add(1)
        third, fourth = desk.open(), desk.open()
        alice, bob = desk.enter(third), desk.enter(fourth, "bob")
        desk.claim(third, alice)
        with desk.write() as change:
            change.begin_transfer("/raw/1", "1.mid", alice, desk.now)
        assert desk.lapse(alice)
        for orphaned in desk.catalogue.orphans(fourth.id, bob):
            with desk.write() as change:
                change.adopt(orphaned, fourth.id, bob, desk.now)
        with desk.write() as change:
            assert not change.carried("/raw/1")

    # ── what is promised ──

    def test_sizes_are_what_was_seen_so_far(self, desk: Desk) -> None:
        desk.add(1, 2, 3)
        production = desk.open()
        owner = desk.enter(production)
        runs_ = desk.claim(production, owner)
        with desk.write() as change:
            assert change.sizes(production.id) == base.Sizes(0, base.UNSEEN)
            assert change.size(runs_[0], "/raw/1") is None
            change.need(runs_[0], "/raw/1", "1", 500, ours=True, come=desk.now)
            change.need(runs_[1], "/raw/2", "2", 700, ours=True, come=desk.now)
            assert change.size(runs_[0], "/raw/1") == 500
            assert change.sizes(production.id) == base.Sizes(700, base.UNSEEN)  # until one has written something
            for run, size in zip(runs_, (10, 90, 30), strict=True):
                change.intend(
                    run, [runs.Output("tree", "t", f"/tree/{run}", size), runs.Output("hist", "h", f"/hist/{run}", 5)]
                )
                change.record(run, desk.now)
            assert change.sizes(production.id) == base.Sizes(700, 35)
        following = desk.open()
        with desk.write() as change:
            assert change.sizes(following.id) == base.Sizes(700, 35)

    def test_promised_is_what_is_still_to_come_to_that_disk(self, desk: Desk) -> None:
        desk.add(1, 2, 3, 4)
        production = desk.open()
        owner = desk.enter(production)
        with desk.write() as change:
            assert change.promised("/data", desk.now) == base.Promised(0, 0)
        one, two, three, four = desk.claim(production, owner)
        before = desk.now - datetime.timedelta(seconds=1)
        after = desk.now + datetime.timedelta(seconds=1)
        with desk.write() as change:
            change.need(one, "/raw/1", "1", 100, ours=True, come=desk.now)
            change.begin_transfer("/raw/2", "2", owner, desk.now)
            change.need(two, "/raw/2", "2", None, ours=True)
            change.need(three, "/raw/3", "3", 70, ours=True)  # it was too large when it was ordered
            change.move(one, State.STAGED, "", desk.now)
            # one has come since the look, or before; two is on its way, as large as one; three and four will be ordered
            outputs = change.sizes(production.id).outputs
            assert change.promised("/data", before) == base.Promised(100 + 100 + 2 * outputs, 70 + 100 + 2 * outputs)
            assert change.promised("/data", after) == base.Promised(100 + 2 * outputs, 70 + 100 + 2 * outputs)
            assert change.promised("/elsewhere", before) == base.Promised(0, 0)
            change.need(four, "/raw/1", "1", 100, ours=True, come=desk.now)  # the same file: once
            assert change.promised("/data", before).ordered == 200 + 2 * outputs
            silent = change.open_production(base.Opening("silent", "t", "gold", None, (), "/data", "alice"), desk.now)
            assert change.sizes(silent.id) == base.Sizes(0, 0)  # it writes nothing

    # ── outputs and fixed paths ──

    @pytest.mark.feature("AC-24")
    def test_outputs_are_intended_then_recorded(self, desk: Desk) -> None:
        desk.add(1)
        alcapana = desk.open()
        rootana = desk.open("rootana", on=alcapana)
        (run,) = desk.claim(alcapana, desk.enter(alcapana))
        tree = runs.Output("tree", "/data/work/1/tree", "/tree/v1/1.root", 10, "adler32:00000001")
        hist = runs.Output("hist", "/data/work/1/hist", "/hist/v1/1.root", 20, "adler32:00000002")
        with desk.write() as change:
            change.intend(run, [tree, hist])
        assert desk.catalogue.intended(run) == [hist, tree]
        assert desk.subject.shell("SELECT tree, hist FROM alcapana_v1") == [(None, None)]
        ended = desk.walk(run, State.ENDED)
        with desk.write() as change:
            change.move(ended, State.FINISHED, "", desk.now)
            change.record(ended, desk.now)
        assert desk.catalogue.intended(run) == []
        assert desk.subject.shell("SELECT tree, hist FROM alcapana_v1") == [("/tree/v1/1.root", "/hist/v1/1.root")]
        (based,) = desk.claim(rootana, desk.enter(rootana))
        assert desk.catalogue.base_output(based, "tree") == ("/tree/v1/1.root", 10)
        assert desk.catalogue.base_output(based, "none") is None
        assert desk.catalogue.base_output(run, "tree") is None

    def test_the_outputs_of_a_failed_attempt_are_forgotten(self, desk: Desk) -> None:
        desk.add(1)
        production = desk.open()
        (run,) = desk.claim(production, desk.enter(production))
        output = runs.Output("tree", "/data/work/1/tree", "/tree/v1/1.root", 10, "adler32:00000001")
        with desk.write() as change:
            change.intend(run, [output])
        desk.end(run, None)
        assert desk.catalogue.intended(run) == [output]
        desk.end(run, Cause.OUTPUT)
        assert desk.catalogue.intended(run) == []
        assert desk.subject.shell("SELECT * FROM output") == []

    def test_a_fixed_path_is_one_attempts_until_nobody_has_the_run(self, desk: Desk) -> None:
        desk.add(1, 2)
        production = desk.open()
        one, two = desk.claim(production, desk.enter(production))
        path = "/home/alice/data/tree.root"
        with desk.write() as change:
            assert change.path_use(path) is None
            change.take_path(one, path)
            assert change.path_use(path) == base.PathUse(production.id, 1, 1, busy=True)
            change.end(one, base.Ending(Cause.KILLED), desk.now)
            assert change.move(two, State.NEW, "", desk.now)
            assert change.path_use(path) == base.PathUse(production.id, 1, 1, busy=True)
            assert change.taken_paths(one) == [path]
            change.leave_path(one, path, "12 100 5")
            change.leave_path(two, path, "not its own")
            assert change.move(one, State.NEW, "", desk.now)
            assert change.path_use(path) == base.PathUse(production.id, 1, 1, busy=False, leftover="12 100 5")
            assert change.taken_paths(one) == []
            change.take_path(two, path)
            assert change.path_use(path) == base.PathUse(production.id, 2, 1, busy=True)

    # ── the production's own table ──

    def test_the_table_of_a_production_shows_each_state(self, desk: Desk) -> None:
        letters = dict.fromkeys(State, "R") | {
            State.WAITING: "W", State.NEW: "N", State.CLAIMED: "C", State.STAGED: "C",
            State.FINISHED: "F", State.FAILED: "E", State.HELD: "H",
        }  # fmt: skip
        desk.add(*range(1, 10))
        production = desk.open()
        owner = desk.enter(production)
        for run, state in zip(desk.claim(production, owner, 8), [*WAY[1:], State.FAILED, State.HELD], strict=True):
            if state in WAY:
                desk.walk(run, state)
            else:
                desk.move(run, state)
        shown = dict(desk.subject.shell("SELECT run, status FROM alcapana_v1"))
        assert shown == {run: letters[State(state)] for run, state in desk.states(production).items()}
        desk.open("rootana", on=production)
        based = dict(desk.subject.shell("SELECT run, status FROM rootana_v1"))
        assert based[9] == "W"
        assert set(letters.values()) == set(shown.values()) | set(based.values())

    @pytest.mark.feature("AC-24", "AC-27")
    def test_the_table_of_a_production_has_the_columns_people_query(self, desk: Desk) -> None:
        desk.add(1)
        production = desk.open()
        owner = desk.enter(production)
        (run,) = desk.claim(production, owner)
        with desk.write() as change:
            digest = change.keep_modules(b"modules\n")
            place = base.Place(run, 1, "/log/1.out", "/log/1.err", ("x",), runs.Resources(), digest)
            change.submission(owner, "local", production, [place], desk.now)
        desk.clock.advance(60)
        desk.end(run, None)
        names = "run, status, user, start, stop, tree, hist, odb, olog, elog, modules"
        (row,) = desk.subject.shell(f"SELECT {names} FROM alcapana_v1")
        start, stop = "2026-11-20T21:00:00.000000Z", "2026-11-20T21:01:00.000000Z"
        assert row == (1, "C", "alice", start, stop, None, None, None, "/log/1.out", "/log/1.err", "modules\n")
        assert desk.subject.shell("SELECT * FROM alcapana_v1") == [row]

    def test_the_table_of_a_production_shows_its_own_runs(self, desk: Desk) -> None:
        desk.add(1, 2)
        first = desk.open()
        desk.add(3)
        desk.open()
        desk.claim(first, desk.enter(first), 1)
        assert desk.subject.shell("SELECT run, status FROM alcapana_v1") == [(1, "C"), (2, "N")]
        assert desk.subject.shell("SELECT run, status FROM alcapana_v2") == [(1, "N"), (2, "N"), (3, "N")]

    @pytest.mark.parametrize(
        "statement",
        [
            "UPDATE alcapana_v1 SET status = 'N'",
            "DELETE FROM alcapana_v1 WHERE run = 1",
            "INSERT INTO alcapana_v1 (run) VALUES (7)",
        ],
    )
    def test_writing_to_the_table_of_a_production_is_refused(self, desk: Desk, statement: str) -> None:
        desk.add(1)
        desk.open()
        before = desk.everything()
        with pytest.raises(Exception, match="to change a run use: production retry, hold, release or reset"):
            desk.subject.shell(statement)
        assert desk.everything() == before

    # ── always ──

    @hypothesis.settings(max_examples=25)
    @hypothesis.given(
        seed=st.lists(st.tuples(st.integers(0, 8), st.integers(0, 5), st.sampled_from(State)), max_size=30)
    )
    def test_whatever_happens_the_counts_and_the_history_agree(
        self, make: Make, seed: list[tuple[int, int, State]]
    ) -> None:
        desk = Desk(make())
        desk.add(1, 2, 3)
        alcapana = desk.open()
        rootana = desk.open("rootana", on=alcapana)
        walk = Walk(desk, [alcapana, rootana])
        for verb, which, state in seed:
            desk.clock.advance(1)
            walk.do(verb, which, state)
            for production in (alcapana, rootana):
                desk.counted(production)
        for production in (alcapana, rootana):
            for run, state_now in desk.states(production).items():
                history = desk.catalogue.history(production.id, run)
                if history:
                    assert history[-1].after == state_now
                assert all(one.after == two.before for one, two in itertools.pairwise(history))
                assert [event.at for event in history] == sorted(event.at for event in history)


class Walk:
    """Random deeds."""

    def __init__(self, desk: Desk, productions: list[runs.Production]) -> None:
        self.desk = desk
        self.productions = productions
        self.owners = {production.id: [desk.enter(production) for _ in range(2)] for production in productions}
        self.added = itertools.count(10)

    def do(self, verb: int, which: int, state: State) -> None:
        production = self.productions[which % 2]
        owner = self.owners[production.id][which // 2 % 2]
        desk = self.desk
        if verb == 0:
            desk.add(next(self.added), quality="gold" if which else "silver")
            desk.intake(self.productions[0])
        elif verb == 1:
            desk.claim(production, owner, which)
        elif verb == 2:
            self.gone(production, owner, lapse=bool(which % 3))
        elif verb == 3:
            with contextlib.suppress(Slip), desk.write() as change:
                change.claim(production.id, which, owner, runs.Wanted(), desk.now)
                raise Slip
        elif verb == 4:
            with desk.write() as change:
                for run in desk.catalogue.owned(owner, *runs.IN_FLIGHT):
                    following = WAY[WAY.index(run.state) + 1]
                    change.move(run, following, "", desk.now)
                    change.move(run, following, "again", desk.now)
        else:
            for run in itertools.islice(desk.catalogue.owned(owner, *runs.IN_FLIGHT), 1):
                if state in runs.MOVES[run.state]:
                    assert desk.move(run, state)
                else:
                    with pytest.raises(ValueError, match="no move"):
                        desk.move(run, state)

    def gone(self, production: runs.Production, owner: runs.Owner, *, lapse: bool) -> None:
        desk = self.desk
        heir = desk.enter(production)
        if lapse:
            assert desk.lapse(owner)
        else:
            desk.leave(owner)
        desk.adopt(owner, heir)
        owners = self.owners[production.id]
        owners[owners.index(owner)] = heir
