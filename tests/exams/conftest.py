"""What more than one exam needs."""

from __future__ import annotations

import pathlib
import shutil
import subprocess
from collections.abc import Callable, Iterator

import pytest


@pytest.fixture
def small_disk(tmp_path: pathlib.Path, need: Callable[[str, object], object]) -> Iterator[pathlib.Path]:
    """A file system of two megabytes."""
    path = tmp_path / "small"
    path.mkdir()
    mount = need("mount", shutil.which("mount"))
    done = subprocess.run([str(mount), "-t", "tmpfs", "-o", "size=2m", "tmpfs", str(path)], check=False)
    need("the right to mount a tmpfs", done.returncode == 0)
    yield path
    subprocess.run(["umount", str(path)], check=True)
