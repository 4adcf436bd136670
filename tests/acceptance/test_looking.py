"""The commands that look: what they say of an empty database, of a fresh production, of one at work and of one that is over."""

from __future__ import annotations

import contextlib
import datetime
import getpass
import hashlib
import json
import os
import pathlib
import re
import signal
import sqlite3
import subprocess
from collections.abc import Iterator
from typing import Any

import pytest

from production.catalogue import base
from production.catalogue import sqlite as catalogue
from tests.acceptance.campaign import ROOT, Campaign, Manager, Result, until
from tests.acceptance.test_terminal import Terminal

SETTINGS = """
[programs.sim]
script = "sim.sh"
arguments = ["{run}", "{input}", "{tree}"]
input = "run{run:05d}.mid"
modules = "modules.txt"
resources = { time = "1h", memory = "1G" }
retry = { limit = 2, pause = 0 }

[programs.sim.outputs.tree]
path = "tree/v{version}/tree{run:05d}.root"
"""

SCRIPT = """
echo "begin $1"
case $1 in
  2) echo "waiting" >&2; echo told >@/told; read go <@/go; echo "go on $1" ;;
  3) echo "bad magic in run 3" >&2; exit 9 ;;
esac
echo tree of $1 >$3
"""

EVERY = (["status"], ["runs"], ["show", "1"], ["log", "1"], ["managers"], ["productions"])


@pytest.fixture
def shift(campaign: Campaign) -> Campaign:
    """Three runs: the first goes well, the second waits for our word, the third fails."""
    return made(campaign)


def made(campaign: Campaign) -> Campaign:
    campaign.script("sim.sh", SCRIPT)
    (campaign.directory / "modules.txt").write_text("threshold 12\tmV\n")
    campaign.settings(SETTINGS)
    campaign.raw(range(1, 4))
    campaign.begin("1-3", "--tranche=1", dataset="Al50")
    campaign.ok("datasets", "add", "3", "--dataset=Si 16")
    campaign.ok("datasets", "add", "9", "--dataset=Al50", "--quality=silver")
    return campaign


@pytest.fixture
def living(shift: Campaign) -> Manager:
    return begun(shift)


def begun(campaign: Campaign) -> Manager:
    """A manager at work: run 2 computes, the others are through."""
    told = campaign.pipe("told")
    campaign.pipe("go")
    manager = campaign.start("--production=sim", "--new=v5")
    told.take(1)
    manager.wait_for("Failed run: 3")
    manager.wait_for("Finished run: 1")
    return manager


def let_go(campaign: Campaign) -> None:
    with open(campaign.directory / "go", "w", encoding="ascii") as pipe:
        pipe.write("\n")


@pytest.fixture
def over(shift: Campaign, living: Manager) -> Campaign:
    """A production that is through, for a test that changes something of it."""
    let_go(shift)
    assert living.wait().code == 3
    return shift


@pytest.fixture(scope="module")
def past(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Campaign]:
    """The same for all who only look; the logs of run 2 are theirs to write."""
    campaign = made(Campaign(tmp_path_factory.mktemp("past") / "campaign"))
    with contextlib.closing(campaign):
        manager = begun(campaign)
        let_go(campaign)
        assert manager.wait().code == 3
        yield campaign


def one_line(result: Result, code: int = 2) -> str:
    assert result.code == code, str(result)
    assert result.err.count("\n") == 1, str(result)
    assert result.err.startswith("production: ")
    assert "Traceback" not in result.err
    return result.err


def answer(result: Result) -> Any:
    assert result.code == 0, str(result)
    return json.loads(result.out)


def look(campaign: Campaign, *arguments: str) -> Any:
    return answer(campaign.product(*arguments, "--json"))


def documented(command: str) -> dict[str, set[str]]:
    """{list: its keys}, as docs/answers.md has them; of the command itself under ""."""
    text = (ROOT / "docs" / "answers.md").read_text(encoding="utf-8")
    [section] = re.findall(rf"^## {command}\n(.*?)(?=^## |\Z)", text, re.DOTALL | re.MULTILINE)
    keys: dict[str, set[str]] = {}
    for name, said in re.findall(r"^- `(\w+)`: (.*?)(?=^- |\Z)", section, re.DOTALL | re.MULTILINE):
        keys[name] = set(re.findall(r"`(\w+)`", said.partition("(")[0]))
    keys[""] = set(re.findall(r"`(\w+)`", section.partition(". ")[0].partition("\n\n")[0].partition("\n- ")[0]))
    return keys


# --- nothing there yet ------------------------------------------------------------------------------------------------


def test_an_empty_database(campaign: Campaign) -> None:
    campaign.settings(SETTINGS)
    campaign.script("sim.sh", "")
    campaign.ok("init", str(campaign.database))
    assert "no productions yet" in campaign.ok("status").out
    assert "no productions yet" in campaign.ok("productions").out
    assert "no manager is at work" in campaign.ok("managers").out
    assert "no manager has been at work yet" in campaign.ok("managers", "--all").out
    for command in ("status", "productions", "managers"):
        assert look(campaign, command) == []
    for arguments in (["runs"], ["show", "1"], ["log", "1"]):
        assert "no productions yet; start one" in one_line(campaign.product(*arguments))


def test_a_fresh_production(shift: Campaign) -> None:
    begun = datetime.datetime.now(datetime.UTC)
    with contextlib.closing(catalogue.Database(str(shift.database))) as opened, opened.write() as change:
        change.open_production(base.Opening("sim", "v5", "gold", None, ("tree",), str(shift.data), "anna"), begun)
    assert shift.ok("status").out == (
        "sim_v1 (v5, gold): open: 3 new\n"
        "  no manager is at work; start: run_production --production=sim --version=1\n"
        "  nobody works on run 1, e.g.: production why --production=sim_v1 1\n"
    )
    assert [(run["run"], run["state"], run["attempt"]) for run in look(shift, "runs")] == [
        (1, "new", 0),
        (2, "new", 0),
        (3, "new", 0),
    ]
    assert shift.ok("show", "1").out.startswith("run 1 of sim_v1: new since ")
    assert "run 1 has no log: it is new, and no job was submitted for it" in one_line(shift.product("log", "1"), 1)
    assert "run 1 has no log" in one_line(shift.product("log", "1", "-f"), 1)
    assert "no attempt 1; it had none" in one_line(shift.product("log", "1", "--attempt=1"))
    [production] = look(shift, "productions")
    assert (production["user"], production["counts"]["new"], production["runs"]) == ("anna", 3, 3)


@pytest.mark.parametrize("version", [1, 2, 3])
def test_a_database_of_an_earlier_version(campaign: Campaign, version: int) -> None:
    """Who only looks can't bring it up to date; status knows it nevertheless."""
    schema = (ROOT / "tests" / "data" / f"schema-version-{version}.sql").read_text(encoding="utf-8")
    with contextlib.closing(sqlite3.connect(campaign.database)) as connection:
        connection.executescript(schema)
        connection.execute("INSERT INTO catalogue (id, created) VALUES ('abc', '2026-11-20T21:00:00.000000Z')")
        connection.execute(
            "INSERT INTO productions (program, version, tag, quality, user, start, data)"
            " VALUES ('sim', 1, 'v5', 'gold', 'anna', '2026-11-20T21:00:00.000000Z', '/data')"
        )
        connection.commit()
    campaign.settings("")
    assert campaign.ok("status").out == "sim_v1 (v5, gold): open: no runs\n"
    for arguments in (["runs"], ["show", "1"], ["log", "1"], ["managers"], ["productions"], ["status", "--at=1h"]):
        assert "is of an earlier version of run_production; bring it up to date with: production upgrade" in one_line(
            campaign.product(*arguments)
        )
    assert "has been brought up to date" in campaign.ok("upgrade").out
    assert "is up to date" in campaign.ok("upgrade").out
    assert campaign.ok("runs").out == "sim_v1 has no runs\n"


# --- at work ----------------------------------------------------------------------------------------------------------


def test_a_production_at_work(shift: Campaign, living: Manager) -> None:
    status = shift.ok("status").out
    assert "open: 1 finished, 1 failed, 1 submitted\n" in status
    assert "manager" not in status
    assert "production why" not in status
    [manager] = look(shift, "managers")
    assert (manager["pid"], manager["runs"], manager["alive"], manager["stop"]) == (living.pid, 1, True, None)
    lines = shift.ok("managers").out.splitlines()
    assert lines[0].split()[:2] == ["manager", "production"]
    assert re.fullmatch(rf"\S+:{living.pid} +sim_v1 +local +10 +1 .* yes", lines[1])
    shown = shift.ok("show", "2").out
    assert "submitted since" in shown
    assert "attempt 1: goes on" in shown
    assert "begin 2" in shift.ok("log", "2").out


def test_nobody_is_asked_for_the_lock_and_nothing_is_written(past: Campaign) -> None:
    with contextlib.closing(sqlite3.connect(past.database, isolation_level=None)) as somebody:
        somebody.execute("BEGIN IMMEDIATE")
        before = standing(past.directory)
        for arguments in EVERY:
            assert past.product(*arguments).err == "", arguments
        assert standing(past.directory) == before
        somebody.execute("ROLLBACK")


def standing(directory: pathlib.Path) -> dict[str, str]:
    """{path: digest}, but for the index of the write-ahead log, in which readers note that they read."""
    return {
        str(path.relative_to(directory)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in directory.rglob("*")
        if path.is_file() and path.suffix != ".db-shm"
    }


def test_a_manager_that_was_killed_is_seen_dead(shift: Campaign, living: Manager) -> None:
    living.kill()
    [manager] = look(shift, "managers")
    assert (manager["alive"], manager["stop"]) == (False, None)
    assert "no, its process is gone" in shift.ok("managers").out
    [status] = look(shift, "status")
    assert status["managers"] == [{"manager": manager["manager"], "alive": False, "runs": 1}]
    told = shift.ok("status").out.splitlines()
    assert told[-2:] == [
        f"  no manager is at work ({manager['manager']} is dead); start: run_production --production=sim --version=1",
        "  nobody works on run 2, e.g.: production why --production=sim_v1 2",
    ]
    assert told[-2] in shift.ok("status", "--tranche=1").out
    assert "production why" not in shift.ok("status", "--tranche=1").out


def test_managers_that_are_silent_or_too_many_to_be_named(shift: Campaign, living: Manager) -> None:
    """Of other machines; one is at work, so that no new run is stuck, but what the silent have is."""
    with contextlib.closing(sqlite3.connect(shift.database)) as connection, connection:
        for pid in range(2, 7):
            connection.execute(
                "INSERT INTO manager (user, host, boot, pid, ticks, production, start, beat_at)"
                " VALUES ('mu', 'elsewhere', 'boot', ?, 1, 1, '2026-11-20T21:00:00.000000Z', '2026-11-20T21:00:00.000000Z')",
                (pid,),
            )
        connection.execute("UPDATE production_run SET owner = 2 WHERE run = 2")
    told = shift.ok("status").out.splitlines()
    assert re.fullmatch(r"  (mu@elsewhere:\d has been silent for [^;]+; ){3}and 2 more", told[-2]), told
    assert told[-1] == "  nobody works on run 2, e.g.: production why --production=sim_v1 2"
    assert [one["alive"] for one in look(shift, "status")[0]["managers"]] == [None] * 5 + [True]
    let_go(shift)
    living.kill()


# --- over -------------------------------------------------------------------------------------------------------------


def test_managers_that_left(past: Campaign) -> None:
    assert "no manager is at work; --all shows who was" in past.ok("managers").out
    assert look(past, "managers") == []
    [manager] = look(past, "managers", "--all")
    assert set(manager) == documented("managers")[""] | {"alive"}
    assert (manager["alive"], manager["datasets"], manager["tranches"]) == (False, [], [])
    assert re.search(r"left \d+ (s|min) ago +\S", past.ok("managers", "--all").out)


def test_productions(past: Campaign) -> None:
    [production] = look(past, "productions")
    assert set(production) == documented("productions")[""]
    assert (production["production"], production["tag"], production["stop"]) == ("sim_v1", "v5", None)
    heading, line = past.ok("productions").out.splitlines()
    assert heading.split()[:2] == ["production", "tag"]
    assert re.fullmatch(r"sim_v1 +v5 +gold .* 2/3 +1 +0 +open", line)


@pytest.mark.feature("CH-17")
def test_status_of_chosen_runs_and_for_programs(past: Campaign) -> None:
    [status] = look(past, "status")
    assert set(status) == documented("status")[""]
    assert {state: number for state, number in status["counts"].items() if number} == {"finished": 2, "failed": 1}
    assert sum(status["counts"].values()) == len(past.status("sim_v1"))
    [stuck] = status["stuck"]
    assert set(stuck) == {"state", "cause", "runs", "first", "examples"}
    assert (stuck["state"], stuck["cause"], stuck["first"]) == ("failed", "program", [3])
    assert past.ok("status", "--dataset=Si 16").out == "sim_v1, dataset Si 16 (v5, gold): open: 1 failed\n"
    assert past.ok("status", "--tranche=1", "--production=sim").out.startswith("sim_v1, tranche 1 (v5, gold): open: 2 ")
    assert "no such dataset; there are: Al50, Si 16" in one_line(past.product("status", "--dataset=Al5"))
    assert "there is no production rootana; there are: sim_v1" in one_line(
        past.product("status", "--production=rootana")
    )


def test_status_of_a_past_instant(past: Campaign, monkeypatch: pytest.MonkeyPatch) -> None:
    instants = past.rows("SELECT min(at), max(at) FROM event WHERE to_state = 'finished'")
    first, last = (datetime.datetime.fromisoformat(str(at)) for at in instants[0])
    begun = past.one("SELECT start FROM productions")
    assert "open at" in past.ok("status", f"--at={last.isoformat()}").out
    assert ": 2 finished, 1 failed" in past.ok("status", f"--at={last.isoformat()}").out
    before = first - datetime.timedelta(microseconds=1)
    [status] = look(past, "status", f"--at={before.isoformat()}")
    assert status["counts"]["finished"] == 0
    assert sum(status["counts"].values()) == 3
    assert status["at"] == before.strftime("%Y-%m-%dT%H:%M:%S.%fZ")
    assert status["stuck"] is None
    monkeypatch.setitem(past.environment, "TZ", "Asia/Tokyo")
    local = first.astimezone(datetime.timezone(datetime.timedelta(hours=9)))
    [status] = look(past, "status", f"--at={local:%Y-%m-%d %H:%M:%S.%f}")
    assert status["counts"]["finished"] == 1
    assert (
        f"not begun at {local - datetime.timedelta(days=1):%Y-%m-%d %H:%M:%S} +0900"
        in past.ok("status", f"--at={local - datetime.timedelta(days=1):%Y-%m-%d %H:%M:%S}").out
    )
    assert "not begun" in past.ok("status", "--at=2d").out
    assert begun


@pytest.mark.parametrize("at", ["tomorrow", "25:00", "1x", "2026-13-01", "", "99999999999999d", "999999999w", "-2h"])
def test_no_time(past: Campaign, at: str) -> None:
    assert f"--at={at}: not a time; say " in one_line(past.product("status", f"--at={at}"))


def test_times_that_status_can_not_tell(past: Campaign) -> None:
    assert "is in the future" in one_line(past.product("status", "--at=2999-01-01 00:00"))
    assert "leave out --dataset" in one_line(past.product("status", "--at=1h", "--dataset=Al50"))


def test_the_table_of_runs(past: Campaign) -> None:
    heading, *lines = past.ok("runs").out.splitlines()
    assert heading.split() == "run datasets state attempt host job since cause message".split()
    assert [line.split()[0] for line in lines] == ["1", "2", "3"]
    assert "bad magic in run 3" in lines[2]
    assert "Al50 Si 16" in lines[2]
    runs = look(past, "runs", "state:failed")
    assert [run["run"] for run in runs] == [3]
    assert set(runs[0]) == documented("runs")[""]
    assert runs[0]["datasets"] == ["Al50", "Si 16"]
    assert past.ok("runs", "--columns=run,state", "1-2").out == "run  state\n  1  finished\n  2  finished\n"
    assert [run["run"] for run in look(past, "runs", "--sort=-run")] == [3, 2, 1]
    assert [run["run"] for run in look(past, "runs", "--sort=-attempt", "--limit=1")] == [3]
    assert [run["run"] for run in look(past, "runs", "1", "--limit=5", "3")] == [1, 3]


def test_more_runs_than_are_shown(past: Campaign) -> None:
    result = past.ok("runs", "--limit=2")
    assert result.err == "production: there are more; --limit=0 shows all\n"
    assert len(result.out.splitlines()) == 3
    assert past.ok("runs", "--limit=3").err == ""
    assert past.ok("runs", "--limit=0").err == ""


def test_no_run_is_meant(past: Campaign) -> None:
    result = past.ok("runs", "state:held")
    assert result.out == "no run of sim_v1 is meant by that; it has 3\n"
    assert "there is no dataset Al5, but Al50, Si 16" in past.ok("runs", "dataset:Al5").out
    assert "there is no host nowhere, but " in past.ok("runs", "host:nowhere").out
    assert "there is no quality bronze, but gold" in past.ok("runs", "quality:bronze").out
    assert look(past, "runs", "state:held") == []


@pytest.mark.parametrize(
    ("words", "meant"),
    [
        (["1,2"], "1 2"),
        (["1-2, 3"], "1 2 3"),
        (["1 3"], "1 3"),
        (["1,", "3"], "1 3"),
        (["all"], "1 2 3"),
        (["> 0 s"], "1 2 3"),
        (["<", "9", "w", "1"], "1"),
        (["<9 w"], "1 2 3"),
        (["<", "9w"], "1 2 3"),
        (["<9", "w"], "1 2 3"),
    ],
)
def test_ways_to_say_which_runs(past: Campaign, words: list[str], meant: str) -> None:
    assert [str(run["run"]) for run in look(past, "runs", *words)] == meant.split()


def test_a_job_is_found_as_it_is_shown(past: Campaign) -> None:
    [shown] = past.ok("runs", "2", "--columns=job").out.splitlines()[1:]
    assert [run["run"] for run in look(past, "runs", f"job:{shown.strip()}")] == [2]
    assert look(past, "runs", f"job:{shown.strip()[:-1]}") == []


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["sate:failed"], "did you mean state:?"),
        (["state:faild"], "did you mean failed?"),
        (["9-3"], "a range goes up"),
        (["--columns=run,stat"], "--columns=stat: did you mean state?"),
        (["--sort=hots"], "--sort=hots: did you mean host?"),
        (["--limit=-1"], "--limit=-1: a whole number from 0"),
        (["--limt=1"], "did you mean --limit?"),
    ],
)
def test_words_that_runs_does_not_know(past: Campaign, arguments: list[str], said: str) -> None:
    assert said in one_line(past.product("runs", *arguments))


def test_the_filter_is_explained(campaign: Campaign) -> None:
    said = campaign.ok("runs", "--help").out
    assert "state:failed,held" in said
    assert "tranche: quality: host: cause: user: job:" in said
    assert "submitting, submitted, ended" in said


def test_a_reader_that_went_away_is_no_trouble(past: Campaign) -> None:
    for arguments in ("runs", "status", "show 3", "log 3", "productions", "managers --all"):
        command = f"{past.python} -m production {arguments} | true"
        assert past.call(["sh", "-c", command]).err == ""


def test_a_narrow_terminal(past: Campaign) -> None:
    for columns, shown in ((60, "exit 9: bad"), (30, "failed")):
        terminal = Terminal(past, columns, [past.python, "-m", "production", "runs"], PYTHONIOENCODING="utf-8")
        terminal.read()
        lines = terminal.text.splitlines()
        assert len(lines) == 4
        assert all(len(line) <= columns for line in lines), lines
        assert shown in lines[3]
        assert terminal.end() == 0


def seen(campaign: Campaign, *arguments: str, columns: int = 80) -> list[str]:
    """Lines on a terminal, none of which it has to break."""
    terminal = Terminal(campaign, columns, [campaign.python, "-m", "production", *arguments], PYTHONIOENCODING="utf-8")
    assert terminal.end() == 0, terminal.text
    lines = terminal.text.splitlines()
    assert all(len(line) <= columns for line in lines), lines
    return lines


def test_what_matters_stands_in_80_columns(campaign: Campaign) -> None:
    campaign.script("sim.sh", "exit 0")
    campaign.settings(SETTINGS)
    campaign.raw(range(1, 4))
    (campaign.directory / "modules.txt").touch()
    campaign.begin("1-3", dataset="Al50awithNDet2")
    for _ in range(2):
        campaign.run("--production=sim", "--new=calibrated-again", "--nproc=1")
    campaign.ok("close", "--production=sim_v1", "--why=the calibration was wrong", "--yes")
    user = getpass.getuser()

    table = seen(campaign, "runs", "--production=sim_v1")
    assert table[0].split() == "run state attempt since cause message".split()
    assert table[1].endswith(" output tree: …/tree00001.root is missing")
    assert re.search(r" output tree: work/\S+/tree00001\.root is missing$", campaign.ok("runs").out.splitlines()[1])

    table = seen(campaign, "productions")
    assert re.fullmatch(r"production +tag +start +finished +failed +(held +)?state", table[0])
    assert re.match(r"sim_v1 +calibra\S+ +\d{4}-\d\d-\d\d \d\d:\d\d +0/3 +3 ", table[1])
    assert table[1].endswith(f" closed by {user}")

    table = seen(campaign, "managers", "--all", columns=len(f"{user}@{os.uname().nodename}:4000000  left 100 min ago"))
    assert all(re.fullmatch(rf"{user}@\S+:\d+ +left \d+ \w+ ago", line) for line in table[1:])


@pytest.mark.parametrize("arguments", ["status", "why 3", "show 3", "audit", "retry 3", "failures", "estimate"])
def test_long_lines_are_folded_at_words_on_a_terminal(past: Campaign, arguments: str) -> None:
    command = [past.python, "-m", "production", *arguments.split()]
    terminal = Terminal(past, 60, command, PYTHONIOENCODING="utf-8")
    terminal.end()
    lines = terminal.text.splitlines()
    long = [line for line in lines if len(line) > 60 and " " in line.strip()]
    assert not long, "what is longer is one word"
    elsewhere = past.product(*arguments.split()).out
    ageless = [re.sub(r"[0-9]+( (s|min)\b)?", "0", " ".join(text.split())) for text in (terminal.text, elsewhere)]
    assert ageless[0] == ageless[1]


# --- one run ----------------------------------------------------------------------------------------------------------


@pytest.mark.feature("ED-07")
def test_all_that_is_known_of_a_run(past: Campaign) -> None:
    text = past.ok("show", "3").out
    assert text.startswith("run 3 of sim_v1: failed since ")
    assert "datasets: Al50 tranche 1 (gold), Si 16 (gold)" in text
    assert text.count("submitted → ") == 2
    assert "attempt 1: program: exit 9: bad magic in run 3" in text
    assert "asked for: 60 min, 1.0 GiB" in text
    assert str(past.data / "log" / "v1" / "sim.run00003.attempt1.err") in text
    assert f"command: {past.directory}/sim.sh 3 " in text
    assert "settings now for sim:" in text
    assert "its last attempt had" not in text
    finished = past.ok("show", "1").out
    assert re.search(r"tree: \S+tree00001.root: 10 bytes, of attempt 1, there, adler32:", finished)


def test_an_output_of_the_old_database_has_no_size(over: Campaign) -> None:
    with contextlib.closing(sqlite3.connect(over.database)) as connection, connection:
        connection.execute("UPDATE output SET bytes = -1, checksum = '' WHERE run = 1")
    assert re.search(r"tree00001.root: size not known, of attempt 1, there$", over.ok("show", "1").out, re.MULTILINE)
    (over.data / "tree/v1/tree00001.root").unlink()
    assert "size not known, of attempt 1, NOT THERE NOW\n" in over.ok("show", "1").out


def test_a_run_for_programs(past: Campaign) -> None:
    shown = look(past, "show", "3")
    keys = documented("show")
    assert set(shown) == {"production", *documented("runs")[""]} | {name for name in keys if name}
    for name in ("memberships", "history", "attempts"):
        assert {frozenset(one) for one in shown[name]} == {frozenset(keys[name])}, name
    assert set(look(past, "show", "1")["outputs"][0]) == keys["outputs"]
    assert set(shown["settings"]) == keys["settings"]
    last = shown["attempts"][-1]
    assert (last["exit"], last["cause"], last["counted"], last["resources"]["memory"]) == (9, "program", True, 1 << 30)
    assert last["command"][:2] == [str(past.directory / "sim.sh"), "3"]
    assert [event["after"] for event in shown["history"]][-1] == "failed"


def test_inputs_are_shown_while_they_are_needed(shift: Campaign, living: Manager) -> None:
    [needed] = look(shift, "show", "2")["inputs"]
    assert set(needed) == documented("show")["inputs"]
    assert (needed["ours"], needed["there"], needed["bytes"]) == (True, True, len("raw data of run 2\n"))
    assert "run00002.mid: 18 bytes, came " in shift.ok("show", "2").out


def test_an_output_that_is_gone(over: Campaign) -> None:
    tree = over.data / "tree" / "v1" / "tree00001.root"
    tree.write_text("shorter")
    assert "THERE WITH 7 BYTES INSTEAD" in over.ok("show", "1").out
    tree.unlink()
    assert "NOT THERE NOW" in over.ok("show", "1").out
    [output] = look(over, "show", "1")["outputs"]
    assert (output["there"], output["bytes_there"]) == (False, None)


def test_settings_that_have_changed_since(over: Campaign) -> None:
    text = SETTINGS.replace('time = "1h"', 'time = "2h"')
    over.settings(text)
    assert "its last attempt had: time 60 min" in over.ok("show", "1").out
    assert look(over, "show", "1")["settings"]["last_attempt_had"] == {"time": 3600}
    (over.directory / "production.toml").write_text('database = "production.db"\n')
    assert "settings: here nothing is said of sim" in over.ok("show", "1").out


def test_the_modules_text(past: Campaign) -> None:
    assert past.ok("show", "1", "--modules").out.endswith("modules:\nthreshold 12    mV\n")
    assert look(past, "show", "1", "--modules")["modules_text"] == "threshold 12\tmV\n"


def test_runs_that_are_not_there(over: Campaign) -> None:
    assert "x: RUN is the number of a run" in one_line(over.product("show", "x"))
    assert "run 77 is in no dataset; add it: production datasets add 77" in one_line(over.product("show", "77"))
    line = one_line(over.product("log", "9"))
    assert "run 9 is in no production; it is in dataset Al50 (silver), and sim_v1 takes gold runs" in line
    said = over.start("--production=sim", "--new=v6", "--quality=silver").wait()
    assert said.code in (0, 3), said
    assert "run 1 is not in sim_v2, but in sim_v1 (finished)" in one_line(over.product("show", "1"))
    assert over.ok("show", "1", "--version=1").out.startswith("run 1 of sim_v1")
    assert over.ok("show", "1", "--production=sim_v1").out.startswith("run 1 of sim_v1")


# --- logs -------------------------------------------------------------------------------------------------------------


def log(campaign: Campaign, run: int, stream: str) -> pathlib.Path:
    return campaign.data / "log" / "v1" / f"sim.run{run:05d}.{stream}"


def test_logs_of_a_run(past: Campaign) -> None:
    both = f"==> {log(past, 3, 'out')} <==\nbegin 3\n\n==> {log(past, 3, 'err')} <==\nbad magic in run 3\n"
    assert past.ok("log", "3").out == both
    assert past.ok("log", "3", "--err").out == "bad magic in run 3\n"
    assert past.ok("log", "3", "--out").out == "begin 3\n"
    assert past.ok("log", "1").out == "begin 1\n", "one stream that is empty needs no heading"
    assert "sim.run00003.attempt1.out <==" in past.ok("log", "3", "--attempt=1").out
    assert "run 3 has no attempt 7; it had 2" in one_line(past.product("log", "3", "--attempt=7"))
    nothing = past.ok("log", "1", "--err")
    assert nothing.out == ""
    assert "nothing in" in nothing.err


def test_a_log_that_is_gone(over: Campaign) -> None:
    log(over, 3, "err").unlink()
    assert over.ok("log", "3").out == "begin 3\n"
    assert f"{log(over, 3, 'err')}: No such file" in one_line(over.product("log", "3", "--err"), 1)
    log(over, 3, "err").mkdir()
    assert "not a regular file but a directory" in one_line(over.product("log", "3"), 1)


def test_a_terminal_is_shown_the_end_and_nothing_that_steers_it(past: Campaign) -> None:
    path = log(past, 2, "out")
    path.write_bytes(
        b"".join(b"line %d\n" % number for number in range(1, 301)) + b"\x1b]0;title\x07 \xff\xc3\xbc\tend\n"
    )
    command = [past.python, "-m", "production", "log", "2", "--out"]
    terminal = Terminal(past, 80, command, PYTHONIOENCODING="utf-8")
    terminal.read()
    assert terminal.end() == 0
    assert "the last 100 lines of" in terminal.text
    assert "line 201\r\n" not in terminal.text
    assert "line 202\r\n" in terminal.text
    assert "\x1b" not in terminal.text
    assert "\\x1b]0;title\\x07 \\xffü\tend" in terminal.text
    raw = past.begun([*command, "-n", "1"], None).wait()
    assert raw.out == "\x1b]0;title\x07 \ufffdü\tend\n", "what is no terminal gets the bytes as they are"


@pytest.mark.parametrize(("lines", "begin"), [("3", 29_998), ("1", 30_000), ("25000", 5_001), ("0", 1), ("40000", 1)])
def test_the_last_lines(past: Campaign, lines: str, begin: int) -> None:
    log(past, 2, "out").write_text("".join(f"line {number}\n" for number in range(1, 30_001)))
    command = [past.python, "-m", "production", "log", "2", "--out", "-n", lines]
    done = subprocess.run(command, cwd=past.directory, env=past.environment, capture_output=True, text=True, check=True)
    shown = done.stdout.splitlines()
    assert (shown[0], shown[-1], len(shown)) == (f"line {begin}", "line 30000", 30_001 - begin)


def test_a_line_without_an_end_is_a_line(past: Campaign) -> None:
    log(past, 2, "out").write_text("one\ntwo\nthree")
    assert past.ok("log", "2", "--out", "-n", "2").out == "two\nthree"


def test_the_end_of_a_huge_log_needs_no_memory(past: Campaign) -> None:
    path = log(past, 2, "out")
    os.truncate(path, 1 << 30)
    with open(path, "a", encoding="ascii") as file:
        file.write("\nlast\n")
    command = f"ulimit -v 300000; exec {past.python} -m production log 2 --out -n 1"
    result = past.call(["sh", "-c", command])
    assert (result.code, result.out) == (0, "last\n"), result.err


def follow(campaign: Campaign, *arguments: str) -> Manager:
    return campaign.begun([campaign.python, "-m", "production", "log", "-f", *arguments])


def test_a_log_is_followed_to_the_end_of_its_attempt(shift: Campaign, living: Manager) -> None:
    follower = follow(shift, "2")
    follower.wait_for("begin 2", stream="out")
    follower.wait_for("waiting", stream="out")
    let_go(shift)
    result = follower.wait()
    assert result.code == 0
    assert result.out.endswith(f"==> {log(shift, 2, 'out')} <==\ngo on 2\n")
    assert result.err == "production: run 2, attempt 1 is over: exit 0; the run is finished\n"
    living.wait()


def test_a_followed_log_may_be_cut_off_or_replaced(shift: Campaign, living: Manager) -> None:
    path = log(shift, 2, "out")
    follower = follow(shift, "2", "--out")
    follower.wait_for("begin 2", stream="out")
    path.write_text("cut\n")
    follower.wait_for("cut", stream="out")
    follower.wait_for("begins anew")
    path.unlink()
    path.write_text("quite another file\n")
    follower.wait_for("quite another file", stream="out")
    result = follower.stop()
    assert result.code == 130
    assert result.out == "begin 2\ncut\nquite another file\n"


def test_following_ends_at_a_signal(shift: Campaign, living: Manager) -> None:
    for number in (signal.SIGINT, signal.SIGTERM):
        follower = follow(shift, "2")
        follower.wait_for("waiting", stream="out")
        result = follower.stop(number)
        assert (result.code, result.err) == (130, "")


def test_following_what_is_over(past: Campaign) -> None:
    result = past.ok("log", "3", "-f")
    assert "bad magic" in result.out
    assert "run 3, attempt 2 is over: program: exit 9: bad magic in run 3; the run is failed" in result.err
    assert "attempt 1 is over" in past.ok("log", "3", "-f", "--attempt=1").err


def test_following_begins_before_there_is_a_log(shift: Campaign) -> None:
    """A run that is claimed, and waits until another has computed."""
    told = shift.pipe("told")
    shift.pipe("go")
    manager = shift.start("--production=sim", "--new=v5", "--nproc=1")
    told.take(1)
    staged = "SELECT 1 FROM production_run WHERE run = 3 AND state = 'staged'"
    until(lambda: shift.rows(staged) != [], "its input comes meanwhile")
    follower = follow(shift, "3")
    follower.wait_for("run 3, attempt 1 is staged, and has no log yet; waiting")
    let_go(shift)
    result = follower.wait()
    assert "bad magic in run 3" in result.out
    assert "run 3, attempt 1 is over: program: exit 9" in result.err
    assert manager.wait().code == 3
