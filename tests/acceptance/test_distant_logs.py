"""Jobs' logs on a disk that only the login node sees: printed, followed and watched over a real sshd, and a line that breaks."""

from __future__ import annotations

import contextlib
import getpass
import os
import pathlib
import sqlite3
import tempfile
import time
import urllib.parse
from collections.abc import Callable, Iterator

import pytest

from production.monitor import reach
from tests.acceptance import boards
from tests.acceptance.boards import Opened, at
from tests.acceptance.campaign import Campaign, Manager
from tests.acceptance.screen import Screen
from tests.services import link, sshd

pytestmark = pytest.mark.feature("AC-34", "AC-35", "PC-02")

Need = Callable[[str, object], object]
GIGABYTE = 1 << 30


class Cluster:
    """A login node with logs on its own disk, and the line to it."""

    def __init__(self, campaign: Campaign, server: sshd.Sshd, line: link.Link, disk: pathlib.Path) -> None:
        self.campaign, self.server, self.line = campaign, server, line
        self.out, self.err = disk / "sim 1.out", disk / "sim 1.err"
        server.introduce(campaign.home, getpass.getuser(), port=line.port)

    def has(self, run: int, out: bytes, err: bytes = b"") -> None:
        """The logs of a run are there, and the database says so."""
        self.out.write_bytes(out)
        self.err.write_bytes(err)
        names = [f"sftp://login{urllib.parse.quote(str(path))}" for path in (self.out, self.err)]
        with contextlib.closing(sqlite3.connect(self.campaign.database, timeout=30)) as database, database:
            database.execute("UPDATE attempt SET olog = ?, elog = ? WHERE run = ?", (*names, run))

    def add(self, text: bytes) -> None:
        with self.out.open("ab") as file:
            file.write(text)

    def follow(self, run: int) -> Manager:
        campaign = self.campaign
        return campaign.begun([campaign.python, "-m", "production", "log", "-f", str(run), "--out"])


@pytest.fixture
def cluster(campaign: Campaign, need: Need) -> Iterator[Cluster]:
    reason = sshd.Sshd.unable()
    need(reason, not reason)
    with contextlib.ExitStack() as stack:
        directory = tempfile.TemporaryDirectory(prefix="rp-", dir="/tmp", ignore_cleanup_errors=True)
        path = pathlib.Path(stack.enter_context(directory))
        server = stack.enter_context(sshd.Sshd(path / "sshd"))
        line = stack.enter_context(link.to(server.port))
        boards.begin(campaign)
        yield Cluster(campaign, server, line, path)


# ── production log ──


def test_it_is_printed_as_any_other(cluster: Cluster) -> None:
    cluster.has(1, b"".join(b"line %d\n" % number for number in range(20_000)) + b"\xff\x00end", b"trouble\n")
    campaign = cluster.campaign
    assert campaign.ok("log", "1", "--err").out == "trouble\n"
    assert campaign.ok("log", "1", "--out", "-n", "2").out == "line 19999\n\ufffd\x00end"
    whole = campaign.ok("log", "1").out
    assert f"==> sftp://login{urllib.parse.quote(str(cluster.out))} <==\nline 0\n" in whole
    assert whole.count("\nline ") == 20_000
    assert campaign.ok("why", "5").code == 0


def test_a_gigabyte_is_not_brought(cluster: Cluster) -> None:
    cluster.has(1, b"")
    os.truncate(cluster.out, GIGABYTE)
    cluster.add(b"\nthe end\n")
    before = cluster.line.down
    assert cluster.campaign.ok("log", "1", "--out", "-n", "1").out == "the end\n"
    assert cluster.line.down - before < 1 << 20
    assert cluster.server.logins() == 1
    assert cluster.server.commands() <= 3


def test_what_can_not_be_read_is_one_line(cluster: Cluster) -> None:
    cluster.has(1, b"")
    campaign = cluster.campaign
    cluster.out.unlink()
    gone = campaign.product("log", "1", "--out")
    assert (gone.code, gone.err.count("\n")) == (1, 1), str(gone)
    assert f"cannot read sftp://login{urllib.parse.quote(str(cluster.out))}: No such file or directory" in gone.err
    cluster.line.refuse()
    away = campaign.product("log", "1")
    assert (away.code, away.err.count("\n"), "no connection to login" in away.err) == (1, 1, True), str(away)
    cluster.line.accept()
    (campaign.home / ".ssh/id_test").unlink()
    refused = campaign.product("log", "1")
    assert (refused.code, "login doesn't let" in refused.err, refused.err.count("\n")) == (1, True, 1), str(refused)


def test_what_failed_is_told_with_its_last_words(cluster: Cluster) -> None:
    cluster.has(5, b"", b"bad sector 77\n")
    cluster.has(6, b"", b"bad sector 77\n")
    told = cluster.campaign.ok("failures").out
    assert "| bad sector 77" in told
    assert f": sftp://login{urllib.parse.quote(str(cluster.err))}" in told
    assert cluster.server.logins() == 1
    cluster.line.refuse()
    assert "bad sector" not in cluster.campaign.ok("failures").out


def test_it_is_followed_whatever_becomes_of_it(cluster: Cluster) -> None:
    """It grows, is cut off and replaced; the line breaks and comes back; at the end of the attempt it ends."""
    manager = boards.working(cluster.campaign)
    cluster.has(31, b"first words\n")
    follower = cluster.follow(31)
    follower.wait_for("first words", stream="out")
    cluster.add(b"second words\n")
    follower.wait_for("second words", stream="out")
    os.truncate(cluster.out, 0)
    cluster.add(b"anew\n")
    follower.wait_for("anew", stream="out")
    other = cluster.out.with_name("other")
    other.write_bytes(b"another file\n")
    other.replace(cluster.out)
    follower.wait_for("another file", stream="out")
    cluster.line.refuse()
    follower.wait_for("; waiting")
    cluster.add(b"said meanwhile\n")
    cluster.line.accept()
    follower.wait_for("said meanwhile", stream="out", seconds=90)
    follower.wait_for("can be read again")
    commands, began = cluster.server.commands(), time.monotonic()
    (cluster.campaign.directory / "gate").write_text("\n\n")
    result = follower.wait()
    assert result.code == 0, str(result)
    assert result.out == "first words\nsecond words\nanew\nanother file\nsaid meanwhile\n"
    assert result.err.count("; waiting") == 1, result.err
    assert result.err.count("begins anew: it was cut off, or is another file") == 2
    assert cluster.server.commands() - commands < 3 + (time.monotonic() - began) / reach.PAUSE, "one a look"
    assert manager.wait().code in (0, 3)


# ── the dashboard ──


@pytest.fixture
def reading(cluster: Cluster, watch: Opened) -> Callable[..., Screen]:
    def opened(until: str = "run 1, attempt 1, stdout", **how: object) -> Screen:
        screen = watch(cluster.campaign, "1", **how)
        screen.until(at(1))
        screen.type("l")
        screen.until(until)
        return screen

    return opened


def test_the_dashboard_opens_searches_and_follows_a_gigabyte(cluster: Cluster, reading: Callable[..., Screen]) -> None:
    cluster.has(1, b"begin\n")
    with cluster.out.open("r+b") as file:
        file.seek(GIGABYTE // 8)
        file.write(b"\nneedle in the middle\n")
        file.seek(GIGABYTE)
        file.write(b"".join(b"\nend %d" % number for number in range(1000)))
    screen = reading()
    screen.until("end 999")
    screen.until("100 % of 1.0 GiB")
    cluster.add(b"\nmore of it\n")
    screen.until("more of it")
    screen.type("home")
    screen.until("begin")
    screen.type("/", "NEEDLE", "enter")
    screen.until("looking for NEEDLE")
    screen.type("esc")
    screen.until_gone("looking for")
    screen.type("/", "ctrl u", "needle in", "enter")
    screen.until("needle in the middle")
    screen.type("end")
    screen.until("more of it")
    assert cluster.server.logins() == 1
    screen.type("q")
    assert screen.end() == 0


def test_the_dashboard_goes_on_without_the_line(cluster: Cluster, reading: Callable[..., Screen]) -> None:
    """It is told in one line; when the line is back, so is the log. Nobody is asked for anything, and leaving is quick."""
    cluster.has(1, b"first words\n", b"")
    screen = reading()
    screen.until("first words")
    cluster.line.refuse()
    screen.until("the log can't be read: ")
    screen.type("1")
    screen.until(at(1))
    screen.type("l")
    screen.until("the log can't be read: ")
    cluster.add(b"said meanwhile\n")
    cluster.line.accept()
    screen.until("said meanwhile", seconds=90)
    cluster.out.unlink()
    screen.until("nothing on stdout")
    cluster.out.write_text("here again\n")
    screen.until("here again")
    cluster.line.stall()
    screen.again()
    screen.again()
    began = time.monotonic()
    screen.type("q")
    assert screen.end() == 0
    assert time.monotonic() - began < 10
    assert screen.unrestored == []
    assert b"assw" not in screen.raw


def test_the_dashboard_asks_nobody_for_a_password(cluster: Cluster, reading: Callable[..., Screen]) -> None:
    cluster.has(1, b"first words\n")
    (cluster.campaign.home / ".ssh/id_test").unlink()
    screen = reading(until="the log can't be read: login doesn't let")
    screen.type("q")
    assert screen.end() == 0
    assert cluster.server.logins() == 0


@pytest.mark.parametrize("size", [100, 70 << 20])
def test_the_pager_gets_a_copy(cluster: Cluster, reading: Callable[..., Screen], size: int) -> None:
    """Of a large one its end, which is said; the copy is gone afterwards."""
    campaign = cluster.campaign
    campaign.script("pager.sh", 'echo "paging $1"; wc -c <"$1"; tail -n 1 "$1"; read key')
    cluster.has(1, b"x" * size + b"\nlast words\n")
    screen = reading(PAGER=f"{campaign.directory}/pager.sh", columns=150)
    screen.until("last words")
    screen.type("v")
    screen.until("paging ")
    screen.until(str(min(size + 12, 64 << 20)))
    path = pathlib.Path(screen.line("paging ").removeprefix("paging ").strip())
    assert path.exists()
    screen.type("enter")
    screen.until(lambda screen: screen.in_dashboard and "run 1, attempt 1, stdout" in screen.text)
    assert not path.exists()
    if size > 64 << 20:
        screen.until("that was its last 64.0 MiB; 6.0 MiB before them were left there")
    screen.type("q")
    assert screen.end() == 0
