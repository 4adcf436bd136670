"""SFTP sits the transfer's exam, on the real sshd over a line that can be cut, and so does a relay to a machine like it."""

from __future__ import annotations

import getpass
import os
import pathlib
import tempfile
from collections.abc import Callable, Iterator, Mapping

import pytest

from production.ssh import config, connection
from production.ssh import files as files_
from production.transfer import copy, sftp
from tests.exams import transfer
from tests.exams.transfer import MEGABYTE
from tests.services import link, sshd

pytestmark = pytest.mark.feature("AC-11", "AC-12")


class Served:
    """A directory behind a real sshd. Its faults: somebody else is at the same file, or the line breaks."""

    resumes = True

    def __init__(self, files: pathlib.Path, way: connection.Connection, line: link.Link) -> None:
        self.files = files
        self.there = files_.Files(way, stall=10)
        self.transfer = sftp.Sftp(self.there, str(files))
        self._line = line
        self._kept: dict[pathlib.Path, bytes] = {}

    @property
    def faults(self) -> Mapping[str, Callable[[str], transfer.Callback]]:
        def grow(path: pathlib.Path) -> None:
            with open(path, "ab") as file:
                file.write(b"more")

        def rewrite(path: pathlib.Path) -> None:
            with open(path, "r+b") as file:
                file.write(b"other bytes, as many")
            os.utime(path, (1, 1))  # seconds are all that the protocol has

        deeds: dict[str, Callable[[pathlib.Path], None]] = {
            "it grows": grow,
            "it shrinks": lambda path: os.truncate(path, 3 * MEGABYTE),
            "it is emptied": lambda path: os.truncate(path, 0),
            "it is written in place": rewrite,
            "the line is cut": lambda _: self._line.cut(),
        }
        found = {f"{when}: {name}": self._play(deed, at) for name, deed in deeds.items() for when, at in WHEN.items()}
        del found["at last: the line is cut"]  # it has come
        return found | {f"cut at {down}": self._cut(down) for down in (0, 1, 3000, 70_000, 4 * MEGABYTE)}

    def _play(self, deed: Callable[[pathlib.Path], None], at: int) -> Callable[[str], transfer.Callback]:
        def play(remote: str) -> transfer.Callback:
            path = self.files / remote
            self._kept[path] = path.read_bytes()
            done: list[int] = []

            def progress(count: int) -> None:
                if count >= at and not done:
                    done.append(count)
                    deed(path)

            return progress

        return play

    def _cut(self, down: int) -> Callable[[str], transfer.Callback]:
        def play(_remote: str) -> transfer.Callback:
            self._line.cut_after(down + 1)
            return transfer.nothing

        return play

    def heal(self) -> None:
        for path, whole in self._kept.items():
            path.write_bytes(whole)
        self._kept.clear()


WHEN = {"at first": MEGABYTE, "at last": 4 * MEGABYTE + 3}


@pytest.fixture(scope="module")
def server(need: Callable[[str, object], object]) -> Iterator[sshd.Sshd]:
    reason = sshd.Sshd.unable()
    need(reason, not reason)
    with tempfile.TemporaryDirectory(prefix="rp-", dir="/tmp", ignore_cleanup_errors=True) as directory:
        path = pathlib.Path(directory)
        path.chmod(0o755)
        with sshd.Sshd(path / "sshd") as one:
            yield one


@pytest.fixture
def files(tmp_path: pathlib.Path) -> pathlib.Path:
    path = tmp_path / "archive" / "raw data"
    path.mkdir(parents=True)
    return path


@pytest.fixture
def served(server: sshd.Sshd, files: pathlib.Path, tmp_path: pathlib.Path) -> Iterator[Served]:
    with link.to(server.port) as line:
        home = tmp_path / "home"
        home.mkdir()
        server.introduce(home, getpass.getuser(), port=line.port)
        way = connection.Connection(config.find("login", str(home), str(home / "etc")))
        one = Served(files, way, line)
        yield one
        one.transfer.close()
        way.close()


class TestSftp(transfer.Exam):
    @pytest.fixture
    def archive(self, served: Served) -> Served:
        return served


class Relayed:
    """A mounted archive, whose files go to another machine; our disk in the exam is a directory there."""

    resumes = True
    faults: Mapping[str, Callable[[str], transfer.Callback]] = {}

    def __init__(self, files: pathlib.Path, there: files_.Files, spool: pathlib.Path) -> None:
        self.files = files
        self.transfer = sftp.Relay(copy.Copy(str(files)), there, str(spool))

    def heal(self) -> None:
        """There is nothing wrong."""


class TestRelay(transfer.Exam):
    @pytest.fixture
    def archive(self, served: Served, files: pathlib.Path, tmp_path: pathlib.Path) -> Iterator[Relayed]:
        spool = tmp_path / "spool"
        spool.mkdir()
        one = Relayed(files, served.there, spool)
        yield one
        one.transfer.close()
        assert list(spool.iterdir()) == []

    @pytest.mark.parametrize("length", [0, MEGABYTE, 3 * MEGABYTE])
    def test_what_a_killed_manager_left_does_no_harm(self, archive: Relayed, disk: pathlib.Path, length: int) -> None:  # type: ignore[override]
        """Nobody can see there whether somebody still writes it, so it isn't touched."""
        whole = transfer.put(archive, "run02091.mid", 2 * MEGABYTE)
        (disk / "local.mid.1a2b3c4d.part").write_bytes(b"x" * length)
        assert archive.transfer.fetch("run02091.mid", str(disk / "local.mid"), transfer.nothing) == len(whole)
        assert (disk / "local.mid").read_bytes() == whole
        assert transfer.left(disk) == ["local.mid", "local.mid.1a2b3c4d.part"]
        assert (disk / "local.mid.1a2b3c4d.part").stat().st_size == length
