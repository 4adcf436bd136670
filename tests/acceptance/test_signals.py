"""Stopping a manager, politely or not: nothing stays behind, nothing is done twice."""

from __future__ import annotations

import os
import pathlib
import re
import shutil
import signal
import subprocess
import threading
import time
from collections.abc import Callable

import pytest

from tests.acceptance.campaign import Campaign, Pipe, until

GATED = """
echo "$1" >@/started
read go <@/gate
echo "tree of run $1 from $(cat "$2")" >"$3"
"""

PROGRAM = """
[programs.gated]
script = "gated.sh"
arguments = ["{run}", "{input}", "{tree}"]
input = "run{run:05d}.mid"

[programs.gated.outputs.tree]
path = "tree/v{version}/tree{run:05d}.txt"
"""

WITHOUT_INPUT = """
[programs.gated]
script = "gated.sh"
"""

State = tuple[int, str, int, object]


@pytest.fixture
def started(campaign: Campaign) -> Pipe:
    """Jobs that began write the number of their run into it."""
    return campaign.pipe("started")


@pytest.fixture
def gate(campaign: Campaign) -> Pipe:
    """Jobs wait here for a line."""
    return campaign.pipe("gate")


def states(campaign: Campaign) -> list[tuple[object, ...]]:
    return campaign.rows("SELECT run, state, failures, owner FROM production_run ORDER BY run")


@pytest.mark.feature("AC-28")
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_gives_everything_back(campaign: Campaign, started: Pipe, gate: Pipe, number: signal.Signals) -> None:
    campaign.script("gated.sh", GATED)
    campaign.settings(PROGRAM)
    campaign.raw(range(1, 9))
    os.truncate(campaign.archive / "run00004.mid", 4 << 30)  # sparse; only a few blocks of it are ever copied
    campaign.begin("1-8")
    manager = campaign.start("--production=gated", "--new=t", "--nproc=2", "--nprep=2")
    started.take(2)
    gate.give(1)
    manager.wait_for("Finished run")
    started.take(1)
    part = campaign.data / "raw" / "run00004.mid.part"
    # a thread of the manager makes it, and says nothing
    until(part.exists, "the transfer of run 4 has begun")
    at = time.monotonic()

    result = manager.stop(number)

    assert result.code == 130, str(result)
    assert time.monotonic() - at < 10
    [done] = [run for run, state, _, _ in states(campaign) if state == "finished"]
    assert states(campaign) == [(run, "finished" if run == done else "new", 0, None) for run in range(1, 9)]
    campaign.nothing_in_hands()
    assert list((campaign.data / "raw").iterdir()) == []
    assert campaign.rows("SELECT run, path FROM output WHERE recorded IS NOT NULL") == [
        (done, str(campaign.data / f"tree/v1/tree0000{done}.txt"))
    ]
    assert (campaign.data / f"tree/v1/tree0000{done}.txt").exists()
    assert campaign.rows("SELECT count(*) FROM manager WHERE stop IS NULL") == [(0,)]
    assert set(campaign.rows("SELECT cause, counted FROM attempt WHERE run <> ?", done)) <= {
        ("cancelled", 0),
        ("released", 0),
    }
    assert result.said("Stopped: jobs cancelled, claims given back")
    assert result.said("run_production --production=gated --nproc=2 --nprep=2 --version=1")


@pytest.mark.feature("AC-28")
def test_after_a_signal_the_same_command_goes_on(campaign: Campaign, started: Pipe, gate: Pipe) -> None:
    campaign.script("gated.sh", GATED)
    campaign.settings(PROGRAM)
    campaign.raw(range(1, 6))
    campaign.begin("1-5")
    manager = campaign.start("--production=gated", "--new=t", "--nproc=3")
    started.take(3)
    assert manager.stop().code == 130
    started.rest()
    gate.give(5)
    result = campaign.run("--production=gated")
    assert result.code == 0, str(result)
    assert campaign.letters("gated_v1") == "FFFFF"
    assert sorted(started.take(5)) == list("12345")
    assert (campaign.data / "tree/v1/tree00003.txt").read_text() == "tree of run 3 from raw data of run 3\n"


@pytest.mark.feature("AC-28")
def test_a_second_ctrl_c_leaves_at_once_and_the_next_manager_takes_over(
    campaign: Campaign, started: Pipe, gate: Pipe
) -> None:
    campaign.script("gated.sh", "trap '' TERM\n" + GATED.replace('"$3"', "@/out.$1"))
    campaign.settings(WITHOUT_INPUT)
    campaign.begin("1-3")
    manager = campaign.start("--production=gated", "--new=t")
    started.take(3)
    manager.send(signal.SIGINT)
    manager.wait_for("Cancelling 3 jobs")
    result = manager.stop(signal.SIGINT)
    assert result.code == 130, str(result)
    assert len(campaign.jobs()) >= 3, "jobs have 3 s before they are killed: it didn't leave at once"
    left = states(campaign)
    assert {state for _, state, _, _ in left} == {"submitted"}
    assert "claims given back" not in result.err, f"they were not:\n{result}"
    left_over = [line for line in result.messages if "job of run " in line]
    assert len(left_over) == 3, f"what is left isn't said:\n{result}"

    gate.give(6)
    result = campaign.run("--production=gated")
    assert result.code == 0, str(result)
    assert campaign.letters("gated_v1") == "FFF", str(result)
    campaign.nothing_in_hands()


@pytest.mark.feature("AC-29")
def test_kill_9_and_start_again_adopts(campaign: Campaign, started: Pipe, gate: Pipe) -> None:
    campaign.script("gated.sh", GATED)
    campaign.settings(PROGRAM)
    campaign.raw(range(1, 7))
    campaign.begin("1-6")
    manager = campaign.start("--production=gated", "--new=t", "--nproc=3", "--nprep=2")
    first = started.take(3)
    manager.kill()
    assert len(campaign.jobs()) >= 3, "jobs outlive their manager"
    again = campaign.start("--production=gated", "--nproc=3", "--nprep=2")
    again.wait_for("Following 3 runs of manager 1")
    gate.give(6)
    result = again.wait()
    assert result.code == 0, str(result)
    assert campaign.letters("gated_v1") == "FFFFFF"
    assert sorted(first + started.take(3)) == list("123456")
    assert started.rest() == [], "a job was started twice"
    campaign.nothing_in_hands()
    assert list((campaign.data / "raw").iterdir()) == []


@pytest.mark.feature("AC-29")
def test_jobs_that_end_while_nobody_looks_are_finished_by_the_next_manager(
    campaign: Campaign, started: Pipe, gate: Pipe
) -> None:
    campaign.script("gated.sh", GATED)
    campaign.settings(PROGRAM)
    campaign.raw(range(1, 4))
    campaign.begin("1-3")
    manager = campaign.start("--production=gated", "--new=t")
    started.take(3)
    manager.kill()
    gate.give(3)
    # they are nobody's children that we could wait for
    until(lambda: not campaign.jobs(), "the jobs have ended")
    result = campaign.run("--production=gated")
    assert result.code == 0, str(result)
    assert campaign.letters("gated_v1") == "FFF"
    assert started.rest() == [], "a job was started twice"
    assert campaign.rows("SELECT max(attempt) FROM attempt") == [(1,)]


@pytest.mark.feature("AC-30")
def test_a_manager_of_another_host_takes_over_after_the_lease(
    campaign: Campaign, started: Pipe, gate: Pipe, need: Callable[[str, object], object]
) -> None:
    need("unshare, as root: a second host's name", shutil.which("unshare") and os.geteuid() == 0)
    campaign.script("gated.sh", GATED)
    campaign.settings(PROGRAM)
    campaign.one_file_at_a_time()
    campaign.raw(range(1, 6))
    campaign.begin("1-5")
    manager = campaign.start("--production=gated", "--new=t", "--nproc=2", "--nprep=1")
    started.take(2)
    # a job says that it runs before its manager has written that down
    query = "SELECT state FROM production_run WHERE run < 4 ORDER BY run"
    until(lambda: campaign.rows(query) == [("submitted",), ("submitted",), ("staged",)], "run 3 is staged")
    manager.kill()
    at = time.monotonic()
    elsewhere = ["unshare", "--uts", "sh", "-c", 'hostname elsewhere && exec "$@"', "sh"]
    other = campaign.start("--production=gated", "--nproc=2", "--nprep=1", before=elsewhere)
    other.wait_for("Following 2 runs of manager 1")
    assert time.monotonic() - at > 9, "a lease of 10 s"
    assert "Released run: 3 (its manager is gone)" in other.said
    assert {str(run) for run, state, _, _ in states(campaign) if state == "submitted"} >= {"1", "2"}
    gate.give(5)
    result = other.wait()
    assert result.code == 0, str(result)
    assert campaign.letters("gated_v1") == "FFFFF"
    assert sorted(started.rest()) == ["3", "4", "5"], "each once"
    campaign.nothing_in_hands()


def test_ctrl_z_and_fg(campaign: Campaign, started: Pipe, gate: Pipe) -> None:
    campaign.script("gated.sh", GATED)
    campaign.settings(PROGRAM)
    campaign.raw(range(1, 9))
    campaign.begin("1-8")
    manager = campaign.start("--production=gated", "--new=t", "--nproc=3")
    started.take(3)
    manager.send(signal.SIGTSTP)
    seen = os.waitid(os.P_PID, manager.pid, os.WSTOPPED | os.WNOWAIT)
    assert seen
    assert seen.si_code == os.CLD_STOPPED
    gate.give(3)  # jobs go on and end meanwhile
    # they are nobody's children that we could wait for
    until(lambda: len(list(campaign.data.rglob("*.witness"))) == 3 and not ended_missing(campaign), "3 jobs have ended")
    # nobody else is kept from the database by the one that sleeps
    assert "gated_v1 (t, gold): open" in campaign.ok("status").out
    campaign.raw(range(9, 10))
    campaign.ok("datasets", "add", "9", "--dataset=Al100")
    gate.give(6)
    manager.send(signal.SIGCONT)
    result = manager.wait()
    assert result.code == 0, str(result)
    assert result.said("New runs: 1")
    assert campaign.letters("gated_v1") == "FFFFFFFFF"
    assert campaign.rows("SELECT max(attempt) FROM attempt") == [(1,)]


def ended_missing(campaign: Campaign) -> list[str]:
    return [path.name for path in campaign.data.rglob("*.witness") if "\nend " not in path.read_text()]


def test_nohup_is_respected(campaign: Campaign, started: Pipe, gate: Pipe) -> None:
    """Whoever starts it with nohup wants it to outlive the terminal."""
    campaign.script("gated.sh", GATED)
    campaign.settings(WITHOUT_INPUT)
    campaign.script("gated.sh", GATED.replace('"$3"', "@/out.$1"))
    campaign.begin("1-2")
    manager = campaign.start("--production=gated", "--new=t", before=["nohup"])
    started.take(2)
    manager.send(signal.SIGHUP)
    gate.give(2)
    result = manager.wait()
    assert result.code == 0, str(result)
    assert campaign.letters("gated_v1") == "FF"


def test_stopping_before_anything_began(campaign: Campaign) -> None:
    """A Ctrl-C while everything is done or waits in back-off ends just as well."""
    campaign.script("gated.sh", "exit 3")
    campaign.settings(WITHOUT_INPUT + "retry.pause = 1000\n")
    campaign.begin("1-2")
    manager = campaign.start("--production=gated", "--new=t")
    manager.wait_for("Failed attempt of run", 2)
    result = manager.stop()
    assert result.code == 130, str(result)
    campaign.nothing_in_hands()
    assert campaign.letters("gated_v1") == "NN"


def caught(pid: int, number: signal.Signals) -> bool:
    """Whether the process has a handler of its own for this signal (proc(5), status)."""
    [mask] = re.findall(r"^SigCgt:\s*(\w+)$", pathlib.Path(f"/proc/{pid}/status").read_text(), re.MULTILINE)
    return bool(int(mask, 16) >> (number - 1) & 1)


@pytest.mark.feature("AC-28")
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_at_the_door_ends_it_without_a_traceback(campaign: Campaign, number: signal.Signals) -> None:
    """At every moment from our first line on, through the imports and the opening, until it goes round."""
    campaign.script("gated.sh", "read never <@/gate")
    campaign.pipe("gate")
    campaign.settings(WITHOUT_INPUT)
    campaign.begin("1-2")
    for moment in range(0, 300, 30):
        manager = campaign.start("--production=gated", "--new=t")
        # it has said nothing yet; python itself has a handler for SIGINT only
        until(lambda pid=manager.pid: caught(pid, signal.SIGTERM), "our first line")
        threading.Event().wait(moment / 1000)  # no event marks "in the middle of an import"
        result = manager.stop(number)
        assert result.code == 130, f"after {moment} ms: {result}"
        assert "Traceback" not in result.err, f"after {moment} ms: {result}"
        assert "rror" not in result.err, f"after {moment} ms: {result}"
    campaign.nothing_in_hands()


LOCK = """
import sqlite3, sys
connection = sqlite3.connect(sys.argv[1], isolation_level=None)
connection.execute("PRAGMA locking_mode = EXCLUSIVE")
connection.execute("BEGIN EXCLUSIVE")
connection.execute("CREATE TABLE theirs (a)")
print("locked", file=sys.stderr, flush=True)
sys.stdin.read()
"""


@pytest.mark.feature("AC-28")
@pytest.mark.parametrize("command", ["run_production.py --production=gated --new=t", "-m production status"])
def test_ctrl_c_while_somebody_else_holds_the_lock(campaign: Campaign, command: str) -> None:
    campaign.script("gated.sh", "exit 0")
    campaign.settings(WITHOUT_INPUT)
    campaign.begin("1-2")
    lock = subprocess.Popen(
        [campaign.python, "-c", LOCK, campaign.database], stdin=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    with lock:
        assert lock.stderr
        assert lock.stderr.readline() == "locked\n"
        waiting = campaign.begun([campaign.python, *command.replace("run_", f"{campaign.root}/run_", 1).split()])
        waiting.wait_for("somebody else holds the database's lock; waiting")
        threading.Event().wait(1.5)  # it goes on waiting, and says no more
        at = time.monotonic()
        result = waiting.stop()
        assert time.monotonic() - at < 4
        lock.communicate("")
    assert result.code == 130, str(result)
    assert result.err.count("\n") == 1, str(result)
