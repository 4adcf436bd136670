"""An archive behind SSH, a real sshd, tried with the commands that people type, over a line that breaks."""

from __future__ import annotations

import getpass
import json
import os
import pathlib
import re
import tempfile
from collections.abc import Callable, Iterator

import pytest

from tests.acceptance.campaign import Campaign
from tests.acceptance.test_archive import SIM, all_came
from tests.services import link, sshd

Need = Callable[[str, object], object]


class Behind:
    """A campaign whose archive is behind a line to a login node."""

    def __init__(self, campaign: Campaign, server: sshd.Sshd, line: link.Link) -> None:
        self.campaign, self.server, self.line = campaign, server, line
        campaign.home.mkdir(exist_ok=True)
        server.introduce(campaign.home, getpass.getuser(), port=line.port)
        self.known_hosts = campaign.home / ".ssh/known_hosts"

    def use(self, url: str = "", **words: float) -> None:
        self.campaign.settings(SIM, **words)
        path = self.campaign.directory / "production.toml"
        table = f'archive = {{ url = "{url or f"sftp://login{self.campaign.archive}"}", stall = 5 }}'
        path.write_text(path.read_text().replace('archive = "archive"', table))
        self.campaign.script("sim.sh", 'cp "$1" "$2"')


@pytest.fixture
def behind(campaign: Campaign, need: Need) -> Iterator[Behind]:
    reason = sshd.Sshd.unable()
    need(reason, not reason)
    with tempfile.TemporaryDirectory(prefix="rp-", dir="/tmp", ignore_cleanup_errors=True) as directory:
        path = pathlib.Path(directory)
        path.chmod(0o755)
        with sshd.Sshd(path / "sshd") as server, link.to(server.port) as line:
            yield Behind(campaign, server, line)


@pytest.mark.feature("AC-10", "AC-12")
def test_runs_come_by_sftp_over_a_line_that_breaks(behind: Behind) -> None:
    campaign = behind.campaign
    for run in range(1, 7):
        (campaign.archive / f"run{run:05d}.mid").write_bytes(os.urandom(3_000_000))
    behind.use()
    campaign.begin("1-6")
    behind.line.cut_after(5_000_000)
    result = campaign.run("--production=sim", "--new=v5")
    assert result.code == 0, str(result)
    all_came(campaign, range(1, 7))
    assert behind.server.logins() == 2
    assert not list(campaign.data.rglob("*.part"))
    assert "login" in result.err, result.err  # that it was waited for is told


@pytest.mark.feature("AC-13", "AC-14")
def test_another_host_key_stops_it_at_the_door(behind: Behind) -> None:
    behind.use()
    behind.campaign.raw(range(1, 3))
    behind.campaign.begin("1-2")
    behind.known_hosts.write_text("")
    result = behind.campaign.run("--production=sim", "--new=v5")
    assert (result.code, len(result.err.splitlines())) == (2, 1), str(result)
    assert re.search("login: its host key is not known: ssh-ed25519 SHA256:.*; no version was opened", result.err)
    for words in (("archive", "check"), ("archive", "list")):
        checked = behind.campaign.product(*words)
        assert (checked.code, len(checked.err.splitlines())) == (1, 1), str(checked)
        assert "login: its host key is not known" in checked.err


@pytest.mark.feature("AC-14")
def test_an_archive_that_is_away_is_waited_for(behind: Behind) -> None:
    behind.use()
    behind.campaign.raw(range(1, 3))
    behind.campaign.begin("1-2")
    behind.line.refuse()
    manager = behind.campaign.start("--production=sim", "--new=v5")
    manager.wait_for("no connection to login")
    behind.line.accept()
    result = manager.wait(120)
    assert result.code == 0, str(result)
    all_came(behind.campaign, range(1, 3))


def test_it_is_tried_by_hand(behind: Behind) -> None:
    campaign = behind.campaign
    behind.use()
    campaign.raw(range(1, 4))
    (campaign.archive / "old runs").mkdir()
    (campaign.archive / "line\nend").write_text("odd")
    url = f"sftp://login{campaign.archive}"
    assert campaign.ok("archive", "check").out == f"{url}: it is there and lets us in; 4 files, 1 directories\n"
    listed = [line.split(maxsplit=1) for line in campaign.ok("archive", "list").out.splitlines()]
    assert ["3", "line\\nend"] in listed
    assert ["directory", "old runs"] in listed
    got = campaign.product("archive", "get", "2", "--production=sim", "--to=here.mid")
    assert got.code == 0, str(got)
    assert (campaign.directory / "here.mid").read_bytes() == (campaign.archive / "run00002.mid").read_bytes()
    missing = campaign.product("archive", "get", "9", "--production=sim")
    assert (missing.code, missing.err.splitlines()) == (
        1,
        [f"production: login: {campaign.archive}/run00009.mid is missing there"],
    )


def test_the_doctor_looks_at_it(behind: Behind) -> None:
    campaign = behind.campaign
    behind.use()
    campaign.raw(range(1, 4))
    campaign.ok("init", str(campaign.database))
    found = campaign.product("doctor", "netrc", "archive", "--json")
    said = {one["check"]: one for one in json.loads(found.out)}
    assert said["netrc"]["found"] == "not asked: the archive is behind SSH, and asks no netrc"
    expected = rf"sftp://login{campaign.archive} lets us in as {getpass.getuser()}: 3 files, \d+\.\d\d s"
    assert re.fullmatch(expected, said["archive"]["found"]), said["archive"]
    behind.known_hosts.write_text("")
    [bad] = json.loads(campaign.product("doctor", "archive", "--json").out)
    assert re.fullmatch("login: its host key is not known: ssh-ed25519 SHA256:[^; ]*", bad["found"])
    assert bad["mend"].startswith("compare the fingerprint with the site's, then run: ssh-keyscan -p"), bad
    with (behind.known_hosts.parent / "config").open("a") as config:
        config.write("Host slip\n    HostName fe80::1%%slip\n")  # no name service is asked
    behind.use("sftp://slip/raw")
    [bad] = json.loads(campaign.product("doctor", "archive", "--json").out)
    assert bad["mend"] == "is it written right? archive, ~/.ssh/config", bad


def test_a_directory_below_the_home_there(behind: Behind) -> None:
    """``~`` is what a login begins in, which is the account's, whatever HOME says here."""
    place = pathlib.Path(f"~{getpass.getuser()}").expanduser()
    with tempfile.TemporaryDirectory(prefix=".rp-test ", dir=place) as directory:
        (pathlib.Path(directory) / "run00001.mid").write_text("raw")
        behind.use(f"sftp://login/~/{pathlib.Path(directory).name.replace(' ', '%20')}")
        assert "1 files, 0 directories" in behind.campaign.ok("archive", "check").out


@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("sftp://me:secret@login/raw", "no password in the URL; use a key or an agent"),
        ("sftp://login/raw?x", "the archive's URL for login: write %3F for ? and %23 for # in the directory"),
        ("sftp://nobody@/raw", "no host in the URL"),
    ],
)
def test_urls_that_are_none(behind: Behind, url: str, message: str) -> None:
    behind.use(url)
    checked = behind.campaign.product("archive", "check")
    assert (checked.code, len(checked.err.splitlines())) == (2, 1), str(checked)
    assert message in checked.err
    assert "secret" not in checked.err
