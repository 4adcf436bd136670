"""A campaign in which nearly everything that can be the matter with a run is the matter with one; see test_situations.

What is planted is planted by the commands themselves, by real managers, and by hand on the disk.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import pathlib
import pwd
import re
import signal

from tests.acceptance.campaign import ROOT, Campaign, Manager, Pipe, Result, until
from tests.fakes import cluster as clusters
from tests.services import ftp, hostile_ftp

SETTINGS = """
[programs.sim]
script = "sim.sh"
arguments = ["{run}", "{input}", "{tree}"]
input = "run{run:05d}.mid"
resources = { time = "1h", memory = "1G" }
retry = { limit = 2, pause = PAUSE, time = "1h", memory = "1G" }

[programs.sim.outputs.tree]
path = "tree/v{version}/tree{run:05d}.dat"

[programs.fit]
script = "fit.sh"
arguments = ["{run}", "{input}", "{out}"]
base = "sim.tree"

[programs.fit.outputs.out]
path = "out/v{version}/out{run:05d}.dat"

[programs.cal]
script = "cal.sh"
arguments = ["{run}", "{version}"]
retry.pause = 36000
retry.longest = 36000
"""

SIM = """
case $1 in
  4|5) echo "reading $2" >&2; echo "run0000$1.mid: bad magic" >&2; exit 9 ;;
  6|7) echo $1 >@/started; read go <@/gate; kill -9 $$ ;;
  8) echo "pedestals are missing" >&2; exit 1 ;;
  12) echo $1 >@/started; read go <@/never ;;
esac
echo "tree of $1" >"$3"
"""

CAL = """
case $2-$1 in
  3-32|3-33|3-34) echo "no such file: libCore.so" >&2; exit 127 ;;
  *) echo $1 >@/started; read go <@/never ;;
esac
"""

DATASETS = {
    "First": "1-5 10-11", "Queue": "6-7", "Back": "8", "Held": "9", "Gate": "12 14", "Slurm": "15", "Lost": "16",
    "Other": "17", "Full": "18", "Sleep": "19", "Closed": "20-21", "Tape": "13 22", "Brake": "31-35",
}  # fmt: skip
"""Each is taken by another manager, or by none."""


class Planted:
    """The campaign, its people at work, and how what it says is made the same every time."""

    def __init__(self, directory: pathlib.Path) -> None:
        self.campaign = Campaign(directory)
        self.server = hostile_ftp.Server(self.campaign.archive)
        self.cluster = clusters.Cluster(directory / "cluster.json")
        self.managers: dict[str, Manager] = {}
        self.pipes: dict[str, Pipe] = {}
        self.campaign.environment |= {
            "PATH": f"{ROOT}/tests/fakes/bin:{os.environ['PATH']}",
            "FAKE_CLUSTER": str(self.cluster.path),
            "FAKE_QUOTA": str(directory / "quota.json"),
            "TZ": "UTC",
        }

    def close(self) -> None:
        self.campaign.close()
        self.server.close()
        self.cluster.close()

    def settings(self, pause: int) -> None:
        self.campaign.settings(SETTINGS.replace("PAUSE", str(pause)), lease=300, consecutive=3)
        path = self.campaign.directory / "production.toml"
        table = f'archive = {{ url = "{self.server.url()}", netrc = "netrc", transfers = 1 }}'
        text = path.read_text().replace('archive = "archive"', table)
        path.write_text(text)
        (self.campaign.directory / "full.toml").write_text(text + '\n[quota]\nreader = "mmlsquota"\n')

    def start(self, name: str, *arguments: str) -> Manager:
        """A manager that takes the dataset of this name."""
        made = self.campaign.start(f"--dataset={name}", *arguments)
        self.managers[name] = made
        return made

    def until_state(self, run: int, state: str, production: int = 1) -> None:
        query = "SELECT 1 FROM production_run WHERE production = ? AND run = ? AND state = ?"
        # a manager stages and submits in silence
        until(lambda: self.campaign.rows(query, production, run, state) != [], f"run {run} is {state}")

    def said(self, result: Result) -> str:
        """What was said, the same whoever says it, when, and where."""
        text = result.out
        me = f"{pwd.getpwuid(os.geteuid()).pw_name}@{os.uname().nodename}"
        for name, manager in self.managers.items():
            text = text.replace(f"{me}:{manager.pid}", f"MANAGER-{name}")
            text = re.sub(rf"\b{manager.pid}\b", f"PID-{name}", text)
        text = (
            text.replace(self.server.url().rstrip("/"), "FTP")
            .replace(str(self.campaign.directory), "DIR")
            .replace(os.uname().nodename, "HOST")
        )
        text = re.sub(
            rf"\b(by )?{me.partition('@')[0]}\b(?(1)| holds)", lambda found: "by ME" if found[1] else "ME holds", text
        )
        text = re.sub(r"\b\d{4}-\d\d-\d\d \d\d:\d\d:\d\d \+0000", "DATE", text)
        text = re.sub(r"\b[\d.]+ (s|min|h)\b", "T", text)
        text = re.sub(r"(?<!has )\b[\d.]+ ([KMGT]iB|bytes?)\b", "SIZE", text)
        text = re.sub(r"\bup to \d+M\b", "up to SIZE", text)
        return re.sub(r"\bjob \S+ of (local|slurm)", r"job JOB of \1", text)


def plant(directory: pathlib.Path) -> Planted:
    """All of them, in an order in which one doesn't disturb the other."""
    planted = Planted(directory)
    with contextlib.ExitStack() as stack:
        stack.callback(planted.close)
        _begin(planted)
        _end_some(planted)
        _build_on_them(planted)
        _leave_some_in_hand(planted)
        _keep_some_under_way(planted)
        stack.pop_all()
    return planted


def _begin(planted: Planted) -> None:
    campaign = planted.campaign
    campaign.script("sim.sh", SIM)
    campaign.script("cal.sh", CAL)
    campaign.script("fit.sh", 'echo "fit of $1" >"$3"')
    planted.pipes = {name: campaign.pipe(name) for name in ("started", "gate", "never")}
    ftp.write_netrc(campaign.directory / "netrc")
    campaign.raw(range(1, 36))
    (campaign.archive / "run00011.mid").unlink()
    planted.settings(pause=0)
    campaign.ok("init", str(campaign.database))
    for name, numbers in DATASETS.items():
        campaign.ok("datasets", "add", *numbers.split(), f"--dataset={name}")
    (campaign.data / "tree/v1").mkdir(parents=True)
    (campaign.data / "tree/v1/tree00010.dat").write_text("somebody's\n")


def _end_some(planted: Planted) -> None:
    """sim_v1: finished, failed, held, tried again later."""
    campaign, started = planted.campaign, planted.pipes["started"]
    result = campaign.run("--production=sim", "--new=v5", "--dataset=First")
    assert result.code == 3, str(result)
    campaign.ok("hold", "9", "--production=sim", "--yes", "--why=magnet was off")
    manager = planted.start("Queue", "--production=sim", "--batch=slurm")
    assert sorted(started.take(2)) == ["6", "7"]
    with planted.cluster.state() as known:
        known["jobs"][0]["state"], known["jobs"][1]["state"] = "OUT_OF_MEMORY", "TIMEOUT"
    planted.pipes["gate"].give(2)
    assert manager.wait().code == 3
    planted.settings(pause=36000)
    manager = planted.start("Back", "--production=sim")
    manager.wait_for("again in")
    manager.stop()


def _build_on_them(planted: Planted) -> None:
    """fit_v1 on sim_v1, which has lost something by then."""
    campaign = planted.campaign
    (campaign.data / "tree/v1/tree00002.dat").unlink()
    result = campaign.run("--production=fit", "--new=w", "--version=1", "--dataset=First")
    assert result.code == 3, str(result)
    os.truncate(campaign.data / "tree/v1/tree00003.dat", 4)
    (campaign.data / "tree/v1/notes.txt").write_text("mine")


def _leave_some_in_hand(planted: Planted) -> None:
    """cal_v1: its managers sleep, or are dead. cal_v2: closed. cal_v3: fails again and again."""
    campaign, started = planted.campaign, planted.pipes["started"]
    asleep = planted.start("Sleep", "--production=cal", "--new=one")
    assert started.take(1) == ["19"]
    planted.until_state(19, "submitted", 3)
    put_to_sleep(campaign, asleep)
    campaign.ok("hold", "19", "--production=cal", "--version=1", "--yes", "--why=look at the beam")
    killed = planted.start("Lost", "--production=cal")
    assert started.take(1) == ["16"]
    planted.until_state(16, "submitted", 3)
    killed.kill()
    planted.start("Closed", "--production=cal", "--new=two", "--nproc=1", "--nprep=0")
    assert started.take(1) == ["20"]
    planted.until_state(20, "submitted", 4)
    campaign.ok("close", "--production=cal_v2", "--yes", "--why=wrong pedestals")
    planted.start("Brake", "--production=cal", "--new=three", "--nproc=2", "--nprep=0").wait_for("in a row")
    assert started.take(1) == ["31"]


def _keep_some_under_way(planted: Planted) -> None:
    """sim_v1: staged, pending, ordered, and new with managers at work."""
    campaign, started = planted.campaign, planted.pipes["started"]
    planted.start("Gate", "--production=sim", "--nproc=1", "--nprep=1")
    assert started.take(1) == ["12"]
    planted.until_state(14, "staged")
    planted.cluster.set(hold=True)
    planted.start("Slurm", "--production=sim", "--batch=slurm")
    planted.until_state(15, "submitted")
    planted.cluster.change(1, reason="QOSGrpCpuLimit")
    planted.server.mood = hostile_ftp.Mood(drip="RETR")
    planted.start("Tape", "--production=sim")
    query = "SELECT count(*), count(size) FROM transfer"
    until(lambda: campaign.rows(query) == [(2, 1)], "both are ordered, the archive has answered for one")
    (campaign.directory / "quota.json").write_text(json.dumps({"hard": 10**9, "used": 95 * 10**7}))
    planted.start("Full", "--production=sim", "--config=full.toml")
    asked = campaign.directory / "quota.json.calls"
    until(asked.exists, "the quota was read")
    entered = "SELECT count(*) FROM manager WHERE production = 1 AND stop IS NULL"
    until(lambda: campaign.one(entered) == 4, "all four are at work")


def put_to_sleep(campaign: Campaign, manager: Manager) -> None:
    """But not while it holds the database's lock."""
    with open(f"{campaign.database}.lock", "rb") as lock:
        for _ in range(1000):
            manager.send(signal.SIGSTOP)
            # it is asleep when the kernel says so
            until(lambda: _state(manager.pid) == "T", "asleep")
            try:
                fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
            except BlockingIOError:
                manager.send(signal.SIGCONT)
            else:
                return
    raise AssertionError("it always has the lock")


def _state(pid: int) -> str:
    return pathlib.Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
