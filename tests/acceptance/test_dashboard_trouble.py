"""The display can't hurt the work: closed, killed, asleep, without a terminal, broken; and tells what is wrong elsewhere."""

from __future__ import annotations

import contextlib
import os
import pathlib
import shlex
import shutil
import signal
import sqlite3
import sys
import tempfile
from collections.abc import Callable, Iterator

import pytest

from tests.acceptance import boards
from tests.acceptance.boards import Opened, at
from tests.acceptance.campaign import ROOT, Campaign, Pipe, User, until
from tests.acceptance.screen import Screen

pytestmark = pytest.mark.feature("AC-35")

RUN = [sys.executable, str(ROOT / "run_production.py"), "--production=sim", "--new=v5", "--nproc=6"]
GATED = "echo $1 >@/started\nread go <@/gate\ntest $1 != 3"


@pytest.fixture
def gated(campaign: Campaign) -> tuple[Campaign, Pipe, Pipe]:
    """Six runs whose jobs wait at a gate; the third will fail."""
    started, gate = campaign.pipe("started"), campaign.pipe("gate")
    campaign.script("sim.sh", GATED)
    campaign.settings('[programs.sim]\nscript = "sim.sh"\nretry.limit = 1\n')
    campaign.begin("1-6")
    return campaign, started, gate


@pytest.fixture
def shown(gated: tuple[Campaign, Pipe, Pipe], show: Opened) -> Screen:
    """Such a production in its display, all jobs at the gate."""
    campaign, started, _ = gated
    screen = show(campaign, *RUN, "--display", columns=200)
    started.take(6)
    screen.until("6 in hand")
    screen.until("Submitting run: 6")
    return screen


def child(pid: int, *, what: str = "watch") -> int:
    """The process that it has started with this word (proc(5))."""
    for one in pathlib.Path(f"/proc/{pid}/task/{pid}/children").read_text().split():
        if what.encode() in pathlib.Path(f"/proc/{one}/cmdline").read_bytes().split(b"\0"):
            return int(one)
    pytest.fail(f"{pid} has no {what}")


def completed(campaign: Campaign, screen: Screen) -> None:
    """It went on to its end, and told so in lines."""
    assert screen.end() == 3, screen.told()
    assert campaign.letters("sim_v1") == "FFEFFF"
    campaign.nothing_in_hands()
    assert screen.unrestored == []
    assert "sim_v1: 5 finished, 1 failed" in screen.text, screen.told()
    assert "Traceback" not in screen.text


# ── the display of a production ──


def test_shown_to_its_end(gated: tuple[Campaign, Pipe, Pipe], shown: Screen) -> None:
    campaign, _, gate = gated
    gate.give(6)
    completed(campaign, shown)
    assert "Failed run: 3" in shown.text


def test_closed_it_goes_on_in_lines(gated: tuple[Campaign, Pipe, Pipe], shown: Screen) -> None:
    campaign, _, gate = gated
    shown.type("q")
    shown.until(lambda screen: not screen.in_dashboard)
    shown.until("Submitting run: 6")
    assert shown.unrestored == []
    gate.give(6)
    completed(campaign, shown)
    assert "Finished run: 6" in shown.text


def test_killed_it_goes_on_in_lines(gated: tuple[Campaign, Pipe, Pipe], shown: Screen) -> None:
    campaign, _, gate = gated
    os.kill(child(shown.pid), signal.SIGKILL)
    shown.until(lambda screen: not screen.in_dashboard)
    shown.until("Submitting run: 6")
    gate.give(6)
    completed(campaign, shown)


def test_asleep_it_is_not_waited_for(gated: tuple[Campaign, Pipe, Pipe], shown: Screen) -> None:
    campaign, _, gate = gated
    os.kill(child(shown.pid), signal.SIGSTOP)
    gate.give(6)
    completed(campaign, shown)


def test_asleep_for_a_while_it_catches_up(gated: tuple[Campaign, Pipe, Pipe], shown: Screen) -> None:
    campaign, _, gate = gated
    display = child(shown.pid)
    os.kill(display, signal.SIGSTOP)
    gate.give(2)
    until(lambda: campaign.letters("sim_v1").count("F") + campaign.letters("sim_v1").count("E") == 2, "two are over")
    os.kill(display, signal.SIGCONT)
    shown.until("4 in hand")
    gate.give(4)
    completed(campaign, shown)


def test_ctrl_c_is_that_of_the_production(gated: tuple[Campaign, Pipe, Pipe], shown: Screen) -> None:
    campaign, _, _ = gated
    shown.type("ctrl c")
    assert shown.end() == 130
    assert shown.unrestored == []
    assert "Stopped: jobs cancelled, claims given back" in shown.text
    assert "run_production --production=sim" in shown.text
    campaign.nothing_in_hands()
    assert campaign.letters("sim_v1") == "NNNNNN"


def test_a_second_ctrl_c(gated: tuple[Campaign, Pipe, Pipe], show: Opened) -> None:
    campaign, started, gate = gated
    campaign.script("sim.sh", "trap '' TERM\n" + GATED)
    screen = show(campaign, *RUN, "--display", columns=200)
    started.take(6)
    screen.until("6 in hand")
    screen.type("ctrl c")
    screen.until("stopping")
    screen.until("Cancelling 6 jobs")
    screen.type("ctrl c")
    assert screen.end() == 130
    assert screen.unrestored == []
    assert screen.text.count(" goes on; the next manager follows it; to end it: kill ") == 6
    assert "claims given back" not in screen.text
    gate.give(12)


def test_ctrl_c_in_a_pager_is_the_pagers(gated: tuple[Campaign, Pipe, Pipe], show: Opened) -> None:
    campaign, started, gate = gated
    pager = campaign.script(
        "pager.sh", "trap 'echo interrupted; exit 0' INT\necho \"$1\" >@/paged\necho paging; sleep 60 & wait $!"
    )
    screen = show(campaign, *RUN, "--display", PAGER=str(pager))
    started.take(6)
    screen.until("6 in hand")
    screen.until(lambda screen: len(boards.runs(screen)) == 6)
    screen.type("l")
    screen.until("run 1, attempt 1, stdout")
    screen.until("nothing on stdout")
    screen.type("v")
    screen.until("paging")
    assert not screen.in_dashboard
    screen.type("ctrl c")
    screen.until(lambda screen: screen.in_dashboard)
    screen.until("run 1, attempt 1, stdout")
    assert (campaign.directory / "paged").read_text().endswith("/sim.run00001.out\n")
    assert "stopping" not in screen.text
    gate.give(6)
    screen.until("over: q leaves")  # who has pressed a key lately is left to look at the end
    screen.type("q")
    completed(campaign, screen)


def test_ctrl_z_and_fg(gated: tuple[Campaign, Pipe, Pipe], show: Opened) -> None:
    campaign, started, gate = gated
    screen = show(campaign, "bash", "--norc", "--noprofile", "-i", PS1="shell> ")
    screen.until("shell>")
    screen.type(shlex.join([*RUN, "--display"]), "enter")
    started.take(6)
    screen.until("6 in hand")
    for keys in ((), (), ("down", "up") * 20, ("j", "k") * 20):  # who types on loses nothing but the keys
        screen.type(*keys, "ctrl z")
        screen.until(lambda screen: not screen.in_dashboard and "Stopped" in screen.text)
        screen.type("clear; echo here; fg", "enter")
        screen.until(lambda screen: screen.in_dashboard and "6 in hand" in screen.text)
    screen.type(
        "end"
    )  # those before a Ctrl-Z may have been thrown away, and who presses no key is not waited for at the end
    screen.until(at(6))
    gate.give(6)
    screen.until("over: q leaves")
    screen.type("q")
    screen.until(lambda screen: not screen.in_dashboard and screen.text.rstrip().endswith("shell>"))
    assert "sim_v1: 5 finished, 1 failed" in screen.text
    screen.type("echo code $?", "enter")
    screen.until("code 3")
    assert not screen.in_dashboard
    assert campaign.letters("sim_v1") == "FFEFFF"
    screen.type("exit", "enter")
    assert screen.end() == 0


def test_its_manager_is_killed(gated: tuple[Campaign, Pipe, Pipe], show: Opened) -> None:
    """In a shell, as people start it: else the terminal itself would go."""
    campaign, started, _ = gated
    screen = show(campaign, "sh", "-c", '"$@"; echo over $?; read word; echo "$word"', "sh", *RUN, "--display")
    started.take(6)
    screen.until("6 in hand")
    os.kill(child(screen.pid, what="--display"), signal.SIGKILL)
    screen.until(lambda screen: b"over 137" in screen.raw)  # perhaps on the screen that goes
    screen.until(lambda screen: not screen.in_dashboard)
    screen.until("the manager has gone without a word")
    assert screen.unrestored == []
    screen.type("typed", "enter")
    screen.until("typed\ntyped")
    assert screen.end() == 0


@pytest.mark.parametrize("term", ["dumb", "", None])
def test_a_terminal_that_is_none(gated: tuple[Campaign, Pipe, Pipe], show: Opened, term: str | None) -> None:
    campaign, _, gate = gated
    gate.give(6)
    screen = show(campaign, *RUN, "--display", columns=200, rows=60, TERM=term)
    completed(campaign, screen)
    assert "--display: the dashboard needs more than TERM=dumb; lines instead" in screen.text
    assert screen.emulated.entered == 0
    watch = show(campaign, sys.executable, "-m", "production", "watch", TERM=term)
    assert watch.end() == 1
    said = "production: the dashboard needs more than TERM=dumb; for programs: production status --json"
    assert watch.text.strip() == said


@pytest.mark.parametrize("redirection", ["</dev/null", ">/dev/null", "2>&1 | cat", "<&-"])
def test_no_terminal_on_one_side(gated: tuple[Campaign, Pipe, Pipe], show: Opened, redirection: str) -> None:
    campaign, _, gate = gated
    gate.give(6)
    script = f'{{ "$@" {redirection.partition("|")[0]}; echo $? >code; }} {redirection.partition("2>&1 ")[2]}'
    screen = show(campaign, "sh", "-c", script, "sh", *RUN, "--display", columns=200, rows=60)
    assert screen.end() == 0
    assert (campaign.directory / "code").read_text() == "3\n", screen.told()
    assert campaign.letters("sim_v1") == "FFEFFF"
    assert "--display: the dashboard needs a terminal; lines instead" in screen.text
    assert screen.emulated.entered == 0
    watch = [sys.executable, "-m", "production", "watch"]
    screen = show(campaign, "sh", "-c", script, "sh", *watch, columns=200)
    screen.end()
    assert (campaign.directory / "code").read_text() == "1\n", screen.told()
    assert screen.text.strip() == "production: the dashboard needs a terminal; for programs: production status --json"


# ── an error that nobody thought of ──

FAULT = """

class _Faulty(Answers):
    def failures(self, memory, production):
        return [7]  # what no screen can show

    def portray(self, memory, production, run):
        raise ZeroDivisionError("portraits are out")


Answers = _Faulty
"""
"""Put behind a copy of the product: its dashboard gets answers that it doesn't expect."""


@pytest.fixture
def broken(tmp_path: pathlib.Path) -> pathlib.Path:
    """A copy of the product with a fault."""
    root = tmp_path / "broken"
    shutil.copytree(ROOT / "production", root / "production", ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "run_production.py", root)
    with (root / "production/cli/answers.py").open("a", encoding="utf-8") as file:
        file.write(FAULT)
    return root


def test_an_error_in_a_view(gated: tuple[Campaign, Pipe, Pipe], show: Opened, broken: pathlib.Path) -> None:
    campaign, started, gate = gated
    place = {"PYTHONPATH": str(broken)}
    screen = show(campaign, sys.executable, str(broken / "run_production.py"), *RUN[2:], "--display", **place)
    started.take(6)
    screen.until("6 in hand")
    screen.until(at(1))
    screen.type("enter")
    screen.until("run 1: unexpected ZeroDivisionError: portraits are out; please report this")
    screen.type("2")
    screen.until(lambda screen: not screen.in_dashboard)
    screen.until("production: unexpected AttributeError: ")
    assert "Traceback" not in screen.text
    assert screen.unrestored == []
    gate.give(6)
    completed(campaign, screen)
    watch = show(campaign, sys.executable, "-m", "production", "watch", **place)
    watch.until("5/6 finished")
    watch.until(at(3))
    watch.type("enter")
    watch.until("nothing until ")  # why it is there is told, and that the rest can't be stays told
    watch.until("run 3: unexpected ZeroDivisionError: portraits are out")
    watch.type("2")
    assert watch.end() == 1
    assert watch.unrestored == []
    [line] = [line for line in watch.lines if "unexpected AttributeError" in line]
    assert line.startswith("production: ")


# ── what is looked at ──


def test_two_look_at_the_same(gated: tuple[Campaign, Pipe, Pipe], shown: Screen, watch: Opened) -> None:
    campaign, _, gate = gated
    other = watch(campaign)
    other.until("6 in hand")
    gate.give(1)
    for screen in (shown, other):
        screen.until("5 in hand")
    other.type("q")
    assert other.end() == 0
    gate.give(5)
    completed(campaign, shown)


def one_line(screen: Screen, code: int) -> str:
    """It ended so, without ever showing itself."""
    assert screen.end() == code, screen.told()
    text = screen.text.strip()
    assert text.startswith("production: ")
    assert "\n" not in text
    assert screen.emulated.entered == 0
    return text


def test_nothing_to_look_at(campaign: Campaign, show: Opened) -> None:
    campaign.settings("")
    watch = [sys.executable, "-m", "production", "watch"]
    assert "is not there" in one_line(show(campaign, *watch, columns=400), 2)
    campaign.begin("1-3")
    assert "no production" in one_line(show(campaign, *watch, columns=400), 2)
    with contextlib.closing(sqlite3.connect(campaign.database)) as connection, connection:
        connection.execute(
            "INSERT INTO productions (program, version, tag, quality, user, start, data)"
            " VALUES ('sim', 1, 'v5', 'gold', 'anna', '2026-11-20T21:00:00.000000Z', '/data')"
        )
    screen = show(campaign, *watch)
    screen.until("there are no runs")
    for view in "2345":
        screen.type(view)
    screen.until("sim_v1 ")
    screen.type("1", "enter", "l", " ", "A", "r", "end", "home")
    screen.until("retry")
    screen.type("q")
    screen.until("there are no runs")
    screen.type("q")
    assert screen.end() == 0
    assert "did you mean state:?" in one_line(show(campaign, *watch, "stat:new", columns=400), 2)
    assert "--palette=pink: dark, light, plain" in one_line(show(campaign, *watch, "--palette=pink", columns=400), 2)
    assert "no production fit" in one_line(show(campaign, *watch, "--production=fit", columns=400), 2)


@pytest.mark.parametrize("version", [1, 3])
def test_a_database_of_an_earlier_version(campaign: Campaign, show: Opened, version: int) -> None:
    schema = (ROOT / "tests" / "data" / f"schema-version-{version}.sql").read_text(encoding="utf-8")
    with contextlib.closing(sqlite3.connect(campaign.database)) as connection:
        connection.executescript(schema)
        connection.execute("INSERT INTO catalogue (id, created) VALUES ('abc', '2026-11-20T21:00:00.000000Z')")
        connection.execute(
            "INSERT INTO productions (program, version, tag, quality, user, start, data)"
            " VALUES ('sim', 1, 'v5', 'gold', 'anna', '2026-11-20T21:00:00.000000Z', '/data')"
        )
        connection.commit()
    campaign.settings("")
    screen = show(campaign, sys.executable, "-m", "production", "watch", columns=400)
    assert "bring it up to date with: production upgrade" in one_line(screen, 2)


@contextlib.contextmanager
def locked(campaign: Campaign, how: str) -> Iterator[sqlite3.Connection]:
    with contextlib.closing(sqlite3.connect(campaign.database, timeout=30, isolation_level=None)) as connection:
        connection.execute(how)
        yield connection


def test_locked_for_a_long_time(campaign: Campaign, watch: Opened) -> None:
    """With a rollback journal nobody can read, then."""
    campaign.script("sim.sh", "true")
    campaign.settings('[programs.sim]\nscript = "sim.sh"\n')
    campaign.begin("1-30")
    campaign.database.chmod(0o664)
    campaign.directory.chmod(0o755)
    assert campaign.run("--production=sim", "--new=t").code == 0
    assert campaign.one("PRAGMA journal_mode") == "delete"
    screen = watch(campaign)
    screen.until("30/30 finished")
    screen.until(at(1))
    with locked(campaign, "BEGIN EXCLUSIVE"):
        screen.until("locked")
        screen.until("as of ")
        assert "30/30 finished" in screen.text
        screen.type("down")
        screen.until(at(2))
        screen.type("2")
        screen.until("failures: ")
        screen.type("?")
        screen.until("keys of: failures")
        screen.type("1")
        screen.until(at(2))
        screen.type("2")
        screen.until("failures: ")
    screen.until_gone("as of ")
    screen.until_gone("failures: ")  # though nothing is written
    screen.type("1")
    screen.until(at(2))
    screen.type("enter")
    screen.until("run 2 of sim_v1: finished")
    screen.type("q")
    assert screen.end() == 0


def test_with_wal_only_who_asks_for_something_waits(campaign: Campaign, watch: Opened) -> None:
    boards.begin(campaign)
    assert campaign.one("PRAGMA journal_mode") == "wal"
    screen = watch(campaign)
    screen.until(at(5))
    with locked(campaign, "BEGIN IMMEDIATE"):
        screen.type("r")
        screen.until("would be retried: 1 run (5)")
        screen.type("y")
        screen.type("down")
        screen.again()
        screen.again()
        assert "as of" not in screen.text
        assert campaign.letters("sim_v1")[4] == "E"
    screen.until("\n retried: 1 run (5)")


def test_a_manager_is_killed_while_somebody_watches(campaign: Campaign, watch: Opened) -> None:
    boards.begin(campaign)
    manager = boards.working(campaign)
    screen = watch(campaign)
    screen.until("2 jobs")
    manager.send(signal.SIGSTOP)
    screen.until(f":{manager.pid} is stopped (Ctrl-Z?)")
    manager.send(signal.SIGCONT)
    screen.until_gone("is stopped")
    manager.kill()
    screen.until(f":{manager.pid} is dead")
    screen.resize(40, 10)
    screen.until("manager!")


@pytest.fixture
def theirs(
    new_campaign: Callable[[pathlib.Path], Campaign], users: tuple[User, User], house: tuple[str, pathlib.Path]
) -> Iterator[tuple[Campaign, User]]:
    """A production of ours, and somebody who may read all of it and write nothing."""
    with tempfile.TemporaryDirectory(prefix="rp-", dir="/tmp", ignore_cleanup_errors=True) as directory:
        pathlib.Path(directory).chmod(0o755)
        campaign = new_campaign(pathlib.Path(directory) / "campaign")
        boards.begin(campaign)
        campaign.python, root = house
        campaign.environment |= {"PYTHONPATH": str(root), "PYTHONDONTWRITEBYTECODE": "1"}
        yield campaign, users[0]


def test_who_may_not_write(theirs: tuple[Campaign, User], watch: Opened) -> None:
    """The database is somebody else's: watching works, what is asked is refused in one line, nothing is changed."""
    campaign, user = theirs
    before = campaign.rows("SELECT * FROM production_run")
    screen = watch(campaign, user=user)
    screen.until(at(5))
    screen.type("enter")
    screen.until("run 5 of sim_v1: failed")
    screen.type("l")
    screen.until("bad magic in run 5")
    screen.type("1", "r")
    screen.until("would be retried: 1 run (5)")
    screen.type("y")
    screen.until(lambda screen: "production.db" in screen.line("retry?") or "read-only" in screen.line("retry?"))
    screen.until_gone("asking …")  # the plan was made anew, and the refusal still stands above it
    screen.until(lambda screen: "production.db" in screen.line("retry?") or "read-only" in screen.line("retry?"))
    screen.type("n")
    screen.until(at(5))
    assert campaign.rows("SELECT * FROM production_run") == before
    screen.type("q")
    assert screen.end() == 0
    assert screen.unrestored == []
