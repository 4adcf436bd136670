"""The demo, as one would try it: whole, again, with a Ctrl-C or a kill half-way, with a broken raw file."""

from __future__ import annotations

import contextlib
import importlib.util
import netrc
import os
import pathlib
import re
import select
import shlex
import signal
import sqlite3
import stat
import sys
from collections.abc import Callable, Iterator

import pytest

from tests.acceptance import campaign as campaigns
from tests.acceptance.campaign import Campaign, Manager, Result

Need = Callable[[str, object], object]

DIRECTORY = "demo data"


@pytest.fixture(autouse=True)
def packages(need: Need) -> None:
    for name in ("numpy", "uproot", "hist", "matplotlib", "pyftpdlib"):
        need(name, importlib.util.find_spec(name))


def begun(campaign: Campaign, runs: int = 3, directory: str = DIRECTORY) -> Manager:
    """``python -m demo``, as a process group: a Ctrl-C reaches everybody in it."""
    small = (f"--runs={runs}", "--decays=60000")
    return campaign.begun([sys.executable, "-m", "demo", f"--directory={directory}", *small])


def place(campaign: Campaign) -> pathlib.Path:
    return campaign.directory / DIRECTORY


def states(campaign: Campaign, table: str) -> str:
    """``FFF``"""
    database = (place(campaign) / "production.db").as_uri()
    with contextlib.closing(sqlite3.connect(f"{database}?mode=ro", uri=True, timeout=30)) as connection:
        return "".join(status for (status,) in connection.execute(f"SELECT status FROM {table} ORDER BY run"))


def is_whole(campaign: Campaign, result: Result, version: int, runs: int = 3) -> None:
    """It ended well, with this version, and everything is where it says."""
    assert result.code == 0, str(result)
    assert re.search(r"^muon lifetime: 2\.\d+ \+- 0\.0\d+ us \(expected 2\.197\): within", result.out, re.MULTILINE)
    assert f"Finished: alcapana version {version}, rootana version {version}\n" in result.out
    assert [states(campaign, f"{program}_v{version}") for program in ("alcapana", "rootana")] == ["F" * runs] * 2
    told = result.out.partition("Finished: ")[2].partition("Try next")[0]
    paths = re.findall(rf"{DIRECTORY}/\S+", told)
    assert len(paths) == 10
    assert not [path for path in paths if not (campaign.directory / path).exists()]
    for plot in place(campaign).glob(f"plots/v{version}/*.png"):
        assert plot.read_bytes().startswith(b"\x89PNG\r\n\x1a\n")
    assert len(list((place(campaign) / f"data/out/v{version}").iterdir())) == runs


def descendants(pid: int) -> Iterator[int]:
    """All processes that it has started, and theirs."""
    with contextlib.suppress(OSError):
        for child in pathlib.Path(f"/proc/{pid}/task/{pid}/children").read_text().split():
            yield int(child)
            yield from descendants(int(child))


def command_line(pid: int) -> str:
    with contextlib.suppress(OSError):
        return pathlib.Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode()
    return ""


@pytest.mark.feature("AC-18", "AC-24", "AC-33", "AC-36")
def test_the_demo_twice_and_what_it_says_to_try_next(campaign: Campaign) -> None:
    first = begun(campaign).wait()
    is_whole(campaign, first, 1)
    for line in first.out.partition(f"Try next, in {campaign.directory}:\n")[2].splitlines()[:3]:
        tried = campaign.call(shlex.split(line))
        assert tried.code == 0, str(tried)
    assert states(campaign, "rootana_v2") == "FFF", "that was the last of the three"

    second = begun(campaign).wait()
    assert second.code == 0, str(second)
    assert "0 runs simulated" in second.out
    assert "Finished: alcapana version 2, rootana version 3\n" in second.out


@pytest.mark.feature("AC-28", "AC-14")
def test_a_ctrl_c_half_way_and_again(campaign: Campaign) -> None:
    demo = begun(campaign, runs=8)
    demo.wait_for("Finished run: 2091")
    lines = [command_line(pid) for pid in descendants(demo.pid)]
    os.killpg(demo.pid, signal.SIGINT)
    stopped = demo.wait()
    assert stopped.code == 130, str(stopped)
    goes_on = f"{sys.executable} -m demo '--directory={DIRECTORY}'"
    assert (
        stopped.err.splitlines()[-1] == f"Interrupted; the whole demo, its FTP server and all, goes on with: {goes_on}"
    )
    assert "Traceback" not in stopped.err
    assert set(states(campaign, "alcapana_v1")) == {"F", "N"}, "claims are given back"

    secret = place(campaign) / "netrc"
    assert stat.S_IMODE(secret.stat().st_mode) == 0o600
    found = netrc.netrc(secret).authenticators("127.0.0.1")
    assert found
    assert any("demo.server" in line for line in lines)
    told = [path for path in place(campaign).rglob("*") if path.is_file() and path != secret]
    assert not [path for path in told if found[2].encode() in path.read_bytes()]
    assert found[2] not in "".join(lines) + stopped.out + stopped.err

    again = begun(campaign, runs=8).wait()
    is_whole(campaign, again, 1, runs=8)
    assert "--production=alcapana --version=1" in again.out, "it goes on"


@pytest.mark.feature("AC-29")
def test_killed_it_leaves_nobody_behind(campaign: Campaign) -> None:
    demo = begun(campaign)
    demo.wait_for("Submitting run: 2091")
    with contextlib.ExitStack() as stack:
        left = {}
        for pid in descendants(demo.pid):
            with contextlib.suppress(ProcessLookupError):  # it has just ended
                left[pid] = os.pidfd_open(pid)
                stack.callback(os.close, left[pid])
        assert len(left) >= 2, "the server and the manager"
        demo.send(signal.SIGKILL)
        for pid, watch in left.items():
            assert select.select([watch], [], [], campaigns.PATIENCE)[0], f"{pid} goes on: {command_line(pid)}"
    is_whole(campaign, begun(campaign).wait(), 1)


@pytest.mark.feature("AC-23", "AC-25")
def test_a_truncated_raw_file_fails_and_is_tried_in_the_next_version(campaign: Campaign) -> None:
    raw = place(campaign) / "archive/raw"
    arguments = ["-m", "demo.simulate", str(raw), str(place(campaign) / "odb"), "2092", "--decays=60000"]
    assert campaign.call([sys.executable, *arguments]).code == 0
    cut = raw / "run02092.mid"
    os.truncate(cut, cut.stat().st_size // 2)

    stopped = begun(campaign).wait()
    assert stopped.code == 1, str(stopped)
    assert states(campaign, "alcapana_v1") == "FEF"
    log = f"{DIRECTORY}/data/log/v1/alcapana.run02092.err"
    assert stopped.err.splitlines()[-1] == f"alcapana_v1: 1 of its runs did not finish, e.g. 2092; see {log}"
    assert "run02092.mid: truncated: " in (campaign.directory / log).read_text()

    cut.unlink()
    again = begun(campaign).wait()
    assert again.code == 0, str(again)
    assert "Finished: alcapana version 2, rootana version 1\n" in again.out
    assert states(campaign, "alcapana_v2") == "FFF"


def made(path: pathlib.Path, kind: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    if kind == "directory":
        path.mkdir()
    elif kind == "file":
        path.touch()
    else:
        path.symlink_to("nowhere")


@pytest.mark.parametrize(
    ("kind", "name", "said"),
    [
        ("directory", "netrc", "Is a directory"),
        ("directory", "production.toml", "Is a directory"),
        ("directory", "archive.log", "Is a directory"),
        ("directory", "archive/raw/run02091.mid.part", "Is a directory"),
        ("file", "DAQ", "File exists"),
        ("file", ".", "File exists"),
        ("dangling link", "archive", "File exists"),
    ],
)
def test_what_is_in_the_way_is_told_in_one_line(campaign: Campaign, kind: str, name: str, said: str) -> None:
    made(place(campaign) / name, kind)
    stopped = begun(campaign, runs=2).wait()
    assert stopped.code == 1, str(stopped)
    assert "Traceback" not in stopped.err
    path = os.path.normpath(f"{DIRECTORY}/{name}")
    told = f"{path}: {said}; mend it or move it away, or give the demo another --directory"
    assert len(re.findall(rf"^(?:\w+: )?{re.escape(told)}$", stopped.err, re.MULTILINE)) == 1


def test_a_colon_in_the_directory_is_told_at_once(campaign: Campaign) -> None:
    """The DAQ software in it goes into PATH."""
    stopped = begun(campaign, directory="a:b").wait()
    path = campaign.directory / "a:b"
    assert (stopped.code, stopped.out) == (1, "")
    assert stopped.err == f"\n{path}: a PATH can't hold a colon; give the demo another --directory\n"
    assert not path.exists()


@pytest.mark.feature("AC-35")
def test_a_demo_to_be_watched(campaign: Campaign) -> None:
    """With --display, here without a terminal; its archive is slow."""
    options = ("--runs=2", "--decays=60000", "--rate=0.2", "--display")
    done = campaign.begun([sys.executable, "-m", "demo", f"--directory={DIRECTORY}", *options]).wait()
    is_whole(campaign, done, version=1, runs=2)
    assert done.err.count("--display: the dashboard needs a terminal; lines instead") == 2
    assert "archive.log' --rate=0.2 &\n" in done.out
    assert "'--directory=demo data' --rate=0.2 --display makes version 2." in done.out


def test_a_second_demo_in_the_directory_says_who_is_there(campaign: Campaign) -> None:
    first = begun(campaign, runs=8)
    first.wait_for("Submitting run: 2091")
    second = begun(campaign, runs=8).wait()
    assert (second.code, second.out) == (1, "")
    who = f"process {first.pid} on {os.uname().nodename}"
    assert second.err == (f"\n{DIRECTORY}: another demo works there ({who}); let it end, or give another --directory\n")
    is_whole(campaign, first.wait(), 1, runs=8)


def test_without_its_server_it_ends_soon_and_goes_on_when_asked(campaign: Campaign) -> None:
    demo = begun(campaign, runs=8)
    demo.wait_for("Submitting run: 2091")
    [server] = [pid for pid in descendants(demo.pid) if "demo.server" in command_line(pid)]
    os.kill(server, signal.SIGKILL)
    stopped = demo.wait(20)
    assert stopped.code == 1, str(stopped)
    assert "Traceback" not in stopped.err
    said = "This has ended meanwhile (exit code -9), start the demo again: "
    assert stopped.err.splitlines()[-1].startswith(f"{said}{sys.executable} -m demo.server ")
    assert set(states(campaign, "alcapana_v1")) <= {"F", "N"}, "claims are given back"
    is_whole(campaign, begun(campaign, runs=8).wait(), 1, runs=8)
