"""How long the dashboard of a million runs lets a person wait, how much memory it has, and what it costs a manager."""

from __future__ import annotations

import contextlib
import functools
import os
import pathlib
import re
import statistics
import time
from collections.abc import Callable, Iterator, Sequence

from benchmarks import floors, measure, screen
from tests import million

DOWN, UP, PAGE_DOWN, PAGE_UP, END, HOME = b"\x1b[B", b"\x1b[A", b"\x1b[6~", b"\x1b[5~", b"\x1b[F", b"\x1b[H"
ENTER, ESC = b"\r", b"\x1b"
PAUSE = 0.05
"""Seconds between two keys: somebody who leans on one."""
FILTERS = (
    "state:failed",
    "dataset:Al100",
    "host:node7",
    "cause:memory",
    "{run}-{later}",
    "state:finished dataset:Al50",
)
"""Those that are found through an index; ``run`` is well inside of what there is."""
SLOW = "nowhere"
"""A text that no run has: all are read."""

_SETTINGS = f"""
database = "production.db"
data = "data"
nproc = 10

[programs.noop]
script = "{floors.TRUE}"
arguments = []
"""

_IMPORTED = """
import production.cli.production, production.cli.commands.watch, production.cli.terminal, production.cli.answers
import production.catalogue.sqlite, production.catalogue.records, production.monitor.dashboard.app
print("> 1 ", flush=True)
"""
"""What the dashboard imports before it shows anything."""


def run(quick: bool) -> None:
    """Print the tables."""
    number, rounds = (100_000, 2) if quick else (1_000_000, 3)
    with measure.workspace() as directory:
        (directory / "production.toml").write_text('database = "production.db"\ndata = "."\n')
        measure.tell(f"making a database of {number:,} runs")
        million.build(str(directory / "production.db"), number)
        _paint(directory, 3 if quick else 9)
        _keys(directory, number, rounds)
    with measure.workspace() as directory:
        _manager(directory, 300 if quick else 2000, 2 if quick else 4)


# ── the first screen ──


def _paint(directory: pathlib.Path, rounds: int) -> None:
    """From the start of the process on; in turn with one that only imports what it imports."""
    watch = measure.python("-m", "production", "watch")
    argvs = {"imports alone": (measure.python("-c", _IMPORTED), ""), "production watch": (watch, "")}
    contenders = {name: functools.partial(_first, directory, argv, cold) for name, (argv, cold) in argvs.items()}
    contenders["production watch, no byte code"] = functools.partial(_first, directory, watch, "cold")
    contenders["imports alone, no byte code"] = functools.partial(
        _first, directory, measure.python("-c", _IMPORTED), "cold"
    )
    measure.in_turn(contenders, 1)
    found = measure.in_turn(contenders, rounds)
    rows = [[name, measure.spread([1000 * one for one in times])] for name, times in found.items()]
    for after, (whole, part) in {
        "the difference": ("production watch", "imports alone"),
        "the same without byte code": ("production watch, no byte code", "imports alone, no byte code"),
    }.items():
        less = [1000 * (one - other) for one, other in zip(found[whole], found[part], strict=True)]
        least = 1000 * (min(found[whole]) - min(found[part]))
        rows.append([f"{after} (of the least: {least:.0f})", measure.spread(less)])
    measure.table("dashboard: from the start to a whole first screen", ["", "wall ms"], rows)


def _first(directory: pathlib.Path, argv: Sequence[str], cold: str) -> float:
    """Seconds to a whole screen with rows, or to the word that all is imported."""
    more = {"PYTHONPYCACHEPREFIX": str(directory / f"none-{time.monotonic_ns()}")} if cold else {}
    with screen.started(argv, directory, **more) as shown:
        return shown.until(_there) - shown.begun


# ── keys ──


def _keys(directory: pathlib.Path, number: int, rounds: int) -> None:
    """One dashboard and one floor, in turn; then what is slow, and the memory after all that."""
    found: dict[str, list[float]] = {}
    floor: dict[str, list[float]] = {}
    with _watching(directory) as shown, _table(directory, number) as bare:
        for _ in range(rounds):
            _scroll(shown, found)
            _scroll(bare, floor)
        _views(shown, found, rounds)
        for words in FILTERS:
            for _ in range(rounds):
                _filter(shown, words.format(run=number * 7 // 10, later=number * 7 // 10 + 100), found)
        _break_off(shown, found, rounds)
        _sort(shown, found)
        most, own = shown.megabytes()
        least, _ = bare.megabytes()
    rows = []
    for name, times in found.items():
        beside = measure.ratio([statistics.median(times)], [statistics.median(floor[name])]) if name in floor else ""
        lasted = sorted(1000 * one for one in times)
        middle, last = statistics.median(lasted), lasted[len(lasted) * 9 // 10]
        rows.append([name, f"{middle:.1f}", f"{lasted[0]:.1f}", f"{last:.1f}", f"{lasted[-1]:.1f}", beside])
    heads = ["", "median ms", "least", "nine of ten below", "most", "of the floor"]
    measure.table(f"dashboard: from a key to the whole screen, {screen.COLUMNS} × {screen.ROWS}; load "
                  f"{os.getloadavg()[0]:.1f}", heads, rows)  # fmt: skip
    print(f"  memory after all that: {most:.0f} MB resident at most, {own:.0f} MB its own; the floor {least:.0f} MB\n")


@contextlib.contextmanager
def _watching(directory: pathlib.Path) -> Iterator[screen.Screen]:
    with screen.started(measure.python("-m", "production", "watch", "--read-only"), directory) as shown:
        shown.until(lambda written: b"> " in written)
        shown.still(3)
        yield shown


@contextlib.contextmanager
def _table(directory: pathlib.Path, number: int) -> Iterator[screen.Screen]:
    """The floor: the shortest table of the same rows that urwid shows."""
    argv = measure.python("-m", "benchmarks.floors", "table", str(number), "0")
    with screen.started(argv, directory) as shown:
        shown.until(lambda written: b"> " in written)
        yield shown


def _scroll(shown: screen.Screen, found: dict[str, list[float]]) -> None:
    for name, key, number in (
        ("down", DOWN, 60), ("page down", PAGE_DOWN, 30), ("up", UP, 60), ("page up", PAGE_UP, 20),
        ("End", END, 1), ("up from there", UP, 10), ("page up from there", PAGE_UP, 10), ("Home", HOME, 1),
    ):  # fmt: skip
        for _ in range(number):
            found.setdefault(name, []).append(shown.press(key, _moved(shown)))
            shown.still(PAUSE if number > 1 else 0.3)


def _moved(shown: screen.Screen) -> screen.Seen:
    """The cursor is on another run."""
    before = _cursors(shown.said)[-1:]
    return lambda written: any([one] != before for one in _cursors(written))


def _cursors(written: bytes) -> list[bytes]:
    return re.findall(rb"[>*] +(\d+) ", written)


def _there(written: bytes) -> bool:
    return bool(_cursors(written))


def _views(shown: screen.Screen, found: dict[str, list[float]], rounds: int) -> None:
    """One run and its log, and the other lists, with their first words."""
    for _ in range(rounds):
        for name, key, words in (
            ("Enter", ENTER, rb"history:"), ("Esc", ESC, rb"state"),
            ("log", b"l", rb"attempt 1, stdout"), ("Esc", ESC, rb"state"),
            ("failures", b"2", rb"300 runs|magic"), ("managers", b"3", rb"elsewhere:4711"), ("messages", b"4", rb"run \d+"),
            ("Esc", ESC, rb"state"),
        ):  # fmt: skip
            seen = functools.partial(_has, re.compile(words))
            found.setdefault(name, []).append(shown.press(key, seen))
            shown.still(0.5)


def _has(pattern: re.Pattern[bytes], written: bytes) -> bool:
    return bool(pattern.search(written))


def _filter(shown: screen.Screen, words: str, found: dict[str, list[float]]) -> None:
    """Typed, and waited for its rows; then away with it."""
    _type(shown, words, found)
    found.setdefault(f"filter {words}", []).append(shown.press(ENTER, _there))
    shown.still(0.3)
    found.setdefault("Esc, all runs again", []).append(shown.press(ESC, _there))
    shown.still(0.3)


def _type(shown: screen.Screen, words: str, found: dict[str, list[float]]) -> None:
    shown.press(b"/", lambda written: b"filter (" in written)
    for letter in words:
        found.setdefault("a letter of a filter", []).append(shown.press(letter.encode(), bool))
        shown.still(PAUSE)


def _break_off(shown: screen.Screen, found: dict[str, list[float]], rounds: int) -> None:
    """A text that is in no run is looked for a second, then Esc."""
    for _ in range(rounds):
        _type(shown, SLOW, {})
        shown.press(ENTER, lambda written: b"looking" in written)
        shown.still(1)
        found.setdefault("Esc from a text that is looked for", []).append(shown.press(ESC, _there))
        shown.still(0.3)


def _sort(shown: screen.Screen, found: dict[str, list[float]]) -> None:
    """By each column once."""
    for _ in range(7):
        begin = time.perf_counter()
        shown.press(b"s", lambda written: _there(written) or b"state^" in written or b"by run" in written)
        found.setdefault("sorting all by another column", []).append(time.perf_counter() - begin)
        shown.still(1)


# ── what it costs a manager ──


def _manager(directory: pathlib.Path, number: int, rounds: int) -> None:
    """A production of jobs that do nothing: in lines, with the dashboard of its own, and looked at by another process."""
    ways: dict[str, Callable[[], measure.Sample]] = {
        "in lines": functools.partial(_production, directory, number),
        "with --display": functools.partial(_production, directory, number, "--display"),
        "with production watch beside": functools.partial(_production, directory, number, watched=True),
    }
    found = measure.in_turn(ways, rounds)
    floor = [one.cpu for one in found["in lines"]]
    rows = [
        [
            name,
            measure.spread([one.wall for one in samples], 2),
            measure.spread([1000 * one.cpu / number for one in samples], 2),
            measure.ratio([one.cpu for one in samples], floor),
        ]
        for name, samples in found.items()
    ]
    heads = ["", "wall s", "the manager's processor ms a job", "of lines"]
    measure.table(
        f"dashboard: {number:,} runs of {floors.TRUE} with --nproc=10, what the manager itself costs", heads, rows
    )


def _production(directory: pathlib.Path, number: int, *more: str, watched: bool = False) -> measure.Sample:
    """A database of its own for each: nothing is removed meanwhile."""
    place = directory / str(time.monotonic_ns())
    place.mkdir()
    (place / "production.toml").write_text(_SETTINGS)
    production = measure.python("-m", "production")
    measure.command([*production, "init", "production.db"], place)
    ours = measure.python(str(measure.ROOT / "run_production.py"), "--production=noop")
    for runs, dataset in (("1", "first"), (f"2-{number}", "rest")):
        measure.command([*production, "datasets", "add", f"--dataset={dataset}", runs], place)
    measure.command([*ours, "--new=bench", "--dataset=first"], place)  # there is a production to be watched
    with contextlib.ExitStack() as stack:
        if watched:
            beside = stack.enter_context(screen.started([*production, "watch"], place))
            beside.until(lambda written: b"finished" in written or b"no manager" in written)
            beside.still(1)
        return stack.enter_context(screen.started([*ours, *more], place)).ended()
