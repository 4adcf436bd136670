"""The shipped job scripts, run as plain programs against a small stand-in for the DAQ software."""

from __future__ import annotations

import os
import pathlib
import subprocess

import pytest

SCRIPTS = pathlib.Path(__file__).resolve().parent.parent / "sge_scripts"

ANALYZER = r"""#!/bin/sh
# Says how it was called, keeps what it was given, writes the files it is told to.
printf '%s\n' "$0" "$@" >"$HOME/called"
[ ! -e "$MIDAS_DIR/loaded" ] || cp "$MIDAS_DIR/loaded" "$HOME/loaded"
while [ $# -gt 0 ]; do
    case $1 in -o | -T) [ -e "$HOME/lazy" ] || echo "from $2" >"$2"; shift ;; esac
    shift
done
exit "${ANALYZER_RETURNS:-0}"
"""

ODBEDIT = r"""#!/bin/sh
[ "$1" = -c ] && [ -z "$MIDAS_EXPTAB" ] || exit 9
case $2 in
    "load load.odb") [ ! -e "$HOME/broken" ] && cat load.odb >>loaded ;;
    "save dump.odb") [ ! -e "$HOME/broken dump" ] && cp loaded dump.odb ;;
    *) exit 8 ;;
esac
"""


class Node:
    """A worker node: HOME and the DAQ software have blanks in their paths."""

    def __init__(self, root: pathlib.Path) -> None:
        self.home = root / "my home"
        self.daq = root / "DAQ software"
        self.temporary = root / "tmp dir"
        self.temporary.mkdir()
        self.alcapana = self.program(self.daq / "analyzer/work/muon/alcapana", ANALYZER)
        self.rootana = self.program(self.daq / "analyzer/rootana/rootana", ANALYZER)
        self.odbedit = self.program(self.daq / "bin/odbedit", ODBEDIT)
        self.write(self.daq / "thisdaq.sh", "PATH=$DAQdir/bin:$PATH\n[ $# -eq 0 ]\n")
        self.raw = self.write(self.home / "data/raw/run02091.mid", "raw")
        self.odb = self.write(self.home / "data/odb/run02091.odb", "odb\n")
        self.tree = self.write(root / "a tree.root", "tree")
        self.modules = self.write(root / "the modules", "modules")
        self.out = root / "new directory" / "out.root"

    def write(self, path: pathlib.Path, text: str) -> pathlib.Path:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        return path

    def program(self, path: pathlib.Path, text: str) -> pathlib.Path:
        self.write(path, text).chmod(0o755)
        return path

    def run(self, script: str, *arguments: str | pathlib.Path, **environment: str) -> tuple[int, str]:
        """Exit code and what it said on stderr."""
        known = {
            "PATH": os.defpath,
            "HOME": str(self.home),
            "USER": "muon",
            "DAQdir": str(self.daq),
            "TMPDIR": str(self.temporary),
        }
        known |= {"MIDAS_EXPTAB": "/somebody/else's"} | environment
        argv = [str(SCRIPTS / script), *map(str, arguments)]
        done = subprocess.run(
            argv, env={key: value for key, value in known.items() if value}, capture_output=True, text=True, check=False
        )
        return done.returncode, done.stderr

    def alcapana_job(self, **environment: str) -> tuple[int, str]:
        return self.run("alcapana.sge", "2091", **environment)

    def rootana_job(self, *options: str, **environment: str) -> tuple[int, str]:
        return self.run("rootana.sge", self.tree, self.out, self.modules, *options, **environment)

    def called(self) -> list[str]:
        return (self.home / "called").read_text().splitlines()


@pytest.fixture
def node(tmp_path: pathlib.Path) -> Node:
    return Node(tmp_path)


def test_alcapana_reads_and_writes_where_it_always_did(node: Node) -> None:
    data = node.home / "data"
    node.write(data / "corr/corr02091.odb", "correction\n")
    assert node.alcapana_job() == (0, "")
    hist, tree = data / "hist/hist02091.root", data / "tree/tree02091.root"
    assert node.called() == [str(node.alcapana), "-i", str(node.raw), "-o", str(hist), "-T", str(tree)]
    assert (hist.read_text(), tree.read_text()) == (f"from {hist}\n", f"from {tree}\n")
    assert (node.home / "loaded").read_text() == "odb\ncorrection\n"
    assert (data / "dump/dump02091.odb").read_text() == "odb\ncorrection\n"
    assert not list(node.temporary.iterdir())


@pytest.mark.parametrize("arguments", [(), ("",), ("x",), ("-1",), ("1", "2"), ("1; true",), ("1234567890",)])
def test_alcapana_wants_the_number_of_a_run(node: Node, arguments: tuple[str, ...]) -> None:
    code, said = node.run("alcapana.sge", *arguments)
    assert (code, said) == (64, f"alcapana.sge: one argument, the number of the run, not: {' '.join(arguments)}\n")


def test_a_run_number_may_have_leading_zeros(node: Node) -> None:
    assert node.run("alcapana.sge", "0002091") == (0, "")
    assert node.run("alcapana.sge", "0008")[1] == f"alcapana.sge: no raw file: {node.home}/data/raw/run00008.mid\n"


@pytest.mark.parametrize(
    ("missing", "code", "said"),
    [
        ("daq/thisdaq.sh", 68, "no odbedit in the PATH: /bin:/usr/bin"),
        ("alcapana", 67, "no analyzer: {alcapana}"),
        ("odbedit", 68, "no odbedit in the PATH: {daq}/bin:/bin:/usr/bin"),
        ("raw", 69, "no raw file: {raw}"),
        ("odb", 70, "no ODB file: {odb}"),
    ],
)
def test_alcapana_names_what_is_missing(node: Node, missing: str, code: int, said: str) -> None:
    name, _, below = missing.partition("/")
    (getattr(node, name) / below if below else getattr(node, name)).unlink()
    expected = f"alcapana.sge: {said.format(**vars(node))}\n"
    assert node.alcapana_job() == (code, expected.replace("/bin:/usr/bin", os.defpath))


@pytest.mark.parametrize("script", ["alcapana", "rootana"])
def test_the_daq_software_is_asked_for(node: Node, script: str) -> None:
    job = getattr(node, f"{script}_job")
    assert job(DAQdir="") == (65, f"{script}.sge: DAQdir is not set; it names the directory of the DAQ software\n")
    assert job(DAQdir="/no where") == (65, f"{script}.sge: DAQdir is no directory: /no where\n")
    node.write(node.daq / "thisdaq.sh", "false\n")
    assert job() == (66, f"{script}.sge: failed: {node.daq}/thisdaq.sh\n")


@pytest.mark.parametrize("output", ["tree/tree02091.root", "hist/hist02091.root", "dump/dump02091.odb"])
def test_alcapana_never_writes_over_an_output(node: Node, output: str) -> None:
    there = node.write(node.home / "data" / output, "old")
    assert node.alcapana_job() == (71, f"alcapana.sge: the output is there already: {there}\n")
    assert there.read_text() == "old"
    assert not (node.home / "called").exists()


def test_alcapana_says_when_the_odb_fails(node: Node) -> None:
    node.write(node.home / "broken dump", "")
    assert node.alcapana_job() == (74, "alcapana.sge: odbedit could not save the dump of run 02091\n")
    node.write(node.home / "broken", "")
    for output in ("tree", "hist"):
        (node.home / f"data/{output}/{output}02091.root").unlink()
    assert node.alcapana_job() == (73, f"alcapana.sge: odbedit could not load {node.odb}\n")
    assert not list(node.temporary.iterdir())


@pytest.mark.parametrize(("returns", "code"), [("3", 3), ("99", 1), ("100", 1)])
def test_the_programs_own_exit_code_is_handed_on_but_never_99_or_100(node: Node, returns: str, code: int) -> None:
    said = f"alcapana.sge: run 02091: alcapana returned {returns}\n"
    assert node.alcapana_job(ANALYZER_RETURNS=returns) == (code, said)
    assert not (node.home / "data/dump/dump02091.odb").exists()
    assert node.rootana_job(ANALYZER_RETURNS=returns) == (
        code,
        f"rootana.sge: {node.tree}: rootana returned {returns}\n",
    )


@pytest.mark.feature("AC-33")
def test_rootana_is_told_its_files_and_options(node: Node, tmp_path: pathlib.Path) -> None:
    always = [str(node.rootana), "-i", str(node.tree), "-o", str(node.out), "-m", str(node.modules)]
    assert node.rootana_job() == (0, "")
    assert node.called() == always
    assert node.out.read_text() == f"from {node.out}\n"
    node.out.unlink()
    database = node.write(tmp_path / "calib db", "")
    assert node.rootana_job("-c", "-d", str(database)) == (0, "")
    assert node.called() == [*always, "-c", "-d", str(database)]


@pytest.mark.parametrize(
    ("missing", "code", "said"),
    [
        ("rootana", 67, "no rootana: {rootana}"),
        ("tree", 69, "no tree file: {tree}"),
        ("modules", 70, "no modules file: {modules}"),
    ],
)
def test_rootana_names_what_is_missing(node: Node, missing: str, code: int, said: str) -> None:
    getattr(node, missing).unlink()
    assert node.rootana_job() == (code, f"rootana.sge: {said.format(**vars(node))}\n")


def test_rootana_refuses_what_it_does_not_know(node: Node) -> None:
    usage = "usage: rootana.sge TREEFILE OUTFILE MODULESFILE [-c] [-d DATABASE]"
    assert node.run("rootana.sge", node.tree, node.out) == (64, f"rootana.sge: {usage}\n")
    assert node.rootana_job("-x") == (64, f"rootana.sge: not an option: -x; {usage}\n")
    assert node.rootana_job("-c", "-d") == (64, f"rootana.sge: -d without a database; {usage}\n")
    assert node.rootana_job("-d", "/lost") == (75, "rootana.sge: no calibration database: /lost\n")


def test_rootana_neither_writes_over_an_output_nor_leaves_none(node: Node) -> None:
    node.write(node.home / "lazy", "")
    assert node.rootana_job() == (76, f"rootana.sge: rootana left no output: {node.out}\n")
    node.write(node.out, "old")
    assert node.rootana_job() == (71, f"rootana.sge: the output is there already: {node.out}\n")
    assert node.out.read_text() == "old"


@pytest.mark.parametrize("script", sorted(SCRIPTS.glob("*.sge")), ids=lambda path: path.name)
def test_a_script_asks_for_its_time_in_both_languages(script: pathlib.Path) -> None:
    lines = script.read_text().splitlines()
    assert lines[0] == "#!/bin/bash"
    (time,) = [line.partition("h_rt=")[2] for line in lines if line.startswith("#$ -l h_rt=")]
    assert f"#SBATCH --time={time}" in lines
