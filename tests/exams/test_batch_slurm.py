"""The real Slurm sits the exam, with and without accounting."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from production.batch import base, scheduler, slurm
from tests.exams import real
from tests.services import slurm as slurms


@pytest.mark.feature("AC-08", "AC-28")
class TestSlurm(real.RealExam):
    asks = True

    @pytest.fixture
    def make(self, slurm: slurms.Slurm) -> Callable[[], base.BatchSystem]:
        return real.maker(slurm, dialect())


@pytest.mark.feature("AC-08", "AC-28")
class TestSlurmWithAccounting(real.RealExam):
    asks = True

    @pytest.fixture
    def make(self, slurm_accounting: slurms.SlurmAccounting) -> Callable[[], base.BatchSystem]:
        return real.maker(slurm_accounting, dialect())


def dialect() -> scheduler.Dialect:
    return slurm.Slurm()
