"""Tab, in the shells themselves."""

from __future__ import annotations

import contextlib
import os
import pathlib
import pty
import re
import select
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator

import pytest

from production.cli import completion, production, run_production
from tests.acceptance.campaign import ROOT

Need = Callable[[str, object], object]

LINES = {
    "production stat": "production status ",
    "production datasets a": "production datasets add ",
    "production --vers": "production --version ",
    "production runs --lim": "production runs --limit=",
    "production status --js": "production status --json ",
    "production runs sta": "production runs state:",
    "production runs state:fai": "production runs state:failed",
    "production runs state:failed,he": "production runs state:failed,held",
    "production runs --limit 5 cause:mem": "production runs --limit 5 cause:memory",
    "production doctor lock": "production doctor locking ",
    "production doctor clock qu": "production doctor clock quota ",
    "production runs --columns=ho": "production runs --columns=host",
    "production runs --columns=run,ho": "production runs --columns=run,host",
    "production runs --columns run,host,subm": "production runs --columns run,host,submitted",
    "production import sett": "production import settings\\ of\\ ours.toml",
    "production completion zs": "production completion zsh ",
    "run_production --batch=sl": "run_production --batch=slurm",
    "run_production --batch sl": "run_production --batch slurm",
    "run_production --nproc=3 --follo": "run_production --nproc=3 --follow ",
    "run_production --config=sett": "run_production --config=settings\\ of\\ ours.toml",
}
"""{what is typed before Tab: what stands there then}; a space at the end may be there or not behind values and files."""


def script(shell: str) -> str:
    done = subprocess.run(
        [sys.executable, "-m", "production", "completion", shell],
        cwd=ROOT, env=os.environ | {"PYTHONPATH": str(ROOT)}, capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert done.stderr == ""
    return done.stdout


class Terminal:
    """A shell on a terminal of its own."""

    def __init__(self, command: list[str], directory: pathlib.Path) -> None:
        self._ours, theirs = pty.openpty()
        environment = {
            "PATH": os.environ["PATH"],
            "HOME": str(directory),
            "TERM": "dumb",
            "PS1": "$ ",
            "LC_ALL": "C.UTF-8",
        }
        self._process = subprocess.Popen(
            command, cwd=directory, env=environment, stdin=theirs, stdout=theirs, stderr=theirs, start_new_session=True
        )
        os.close(theirs)

    def say(self, text: str, until: str) -> str:
        """Type it; what the shell shows until this is seen."""
        os.write(self._ours, text.encode())
        shown, end = "", time.monotonic() + 30
        while not re.search(until, shown, re.MULTILINE):
            ready, _, _ = select.select([self._ours], [], [], max(0.0, end - time.monotonic()))
            assert ready, f"after {text!r} no {until!r} in {shown!r}"
            shown += os.read(self._ours, 65536).decode(errors="replace")
        return shown

    def completed(self, line: str) -> str:
        """The line as it is after Tab."""
        shown = self.say(f"{line}\t\x01echo '<\x05>'\r", r"^<.*>\r?$")
        [found] = re.findall(r"^<(.*)>\r?$", shown, re.MULTILINE)
        return str(found)

    def close(self) -> None:
        self._process.kill()
        self._process.wait()
        os.close(self._ours)


@contextlib.contextmanager
def at_work(command: list[str], directory: pathlib.Path, begin: str) -> Iterator[Terminal]:
    terminal = Terminal(command, directory)
    try:
        terminal.say(f"{begin}; echo rea''dy\r", r"^ready\r?$")
        yield terminal
    finally:
        terminal.close()


@pytest.mark.parametrize("shell", ["bash", "zsh"])
def test_tab_completes(shell: str, tmp_path: pathlib.Path, need: Need) -> None:
    path = str(need(shell, shutil.which(shell)))
    (tmp_path / "completion").write_text(script(shell))
    (tmp_path / "settings of ours.toml").touch()
    begin, command = "source ./completion", [path, "--norc", "--noprofile", "-i"]
    if shell == "zsh":
        begin, command = f"autoload -Uz compinit; compinit -u -D; {begin}", [path, "-f", "-i"]
    with at_work(command, tmp_path, begin) as terminal:
        found = {line: terminal.completed(line) for line in LINES}
    assert {line: text.rstrip() for line, text in found.items()} == {
        line: text.rstrip() for line, text in LINES.items()
    }
    if shell == "bash":  # zsh takes its space back when something else is typed
        assert found["production stat"].endswith(" ")
    assert not found["production runs sta"].endswith(" ")
    assert not found["production runs --lim"].endswith(" ")


def test_fish_completes(tmp_path: pathlib.Path, need: Need) -> None:
    path = str(need("fish", shutil.which("fish")))
    (tmp_path / "completion.fish").write_text(script("fish"))
    lines = {line: text for line, text in LINES.items() if "," not in line and "settings" not in text}
    asked = "; ".join(f"echo '<{line}>'; complete -C '{line}'" for line in lines)
    done = subprocess.run(
        [path, "--no-config", "-c", f"source completion.fish; {asked}"],
        cwd=tmp_path, env=os.environ | {"HOME": str(tmp_path)}, capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert done.stderr == ""
    answers = dict(re.findall(r"^<(.*)>\n((?:(?!<).*\n)*)", done.stdout, re.MULTILINE))
    for line, text in lines.items():
        word = text.split()[-1].rstrip("=")
        assert any(answer.split("\t")[0] == word for answer in answers[line].splitlines()), (line, answers[line])


def test_a_script_knows_every_option_of_both_programs() -> None:
    """Which is to say that it is made from them."""
    text = script("bash")
    for parser in (production.parser(), run_production.parser()):
        for command in completion.commands(parser):
            for option in command.options:
                assert all(name in text for name in option.names)
    assert "runs) opts=" in text


def test_an_unknown_shell_is_told_which_there_are() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "production", "completion", "zzh"],
        cwd=ROOT, env=os.environ | {"PYTHONPATH": str(ROOT)}, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 2
    assert done.stderr.count("\n") == 1
    assert "did you mean zsh?" in done.stderr
