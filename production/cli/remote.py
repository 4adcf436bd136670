"""The machines that we reach over SSH, and the disks of theirs that we don't see: how their commands run, how files come and go.

Before it is ``wiring``, and commands that read logs; behind it ``ssh``, and the rooms that use it.
"""

from __future__ import annotations

import contextlib
import functools
import getpass
import os
import sys
import threading
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from production import child, disk, errors, layout, process, settings
from production.transfer import base, copy, usage

if TYPE_CHECKING:
    from production.batch import far, scheduler
    from production.monitor import reach
    from production.ssh import connection

COMMAND = 30.0
"""Seconds that a command may take there, at most."""
FETCH = 6 * 3600.0
"""Seconds that a command may take there that fetches an input."""

_ALONE = threading.Lock()
"""Of who looks up a way: two threads that begin together share one."""


@functools.cache
def reached(host: str) -> connection.Connection:
    """The way to another machine, one for all who need it: a person is asked once. Raises: UsageError."""
    from production.ssh import config, connection  # 0.2 s, and few need it

    return connection.Connection(config.find(host, os.path.expanduser("~")))


def greet(host: str) -> None:
    """Log in now, asking a person if need be; who is away is waited for by who asks next.

    Raises: RemoteRefused, UsageError.
    """
    from production.ssh import patience

    with contextlib.suppress(errors.RemoteAway):
        reached(host).greet(patience.of(COMMAND), person())


def hear(host: str, argv: Sequence[str], seconds: float, leaving: Callable[[], bool]) -> child.End:
    """What a command says on another machine; nobody is asked for anything.

    Raises: RemoteError; UsageError: what the SSH settings say can't be understood.
    """
    from production.batch import there
    from production.ssh import patience

    with _ALONE:
        way = reached(host)
    way.greet(patience.of(seconds))  # whoever asked may lose interest, the next one needs the connection all the same
    try:
        return there.There(way, leaving).hear(argv, timeout=seconds)
    except errors.BatchUnasked as trouble:
        if isinstance(trouble.__cause__, errors.RemoteError):
            raise trouble.__cause__ from trouble
        raise
    except errors.BatchUnanswered as trouble:
        raise errors.RemoteAway(str(trouble).removeprefix(argv[0]).lstrip(": ")) from trouble
    except errors.BatchError as lacks:
        raise errors.RemoteRefused(str(lacks)) from lacks


def logs() -> reach.Reach:
    """Jobs' logs, wherever they lie: connections are made when a log is opened."""
    from production.monitor import afar, reach

    return reach.Reach(afar.Afar(hear))


def person() -> Callable[[str, bool], str] | None:
    """Asks whoever sits at our terminal; None if nobody does."""
    if not (sys.stdin.isatty() and sys.stderr.isatty()):
        return None

    def ask(question: str, seen: bool) -> str:
        try:
            return input(question) if seen else getpass.getpass(question)
        except EOFError:
            return ""

    return ask


def account(chosen: settings.Batch, user: str) -> str:
    """What a user of this machine is called where the jobs are, as far as we know. Raises: UsageError."""
    return reached(chosen.host).host.user if chosen.host and user == process.user() else user


def place(chosen: settings.Batch, directory: str) -> usage.Elsewhere:
    """A disk there, under a directory, as who asks how full it is has it."""
    return usage.Elsewhere(directory, chosen.host, functools.partial(hear, chosen.host))


def depot(chosen: settings.Settings, command: float, leaving: Callable[[], bool] = lambda: False) -> far.Far:
    """The disk of jobs that this machine doesn't see; ``command``: seconds for each. Raises: UsageError."""
    from production.batch import far

    said = f"{chosen.batch.host}:{chosen.batch.remote_data}"
    return far.Far(shell(chosen.batch, leaving), said, min(command, chosen.lease / 4))


def elsewhere(chosen: settings.Settings, program: settings.Program, modules: bytes | None) -> layout.Elsewhere | None:
    """The disk of the jobs that this machine doesn't see, with what all of them need; None: it sees it.

    Raises: UsageError, DiskFull, BatchUnanswered; ProductionError: we may not work there.
    """
    if not chosen.batch.remote_data:
        return None
    there = depot(chosen, COMMAND)
    ground = there.settle(chosen.batch.remote_data)
    script = _content(program.script)
    return layout.Elsewhere(
        host=chosen.batch.host,
        data=ground.data,
        home=ground.home,
        script=there.keep(f"{ground.data}/script", os.path.basename(program.script), script),
        modules="" if modules is None else there.keep(f"{ground.data}/modules", "modules", modules),
    )


def _content(path: str) -> bytes:
    """Raises: UsageError."""
    try:
        with disk.reading(path) as (descriptor, _), open(descriptor, "rb", closefd=False) as file:
            return file.read()
    except (disk.Trouble, OSError) as cause:
        raise errors.UsageError(str(cause)) from cause


def shell(chosen: settings.Batch, leaving: Callable[[], bool] = lambda: False) -> scheduler.Shell:
    """Where the cluster's commands are. Raises: UsageError."""
    from production.batch import shell as here
    from production.batch import there

    return there.There(reached(chosen.host), leaving) if chosen.host else here.Here(leaving)


def typed(chosen: settings.Batch) -> str:
    """What a person types before a cluster's command."""
    if not chosen.host:
        return ""
    return f"ssh {f'ssh://{chosen.host}' if ':' in chosen.host else chosen.host} "


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
        self._files = files.Files(reached(self._host), chosen.archive.stall, leaving)
        stack.callback(self._files.close)
        self.disk = place(chosen.batch, plan.elsewhere.data)
        """What the quota is read of."""
        self.inputs = self._inputs(plan, archive)
        """The archive as the porter has it; its local paths are the database's."""
        stack.callback(self.inputs.close)

    def bring(self, there: str, local: str, progress: Callable[[int], None]) -> int:
        """An output, from there to a disk of ours; its bytes."""
        return self._files.fetch(there, local, progress)

    def _inputs(self, plan: layout.Layout, archive: base.Transfer) -> base.Transfer:
        from production.transfer import sent, sftp

        chosen = plan.settings
        if plan.program.base:
            return sent.Sent("", self._files, plan.reached)
        if chosen.batch.stage == "remote":
            return sent.Ordered(archive, chosen.batch.fetch, self._order, self._files, plan.reached)
        if isinstance(archive, copy.Copy):
            return sent.Sent(chosen.archive.url, self._files, plan.reached)
        return sftp.Relay(archive, self._files, os.path.join(chosen.data, "spool"), plan.reached)

    def _order(self, argv: Sequence[str], ended: Callable[[], bool]) -> None:
        """Run a command there to its end. Raises: TransferWaits: the machine is away; TransferError: the command failed."""
        from production.batch import there

        try:
            done = there.There(reached(self._host), self._leaving, ended).run(argv, timeout=FETCH)
        except errors.BatchError as trouble:
            raise errors.TransferWaits(str(trouble)) from trouble
        if done.returncode:
            said = child.last_line(done.stderr.encode()) or child.last_line(done.stdout.encode())
            raise errors.TransferError(f"{self._host}: exit {done.returncode}: {said or 'it said nothing'}")
