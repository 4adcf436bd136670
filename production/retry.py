"""What becomes of a run whose attempt ended without success: once more, and when, or not at all. Pure."""

from __future__ import annotations

import dataclasses
import datetime

from production import run as runs
from production import settings

NOT_COUNTED = frozenset({runs.Cause.RELEASED, runs.Cause.CANCELLED, runs.Cause.NODE})
"""Not the run's own doing, so not held against it."""


@dataclasses.dataclass(frozen=True, slots=True)
class Next:
    """Where the run goes, with how many failures, and not before when."""

    state: runs.State
    failures: int
    counted: bool
    not_before: datetime.datetime | None = None


def after(run: runs.Run, cause: runs.Cause, retry: settings.Retry, now: datetime.datetime) -> Next:
    """The next state of ``run`` after its attempt ended for ``cause``."""
    if cause in NOT_COUNTED:
        return Next(runs.State.NEW, run.failures, False)
    failures = run.failures + 1
    if failures >= retry.limit:
        return Next(runs.State.FAILED, failures, True)
    seconds = min(retry.longest, retry.pause * retry.factor ** (failures - 1))
    return Next(runs.State.NEW, failures, True, now + datetime.timedelta(seconds=seconds))
