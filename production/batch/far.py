"""The disk of the jobs where this machine doesn't see it: a Depot of errands that the machine's sh runs, many in one command.

In come an attempt's belongings, out goes what that sh says; before it is ``attempt``, behind it a Shell and
``errands.sh``. What can't be removed now, as nobody can be asked, is removed with what is removed next.
"""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import os
import re
from collections.abc import Collection, Iterable, Sequence

from production import errors
from production.batch import array, base, depot, scheduler, witness

AT_ONCE = 500
"""Errands in one command, so that it ends in time."""
_LATE = 10_000
"""Attempts that are remembered to be cleared; the next manager's sweep finds the others."""
_FULL = ("No space left on device", "Disk quota exceeded")
"""As strerror(3) has them in the C locale."""

_DEEDS = {
    "make": "making directories", "prepare": "preparing attempts", "ticket": "giving tickets",
    "revoke": "taking tickets back", "rename": "cancelling", "present": "looking what is there",
    "witnesses": "reading witnesses", "tail": "reading last words", "remove": "clearing up", "names": "listing",
}  # fmt: skip
"""What errands are for, where a person is told that one was not answered."""

_SAID = re.compile(r"([0-9]+)(?: (.*))?")


@dataclasses.dataclass(frozen=True, slots=True)
class Ground:
    """What is known of the disk of a login node's cluster."""

    data: str
    """The true path of the directory under which all is."""
    home: str
    """Of the account."""


class Far:
    """On the disk of a machine that we reach by a Shell."""

    far = True

    def __init__(self, shell: scheduler.Shell, data: str, timeout: float, kept: dict[str, bytes] | None = None) -> None:
        """``data`` is the directory that the shift knows it by; ``timeout``: seconds that a command may take.

        ``kept``: {path: content} of what jobs need and nobody else puts back where a disk is purged.
        """
        self._kept = {} if kept is None else kept
        self._shell = shell
        self._data = data
        self._timeout = timeout
        self._late: list[tuple[str, ...]] = []
        """What is still to be removed."""

    # --- at the door ----------------------------------------------------------------------------------------------

    def settle(self, directory: str) -> Ground:
        """Make the directory, if it is absent; ``~/`` is the account's HOME.

        Raises: DiskFull; RemoteRefused: it can't be made, or may not be written.
        """
        said = self._ask("settle", [(directory,)])[0]
        found = dict(line.split(" ", 1) for line in said if line.startswith(("data /", "home /")))
        if found.keys() != {"data", "home"}:
            why = said[-1] if said else f"{directory}: it can't be told what it is"
            raise self._trouble(why) if _full(why) else errors.RemoteRefused(f"{self._data}: {why}")
        return Ground(found["data"], found["home"])

    def keep(self, directory: str, name: str, content: bytes) -> str:
        """A file by this name that may be run, under its content's digest: its path.

        Raises: DiskFull; ProductionError: it can't be written.
        """
        path = os.path.join(directory, hashlib.sha256(content).hexdigest()[:16], name)
        self._place("keep", path, content)
        self._kept[path] = content
        return path

    # --- attempts -------------------------------------------------------------------------------------------------

    def make(self, directories: Collection[str]) -> None:
        for said in self._ask("make", [(directory,) for directory in directories]).values():
            raise self._trouble(said[0])
        for path in self._kept.keys() - (self.present(self._kept) if self._kept else ()):
            self._place("keep", path, self._kept[path])

    def prepare(self, attempts: Sequence[base.Belongings]) -> dict[str, str]:
        errands = [
            (one.work, one.ticket, one.witness, *one.directories, "--", *(word for link in one.links for word in link))
            for one in attempts
        ]
        said = self._ask("prepare", errands)
        wrong = {attempts[number].ticket: lines[0] for number, lines in said.items()}
        for why in wrong.values():
            if _full(why):
                raise self._trouble(why)
        return wrong

    def give_tickets(self, attempts: Sequence[base.Belongings]) -> None:
        for said in self._ask("ticket", [(one.ticket,) for one in attempts]).values():
            raise self._trouble(said[0])

    def revoke(self, attempts: Sequence[base.Belongings]) -> dict[str, base.Revoked]:
        said = self._ask("revoke", [(one.ticket, one.witness) for one in attempts])
        words = {how.name.lower(): how for how in base.Revoked}
        return {one.ticket: words[said[number][0]] for number, one in enumerate(attempts)}

    def begin_cancel(self, attempts: Sequence[base.Belongings]) -> None:
        self._ask("rename", [(one.ticket, one.ticket + depot.CANCELLED) for one in attempts])

    def cancel_in_vain(self, attempts: Sequence[base.Belongings]) -> None:
        self._ask("rename", [(one.ticket + depot.CANCELLED, one.ticket) for one in attempts])

    def cancelled(self, attempts: Sequence[base.Belongings]) -> set[str]:
        there = self.present([one.ticket + depot.CANCELLED for one in attempts])
        return {one.ticket for one in attempts if one.ticket + depot.CANCELLED in there}

    def witnesses(self, directory: str, names: Iterable[str]) -> dict[str, witness.Witness]:
        asked = list(names)
        said = self._ask("witnesses", [(name,) for name in asked], directory)
        found = {asked[number]: witness.parse("\n".join((*lines, ""))) for number, lines in said.items()}
        return {name: one for name, one in found.items() if one is not None}

    def last_words(self, paths: Sequence[str]) -> dict[str, str]:
        said = self._ask("tail", [(path,) for path in paths])
        words = {paths[number]: depot.last_line("\n".join(lines).encode()) for number, lines in said.items()}
        return {path: line for path, line in words.items() if line}

    def present(self, paths: Collection[str]) -> set[str]:
        asked = list(paths)
        return {asked[number] for number in self._ask("present", [(path,) for path in asked])}

    def touchable(self, directories: Collection[str]) -> bool:
        return not self._ask("usable", [(directory,) for directory in directories])

    def clear(self, attempts: Sequence[base.Belongings]) -> dict[str, str]:
        for one in attempts:
            # The ticket first: a job that is late doesn't start without.
            paths = (one.ticket, one.ticket + depot.CANCELLED, one.witness, one.work, one.input)
            self._late.append(tuple(filter(None, paths)))
        return self._remove_late()

    # --- the submissions' -----------------------------------------------------------------------------------------

    def names(self, directory: str) -> list[str]:
        return self._ask("names", [(directory,)]).get(0, [])

    def write(self, path: str, content: bytes) -> None:
        try:
            self._place("write", path, content)
        except (errors.BatchUnanswered, errors.DiskFull):
            raise
        except errors.ProductionError as trouble:
            raise errors.SubmitRefused(str(trouble)) from trouble

    def marks(self, paths: Collection[str]) -> dict[str, list[str]]:
        asked = list(paths)
        return {asked[number]: lines for number, lines in self._ask("marks", [(path,) for path in asked]).items()}

    def remove(self, paths: Collection[str]) -> dict[str, str]:
        self._late.append(tuple(paths))
        return self._remove_late()

    def fold(self, directories: Collection[str]) -> None:
        with contextlib.suppress(errors.BatchError):
            self._ask("fold", [(directory,) for directory in directories])

    # --- errands --------------------------------------------------------------------------------------------------

    def _remove_late(self) -> dict[str, str]:
        """What stays, and why; nothing of what nobody could be asked for now."""
        late, self._late = self._late, []
        try:
            said = self._ask("remove", late)
        except errors.BatchError:
            self._late = late[-_LATE:]
            return {}
        return {late[number][0]: f"{self._data}: {lines[0]}; it stays there" for number, lines in said.items()}

    def _ask(self, verb: str, errands: Sequence[Sequence[str]], path: str = "") -> dict[int, list[str]]:
        """{number of an errand, from 0: the lines that are said of it}. Raises: BatchError."""
        said: dict[int, list[str]] = {}
        for first in range(0, len(errands), AT_ONCE):
            lines = [" ".join(map(array.quoted, words)) + "\n" for words in errands[first : first + AT_ONCE]]
            for line in self._run(verb, path, os.fsencode("".join(lines))).split("\n"):
                if match := _SAID.fullmatch(line):
                    said.setdefault(first + int(match[1]) - 1, []).append(match[2] or "")
        return said

    def _place(self, verb: str, path: str, content: bytes) -> None:
        """Raises: DiskFull, ProductionError, BatchError."""
        if said := self._run(verb, path, content).strip():
            raise self._trouble(said.partition(" ")[2])

    def _run(self, verb: str, path: str, content: bytes) -> str:
        argv = ["sh", "-c", array.text("errands.sh"), "sh", verb, path, str(len(content))]
        try:
            done = self._shell.run(argv, input=content, timeout=self._timeout)
        except errors.BatchUnasked:
            raise
        except errors.BatchUnanswered as trouble:
            raise errors.BatchUnanswered(f"{self._data}: {_DEEDS.get(verb, verb)}: {trouble}") from trouble
        if done.returncode:
            last = done.stderr.strip().rpartition("\n")[2]
            raise errors.BatchUnanswered(f"{self._data}: {verb}: exit {done.returncode}{f': {last}' if last else ''}")
        return done.stdout

    def _trouble(self, said: str) -> errors.ProductionError:
        """What is no run's fault."""
        if _full(said):
            return errors.DiskFull(depot.NO_ROOM.format(self._data))
        return errors.ProductionError(f"{self._data}: {said}")


def _full(said: str) -> bool:
    return said.endswith(_FULL)
