"""The disk of the jobs that this machine doesn't see: the way of commands and files to it, and what is put there before all.

Before it is ``wiring``, behind it ``remote``, which reaches the machine, and the rooms that use it.
"""

from __future__ import annotations

import contextlib
import functools
import os
import secrets
import tempfile
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from production import child, disk, errors, layout, settings
from production.cli import remote
from production.transfer import base, copy, usage

if TYPE_CHECKING:
    from production.batch import far

FETCH = 6 * 3600.0
"""Seconds that a command may take there that fetches an input."""

_KEPT: dict[str, bytes] = {}
"""What has to be on the disk there as long as we are at work."""


def place(chosen: settings.Batch, directory: str) -> usage.Elsewhere:
    """A disk there, under a directory, as who asks how full it is has it."""
    return usage.Elsewhere(directory, chosen.host, functools.partial(remote.hear, chosen.host))


def depot(chosen: settings.Settings, leaving: Callable[[], bool] = lambda: False) -> far.Far:
    """The disk of jobs that this machine doesn't see. Raises: UsageError."""
    from production.batch import far

    said = f"{chosen.batch.host}:{chosen.batch.remote_data}"
    return far.Far(remote.shell(chosen.batch, leaving), said, min(remote.COMMAND, chosen.lease / 4), _KEPT)


def settled(chosen: settings.Settings) -> far.Ground:
    """The disk there is one that we may use, and where it is.

    Raises: UsageError, DiskFull, BatchUnanswered; RemoteRefused: we may not work there.
    """
    try:
        return depot(chosen).settle(chosen.batch.remote_data)
    except errors.RemoteRefused as refused:
        mend = f"may you write there? {remote.call(chosen.batch.host)}; or choose another batch.remote_data"
        raise errors.RemoteRefused(str(refused), mend) from refused


def elsewhere(chosen: settings.Settings, program: settings.Program, modules: bytes | None) -> layout.Elsewhere | None:
    """The disk of the jobs that this machine doesn't see, with what all of them need; None: it sees it.

    Raises: UsageError, DiskFull, BatchUnanswered; RemoteRefused: we may not work there.
    """
    if not chosen.batch.remote_data:
        return None
    there, ground = depot(chosen), settled(chosen)
    _see_that_files_go(chosen)
    script = _content(program.script)
    return layout.Elsewhere(
        host=chosen.batch.host,
        data=ground.data,
        home=ground.home,
        script=there.keep(f"{ground.data}/script", os.path.basename(program.script), script),
        modules="" if modules is None else there.keep(f"{ground.data}/modules", "modules", modules),
    )


def _see_that_files_go(chosen: settings.Settings) -> None:
    """Raises: UsageError: there is no SFTP; TransferWaits: the machine is away."""
    from production.ssh import files

    there = files.Files(remote.reached(chosen.batch.host), chosen.archive.stall)
    with contextlib.closing(there):
        try:
            there.greet(remote.COMMAND)
        except errors.LoginRefused as refused:
            raise errors.UsageError(f"--batch={chosen.batch.name}: files go there by SFTP: {refused}") from refused


def tried(chosen: settings.Settings) -> str:
    """What is found of the disk there by a file that is sent and brought back.

    Raises: UsageError, DiskFull, BatchUnanswered, TransferError, TransferWaits; RemoteRefused: we may not work there.
    """
    from production.ssh import files

    ground = settled(chosen)
    path = f"{ground.data}/.doctor-{secrets.token_hex(4)}"
    with contextlib.ExitStack() as stack:
        there = files.Files(remote.reached(chosen.batch.host), chosen.archive.stall)
        stack.callback(there.close)
        here = stack.enter_context(tempfile.TemporaryDirectory(prefix="doctor-"))
        sent, back = os.path.join(here, "sent"), os.path.join(here, "back")
        with open(sent, "wb") as file:
            file.write(secrets.token_bytes(4096))
        stack.callback(there.remove, [path])
        there.send(sent, path, lambda _: None)
        there.fetch(path, back, lambda _: None)
    return f"{chosen.batch.host}:{ground.data}, HOME {ground.home}: a file was sent there and brought back, and is the same"


def _content(path: str) -> bytes:
    """Raises: UsageError."""
    try:
        with disk.reading(path) as (descriptor, _), open(descriptor, "rb", closefd=False) as file:
            return file.read()
    except (disk.Trouble, OSError) as cause:
        raise errors.UsageError(str(cause)) from cause


class Files:
    """How the files of a production come to a disk that this machine doesn't see, and from there."""

    def __init__(
        self,
        stack: contextlib.ExitStack,
        plan: layout.Layout,
        archive: base.Transfer,
        leaving: Callable[[], bool],
    ) -> None:
        """``archive``: what the inputs come from; ``leaving`` tells of a second Ctrl-C."""
        from production.ssh import files

        assert plan.elsewhere is not None
        chosen = plan.settings
        self._leaving = leaving
        self._host = chosen.batch.host
        self._files = files.Files(remote.reached(self._host), chosen.archive.stall, leaving)
        stack.callback(self._files.close)
        self.disk = place(chosen.batch, plan.elsewhere.data)
        """What the quota is read of."""
        self.inputs = self._inputs(plan, archive)
        """The archive as the porter has it; its local paths are the database's."""
        stack.callback(self.inputs.close)

    def bring(self, there: str, local: str, progress: Callable[[int], None]) -> int:
        """An output, from there to a disk of ours; its bytes. A job may have put a link to anything in its place."""
        return self._files.fetch(there, local, progress, follow=False)

    def _inputs(self, plan: layout.Layout, archive: base.Transfer) -> base.Transfer:
        from production.transfer import sent, sftp

        chosen = plan.settings
        if plan.program.base:
            return sent.Sent("/", self._files, plan.reached)
        if chosen.batch.stage == "remote":
            known = archive if chosen.archive.url else None
            return sent.Ordered(known, chosen.batch, self._order, self._files, plan.reached)
        if isinstance(archive, copy.Copy):
            return sent.Sent(chosen.archive.url, self._files, plan.reached)
        return sftp.Relay(archive, self._files, os.path.join(chosen.data, "spool"), plan.reached)

    def _order(self, called: str, argv: Sequence[str], ended: Callable[[], bool]) -> None:
        """Run a command there to its end. Raises: TransferWaits: the machine is away; TransferError: the command failed."""
        from production.batch import there

        try:
            done = there.There(remote.reached(self._host), self._leaving, ended).run(argv, timeout=FETCH)
        except errors.BatchError as trouble:
            raise errors.TransferWaits(str(trouble)) from trouble
        if done.returncode:
            said = child.last_line(done.stderr.encode()) or child.last_line(done.stdout.encode())
            raise errors.TransferError(f"{called} on {self._host}: exit {done.returncode}: {said or 'it said nothing'}")
