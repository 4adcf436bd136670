"""How long a person waits for an answer about a million runs: what is promised is 0.2 s, the interpreter's start included."""

from __future__ import annotations

import functools

from benchmarks import measure
from tests import million

_FLOOR = "production --help"

_COMMANDS = (
    "status",
    "status --at=2026-11-05T12:34:56Z",
    "runs",
    "runs state:failed",
    "runs host:node7 --limit=20",
    "runs dataset:Al50 --json",
    "show 3333",
    "why 3333",
    "failures",
    "estimate",
    "retry state:failed",
    "managers",
    "productions",
)
_ALL_READ = ("status --dataset=Al50", "runs nowhere", "runs --sort=-since --limit=20")
"""Those that have to look at every run that is meant."""


def run(quick: bool) -> None:
    """Print the table."""
    number, rounds = (100_000, 3) if quick else (1_000_000, 11)
    with measure.workspace() as directory:
        production = measure.python("-m", "production")
        (directory / "production.toml").write_text('database = "production.db"')
        million.build(str(directory / "production.db"), number)
        words = {_FLOOR: ["--help"], **{f"production {one}": one.split() for one in _COMMANDS}}
        contenders = {
            name: functools.partial(measure.command, [*production, *said], directory) for name, said in words.items()
        }
        measure.in_turn(contenders, 1)  # the byte code is compiled, the file is in memory
        found = measure.in_turn(contenders, rounds)
        slow = {f"production {one}": functools.partial(measure.command, [*production, *one.split()], directory)
                for one in _ALL_READ}  # fmt: skip
        found |= measure.in_turn(slow, 1 if quick else 3)
    floor = [1000 * one.cpu for one in found[_FLOOR]]
    rows = []
    for name, samples in found.items():
        wall, cpu = [1000 * one.wall for one in samples], [1000 * one.cpu for one in samples]
        rows.append([name, measure.spread(wall, 1), measure.spread(cpu, 1), measure.ratio(cpu, floor[: len(cpu)])])
    heads = ["", "wall ms", "processor ms", "of --help"]
    measure.table(f"looking: {number:,} runs; the last three read all that are meant", heads, rows)
