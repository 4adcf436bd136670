"""Tables that fit: what is cut, what goes, and how wide a name is."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from production.monitor import table

COLUMNS = [
    table.Column("run", rank=0, right=True),
    table.Column("host", least=6, rank=3),
    table.Column("state", least=9, rank=0),
    table.Column("message", least=20, rank=1),
]
ROWS = [
    ["2091", "node0001.cluster", "finished", ""],
    ["12", "node0002.cluster", "failed", "exit 9: bad magic at byte 0"],
]


def shown(limit: int | None, rows: list[list[str]] = ROWS) -> list[str]:
    return list(table.lines(COLUMNS, iter(rows), limit))


def test_without_a_terminal_nothing_is_cut() -> None:
    assert shown(None) == [
        " run  host              state     message",
        "2091  node0001.cluster  finished",
        "  12  node0002.cluster  failed    exit 9: bad magic at byte 0",
    ]


def test_the_least_important_is_cut_first_and_goes_first() -> None:
    assert shown(60)[2] == "  12  node0002.clust…  failed    exit 9: bad magic at byte 0"
    assert shown(46)[2] == "  12  node0…  failed    exit 9: bad magic at …"
    assert shown(40)[2] == "  12  failed    exit 9: bad magic at by…"
    assert shown(17)[2] == "  12  failed"


def test_what_is_never_left_out_stays_however_narrow_it_gets() -> None:
    assert shown(1) == [" run  state", "2091  finished", "  12  failed"]


def test_an_empty_column_goes_before_another_is_cut() -> None:
    rows = [["1", "node0001.cluster", "finished", ""]]
    assert list(table.lines(COLUMNS, rows, 32)) == ["run  host              state", "  1  node0001.cluster  finished"]


def test_a_heading_is_never_cut() -> None:
    columns = [
        table.Column("run", rank=0),
        table.Column("datasets", rank=2),
        table.Column("state", least=table.WHOLE, rank=0),
    ]
    rows = [["2091", "Al50awithNDet2", "failed"]]
    assert list(table.lines(columns, rows, 22)) == ["run   datasets  state", "2091  Al50awi…  failed"]
    assert list(table.lines(columns, rows, 21)) == ["run   state", "2091  failed"], "the column goes instead"


def test_what_says_most_is_given_enough_before_others_are() -> None:
    columns = [table.Column("host", rank=3), table.Column("message", least=10, rank=2, enough=30)]
    rows = [["node0001", "exit 9: bad magic at byte 0 of this file"]]
    assert list(table.lines(columns, rows, 36))[1] == "nod…  exit 9: bad magic at byte 0 o…"
    assert list(table.lines(columns, rows, 35))[1] == "exit 9: bad magic at byte 0 of thi…"
    assert list(table.lines(columns, rows, 15))[1] == "exit 9: bad ma…"


def test_what_is_told_whole_goes_rather_than_be_cut() -> None:
    columns = [table.Column("run", rank=0), table.Column("start", least=table.WHOLE, rank=1)]
    rows = [["2091", "2026-11-20 21:00"]]
    assert list(table.lines(columns, rows, 22))[1] == "2091  2026-11-20 21:00"
    assert list(table.lines(columns, rows, 21))[1] == "2091"


def test_without_rows_there_is_no_heading() -> None:
    assert shown(80, []) == []


def test_later_rows_are_read_only_when_their_turn_has_come() -> None:
    read = []

    def endless() -> object:
        for number in range(10**9):
            read.append(number)
            yield [str(number), "", "new", ""]

    lines = table.lines(COLUMNS, endless(), None)  # type: ignore[arg-type]
    for _ in range(5):
        next(lines)
    assert len(read) == table.LOOKED_AT


@pytest.mark.parametrize(
    ("text", "places"), [("abc", 3), ("µ", 1), ("実験", 4), ("e\u0301", 1), ("\u200b", 0), ("🧪", 2), ("", 0)]
)
def test_places_on_a_terminal(text: str, places: int) -> None:
    assert table.width(text) == places


def test_control_characters_do_no_harm() -> None:
    line = shown(None, [["1", "a\x1b[31mb", "new", "two\nlines"]])[1]
    assert line == r"  1  a\x1b[31mb  new    two\nlines"
    assert line.isprintable()


LONG = "  once mended, in this order: production retry --production=sim_v1 2091 cause:memory; then run_production --production=sim"


def test_a_command_to_be_typed_stays_in_one_piece() -> None:
    assert table.folded(LONG, 70, 6) == [
        "  once mended, in this order:",
        "      production retry --production=sim_v1 2091 cause:memory; then",
        "      run_production --production=sim",
    ]
    narrow = table.folded(LONG, 40, 6)
    assert "      run_production --production=sim" in narrow
    assert all(len(line) <= 40 for line in narrow), "one that fits no line is folded as all else"
    assert " ".join(map(str.strip, narrow)) == LONG.strip()


def test_a_word_that_fits_no_line_keeps_the_indent() -> None:
    assert table.folded(f"  /{'x' * 60}: 5 bytes", 40, 6) == [f"  /{'x' * 60}:", "      5 bytes"]


@given(st.lists(st.lists(st.text(max_size=30), min_size=4, max_size=4), min_size=1, max_size=5), st.integers(30, 200))
def test_lines_fit(rows: list[list[str]], limit: int) -> None:
    rows = [[row[0][:4], row[1], row[2][:2], row[3]] for row in rows]
    # a control character of a run's name, escaped, may be wider than the terminal: this column is never left out
    narrow = [row for row in rows if row[0].isprintable() and row[2].isprintable()]
    assert all(table.width(line) <= limit for line in table.lines(COLUMNS, narrow, limit))
