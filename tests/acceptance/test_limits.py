"""How much at once, how often again, and when to stop."""

from __future__ import annotations

import datetime
import fcntl
import itertools
import os
import re
import signal
import subprocess

import pytest

from tests.acceptance.campaign import PATIENCE, Campaign, Names, Result

SIMPLE = """
[programs.sim]
script = "sim.sh"
arguments = ["{run}", "{attempt}"]
"""


@pytest.mark.feature("AC-08")
def test_never_more_jobs_than_nproc(campaign: Campaign) -> None:
    """Counted by the jobs themselves; another manager's and another production's don't count."""
    started, gate = campaign.pipe("started"), campaign.pipe("gate")
    campaign.script("sim.sh", 'echo + >>@/count.$3\necho "$1" >@/started\nread go <@/gate\necho - >>@/count.$3')
    campaign.settings(SIMPLE.replace('"{attempt}"]', '"{attempt}", "{version}"]'))
    campaign.begin("1-20")
    first = campaign.start("--production=sim", "--new=a", "--nproc=3", "--nprep=4")
    started.take(3)
    second = campaign.start("--production=sim", "--new=b", "--nproc=2", "--nprep=0")
    started.take(2)
    gate.give(40)
    for manager in (first, second):
        result = manager.wait()
        assert result.code == 0, str(result)
    for version, nproc in ((1, 3), (2, 2)):
        assert most(campaign, version) == nproc


def most(campaign: Campaign, version: int) -> int:
    """The most jobs at a time."""
    level, highest = 0, 0
    for sign in (campaign.directory / f"count.{version}").read_text().split():
        level += 1 if sign == "+" else -1
        highest = max(level, highest)
    return highest


@pytest.mark.feature("AC-09")
def test_never_more_raw_files_than_nproc_and_nprep(campaign: Campaign) -> None:
    campaign.script("sim.sh", 'test -s "$2"')
    campaign.settings(SIMPLE.replace("{attempt}", "{input}") + 'input = "run{run:05d}.mid"\n')
    campaign.raw(range(1, 41))
    campaign.begin("1-40")
    (campaign.data / "raw").mkdir(parents=True)
    names = Names(campaign.data / "raw")
    result = campaign.run("--production=sim", "--new=t", "--nproc=3", "--nprep=2")
    assert result.code == 0, str(result)
    there: set[str] = set()
    highest, ever = 0, set()
    for came, name in names.events():
        run = name.removesuffix(".part")
        there = there | {run} if came else there - {run} if name == run else there
        highest = max(highest, len(there))
        ever.add(run)
    names.close()
    assert len(ever) == 40
    assert there == set()
    assert 3 < highest <= 5


@pytest.mark.feature("AC-23")
def test_a_run_that_always_fails_is_tried_so_many_times(campaign: Campaign) -> None:
    campaign.script("sim.sh", 'echo "$1 $2" >>@/tried; test "$1" != 7 || { echo "bad magic" >&2; exit 9; }')
    campaign.settings(SIMPLE + "retry.limit = 4\nretry.pause = 0.1\nretry.factor = 1\n")
    campaign.begin("1-12")
    result = campaign.run("--production=sim", "--new=t")
    assert result.code == 3, str(result)
    assert campaign.letters("sim_v1") == "FFFFFFEFFFFF"
    tried = (campaign.directory / "tried").read_text().splitlines()
    assert [line for line in tried if line.startswith("7 ")] == ["7 1", "7 2", "7 3", "7 4"]
    assert len(tried) == 11 + 4
    log = "log: log/v1/sim.run00007.err)"
    assert f"Failed run: 7 (program: exit 9: bad magic; after 4 attempts; {log}" in result.messages
    tries = [message for message in result.messages if message.startswith("Failed attempt of run: 7 (program: exit 9")]
    assert len(tries) == 3
    assert all(message.endswith(log) for message in tries), tries
    assert campaign.one("SELECT stop FROM productions") is None, "it is not finished"
    again = campaign.run("--production=sim")
    assert again.code == 3
    assert len((campaign.directory / "tried").read_text().splitlines()) == 15, "starting again is no retry"


def test_the_pauses_before_another_try_grow(campaign: Campaign) -> None:
    campaign.script("sim.sh", "exit 1")
    campaign.settings(SIMPLE + "retry.limit = 4\nretry.pause = 0.3\nretry.factor = 2\nretry.longest = 0.9\n")
    campaign.begin("1")
    result = campaign.run("--production=sim", "--new=t")
    assert result.code == 3, str(result)
    rows = campaign.rows("SELECT claimed_at, ended_at FROM attempt ORDER BY attempt")
    times = [[datetime.datetime.fromisoformat(str(text)) for text in row] for row in rows]
    pauses = [(later[0] - earlier[1]).total_seconds() for earlier, later in itertools.pairwise(times)]
    assert len(pauses) == 3
    for pause, least in zip(pauses, (0.3, 0.6, 0.9), strict=True):
        assert least <= pause < least + 20


@pytest.mark.feature("AC-23")
def test_when_all_fail_alike_it_stops_claiming(campaign: Campaign) -> None:
    campaign.script("sim.sh", 'echo "$1" >>@/tried; echo "no such file: libCore.so" >&2; exit 127')
    campaign.settings(SIMPLE + "retry.pause = 1000\n")
    campaign.begin("1-100")
    result = campaign.run("--production=sim", "--new=t", "--nproc=2", "--nprep=0")
    tried = (campaign.directory / "tried").read_text().split()
    assert 10 <= len(tried) <= 12, "ten, and those that were under way"
    told = [number for number, message in enumerate(result.messages) if "in a row" in message]
    brake = result.messages[told[0]]
    assert brake.startswith("10 runs in a row failed for the same cause (program), the last was run ")
    assert re.search(r"\(exit 127: no such file: libCore.so; log: log/v1/sim.run000\d\d.err\)", brake), brake
    assert result.err.splitlines()[told[0]].split()[2] == "ERROR"
    assert told[1:] == [len(result.messages) - 1], "and once more as the last line"
    assert result.messages[-1].partition(", the last was run")[0] == brake.partition(", the last was run")[0]
    assert not [message for message in result.messages[told[0] :] if message.startswith("Submitting")]
    assert result.code == 3, f"the work is not done:\n{result}"
    campaign.nothing_in_hands()
    assert f"its last manager stopped: {result.messages[-1]}" in campaign.ok("status").out
    # mended, the same command goes on
    campaign.script("sim.sh", "exec true")
    campaign.settings(SIMPLE + "retry.pause = 0\n")
    again = campaign.start("--production=sim", "--nproc=2")
    again.wait_for("Finished run", 85)
    again.stop()
    assert campaign.letters("sim_v1").count("F") >= 85
    assert "in a row" not in campaign.ok("status").out


def test_what_is_staged_is_given_back_when_all_fail_alike(campaign: Campaign) -> None:
    """Also by who would stay for more, and while files come."""
    campaign.script("sim.sh", 'echo "$1" >>@/tried; exit 1')
    campaign.settings(SIMPLE + 'input = "run{run:05d}.mid"\nretry.pause = 1000\n')
    campaign.raw(range(1, 101))
    campaign.begin("1-100")
    result = campaign.run("--production=sim", "--new=t", "--nproc=2", "--nprep=20", "--follow")
    assert result.code == 3, str(result)
    tried = (campaign.directory / "tried").read_text().split()
    assert 10 <= len(tried) <= 12, "ten, and those that were under way"
    assert campaign.letters("sim_v1") == "N" * 100, "nothing is held against them"
    campaign.nothing_in_hands()
    assert os.listdir(campaign.data / "raw") == []


def test_one_success_between_releases_the_brake(campaign: Campaign) -> None:
    campaign.script("sim.sh", "case $1 in *5) ;; *) exit 1 ;; esac")
    campaign.settings(SIMPLE + "retry.limit = 1\n")
    campaign.begin("1-40")
    result = campaign.run("--production=sim", "--new=t", "--nproc=1", "--nprep=0")
    assert result.code == 3, str(result)
    assert campaign.letters("sim_v1") == "EEEEFEEEEE" * 4
    assert not result.said("in a row")


@pytest.mark.feature("AC-36")
def test_a_production_is_closed_once(campaign: Campaign) -> None:
    campaign.script("sim.sh", "exec true")
    campaign.settings(SIMPLE)
    campaign.begin("1-3")
    assert campaign.run("--production=sim", "--new=t").said("Finished production: sim_v1")
    stop = campaign.one("SELECT stop FROM productions")
    assert stop
    again = campaign.run("--production=sim")
    assert again.code == 0
    assert again.said("nothing to do")
    assert not again.said("Finished production")
    campaign.ok("datasets", "add", "4", "--dataset=Al100")
    assert campaign.run("--production=sim").code == 0
    assert campaign.one("SELECT stop FROM productions") == stop
    assert campaign.letters("sim_v1") == "FFF", "a closed production takes no more runs"
    assert "sim_v1 (t, gold): finished: 3 finished" in campaign.ok("status").out


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_follow_stays_and_takes_new_runs(campaign: Campaign, number: signal.Signals) -> None:
    campaign.script("sim.sh", "exec true")
    campaign.settings(SIMPLE)
    campaign.begin("1-3")
    manager = campaign.start("--production=sim", "--new=t", "--follow")
    manager.wait_for("Finished run", 3)
    campaign.ok("datasets", "add", "11-12", "--dataset=Al100")
    campaign.ok("datasets", "add", "13", "--dataset=Al100", "--quality=silver")
    manager.wait_for("Finished run", 5)  # 12 may end before 11
    result = manager.stop(number)
    assert result.code == 130, str(result)
    assert result.said("New runs: 2")
    assert campaign.status("sim_v1") == dict.fromkeys((1, 2, 3, 11, 12), "F"), "silver stays outside"
    campaign.nothing_in_hands()


def limited(campaign: Campaign, limit: str, *arguments: str) -> Result:
    """A manager under a ulimit."""
    before = ["sh", "-c", f'{limit}; exec "$@"', "sh"]
    return campaign.start("--production=sim", *arguments, before=before).wait()


@pytest.mark.feature("AC-41")
def test_too_few_open_files_are_said_at_the_door(campaign: Campaign) -> None:
    campaign.script("sim.sh", "exit 0")
    campaign.settings(SIMPLE)
    campaign.begin("1-2")
    for number in (8, 63):
        result = limited(campaign, f"ulimit -n {number}", "--new=t")
        assert result.code == 1
        assert result.err == "run_production: too few open files allowed: raise ulimit -n (to 64 or more)\n"
    assert campaign.rows("SELECT * FROM productions") == []
    result = limited(campaign, "ulimit -n 64", "--new=t")
    assert result.code == 0, str(result)


def test_a_descriptor_above_the_limit_is_kept_from_the_jobs(campaign: Campaign) -> None:
    """Opened before the limit was lowered: the system refuses to close it by its number."""
    lock = os.open(campaign.directory, os.O_RDONLY)
    high = fcntl.fcntl(lock, fcntl.F_DUPFD, 200)
    os.close(lock)
    campaign.script("sim.sh", "ls /proc/$$/fd >@/descriptors")
    campaign.settings(SIMPLE)
    campaign.begin("1")
    command = [campaign.python, str(campaign.root / "run_production.py"), "--production=sim", "--new=t"]
    done = subprocess.run(
        ["sh", "-c", 'ulimit -n 100; exec "$@"', "sh", *command], cwd=campaign.directory, env=campaign.environment,
        pass_fds=[high], capture_output=True, text=True, timeout=PATIENCE, check=False,
    )  # fmt: skip
    os.close(high)
    assert done.returncode == 0, done.stderr
    assert str(high) not in (campaign.directory / "descriptors").read_text().split()


@pytest.mark.feature("AC-29")
def test_a_limit_for_files_loses_nothing(campaign: Campaign) -> None:
    campaign.script("sim.sh", "exit 0")
    campaign.settings(SIMPLE)
    campaign.begin("1-30")
    result = limited(campaign, "ulimit -f 20", "--new=t")  # blocks of 512 bytes: not even the database's journal
    assert result.code == 2
    assert result.err.count("\n") == 1, str(result)
    assert result.said("raise ulimit -f")
    result = limited(campaign, "ulimit -f 600", "--new=t")
    assert result.code == 1, str(result)
    assert sum("raise ulimit -f" in line for line in result.messages) == 1, str(result)
    result = campaign.run("--production=sim")
    assert result.code == 0, str(result)
    assert campaign.letters("sim_v1") == "F" * 30
    assert campaign.rows("SELECT count(*) FROM attempt WHERE counted") == [(0,)], "no run is to blame"
    campaign.nothing_in_hands()


def test_a_finished_production_leaves_no_empty_directories(campaign: Campaign) -> None:
    """Nor one that two worked on: the last to leave removes them."""
    started, gate = campaign.pipe("started"), campaign.pipe("gate")
    campaign.script("sim.sh", "echo $1 >@/started\nread go <@/gate")
    campaign.settings(SIMPLE + 'home = "private"\n')
    campaign.begin("1-4")
    first = campaign.start("--production=sim", "--new=t", "--nproc=1", "--nprep=0")
    started.take(1)
    second = campaign.start("--production=sim", "--nproc=1", "--nprep=0")
    started.take(1)
    assert len([*(campaign.data / "jobs").iterdir(), *(campaign.data / "work").iterdir()]) == 2
    gate.give(1)
    started.take(1)
    gate.give(3)
    for manager in (first, second):
        result = manager.wait()
        assert result.code == 0, str(result)
    assert campaign.letters("sim_v1") == "FFFF"
    assert [*(campaign.data / "jobs").iterdir(), *(campaign.data / "work").iterdir()] == []
