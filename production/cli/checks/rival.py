"""Another process that tries for a database's lock: ``python -m production.cli.checks.rival DATABASE``.

In come lines, each the seconds to wait for the lock; out goes a line for each. It changes nothing, and ends with its input.
"""

from __future__ import annotations

import contextlib
import sys

from production import errors
from production.catalogue import sqlite

READY = "ready"
GOT = "got it"
BUSY = "busy"

_GLANCE = 0.1
"""Seconds that SQLite itself waits: who looks whether it is held doesn't let it be held for longer."""


def main(path: str) -> None:
    """Try as often as asked."""
    try:
        with contextlib.closing(sqlite.Database(path, patience=_GLANCE)) as database:
            print(READY, flush=True)
            for line in sys.stdin:
                print(_tried(database, float(line)), flush=True)
    except errors.ProductionError as error:
        print(error, flush=True)


def _tried(database: sqlite.Database, patience: float) -> str:
    try:
        with database.locked(patience):
            return GOT
    except errors.CatalogueBusy:
        return BUSY
    except errors.CatalogueError as error:
        return str(error)


if __name__ == "__main__":
    main(sys.argv[1])
