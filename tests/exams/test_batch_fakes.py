"""Queue sits the exam, with both dialects, over programs that play the clusters."""

from __future__ import annotations

import pathlib
from collections.abc import Callable

import pytest

from production import clock
from production.batch import base, queue, scheduler, sge, slurm
from tests.exams import batch
from tests.fakes import cluster as clusters

QUICK = scheduler.Policy(poll=0.05, grace=5.0, share=0.5)


def maker(dialect: scheduler.Dialect, path: pathlib.Path, **how: object) -> Callable[[], base.BatchSystem]:
    cluster = clusters.Cluster(path / "cluster.json", **how)
    return lambda: queue.Queue(dialect, cluster, "alice", clock.SystemClock(), QUICK)


class TestSlurm(batch.ClusterExam):
    asks = True

    @pytest.fixture
    def make(self, tmp_path_factory: pytest.TempPathFactory) -> Callable[[], base.BatchSystem]:
        return maker(slurm.Slurm(), tmp_path_factory.mktemp("slurm"))


class TestSlurmWithoutAccounting(batch.ClusterExam):
    asks = True

    @pytest.fixture
    def make(self, tmp_path_factory: pytest.TempPathFactory) -> Callable[[], base.BatchSystem]:
        return maker(slurm.Slurm(), tmp_path_factory.mktemp("slurm"), ledger="none")


class TestGridEngine(batch.ClusterExam):
    @pytest.fixture
    def make(self, tmp_path_factory: pytest.TempPathFactory) -> Callable[[], base.BatchSystem]:
        return maker(sge.GridEngine(), tmp_path_factory.mktemp("sge"))
