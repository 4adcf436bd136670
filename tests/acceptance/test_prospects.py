"""What failed and why, and when it will be done: ``production failures`` and ``production estimate``."""

from __future__ import annotations

import contextlib
import datetime
import json
import os
import shlex
import shutil
import sqlite3
from collections.abc import Callable
from typing import Any

import pytest

from production import process
from production.catalogue import sqlite as catalogues
from tests.acceptance.campaign import Campaign

SIM = """
[programs.sim]
script = "sim.sh"
arguments = ["{run}"]
retry = { limit = 1 }
"""

BAD = """
case $1 in
  3|4|5|9) echo "reading run$(printf %05d $1).mid" >&2; echo "run$(printf %05d $1).mid: bad magic 0x$1f" >&2; exit 9;;
  7) echo "pedestal of detector SiL is missing" >&2; exit 9;;
  8) exit 2;;
esac
"""


def failing(campaign: Campaign) -> None:
    """Ten runs, of which six have failed for three reasons."""
    campaign.script("sim.sh", BAD)
    campaign.settings(SIM)
    campaign.begin("1-10")
    assert campaign.run("--production=sim", "--new=t").code == 3


def test_failures_are_told_in_groups_with_an_example(campaign: Campaign) -> None:
    failing(campaign)
    told = campaign.ok("failures").out
    assert "sim_v1: 6 failed, in 3 groups" in told
    assert "4 runs, cause program (exit 9): run<N>.mid: bad magic <X>\n  runs 3-5 9\n" in told
    assert "1 run, cause program (exit 9): pedestal of detector SiL is missing" in told
    assert "1 run, cause program (exit 2)" in told
    assert f"e.g. run 3: {campaign.data}/log/v1/sim.run00003.err" in told
    assert "    | reading run00003.mid\n    | run00003.mid: bad magic 0x3f" in told
    assert (
        "  further: production show --production=sim_v1 3\n  once mended: production retry --production=sim_v1 3-5 9\n"
        in told
    )
    assert told.index("bad magic") < told.index("pedestal")


def test_failures_for_programs(campaign: Campaign) -> None:
    failing(campaign)
    [first, *others] = json.loads(campaign.ok("failures", "--json", "--suggest").out)["groups"]
    assert (first["cause"], first["exit"], first["runs"], first["ranges"]) == ("program", 9, 4, [[3, 5], [9, 9]])
    assert first["states"] == {"failed": 4}
    assert first["datasets"] == {"Al100": 4}
    assert first["example"]["lines"][-1] == "run00003.mid: bad magic 0x3f"
    assert first["suggestion"]["settings"] == {}
    assert sum(group["runs"] for group in others) == 2


def test_a_filter_narrows_what_is_told(campaign: Campaign) -> None:
    failing(campaign)
    assert "sim_v1: 2 failed\n" in campaign.ok("failures", "4-5").out
    assert "sim_v1: 6 failed" in campaign.ok("failures", "cause:program").out
    assert "sim_v1: 1 failed\n" in campaign.ok("failures", "pedestal").out
    assert campaign.ok("failures", "cause:memory").out == "sim_v1: nothing failed\n"
    assert campaign.ok("failures", "state:held").out == "sim_v1: nothing failed\n"
    for words, said in (
        (["state:finished"], "--all"),
        (["cause:released"], "no failure"),
        (["cause:memroy"], "did you mean memory?"),
        (["--production=other"], "there is no production other"),
    ):
        result = campaign.product("failures", *words)
        assert (result.code, result.out, len(result.err.splitlines())) == (2, "", 1), str(result)
        assert said in result.err


def test_what_is_tried_again_is_told_and_what_was_is_with_all(campaign: Campaign) -> None:
    """A run in back-off has failed, too; one that was finished in the end only with ``--all``."""
    campaign.script("sim.sh", 'echo "no luck with $1" >&2; [ $1 = 1 ] && [ $2 = 2 ]')
    campaign.settings(SIM.replace('"{run}"', '"{run}", "{attempt}"').replace("limit = 1", "limit = 3, pause = 3600"))
    campaign.begin("1-2")
    manager = campaign.start("--production=sim", "--new=t")
    manager.wait_for("again in", 2)
    manager.stop()
    assert "sim_v1: 2 to be tried again\n" in campaign.ok("failures").out
    with contextlib.closing(sqlite3.connect(campaign.database)) as connection, connection:
        connection.execute("UPDATE production_run SET not_before = NULL WHERE run = 1")
    manager = campaign.start("--production=sim")
    manager.wait_for("Finished run: 1")
    manager.stop()
    told = campaign.ok("failures").out
    assert "1 run, cause program (exit 1): no luck with <N>\n  runs 2\n" in told
    every = campaign.ok("failures", "--all").out
    assert "2 runs, cause program (exit 1): no luck with <N>\n  runs 1-2\n" in every
    assert every.startswith("sim_v1: 2 attempts failed, of 2 runs\n")
    assert campaign.ok("failures", "--all", "cause:program", "1").out.startswith("sim_v1: 1 attempt failed, of 1 run\n")
    assert campaign.ok("failures", "--all", "dataset:Al100", "1", "3-9").out.startswith("sim_v1: 1 attempt failed")
    assert campaign.ok("failures", "--all", "dataset:Al50").out == "sim_v1: nothing failed\n"
    assert campaign.ok("failures", "--all", "cause:memory").out == "sim_v1: nothing failed\n"
    assert campaign.ok("failures", "--all", "host:elsewhere").out == "sim_v1: nothing failed\n"
    assert "sim.run00001.attempt1.err" in every or "sim.run00002.err" in every


def test_a_run_that_a_person_holds_is_told(campaign: Campaign) -> None:
    """No attempt of it failed."""
    failing(campaign)
    with contextlib.closing(sqlite3.connect(campaign.database)) as connection, connection:
        connection.execute("INSERT INTO run (run) VALUES (11)")
        connection.execute(
            "INSERT INTO production_run (production, run, state, moved_at, why, asked_by)"
            " VALUES (1, 11, 'held', '2026-01-01T00:00:00.000000Z', 'look at the magnet', 'mu')"
        )
    told = campaign.ok("failures", "--suggest").out
    assert "1 run, held by a person: look at the magnet\n  runs 11\n" in told
    assert "production show --production=sim_v1 11\n  once mended: production release --production=sim_v1 11\n" in told


def test_nothing_failed_in_a_new_database(campaign: Campaign) -> None:
    campaign.script("sim.sh", "true")
    campaign.settings(SIM)
    campaign.begin("1-2")
    for command in ("failures", "estimate"):
        result = campaign.product(command)
        assert (result.code, result.out) == (2, "")
        assert "has no productions yet" in result.err
    assert campaign.run("--production=sim", "--new=t").code == 0
    assert campaign.ok("failures").out == "sim_v1: nothing failed\n"
    assert json.loads(campaign.ok("failures", "--json").out)["groups"] == []


# --- when it will be done -----------------------------------------------------------------------------------------------


def text(seconds_ago: float) -> str:
    instant = datetime.datetime.now(datetime.UTC) - datetime.timedelta(seconds=seconds_ago)
    return instant.strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def underway(campaign: Campaign, *, finished: int, running: int = 5, left: int = 300, beat: float = 1.0) -> None:
    """A production with one manager and five places for an hour: 2 min staging, 60 s queue, 4 min running."""
    campaign.script("sim.sh", "true")
    campaign.settings(SIM)
    catalogues.create(str(campaign.database), datetime.datetime.now(datetime.UTC))
    with contextlib.closing(sqlite3.connect(campaign.database)) as connection, connection:
        connection.execute(
            "INSERT INTO productions (id, program, version, tag, quality, user, start, data)"
            " VALUES (1, 'sim', 1, 't', 'gold', 'mu', ?, '/data')",
            (text(3600),),
        )
        connection.execute(
            "INSERT INTO manager (id, user, host, boot, pid, ticks, production, nproc, nprep, start, beat_at)"
            " VALUES (1, 'mu', 'login', 'b', 1, 1, 1, 5, 5, ?, ?)",
            (text(3600), text(beat)),
        )
        for run in range(1, finished + running + left + 1):
            connection.execute("INSERT INTO run (run) VALUES (?)", (run,))
            _enter(connection, run, finished, running)


def _enter(connection: sqlite3.Connection, run: int, finished: int, running: int) -> None:
    connection.execute(
        "INSERT INTO production_run (production, run, state, moved_at) VALUES (1, ?, 'new', ?)", (run, text(3600))
    )
    if run > finished + running:
        return
    over = (finished - run) * 62.0 + 5 if run <= finished else -(run - finished) * 62.0
    moves = [
        ("claimed", 430.0),
        ("staged", 311),
        ("submitting", 310),
        ("submitted", 309),
        ("ended", 9),
        ("finished", 5),
    ]
    for state, before in moves[: 6 if run <= finished else 4]:
        owner = None if state == "finished" else 1
        connection.execute(
            "UPDATE production_run SET state = ?, owner = ?, attempt = 1, moved_at = ? WHERE run = ?",
            (state, owner, text(over + before), run),
        )
        if state == "claimed":
            connection.execute(
                "INSERT INTO attempt (production, run, attempt, manager, user, claimed_at, submitted_at)"
                " VALUES (1, ?, 1, 1, 'mu', ?, ?)",
                (run, text(over + 430), text(over + 310)),
            )
    if run <= finished:
        connection.execute("UPDATE attempt SET ended_at = ?, wall = 240 WHERE run = ?", (text(over + 10), run))


def asked(campaign: Campaign) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(campaign.ok("estimate", "--json").out)
    return found


def test_the_end_is_told_as_a_range(campaign: Campaign) -> None:
    """305 runs with five places, a minute a run."""
    underway(campaign, finished=50)
    told = campaign.ok("estimate").out
    assert "sim_v1: 305 runs left, 5 with a job, 1 manager at work with 5 jobs at a time\n" in told
    assert "half a chance by t" in told  # today, tomorrow
    assert "a run takes 2 min staging, 60 s queue, 4 min running (median; 90 %: 2 min, 60 s, 4 min)" in told
    found = asked(campaign)
    assert found["median"]["seconds"] == pytest.approx(305 * 62, rel=0.05)
    assert found["median"]["seconds"] <= found["ninety"]["seconds"] < 1.3 * found["median"]["seconds"]
    assert (found["left"], found["with_job"], found["finished"], found["managers"]) == (305, 5, 50, 1)
    assert found["takes"]["running"] == {"median": 240.0, "ninety": 240.0}


def test_with_nobody_at_work_it_is_told_for_one_manager(campaign: Campaign) -> None:
    underway(campaign, finished=50, beat=3000)
    told = campaign.ok("estimate").out
    assert "nobody works on it; if one manager with --nproc=10 did: half a chance within" in told
    assert "1 not heard of for a while" in told
    found = asked(campaign)
    assert (found["as_if_one_manager"], found["silent_managers"], found["places"]) == (True, 1, 10)


def test_a_dead_manager_finishes_nothing(campaign: Campaign) -> None:
    """It is seen from here, however late its last beat was."""
    underway(campaign, finished=50)
    with contextlib.closing(sqlite3.connect(campaign.database)) as connection, connection:
        me = process.myself()
        here = (me.user, me.host, me.boot, me.pid, me.ticks - 1)
        connection.execute("UPDATE manager SET user = ?, host = ?, boot = ?, pid = ?, ticks = ?", here)
    told = campaign.ok("estimate").out
    assert "1 manager is dead: production managers tells more" in told
    assert "at work with" not in told
    assert "nobody works on it; if one manager with --nproc=10 did: half a chance within" in told
    found = asked(campaign)
    assert (found["managers"], found["dead_managers"], found["as_if_one_manager"]) == (0, 1, True)


def test_of_a_closed_production_nothing_is_promised(campaign: Campaign) -> None:
    underway(campaign, finished=50)
    campaign.ok("close", "--production=sim", "--yes")
    told = campaign.ok("estimate").out
    assert "it is closed: nothing more of it is claimed" in told
    assert "half a chance" not in told
    assert asked(campaign)["median"] is None


def test_what_can_not_be_told_is_said(campaign: Campaign) -> None:
    underway(campaign, finished=0)
    assert "it can't be told yet: no run is finished\n" in campaign.ok("estimate").out
    assert asked(campaign)["median"] is None


def test_a_production_that_is_done_needs_no_estimate(campaign: Campaign) -> None:
    failing(campaign)
    told = campaign.ok("estimate").out
    assert "sim_v1: 0 runs left\nnothing is left to be done\n" in told
    assert "not counted: 6 failed (production failures)" in told


def test_runs_that_wait_for_their_base_wait_for_its_pace(campaign: Campaign) -> None:
    """The second program takes a second a run, and is done when the first is."""
    underway(campaign, finished=50)
    with contextlib.closing(sqlite3.connect(campaign.database)) as connection, connection:
        connection.execute(
            "INSERT INTO productions (id, program, version, tag, base, quality, user, start, data)"
            " VALUES (2, 'next', 1, 't', 1, 'gold', 'mu', ?, '/data')",
            (text(3600),),
        )
        connection.execute(
            "INSERT INTO manager (id, user, host, boot, pid, ticks, production, nproc, nprep, start, beat_at)"
            " VALUES (2, 'mu', 'login', 'b', 2, 1, 2, 5, 5, ?, ?)",
            (text(3600), text(1)),
        )
        for run in range(1, 356):
            connection.execute(
                "INSERT INTO production_run (production, run, state, moved_at) VALUES (2, ?, ?, ?)",
                (run, "new" if run <= 50 else "waiting", text(3600)),
            )
        for run in range(1, 51):
            _pass(connection, run)
    of_base = json.loads(campaign.ok("estimate", "--production=sim", "--json").out)
    found = json.loads(campaign.ok("estimate", "--production=next", "--json").out)
    assert found["waiting"] == 305
    assert found["base"]["production"] == "sim_v1"
    assert found["median"]["seconds"] >= of_base["median"]["seconds"]
    assert (
        "305 runs wait for their base, of which:\n  sim_v1: 305 runs left"
        in campaign.ok("estimate", "--production=next").out
    )


def _pass(connection: sqlite3.Connection, run: int) -> None:
    """A run of the second program, done within a second."""
    ago = 3000 - 50.0 * run
    for state, later in (
        ("claimed", 0.0),
        ("staged", 0.1),
        ("submitting", 0.2),
        ("submitted", 0.3),
        ("ended", 1),
        ("finished", 1.1),
    ):
        connection.execute(
            "UPDATE production_run SET state = ?, owner = ?, attempt = 1, moved_at = ? WHERE production = 2 AND run = ?",
            (state, None if state == "finished" else 2, text(ago - later), run),
        )
    connection.execute(
        "INSERT INTO attempt (production, run, attempt, manager, user, claimed_at, submitted_at, ended_at, wall)"
        " VALUES (2, ?, 1, 2, 'mu', ?, ?, ?, 0.7)",
        (run, text(ago), text(ago - 0.2), text(ago - 1)),
    )


# --- however many -------------------------------------------------------------------------------------------------------


def test_thousands_of_failures_are_a_few_groups(campaign: Campaign) -> None:
    """Looked at only; and no log of theirs is there."""
    underway(campaign, finished=10, running=0, left=3000)
    with contextlib.closing(sqlite3.connect(campaign.database)) as connection, connection:
        for run in range(11, 3011):
            connection.execute(
                "INSERT INTO attempt (production, run, attempt, manager, user, claimed_at, ended_at, cause, exit, message, host)"
                " VALUES (1, ?, 1, 1, 'mu', ?, ?, 'program', ?, ?, ?)",
                (run, text(60), text(9), run % 2, f"exit {run % 2}: run{run:05d}.mid: bad block {run}", f"n{run % 9}"),
            )
            connection.execute("UPDATE production_run SET state = 'failed', attempt = 1 WHERE run = ?", (run,))
    before = os.stat(campaign.database).st_mtime_ns
    told = campaign.ok("failures").out
    assert "sim_v1: 3,000 failed, in 2 groups" in told
    assert told.count("1,500 runs, cause program") == 2
    assert told.count(" and 1,490 more\n") == 2
    assert "once mended: production retry --production=sim_v1 cause:program (another group has it, too)" in told
    assert os.stat(campaign.database).st_mtime_ns == before


def test_on_a_terminal_no_line_is_wider_than_it(campaign: Campaign, need: Callable[[str, object], object]) -> None:
    """What is quoted is cut, commands go on below."""
    need("script, of util-linux", shutil.which("script"))
    failing(campaign)
    command = [campaign.python, "-m", "production", "failures", "--suggest"]
    result = campaign.call(["script", "-qec", f"stty cols 40; {shlex.join(command)}", "/dev/null"])
    lines = result.out.replace("\r", "").splitlines()
    assert "    | run00003.mid: bad magic 0x3f" in lines
    assert "    | pedestal of detector SiL is missi…" in lines
    assert [line for line in lines if len(line) > 40 and "/log/" not in line] == []
