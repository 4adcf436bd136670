"""Each key of the dashboard, in each view where it does something: typed on a keyboard, and seen on the screen."""

from __future__ import annotations

import contextlib
import dataclasses
import re
from collections.abc import Callable, Iterator, Sequence
from typing import TypeAlias

import pytest

from production.monitor.dashboard import keys
from tests.acceptance import boards
from tests.acceptance.boards import Opened, at, cursor
from tests.acceptance.campaign import Campaign
from tests.acceptance.screen import Screen

pytestmark = pytest.mark.feature("AC-34")

Seen: TypeAlias = str | Callable[[Screen], object]


@dataclasses.dataclass(frozen=True)
class Case:
    """What is to be seen once a key was typed, and was not before."""

    seen: Seen
    more: tuple[str, ...] = ()
    """Typed behind it."""
    before: tuple[Seen, ...] = ()
    """Typed first; what is called is waited for."""
    ready: Seen = ""
    """Seen then."""
    leave: tuple[Seen, ...] = ()
    """Typed at the end, so that the next finds everything as it was; likewise."""
    stays: bool = False
    """Nothing is to change: what is to be seen was there before."""


@dataclasses.dataclass(frozen=True)
class View:
    """How one comes to a view, and what each of its keys does there."""

    run: int
    """On which the cursor is in the table of runs, on the way."""
    way: tuple[Seen, ...]
    """From there."""
    there: Seen
    cases: dict[str, Case]
    """{command: what it does}."""
    leave: tuple[str, ...] = ("1", "home")
    """Back to the first run of the table."""
    size: tuple[int, int] = (100, 30)


def is_true(seen: Seen, screen: Screen) -> bool:
    return seen in screen.text if isinstance(seen, str) else bool(seen(screen))


def heading(text: str) -> Callable[[Screen], bool]:
    """Whether a view with this heading is shown."""
    tab = f"[{text}]"
    return lambda screen: any(line.startswith(text) or tab in line for line in screen.lines[3:9])


def share(screen: Screen) -> int:
    """How far a text is scrolled, as its heading says."""
    for line in screen.lines[:9]:
        if match := re.search(r"lines (\d+)-(\d+) of (\d+)", line):
            first, last, number = map(int, match.groups())
            return 100 * (first - 1) // (number - last + first - 1)
        if (match := re.search(r" (\d+) %(?: of .*)?$", line)) and " mem" not in line:
            return int(match[1])
    return -1


def beyond(percent: int) -> Callable[[Screen], bool]:
    return lambda screen: share(screen) > percent


def just(percent: int) -> Callable[[Screen], bool]:
    return lambda screen: share(screen) == percent


def on(text: str) -> Callable[[Screen], bool]:
    """Whether the line under the cursor has this in it."""
    return lambda screen: text in cursor(screen)


def off(text: str) -> Callable[[Screen], bool]:
    return lambda screen: text not in cursor(screen)


def gone(text: str) -> Callable[[Screen], bool]:
    return lambda screen: text not in screen.text


def below(text: str, number: int) -> Callable[[Screen], bool]:
    """Whether the cursor is so many lines below that heading, and the text is not scrolled."""
    return lambda screen: share(screen) == 0 and screen.lines[screen.row(text) + number] == cursor(screen)


def top(number: int) -> Callable[[Screen], bool]:
    """Whether this line of the log is the first on the screen."""
    return lambda screen: screen.lines[screen.row("stdout") + 1] == f"line {number} of run 5 attempt 2"


def marked(text: str) -> Callable[[Screen], bool]:
    """How many runs are."""
    return lambda screen: any(f"{text} marked" in line for line in screen.lines)


def every(*seen: Seen) -> Callable[[Screen], bool]:
    return lambda screen: all(is_true(one, screen) for one in seen)


RUNS, FAILURES, MANAGERS, MESSAGES, PRODUCTIONS = map(heading, keys.LISTS)
BY_STATE = ("c", "home", "down", "down", "enter")
GROUP = "2 runs, cause program"
RUN_5 = ("g", "5", "enter")
FIRST = 31


EVERYWHERE = {
    "view_1": Case(RUNS),
    "view_2": Case(FAILURES),
    "view_3": Case(MANAGERS),
    "view_4": Case(MESSAGES),
    "view_5": Case(PRODUCTIONS),
    "back": Case(RUNS),
    "help": Case("keys of: "),
    "palette": Case("colours: light", leave=("t", "t")),
    "redraw": Case(lambda screen: b"quit" in screen.fresh),
    "quit": Case(""),
}
SCROLLED = {
    "down": Case(beyond(0)),
    "up": Case(just(0), before=("down",), ready=beyond(0)),
    "page_down": Case(beyond(3)),
    "page_up": Case(just(0), before=("page down",), ready=beyond(3)),
    "last": Case(just(100)),
    "first": Case(just(0), before=("end",), ready=just(100)),
}
"""In a text that is longer than the screen, without a cursor."""


def chosen(first: str, last: str) -> dict[str, Case]:
    """In a list that fits the screen, with a cursor that is on the first line to begin with."""
    return {
        "down": Case(off(first)),
        "up": Case(on(first), before=("down",), ready=off(first)),
        "page_down": Case(on(last)),
        "page_up": Case(on(first), before=("end",), ready=on(last)),
        "last": Case(on(last)),
        "first": Case(on(first), before=("end",), ready=on(last)),
    }


def alone(text: str) -> dict[str, Case]:
    """In a list of one thing, which the cursor stays on."""
    return {command: Case(on(text), stays=True) for command in ("down", "up", "page_down", "page_up", "last", "first")}


def searched(
    text: str, found: Seen, *before: str, ready: Seen = "", ends: bool = False, stays: bool = False
) -> dict[str, Case]:
    """``text`` is in one line only, and that is below. ``ends``: the search doesn't go round the end.

    ``stays``: it is on the screen, or under the cursor, before it is looked for.
    """
    there = (*before, "/", text, "enter")
    return {
        "search": Case(found, more=(text, "enter"), before=before, ready=ready, stays=stays),
        "again": Case(f"{text}: not below" if ends else found, before=there, ready=found, stays=not ends),
        "before": Case(f"{text}: not above" if ends else found, before=there, ready=found, stays=not ends),
    }


ASKED = {
    "retry": Case("would be retried: 1 run (5)", leave=("n",)),
    "hold": Case("would be held: 1 run (5)", leave=("n",)),
    "release": Case("left as they are: 1 run (5)", leave=("n",)),
    "cancel": Case("left as they are: 1 run (5)", leave=("n",)),
    "priority": Case("would be given a priority: 1 run (5)", more=("7", "enter"), leave=("n",)),
}
"""Of run 5, which failed."""

VIEWS = {
    keys.RUNS: View(
        FIRST,
        (),
        at(31),
        EVERYWHERE
        | {name: dataclasses.replace(case, before=RUN_5, ready=at(5)) for name, case in ASKED.items()}
        | {
            "open": Case(heading("run 31 ")),
            "log": Case(heading("run 31, attempt 1, stdout")),
            "filter": Case(
                lambda screen: "filter cause:program" in screen.text and boards.runs(screen) == [5, 6],
                more=("cause:program", "enter"),
                leave=("backspace",),
            ),
            "mark": Case(every(marked("1"), at(32)), leave=("backspace",)),
            "mark_all": Case(marked("all of them"), leave=("A",)),
            "sort": Case("attempt^", leave=BY_STATE),
            "reverse": Case("statev", leave=("S",)),
            "columns": Case(heading("columns")),
            "go_to": Case(at(40), more=("40", "enter")),
            "back": Case(every(RUNS, gone("marked")), before=(" ",), ready=marked("1")),
            "view_1": Case(every(RUNS, at(31)), stays=True),
            "next_view": Case(FAILURES),
            "down": Case(at(32)),
            "up": Case(at(31), before=("down",), ready=at(32)),
            "page_down": Case(off(" 31 ")),
            "page_up": Case(at(31), before=("page down",), ready=off(" 31 ")),
            "last": Case(at(4)),
            "first": Case(at(31), before=("end",), ready=at(4)),
        },
    ),
    keys.RUN: View(
        5,
        ("enter",),
        every(heading("run 5 "), "failures that count", "nothing until that is mended"),
        EVERYWHERE
        | SCROLLED
        | ASKED
        | searched(
            "failures that count", lambda screen: screen.lines[screen.row("run 5 ") + 1].strip().startswith("fail")
        )
        | {"log": Case(heading("run 5, attempt 2, stderr"))},
    ),
    keys.LOG: View(
        5,
        ("l", heading("run 5, attempt 2, stderr"), "o"),
        every(heading("run 5, attempt 2, stdout"), "line 200 of"),
        EVERYWHERE
        | searched("line 150 of", top(150), "home", ready=top(1), ends=True)
        | {
            "down": Case(top(2), before=("home",), ready=top(1)),
            "up": Case(top(1), before=("home", top(1), "down"), ready=top(2)),
            "page_down": Case(gone("line 10 of"), before=("home",), ready=top(1)),
            "page_up": Case(gone("its end")),
            "last": Case("its end", before=("home",), ready=top(1)),
            "first": Case(top(1)),
            "follow": Case(gone("its end")),
            "fold": Case(top(1), before=("home",), ready=top(1), stays=True),
            "stream": Case("error of run 5"),
            "earlier": Case("line 200 of run 5 attempt 1"),
            "later": Case("line 200 of run 5 attempt 2", before=("[",), ready="of run 5 attempt 1"),
            "right": Case(" far", more=("right",) * 2, before=("w",), ready=gone(" far")),
            "left": Case(gone(" far"), before=("w", gone(" far"), "right", "right", "right"), ready=" far"),
            "pager": Case("paging sim.run00005", leave=("enter", heading("run 5, attempt 2"))),
            "go_to": Case(lambda screen: 30 < share(screen) < 70, more=("50", "enter")),
        },
    ),
    keys.FAILURES: View(
        FIRST,
        ("2",),
        every(FAILURES, on(GROUP), "suggestion"),
        EVERYWHERE
        | alone(GROUP)
        | searched("suggestion", "suggestion", stays=True)
        | {
            "open": Case("filter 5-6", leave=("backspace",)),
            "log": Case("attempt 2, stderr"),
            "view_2": Case(every(FAILURES, on(GROUP)), stays=True),
            "next_view": Case(MANAGERS),
            "retry": Case("would be retried: 2 runs (5-6)", leave=("n",)),
            "hold": Case("would be held: 2 runs (5-6)", leave=("n",)),
            "release": Case("left as they are: 2 runs (5-6)", leave=("n",)),
            "cancel": Case("left as they are: 2 runs (5-6)", leave=("n",)),
            "priority": Case("would be given a priority: 2 runs (5-6)", more=("7", "enter"), leave=("n",)),
        },
    ),
    keys.MANAGERS: View(
        FIRST,
        ("3",),
        every(MANAGERS, on("at work")),
        EVERYWHERE
        | alone("at work")
        | searched("at work", on("at work"), stays=True)
        | {
            "open": Case(
                lambda screen: "filter user:" in screen.text and boards.runs(screen) == [31, 32], leave=("backspace",)
            ),
            "nproc": Case("3 jobs at a time instead of 2", more=("ctrl u", "3", "enter"), leave=("n",)),
            "view_3": Case(every(MANAGERS, on("at work")), stays=True),
            "next_view": Case(MESSAGES),
        },
    ),
    keys.MESSAGES: View(
        FIRST,
        ("4",),
        every(MESSAGES, on("submitting")),
        EVERYWHERE
        | searched("run 3  ended", on("run 3  ended"), "home", ready=below("messages", 1))
        | {
            "open": Case(heading("run 3")),
            "log": Case("attempt 1, stdout"),
            "view_4": Case(every(MESSAGES, just(100)), stays=True),
            "next_view": Case(PRODUCTIONS),
            "down": Case(below("messages", 2), before=("home",), ready=below("messages", 1)),
            "up": Case(below("messages", 1), before=("home", "down"), ready=below("messages", 2)),
            "page_down": Case(beyond(0), before=("home",), ready=below("messages", 1)),
            "page_up": Case(lambda screen: 0 <= share(screen) < 100),
            "last": Case(just(100), before=("home",), ready=below("messages", 1)),
            "first": Case(below("messages", 1)),
        },
    ),
    keys.PRODUCTIONS: View(
        FIRST,
        ("5",),
        every(PRODUCTIONS, on("old_v1"), "sim_v1 "),
        EVERYWHERE
        | chosen("old_v1", "sim_v1")
        | searched("v5, gold", on("v5, gold"))
        | {
            "open": Case(
                lambda screen: screen.text.startswith("old_v1") and boards.runs(screen)[:1] == [1],
                leave=("5", on("old_v1"), "down", on("sim_v1"), "enter", at(31)),
            ),
            "view_5": Case(every(PRODUCTIONS, on("old_v1")), stays=True),
            "next_view": Case(RUNS),
        },
    ),
    keys.COLUMNS: View(
        FIRST,
        ("c",),
        every(heading("columns"), on("[x] run")),
        EVERYWHERE
        | chosen("[x] run", "asked_by")
        | {
            "toggle": Case("[ ] datasets", before=("down",), ready=on("datasets"), leave=("up", " ")),
            "open": Case("datasets^", before=("down",), ready=on("datasets"), leave=BY_STATE),
        },
    ),
    keys.HELP: View(
        FIRST,
        ("?",),
        "keys of: runs",
        EVERYWHERE | SCROLLED | searched("draw the screen", "draw the screen") | {"help": Case(at(31), more=("esc",))},
    ),
    keys.CONFIRM: View(
        60,
        ("p", "0", "enter"),
        every("priority 0?", "would be"),
        SCROLLED
        | {
            "page_down": Case(beyond(0)),
            "page_up": Case(just(0), before=("page down",), ready=beyond(0)),
            "redraw": Case(lambda screen: b"leave it" in screen.fresh),
            "confirm": Case("\n given a priority: 1 run (60)"),
            "reason": Case(every("reason: the talk", "priority 0?"), more=("the talk", "enter", "end")),
            "back": Case(at(60)),
        },
        leave=("n", "home"),
        size=(40, 5),
    ),
}


@pytest.fixture(scope="module")
def standing(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Campaign]:
    """See ``boards``; with a manager at work."""
    campaign = Campaign(tmp_path_factory.mktemp("keys") / "campaign")
    with contextlib.closing(campaign):
        boards.begin(campaign)
        assert campaign.run("--production=old", "--new=v4", "--dataset=Si16").code == 0
        boards.working(campaign)
        campaign.script("pager.sh", 'echo "paging ${1##*/}"; read key')
        campaign.environment["PAGER"] = str(campaign.directory / "pager.sh")
        yield campaign


def pressed(view: str) -> list[tuple[str, str]]:
    """(command, key) of all that work there; those that leave the dashboard last."""
    found = [(key.command, one) for key in keys.of(view, read_only=False) for one in key.keys]
    return sorted(found, key=lambda one: one[0] == "quit")


@pytest.mark.parametrize("view", keys.VIEWS)
def test_each_key_has_its_test(view: str) -> None:
    """A new one shows up here."""
    assert {command for command, _ in pressed(view)} == set(VIEWS[view].cases)


@pytest.mark.parametrize("view", keys.VIEWS)
def test_each_key_does_what_it_says(standing: Campaign, watch: Opened, view: str) -> None:
    place = VIEWS[view]
    columns, rows = place.size
    screen = watch(standing, "--production=sim", until="31", columns=columns, rows=rows)
    screen.until(every(at(31), "%" if rows > 14 else "60"))
    for command, key in pressed(view):
        screen.type("g", str(place.run), "enter")
        screen.until(at(place.run))
        go(screen, place.way)
        screen.until(place.there)
        if command == "quit":
            screen.type(key)
            assert screen.end() == 0
            assert screen.unrestored == []
            return
        walk(screen, place.cases[command], key)
        screen.type(*place.leave)
        screen.until(at(31))


def walk(screen: Screen, case: Case, key: str) -> None:
    """One key."""
    go(screen, case.before)
    screen.until(case.ready)
    screen.mark()
    assert is_true(case.seen, screen) == case.stays, f"before {key!r}:\n{screen.told()}"
    screen.type(key, *case.more)
    if case.stays:
        screen.again()
    screen.until(case.seen)
    go(screen, case.leave)


def go(screen: Screen, steps: Sequence[Seen]) -> None:
    """Type, and wait for what is called."""
    for step in steps:
        if isinstance(step, str):
            screen.type(step)
        else:
            screen.until(step)
