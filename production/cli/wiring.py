"""The neighbours of one manager: which archive, batch system, quota and inspector the settings mean. Here they have names."""

from __future__ import annotations

import contextlib
import dataclasses
import os
import shutil
import socket
import time
from collections.abc import Callable
from typing import TYPE_CHECKING

from production import clock, errors, layout, lease, process, room, settings
from production import run as runs
from production import site as site_
from production.batch import base as batches
from production.batch import depot, local
from production.catalogue import sqlite
from production.cli import depots, remote
from production.journal import waiting
from production.outputs import inspect
from production.transfer import base, copy, porter, quota

if TYPE_CHECKING:
    from production.batch import client as client_
    from production.batch import scheduler
    from production.transfer import ftp, sftp

CLIENTS = {"slurm": ("sbatch", "squeue", "scancel"), "sge": ("qsub", "qstat", "qdel")}
"""Commands without which a cluster can't be used."""

INSPECTORS = 2
"""Threads that look at outputs."""


def archive(
    stack: contextlib.ExitStack, chosen: settings.Settings, program: settings.Program, *, greet: bool
) -> base.Transfer:
    """The archive the program's inputs come from; closed with the stack. ``greet``: see now that it lets us in.

    Raises: UsageError.
    """
    if not program.input or (chosen.batch.stage == "remote" and not chosen.archive.url):
        return copy.Copy(chosen.data)  # nothing is ever asked of it
    if not chosen.archive.url:
        raise errors.UsageError(
            f'{program.name} has an input, but no archive is set; write archive = "file:/mnt/raw" into production.toml'
        )
    opened = transfer(chosen.archive)
    stack.callback(opened.close)
    if greet and not isinstance(opened, copy.Copy):
        _greet(opened)
    return opened


def _greet(archive: ftp.Ftp | sftp.Sftp) -> None:
    """One that is away is waited for later; a login that is refused is none of the things that pass.

    Raises: UsageError.
    """
    try:
        greet(archive)
    except errors.TransferWaits as away:
        if unknown(away):
            raise errors.UsageError(f"archive: {away}; is it written right? No version was opened") from away
        waiting("archive", f"{away}; waiting", time.clock_gettime(time.CLOCK_BOOTTIME))
    except errors.LoginRefused as refused:
        raise errors.UsageError(f"{refused}; no version was opened") from refused


def unknown(away: BaseException) -> bool:
    """Whether it is away because nobody knows its name: with a person before us more likely a slip of theirs than the weather."""
    return any(isinstance(one, socket.gaierror) and one.errno == socket.EAI_NONAME for one in errors.causes(away))


def greet(archive: ftp.Ftp | sftp.Sftp) -> None:
    """Log in once, asking a person if need be. Raises: TransferWaits: it is away; LoginRefused."""
    from production.transfer import ftp

    if isinstance(archive, ftp.Ftp):
        archive.greet()
    else:
        archive.greet(remote.person())


def transfer(chosen: settings.Archive) -> ftp.Ftp | sftp.Sftp | copy.Copy:
    """The archive of the settings, looked at as far as can be done without asking it anything.

    Raises: UsageError.
    """
    scheme = "" if chosen.url.startswith("/") else chosen.url.partition(":")[0].lower()
    if scheme in ("ftp", "ftps"):
        from production.transfer import ftp  # costs as much as the rest of the door; few need it

        how = ftp.Options(
            chosen.netrc, chosen.tries, chosen.first_byte, chosen.stall, chosen.stage, chosen.unstage
        )  # fmt: skip
        return ftp.Ftp(chosen.url, how)
    if scheme == "sftp":
        from production.ssh import files
        from production.transfer import sftp

        place = sftp.parse(chosen.url)
        return sftp.Sftp(files.Files(remote.reached(place.destination), chosen.stall), place.root)
    if not os.path.isdir(chosen.url):
        raise errors.UsageError(f"archive {chosen.url} is not there: is it mounted, is the path right?")
    return copy.Copy(chosen.url)


def check_batch(chosen: settings.Batch) -> None:
    """See that the batch system's commands are there; for those elsewhere log in, asking a person if need be.

    Raises: UsageError. RemoteAway: nobody can say.
    """
    if chosen.host:
        _check_there(chosen)
        return
    for client in CLIENTS.get(chosen.system, ()):
        if shutil.which(client) is None:
            raise errors.UsageError(
                f"--batch={chosen.system}: {client} is not on the PATH; load the cluster's environment first,"
                f" or say where it is: --batch={chosen.system}@HOST"
            )


def _check_there(chosen: settings.Batch) -> None:
    from production.batch import there
    from production.ssh import patience

    try:
        remote.reached(chosen.host).greet(patience.of(remote.COMMAND), remote.person())
        missing = there.There(remote.reached(chosen.host)).missing(CLIENTS[chosen.system], remote.COMMAND)
    except errors.RemoteRefused as refused:
        raise errors.UsageError(f"--batch={chosen.name}: {refused}") from refused
    except errors.BatchUnanswered as trouble:
        raise errors.RemoteAway(str(trouble)) from trouble
    if missing:
        raise errors.UsageError(f"--batch={chosen.name}: {there.lacks(missing[0], chosen.host)}")


def check_quota(chosen: settings.Quota) -> None:
    """See that the program that tells the disk's limit is there.

    Raises: UsageError.
    """
    if chosen.reader in settings.QUOTA_COMMANDS and shutil.which(chosen.reader) is None:
        raise errors.UsageError(
            f'quota.reader = "{chosen.reader}": {chosen.reader} is not on the PATH; add its directory, or choose "directory"'
        )


def batch(
    stack: contextlib.ExitStack, chosen: settings.Settings, ticking: clock.SystemClock, again: Callable[[], bool]
) -> batches.BatchSystem:
    """Who computes; closed with the stack."""
    if chosen.batch.system == "local":
        here = local.Local(depot=depot.Here(chosen.data))
        stack.callback(here.close)
        ticking.watch(here.fileno())
        return here
    from production.batch import queue, scheduler  # cost 20 ms, and few need them

    policy = scheduler.Policy(
        poll=chosen.batch.poll,
        grace=chosen.grace,
        # shorter than what makes a manager seem gone
        timeout=min(remote.COMMAND, chosen.lease / 4),
        tasks=chosen.batch.tasks,
    )
    user = remote.account(chosen.batch, process.user())
    shell, disk = remote.shell(chosen.batch, again), _depot(chosen, again)
    cluster = queue.Queue(
        _dialect(chosen.batch), shell, user, ticking, policy, typed=remote.typed(chosen.batch), depot=disk
    )
    stack.callback(cluster.close)
    return cluster


def _depot(chosen: settings.Settings, leaving: Callable[[], bool]) -> batches.Depot:
    """The disk of a cluster's jobs. Raises: UsageError."""
    if not chosen.batch.remote_data:
        return depot.Here(chosen.data)
    return depots.depot(chosen, leaving)


def _dialect(chosen: settings.Batch) -> scheduler.Dialect:
    from production.batch import sge, slurm

    return slurm.Slurm() if chosen.system == "slurm" else sge.GridEngine(chosen.parallel)


def client(chosen: settings.Batch, timeout: float) -> client_.Client:
    """For who only looks: a cluster's commands, each of which may take so many seconds. Raises: UsageError."""
    from production.batch import client as client_

    return client_.Client(_dialect(chosen), remote.shell(chosen), timeout)


def by_hand(chosen: settings.Batch, name: str, job: str) -> str:
    """The command that ends a job of the batch system of this name."""
    if name == "local":
        from production.batch import process as processes

        return processes.by_hand(job)
    asked = chosen.called(name)
    return remote.typed(asked) + _dialect(asked).by_hand(job)


def _disk(plan: layout.Layout) -> str:
    """What the disk of the jobs is called, if it isn't ours."""
    return f"{plan.elsewhere.host}:{plan.elsewhere.data}" if plan.elsewhere else ""


def site(  # noqa: PLR0913  this is where all of them meet
    stack: contextlib.ExitStack,
    plan: layout.Layout,
    entered: runs.Owner,
    wanted: runs.Wanted,
    catalogue: sqlite.Database,
    bringing: base.Transfer,
    ticking: clock.SystemClock,
    again: Callable[[], bool],
) -> site_.Site:
    """All of them, for a manager that has entered itself in the database. ``again`` tells of a second Ctrl-C."""
    chosen = plan.settings
    ours = depots.Files(stack, plan, bringing, again) if plan.elsewhere else None
    carrying = porter.Threads(ours.inputs if ours else bringing, ticking, chosen.archive.transfers)
    stack.callback(carrying.close)
    limit = quota.of(chosen.quota, plan.production.data, ticking, ours.disk if ours else None)
    stack.callback(limit.close)
    looking = (
        inspect.Inspect(ticking, chosen.archive.transfers, bring=ours.bring)
        if ours
        else inspect.Inspect(ticking, INSPECTORS)
    )
    stack.callback(looking.close)
    return site_.Site(
        # A local job's witness is written on this machine: nothing is late.
        settings=dataclasses.replace(chosen, grace=0.0) if chosen.batch.system == "local" else chosen,
        layout=plan,
        wanted=wanted,
        lease=lease.Lease(entered, chosen.lease, ticking),
        catalogue=catalogue,
        batch=batch(stack, chosen, ticking, again),
        porter=carrying,
        room=room.Room(limit, plan.production.data, chosen.spacelim, catalogue, ticking, _disk(plan)),
        inspector=looking,
        clock=ticking,
    )
