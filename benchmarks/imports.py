"""How long a person waits for ``--help`` and ``status``: what we import is what it costs."""

from __future__ import annotations

import functools

from benchmarks import measure
from benchmarks.measure import Sample

_FLOOR = "python -c 'import argparse, sqlite3'"


def run(quick: bool) -> None:
    """Print the table."""
    rounds = 5 if quick else 25
    with measure.workspace() as directory:
        production, script = measure.python("-m", "production"), str(measure.ROOT / "run_production.py")
        (directory / "production.toml").write_text('database = "production.db"')
        measure.command([*production, "init", "production.db"], directory)
        measure.command([*production, "datasets", "add", "1-1000", "--dataset=all"], directory)
        commands = {
            "python -c pass": measure.python("-c", "pass"),
            _FLOOR: measure.python("-c", "import argparse, sqlite3"),
            "run_production.py --help": measure.python(script, "--help"),
            "production --help": [*production, "--help"],
            "production status": [*production, "status"],
        }
        contenders = {name: functools.partial(measure.command, argv, directory) for name, argv in commands.items()}
        measure.in_turn(contenders, 1)  # the byte code is compiled
        found = measure.in_turn(contenders, rounds)
    rows = [[name, *_figures(samples, found[_FLOOR])] for name, samples in found.items()]
    measure.table("import: what a short command costs", ["", "wall ms", "processor ms", "of the floor"], rows)


def _figures(samples: list[Sample], floor: list[Sample]) -> list[str]:
    cpu = [1000 * one.cpu for one in samples]
    wall = [1000 * one.wall for one in samples]
    return [measure.spread(wall, 1), measure.spread(cpu, 1), measure.ratio(cpu, [1000 * one.cpu for one in floor])]
