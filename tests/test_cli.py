"""The two commands as people type them: one clear line for a slip, and nothing touched."""

from __future__ import annotations

import argparse
import dataclasses
import hashlib
import os
import pathlib
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator, Sequence

import pytest

from production import __version__
from production.cli import production

FULL = "import os, sys; os.dup2(os.open('/dev/full', os.O_WRONLY), 1); os.execv(sys.argv[1], sys.argv[1:])"
"""Runs a command whose stdout is on a full disk."""

ROOT = pathlib.Path(__file__).resolve().parent.parent

SETTINGS = """
data = "data"

[programs.sim]
script = "/bin/true"

[programs.sim.outputs.tree]
path = "tree/v{version}/{run}"
written = "tree/{run}"

[programs.plain]
script = "/bin/true"

[programs.fit]
script = "/bin/true"
base = "sim.tree"
arguments = ["{input}"]

[programs.raw]
script = "/bin/true"
input = "run{run:05d}.mid"

[programs.configured]
script = "/bin/true"
arguments = ["{modules}"]
"""


@dataclasses.dataclass(frozen=True)
class Said:
    code: int
    out: str
    err: str

    def error(self) -> str:
        """The one line of a slip."""
        assert self.code == 2, self
        assert self.out == ""
        assert self.err.endswith("\n")
        assert self.err.count("\n") == 1, self.err
        line = self.err[:-1]
        assert line.isprintable(), line
        return line


@dataclasses.dataclass(frozen=True)
class Shift:
    """Somebody at a terminal, in a directory of their own."""

    directory: pathlib.Path

    @property
    def database(self) -> pathlib.Path:
        return self.directory / "production.db"

    def _say(self, command: Sequence[str], arguments: Sequence[str | bytes]) -> Said:
        environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
        environment |= {"HOME": str(self.directory / "home"), "TERM": "dumb", "LC_ALL": "C.UTF-8", "COLUMNS": "100"}
        done = subprocess.run(
            [sys.executable, *command, *arguments],
            cwd=self.directory,
            env=environment | {"PYTHONPATH": str(ROOT)},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert "Traceback" not in done.stderr, done.stderr
        return Said(done.returncode, done.stdout, done.stderr)

    def run_production(self, *arguments: str | bytes) -> Said:
        return self._say([str(ROOT / "run_production.py")], arguments)

    def production(self, *arguments: str | bytes) -> Said:
        return self._say(["-m", "production"], arguments)

    def good(self, *arguments: str) -> str:
        said = self.production(*arguments)
        assert (said.code, said.err) == (0, ""), said
        return said.out

    def here(self) -> dict[str, str]:
        """Every file, with a digest."""
        return {
            str(path.relative_to(self.directory)): hashlib.sha256(path.read_bytes()).hexdigest()
            for path in sorted(self.directory.rglob("*"))
            if path.is_file()
        } | {str(path.relative_to(self.directory)): "" for path in self.directory.rglob("*") if path.is_dir()}

    def lasting(self) -> dict[str, str]:
        """The same without what SQLite has beside a database that somebody has open, or looked at."""
        return {name: digest for name, digest in self.here().items() if not name.endswith(("-shm", "-wal"))}


@pytest.fixture
def empty(tmp_path: pathlib.Path) -> Shift:
    (tmp_path / "home").mkdir()
    return Shift(tmp_path)


@pytest.fixture(scope="module")
def ready(tmp_path_factory: pytest.TempPathFactory) -> Shift:
    """A database with runs, and settings. Nothing in the tests that share it may change it."""
    shift = Shift(tmp_path_factory.mktemp("shift"))
    (shift.directory / "home").mkdir()
    (shift.directory / "production.toml").write_text('database = "production.db"\n' + SETTINGS)
    shift.good("init", "production.db")
    shift.good("datasets", "add", "1-3", "--dataset=Al50", "--tranche=1")
    shift.good("datasets", "add", "4-5", "--dataset=Si16", "--tranche=2", "--quality=silver")
    return shift


# ── help ──


def test_help_says_what_there_is(empty: Shift) -> None:
    said = empty.run_production("--help")
    assert (said.code, said.err) == (0, "")
    options = "production version new pause nproc nprep spacelim display modules dataset tranche calib calibdatabase"
    for option in [*options.split(), "database", "help", "usage", "config", "batch", "quality", "follow"]:
        assert f"--{option}" in said.out
    for default in ("default 10", "default 5", "default 90", "~/data/production.db", "default: gold", "default local"):
        assert default in said.out, default
    for code in ("0  ", "1  ", "2  ", "3  ", "130  "):
        assert re.search(rf"^  {code}", said.out, re.MULTILINE)
    for other in ((), ("-h",), ("--usage",), ("--production=nonsense", "--help")):
        assert empty.run_production(*other) == said
    assert set(empty.here()) == {"home"}


def test_both_commands_tell_the_software_s_version(empty: Shift) -> None:
    assert empty.good("--version") == f"run_production {__version__}\n"
    assert f"This is run_production {__version__}.\n" in empty.run_production("--help").out


@pytest.mark.feature("AC-41")
def test_a_program_that_is_set_in_another_directory(empty: Shift, ready: Shift) -> None:
    line = empty.run_production("--production=sim").error()
    assert "there are: alcapana, rootana; no production.toml was found here: are you in the right directory?" in line
    assert "no production.toml" not in ready.run_production("--production=nonsense").error()


def test_help_of_the_other_command(empty: Shift) -> None:
    said = empty.production("--help")
    assert (said.code, said.err) == (0, "")
    assert empty.production() == said
    for command in ("init", "datasets", "status"):
        assert command in said.out
        assert empty.production(command, "--help").code == 0
    assert "2091-2103" in empty.production("datasets", "add", "-h").out
    assert set(empty.here()) == {"home"}


def parsers(parser: argparse.ArgumentParser, name: str = "") -> Iterator[tuple[str, argparse.ArgumentParser]]:
    """(name, parser) of each command."""
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            for word, below in action.choices.items():
                yield f"{name} {word}".strip(), below
                yield from parsers(below, f"{name} {word}".strip())


def test_the_commands_are_one_house() -> None:
    """Each says in a sentence or two what it does; what several have is called and placed the same."""
    order = ("--production", "--version", None, "--json", "--database", "--config")
    helps: dict[str, set[str]] = {}
    whole = production.parser()
    there = dict(parsers(whole))
    assert {"status", "datasets add", "archive get", "reset"} <= set(there)
    for name, parser in there.items():
        assert re.fullmatch(r"[A-Z].*[.?]", parser.description or ""), name
        names = [action.option_strings[-1] for action in parser._actions[1:] if action.option_strings]
        places = [order.index(one) if one in order else order.index(None) for one in names]
        assert places == sorted(places), name
        for action in parser._actions:
            if action.option_strings and action.option_strings[-1] in order and name != "archive get":
                helps.setdefault(action.option_strings[-1], set()).add(str(action.help))
    assert {option: len(texts) for option, texts in helps.items()} == dict.fromkeys(filter(None, order), 1)


def test_help_groups_the_commands_within_80_columns(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    whole = production.parser()
    said = whole.format_help()
    assert [line for line in said.splitlines() if re.fullmatch(r"\w+ ?\w*:", line)] == [
        "options:",
        "setting up:",
        "looking:",
        "telling:",
        "tending:",
    ]
    for name, parser in [("", whole), *parsers(whole)]:
        if name != "completion":  # it has paths that are not to be broken
            assert max(map(len, parser.format_help().splitlines())) <= 80, name


def test_what_the_readme_says_can_be_typed() -> None:
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    lines = [found[1] for found in re.finditer(r"[`\n;] ?production ((?!…)[a-z][^`\n#;]*)", text)]
    [table] = re.findall(r"^\| to \| say `production …` \|\n(.*?)\n\n", text, re.DOTALL | re.MULTILINE)
    named = [said for said in re.findall(r"`([^`]*)`", table) if not said.startswith("--")]
    whole = production.parser()
    for line in lines + named:
        whole.parse_args(shlex.split(line))
    missing = {name for name, parser in parsers(whole) if parser.get_default("command")}
    missing = {name for name in missing if not any(line.startswith(name) for line in named)}
    assert missing == {"archive list", "archive get", "completion"}, "it names them elsewhere, or not at all"


# ── slips ──


def test_a_script_with_dos_line_ends_is_one_line(empty: Shift) -> None:
    (empty.directory / "sim.sh").write_bytes(b"#!/bin/sh\r\nexit 0\r\n")
    (empty.directory / "production.toml").write_text(
        'database = "p.db"\ndata = "data"\n[programs.sim]\nscript = "sim.sh"\n'
    )
    empty.good("init", "p.db")
    line = empty.run_production("--production=sim", "--new=t").error()
    assert "sim.sh has DOS line ends; mend: sed -i" in line


@pytest.mark.feature("AC-08", "AC-28")
@pytest.mark.parametrize(("system", "client"), [("sge", "qsub"), ("slurm", "sbatch")])
def test_a_cluster_that_is_not_here_is_one_line(
    ready: Shift, monkeypatch: pytest.MonkeyPatch, system: str, client: str
) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    line = ready.run_production("--production=sim", "--new=v5", f"--batch={system}").error()
    assert f"--batch={system}: {client} is not on the PATH; load the cluster's environment first" in line


@pytest.mark.feature("AC-15")
@pytest.mark.parametrize("reader", ["mmlsquota", "lfs", "quota"])
def test_a_quota_program_that_is_not_here_is_one_line(
    running: Shift, monkeypatch: pytest.MonkeyPatch, reader: str
) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    with (running.directory / "production.toml").open("a") as file:
        file.write(f'[quota]\nreader = "{reader}"\n')
    line = running.run_production("--production=plain", "--new=v5").error()
    assert f'quota.reader = "{reader}": {reader} is not on the PATH' in line
    assert "no productions yet" in running.good("status")


@pytest.mark.feature("AC-41")
@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--version=1"], "--production=TYPE is missing"),
        (["--production="], "--production=TYPE is missing"),
        (["--production"], "expected one argument"),
        (["--production=nonsense"], "no such program.*alcapana, .*sim"),
        (["--production=sim", "--nonsense"], "--nonsense"),
        (["--production=sim", "--prod=x"], "--prod=x"),  # no abbreviations
        (["--production=sim", "extra"], "extra; see"),
        (["--production=sim", "--nprocs=4"], "--nprocs=4; did you mean --nproc\\?; see run_production --help"),
        (["--production=sim", "--modul", "file"], "did you mean --modules\\?"),
        (["--production=sim", "--nproc=0"], "--nproc=0: not allowed; a whole number from 1 to 10000"),
        (["--production=sim", "--nproc=-1"], "--nproc=-1"),
        (["--production=sim", "--nproc=1.5"], "--nproc=1.5"),
        (["--production=sim", "--nproc=many"], "--nproc=many"),
        (["--production=sim", "--nproc=10001"], "--nproc=10001"),
        (["--production=sim", "--nprep=-1"], "--nprep=-1"),
        (["--production=sim", "--pause=0"], "--pause=0"),
        (["--production=sim", "--pause=nan"], "--pause=nan"),
        (["--production=sim", "--pause=3601"], "--pause=3601"),
        (["--production=sim", "--spacelim=0.9"], "per cent, e.g. 90"),
        (["--production=sim", "--spacelim=1"], "per cent, e.g. 90"),
        (["--production=sim", "--spacelim=101"], "per cent, e.g. 90"),
        (["--production=sim", "--spacelim=90%"], "per cent, e.g. 90"),
        (["--production=sim", "--version=0"], "--version=0: a whole number from 1"),
        (["--production=sim", "--version=v1"], "--version=v1"),
        (["--production=sim", "--version=-1"], "--version=-1"),
        (["--production=sim", "--tranche=one"], "--tranche=one"),
        (["--production=sim", "--tranche=-1"], "--tranche=-1"),
        (["--production=sim", "--batch=pbs"], '"local" or "sge" or "slurm"'),
        (["--production=sim", "--config=none.toml"], "none.toml: no such file"),
        (["--production=sim", "--config=production.db"], "production.db"),
        (
            ["--production=sim", "--database=none.db"],
            "none.db is not there .settings: .*production.toml.; are you in the right directory",
        ),
        (["--production=sim", "--database="], "--database"),
        (["--production=sim", "--database=home"], "home is not a file"),
        (["--production=sim", "--database=production.toml"], "production.toml"),
        (["--production=sim", "--new=t", "--modules=none"], "--modules=none"),
        (["--production=sim", "--new=t", "--modules=/dev/zero"], "--modules=/dev/zero: not a regular file"),
        (["--production=sim", "--new=t", "--modules=home"], "--modules=home: not a regular file"),
        (["--production=configured", "--new=t"], "--modules=FILE"),
        (["--production=raw", "--new=t"], "archive"),
        (["--production=sim", "--new=t", "--dataset=Al51"], "no such dataset.*: Al50, Si16"),
        (["--production=sim", "--new=t", "--dataset=Al50", "--dataset="], "no such dataset.*: Al50, Si16"),
        (["--production=sim", "--new=t", "--tranche=7"], "no such tranche.*: 1, 2"),
        (["--production=sim", "--new=t", "--quality=bronze"], "no such quality.*: gold, silver"),
        (["--production=sim"], "no sim production yet; start one with --new=TAG"),
        (["--production=fit"], r"no fit production yet; start one with --new=TAG --version=N \(of its base\)"),
        (["--production=sim", "--version=1"], "start one with --new=TAG"),
        (["--production=sim", "--quality=gold"], "use it with --new=TAG"),
        (["--production=sim", "--new="], "--new=TAG"),
        (["--production=sim", "--new= "], "--new=TAG"),
        (["--production=sim", "--new=a\nb"], "--new=TAG"),
        (["--production=sim", "--new"], "expected one argument"),
        (["--production=sim", "--new=t", "--version=1"], "has no base: leave out --version"),
        (["--production=fit", "--new=t"], "fit is based on sim: say on which with --version=N"),
        (["--production=fit", "--new=t", "--version=1"], "no such sim production; there are: none"),
        (["--production=s\nim"], "no such program"),
        (["--production=sim", "--new=t", "--dataset=a\nb"], "no such dataset"),
        (["--production=sim", "--non\nsense"], "sense"),
    ],
    ids=lambda value: " ".join(value).replace("\n", "\\n") if isinstance(value, list) else "",
)
def test_a_slip_is_one_line_and_touches_nothing(ready: Shift, arguments: list[str], words: str) -> None:
    before = ready.here()
    line = ready.run_production(*arguments).error()
    assert line.startswith("run_production: ")
    assert re.search(words, line), line
    assert ready.here() == before


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("nproc = 0", "production.toml:1: nproc: 0 is not allowed"),
        ("\n\nnprok = 3", 'production.toml:3: nprok: no such key; did you mean "nproc"'),
        ("nproc = ", "production.toml:1: "),
    ],
)
def test_a_slip_in_the_settings_names_file_line_and_key(empty: Shift, text: str, words: str) -> None:
    (empty.directory / "production.toml").write_text(text)
    before = empty.here()
    for said in (empty.run_production("--production=sim"), empty.production("status")):
        assert words in said.error()
    assert empty.here() == before


def test_a_script_that_is_not_there_is_shown_where_it_was_set(empty: Shift) -> None:
    (empty.directory / "production.toml").write_text(SETTINGS + '[programs.lost]\nscript = "lost.sh"\n')
    line = empty.run_production("--production=lost").error()
    number = SETTINGS.count("\n") + 2
    assert f"production.toml:{number}: programs.lost.script: {empty.directory}/lost.sh is not there" in line
    (empty.directory / "lost.sh").mkdir()
    assert "lost.sh is not a file" in empty.run_production("--production=lost").error()


def test_a_slip_touches_not_even_a_new_database(empty: Shift) -> None:
    (empty.directory / "production.toml").write_text('database = "production.db"\n' + SETTINGS)
    empty.good("init", "production.db")
    before = empty.here()
    empty.run_production("--production=sim", "--new=t", "--dataset=Al50").error()
    assert empty.here() == before


def test_data_that_can_not_be_written_is_a_slip(empty: Shift) -> None:
    """Seen at the door, before a version is opened for it."""
    (empty.directory / "production.toml").write_text(
        'database = "production.db"\n' + SETTINGS.replace('"data"', '"file/data"')
    )
    (empty.directory / "file").write_text("")
    (empty.directory / "modules").write_text("modules\n")
    empty.good("init", "production.db")
    empty.good("datasets", "add", "1", "--dataset=Al50")
    before = empty.here()
    for program in ("configured", "plain"):
        line = empty.run_production(f"--production={program}", "--new=t", "--modules=modules").error()
        assert "file/data" in line
    assert empty.here() == before


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["nonsense"], "nonsense"),
        (["inti"], "did you mean init\\?"),
        (["stats"], "did you mean status\\?; see production --help"),
        (["dataset", "add"], "did you mean datasets\\?"),
        (["datasets", "ad"], "did you mean add\\?; see production datasets --help"),
        (["datasets", "add", "1", "--datset=x"], "did you mean --dataset\\?; see production datasets add --help"),
        (["status", "--databse=x"], "did you mean --database\\?"),
        (["--nonsense"], "COMMAND|--nonsense"),
        (["init"], "/production.db exists already; nothing was changed"),
        (["init", "production.db"], "exists already; nothing was changed"),
        (["init", "home"], "exists already"),
        (["init", "no/such/new.db"], "new.db can't be made"),
        (["init", "production.toml/new.db"], "new.db can't be made"),
        (["init", ""], ""),
        (["init", b"\xff/new.db"], "can't be made"),
        (["init", "a.db", "b.db"], "b.db"),
        (["datasets"], "COMMAND"),
        (["datasets", "remove"], "remove"),
        (["datasets", "add"], "RANGE"),
        (["datasets", "add", "1-3"], "--dataset=SET"),
        (["datasets", "add", "1-3", "--dataset="], "--dataset=SET"),
        (["datasets", "add", "3-1", "--dataset=x"], "3-1: a range goes up"),
        (["datasets", "add", "1-99999999", "--dataset=x"], "1-99999999: a range goes up, by at most"),
        (["datasets", "add", "1-", "--dataset=x"], "1-"),
        (["datasets", "add", "one", "--dataset=x"], "one"),
        (["datasets", "add", "1", "two", "--dataset=x"], "two: neither a CSV file nor runs"),
        (["datasets", "add", "1..3", "--dataset=x"], "1..3"),
        (["datasets", "add", "1,2", "--dataset=x"], "1,2"),
        (["datasets", "add", "٣", "--dataset=x"], "٣"),
        (["datasets", "add", "12345678901", "--dataset=x"], "12345678901"),
        (["datasets", "add", "1", "--dataset=x", "--tranche=one"], "--tranche=one: a whole number from 0"),
        (["datasets", "add", "1", "--dataset=Al50"], "run 1 is in dataset Al50 already, as gold, tranche 1"),
        (["datasets", "add", "6-9", "4", "--dataset=Si16", "--tranche=2"], "run 4 is in dataset Si16 already"),
        (["datasets", "add", "none.csv"], "none.csv is not there"),
        (["datasets", "add", "home"], "not a regular file but a directory"),
        (["datasets", "add", "/dev/zero"], "/dev/zero: not a regular file but a device"),
        (["datasets", "add", "production.db"], "production.db"),
        (["datasets", "add", "a.csv", "b.csv"], "a.csv is not there"),
        (["datasets", "add", "production.toml", "--dataset=x"], "production.toml"),
        (["datasets", "add", "1", "--dataset=x", "--database=none.db"], "none.db is not there"),
        (["status", "--database=none.db"], "none.db is not there"),
        (["status", "--database=production.toml"], "production.toml"),
        (["status", "extra"], "extra"),
    ],
    ids=str,
)
def test_a_slip_in_the_other_command(ready: Shift, arguments: list[str | bytes], words: str) -> None:
    before = ready.here()
    line = ready.production(*arguments).error()
    assert line.startswith("production: ")
    assert re.search(words, line), line
    assert ready.here() == before


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (b"", ":1: the header must have run and dataset"),
        (b"\n", ":1: the header"),
        (b"run\n1\n", ":1: the header"),
        (b"dataset\nAl50\n", ":1: the header"),
        (b"run,dataset,run\n1,Al50,2\n", ":1: the column run stands there twice"),
        (b"run,dataset,colour\n1,Al50,red\n", "'colour' is none of them"),
        (b"2091,Al50\n2092,Al50\n", ":1: the header"),
        (b"run,dataset\n1,Al50\nx,Al50\n", ":3: run 'x': not a whole number"),
        (b"run,dataset\n-1,Al50\n", ":2: run '-1'"),
        (b"run,dataset\n1.0,Al50\n", ":2: run '1.0'"),
        (b"run,dataset\n,Al50\n", ":2: run ''"),
        (b"run,dataset\n1,\n", ":2: dataset is empty"),
        (b"run,dataset\n1\n", ":2: not as many fields"),
        (b"run,dataset\n1,Al50,gold\n", ":2: not as many fields"),
        (b"run,dataset,tranche\n1,Al50,first\n", ":2: tranche 'first'"),
        (b"run,dataset\n1,caf\xe9\n", "not a CSV text in UTF-8"),
        (b"run,dataset\n1,Al50\n1,Al50,\n", ":3: not as many"),
        (b"run,dataset,quality\n1,Al50,gold\n1,Al50,silver\n", "run 1 is in dataset Al50 already"),
        (b'run,dataset\n1,"' + b"x" * 200_000 + b'"\n', "not a CSV text"),
    ],
)
def test_garbage_in_a_table_adds_nothing(ready: Shift, tmp_path: pathlib.Path, text: bytes, words: str) -> None:
    (tmp_path / "runs.csv").write_bytes(text)
    before = ready.here()
    line = ready.production("datasets", "add", str(tmp_path / "runs.csv")).error()
    assert "runs.csv" in line or "run 1" in line
    assert words in line
    assert ready.here() == before


def test_files_that_never_end_are_slips(empty: Shift) -> None:
    """A pipe nobody writes into, and files (with a hole for most of it) that would fill the memory."""
    (empty.directory / "production.toml").write_text('database = "production.db"\n' + SETTINGS)
    empty.good("init", "production.db")
    os.mkfifo(empty.directory / "pipe")
    for name, size in (("large", (16 << 20) + 1), ("huge", 5 << 30), ("line", 200 << 20)):
        with (empty.directory / name).open("wb") as file:
            file.truncate(size)
    start = ("--production=configured", "--new=t")
    assert "--modules=pipe: not a regular file" in empty.run_production(*start, "--modules=pipe").error()
    assert "is this really a configuration file?" in empty.run_production(*start, "--modules=large").error()
    assert "is this really a configuration file?" in empty.run_production(*start, "--modules=huge").error()
    assert "pipe: not a regular file but a pipe" in empty.production("datasets", "add", "pipe").error()
    assert (
        "huge: more than 1024 MB; is this really a table of runs?"
        in empty.production("datasets", "add", "huge").error()
    )
    assert "line: not a CSV text" in empty.production("datasets", "add", "line").error()


@pytest.mark.parametrize(
    "command",
    [
        [str(ROOT / "run_production.py"), "--help"],
        ["-m", "production"],
        ["-m", "production", "datasets", "add", "--help"],
        ["-m", "production", "status"],
        ["-m", "production", "datasets", "add", "1", "--dataset=Al50", "--tranche=1"],
    ],
    ids=lambda command: " ".join(command[1:]),
)
def test_an_answer_that_can_not_be_written(ready: Shift, command: list[str]) -> None:
    said = ready._say(["-c", FULL, sys.executable, *command], ())
    assert said.code == 1
    assert re.fullmatch(r"(run_)?production: stdout: No space left on device\n", said.err), said.err


# ── setting up ──


@pytest.mark.feature("AC-01")
def test_a_campaign_is_set_up(empty: Shift) -> None:
    at = f"--database={empty.database}"
    assert "made production.db" in empty.good("init", "production.db")
    assert "no productions yet" in empty.good("status", at)
    ranges = ("datasets", "add", "2091-2103", "2119-2172", "2190", at, "--dataset=Al50", "--tranche=1")
    assert empty.good(*ranges) == "68 runs added, 0 were there already\n"
    before = empty.here()
    assert empty.good(*ranges) == "0 runs added, 68 were there already\n"
    assert empty.here() == before
    assert empty.good("datasets", "add", "1-5", "3-7", "5", at, "--dataset=x").startswith("7 runs added")


@pytest.mark.feature("AC-01")
def test_a_database_is_made_where_the_settings_say(empty: Shift) -> None:
    assert "mend: mkdir -p" in empty.production("init").error()  # ~/data is not there
    (empty.directory / "home" / "data").mkdir()
    made = empty.directory / "home" / "data" / "production.db"
    assert empty.good("init") == f"made {made}; next: production datasets add --help\n"
    assert "no productions yet" in empty.good("status")
    (empty.directory / "production.toml").write_text('database = "ours.db"')
    (empty.directory / "other.toml").write_text('database = "other.db"')
    assert f"made {empty.directory}/ours.db" in empty.good("init")
    assert f"made {empty.directory}/other.db" in empty.good("init", "--config=other.toml")
    before = empty.here()
    assert f"{empty.directory}/ours.db exists already; nothing was changed" in empty.production("init").error()
    assert empty.here() == before


def test_tables_as_spreadsheets_write_them(empty: Shift) -> None:
    at = f"--database={empty.database}"
    empty.good("init", "production.db")
    lines = ["geometry,quality,tranche,dataset,run", "R15b,gold,1,Al50,2091", ",, ,Al50, 2092 ", "", '"","",2,"a, b",7']
    (empty.directory / "runs.csv").write_bytes(b"\xef\xbb\xbf" + "\r\n".join(lines).encode())
    assert empty.good("datasets", "add", "runs.csv", at) == "3 runs added, 0 were there already\n"
    assert empty.good("datasets", "add", "2092", at, "--dataset=Al50") == "0 runs added, 1 were there already\n"
    same = ("datasets", "add", "2091", at, "--dataset=Al50", "--tranche=1", "--quality=gold", "--geometry=R15b")
    assert empty.good(*same) == "0 runs added, 1 were there already\n"
    assert empty.good("datasets", "add", "7", at, "--dataset=a, b", "--tranche=2").startswith("0 runs added")


# ── going on ──


@pytest.fixture
def running(empty: Shift) -> Shift:
    """Two runs, one of them silver; a program that does nothing."""
    (empty.directory / "production.toml").write_text('database = "production.db"\n' + SETTINGS)
    empty.good("init", "production.db")
    empty.good("datasets", "add", "1", "--dataset=Al50", "--tranche=0")
    empty.good("datasets", "add", "2", "--dataset=Si16", "--quality=silver")
    return empty


def finished(said: Said) -> str:
    assert said.code == 0, said
    return said.err


@pytest.mark.feature("AC-03", "AC-36")
def test_versions(running: Shift) -> None:
    assert "Finished run: 1" in finished(running.run_production("--production=plain", "--new=v5-1"))
    assert "Finished run: 2" in finished(running.run_production("--production=plain", "--new=v5-2", "--quality=silver"))
    assert running.good("status").splitlines() == [
        "plain_v1 (v5-1, gold): finished: 1 finished",
        "plain_v2 (v5-2, silver): finished: 1 finished",
    ]
    before = running.lasting()
    assert "plain_v2 is finished since" in finished(running.run_production("--production=plain"))
    assert "plain_v1 is finished since" in finished(running.run_production("--production=plain", "--version=1"))
    line = running.run_production("--production=plain", "--version=3").error()
    assert "--version=3: there is no such plain production; there are: 1, 2" in line
    assert running.lasting() == before


@pytest.mark.feature("AC-04")
def test_a_version_on_a_base(running: Shift) -> None:
    """A base that is open, as its output never comes; and one run of it held."""
    script = running.directory / "production.toml"
    sim = '[programs.sim]\nscript = "/bin/sh"\narguments = ["-c", "mkdir -p ~/tree; echo {run} > ~/tree/{run}"]'
    script.write_text(script.read_text().replace('[programs.sim]\nscript = "/bin/true"', sim))
    finished(running.run_production("--production=sim", "--new=v5"))
    line = running.run_production("--production=fit", "--new=w1", "--version=2").error()
    assert "--version=2: there is no such sim production; there are: 1" in line
    assert "Finished run: 1" in finished(running.run_production("--production=fit", "--new=w1", "--version=1"))
    assert "fit_v1 (w1, gold, on v1 of its base): finished: 1 finished" in running.good("status")
    assert (running.directory / "data" / "tree" / "v1" / "1").read_text() == "1\n"


@pytest.mark.feature("AC-07", "AC-41")
def test_every_dataset_and_tranche_can_be_chosen(running: Shift) -> None:
    running.good("datasets", "add", "3", "--dataset=an odd name, a=b", "--tranche=4")
    said = running.run_production("--production=plain", "--new=t", "--tranche=4")
    assert "Finished run: 3" in said.err
    assert "Submitting run: 1" not in said.err
    assert "plain_v1, tranche 4: 1 finished\n" in said.err
    assert said.code == 0, said
    said = running.run_production("--production=plain", "--dataset=an odd name, a=b")
    assert said.code == 0, said
    assert "plain_v1 (t, gold): open: 1 finished, 1 new" in running.good("status")
    assert "Finished run: 1" in finished(running.run_production("--production=plain", "--tranche=0"))


def test_without_runs_of_that_quality_no_version_is_opened(running: Shift) -> None:
    empty = running.directory / "empty.db"
    running.good("init", str(empty))
    line = running.run_production("--production=plain", "--new=t", f"--database={empty}").error()
    assert "no gold runs for plain; add some: production datasets add" in line
    assert "no productions yet" in running.good("status", f"--database={empty}")


def test_there_is_a_version() -> None:
    assert re.fullmatch(r"\d+\.\d+\.\d+", __version__)
