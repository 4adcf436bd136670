"""The local batch system sits the exam."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from production.batch import base, local
from tests.exams import batch


class TestLocal(batch.BatchExam):
    @pytest.fixture
    def make(self) -> Callable[[], base.BatchSystem]:
        return lambda: local.Local(grace=0.3)
