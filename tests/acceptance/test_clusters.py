"""Whole productions on real clusters: what goes wrong there, and what the shift is told of it."""

from __future__ import annotations

import dataclasses
import json
import os
import re
import threading

import pytest

from tests.acceptance.campaign import User, until
from tests.acceptance.clusters import Ground

OUTAGE = 120.0
"""Seconds that a controller stays away after that was noticed."""

SLURMS = ("slurm", "slurm_accounting")

SIM = """
[programs.sim]
script = "sim.sh"
retry.pause = 0
retry.limit = 2
"""


def campaign(ground: Ground, script: str, runs: str = "1", more: str = "", **words: float) -> None:
    """A production of one program, in a database of the jobs' user."""
    ground.campaign.script("sim.sh", script)
    ground.campaign.settings(SIM + more, **{"lease": 60, **words})
    ground.begin(runs)


@pytest.mark.feature("AC-08", "AC-19", "AC-28")
def test_a_production_from_end_to_end(ground: Ground) -> None:
    campaign(ground, 'echo "run $1"; test $1 != 3', "1-6")
    result = ground.run("--new=t")
    assert result.code == 3, str(result)
    assert ground.campaign.letters("sim_v1") == "FFEFFF"
    assert result.said("Failed run: 3 (program: exit 1")
    assert ground.attempts("exit, cause, cpu IS NOT NULL, host IS NOT NULL", 3) == [(1, "program", 1, 1)] * 2
    calls = ground.calls()
    assert calls[ground.submit] == 2  # all six at once, and the one that is tried again
    assert not ground.queue()
    ground.campaign.nothing_in_hands()
    assert [path.name for path in ground.campaign.data.glob("jobs/*/*")] == []


@pytest.mark.feature("AC-19", "AC-23")
def test_a_thousand_runs_cost_few_calls(ground: Ground) -> None:
    campaign(ground, "sleep 600", "1-1000")
    manager = ground.start("--new=t", "--nproc=1000", "--nprep=1000", pause=15)
    ground.submitted(1000)
    assert ground.calls()[ground.submit] <= 3
    result = manager.stop(seconds=120)
    assert (result.code, result.said("jobs cancelled, claims given back")) == (130, True), str(result)
    assert ground.calls()[ground.cancel] <= 3
    assert ground.campaign.letters("sim_v1") == "N" * 1000
    ground.until_empty()
    ground.campaign.nothing_in_hands()


@pytest.mark.feature("AC-20", "AC-21")
def test_too_little_memory_is_asked_for_once_more_with_more(ground: Ground) -> None:
    """The second attempt has half as much again, and that is enough."""
    greedy = "exec python3 -c 'import time; held = bytearray(220 << 20); time.sleep(4)'"
    campaign(ground, greedy, more='resources.memory = "200M"\nresources.time = "5m"\n')
    result = ground.run("--new=t")
    assert result.code == 0, str(result)
    first, second = ground.attempts("cause, resources, memory, host IS NOT NULL")
    assert first[0] == "memory", result.err
    assert second[0] is None
    asked = ['"memory": 209715200', '"memory": 3']
    assert all(words in str(one[1]) for words, one in zip(asked, (first, second), strict=True)), (first, second)
    assert (first[3], second[3]) == (1, 1)


@pytest.mark.feature("AC-20")
@pytest.mark.parametrize(
    "ground", [*(pytest.param(name, marks=pytest.mark.torture) for name in SLURMS), "gridengine"], indirect=True
)
def test_who_takes_too_long_is_ended_by_the_cluster(ground: Ground) -> None:
    """Slurm counts in minutes and looks every thirty seconds."""
    time = "1s" if ground.system == "sge" else "1m"
    campaign(ground, "sleep 300", more=f'resources.time = "{time}"\nretry.time = "{time}"\n')
    result = ground.run("--new=t", seconds=200)
    assert ground.attempts("cause") == [("time",)], result.err
    assert result.said("it had all that retry.time allows"), result.err
    assert result.code == 3


@pytest.mark.feature("AC-22", "AC-23")
@pytest.mark.parametrize("when", ["pending", "running"])
def test_a_job_that_somebody_deletes(ground: Ground, when: str) -> None:
    """Pending: what fills the whole cluster is in its way. Grid Engine remembers nothing of what never ran."""
    campaign(ground, "echo $1 >>@/began; sleep 600", grace=3)
    ground.block() if when == "pending" else None
    manager = ground.start("--new=t")
    ground.submitted(1)
    began = ground.began
    if when == "running":
        until(began.exists, "the job runs")
    ground.delete(*ground.queue())
    until(lambda: len(ground.attempts("cause")) == 2, "it is tried again")
    [(cause, counted), _] = ground.attempts("cause, counted")
    known = {"slurm": {"cancelled"}, "sge": {"cancelled", "lost"} if when == "pending" else {"killed", "program"}}
    assert cause in known[ground.system]
    assert counted == 1
    manager.stop(seconds=120)
    ground.until_empty()
    assert ground.campaign.letters("sim_v1") == "N"


@pytest.mark.feature("AC-28")
def test_why_tells_the_reason_for_which_a_job_waits(ground: Ground) -> None:
    """In the cluster's own words; and that it runs, when it does."""
    campaign(ground, "echo $1 >>@/began; sleep 600")
    ground.block()
    theirs = ground.queue()
    manager = ground.start("--new=t")
    ground.submitted(1)
    reason = {"slurm": r"pending \((Resources|Priority|None)\)", "sge": r"pending \(.+ .+\)"}[ground.system]
    lines = until_said(ground, rf"job [0-9._]+ of {ground.system} for [0-9]+ s: ({reason})")
    assert lines["next"] == "its job starts when the batch system has a place for it"
    ground.delete(*theirs)
    until(ground.began.exists, "the job runs")
    lines = until_said(ground, r".*: running on \S+.*")
    assert lines["next"] == "its outputs are looked at when its job has ended"
    manager.stop(seconds=120)
    ground.until_empty()


def why(ground: Ground) -> dict[str, str]:
    """{layer: what it says} of run 1."""
    said = ground.campaign.ok("why", "1", "--json", user=ground.user).out
    return {line["layer"]: line["text"] for line in json.loads(said)["layers"]}


def until_said(ground: Ground, words: str) -> dict[str, str]:
    """The same, once this is said of its job: the scheduler knows why in its next round, and the queue that it runs a moment later."""
    told: list[dict[str, str]] = []

    def said() -> bool:
        told.append(why(ground))
        return bool(re.fullmatch(words, told[-1]["batch system"]))

    until(said, f"the cluster says {words}")
    return told[-1]


@pytest.mark.feature("AC-21")
@pytest.mark.parametrize(
    "ground", [pytest.param("slurm", marks=pytest.mark.torture), "slurm_accounting"], indirect=True
)
def test_a_node_that_dies(ground: Ground) -> None:
    """The run goes elsewhere, and it isn't held against it."""
    campaign(ground, "hostname >>@/began; test -e @/go || sleep 600", grace=20)
    manager = ground.start("--new=t")
    until(lambda: ground.began.exists() and bool(ground.words()), "the job runs")
    [host] = ground.words()
    (ground.campaign.directory / "go").touch()
    ground.cluster.kill_node(int(host[1:]))
    try:
        result = manager.wait(120)
    finally:
        ground.cluster.start_node(int(host[1:]))
    assert result.code == 0, str(result)
    first, second = ground.attempts("cause, counted, host, resources")
    assert first[:3] == ("node", 0, host)
    assert f'"avoided": ["{host}"]' in str(second[3])
    assert second[2] != host


@pytest.mark.torture
@pytest.mark.feature("AC-19", "AC-29")
@pytest.mark.parametrize("when", ["submitting", "following"])
def test_a_controller_that_is_away(ground: Ground, when: str) -> None:
    campaign(ground, "echo $1 >>@/began; sleep 3", "1-4")
    if when == "submitting":
        ground.cluster.stop_controller()
    manager = ground.start("--new=t")
    try:
        if when == "following":
            ground.submitted(4)
            ground.cluster.stop_controller()
        manager.wait_for("waiting", seconds=90)
        threading.Event().wait(OUTAGE)
    finally:
        ground.cluster.start_controller()
    result = manager.wait(200)
    assert result.code == 0, str(result)
    assert ground.campaign.letters("sim_v1") == "FFFF"
    began = ground.words()
    assert sorted(began) == ["1", "2", "3", "4"], "each was computed once"
    assert len([message for message in result.messages if message.endswith("; waiting")]) <= 2, result.err
    assert not ground.queue()


@pytest.mark.feature("AC-29", "AC-33")
@pytest.mark.parametrize("when", ["before", "after"])
def test_who_is_killed_while_submitting(ground: Ground, when: str) -> None:
    """By the client itself, before it asked the cluster or after it had the reply: nothing is lost, nothing done twice."""
    campaign(ground, "echo $1 >>@/began", "1-3", grace=3)
    ground.fault(ground.submit, when)
    killed = ground.run("--new=t")
    assert killed.code == -9
    result = ground.run("--version=1")
    assert result.code == 0, str(result)
    assert sorted(ground.words()) == ["1", "2", "3"]
    assert ground.campaign.letters("sim_v1") == "FFF"
    assert not ground.queue()


@pytest.mark.feature("AC-33")
def test_foreign_jobs_neither_count_nor_confuse(ground: Ground) -> None:
    campaign(ground, "exit 0", "1-3")
    ground.block()
    theirs = ground.queue()
    held = ground.hold()
    manager = ground.start("--new=t", "--nproc=2")
    ground.submitted(2)
    ground.delete(*theirs)
    result = manager.wait(120)
    assert result.code == 0, str(result)
    assert ground.queue() == [held]
    ground.delete(held)


def test_what_cannot_be_submitted_is_told(ground: Ground) -> None:
    """A request that the site refuses, or accepts and will never fit."""
    campaign(ground, "exit 0", "1-2", "resources.cores = 900\n", grace=3)
    result = ground.run("--new=t", seconds=200)
    assert result.code == 3, str(result)
    assert {cause for (cause,) in ground.attempts("cause")} == {"launch"}, result.err
    assert not ground.queue()


def test_a_script_that_vanished(ground: Ground) -> None:
    campaign(ground, 'mv "$0" "$0.away"', "1-2")
    result = ground.run("--new=t", "--nproc=1")
    assert result.code == 3, str(result)
    assert ground.attempts("cause, exit") == [(None, 0), ("program", 127), ("program", 127)]
    assert result.said("not found") or result.said("No such file"), result.err


def test_a_log_directory_that_may_not_be_written(ground: Ground) -> None:
    campaign(ground, "exit 0", "1-2")
    ground.campaign.call(["mkdir", "-p", "data/log/v1"], ground.user)
    logs = ground.campaign.data / "log/v1"
    logs.chmod(0o555)
    result = ground.run("--new=t")
    assert result.code == 1, str(result)
    assert result.said(f"{logs} may not be written by you"), result.err
    assert ground.campaign.letters("sim_v1") == "NN"
    assert not ground.queue()


@pytest.mark.feature("AC-33")
def test_ctrl_c_with_two_hundred_jobs(ground: Ground) -> None:
    campaign(ground, "sleep 600", "1-200")
    manager = ground.start("--new=t", "--nproc=200", "--nprep=200")
    ground.submitted(200)
    result = manager.stop(seconds=120)
    assert result.code == 130, str(result)
    assert result.said("Stopped: jobs cancelled, claims given back"), str(result)
    assert ground.calls()[ground.cancel] <= 3
    ground.until_empty()
    ground.campaign.nothing_in_hands()


@pytest.mark.feature("AC-30")
def test_two_managers_and_one_is_killed(ground: Ground) -> None:
    campaign(ground, "echo $1 >>@/began; while ! test -e @/go; do sleep 0.1; done", "1-20")
    first = ground.start("--new=t", "--nproc=4")
    ground.submitted(4)
    second = ground.start("--nproc=4")
    ground.submitted(8)
    first.kill()
    (ground.campaign.directory / "go").touch()
    result = second.wait(200)
    assert result.code == 0, str(result)
    began = ground.words()
    assert sorted(map(int, began)) == list(range(1, 21))
    assert ground.campaign.letters("sim_v1") == "F" * 20


@pytest.mark.feature("AC-30", "AC-33")
def test_two_unix_users_and_one_is_killed(ground: Ground, users: tuple[User, User]) -> None:
    """Bob follows Alice's jobs to their end, sends none of them again, and leaves them alone when he is interrupted."""
    alice, bob = (dataclasses.replace(one, umask=0) for one in (ground.user, users[1]))
    ground.campaign.directory.chmod(0o777)
    (ground.campaign.home / bob.name).mkdir()
    os.chown(ground.campaign.home / bob.name, bob.uid, bob.gid)
    ground.user = alice
    campaign(ground, "echo $1 $(id -un) >>@/began; while ! test -e @/go; do sleep 0.1; done", "1-12", lease=10)
    for path in ground.campaign.directory.glob("production.db*"):
        path.chmod(0o666)
    first = ground.start("--new=t", "--nproc=3", "--nprep=0")
    ground.submitted(3)
    until(lambda: ground.began.exists() and len(ground.words()) == 6, "Alice's jobs run")
    first.kill()
    second = ground.start("--nproc=5", "--nprep=0", user=bob)
    second.wait_for("Following 3 runs of manager 1")
    ground.submitted(8)
    result = second.stop(seconds=120)
    assert result.code == 130, str(result)
    assert len(ground.queue()) == 3, "Alice's"
    third = ground.start("--nproc=5", user=bob)
    third.wait_for("Following 3 runs of manager 2")
    (ground.campaign.directory / "go").touch()
    result = third.wait(200)
    assert ground.campaign.letters("sim_v1") == "F" * 12, str(result)
    words = ground.words()
    assert words[::2].count("1") == words[::2].count("2") == words[::2].count("3") == 1
    assert {words[at + 1] for at in range(0, len(words), 2) if words[at] in {"1", "2", "3"}} == {alice.name}
    assert ground.campaign.rows("SELECT count(*) FROM attempt WHERE run <= 3") == [(3,)]


@pytest.mark.torture
@pytest.mark.feature("AC-29", "AC-33")
@pytest.mark.parametrize("when", ["before", "after"])
def test_who_is_killed_a_hundred_times_while_submitting(ground: Ground, when: str) -> None:
    campaign(ground, "echo $1 >>@/began", "1-250", grace=1)
    for number in range(100):
        ground.fault(ground.submit, when)
        killed = ground.start("--nproc=2", *(["--new=t"] if number == 0 else []), pause=0.2).wait(120)
        assert killed.code == -9, str(killed)
    result = ground.run("--nproc=50", "--nprep=50", seconds=300)
    assert result.code == 0, str(result)
    assert ground.campaign.letters("sim_v1") == "F" * 250
    assert sorted(map(int, ground.words())) == list(range(1, 251)), "each was computed once"
    assert not ground.queue()
    ground.campaign.nothing_in_hands()


@pytest.mark.feature("PK-10", "AC-22")
def test_what_people_ask_of_jobs_on_a_cluster(ground: Ground) -> None:
    """One job runs and is cancelled, one waits for what fills the cluster and is held; why it waits is the cluster's word."""
    campaign(ground, "echo $1 >>@/began; sleep 600", "1-2")
    manager = ground.start("--new=t", "--nproc=1", "--follow")
    until(ground.began.exists, "the first job runs")

    def said(*words: str) -> str:
        return ground.campaign.ok(*words, user=ground.user).out

    until(lambda: "running" in said("why", "1"), "the queue knows that it runs")
    assert said("cancel", "1", "--yes", "--wait=90", "--why=wrong target").endswith("run 1: cancelled\n")
    until(lambda: len(ground.words()) == 2, "the second job runs")
    assert said("hold", "2", "--yes", "--wait=90").endswith("run 2: held\n")
    ground.until_empty()
    ground.block()
    assert said("release", "2", "--yes") == "released: 1 run (2)\n"
    ground.submitted(1)
    # the scheduler says why in its next round
    until(lambda: "pending (" in said("why", "2") or ground.system == "sge", "the cluster says why")
    assert "pending" in said("why", "2")
    assert said("hold", "2", "--yes", "--wait=90").endswith("run 2: held\n")
    manager.stop(seconds=120)
    ground.delete(*ground.queue())
    ground.until_empty()
    assert ground.campaign.letters("sim_v1") == "EH"
    assert ground.attempts("cause, counted", 1) == [("cancelled", 0)]
    assert set(ground.attempts("cause", 2)) == {("cancelled",)}
    ground.campaign.nothing_in_hands()
