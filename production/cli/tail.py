"""The end of a log, however long it is, and what is added to it: read block by block, never a whole file."""

from __future__ import annotations

import codecs
import sys

from production import disk
from production.cli import options
from production.monitor import logs
from production.monitor import reach as reaching

BLOCK = 1 << 16


class Log:
    """One file that may not be there yet, may grow, be cut off, or be another under the same name."""

    def __init__(self, path: str, reach: reaching.Reach = reaching.HERE) -> None:
        self.path = path
        self._reach = reach
        self.shown = False
        """Whether something of it has been."""
        self._identity: tuple[int, int] | None = None
        self._at = 0
        self._anew = False
        self._printed = _Printed()

    def has_more(self) -> bool:
        """Whether there is something that has not been shown. Raises: disk.Trouble."""
        try:
            with self._reach.open(self.path) as file:
                self._recognise(file)
                return file.size > self._at
        except disk.Trouble as trouble:
            if trouble.missing:
                return False
            raise

    def check(self) -> None:
        """See that it is there. Raises: disk.Trouble."""
        with self._reach.open(self.path):
            pass

    def begin_at_line(self, lines: int) -> bool:
        """Leave out all but so many last lines; whether something is left out. Raises: disk.Trouble."""
        with self._reach.open(self.path, -BLOCK, 0) as file:
            self._recognise(file)
            self._at = _beginning(file, lines)
        return self._at > 0

    def anew(self) -> bool:
        """Whether it was seen to begin anew since this was asked last."""
        anew, self._anew = self._anew, False
        return anew

    def show(self) -> None:
        """What has not been shown, up to the present end. Raises: disk.Trouble, ProductionError, BrokenPipeError."""
        give = self._printed.write if sys.stdout.isatty() else options.pass_on
        with self._reach.open(self.path, self._at, self._at + disk.BLOCK) as file:
            self._recognise(file)
            while self._at < file.size:
                block = file.read(self._at, self._at + disk.BLOCK)
                if not block:
                    break
                self._at += len(block)
                self.shown = True
                give(block)

    def _recognise(self, file: reaching.File) -> None:
        """Another file, or a shorter one, is shown from its beginning."""
        if file.identity != self._identity or file.size < self._at:
            self._anew = self._identity is not None
            self._identity, self._at = file.identity, 0


def _beginning(file: reaching.File, lines: int) -> int:
    """Where the last so many lines begin; a line without an end is one, too."""
    at, wanted = file.size, lines + 1
    if at and file.read(at - 1, at) != b"\n":
        wanted = lines
    while at > 0:
        begin = max(0, at - BLOCK)
        block = file.read(begin, at)
        ends = block.count(b"\n")
        if ends < wanted:
            wanted -= ends
            at = begin
            continue
        place = len(block)
        for _ in range(wanted):
            place = block.rindex(b"\n", 0, place)
        return begin + place + 1
    return 0


class _Printed:
    """Makes a log harmless to a terminal: its lines stay, what else would steer the terminal is written out."""

    def __init__(self) -> None:
        self._decoder = codecs.getincrementaldecoder("utf-8")("backslashreplace")

    def write(self, block: bytes) -> None:
        """What of a character is not there yet waits for its rest."""
        options.say(harmless(self._decoder.decode(block)), end="")


def harmless(text: str) -> str:
    """Lines and tabs stay."""
    return "\n".join(map(logs.harmless, text.replace("\r\n", "\n").split("\n")))
