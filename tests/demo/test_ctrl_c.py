"""A Ctrl-C while a program of the demo still imports what it needs, which may take seconds on a busy disk."""

from __future__ import annotations

import os
import pathlib
import signal
import subprocess
import sys

import pytest

ROOT = pathlib.Path(__file__).resolve().parents[2]

INTERRUPTED = "import os, signal\nos.kill(os.getpid(), signal.SIGINT)\n"


MODULES = ("simulate", "server", "alcapana", "rootana", "plots")


@pytest.mark.parametrize(
    "program", [*(f"-m demo.{name}" for name in MODULES), "demo/psi/lifetime.py", "demo/psi/make_runs.py"]
)
def test_it_ends_without_a_word(tmp_path: pathlib.Path, program: str) -> None:
    for name in ("numpy", "hist", "pyftpdlib"):
        (tmp_path / f"{name}.py").write_text(INTERRUPTED)
    path = os.pathsep.join([str(tmp_path), str(ROOT)])
    command = [sys.executable, *program.split()]
    done = subprocess.run(command, cwd=ROOT, env=os.environ | {"PYTHONPATH": path}, capture_output=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (-signal.SIGINT, b"", b"")
