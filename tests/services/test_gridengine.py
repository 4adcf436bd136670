"""The real Grid Engine, as the tests get it: it computes, counts, limits, and breaks where it is told to."""

from __future__ import annotations

import pathlib
import re
import socket
import tempfile
from collections.abc import Iterator

import pytest

from tests.services import daemon
from tests.services import gridengine as gridengines

GREEDY = "exec python3 -c 'import time; held = bytearray(900_000_000)'"


def submit(cluster: gridengines.GridEngine, script: str, *options: str) -> str:
    """Its number, that of the whole array for one."""
    said = cluster.run("qsub", "-terse", "-cwd", "-j", "y", *options, input=f"{script}\n").stdout
    return said.partition(".")[0].strip()


def states(cluster: gridengines.GridEngine, job: str) -> list[str]:
    """Of what is in the queue of it."""
    lines = [line.split() for line in cluster.run("qstat").stdout.splitlines()]
    return [line[4] for line in lines if line[0] == job]


def running(cluster: gridengines.GridEngine, job: str) -> None:
    daemon.until(f"{job} runs", lambda: states(cluster, job) == ["r"])


def accounted(cluster: gridengines.GridEngine, job: str, tasks: int = 1, seconds: float = 20) -> list[str]:
    """What qacct says of failed and exit_status, a line for each task."""

    def told() -> list[str]:
        said = cluster.run("qacct", "-j", job, check=False).stdout
        values = re.findall(r"(?m)^(?:failed|exit_status) +(.*?) *$", said)
        return [" ".join(pair) for pair in zip(values[::2], values[1::2], strict=True)]

    daemon.until(f"{job} is accounted for", lambda: len(told()) == tasks, seconds)
    return told()


@pytest.fixture
def own(gridengine: gridengines.GridEngine) -> Iterator[pathlib.Path]:
    """A place for another cluster beside the shared one."""
    with tempfile.TemporaryDirectory(prefix="rp-", dir="/tmp") as directory:
        yield pathlib.Path(directory)


def test_a_job_runs_as_the_user_on_this_host(gridengine: gridengines.GridEngine) -> None:
    job = submit(gridengine, "hostname; id -un; exit 3", "-o", "where.txt")
    assert accounted(gridengine, job) == ["0 3"]
    assert (gridengine.home / "where.txt").read_text().split() == [socket.gethostname(), gridengine.user]
    daemon.until("it has left the queue", lambda: states(gridengine, job) == [])


def test_an_array(gridengine: gridengines.GridEngine) -> None:
    job = submit(gridengine, 'exit "$SGE_TASK_ID"', "-t", "1-3")
    assert sorted(accounted(gridengine, job, tasks=3)) == ["0 1", "0 2", "0 3"]


def test_too_much_memory(gridengine: gridengines.GridEngine) -> None:
    """The program's own allocation fails: for Grid Engine it is the program that failed."""
    job = submit(gridengine, GREEDY, "-l", "h_vmem=400M", "-o", "memory.txt")
    assert accounted(gridengine, job) == ["0 1"]
    assert "MemoryError" in (gridengine.home / "memory.txt").read_text()


def test_the_directory_is_missing(gridengine: gridengines.GridEngine) -> None:
    job = submit(gridengine, "exit 0", "-wd", "/none/such")
    assert accounted(gridengine, job) == ["28  : changing into working directory 0"]
    daemon.until("it is in error", lambda: states(gridengine, job) == ["Eqw"])
    gridengine.run("qdel", job)


def test_a_job_outlives_the_controller(gridengine: gridengines.GridEngine) -> None:
    job = submit(gridengine, "until [ -e over ]; do sleep 0.1; done")
    running(gridengine, job)
    gridengine.stop_controller()
    try:
        refused = gridengine.run("qstat", check=False)
        assert refused.returncode == 1
        assert "unable to send message to qmaster" in refused.stderr
    finally:
        gridengine.start_controller()
    assert states(gridengine, job) == ["r"]
    (gridengine.home / "over").touch()
    assert accounted(gridengine, job, seconds=60) == ["0 0"]


@pytest.mark.torture  # the qmaster believes in an execd again after half a minute
def test_a_job_outlives_its_dead_execd(gridengine: gridengines.GridEngine) -> None:
    job = submit(gridengine, "sleep 600")
    running(gridengine, job)
    gridengine.kill_node(1)
    try:
        gridengine.run("qdel", job, check=False)  # may say that it can't tell the execd
        assert states(gridengine, job)[0].startswith("d"), "nobody is there who could end it"
    finally:
        gridengine.start_node(1)
    assert accounted(gridengine, job, seconds=60) == ["100 : assumedly after job 137                  (Killed)"]


def test_two_clusters_at_once_and_nothing_left_of_one(gridengine: gridengines.GridEngine, own: pathlib.Path) -> None:
    shared = submit(gridengine, "sleep 600")
    running(gridengine, shared)
    with gridengines.GridEngine(own) as second:
        job = submit(second, "sleep 600")
        running(second, job)
        with pytest.raises(AssertionError, match="in use: sge_execd, sge_qmaster"):
            gridengines.GridEngine(own).start()
    assert not any(second.status().values())
    assert not list(second._strays())
    assert states(gridengine, shared) == ["r"]
    gridengine.run("qdel", shared)


@pytest.mark.torture  # the qmaster takes its time over stopping
def test_a_cluster_stopped_and_started_knows_its_jobs(own: pathlib.Path) -> None:
    cluster = gridengines.GridEngine(own)
    try:
        cluster.start()
        first = submit(cluster, "exit 3")
        assert accounted(cluster, first) == ["0 3"]
        cluster.stop()
        cluster.start()
        assert int(submit(cluster, "exit 0")) == int(first) + 1
        assert accounted(cluster, first) == ["0 3"]
    finally:
        cluster.discard()
