"""Databases of earlier versions of schema.sql become ones of this; see migrations.sql."""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Iterator

from production.catalogue import sql

_STEPS = vars(sql.queries("migrations.sql"))
_CREATES = re.compile(r"(?:--[^\n]*\n|\s)*CREATE (TABLE|INDEX|TRIGGER) (\w+)")


def bring_up(connection: sql.Connection, before: int, after: int) -> None:
    """From one version to another, in the caller's transaction."""
    versions = range(before, after)
    _execute(connection, (_STEPS.get(f"from_{version}", "") for version in versions))
    _complete(connection)
    _execute(connection, (_STEPS.get(f"fill_{version}", "") for version in versions))
    connection.execute(f"PRAGMA user_version = {int(after)}")


def _execute(connection: sql.Connection, texts: Iterator[str]) -> None:
    for text in texts:
        for statement in _statements(text):
            connection.execute(statement)


def _complete(connection: sql.Connection) -> None:
    """Make what is missing as schema.sql has it; triggers anew, as they may say something else now."""
    there = {row[0] for row in connection.execute("SELECT name FROM sqlite_master")}
    for statement in _statements(sql.read("schema.sql")):
        created = _CREATES.match(statement)
        if created is None:
            continue
        kind, name = created.groups()
        if kind == "TRIGGER":
            connection.execute(f"DROP TRIGGER IF EXISTS {name}")
        if kind == "TRIGGER" or name not in there:
            connection.execute(statement)


def _statements(text: str) -> Iterator[str]:
    """One by one; a trigger has semicolons of its own."""
    statement = ""
    for line in text.splitlines(keepends=True):
        statement += line
        if sqlite3.complete_statement(statement):
            yield statement
            statement = ""
