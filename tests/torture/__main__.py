"""``python -m tests.torture``: torture by hand, with a table of points at the end.

First every named point is hit ``--times`` times, then ``--kills`` managers are killed at random times, over productions
of ``--runs`` runs. Exit 1 if anything was wrong; what was is told, and the directory of that production is kept.
"""

from __future__ import annotations

import argparse
import collections
import concurrent.futures
import itertools
import pathlib
import random
import sys
import tempfile
import time
from collections.abc import Callable

from tests.torture import torment

VARIANTS: tuple[dict[str, object], ...] = ({}, {"home": "shared"}, {"programs": ("first", "second")})


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.torture", description=__doc__)
    parser.add_argument("--times", type=int, default=10, help="how often each named point is hit (10)")
    parser.add_argument("--kills", type=int, default=200, help="kills at random times (200)")
    parser.add_argument("--runs", type=int, default=500, help="runs of a production (500)")
    parser.add_argument("--seed", type=int, default=1, help="of every choice (1)")
    parser.add_argument("--minutes", type=float, default=60, help="begin no production later than this (60)")
    parser.add_argument("--jobs", type=int, default=2, help="productions side by side (2)")
    parser.add_argument("--directory", type=pathlib.Path, help="where; /dev/shm is faster (the temporary directory)")
    given = parser.parse_args()
    directory = pathlib.Path(tempfile.mkdtemp(prefix="torture-", dir=given.directory))
    score = torment.Score()
    end = time.monotonic() + 60 * given.minutes
    print(f"seed {given.seed}; what goes wrong stays in {directory}", flush=True)
    if given.times:
        at_points(score, directory, given, end)
    if given.kills:
        at_random(score, directory, given, end)
    table(score)
    print("\n".join(score.findings) or "nothing was wrong")
    return 1 if score.findings else 0


def at_points(score: torment.Score, directory: pathlib.Path, given: argparse.Namespace, end: float) -> None:
    """Until every point that any manager came by has been hit often enough."""

    def kill(number: int) -> None:
        chance = random.Random(f"{given.seed} points {number}")
        choose = torment.kills_at_points(score, given.times, chance)
        variant = VARIANTS[number % len(VARIANTS)]
        torment.torture(score, directory / f"points-{number}", given.runs, choose, 300, **variant)
        tell(score, f"points {number} {variant or ''}, {sum(torment.to_go(score, given.times).values())} to go")

    side_by_side(
        kill,
        given.jobs,
        lambda number: time.monotonic() < end and (number < 3 or bool(torment.to_go(score, given.times))),
    )


def at_random(score: torment.Score, directory: pathlib.Path, given: argparse.Namespace, end: float) -> None:
    """Kills from outside, whatever the manager is doing."""

    def kill(number: int) -> None:
        chance = random.Random(f"{given.seed} random {number}")
        variant = VARIANTS[number % len(VARIANTS)]
        torment.torture_from_outside(score, directory / f"random-{number}", given.runs, chance, 50, **variant)
        tell(score, f"random {number} {variant or ''}")

    def wanted(_number: int) -> bool:
        return time.monotonic() < end and score.done["KILL random"] < given.kills

    side_by_side(kill, given.jobs, wanted)


def side_by_side(task: Callable[[int], None], width: int, wanted: Callable[[int], bool]) -> None:
    """Number after number, ``width`` at a time, while they are wanted."""
    numbers = itertools.count()
    with concurrent.futures.ThreadPoolExecutor(width) as pool:
        going: set[concurrent.futures.Future[None]] = set()
        while True:
            while len(going) < width and wanted(number := next(numbers)):
                going.add(pool.submit(task, number))
            if not going:
                return
            done, going = concurrent.futures.wait(going, return_when=concurrent.futures.FIRST_COMPLETED)
            for one in done:
                one.result()


def tell(score: torment.Score, what: str) -> None:
    kills = sum(number for key, number in score.done.items() if key.startswith("KILL "))
    print(f"{what}: {kills} kills at {len(score.hits('KILL'))} points, {len(score.findings)} findings", flush=True)


def table(score: torment.Score) -> None:
    """Point, times hit, result."""
    keys = sorted(set(score.done) | {f"KILL {point}" for point in score.seen})
    width = max(map(len, keys), default=10)
    print(f"{'point':{width}}  times  result")
    for key in keys:
        bad = score.dirty[key]
        result = f"{bad} in productions with a finding" if bad else "clean" if score.done[key] else "never hit"
        print(f"{key:{width}}  {score.done[key]:5}  {result}")
    totals = collections.Counter(key.partition(" ")[0] for key in score.done.elements())
    print(f"{score.productions} productions; " + ", ".join(f"{number} {what}" for what, number in totals.items()))


if __name__ == "__main__":
    sys.exit(main())
