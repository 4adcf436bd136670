"""A program in a pseudo-terminal, and how long its screen takes to answer a key.

What it writes is read as it comes, with the time of each piece. urwid draws a screen in one go that begins by hiding the
cursor, so a screen is whole when the next one begins, or when nothing more comes.
"""

from __future__ import annotations

import contextlib
import os
import pathlib
import pty
import re
import select
import subprocess
import termios
import time
from collections.abc import Callable, Iterator, Sequence

from benchmarks import measure

COLUMNS, ROWS = 200, 60
QUIET = 0.01
"""Seconds without a byte after which a screen is whole."""
PATIENCE = 60.0
"""Seconds after which we give up."""

KEPT = 1 << 16
"""Bytes of what it wrote."""

_BEGIN = b"\x1b[?25l"

Seen = Callable[[bytes], bool]
"""Whether a part of what was written since the key is what was waited for."""


class Screen:
    """One program on one terminal."""

    def __init__(self, process: subprocess.Popen[bytes], terminal: int, begun: float) -> None:
        self.process = process
        self.begun = begun
        """When it was started."""
        self._terminal = terminal
        self.said = b""
        """What it wrote last."""

    def press(self, keys: bytes, seen: Seen) -> float:
        """Seconds from the key to the end of the first screen on which ``seen``."""
        self._read(0)
        begin = time.perf_counter()
        os.write(self._terminal, keys)
        return self.until(seen) - begin

    def until(self, seen: Seen) -> float:
        """When the first screen was whole on which ``seen``."""
        written, at = b"", 0.0
        found, end = False, time.perf_counter() + PATIENCE
        while True:
            piece = self._read(QUIET if found else 1.0)
            if found and (not piece or _BEGIN in piece):
                return at if not piece or piece.startswith(_BEGIN) else time.perf_counter()
            written, at = written + piece, time.perf_counter()
            found = seen(written)
            if at > end or (not piece and self.process.poll() is not None):
                raise SystemExit(f"the screen was waited for in vain; last it wrote:\n{written[-3000:]!r}")

    def still(self, seconds: float) -> None:
        """Read on for a while."""
        end = time.perf_counter() + seconds
        while (left := end - time.perf_counter()) > 0:
            self._read(left)

    def _read(self, patience: float) -> bytes:
        """What has come; nothing, if nothing comes for so many seconds."""
        found = b""
        while select.select([self._terminal], [], [], 0 if found else patience)[0]:
            try:
                piece = os.read(self._terminal, 1 << 16)
            except OSError:  # it has ended
                break
            found += piece
        self.said = (self.said + found)[-KEPT:]
        return found

    def megabytes(self) -> tuple[float, float]:
        """Resident memory: the most there was; its own share now."""
        most = _field(f"/proc/{self.process.pid}/status", "VmHWM")
        return most / 1024, _field(f"/proc/{self.process.pid}/smaps_rollup", "Pss") / 1024

    def ended(self) -> measure.Sample:
        """Read to its end; the processor time is that of the process alone, without its children's."""
        while self._read(PATIENCE):
            pass
        os.waitid(os.P_PID, self.process.pid, os.WEXITED | os.WNOWAIT)
        wall = time.perf_counter() - self.begun
        fields = pathlib.Path(f"/proc/{self.process.pid}/stat").read_text().rpartition(")")[2].split()
        own = (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")  # utime, stime: proc(5)
        if self.process.wait():
            raise SystemExit(f"{self.process.args!r} ended with {self.process.returncode}")
        return measure.Sample(wall, own)


def _field(path: str, name: str) -> float:
    found = re.search(rf"^{name}:\s+(\d+) kB", pathlib.Path(path).read_text(), re.MULTILINE)
    assert found
    return float(found[1])


@contextlib.contextmanager
def started(argv: Sequence[str], directory: pathlib.Path, **environment: str) -> Iterator[Screen]:
    """Run it; whatever is left of it in the end is ended."""
    ours, theirs = pty.openpty()
    termios.tcsetwinsize(theirs, (ROWS, COLUMNS))
    begun = time.perf_counter()
    process = subprocess.Popen(
        argv, cwd=directory, stdin=theirs, stdout=theirs, stderr=theirs, start_new_session=True,
        env=measure.surroundings(directory, TERM="xterm-256color", LC_ALL="C.UTF-8", **environment),
    )  # fmt: skip
    os.close(theirs)
    try:
        yield Screen(process, ours, begun)
    finally:
        if process.poll() is None:
            process.terminate()
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(5)
        os.close(ours)
