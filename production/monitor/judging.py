"""One run's account against the rules, and against what was seen of its files. Pure."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Iterator, Mapping

from production import disk, facts
from production import run as runs
from production.monitor import finding as findings
from production.monitor import sight

Kind = findings.Kind

_READING = (runs.State.STAGED, runs.State.SUBMITTING, runs.State.SUBMITTED)
"""States in which a run needs its input."""


@dataclasses.dataclass(frozen=True, slots=True)
class Terms:
    """What holds for all runs of a production."""

    production: runs.Production
    required: frozenset[str]
    """Names of the outputs that a finished run has."""
    some: bool
    """Whether it has at least one."""
    checksums: bool
    """Whether files are read."""
    away: bool
    """The data directory isn't there, nor anything below it."""


@dataclasses.dataclass(frozen=True, slots=True)
class Thing:
    """A file that a run's account speaks of."""

    account: facts.Account
    subject: str
    path: str
    bytes: int | None
    """None: any will do."""
    checksum: str
    lacking: Kind
    """What it is, if the file isn't there."""

    def whole(self, terms: Terms) -> bool:
        """Whether it is to be read."""
        return terms.checksums and self.checksum.startswith("adler32:")


def written_down(account: facts.Account, terms: Terms, dead: Mapping[int, str]) -> Iterator[findings.Finding]:
    """What is wrong without looking at any file. ``dead``: {manager that is gone: what is said of it}."""
    if account.owner in dead:
        what = f"is {account.state}, and held by {dead[account.owner or 0]}"
        yield _finding(Kind.HELD, account, terms, "", "", what)
    recorded = {output.name for output in account.outputs if output.recorded}
    yield from _outputs(account, terms)
    if account.state is runs.State.FINISHED:
        for name in sorted(terms.required - recorded - {output.name for output in account.outputs}):
            yield _finding(Kind.INCOMPLETE, account, terms, name, "", f"finished, but no output {name} is recorded")
        if terms.some and not account.outputs:
            yield _finding(Kind.INCOMPLETE, account, terms, "", "", "finished, but no output at all is recorded")
    for aside in account.asides:
        if not aside.done:
            what = f"{aside.name}: on its way from {disk.shown(aside.path)} to {disk.shown(aside.aside)}"
            yield _finding(Kind.ASIDE_HALF, account, terms, aside.name, aside.aside, what)
    if account.owner is None:
        for path in account.busy:
            yield _finding(Kind.FIXED, account, terms, "", path, f"{disk.shown(path)} is kept for it")
        for need in account.inputs:
            what = f"is {account.state}, and still said to need {disk.shown(need.path)}"
            yield _finding(Kind.INPUT_LEFT, account, terms, "input", need.path, what)


def _outputs(account: facts.Account, terms: Terms) -> Iterator[findings.Finding]:
    for output in account.outputs:
        if output.deleted:
            continue
        if output.recorded and account.state is not runs.State.FINISHED:
            what = f"{output.name}: {disk.shown(output.path)} is recorded, but the run is {account.state}"
            yield _finding(Kind.EARLY, account, terms, output.name, output.path, what)
        if not output.recorded and account.owner is None:
            what = f"was to be put in place by attempt {output.attempt}, and the run is {account.state}"
            what = f"{output.name}: {disk.shown(output.path)} {what}"
            yield _finding(Kind.INTENDED, account, terms, output.name, output.path, what)


def things(account: facts.Account) -> Iterator[Thing]:
    """The files that have to be there."""
    half = {aside.name for aside in account.asides if not aside.done}
    if account.state is runs.State.FINISHED:
        for output in account.outputs:
            if output.recorded and not output.deleted and output.name not in half:
                size = output.bytes if output.bytes >= 0 else None
                yield Thing(account, output.name, output.path, size, output.checksum, Kind.MISSING)
    for aside in account.asides:
        if aside.done:
            yield Thing(account, f"aside {aside.name}", aside.aside, aside.bytes, "", Kind.ASIDE_GONE)
    if account.state in _READING:
        for need in account.inputs:
            if need.come:
                yield Thing(account, "input", need.path, None, "", Kind.INPUT_GONE)


def beyond(thing: Thing, terms: Terms) -> bool:
    """Whether it can't be looked at, because the whole disk isn't there."""
    return terms.away and thing.path.startswith(os.path.join(terms.production.data, ""))


_LACKS = {sight.Lack.NO_FILE: Kind.NO_FILE, sight.Lack.CLOSED: Kind.CLOSED, sight.Lack.UNREAD: Kind.UNREAD}


def judge(thing: Thing, seen: sight.Seen, terms: Terms) -> findings.Finding | None:
    """What is wrong with a file; None if nothing is."""
    if seen.lack is None and seen.bytes == thing.bytes and seen.checksum in ("", thing.checksum):
        return None  # soon, as it is nearly all of them
    path = disk.shown(thing.path)
    if seen.lack is sight.Lack.MISSING:
        kind, what = thing.lacking, seen.what
    elif seen.lack is sight.Lack.NO_FILE:
        kind, what = Kind.NO_FILE, f"{path} is {seen.what}"
    elif seen.lack:
        kind, what = _LACKS[seen.lack], seen.what
    elif thing.bytes is not None and seen.bytes != thing.bytes:
        kind, what = Kind.SIZE, f"{path} has {seen.bytes:,} bytes, recorded are {thing.bytes:,}"
    elif seen.checksum and seen.checksum != thing.checksum:
        kind, what = Kind.CHECKSUM, f"{path} has the checksum {seen.checksum}, recorded is {thing.checksum}"
    else:
        return None
    if thing.lacking is Kind.ASIDE_GONE and kind in (Kind.NO_FILE, Kind.SIZE):
        kind = Kind.ASIDE_CHANGED
    return _finding(kind, thing.account, terms, thing.subject, thing.path, f"{thing.subject}: {what}")


def _finding(
    kind: Kind, account: facts.Account, terms: Terms, subject: str, path: str, what: str
) -> findings.Finding:  # fmt: skip
    return findings.Finding(kind, terms.production.name, account.run, subject, path, what)
