"""What people ask of runs: done at once where nobody has them, by their manager where one has; each answered once."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import pathlib
import pwd
import signal
import sqlite3

import pytest

from production import clock
from production.catalogue import base, sqlite
from tests.acceptance.campaign import Campaign, Manager, Pipe, until

GATED = """
echo "$1" >@/started
read go <@/gate
test "$go" != fail || exit 9
echo "tree of run $1 from $(cat "$2")" >"$3"
"""

PROGRAMS = """
[programs.sim]
script = "sim.sh"
arguments = ["{run}", "{input}", "{tree}"]
input = "run{run:05d}.mid"
retry = { limit = 1 }

[programs.sim.outputs.tree]
path = "tree/v{version}/tree{run:05d}.txt"

[programs.fit]
script = "fit.sh"
arguments = ["{run}", "{input}", "{out}"]
base = "sim.tree"

[programs.fit.outputs.out]
path = "out/v{version}/out{run:05d}.txt"
"""


def prepare(campaign: Campaign, script: str, runs: str = "1-6") -> None:
    campaign.script("sim.sh", script)
    campaign.script("fit.sh", 'echo "fit of $1" >"$3"')
    campaign.settings(PROGRAMS)
    campaign.raw(range(1, 10))
    campaign.begin(runs)


PLAIN = 'test $1 -lt 5 || { echo "bad magic in run $1" >&2; exit 9; }\necho tree >"$3"'


@pytest.fixture
def over(campaign: Campaign) -> Campaign:
    """A production that nobody works on: 1 to 4 finished, 5 and 6 failed; and one based on it."""
    prepare(campaign, PLAIN)
    assert campaign.run("--production=sim", "--new=t").code == 3
    assert campaign.run("--production=fit", "--new=w", "--version=1").code == 3
    assert campaign.letters("sim_v1") == "FFFFEE"
    assert campaign.letters("fit_v1") == "FFFFWW"
    return campaign


def whys(campaign: Campaign, run: int, production: int = 1) -> list[tuple[object, ...]]:
    """(to, why, user) of the last events."""
    return campaign.rows(
        "SELECT to_state, why, user FROM event WHERE production = ? AND run = ? ORDER BY id DESC LIMIT 1",
        production,
        run,
    )


def me() -> str:
    return pwd.getpwuid(os.geteuid()).pw_name


def stop(campaign: Campaign, manager: Manager) -> None:
    """Put it to sleep, but not while it holds the database's lock."""
    with open(f"{campaign.database}.lock", "rb") as lock:
        for _ in range(1000):
            manager.send(signal.SIGSTOP)
            # it is asleep when the kernel says so
            until(
                lambda: pathlib.Path(f"/proc/{manager.pid}/stat").read_text().rpartition(")")[2].split()[0] == "T",
                "asleep",
            )
            try:
                fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
            except BlockingIOError:
                manager.send(signal.SIGCONT)
            else:
                return
    pytest.fail("it always has the lock")


def test_nothing_is_done_without_yes(over: Campaign) -> None:
    before = over.rows("SELECT * FROM production_run")
    said = over.ok("retry", "--production=sim", "1-6")
    assert said.out.splitlines() == [
        "would be retried: 2 runs (5-6)",
        "left as they are: 4 runs (1-4): it is finished; to do it again: reset",
        "nothing was changed; to do it: --yes",
    ]
    assert over.rows("SELECT * FROM production_run") == before


def test_retry_gives_failed_runs_all_their_attempts_again(over: Campaign) -> None:
    said = over.ok("retry", "--production=sim", "cause:program", "--yes", "--why=cable mended")
    assert said.out == "retried: 2 runs (5-6)\n"
    assert over.rows("SELECT state, failures FROM production_run WHERE production = 1 AND run > 4") == [("new", 0)] * 2
    assert whys(over, 5) == [("new", f"retried by {me()}: cable mended", me())]
    over.script("sim.sh", 'echo tree >"$3"')
    assert over.run("--production=sim").code == 0
    assert over.letters("sim_v1") == "FFFFFF"
    assert over.letters("fit_v1") == "FFFFNN"


def test_hold_and_release(over: Campaign) -> None:
    assert over.ok("hold", "--production=sim", "5", "--yes", "--why=rest").out == "held: 1 run (5)\n"
    assert f"  why: held by {me()}: rest\n" in over.ok("show", "--production=sim", "5").out
    over.ok("release", "--production=sim", "5", "--yes")
    assert over.ok("hold", "--production=sim", "5", "--yes").out == "held: 1 run (5)\n"
    assert over.letters("sim_v1") == "FFFFHE"
    left = over.product("hold", "--production=sim", "1", "--yes")
    assert (left.code, left.out) == (1, "left as they are: 1 run (1): it is finished\n")
    assert over.ok("release", "--production=sim", "state:held", "--yes").out == "released: 1 run (5)\n"
    assert over.letters("sim_v1") == "FFFFNE"
    assert over.ok("hold", "--production=fit", "5", "--yes").out == "held: 1 run (5)\n"
    assert over.ok("release", "--production=fit", "5", "--yes").out == "released: 1 run (5)\n"
    assert over.letters("fit_v1") == "FFFFWW", "its base run isn't finished"


def test_what_is_asked_has_to_be_said(over: Campaign) -> None:
    for words, error in {
        (
            "retry",
            "--production=sim",
        ): "which runs? e.g. production retry 2091 2095-2103, or state:failed,held; every one: all",
        ("priority", "7", " ", "--production=sim"): "which runs? e.g. production priority 7 2091",
        ("retry", "all", "5", "--production=sim"): "all: stands alone; for that text: text:all",
        ("retry", "--production=sim", "state:faild"): "state:faild: no such state; did you mean failed?",
        ("retry", "--production=sim", "stat:failed"): "did you mean state:?",
        ("retry", "state:failed"): "--production=TYPE is missing: which? There are: fit, sim",
        ("retry", "--production=sim_v7", "1"): "there is no production sim_v7; there are: sim_v1, fit_v1",
        ("priority", "high", "1", "--production=sim"): "priority high: a whole number",
        ("hold", "--production=sim", "3-1"): "3-1: a range goes up",
        ("hold", "--production=sim", ">2parsec"): "a time in a state is such as >2h",
        ("cancel", "--production=sim", "1", "--wait=soon"): "--wait=soon: a time such as 90, 5min or 2h",
    }.items():
        result = over.product(*words)
        assert result.code == 2, str(result)
        assert error in result.err, str(result)
        assert result.err.count("\n") == 1
    nobody = over.ok("retry", "--production=sim", "77", "--yes")
    assert nobody.out == "no run of sim_v1 is meant by: 77\n"


def test_all_runs_are_meant_by_all_alone(over: Campaign) -> None:
    assert over.ok("retry", "--production=sim", "all").out.startswith("would be retried: 2 runs (5-6)\n")
    said = over.ok("retry", "--help").out
    assert "without any, nothing is done" in said
    assert "without any, all" in over.ok("runs", "--help").out


def test_runs_that_were_named_and_are_not_there(over: Campaign) -> None:
    said = over.ok("retry", "--production=sim", "5,9990", "3-8", "9995-9999", "--yes")
    assert said.out.splitlines()[0] == "retried: 2 runs (5-6)"
    assert said.out.splitlines()[-1] == "not in sim_v1: 8 runs (7-8 9990 9995-9999)"
    answer = json.loads(over.ok("hold", "--production=sim", "5", "1000000-999999999", "state:new", "--json").out)
    assert answer["missing"] == [[1_000_000, 999_999_999]]


def test_who_only_looks_need_not_say_which_production(over: Campaign) -> None:
    told = "production: of fit_v1, the newest; others: --production=TYPE\n"
    for words in (["show", "2"], ["log", "2"], ["why", "2"], ["runs", "state:finished"], ["failures"], ["estimate"]):
        assert over.ok(*words).err.startswith(told), words
        if words[0] != "log":
            quiet = over.ok(*words, "--json")
            assert (quiet.err, "fit_v1" in quiet.out) == ("", True), words
    assert over.ok("show", "2", "--production=sim").err == ""
    assert over.product("hold", "2").code == 2
    assert "run 77 is in no dataset" in over.product("show", "77").err


@pytest.mark.feature("CH-15")
def test_a_run_with_a_higher_priority_goes_first(campaign: Campaign) -> None:
    prepare(campaign, 'echo "$1" >>@/order\necho tree >"$3"')
    assert campaign.run("--production=sim", "--new=t", "--nproc=1", "--nprep=0").code == 0
    assert (campaign.directory / "order").read_text().split() == list("123456")
    left = campaign.product("priority", "7", "4", "--yes")
    assert (left.code, left.out) == (1, "left as they are: 1 run (4): it is finished\n")
    campaign.ok("reset", "1-6", "--yes")
    campaign.ok("priority", "7", "4", "--yes", "--why=for the talk")
    campaign.ok("priority", "-3", "2", "--yes")
    (campaign.directory / "order").unlink()
    assert campaign.run("--production=sim", "--nproc=1", "--nprep=0").code == 0
    assert (campaign.directory / "order").read_text().split() == list("413562")
    history = campaign.rows("SELECT why, user FROM event WHERE run = 4 AND from_state = to_state")
    assert history == [("priority 7 (for the talk)", me())]


@pytest.mark.feature("ED-09")
def test_reset_puts_outputs_aside_and_tells_what_is_based_on_them(over: Campaign) -> None:
    tree, out = over.data / "tree/v1/tree00002.txt", over.data / "out/v1/out00002.txt"
    assert tree.exists()
    assert out.exists()
    said = over.ok("reset", "--production=sim", "2", "--yes", "--why=wrong gain")
    assert said.out == "reset: 1 run (2)\nand of fit_v1: 1 finished (outputs put aside): it waits again\n"
    # written down first: killed on the way, the next that comes by does the rest
    asked = over.rows("SELECT run, verb, answer FROM request WHERE production = 1")
    assert asked == [(2, "reset", "reset")]
    assert over.letters("sim_v1") == "FNFFEE"
    assert over.letters("fit_v1") == "FWFFWW"
    assert sorted(os.listdir(tree.parent)) == [
        f"tree0000{n}.txt" if n != 2 else "tree00002.txt.aside1" for n in (1, 2, 3, 4)
    ]
    assert sorted(os.listdir(out.parent)) == ["out00001.txt", "out00002.txt.aside1", "out00003.txt", "out00004.txt"]
    assert over.rows("SELECT tree FROM sim_v1 WHERE run = 2") == [(None,)]
    assert whys(over, 2, production=2) == [("waiting", f"reset by {me()}: its base run was reset by {me()}", me())]
    assert over.run("--production=sim").code == 3
    assert over.run("--production=fit").code == 3
    assert over.letters("fit_v1") == "FFFFWW"
    over.ok("reset", "--production=sim", "2", "--yes")
    assert (tree.parent / "tree00002.txt.aside2").exists()


def test_reset_opens_a_finished_production_again(campaign: Campaign) -> None:
    prepare(campaign, 'echo tree >"$3"', "1-3")
    assert campaign.run("--production=sim", "--new=t").code == 0
    assert campaign.one("SELECT stop FROM productions") is not None
    campaign.ok("reset", "2", "--yes")
    assert campaign.one("SELECT stop FROM productions") is None
    assert campaign.run("--production=sim").code == 0
    assert campaign.letters("sim_v1") == "FFF"
    assert campaign.one("SELECT stop FROM productions") is not None


def test_what_is_still_asked_of_a_finished_production_is_done_when_it_is_started(campaign: Campaign) -> None:
    """Written down, and whoever was to carry it out was killed."""
    prepare(campaign, 'echo tree >"$3"', "1-3")
    assert campaign.run("--production=sim", "--new=t").code == 0
    with contextlib.closing(sqlite.Database(campaign.database)) as database, database.write() as change:
        asked = change.run(1, 2)
        assert asked is not None
        change.ask(asked, base.Ask("reset", None, "carol"), clock.SystemClock().now())
    assert campaign.run("--production=sim").code == 0
    assert campaign.letters("sim_v1") == "FFF"
    assert campaign.rows("SELECT answer FROM request") == [("reset",)]
    assert sorted(os.listdir(campaign.data / "tree/v1")) == [
        "tree00001.txt", "tree00002.txt", "tree00002.txt.aside1", "tree00003.txt",
    ]  # fmt: skip
    assert campaign.run("--production=sim").said("sim_v1 is finished since")


@pytest.mark.feature("ED-09")
def test_a_reset_says_what_becomes_of_runs_based_on_it(over: Campaign) -> None:
    over.ok("reset", "--production=fit", "3", "--yes")
    over.ok("close", "--production=fit", "--yes")
    says = "and of fit_v1: 3 finished (outputs put aside), 1 new: they wait again, but fit_v1 is closed"
    planned = over.ok("reset", "--production=sim", "1-6").out.splitlines()
    assert planned[0] == "would be reset: 6 runs (1-6)"
    assert planned[1].startswith(says)
    answer = json.loads(over.ok("reset", "--production=sim", "1-6", "--json").out)
    assert answer["based"] == {"fit_v1": {"finished": 3, "new": 1}}
    (over.data / "tree/v1/tree00001.txt.aside1").write_text("in the way")
    (over.data / "out/v1/out00002.txt.aside1").write_text("in the way")
    said = over.product("reset", "--production=sim", "1-6", "--yes")
    assert said.code == 1, "something that hangs on it stays behind"
    done = said.out.splitlines()
    assert done[0] == "reset: 5 runs (2-6)"
    assert done[1].startswith("and of fit_v1: 2 finished (outputs put aside), 1 new: they wait again, but")
    assert done[-1].startswith("left as it is: run 2 of fit_v1: ")
    assert over.letters("fit_v1") == "FFWWWW"


def test_an_output_that_was_lost_before_a_reset_is_nowhere_put_aside(over: Campaign) -> None:
    (over.data / "tree/v1/tree00002.txt").unlink()
    (over.data / "tree/v1/tree00003.txt").rename(over.data / "tree/v1/tree00003.txt.aside1")  # killed on the way
    with contextlib.closing(sqlite.Database(over.database)) as database, database.write() as change:
        moved = change.run(1, 3)
        assert moved is not None
        change.intend_aside(moved)
    over.ok("reset", "--production=sim", "2-3", "--yes")
    assert over.letters("sim_v1") == "FNNFEE"
    assert over.rows("SELECT run FROM aside WHERE production = 1") == [(3,)]
    assert over.rows("SELECT count(*) FROM output WHERE production = 1 AND run < 4 AND deleted IS NULL") == [(1,)]
    assert over.ok("audit").out.count("put aside") == 0
    assert over.run("--production=sim").code == 3
    assert over.letters("sim_v1") == "FFFFEE"


def test_a_reset_whose_way_is_blocked_leaves_the_run_as_it_is(over: Campaign) -> None:
    (over.data / "tree/v1/tree00002.txt.aside1").write_text("somebody's")
    left = over.product("reset", "--production=sim", "2-3", "--yes")
    assert left.code == 0
    assert "reset: 1 run (3)" in left.out
    assert "left as they are: 1 run (2)" in left.out
    assert "tree00002.txt.aside1 is there already" in left.out or "can't be put aside" in left.out
    assert over.letters("sim_v1") == "FFNFEE"
    assert (over.data / "tree/v1/tree00002.txt").read_text() == "tree\n"
    assert (over.data / "tree/v1/tree00002.txt.aside1").read_text() == "somebody's"
    (over.data / "tree/v1/tree00002.txt.aside1").unlink()
    assert over.ok("reset", "--production=sim", "2", "--yes").out.startswith("reset: 1 run (2)\n")


@pytest.fixture
def living(campaign: Campaign) -> tuple[Campaign, Manager, Pipe, Pipe]:
    """Runs 1 and 2 compute, 3 is staged."""
    started, gate = campaign.pipe("started"), campaign.pipe("gate")
    prepare(campaign, GATED)
    campaign.one_file_at_a_time()
    manager = campaign.start("--production=sim", "--new=t", "--nproc=2", "--nprep=1")
    assert sorted(started.take(2)) == ["1", "2"]
    query = "SELECT state FROM production_run WHERE run < 4 ORDER BY run"
    # the manager stages it in a thread of its own, and says nothing; what has begun isn't written down at once
    until(lambda: campaign.rows(query) == [("submitted",), ("submitted",), ("staged",)], "3 is staged")
    return campaign, manager, started, gate


@pytest.mark.feature("PK-10")
def test_the_manager_does_what_is_asked_of_its_runs(living: tuple[Campaign, Manager, Pipe, Pipe]) -> None:
    campaign, manager, started, _ = living
    said = campaign.ok("cancel", "1", "--yes", "--wait=30", "--why=wrong target")
    assert said.out.splitlines() == [
        f"asked: {me()}@{os.uname().nodename}:{manager.pid}, which has 1 run (1): its next cycle does it",
        "ends the job of run 1",
        "run 1: cancelled",
    ]
    assert campaign.rows("SELECT state, why FROM production_run WHERE run = 1") == [
        ("failed", f"cancelled by {me()}: wrong target")
    ]
    assert campaign.rows("SELECT cause, counted FROM attempt WHERE run = 1") == [("cancelled", 0)]
    started.take(1)  # the slot is another run's
    assert campaign.ok("hold", "2", "--yes", "--wait=30").out.endswith("run 2: held\n")
    started.take(1)
    said = campaign.ok("hold", "state:staged,claimed", "--yes", "--wait=30")
    assert "held" in said.out
    retried = campaign.product("retry", "state:submitted", "--yes")
    assert retried.code == 1
    assert "it is under way, submitted" in retried.out
    result = manager.stop()
    assert result.said(f"Ending the job of run 1: cancel asked by {me()}")
    assert result.said(f"Run 1 is failed: cancelled by {me()}: wrong target")
    campaign.nothing_in_hands()
    assert "cancelled: 1\n" in campaign.ok("status").out
    assert campaign.letters("sim_v1").startswith("EH")
    assert campaign.rows("SELECT count(*) FROM request WHERE answered IS NULL") == [(0,)]


def test_what_ended_by_itself_before_is_kept(living: tuple[Campaign, Manager, Pipe, Pipe]) -> None:
    """The manager sleeps when it is asked; meanwhile its job ends well."""
    campaign, manager, _, gate = living
    stop(campaign, manager)
    campaign.ok("hold", "1-2", "--yes")
    gate.give(2)
    until(lambda: len(list(campaign.data.glob("jobs/*/*.witness"))) == 2, "both jobs have written their witness")
    until(lambda: not campaign.jobs(), "both jobs are gone")
    manager.send(signal.SIGCONT)
    until(lambda: campaign.rows("SELECT 1 FROM request WHERE answered IS NULL") == [], "they are answered")
    manager.stop()
    assert campaign.letters("sim_v1")[:2] == "FF"
    assert campaign.rows("SELECT answer FROM request") == [("no: it is finished",)] * 2


def test_a_request_outlives_its_manager(living: tuple[Campaign, Manager, Pipe, Pipe]) -> None:
    """Killed before it answers: the next one does."""
    campaign, manager, _, _ = living
    stop(campaign, manager)
    campaign.ok("hold", "1", "3", "--yes")
    manager.kill()
    gone = (
        f"written down: {me()}@{os.uname().nodename}:{manager.pid}, which is gone, has 1 run (2):"
        " the next manager does it: run_production --production=sim --version=1 --batch=local"
    )
    assert campaign.ok("cancel", "2").out.splitlines()[0] == f"would be {gone}"
    assert campaign.ok("cancel", "2", "--yes").out == f"{gone}\nends the job of run 2\n"
    assert (
        campaign.ok("why", "2").out.splitlines()[-1].split(maxsplit=1)[1]
        == "nobody can answer cancel until somebody starts a manager"
        f" on {os.uname().nodename}, which takes over: run_production --production=sim --version=1 --batch=local"
    )
    with contextlib.closing(sqlite3.connect(campaign.database)) as connection, connection:
        connection.execute("UPDATE manager SET lapsed = beat_at")
    assert campaign.ok("hold", "2").out.startswith(f"would be {gone}\n"), "found dead: it has its name still"
    after = campaign.start("--production=sim", "--nproc=2", "--nprep=0")
    until(lambda: campaign.rows("SELECT 1 FROM request WHERE answered IS NULL") == [], "they are answered")
    after.stop()
    campaign.nothing_in_hands()
    assert campaign.letters("sim_v1")[:3] == "HEH"


def test_a_ctrl_c_answers_what_is_open(living: tuple[Campaign, Manager, Pipe, Pipe]) -> None:
    campaign, manager, _, _ = living
    stop(campaign, manager)
    campaign.ok("hold", "1", "3", "--yes")
    campaign.ok("cancel", "2", "--yes")
    manager.send(signal.SIGINT)
    manager.send(signal.SIGCONT)
    assert manager.wait().code == 130
    assert campaign.rows("SELECT 1 FROM request WHERE answered IS NULL") == []
    assert campaign.letters("sim_v1") == "HEHNNN"


def test_close_and_open_again(living: tuple[Campaign, Manager, Pipe, Pipe]) -> None:
    campaign, manager, _, gate = living
    assert campaign.ok("close", "--production=sim").out.endswith("nothing was changed; to do it: --yes\n")
    campaign.ok("close", "--production=sim", "--yes", "--why=magnet off")
    gate.give(3)
    result = manager.wait()
    assert result.code == 0, str(result)
    assert campaign.letters("sim_v1") == "FFFNNN"
    again = campaign.run("--production=sim")
    assert again.code == 0
    assert again.said(f"sim_v1 was closed by {me()} (magnet off)")
    twice = campaign.product("close", "--production=sim", "--yes")
    assert twice.code == 2
    assert f"sim_v1 is closed by {me()} since" in twice.err
    campaign.ok("close", "--undo", "--production=sim", "--yes")
    gate.give(3)
    assert campaign.run("--production=sim").code == 0
    assert campaign.letters("sim_v1") == "FFFFFF"


def test_json(over: Campaign) -> None:
    said = json.loads(over.ok("hold", "--production=sim", "1-6", "--json").out)
    assert said == {
        "production": "sim_v1",
        "verb": "hold",
        "dry_run": True,
        "done": [5, 6],
        "asked": {},
        "jobs": [],
        "left": {"it is finished": [1, 2, 3, 4]},
        "missing": [],
        "based": {},
        "answers": {},
    }


def test_what_stays_behind_a_reset_is_told_and_found(over: Campaign) -> None:
    """Somebody else's file stands where an output of the based run would be put aside."""
    (over.data / "out/v1/out00002.txt.aside1").write_text("somebody's")
    said = over.product("reset", "--production=sim", "2", "--yes")
    assert said.code == 1
    assert "reset: 1 run (2)\n" in said.out
    assert "left as it is: run 2 of fit_v1: " in said.out
    assert "out00002.txt.aside1 is there already" in said.out
    assert over.letters("fit_v1") == "FFFFWW"
    over.run("--production=sim")
    found = over.product("audit", "--production=fit")
    assert found.code == 1
    assert "run 2: finished before its base run was done again" in found.out
    (over.data / "out/v1/out00002.txt.aside1").unlink()
    assert over.ok("reset", "--production=fit", "2", "--yes").out == "reset: 1 run (2)\n"
    assert over.run("--production=fit").code == 3
    assert "done again" not in over.product("audit", "--production=fit").out


def test_a_reset_moves_plain_files_only(over: Campaign) -> None:
    """An old database may have anything for a path."""
    tree = over.data / "tree/v1/tree00003.txt"
    tree.unlink()
    tree.mkdir()
    said = over.product("reset", "--production=sim", "3", "--yes")
    assert (said.code, "it is no file of a run" in said.out) == (1, True), str(said)
    assert tree.is_dir()
    assert over.letters("sim_v1") == "FFFFEE"
    tree.rmdir()
    assert over.ok("reset", "--production=sim", "3", "--yes").out.startswith("reset: 1 run (3)\n")
    assert over.rows("SELECT * FROM aside WHERE run = 3 AND production = 1") == [], "it was lost before"


def test_an_answer_that_was_waited_for_is_one_document(living: tuple[Campaign, Manager, Pipe, Pipe]) -> None:
    campaign, manager, _, _ = living
    said = json.loads(campaign.ok("hold", "1", "--yes", "--wait=30", "--json").out)
    assert said["answers"] == {"1": "held"}
    manager.stop()


def test_a_run_that_is_nearly_finished_is_reset_nevertheless(campaign: Campaign) -> None:
    """Asked while its outputs are looked at, of the last run of a production: its manager doesn't go home before."""
    looked, go = campaign.pipe("looked"), campaign.pipe("go")
    campaign.script("sim.sh", 'echo "$1" >@/began\necho tree >"$3"')
    campaign.script("look.sh", "echo look >@/looked\nread go <@/go")
    began = campaign.pipe("began")
    check = f'check = "command"\ncommand = ["{campaign.directory}/look.sh"]\n'
    campaign.settings(
        PROGRAMS.replace(
            'path = "tree/v{version}/tree{run:05d}.txt"\n', 'path = "tree/v{version}/tree{run:05d}.txt"\n' + check
        )
    )
    campaign.raw(range(1, 2))
    campaign.begin("1")
    manager = campaign.start("--production=sim", "--new=t")
    began.take(1)
    looked.take(1)
    campaign.ok("reset", "1", "--yes", "--why=again")
    go.give(1)
    began.take(1)
    looked.take(1)
    go.give(1)
    assert manager.wait().code == 0
    assert campaign.rows("SELECT attempt, state FROM production_run") == [(2, "finished")]
    assert campaign.rows("SELECT count(*) FROM request WHERE answered IS NULL") == [(0,)]
    assert [path.name for path in sorted((campaign.data / "tree/v1").iterdir())] == [
        "tree00001.txt",
        "tree00001.txt.aside1",
    ]


def test_a_reset_with_the_disk_away_is_refused(over: Campaign) -> None:
    """What can't be seen is not lost."""
    over.data.rename(over.directory / "unmounted")
    said = over.product("reset", "--production=sim", "2", "--yes")
    assert (said.code, "is the disk mounted?" in said.out) == (1, True), str(said)
    (over.directory / "unmounted").rename(over.data)
    assert over.letters("sim_v1") == "FFFFEE"
    over.ok("reset", "--production=sim", "2", "--yes")
    assert (over.data / "tree/v1/tree00002.txt.aside1").exists()
