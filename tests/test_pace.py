"""How far long transfers are: a line a minute, with what the shift wants to know."""

from __future__ import annotations

import pytest

from production import pace
from production.transfer import base

GB, MB = 2**30, 2**20


def test_short_transfers_are_no_line() -> None:
    lines = pace.Pace()
    for second in range(0, 600, 5):
        far = base.Progress(second % 50 * MB, 50 * MB, False)
        assert lines.line({f"run {second // 50}": far}, float(second)) == ""
    assert lines.line({}, 600.0) == ""


@pytest.mark.feature("AC-11")
def test_long_ones_are_told_once_a_minute_all_in_one_line() -> None:
    lines, told = pace.Pace(), []
    for second in range(0, 185, 5):
        under_way = {
            "run 2091": base.Progress(second * 4 * MB, 1200 * MB, False),
            "run 2092": base.Progress(min(second, 80) * MB, None, False),
            "run 2093": base.Progress(0, 2 * GB, False),
            "run 2094": base.Progress(0, None, False),  # it has no seat yet
            "run 2095": base.Progress(0, 2 * GB, False, waits="the archive is away"),
        }
        if second >= 60:
            under_way["run 2096"] = base.Progress((second - 60) * MB, GB, False)
        if line := lines.line(under_way, float(second)):
            told.append((second, line))
    assert told == [
        (
            60,
            (
                "run 2091 20 % of 1.2 GiB, 4.0 MiB/s; run 2092 60.0 MiB, 1.0 MiB/s;"
                " run 2093 0 % of 2.0 GiB, no byte for 60 s (a tape?); run 2096 0 % of 1.0 GiB, has just begun"
            ),
        ),
        (
            120,
            (
                "run 2091 40 % of 1.2 GiB, 4.0 MiB/s; run 2092 80.0 MiB, no byte for 40 s;"
                " run 2093 0 % of 2.0 GiB, no byte for 2 min (a tape?); run 2096 5 % of 1.0 GiB, 1.0 MiB/s"
            ),
        ),
        (
            180,
            (
                "run 2091 60 % of 1.2 GiB, 4.0 MiB/s; run 2092 80.0 MiB, no byte for 2 min;"
                " run 2093 0 % of 2.0 GiB, no byte for 3 min (a tape?); run 2096 11 % of 1.0 GiB, 1.0 MiB/s"
            ),
        ),
    ]
