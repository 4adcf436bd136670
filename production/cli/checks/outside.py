"""What others run for us: the archive, with our login to it, and who says how full the disk is."""

from __future__ import annotations

import contextlib
import os
import re
import stat
import time
import urllib.parse

from production import disk, errors, settings
from production.cli import data, depots, remote, wiring
from production.cli.checks import finding


def netrc(patient: finding.Patient) -> list[finding.Finding]:
    """The login file is there, nobody else's to read, and knows the archive's server."""
    from production.transfer import login

    chosen = _archive(patient)
    server = _server(chosen)
    if not server:
        directory = chosen.url.startswith("/")
        raise finding.Unasked(
            "the archive is a directory, and needs no login"
            if directory
            else "the archive is behind SSH, and asks no netrc"
        )
    found = login.find(chosen.netrc, *server)
    if not found.file:
        raise finding.Unasked("the login is anonymous")
    mode = stat.S_IMODE(os.stat(chosen.netrc).st_mode)
    said = f"{finding.near(chosen.netrc)}: mode {mode:o}, has {server[0]} for {disk.printable(found.user)}"
    return [finding.Finding("netrc", True, said)]


def _server(chosen: settings.Archive) -> tuple[str, str] | None:
    """Host and user ("" if none is named); None if no netrc is asked. The settings have seen that it is a URL."""
    if chosen.url.startswith(("/", "sftp:")):
        return None
    parts = urllib.parse.urlsplit(chosen.url)
    return parts.hostname or "", urllib.parse.unquote(parts.username or "", errors="surrogateescape")


def _archive(patient: finding.Patient) -> settings.Archive:
    """Raises: Unasked: there is none, and nobody needs one; Bad."""
    chosen = patient.chosen
    if chosen.archive.url:
        return chosen.archive
    needy = [program.name for program in finding.own(chosen) if program.input]
    if needy:
        found = f"{needy[0]} has an input, but no archive is set"
        raise finding.Bad(found, 'write archive = "file:/mnt/raw" or "ftp://HOST/raw" into production.toml')
    raise finding.Unasked("no archive is set")


def archive(patient: finding.Patient) -> list[finding.Finding]:
    """It is there, lets us in, and has something in it."""
    from production.transfer import copy

    chosen = _archive(patient)
    url = disk.printable(chosen.url)
    began = time.monotonic()
    with contextlib.closing(wiring.transfer(chosen)) as transfer:
        if not isinstance(transfer, copy.Copy):
            wiring.greet(transfer)  # once only: refused logins lock accounts
        entries = transfer.listing("")
    seconds = time.monotonic() - began
    files = sum(not entry.directory for entry in entries)
    if not entries:
        raise finding.Bad(
            f"{url} is empty", "is the directory right, has the server the files? production archive list"
        )
    directories = len(entries) - files
    what = f"{files:,} {'file' if files == 1 else 'files'}"
    what += f", {directories:,} {'directory' if directories == 1 else 'directories'}" if directories else ""
    user = disk.printable(_user(chosen))
    how = f"lets us in as {user}" if user else "is there"
    return [finding.Finding("archive", True, f"{url} {how}: {what}, {seconds:.2f} s")]


def _user(chosen: settings.Archive) -> str:
    """Who we are at the archive; empty if it doesn't ask."""
    from production.transfer import login

    server = _server(chosen)
    if server:
        return login.find(chosen.netrc, *server).user
    if chosen.url.startswith("/"):
        return ""
    from production.transfer import sftp

    return remote.reached(sftp.parse(chosen.url).destination).host.user


def refused(error: errors.LoginRefused) -> tuple[str, str]:
    """What the server said, and where to look."""
    match = re.search(r" \((?:once|\d+ times); (look at .*)\)$", str(error))
    if match:
        return str(error)[: match.start()], match[1]
    return finding.parted(str(error), "ask who runs the server")


def quota(patient: finding.Patient) -> list[finding.Finding]:
    """Who is to know says how full the disk is, and there is room."""
    from production import clock, room
    from production.transfer import quota as quotas

    chosen, leave = patient.chosen, patient.leave
    elsewhere = None
    if chosen.batch.remote_data:
        elsewhere = depots.place(chosen.batch, chosen.batch.remote_data)
    else:
        wiring.check_quota(chosen.quota)
    with contextlib.ExitStack() as stack:
        ticking = clock.SystemClock()
        stack.callback(ticking.close)
        asked = quotas.of(chosen.quota, data.real(chosen.data), ticking, elsewhere)
        stack.callback(asked.close)
        while (reading := asked.reading()) is None and not leave.is_set():
            ticking.wait(0.2)
    if reading is None:
        raise errors.QuotaUnread("nobody waits for it any more")
    allowed = room.within(reading.limit, chosen.spacelim)
    found = (
        f"{chosen.quota.reader}: {room.shown(reading.used)} of {room.shown(reading.limit)} used, "
        f"{100 * reading.used / max(1, reading.limit):.0f} %; spacelim = {chosen.spacelim:g} allows {room.shown(allowed)}"
    )
    if reading.used >= allowed:
        raise finding.Bad(found, f"remove something under {chosen.data}, or raise the limit or --spacelim")
    return [finding.Finding("quota", True, found)]
