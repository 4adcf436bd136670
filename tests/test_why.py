"""What ``why`` says of situations that are hard to bring about: layers and what will be next, from what is known."""

from __future__ import annotations

import dataclasses
import datetime
from typing import Any

import pytest

from production import clock, facts
from production import run as runs
from production.monitor import known as knowns
from production.monitor import why

State = runs.State

NOW = datetime.datetime(2026, 11, 21, 3, 0, tzinfo=datetime.UTC)
PRODUCTION = runs.Production(1, "sim", 4, "v5", 2, 1, "2026-11-20T21:00:00.000000Z", None, "gold", "/data", "abc")
START = "run_production --production=sim --version=4"


def at(seconds: float) -> str:
    return clock.text(NOW + datetime.timedelta(seconds=seconds))


def manager(id_: int = 1, **more: Any) -> facts.AtWork:
    plain = facts.AtWork(
        id_, "mu", f"node{id_}", 4711, "boot", 1, "sim_v4", "slurm", 10, 5, "[]", "[]", at(-900), at(-2), None, None, "", 3
    )  # fmt: skip
    return dataclasses.replace(plain, **more)


def row(state: State, **more: Any) -> facts.Row:
    owner = 1 if state in runs.IN_FLIGHT else None
    plain = facts.Row(
        2091, None, state, at(-600), 1, 0, 0, None, "", None, None, None, None, None, None, None, None, None, None, owner, None, ("Al50",)
    )  # fmt: skip
    return dataclasses.replace(plain, **more)


def attempt(**more: Any) -> facts.Attempt:
    values: dict[str, Any] = dict.fromkeys(field.name for field in dataclasses.fields(facts.Attempt))
    plain = {"attempt": 1, "user": "mu", "claimed": at(-900), "submitted": at(-300), "job": "77_1", "batch": "slurm"}
    return facts.Attempt(**(values | plain | {"counted": False} | more))


def asked(verb: str) -> facts.Request:
    return facts.Request(1, verb, None, "anna", "", at(-60), None, None)


def known(state: State, *managers: facts.AtWork, **more: Any) -> knowns.Known:
    fields: dict[str, Any] = {
        "production": PRODUCTION, "opened": facts.Opened("mu", None, None), "row": row(state),
        "attempts": (), "inputs": (), "requests": (), "outputs": (), "lease": 300.0, "limit": 3,
        "datasets": frozenset({("Al50", 1)}),
    }  # fmt: skip
    return knowns.Known(now=NOW, managers=managers, **(fields | more))


def lines(found: knowns.Known) -> dict[str, str]:
    return {line.layer: line.text for line in why.explain(found)}


# --- a manager has it --------------------------------------------------------------------------------------------------

SILENT = {"beat": at(-200)}
JOB = {"attempts": (attempt(),)}
ELSEWHERE = manager(2, batch="local")

IN_HAND: dict[str, tuple[knowns.Known, dict[str, str]]] = {
    "its manager left, its job goes on": (
        known(State.SUBMITTED, manager(stop=at(-100)), **JOB),
        {
            "claim": "mu@node1:4711, which has left",
            "next": f"nothing until somebody starts a manager, which takes over: {START} --batch=slurm",
        },
    ),
    "its manager left, another is there": (
        known(State.SUBMITTED, manager(stop=at(-100)), manager(2), **JOB),
        {"next": "mu@node2:4711 takes over in its next cycle"},
    ),
    "another is there, but can't follow jobs of that cluster": (
        known(State.SUBMITTED, manager(stop=at(-100)), ELSEWHERE, **JOB),
        {"next": f"nothing until somebody starts a manager, which takes over: {START} --batch=slurm"},
    ),
    "without a job anybody takes over": (
        known(State.STAGED, manager(lapsed=at(-100)), ELSEWHERE),
        {"claim": "mu@node1:4711, which is dead", "next": "mu@node2:4711 takes over in its next cycle"},
    ),
    "a local job is followed from its host": (
        known(State.SUBMITTED, manager(batch="local"), dead=frozenset({1}), **JOB),
        {"next": f"nothing until somebody starts a manager on node1, which takes over: {START} --batch=local"},
    ),
    "nothing is known of its manager": (
        known(State.CLAIMED, row=row(State.CLAIMED, owner=9)),
        {"claim": "manager 9", "next": f"nothing until somebody starts a manager, which takes over: {START}"},
    ),
    "its manager is silent, nobody else is there": (
        known(State.CLAIMED, manager(**SILENT)),
        {
            "claim": "mu@node1:4711, which has been silent for 3 min",
            "next": f"nothing, if mu@node1:4711 stays silent, until somebody starts a manager, which takes over: {START}",
        },
    ),
    "its manager is silent, another waits": (
        known(State.CLAIMED, manager(**SILENT), manager(2)),
        {"next": "if mu@node1:4711 stays silent, mu@node2:4711 takes over in 2 min"},
    ),
    "silent for longer than its lease": (
        known(State.CLAIMED, manager(beat=at(-400)), manager(2)),
        {"next": "if mu@node1:4711 stays silent, mu@node2:4711 takes over soon"},
    ),
    "its manager sleeps, another waits": (
        known(State.STAGED, manager(), manager(2), asleep=frozenset({1})),
        {
            "claim": "mu@node1:4711, which is stopped (Ctrl-Z?)",
            "next": "nothing until mu@node1:4711 goes on: kill -CONT 4711 (on node1); or mu@node2:4711 takes over when it was"
            " silent for 5 min",
        },
    ),
    "something is asked of it": (
        known(State.SUBMITTED, manager(), requests=(asked("cancel"),), **JOB),
        {
            "request": "cancel, asked by anna 60 s ago, is not answered yet",
            "next": "cancel, as was asked: mu@node1:4711 does it in its next cycle",
        },
    ),
    "nobody can do what is asked of it": (
        known(State.SUBMITTED, manager(stop=at(-100)), ELSEWHERE, requests=(asked("hold"),), **JOB),
        {"next": f"nobody can answer hold until somebody starts a manager, which takes over: {START} --batch=slurm"},
    ),
    "its manager is silent, and something is asked of it": (
        known(State.CLAIMED, manager(**SILENT), requests=(asked("hold"),)),
        {
            "next": "nobody can answer hold, if mu@node1:4711 stays silent, until somebody starts a manager,"
            f" which takes over: {START}",
        },
    ),
    "another does what is asked of it": (
        known(State.SUBMITTED, manager(lapsed=at(-1)), manager(2), requests=(asked("hold"),), **JOB),
        {"next": "mu@node2:4711 takes over in its next cycle, and does what was asked: hold"},
    ),
    "the answer of the batch system was lost": (
        known(State.SUBMITTING, manager()),
        {
            "batch system": "it has not told the job's number: the job is looked for by the submission's name",
            "next": "submitted when its job is found, or new again when it is certain that there is none",
        },
    ),
    "the batch system can't be asked": (
        known(State.SUBMITTED, manager(), **JOB),
        {"batch system": "job 77_1 of slurm for 5 min: nothing can be told of it from here"},
    ),
    "its outputs are another user's": (
        known(State.ENDED, manager(), touch="rpbob", **JOB),
        {
            "outputs": "its job, of rpbob, wrote files that mu@node1:4711 may not move",
            "next": f"finished when rpbob starts a manager, too: {START}",
        },
    ),
    "its outputs are looked at": (
        known(State.ENDED, manager(), **JOB),
        {
            "outputs": "its job has ended; its outputs are looked at",
            "next": "finished when its outputs are in place",
        },
    ),
    "staged, with all places taken": (
        known(State.STAGED, manager(), in_hand={1: {State.SUBMITTED: 9, State.SUBMITTING: 1}}, no_room="there is room"),
        {
            "limits": "mu@node1:4711 has 10 of 10 jobs (nproc)",
            "next": "submitted when one of the 10 jobs of its manager has ended",
        },
    ),
    "staged, and the disk is full": (
        known(State.STAGED, manager(), quota="2 TiB used of 2 TiB: full", no_room="there is room"),
        {"quota": "2 TiB used of 2 TiB: full", "next": "submitted when there is room"},
    ),
    "staged, and nothing is in the way": (
        known(State.STAGED, manager()),
        {"next": "submitted as soon as the batch system takes it"},
    ),
}


@pytest.mark.parametrize("case", IN_HAND)
def test_a_run_that_a_manager_has(case: str) -> None:
    found, said = IN_HAND[case]
    told = lines(found)
    assert {layer: told.get(layer) for layer in said} == said


# --- its input ---------------------------------------------------------------------------------------------------------


def coming(**more: Any) -> facts.Input:
    plain = facts.Input("/data/raw/a", "run02091.mid", None, True, None, None, None, None)
    return dataclasses.replace(plain, **more)


def ordered(path: str, *, begun: bool) -> facts.Transfer:
    return facts.Transfer(path, begun)


BUSY = (ordered("/data/raw/a", begun=False), ordered("/data/raw/b", begun=True), ordered("/data/raw/c", begun=False))


@pytest.mark.parametrize(
    ("inputs", "transfers", "said"),
    [
        ((), (), "its input is not ordered yet: other files come first, or there is no room"),
        ((coming(),), (), "run02091.mid: it is not ordered yet: other files come first, or there is no room"),
        ((coming(begun=at(-300), so_far=0),), BUSY, "run02091.mid: ordered 5 min ago; others come first, 1 at a time (archive.transfers)"),
        ((coming(begun=at(-300), so_far=0),), BUSY[:1], "run02091.mid: no byte for 5 min"),
        ((coming(begun=at(-300), so_far=500, bytes=2000),), (), "run02091.mid: 25 % in 5 min"),
        ((coming(begun=at(-300), so_far=5000),), (), "run02091.mid: 5,000 bytes in 5 min"),
        ((coming(come=at(-1)),), (), None),
    ],
)  # fmt: skip
def test_how_far_an_input_is(
    inputs: tuple[facts.Input, ...], transfers: tuple[facts.Transfer, ...], said: str | None
) -> None:
    told = lines(known(State.CLAIMED, manager(), inputs=inputs, transfers={"/data/raw/a": transfers}))
    assert told.get("archive") == said
    assert told["next"] == "staged when its input is here"


@pytest.mark.parametrize(
    ("how", "said"),
    [
        ({"tapes": True}, "run02091.mid: no byte for 5 min (a tape?)"),
        (
            {"fetched_by": "batch.fetch (dccp) runs on login"},
            "run02091.mid: batch.fetch (dccp) runs on login for 5 min",
        ),
        (
            {"fetched_by": "batch.fetch (dccp) runs on login", "tapes": True},
            "run02091.mid: batch.fetch (dccp) runs on login for 5 min",
        ),
    ],
)
def test_who_keeps_an_input_waiting(how: dict[str, Any], said: str) -> None:
    """A tape only where the archive has some."""
    inputs = (coming(begun=at(-300), so_far=0),)
    told = lines(known(State.CLAIMED, manager(), inputs=inputs, transfers={"/data/raw/a": BUSY[:1]}, **how))
    assert told["archive"] == said


# --- nobody has it -----------------------------------------------------------------------------------------------------

FULL = {1: {State.SUBMITTED: 10, State.STAGED: 5}}
ONLY = manager(datasets='["Al50"]', tranches="[2]")
CLOSED = {
    "production": dataclasses.replace(PRODUCTION, stop=at(-3600)),
    "opened": facts.Opened("mu", "anna", "beam off"),
}
AGAIN = row(State.NEW, not_before=at(120), failures=1)

NEW: dict[str, tuple[knowns.Known, dict[str, str | None]]] = {
    "nobody is there": (
        known(State.NEW, last_words="3 runs in a row failed"),
        {
            "claim": "no manager is at work",
            "brake": "its last manager stopped: 3 runs in a row failed",
            "next": f"nothing until somebody starts a manager: {START}",
        },
    ),
    "nobody is there since it was done": (known(State.NEW, last_words="done"), {"brake": None}),
    "one is there, and silent": (
        known(State.NEW, manager(**SILENT)),
        {
            "claim": "no manager is at work; mu@node1:4711 has been silent for 3 min",
            "next": f"nothing until somebody starts a manager: {START}",
        },
    ),
    "all who are there take other tranches": (
        known(State.NEW, ONLY, manager(2, datasets='["Si16"]')),
        {
            "claim": "no manager takes it: mu@node1:4711 takes only dataset Al50, tranche 2; mu@node2:4711 takes only dataset Si16",
            "limits": None,
            "next": f"nothing until somebody starts a manager that takes it: {START}",
        },
    ),
    "it is the next": (
        known(State.NEW, manager(), in_hand={1: {State.SUBMITTED: 3}}),
        {
            "claim": None,
            "limits": "mu@node1:4711 has 3 of 15 runs (nproc + nprep)",
            "next": "claimed in the next cycle of mu@node1:4711, if the disk has room for its files",
        },
    ),
    "it is among the next": (
        known(State.NEW, manager(), in_hand={1: {State.SUBMITTED: 3}}, ahead=11),
        {
            "claim": "11 runs go before it, by priority (it has 0) and number",
            "next": "claimed in the next cycle of mu@node1:4711, if the disk has room for its files",
        },
    ),
    "it isn't among the next": (
        known(State.NEW, manager(), in_hand={1: {State.SUBMITTED: 3}}, ahead=12),
        {"next": "claimed when those before it are, and there is a place again"},
    ),
    "very many go before it": (
        known(State.NEW, manager(), ahead=10_000, counted=False),
        {
            "claim": "10,000 runs and more go before it, by priority (it has 0) and number",
            "next": "claimed when those before it are, and there is a place again",
        },
    ),
    "all places are taken": (
        known(State.NEW, manager(), in_hand=FULL),
        {"next": "claimed when mu@node1:4711 has finished one of its runs"},
    ),
    "all places are taken, and one goes before it": (
        known(State.NEW, manager(), in_hand=FULL, ahead=1),
        {
            "claim": "1 run goes before it, by priority (it has 0) and number",
            "next": "claimed when mu@node1:4711 has finished one of its runs and those before it are claimed",
        },
    ),
    "another has a place": (
        known(State.NEW, manager(), manager(2), in_hand=FULL),
        {"next": "claimed in the next cycle of mu@node2:4711, if the disk has room for its files"},
    ),
    "one takes nothing more, the other has no place": (
        known(State.NEW, manager(), manager(2), in_hand=FULL, brakes={2: "10 runs in a row failed"}),
        {
            "brake": "mu@node2:4711 takes nothing more: 10 runs in a row failed",
            "next": "claimed when mu@node1:4711 has finished one of its runs",
        },
    ),
    "back-off, with somebody there": (
        known(State.NEW, manager(), row=AGAIN),
        {"next": "claimed in 2 min, or later if there is no place for it then"},
    ),
    "back-off that is over": (
        known(State.NEW, manager(), row=row(State.NEW, not_before=at(-1), failures=1)),
        {
            "back-off": None,
            "next": "claimed in the next cycle of mu@node1:4711, if the disk has room for its files",
        },
    ),
    "back-off, with nobody there": (
        known(State.NEW, row=AGAIN),
        {"next": f"nothing until somebody starts a manager: {START}"},
    ),
    "closed, while managers finish what they have": (
        known(State.NEW, manager(), quota="1 TiB used", **CLOSED),
        {
            "production": "sim_v4 was closed by anna (beam off) 60 min ago: nothing more of it is claimed",
            "limits": None,
            "quota": None,
            "next": "nothing; to open it again: production close --undo --production=sim_v4 --yes",
        },
    ),
    "what was asked of it nobody has answered": (
        known(State.NEW, requests=(asked("hold"),)),
        {"next": f"hold is answered when somebody starts a manager: {START}"},
    ),
    "what was asked of it is answered soon": (
        known(State.NEW, manager(), requests=(asked("hold"),)),
        {"next": "hold is answered by mu@node1:4711 in its next cycle"},
    ),
}


@pytest.mark.parametrize("case", NEW)
def test_a_run_that_is_new(case: str) -> None:
    found, said = NEW[case]
    told = lines(found)
    assert {layer: told.get(layer) for layer in said} == said


def test_when_it_is_tried_again_is_said_in_local_time(monkeypatch: pytest.MonkeyPatch) -> None:
    import time

    monkeypatch.setenv("TZ", "Europe/Zurich")
    time.tzset()
    told = lines(known(State.NEW, row=AGAIN))
    uncounted = lines(known(State.NEW, row=row(State.NEW, not_before=at(120))))
    monkeypatch.undo()
    time.tzset()
    assert told["back-off"] == "failure 1 of 3; not tried again before 2026-11-21 04:02:00 +0100, in 2 min"
    assert uncounted["back-off"].startswith("attempt 1 did not count; ")


# --- over, or waiting --------------------------------------------------------------------------------------------------

BASE = runs.Production(2, "raw", 1, "v1", None, None, "2026-11-20T21:00:00.000000Z", None, "gold", "/data", "abc")
TREE = facts.Written("tree", 1, "/data/tree", 10, "", at(-60), None)


def test_outputs_as_they_are_found() -> None:
    gone = dataclasses.replace(TREE, path="/data/gone")
    removed = dataclasses.replace(TREE, path="/data/removed", deleted=at(-1))
    shut = dataclasses.replace(TREE, path="/data/shut")
    files: dict[str, int | None] = {"/data/tree": 10, "/data/gone": None, "/data/removed": None}
    found = known(State.FINISHED, outputs=(TREE, gone, removed, shut), files=files)
    assert [line.text for line in why.explain(found)] == [
        "tree: /data/tree",
        "tree: /data/gone is not there",
        "tree: /data/removed was removed, which is recorded",
        "tree: /data/shut",
        "nothing; put back what is not as it was recorded, or have it done again: production reset --production=sim_v4 2091",
    ]


@pytest.mark.parametrize(
    ("state", "closed", "following"),
    [
        (State.FAILED, False, "nothing until somebody sees to its base run: production why --production=raw_v1 2091"),
        (State.HELD, True, "nothing until somebody sees to its base run: production why --production=raw_v1 2091"),
        (State.NEW, True, "nothing: raw_v1 is closed; about its base run: production why --production=raw_v1 2091"),
        (State.SUBMITTED, True, "it is new when its base run is finished; about that: production why --production=raw_v1 2091"),
        (State.WAITING, False, "it is new when its base run is finished; about that: production why --production=raw_v1 2091"),
    ],
)  # fmt: skip
def test_a_run_that_waits_for_its_base(state: State, closed: bool, following: str) -> None:
    production = dataclasses.replace(BASE, stop=at(-60) if closed else None)
    told = lines(known(State.WAITING, base=(production, row(state, why="exit 9"))))
    reason = ": exit 9" if state in (State.FAILED, State.HELD) else ""
    assert told == {"base run": f"run 2091 of raw_v1 is {state} for 10 min{reason}", "next": following}


def test_a_base_that_has_no_such_run() -> None:
    assert lines(known(State.WAITING)) == {"next": "nothing: its base production has no such run"}


@pytest.mark.parametrize(
    ("failures", "said"),
    [(1, "1 failure"), (3, "3 failures of 3"), (4, "4 failures")],
    ids=("vain", "limit", "lowered"),
)
def test_failures_are_counted_up_to_the_limit(failures: int, said: str) -> None:
    told = lines(known(State.FAILED, row=row(State.FAILED, failures=failures)))
    assert told["attempts"] == f"{said}: not tried again"


def test_a_run_that_somebody_cancelled() -> None:
    told = lines(known(State.FAILED, row=row(State.FAILED, asked_by="anna")))
    assert told == {
        "attempts": "ended by anna",
        "next": "nothing until somebody wants it tried again: production retry --production=sim_v4 2091",
    }
