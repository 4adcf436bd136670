"""What the acceptance tests find: a campaign of their own."""

from __future__ import annotations

import contextlib
import grp
import importlib.util
import os
import pathlib
import pwd
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from tests.acceptance import campaign as campaigns
from tests.acceptance import clusters
from tests.acceptance.campaign import ROOT, User
from tests.acceptance.screen import Screen
from tests.services import service

Need = Callable[[str, object], object]


@pytest.fixture
def new_campaign() -> Iterator[Callable[[pathlib.Path], campaigns.Campaign]]:
    """Makes campaigns; afterwards what still runs of them is killed."""
    with contextlib.ExitStack() as stack:

        def make(directory: pathlib.Path) -> campaigns.Campaign:
            made = campaigns.Campaign(directory)
            stack.callback(made.close)
            return made

        yield make


@pytest.fixture
def campaign(new_campaign: Callable[[pathlib.Path], campaigns.Campaign], tmp_path: pathlib.Path) -> campaigns.Campaign:
    """An empty campaign."""
    return new_campaign(tmp_path / "campaign")


@pytest.fixture
def show() -> Iterator[Callable[..., Screen]]:
    """Opens terminals with a command in them: see ``Screen``."""
    with contextlib.ExitStack() as stack:

        def opened(campaign: campaigns.Campaign, *command: str, **how: Any) -> Screen:
            made = Screen(campaign, command, **how)
            stack.callback(made.close)
            return made

        yield opened


@pytest.fixture
def watch(show: Callable[..., Screen]) -> Callable[..., Screen]:
    """Opens ``production watch`` with these words; once its head is there."""

    def opened(campaign: campaigns.Campaign, *words: str, until: str = "cpu", **how: Any) -> Screen:
        made = show(campaign, campaign.python, "-m", "production", "watch", *words, **how)
        made.until(until)
        return made

    return opened


@pytest.fixture(scope="session")
def users(need: Need) -> tuple[User, User]:
    """Two people of one shift, with umasks 022 and 077; made if they aren't there."""
    need("root, to work as two other people", os.geteuid() == 0)
    need("useradd", shutil.which("useradd"))
    subprocess.run(["groupadd", "-f", "rpshift"], check=True)
    for name in ("rpalice", "rpbob"):
        try:
            pwd.getpwnam(name)
        except KeyError:
            subprocess.run(["useradd", "-M", "-U", "-G", "rpshift", "-s", "/bin/sh", name], check=True)
    shift = grp.getgrnam("rpshift").gr_gid
    alice, bob = (pwd.getpwnam(name) for name in ("rpalice", "rpbob"))
    return (
        User("rpalice", alice.pw_uid, alice.pw_gid, (shift,), 0o022),
        User("rpbob", bob.pw_uid, bob.pw_gid, (shift,), 0o077),
    )


@pytest.fixture(scope="session")
def house(users: tuple[User, User], need: Need) -> Iterator[tuple[str, pathlib.Path]]:
    """A Python that others may run, and a copy of the product that they may read: ours is often in root's HOME."""
    with tempfile.TemporaryDirectory(prefix="rp-house-", ignore_cleanup_errors=True) as made:
        directory = pathlib.Path(made)
        directory.chmod(0o755)
        shutil.copy(ROOT / "run_production.py", directory)
        for name in ("production", "sge_scripts"):
            shutil.copytree(ROOT / name, directory / name, ignore=shutil.ignore_patterns("__pycache__"))
        # psutil is built for every Python 3, the others are plain; nothing else is imported on the way of a run, or to watch
        for name in ("psutil", "humanize", "urwid", "wcwidth"):
            spec = importlib.util.find_spec(name)
            assert spec
            assert spec.submodule_search_locations
            shutil.copytree(spec.submodule_search_locations[0], directory / name)
        if spec := importlib.util.find_spec("typing_extensions"):  # urwid's
            shutil.copy(str(spec.origin), directory)
        subprocess.run(["chmod", "-R", "a+rX", str(directory)], check=True)
        found = [one for one in candidates() if runs_for(users[1], one, directory)]
        yield str(need("a Python 3.11 or later that other users may run", found and found[0])), directory


def candidates() -> list[str]:
    names = ("python3.13", "python3.12", "python3.11", "python3")
    places = ("/usr/bin", "/usr/local/bin", "/opt/python/bin")
    return [sys.executable, *(f"{place}/{name}" for place in places for name in names)]


def runs_for(user: User, python: str, directory: pathlib.Path) -> bool:
    code = "import sys; assert sys.version_info >= (3, 11); import psutil, production.cli.campaign"
    try:
        subprocess.run(
            [python, "-c", code], check=True, cwd=directory, capture_output=True, timeout=60,
            env={"PYTHONPATH": str(directory)}, user=user.uid, group=user.gid, extra_groups=user.groups,
        )  # fmt: skip
    except (OSError, subprocess.SubprocessError):
        return False
    return True


CLUSTERS = {"slurm": "slurm", "slurm_accounting": "slurm", "gridengine": "sge"}
"""{fixture of the service: what --batch calls it}."""


# Without accounting Slurm sits the exam, and all of this in the torture.
@pytest.fixture(params=[pytest.param("slurm", marks=pytest.mark.torture), "slurm_accounting", "gridengine"])
def ground(
    request: pytest.FixtureRequest,
    new_campaign: Callable[[pathlib.Path], campaigns.Campaign],
    house: tuple[str, pathlib.Path],
) -> Iterator[clusters.Ground]:
    """A campaign of the jobs' user on a real cluster; afterwards nothing of it is left in the queue."""
    cluster: service.Service = request.getfixturevalue(request.param)
    with tempfile.TemporaryDirectory(prefix="rp-", dir="/tmp", ignore_cleanup_errors=True) as directory:
        pathlib.Path(directory).chmod(0o755)
        campaign = new_campaign(pathlib.Path(directory) / "campaign")
        campaign.python, campaign.root = house
        campaign.environment |= {"PYTHONPATH": str(house[1]), "PYTHONDONTWRITEBYTECODE": "1"}
        made = clusters.Ground(campaign, cluster, CLUSTERS[request.param])
        yield made
        made.clear()
