"""How the exam reaches a real cluster: its commands as the user whose jobs they are, its ground where that user may write."""

from __future__ import annotations

import os
import pathlib
import pwd
import tempfile
from collections.abc import Callable, Iterator, Sequence

import pytest

from production import clock
from production.batch import base, queue, scheduler, shell
from tests.exams import batch
from tests.services import packages, service

QUICK = scheduler.Policy(poll=0.2, grace=30.0, share=1.0)


class Theirs:
    """The Shell of the jobs' user."""

    def __init__(self, cluster: service.Service) -> None:
        who = pwd.getpwnam(cluster.user)
        variables = {"PATH": packages.PLACES, "HOME": str(cluster.home), "USER": cluster.user} | cluster.environment
        self._prefix = [
            "setpriv", f"--reuid={who.pw_uid}", f"--regid={who.pw_gid}", "--clear-groups",
            "env", "-i", "LC_ALL=C", "SLURM_TIME_FORMAT=%s", *(f"{name}={value}" for name, value in variables.items()),
        ]  # fmt: skip
        self._here = shell.Here()

    def run(self, argv: Sequence[str], *, input: bytes = b"", timeout: float) -> scheduler.Completed:
        return self._here.run([*self._prefix, *argv], input=input, timeout=timeout)

    def close(self) -> None:
        self._here.close()


def maker(cluster: service.Service, dialect: scheduler.Dialect) -> Callable[[], base.BatchSystem]:
    return lambda: queue.Queue(dialect, Theirs(cluster), cluster.user, clock.SystemClock(), QUICK)


class RealExam(batch.ClusterExam):
    """On a ground that the jobs' user may write to."""

    rounds = 5

    @pytest.fixture
    def ground(self, make: Callable[[], base.BatchSystem]) -> Iterator[batch.Ground]:
        before = os.umask(0)
        try:
            with tempfile.TemporaryDirectory(prefix="rp-", dir="/tmp", ignore_cleanup_errors=True) as directory:
                os.chmod(directory, 0o777)
                ground = batch.Ground(pathlib.Path(directory), make)
                yield ground
                ground.clear()
        finally:
            os.umask(before)
