"""FTP sits the transfer's exam, on pyftpdlib, on vsftpd, with and without TLS, and on a server that can misbehave."""

from __future__ import annotations

import logging
import pathlib
from collections.abc import Callable, Iterator, Mapping

import pytest

from production.transfer import ftp
from tests.exams import transfer
from tests.exams.transfer import MEGABYTE
from tests.services import ftp as services
from tests.services import hostile_ftp


class Served:
    """A directory behind a server that others wrote: it has no faults."""

    resumes = True
    faults: Mapping[str, Callable[[str], transfer.Callback]] = {}

    def __init__(self, files: pathlib.Path, url: str, netrc: str) -> None:
        self.files = files
        self.transfer = ftp.Ftp(url, ftp.Options(netrc=netrc, stall=10, first_byte=10))

    def heal(self) -> None:
        """There is nothing wrong."""


class Hostile(Served):
    """Ours, which has them all."""

    def __init__(self, server: hostile_ftp.Server, netrc: str) -> None:
        super().__init__(server.files, server.url(), netrc)
        self.server = server

    @property
    def faults(self) -> Mapping[str, Callable[[str], transfer.Callback]]:
        cuts = [0, 1, 1000, MEGABYTE, 4 * MEGABYTE + 2]
        return {
            f"{how} at {cut}": self._play(hostile_ftp.Mood(cut=cut, how=how))
            for cut in cuts
            for how in ("426", "226", "close", "reset")
        } | {
            "the size is too small": self._play(hostile_ftp.Mood(size=3 * MEGABYTE)),
            "the size is too large": self._play(hostile_ftp.Mood(size=5 * MEGABYTE)),
            "busy": self._play(hostile_ftp.Mood(answers={"RETR": "450 busy"})),
            "no data connection": self._play(hostile_ftp.Mood(answers={"RETR": "425 no data connection"})),
            "disk error": self._play(hostile_ftp.Mood(answers={"RETR": "451 disk error"})),
        }

    def _play(self, mood: hostile_ftp.Mood) -> Callable[[str], transfer.Callback]:
        def play(_remote: str) -> transfer.Callback:
            self.server.mood = mood
            return transfer.nothing

        return play

    def heal(self) -> None:
        self.server.mood = hostile_ftp.Mood()


@pytest.fixture
def files(tmp_path: pathlib.Path) -> pathlib.Path:
    path = tmp_path / "archive" / "raw data"
    path.mkdir(parents=True)
    return path


@pytest.fixture(autouse=True)
def _quiet_server() -> None:
    """Its own log is its own business."""
    logging.getLogger("pyftpdlib").setLevel(logging.CRITICAL)


@pytest.fixture(scope="session")
def pem(tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    return services.certificate(tmp_path_factory.mktemp("authority"))


class TestPyftpdlib(transfer.Exam):
    @pytest.fixture(params=["ftp", "ftps"])
    def archive(
        self,
        request: pytest.FixtureRequest,
        tmp_path: pathlib.Path,
        files: pathlib.Path,
        pem: pathlib.Path,
        monkeypatch: pytest.MonkeyPatch,
    ) -> Iterator[Served]:
        monkeypatch.setenv("SSL_CERT_FILE", str(pem))
        server = services.Pyftpdlib(files.parent, pem if request.param == "ftps" else None)
        netrc = services.write_netrc(tmp_path / "netrc")
        one = Served(files, f"{request.param}://127.0.0.1:{server.port}/raw%20data", netrc)
        yield one
        one.transfer.close()
        server.close()


class TestVsftpd(transfer.Exam):
    @pytest.fixture(params=["ftp", "ftps"])
    def archive(
        self,
        request: pytest.FixtureRequest,
        tmp_path: pathlib.Path,
        files: pathlib.Path,
        pem: pathlib.Path,
        monkeypatch: pytest.MonkeyPatch,
        need: Callable[[str, object], object],
    ) -> Iterator[Served]:
        why = services.unable()
        need(why, not why)
        monkeypatch.setenv("SSL_CERT_FILE", str(pem))
        netrc = services.write_netrc(tmp_path / "netrc", services.PLAIN_USER)
        with services.vsftpd(tmp_path, files.parent, pem if request.param == "ftps" else None) as port:
            one = Served(files, f"{request.param}://127.0.0.1:{port}/raw%20data", netrc)
            yield one
            one.transfer.close()


class TestHostile(transfer.Exam):
    @pytest.fixture
    def archive(self, tmp_path: pathlib.Path, files: pathlib.Path) -> Iterator[Hostile]:
        server = hostile_ftp.Server(files)
        one = Hostile(server, services.write_netrc(tmp_path / "netrc"))
        yield one
        one.transfer.close()
        server.close()
