"""A job's log in the dashboard: whatever is in it, however long it is, as it grows and goes."""

from __future__ import annotations

import os
import pathlib
from collections.abc import Callable

import pytest

from tests.acceptance import boards
from tests.acceptance.boards import Opened, at
from tests.acceptance.campaign import Campaign
from tests.acceptance.screen import Screen

pytestmark = pytest.mark.feature("AC-34", "AC-35")

GIGABYTE = 1 << 30
Open = Callable[..., Screen]


@pytest.fixture
def log(campaign: Campaign) -> pathlib.Path:
    """What run 1 said on stdout; nobody works on the production."""
    boards.begin(campaign)
    return pathlib.Path(str(campaign.one("SELECT olog FROM attempt WHERE run = 1")))


@pytest.fixture
def reading(campaign: Campaign, log: pathlib.Path, watch: Opened) -> Open:
    """Opens it."""

    def opened(**how: object) -> Screen:
        screen = watch(campaign, "1", **how)
        screen.until(at(1))
        screen.type("l")
        screen.until("run 1, attempt 1, stdout")
        screen.until("its end")
        return screen

    return opened


def body(screen: Screen) -> list[str]:
    """The lines of the log that are shown."""
    lines = screen.lines[screen.row("run 1, attempt 1") + 1 : -1]
    return lines[: max((number for number, line in enumerate(lines, 1) if line), default=0)]


def at_end(screen: Screen, code: int = 0) -> None:
    screen.type("q")
    assert screen.end() == code
    assert screen.unrestored == []


def test_whatever_a_job_writes(log: pathlib.Path, reading: Open) -> None:
    log.write_bytes(
        b"\x1b[31mred\x1b[0m \x07bell\n\x1b]0;title\x07\x1b[2J\x1b[?1049l\n\xff\xfe bytes \x00\n"
        + "日本語 e\u0301 👩\u200d🔬 \u202e\n".encode()
        + b"one\rtwo\rthree\n"
        + b"x" * 9000
        + b"\nlast line"
    )
    screen = reading()
    screen.until("last line")
    screen.type("w")  # else the long line is all there is
    screen.until("bell")
    lines = body(screen)
    assert lines[0] == "\\x1b[31mred\\x1b[0m \\x07bell"
    assert lines[1] == "\\x1b]0;title\\x07\\x1b[2J\\x1b[?1049l"
    assert lines[2] == "\\xff\\xfe bytes \\x00"
    assert "日本語" in lines[3]
    assert lines[4] == "three"
    assert screen.in_dashboard
    assert b"\x07" not in screen.raw
    assert b"\x1b]0;" not in screen.raw
    screen.type(*["right"] * 3)
    screen.until(lambda screen: body(screen)[0] == "<")
    at_end(screen)


def test_a_gigabyte(campaign: Campaign, log: pathlib.Path, reading: Open) -> None:
    """Most of it holes, which take no room on the disk and are read like any other bytes."""
    log.write_bytes(b"".join(b"begin %d\n" % number for number in range(1000)))
    with log.open("r+b") as file:
        file.seek(GIGABYTE // 2)
        file.write(b"\nneedle in the middle\n")
        file.seek(GIGABYTE)
        file.write(b"".join(b"\nend %d" % number for number in range(1000)))
    screen = reading()
    screen.until("100 % of 1.0 GiB")
    assert body(screen)[-1] == "end 999"
    screen.type("home")
    screen.until("begin 0")
    screen.type("page down")
    screen.until("begin 30")
    screen.type("g", "101", "enter")
    screen.until("101: 0 to 100")
    screen.type("ctrl u", "50", "enter")
    screen.until("50 % of")
    screen.type("home")
    screen.until("begin 0")
    screen.type("/", "NEEDLE", "enter")
    screen.until("looking for NEEDLE")
    screen.type("down")
    screen.until("begin 1")
    screen.type("esc")
    screen.until_gone("looking for")
    assert "stdout" in screen.text, "Esc ended the search, not the view"
    assert "begin 1" in screen.text
    screen.type("/", "ctrl u", "needle in", "enter")
    screen.until("needle in the middle")
    screen.until_gone("looking for")
    screen.type("N")
    screen.until("needle in: not above")
    screen.type("end")
    screen.until("end 999")
    screen.type("q")
    assert screen.end() == 0


def test_it_grows_and_is_followed(log: pathlib.Path, reading: Open) -> None:
    screen = reading()
    screen.until("line 200 of run 1")
    with log.open("ab") as file:
        file.write(b"more\nand half a")
    screen.until("and half a")
    with log.open("ab") as file:
        file.write(b" line\n")
    screen.until("and half a line")
    screen.type("up")
    screen.until_gone("its end")
    with log.open("ab") as file:
        file.write(b"nobody follows\n" * 100)
    screen.again()
    screen.again()
    assert "nobody follows" not in screen.text
    screen.type("f")
    screen.until("nobody follows")
    screen.until("its end")
    at_end(screen)


def test_it_is_cut_off_replaced_and_removed(log: pathlib.Path, reading: Open) -> None:
    screen = reading()
    screen.until("line 200 of run 1")
    os.truncate(log, 0)
    screen.until("begins anew: it was cut off, or is another file")
    screen.until("nothing on stdout; o: stderr")
    log.write_text("written anew\n")
    screen.until("written anew")
    other = log.with_name("other")
    other.write_text("from elsewhere\n")
    other.replace(log)
    screen.until("from elsewhere")
    log.unlink()
    screen.until("nothing on stdout")
    log.mkdir()
    screen.until("cannot read ")
    assert "unexpected" not in screen.text
    screen.type("o")
    screen.until("error of run 1")
    screen.type("o")
    log.rmdir()
    log.write_text("back again\n")
    screen.until("back again")
    at_end(screen)


def test_attempts_and_streams(campaign: Campaign, log: pathlib.Path, watch: Opened) -> None:
    assert log.exists()
    screen = watch(campaign)
    screen.until(at(5))
    screen.type("l")
    screen.until("run 5, attempt 2, stderr")
    screen.until("bad magic in run 5")
    screen.type("o")
    screen.until("run 5, attempt 2, stdout")
    screen.until("line 200 of run 5 attempt 2")
    screen.type("o")
    screen.until("run 5, attempt 2, stderr")
    screen.until("bad magic in run 5")
    screen.type("[")
    screen.until("run 5, attempt 1, stderr")
    screen.until("bad magic in run 5")
    screen.type("[")
    screen.until("there is no attempt before that")
    screen.type("o")
    screen.until("line 200 of run 5 attempt 1")
    screen.type("]", "]")
    screen.until("there is no attempt after that")
    screen.type("1", "g", "40", "enter")
    screen.until(at(40))
    screen.type("l")
    screen.until("no job of it was submitted yet, so there is no log")
    screen.type("v")
    screen.until("there is no log yet")
    screen.type("/", "word", "enter", "n", "N", "home", "end", "up", "down", "o", "[", "]")
    screen.until("there is no attempt after that")
    at_end(screen)


@pytest.mark.parametrize(
    ("pager", "said"),
    [
        ("@/pager.sh -x 'two words'", "paging -x|two words|"),
        ("no-such-pager", "PAGER=no-such-pager: there is no such program on the PATH"),
        ("'unfinished", "PAGER='unfinished: there is no such program on the PATH"),
        ("false", "false ended with exit 1"),
        ("@/no-program", "no-program: Exec format error"),
    ],
)
def test_the_pager(campaign: Campaign, reading: Open, pager: str, said: str) -> None:
    campaign.script("pager.sh", 'printf "paging "; for word; do printf "%s|" "$word"; done; read key')
    bad = campaign.directory / "no-program"
    bad.write_bytes(b"\x7fELF no program")
    bad.chmod(0o755)
    screen = reading(PAGER=pager.replace("@", str(campaign.directory)))
    screen.type("v")
    screen.until(said)
    if said.startswith("paging"):
        screen.until(lambda screen: "sim.run00001.out|" in screen.text.replace("\n", ""))
        assert not screen.in_dashboard
        assert screen.unrestored == []
        screen.type("enter")
    screen.until(lambda screen: screen.in_dashboard and "run 1, attempt 1, stdout" in screen.text)
    at_end(screen)
