"""What every test finds: a HOME of its own, the markers, and ``need`` for what a machine may lack."""

from __future__ import annotations

import getpass
import importlib.metadata
import os
import pathlib
import re
import shutil
import sqlite3
import tempfile
from collections.abc import Callable, Iterator
from typing import TypeVar

import hypothesis
import pytest

from tests.services import gridengine as gridengines
from tests.services import service
from tests.services import slurm as slurms

Found = TypeVar("Found")

IN_CI = os.environ.get("CI", "").lower() in {"1", "true", "yes"}

PROGRAMS = ("sqlite3", "ps", "runuser", "mount", "vsftpd", "sshd", "qsub", "sbatch")
"""What some tests run beside Python."""

SERVICES: dict[str, type[service.Service]] = {
    "Slurm": slurms.Slurm,
    "Slurm with accounting": slurms.SlurmAccounting,
    "Grid Engine": gridengines.GridEngine,
}
"""Clusters that some tests start."""

PACKAGES = ("uproot", "urwid", "paramiko", "humanize", "psutil", "pyftpdlib", "pyte")
"""What some tests import, optional or not."""

pytest.register_assert_rewrite("tests.exams")

# Speed is measured by benchmarks/, not by how busy the machine was; in CI the examples are the same every time.
hypothesis.settings.register_profile("house", deadline=None, derandomize=IN_CI, print_blob=True)
hypothesis.settings.load_profile("house")


def pytest_report_header() -> list[str]:
    """What is here and what isn't, so that a skip is no riddle."""
    programs = {name: "" for name in PROGRAMS if shutil.which(name)}
    packages = {name: f" {version}" for name in PACKAGES if (version := _version(name))}
    here = [name + version for name, version in (programs | packages).items()]
    missing = [name for name in PROGRAMS + PACKAGES if name not in programs | packages]
    return [
        f"here: SQLite {sqlite3.sqlite_version}, {', '.join(here)}; as {getpass.getuser()}",
        *(f"{name}: {kind.standing()}" for name, kind in SERVICES.items()),
        f"missing: {', '.join(missing) or 'nothing'}; a test that needs it {'fails (CI)' if IN_CI else 'is skipped'}",
    ]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """A mistyped feature id would show nothing at all."""
    for item in items:
        for marker in item.iter_markers("feature"):
            if not marker.args or not all(re.fullmatch(r"[A-Z]{2}-\d\d", str(id)) for id in marker.args):
                raise pytest.UsageError(f'{item.nodeid}: feature wants ids such as "AC-06", not {marker.args}')


@pytest.fixture(scope="session")
def need() -> Callable[[str, Found | None], Found]:
    """What a machine may lack: hands it back, or skips the test and says why; in CI the test fails instead.

    ``shell = need("the sqlite3 shell", shutil.which("sqlite3"))``: what is None, False or empty isn't there.
    """

    def need(what: str, found: Found | None) -> Found:
        if found:
            return found
        if IN_CI:
            pytest.fail(f"{what} is missing here, and CI has to have it", pytrace=False)
        pytest.skip(f"{what} is missing here")

    return need


Need = Callable[[str, Found | None], Found]


@pytest.fixture(scope="session")
def slurm(need: Need[bool]) -> Iterator[slurms.Slurm]:
    """Four nodes, ``sacct`` disabled; up from the first test that asks until the last test."""
    yield from started(slurms.Slurm, need)


@pytest.fixture(scope="session")
def slurm_accounting(need: Need[bool]) -> Iterator[slurms.SlurmAccounting]:
    """Four nodes and a database, for ``sacct``."""
    yield from started(slurms.SlurmAccounting, need)


@pytest.fixture(scope="session")
def gridengine(need: Need[bool]) -> Iterator[gridengines.GridEngine]:
    """A qmaster and one execution host."""
    yield from started(gridengines.GridEngine, need)


Started = TypeVar("Started", bound=service.Service)


def started(kind: type[Started], need: Need[bool]) -> Iterator[Started]:
    """In a directory that the cluster's own users can enter, which those of pytest's are not."""
    reason = kind.unable()
    need(reason, not reason)
    with (
        tempfile.TemporaryDirectory(prefix="rp-", dir="/tmp", ignore_cleanup_errors=True) as directory,
        kind(directory) as one,
    ):
        yield one


@pytest.fixture(scope="session", autouse=True)
def home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[pathlib.Path]:
    """An empty HOME without settings of the user's or the site's: no test can reach the true database by accident."""
    home = tmp_path_factory.mktemp("home")
    with pytest.MonkeyPatch.context() as environment:
        environment.setenv("HOME", str(home))
        environment.setenv("XDG_CONFIG_DIRS", str(home / "etc"))
        for name in ("XDG_CONFIG_HOME", "XDG_DATA_HOME", "XDG_STATE_HOME"):
            environment.delenv(name, raising=False)
        for name in [name for name in os.environ if name.startswith("RUN_PRODUCTION_")]:
            environment.delenv(name)
        yield home


def _version(package: str) -> str:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return ""
