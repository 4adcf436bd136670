"""The named queries: text of this room's files, and what we need of a connection to use them."""

from __future__ import annotations

import functools
import os
import re
import types
from typing import Any, Protocol

_HEADING = re.compile(r"^-- (\w+) --$", re.MULTILINE)


def read(name: str) -> str:
    """Text of a file of this room; it is package data."""
    # not by importlib.resources, which costs a third of what "status" may; the package is never zipped (setup.cfg)
    with open(os.path.join(os.path.dirname(os.path.abspath(__file__)), name), encoding="utf-8") as file:
        return file.read()


@functools.cache
def queries(name: str) -> types.SimpleNamespace:
    """The queries of a file by their names; comments stay in the file."""
    parts = _HEADING.split(read(name))[1:]
    found = {
        name: "\n".join(line for line in body.splitlines() if not line.startswith("--")).strip()
        for name, body in zip(parts[::2], parts[1::2], strict=True)
    }
    return types.SimpleNamespace(**found)


SQL = queries("queries.sql")


class Connection(Protocol):
    """What we need of a database connection (PEP 249, as sqlite3 has it)."""

    def execute(self, sql: str, parameters: Any = ..., /) -> Any: ...
    def executemany(self, sql: str, parameters: Any, /) -> Any: ...
    def close(self) -> None: ...
