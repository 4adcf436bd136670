"""SQLite sits the exam."""

from __future__ import annotations

import contextlib
import itertools
import pathlib
import sqlite3
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from production.catalogue import base, sqlite
from tests.exams import catalogue
from tests.fakes import clock


class Subject:
    """One file."""

    def __init__(self, path: pathlib.Path, ends: contextlib.ExitStack) -> None:
        self.path = path
        self._ends = ends
        sqlite.create(str(path), clock.START)

    def open(self) -> base.Catalogue:
        return self._ends.enter_context(contextlib.closing(sqlite.Database(str(self.path))))

    def shell(self, statement: str) -> list[tuple[Any, ...]]:
        with contextlib.closing(sqlite3.connect(self.path, isolation_level=None)) as connection:
            return connection.execute(statement).fetchall()


@pytest.fixture(scope="module")
def make(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[[], Subject]]:
    directory, number = tmp_path_factory.mktemp("catalogues"), itertools.count()
    with contextlib.ExitStack() as ends:
        yield lambda: Subject(directory / f"{next(number)}.db", ends)


class TestSqlite(catalogue.Exam):
    """The exam."""
