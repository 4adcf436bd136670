"""Another program, on runs of PSI's muon spectrometers, real ones if they are here: raw file to tree and lifetime."""

from __future__ import annotations

import contextlib
import importlib.util
import json
import os
import pathlib
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator

import pytest

from demo import password
from tests.acceptance.campaign import ROOT, Campaign

PSI = ROOT / "demo" / "psi"
LIFETIME = 2.197
"""of the muon, in us"""

Need = Callable[[str, object], object]


@pytest.fixture(autouse=True)
def packages(need: Need) -> None:
    for name in ("uproot", "numpy", "pyftpdlib"):
        need(name, importlib.util.find_spec(name))


@pytest.fixture(scope="module")
def simulated(tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    """Five runs, simulated."""
    if not importlib.util.find_spec("numpy"):
        return pathlib.Path()
    directory = tmp_path_factory.mktemp("simulated")
    command = [sys.executable, str(PSI / "make_runs.py"), str(directory), "3110", "5"]
    assert os.spawnv(os.P_WAIT, sys.executable, command) == 0
    return directory


def settings(campaign: Campaign) -> None:
    """The program, with this campaign's places and this Python."""
    program = (PSI / "production.toml").read_text("utf-8")
    program = program.replace('"lifetime.sh"', json.dumps(str(PSI / "lifetime.sh")))
    campaign.settings(program + f"\n[programs.lifetime.environment]\nPYTHON = {json.dumps(sys.executable)}\n")


def lifetimes(campaign: Campaign, version: int = 1) -> dict[int, float]:
    """Of every finished run, in us, from its tree as the database names it; its histograms are opened, too."""
    import uproot

    found = {}
    for run, tree, hist in campaign.rows(f"SELECT run, tree, hist FROM lifetime_v{version} WHERE status = 'F'"):
        with uproot.open(str(tree)) as file:
            fit = file["fit"].arrays(["detector", "tau"], library="np")
            [found[int(str(run))]] = [
                float(tau) for detector, tau in zip(fit["detector"], fit["tau"], strict=True) if detector == -1
            ]
        with uproot.open(str(hist)) as file:
            assert file.keys()
            assert file[file.keys()[0]].values().sum() > 0
    return found


@contextlib.contextmanager
def served(campaign: Campaign) -> Iterator[str]:
    """The campaign's archive behind the demo's FTP server; the settings that say so. It has been asked for all runs."""
    password.choose(campaign.directory / "netrc")
    words = [str(campaign.archive), str(campaign.directory / "netrc"), str(campaign.directory / "ftp.log")]
    command = [sys.executable, "-m", "demo.server", *words]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as server:
        try:
            assert server.stdout
            port = int(server.stdout.readline())
            (campaign.directory / "ftp.toml").write_text(
                f'[archive]\nurl = "ftp://demo@127.0.0.1:{port}/"\nnetrc = "netrc"\n'
            )
            yield "--config=ftp.toml"
        finally:
            server.kill()
    log = (campaign.directory / "ftp.log").read_text()
    assert all(re.search(rf"RETR .*/deltat_pta_gps_{run}\.bin completed=1", log) for run in range(3110, 3115)), log


def the_same_over_ftp(campaign: Campaign) -> None:
    """Version 2, over FTP: to the last bit what version 1 had from plain files."""
    with served(campaign) as config:
        result = campaign.run("--production=lifetime", "--new=ftp", config)
    assert result.code == 0, str(result)
    assert campaign.letters("lifetime_v2") == "FFFFF", str(result)
    assert lifetimes(campaign, 2) == lifetimes(campaign, 1)
    campaign.nothing_in_hands()


def carried(campaign: Campaign) -> None:
    """All five runs of the archive, finished."""
    settings(campaign)
    campaign.begin("3110-3114", dataset="Y1248")
    result = campaign.run("--production=lifetime", "--new=v2006-10")
    assert result.code == 0, str(result)
    assert campaign.letters("lifetime_v1") == "FFFFF", str(result)
    assert result.messages[-1] == "lifetime_v1: 5 finished"
    assert result.said("Finished production: lifetime_v1")


@pytest.mark.feature("AC-24")
def test_five_simulated_runs(campaign: Campaign, simulated: pathlib.Path) -> None:
    shutil.copytree(simulated, campaign.archive, dirs_exist_ok=True)
    carried(campaign)
    found = lifetimes(campaign)
    assert list(found.values()) == pytest.approx([LIFETIME] * 5, rel=0.05)
    assert sorted(path.name for path in (campaign.data / "tree/v1").iterdir()) == [
        f"tree0{run}.root" for run in range(3110, 3115)
    ]
    campaign.nothing_in_hands()
    assert list((campaign.data / "raw").iterdir()) == []
    the_same_over_ftp(campaign)


def test_five_real_runs(campaign: Campaign, capsys: pytest.CaptureFixture[str]) -> None:
    """The five PSI runs of 2006 (or any others of that kind): they are no part of the project."""
    directory = os.environ.get("PSI_RUNS")
    if not directory:
        pytest.skip("the real PSI runs are no part of the project: set PSI_RUNS to their directory")
    for path in pathlib.Path(directory).glob("deltat_pta_gps_31*.bin"):
        shutil.copy(path, campaign.archive)
    carried(campaign)
    found = lifetimes(campaign)
    with capsys.disabled():
        print(f"\n{campaign.ok('status').out}" + "".join(f"run {run}: {tau:.4f} us\n" for run, tau in found.items()))
    assert list(found.values()) == pytest.approx([LIFETIME] * 5, rel=0.05)
    the_same_over_ftp(campaign)


@pytest.mark.feature("AC-23", "AC-25")
def test_one_truncated_run(campaign: Campaign, simulated: pathlib.Path) -> None:
    shutil.copytree(simulated, campaign.archive, dirs_exist_ok=True)
    cut = campaign.archive / "deltat_pta_gps_3112.bin"
    size = cut.stat().st_size
    os.truncate(cut, size // 2)
    settings(campaign)
    campaign.begin("3110-3114", dataset="Y1248")
    result = campaign.run("--production=lifetime", "--new=v2006-10")
    assert result.code == 3, str(result)
    assert campaign.letters("lifetime_v1") == "FFEFF"
    assert len(lifetimes(campaign)) == 4
    [failed] = [message for message in result.messages if message.startswith("Failed run: 3112")]
    assert "program: exit 3: lifetime.py: " in failed
    assert f"truncated: {size // 2} bytes" in failed, "the shift sees why"
    assert result.messages[-2] == "failed for cause program: 3112"
    assert result.messages[-1].startswith("e.g. run 3112: program: exit 3: ")
    assert campaign.rows("SELECT cause, exit FROM attempt WHERE run = 3112") == [("program", 3)] * 2
    assert not list((campaign.data / "tree/v1").glob("*3112*"))
