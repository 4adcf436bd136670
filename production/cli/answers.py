"""What the dashboard is told beyond the memory's own answers: what the commands say, for a screen. See ``surroundings.Answers``."""

from __future__ import annotations

import datetime
import time
from collections.abc import Callable, Sequence
from typing import Any

from production import clock, errors, facts, journal, places, process
from production import filter as filters
from production import run as runs
from production import settings as settings_
from production.catalogue import base, library, sqlite
from production.cli import asking, portrait, telling
from production.cli.commands import failures as failing
from production.cli.commands import show
from production.cli.commands import why as whys
from production.monitor import outlook as outlooks
from production.monitor import reach, why
from production.monitor.dashboard import scroll, surroundings

PATIENCE = 20.0
"""Seconds that somebody else's lock is waited for; then the person may ask once more."""
SHORT = 0.3
"""Seconds of one try."""
NAMED = 200
"""Ranges of runs that a filter names; of more it names the cause."""


class Answers:
    """With the settings of whoever looks."""

    def __init__(self, chosen: settings_.Settings, logs: reach.Reach = reach.HERE) -> None:
        self._chosen = chosen
        self._logs = logs

    def portray(self, memory: library.Library, production: runs.Production, run: int) -> Sequence[str]:
        row = asking.row(memory, production, run)
        return list(portrait.lines(show.all_of(memory, production, row, self._chosen.programs, with_modules=False)))

    def explain(self, memory: library.Library, production: runs.Production, run: int) -> Sequence[tuple[str, str]]:
        row = asking.row(memory, production, run)
        return [(one.layer, one.text) for one in why.explain(whys.gather(memory, self._chosen, production, row))]

    def failures(self, memory: library.Library, production: runs.Production) -> Sequence[scroll.Entry]:
        found = failing.Answer(memory, production, self._chosen, self._logs, suggest=True)
        found.find(filters.EVERYTHING, ever=False)
        again = memory.records.again(production.id)
        told = (
            f"; {journal.count(again)} failed before, and {'is' if again == 1 else 'are'} under way again"
            if again
            else ""
        )
        entries = [scroll.Entry(f"{found.summary()}{told}", "name")]
        for group in found.groups:
            first, *rest = [
                line for line in found.told(group) if not line.startswith("  once mended:")
            ]  # there is a key for it
            named = filters.ranges(group.numbers, NAMED) if len(group.ranges) <= NAMED else f"cause:{group.cause}"
            entries += [
                scroll.Entry(""),
                scroll.Entry(first, "bad", (named, group.example.run)),
                *map(scroll.Entry, rest),
            ]
        return entries

    def outlook(self, memory: library.Library, production: runs.Production) -> outlooks.Outlook:
        now = datetime.datetime.now(datetime.UTC)
        lease = max(300.0, self._chosen.lease)
        return outlooks.look(memory, production, now, nproc=self._chosen.nproc, lease=lease)

    def plan(self, memory: library.Library, wish: surroundings.Wish) -> surroundings.Plan:
        if wish.manager is not None:
            number, manager = self._places(memory, wish)
            before = "" if manager.nproc is None else f" instead of {manager.nproc:,}"
            more = places.waits(number, memory.in_flight(manager.owner))
            told = f"would be asked: {manager}: {journal.count(number, 'job')} at a time{before}{more}"
            return surroundings.Plan([told], void=False)
        planned = telling.plan(memory, wish.production, wish.verb, wish.wanted)
        said = telling.lines(memory, wish.production, planned, wish.verb, done=False) or ["no run is meant"]
        return surroundings.Plan(said, void=not (planned.done or planned.asked))

    def _places(self, memory: library.Library, wish: surroundings.Wish) -> tuple[int, facts.AtWork]:
        """How many jobs at a time, and of whom. Raises: UsageError."""
        number, there = places.number(wish.argument), memory.records.managers()
        return number, places.addressee(there, wish.production.name, number, process.user(), str(wish.manager))

    def tell(self, wish: surroundings.Wish, wanted: Callable[[], bool]) -> Sequence[str]:
        patiently = _Patience(wanted)
        writing = patiently(lambda: sqlite.Database(self._chosen.database, patience=SHORT, opening=SHORT))
        try:
            if wish.manager is not None:
                number, manager = self._places(writing, wish)
                now = clock.SystemClock().now()
                patiently(lambda: places.ask(writing, manager, number, process.user(), wish.why, now))
                return [f"asked: {manager}: {journal.count(number, 'job')} at a time, from its next cycle on"]
            planned = telling.plan(writing, wish.production, wish.verb, wish.wanted)
            ask = base.Ask(wish.verb, wish.argument or None, process.user(), wish.why)
            told = telling.do(writing, wish.production, planned, ask, patiently)
            return telling.lines(writing, wish.production, told, wish.verb, done=True) or ["no run is meant"]
        finally:
            writing.close()


class _Patience:
    """Waits for somebody else's lock: not for ever, and not for what nobody wants any more."""

    def __init__(self, wanted: Callable[[], bool]) -> None:
        self._wanted = wanted

    def __call__(self, deed: Callable[[], Any]) -> Any:
        end = time.monotonic() + PATIENCE
        while True:
            if not self._wanted():
                raise errors.Interrupted("it is not asked for any more")
            try:
                return deed()
            except errors.CatalogueError as trouble:
                if not trouble.transient or time.monotonic() > end:
                    raise
