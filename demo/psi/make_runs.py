#!/usr/bin/env python3
"""Write simulated muon runs as PSI-BIN files of 42 kB: make_runs.py DIR FIRST COUNT [--seed N].

Half a million decays with the muon's lifetime, precession in 150 G and a flat background, in the five detectors of a
spectrometer. The same run number and seed give the same file, byte by byte. A run that is there is kept: raw data
is never overwritten.
"""

from __future__ import annotations

import signal

if __name__ == "__main__":
    signal.signal(signal.SIGINT, signal.SIG_DFL)  # a Ctrl-C ends it without a word, during these imports, too

import argparse
import math
import pathlib

import numpy as np
import psibin

LIFETIME = 2.197
"""us"""
FIELD = 150.0
"""gauss"""
FREQUENCY = 0.0135534 * FIELD
"""MHz"""
BINS = 2048
WIDTH = psibin.bin_width(6, 0.0)
"""5 ns, in us."""
ZERO = 32
"""Bin in which the muon arrives."""
BACKGROUND = 0.01
"""Of the rate at time zero."""

DETECTORS = {
    "Forw": (0.1, 0.0, 0.0),
    "Back": (0.2, 0.0, 0.0),
    "Up": (0.3, 0.2, 0.0),
    "Down": (0.3, 0.2, math.pi),
    "Righ": (0.1, 0.2, math.pi / 2),
}
"""Share of the decays each one sees, asymmetry (none on the beam's axis), and phase: where it stands."""


def simulate(run: int, seed: int, decays: float = 5e5) -> psibin.Measurement:
    """Draw one run."""
    random = np.random.default_rng([seed, run])
    time = (np.arange(BINS) - ZERO) * WIDTH
    counts = np.empty((len(DETECTORS), BINS), np.int32)
    for row, (share, asymmetry, phase) in enumerate(DETECTORS.values()):
        wave = asymmetry * np.exp(-((0.5 * time) ** 2) / 2) * np.cos(2 * math.pi * FREQUENCY * time + phase)
        decay = np.where(time >= 0, np.exp(-time / LIFETIME) * (1 + wave), 0.0)
        counts[row] = random.poisson(decays * share * WIDTH / LIFETIME * (decay + BACKGROUND))
    return psibin.Measurement(
        run=run,
        bin_width=WIDTH,
        time_zero=(ZERO,) * len(DETECTORS),
        first_good=(ZERO + 1,) * len(DETECTORS),
        last_good=(BINS,) * len(DETECTORS),
        labels=tuple(DETECTORS),
        counts=counts,
        sample="simulated",
        temperature="300.000K",
        field=f"{FIELD:.3f}G",
        comment=f"simulated, not measured: seed {seed}",
    )


def main() -> None:
    """Write the runs asked for."""
    parser = argparse.ArgumentParser(description="Write simulated muon runs as PSI-BIN files.")
    parser.add_argument("directory", type=pathlib.Path)
    parser.add_argument("first", type=int, help="number of the first run, up to 65535")
    parser.add_argument("count", type=int)
    parser.add_argument("--seed", type=int, default=2006)
    options = parser.parse_args()
    runs = range(options.first, options.first + options.count)
    if options.first < 0 or runs.stop > 65536 or options.seed < 0:
        parser.error("run numbers go from 0 to 65535, seeds from 0")
    options.directory.mkdir(parents=True, exist_ok=True)
    for run in runs:
        path = options.directory / f"deltat_pta_gps_{run}.bin"
        kept = path.exists()
        if not kept:
            psibin.write(path, simulate(run, options.seed))
        print(f"{path}: {'kept' if kept else 'simulated'}")


if __name__ == "__main__":
    main()
