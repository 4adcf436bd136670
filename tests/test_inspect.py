"""The inspector: rules, checksums, and what a shift is told."""

from __future__ import annotations

import contextlib
import importlib
import os
import pathlib
import select
import shutil
import stat
import tempfile
import zlib
from collections.abc import Callable, Iterator
from typing import Any

import hypothesis
import hypothesis.strategies as st
import pytest

from production import clock
from production import run as runs
from production.outputs import base, inspect

LONG = 30.0
"""Seconds after which a test has failed; nothing here takes them."""


class Bench:
    """An inspector, its clock, and a place for a job's outputs."""

    def __init__(self, directory: pathlib.Path, limit: float = LONG) -> None:
        self.clock = clock.SystemClock()
        self.inspector = inspect.Inspect(self.clock, 2, limit, patience=LONG)
        self.work = directory / "work"
        self.work.mkdir()
        self.final = directory / "data" / "tree" / "v4"

    def write(self, name: str, content: bytes) -> runs.Output:
        """An output as the job left it."""
        (self.work / name).write_bytes(content)
        return self.output(name)

    def output(self, name: str) -> runs.Output:
        return runs.Output(name.partition(".")[0], str(self.work / name), str(self.final / name))

    def look(self, *rules: base.Rule, mark: str = "r2091.a1") -> base.Verdict:
        """Start, and wait for the verdict as the manager does."""
        self.inspector.start(mark, rules)
        return self.wait(mark)

    def wait(self, mark: str) -> base.Verdict:
        for _ in range(100):
            verdict = self.inspector.verdict(mark)
            if verdict is not None:
                assert "\n" not in verdict.problem
                assert not (verdict.problem and verdict.outputs)
                return verdict
            before = self.clock.boottime()
            self.clock.wait(LONG)
            assert self.clock.boottime() - before < LONG, "nobody woke us"
        raise AssertionError("woken a hundred times for nothing")


@contextlib.contextmanager
def bench_in(directory: pathlib.Path, limit: float = LONG) -> Iterator[Bench]:
    bench = Bench(directory, limit)
    yield bench
    bench.inspector.close()
    bench.clock.close()


@pytest.fixture
def bench(tmp_path: pathlib.Path) -> Iterator[Bench]:
    with bench_in(tmp_path) as one:
        yield one


def adler32(content: bytes) -> str:
    return f"adler32:{zlib.adler32(content):08x}"


def shell(script: str) -> tuple[str, ...]:
    """A check in a line; the output's path is $1."""
    return ("/bin/sh", "-c", script, "check")


@pytest.mark.feature("AC-25")
def test_what_is_there_is_measured(bench: Bench) -> None:
    tree, empty = bench.write("tree.root", b"x" * 3_000_001), bench.write("log", b"")
    verdict = bench.look(base.Rule(tree), base.Rule(empty))
    assert verdict == base.Verdict(
        (
            runs.Output("tree", tree.temporary, tree.final, 3_000_001, adler32(b"x" * 3_000_001)),
            runs.Output("log", empty.temporary, empty.final, 0, "adler32:00000001"),
        )
    )
    assert bench.final.is_dir()
    assert list(bench.final.iterdir()) == []


@hypothesis.given(st.binary(max_size=5000) | st.integers(1 << 20, 5 << 20).map(os.urandom))
@hypothesis.settings(max_examples=25)
def test_size_and_checksum_are_the_files(content: bytes) -> None:
    with tempfile.TemporaryDirectory() as directory, bench_in(pathlib.Path(directory)) as bench:
        (seen,) = bench.look(base.Rule(bench.write("out", content))).outputs
        assert (seen.bytes, seen.checksum) == (len(content), adler32(content))


@pytest.mark.feature("AC-25")
def test_what_is_missing_is_told_unless_it_is_optional(bench: Bench) -> None:
    there, absent = bench.write("tree.root", b"tree"), bench.output("hist.root")
    verdict = bench.look(base.Rule(there), base.Rule(absent))
    assert verdict == base.Verdict((), f"output hist: {absent.temporary} is missing")
    verdict = bench.look(base.Rule(there), base.Rule(absent, optional=True))
    assert [output.name for output in verdict.outputs] == ["tree"]
    assert not verdict.problem
    shutil.rmtree(bench.work)
    assert bench.look(base.Rule(there)).problem == f"output tree: {there.temporary} is missing"
    assert bench.look(base.Rule(there, optional=True)) == base.Verdict(())


def test_an_optional_one_that_is_there_has_to_be_good(bench: Bench) -> None:
    output = bench.write("hist.root", b"no")
    verdict = bench.look(base.Rule(output, "root", optional=True))
    assert verdict.problem == f"output hist: {output.temporary}: is no ROOT file: it begins with 'no'"


def test_too_small_is_implausible(bench: Bench) -> None:
    output = bench.write("tree.root", b"x" * 1023)
    told = f"output tree: {output.temporary}: only 1,023 bytes, less than its minimum of 1,024"
    assert bench.look(base.Rule(output, minimum=1024)).problem == told
    assert not bench.look(base.Rule(output, minimum=1023)).problem


@pytest.mark.parametrize("kind", ["directory", "pipe", "symbolic link", "dangling", "device"])
def test_only_a_regular_file_is_an_output(bench: Bench, kind: str) -> None:
    output = bench.output("tree.root")
    path = pathlib.Path(output.temporary)
    if kind == "directory":
        path.mkdir()
    elif kind == "pipe":
        os.mkfifo(path)
    elif kind == "device":
        path.symlink_to("/dev/zero")
    else:
        path.symlink_to(bench.work.parent if kind == "symbolic link" else "nowhere")
    problem = bench.look(base.Rule(output, optional=True)).problem
    shown = kind if kind in ("directory", "pipe") else "symbolic link"
    assert problem.startswith("output tree: ")
    assert problem.endswith(f"{output.temporary}: not a regular file but a {shown}")


def test_a_root_file_is_opened(bench: Bench, need: Callable[[str, object], object]) -> None:
    uproot, numpy = (_package(need, name) for name in ("uproot", "numpy"))
    output = bench.output("hist.root")
    with uproot.recreate(output.temporary) as file:
        file["hist"] = numpy.histogram(numpy.arange(100.0))
    whole = pathlib.Path(output.temporary).read_bytes()
    assert bench.look(base.Rule(output, "root")).outputs[0].checksum == adler32(whole)
    os.truncate(output.temporary, 1024)
    told = f"output hist: {output.temporary}: ROOT file is cut: 1,024 of {len(whole):,} bytes"
    assert bench.look(base.Rule(output, "root", minimum=1)).problem == told
    os.truncate(output.temporary, 0)
    assert (
        bench.look(base.Rule(output, "root", minimum=1)).problem
        == f"output hist: {output.temporary}: ROOT file is empty"
    )


def _package(need: Callable[[str, object], object], name: str) -> Any:
    try:
        return importlib.import_module(name)
    except ImportError:
        return need(name, None)


@pytest.mark.parametrize(
    ("script", "told"),
    [
        ('test "$(cat "$1")" = whole', ""),
        ("echo fine; exit 0", ""),
        ("echo one; echo; echo '  two  ' >&2; echo; exit 3", "its check sh exit 3: two"),
        ("exit 1", "its check sh exit 1"),
        ("printf 'b\\a\\303\\251\\377d'; exit 1", "its check sh exit 1: b\\x07é\\xffd"),
        ("kill -SEGV $$", "its check sh was killed by SIGSEGV"),
        ("read line; test -z $line", ""),
        ("head -c 50000000 /dev/zero | tr '\\0' x; echo; echo end; exit 1", "its check sh exit 1: end"),
    ],
)
def test_a_check_of_ones_own(bench: Bench, script: str, told: str) -> None:
    output = bench.write("tree.root", b"whole")
    problem = bench.look(base.Rule(output, "command", command=shell(script))).problem
    assert problem == (f"output tree: {output.temporary}: {told}" if told else "")


def test_a_check_that_is_not_there(bench: Bench) -> None:
    output = bench.write("tree.root", b"whole")
    problem = bench.look(base.Rule(output, "command", command=("/no/such/check",))).problem
    assert problem == f"output tree: {output.temporary}: cannot run the check /no/such/check: {os.strerror(2)}"
    (bench.work / "script").write_text("exit 0")
    problem = bench.look(base.Rule(output, "command", command=(str(bench.work / "script"),))).problem
    assert problem.endswith("Permission denied (look at the permissions of the file and of its directories)")


def test_a_check_has_the_signals_of_a_fresh_process(bench: Bench) -> None:
    output = bench.write("tree.root", b"whole")
    script = "grep -h -e SigBlk -e SigIgn /proc/$$/status | tr -d '\\n'; exit 1"
    problem = bench.look(base.Rule(output, "command", command=shell(script))).problem
    blocked, ignored = (int(text, 16) for text in problem.split("SigBlk:")[1].split("SigIgn:"))
    assert blocked == 0
    assert ignored & 0x7FFFFFFF == 0  # 32 and 33 are the C library's own


def test_a_check_that_hangs_is_ended_with_its_children(tmp_path: pathlib.Path) -> None:
    with bench_in(tmp_path, limit=2) as bench:
        output = bench.write("tree.root", b"whole")
        script = f"sleep 1000 & echo $! > {bench.work}/child; wait"
        problem = bench.look(base.Rule(output, "command", command=shell(script))).problem
        assert problem == f"output tree: {output.temporary}: its check sh took longer than 2 s"
        assert not _alive(int((bench.work / "child").read_text()))


def test_a_check_that_leaves_a_child_is_not_waited_for_twice(bench: Bench) -> None:
    output = bench.write("tree.root", b"whole")
    script = f"sleep 1000 & echo $! > {bench.work}/child; exit 0"
    assert not bench.look(base.Rule(output, "command", command=shell(script))).problem
    assert not _alive(int((bench.work / "child").read_text()))


def _alive(pid: int) -> bool:
    """A zombie isn't; whoever adopted it may take a while."""
    try:
        text = pathlib.Path(f"/proc/{pid}/stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return False
    # a killed one may need a moment to be seen dead; waiting for its descriptor is no sleep
    if text.rpartition(")")[2].split()[0] in "ZX":
        return False
    with contextlib.suppress(ProcessLookupError):
        descriptor = os.pidfd_open(pid)
        try:
            return not select.select([descriptor], [], [], 5)[0]
        finally:
            os.close(descriptor)
    return False


@pytest.mark.parametrize("script", ['echo more >> "$1"', 'echo wh0le > "$1"', 'cp "$1" "$1.n"; mv "$1.n" "$1"'])
def test_a_file_that_changes_meanwhile_is_not_believed(bench: Bench, script: str) -> None:
    output = bench.write("tree.root", b"whole\n")
    problem = bench.look(base.Rule(output, "command", command=shell(script))).problem
    assert problem == f"output tree: {output.temporary}: is still being written"


@pytest.fixture
def elsewhere(tmp_path: pathlib.Path, need: Callable[[str, object], object]) -> Iterator[pathlib.Path]:
    """A directory on another file system."""
    shm = pathlib.Path("/dev/shm")
    need("a second file system (/dev/shm)", shm.is_dir() and shm.stat().st_dev != tmp_path.stat().st_dev)
    with tempfile.TemporaryDirectory(dir=shm) as directory:
        yield pathlib.Path(directory)


def test_across_file_systems_it_is_brought_to_the_right_one(bench: Bench, elsewhere: pathlib.Path) -> None:
    bench.final = elsewhere / "tree" / "v4"
    tree, hist = bench.write("tree.root", b"t" * 2_500_000), bench.write("hist.root", b"h")
    before = os.umask(0o002)
    try:
        verdict = bench.look(base.Rule(tree), base.Rule(hist), mark="r2091.a1")
    finally:
        os.umask(before)
    copies = [str(bench.final / f".{name}.root.r2091.a1") for name in ("tree", "hist")]
    assert [output.temporary for output in verdict.outputs] == copies
    assert [output.final for output in verdict.outputs] == [tree.final, hist.final]
    assert [output.checksum for output in verdict.outputs] == [adler32(b"t" * 2_500_000), adler32(b"h")]
    assert [pathlib.Path(path).stat().st_size for path in copies] == [2_500_000, 1]
    assert stat.S_IMODE(bench.final.stat().st_mode) == 0o775
    assert pathlib.Path(tree.temporary).exists()  # whose the job's directory is decides its owner
    again = bench.look(*(base.Rule(output) for output in verdict.outputs), mark="other")
    assert again == verdict


@pytest.mark.parametrize("second", ["missing", "growing"])
def test_copies_of_a_failed_attempt_are_removed(bench: Bench, elsewhere: pathlib.Path, second: str) -> None:
    bench.final = elsewhere
    good, bad = base.Rule(bench.write("tree.root", b"t")), base.Rule(bench.output("hist.root"))
    if second == "growing":
        bad = base.Rule(bench.write("hist.root", b"h"), "command", command=shell('echo >> "$1"'))
    assert bench.look(good, bad).problem
    assert list(elsewhere.iterdir()) == []
    assert (bench.work / "tree.root").exists()


def test_a_place_that_cannot_be_made_is_told(bench: Bench) -> None:
    (bench.final.parent.parent).mkdir()
    (bench.final.parent).write_text("a file where a directory should be")
    output = bench.write("tree.root", b"tree")
    problem = bench.look(base.Rule(output)).problem
    assert problem.startswith(f"output tree: {output.temporary}: cannot make the directory {bench.final}")


def test_a_verdict_is_told_once_and_unknown_marks_are_unknown(bench: Bench, tmp_path: pathlib.Path) -> None:
    os.mkfifo(tmp_path / "gate")
    rule = base.Rule(bench.write("tree.root", b"t"), "command", command=shell(f"cat {tmp_path}/gate"))
    with pytest.raises(KeyError):
        bench.inspector.verdict("r1")
    bench.inspector.start("r1", [rule])
    assert bench.inspector.verdict("r1") is None
    bench.inspector.start("r1", [rule])  # once is enough: a second cat would wait for ever
    (tmp_path / "gate").write_text("open")
    assert not bench.wait("r1").problem
    with pytest.raises(KeyError):
        bench.inspector.verdict("r1")
    assert bench.look(mark="nothing to look at") == base.Verdict(())


def test_leaving_ends_what_is_under_way(tmp_path: pathlib.Path) -> None:
    with bench_in(tmp_path) as bench:
        os.mkfifo(tmp_path / "begun")
        output = bench.write("tree.root", b"t")
        script = f"echo $$ > {tmp_path}/begun; sleep 1000"
        bench.inspector.start("r1", [base.Rule(output, "command", command=shell(script))])
        child = int((tmp_path / "begun").read_text())
        bench.inspector.close()
        assert not _alive(child)
        with pytest.raises(RuntimeError):
            bench.inspector.start("r2", [])


def test_names_need_not_be_text(bench: Bench) -> None:
    name = os.fsdecode(b"tr\xff\nee.root")
    output = runs.Output("tree", os.path.join(bench.work, name), os.path.join(bench.final, name))
    assert bench.look(base.Rule(output)).problem == rf"output tree: {bench.work}/tr\xff\nee.root is missing"
    with open(output.temporary, "wb") as file:
        file.write(b"tree")
    assert bench.look(base.Rule(output)).outputs[0].checksum == adler32(b"tree")
