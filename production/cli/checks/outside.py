"""What others run for us: the archive, with our login to it, and who says how full the disk is."""

from __future__ import annotations

import contextlib
import os
import re
import stat
import time
import urllib.parse
from typing import TYPE_CHECKING

from production import disk, errors, settings
from production.cli import data, depots, remote, wiring
from production.cli.checks import finding, way

if TYPE_CHECKING:
    from production.transfer import base, usage


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
    if chosen.batch.stage == "remote":
        raise finding.Unasked(f"{chosen.batch.host} fetches the inputs itself (batch.fetch)")
    needy = [program.name for program in finding.own(chosen) if program.input]
    if needy:
        found = f"{needy[0]} has an input, but no archive is set"
        raise finding.Bad(found, 'write archive = "file:/mnt/raw" or "ftp://HOST/raw" into production.toml')
    raise finding.Unasked("no archive is set")


def archive(patient: finding.Patient) -> list[finding.Finding]:
    """It is there, lets us in, and has something in it."""
    chosen = _archive(patient)
    if not chosen.url.startswith("sftp:"):
        return [_entered(chosen)]
    from production.transfer import sftp

    with way.told(sftp.parse(chosen.url).destination, "archive"):
        return [_entered(chosen)]


def _entered(chosen: settings.Archive) -> finding.Finding:
    """What is found in it. Raises: Bad, UsageError, TransferError."""
    from production.transfer import copy

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
    return finding.Finding("archive", True, f"{url} {how}: {what}, {seconds:.2f} s")


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
    chosen, host = patient.chosen, patient.chosen.batch.host
    if not chosen.batch.remote_data:
        wiring.check_quota(chosen.quota)
        return [_room(chosen, _reading(patient, None), "", f"remove something under {chosen.data}")]
    where = chosen.batch.remote_data
    mend = f"remove something under {host}:{where} (its log/ and script/ are never removed by us)"
    try:
        with way.told(host, "[batch] host"):
            reading = _reading(patient, depots.place(chosen.batch, where))
    except errors.QuotaUnread as unread:
        by_hand = f"try the reader by hand on {host}, or give it longer: --patience=600; others: [quota] reader"
        raise finding.Bad(*finding.parted(str(unread), by_hand)) from unread
    return [_room(chosen, reading, f" on {host}", mend)]


def _reading(patient: finding.Patient, elsewhere: usage.Elsewhere | None) -> base.Reading:
    """Raises: QuotaUnread."""
    from production import clock
    from production.transfer import quota as quotas

    chosen, leave = patient.chosen, patient.leave
    with contextlib.ExitStack() as stack:
        ticking = clock.SystemClock()
        stack.callback(ticking.close)
        asked = quotas.of(chosen.quota, data.real(chosen.data), ticking, elsewhere)
        stack.callback(asked.close)
        while (reading := asked.reading()) is None and not leave.is_set():
            ticking.wait(0.2)
    if reading is None:
        raise errors.QuotaUnread("nobody waits for it any more")
    return reading


def _room(chosen: settings.Settings, reading: base.Reading, where: str, mend: str) -> finding.Finding:
    """Raises: Bad: there is none."""
    from production import room

    allowed = room.within(reading.limit, chosen.spacelim)
    found = (
        f"{chosen.quota.reader}{where}: {room.shown(reading.used)} of {room.shown(reading.limit)} used, "
        f"{100 * reading.used / max(1, reading.limit):.0f} %; spacelim = {chosen.spacelim:g} allows {room.shown(allowed)}"
    )
    if reading.used >= allowed:
        raise finding.Bad(found, f"{mend}, or raise the limit or --spacelim")
    return finding.Finding("quota", True, found)
