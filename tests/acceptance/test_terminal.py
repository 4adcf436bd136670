"""The screen: a bar on a terminal, plain lines elsewhere, and no screen at all; the work never minds."""

from __future__ import annotations

import fcntl
import os
import pty
import re
import select
import signal
import struct
import subprocess
import sys
import termios
import threading
import time

import pytest

from tests.acceptance.campaign import PATIENCE, ROOT, Campaign

COMMAND = [sys.executable, str(ROOT / "run_production.py"), "--production=sim", "--new=t"]


@pytest.fixture(autouse=True)
def program(campaign: Campaign) -> None:
    campaign.script("sim.sh", "test $1 != 3")
    campaign.settings('[programs.sim]\nscript = "sim.sh"\nretry.limit = 1\n')
    campaign.begin("1-6")


class Terminal:
    """A terminal of so many columns, with a command in it."""

    def __init__(self, campaign: Campaign, columns: int, command: list[str], **environment: str) -> None:
        pid, self._master = pty.fork()
        if not pid:
            fcntl.ioctl(0, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))
            os.chdir(campaign.directory)
            os.execvpe(command[0], command, campaign.environment | {"TERM": "xterm"} | environment)
        self._pid = pid
        self.text = ""

    def read(self, until: str = "") -> None:
        """Until this was shown, or all was."""
        deadline = time.monotonic() + PATIENCE
        while not until or until not in self.text:
            assert select.select([self._master], [], [], max(0.0, deadline - time.monotonic()))[0], self.text
            try:
                piece = os.read(self._master, 65536)
            except OSError:  # the other side was closed
                return
            self.text += piece.decode("utf-8", "replace")

    def type(self, key: bytes) -> None:
        os.write(self._master, key)

    def resize(self, columns: int) -> None:
        fcntl.ioctl(self._master, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))

    def end(self) -> int:
        """All it said, and its exit code."""
        self.read()
        code = os.waitstatus_to_exitcode(os.waitpid(self._pid, 0)[1])
        os.close(self._master)
        return code

    def screen(self) -> list[str]:
        """What stands on it at the end, as a terminal shows it, without the wrapping of long lines."""
        rows, column = [""], 0
        for piece in re.split(r"(\r\n|\r|\n|\x1b\[[0-9;?]*[A-Za-z])", self.text):
            if piece in ("\r\n", "\n"):
                rows.append("")
                column = 0
            elif piece == "\r":
                column = 0
            elif piece == "\x1b[J":
                rows[-1] = rows[-1][:column]
            elif not piece.startswith("\x1b"):
                start = column if rows[-1] else 0
                rows[-1] = rows[-1][:start] + piece + rows[-1][start + len(piece) :]
                column = start + len(piece)
        return rows


BAR = re.compile(r"\[[#>.]+\] \d+/6 finished, \d+ in hand(, 1 failed or held)?")


@pytest.mark.feature("AC-35")
@pytest.mark.parametrize("columns", [120, 40])
def test_a_bar_under_the_lines(campaign: Campaign, columns: int) -> None:
    gate = campaign.pipe("gate")
    campaign.script("sim.sh", "test $1 != 6 || read go <@/gate\ntest $1 != 3")
    terminal = Terminal(campaign, columns, COMMAND)
    for said in ("Failed run: 3", *(f"Finished run: {run}" for run in (1, 2, 4, 5))):
        terminal.read(said)
    threading.Event().wait(1)  # they are counted again only after twenty times what that took
    gate.give(1)
    assert terminal.end() == 3
    assert campaign.letters("sim_v1") == "FFEFFF"
    bars = [piece for piece in re.split(r"\r\x1b\[J|\r\n", terminal.text) if "in hand" in piece]
    assert bars, terminal.text
    assert all(bar.endswith("\r") for bar in bars), "the cursor stays where a narrower terminal keeps the beginning"
    bars = [bar.rstrip("\r") for bar in bars]
    assert max(map(len, bars)) < columns, "it would wrap, and stay"
    if columns > 80:
        assert all(BAR.fullmatch(bar) for bar in bars), bars
    assert any("5/6 finished" in bar for bar in bars)
    rows = terminal.screen()
    assert not [row for row in rows if "in hand" in row], "the bar is gone at the end"
    assert rows[-1] == ""
    assert any("Failed run: 3" in row for row in rows)
    assert any("sim_v1: 5 finished, 1 failed" in row for row in rows)


@pytest.mark.feature("AC-35", "AC-41")
def test_of_chosen_runs_only_these_are_counted(campaign: Campaign) -> None:
    campaign.ok("datasets", "add", "11-12", "--dataset=Cu20")
    terminal = Terminal(campaign, 120, [*COMMAND, "--dataset=Cu20"])
    assert terminal.end() == 0, terminal.text
    assert campaign.letters("sim_v1") == "NNNNNNFF"
    assert set(re.findall(r"\d+/(\d+) finished", terminal.text)) == {"2"}
    rows = terminal.screen()
    assert any(row.endswith(" sim_v1, dataset Cu20: 2 new") for row in rows), rows
    assert any(row.endswith(" sim_v1, dataset Cu20: 2 finished") for row in rows), rows


@pytest.mark.feature("AC-35")
def test_resized_meanwhile_and_stopped_with_ctrl_c(campaign: Campaign) -> None:
    started, gate = campaign.pipe("started"), campaign.pipe("gate")
    campaign.script("sim.sh", "echo $1 >@/started\nread go <@/gate")
    terminal = Terminal(campaign, 120, [*COMMAND, "--nproc=2"])
    terminal.read("Submitting run: 2")
    started.take(2)
    for columns in (10, 1, 0, 500):
        terminal.resize(columns)
        gate.give(1)
        started.take(1)
    terminal.type(b"\x03")
    assert terminal.end() == 130
    assert "^C" in terminal.text, "the terminal's own echo"
    rows = terminal.screen()
    assert rows[-1] == ""
    assert not [row for row in rows if "^C" in row or "in hand" in row], rows
    assert any("Stopped: jobs cancelled, claims given back" in row for row in rows)
    campaign.nothing_in_hands()


def test_the_terminal_goes_away(campaign: Campaign) -> None:
    """The window is closed: a HUP, and no screen any more; all is given back none the less."""
    started = campaign.pipe("started")
    campaign.pipe("gate")
    campaign.script("sim.sh", "echo $1 >@/started\nread go <@/gate")
    terminal = Terminal(campaign, 80, COMMAND)
    started.take(6)
    os.close(terminal._master)
    assert os.waitstatus_to_exitcode(os.waitpid(terminal._pid, 0)[1]) == 130
    campaign.nothing_in_hands()
    assert campaign.letters("sim_v1") == "NNNNNN"


@pytest.mark.feature("AC-35")
def test_a_dumb_terminal_has_lines_only(campaign: Campaign) -> None:
    terminal = Terminal(campaign, 80, COMMAND, TERM="dumb")
    assert terminal.end() == 3
    assert "\x1b" not in terminal.text
    assert "in hand" not in terminal.text
    assert "Finished run: 6" in terminal.text


@pytest.mark.feature("AC-35")
@pytest.mark.parametrize(
    "redirection",
    ["2>&-", ">&- 2>&-", "<&- >&- 2>&-", "2>/dev/full", ">/dev/full 2>/dev/full", "2>&1 | :"],
)
def test_without_a_screen_the_production_completes(campaign: Campaign, redirection: str) -> None:
    script = 'log=$1; shift; { "$@" ' + redirection.partition("|")[0] + '; echo $? >"$log"; }'
    script += f" |{redirection.partition('|')[2]}" if "|" in redirection else ""
    code = campaign.directory / "code"
    done = subprocess.run(
        ["sh", "-c", script, "sh", str(code), *COMMAND], cwd=campaign.directory, env=campaign.environment,
        timeout=PATIENCE, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert campaign.letters("sim_v1") == "FFEFFF", done.stderr
    assert code.read_text() == "3\n"
    campaign.nothing_in_hands()


def test_a_reader_that_went_away_stops_nothing(campaign: Campaign) -> None:
    """``run_production … 2>&1 | head -1``."""
    reader, writer = os.pipe()
    process = subprocess.Popen(
        COMMAND, cwd=campaign.directory, env=campaign.environment, stdout=writer, stderr=writer, process_group=0
    )
    os.close(writer)
    assert os.read(reader, 10)
    os.close(reader)
    assert process.wait(PATIENCE) == 3
    assert campaign.letters("sim_v1") == "FFEFFF"


def test_the_log_of_a_background_job_on_a_terminal_that_stops_writers(campaign: Campaign) -> None:
    """Nothing to do with the keyboard: run in the background it never asks the terminal for anything."""
    terminal = Terminal(campaign, 80, ["sh", "-c", '"$@" <&- & wait $!', "sh", *COMMAND])
    assert terminal.end() == 3
    assert campaign.letters("sim_v1") == "FFEFFF"
    assert signal.getsignal(signal.SIGTTOU) is signal.SIG_DFL
