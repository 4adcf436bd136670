"""Looks at what a job wrote before anyone believes it: there, whole, plausible, hashed, on the right file system.

In come the rules of one attempt's outputs from the finish step, out goes one ``Verdict``; nothing is renamed and no
state is changed here. The work is done by a crew of threads.
"""

from __future__ import annotations

import contextlib
import dataclasses
import errno
import functools
import os
import threading
import zlib
from collections.abc import Callable, Sequence

from production import child, disk, errors, threads
from production import clock as clocks
from production import run as runs
from production.outputs import base, root

Bring = Callable[[str, str, Callable[[int], None]], object]
"""Brings a file from another machine: path there, path here, what is called with the bytes so far. As ``Files.fetch``."""
_TRIES = 3
"""Times that an output is brought which doesn't come as it is there."""


class Inspect:
    """An inspector of ``width`` threads."""

    def __init__(
        self,
        clock: clocks.Clock,
        width: int,
        limit: float = 60.0,
        patience: float = 10.0,
        bring: Bring | None = None,
        again: float = 10.0,
    ) -> None:
        """``limit``: seconds for a user's check; ``patience``: seconds ``close`` waits for hanging threads.

        ``bring``: how outputs come that are on another machine; ``again``: seconds until one that is away is tried again.
        """
        self._bring = bring
        self._again = again
        self._away: set[str] = set()
        """Marks whose outputs don't come now."""
        self._why = ""
        """What the first of them found, or who was refused; one text for all of them, to be told once."""
        self._coming: dict[str, int] = {}
        """{mark: bytes of the output that is being brought}"""
        self._left = threading.Event()
        self._limit = limit
        self._patience = patience
        self._crew = threads.Crew("inspect", width, clock.wake)
        self._lock = threading.Lock()
        self._verdicts: dict[str, base.Verdict | None] = {}

    def start(self, mark: str, rules: Sequence[base.Rule]) -> None:
        """Queue one attempt's outputs; wakes the clock when done. One that is queued already stays so."""
        with self._lock:
            if mark in self._verdicts:
                return
            self._verdicts[mark] = None
        self._crew.give(functools.partial(self._look, mark, tuple(rules)))

    def verdict(self, mark: str) -> base.Verdict | None:
        """None while it is being looked at; an ended one once. Raises: KeyError: never started."""
        with self._lock:
            verdict = self._verdicts[mark]
            if verdict is not None:
                del self._verdicts[mark]
            return verdict

    def waits(self) -> str:
        with self._lock:
            return self._why if self._away else ""

    def coming(self) -> dict[str, int]:
        with self._lock:
            return dict(self._coming)

    def close(self) -> None:
        """End at the next block; copies that were begun are removed, so that a new manager looks again."""
        self._left.set()
        self._crew.dismiss(self._patience)

    def _look(self, mark: str, rules: tuple[base.Rule, ...]) -> None:
        try:
            verdict = self._judge(mark, rules)
        except BaseException as error:  # noqa: BLE001 -- an attempt without a verdict would be waited for, for ever
            what = f"{type(error).__name__}: {disk.first_line(error)}"
            verdict = base.Verdict((), f"outputs of {mark} can't be looked at: {what}")
        with self._lock:
            self._away.discard(mark)
            self._coming.pop(mark, None)
            self._verdicts[mark] = verdict

    def _judge(self, mark: str, rules: tuple[base.Rule, ...]) -> base.Verdict:
        seen: list[runs.Output] = []
        for rule in rules:
            try:
                with contextlib.suppress(_LeftOut):
                    seen.append(self._examine(rule, mark))
            except (errors.OutputError, root.Broken, disk.Trouble) as error:
                _remove_copies(rules, seen)
                name, path = rule.output.name, disk.shown(rule.output.temporary)
                what = str(error) if path in str(error) else f"{path}: {error}"
                return base.Verdict((), f"output {name}: {what}", _no_room(error))
        return base.Verdict(tuple(seen))

    def _examine(self, rule: base.Rule, mark: str) -> runs.Output:
        """One output, checked and hashed. Raises: OutputError, Broken, Trouble, _LeftOut."""
        if self._bring is None:
            return self._looked_at(rule, mark)
        copy = self._brought(rule, mark, self._bring)
        try:
            return self._looked_at(dataclasses.replace(rule, output=copy), mark)
        except BaseException:
            with contextlib.suppress(OSError):
                os.unlink(copy.temporary)
            raise

    def _brought(self, rule: base.Rule, mark: str, bring: Bring) -> runs.Output:
        """A copy of one that is on another machine, on the final path's file system.

        Raises: OutputError, Trouble, _LeftOut.
        """
        output, local, tries = rule.output, base.copy(rule.output, mark), 0
        disk.make_directory(os.path.dirname(local))
        coming = _Coming(self._go_on, functools.partial(self._come, mark))
        while True:
            try:
                bring(output.temporary, local, coming.tell)
            except errors.InputMissing as missing:
                if rule.optional:
                    raise _LeftOut from missing
                raise errors.OutputError(f"{disk.shown(output.temporary)} is missing") from missing
            except (errors.TransferWaits, errors.LoginRefused) as waits:  # what was computed is worth waiting for
                if isinstance(waits.__cause__, disk.Trouble):
                    raise waits.__cause__ from None
                self._wait(mark, waits)
            except errors.TransferError as trouble:
                tries += 1
                if tries == _TRIES:
                    raise errors.OutputError(str(trouble)) from trouble
            else:
                return dataclasses.replace(output, temporary=local)

    def _go_on(self) -> None:
        """Raises: OutputError: nobody waits for it."""
        if self._leaving():
            raise errors.OutputError("not brought to its end: the manager is leaving")

    def _wait(self, mark: str, trouble: errors.TransferError) -> None:
        """Raises: OutputError."""
        with self._lock:
            if not self._away or isinstance(trouble, errors.LoginRefused):
                self._why = str(trouble)
            self._away.add(mark)
        self._crew.wake()
        self._left.wait(self._again)
        self._go_on()

    def _come(self, mark: str, count: int) -> None:
        """More than there was: its machine is back."""
        with self._lock:
            self._away.discard(mark)
            self._coming[mark] = count

    def _looked_at(self, rule: base.Rule, mark: str) -> runs.Output:
        """Raises: OutputError, Broken, Trouble, _LeftOut."""
        output = rule.output
        try:
            with disk.reading(output.temporary, follow=False) as (descriptor, before):
                self._check(rule, descriptor, before.st_size)
                found = self._settle(output, mark, descriptor, before)
        except disk.Trouble as trouble:
            if trouble.path != output.temporary or not trouble.missing:
                raise
            if rule.optional:
                raise _LeftOut from trouble
            raise errors.OutputError(f"{disk.shown(output.temporary)} is missing") from trouble
        return found

    def _check(self, rule: base.Rule, descriptor: int, size: int) -> None:
        if rule.check == "root":
            with disk.trying("read", rule.output.temporary):
                root.check(descriptor, size)
                root.read(descriptor)
        if size < rule.minimum:
            raise errors.OutputError(f"only {size:,} bytes, less than its minimum of {rule.minimum:,}")
        if rule.check == "command":
            with disk.trying("run the check", rule.command[0]):
                end = child.run([*rule.command, rule.output.temporary], self._limit, self._leaving)
            if problem := child.problem(end, self._limit, self._leaving):
                raise errors.OutputError(f"its check {os.path.basename(rule.command[0])} {problem}")

    def _settle(self, output: runs.Output, mark: str, descriptor: int, before: os.stat_result) -> runs.Output:
        """Hash it where it is, or while it is copied to the final path's file system; the directory is there then."""
        directory = os.path.dirname(output.final)
        if disk.make_directory(directory) == before.st_dev:
            found = self._hash(output, output.temporary, descriptor, before, None)
            with disk.trying("sync", output.temporary):
                os.fsync(descriptor)  # recorded means that a power cut doesn't undo it
            return found
        with disk.new(base.copy(output, mark)) as copy:
            found = self._hash(output, copy.path, descriptor, before, copy)
            copy.sync()
            disk.sync_directory(directory)
        return found

    def _hash(
        self, output: runs.Output, path: str, descriptor: int, before: os.stat_result, copy: disk.Part | None
    ) -> runs.Output:
        checksum, count = 1, 0
        for block in disk.blocks(descriptor, output.temporary, before.st_size):
            checksum = zlib.adler32(block, checksum)  # lets other threads run meanwhile
            count += len(block)
            if copy is not None:
                copy.write(block)
            if self._leaving() or count > before.st_size:
                break
        if self._leaving():
            raise errors.OutputError("not looked at to its end: the manager is leaving")
        with disk.trying("read", output.temporary):
            after = os.stat(output.temporary, follow_symlinks=False)
        same = os.path.samestat(before, after) and before.st_mtime_ns == after.st_mtime_ns
        if not same or not before.st_size == count == after.st_size:
            raise errors.OutputError("is still being written")
        return runs.Output(output.name, path, output.final, count, f"adler32:{checksum:08x}")

    def _leaving(self) -> bool:
        return self._crew.dismissed


class _Coming:
    """How far an output has come."""

    def __init__(self, go_on: Callable[[], None], more: Callable[[int], None]) -> None:
        """``more`` is called when there is more than there ever was."""
        self._go_on = go_on
        self._more = more
        self._most = 0

    def tell(self, count: int) -> None:
        """Called with each block, and while nothing moves. Raises: OutputError: nobody waits for it."""
        self._go_on()
        if count > self._most:
            self._most = count
            self._more(count)


def _no_room(error: Exception) -> bool:
    return isinstance(error, disk.Trouble) and error.errno in (errno.ENOSPC, errno.EDQUOT)


class _LeftOut(Exception):
    """An optional output that isn't there."""


def _remove_copies(rules: Sequence[base.Rule], seen: Sequence[runs.Output]) -> None:
    """The attempt failed: copies we made of its other outputs are nobody's."""
    ours = {output.temporary for output in seen} - {rule.output.temporary for rule in rules}
    for path in ours:
        with contextlib.suppress(OSError):
            os.unlink(path)
