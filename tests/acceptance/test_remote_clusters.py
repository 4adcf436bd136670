"""Whole productions on real clusters behind a real sshd, on a disk that nobody here sees."""

from __future__ import annotations

import contextlib
import getpass
import importlib.util
import json
import os
import pathlib
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence

import pytest

from tests.acceptance import depots, logins
from tests.acceptance.boards import at
from tests.acceptance.campaign import Campaign, User, until
from tests.acceptance.screen import Screen
from tests.services import gridengine as gridengines
from tests.services import island, link, service, sshd
from tests.services import slurm as slurms

pytestmark = pytest.mark.feature("PC-02", "PC-05")

SIM = """
echo "run $1 of $2"
case $1 in
  2) echo "bad magic in run $1" >&2; exit 3 ;;
  3) cat "$2" >"$3"; exit 0 ;;
  4) if [ ! -e @/tried ]; then touch @/tried; exit 5; fi ;;
esac
cat "$2" >"$3"; echo "hist $1" >"$4"
"""
TALKS = 'echo "first words of $1"; while ! test -e @/go; do sleep 0.1; done; echo "last words"; cat "$2" >"$3"; echo "hist $1" >"$4"'


@pytest.fixture(params=["slurm", "slurm_accounting", "gridengine"])
def cluster(request: pytest.FixtureRequest) -> service.Service:
    found: service.Service = request.getfixturevalue(request.param)
    return found


@pytest.fixture
def far(
    cluster: service.Service, new_campaign: Callable[[pathlib.Path], Campaign], need: logins.Need
) -> Iterator[depots.Far]:
    """We are root here, and the jobs' user there, whose disk we don't see."""
    system = "sge" if isinstance(cluster, gridengines.GridEngine) else "slurm"
    need("unshare(1)", shutil.which("unshare"))
    with logins.Login(cluster.environment, need, cluster.home) as login:
        campaign = new_campaign(login.path / "campaign")
        campaign.directory.chmod(0o777)
        me = User(getpass.getuser(), os.geteuid(), os.getegid(), (), 0)
        account = sshd.account(cluster.user, "/bin/sh")
        site = logins.Site(campaign, login.server, login.line, account, me)
        made = depots.Far(site, login.path / "their disk µ", system)
        shutil.chown(made.remote, account)
        yield made


def test_a_chain_with_every_kind_of_trouble(far: depots.Far) -> None:
    """One fails, one lacks an output, one is tried again; the second pass has what the first brought here."""
    far.begin(SIM, range(1, 7))
    result = far.start("--new=t").wait(180)
    assert result.code == 3, str(result)
    assert far.campaign.letters("sim_v1") == "FEEFFF"
    assert "Traceback" not in result.err
    tried = far.campaign.rows("SELECT run, count(*), min(cause) FROM attempt GROUP BY run ORDER BY run")
    assert tried == [
        (1, 1, None), (2, 3, "program"), (3, 3, "output"), (4, 2, "program"), (5, 1, None), (6, 1, None)
    ]  # fmt: skip
    assert "bad magic in run 2" in result.err
    assert "hist00003.root is missing" in result.err
    assert far.left() == []
    far.campaign.nothing_in_hands()
    for run in (1, 4, 5, 6):
        assert far.tree(run) == far.raw(run)
    told = far.campaign.ok("why", "2", "--production=sim", user=far.site.user).out
    assert "exit 3" in told
    assert "sim_v1" in far.campaign.ok("status", user=far.site.user).out
    chain = far.start("--new=t", "--version=1", program="fit").wait(180)
    assert chain.code in (0, 3), str(chain)
    for run in (1, 4, 5, 6):
        assert (far.campaign.data / f"fit/v1/fit{run:05d}.txt").read_bytes() == far.raw(run).upper()
    assert far.left() == []


def test_a_job_s_log_while_it_runs(far: depots.Far, watch: Callable[..., Screen]) -> None:
    """Followed by a command, in the dashboard, and told of."""
    far.begin(TALKS, range(1, 2))
    far.campaign.environment["HOME"] = str(far.campaign.home / getpass.getuser())
    manager = far.start("--new=t")
    far.submitted(1)
    python = far.campaign.python
    follower = far.campaign.begun([python, "-m", "production", "log", "-f", "1", "--production=sim", "--out"])
    follower.wait_for("first words of 1", stream="out")
    until(lambda: "running" in why(far), "the cluster says that it runs")
    screen = watch(far.campaign, "1")
    screen.until(at(1))
    screen.type("l")
    screen.until("first words of 1")
    (far.campaign.directory / "go").touch()
    screen.until("last words")
    screen.type("q")
    assert screen.end() == 0
    result = manager.wait(120)
    far.is_whole(range(1, 2), result)
    followed = follower.wait()
    assert (followed.code, followed.out) == (0, "first words of 1\nlast words\n"), str(followed)


@pytest.mark.torture  # on a fake cluster: test_remote_weather
@pytest.mark.feature("AC-33", "AC-19")
def test_ctrl_c_with_two_hundred_jobs(far: depots.Far, cluster: service.Service) -> None:
    """Those that wait and those that run are cancelled, and nothing of them is left there."""
    far.begin('test "$1" = 1 || sleep 600; ' + depots.SIM, range(1, 202))
    far.campaign.ok("datasets", "add", "1", "--dataset=first", user=far.site.user)
    assert far.start("--new=t", "--dataset=first").wait(120).code == 0
    manager = far.start("--nproc=200", "--nprep=200")
    manager.wait_for("Submitting run: 201", seconds=120)
    far.submitted(200)
    before = far.site.server.commands()
    result = manager.stop(seconds=200)
    assert (result.code, result.said("jobs cancelled, claims given back")) == (130, True), str(result)
    assert far.site.server.commands() - before <= 60
    assert far.campaign.letters("sim_v1") == "F" + "N" * 200
    assert far.left() == []
    far.campaign.nothing_in_hands()
    listing = ("qstat",) if far.system == "sge" else ("squeue", "-h", "-u", cluster.user)
    until(lambda: not cluster.run(*listing).stdout, "the queue is empty")


def why(far: depots.Far) -> str:
    layers = json.loads(far.campaign.ok("why", "1", "--production=sim", "--json").out)["layers"]
    return " ".join(layer["text"] for layer in layers)


# --- the demo, with one port between its two networks ------------------------------------------------------------------

PORT = 2022
"""Of the login node, as the network of the manager has it."""
RUNS = "2091-2092"


class Laboratory:
    """The demo's, and its two programs in it, given as the demo gives them."""

    def __init__(self, campaign: Campaign, directory: pathlib.Path, site: pathlib.Path, before: Sequence[str]) -> None:
        """``site``: where the jobs have the DAQ software and the online databases; ``before`` leads to its network."""
        from demo import laboratory

        self._campaign, self.directory, self._site, self._before = campaign, directory, site, before
        laboratory.furnish(directory)
        if site != directory:
            laboratory.furnish(site)

    def simulate(self) -> None:
        where = (str(self.directory / "archive/raw"), str(self._site / "odb"))
        done = self._campaign.call([sys.executable, "-m", "demo.simulate", *where, RUNS, "--decays=60000"])
        assert done.code == 0, str(done)

    def work(self, batch: str, hidden: Sequence[str] = ()) -> None:
        """Both programs, over an archive that is in the manager's network."""
        with self._archive() as url:
            self._settings(url, batch)
            self._product("init", str(self.directory / "production.db"))
            self._product("datasets", "add", RUNS, "--dataset=Al50", f"--config={self.directory}/production.toml")
            calibration = ("--calib", f"--calibdatabase={self._site}/calibration.csv")
            modules = f"--modules={self.directory}/modules.txt"
            for words in (["alcapana", "--new=demo"], ["rootana", "--new=demo", "--version=1", modules, *calibration]):
                before = [*self._before, *hidden]
                given = (f"--config={self.directory}/production.toml", f"--production={words[0]}", *words[1:])
                result = self._campaign.start(*given, before=before).wait(300)
                assert result.code == 0, str(result)

    def _product(self, *words: str) -> None:
        self._campaign.ok(*words)

    @contextlib.contextmanager
    def _archive(self) -> Iterator[str]:
        from demo import command, password

        files = [str(self.directory / name) for name in ("archive", "netrc", "archive.log")]
        words = [*self._before, sys.executable, "-m", "demo.server", *files]
        with command.started(words, stdout=subprocess.PIPE, process_group=0) as server:
            try:
                assert server.stdout
                port = int(server.stdout.readline())
                yield f"ftp://{password.LOGIN}@{password.HOST}:{port}/raw"
            finally:
                server.kill()

    def _settings(self, url: str, batch: str) -> None:
        from demo import laboratory

        laboratory.write_settings(self.directory, url, "local")
        file = self.directory / "production.toml"
        text = file.read_text().replace('batch = "local"', f"batch = {batch}")
        text = text.replace(str(self.directory / "DAQ"), str(self._site / "DAQ"))
        file.write_text(text.replace("retry.pause = 1", 'retry.pause = 1\nresources.memory = "1G"'))


def content(path: pathlib.Path) -> dict[str, object]:
    """Every tree and histogram of a file, entry for entry."""
    import uproot

    with uproot.open(path) as file:
        found: dict[str, object] = {}
        for name, kind in file.classnames().items():
            if kind == "TTree":
                arrays = file[name].arrays(library="np")
                found |= {f"{name}/{branch}": values.tolist() for branch, values in arrays.items()}
            elif kind.startswith("TH"):
                found[name] = [values.tolist() for values in file[name].to_numpy()]
            else:
                found[name] = str(file[name])
        return found


@pytest.mark.feature("AC-36", "PC-02")
def test_the_demo_with_one_port_between_its_networks(
    slurm: slurms.Slurm, campaign: Campaign, need: logins.Need, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every tree, histogram and fitted number is what the demo has where all is on one machine."""
    for name in ("numpy", "uproot", "hist", "matplotlib", "pyftpdlib"):
        need(name, importlib.util.find_spec(name))
    lacking = island.Island.unable()
    need(lacking, not lacking)
    monkeypatch.setenv("USER", getpass.getuser())  # by which the job script finds the analyzer
    with (
        island.Island() as alone,
        logins.Login(slurm.environment, need, slurm.home) as login,
        link.to(login.server.port, alone.open(PORT)) as line,
    ):
        login.server.introduce(campaign.home, getpass.getuser(), port=PORT)
        only_one_port(alone, login.server.port, line)
        there = login.path / "there"
        hide = ["unshare", "--mount", "sh", "-c", 'mount -t tmpfs -o ro none "$0" && exec "$@"', str(there)]
        far = Laboratory(campaign, campaign.directory / "far", there, alone.before)
        far.simulate()
        far.work(f'{{ system = "slurm", host = "login", remote_data = "{there}/data", poll = 1 }}', hide)
        assert line.begun > 1
        left = [path for path in (there / "data").rglob("*") if path.is_file()]
        assert {path.relative_to(there / "data").parts[0] for path in left} <= {"log", "script", "modules"}
        near = Laboratory(campaign, campaign.directory / "near", campaign.directory / "near", [])
        shutil.copytree(far.directory / "archive/raw", near.directory / "archive/raw")
        shutil.copytree(there / "odb", near.directory / "odb")
        near.work('"local"')
        same_results(far.directory, near.directory)


def only_one_port(alone: island.Island, server: int, line: link.Link) -> None:
    """Nothing else leads out."""
    assert [row.split()[1] for row in alone.say("ip", "-o", "link").splitlines()] == ["lo:"]
    assert alone.say("ip", "route") == ""
    assert alone.reaches("127.0.0.1", PORT) == ""
    until(lambda: line.begun == 1, "that was over the line")
    assert "refused" in alone.reaches("127.0.0.1", server)
    assert "unreachable" in alone.reaches("192.0.2.1", server)
    listening = [row.split()[3] for row in alone.say("ss", "-Hltn").splitlines()]
    assert listening == [f"127.0.0.1:{PORT}"]


def same_results(far: pathlib.Path, near: pathlib.Path) -> None:
    from demo import plots

    names = sorted(str(path.relative_to(far / "data")) for path in (far / "data").rglob("*.root"))
    assert len(names) == 6
    for name in names:
        assert content(far / "data" / name) == content(near / "data" / name), name
    ours, theirs = (plots.runs(place, 1) for place in (far, near))
    assert plots.mean(ours) == plots.mean(theirs)
    for one, other in zip(ours, theirs, strict=True):
        assert (one.run, one.tau, one.error, one.precession) == (other.run, other.tau, other.error, other.precession)
        assert one.decays.tolist() == other.decays.tolist()
