"""The end of a log, however long it is, and what is added to it: read block by block, never a whole file."""

from __future__ import annotations

import codecs
import os
import sys

from production import disk
from production.cli import options
from production.monitor import logs

BLOCK = 1 << 16


class Log:
    """One file that may not be there yet, may grow, be cut off, or be another under the same name."""

    def __init__(self, path: str) -> None:
        self.path = path
        self.shown = False
        """Whether something of it has been."""
        self._inode: tuple[int, int] | None = None
        self._at = 0
        self._anew = False
        self._printed = _Printed()

    def has_more(self) -> bool:
        """Whether there is something that has not been shown. Raises: disk.Trouble."""
        try:
            with disk.reading(self.path) as (_, state):
                self._recognise(state)
                return state.st_size > self._at
        except disk.Trouble as trouble:
            if trouble.missing:
                return False
            raise

    def begin_at_line(self, lines: int) -> bool:
        """Leave out all but so many last lines; whether something is left out. Raises: disk.Trouble."""
        with disk.reading(self.path) as (descriptor, state), disk.trying("read", self.path):
            self._recognise(state)
            self._at = _beginning(descriptor, state.st_size, lines)
        return self._at > 0

    def anew(self) -> bool:
        """Whether it was seen to begin anew since this was asked last."""
        anew, self._anew = self._anew, False
        return anew

    def show(self) -> None:
        """What has not been shown, up to the present end. Raises: disk.Trouble, ProductionError, BrokenPipeError."""
        give = self._printed.write if sys.stdout.isatty() else options.pass_on
        with disk.reading(self.path) as (descriptor, state):
            self._recognise(state)
            end = state.st_size
            while self._at < end:
                with disk.trying("read", self.path):
                    block = os.pread(descriptor, min(BLOCK, end - self._at), self._at)
                if not block:
                    break
                self._at += len(block)
                self.shown = True
                give(block)

    def _recognise(self, state: os.stat_result) -> None:
        """Another file, or a shorter one, is shown from its beginning."""
        inode = (state.st_dev, state.st_ino)
        if inode != self._inode or state.st_size < self._at:
            self._anew = self._inode is not None
            self._inode, self._at = inode, 0


def _beginning(descriptor: int, size: int, lines: int) -> int:
    """Where the last so many lines begin; a line without an end is one, too."""
    at, wanted = size, lines + 1
    if size and os.pread(descriptor, 1, size - 1) != b"\n":
        wanted = lines
    while at > 0:
        begin = max(0, at - BLOCK)
        block = os.pread(descriptor, at - begin, begin)
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
