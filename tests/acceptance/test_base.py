"""A production on top of another one, and two productions side by side."""

from __future__ import annotations

import json
import re

import pytest

from tests.acceptance.campaign import Campaign, Names

FIRST = """
[programs.first]
script = "first.sh"
arguments = ["{run}", "{input}", "{tree}"]
input = "run{run:05d}.mid"
retry.limit = 1

[programs.first.outputs.tree]
path = "tree/v{version}/tree{run:05d}.txt"
"""

SECOND = """
[programs.second]
script = "second.sh"
arguments = ["{input}", "{out}"]
base = "first.tree"

[programs.second.outputs.out]
path = "out/v{version}/out{run:05d}.txt"
"""

MAKE_TREE = """
echo "$1" >@/started
read go <@/gate
test "$1" != 3 || test ! -e @/bad || { echo "no beam in run $1" >&2; exit 4; }
echo "tree of $(cat "$2")" >"$3"
"""

MAKE_OUT = 'echo "histograms of $(cat "$1")" >"$2"'


@pytest.mark.feature("AC-04", "AC-18")
def test_a_second_pass_waits_for_the_first(campaign: Campaign) -> None:
    started, gate = campaign.pipe("started"), campaign.pipe("gate")
    campaign.script("first.sh", MAKE_TREE)
    campaign.script("second.sh", MAKE_OUT)
    campaign.settings(FIRST + SECOND)
    campaign.raw(range(1, 6))
    campaign.begin("1-5")
    first = campaign.start("--production=first", "--new=v1", "--nproc=2")
    started.take(2)
    refused = campaign.run("--production=second", "--new=v1")
    assert refused.code == 2
    assert "based on first" in refused.err
    assert "--version=N" in refused.err
    second = campaign.start("--production=second", "--new=v1", "--version=1")
    second_runs = "SELECT count(*) FROM production_run WHERE production = 2 AND state = 'finished'"
    gate.give(1)
    second.wait_for("Finished run")
    assert campaign.letters("second_v1").count("W") == 4, "while the first pass goes on, so does the second"
    gate.give(4)
    for result in (first.wait(), second.wait()):
        assert result.code == 0, str(result)
    assert campaign.one(second_runs) == 5
    assert (campaign.data / "out/v1/out00004.txt").read_text() == "histograms of tree of raw data of run 4\n"
    commands = [json.loads(str(text)) for (text,) in campaign.rows("SELECT command FROM attempt WHERE production = 2")]
    trees = [str(tree) for (tree,) in campaign.rows("SELECT tree FROM first_v1")]
    assert sorted(command[1] for command in commands) == sorted(trees)
    assert campaign.rows("SELECT base, stop IS NOT NULL FROM productions WHERE program = 'second'") == [(1, 1)]
    assert sorted(path.name for path in (campaign.data / "tree/v1").iterdir()) == [
        f"tree0000{run}.txt" for run in range(1, 6)
    ], "a base's output is nobody's to remove"


@pytest.mark.feature("AC-18")
def test_a_failed_base_run_is_shown_and_not_waited_for(campaign: Campaign) -> None:
    started, gate = campaign.pipe("started"), campaign.pipe("gate")
    campaign.script("first.sh", MAKE_TREE)
    campaign.script("second.sh", MAKE_OUT)
    campaign.settings(FIRST + SECOND)
    campaign.raw(range(1, 6))
    campaign.begin("1-5")
    (campaign.directory / "bad").touch()
    gate.give(5)
    first = campaign.run("--production=first", "--new=v1")
    assert first.code == 3, str(first)
    started.take(5)
    assert campaign.letters("first_v1") == "FFEFF"
    second = campaign.run("--production=second", "--new=v1", "--version=1")
    assert campaign.letters("second_v1") == "FFWFF", str(second)
    shown = [line for line in second.messages if "base run" in line and "failed" in line]
    assert shown, f"that one waits in vain is not said:\n{second}"
    assert re.search(r"\b3\b", shown[0]), f"nor which:\n{second}"
    assert second.code == 3, "not everything that was wanted is done"


@pytest.mark.feature("AC-26")
def test_two_productions_of_one_program_side_by_side_private_homes(campaign: Campaign) -> None:
    """The script writes where it always did, in $HOME/data: each attempt has a HOME of its own."""
    campaign.script(
        "old.sh", 'echo "$1" >@/started\nread go <@/gate\nmkdir -p ~/data/tree\ncp ~/data/raw/run$1.mid ~/data/tree/t$1'
    )
    campaign.settings(
        """
        [programs.old]
        script = "old.sh"
        arguments = ["{run}"]
        input = "run{run}.mid"
        home = "private"
        link = ["data/odb"]
        [programs.old.outputs.tree]
        path = "tree/v{version}/t{run}"
        written = "data/tree/t{run}"
        """
    )
    campaign.raw(range(1, 5), "run{}.mid")
    campaign.begin("1-4")
    started, gate = campaign.pipe("started"), campaign.pipe("gate")
    managers = [campaign.start("--production=old", f"--new=v{number}") for number in (1, 2)]
    assert sorted(started.take(8)) == sorted("12341234"), "both at once"
    gate.give(8)
    for manager in managers:
        result = manager.wait()
        assert result.code == 0, str(result)
        missing = f"{campaign.home}/data/odb is not there, and the jobs of old miss it (programs.old.link)"
        assert result.messages.count(missing) == 1, "once for all runs"
    assert campaign.letters("old_v1") == campaign.letters("old_v2") == "FFFF"
    for version in (1, 2):
        assert (campaign.data / f"tree/v{version}/t3").read_text() == "raw data of run 3\n"
    assert list(campaign.home.iterdir()) == [], "nothing was written into the user's own HOME"
    campaign.nothing_in_hands()


@pytest.mark.feature("AC-26")
def test_two_productions_of_one_program_side_by_side_fixed_paths(campaign: Campaign) -> None:
    """Both write $HOME/data/tree/tN: one attempt at a time, and no version gets the other's file."""
    campaign.script("old.sh", 'mkdir -p ~/data/tree\necho "run $1 version $2 attempt $3" >~/data/tree/t$1')
    campaign.settings(
        """
        [programs.old]
        script = "old.sh"
        arguments = ["{run}", "{version}", "{attempt}"]
        home = "shared"
        retry.pause = 0.1
        [programs.old.outputs.tree]
        path = "tree/v{version}/t{run}"
        written = "data/tree/t{run}"
        """,
        pause=0.05,
    )
    campaign.begin("1-60")
    managers = [campaign.start("--production=old", f"--new=v{number}") for number in (1, 2)]
    results = [manager.wait() for manager in managers]
    for version in (1, 2):
        assert campaign.letters(f"old_v{version}") == "F" * 60, "\n".join(map(str, results))
        wrong = {
            run: text
            for run in range(1, 61)
            if not (text := (campaign.data / f"tree/v{version}/t{run}").read_text()).startswith(
                f"run {run} version {version} "
            )
        }
        assert wrong == {}, f"version {version} has files of the other version"
    attempts = campaign.rows("SELECT production, run, attempt, cause, message FROM attempt WHERE cause IS NOT NULL")
    assert attempts == [], "nobody takes an output away before it has been put in place"


@pytest.mark.feature("AC-26")
def test_at_a_fixed_path_only_what_an_attempt_left_is_put_aside(campaign: Campaign) -> None:
    campaign.script("old.sh", 'mkdir -p ~/data\necho "version $2" >~/data/t$1\ntest $1$3 != 11')
    campaign.settings(
        """
        [programs.old]
        script = "old.sh"
        arguments = ["{run}", "{version}", "{attempt}"]
        retry.pause = 0.1
        [programs.old.outputs.tree]
        path = "tree/v{version}/t{run}"
        written = "data/t{run}"
        """
    )
    campaign.begin("1-2")
    first = campaign.run("--production=old", "--new=v1")
    assert campaign.letters("old_v1") == "FF", str(first)
    assert first.said(f"Put aside {campaign.home}/data/t1, left by an earlier attempt, as t1.left-1-1-1")
    mine = campaign.home / "data/t2"
    mine.write_text("made by hand\n")
    second = campaign.run("--production=old", "--new=v2")
    assert campaign.letters("old_v2") == "FH", str(second)
    assert second.said(f"Held run: 2 ({mine} is in the way, and no attempt of ours left it so; move it away)")
    assert mine.read_text() == "made by hand\n"


def test_a_raw_file_wanted_by_two_productions_is_staged_once(campaign: Campaign) -> None:
    started, gate = campaign.pipe("started"), campaign.pipe("gate")
    campaign.script("first.sh", MAKE_TREE)
    campaign.settings(FIRST)
    campaign.raw(range(1, 6))
    campaign.begin("1-5")
    (campaign.data / "raw").mkdir(parents=True)
    names = Names(campaign.data / "raw")
    managers = [campaign.start("--production=first", f"--new=v{number}") for number in (1, 2)]
    started.take(10)
    assert sorted(name for came, name in names.events() if came and name.endswith(".part")) == [
        f"run0000{run}.mid.part" for run in range(1, 6)
    ]
    assert campaign.one("SELECT count(*) FROM input WHERE ours") == 10
    gate.give(10)
    for manager in managers:
        result = manager.wait()
        assert result.code == 0, str(result)
    assert list((campaign.data / "raw").iterdir()) == []
    came = [name for came, name in names.events() if came]
    assert came == [], "none was staged a second time"
    names.close()
    assert campaign.letters("first_v1") == campaign.letters("first_v2") == "FFFFF"
    assert (campaign.data / "tree/v2/tree00005.txt").read_text() == "tree of raw data of run 5\n"
