"""Plain paths sit the transfer's exam; below it is what only a file system can do to us."""

from __future__ import annotations

import os
import pathlib
import resource
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping

import hypothesis
import hypothesis.strategies as st
import pytest

from production import errors
from production.transfer import copy
from tests.exams import transfer
from tests.exams.transfer import MEGABYTE, left, nothing, one_line, put


class Mounted:
    """A directory as an archive. Its faults happen between two blocks: somebody else is at the same file."""

    resumes = False

    def __init__(self, files: pathlib.Path) -> None:
        self.files = files
        self.transfer = copy.Copy(str(files))
        self._kept: dict[pathlib.Path, bytes] = {}

    @property
    def faults(self) -> Mapping[str, Callable[[str], transfer.Callback]]:
        def grow(path: pathlib.Path) -> None:
            with open(path, "ab") as file:
                file.write(b"more")

        def rewrite(path: pathlib.Path) -> None:
            with open(path, "r+b") as file:
                file.write(b"other bytes, as many")
            os.utime(path, ns=(1, 1))  # a clock tick is coarser than this test

        def replace(path: pathlib.Path) -> None:
            other = path.with_name("other")
            other.write_bytes(path.read_bytes())
            other.rename(path)

        deeds: dict[str, Callable[[pathlib.Path], None]] = {
            "it grows": grow,
            "it shrinks": lambda path: os.truncate(path, 3 * MEGABYTE),
            "it is emptied": lambda path: os.truncate(path, 0),
            "it is written in place": rewrite,
            "it is replaced": replace,
        }
        return {f"{when}: {name}": self._play(deed, at) for name, deed in deeds.items() for when, at in WHEN.items()}

    def _play(self, deed: Callable[[pathlib.Path], None], at: int) -> Callable[[str], transfer.Callback]:
        def play(remote: str) -> transfer.Callback:
            path = self.files / remote
            self._kept[path] = path.read_bytes()

            def progress(count: int) -> None:
                if count == at:
                    deed(path)

            return progress

        return play

    def heal(self) -> None:
        for path, whole in self._kept.items():
            path.write_bytes(whole)
        self._kept.clear()


WHEN = {"at first": MEGABYTE, "at last": 4 * MEGABYTE + 3}


@pytest.fixture
def archive(tmp_path: pathlib.Path) -> Mounted:
    files = tmp_path / "pnfs"
    files.mkdir()
    return Mounted(files)


@pytest.fixture
def disk(tmp_path: pathlib.Path) -> pathlib.Path:
    path = tmp_path / "our disk"
    path.mkdir()
    return path


@pytest.fixture
def descriptors() -> Iterator[None]:
    """No file stays open, whatever went wrong."""
    before = len(os.listdir("/proc/self/fd"))
    yield
    assert len(os.listdir("/proc/self/fd")) == before


class TestCopy(transfer.Exam):
    """The exam."""


def _pipe(path: pathlib.Path) -> None:
    os.mkfifo(path)


def _device(path: pathlib.Path) -> None:
    path.symlink_to("/dev/zero")


def _socket(path: pathlib.Path) -> None:
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(os.path.relpath(path))


@pytest.mark.usefixtures("descriptors")
@pytest.mark.parametrize("make", [_pipe, _device, _socket, os.mkdir])
def test_what_is_no_regular_file_is_refused_and_never_hangs(
    archive: Mounted, disk: pathlib.Path, make: Callable[[pathlib.Path], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(archive.files)  # a socket's path is short
    make(archive.files / "run.mid")
    calls: list[Callable[[], int]] = [
        lambda: archive.transfer.size("run.mid"),
        lambda: archive.transfer.fetch("run.mid", f"{disk}/x", nothing),
    ]
    for call in calls:
        with pytest.raises(errors.TransferError, match="not a regular file") as caught:
            call()
        assert "run.mid" in one_line(caught.value)
        assert not caught.value.transient
    assert left(disk) == []


@pytest.mark.usefixtures("descriptors")
def test_links_are_followed_and_a_dangling_one_is_a_missing_file(archive: Mounted, disk: pathlib.Path) -> None:
    whole = put(archive, "pool/file", 10)
    (archive.files / "good.mid").symlink_to("pool/file")
    (archive.files / "bad.mid").symlink_to("pool/gone")
    (archive.files / "round.mid").symlink_to("round.mid")
    assert archive.transfer.fetch("good.mid", str(disk / "good.mid"), nothing) == 10
    assert (disk / "good.mid").read_bytes() == whole
    assert not (disk / "good.mid").is_symlink()
    with pytest.raises(errors.InputMissing, match=r"bad\.mid is a symbolic link to nothing \(pool/gone\)"):
        archive.transfer.fetch("bad.mid", str(disk / "bad.mid"), nothing)
    with pytest.raises(errors.TransferError, match="a symbolic link leads nowhere"):
        archive.transfer.fetch("round.mid", str(disk / "round.mid"), nothing)


def test_a_file_that_vanishes_meanwhile_is_missing(archive: Mounted, disk: pathlib.Path) -> None:
    put(archive, "run.mid", 2 * MEGABYTE)
    put(archive, "other.mid", 1)

    def vanish(count: int) -> None:
        if count == MEGABYTE:
            (archive.files / "run.mid").unlink()

    with pytest.raises(errors.InputMissing, match=r"run\.mid is missing"):
        archive.transfer.fetch("run.mid", str(disk / "x"), vanish)
    assert left(disk) == []


@pytest.mark.parametrize("there", [True, False])
def test_an_archive_that_is_not_mounted_has_not_lost_its_files(archive: Mounted, *, there: bool) -> None:
    if not there:
        archive.files.rmdir()
    with pytest.raises(errors.TransferWaits, match="is it mounted"):
        archive.transfer.listing("")
    with pytest.raises(errors.TransferWaits, match="is it mounted") as caught:
        archive.transfer.size("run.mid")
    assert not isinstance(caught.value, errors.InputMissing)
    assert caught.value.transient


def test_names_need_not_be_text_and_messages_always_are(archive: Mounted, disk: pathlib.Path) -> None:
    name = os.fsdecode(b"run\xff\n1.mid")
    with open(os.path.join(archive.files, name), "wb") as file:
        file.write(b"whole")
    local = os.path.join(disk, name)
    assert archive.transfer.fetch(name, local, nothing) == 5
    with open(local, "rb") as file:
        assert file.read() == b"whole"
    with pytest.raises(errors.InputMissing) as caught:
        archive.transfer.size(name + "x")
    assert r"run\xff\n1.midx" in one_line(caught.value)
    str(caught.value).encode()  # sqlite3 takes nothing else


@hypothesis.given(st.text(alphabet=st.sampled_from("./ab\0\n\udcff"), max_size=12))
def test_a_name_is_refused_or_inside(tmp_path_factory: pytest.TempPathFactory, name: str) -> None:
    root = tmp_path_factory.mktemp("pnfs")
    (root / "a").mkdir()
    with pytest.raises(errors.TransferError) as caught:  # there are no files at all
        copy.Copy(str(root)).size(name)
    one_line(caught.value)
    inside = os.path.normpath(os.path.join(root, name)).startswith(str(root))
    assert inside or "not a name inside the archive" in str(caught.value)


def test_a_part_that_is_a_link_or_somebody_elses_is_put_out_of_the_way(archive: Mounted, disk: pathlib.Path) -> None:
    whole = put(archive, "run.mid", 10)
    (disk / "precious").write_text("precious")
    (disk / "x.part").symlink_to("precious")
    archive.transfer.fetch("run.mid", str(disk / "x"), nothing)
    assert (disk / "x").read_bytes() == whole
    assert not (disk / "x").is_symlink()
    assert (disk / "precious").read_text() == "precious"


@pytest.mark.usefixtures("descriptors")
def test_who_was_asleep_does_not_rename_what_another_has_begun(archive: Mounted, disk: pathlib.Path) -> None:
    put(archive, "run.mid", 3 * MEGABYTE)

    def overtaken(count: int) -> None:
        if count == MEGABYTE:
            (disk / "x.part").unlink()
            (disk / "x.part").write_text("another manager's beginning")

    with pytest.raises(errors.TransferError, match="somebody else writes it now"):
        archive.transfer.fetch("run.mid", str(disk / "x"), overtaken)
    assert left(disk) == ["x.part"]
    assert (disk / "x.part").read_text() == "another manager's beginning"


@pytest.mark.usefixtures("descriptors")
def test_a_directory_under_the_local_name_is_not_replaced(archive: Mounted, disk: pathlib.Path) -> None:
    put(archive, "run.mid", 10)
    (disk / "x").mkdir()
    with pytest.raises(errors.TransferError, match=r"/x: Is a directory") as caught:
        archive.transfer.fetch("run.mid", str(disk / "x"), nothing)
    one_line(caught.value)
    assert left(disk) == ["x"]


@pytest.mark.usefixtures("descriptors")
def test_a_full_disk_is_waited_for(archive: Mounted, small_disk: pathlib.Path) -> None:
    put(archive, "run.mid", 3 * MEGABYTE)
    with pytest.raises(errors.TransferWaits, match=r"x\.part: No space left.*make room") as caught:
        archive.transfer.fetch("run.mid", str(small_disk / "x"), nothing)
    one_line(caught.value)
    assert caught.value.transient
    assert left(small_disk) == []


def test_a_file_that_is_too_large_for_us_is_not_tried_again(archive: Mounted, disk: pathlib.Path) -> None:
    put(archive, "run.mid", 3 * MEGABYTE)
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (MEGABYTE, before[1]))
    try:
        with pytest.raises(errors.TransferError, match="ulimit -f") as caught:
            archive.transfer.fetch("run.mid", str(disk / "x"), nothing)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert not caught.value.transient
    assert left(disk) == []


def test_who_may_not_read_is_told_so(archive: Mounted, disk: pathlib.Path) -> None:
    put(archive, "run.mid", 10)
    (archive.files / "run.mid").chmod(0)
    archive.files.parent.chmod(0o755)
    me = os.geteuid()
    if me == 0:
        os.seteuid(65534)
    try:
        with pytest.raises(errors.TransferError, match=r"Permission denied \(look at the permissions") as caught:
            archive.transfer.fetch("run.mid", str(disk / "x"), nothing)
    finally:
        os.seteuid(me)
    assert not caught.value.transient
    assert not isinstance(caught.value, errors.InputMissing)


CHILD = """
import sys, time
from production.transfer import copy
def progress(count):
    print(count, flush=True)
    sys.stdin.read()
copy.Copy(sys.argv[1]).fetch("run.mid", sys.argv[2], progress)
"""


@pytest.mark.feature("AC-12")
def test_kill_minus_nine_in_the_middle(archive: Mounted, disk: pathlib.Path) -> None:
    whole = put(archive, "run.mid", 3 * MEGABYTE)
    local = disk / "run.mid"
    argv = [sys.executable, "-c", CHILD, str(archive.files), str(local)]
    with subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as manager:
        assert manager.stdout is not None
        assert int(manager.stdout.readline()) == MEGABYTE
        manager.send_signal(signal.SIGKILL)
        manager.wait()
    assert left(disk) == ["run.mid.part"]
    assert archive.transfer.fetch("run.mid", str(local), nothing) == len(whole)
    assert local.read_bytes() == whole
    assert left(disk) == ["run.mid"]
