#!/usr/bin/env python3
"""The muon's lifetime from one run: lifetime.py INPUT.bin TREE.root HIST.root.

Stands alone and knows nothing of run_production: it is what a user's program looks like from there. It unpacks a
PSI-BIN file, fits each detector's histogram and writes

* TREE.root: the tree ``histograms`` (run, detector, bin, time, counts: an entry for each bin) and the tree ``fit``
  (run, detector, tau, error, chi2, ndf, counts: an entry for each detector, and detector -1: all of them together),
* HIST.root: one TH1D for each detector, named by its label.

Times are in us after time zero. The last line is ``lifetime 2.197 +- 0.003 us``. Exit code 0: done, whatever the
lifetime; 2: wrong usage; 3: the input is broken or unreadable; 4: nothing to fit.

The muons precess in the magnetic field, which a plain exponential would take for decay. The curve fitted is

    N exp(-t/tau) (1 + a1 cos(wt) + b1 sin(wt) + exp(-(st)^2/2) (a2 cos(vt) + b2 sin(vt))) + B

where w is the precession in the applied field (muons that stopped beside the sample) and v, s that in the sample, where
the field is weaker and uneven. All but tau, v, s is linear: each trial of (tau, v, s) is one linear least-squares fit.
"""

from __future__ import annotations

import signal

if __name__ == "__main__":
    signal.signal(signal.SIGINT, signal.SIG_DFL)  # a Ctrl-C ends it without a word, during these imports, too

import dataclasses
import math
import re
import sys
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import psibin
import uproot
import uproot.writing

Array = npt.NDArray[np.float64]

KNOWN = 2.197
"""us"""
GYROMAGNETIC = 0.0135534
"""Precession frequency of a muon, MHz for each gauss."""
SKIP = 0.1
"""us after time zero that aren't fitted: prompt positrons."""
STEP = 0.02
"""us; bins are added up to about this width."""
ENOUGH = 2000
"""Counts after time zero; a detector with fewer isn't fitted."""


class NoDecay(Exception):
    """There is nothing to fit a lifetime to."""


@dataclasses.dataclass(frozen=True, slots=True)
class Curve:
    """What is fitted of one detector: counts at times, and their errors."""

    detector: int
    time: Array
    counts: Array
    error: Array


@dataclasses.dataclass(frozen=True, slots=True)
class Precession:
    """Frequencies in MHz; damping in 1/us. Applied 0: there is no precession."""

    applied: float = 0.0
    inside: float = 0.0
    damping: float = 0.0


@dataclasses.dataclass(frozen=True, slots=True)
class Fit:
    """A lifetime and its error in us."""

    detector: int
    tau: float
    error: float
    chi2: float
    ndf: int
    counts: int


def curve(measurement: psibin.Measurement, detector: int) -> Curve | None:
    """The decay curve of a detector, rebinned; None if there is too little of it."""
    width, zero = measurement.bin_width, measurement.time_zero[detector]
    group = max(1, round(STEP / width))
    first = max(zero + math.ceil(SKIP / width), measurement.first_good[detector])
    last = min(measurement.last_good[detector] or sys.maxsize, measurement.counts.shape[1])
    size = (last - first) // group
    if size < 20:
        return None
    counts = measurement.counts[detector, first : first + size * group].reshape(size, group).sum(axis=1).astype(float)
    time = (first - zero + group * np.arange(size) + (group - 1) / 2) * width
    return Curve(detector, time, counts, np.sqrt(np.maximum(counts, 1))) if counts.sum() >= ENOUGH else None


def model(one: Curve, tau: float, precession: Precession) -> Array:
    """The best curve for this lifetime and precession: everything else in it is linear."""
    decay = np.exp(-one.time / tau)
    columns = [decay, np.ones_like(decay)]
    if precession.applied:
        outside = 2j * math.pi * precession.applied * one.time
        inside = 2j * math.pi * precession.inside * one.time - (precession.damping * one.time) ** 2 / 2
        for wave in np.exp(outside), np.exp(inside):
            columns += [decay * wave.real, decay * wave.imag]
    matrix = np.column_stack(columns)
    best = np.linalg.lstsq(matrix / one.error[:, None], one.counts / one.error, rcond=None)[0]
    return np.asarray(matrix @ best)


def residuals(curves: Sequence[Curve], tau: float, precession: Precession) -> Array:
    """Distances of all points from the best curves, in errors."""
    return np.concatenate([(one.counts - model(one, tau, precession)) / one.error for one in curves])


def linearise(curves: Sequence[Curve], tau: float, precession: Precession) -> tuple[Array, Array]:
    """The residuals and their slopes along tau."""
    step = 1e-4
    here = residuals(curves, tau, precession)
    slope = (residuals(curves, tau + step, precession) - here) / step
    if not slope.any():
        raise NoDecay("the counts don't decay")
    return here, slope


def fit(curves: Sequence[Curve], precession: Precession, tau: float = 2.0) -> Fit:
    """The one lifetime of these curves: Gauss-Newton in tau. A bad chi2 widens the error.

    Raises: NoDecay if no tau fits better than another.
    """
    for _ in range(20):
        here, slope = linearise(curves, tau, precession)
        change = -float(slope @ here) / float(slope @ slope)
        tau = min(max(tau + change, tau / 2, 0.05), tau * 2, 50.0)
        if abs(change) < 1e-6:
            break
    here, slope = linearise(curves, tau, precession)
    chi2 = float(here @ here)
    ndf = here.size - len(curves) * (6 if precession.applied else 2) - 1
    error = math.sqrt(max(1.0, chi2 / ndf) / float(slope @ slope))
    counts = int(sum(one.counts.sum() for one in curves))
    return Fit(curves[0].detector if len(curves) == 1 else -1, tau, error, chi2, ndf, counts)


def find_precession(curves: Sequence[Curve], field: str) -> Precession:
    """What the muons see in the sample, tried on a grid that can't run away; the applied field is in the header."""
    number = re.fullmatch(r"([0-9.]+) *G", field)
    applied = float(number[1]) * GYROMAGNETIC if number else 0.0
    if not 0.1 < applied < 0.25 / STEP:
        return Precession()
    tau = fit(curves, Precession(applied, applied, 1.0)).tau
    trials = [
        Precession(applied, inside, damping)
        for inside in applied * np.linspace(0.5, 1.0, 11)
        for damping in np.linspace(0.5, 4.0, 8)
    ]
    return min(trials, key=lambda trial: float((residuals(curves, tau, trial) ** 2).sum()))


def analyse(measurement: psibin.Measurement) -> list[Fit]:
    """Fit each detector, then all together. Raises: NoDecay."""
    found = [curve(measurement, detector) for detector in range(len(measurement.labels))]
    curves = [one for one in found if one is not None]
    if not curves:
        raise NoDecay("too few counts after time zero for a fit")
    precession = find_precession(curves, measurement.field)
    tau = fit(curves, precession).tau
    # errors from the curve, not from the counts: these would draw the fit to where they happen to be few
    curves = [dataclasses.replace(c, error=np.sqrt(np.maximum(model(c, tau, precession), 1))) for c in curves]
    together = dataclasses.replace(fit(curves, precession), detector=-1)
    return [*(fit([one], precession) for one in curves), together]


def write_tree(path: str, measurement: psibin.Measurement, fits: Sequence[Fit]) -> None:
    """Write both trees."""
    detectors, bins = measurement.counts.shape
    detector, number = (index.ravel().astype(np.int32) for index in np.indices((detectors, bins)))
    entries = {
        "run": np.full(detector.size, measurement.run, np.int32),
        "detector": detector,
        "bin": number,
        "time": (number - np.asarray(measurement.time_zero)[detector]) * measurement.bin_width,
        "counts": measurement.counts.ravel(),
    }
    results = {field.name: np.array([getattr(one, field.name) for one in fits]) for field in dataclasses.fields(Fit)}
    results = {"run": np.full(len(fits), measurement.run), **results}
    with uproot.recreate(path) as file:
        for name, branches in ("histograms", entries), ("fit", results):
            file.mktree(name, {branch: values.dtype for branch, values in branches.items()})
            file[name].extend(branches)


def write_histograms(path: str, measurement: psibin.Measurement) -> None:
    """Write a TH1D for each detector; the middle of the bin of time zero is at 0."""
    with uproot.recreate(path) as file:
        for label, zero, counts in zip(measurement.labels, measurement.time_zero, measurement.counts, strict=True):
            title = f"run {measurement.run} {label}: {measurement.comment}"
            file[label] = histogram(counts.astype(float), (-0.5 - zero) * measurement.bin_width, measurement, title)


def histogram(counts: Array, start: float, measurement: psibin.Measurement, title: str) -> object:
    """A TH1D as ROOT has it: the first and the last number of its data are under- and overflow."""
    stop = start + counts.size * measurement.bin_width
    middle = np.linspace(start, stop, counts.size, endpoint=False) + measurement.bin_width / 2
    total = counts.sum()
    return uproot.writing.identify.to_TH1x(
        fName=None,
        fTitle=title,
        data=np.concatenate([[0.0], counts, [0.0]]),
        fEntries=total,
        fTsumw=total,
        fTsumw2=total,
        fTsumwx=(counts * middle).sum(),
        fTsumwx2=(counts * middle**2).sum(),
        fSumw2=np.concatenate([[0.0], counts, [0.0]]),
        fXaxis=uproot.writing.identify.to_TAxis("xaxis", "time after the muon [us]", counts.size, start, stop),
    )


def report(measurement: psibin.Measurement, fits: Sequence[Fit]) -> None:
    """Say what was read and found."""
    texts = (measurement.sample, measurement.temperature, measurement.field, measurement.comment)
    print(f"run {measurement.run}: {', '.join(text for text in texts if text)}")
    detectors, bins = measurement.counts.shape
    width = f"{1000 * measurement.bin_width:g} ns"
    print(f"{measurement.counts.sum()} counts in {detectors} histograms of {bins} bins of {width}")
    for one in fits[:-1]:
        label = measurement.labels[one.detector]
        print(f"  {label:4} {one.tau:.3f} +- {one.error:.3f} us  chi2/ndf {one.chi2 / one.ndf:.2f}")
    last = fits[-1]
    if abs(last.tau / KNOWN - 1) > 0.05:
        print(f"far from the muon's {KNOWN} us: is the bin width right?")
    print(f"lifetime {last.tau:.3f} +- {last.error:.3f} us", flush=True)


def main(arguments: Sequence[str]) -> int:
    """Carry one run from raw file to lifetime."""
    if len(arguments) != 3:
        print("usage: lifetime.py INPUT.bin TREE.root HIST.root", file=sys.stderr)
        return 2
    source, tree, histograms = arguments
    try:
        measurement = psibin.read(source)
        fits = analyse(measurement)
    except (psibin.BadFile, OSError) as error:
        print(f"lifetime.py: {error}", file=sys.stderr)
        return 3
    except NoDecay as error:
        print(f"lifetime.py: {source}: {error}", file=sys.stderr)
        return 4
    write_tree(tree, measurement, fits)
    write_histograms(histograms, measurement)
    report(measurement, fits)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
