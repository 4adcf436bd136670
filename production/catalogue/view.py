"""The versioned table of a production, ``alcapana_v4``: a view, so it can't disagree with what it shows."""

from __future__ import annotations

import re
from collections.abc import Sequence

from production import errors
from production import run as runs

_STATUS = (
    "CASE r.state WHEN 'new' THEN 'N' WHEN 'claimed' THEN 'C' WHEN 'staged' THEN 'C' WHEN 'finished' THEN 'F' "
    "WHEN 'failed' THEN 'E' WHEN 'held' THEN 'H' WHEN 'waiting' THEN 'W' ELSE 'R' END"
)


def fits(name: str) -> bool:
    """Whether a program or an output may be called so."""
    return re.fullmatch(r"[a-z][a-z0-9_]*", name) is not None and not name.startswith("sqlite_")


def statements(production: runs.Production, outputs: Sequence[str]) -> list[str]:
    """The statements that make ``alcapana_v4``: the one place where SQL is made from names.

    A view, so it can't disagree with what it shows; writing to it names the command to use. ``status`` is N new,
    C claimed and staged, R submitting to ended, F finished, E failed, H held, W waiting.
    """
    for name in (production.program, *outputs):
        if not fits(name):
            raise errors.UsageError(f"{name!r} can't be the name of a program or output: a-z, then a-z, 0-9 and _")
    table, key = f'"{production.name}"', int(production.id)
    columns = "".join(
        f", (SELECT o.path FROM output AS o WHERE o.production = {key} AND o.run = r.run AND o.name = '{name}'"  # noqa: S608
        f' AND o.recorded IS NOT NULL AND o.deleted IS NULL) AS "{name}"'
        for name in outputs
    )
    view = (
        f"CREATE VIEW {table} AS SELECT r.run, {_STATUS} AS status, a.user, a.submitted_at AS start, a.ended_at AS stop"  # noqa: S608
        f"{columns}, a.olog, a.elog, m.text AS modules FROM production_run AS r "
        "LEFT JOIN attempt AS a ON a.production = r.production AND a.run = r.run AND a.attempt = r.attempt "
        "AND r.state NOT IN ('new', 'waiting') "
        f"LEFT JOIN modules AS m ON m.digest = a.modules WHERE r.production = {key}"
    )
    refusal = f"{production.name} shows what is; to change a run use: production retry, hold, release or reset"
    refusals = [
        f'CREATE TRIGGER "{production.name}_{verb.lower()}" INSTEAD OF {verb} ON {table} '
        f"BEGIN SELECT RAISE(ABORT, '{refusal}'); END"
        for verb in ("INSERT", "UPDATE", "DELETE")
    ]
    return [view, *refusals]
