"""A whole production on this machine: python -m demo [--directory=DIRECTORY].

Simulates twelve muon runs in two datasets, puts them on an FTP server, has run_production.py carry them through alcapana
and then through rootana, by the experiment's job scripts, and checks the muon's lifetime in what they wrote. Everything
goes into DIRECTORY (./demo-data). Again: an unfinished production goes on, after a finished one comes the next version.
"""

from __future__ import annotations

import signal

if __name__ == "__main__":
    signal.signal(signal.SIGINT, signal.SIG_DFL)  # a Ctrl-C ends it without a word, during these imports, too

import argparse
import contextlib
import dataclasses
import fcntl
import importlib.util
import os
import pathlib
import select
import shlex
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Iterator

from demo import command, password

FIRST = {"Al50": 2091, "SiR2": 2119}
"""The first run of each dataset."""

NEWEST = "SELECT max(version) FROM productions WHERE program = 'alcapana'"
BASED = """
SELECT max(r.version) FROM productions AS r JOIN productions AS a ON a.id = r.base
WHERE r.program = 'rootana' AND a.version = ?
"""


@dataclasses.dataclass(frozen=True, slots=True)
class Demo:
    """What was asked for, and how commands are given here."""

    directory: pathlib.Path
    runs: int
    decays: int
    batch: str
    rate: float
    """MiB/s of each transfer; 0: as quick as can be."""
    display: bool

    @property
    def python(self) -> str:
        return command.near(sys.executable)

    @property
    def run_production(self) -> tuple[str, ...]:
        script = command.near(pathlib.Path(__file__).resolve().parent.parent / "run_production.py")
        display = ["--display"] if self.display else []
        return (self.python, script, f"--config={self.near('production.toml')}", *display)

    @property
    def again(self) -> str:
        """The command for this demo, as it was given: by make, which tells its level, or without."""
        default = self.directory == pathlib.Path("demo-data").resolve()
        words = [] if default else [f"--directory={command.near(self.directory)}"]
        words += [] if self.batch == "local" else [f"--batch={self.batch}"]
        words += [f"--rate={self.rate:g}"] if self.rate else []
        words += ["--display"] if self.display else []
        if not words and "MAKELEVEL" in os.environ:
            return "make demo"
        return shlex.join([self.python, "-m", "demo", *words])

    @property
    def datasets(self) -> dict[str, str]:
        """Their runs, as ranges; two thirds are of the first."""
        first = min(-(-2 * self.runs // 3), self.runs - 1)
        sizes = zip(FIRST.items(), (first, self.runs - first), strict=True)
        return {name: f"{start}-{start + size - 1}" for (name, start), size in sizes}

    def near(self, name: str) -> str:
        return command.near(self.directory / name)

    def ask(self, query: str, *parameters: object) -> list[tuple[object, ...]]:
        """Read from the database, changing nothing."""
        database = (self.directory / "production.db").as_uri()
        with contextlib.closing(sqlite3.connect(f"{database}?mode=ro", uri=True, timeout=30)) as connection:
            return connection.execute(query, parameters).fetchall()

    def number(self, query: str, *parameters: object) -> int:
        """The number asked for, or 0."""
        [(found,)] = self.ask(query, *parameters)
        return int(str(found or 0))

    def letters(self, program: str, version: int) -> set[str]:
        """In which states the runs of a production are."""
        return {str(status) for (status,) in self.ask(f"SELECT DISTINCT status FROM {program}_v{version}")}  # noqa: S608


@contextlib.contextmanager
def alone(directory: pathlib.Path) -> Iterator[None]:
    """As long as this one lives, no other demo works in the directory. Raises: Stop, OSError."""
    if os.pathsep in str(directory):  # the DAQ software's programs, in there, are found by PATH
        raise command.Stop(f"{directory}: a PATH can't hold a colon; give the demo another --directory")
    directory.mkdir(parents=True, exist_ok=True)
    with open(directory / "demo.lock", "a+", encoding="utf-8", errors="replace") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            file.seek(0)
            who = file.readline().strip() or "it has just begun"
            raise command.Stop(
                f"{command.near(directory)}: another demo works there ({who}); let it end, or give another --directory"
            ) from None
        file.truncate(0)
        print(f"process {os.getpid()} on {os.uname().nodename}", file=file, flush=True)
        yield


def need(*modules: str) -> None:
    """See that the demo's programs will find what they import."""
    missing = [module for module in modules if importlib.util.find_spec(module) is None]
    if missing:
        raise command.Stop(
            f"The demo's programs need {' and '.join(missing)}: {sys.executable} -m pip install -e '.[demo]'", 2
        )


@contextlib.contextmanager
def archive(demo: Demo) -> Iterator[tuple[str, subprocess.Popen[bytes]]]:
    """The raw files behind an FTP server: its URL, and the server."""
    words = [demo.near("archive"), demo.near("netrc"), demo.near("archive.log")]
    words += [f"--rate={demo.rate:g}"] if demo.rate else []
    print(f"\n$ {shlex.join([demo.python, '-m', 'demo.server', *words])} &", flush=True)
    # in a group of its own: a Ctrl-C isn't meant for it, the manager has to give up its transfers in order first
    with command.started(
        [sys.executable, "-m", "demo.server", *words], stdout=subprocess.PIPE, process_group=0
    ) as server:
        try:
            assert server.stdout
            ready, _, _ = select.select([server.stdout], [], [], 30)
            port = server.stdout.readline().strip() if ready else b""
            if not port.isdigit():
                raise command.Stop("The FTP server didn't start.")
            yield f"ftp://{password.LOGIN}@{password.HOST}:{int(port)}/raw", server
        finally:
            server.kill()


def simulate(demo: Demo) -> None:
    """Take data."""
    for dataset, runs in demo.datasets.items():
        command.run(
            *(demo.python, "-m", "demo.simulate", demo.near("archive/raw"), demo.near("odb"), runs),
            *(f"--dataset={dataset}", f"--decays={demo.decays}"),
        )


def set_up(demo: Demo) -> None:
    """The database, and what runs there are."""
    product = (demo.python, "-m", "production")
    config = f"--config={demo.near('production.toml')}"
    if not (demo.directory / "production.db").exists():
        command.run(*product, "init", demo.near("production.db"))
    for tranche, (dataset, runs) in enumerate(demo.datasets.items(), 1):
        command.run(*product, "datasets", "add", runs, f"--dataset={dataset}", f"--tranche={tranche}", config)


def alcapana(demo: Demo, server: subprocess.Popen[bytes]) -> int:
    """The first pass over all runs, or what is left of it; its version."""
    version = demo.number(NEWEST)
    if not version or is_through(demo, version):
        command.run(*demo.run_production, "--production=alcapana", "--new=demo", beside=server, has_keys=demo.display)
        version += 1
    elif is_open(demo, "alcapana", version):
        which = f"--version={version}"
        command.run(*demo.run_production, "--production=alcapana", which, beside=server, has_keys=demo.display)
    finished(demo, "alcapana", version)
    return version


def is_through(demo: Demo, version: int) -> bool:
    """Whether there is nothing left to do with this version of alcapana, neither in it nor based on it."""
    if is_open(demo, "alcapana", version):
        return False
    if demo.letters("alcapana", version) != {"F"}:
        return True  # what failed is tried again in the next version
    based = demo.number(BASED, version)
    return bool(based) and not is_open(demo, "rootana", based)


def rootana(demo: Demo, base: int, server: subprocess.Popen[bytes]) -> int:
    """The second pass, or what is left of it; its version."""
    version = demo.number(BASED, base)
    if version and not is_open(demo, "rootana", version):
        return version
    which = [f"--version={version}"] if version else ["--new=demo", f"--version={base}"]
    command.run(*second_pass(demo), *which, beside=server, has_keys=demo.display)
    version = demo.number(BASED, base)
    finished(demo, "rootana", version)
    return version


def status(demo: Demo) -> tuple[str, ...]:
    return (demo.python, "-m", "production", "status", f"--config={demo.near('production.toml')}")


def second_pass(demo: Demo) -> tuple[str, ...]:
    return (
        *demo.run_production,
        "--production=rootana",
        f"--modules={demo.near('modules.txt')}",
        "--calib",
        f"--calibdatabase={demo.near('calibration.csv')}",
    )


def is_open(demo: Demo, program: str, version: int) -> bool:
    """Whether any of its runs may still be finished."""
    return not demo.letters(program, version) <= {"F", "E", "H"}


def finished(demo: Demo, program: str, version: int) -> None:
    """Raises: Stop if runs are not."""
    table = f"{program}_v{version}"
    left = demo.ask(f"SELECT run, elog FROM {table} WHERE status <> 'F' ORDER BY elog IS NULL, run")  # noqa: S608
    if left:
        run, log = left[0]
        told = demo.near(os.path.join("data", str(log))) if log else shlex.join(status(demo))
        raise command.Stop(f"{table}: {len(left)} of its runs did not finish, e.g. {run}; see {told}")


def report(demo: Demo, first: int, second: int) -> None:
    """Say where everything is, and what one may do next."""
    print(f"\nFinished: alcapana version {first}, rootana version {second}")
    for what, name in (
        ("raw files", "archive/raw"),
        ("ROOT files", f"data/tree/v{first}  data/hist/v{first}  data/out/v{second}"),
        ("plots", f"plots/v{second}/lifetime.png  plots/v{second}/runs.png"),
        ("database", "production.db"),
        ("settings", "production.toml"),
        ("logs", "data/log  archive.log"),
    ):
        print(f"  {what:10}  {'  '.join(map(demo.near, name.split()))}")
    print(f"\nTry next, in {pathlib.Path.cwd()}:")
    for words in next_commands(demo, first, second):
        print(f"  {shlex.join(words)}")
    print(f"The last one fits again, by what you change in {demo.near('modules.txt')} before.")
    print(f"And {demo.again} makes version {first + 1}.")


def next_commands(demo: Demo, first: int, second: int) -> tuple[tuple[str, ...], ...]:
    query = f"SELECT run, status, start, out FROM rootana_v{second}"  # noqa: S608
    database = demo.near("production.db")
    if shutil.which("sqlite3"):
        ask: tuple[str, ...] = ("sqlite3", database, query)
    else:
        code = f"import sqlite3; print(*sqlite3.connect({database!r}).execute({query!r}), sep='\\n')"
        ask = (demo.python, "-c", code)
    return (
        status(demo),
        ask,
        (*second_pass(demo), "--new=mine", f"--version={first}"),
    )


def show(demo: Demo) -> None:
    """The whole demo. Raises: Stop, OSError."""
    from demo import laboratory

    laboratory.furnish(demo.directory)
    simulate(demo)
    with archive(demo) as (url, server):
        laboratory.write_settings(demo.directory, url, demo.batch)
        set_up(demo)
        first = alcapana(demo, server)
        second = rootana(demo, first, server)
    command.run(demo.python, "-m", "demo.plots", command.near(demo.directory), str(second))
    report(demo, first, second)


def asked() -> Demo:
    """What the arguments say."""
    parser = argparse.ArgumentParser(
        prog="python -m demo",
        description="A whole production on this machine: simulated muon runs, from FTP to the muon's lifetime.",
    )
    parser.add_argument(
        "--directory", type=pathlib.Path, default=pathlib.Path("demo-data"), help="all of it goes there (%(default)s)"
    )
    parser.add_argument("--runs", type=int, default=12, choices=range(2, 29), metavar="N", help="2 to 28 (%(default)s)")
    parser.add_argument(
        "--decays", type=int, default=500_000, metavar="N", help="of muons in each new run (%(default)s)"
    )
    parser.add_argument(
        "--batch", default="local", choices=["local", "sge", "slurm"], help="who computes (%(default)s)"
    )
    parser.add_argument(
        "--rate",
        type=rate,
        default=0.0,
        metavar="R",
        help="MiB/s of each transfer, to see them go (as quick as can be)",
    )
    parser.add_argument("--display", action="store_true", help="show the dashboard of each production")
    options = parser.parse_args()
    return Demo(options.directory.resolve(), options.runs, options.decays, options.batch, options.rate, options.display)


def rate(text: str) -> float:
    """Raises: ValueError."""
    found = float(text)
    if not 0 < found < 1000:
        raise ValueError
    return found


def main() -> int:
    """Show, and say how it ended."""
    demo = asked()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.default_int_handler)
    try:
        need("numpy", "uproot", "hist", "matplotlib", "pyftpdlib")
        with alone(demo.directory):
            show(demo)
    except command.Stop as stop:
        print(f"\n{stop}", file=sys.stderr)
        return stop.code
    except OSError as error:
        print(f"\n{command.in_the_way(error, demo.directory)}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print(f"\nInterrupted; the whole demo, its FTP server and all, goes on with: {demo.again}", file=sys.stderr)
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())
