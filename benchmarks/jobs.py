"""10,000 runs of ``true`` through the real command, against what starting them costs without it."""

from __future__ import annotations

import functools
import os
import pathlib
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Callable

from benchmarks import floors, measure
from benchmarks.measure import Sample

NPROC = (10, 4, 32, 64)
WIDTH = 10
"""How many jobs of a floor there are at a time; more or fewer makes no difference to them."""

_SETTINGS = f"""
database = "production.db"
data = "data"

[programs.noop]
script = "{floors.TRUE}"
arguments = []
"""

_WRAPPER = "sh and a witness, no bookkeeping"


def run(quick: bool) -> None:
    """Print the table."""
    number, rounds = (300, 2) if quick else (10_000, 2)
    with measure.workspace() as directory:
        contenders = _floors(directory, number) | {
            f"run_production --nproc={nproc}": functools.partial(_ours, directory, number, nproc)
            for nproc in (NPROC[:1] + NPROC[-1:] if quick else NPROC)
        }
        found = measure.in_turn(contenders, rounds)
    floor = found[_WRAPPER]
    rows = [[name, *_figures(samples, floor, number)] for name, samples in found.items()]
    if not _hyperqueue():
        rows.append(["HyperQueue", "not here", "", "", "", ""])
    heads = ["", "jobs/s", "of the sh floor", "processor ms a job", "of the sh floor", "cores busy"]
    measure.table(f"jobs: {number:,} runs of {floors.TRUE}, start and end of the command included", heads, rows)


def _figures(samples: list[Sample], floor: list[Sample], number: int) -> list[str]:
    rates, floor_rates = ([number / one.wall for one in which] for which in (samples, floor))
    cpu, floor_cpu = ([1000 * one.cpu / number for one in which] for which in (samples, floor))
    busy = statistics.median(one.cpu / one.wall for one in samples)
    return [
        measure.spread(rates), measure.ratio(rates, floor_rates),
        measure.spread(cpu, 2), measure.ratio(cpu, floor_cpu), f"{busy:.2f}",
    ]  # fmt: skip


def _floors(directory: pathlib.Path, number: int) -> dict[str, Callable[[], Sample]]:
    def floor(name: str, python: str = sys.executable) -> Callable[[], Sample]:
        argv = [python, "-m", "benchmarks.floors", name, str(number), str(WIDTH)]
        return functools.partial(_floor, directory, argv)

    xargs = ["sh", "-c", f"seq {number} | xargs -P2 -n1 {floors.TRUE}"]
    found: dict[str, Callable[[], Sample]] = {
        "xargs -P2": functools.partial(_floor, directory, xargs),
        "posix_spawn in a loop": floor("spawn"),
        _WRAPPER: floor("wrapper"),
    }
    if python := _hyperqueue():
        cores = str(os.cpu_count() or 1)
        argv = [python, "-m", "benchmarks.floors", "hyperqueue", str(number), cores]
        found["HyperQueue"] = functools.partial(_floor, directory, argv)
    return found


@functools.cache
def _hyperqueue() -> str:
    """A Python that has HyperQueue: ours, or the one that $HYPERQUEUE_PYTHON names; empty if there is none."""
    python = os.environ.get("HYPERQUEUE_PYTHON", sys.executable)
    there = subprocess.run([python, "-c", "import hyperqueue.cluster"], capture_output=True, check=False)
    return python if there.returncode == 0 else ""


def _floor(directory: pathlib.Path, argv: list[str]) -> Sample:
    return measure.command(argv, _fresh(directory))


def _ours(directory: pathlib.Path, number: int, nproc: int) -> Sample:
    place = _fresh(directory)
    (place / "production.toml").write_text(_SETTINGS)
    production = measure.python("-m", "production")
    measure.command([*production, "init", "production.db"], place)
    measure.command([*production, "datasets", "add", f"1-{number}", "--dataset=all"], place)
    script = str(measure.ROOT / "run_production.py")
    cost = measure.command(
        measure.python(script, "--production=noop", "--new=bench", f"--nproc={nproc}", f"--nprep={nproc}"), place
    )
    assert (place / "said").read_text().count("Finished run: ") == number
    return cost


def _fresh(parent: pathlib.Path) -> pathlib.Path:
    """A directory for one measurement.

    Nothing is removed before the last one has ended: a journalling ext4 doesn't give away again the inodes of files
    that were removed in the last minutes, and looks at each of them whenever a file is made.
    """
    return pathlib.Path(tempfile.mkdtemp(dir=parent))
