"""What the old scripts left, made into a database of ours: their rows come from ``old``, ours go into a new file.

Whatever can't be taken as it stands is decided here and in ``inherited``, counted and told; nothing is dropped without a
word. A run that somebody was at goes in as far as it had come and moves on from there, so that its history has both.
"""

from __future__ import annotations

import dataclasses
import datetime
import zoneinfo
from collections.abc import Mapping, Sequence
from typing import Any

from production import clock
from production import run as runs
from production.catalogue import inherited, oddities, old, settling, sql, view, zone

_SQL = sql.queries("heritage.sql")

OUTPUTS = frozenset({"tree", "hist", "odb", "dump", "out"})
"""What the old scripts wrote. A column that is neither this nor an output in the settings isn't ours to understand."""


@dataclasses.dataclass(frozen=True, slots=True)
class Program:
    """What the settings say of a program."""

    base: str
    """The program that it is based on, or empty."""
    outputs: tuple[str, ...]


@dataclasses.dataclass(frozen=True, slots=True)
class Terms:
    """What is said about an import from outside."""

    file: str
    """What the old database is called."""
    zone: zoneinfo.ZoneInfo
    data: str
    """Real path of the directory that files of the productions will be below from now on."""
    user: str
    programs: Mapping[str, Program]
    now: datetime.datetime


@dataclasses.dataclass(frozen=True, slots=True)
class Account:
    """What was brought over."""

    datasets: dict[str, int]
    """{dataset: runs in it}"""
    productions: list[tuple[runs.Production, dict[runs.State, int]]]
    oddities: list[oddities.Oddity]


def bring(there: old.Old, connection: sql.Connection, terms: Terms) -> Account:
    """All of it, into the transaction of a new database."""
    odd = oddities.Oddities()
    times = zone.Times(terms.zone, odd)
    _Datasets(there, connection, odd).bring()
    productions = _Productions(there, connection, terms, times, odd)
    # Bases first, and whole, before anything is based on them: the triggers that hand runs on find nobody.
    for campaign in productions.bases_first():
        productions.bring(campaign)
    opened = [runs.Production(*row) for row in connection.execute(sql.SQL.productions)]
    counts = [dict(connection.execute(sql.SQL.counts, {"production": one.id})) for one in opened]
    by_state = [{runs.State(state): number for state, number in one.items()} for one in counts]
    datasets = dict(connection.execute(_SQL.datasets_there))
    return Account(datasets, list(zip(opened, by_state, strict=True)), odd.told())


class _Datasets:
    """The datasets on their way."""

    def __init__(self, there: old.Old, connection: sql.Connection, odd: oddities.Oddities) -> None:
        self._old = there
        self._connection = connection
        self._odd = odd

    def bring(self) -> None:
        for run, dataset, tranche, quality, geometry in self._old.datasets():
            number = inherited.whole(run)
            if number is None:
                self._odd.note("lines of datasets without a run's number, left out", f"{dataset} {run!r}")
                continue
            values = {"run": number, "dataset": self._named(dataset, "dataset", number)}
            values |= {"quality": self._named(quality, "quality", number), "geometry": inherited.plain(geometry)}
            self._connection.execute(sql.SQL.add_run, {"run": number})
            added = self._connection.execute(sql.SQL.add_dataset, values | {"tranche": self._tranche(tranche, number)})
            if added.rowcount != 1:
                self._odd.note("lines of runs that their dataset had already, left out", f"run {number} in {dataset}")

    def _named(self, told: object, what: str, run: int) -> str:
        name = inherited.plain(told)
        if not name:
            self._odd.note(f"runs without a {what}, which is called unknown", f"run {run}")
        return name or "unknown"

    def _tranche(self, told: object, run: int) -> int | None:
        number = inherited.whole(told)
        if told is not None and number is None:
            self._odd.note("tranches that are no number, left out", f"run {run} {told!r}")
        return number


class _Productions:
    """The productions on their way, with their runs."""

    def __init__(
        self, there: old.Old, connection: sql.Connection, terms: Terms, times: zone.Times, odd: oddities.Oddities
    ) -> None:
        self._old = there
        self._connection = connection
        self._terms = terms
        self._times = times
        self._odd = odd
        self._ids: dict[str, int] = {}
        """{name of a production that was brought: its id}"""

    def bases_first(self) -> list[inherited.Campaign]:
        """All that can be productions of ours, none before its base."""
        there = {campaign.name: campaign for campaign in self._campaigns()}

        def depth(campaign: inherited.Campaign, most: int) -> int:
            on = there.get(f"{self._based_on(campaign.program)}_v{campaign.base}")
            return 1 + depth(on, most - 1) if on and most else 0

        return sorted(there.values(), key=lambda campaign: depth(campaign, len(there)))

    def _campaigns(self) -> list[inherited.Campaign]:
        """Those that the table ``productions`` has, and those of which only their own table is there."""
        tables = self._old.productions()
        lines: dict[tuple[str, int], list[Any]] = {}
        for program, version, *line in self._old.campaigns():
            key = (inherited.plain(program) or "", inherited.whole(version) or 0)
            if key not in tables:
                self._odd.note("productions without a table of their runs, left out", f"{program}_v{version}")
            elif key in lines:
                self._odd.note("productions that are written down again, left out", tables[key])
            else:
                lines[key] = line
        for key in tables.keys() - lines.keys():
            self._odd.note("productions that the table productions doesn't have, open, with tag unknown", tables[key])
        keys = [*lines, *sorted(tables.keys() - lines.keys())]
        found = [self._campaign(id_, key, lines.get(key, [None] * 4)) for id_, key in enumerate(keys, 1)]
        return [campaign for campaign in found if campaign is not None]

    def _campaign(self, id_: int, key: tuple[str, int], line: Sequence[Any]) -> inherited.Campaign | None:
        (program, version), table = key, self._old.productions()[key]
        if not view.fits(program):
            self._odd.note("tables that can't be a production's by their name (a-z, 0-9, _), left out", table)
            return None
        tag, start, stop, told = line
        begun = self._times.read(start, table)
        ended = self._times.read(stop, table, begun)
        base = inherited.whole(told) if self._based_on(program) else None
        if told is not None and base is None:
            self._odd.note("bases that mean nothing to the program, left out", f"{table} {told!r}")
        return inherited.Campaign(
            id=id_,
            program=program,
            version=version,
            tag=inherited.plain(tag) or "unknown",
            start=clock.text(begun or self._terms.now),
            stop=clock.text(ended) if ended else None,
            base=base,
            table=table,
        )

    def _based_on(self, program: str) -> str:
        known = self._terms.programs.get(program)
        return known.base if known else "alcapana" if program == "rootana" else ""

    def bring(self, campaign: inherited.Campaign) -> None:
        """The production, its runs, its view."""
        on = self._based_on(campaign.program)
        base = self._ids.get(f"{on}_v{campaign.base}")
        if on and base is None:
            self._odd.note("productions whose base isn't there, their unfinished runs held", campaign.name)
        facts = {"id": campaign.id, "program": campaign.program, "version": campaign.version, "tag": campaign.tag}
        facts |= {"base": base, "user": self._terms.user, "data": self._terms.data}
        self._connection.execute(_SQL.bring_production, facts | {"start": campaign.start, "stop": campaign.stop})
        self._ids[campaign.name] = campaign.id
        columns = self._columns(campaign)
        reader = inherited.Reader(campaign, columns, self._terms.file, self._terms.now, self._times, self._odd)
        table = settling.Table(self._connection, campaign, bool(on), base, clock.text(self._terms.now), self._odd)
        for row in self._old.runs(campaign.table, columns):
            if (run := reader.read(row)) is not None:
                table.add(run)
        table.write()
        self._settle(campaign)
        self._show(campaign, columns)

    def _columns(self, campaign: inherited.Campaign) -> tuple[str, ...]:
        """The outputs among the columns of its table, in their order."""
        found = []
        for column in self._old.tables[campaign.table]:
            if column in OUTPUTS or column in self._outputs(campaign):
                found.append(column)
            elif column not in old.OWN:
                self._odd.note(
                    "columns that are no output of the program in the settings, left out", f"{campaign.name}.{column}"
                )
        return tuple(found)

    def _outputs(self, campaign: inherited.Campaign) -> tuple[str, ...]:
        """What its runs write from now on."""
        known = self._terms.programs.get(campaign.program)
        return known.outputs if known else ()

    def _settle(self, campaign: inherited.Campaign) -> None:
        """What can be said only when all its runs are there."""
        key = {"production": campaign.id}
        best = self._connection.execute(_SQL.qualities_of, key).fetchone()
        quality = best[0] if best else "gold"
        self._connection.execute(_SQL.set_quality, key | {"quality": quality})
        self._connection.execute(sql.SQL.intake_done, key)
        for what, query in (
            ("runs of a production that no dataset has in its quality", _SQL.strangers),
            ("runs of a production's quality that it never had, not added", _SQL.absentees),
        ):
            number, lowest = self._connection.execute(query, key).fetchone()
            if number and (query != _SQL.absentees or not campaign.stop):  # a closed one has what it was to have
                self._odd.note(what, f"{campaign.name} ({quality}) {number}, from run {lowest}", number)
        counts = dict(self._connection.execute(sql.SQL.counts, key))
        left = sum(counts.values()) - counts[runs.State.FINISHED]
        if campaign.stop and left:
            self._odd.note("unfinished runs of closed productions, which nobody takes", f"{campaign.name} {left}", left)

    def _show(self, campaign: inherited.Campaign, columns: tuple[str, ...]) -> None:
        """Its view has the columns that it had; if it goes on, also those that the program has now."""
        more = () if campaign.stop else tuple(name for name in self._outputs(campaign) if name not in columns)
        outputs = columns + more
        names = [{"production": campaign.id, "name": name} for name in outputs]
        self._connection.executemany(sql.SQL.open_output, names)
        which = {"program": campaign.program, "version": campaign.version}
        row = self._connection.execute(sql.SQL.production, which).fetchone()
        for statement in view.statements(runs.Production(*row), outputs):
            self._connection.execute(statement)
