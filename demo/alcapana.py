#!/usr/bin/env python3
"""The demo's analyzer: unpack a raw run to a ROOT tree and histograms, alcapana -i RAW -o HIST -T TREE.

Called as the AlCap experiment's own is, with the run's online database loaded by ``odbedit``. Writes

* TREE: the tree ``hits`` (event, detector, time in us after the muon, amplitude) and the tree ``run`` (run, hits),
* HIST: ``time`` and ``amplitude``, and how many hits each ``detector`` has.

Exit code 0: done; 2: wrong usage; 3: the raw file or the ODB is broken or unreadable.
"""

from __future__ import annotations

import signal

if __name__ == "__main__":
    signal.signal(signal.SIGINT, signal.SIG_DFL)  # a Ctrl-C ends it without a word, during these imports, too

import argparse
import os
import re
import sys

import hist
import numpy as np
import uproot

from demo import midas

BRANCHES = {"event": "i4", "detector": "i4", "time": "f4", "amplitude": "i4"}


def setting(database: str, name: str) -> int:
    """A number in the ODB; of several the last, for corrections are loaded last.

    Raises: BadFile.
    """
    found = re.findall(rf"^{re.escape(name)} = INT : (-?\d+)", database, re.MULTILINE)
    if not found:
        raise midas.BadFile(f"the ODB has no {name!r}")
    return int(found[-1])


def unpack(path: str, database: str) -> tuple[int, dict[str, np.ndarray]]:
    """The number of the run, and its hits, branch by branch. Raises: BadFile, OSError."""
    tick, zero = setting(database, "Tick (ns)"), setting(database, "Time zero (ns)")
    number, parts = -1, []
    for event in midas.read(path):
        if event.id == midas.BEGIN:
            number = event.serial
        elif event.id < midas.BEGIN:
            parts.append(hits(path, event))
    if number != setting(database, "Run number"):
        raise midas.BadFile(f"{path}: run {number}, but the ODB is of run {setting(database, 'Run number')}")
    found = {name: np.concatenate([part[name] for part in parts]) for name in BRANCHES} if parts else {}
    if not found:
        raise midas.BadFile(f"{path}: a run without events")
    # a tick is counted when it has passed: the middle, which also is never the edge of a bin
    found["time"] = ((found["time"] + 0.5) * tick - zero) / 1000
    return number, {name: found[name].astype(type_) for name, type_ in BRANCHES.items()}


def hits(path: str, event: midas.Event) -> dict[str, np.ndarray]:
    """The hits of one event."""
    try:
        banks = {bank.name: bank.array for bank in event.banks()}
        time, detector, amplitude = (banks[name] for name in ("TIME", "DETE", "AMPL"))
    except (midas.BadFile, KeyError) as error:
        raise midas.BadFile(f"{path}: event {event.serial}: {error}") from error
    if not len(time) == len(detector) == len(amplitude):
        raise midas.BadFile(f"{path}: event {event.serial}: banks of different lengths")
    return {"event": np.full(len(time), event.serial), "time": time, "detector": detector, "amplitude": amplitude}


def write_tree(path: str, run: int, found: dict[str, np.ndarray]) -> None:
    """Write both trees."""
    with uproot.recreate(path) as file:
        file.mktree("hits", {name: values.dtype for name, values in found.items()})
        file["hits"].extend(found)
        file.mktree("run", {"run": "i4", "hits": "i4"})
        file["run"].extend({"run": np.array([run], "i4"), "hits": np.array([len(found["time"])], "i4")})


def write_histograms(path: str, detectors: int, found: dict[str, np.ndarray]) -> None:
    """Write what the shift looks at."""
    shown = {
        "time": hist.axis.Regular(675, -0.5, 13, label="time after the muon (us)"),
        "amplitude": hist.axis.Regular(256, 0, 4096, label="amplitude (ADC counts)"),
        "detector": hist.axis.Regular(detectors, -0.5, detectors - 0.5, label="detector"),
    }
    with uproot.recreate(path) as file:
        for name, axis in shown.items():
            filled = hist.Hist(axis, storage=hist.storage.Double())
            filled.fill(found[name])
            file[name] = filled


def main() -> int:
    """Unpack one run."""
    parser = argparse.ArgumentParser(prog="alcapana")
    for letter, name in (("i", "raw"), ("o", "hist"), ("T", "tree")):
        parser.add_argument(f"-{letter}", required=True, dest=name, metavar=name.upper())
    files = parser.parse_args()
    try:
        with open(os.path.join(os.environ["MIDAS_DIR"], "online.odb"), encoding="latin-1") as file:
            database = file.read()
        run, found = unpack(files.raw, database)
        write_histograms(files.hist, setting(database, "Detectors"), found)
    except KeyError:
        print("alcapana: MIDAS_DIR is not set; the ODB is there", file=sys.stderr)
        return 2
    except (midas.BadFile, OSError) as error:
        print(f"alcapana: {error}", file=sys.stderr)
        return 3
    write_tree(files.tree, run, found)
    print(f"run {run}: {len(found['time'])} hits")
    return 0


if __name__ == "__main__":
    sys.exit(main())
