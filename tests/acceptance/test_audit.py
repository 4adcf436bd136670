"""``production audit``: names exactly what is not as it was written down, and nothing while people are at work."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import os
import pathlib
import pty
import shutil
import signal
import socket
import sqlite3
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from production import process
from tests.acceptance.campaign import Campaign, Result, User, until

PROGRAM = """
[programs.ana]
script = "ana.sh"
arguments = ["{run}", "{input}", "{tree}", "{hist}", "{notes}"]
input = "run{run:05d}.mid"
retry.pause = 0.1

[programs.ana.outputs.tree]
path = "tree/v{version}/tree{run:05d}.txt"

[programs.ana.outputs.hist]
path = "hist/v{version}/{run:05d}/hist.txt"

[programs.ana.outputs.notes]
path = "notes/notes{run:05d}.v{version}.txt"
optional = true
"""

ANA = 'cat "$2" >"$3"; echo "hist $1" >"$4"; test "$1" = 5 || echo "notes $1" >"$5"'

RUNS = range(2, 6)


@pytest.fixture(scope="module")
def once_finished(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Campaign]:
    """Runs 2 to 5 are finished; all but the last have their notes. A copy of it is kept beside."""
    campaign = Campaign(tmp_path_factory.mktemp("audit") / "campaign")
    with contextlib.closing(campaign):
        campaign.script("ana.sh", ANA)
        campaign.settings(PROGRAM)
        campaign.raw(RUNS)
        campaign.begin("2-5")
        result = campaign.run("--production=ana", "--new=t", "--nproc=4")
        assert result.code == 0, str(result)
        shutil.copytree(campaign.directory, campaign.directory.with_name("kept"), symlinks=True)
        yield campaign


@pytest.fixture
def finished(once_finished: Campaign) -> Campaign:
    """The same, whatever the test before has done to it."""
    shutil.rmtree(once_finished.directory)
    shutil.copytree(once_finished.directory.with_name("kept"), once_finished.directory, symlinks=True)
    return once_finished


def audit(campaign: Campaign, *arguments: str, user: User | None = None) -> tuple[Result, dict[str, Any]]:
    result = campaign.product("audit", "--json", *arguments, user=user)
    assert result.err == "", str(result)
    return result, json.loads(result.out)


def told(campaign: Campaign, *arguments: str) -> list[tuple[str, int | None, str]]:
    """(kind, run, path below data) of all findings; the text says the same, in one line each, and how it ends."""
    result, document = audit(campaign, *arguments)
    assert document["complete"] is True
    assert result.code == (1 if document["findings"] else 0), str(result)
    text = campaign.product("audit", *arguments)
    assert text.code == result.code, str(text)
    assert all(line.isprintable() for line in text.out.splitlines())
    for found in document["findings"]:
        assert found["mend"]
        assert f": {found['what']}\n" in text.out, str(text)
    assert text.out.count("  mend: ") == len(document["counts"])
    below = os.path.join(campaign.data, "")
    return [(one["kind"], one["run"], (one["path"] or "").removeprefix(below)) for one in document["findings"]]


def change(campaign: Campaign, *statements: str) -> None:
    with contextlib.closing(sqlite3.connect(campaign.database, isolation_level=None)) as connection:
        for statement in statements:
            assert connection.execute(statement).rowcount, statement


# --- nothing is wrong -------------------------------------------------------------------------------------------------


def test_all_is_well(finished: Campaign) -> None:
    result = finished.ok("audit")
    size = sum(
        path.stat().st_size for name in ("tree", "hist", "notes") for path in (finished.data / name).rglob("*.txt")
    )
    assert result.out == f"11 outputs of 4 runs in 1 production are as recorded ({size} bytes)\n"
    assert result.err == ""
    assert told(finished) == []
    assert told(finished, "--production=ana_v1", "--checksums") == []
    assert told(finished, "--production=ana", "--version=1", "2-3") == []
    assert finished.ok("audit", "2-3", "5").out.startswith("8 outputs of 3 runs in 1 production are as recorded")
    read = finished.ok("audit", "--checksums").out
    assert f"; {size} bytes read in " in read
    assert read.endswith("/s\n")


def test_a_database_without_productions(campaign: Campaign) -> None:
    campaign.settings(PROGRAM)
    campaign.ok("init", str(campaign.database))
    assert campaign.ok("audit").out == "no productions yet: nothing to look at\n"
    assert audit(campaign)[1]["productions"] == []


def test_a_fresh_production(campaign: Campaign) -> None:
    """Opened, and stopped before the first run was through."""
    started, gate = campaign.pipe("started"), campaign.pipe("gate")
    campaign.script("ana.sh", f"echo x >@/started; read go <@/gate; {ANA}")
    campaign.settings(PROGRAM)
    campaign.raw(RUNS)
    campaign.begin("2-5")
    manager = campaign.start("--production=ana", "--new=t")
    started.take(1)
    assert manager.stop().code == 130
    gate.give(4)
    assert campaign.ok("audit").out == "0 outputs of 0 runs in 1 production are as recorded (0 bytes)\n"


def test_a_second_version_beside_the_first(finished: Campaign) -> None:
    """Each knows its own files, also where both are in one directory."""
    finished.script("ana.sh", ANA)
    assert finished.run("--production=ana", "--new=u").code == 0
    assert told(finished) == []
    (finished.data / "notes/notes00003.v2.txt").unlink()
    (finished.data / "tree/v1/tree00003.txt").unlink()
    assert sorted(told(finished)) == [
        ("missing", 3, "notes/notes00003.v2.txt"),
        ("missing", 3, "tree/v1/tree00003.txt"),
    ]
    assert told(finished, "--production=ana_v2") == [("missing", 3, "notes/notes00003.v2.txt")]


@pytest.mark.parametrize(
    "arguments",
    [
        ("--production=anna",),
        ("--production=ana", "--version=9"),
        ("stat:failed",),
        ("99",),
        ("--frobnicate",),
        ("9-2",),
    ],
)
def test_bad_options(finished: Campaign, arguments: tuple[str, ...]) -> None:
    result = finished.product("audit", *arguments)
    assert result.code == 2, str(result)
    assert len(result.err.splitlines()) == 1, str(result)
    assert result.out == ""


# --- something is wrong -----------------------------------------------------------------------------------------------


@pytest.mark.feature("AC-39", "AC-25")
@pytest.mark.parametrize("run", RUNS)
@pytest.mark.parametrize("chosen", [(), ("2-5",)], ids=["all", "range"])
def test_a_missing_output_is_named_and_nothing_else(finished: Campaign, run: int, chosen: tuple[str, ...]) -> None:
    """The first and the last run of a range, too."""
    path = finished.data / f"tree/v1/tree{run:05d}.txt"
    path.unlink()
    result = finished.product("audit", *chosen)
    assert result.code == 1, str(result)
    lines = result.out.splitlines()
    assert lines[:2] == ["missing outputs: 1", f"  ana_v1 run {run}: tree: {path} is not there"]
    assert lines[2].startswith("  mend: ")
    assert f"production reset {run} --production=ana_v1" in lines[2]
    assert lines[3].startswith("1 finding; 11 outputs of 4 runs in 1 production looked at (")
    assert len(lines) == 4
    assert told(finished, *chosen) == [("missing", run, f"tree/v1/tree{run:05d}.txt")]
    assert told(finished, "2-4") == ([] if run == 5 else [("missing", run, f"tree/v1/tree{run:05d}.txt")])


Plant = Callable[[Campaign], object]
TREE = "tree/v1/tree00003.txt"


@dataclasses.dataclass
class Case:
    plant: Plant
    expected: tuple[str, int | None, str]
    says: str
    arguments: tuple[str, ...] = ()


def tree(campaign: Campaign) -> pathlib.Path:
    return campaign.data / TREE


def replace_with_directory(campaign: Campaign) -> None:
    tree(campaign).unlink()
    tree(campaign).mkdir()


def replace_with_pipe(campaign: Campaign) -> None:
    tree(campaign).unlink()
    os.mkfifo(tree(campaign))


def replace_with_link(campaign: Campaign) -> None:
    tree(campaign).unlink()
    tree(campaign).symlink_to("nowhere")


def other_bytes(campaign: Campaign) -> None:
    text = tree(campaign).read_text()
    tree(campaign).chmod(0o644)
    tree(campaign).write_text(text.replace("raw", "RAW"))


def more_bytes(campaign: Campaign) -> None:
    tree(campaign).chmod(0o644)
    with tree(campaign).open("a") as file:
        file.write("x")


def forget_directory(campaign: Campaign) -> None:
    campaign.data.rename(campaign.data.with_name("moved"))


def put_aside(done: str, exists: bool, text: str = "12345") -> Plant:
    def plant(campaign: Campaign) -> None:
        aside = campaign.directory / "aside.txt"
        if exists:
            aside.write_text(text)
        change(
            campaign,
            "INSERT INTO aside (production, run, name, attempt, path, aside, bytes, checksum, done) "
            f"VALUES (1, 3, 'hist', 7, 'was', '{aside}', 5, '', {done})",
        )

    return plant


def sql(*statements: str) -> Plant:
    return lambda campaign: change(campaign, *statements)


def strange(name: str) -> Plant:
    def plant(campaign: Campaign) -> None:
        path = campaign.data / name
        path.parent.mkdir(exist_ok=True)
        path.write_text("mine")

    return plant


CASES = {
    "no-file": Case(replace_with_directory, ("no-file", 3, TREE), "is a directory"),
    "pipe": Case(replace_with_pipe, ("no-file", 3, TREE), "pipe"),
    "dangling": Case(replace_with_link, ("missing", 3, TREE), "symbolic link that leads nowhere"),
    "larger": Case(more_bytes, ("size", 3, TREE), "has 19 bytes, recorded are 18"),
    "changed": Case(other_bytes, ("checksum", 3, TREE), "has the checksum adler32:", ("--checksums",)),
    "unrecorded": Case(sql("DELETE FROM output WHERE run = 3 AND name = 'tree'"), ("stranger", None, TREE), "bytes"),
    "stranger": Case(strange("tree/v1/mine.txt"), ("stranger", None, "tree/v1/mine.txt"), "(4 bytes, "),
    "deep": Case(strange("hist/v1/sub/mine.txt"), ("stranger", None, "hist/v1/sub/mine.txt"), "(4 bytes, "),
    "pattern": Case(strange("notes/notes00005.v1.txt"), ("stranger", None, "notes/notes00005.v1.txt"), "(4 bytes, "),
    "part": Case(strange("tree/v1/tree00003.txt.part"), ("stranger", None, TREE + ".part"), "(4 bytes, "),
    "early": Case(
        sql("UPDATE production_run SET state = 'new' WHERE run = 3"), ("early", 3, TREE), "recorded, but the run is new"
    ),
    "intended": Case(
        sql("UPDATE output SET recorded = NULL WHERE run = 3 AND name = 'tree'"),
        ("intended", 3, TREE),
        "was to be put in place by attempt 1",
    ),
    "aside-half": Case(put_aside("NULL", True), ("aside-half", 3, ""), "on its way from was to "),
    "aside-changed": Case(
        put_aside("'2026-11-20T21:00:00.000000Z'", True, "1234"),
        ("aside-changed", 3, ""),
        "move it away, or let it be",
    ),
    "fixed": Case(
        sql("INSERT INTO fixed_path (path, production, run, attempt, busy) VALUES ('/home/mu/x', 1, 3, 1, 1)"),
        ("fixed-path", 3, "/home/mu/x"),
        "/home/mu/x is kept for it",
    ),
    "input-left": Case(
        sql("INSERT INTO input (production, run, path, source, ours) VALUES (1, 3, '/raw/x', 'x', 1)"),
        ("input-left", 3, "/raw/x"),
        "still said to need /raw/x",
    ),
    "tally": Case(
        sql("UPDATE tally SET runs = 5 WHERE state = 'finished'"), ("tally", None, ""), "5 runs are counted as finished"
    ),
    "away": Case(forget_directory, ("away", None, ""), "data is not there"),
}


@pytest.mark.feature("AC-25")
@pytest.mark.parametrize("name", CASES)
def test_what_is_planted_is_named(finished: Campaign, name: str) -> None:
    case = CASES[name]
    if name == "early":
        change(finished, "DELETE FROM output WHERE run = 3 AND name <> 'tree'")
        (finished.data / "hist/v1/00003/hist.txt").unlink()
        (finished.data / "notes/notes00003.v1.txt").unlink()
    case.plant(finished)
    found = told(finished, *case.arguments)
    kind, run, path = case.expected
    if name == "unrecorded":  # it is told from both sides
        assert ("incomplete", 3, "") in found
        found.remove(("incomplete", 3, ""))
    assert [(one[0], one[1]) for one in found] == [(kind, run)]
    assert path in ("", found[0][2])
    assert case.says in finished.product("audit", *case.arguments).out


def test_other_bytes_of_the_same_number_are_found_with_checksums_alone(finished: Campaign) -> None:
    other_bytes(finished)
    assert told(finished) == []
    assert told(finished, "--checksums") == [("checksum", 3, TREE)]


def test_directories_that_the_settings_do_not_know_any_more(finished: Campaign) -> None:
    finished.settings(PROGRAM.replace("tree/v{version}/tree", "trees/v{version}/tree"))
    assert told(finished) == []
    (finished.data / "tree/v1/mine.txt").write_text("mine")
    (finished.data / "tree/v2").mkdir()
    (finished.data / "tree/v2/mine.txt").write_text("mine")
    assert told(finished) == [("stranger", None, "tree/v1/mine.txt")]
    finished.settings('[programs.other]\nscript = "ana.sh"\n')
    assert told(finished) == [("stranger", None, "tree/v1/mine.txt")]
    assert "harmless: ana_v1: no settings say which outputs ana may leave out" in finished.product("audit").out
    (finished.data / "tree/v1/mine.txt").unlink()
    change(finished, "DELETE FROM output WHERE run = 3")
    for name in ("tree/v1/tree00003.txt", "hist/v1/00003/hist.txt", "notes/notes00003.v1.txt"):
        (finished.data / name).unlink()
    assert told(finished) == [("incomplete", 3, "")]


def test_what_is_right_though_it_looks_odd(finished: Campaign) -> None:
    """A file moved to another disk with a link left; what was put aside; logs; names that file systems make up."""
    elsewhere = finished.directory / "elsewhere.txt"
    tree(finished).rename(elsewhere)
    tree(finished).symlink_to(elsewhere)
    put_aside("'2026-11-20T21:00:00.000000Z'", True)(finished)
    (finished.data / "tree/v1/.nfs0000000001").write_text("")
    (finished.data / "tree/v1/.snapshot").mkdir()
    (finished.data / "tree/v1/.snapshot/tree00009.txt").write_text("yesterday's")
    moved = finished.directory / "big disk"
    (finished.data / "hist").rename(moved)
    (finished.data / "hist").symlink_to(moved)
    (finished.data / "hist/v1/round").symlink_to(moved / "v1")
    (finished.data / "notes/notes00003.v7.txt").write_text("of a version that isn't looked at")
    assert told(finished) == []


def test_what_an_old_database_did_not_know_is_not_compared(finished: Campaign) -> None:
    change(finished, "UPDATE output SET bytes = -1, checksum = '' WHERE run = 3")
    more_bytes(finished)
    result = finished.ok("audit", "--checksums")
    assert result.out.rstrip().endswith("; of 3 no size or checksum is known: not comparable"), str(result)
    tree(finished).unlink()
    assert told(finished) == [("missing", 3, TREE)]


def test_what_was_removed_on_purpose_is_not_missed(finished: Campaign) -> None:
    change(finished, "UPDATE output SET deleted = '2026-11-20T21:00:00.000000Z' WHERE run = 3 AND name = 'tree'")
    assert told(finished) == [("stranger", None, TREE)], "it is still there"
    tree(finished).unlink()
    assert told(finished) == []
    assert "; 1 are recorded as removed" in finished.ok("audit").out


def test_an_aside_that_somebody_removed_is_a_remark(finished: Campaign) -> None:
    put_aside("'2026-11-20T21:00:00.000000Z'", False)(finished)
    said = finished.ok("audit").out
    assert "ana_v1: 1 of the outputs that were put aside is not there any more; nothing is wrong, if" in said


@pytest.mark.parametrize(
    "name", ["line\nend.txt", "\x1b[31mred.txt", "two words µ.txt", os.fsdecode(b"latin \xb5.txt")]
)
def test_odd_names_are_told_safely(finished: Campaign, name: str) -> None:
    (finished.data / "tree/v1" / name).write_text("mine")
    [(kind, run, _path)] = told(finished)
    assert (kind, run) == ("stranger", None)
    _, document = audit(finished)
    if "latin" not in name:
        assert document["findings"][0]["path"] == str(finished.data / "tree/v1" / name)


def test_many_of_one_kind_are_told_by_the_first(finished: Campaign) -> None:
    for number in range(30):
        (finished.data / f"tree/v1/mine{number:02d}").write_text("")
    short, long = finished.product("audit").out, finished.product("audit", "--all").out
    assert "files that are not recorded: 30\n" in short
    assert short.count("  ana_v1: ") == 20
    assert "  … and 10 more; all of them: --all\n" in short
    assert long.count("  ana_v1: ") == 30
    assert len(audit(finished)[1]["findings"]) == 30


# --- the dead ---------------------------------------------------------------------------------------------------------

HOUR_AGO = "strftime('%Y-%m-%dT%H:%M:%S.000000Z', 'now', '-1 hour')"

ENTER = (
    "INSERT INTO manager (id, user, host, boot, pid, ticks, production, batch, start, beat_at, stop, lapsed) "
    "VALUES (9, '{user}', '{host}', '{boot}', {pid}, {ticks}, 1, 'local', '{at}', {beat}, {stop}, {lapsed})"
)


def hold(campaign: Campaign, **facts: str) -> None:
    """Run 3 is in the hands of manager 9."""
    values = {
        "user": "mu",
        "host": "elsewhere",
        "boot": "b",
        "pid": "1",
        "ticks": "1",
        "at": "2026-11-20T21:00:00.000000Z",
    }
    values |= {"beat": "strftime('%Y-%m-%dT%H:%M:%S.000000Z', 'now')", "stop": "NULL", "lapsed": "NULL"}
    change(
        campaign,
        ENTER.format(**(values | facts)),
        "DELETE FROM output WHERE run = 3",
        "UPDATE production_run SET state = 'submitted', owner = 9 WHERE run = 3",
    )
    for name in ("tree/v1/tree00003.txt", "hist/v1/00003/hist.txt", "notes/notes00003.v1.txt"):
        (campaign.data / name).unlink()


def test_a_run_in_living_hands_is_no_finding(finished: Campaign) -> None:
    hold(finished)
    assert told(finished) == []


def test_a_copy_that_is_just_made_is_no_finding(finished: Campaign) -> None:
    """An output comes from another file system under a name of its own, before anything is written down."""
    id = finished.one("SELECT id FROM catalogue")
    hold(finished)
    name = f"tree/v1/.tree00003.txt.ana_v1-{id}.2a-3-1"
    (finished.data / name).write_text("half")
    assert told(finished) == []
    change(finished, "UPDATE production_run SET state = 'held', owner = NULL WHERE run = 3")
    assert told(finished) == [("stranger", None, name)]


@pytest.mark.parametrize(
    ("facts", "says"),
    [
        (
            {"stop": "'2026-11-20T21:00:00.000000Z'"},
            "is submitted, and held by manager 9 (mu@elsewhere:1), who left at ",
        ),
        ({"lapsed": "'2026-11-20T21:00:00.000000Z'"}, "who was seen dead at 2026-11-2"),
        ({"beat": HOUR_AGO}, "who may be dead: no sign of life since 2"),
        ({"user": "HERE"}, "who is dead: there is no such process"),
    ],
    ids=["left", "lapsed", "silent", "killed"],
)
def test_what_the_dead_hold(finished: Campaign, facts: dict[str, str], says: str) -> None:
    if "user" in facts:
        me = process.myself()
        facts = {"user": me.user, "host": me.host, "boot": me.boot, "pid": str(me.pid), "ticks": str(me.ticks + 1)}
    hold(finished, **facts)
    change(finished, "INSERT INTO transfer (path, source, manager, start) VALUES ('/raw/x', 'x', 9, '')")
    assert told(finished) == [("held", 3, ""), ("transfer", None, "/raw/x")]
    assert told(finished, "3-4") == [("held", 3, "")]
    assert told(finished, "4") == []
    text = finished.product("audit").out
    assert says in text
    assert "run_production --production=ana --version=1" in text


def test_after_a_kill_and_after_the_next_manager(campaign: Campaign) -> None:
    """kill -9: its runs are told, its half files are harmless; the next manager leaves nothing to tell."""
    started, gate = campaign.pipe("started"), campaign.pipe("gate")
    campaign.script("ana.sh", f"echo x >@/started; read go <@/gate; {ANA}")
    campaign.settings(PROGRAM)
    campaign.raw(RUNS)
    campaign.begin("2-5")
    manager = campaign.start("--production=ana", "--new=t", "--nproc=2", "--nprep=0")
    started.take(2)
    until(lambda: campaign.letters("ana_v1") == "RRNN", "a job starts before its manager has written that down")
    assert told(campaign) == []
    manager.kill()
    assert [(kind, run) for kind, run, _ in told(campaign)] == [("held", 2), ("held", 3)]
    gate.give(4)
    assert campaign.run("--production=ana").code == 0
    assert told(campaign) == []
    id = campaign.one("SELECT id FROM catalogue")
    (campaign.data / f"work/ana_v1-{id}/00002.1").mkdir(parents=True, exist_ok=True)
    result = campaign.ok("audit")
    assert "harmless: ana_v1: of 1 attempt that is over there are files below jobs/ and work/" in result.out


def test_an_input_that_is_needed_and_gone(campaign: Campaign) -> None:
    started, gate = campaign.pipe("started"), campaign.pipe("gate")
    campaign.script("ana.sh", f"echo x >@/started; read go <@/gate; {ANA}")
    campaign.settings(PROGRAM)
    campaign.raw(RUNS)
    campaign.begin("2-3")
    manager = campaign.start("--production=ana", "--new=t")
    started.take(2)
    until(lambda: campaign.letters("ana_v1") == "RR", "a job starts before its manager has written that down")
    os.rename(campaign.data / "raw/run00003.mid", campaign.data / "raw/away")
    assert told(campaign) == [("input-gone", 3, "raw/run00003.mid")]
    os.rename(campaign.data / "raw/away", campaign.data / "raw/run00003.mid")
    assert told(campaign) == []
    gate.give(2)
    assert manager.wait().code == 0


def test_while_a_manager_works_nothing_is_found(campaign: Campaign) -> None:
    """Again and again, with files that come into place at every moment."""
    campaign.script("ana.sh", ANA)
    campaign.settings(PROGRAM)
    runs = range(1, 301)
    campaign.raw(runs)
    campaign.begin("1-300")
    manager = campaign.start("--production=ana", "--new=t", "--nproc=8", "--nprep=8")
    manager.wait_for("Finished run")
    letters, audits = "", 0
    while "N" in (letters := campaign.letters("ana_v1")) or "R" in letters:
        result = campaign.product("audit", *(["--checksums"] if audits % 2 else []))
        assert result.code == 0, f"{letters}\n{result}"
        audits += 1
    assert manager.wait().code == 0
    assert audits > 3
    assert told(campaign) == []


# --- people -----------------------------------------------------------------------------------------------------------


@pytest.fixture
def public(users: tuple[User, User], house: tuple[str, pathlib.Path]) -> Iterator[Campaign]:
    """A finished campaign in a place that others may come to; tree/ lies in a home of alice's."""
    with tempfile.TemporaryDirectory(prefix="rp-audit-", ignore_cleanup_errors=True) as made:
        top = pathlib.Path(made)
        top.chmod(0o755)
        campaign = Campaign(top / "campaign")
        with contextlib.closing(campaign):
            campaign.script("ana.sh", ANA)
            campaign.settings(PROGRAM)
            campaign.raw(RUNS)
            campaign.begin("2-5")
            home = top / "alice"
            home.mkdir()
            campaign.data.mkdir()
            (campaign.data / "tree").symlink_to(home)
            result = campaign.run("--production=ana", "--new=t")
            assert result.code == 0, str(result)
            os.chown(home, users[0].uid, users[0].gid)
            campaign.python, campaign.root = house
            campaign.environment |= {"PYTHONPATH": str(house[1]), "PYTHONDONTWRITEBYTECODE": "1"}
            yield campaign


def test_a_home_that_is_closed_is_named_as_such(public: Campaign, users: tuple[User, User]) -> None:
    bob = users[1]
    home = public.directory.parent / "alice"
    assert audit(public, user=bob)[0].code == 0
    home.chmod(0o700)
    (public.data / "hist/v1/00003/hist.txt").unlink()
    result, document = audit(public, user=bob)
    assert result.code == 1
    assert [(one["kind"], one["run"]) for one in document["findings"]] == [("missing", 3), ("closed", None)]
    assert document["closed"] == 4
    said = public.product("audit", user=bob).out
    assert f"{home} is closed to you (rpalice has it): 4 files can't be looked at, the first is of run 2" in said
    assert "missing outputs: 1\n" in said
    assert "; 4 could not be looked at\n" in said
    home.chmod(0o711)
    result, document = audit(public, user=bob)
    assert [(one["kind"], one["run"]) for one in document["findings"]] == [("missing", 3)]
    (public.data / "notes").chmod(0o711)
    result, document = audit(public, user=bob)
    assert [one["path"] for one in document["findings"] if one["kind"] == "closed"] == [str(public.data / "notes")]
    (public.data / "notes").chmod(0o755)
    (home / "v1").chmod(0o711)
    result, document = audit(public, user=bob)
    assert [one["kind"] for one in document["findings"]] == ["missing", "closed"]
    assert "may not be listed by you" in document["findings"][1]["what"]


def test_a_file_that_may_not_be_read_has_its_size_at_least(public: Campaign, users: tuple[User, User]) -> None:
    bob = users[1]
    (public.data / "hist/v1/00003/hist.txt").chmod(0o600)
    assert audit(public, user=bob)[0].code == 0
    result, document = audit(public, "--checksums", user=bob)
    assert result.code == 1
    assert [(one["kind"], one["run"]) for one in document["findings"]] == [("unread", 3)]
    assert "Permission denied" in document["findings"][0]["what"]


# --- time -------------------------------------------------------------------------------------------------------------


def slow(campaign: Campaign) -> None:
    """An output that takes longer to read than any test may: a hole of an exabyte's eighth."""
    with open(tree(campaign).with_name("large"), "wb") as file:
        file.truncate(1 << 42)
    os.replace(tree(campaign).with_name("large"), tree(campaign))
    change(campaign, f"UPDATE output SET bytes = {1 << 42} WHERE run = 3 AND name = 'tree'")


def test_ctrl_c_tells_what_was_found_so_far(finished: Campaign) -> None:
    slow(finished)
    (finished.data / "hist/v1/00004/hist.txt").unlink()
    manager = finished.begun([finished.python, "-m", "production", "audit", "--checksums"])
    opened = f"/proc/{manager.pid}/fd"
    until(lambda: str(tree(finished)) in links(opened), "it reads the large file")
    result = manager.stop(signal.SIGINT)
    assert result.code == 130, str(result)
    assert "Traceback" not in result.err
    *found, last = result.out.splitlines()
    assert found == [
        "seen once, and not looked at again: 1",
        f"  ana_v1 run 4: hist: {finished.data}/hist/v1/00004/hist.txt is not there",
    ]
    assert last.startswith("interrupted: this is what was found so far; ")


def links(directory: str) -> set[str]:
    found = set()
    with contextlib.suppress(OSError):
        for name in os.listdir(directory):
            with contextlib.suppress(OSError):
                found.add(os.readlink(f"{directory}/{name}"))
    return found


def test_on_a_terminal_it_says_how_far_it_is(finished: Campaign) -> None:
    slow(finished)
    master, slave = pty.openpty()
    with contextlib.closing(socket.socket()):
        process_ = subprocess.Popen(
            [finished.python, "-m", "production", "audit", "--checksums"], cwd=finished.directory,
            env=finished.environment | {"TERM": "xterm"}, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=slave, text=True,
        )  # fmt: skip
    os.close(slave)
    try:
        said = b""
        while b" read" not in said:
            said += os.read(master, 4096)
        assert b"ana_v1: " in said
        assert b" files looked at, " in said
    finally:
        process_.send_signal(signal.SIGINT)
        process_.communicate(timeout=60)
        os.close(master)
    assert process_.returncode == 130


def test_a_hundred_thousand_outputs(finished: Campaign) -> None:
    """All in one directory, under two names each: neither memory nor time follows the square of them."""
    many = 100_000
    change(
        finished,
        f"WITH n(run) AS (SELECT 1000 UNION ALL SELECT run + 1 FROM n WHERE run < {1000 + many - 1}) INSERT INTO run (run) SELECT run FROM n",
        "INSERT INTO production_run (production, run, moved_at) SELECT 1, run, '2026-11-20T21:00:00.000000Z' FROM run WHERE run >= 1000",
        "UPDATE production_run SET state = 'finished' WHERE run >= 1000",
        "INSERT INTO output (production, run, name, attempt, temporary, path, bytes, checksum, recorded) "
        f"SELECT 1, run, name, 1, '', '{finished.data}/tree/v1/' || name || run, 0, 'adler32:00000001', '2026-11-20T21:00:00.000000Z' "
        "FROM run CROSS JOIN production_output WHERE run >= 1000 AND name IN ('tree', 'hist')",
    )
    for number in range(1000, 1000 + many):
        os.link(linked(finished, number), finished.data / f"tree/v1/tree{number}")
        os.link(linked(finished, number), finished.data / f"tree/v1/hist{number}")
    (finished.data / "tree/v1/tree50000").unlink()
    (finished.data / "tree/v1/tree999999").write_text("")
    code = "import sys, resource; from production.cli import door; code = door.production(); print(code, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)"
    result = finished.call([finished.python, "-c", code, "audit", "--json"])
    *lines, last = result.out.splitlines()
    found = json.loads("\n".join(lines))["findings"]
    assert [(one["kind"], one["run"]) for one in found] == [("missing", 50000), ("stranger", None)]
    code_, kilobytes = last.split()
    assert code_ == "1"
    assert int(kilobytes) < 150_000


def linked(campaign: Campaign, number: int) -> pathlib.Path:
    """An empty file that many names may be of: a name costs a tenth of a file."""
    path = campaign.directory / f"empty{number // 20_000}"
    path.touch()
    return path
