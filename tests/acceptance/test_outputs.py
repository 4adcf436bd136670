"""What is left of a run: outputs under its version, logs, provenance; and what stands in the way."""

from __future__ import annotations

import hashlib
import json
import stat
import zlib

import pytest

from tests.acceptance.campaign import Campaign

PROGRAM = """
[programs.ana]
script = "ana.sh"
arguments = ["{run}", "{tree}"]
retry.pause = 0.1

[programs.ana.outputs.tree]
path = "tree/v{version}/tree{run:05d}.txt"
"""


@pytest.mark.feature("AC-24")
def test_outputs_are_under_their_version_and_in_the_database(campaign: Campaign) -> None:
    campaign.script("ana.sh", 'echo "run $1"; echo tree >"$2"')
    campaign.settings(PROGRAM)
    campaign.begin("2091-2093")
    for tag in ("a", "b"):
        result = campaign.run("--production=ana", f"--new={tag}")
        assert result.code == 0, str(result)
    for version in (1, 2):
        rows = campaign.rows(f"SELECT run, tree, olog FROM ana_v{version}")
        assert [run for run, _, _ in rows] == [2091, 2092, 2093]
        for run, tree, log in rows:
            path = campaign.data / f"tree/v{version}/tree0{run}.txt"
            assert str(tree) == str(path)
            assert path.read_text() == "tree\n"
            assert path.stat().st_mode & stat.S_IRGRP
            assert str(log) == str(campaign.data / f"log/v{version}/ana.run0{run}.out")
            assert (campaign.data / f"log/v{version}/ana.run0{run}.out").read_text() == f"run {run}\n"
    checksum = zlib.adler32(b"tree\n")
    assert campaign.rows("SELECT DISTINCT bytes, checksum FROM output") == [(5, f"adler32:{checksum:08x}")]
    campaign.nothing_in_hands()


def test_outputs_are_for_the_group_whatever_the_program_thinks(campaign: Campaign) -> None:
    """Many programs make a temporary file (mode 600) and rename it; the next pass is somebody else's."""
    campaign.script("ana.sh", 'umask 077; echo tree >"$2"')
    campaign.settings(PROGRAM)
    campaign.begin("1")
    assert campaign.run("--production=ana", "--new=t").code == 0
    assert (campaign.data / "tree/v1/tree00001.txt").stat().st_mode & stat.S_IRGRP


@pytest.mark.feature("AC-25")
def test_exit_0_without_the_output_is_a_failure(campaign: Campaign) -> None:
    campaign.script("ana.sh", 'test $1 = 2 && exit 0; test $1 = 3 && : >"$2" || echo tree >"$2"')
    campaign.settings(PROGRAM)
    campaign.begin("1-4")
    result = campaign.run("--production=ana", "--new=t")
    assert result.code == 3, str(result)
    assert campaign.letters("ana_v1") == "FEEF"
    assert result.said("Failed run: 2 (output: tree:")
    assert result.said("tree00002.txt is missing")
    assert "failed for cause output: 2 and 3" in result.messages
    examples = [message for message in result.messages if message.startswith("e.g. run ")]
    assert len(examples) == 2, "one is missing, one is empty"
    assert examples[0].startswith("e.g. run 2: output: tree: ")
    assert [example.endswith(" (what it wrote was removed)") for example in examples] == [False, True]
    assert "\n    ".join(["  failed for cause output: 2 and 3", *examples]) in campaign.ok("status").out
    assert [path.name for path in sorted((campaign.data / "tree/v1").iterdir())] == ["tree00001.txt", "tree00004.txt"]
    assert campaign.rows("SELECT DISTINCT exit, cause FROM attempt WHERE run = 2") == [(0, "output")]


@pytest.mark.feature("AC-27")
@pytest.mark.parametrize("text", ["modules\n  hist = old\n", "Zeitauflösung 5 µs, 日本\n"])
def test_the_configuration_is_kept_as_it_was_and_once(campaign: Campaign, text: str) -> None:
    started, gate = campaign.pipe("started"), campaign.pipe("gate")
    campaign.script("ana.sh", 'echo $1 >@/started\nread go <@/gate\ncat "$3" >"$2"')
    campaign.settings(PROGRAM.replace('"{tree}"]', '"{tree}", "{modules}"]'))
    campaign.begin("1-6")
    modules = campaign.directory / "MODULES"
    modules.write_text(text, encoding="utf-8")
    missing = campaign.run("--production=ana", "--new=t")
    assert missing.code == 2
    assert "--modules=FILE" in missing.err
    manager = campaign.start("--production=ana", "--new=t", "--modules=MODULES", "--nproc=2")
    started.take(2)
    modules.write_text("modules\n  hist = new\n")
    gate.give(6)
    result = manager.wait()
    assert result.code == 0, str(result)
    for run in range(1, 7):
        assert (campaign.data / f"tree/v1/tree0000{run}.txt").read_text(encoding="utf-8") == text, "jobs, too, read it"
    assert campaign.rows("SELECT DISTINCT modules FROM ana_v1") == [(text,)]
    assert campaign.rows("SELECT digest, text FROM modules") == [(hashlib.sha256(text.encode()).hexdigest(), text)]
    gate.give(6)
    assert campaign.run("--production=ana", "--new=t", "--modules=MODULES").code == 0
    assert campaign.rows("SELECT DISTINCT modules FROM ana_v2") == [("modules\n  hist = new\n",)]
    assert campaign.one("SELECT count(*) FROM modules") == 2


@pytest.mark.feature("AC-27")
def test_a_configuration_that_is_no_utf_8(campaign: Campaign) -> None:
    """Old files have a Latin-1 micro sign in a comment: taken as it is, or refused in one line; never half."""
    campaign.script("ana.sh", 'cat "$3" >"$2"')
    campaign.settings(PROGRAM.replace('"{tree}"]', '"{tree}", "{modules}"]'))
    campaign.begin("1-2")
    modules = campaign.directory / "MODULES"
    modules.write_bytes(b"gate = 5 \xb5s\n")
    result = campaign.run("--production=ana", "--new=t", "--modules=MODULES")
    if result.code == 0:
        assert (campaign.data / "tree/v1/tree00001.txt").read_bytes() == b"gate = 5 \xb5s\n"
    else:
        assert result.code == 2, str(result)
        assert len(result.err.splitlines()) == 1
        assert "MODULES" in result.err
        assert "unexpected" not in result.err
        assert campaign.rows("SELECT * FROM productions") == [], "nothing was touched"


@pytest.mark.feature("AC-32")
def test_a_file_that_is_there_already_holds_its_run(campaign: Campaign) -> None:
    campaign.script("ana.sh", 'echo tree >"$2"')
    campaign.settings(PROGRAM)
    campaign.begin("1-4")
    there = campaign.data / "tree/v1/tree00002.txt"
    there.parent.mkdir(parents=True)
    there.write_text("somebody's\n")
    result = campaign.run("--production=ana", "--new=t")
    assert result.code == 3, str(result)
    assert campaign.letters("ana_v1") == "FHFF"
    assert there.read_text() == "somebody's\n"
    [held] = [message for message in result.messages if message.startswith("Held run: 2")]
    assert str(there) in held
    assert "move it away" in held
    assert result.said("held for cause output: 2")
    campaign.nothing_in_hands()


@pytest.mark.feature("AC-32")
def test_a_file_that_appears_while_the_job_runs_is_not_replaced(campaign: Campaign) -> None:
    campaign.script("ana.sh", 'echo tree >"$2"\nmkdir -p @/data/tree/v1\necho mine >@/data/tree/v1/tree0000$1.txt')
    campaign.settings(PROGRAM)
    campaign.begin("1-2")
    result = campaign.run("--production=ana", "--new=t")
    assert result.code == 3, str(result)
    assert campaign.letters("ana_v1") == "HH"
    assert (campaign.data / "tree/v1/tree00001.txt").read_text() == "mine\n"


@pytest.mark.feature("AC-33")
def test_calibration_flag_and_database_reach_the_program(campaign: Campaign) -> None:
    campaign.script("ana.sh", 'for word; do printf "%s\\n" "$word"; done >"$2"')
    campaign.settings(PROGRAM + '[programs.ana.options]\ncalib = ["-c"]\ncalibdatabase = ["-d", "{calibdatabase}"]\n')
    campaign.begin("1")
    assert campaign.run("--production=ana", "--new=a", "--calib", "--calibdatabase=my calib's.db").code == 0
    assert campaign.run("--production=ana", "--new=b").code == 0
    with_flags = (campaign.data / "tree/v1/tree00001.txt").read_text().splitlines()
    assert with_flags[2:] == ["-c", "-d", str(campaign.directory / "my calib's.db")]
    assert (campaign.data / "tree/v2/tree00001.txt").read_text().splitlines()[2:] == []
    command = json.loads(str(campaign.one("SELECT command FROM attempt WHERE production = 1")))
    assert command[3:] == with_flags[2:]


def test_logs_of_earlier_attempts_are_kept_beside(campaign: Campaign) -> None:
    campaign.script("ana.sh", 'echo "try $3"; echo "bad $3" >&2; test $3 = 3 && echo tree >"$2"')
    campaign.settings(PROGRAM.replace('"{tree}"]', '"{tree}", "{attempt}"]'))
    campaign.begin("2091")
    result = campaign.run("--production=ana", "--new=t")
    assert result.code == 0, str(result)
    logs = campaign.data / "log/v1"
    assert {path.name: path.read_text() for path in logs.iterdir()} == {
        "ana.run02091.out": "try 3\n",
        "ana.run02091.err": "bad 3\n",
        "ana.run02091.attempt1.out": "try 1\n",
        "ana.run02091.attempt1.err": "bad 1\n",
        "ana.run02091.attempt2.out": "try 2\n",
        "ana.run02091.attempt2.err": "bad 2\n",
    }
    for attempt, log in campaign.rows("SELECT attempt, olog FROM attempt"):
        with open(str(log), encoding="utf-8") as file:
            assert file.read() == f"try {attempt}\n"
    assert result.said("Failed attempt of run: 2091 (program: exit 1: bad 1; failure 1 of 3, again in ")
