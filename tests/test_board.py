"""The head of the dashboard from made-up snapshots, at any size: nothing is too long, and nothing important is left out."""

from __future__ import annotations

import collections
import dataclasses
import datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from production import facts
from production import run as runs
from production.monitor import snapshot as snapshots
from production.monitor.dashboard import board, palettes
from production.monitor.dashboard import line as lines

State = runs.State
NOW = datetime.datetime(2026, 11, 21, 14, 30, tzinfo=datetime.UTC)
AT = "2026-11-21T14:00:00.000000Z"
GIB = 1 << 30
PRODUCTION = runs.Production(1, "alcapana", 4, "v5-2", None, None, AT, None, "gold", "/data", "abc")


def manager(number: int = 1, user: str = "mu", host: str = "node1") -> facts.AtWork:
    return facts.AtWork(
        id=number, user=user, host=host, pid=4000 + number, boot="b", ticks=1, production="alcapana_v4", batch="slurm",
        nproc=200, nprep=5, datasets="[]", tranches="[]", start=AT, beat=AT, stop=None, lapsed=None, message="", runs=9,
    )  # fmt: skip


def snapshot(counts: dict[State, int], **more: object) -> snapshots.Snapshot:
    made = snapshots.Snapshot(
        at=NOW, version=1, production=PRODUCTION, base="", closed_by=None, counts=collections.Counter(counts),
        managers=(manager(),), trouble={}, hours={}, transfers=(), speeds={}, jobs=facts.Jobs(0, 0), quota=None, hands={}, last_words="",
    )  # fmt: skip
    return dataclasses.replace(made, **more)  # type: ignore[arg-type]


def scene(snap: snapshots.Snapshot | None, **more: object) -> board.Scene:
    made = board.Scene(NOW, "0.1.0", "production.db", PRODUCTION, snap, machine=snapshots.Machine(12.3, 45.6))
    return dataclasses.replace(made, **more)  # type: ignore[arg-type]


def told(shown: board.Scene, columns: int = 100, rows: int = 30) -> list[str]:
    return [lines.text(line).rstrip() for line in board.head(shown, columns, rows)]


SOME = {State.FINISHED: 812, State.SUBMITTED: 40, State.FAILED: 3, State.HELD: 1, State.NEW: 1144}
FULL = facts.Quota(used=95 * GIB, promised=GIB, allowed=90 * GIB, limit=100 * GIB, at=AT)
COMING = facts.Coming(2107, None, 2, "/data/raw/run02107.mid", 43, 100, AT, "mu@node1:4711", 1)


def test_the_counts_stand_there_at_every_usual_size() -> None:
    for columns, rows in ((40, 10), (40, 24), (80, 24), (100, 30), (200, 60), (300, 100)):
        text = "\n".join(told(scene(snapshot(SOME)), columns, rows))
        rest = ("40 in hand", "1,144 new") if (columns, rows) != (40, 24) else ()
        for word in ("812/2,000", "3 failed", "1 held", *rest):
            assert word in text, (columns, rows, text)


def test_what_must_not_be_missed() -> None:
    snap = snapshot(SOME, trouble={1: "is dead"}, quota=FULL)
    large = "\n".join(told(scene(snap, leaving=True, trouble="locked"), 80, 24))
    for word in ("mu@node1:4001 is dead", "stopping", "FULL", "locked", "as of "):
        assert word in large
    small = told(scene(snap, leaving=True), 60, 10)
    for word in ("stopping", "manager!", "disk full", "3 failed"):
        assert word in "\n".join(small)
    assert "no manager is at work" in "\n".join(told(scene(snapshot(SOME, managers=()))))
    assert "no manager" in told(scene(snapshot(SOME, managers=())), 40, 10)[0]
    assert told(scene(snap), 40, 8) == [told(scene(snap), 40, 10)[0]]


def test_managers_in_trouble_stand_first() -> None:
    there = tuple(manager(number) for number in range(1, 30))
    snap = snapshot(SOME, managers=there, trouble={29: "has been silent for 10 min"})
    [line] = [line for line in told(scene(snap)) if "silent" in line]
    assert line.startswith("29 managers:  mu@node1:4029 has been silent for 10 min")


def test_a_transfer_and_its_second_attempt() -> None:
    snap = snapshot(SOME, transfers=(COMING,), speeds={COMING.path: snapshots.Speed(NOW, 43, 1.0)})
    assert "1 on its way: 2107 43 % 1 byte/s 57 s left attempt 2" in told(scene(snap))
    many = tuple(dataclasses.replace(COMING, run=number, path=str(number)) for number in range(19))
    assert "and 7 more on their way" in told(scene(snapshot(SOME, transfers=many)), 100, 60)
    assert any(line.startswith("19 on their way: ") for line in told(scene(snapshot(SOME, transfers=many))))


@pytest.mark.parametrize(
    ("counts", "bar"),
    [
        ({State.FINISHED: 10}, "[##########]"),
        ({State.NEW: 10}, "[..........]"),
        ({State.FINISHED: 1, State.NEW: 10_000}, "[#.........]"),
        ({State.FINISHED: 9_999, State.FAILED: 1}, "[#########x]"),
        ({State.FINISHED: 5, State.SUBMITTED: 2, State.HELD: 1, State.WAITING: 2}, "[#####>>!..]"),
        ({}, ""),
    ],
)
def test_the_bar(counts: dict[State, int], bar: str) -> None:
    assert lines.text(board.bar(snapshot(counts), 12)) == bar


def test_hours_as_columns() -> None:
    assert board.spark([0, 1, 4, 8], ascii_=False) == " ▁▄█"
    assert board.spark([0, 1, 4, 8], ascii_=True) == " .=#"
    assert board.spark([0, 0], ascii_=True) == ""
    assert board.spark([1, 1_000_000], ascii_=False) == "▁█", "one is not nothing"


def test_before_anything_is_known() -> None:
    assert told(scene(None))[0].startswith("alcapana_v4  v5-2, gold")
    assert told(scene(None), 10, 3) == ["alcapana_…"]
    assert told(scene(None, trouble="locked"), 80, 24)[-1].strip() == "locked"


COUNTS = st.dictionaries(st.sampled_from(list(State)), st.integers(0, 10**6))
NAMES = st.text(st.sampled_from("ab日\u0301é-"), min_size=1, max_size=60)


@given(
    counts=COUNTS,
    names=st.lists(st.tuples(NAMES, NAMES), max_size=5),
    quota=st.none() | st.tuples(*[st.integers(0, 10**15)] * 3),
    transfers=st.lists(st.tuples(st.integers(0, 10**6), st.integers(0, 10**6) | st.none()), max_size=9),
    trouble=st.sampled_from(["", "locked by somebody", "日本語" * 40]),
    flags=st.tuples(st.booleans(), st.booleans(), st.booleans()),
    size=st.tuples(st.integers(1, 300), st.integers(1, 100)),
)
def test_at_any_size(
    counts: dict[State, int], names: list[tuple[str, str]], quota: tuple[int, int, int] | None,
    transfers: list[tuple[int, int | None]], trouble: str, flags: tuple[bool, bool, bool], size: tuple[int, int],
) -> None:  # fmt: skip
    """No line is longer than the screen, there is room left below, and every role has its colour."""
    snap = snapshot(
        counts,
        managers=tuple(manager(number, user, host) for number, (user, host) in enumerate(names)),
        trouble={0: "is dead"} if flags[0] else {},
        hours={"2026-11-21T14": 7, "2026-11-21T13": 3},
        transfers=tuple(
            dataclasses.replace(COMING, path=str(place), so_far=done, size=whole)
            for place, (done, whole) in enumerate(transfers)
        ),
        jobs=facts.Jobs(3, 4),
        quota=quota and facts.Quota(quota[0], quota[1], quota[2], 2 * quota[2], AT),
    )
    columns, rows = size
    head = board.head(scene(snap, trouble=trouble, leaving=flags[1], ascii=flags[2]), columns, rows)
    assert [line for line in head if lines.width(line) > columns] == []
    assert len(head) <= max(1, rows // 2 + 1)
    assert {role for line in head for role, _ in line} <= palettes.ROLES | {""}
