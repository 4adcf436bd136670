"""How many jobs a manager has at a time, and which of them run: as asked for, as seen, as told."""

from __future__ import annotations

import contextlib
import json
import os
import pathlib
import pwd
import re
import signal
import sqlite3
from collections.abc import Iterator

import pytest

from production import facts
from production.catalogue import sqlite
from tests.acceptance import test_requests
from tests.acceptance.campaign import ROOT, Campaign, Manager, Pipe, until
from tests.fakes import cluster as clusters

GATED = """
echo "$1" >@/started
read go <@/gate
"""

SIM = """
[programs.sim]
script = "sim.sh"
"""


def begin(campaign: Campaign, runs: str) -> tuple[Pipe, Pipe]:
    """A database with runs whose jobs say that they began, and end when they are told."""
    started, gate = campaign.pipe("started"), campaign.pipe("gate")
    campaign.script("sim.sh", GATED)
    campaign.settings(SIM)
    campaign.begin(runs)
    return started, gate


def jobs(campaign: Campaign) -> facts.Jobs:
    with contextlib.closing(sqlite.Database(str(campaign.database), read_only=True)) as database:
        return database.records.jobs(1)


def me() -> str:
    return pwd.getpwuid(os.geteuid()).pw_name


# ── when they began ───────────────────────────────────────────────────────────────────────────────────────────────


def test_a_job_on_a_cluster_began_when_it_was_first_seen_to_run(campaign: Campaign, tmp_path: pathlib.Path) -> None:
    """One slot, two jobs: the second is in the queue until the first has ended."""
    started, gate = begin(campaign, "1-2")
    with contextlib.closing(clusters.Cluster(tmp_path / "cluster.json", slots=1)) as cluster:
        campaign.environment |= {
            "PATH": f"{ROOT}/tests/fakes/bin:{os.environ['PATH']}", "FAKE_CLUSTER": str(cluster.path),
        }  # fmt: skip
        manager = campaign.start("--production=sim", "--new=t", "--batch=slurm")
        began = "SELECT began_at, host FROM attempt WHERE began_at IS NOT NULL ORDER BY run"
        started.take(1)
        until(lambda: len(campaign.rows(began)) == 1, "it is seen to run, which nobody says")
        assert jobs(campaign) == facts.Jobs(queued=1, running=1)
        [first] = campaign.rows(began)
        assert first[1] == os.uname().nodename
        one, two = json.loads(campaign.ok("runs", "--json").out)
        assert (one["began"], one["wall"], one["batch"], two["began"]) == (first[0], None, "slurm", None)
        said = campaign.ok("runs", "--columns=run,state,duration,began").out.splitlines()
        assert said[1].split()[:2] == ["1", "submitted"]
        assert said[1].split()[3] == "s"
        assert said[2].split() == ["2", "submitted"], "it waits: nothing is known"
        assert "  running since: " in campaign.ok("show", "1").out
        assert "  running since: " not in campaign.ok("show", "2").out
        gate.give(1)
        started.take(1)
        until(lambda: len(campaign.rows(began)) == 2, "the second is seen to run")
        assert campaign.rows(began)[0] == first, "once is enough"
        gate.give(1)
        assert manager.wait().code == 0, manager.said
    assert (
        campaign.rows("SELECT began_at <= ended_at, submitted_at <= began_at, wall > 0 FROM attempt") == [(1, 1, 1)] * 2
    )
    assert "  began: " in campaign.ok("show", "2").out
    assert jobs(campaign) == facts.Jobs(0, 0)


def test_a_job_of_this_machine_runs_at_once(campaign: Campaign) -> None:
    started, gate = begin(campaign, "1-3")
    manager = campaign.start("--production=sim", "--new=t", "--nproc=2", "--nprep=1")
    started.take(2)
    # the job says so before its manager has written that it is submitted
    until(lambda: campaign.one("SELECT count(*) FROM production_run WHERE state = 'submitted'") == 2, "both are there")
    assert jobs(campaign) == facts.Jobs(queued=0, running=2)
    said = campaign.ok("runs", "--columns=run,state,duration,began", "1-2").out.splitlines()[1:]
    assert [re.sub(r"\d+ s$", "N s", " ".join(line.split())) for line in said] == ["1 submitted N s", "2 submitted N s"]
    gate.give(3)
    assert manager.wait().code == 0
    assert campaign.rows("SELECT began_at FROM attempt") == [(None,)] * 3


# ── how many ──────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.fixture
def living(campaign: Campaign) -> tuple[Campaign, Manager, Pipe, Pipe]:
    """Two of ten runs compute."""
    started, gate = begin(campaign, "1-10")
    manager = campaign.start("--production=sim", "--new=t", "--nproc=2", "--nprep=0")
    started.take(2)
    return campaign, manager, started, gate


def name(manager: Manager) -> str:
    return f"{me()}@{os.uname().nodename}:{manager.pid}"


def test_more_jobs_at_a_time_and_fewer(living: tuple[Campaign, Manager, Pipe, Pipe]) -> None:
    campaign, manager, started, gate = living
    before = campaign.rows("SELECT nproc FROM manager")
    planned = campaign.ok("nproc", "4")
    assert planned.out.splitlines() == [
        f"would be asked: {name(manager)}: 4 jobs at a time instead of 2, from its next cycle on",
        "nothing was changed; to do it: --yes",
    ]
    assert (campaign.rows("SELECT nproc FROM manager"), campaign.rows("SELECT * FROM manager_request")) == (before, [])
    said = campaign.ok("nproc", "4", "--yes", "--wait=30", "--why=the others are away")
    assert said.out.splitlines()[-1] == f"{name(manager)}: 4 jobs at a time, 2 until now"
    started.take(2)  # two more at once
    told = json.loads(campaign.ok("nproc", "1", f"--manager={name(manager)}", "--yes", "--wait=30", "--json").out)
    answer = "1 job at a time, 4 until now; its 4 jobs go on, and the next is sent when 4 of them have ended"
    assert (told["manager"], told["before"], told["dry_run"], told["answer"]) == (name(manager), 4, False, answer)
    gate.give(3)
    ended = "SELECT count(*) FROM production_run WHERE state = 'finished'"
    until(lambda: campaign.one(ended) == 3, "three have ended, and were not replaced")
    assert (campaign.one("SELECT count(*) FROM attempt"), started.rest()) == (4, [])
    assert "  1  " in campaign.ok("managers").out
    gate.give(1)
    started.take(1)
    assert campaign.one("SELECT count(*) FROM attempt WHERE cause IS NOT NULL") == 0, "none was ended for it"
    assert campaign.rows("SELECT verb, argument, user, why, answered > at, answer FROM manager_request") == [
        ("nproc", "4", me(), "the others are away", 1, "4 jobs at a time, 2 until now"),
        ("nproc", "1", me(), "", 1, answer),
    ]
    result = manager.stop()
    assert result.said(f"4 jobs at a time, 2 until now, asked by {me()} (the others are away)")
    campaign.nothing_in_hands()


def test_what_is_not_answered_yet_and_never_will_be(campaign: Campaign) -> None:
    """Its pause is long: asleep in the middle of a cycle it would answer before it leaves."""
    started, _gate = begin(campaign, "1-10")
    manager = campaign.start("--production=sim", "--new=t", "--nproc=2", "--nprep=0", "--pause=60")
    started.take(2)
    with sleeping(campaign, manager):
        late = campaign.product("nproc", "3", "--yes", "--wait=0")
        assert (late.code, "has not answered within 0 s" in late.err) == (1, True), str(late)
        assert "2, 3 asked" in campaign.ok("managers").out
        [one] = json.loads(campaign.ok("managers", "--json").out)
        assert (one["nproc"], one["nproc_asked"]) == (2, 3)
        manager.send(signal.SIGINT)
    assert manager.wait().code == 130
    assert campaign.rows("SELECT answer FROM manager_request") == [("no: it has left",)]
    assert campaign.one("SELECT nproc FROM manager") == 2
    for words, error in (
        (("nproc", "3"), "no manager of yours is at work on sim_v1\n"),
        (("nproc", "3", "--manager=1"), f"manager 1 ({name(manager)}) has left\n"),
        (("nproc", "3", "--manager=7"), "--manager=7: no such manager; see production managers --json\n"),
    ):
        refused = campaign.product(*words, "--yes")
        assert (refused.code, refused.err) == (2, f"production: {error}")


def test_a_manager_that_was_killed_can_not_be_asked(living: tuple[Campaign, Manager, Pipe, Pipe]) -> None:
    campaign, manager, _, _ = living
    with sleeping(campaign, manager):
        campaign.ok("nproc", "3", "--yes")
    until(lambda: campaign.one("SELECT count(*) FROM manager_request WHERE answered IS NULL") == 0, "it is awake")
    with sleeping(campaign, manager):
        campaign.ok("nproc", "4", "--yes")
        manager.kill()
    refused = campaign.product("nproc", "5", "--yes")
    assert refused.err == "production: no manager of yours is at work on sim_v1\n"
    named = campaign.product("nproc", "5", "--manager=1")
    assert named.err == f"production: manager 1 ({name(manager)}) is dead: there is no such process\n"
    with contextlib.closing(sqlite3.connect(campaign.database)) as connection, connection:
        connection.execute("UPDATE manager SET lapsed = beat_at")  # as the next one does it
    assert campaign.rows("SELECT argument, answer FROM manager_request ORDER BY id")[1:] == [("4", "no: it has left")]
    assert campaign.product("nproc", "5", "--manager=1").err.endswith(" was found dead\n")


def test_which_manager_and_whose(living: tuple[Campaign, Manager, Pipe, Pipe]) -> None:
    campaign, manager, started, _ = living
    second = campaign.start("--production=sim", "--nproc=1", "--nprep=0")
    started.take(1)
    several = campaign.product("nproc", "5", "--yes")
    assert several.code == 2
    assert several.err == (
        f"production: which of your managers of sim_v1? Say --manager=2 ({name(second)}, local), "
        f"or --manager=1 ({name(manager)}, local)\n"
    )
    assert f"asked: {name(second)}: 5 jobs" in campaign.ok("nproc", "5", "--manager=2", "--yes").out
    second.stop()
    with contextlib.closing(sqlite3.connect(campaign.database)) as connection, connection:
        connection.execute("UPDATE manager SET user = 'anna' WHERE id = 1")
    whose = f"manager 1 (anna@{os.uname().nodename}:{manager.pid}) is anna's: ask anna for production nproc 5 --manager=1 --yes"
    for words, error in (
        (("nproc", "5"), f"no manager of yours is at work on sim_v1; {whose}"),
        (("nproc", "5", "--manager=1"), whose),
        (("nproc", "0"), "nproc 0: a whole number from 1 to 10000"),
        (("nproc", "10001"), "nproc 10001: a whole number from 1 to 10000"),
        (("nproc", "many"), "nproc many: a whole number from 1 to 10000"),
        (("nproc", "5", "--why=a\nb"), "--why: one line that can be printed, please"),
    ):
        refused = campaign.product(*words, "--yes")
        assert (refused.code, refused.err) == (2, f"production: {error}\n")
    assert campaign.one("SELECT count(*) FROM manager_request WHERE manager = 1") == 0


@contextlib.contextmanager
def sleeping(campaign: Campaign, manager: Manager) -> Iterator[None]:
    """It sleeps, but not with the database's lock."""
    test_requests.stop(campaign, manager)
    yield
    with contextlib.suppress(ProcessLookupError):
        manager.send(signal.SIGCONT)


# ── what a screen is told of the disk ─────────────────────────────────────────────────────────────────────────────


def test_how_full_the_disk_is_is_known_without_looking_at_it(campaign: Campaign) -> None:
    """From the manager that looked, while it is at work."""
    started, gate = begin(campaign, "1-3")
    campaign.script("sim.sh", GATED + 'echo tree >"$2"')
    program = 'arguments = ["{run}", "{tree}"]\noutputs.tree.path = "tree/v{version}/{run}"\n'
    campaign.settings(SIM + program + '\n[quota]\nreader = "mmlsquota"\n')
    campaign.environment |= {
        "PATH": f"{ROOT}/tests/fakes/bin:{os.environ['PATH']}", "FAKE_QUOTA": str(campaign.directory / "quota.json"),
    }  # fmt: skip
    (campaign.directory / "quota.json").write_text(json.dumps({"hard": 20_000_000_000, "used": 2_000_000_000}))
    manager = campaign.start("--production=sim", "--new=t", "--nproc=1", "--nprep=0")
    started.take(1)
    with contextlib.closing(sqlite.Database(str(campaign.database), read_only=True)) as database:
        until(lambda: database.records.quota(1) is not None, "it has beaten since it looked")
        quota = database.records.quota(1)
        assert quota
        assert (quota.limit, quota.used) == (20_000_000_000, 2_000_000_000)
        assert quota.allowed == quota.limit * 90 // 100
        assert quota.promised >= 1 << 30, "the output of the one that computes; nobody has seen any yet"
        gate.give(3)
        assert manager.wait().code == 0, manager.said
        assert database.records.quota(1) is None, "nobody is at work who would know"
