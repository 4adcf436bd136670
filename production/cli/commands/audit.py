"""``production audit``: is everything as it was written down?"""

from __future__ import annotations

import argparse
import contextlib
import dataclasses
import time
from collections.abc import Iterator
from typing import TYPE_CHECKING

from production import clock, disk, errors, journal
from production import filter as filters
from production import run as runs
from production.cli import asking, door, options, passing

if TYPE_CHECKING:
    from production.catalogue import sqlite
    from production.monitor import finding, sight

FIRST = 20
"""Findings of each kind that are shown unless all are wanted."""
_QUIET = 2.0
"""Seconds after which it is told how far it is, on a terminal."""


def add_to(commands: argparse._SubParsersAction[options.Parser]) -> None:
    """Add the command to ``production``."""
    audit = commands.add_parser(
        "audit",
        help="is everything as it was written down?",
        description="Look whether every recorded output is there with its size, every file under the version directories is "
        "recorded, and nothing is held by managers that are gone: in all productions, unless one is named. It changes nothing, and "
        "managers may be at work meanwhile.",
        epilog="With a filter these runs alone are looked at, and no files that "
        "nobody recorded. Exit 0: all is as recorded; 1: something is not, or couldn't be looked at; 130: interrupted.",
    )
    asking.add_filter(audit)
    asking.add_production(audit)
    audit.add_argument("--checksums", action="store_true", help="read every output and compare its checksum, too")
    audit.add_argument("--all", action="store_true", help=f"show all findings, not the first {FIRST} of each kind")
    asking.add_json(audit)
    asking.add_where(audit)
    audit.set_defaults(command=_audit)


def _audit(given: argparse.Namespace) -> int:
    from production.monitor import audit, finding, sight

    wanted = filters.parse(given.filter)
    chosen = asking.chosen(given)
    report = finding.Report(None if given.all or given.json else FIRST)
    with (
        asking.catalogue(options.database(chosen)) as library,
        contextlib.closing(sight.Sight()) as looking,
        contextlib.closing(clock.SystemClock()) as ticking,
        _Told(looking) as told,
    ):
        looking.told = told
        one = audit.Audit(library, chosen, looking, report, ticking, told)
        complete = True
        try:
            for production in _productions(library, given):
                told.name = production.name
                one.production(production, wanted, checksums=given.checksums)
            if wanted == filters.EVERYTHING:
                one.transfers(production.name if given.production else None)
        except KeyboardInterrupt:
            one.interrupted()
            complete = False
        told.over()
    return _answer(given, report, told, complete=complete)


def _productions(library: sqlite.Database, given: argparse.Namespace) -> list[runs.Production]:
    """Those that are meant. Raises: UsageError."""
    if given.production is None and given.version is None:
        return library.productions()
    return [asking.production(library, given)]


class _Told:
    """Says how far it is, on a terminal, in one line that goes at the end."""

    def __init__(self, looking: sight.Sight) -> None:
        self._looking = looking
        self._line = passing.Line()
        self._begun = time.monotonic()
        self._next = self._begun + _QUIET
        self.name = ""
        """Of the production."""
        self.seconds = 0.0
        """That it took."""

    def __enter__(self) -> _Told:
        return self

    def __exit__(self, *_error: object) -> None:
        self.over()

    def __call__(self) -> None:
        if time.monotonic() >= self._next:
            self._next = time.monotonic() + _QUIET / 4
            line = f"{self.name}: {journal.count(self._looking.looked, 'file')} looked at"
            if self._looking.read:
                line += f", {_size(self._looking.read)} read"
            self._line.tell(line)

    def over(self) -> None:
        """Nothing more is looked at."""
        self.seconds = self.seconds or time.monotonic() - self._begun
        self._line.clear()

    @property
    def read(self) -> int:
        """Bytes."""
        return self._looking.read


def _answer(given: argparse.Namespace, report: finding.Report, told: _Told, *, complete: bool) -> int:
    """Tell what was found; the exit code. Raises: UsageError."""
    if complete and given.filter and not report.runs:
        words = disk.printable(" ".join(given.filter))
        raise errors.UsageError(f"no run of {', '.join(report.productions) or 'any production'} is meant by: {words}")
    if given.json:
        asking.say_json(_document(given, report, told, complete=complete))
    else:
        asking.say_folded((*_lines(report), _last_line(given, report, told, complete=complete)))
    if not complete:
        return door.INTERRUPTED
    return 1 if report.found else 0


def _lines(report: finding.Report) -> Iterator[str]:
    from production.monitor import finding

    for kind in finding.Kind:
        kept = report.kept.get(kind, [])
        if not kept:
            continue
        yield f"{finding.title(kind)}: {report.counts[kind]:,}"
        yield from (f"  {one}" for one in kept)
        if report.counts[kind] > len(kept):
            yield f"  … and {report.counts[kind] - len(kept):,} more; all of them: --all"
        yield f"  mend: {_mend(kept)}"
    if report.once:
        yield f"seen once, and not looked at again: {len(report.once):,}"
        yield from (f"  {one}" for one in report.once[:FIRST])
    yield from (f"harmless: {line}" for line in report.harmless)


def _mend(kept: list[finding.Finding]) -> str:
    """Of one finding with its run; of several without."""
    first = kept[0]
    if len({(one.production, one.run) for one in kept}) > 1:
        same = len({one.production for one in kept}) == 1
        first = dataclasses.replace(first, run=None, production=first.production if same else "PROGRAM_vN")
    return first.mend


def _last_line(given: argparse.Namespace, report: finding.Report, told: _Told, *, complete: bool) -> str:
    if not report.productions:
        return "no productions yet: nothing to look at"
    size = _size(report.bytes)
    what = f"{journal.count(report.outputs, 'output')} of {journal.count(report.having, 'run')} in {journal.count(len(report.productions), 'production')}"
    if not complete:
        said = f"interrupted: this is what was found so far; {what} looked at, or begun ({size})"
    elif report.found:
        said = f"{journal.count(report.found, 'finding')}; {what} looked at ({size})"
    else:
        said = f"{what} {'is' if report.outputs == 1 else 'are'} as recorded ({size})"
    if given.checksums:
        said += f"; {_size(told.read)} read in {told.seconds:.1f} s, {_size(told.read / max(told.seconds, 1e-3))}/s"
    if report.vague:
        unknown = "size or checksum" if given.checksums else "size"
        said += f"; of {report.vague:,} no {unknown} is known: not comparable"
    if report.deleted:
        said += f"; {report.deleted:,} are recorded as removed"
    if sum(report.closed.values()):
        said += f"; {sum(report.closed.values()):,} could not be looked at"
    return said


def _document(
    given: argparse.Namespace, report: finding.Report, told: _Told, *, complete: bool
) -> dict[str, object]:  # fmt: skip
    found = [one for kept in report.kept.values() for one in kept]
    return {
        "complete": complete,
        "productions": report.productions,
        "runs": report.runs,
        "outputs": report.outputs,
        "bytes": report.bytes,
        "not_comparable": report.vague,
        "removed": report.deleted,
        "closed": sum(report.closed.values()),
        "checksums": {"bytes": told.read, "seconds": round(told.seconds, 3)} if given.checksums else None,
        "counts": {str(kind): number for kind, number in sorted(report.counts.items())},
        "findings": [_plain(one) for one in found],
        "seen_once": [_plain(one) for one in report.once],
        "harmless": report.harmless,
    }


def _plain(one: finding.Finding) -> dict[str, object]:
    try:
        path = one.path.encode() and one.path
    except UnicodeEncodeError:  # a file's name may be no text
        path = disk.shown(one.path)
    return {
        "kind": str(one.kind),
        "production": one.production or None,
        "run": one.run,
        "subject": one.subject or None,
        "path": path or None,
        "what": disk.printable(one.what),
        "mend": one.mend,
    }


def _size(number: float) -> str:
    from production import room

    return room.shown(number)
