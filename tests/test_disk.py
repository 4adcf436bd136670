"""What the operating system may answer, and how it is told."""

from __future__ import annotations

import errno
import os
import pathlib

import hypothesis
import hypothesis.strategies as st
import pytest

from production import disk


@pytest.mark.parametrize(
    ("number", "transient", "mend"),
    [
        (errno.ENOSPC, True, "make room"),
        (errno.EDQUOT, True, "quota"),
        (errno.EIO, True, "tell who looks after it"),
        (errno.ESTALE, True, "trying again"),
        (errno.ETIMEDOUT, True, ""),
        (errno.EACCES, False, "permissions"),
        (errno.EROFS, False, "read-only"),
        (errno.ENOENT, False, ""),
    ],
)
def test_trouble_names_the_file_and_the_mend(number: int, transient: bool, mend: str) -> None:
    with pytest.raises(disk.Trouble) as caught, disk.trying("read", "/data/run.mid"):
        raise OSError(number, os.strerror(number))
    assert str(caught.value).startswith(f"cannot read /data/run.mid: {os.strerror(number)}")
    assert mend in str(caught.value)
    assert caught.value.transient is transient


@hypothesis.given(st.binary(min_size=1))
def test_every_name_is_shown_in_one_printable_line(name: bytes) -> None:
    shown = disk.shown(os.fsdecode(name))
    assert shown.isprintable()
    shown.encode()


def test_a_new_file_is_there_only_if_all_went_well(tmp_path: pathlib.Path) -> None:
    path = str(tmp_path / "new")
    with disk.new(path) as part:
        part.write(memoryview(b"whole"))
    assert (tmp_path / "new").read_bytes() == b"whole"
    with pytest.raises(TypeError), disk.new(path) as part:
        part.write("no bytes")  # type: ignore[arg-type]
    assert list(tmp_path.iterdir()) == []


@hypothesis.given(st.integers(0, 3 * disk.BLOCK), st.integers(0, 3 * disk.BLOCK))
@hypothesis.settings(max_examples=20)
def test_blocks_are_the_file(tmp_path_factory: pytest.TempPathFactory, size: int, guess: int) -> None:
    path = tmp_path_factory.mktemp("blocks") / "file"
    path.write_bytes(os.urandom(size))
    guess = max(guess, size // 100)  # a wrong guess is slow, not wrong
    with disk.reading(str(path)) as (descriptor, status):
        assert status.st_size == size
        assert b"".join(bytes(block) for block in disk.blocks(descriptor, str(path), guess)) == path.read_bytes()


def test_only_what_nobody_writes_is_abandoned(tmp_path: pathlib.Path) -> None:
    path = tmp_path / "run.mid.part"
    with disk.new(str(path)) as part:
        part.write(memoryview(b"half"))
        assert not disk.remove_abandoned(str(path))
    assert path.read_bytes() == b"half"
    assert disk.remove_abandoned(str(path))
    assert not path.exists()
    assert not disk.remove_abandoned(str(path))
    path.symlink_to(tmp_path / "mine")
    assert not disk.remove_abandoned(str(path))


def test_directories_are_made_with_their_parents(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = os.umask(0o002)
    try:
        device = disk.make_directory(str(tmp_path / "a" / "b" / "c"))
    finally:
        os.umask(before)
    assert device == tmp_path.stat().st_dev
    assert (tmp_path / "a" / "b").stat().st_mode & 0o777 == 0o775
    assert disk.make_directory(str(tmp_path / "a" / "b" / "c")) == device
    monkeypatch.chdir(tmp_path)
    disk.make_directory("relative/too")
    assert (tmp_path / "relative" / "too").is_dir()
    (tmp_path / "file").touch()
    with pytest.raises(disk.Trouble, match="file"):
        disk.make_directory(str(tmp_path / "file" / "below"))
    (tmp_path / "dangling").symlink_to("nowhere")
    with pytest.raises(disk.Trouble, match="dangling"):
        disk.make_directory(str(tmp_path / "dangling"))
