"""Is everything as it was written down? Outputs and their sizes, files that nobody recorded, what the dead hold.

In comes the memory, out goes a ``finding.Report``. It only looks, and locks nothing, while managers go on: so whatever looked wrong
is looked at once more, in the memory and on the disk, before it is told.
"""

from __future__ import annotations

import collections
import dataclasses
import glob
import itertools
import os
import re
from collections.abc import Callable, Iterable, Iterator

from production import clock as clocks
from production import disk, facts, journal, layout
from production import filter as filters
from production import run as runs
from production import settings as settings_
from production.catalogue import library as library_
from production.monitor import finding as findings
from production.monitor import holders, judging, reach, sight, strangers

Kind = findings.Kind

PAUSE = 1.0
"""Seconds before the second look, if somebody is at work: a transaction is open for less."""
ENOUGH = 20_000
"""Findings that are looked at a second time together."""
TOGETHER = 2000
"""Runs that are looked at together."""

_ATTEMPT = re.compile(r"(\d+)\.(\d+)")


class Audit:
    """One audit, of one production after the other."""

    def __init__(
        self,
        library: library_.Library,
        settings: settings_.Settings,
        looking: sight.Sight,
        report: findings.Report,
        clock: clocks.Clock,
        told: Callable[[], None] = lambda: None,
    ) -> None:
        """``told`` is called now and then."""
        self._library = library
        self._settings = settings
        self._sight = looking
        self._report = report
        self._clock = clock
        self._told = told
        self._suspects: list[findings.Finding] = []
        self._settled: set[tuple[str, int | None, str, str]] = set()
        self._closed: dict[str, tuple[int, int]] = {}
        self._elsewhere: collections.Counter[str] = collections.Counter()
        """{machine: inputs on a disk that only it sees}."""
        self._known: strangers.Known | None = None

    def production(self, production: runs.Production, wanted: filters.Filter, *, checksums: bool) -> None:
        """Look at one production; at chosen runs alone, if there is a choice."""
        self._report.productions.append(production.name)
        program = self._settings.programs.get(production.program)
        terms = self._terms(production, program, checksums)
        search = strangers.Search(production, program, self._unlisted(production.name))
        everything, gone = wanted == filters.EVERYTHING, self._report.asides_gone
        for numbers in self._numbers(production, wanted):
            self._runs(numbers, terms, search if everything else None)
            if len(self._suspects) >= ENOUGH:
                self._settle(terms)
        self._settle(terms)
        self._tell_closed(production.name)
        self._tell_elsewhere(production.name)
        if (gone := self._report.asides_gone - gone) > 0:
            are = "is" if gone == 1 else "are"
            what = f"{production.name}: {gone:,} of the outputs that were put aside {are} not there any more"
            self._report.harmless.append(f"{what}; nothing is wrong, if somebody removed them to make room")
        if everything:
            self._tally(production)
            if not terms.away:
                self._strangers(search)
                self._leftovers(production, program)

    def transfers(self, production: str | None) -> None:
        """Look at files on their way; ``production``: those of managers of this one."""
        first = {found.key for found in self._of_transfers(production)}
        if first:
            self._clock.wait(PAUSE)
            for found in self._of_transfers(production):
                if found.key in first:
                    self._report.add(found)

    def interrupted(self) -> None:
        """It ends here: what was seen only once is told as such."""
        name = self._report.productions[-1] if self._report.productions else ""
        self._tell_closed(name)
        self._tell_elsewhere(name)
        self._report.once = [found for found in self._suspects if found.key not in self._settled]

    # ── runs and their files ──

    def _terms(
        self, production: runs.Production, program: settings_.Program | None, checksums: bool
    ) -> judging.Terms:  # fmt: skip
        columns = frozenset(self._library.books.columns(production.id))
        required = columns - {output.name for output in program.outputs if output.optional} if program else frozenset()
        if columns and not program:
            what = (
                f"{production.name}: no settings say which outputs {production.program} may leave out; any one will do"
            )
            self._report.harmless.append(what)
        away = _is_away(production.data)
        if away:
            what = f"{disk.shown(production.data)} is not there"
            self._report.add(findings.Finding(Kind.AWAY, production.name, None, "", production.data, what))
        return judging.Terms(production, required, bool(columns) and not program, checksums, away)

    def _numbers(self, production: runs.Production, wanted: filters.Filter) -> Iterator[list[int]]:
        if wanted == filters.EVERYTHING:
            yield from self._library.books.numbers(production.id)
            return
        rows = self._library.records.select(production.id, wanted, self._clock.now())
        while numbers := [row.run for row in itertools.islice(rows, TOGETHER)]:
            yield numbers

    def _runs(self, numbers: list[int], terms: judging.Terms, search: strangers.Search | None) -> None:
        """The first look."""
        accounts = self._library.books.accounts(terms.production.id, numbers)
        for account in accounts:
            self._count(account, terms)
            if search is not None:
                for output in account.outputs:
                    if output.recorded and not output.deleted:
                        search.also(output.path)
        for found in self._look(accounts, terms):
            if found.kind is Kind.CLOSED:
                place = sight.shut(found.path)
                number, first = self._closed.get(place, (0, found.run or 0))
                self._closed[place] = number + 1, min(first, found.run or 0)
            else:
                self._suspects.append(found)

    def _count(self, account: facts.Account, terms: judging.Terms) -> None:
        self._report.runs += 1
        recorded = [output for output in account.outputs if output.recorded]
        if account.state is not runs.State.FINISHED or not recorded:
            return
        there = [output for output in recorded if not output.deleted]
        self._report.having += bool(there)
        self._report.outputs += len(there)
        self._report.deleted += len(recorded) - len(there)
        self._report.bytes += sum(max(0, output.bytes) for output in there)
        self._report.vague += sum(output.bytes < 0 or (terms.checksums and not output.checksum) for output in there)

    def _look(
        self, accounts: Iterable[facts.Account], terms: judging.Terms, *, anew: bool = False
    ) -> Iterator[findings.Finding]:  # fmt: skip
        dead = self._dead() if any(account.owner is not None for account in accounts) else {}
        looked_at = []
        for account in accounts:
            yield from judging.written_down(account, terms, dead)
            there = [thing for thing in judging.things(account) if not judging.beyond(thing, terms)]
            looked_at += [(thing.path, thing.whole(terms), thing) for thing in there if not reach.elsewhere(thing.path)]
            if not anew:
                self._elsewhere.update(reach.split(thing.path)[0] for thing in there if reach.elsewhere(thing.path))
        for thing, seen in self._sight.look(looked_at, anew=anew):
            found = judging.judge(thing, seen, terms)
            if found is not None:
                yield found

    def _dead(self) -> dict[int, str]:
        there = {manager.id: manager for manager in self._library.books.holders()}
        return holders.dead(there, self._settings.lease, self._clock.now())

    def _settle(self, terms: judging.Terms) -> None:
        """The second look: what is still so is told."""
        if self._suspects and self._is_restless():
            self._clock.wait(PAUSE)
        keys = {found.key for found in self._suspects}
        numbers = sorted({found.run for found in self._suspects if found.run is not None})
        for at in range(0, len(numbers), TOGETHER):
            accounts = self._library.books.accounts(terms.production.id, numbers[at : at + TOGETHER])
            for found in self._look(accounts, terms, anew=True):
                if found.key in keys:
                    self._settled.add(found.key)
                    self._report.add(found)
        self._suspects, self._settled = [], set()

    def _is_restless(self) -> bool:
        """Whether somebody may be in the middle of a change."""
        half = any(found.kind is Kind.ASIDE_HALF for found in self._suspects)
        return half or bool(self._library.managers_of_all())

    def _tell_closed(self, name: str) -> None:
        for place, (number, first) in sorted(self._closed.items()):
            self._report.closed[place] += number
            whose = sight.whose(place)
            what = f"{disk.shown(place)} is closed to you{f' ({whose} has it)' if whose else ''}: "
            what += f"{number:,} files can't be looked at, the first is of run {first}"
            self._report.add(findings.Finding(Kind.CLOSED, name, None, "", place, what))
        self._closed.clear()

    def _tell_elsewhere(self, name: str) -> None:
        """It is this machine's disk that is looked at."""
        for host, number in sorted(self._elsewhere.items()):
            were = "was" if number == 1 else "were"
            what = f"{name}: {journal.count(number, 'input')} on {disk.printable(host)} {were} not looked at"
            self._report.harmless.append(f"{what}: only that machine sees {'it' if number == 1 else 'them'}")
        self._elsewhere.clear()

    # ── what is of no run ──

    def _unlisted(self, name: str) -> Callable[[str], None]:
        def tell(directory: str) -> None:
            if sight.shut(os.path.join(directory, "")) in self._report.closed:
                return
            what = f"{disk.shown(directory)} may not be listed by you: what nobody recorded in it can't be seen"
            self._report.add(findings.Finding(Kind.CLOSED, name, None, "listing", directory, what))

        return tell

    def _tally(self, production: runs.Production) -> None:
        for run, base in self._library.books.stale(production.id):
            what = f"finished before its base run was done again (that is {base} now)"
            self._report.add(findings.Finding(Kind.STALE, production.name, run, "", "", what))
        for state, counted, there in self._library.books.uneven(production.id):
            what = f"{counted:,} runs are counted as {state}, and there are {there:,}"
            self._report.add(findings.Finding(Kind.TALLY, production.name, None, state, "", what))

    def _of_transfers(self, production: str | None) -> list[findings.Finding]:
        there = {manager.id: manager for manager in self._library.books.holders()}
        dead = holders.dead(there, self._settings.lease, self._clock.now())
        return [
            findings.Finding(
                Kind.TRANSFER, there[id_].production or "", None, "transfer", path, f"{disk.shown(path)}: {dead[id_]}"
            )
            for path, id_ in self._library.books.transfers()
            if id_ in dead and production in (None, there[id_].production)
        ]

    def _strangers(self, search: strangers.Search) -> None:
        lot: list[str] = []
        for number, path in enumerate(search.files()):
            if number % 1000 == 0:
                self._told()
            if self._known is None:
                self._known = strangers.Known(self._library.books.paths())
            if path not in self._known:
                lot.append(path)
            if len(lot) >= strangers.LOT:
                self._look_up(lot, search)
                lot = []
        if lot:
            self._look_up(lot, search)

    def _look_up(self, lot: list[str], search: strangers.Search) -> None:
        """They were listed before this is read: what is on its way to its place has been written down by now."""
        living = self._library.living(search.production.id)
        self._known = strangers.Known(self._library.books.paths())
        for path in lot:
            if path in self._known or search.copy_of(path) in living:
                continue
            described = strangers.described(path, sight.whose(path))
            if described is not None:
                name = search.production.name
                self._report.add(findings.Finding(Kind.STRANGER, name, None, "file", path, described))

    def _leftovers(self, production: runs.Production, program: settings_.Program | None) -> None:
        """What the next manager sweeps away."""
        if program is None:
            return
        plan = layout.Layout(dataclasses.replace(self._settings, data=production.data), program, production)
        # listed before asked, as the manager's sweep does it
        names = collections.Counter(
            (int(found[1]), int(found[2]))
            for directory in (plan.jobs(), plan.works())
            for found in map(_ATTEMPT.match, _names(directory))
            if found
        )
        over = set(names) - self._library.living(production.id)
        if over:
            what = f"{production.name}: of {journal.count(len(over), 'attempt')} that {'is' if len(over) == 1 else 'are'} over there are files below jobs/ and work/"
            self._report.harmless.append(f"{what}; the next manager removes them")
        parts = glob.glob(plan.parts()) if plan.parts() else []
        brought = {f"{path}.part" for path, _ in self._library.books.transfers()}
        if set(parts) - brought and not self._library.managers_of_all():
            what = f"{production.name}: {len(set(parts) - brought):,} raw files are there half"
            self._report.harmless.append(f"{what}; the next manager removes them")


def _is_away(data: str) -> bool:
    try:
        os.stat(data)
    except (FileNotFoundError, NotADirectoryError):
        return True
    except OSError:
        return False  # closed: that is told of each place in it
    return False


def _names(directory: str) -> list[str]:
    try:
        return os.listdir(directory)
    except OSError:
        return []
