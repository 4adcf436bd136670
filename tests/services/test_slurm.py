"""The real Slurm, as the tests get it: it computes, counts, limits, and breaks where it is told to."""

from __future__ import annotations

import pathlib
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator

import pytest

from tests.services import daemon, hosts
from tests.services import slurm as slurms

GREEDY = "python3 -c 'import time; held = bytearray(200_000_000); time.sleep(20)'"
ENDED = {"COMPLETED", "FAILED", "CANCELLED", "TIMEOUT", "OUT_OF_MEMORY", "NODE_FAIL"}


def submit(cluster: slurms.Slurm, script: str, *options: str) -> str:
    return cluster.run("sbatch", "--parsable", *options, input=f"#!/bin/sh\n{script}\n").stdout.strip()


def states(cluster: slurms.Slurm, job: str, column: str = "%T") -> list[str]:
    return sorted(cluster.run("squeue", "-h", "-r", "-t", "all", "-j", job, "-o", column).stdout.split("\n")[:-1])


def ended(cluster: slurms.Slurm, job: str, seconds: float = 20) -> list[str]:
    daemon.until(f"{job} has ended", lambda: set(states(cluster, job)) <= ENDED, seconds)
    return states(cluster, job)


def running(cluster: slurms.Slurm, job: str) -> None:
    daemon.until(f"{job} runs", lambda: states(cluster, job) == ["RUNNING"])


@pytest.fixture(params=["slurm", "slurm_accounting"])
def either(request: pytest.FixtureRequest) -> slurms.Slurm:
    cluster: slurms.Slurm = request.getfixturevalue(request.param)
    return cluster


@pytest.fixture
def own(slurm: slurms.Slurm) -> Iterator[pathlib.Path]:
    """A place for another cluster beside the shared one."""
    with tempfile.TemporaryDirectory(prefix="rp-", dir="/tmp") as directory:
        yield pathlib.Path(directory)


def test_a_job_runs_as_the_user_on_a_node_of_that_name(either: slurms.Slurm) -> None:
    job = submit(either, "hostname; id -un; exit 3", "-w", "n03", "-o", "where.txt")
    assert ended(either, job) == ["FAILED"]
    assert states(either, job, "%r %N") == ["NonZeroExitCode n03"]
    assert (either.home / "where.txt").read_text().split() == ["n03", either.user]


def test_without_accounting_only_the_list_of_what_ended_is_there(own: pathlib.Path) -> None:
    with slurms.Slurm(own) as alone:
        job = submit(alone, "exit 3")
        ended(alone, job)
        refused = alone.run("sacct", check=False)
        assert (refused.returncode, refused.stderr) == (1, "Slurm accounting storage is disabled\n")
        columns = ("sacct", "-c", "-n", "-P", "-o", "jobid,state,exitcode", "-j", job)
        said = f"{job}|FAILED|3:0\n"  # in a file that is made with the first job's end
        daemon.until("sacct has it", lambda: alone.run(*columns, check=False).stdout == said)


def test_with_accounting_sacct_knows_every_job(slurm_accounting: slurms.SlurmAccounting) -> None:
    job = submit(slurm_accounting, "exit 3")
    ended(slurm_accounting, job)
    columns = ("sacct", "-X", "-n", "-P", "-j", job, "-o", "jobid,user,account,state,exitcode")
    said = f"{job}|{slurm_accounting.user}|shift|FAILED|3:0\n"
    daemon.until("sacct has it", lambda: slurm_accounting.run(*columns).stdout == said)


def test_an_array(slurm: slurms.Slurm) -> None:
    job = submit(slurm, 'exit "$SLURM_ARRAY_TASK_ID"', "-a", "0-2")
    assert ended(slurm, job) == ["COMPLETED", "FAILED", "FAILED"]
    assert states(slurm, job, "%F %K %T") == [f"{job} 0 COMPLETED", f"{job} 1 FAILED", f"{job} 2 FAILED"]


def test_too_much_memory(slurm: slurms.Slurm) -> None:
    job = submit(slurm, GREEDY, "--mem=50M")
    assert ended(slurm, job) == ["OUT_OF_MEMORY" if slurm.limited else "FAILED"]


def test_a_job_outlives_the_controller(slurm: slurms.Slurm) -> None:
    job = submit(slurm, "until [ -e over ]; do sleep 0.1; done")
    running(slurm, job)
    slurm.stop_controller()
    try:
        assert slurm.run("scontrol", "ping", check=False).returncode == 1
    finally:
        slurm.start_controller()
    assert states(slurm, job) == ["RUNNING"]
    (slurm.home / "over").touch()
    assert ended(slurm, job) == ["COMPLETED"]


@pytest.mark.torture  # the controller takes half a minute over it
def test_a_job_dies_with_its_node(slurm: slurms.Slurm) -> None:
    job = submit(slurm, "sleep 600", "--no-requeue", "-w", "n04")
    running(slurm, job)
    slurm.kill_node(4)
    try:
        assert ended(slurm, job, 60) == ["NODE_FAIL"]
    finally:
        slurm.start_node(4)
    again = submit(slurm, "exit 0", "-w", "n04")
    assert ended(slurm, again) == ["COMPLETED"]


def test_two_clusters_at_once_and_nothing_left_of_one(slurm: slurms.Slurm, own: pathlib.Path) -> None:
    shared = submit(slurm, "sleep 600")
    running(slurm, shared)
    with slurms.Slurm(own) as second:
        job = submit(second, "sleep 600")
        running(second, job)
        with pytest.raises(AssertionError, match="in use: n01, n02"):
            slurms.Slurm(own).start()
        left = [each for each in second.daemons() if not each.alive()]
        assert not left
    assert not any(second.status().values())
    assert not list(second._strays())
    assert str(own) not in hosts.HOSTS.read_text()
    assert states(slurm, shared) == ["RUNNING"]
    slurm.run("scancel", shared)


def test_a_start_that_fails_leaves_nothing(slurm: slurms.Slurm, own: pathlib.Path) -> None:
    broken = slurms.Slurm(own, settings={"SelectType": "select/none_such"})
    with pytest.raises(AssertionError, match=r"slurmctld answers.*none_such"):
        broken.start()
    assert not any(broken.status().values())
    assert str(own) not in hosts.HOSTS.read_text()


def test_from_the_command_line(slurm: slurms.Slurm, own: pathlib.Path) -> None:
    def command(what: str) -> subprocess.CompletedProcess[str]:
        argv = [sys.executable, "-m", "tests.services.slurm", what, str(own)]
        root = pathlib.Path(__file__).parents[2]
        return subprocess.run(argv, capture_output=True, text=True, check=False, cwd=root, timeout=120)

    try:
        assert command("start").stdout == f"export SLURM_CONF={own}/slurm.conf\n"
        assert command("status").returncode == 0
        # its controller crashes
        slurms.Slurm(own)._daemon("slurmctld").stop(signal.SIGKILL)
        assert "slurmctld: stopped" in command("status").stdout
    finally:
        assert command("stop").returncode == 0
    assert "running" not in command("status").stdout
