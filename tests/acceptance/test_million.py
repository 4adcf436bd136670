"""The commands that look, at a million runs: right, and without reading what they don't show."""

from __future__ import annotations

import contextlib
import datetime
import json
import os
import pathlib
import re
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from production.catalogue import sqlite as catalogue
from tests import million
from tests.acceptance.campaign import ROOT, Campaign
from tests.acceptance.screen import Screen

MEGABYTES = 20
"""That a command may read, Python's modules included (3 MB); the database has 600."""
SCREEN = 5
"""That a dashboard may read for its first screens, without modules."""

_MEASURED = """
import sys
from production.cli import production
code = production.main(sys.argv[1:])
read = next(int(line.split()[1]) for line in open("/proc/self/io") if line.startswith("rchar"))
print("read", read, file=sys.stderr)
sys.exit(code)
"""

Asked = Callable[..., tuple[str, int]]


@pytest.fixture(scope="module")
def database(tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    """A million runs, with settings beside."""
    directory = tmp_path_factory.mktemp("million")
    million.build(str(directory / "production.db"))
    (directory / "production.toml").write_text('database = "production.db"\ndata = "."\n')
    return directory / "production.db"


@pytest.fixture(scope="module")
def ask(database: pathlib.Path) -> Asked:
    """Asks a command; its answer, and how many megabytes it has read for that."""
    directory = database.parent

    def asked(*arguments: str) -> tuple[str, int]:
        done = subprocess.run(
            [sys.executable, "-c", _MEASURED, *arguments],
            cwd=directory, env=os.environ | {"PYTHONPATH": str(ROOT)}, capture_output=True, text=True, check=False,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        [read] = re.findall(r"^read (\d+)$", done.stderr, re.MULTILINE)
        return done.stdout, int(read) >> 20

    return asked


QUICK: dict[str, Callable[[Any], object]] = {
    "status": lambda found: found[0]["counts"]["failed"] == million.FAILED,
    "status --at=2026-11-05T12:34:56Z": lambda found: sum(found[0]["counts"].values()) == 1_000_000,
    "runs": lambda found: [run["run"] for run in found] == list(range(1, 1001)),
    "runs 999990-1000000": lambda found: len(found) == 11,
    "runs state:failed": lambda found: len(found) == million.FAILED,
    "runs state:failed --sort=-run --limit=1": lambda found: found[0]["run"] == 999_900,
    "runs state:held,failed dataset:Al50": lambda found: {run["datasets"][0] for run in found} == {"Al50"},
    "runs cause:memory": lambda found: len(found) == million.FAILED // 3,
    "runs state:failed magic": lambda found: len(found) == million.FAILED,
    "runs host:node7 --limit=10": lambda found: {run["host"] for run in found} == {"node7"},
    "runs dataset:Al200 --limit=10": lambda found: {run["datasets"][0] for run in found} == {"Al200"},
    "runs state:new --limit=3": lambda found: {run["state"] for run in found} == {"new"},
    "runs dataset:Al999": lambda found: found == [],
    "show 3333": lambda found: [len(found["attempts"]), found["cause"]] == [3, "memory"],
    "why 1": lambda found: found["state"] == "finished",
    "why 3333": lambda found: "3 failures of 3" in found["layers"][0]["text"],
    "why 600400": lambda found: "has been silent" in found["layers"][0]["text"],
    "why 999999": lambda found: found["state"] == "new",
    "managers": lambda found: found[0]["runs"] == million.FLYING - 1,
    "productions": lambda found: found[0]["runs"] == 1_000_000,
    "failures": lambda found: sum(group["runs"] for group in found["groups"]) >= million.FAILED,
    "estimate": lambda found: found["left"] > 0,
    "retry state:failed": lambda found: len(found["done"]) == million.FAILED,
    "hold 999990-1000000 --why=x": lambda found: len(found["done"]) == 11,
    "release state:held": lambda found: found["done"],
    "cancel state:submitted": lambda found: found["asked"],
    "priority 5 999990-1000000": lambda found: len(found["done"]) == 11,
    "reset 1-100": lambda found: found["done"],
    "close --production=sim_v1": lambda found: sum(found["counts"].values()) == 1_000_000,
    "upgrade": lambda found: found["current"],
}
"""{command: whether its answer is right}."""


@pytest.mark.parametrize("command", QUICK)
def test_what_is_not_shown_is_not_read(ask: Asked, command: str) -> None:
    said, read = ask(*command.split(), "--json")
    assert QUICK[command](json.loads(said)), said[:1000]
    assert read < MEGABYTES


@pytest.mark.parametrize("command", ["runs", "show 999900", "runs nothing --limit=1 1-20000", "status", "productions"])
def test_people_need_not_wait_longer(ask: Asked, command: str) -> None:
    said, read = ask(*command.split())
    assert said
    assert read < MEGABYTES


_ASKED = """
import datetime, itertools, sys
from production import filter
from production.catalogue import sqlite
database = sqlite.Database(sys.argv[1], read_only=True, patience=1.0)
now, records = datetime.datetime.now(datetime.UTC), database.records
print(eval(sys.argv[2]))
read = next(int(line.split()[1]) for line in open("/proc/self/io") if line.startswith("rchar"))
print("read", read)
"""

_PAGE = "[row.run for row in itertools.islice(records.select(1, filter.parse({words!r}), now, {after}, down=True), 3)]"

SCREENS: dict[str, str] = {
    _PAGE.format(words=[], after=-1): "[1000000, 999999, 999998]",
    _PAGE.format(words=[], after=500_000): "[499999, 499998, 499997]",
    _PAGE.format(words=["1-999990"], after=-1): "[999990, 999989, 999988]",
    _PAGE.format(words=["state:new"], after=-1): "[1000000, 999999, 999998]",
    _PAGE.format(words=["state:failed"], after=5000): "[3333]",
    _PAGE.format(words=["dataset:Al50"], after=-1): "[999996, 999991, 999986]",
    _PAGE.format(words=["cause:memory"], after=13_333): "[13332, 3333]",
    _PAGE.format(words=["host:node7"], after=500_000): "[499807, 499607, 499407]",
    "records.transfers(1)": "[]",
    "records.jobs(1)": "Jobs(queued=399, running=0)",
    "records.quota(1)": "Quota(used=1, promised=1436380449, allowed=2, limit=3, at='2026-11-20T00:00:00.000000Z')",
    "[(event.run, event.after) for event in records.happenings(1, 2)]": "[(999900, 'failed'), (999900, 'submitted')]",
    "[event.run for event in records.happenings(1, 2, before=5000)]": "[4881, 4999]",
    "[row.run for row in records.of_runs(1, [999_999, 3, 500_000])]": "[999999, 3, 500000]",
}
"""{what a screen asks: the answer}."""


@pytest.mark.parametrize("question", SCREENS)
def test_what_is_not_on_the_screen_is_not_read(database: pathlib.Path, question: str) -> None:
    done = subprocess.run(
        [sys.executable, "-c", _ASKED, str(database), question],
        env=os.environ | {"PYTHONPATH": str(ROOT)}, capture_output=True, text=True, check=True,
    )  # fmt: skip
    answer, read = done.stdout.splitlines()
    assert answer == SCREENS[question]
    assert int(read.split()[1]) >> 20 < MEGABYTES


CHOSEN = {"[]": 399_498, '["Al200"]': 79_900}
"""{datasets that a manager takes: how many of them are new and go before run 999,999, about}."""


@pytest.mark.parametrize("datasets", CHOSEN)
@pytest.mark.parametrize("run", [999_999, 600_404])
def test_why_a_run_is_not_claimed_yet(ask: Asked, database: pathlib.Path, run: int, datasets: str) -> None:
    """The last of 400,000 and the first: with a manager at work that takes it."""
    now = datetime.datetime.now(datetime.UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
    connection = sqlite3.connect(database, isolation_level=None)
    connection.execute(
        "INSERT INTO manager (id, user, host, boot, pid, ticks, production, batch, nproc, nprep, datasets, start, beat_at)"
        " VALUES (2, 'mu', 'elsewhere', 'boot', 4712, 1, 1, 'slurm', 400, 50, ?, ?, ?)", (datasets, now, now),
    )  # fmt: skip
    try:
        said, read = ask("why", str(run), "--json")
    finally:
        connection.execute("DELETE FROM manager WHERE id = 2")
        connection.close()
    layers = json.loads(said)["layers"]
    if run == 999_999:
        found = re.fullmatch(r"([\d,]+) runs and more go before it, .*", layers[0]["text"])
        assert found, said
        assert 1000 < int(found[1].replace(",", "")) < CHOSEN[datasets]
        assert layers[-1]["text"] == "claimed when those before it are, and there is a place again"
    else:
        assert layers[-1]["text"].startswith("claimed in the next cycle of mu@elsewhere:4712")
    assert read < MEGABYTES


def test_the_counts_of_an_instant_are_those_of_the_history(ask: Asked) -> None:
    """Run n begins n/2 seconds after the start, and ends a minute later."""
    [status] = json.loads(ask("status", "--at=2026-11-02T08:30:00Z", "--json")[0])
    counts = status["counts"]
    assert counts["finished"] + counts["failed"] + counts["held"] == (1800 - 60) * 2
    assert counts["submitted"] == 59 * 2


def test_the_builder_agrees_with_the_triggers(tmp_path: pathlib.Path) -> None:
    """A small one: what is counted is what is there."""
    path = tmp_path / "small.db"
    million.build(str(path), 3000)
    connection = sqlite3.connect(path)
    counted = dict(connection.execute("SELECT state, runs FROM tally WHERE runs > 0"))
    assert counted == dict(connection.execute("SELECT state, count(*) FROM production_run GROUP BY state"))
    assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
    assert connection.execute("PRAGMA foreign_key_check").fetchall() == []
    names = {name for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'trigger'")}
    assert {"run_enters", "base_enters", "run_moves"} <= names
    connection.close()


@pytest.mark.parametrize(
    ("choices", "where"),
    [
        ([(None, None)], "1"),
        ([("Al50", None)], "d.dataset = 'Al50'"),
        ([("Al50", 1), (None, 3)], "d.dataset = 'Al50' AND d.tranche = 1 OR d.tranche = 3"),
        ([("Al999", None)], "0"),
    ],
)
def test_who_goes_before_a_run(
    small: catalogue.Database, choices: list[tuple[str | None, int | None]], where: str
) -> None:
    """By priority, then by number; of those only whom a manager takes, and not who is to wait."""
    row = small.records.row(1, 2900)
    assert row
    now = datetime.datetime(2026, 11, 20, tzinfo=datetime.UTC)
    with contextlib.closing(sqlite3.connect(small.place.path)) as connection:
        [(expected,)] = connection.execute(
            "SELECT count(*) FROM production_run AS p JOIN datasets AS d USING (run) WHERE p.state = 'new'"
            " AND (p.priority > 0 OR p.priority = 0 AND p.run < 2900) AND p.not_before IS NULL"
            f" AND ({where})"
        )
    assert small.records.ahead(1, row, choices, now) == (expected, True)
    assert small.records.ahead(1, row, choices, now, number=10)[1] is False


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Iterator[catalogue.Database]:
    """Three thousand runs, some of them more important, some to wait, some not."""
    path = tmp_path_factory.mktemp("small") / "small.db"
    million.build(str(path), 3000)
    with contextlib.closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("UPDATE production_run SET priority = run % 3 - 1 WHERE state = 'new' AND run <> 2900")
        connection.execute(
            "UPDATE production_run SET not_before = '2026-11-21T00:00:00.000000Z' WHERE state = 'new' AND run % 7 = 0"
        )
    with contextlib.closing(catalogue.Database(str(path), read_only=True)) as opened:
        yield opened


_WATCHED = """
import json, sqlite3, sys, threading
import psutil
from production.cli import answers, production
from production.monitor.dashboard import app

def read():
    return next(int(line.split()[1]) for line in open("/proc/self/io") if line.startswith("rchar"))

opened, asking = [], set()

class Connection(sqlite3.Connection):
    def __init__(self, *words, **more):
        super().__init__(*words, **more)
        opened.append(threading.current_thread().name)
        if len(opened) > 1:  # the first is the command's own, before there is a screen
            self.set_trace_callback(lambda _: asking.add(threading.current_thread().name))

connect = sqlite3.connect
sqlite3.connect = lambda *words, **more: connect(*words, factory=Connection, **more)
before = read()
code = production.main(["watch", *sys.argv[2:]])
with open(sys.argv[1], "w") as file:
    json.dump({"read": read() - before, "opened": opened, "asking": sorted(asking)}, file)
sys.exit(code)
"""


def _watched(campaign: Campaign, database: pathlib.Path, show: Callable[..., Screen], *steps: tuple[str, str]) -> Any:
    """What a dashboard has read, and who in it has asked, after it was typed these (keys, until this is there)."""
    report = campaign.directory / "report"
    words = [sys.executable, "-c", _WATCHED, str(report), f"--database={database}"]
    screen = show(campaign, *words, columns=200, rows=60)
    screen.until("> 600001")
    screen.until("599,790/1,000,000 finished")
    screen.until("(90 %)")
    for key, seen in steps:
        screen.type(key)
        screen.until(seen)
    screen.type("q")
    assert screen.end() == 0
    return json.loads(report.read_text())


@pytest.mark.feature("AC-34")
def test_a_dashboard_reads_what_it_shows(
    campaign: Campaign, database: pathlib.Path, show: Callable[..., Screen]
) -> None:
    """The first page, with its head and the estimate of the end; the last, the one before, and the first again."""
    steps = [("end", "> 600000"), ("page up", "  599910"), ("home", "> 600001")]
    found = _watched(campaign, database, show, *steps)
    assert found["read"] >> 20 < SCREEN


@pytest.mark.feature("AC-34")
def test_whoever_draws_the_dashboard_asks_nothing(
    campaign: Campaign, database: pathlib.Path, show: Callable[..., Screen]
) -> None:
    """All questions are asked by readers, whatever is opened: the loop never waits for a disk."""
    steps = [
        ("2", "bad magic"), ("3", "elsewhere:4711"), ("4", "999900"), ("1", "> 600001"),
        ("enter", "history:"), ("l", "attempt 1"), ("1", "> 600001"), ("/", "filter ("), ("state:failed\r", ">   3333"),
    ]  # fmt: skip
    found = _watched(campaign, database, show, *steps)
    assert len(found["opened"]) > 5
    assert all(name.startswith("reader-") for name in found["opened"][1:] + found["asking"])
