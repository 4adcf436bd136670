"""``production audit``: names exactly what is not as it was written down, and nothing while people are at work."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import os
import pathlib
import pty
import signal
import socket
import sqlite3
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from typing import Any

import pytest

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


@pytest.fixture
def finished(campaign: Campaign) -> Campaign:
    """Runs 2 to 5 are finished; all but the last have their notes."""
    campaign.script("ana.sh", ANA)
    campaign.settings(PROGRAM)
    campaign.raw(RUNS)
    campaign.begin("2-5")
    result = campaign.run("--production=ana", "--new=t", "--nproc=4")
    assert result.code == 0, str(result)
    return campaign


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
            assert connection.execute(statement).rowcount > 0, statement


# --- nothing is wrong -------------------------------------------------------------------------------------------------


def test_all_is_well(finished: Campaign) -> None:
    result = finished.ok("audit")
    size = sum(
        path.stat().st_size for name in ("tree", "hist", "notes") for path in (finished.data / name).rglob("*.txt")
    )
    assert result.out == f"11 outputs of 4 runs in 1 production are as recorded ({size} Bytes)\n"
    assert result.err == ""
    assert told(finished) == []
    assert told(finished, "--production=ana_v1", "--checksums") == []
    assert told(finished, "--production=ana", "--version=1", "2-3") == []
    assert finished.ok("audit", "2-3", "5").out.startswith("8 outputs of 3 runs in 1 production are as recorded")
    read = finished.ok("audit", "--checksums").out
    assert f"; {size} Bytes read in " in read
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
    assert campaign.ok("audit").out == "0 outputs of 0 runs in 1 production are as recorded (0 Bytes)\n"


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


def put_aside(done: str, exists: bool) -> Plant:
    def plant(campaign: Campaign) -> None:
        aside = campaign.directory / "aside.txt"
        if exists:
            aside.write_text("12345")
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
    "larger": Case(more_bytes, ("size", 3, TREE), "has 18 bytes, recorded are 18"),
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
    "aside-gone": Case(put_aside("'2026-11-20T21:00:00.000000Z'", False), ("aside-gone", 3, ""), "is not there"),
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
