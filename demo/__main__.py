"""A whole production on this machine: python -m demo [DIRECTORY].

Simulates five muon runs, has run_production.py carry them through lifetime.sh, and checks the muon's lifetime in what
they wrote. Everything goes into DIRECTORY (./demo-data). Again: an unfinished production goes on, after a finished one
comes the next version.
"""

from __future__ import annotations

import argparse
import contextlib
import importlib.util
import json
import os
import pathlib
import shlex
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Sequence

HERE = pathlib.Path(__file__).resolve().parent
FIRST, COUNT = 3110, 5
KNOWN = 2.197
"""The muon's lifetime in us."""
RUNS = "SELECT run, status, tree FROM lifetime_v{}"
NEWEST = "SELECT coalesce(max(version), 0) FROM productions WHERE program = 'lifetime'"


class Stop(Exception):
    """The demo ends here; the message says why."""

    def __init__(self, message: str, code: int = 1) -> None:
        super().__init__(message)
        self.code = code


def need(*modules: str) -> None:
    """See that the demo's programs will find what they import."""
    missing = [module for module in modules if importlib.util.find_spec(module) is None]
    if missing:
        raise Stop(f"The demo's programs need {' and '.join(missing)}: {sys.executable} -m pip install numpy uproot", 2)


def near(path: pathlib.Path | str) -> str:
    """The path as one would type it here."""
    relative = os.path.relpath(path)
    return str(path) if relative.startswith("..") else relative


def run(*command: str) -> None:
    """Say and do. A Ctrl-C is the child's, too: it cleans up and we wait for it.

    Raises: Stop if the command fails; 3 (done, but runs failed) is for the caller to see in the database.
    """
    print(f"\n$ {shlex.join(command)}", flush=True)
    interrupted = []
    before = signal.signal(signal.SIGINT, lambda number, _: interrupted.append(number))
    try:
        code = subprocess.Popen(command).wait()
    finally:
        signal.signal(signal.SIGINT, before)
    if interrupted or code in (130, -signal.SIGINT):
        raise Stop("Interrupted; the same command goes on from here.", 130)
    if code not in (0, 3):
        raise Stop(f"That ended with exit code {code}.")


def write_settings(directory: pathlib.Path) -> pathlib.Path:
    """Write the demo's production.toml for this directory and this Python."""
    words = {
        "database": str(directory / "production.db"),
        "data": str(directory),
        "archive": f"file:{directory / 'archive'}",
        "batch": "local",
    }
    top = [f"{key} = {json.dumps(value, ensure_ascii=False)}" for key, value in words.items()]
    programs = "".join((HERE / "production.toml").read_text("utf-8").partition("[programs.")[1:])
    script = json.dumps(str(HERE / "lifetime.sh"), ensure_ascii=False)
    python = json.dumps(sys.executable, ensure_ascii=False)
    path = directory / "production.toml"
    path.write_text(
        f"# Written anew by each `python -m demo`; its model is {HERE / 'production.toml'}.\n\n"
        + "\n".join(top)
        + "\n\n"
        + programs.replace('script = "lifetime.sh"', f"script = {script}")
        + f"\n[programs.lifetime.environment]\nPYTHON = {python}\n",
        "utf-8",
    )
    return path


def ask(database: pathlib.Path, query: str) -> list[tuple[object, ...]]:
    """Read from the database, changing nothing."""
    with contextlib.closing(sqlite3.connect(f"{database.as_uri()}?mode=ro", uri=True, timeout=30)) as connection:
        return connection.execute(query).fetchall()


def newest(database: pathlib.Path) -> int:
    """The newest version, or 0."""
    [(version,)] = ask(database, NEWEST)
    return int(str(version))


def is_open(database: pathlib.Path, version: int) -> bool:
    """Whether any of its runs is neither finished, failed nor held."""
    return any(status not in ("F", "E", "H") for _, status, _ in ask(database, RUNS.format(version)))


def produce(directory: pathlib.Path, settings: pathlib.Path) -> None:
    """Give the commands a user gives."""
    python, database = near(sys.executable), directory / "production.db"
    product = (python, "-m", "production")
    run(python, near(HERE / "make_runs.py"), near(directory / "archive"), str(FIRST), str(COUNT))
    if not database.exists():
        run(*product, "init", near(database))
    runs = f"{FIRST}-{FIRST + COUNT - 1}"
    run(*product, "datasets", "add", runs, "--dataset=Y1248", f"--config={near(settings)}")
    version = newest(database)
    new = [] if version and is_open(database, version) else ["--new=demo"]
    script = near(HERE.parent / "run_production.py")
    run(python, script, f"--config={near(settings)}", "--production=lifetime", *new)


def lifetime(trees: Sequence[pathlib.Path]) -> tuple[float, float]:
    """Mean of the runs' lifetimes, weighted by their errors, and its error."""
    import uproot

    total = weights = 0.0
    for tree in trees:
        with uproot.open(tree) as file:
            fit = file["fit"].arrays(["detector", "tau", "error"], library="np")
        for detector, tau, error in zip(fit["detector"], fit["tau"], fit["error"], strict=True):
            if detector == -1:
                total += tau / error**2
                weights += 1 / error**2
    return float(total / weights), float(weights**-0.5)


def report(directory: pathlib.Path, settings: pathlib.Path) -> None:
    """Say where everything is and what it shows. Raises: Stop if that isn't the muon."""
    database = directory / "production.db"
    version = newest(database)
    trees = [directory / str(tree) for _, status, tree in ask(database, RUNS.format(version)) if status == "F"]
    print(f"\n{len(trees)} of {COUNT} runs finished, version {version}")
    for what, path in (
        ("trees", directory / f"tree/v{version}"),
        ("histograms", directory / f"hist/v{version}"),
        ("logs", directory / f"log/v{version}"),
        ("database", database),
        ("settings", settings),
    ):
        print(f"  {what:10} {near(path)}")
    if len(trees) < COUNT:
        raise Stop("Some runs did not finish.")
    tau, error = lifetime(trees)
    print(f"\nThe muon lives {tau:.4f} +- {error:.4f} us in these simulated runs (known: {KNOWN}).")
    if abs(tau / KNOWN - 1) > 0.05:
        raise Stop("That is more than 5 % off.")
    again = [near(directory)] if directory != pathlib.Path("demo-data").resolve() else []
    print("\nTry next:")
    for command in (
        [near(sys.executable), "-m", "production", "status", f"--config={near(settings)}"],
        ["sqlite3", near(database), RUNS.format(version)],
        [near(sys.executable), "-m", "demo", *again],
    ):
        print(f"  {shlex.join(command)}")
    print(f"The last one makes version {version + 1}.")


def main() -> int:
    """Make, run, check."""
    parser = argparse.ArgumentParser(prog="python -m demo", description="A whole production on this machine.")
    parser.add_argument("directory", nargs="?", type=pathlib.Path, default=pathlib.Path("demo-data"))
    directory = parser.parse_args().directory.resolve()
    try:
        need("numpy", "uproot")
        directory.mkdir(parents=True, exist_ok=True)
        settings = write_settings(directory)
        produce(directory, settings)
        report(directory, settings)
    except Stop as stop:
        print(f"\n{stop}", file=sys.stderr)
        return stop.code
    except KeyboardInterrupt:
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())
