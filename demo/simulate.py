#!/usr/bin/env python3
"""Write simulated runs of positive muons, as the data acquisition of an experiment would: MIDAS files and their ODB.

Muons stop in a target in a magnetic field; four detectors around it see the positrons they decay to, in directions that
turn with the muons' spin, and a flat background of small signals. In the file a hit is a number in each of three banks:
TIME (clock ticks of 1 ns since the trigger; the muon comes a little later), DETE (the detector) and AMPL (the size of
the signal, which depends on the detector's gain).

The same run number and seed give the same file, byte by byte. A run that is there is kept: raw data is never overwritten.
"""

from __future__ import annotations

import signal

if __name__ == "__main__":
    signal.signal(signal.SIGINT, signal.SIG_DFL)  # a Ctrl-C ends it without a word, during these imports, too

import argparse
import dataclasses
import pathlib
import sys
import time
from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

from demo import command, midas

LIFETIME = 2.197
"""us"""
PRECESSION = 1.355
"""MHz: 100 gauss."""
ASYMMETRY = 0.22
PHASES = np.radians([0.0, 90.0, 180.0, 270.0])
"""Where each detector stands."""
EFFICIENCIES = np.array([1.0, 0.9, 0.55, 0.75])
"""Of the detectors. They don't see alike, so in their sum the precession is not lost."""
GAINS = np.array([1.0, 0.85, 1.15, 1.05])
TIME_ZERO = 0.5
"""us after the trigger; then the muon comes."""
WINDOW = 13.0
"""us that are recorded after the trigger."""
BACKGROUND = 0.12
"""Hits that are no decays, for each one that is."""
HITS_AN_EVENT = 2000
FIRST_DAY = 1_371_000_000
"""Unix time of run 0; a run takes ten minutes."""

Array = npt.NDArray[np.float64]


@dataclasses.dataclass(frozen=True, slots=True)
class Hits:
    """What the detectors saw, one entry for each hit."""

    time: Array
    """us since the trigger."""
    detector: npt.NDArray[np.int64]
    amplitude: Array
    """ADC counts."""

    def bank(self, part: slice) -> tuple[midas.Bank, ...]:
        """Some of them as banks."""
        ticks = (self.time[part] * 1000).astype("<u4")
        return (
            midas.Bank("TIME", 6, ticks.tobytes()),
            midas.Bank("DETE", 4, self.detector[part].astype("<u2").tobytes()),
            midas.Bank("AMPL", 4, self.amplitude[part].astype("<u2").tobytes()),
        )


def draw(random: np.random.Generator, decays: int) -> Hits:
    """So many decays, as far as they are seen, and background."""
    age = random.exponential(LIFETIME, decays)
    detector = random.integers(0, len(PHASES), decays)
    towards = 1 + ASYMMETRY * np.cos(2 * np.pi * PRECESSION * age - PHASES[detector])
    seen = random.random(decays) < EFFICIENCIES[detector] * towards / (1 + ASYMMETRY)
    seen &= age < WINDOW - TIME_ZERO
    noise = round(BACKGROUND * np.count_nonzero(seen))
    moments = np.concatenate([age[seen] + TIME_ZERO, random.random(noise) * WINDOW])
    places = np.concatenate([detector[seen], random.integers(0, len(PHASES), noise)])
    sizes = np.concatenate([random.normal(1000, 200, len(moments) - noise), random.exponential(250, noise)])
    sizes = np.clip(sizes * GAINS[places], 0, 4095)
    mixed = random.permutation(len(moments))
    return Hits(moments[mixed], places[mixed], sizes[mixed])


def odb(run: int, dataset: str) -> str:
    """The online database at the begin of the run."""
    return (
        f"[/Runinfo]\nRun number = INT : {run}\n\n"
        "[/Experiment/Run Parameters]\n"
        f"Comment = STRING : [80] simulated, not measured: positive muons in {dataset}\n"
        f"Field (gauss) = FLOAT : {PRECESSION / 0.01355:.1f}\n\n"
        "[/Analyzer/Parameters]\n"
        f"Detectors = INT : {len(PHASES)}\nTick (ns) = INT : 1\nTime zero (ns) = INT : {TIME_ZERO * 1000:.0f}\n\n"
    )


def events(run: int, dataset: str, decays: int, seed: int) -> Iterator[midas.Event]:
    """A whole run, from begin to end."""
    hits, start = draw(np.random.default_rng([seed, run]), decays), FIRST_DAY + 600 * run
    database = odb(run, dataset).encode("latin-1") + b"\0"
    yield midas.Event(midas.BEGIN, midas.MARK, run, start, database)
    for serial, first in enumerate(range(0, len(hits.time), HITS_AN_EVENT)):
        data = midas.banks(hits.bank(slice(first, first + HITS_AN_EVENT)))
        yield midas.Event(1, 0, serial, start + serial, data)
    yield midas.Event(midas.END, midas.MARK, run, start + 600, database)


def write(options: argparse.Namespace) -> str:
    """Write the runs asked for, and say how many. Raises: OSError."""
    first, _, last = options.runs.partition("-")
    began = time.monotonic()
    written = size = 0
    options.raw.mkdir(parents=True, exist_ok=True)
    options.odb.mkdir(parents=True, exist_ok=True)
    runs = range(int(first), int(last or first) + 1)
    for run in runs:
        path = options.raw / f"run{run:05d}.mid"
        (options.odb / f"run{run:05d}.odb").write_text(odb(run, options.dataset), "latin-1")
        if not path.exists():
            midas.write(path, events(run, options.dataset, options.decays, options.seed))
            written, size = written + 1, size + path.stat().st_size
    return (
        f"{written} runs simulated ({size / 1e6:.0f} MB, {time.monotonic() - began:.1f} s), "
        f"{len(runs) - written} were there already"
    )


def main() -> int:
    """Read the arguments, and simulate."""
    parser = argparse.ArgumentParser(prog="python -m demo.simulate", description="Write simulated muon runs.")
    parser.add_argument("raw", type=pathlib.Path, help="directory for the MIDAS files")
    parser.add_argument("odb", type=pathlib.Path, help="directory for the runs' online databases")
    parser.add_argument("runs", help="as 2091-2098")
    parser.add_argument("--dataset", default="Al50", help="what the ODB says the target is (%(default)s)")
    parser.add_argument("--decays", type=int, default=500_000, help="muons that decay in a run (%(default)s)")
    parser.add_argument("--seed", type=int, default=2013, help="other hits (%(default)s)")
    options = parser.parse_args()
    try:
        print(write(options))
    except OSError as error:
        print(f"simulate: {command.in_the_way(error, options.raw)}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
