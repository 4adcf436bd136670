#!/usr/bin/env python3
"""The demo's second step: select hits and fit the muon's lifetime, rootana -i TREE -o OUT -m MODULES [-c] [-d DATABASE].

MODULES is a text with a section for each module, and what it is told:

    [SelectHits]
    amplitude = 500      ; ADC counts, at least
    [FitLifetime]
    from = 0.1           ; us after the muon
    to = 12.0            ; us
    bin = 0.04           ; us
    precession = 1.355   ; MHz, about

With -c the amplitudes are divided by the gains of their detectors, from DATABASE, a CSV file: detector,gain.

OUT gets the histograms ``decays`` (what is fitted) and ``curve``, and the tree ``fit``: run, hits, tau and its error in
us, chi2, ndf, and the other parameters. Exit code 0: done, whatever the lifetime; 2: wrong usage or modules; 3: an input
is broken; 4: nothing to fit.
"""

from __future__ import annotations

import signal

if __name__ == "__main__":
    signal.signal(signal.SIGINT, signal.SIG_DFL)  # a Ctrl-C ends it without a word, during these imports, too

import argparse
import configparser
import csv
import sys

import hist
import numpy as np
import uproot

from demo import fit


class BadInput(Exception):
    """A tree or a database that isn't what it should be; the message says why in one line."""


def modules(path: str) -> dict[str, float]:
    """What the modules are told. Raises: ValueError, configparser.Error, KeyError, OSError."""
    parser = configparser.ConfigParser(inline_comment_prefixes=(";", "#"))
    with open(path, encoding="utf-8") as file:
        parser.read_file(file)
    told = {("SelectHits", "amplitude"), *(("FitLifetime", name) for name in ("from", "to", "bin", "precession"))}
    return {name: float(parser[section][name]) for section, name in told}


def gains(path: str) -> np.ndarray:
    """Of each detector. Raises: BadInput."""
    try:
        with open(path, encoding="utf-8", newline="") as file:
            found = {int(row["detector"]): float(row["gain"]) for row in csv.DictReader(file)}
        return np.array([found[detector] for detector in range(len(found))])
    except (KeyError, ValueError) as error:
        raise BadInput(f"{path}: not the gains of detectors: {error}") from error


def read(path: str) -> tuple[int, dict[str, np.ndarray]]:
    """The number of the run, and its hits. Raises: BadInput."""
    try:
        with uproot.open(path) as file:
            run = int(file["run/run"].array(library="np")[0])
            return run, file["hits"].arrays(["detector", "time", "amplitude"], library="np")
    except (uproot.exceptions.KeyInFileError, ValueError, IndexError) as error:
        raise BadInput(f"{path}: no tree of alcapana: {error}") from error


def decays(hits: dict[str, np.ndarray], gain: np.ndarray | None, told: dict[str, float]) -> hist.Hist:
    """The times of the hits that look like positrons."""
    amplitude = hits["amplitude"] if gain is None else hits["amplitude"] / gain[hits["detector"]]
    bins = round((told["to"] - told["from"]) / told["bin"])
    stop = told["from"] + bins * told["bin"]
    axis = hist.axis.Regular(bins, told["from"], stop, label="time after the muon (us)")
    filled = hist.Hist(axis, storage=hist.storage.Double())
    filled.fill(hits["time"][amplitude >= told["amplitude"]])
    return filled


def write(path: str, run: int, found: hist.Hist, best: fit.Fit) -> None:
    """Write the output."""
    curve = found.copy()
    curve[...] = fit.curve(best.parameters, found.axes[0].centers)
    values = dict(zip(fit.PARAMETERS, best.parameters, strict=True))
    values |= {"error": best.error, "chi2": best.chi2}
    row = {name: np.array([value], "f8") for name, value in values.items()}
    row |= {
        name: np.array([value], "i4") for name, value in (("run", run), ("hits", int(found.sum())), ("ndf", best.ndf))
    }
    with uproot.recreate(path) as file:
        file["decays"], file["curve"] = found, curve
        file.mktree("fit", {name: array.dtype for name, array in row.items()})
        file["fit"].extend(row)


def analyse(options: argparse.Namespace, told: dict[str, float]) -> None:
    """Carry one run from its tree to a lifetime. Raises: BadInput, NoDecay, OSError."""
    run, hits = read(options.tree)
    found = decays(hits, gains(options.database) if options.calibrate else None, told)
    best = fit.lifetime(found.axes[0].centers, found.values(), told["precession"])
    write(options.out, run, found, best)
    print(f"run {run}: {found.sum():.0f} of {len(hits['time'])} hits, chi2/ndf {best.chi2:.0f}/{best.ndf}")
    print(f"lifetime {best.tau:.4f} +- {best.error:.4f} us")


def main() -> int:
    """Analyse one run."""
    parser = argparse.ArgumentParser(prog="rootana")
    for letter, name in (("i", "tree"), ("o", "out"), ("m", "modules")):
        parser.add_argument(f"-{letter}", required=True, dest=name, metavar=name.upper())
    parser.add_argument("-c", action="store_true", dest="calibrate")
    parser.add_argument("-d", dest="database", metavar="DATABASE")
    options = parser.parse_args()
    if options.calibrate and not options.database:
        parser.error("-c needs the gains: -d DATABASE")
    try:
        told = modules(options.modules)
    except (configparser.Error, ValueError, KeyError, OSError) as error:
        print(f"rootana: {options.modules}: {error}", file=sys.stderr)
        return 2
    try:
        analyse(options, told)
    except (BadInput, OSError) as error:
        print(f"rootana: {error}", file=sys.stderr)
        return 3
    except fit.NoDecay as error:
        print(f"rootana: {options.tree}: {error}", file=sys.stderr)
        return 4
    return 0


if __name__ == "__main__":
    sys.exit(main())
