"""``why``, ``failures`` and ``audit`` on one campaign with all that can be the matter: each is explained as it is."""

from __future__ import annotations

import contextlib
import dataclasses
import datetime
import json
import re
import time
from collections.abc import Iterator

import pytest

from production.catalogue import base
from production.catalogue import sqlite as catalogue
from tests.acceptance import situations
from tests.acceptance.campaign import Campaign


@dataclasses.dataclass(frozen=True)
class Situation:
    """What is the matter with a run, and what is said of it."""

    planted: str
    """What was done to it."""
    why: str
    failures: tuple[str, ...] = ()
    """Its group: heading, runs, suggestion with the lines for production.toml."""
    audit: str = ""
    """Kind of the finding, and the path below data."""
    options: tuple[str, ...] = ()


SITUATIONS: dict[tuple[str, int], Situation] = {
    ("sim_v1", 1): Situation(
        "finished, and whole",
        """
run 1 of sim_v1 is finished for T, attempt 1
  output  tree: DIR/data/tree/v1/tree00001.dat
  next    nothing; it is done. To do it again: production reset --production=sim_v1 1
""",
    ),
    ("sim_v1", 2): Situation(
        "finished, its output was deleted",
        """
run 2 of sim_v1 is finished for T, attempt 1
  output  tree: DIR/data/tree/v1/tree00002.dat is not there
  next    nothing; put back what is not as it was recorded, or have it done again: production reset --production=sim_v1 2
""",
        audit="missing tree/v1/tree00002.dat",
    ),
    ("sim_v1", 3): Situation(
        "finished, its output was cut",
        """
run 3 of sim_v1 is finished for T, attempt 1
  output  tree: DIR/data/tree/v1/tree00003.dat has 4 bytes, and was recorded with 10
  next    nothing; put back what is not as it was recorded, or have it done again: production reset --production=sim_v1 3
""",
        audit="size tree/v1/tree00003.dat",
    ),
    ("sim_v1", 4): Situation(
        "its program failed, in all attempts",
        """
run 4 of sim_v1 is failed for T, attempt 2: program: exit 9: run00004.mid: bad magic
  attempts  2 failures of 2: not tried again
  log       of attempt 2: DIR/data/log/v1/sim.run00004.err
  next      nothing until that is mended (advice: production failures --suggest --production=sim_v1 4) and it is tried again: production retry --production=sim_v1 4
""",
        failures=(
            "2 runs, cause program (exit 9): run<N>.mid: bad magic",
            "runs 4-5",
            "suggestion: no setting: the program says no; look at its log",
        ),
    ),
    ("sim_v1", 5): Situation(
        "as 4",
        """
run 5 of sim_v1 is failed for T, attempt 2: program: exit 9: run00005.mid: bad magic
  attempts  2 failures of 2: not tried again
  log       of attempt 2: DIR/data/log/v1/sim.run00005.err
  next      nothing until that is mended (advice: production failures --suggest --production=sim_v1 5) and it is tried again: production retry --production=sim_v1 5
""",
        failures=(
            "2 runs, cause program (exit 9): run<N>.mid: bad magic",
            "runs 4-5",
            "suggestion: no setting: the program says no; look at its log",
        ),
    ),
    ("sim_v1", 6): Situation(
        "wanted more memory than it may",
        """
run 6 of sim_v1 is failed for T, attempt 1: memory: OUT_OF_MEMORY; it had all that retry.memory allows; raise that, and retry it
  attempts  1 failure: not tried again
  log       of attempt 1: DIR/data/log/v1/sim.run00006.err
  next      nothing until that is mended (advice: production failures --suggest --production=sim_v1 6) and it is tried again: production retry --production=sim_v1 6
""",
        failures=(
            "1 run, cause memory (signal 9): OUT_OF_MEMORY",
            "runs 6",
            "suggestion: more memory: they asked for 1G, and used up to SIZE; retry.memory allows no more than 1G",
            "[programs.sim.resources]",
            'memory = "1536M"',
            "[programs.sim.retry]",
            'memory = "1536M"',
        ),
    ),
    ("sim_v1", 7): Situation(
        "took longer than it may",
        """
run 7 of sim_v1 is failed for T, attempt 1: time: TIMEOUT; it had all that retry.time allows; raise that, and retry it
  attempts  1 failure: not tried again
  log       of attempt 1: DIR/data/log/v1/sim.run00007.err
  next      nothing until that is mended (advice: production failures --suggest --production=sim_v1 7) and it is tried again: production retry --production=sim_v1 7
""",
        failures=(
            "1 run, cause time (signal 9): TIMEOUT",
            "runs 7",
            "suggestion: more time: they asked for 1:00:00; retry.time allows no more than 1:00:00",
            "[programs.sim.resources]",
            'time = "1:30:00"',
            "[programs.sim.retry]",
            'time = "1:30:00"',
        ),
    ),
    ("sim_v1", 8): Situation(
        "failed once, and is to wait before it is tried again; nobody there takes it",
        """
run 8 of sim_v1 is new for T, attempt 1: program: exit 1: pedestals are missing
  back-off  failure 1 of 2; not tried again before DATE, in T
  claim     no manager takes it: MANAGER-Full takes only dataset Full; MANAGER-Tape takes only dataset Tape; MANAGER-Slurm takes only dataset Slurm; and 1 more
  quota     SIZE used of SIZE that spacelim allows
  next      nothing until somebody starts a manager that takes it: run_production --production=sim --version=1
""",
        failures=(
            "1 run, cause program (exit 1): pedestals are missing",
            "runs 8",
            "suggestion: no setting: the program says no; look at its log",
        ),
    ),
    ("sim_v1", 9): Situation(
        "a person holds it",
        """
run 9 of sim_v1 is held for T: held by ME: magnet was off
  hold  ME holds it
  next  nothing until somebody releases it: production release --production=sim_v1 9
""",
        failures=(
            "1 run, held by a person: held by ME: magnet was off",
            "runs 9",
            "suggestion: no setting: somebody holds the runs; production release lets them go",
        ),
    ),
    ("sim_v1", 10): Situation(
        "a file stands where its output goes",
        """
run 10 of sim_v1 is held for T, attempt 1: DIR/data/tree/v1/tree00010.dat is there already; move it away
  hold  its manager holds it: it wants a person
  next  nothing until that is mended (advice: production failures --suggest --production=sim_v1 10) and it is tried again: production retry --production=sim_v1 10
""",
        failures=(
            "1 run, cause output: …/tree<N>.dat is there already; move it away",
            "runs 10",
            "suggestion: a file that is nobody's stands in the way: move it away, then retry; nothing is ever replaced",
        ),
    ),
    ("sim_v1", 11): Situation(
        "its raw file is not in the archive",
        """
run 11 of sim_v1 is held for T, attempt 1: FTP: run00011.mid: the archive says: 550 no such file
  hold  its manager holds it: it wants a person
  next  nothing until that is mended (advice: production failures --suggest --production=sim_v1 11) and it is tried again: production retry --production=sim_v1 11
""",
        failures=(
            "1 run, cause staging: ftp:…/<N>:<N>: run<N>.mid: the archive says: <N> no such file",
            "runs 11",
            "suggestion: look whether the files have another name there (production archive list; programs.sim.input), or are not there yet",
        ),
    ),
    ("sim_v1", 12): Situation(
        "computes",
        """
run 12 of sim_v1 is submitted for T, attempt 1
  claim         MANAGER-Gate, which is at work
  batch system  job JOB of local for T: runs here
  next          its outputs are looked at when its job has ended
""",
    ),
    ("sim_v1", 13): Situation(
        "was ordered, and no byte has come",
        """
run 13 of sim_v1 is claimed for T, attempt 1
  claim    MANAGER-Tape, which is at work
  archive  run00013.mid: no byte for T (a tape?)
  quota    SIZE used of SIZE that spacelim allows
  next     staged when its input is here
""",
    ),
    ("sim_v1", 14): Situation(
        "is staged; its manager has as many jobs as it may",
        """
run 14 of sim_v1 is staged for T, attempt 1: input SIZE in T
  claim   MANAGER-Gate, which is at work
  limits  MANAGER-Gate has 1 of 1 job (nproc)
  quota   SIZE used of SIZE that spacelim allows
  next    submitted when its manager's one job has ended
""",
    ),
    ("sim_v1", 15): Situation(
        "has a job that the cluster doesn't start",
        """
run 15 of sim_v1 is submitted for T, attempt 1
  claim         MANAGER-Slurm, which is at work
  batch system  job JOB of slurm for T: pending (QOSGrpCpuLimit)
  next          its job starts when the batch system has a place for it
""",
    ),
    ("sim_v1", 17): Situation(
        "new; only managers of other datasets are at work",
        """
run 17 of sim_v1 is new for T
  claim  no manager takes it: MANAGER-Full takes only dataset Full; MANAGER-Tape takes only dataset Tape; MANAGER-Slurm takes only dataset Slurm; and 1 more
  quota  SIZE used of SIZE that spacelim allows
  next   nothing until somebody starts a manager that takes it: run_production --production=sim --version=1
""",
    ),
    ("sim_v1", 18): Situation(
        "new; the disk is full",
        """
run 18 of sim_v1 is new for T
  limits  MANAGER-Full has 0 of 15 runs (nproc + nprep)
  quota   SIZE used of SIZE that spacelim allows: full, nothing new is staged or submitted; remove something there, or raise the limit or spacelim
  next    claimed when there is room on the disk again
""",
        options=("--config=full.toml",),
    ),
    ("sim_v1", 22): Situation(
        "was ordered behind another, one comes at a time",
        """
run 22 of sim_v1 is claimed for T, attempt 1
  claim    MANAGER-Tape, which is at work
  archive  run00022.mid: ordered T ago; others come first, 1 at a time (archive.transfers)
  quota    SIZE used of SIZE that spacelim allows
  next     staged when its input is here
""",
    ),
    ("fit_v1", 2): Situation(
        "its base run has lost the output",
        """
run 2 of fit_v1 is held for T, attempt 1: base run 2 of sim.tree has no output tree at DIR/data/tree/v1/tree00002.dat
  hold      its manager holds it: it wants a person
  base run  run 2 of sim_v1 is finished for T
  next      nothing until that is mended (see production why --production=sim_v1 2) and it is tried again: production retry --production=fit_v1 2
""",
        failures=(
            "1 run, cause staging: base run <N> of sim.tree has no output tree at …/tree<N>.dat",
            "runs 2",
            "suggestion: its base has lost the output: let the base run be done once more (production reset), then retry",
        ),
    ),
    ("fit_v1", 4): Situation(
        "its base run failed",
        """
run 4 of fit_v1 is waiting for T
  base run  run 4 of sim_v1 is failed for T: program: exit 9: run00004.mid: bad magic
  next      nothing until somebody sees to its base run: production why --production=sim_v1 4
""",
    ),
    ("fit_v1", 8): Situation(
        "its base run is tried again later",
        """
run 8 of fit_v1 is waiting for T
  base run  run 8 of sim_v1 is new for T
  next      it is new when its base run is finished; about that: production why --production=sim_v1 8
""",
    ),
    ("fit_v1", 10): Situation(
        "its base run is held",
        """
run 10 of fit_v1 is waiting for T
  base run  run 10 of sim_v1 is held for T: DIR/data/tree/v1/tree00010.dat is there already; move it away
  next      nothing until somebody sees to its base run: production why --production=sim_v1 10
""",
    ),
    ("cal_v1", 16): Situation(
        "its manager was killed -9",
        """
run 16 of cal_v1 is submitted for T, attempt 1
  claim         MANAGER-Lost, which is dead
  batch system  job JOB of local for T: runs here
  next          nothing until somebody starts a manager on HOST, which takes over: run_production --production=cal --version=1 --batch=local
""",
        audit="held",
    ),
    ("cal_v1", 19): Situation(
        "its manager sleeps, and doesn't answer what is asked",
        """
run 19 of cal_v1 is submitted for T, attempt 1
  request       hold, asked by ME T ago (look at the beam), is not answered yet
  claim         MANAGER-Sleep, which is stopped (Ctrl-Z?)
  batch system  job JOB of local for T: runs here
  next          nothing until MANAGER-Sleep goes on: kill -CONT PID-Sleep (on HOST)
""",
    ),
    ("cal_v1", 20): Situation(
        "new; of its managers one is dead and one sleeps",
        """
run 20 of cal_v1 is new for T
  claim  no manager is at work; MANAGER-Lost is dead; MANAGER-Sleep is stopped (Ctrl-Z?)
  quota  SIZE used of SIZE that spacelim allows
  next   nothing until somebody starts a manager: run_production --production=cal --version=1
""",
    ),
    ("cal_v2", 20): Situation(
        "computes, while its production was closed",
        """
run 20 of cal_v2 is submitted for T, attempt 1
  production    cal_v2 was closed by ME (wrong pedestals) T ago: nothing more of it is claimed
  claim         MANAGER-Closed, which is at work
  batch system  job JOB of local for T: runs here
  next          its outputs are looked at when its job has ended
""",
    ),
    ("cal_v2", 21): Situation(
        "new, its production was closed by hand",
        """
run 21 of cal_v2 is new for T
  production  cal_v2 was closed by ME (wrong pedestals) T ago: nothing more of it is claimed
  next        nothing; to open it again: production close --undo --production=cal_v2 --yes
""",
    ),
    ("cal_v3", 31): Situation(
        "computes; its manager takes nothing more",
        """
run 31 of cal_v3 is submitted for T, attempt 1
  claim         MANAGER-Brake, which is at work
  batch system  job JOB of local for T: runs here
  next          its outputs are looked at when its job has ended
""",
    ),
    ("cal_v3", 32): Situation(
        "failed as others did, one after the other: its manager takes nothing more",
        """
run 32 of cal_v3 is new for T, attempt 1: program: exit 127: no such file: libCore.so
  back-off  failure 1 of 3; not tried again before DATE, in T
  brake     MANAGER-Brake takes nothing more: 3 runs in a row failed for the same cause (program), the last was run 34 (exit 127: no such file: libCore.so; log: DIR/data/log/v3/cal.run00034.err)
  quota     SIZE used of SIZE that spacelim allows
  next      nothing until what fails is mended, and then a manager started: run_production --production=cal --version=3
""",
        failures=(
            "3 runs, cause program (exit 127): no such file: libCore.so",
            "runs 32-34",
            "suggestion: the script calls a command that isn't there: see the PATH (programs.cal.environment)",
        ),
    ),
    ("cal_v3", 35): Situation(
        "new; as 32",
        """
run 35 of cal_v3 is new for T
  brake  MANAGER-Brake takes nothing more: 3 runs in a row failed for the same cause (program), the last was run 34 (exit 127: no such file: libCore.so; log: DIR/data/log/v3/cal.run00034.err)
  quota  SIZE used of SIZE that spacelim allows
  next   nothing until what fails is mended, and then a manager started: run_production --production=cal --version=3
""",
    ),
}

STRANGERS = ["tree/v1/notes.txt", "tree/v1/tree00010.dat"]
"""Files that nobody recorded: put there by hand."""


@pytest.fixture(scope="module")
def planted(tmp_path_factory: pytest.TempPathFactory) -> Iterator[situations.Planted]:
    made = situations.plant(tmp_path_factory.mktemp("situations") / "campaign")
    yield made
    made.close()


PRODUCTIONS = ("sim_v1", "fit_v1", "cal_v1", "cal_v2", "cal_v3")


@pytest.fixture(scope="module")
def groups(planted: situations.Planted) -> dict[tuple[str, int], tuple[str, ...]]:
    """{run: what ``failures`` says of its group}."""
    found = {}
    for production in PRODUCTIONS:
        asked = ["failures", f"--production={production}", "--suggest"]
        text = planted.said(planted.campaign.ok(*asked))
        ranges = json.loads(planted.campaign.ok(*asked, "--json").out)["groups"]
        for block, group in zip(text.strip().split("\n\n")[1:], ranges, strict=True):
            heading, numbers, *rest = map(str.strip, block.splitlines())
            [begin] = [place for place, line in enumerate(rest) if line.startswith("suggestion: ")]
            told = (heading, numbers, *rest[begin:])
            found |= {(production, run): told for first, last in group["ranges"] for run in range(first, last + 1)}
    return found


@pytest.fixture(scope="module")
def findings(planted: situations.Planted) -> list[tuple[str, int | None, str]]:
    """(production, run, kind and path) of all that an audit finds."""
    result = planted.campaign.product("audit", "--json")
    assert (result.code, result.err) == (1, ""), str(result)
    below = f"{planted.campaign.data}/"
    return [
        (one["production"], one["run"], f"{one['kind']} {(one['path'] or '').removeprefix(below)}".strip())
        for one in json.loads(result.out)["findings"]
    ]


@pytest.mark.parametrize(("production", "run"), SITUATIONS)
def test_a_run_is_explained_as_it_is(
    planted: situations.Planted,
    groups: dict[tuple[str, int], tuple[str, ...]],
    findings: list[tuple[str, int | None, str]],
    production: str,
    run: int,
) -> None:
    situation = SITUATIONS[production, run]
    asked = ["why", str(run), f"--production={production}", *situation.options]
    said = planted.said(planted.campaign.ok(*asked))
    assert said.rstrip() == situation.why.strip()
    assert groups.get((production, run), ()) == situation.failures
    found = [what for of, number, what in findings if (of, number) == (production, run)]
    assert found == ([situation.audit] if situation.audit else [])
    answer = json.loads(planted.campaign.ok(*asked, "--json").out)
    assert (answer["production"], answer["run"]) == (production, run)
    *layers, last = answer["layers"]
    assert [*(line["layer"] for line in layers), last["layer"]] == [
        line[2:].split("  ")[0] for line in said.splitlines()[1:]
    ]
    assert last["layer"] == "next"


def test_nothing_else_is_found(
    groups: dict[tuple[str, int], tuple[str, ...]], findings: list[tuple[str, int | None, str]]
) -> None:
    told = {place for place, situation in SITUATIONS.items() if situation.failures}
    assert set(groups) - told == {("cal_v3", 33), ("cal_v3", 34)}, "as 32"
    assert [what for _, run, what in findings if run is None] == [f"stranger {name}" for name in STRANGERS]
    named = {(production, run) for production, run, _ in findings if run is not None}
    assert named == {place for place, situation in SITUATIONS.items() if situation.audit}


def test_a_manager_that_sleeps_is_told_as_such(planted: situations.Planted) -> None:
    lines = {
        line.split()[0]: line.split("  ")[-1].strip()
        for line in planted.said(planted.campaign.ok("managers")).splitlines()
    }
    assert (lines["MANAGER-Sleep"], lines["MANAGER-Lost"]) == ("stopped (Ctrl-Z?)", "no, its process is gone")
    assert lines["MANAGER-Tape"] == "yes"


# --- the quota -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("lie", "quota", "then"),
    [
        ("exit", "can't be read, so nothing new is staged: mmlsquota -Y: exit 1: mmlsquota: 6027-533 the daemon is not running", "claimed when the quota can be read again"),
        (
            "hang",
            "no answer in T; a manager waits longer for it",
            "claimed in the next cycle of MANAGER-Full, if the disk has room for its files",
        ),
    ],
)  # fmt: skip
def test_a_quota_that_is_not_told(planted: situations.Planted, lie: str, quota: str, then: str) -> None:
    """Asked by ``why`` itself, for ten seconds at most."""
    campaign = planted.campaign
    other = campaign.directory / f"quota-{lie}.json"
    other.write_text(json.dumps({"hard": 10**9, "lie": lie}))
    command = [campaign.python, "-m", "production", "why", "18", "--production=sim", "--config=full.toml"]
    begun = time.monotonic()
    result = campaign.begun(command, FAKE_QUOTA=str(other)).wait()
    assert time.monotonic() - begun < 20
    lines = planted.said(result).splitlines()
    assert lines[2:] == [f"  quota   {quota}", f"  next    {then}"], str(result)


# --- runs that there are not ---------------------------------------------------------------------------------------------

SIM = """
[programs.sim]
script = "sim.sh"
"""


def refused(campaign: Campaign, *words: str) -> str:
    result = campaign.product("why", *words)
    assert (result.code, result.out, result.err.count("\n")) == (2, "", 1), str(result)
    return result.err


def test_nothing_is_there_yet(campaign: Campaign) -> None:
    campaign.settings(SIM)
    campaign.script("sim.sh", "")
    assert "production.db is not there" in refused(campaign, "1")
    campaign.ok("init", str(campaign.database))
    assert "no productions yet; start one with run_production" in refused(campaign, "1")
    assert "no productions yet; start one with run_production" in refused(campaign, "1", "--json")


def test_a_fresh_production_and_runs_that_are_not_in_it(campaign: Campaign) -> None:
    campaign.settings(SIM)
    campaign.script("sim.sh", "")
    campaign.begin("1-3")
    campaign.ok("datasets", "add", "9", "--dataset=Al50", "--quality=silver")
    with contextlib.closing(catalogue.Database(str(campaign.database))) as opened, opened.write() as change:
        opening = base.Opening("sim", "v5", "gold", None, (), str(campaign.data), "anna")
        change.open_production(opening, datetime.datetime.now(datetime.UTC))
    head, *lines = campaign.ok("why", "2").out.splitlines()
    assert re.fullmatch(r"run 2 of sim_v1 is new for \d+ s", head)
    claim, _quota, following = (line.split(maxsplit=1) for line in lines)
    assert claim == ["claim", "no manager is at work"]
    assert following[1] == "nothing until somebody starts a manager: run_production --production=sim --version=1"
    assert "run 4 is in no dataset; add it: production datasets add 4 --dataset=SET" in refused(campaign, "4")
    assert "run 9 is in no production; it is in dataset Al50 (silver), and sim_v1 takes gold" in refused(campaign, "9")
    assert "there is no production sim_v2; there are: sim_v1" in refused(campaign, "2", "--production=sim_v2")
    assert "RUN is the number of a run" in refused(campaign, "two")
