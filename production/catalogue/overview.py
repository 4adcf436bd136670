"""What goes on in a whole production now: the part of ``library.Records`` that keeps a screen up to date.

Each answer costs what is under way, or what is shown, never what there is.
"""

from __future__ import annotations

import json
from collections.abc import Iterable

from production import clock, facts
from production.catalogue import promises, selection, sql

_SQL = sql.queries("questions.sql")


class Overview:
    """What goes on; see ``library.Records``."""

    _ask: selection.Ask

    def transfers(self, production: int) -> list[facts.Coming]:
        return [facts.Coming(*row) for row in self._ask(_SQL.coming, production=production)]

    def happenings(self, production: int, number: int, before: int | None = None) -> list[facts.Happening]:
        rows = self._ask(_SQL.happenings, production=production, number=number, before=before)
        return [facts.Happening(*row) for row in rows]

    def jobs(self, production: int) -> facts.Jobs:
        [(queued, running)] = self._ask(_SQL.jobs, production=production)
        return facts.Jobs(queued, running)

    def again(self, production: int) -> int:
        [(number,)] = self._ask(_SQL.again, production=production)
        return int(number)

    def quota(self, production: int) -> facts.Quota | None:
        rows = self._ask(_SQL.quota, production=production)
        if not rows:
            return None
        [(data, used, allowed, limit, at)] = rows
        to_come = promises.promised(self._ask, data, clock.instant(at))
        return facts.Quota(used, to_come.ordered + to_come.claimed, allowed, limit, at)

    def manager_answers(self, ids: Iterable[int]) -> dict[int, str]:
        return dict(self._ask(_SQL.manager_answers, ids=json.dumps(list(ids))))
