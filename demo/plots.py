#!/usr/bin/env python3
"""From the fits of all runs to the muon's lifetime, and two plots of it: python -m demo.plots DIRECTORY VERSION.

Asks the production's database which files there are, in the table ``rootana_vVERSION``, and writes DIRECTORY/plots/
vVERSION/lifetime.png and runs.png. Exit code 0: the lifetime is the muon's; 1: it isn't, or there are no files.
"""

from __future__ import annotations

import signal

if __name__ == "__main__":
    signal.signal(signal.SIGINT, signal.SIG_DFL)  # a Ctrl-C ends it without a word, during these imports, too

import argparse
import contextlib
import dataclasses
import os
import pathlib
import sqlite3
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
import uproot

from demo import command, fit

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Array = npt.NDArray[np.float64]

KNOWN = 2.197
"""us; it was simulated with it, too."""
FARTHEST = 3.0
"""Standard deviations."""

RUNS = """
SELECT run, out, (SELECT min(dataset) FROM datasets WHERE datasets.run = rootana_v{0}.run)
FROM rootana_v{0} WHERE status = 'F' ORDER BY run
"""

# Okabe and Ito's colours, which everybody can tell apart
BLACK, GREY = "#222222", "#888888"
BLUE, ORANGE, GREEN = "#0072b2", "#d55e00", "#009e73"
PER_DATASET = ((BLUE, "o"), (ORANGE, "s"), (GREEN, "^"))


@dataclasses.dataclass(frozen=True, slots=True)
class Run:
    """What rootana wrote of one run."""

    run: int
    dataset: str
    tau: float
    error: float
    decays: Array
    edges: Array
    precession: float
    """MHz"""


def runs(directory: pathlib.Path, version: int) -> list[Run]:
    """Every finished run of the version. Raises: OSError, sqlite3.Error."""
    database = (directory / "production.db").resolve()
    with contextlib.closing(sqlite3.connect(f"{database.as_uri()}?mode=ro", uri=True, timeout=30)) as connection:
        rows = connection.execute(RUNS.format(version)).fetchall()
    return [read(run, directory / "data" / out, dataset) for run, out, dataset in rows]


def read(run: int, path: pathlib.Path, dataset: str) -> Run:
    """One file of rootana."""
    with uproot.open(path) as file:
        row = {name: float(value[0]) for name, value in file["fit"].arrays(library="np").items()}
        decays, edges = file["decays"].to_numpy()
    return Run(run, dataset, row["tau"], row["error"], decays, edges, row["w"] / (2 * np.pi))


def mean(found: Sequence[Run]) -> tuple[float, float]:
    """Mean of the runs' lifetimes, weighted by their errors, and its error."""
    weights = np.array([run.error for run in found]) ** -2
    taus = np.array([run.tau for run in found])
    return float((weights * taus).sum() / weights.sum()), float(weights.sum() ** -0.5)


def figure(width: float, height: float) -> Figure:
    """An empty one, in the style of both. No window is opened."""
    from matplotlib import rcParams
    from matplotlib.figure import Figure

    rcParams.update(
        {
            "font.size": 9,
            "axes.spines.top": False,
            "axes.spines.right": False,
            "axes.linewidth": 0.7,
            "xtick.major.width": 0.7,
            "ytick.major.width": 0.7,
            "legend.frameon": False,
            "axes.titlelocation": "left",
            "axes.titlesize": 10,
        }
    )
    return Figure(figsize=(width, height), dpi=120, layout="constrained")


def draw_lifetime(found: Sequence[Run], tau: float, error: float) -> Figure:
    """All hits of all runs, the curve through them, and how far they are from it."""
    edges, counts = found[0].edges, np.sum([run.decays for run in found], axis=0)
    time, width = (edges[1:] + edges[:-1]) / 2, edges[1] - edges[0]
    best = fit.lifetime(time, counts, found[0].precession)
    expected = fit.curve(best.parameters, time)
    drawn = figure(7.0, 4.6)
    above, below = drawn.subplots(2, 1, sharex=True, height_ratios=[3.2, 1])
    above.plot(time, counts, ".", color=BLACK, markersize=2.6, label=f"{counts.sum() / 1e6:.2f} million hits")
    label = f"decay with precession, $\\tau$ = {tau:.4f} ± {error:.4f} µs"
    above.plot(time, expected, color=ORANGE, linewidth=1.1, label=label)
    above.axhline(best.parameters[3], color=BLUE, linewidth=1.0, linestyle=(0, (5, 3)), label="flat background")
    above.set(yscale="log", ylabel=f"hits per {1000 * width:.0f} ns")
    above.set_title(f"Decay of simulated positive muons, {len(found)} runs")
    above.legend(loc="upper right")
    below.axhspan(-1, 1, color=GREY, alpha=0.2, linewidth=0)
    below.plot(time, (counts - expected) / np.sqrt(expected), ".", color=BLACK, markersize=2.6)
    below.set(xlabel="time after the muon (µs)", ylabel="residual ($\\sigma$)", xlim=(0, edges[-1]), ylim=(-4.5, 4.5))
    below.set_yticks([-3, 0, 3])
    drawn.align_ylabels()
    return drawn


def draw_runs(found: Sequence[Run], tau: float, error: float) -> Figure:
    """The lifetime of each run, and their mean."""
    drawn = figure(7.0, 3.2)
    axes = drawn.subplots()
    places = {run.run: place for place, run in enumerate(found)}
    for number, dataset in enumerate(sorted({run.dataset for run in found})):
        color, marker = PER_DATASET[number % len(PER_DATASET)]
        draw_dataset(axes, [run for run in found if run.dataset == dataset], places, color, marker)
    label = f"mean {tau:.4f} ± {error:.4f} µs"
    axes.axhspan(tau - error, tau + error, color=GREY, alpha=0.35, linewidth=0, label=label)
    axes.axhline(KNOWN, color=BLACK, linewidth=0.8, linestyle=(0, (5, 3)), label=f"simulated: {KNOWN} µs")
    axes.set(xlabel="run", ylabel="lifetime (µs)", xlim=(-0.7, len(found) - 0.3))
    axes.set_xticks(list(places.values()), [str(run) for run in places], rotation=90 if len(found) > 14 else 0)
    axes.set_title("Lifetime of simulated positive muons, run by run")
    drawn.legend(loc="outside lower center", ncols=4)
    return drawn


def draw(plots: pathlib.Path, found: Sequence[Run], tau: float, error: float) -> None:
    """Both plots, into that directory. Raises: OSError."""
    plots.mkdir(parents=True, exist_ok=True)
    for name, drawn in (
        ("lifetime", draw_lifetime(found, tau, error)),
        ("runs", draw_runs(found, tau, error)),
    ):
        drawn.savefig(plots / f"{name}.png")
        print(f"drawn: {os.path.join(plots, name)}.png")


def draw_dataset(axes: Axes, found: Sequence[Run], places: dict[int, int], color: str, marker: str) -> None:
    axes.errorbar(
        [places[run.run] for run in found],
        [run.tau for run in found],
        [run.error for run in found],
        fmt=marker,
        color=color,
        markersize=4.5,
        linewidth=1.1,
        label=found[0].dataset,
    )


def main() -> int:
    """Combine and draw."""
    parser = argparse.ArgumentParser(prog="python -m demo.plots")
    parser.add_argument("directory", type=pathlib.Path, help="the demo's")
    parser.add_argument("version", type=int, help="of rootana")
    options = parser.parse_args()
    try:
        found = runs(options.directory, options.version)
    except (OSError, sqlite3.Error) as cause:
        print(f"plots: {cause}", file=sys.stderr)
        return 1
    if not found:
        print(f"plots: no run of rootana_v{options.version} is finished", file=sys.stderr)
        return 1
    tau, error = mean(found)
    try:
        draw(options.directory / "plots" / f"v{options.version}", found, tau, error)
    except OSError as cause:
        print(f"plots: {command.in_the_way(cause, options.directory)}", file=sys.stderr)
        return 1
    off = abs(tau - KNOWN) / error
    print(f"muon lifetime: {tau:.4f} +- {error:.4f} us (expected {KNOWN}): within {off:.1f} sigma")
    if off > FARTHEST:
        print(f"plots: that is not the muon's: more than {FARTHEST:.0f} sigma away", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
