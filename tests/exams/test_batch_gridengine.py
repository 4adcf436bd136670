"""The real Grid Engine sits the exam."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from production.batch import base, sge
from tests.exams import real
from tests.services import gridengine as gridengines


@pytest.mark.feature("AC-08", "AC-28")
class TestGridEngine(real.RealExam):
    together = 8
    many = 40

    @pytest.fixture
    def make(self, gridengine: gridengines.GridEngine) -> Callable[[], base.BatchSystem]:
        return real.maker(gridengine, sge.GridEngine())
