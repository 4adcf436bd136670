"""Queue sits the exam once more where the cluster's commands are on another machine: a real sshd before the real clusters, and before fakes."""

from __future__ import annotations

import contextlib
import getpass
import pathlib
import tempfile
from collections.abc import Callable, Iterator, Sequence

import pytest

from production import clock
from production.batch import base, far, queue, scheduler, sge, slurm, there
from production.ssh import config, connection
from tests.exams import batch, real
from tests.exams.test_batch_fakes import QUICK as QUICK_FAKES
from tests.fakes import cluster as clusters
from tests.services import gridengine as gridengines
from tests.services import service, sshd
from tests.services import slurm as slurms

pytestmark = pytest.mark.feature("PC-02", "PC-05", "AC-08")

Need = Callable[[str, object], object]


@contextlib.contextmanager
def before(cluster: service.Service | None, need: Need) -> Iterator[sshd.Sshd]:
    """A login node from which this cluster is reached."""
    reason = sshd.Sshd.unable()
    need(reason, not reason)
    with tempfile.TemporaryDirectory(prefix="rp-", dir="/tmp", ignore_cleanup_errors=True) as directory:
        path = pathlib.Path(directory)
        path.chmod(0o755)
        theirs = (
            sshd.Sshd(path / "sshd", cluster.environment, (), cluster.home) if cluster else sshd.Sshd(path / "sshd")
        )
        with theirs as server:
            yield server


@contextlib.contextmanager
def way(server: sshd.Sshd, home: pathlib.Path, user: str) -> Iterator[connection.Connection]:
    server.introduce(home, user)
    made = connection.Connection(config.find("login", str(home), str(home / "etc")))
    yield made
    made.close()


@pytest.fixture(scope="module")
def login_slurm(slurm: slurms.Slurm, need: Need) -> Iterator[sshd.Sshd]:
    with before(slurm, need) as server:
        yield server


@pytest.fixture(scope="module")
def login_gridengine(gridengine: gridengines.GridEngine, need: Need) -> Iterator[sshd.Sshd]:
    with before(gridengine, need) as server:
        yield server


@pytest.fixture(scope="module")
def login(need: Need) -> Iterator[sshd.Sshd]:
    with before(None, need) as server:
        yield server


def maker(dialect: scheduler.Dialect, line: connection.Connection, user: str) -> Callable[[], base.BatchSystem]:
    """Whose manifests and witnesses are on the disk there."""
    disk = far.Far(there.There(line), "login", 30)
    return lambda: queue.Queue(dialect, there.There(line), user, clock.SystemClock(), real.QUICK, depot=disk)


class TestSlurm(real.RealExam):
    asks = True

    @pytest.fixture
    def make(
        self, slurm: slurms.Slurm, login_slurm: sshd.Sshd, tmp_path_factory: pytest.TempPathFactory
    ) -> Iterator[Callable[[], base.BatchSystem]]:
        user = sshd.account(slurm.user, "/bin/sh")
        with way(login_slurm, tmp_path_factory.mktemp("home"), user) as line:
            yield maker(_slurm(), line, user)


class TestGridEngine(real.RealExam):
    together = 8
    many = 40

    @pytest.fixture
    def make(
        self, gridengine: gridengines.GridEngine, login_gridengine: sshd.Sshd, tmp_path_factory: pytest.TempPathFactory
    ) -> Iterator[Callable[[], base.BatchSystem]]:
        user = sshd.account(gridengine.user, "/bin/sh")
        with way(login_gridengine, tmp_path_factory.mktemp("home"), user) as line:
            yield maker(sge.GridEngine(), line, user)


class Fakes:
    """The Shell of a login node that has a fake cluster's commands."""

    def __init__(self, cluster: clusters.Cluster, line: connection.Connection) -> None:
        self._cluster = cluster
        self._there = there.There(line)

    def run(self, argv: Sequence[str], *, input: bytes = b"", timeout: float) -> scheduler.Completed:
        command = ["env", f"FAKE_CLUSTER={self._cluster.path}", str(clusters.BIN / argv[0]), *argv[1:]]
        return self._there.run(command, input=input, timeout=timeout)

    def close(self) -> None:
        self._there.close()


class FakeExam(batch.ClusterExam):
    dialect: scheduler.Dialect

    @pytest.fixture
    def make(
        self, login: sshd.Sshd, tmp_path_factory: pytest.TempPathFactory
    ) -> Iterator[Callable[[], base.BatchSystem]]:
        place = tmp_path_factory.mktemp("cluster")
        cluster = clusters.Cluster(place / "cluster.json")
        with way(login, place, getpass.getuser()) as line:
            disk = far.Far(there.There(line), "login", 30)
            yield lambda: queue.Queue(
                self.dialect, Fakes(cluster, line), "alice", clock.SystemClock(), QUICK_FAKES, depot=disk
            )


class TestFakeSlurm(FakeExam):
    asks = True
    dialect = slurm.Slurm()


class TestFakeGridEngine(FakeExam):
    dialect = sge.GridEngine()


def _slurm() -> scheduler.Dialect:
    return slurm.Slurm()
