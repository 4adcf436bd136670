"""A database of the old scripts, to be read and never changed. Its rows leave as they are; ``heritage`` makes sense of them.

What there was, from the scripts' own CREATE TABLE: ``datasets(run, dataset, qual | quality)`` or ``R15bdatasets(run, dataset,
tranche, quality, geometry)``; ``productions(type, version, software, start, stop, base)``, at first without ``software``; and
``alcapana_v3(run, status, user, start, stop, tree, hist, odb, olog, elog, modules)``, at first with ``dump`` for ``odb`` and
without the logs, ``rootana_v8`` with ``out`` for the three. None of them had a key.
"""

from __future__ import annotations

import contextlib
import os
import re
import sqlite3
from collections.abc import Iterator, Sequence
from typing import Any

from production import errors
from production.catalogue import sql, sqlite

_SQL = sql.queries("heritage.sql")

PATIENCE = 5.0
"""Seconds that a writer of the old scripts is waited for."""
OWN = ("run", "status", "user", "start", "stop", "olog", "elog", "modules")
"""Columns of a production's table that are no outputs."""

_PRODUCTION = re.compile(r"(.+)_v([1-9][0-9]{0,8})")


class Old:
    """An old database, open: one look at it, whoever writes meanwhile."""

    def __init__(self, path: str, connection: sqlite3.Connection) -> None:
        self._path = path
        self._connection = connection
        self.tables = {name: self._columns(name) for (name,) in self._all(_SQL.old_tables)}
        """{name: its columns, in their order}"""
        self._datasets = [
            name
            for name, columns in self.tables.items()
            if name.lower().endswith("datasets") and {"run", "dataset"} <= columns.keys()
        ]
        if not self._datasets and not self.productions() and not self.campaigns():
            raise errors.UsageError(f"{path} has no tables of the old scripts (datasets, productions, alcapana_v1, …)")

    def _columns(self, table: str) -> dict[str, str]:
        """{lower case: as it was written}; SQLite doesn't tell them apart."""
        return {str(name).lower(): str(name) for (name,) in self._all(_SQL.old_columns, {"table": table})}

    def datasets(self) -> Iterator[tuple[Any, ...]]:
        """(run, dataset, tranche, quality, geometry), in the order in which they came."""
        for table in self._datasets:
            quality = "quality" if "quality" in self.tables[table] else "qual"
            yield from self._rows(table, ("run", "dataset", "tranche", quality, "geometry"))

    def campaigns(self) -> list[tuple[Any, ...]]:
        """(type, version, software, start, stop, base), in the order in which they came."""
        table = next((name for name in self.tables if name.lower() == "productions"), None)
        if table is None or not {"type", "version"} <= self.tables[table].keys():
            return []
        return list(self._rows(table, ("type", "version", "software", "start", "stop", "base")))

    def productions(self) -> dict[tuple[str, int], str]:
        """By (program, version): the table of its runs."""
        return {
            (found[1], int(found[2])): name
            for name, columns in self.tables.items()
            if (found := _PRODUCTION.fullmatch(name)) and {"run", "status"} <= columns.keys()
        }

    def runs(self, table: str, outputs: Sequence[str]) -> Iterator[tuple[Any, ...]]:
        """(run, status, user, start, stop, olog, elog, modules, the outputs …) by run; of the same run the finished first."""
        return self._rows(table, (*OWN, *outputs), """ ORDER BY CAST("run" AS INTEGER), "status" IS NOT 'F'""")

    def _rows(self, table: str, columns: Sequence[str], order: str = "") -> Iterator[tuple[Any, ...]]:
        """The one other place where SQL is made from names, which here are data; a column that isn't there is null."""
        there = self.tables[table]
        names = ", ".join(_quoted(there[name]) if name in there else "NULL" for name in columns)
        return self._all(f"SELECT {names} FROM {_quoted(table)}{order}")  # noqa: S608  see above

    def _all(self, query: str, parameters: dict[str, object] | None = None) -> Iterator[tuple[Any, ...]]:
        try:
            yield from self._connection.execute(query, parameters or {})
        except sqlite3.Error as cause:
            raise _error(self._path, cause) from cause


@contextlib.contextmanager
def opened(path: str) -> Iterator[Old]:
    """The old database.

    Raises: UsageError, if there is none, it is none of the old scripts', or it can't be read; also while it is read.
    """
    if not os.path.isfile(path):
        raise errors.UsageError(f"{path} {'is not a file' if os.path.exists(path) else 'is not there'}")
    try:
        connection = _connect(path)
    except sqlite3.Error as cause:
        raise _error(path, cause) from cause
    with contextlib.closing(connection):
        yield Old(path, connection)


def _connect(path: str) -> sqlite3.Connection:
    if _still(path):
        return _look(path, "mode=ro&immutable=1")
    return _look(path, "mode=ro")


def _still(path: str) -> bool:
    """Whether nobody works on it, and looking would make files beside it, which stay: a write-ahead log without its log.

    Its header says so (SQLite file format 1.3.3).
    """
    if os.path.exists(os.path.realpath(path) + "-wal"):
        return False
    try:
        with open(path, "rb") as file:
            return file.read(20)[18:] == b"\2\2"
    except OSError as cause:
        raise errors.UsageError(f"{path}: {cause.strerror}") from cause


def _look(path: str, mode: str) -> sqlite3.Connection:
    name = os.path.realpath(path).replace("%", "%25").replace("?", "%3f").replace("#", "%23")
    connection = sqlite3.connect(f"file:{name}?{mode}", uri=True, isolation_level=None, timeout=PATIENCE)
    try:
        connection.text_factory = _text
        connection.execute("BEGIN")
        (application,) = connection.execute("PRAGMA application_id").fetchone()
        if application == sqlite.APPLICATION_ID:
            raise errors.UsageError(f"{path} is a database of this program already; nothing has to be imported")
        (state,) = connection.execute("PRAGMA quick_check(1)").fetchone()
        if state != "ok":
            raise sqlite3.DatabaseError(str(state).replace("\n", " "))
    except BaseException:
        connection.close()
        raise
    return connection


def _text(content: bytes) -> str | bytes:
    """Text that is no UTF-8, a path with an umlaut of its own, is kept to the byte."""
    try:
        return content.decode("utf-8")
    except UnicodeDecodeError:
        return content


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


def _is(cause: sqlite3.Error, *codes: int) -> bool:
    """Primary result codes are the low byte of the extended ones."""
    return getattr(cause, "sqlite_errorcode", 0) & 0xFF in codes


def _error(path: str, cause: sqlite3.Error) -> errors.UsageError:
    if _is(cause, sqlite3.SQLITE_NOTADB):
        return errors.UsageError(f"{path} is not an SQLite database")
    if _is(cause, sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED):
        return errors.UsageError(f"{path}: somebody is writing to it; stop the old scripts, then import")
    if _is(cause, sqlite3.SQLITE_READONLY, sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_PERM):
        return errors.UsageError(
            f"{path}: can't be read here ({cause}); copy it, and a -wal or -journal that stands beside it, to a directory "
            "that you may write, and import the copy"
        )
    return errors.UsageError(
        f"{path}: {cause}; it is damaged: save what can be read with: sqlite3 '{path}' .recover | sqlite3 SAVED.db"
    )
