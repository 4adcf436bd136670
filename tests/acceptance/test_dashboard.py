"""The dashboard, as a person uses it: what is asked of runs is done, the table is filtered and sorted, and fits any screen."""

from __future__ import annotations

import contextlib
import re
import sqlite3
from collections.abc import Iterator

import pytest

from production.monitor import columns
from tests.acceptance import boards
from tests.acceptance.boards import Opened, at, cursor
from tests.acceptance.campaign import Campaign, until
from tests.acceptance.screen import Screen
from tests.acceptance.test_requests import me, whys

pytestmark = pytest.mark.feature("AC-34")


@pytest.fixture
def over(campaign: Campaign) -> Campaign:
    """Nobody works on it; see ``boards``."""
    boards.begin(campaign)
    return campaign


@pytest.fixture(scope="module")
def past(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Campaign]:
    """The same for all who only look."""
    campaign = Campaign(tmp_path_factory.mktemp("past") / "campaign")
    with contextlib.closing(campaign):
        boards.begin(campaign)
        yield campaign


def go_to(screen: Screen, run: int) -> None:
    screen.type("g", str(run), "enter")
    screen.until(at(run))


def ask(screen: Screen, key: str, plan: str, done: str) -> None:
    """Press a key, read what would be done, say yes."""
    screen.type(*key)
    screen.until(plan)
    screen.type("y")
    screen.until(f"\n {done}")


def change(campaign: Campaign, statement: str, *parameters: object) -> None:
    """Write into the database what no test could bring about otherwise."""
    with contextlib.closing(sqlite3.connect(campaign.database, timeout=30)) as connection, connection:
        connection.execute(statement, parameters)


# ── what is asked of runs ──


def test_nothing_is_done_without_a_yes(over: Campaign, watch: Opened) -> None:
    screen = watch(over)
    before = over.rows("SELECT * FROM production_run")
    for way_out in ("n", "q", "esc"):
        go_to(screen, 5)
        screen.type("r")
        screen.until("would be retried: 1 run (5)")
        screen.type(way_out)
        screen.until(at(5))
    assert over.rows("SELECT * FROM production_run") == before
    assert over.rows("SELECT * FROM request") == []


@pytest.mark.feature("PK-10")
def test_each_action_on_a_run_that_nobody_has_is_done_at_once(over: Campaign, watch: Opened) -> None:
    screen = watch(over)
    go_to(screen, 5)
    screen.type("r")
    screen.until("would be retried: 1 run (5)")
    screen.type("w", "cable mended", "enter")
    screen.until("reason: cable mended")
    screen.type("y")
    screen.until("\n retried: 1 run (5)")
    assert whys(over, 5) == [("new", f"retried by {me()}: cable mended", me())]
    go_to(screen, 20)
    ask(screen, "h", "would be held: 1 run (20)", "held: 1 run (20)")
    assert over.letters("sim_v1")[19] == "H"
    go_to(screen, 20)
    ask(screen, "e", "would be released: 1 run (20)", "released: 1 run (20)")
    assert over.letters("sim_v1")[19] == "N"
    go_to(screen, 5)
    ask(screen, "x", "would be cancelled: 1 run (5)", "cancelled: 1 run (5)")
    assert over.letters("sim_v1")[4] == "E"
    go_to(screen, 30)
    screen.type("p", "high", "enter")
    screen.until("priority high: a whole number")
    ask(screen, ("ctrl u", "7", "enter"), "would be given a priority: 1 run (30)", "given a priority: 1 run (30)")
    assert over.rows("SELECT priority FROM production_run WHERE run = 30") == [(7,)]
    screen.type("4")
    screen.until("YOU     given a priority: 1 run (30)")
    screen.type("1")
    go_to(screen, 5)
    screen.type("enter")
    screen.until("history:")
    screen.type("/", "cable mended", "enter")
    screen.until(f"retried by {me()}: cable mended")


def test_what_was_asked_is_told_in_full_where_nothing_can_be_done(over: Campaign, watch: Opened) -> None:
    screen = watch(over)
    go_to(screen, 1)
    screen.type("r")
    screen.until("left as they are: 1 run (1): it is finished; to do it again: reset")


def test_of_all_that_are_marked(over: Campaign, watch: Opened) -> None:
    screen = watch(over)
    go_to(screen, 20)
    screen.type(" ", " ", "down", " ")
    screen.until("3 marked")
    ask(screen, "h", "would be held: 3 runs (20-21 23)", "held: 3 runs (20-21 23)")
    assert "marked" not in screen.text, "the marks have served"
    assert over.rows("SELECT run FROM production_run WHERE state = 'held'") == [(20,), (21,), (23,)]


def test_of_all_that_a_filter_means(over: Campaign, watch: Opened) -> None:
    """More than the screen has."""
    screen = watch(over, rows=16)
    screen.type("/", "state:new", "enter")
    screen.until("filter state:new")
    screen.type("A")
    screen.until("all of them marked")
    ask(screen, "h", "would be held: 54 runs (7-60)", "held: 54 runs (7-60)")
    assert over.letters("sim_v1") == "FFFFEE" + "H" * 54
    screen.until("no run is meant by: state:new")


@pytest.mark.feature("PK-10")
def test_a_living_manager_is_asked_and_answers(over: Campaign, watch: Opened) -> None:
    manager = boards.working(over)
    screen = watch(over)
    go_to(screen, 31)
    screen.type("x", "w", "wrong target", "enter")
    screen.until("reason: wrong target")
    screen.until("would be asked: ")
    screen.type("y")
    screen.until("\n asked: ")
    until(lambda: over.rows("SELECT 1 FROM request WHERE answer = 'cancelled'") != [], "it answers in its cycle")
    screen.until(f"cancelled by {me()}: wrong target")
    screen.type("3")
    screen.until("at work")
    ask(screen, ("p", "ctrl u", "1", "enter"), "1 job at a time instead of 2", "asked: ")
    screen.until("1 jobs")
    screen.type("p", "ctrl u", "many", "enter")
    screen.until("many")
    screen.until(lambda screen: re.search(r"^ .*many.*: .*\n.*jobs at a time of", screen.text, re.MULTILINE))
    manager.kill()
    change(over, "UPDATE manager SET user = 'carol' WHERE stop IS NULL")
    screen.type("esc")
    screen.until_gone("jobs at a time of")
    screen.until("carol@")
    screen.type("p")
    screen.until("is of carol, who alone may tell it")


def test_read_only_has_none_of_the_keys_that_ask_for_something(past: Campaign, watch: Opened) -> None:
    screen = watch(past, "--read-only")
    screen.until(at(5))
    for view, words in (("1", "r h e x p"), ("3", "p"), ("1", "r h e x p")):
        screen.type(view)
        for key in words.split():
            screen.type(key)
    screen.type("enter")
    screen.until("failures that count")
    screen.type(*"rhexp")
    screen.type("?")
    screen.until("keys of: run")
    for word in ("once more", "hold", "release", "cancel", "priority", "end what is under way", "jobs at a time"):
        assert word not in screen.text, "neither in the help nor in the footer"


# ── the table ──


def test_a_filter_that_is_wrong_says_what_is(past: Campaign, watch: Opened) -> None:
    screen = watch(past)
    screen.until(lambda screen: len(boards.runs(screen)) > 10)
    before = boards.runs(screen)[:10]
    for word, wrong in (
        ("stat:failed", "did you mean state:?"),
        ("state:broken", "state:broken"),
        ("3-1", "a range goes up"),
        (">2parsec", "a time in a state is such as >2h"),
        ('"no end', "no end"),
    ):
        screen.type("/", word, "enter")
        screen.until(lambda screen, wrong=wrong: wrong in " ".join(screen.lines[-4:-1]))
        assert screen.lines[-1] == f"filter (Ctrl-U empties it): {word}", "the line waits to be mended"
        assert boards.runs(screen)[:10] == before
        screen.type("esc")
        screen.until("? help")
        assert boards.runs(screen)[:10] == before
        assert "filter" not in screen.lines[5]
    screen.type("/", "state:faild", "enter")
    screen.until("state:faild: ")
    screen.type("backspace", "ed", "enter")
    screen.until("filter state:failed")
    screen.until(lambda screen: boards.runs(screen) == [5, 6])
    screen.type("/", "ctrl u", "777", "enter")
    screen.until("no run is meant by: 777")
    screen.type("/", "ctrl u", "enter")
    screen.until(lambda screen: boards.runs(screen)[:10] == before)


def test_esc_takes_the_marks_then_the_filter(past: Campaign, watch: Opened) -> None:
    screen = watch(past, "state:failed")
    screen.until("filter state:failed")
    screen.until(at(5))
    screen.type(" ")
    screen.until("1 marked")
    screen.type("esc")
    screen.until_gone("marked")
    assert "filter state:failed" in screen.text
    screen.type("esc")
    screen.until_gone("filter state:failed")
    screen.until(lambda screen: len(boards.runs(screen)) > 2)


def choose(screen: Screen, name: str, key: str) -> None:
    """A column, in the list of them."""
    screen.type("c")
    screen.until("columns: Space")
    screen.type("home", *["down"] * list(columns.COLUMNS).index(name))
    screen.until(lambda screen: cursor(screen)[4:].partition(" ")[0] == name)
    screen.type(key)


def test_sorted_by_every_column_and_the_other_way_round(past: Campaign, watch: Opened) -> None:
    screen = watch(past, rows=80, columns=300)
    every = list(range(1, boards.RUNS + 1))
    ends = {"run": (1, 60, 60), "state": (5, 4, 4), "attempt": (7, 6, 5), "cause": (1, 6, 5)}
    for name in columns.COLUMNS:
        choose(screen, name, "enter")
        if name not in columns.KEYS:
            screen.until(f"{name}: a table can't be sorted by that")
            screen.type("down")
            continue
        first, last, first_down = ends.get(name, (0, 0, 0))
        screen.until("state^" if name == "state" else f"by {name} up")
        screen.until(lambda screen: sorted(boards.runs(screen)) == every)
        if first:
            screen.until(
                lambda screen, one=first, two=last: (boards.runs(screen)[0], boards.runs(screen)[-1]) == (one, two)
            )
        screen.type("S")
        screen.until(f"by {name} down")
        screen.until(lambda screen: sorted(boards.runs(screen)) == every)
        if first:
            screen.until(lambda screen, one=first_down: boards.runs(screen)[0] == one)


def test_columns_are_chosen(past: Campaign, watch: Opened) -> None:
    screen = watch(past, columns=200)
    assert "priority" not in screen.text.replace("p priority", "")
    choose(screen, "priority", " ")
    screen.until("[x] priority")
    screen.type("esc")
    screen.until("  priority")
    choose(screen, "datasets", " ")
    screen.until("[ ] datasets")
    screen.type("esc")
    screen.until(lambda screen: boards.runs(screen) and "Al100" not in screen.text)
    choose(screen, "run", " ")
    screen.type("esc")
    screen.until(boards.runs)


def test_the_mouse(past: Campaign, watch: Opened) -> None:
    screen = watch(past)
    screen.until(at(5))
    screen.until("   10  Al100")
    place = screen.row("   10  Al100")
    screen.press(place)
    screen.until(at(10))
    screen.press(place + 3, button=65)
    screen.until(at(13))
    screen.press(place + 3, button=64)
    screen.until(at(10))
    screen.press(1)
    screen.press(place + 2)
    screen.until(at(12))
    screen.press(place + 4, times=2)
    screen.until("run 14 of sim_v1")
    screen.press(8, button=65)
    screen.type("esc")
    screen.until(at(14))


# ── on any screen ──


def important(screen: Screen) -> list[str]:
    """What is not on the screen, and must be."""
    words = ["4/60", "2 failed", "2 in hand", "52 new", "manager", "dead", "disk", "sim_v1", "? help", "q quit"]
    return [word for word in words if word not in screen.text]


@pytest.mark.feature("AC-35")
def test_what_must_not_be_hidden_on_80_by_24(over: Campaign, watch: Opened) -> None:
    boards.working(over).kill()
    change(
        over, "UPDATE manager SET quota_used = 95000000000, quota_limit = 100000000000, quota_allowed = 90000000000,"
        " quota_at = beat_at WHERE stop IS NULL",
    )  # fmt: skip
    screen = watch(over, until="4/60", columns=80, rows=24)
    screen.until("dead")
    screen.until("FULL")
    assert important(screen) == []
    screen.until(lambda screen: len(boards.runs(screen)) > 10)
    screen.resize(40, 10)
    screen.until("manager!")
    screen.until("disk full")
    assert "4/60" in screen.text
    assert "2 failed" in screen.text
    assert len(boards.runs(screen)) >= 3
    screen.resize(200, 60)
    screen.until("FULL")
    screen.until(lambda screen: len(boards.runs(screen)) > 40)
    assert "promised" in screen.text or "used" in screen.text
    screen.resize(80, 24)
    screen.until(lambda screen: important(screen) == [])


@pytest.mark.feature("AC-35")
@pytest.mark.parametrize("size", [(40, 10), (80, 24), (200, 60)], ids=str)
def test_it_begins_at_any_size(past: Campaign, watch: Opened, size: tuple[int, int]) -> None:
    screen = watch(past, until="4/60", columns=size[0], rows=size[1])
    screen.until(lambda screen: boards.runs(screen)[:2] == [5, 6])
    screen.until("q quit")
    screen.type("q")
    assert screen.end() == 0
    assert screen.unrestored == []
    assert screen.emulated.entered == 1


@pytest.mark.feature("AC-35")
def test_no_size_ends_it(past: Campaign, watch: Opened) -> None:
    screen = watch(past)
    for view in ("1", "2", "3", "4", "5", "?", "c", "enter", "l"):
        screen.resize(100, 30)
        screen.until("q quit")
        if view in ("c", "enter", "l"):
            screen.type("1")
        screen.type(view)
        for size in ((1, 1), (10, 3), (300, 100), (2, 40), (300, 2), (40, 10)):
            screen.resize(*size)
            screen.mark()
            screen.type("ctrl l")
            screen.until(lambda screen: b"\x1b[" in screen.fresh)
    screen.resize(100, 30)
    screen.until("q quit")
    screen.type("q")
    assert screen.end() == 0
    assert screen.unrestored == []


def test_typing_on_a_small_screen(past: Campaign, watch: Opened) -> None:
    screen = watch(past, until="4/60", columns=20, rows=4)
    screen.type("/", "nothing of that kind is there, and stat:failed is no word", "enter")
    screen.until(lambda screen: screen.lines[-1] and "quit" not in screen.lines[-1])
    screen.type("esc")
    screen.until("q quit")
    screen.type("q")
    assert screen.end() == 0


COLOURED = re.compile(rb"\x1b\[(?:[0-9]+;)*(?:3[0-7]|4[0-7]|9[0-7]|10[0-7]|38|48)(?:;[0-9]+)*m")


def test_without_colours(past: Campaign, watch: Opened) -> None:
    for words, environment in ((["--palette=plain"], {}), ([], {"NO_COLOR": "1"}), ([], {"TERM": "vt100"})):
        screen = watch(past, *words, **environment)
        screen.type("2", "3", "1", "c")
        screen.until("columns: Space")
        screen.type("q")
        assert screen.end() == 0
        assert not COLOURED.search(screen.raw), (words, environment)
        assert b"\x1b[" in screen.raw


@pytest.mark.parametrize("term", ["xterm", "xterm-16color", "linux", "screen", "tmux-256color", "nobody-knows"])
def test_terminals_of_few_colours_and_unknown_ones(past: Campaign, watch: Opened, term: str) -> None:
    screen = watch(past, TERM=term)
    screen.until("2 failed")
    assert not re.search(rb"[34]8;[25];", screen.raw), "the sixteen colours are enough"
    screen.type("q")
    assert screen.end() == 0
    assert screen.unrestored == []


@pytest.mark.parametrize("locale", ["C", "POSIX", "C.UTF-8", "de_DE.ISO-8859-1"])
def test_in_other_locales(past: Campaign, watch: Opened, locale: str) -> None:
    screen = watch(past, LC_ALL=locale, PYTHONUTF8="0", PYTHONCOERCECLOCALE="0")
    screen.type("4")
    screen.until("new")
    screen.until(lambda screen: re.search(r"  run [1-6]  ", cursor(screen)))
    screen.type("enter")
    screen.until("history:")
    screen.type("?")
    screen.until("keys of: run")
    if locale != "C.UTF-8":
        screen.raw.decode("ascii")
    screen.type("q")
    assert screen.end() == 0


# ── names and messages ──

ODD = (
    "x" * 300,
    "日本語のデータ" * 10,
    "e\u0301e\u0301 combining \u200d\u0308 marks",
    "\x1b[31mred\x1b[0m \x07 \x9b2J \x1b]0;title\x07",
    "line\nfeed\tand tab\rback",
    "\u202eright to left \u2028 \ufeff",
    "👩\u200d🔬 🇩🇪 emoji",
    "100 % {run} %s \\",
)


@pytest.mark.parametrize("text", ODD, ids=lambda text: ascii(text)[1:20])
def test_odd_names_and_messages(over: Campaign, watch: Opened, text: str) -> None:
    """They neither break the lines nor steer the terminal."""
    change(over, "UPDATE attempt SET host = ?, message = ?, cause = 'program' WHERE run IN (5, 6)", text, text)
    change(over, "UPDATE production_run SET why = ? WHERE run IN (5, 6)", text)
    change(over, "UPDATE datasets SET dataset = ? WHERE dataset = 'Cu20'", text)
    change(over, "UPDATE productions SET tag = ?", text)
    for columns_ in (100, 33):
        screen = watch(over, until="4/60", columns=columns_)
        for view, seen in (("2", "failures"), ("4", "messages"), ("1", "runs"), ("5", "productions"), ("1", "runs")):
            screen.type(view)
            screen.until(lambda screen, seen=seen: any(f"[{seen}]" in line for line in screen.lines[1:9]))
            assert "4/60" in screen.text
        screen.until(at(5))
        screen.type("enter")
        screen.until("run 5 of sim_v1")
        screen.until("  why:")
        screen.type("q")
        assert screen.end() == 0
        assert screen.unrestored == []
        assert b"\x1b[2J" not in screen.raw.replace(b"\x1b[H\x1b[2J", b"")
        assert b"\x1b]0;" not in screen.raw
        assert b"\x07" not in screen.raw
