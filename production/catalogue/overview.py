"""What goes on in a whole production now: the part of ``library.Records`` that keeps a screen up to date.

Each answer costs what is under way, or what is shown, never what there is.
"""

from __future__ import annotations

from production import facts
from production.catalogue import selection, sql

_SQL = sql.queries("questions.sql")


class Overview:
    """What goes on; see ``library.Records``."""

    _ask: selection.Ask

    def transfers(self, production: int) -> list[facts.Coming]:
        return [facts.Coming(*row) for row in self._ask(_SQL.coming, production=production)]

    def happenings(self, production: int, number: int, before: int | None = None) -> list[facts.Happening]:
        rows = self._ask(_SQL.happenings, production=production, number=number, before=before)
        return [facts.Happening(*row) for row in rows]
