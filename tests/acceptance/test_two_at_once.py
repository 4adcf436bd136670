"""Several managers, and several people, in one production at once."""

from __future__ import annotations

import contextlib
import grp
import os
import pathlib
import re
import signal
import sqlite3
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator

import pytest

from tests.acceptance.campaign import Campaign, Manager, Result, User, until

Need = Callable[[str, object], object]

NOTHING = """
[programs.nothing]
script = "true.sh"
"""


def eight(campaign: Campaign, runs: int, *options: str) -> tuple[list[Result], list[int]]:
    """Eight managers that begin at the same moment; how each ended, and how many runs each finished."""
    campaign.script("true.sh", "exec true")
    campaign.settings(NOTHING)
    campaign.begin("1000000", dataset="first")
    campaign.ok("datasets", "add", f"1-{runs}", "--dataset=Al100")
    assert campaign.run("--production=nothing", "--new=t", "--dataset=first").code == 0
    with contextlib.closing(sqlite3.connect(campaign.database, isolation_level=None)) as somebody:
        somebody.execute("BEGIN IMMEDIATE")
        managers = [campaign.start("--production=nothing", *options) for _ in range(8)]
        # a manager that waits for the database says nothing
        until(lambda: all(map(has_opened_the_database, managers)), "eight managers are there")
        somebody.execute("ROLLBACK")
    results = [manager.wait(300) for manager in managers]
    rows = campaign.rows("SELECT count(*) FROM attempt WHERE run < 1000000 AND cause IS NULL GROUP BY manager")
    return results, [int(str(number)) for (number,) in rows]


def has_opened_the_database(manager: Manager) -> bool:
    directory = f"/proc/{manager.pid}/fd"
    with contextlib.suppress(OSError):
        return any(os.readlink(f"{directory}/{name}").endswith("production.db") for name in os.listdir(directory))
    return False


def each_run_once(campaign: Campaign, runs: int, results: list[Result], shares: list[int]) -> None:
    for result in results:
        assert result.code == 0, str(result)
        assert "locked" not in result.err + result.out
    assert campaign.rows("SELECT state, runs FROM tally WHERE runs > 0") == [("finished", runs + 1)]
    assert campaign.rows("SELECT count(*), max(attempt) FROM attempt") == [(runs + 1, 1)]
    sent = [line for result in results for line in result.messages if line.startswith("Submitting run: ")]
    assert len(sent) == len(set(sent)) == runs
    assert sum(shares) == runs
    assert sum(result.err.count("Finished production") for result in results) == 1


@pytest.mark.feature("AC-06")
def test_eight_managers_share_400_runs(campaign: Campaign) -> None:
    results, shares = eight(campaign, 400, "--nproc=3", "--nprep=2")
    each_run_once(campaign, 400, results, shares)
    assert len(shares) == 8
    assert min(shares) >= 400 * 0.05, shares


@pytest.mark.torture
@pytest.mark.feature("AC-06")
@pytest.mark.parametrize("turn", range(20))
def test_eight_managers_share_2000_runs(campaign: Campaign, turn: int, capsys: pytest.CaptureFixture[str]) -> None:
    at = time.monotonic()
    results, shares = eight(campaign, 2000)
    with capsys.disabled():
        took = time.monotonic() - at
        print(f"\nturn {turn}: {took:.1f} s, shares {sorted(shares)}, least {100 * min(shares) / 2000:.1f} %")
    each_run_once(campaign, 2000, results, shares)
    assert len(shares) == 8
    assert min(shares) >= 2000 * 0.05


# ── two people ──────────────────────────────────────────────────────────────────────────────────────────────────────

GATED = """
[programs.ana]
script = "ana.sh"
arguments = ["{run}", "{input}", "{tree}"]
input = "run{run:05d}.mid"
retry.pause = 0.1

[programs.ana.outputs.tree]
path = "tree/v{version}/tree{run:05d}.txt"
"""

ANA = """
echo "$1 $(id -un)" >@/started
read go <@/gate
echo "$(id -un): $(cat "$2")" >"$3"
"""


@pytest.fixture
def shared(
    new_campaign: Callable[[pathlib.Path], Campaign], users: tuple[User, User], house: tuple[str, pathlib.Path]
) -> Iterator[Campaign]:
    """A campaign of both: a setgid directory, in it the database, which they know by a symbolic link."""
    with tempfile.TemporaryDirectory(prefix="rp-shared-", ignore_cleanup_errors=True) as made:
        top = pathlib.Path(made)
        top.chmod(0o755)
        campaign = new_campaign(top / "campaign")
        campaign.python, campaign.root = house
        campaign.environment |= {"PYTHONPATH": str(house[1]), "PYTHONDONTWRITEBYTECODE": "1"}
        campaign.script("ana.sh", ANA)
        campaign.settings(GATED)
        campaign.raw(range(1, 13))
        room = campaign.directory / "room"
        room.mkdir()
        os.chown(room, 0, grp.getgrnam("rpshift").gr_gid)
        room.chmod(0o2775)
        campaign.database.symlink_to("room/production.db")
        campaign.data.symlink_to("room")
        for user in users:
            home = campaign.home / user.name
            home.mkdir()
            os.chown(home, user.uid, user.gid)
        yield campaign


def begin(campaign: Campaign, user: User) -> None:
    campaign.ok("init", str(campaign.directory / "room/production.db"), user=user)
    campaign.ok("datasets", "add", "1-12", "--dataset=Al100", user=user)


def test_two_people_work_in_one_production(shared: Campaign, users: tuple[User, User]) -> None:
    alice, bob = users
    started, gate = shared.pipe("started"), shared.pipe("gate")
    begin(shared, alice)
    first = shared.start("--production=ana", "--new=t", "--nproc=2", "--nprep=1", user=alice)
    taken = started.take(2)
    second = shared.start("--production=ana", "--nproc=2", "--nprep=1", user=bob)
    taken += started.take(2)
    gate.give(12)
    results = [first.wait(), second.wait()]
    for result in results:
        assert result.code == 0, "\n".join(map(str, results))
        assert not result.said("chmod"), str(result)
    assert shared.letters("ana_v1") == "F" * 12
    taken += started.take(8)
    assert sorted(int(line.split()[0]) for line in taken) == list(range(1, 13))
    assert set(shared.rows("SELECT DISTINCT user FROM attempt")) == {("rpalice",), ("rpbob",)}
    for path in (shared.data / "tree/v1").iterdir():
        assert path.stat().st_mode & 0o440 == 0o440
        assert grp.getgrgid(path.stat().st_gid).gr_name == "rpshift"
    shared.nothing_in_hands()
    assert list((shared.data / "raw").iterdir()) == []


def _owners(pids: Iterable[int]) -> set[int]:
    """Users of those of these processes that are still there."""
    found = set()
    for pid in pids:
        with contextlib.suppress(FileNotFoundError):
            found.add(os.stat(f"/proc/{pid}").st_uid)
    return found


@pytest.mark.feature("AC-30")
def test_one_is_killed_and_the_other_takes_over(shared: Campaign, users: tuple[User, User]) -> None:
    alice, bob = users
    started, gate = shared.pipe("started"), shared.pipe("gate")
    begin(shared, alice)
    shared.one_file_at_a_time()
    first = shared.start("--production=ana", "--new=t", "--nproc=2", "--nprep=1", user=alice)
    assert sorted(started.take(2)) == ["1 rpalice", "2 rpalice"]
    query = "SELECT state FROM production_run WHERE run < 4 ORDER BY run"
    until(lambda: shared.rows(query) == [("submitted",), ("submitted",), ("staged",)], "run 3 is staged")
    first.kill()
    at = time.monotonic()
    second = shared.start("--production=ana", "--nproc=2", "--nprep=1", user=bob)
    second.wait_for("Following 2 runs of manager 1")
    assert time.monotonic() - at > 9, "another user's process may hide: its lease of 10 s is waited for"
    assert "(rpalice@" in second.said
    assert "Released run: 3 (its manager is gone)" in second.said
    second.send(signal.SIGINT)
    # her jobs can't be ended by him, and aren't waited for; his own can
    until(lambda: _owners(shared.jobs()) == {alice.uid}, "his own jobs are gone")
    stopped = second.wait()
    assert stopped.code == 130
    survivors = [message for message in stopped.messages if "job of run " in message]
    assert len(survivors) == 2
    assert all("rpalice" in message for message in survivors), f"whose jobs they are, and who may end them:\n{stopped}"
    assert shared.letters("ana_v1") == "RR" + "N" * 10, str(stopped)

    third = shared.start("--production=ana", "--nproc=2", "--nprep=1", user=bob)
    gate.give(12)
    result = third.wait()
    assert result.code == 0, str(result)
    assert shared.letters("ana_v1") == "F" * 12, str(result)
    assert shared.rows("SELECT DISTINCT max(attempt) FROM attempt WHERE run IN (1, 2) GROUP BY run") == [(1,)]
    assert (shared.data / "tree/v1/tree00001.txt").read_text() == "rpalice: raw data of run 1\n"
    assert (shared.data / "tree/v1/tree00012.txt").read_text() == "rpbob: raw data of run 12\n"
    shared.nothing_in_hands()


def test_whose_job_it_is_and_who_can_end_it(shared: Campaign, users: tuple[User, User]) -> None:
    """Her manager is killed, and his follows her job, which he may not end: not when it is asked, and not when it is late."""
    alice, bob = users
    started, _gate = shared.pipe("started"), shared.pipe("gate")
    begin(shared, alice)
    first = shared.start("--production=ana", "--new=t", "--nproc=1", "--nprep=0", user=alice)
    assert started.take(1) == ["1 rpalice"]
    query = "SELECT state FROM production_run WHERE run = 1"
    until(lambda: shared.one(query) == "submitted", "its manager has written that down")
    first.kill()
    where = os.uname().nodename
    seen = shared.ok("why", "1", user=bob).out
    assert f"rpalice@{where}:{first.pid}, which is dead" in seen, "though it was another user's"
    assert f"no manager is at work (rpalice@{where}:{first.pid} is dead)" in shared.ok("status", user=bob).out
    with contextlib.closing(sqlite3.connect(shared.database)) as connection, connection:
        connection.execute("UPDATE attempt SET resources = json_set(resources, '$.time', 0.01)")
        connection.execute("UPDATE manager SET lapsed = beat_at")
    second = shared.start("--production=ana", "--nproc=1", "--nprep=0", user=bob)
    second.wait_for("Following 1 run of manager 1")
    job = str(shared.one("SELECT job FROM attempt WHERE run = 1"))
    end = f"kill -KILL -- -{job.partition('.')[0]} (on {where})"
    second.wait_for(f"Run 1 takes longer than 0 s; its job is rpalice's, who alone can end it: {end}")
    [line] = [line for line in shared.ok("why", "1", user=alice).out.splitlines() if "alone" in line]
    assert re.fullmatch(
        rf"  batch system  it takes longer than the .+ that it may; it is rpalice's, who alone can end it: {re.escape(end)}",
        line,
    )
    shared.ok("cancel", "1", "--yes", user=alice)
    until(lambda: shared.rows("SELECT 1 FROM request WHERE answered IS NULL") == [], "it is answered")
    said = f"no: its job is rpalice's, who alone can end it: {end}; once it has ended, ask again"
    assert shared.one("SELECT answer FROM request") == said
    second.stop()
    assert shared.letters("ana_v1")[0] != "F"
    os.killpg(int(job.partition(".")[0]), signal.SIGKILL)  # as she was told


def test_why_tells_whose_files_are_waited_for(shared: Campaign, users: tuple[User, User]) -> None:
    """Her manager is killed, his follows her job to its end: what that wrote is hers alone, until she comes back."""
    alice, bob = users
    started, gate = shared.pipe("started"), shared.pipe("gate")
    begin(shared, alice)
    first = shared.start("--production=ana", "--new=t", "--nproc=1", "--nprep=0", user=alice)
    assert started.take(1) == ["1 rpalice"]
    query = "SELECT state FROM production_run WHERE run = 1"
    until(lambda: shared.one(query) == "submitted", "its manager has written that down")
    first.kill()
    second = shared.start("--production=ana", "--nproc=1", "--nprep=0", user=bob)
    second.wait_for("Following 1 run of manager 1")
    [place] = shared.data.glob("work/*/00001.1/out/tree")
    place.chmod(0o755)
    gate.give(2)  # another job of his waits, too
    second.wait_for("Run 1 waits for rpalice")
    _, *lines = shared.ok("why", "1", user=bob).out.splitlines()
    who = f"rpbob@{os.uname().nodename}:{second.pid}"
    assert lines == [
        f"  claim    {who}, which is at work",
        f"  outputs  its job, of rpalice, wrote files that {who} may not move",
        "  next     finished when rpalice starts a manager, too: run_production --production=ana --version=1",
    ]
    third = shared.start("--production=ana", "--nproc=1", "--nprep=0", user=alice)
    gate.give(24)
    for manager in (second, third):
        result = manager.wait()
        assert result.code == 0, str(result)
    assert shared.letters("ana_v1") == "F" * 12
    assert (shared.data / "tree/v1/tree00001.txt").owner() == "rpalice"


def test_a_directory_without_setgid_gets_an_advice(shared: Campaign, users: tuple[User, User]) -> None:
    alice, bob = users
    shared.pipe("started")
    shared.pipe("gate").give(24)
    begin(shared, alice)
    (shared.directory / "room").chmod(0o775)
    (shared.directory / "room/production.db.lock").unlink(missing_ok=True)
    for path in (shared.directory / "room").glob("production.db-*"):
        path.unlink()
    result = shared.run("--production=ana", "--new=t", user=alice)
    assert result.code == 0, str(result)
    [advice] = [message for message in result.messages if "chmod" in message]
    assert re.search(rf"mend: chmod g\+rwx?s '{shared.directory}/room'", advice)
    other = shared.run("--production=ana", "--new=t", user=bob)
    assert shared.rows("SELECT run, why FROM production_run WHERE state IN ('failed', 'held')") == [], (
        "not the runs' fault"
    )
    if other.code != 0:
        assert other.code in (1, 2), str(other)
        assert "chmod" in other.err, f"the mend:\n{other}"


def test_who_may_not_write_the_data_spoils_nobodys_runs(shared: Campaign, users: tuple[User, User]) -> None:
    """The database is for both, the data are hers: that is said, and is not held against the runs."""
    alice, bob = users
    started, gate = shared.pipe("started"), shared.pipe("gate")
    begin(shared, alice)
    hers = shared.directory / "hers"
    hers.mkdir()
    os.chown(hers, alice.uid, alice.gid)
    shared.data.unlink()
    shared.data.symlink_to(hers)
    first = shared.start("--production=ana", "--new=t", "--nproc=1", "--nprep=0", user=alice)
    started.take(1)
    hers.chmod(0o755)
    subprocess.run(["chmod", "-R", "go-w", str(hers)], check=True)
    result = shared.run("--production=ana", user=bob)
    assert shared.rows("SELECT run, why FROM production_run WHERE state IN ('failed', 'held')") == [], str(result)
    assert result.code in (1, 2), str(result)
    assert "may not be written by you" in result.err, str(result)
    gate.give(12)
    assert first.wait().code == 0
    assert shared.letters("ana_v1") == "F" * 12


@pytest.mark.parametrize("mode", [0o644, 0o600, 0o664])
def test_somebody_without_rights_is_told_in_one_line(shared: Campaign, users: tuple[User, User], mode: int) -> None:
    alice, bob = users
    shared.pipe("started")
    shared.pipe("gate").give(12)
    room = shared.directory / "room"
    begin(shared, alice)
    shared.data.unlink()  # it is the database that he has no rights to
    shared.data.mkdir()
    shared.data.chmod(0o777)
    assert shared.run("--production=ana", "--new=t", user=alice).code == 0
    for path in room.glob("production.db*"):
        path.chmod(mode)
    stranger = User(bob.name, bob.uid, bob.gid, (), bob.umask)  # not of the shift
    before = (room / "production.db").read_bytes()
    result = shared.run("--production=ana", "--new=t", user=stranger)
    assert result.code in (1, 2), str(result)
    assert len(result.err.splitlines()) == 1, str(result)
    assert "production.db" in result.err
    assert "chmod" in result.err or "ermission" in result.err, str(result)
    assert "unexpected" not in result.err
    assert (room / "production.db").read_bytes() == before
    assert shared.run("--production=ana", user=alice).code == 0, "alice isn't disturbed"
