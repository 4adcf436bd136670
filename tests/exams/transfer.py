"""The exam for a Transfer: whatever brings files, they are whole or not there.

Who sits it makes a class ``TestX(transfer.Exam)`` with a fixture ``archive`` that gives an ``Archive``.
"""

from __future__ import annotations

import concurrent.futures
import pathlib
from collections.abc import Callable, Mapping
from typing import Protocol

import pytest

from production import errors
from production.transfer import base

MEGABYTE = 1 << 20

Callback = Callable[[int], None]


class Archive(Protocol):
    """An archive to be examined."""

    @property
    def files(self) -> pathlib.Path:
        """Directory; what is put there is in the archive under the name it has there."""
        ...

    @property
    def transfer(self) -> base.Transfer: ...

    @property
    def faults(self) -> Mapping[str, Callable[[str], Callback]]:
        """{a passing fault: play it on this file}; gives what the faulty fetch calls back at its blocks."""
        ...

    @property
    def resumes(self) -> bool:
        """Whether a ``.part`` may be left by a fault, for the next fetch to go on with."""
        ...

    def heal(self) -> None:
        """End all faults; the files are as they were put."""
        ...


class Stop(Exception):
    """What a caller throws out of ``progress``."""


def content(size: int) -> bytes:
    """Bytes in which no two blocks are alike."""
    return b"".join(number.to_bytes(8) for number in range(size // 8 + 1))[:size]


def put(archive: Archive, remote: str, size: int) -> bytes:
    path = archive.files / remote
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content(size))
    return content(size)


def nothing(bytes_: int) -> None:
    """A progress that no one looks at."""


def left(directory: pathlib.Path) -> list[str]:
    """Names of the files in a directory."""
    return sorted(path.name for path in directory.iterdir())


def one_line(error: BaseException) -> str:
    """The message, which the shift must be able to read in a list."""
    message = str(error)
    assert message
    assert message.isprintable()
    return message


class Exam:
    """Every test is one promise of ``base.Transfer``."""

    @pytest.fixture
    def disk(self, tmp_path: pathlib.Path) -> pathlib.Path:
        """Where files are brought to."""
        path = tmp_path / "our disk"
        path.mkdir()
        return path

    @pytest.mark.feature("AC-11")
    @pytest.mark.parametrize("size", [0, 1, 1000, MEGABYTE - 1, MEGABYTE, MEGABYTE + 1, 3 * MEGABYTE + 7])
    def test_a_file_comes_whole(self, archive: Archive, disk: pathlib.Path, size: int) -> None:
        put(archive, "run02091.mid", size)
        seen: list[int] = []
        assert archive.transfer.size("run02091.mid") == size
        assert archive.transfer.fetch("run02091.mid", str(disk / "local.mid"), seen.append) == size
        assert (disk / "local.mid").read_bytes() == content(size)
        assert left(disk) == ["local.mid"]
        assert seen == sorted(seen)
        assert not size or seen[-1] == size

    @pytest.mark.parametrize(
        "name",
        [
            *("run 02091.mid", "Läufe/μ⁺ run.mid", "-run.mid", "100%.mid", "a#b?.mid", "run*[1].mid", "it's.mid"),
            *('"run".mid', "a/b/c/run.mid", "~run.mid", "run;id.mid", "$HOME.mid"),
        ],
    )
    def test_any_name_will_do(self, archive: Archive, disk: pathlib.Path, name: str) -> None:
        whole = put(archive, name, 100)
        local = disk / "raw" / name
        assert archive.transfer.size(name) == 100
        assert archive.transfer.fetch(name, str(local), nothing) == 100
        assert local.read_bytes() == whole

    def test_a_missing_file_is_missing_for_good(self, archive: Archive, disk: pathlib.Path) -> None:
        put(archive, "other.mid", 1)
        calls: list[Callable[[], int]] = [
            lambda: archive.transfer.size("run02091.mid"),
            lambda: archive.transfer.fetch("run02091.mid", str(disk / "local.mid"), nothing),
        ]
        for call in calls:
            with pytest.raises(errors.InputMissing) as caught:
                call()
            assert "run02091.mid" in one_line(caught.value)
            assert not caught.value.transient
        assert left(disk) == []

    def test_a_directory_is_no_file(self, archive: Archive, disk: pathlib.Path) -> None:
        put(archive, "run02091.mid/oops", 1)
        with pytest.raises(errors.TransferError, match=r"run02091\.mid"):
            archive.transfer.fetch("run02091.mid", str(disk / "local.mid"), nothing)
        assert left(disk) == []

    @pytest.mark.parametrize("name", ["", "/etc/passwd", "..", "../secret", "a/../../secret", "a/..", "a\0b"])
    def test_nothing_outside_the_archive_is_read(self, archive: Archive, disk: pathlib.Path, name: str) -> None:
        (archive.files.parent / "secret").write_text("secret")
        put(archive, "a/file", 1)
        calls: list[Callable[[], int]] = [
            lambda: archive.transfer.size(name),
            lambda: archive.transfer.fetch(name, str(disk / "local"), nothing),
        ]
        for call in calls:
            with pytest.raises(errors.TransferError) as caught:
                call()
            one_line(caught.value)
            assert not caught.value.transient
        assert left(disk) == []

    @pytest.mark.feature("AC-29")
    def test_an_exception_out_of_progress_ends_it(self, archive: Archive, disk: pathlib.Path) -> None:
        put(archive, "run02091.mid", 8 * MEGABYTE)
        seen: list[int] = []

        def stop(count: int) -> None:
            seen.append(count)
            if count >= MEGABYTE:
                raise Stop

        with pytest.raises(Stop):
            archive.transfer.fetch("run02091.mid", str(disk / "local.mid"), stop)
        assert seen[-1] < 8 * MEGABYTE
        assert left(disk) == []

    @pytest.mark.feature("AC-12")
    def test_a_fault_passes_and_leaves_nothing_half(
        self, archive: Archive, disk: pathlib.Path, subtests: pytest.Subtests
    ) -> None:
        for number, (fault, play) in enumerate(archive.faults.items()):
            with subtests.test(fault):
                name = f"run{number:05d}.mid"
                whole = put(archive, name, 4 * MEGABYTE + 3)
                local = disk / name
                with pytest.raises(errors.TransferError) as caught:
                    archive.transfer.fetch(name, str(local), play(name))
                assert name in one_line(caught.value)
                assert caught.value.transient
                assert left(disk) in ([], [f"{name}.part"] if archive.resumes else [])
                archive.heal()
                assert archive.transfer.fetch(name, str(local), nothing) == len(whole)
                assert local.read_bytes() == whole
                assert left(disk) == [name]
                local.unlink()

    @pytest.mark.parametrize("length", [0, 1, MEGABYTE, 2 * MEGABYTE])
    def test_what_a_killed_manager_left_does_no_harm(self, archive: Archive, disk: pathlib.Path, length: int) -> None:
        whole = put(archive, "run02091.mid", 2 * MEGABYTE)
        (disk / "local.mid.part").write_bytes(whole[:length])
        assert archive.transfer.fetch("run02091.mid", str(disk / "local.mid"), nothing) == len(whole)
        assert (disk / "local.mid").read_bytes() == whole
        assert left(disk) == ["local.mid"]

    def test_a_longer_leftover_does_no_harm(self, archive: Archive, disk: pathlib.Path) -> None:
        whole = put(archive, "run02091.mid", MEGABYTE)
        (disk / "local.mid.part").write_bytes(b"x" * 3 * MEGABYTE)
        assert archive.transfer.fetch("run02091.mid", str(disk / "local.mid"), nothing) == len(whole)
        assert (disk / "local.mid").read_bytes() == whole

    def test_a_file_that_is_there_is_not_replaced(self, archive: Archive, disk: pathlib.Path) -> None:
        put(archive, "run02091.mid", 100)

        def appear(_: int) -> None:
            (disk / "local.mid").write_bytes(b"somebody else's")

        with pytest.raises(errors.TransferError, match=r"local\.mid: File exists \(it is there already") as caught:
            archive.transfer.fetch("run02091.mid", str(disk / "local.mid"), appear)
        one_line(caught.value)
        assert caught.value.transient  # the next time it is used
        assert (disk / "local.mid").read_bytes() == b"somebody else's"
        assert left(disk) == ["local.mid"]

    def test_our_own_disk_may_be_at_fault(self, archive: Archive, disk: pathlib.Path) -> None:
        put(archive, "run02091.mid", 100)
        (disk / "raw").write_text("a file where a directory should be")
        with pytest.raises(errors.TransferError, match="raw") as caught:
            archive.transfer.fetch("run02091.mid", str(disk / "raw" / "local.mid"), nothing)
        assert not isinstance(caught.value, errors.InputMissing)
        one_line(caught.value)

    @pytest.mark.feature("AC-11")
    def test_several_come_side_by_side(self, archive: Archive, disk: pathlib.Path) -> None:
        sizes = {f"run{number:05d}.mid": number * 300_001 for number in range(8)}
        for name, size in sizes.items():
            put(archive, name, size)
        with concurrent.futures.ThreadPoolExecutor(4) as pool:
            fetches = [pool.submit(archive.transfer.fetch, name, str(disk / name), nothing) for name in sizes]
            assert [fetch.result() for fetch in fetches] == list(sizes.values())
        assert {name: (disk / name).read_bytes() == content(size) for name, size in sizes.items()} == dict.fromkeys(
            sizes, True
        )

    def test_a_directory_is_listed(self, archive: Archive) -> None:
        put(archive, "run02091.mid", 3)
        put(archive, "run 02090 µ.mid", 0)
        put(archive, "old runs/2015/run1.mid", 100)
        root = archive.transfer.listing("")
        assert root == [
            base.Entry("old runs", None, directory=True),
            base.Entry("run 02090 µ.mid", 0),
            base.Entry("run02091.mid", 3),
        ]
        assert archive.transfer.listing("old runs") == [base.Entry("2015", None, directory=True)]
        assert archive.transfer.listing("old runs/2015") == [base.Entry("run1.mid", 100)]
        assert archive.transfer.size("run02091.mid") == 3  # and nothing stays in another directory

    def test_a_directory_that_is_not_there_is_not_an_empty_one(self, archive: Archive) -> None:
        put(archive, "run02091.mid", 3)
        for wrong in ("old runs", "run02091.mid/oops"):
            with pytest.raises(errors.TransferError) as caught:
                archive.transfer.listing(wrong)
            assert wrong in one_line(caught.value)
        with pytest.raises(errors.TransferError, match="not a name inside"):
            archive.transfer.listing("../secret")

    @pytest.mark.feature("AC-10")
    def test_a_recall_does_no_harm_where_there_is_no_tape(self, archive: Archive, disk: pathlib.Path) -> None:
        whole = put(archive, "run02091.mid", 3)
        for _ in range(2):
            archive.transfer.recall("run02091.mid", lambda: None)
        assert archive.transfer.fetch("run02091.mid", str(disk / "local.mid"), nothing) == len(whole)
        with pytest.raises(errors.TransferError, match="not a name inside"):
            archive.transfer.recall("../secret", lambda: None)
