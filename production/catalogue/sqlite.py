"""The catalogue in one SQLite file, shared by all managers and users.

``Database.write`` holds the only ``BEGIN IMMEDIATE … COMMIT``. (``with connection:`` alone locks nothing until the first
change: that is how the old scripts gave one run to two people.)
"""

from __future__ import annotations

import contextlib
import dataclasses
import datetime
import os
import resource
import signal
import sqlite3
import time
from collections.abc import Iterator
from typing import TYPE_CHECKING

from production import clock, errors
from production import run as runs
from production.catalogue import books, line, place, reading, records, sql

# What only writing needs is imported there: who asks how many runs are where shouldn't wait for it.
if TYPE_CHECKING:
    from production.catalogue import change

APPLICATION_ID = 1919971430
"""Marks our files (SQLite file format 1.3.14); also in schema.sql."""

VERSION = 4
"""Of schema.sql; earlier ones are brought up to it by the first who writes."""

PATIENCE = 20.0
"""Seconds that one transaction waits for its turn, below a quarter of any sensible lease."""
_SHORT = 0.5
"""Seconds that SQLite waits by itself while a database is opened."""
_SOME = 10_000
"""Rows of a long answer that are held at a time."""


def create(path: str, now: datetime.datetime) -> None:
    """Make a new, empty database; never over anything that is there.

    Raises: UsageError.
    """
    with making(path, now):
        pass


@contextlib.contextmanager
def making(path: str, now: datetime.datetime) -> Iterator[sqlite3.Connection]:
    """A new database to be filled in one transaction: it is there whole when the block has ended well, or not at all.

    Raises: UsageError.
    """
    import secrets

    directory = os.path.dirname(os.path.realpath(path)) or "."
    unfinished = f"{os.path.realpath(path)}.making-{os.getpid()}"
    try:
        if not os.path.isdir(directory):
            raise errors.UsageError(
                f"{path} can't be made: there is no directory {directory}; mend: mkdir -p '{directory}'"
            )
        if os.path.lexists(path):
            raise errors.UsageError(f"{path} exists already; nothing was changed")
        with contextlib.closing(sqlite3.connect(unfinished, isolation_level=None)) as connection:
            connection.execute("PRAGMA journal_mode = MEMORY")  # if we are killed there is nothing to go back to
            connection.execute("PRAGMA cache_size = -65536")  # kB; a million runs are brought in one transaction
            connection.execute("PRAGMA foreign_keys = ON")
            connection.executescript("BEGIN;" + sql.read("schema.sql"))
            connection.execute(sql.SQL.new_catalogue, {"id": secrets.token_hex(4), "now": clock.text(now)})
            yield connection
            connection.execute("COMMIT")
        mode = place.mode_for(directory)
        if mode is not None:
            os.chmod(unfinished, mode)
        os.link(unfinished, os.path.realpath(path))  # fails if somebody was faster
    except FileExistsError:
        raise errors.UsageError(f"{path} exists already; nothing was changed") from None
    except OSError as cause:
        raise errors.UsageError(f"{path} can't be made: {cause.strerror or cause}") from cause
    except sqlite3.Error as cause:
        raise errors.UsageError(f"{path} can't be made: {cause}") from cause
    finally:
        with contextlib.suppress(OSError):
            os.unlink(unfinished)


@dataclasses.dataclass(frozen=True, slots=True)
class Health:
    """How a database is."""

    version: int
    """Of its schema."""
    journal: str
    bytes: int
    damage: str
    """What SQLite's quick check said first; empty if it found nothing, or wasn't asked."""


class Database(reading.Reading):
    """An open database; see ``library.Library``."""

    _connection: sqlite3.Connection

    def __init__(
        self, path: str, *, read_only: bool = False, patience: float = PATIENCE, opening: float = PATIENCE
    ) -> None:
        """Looks only; what writing needs is made by the first ``write``.

        ``patience`` is a transaction's, ``opening`` that of the first look.
        Raises: UsageError, if it isn't there or isn't ours; CatalogueBusy.
        """
        if not os.path.isfile(path):
            what = "is not a file" if os.path.exists(path) else "is not there"
            raise errors.UsageError(
                f"database {path} {what}; is the path right? A new one is made by: production init FILE"
            )
        self.place = place.look(path)
        self._patience = patience
        self._line: line.Line | None = None
        self._ready = False
        self._current = False
        """Whether the database has our schema, as far as we have looked."""
        self._connection = _open_patiently(self.place, read_only, min(patience, opening))
        # While it works, it waits in line, or with jitter.
        self._connection.execute(f"PRAGMA busy_timeout = {int(min(1.0, patience) * 1000)}")
        super().__init__(self._connection)
        self.records = records.Records(self._all_now, self._each_now)
        """What people ask."""
        self.books = books.Books(self._all_now)
        """What an audit asks."""
        self.id = self._identity()
        """Makes names unique between databases."""

    def _identity(self) -> str:
        rows = self._all(sql.SQL.identity)
        if len(rows) != 1:
            self.close()
            raise errors.UsageError(
                f"{self.place.path} has no id of its own: it was not made by production init; make one so, or restore a copy"
            )
        return str(rows[0][0])

    @contextlib.contextmanager
    def write(self, owner: runs.Owner | None = None) -> Iterator[change.Change]:
        """See ``base.Catalogue.write``. A Ctrl-Z waits for its end: who sleeps with the lock stops everybody."""
        from production.catalogue import change

        end = time.monotonic() + self._patience
        self.check_place()
        self._make_ready()
        held = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTSTP})
        try:
            with self._line.turn(self._patience) if self._line else contextlib.nullcontext():
                self._begin(end)
                try:
                    self._bring_up_to_date()
                    self._check_lease(owner)
                    yield change.Change(self._connection)
                    self._connection.execute("COMMIT")
                except BaseException:
                    with contextlib.suppress(sqlite3.Error):
                        self._connection.execute("ROLLBACK")
                    raise
        except sqlite3.Error as cause:
            raise self._error(cause) from cause
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, held)

    @contextlib.contextmanager
    def locked(self, patience: float) -> Iterator[None]:
        """Keep everybody from writing, change nothing: to see that locks work. Not in the line, as who stands there waits.

        Raises: CatalogueBusy, after so many seconds; CatalogueError.
        """
        try:
            self._begin(time.monotonic() + patience)
        except sqlite3.Error as cause:
            raise self._error(cause) from cause
        try:
            yield
        finally:
            self._connection.execute("ROLLBACK")

    def health(self, most: int) -> Health:
        """How it is; one of up to so many bytes is read through. Raises: CatalogueError."""
        size = os.stat(self.place.path).st_size
        try:
            version, journal = (
                self._connection.execute(f"PRAGMA {pragma}").fetchone()[0]
                for pragma in ("user_version", "journal_mode")
            )
            checked = self._connection.execute("PRAGMA quick_check(1)").fetchone()[0] if size <= most else "ok"
        except sqlite3.Error as cause:
            raise self._error(cause) from cause
        return Health(version, journal.upper(), size, "" if checked == "ok" else checked)

    def check_place(self) -> None:
        """What is written must be where others read it, and what is read where others write. Raises: CatalogueError."""
        try:
            there = os.stat(self.place.path).st_ino
        except OSError:
            there = 0
        if there != self.place.inode:
            raise errors.CatalogueError(
                f"{self.place.path} is not the database that was opened: it was moved or replaced"
            )

    def _make_ready(self) -> None:
        if self._ready:
            return
        try:
            self._connection.execute(f"PRAGMA journal_mode = {self.place.journal}")
        except sqlite3.Error as cause:
            raise self._error(cause) from cause
        if not self.place.network:
            self._line = line.Line(self.place.path)
        self._ready = True

    def _begin(self, end: float) -> None:
        import random

        while True:
            try:
                self._connection.execute("BEGIN IMMEDIATE")
                return
            except sqlite3.OperationalError as cause:
                if not _is(cause, sqlite3.SQLITE_BUSY) or time.monotonic() > end:
                    raise
                time.sleep(random.uniform(0.001, 0.02))  # noqa: S311  jitter, not a secret

    def _bring_up_to_date(self) -> None:
        """Once, at the first write; see migrations.sql."""
        if self._current:
            return
        version = self._connection.execute("PRAGMA user_version").fetchone()[0]
        if version < VERSION:
            from production.catalogue import migration

            migration.bring_up(self._connection, version, VERSION)
        self._current = True

    def _check_lease(self, owner: runs.Owner | None) -> None:
        if owner is not None and self._first(sql.SQL.alive, owner=owner.id) is None:
            raise errors.LostLease("another manager took over our runs while we were asleep; leaving them alone")

    def is_current(self) -> bool:
        """Whether it has our schema; else it has that of an earlier version, until somebody writes."""
        if not self._current:
            self._current = self._pragma("user_version") >= VERSION
        return self._current

    def data_version(self) -> int:
        """See ``library.Library``."""
        return self._pragma("data_version")

    def interrupt(self) -> None:
        """See ``library.Library``. The only thing that another thread may do."""
        self._connection.interrupt()

    def _pragma(self, name: str) -> int:
        [(number,)] = self._all(f"PRAGMA {name}")
        return int(str(number))

    def _all_now(self, query: str, **parameters: object) -> list[tuple[object, ...]]:
        """What people ask."""
        self._must_be_current()
        return self._all(query, **parameters)

    def _each_now(self, query: str, **parameters: object) -> Iterator[list[tuple[object, ...]]]:
        """The same for a long answer: rows as they come."""
        self._must_be_current()
        try:
            with contextlib.closing(self._connection.execute(query, parameters)) as cursor:
                while rows := cursor.fetchmany(_SOME):
                    yield rows
        except sqlite3.Error as cause:
            raise self._error(cause) from cause

    def _must_be_current(self) -> None:
        """What people ask needs our schema. Raises: UsageError."""
        if not self.is_current():
            raise errors.UsageError(
                f"{self.place.path} is of an earlier version of run_production; bring it up to date with: production upgrade"
            )

    def _all(self, query: str, **parameters: object) -> list[tuple[object, ...]]:
        try:
            return super()._all(query, **parameters)
        except sqlite3.Error as cause:
            raise self._error(cause) from cause

    def _error(self, cause: sqlite3.Error) -> errors.CatalogueError:
        message = _plain(self.place.path, cause)
        if _is(cause, sqlite3.SQLITE_INTERRUPT):
            return errors.Interrupted(f"{self.place.path}: the question was broken off")
        if _is(cause, sqlite3.SQLITE_BUSY) or _is(cause, sqlite3.SQLITE_LOCKED):
            return errors.CatalogueBusy(message)
        disk = os.statvfs(os.path.dirname(self.place.path))
        if _is(cause, sqlite3.SQLITE_FULL) or (
            _is(cause, sqlite3.SQLITE_IOERR) and disk.f_bavail * disk.f_frsize < 1 << 20
        ):
            return errors.CatalogueFull(f"{self.place.path}: no disk left for the database")
        return errors.CatalogueError(message)

    def close(self) -> None:
        self._connection.close()
        if self._line:
            self._line.close()


def _open_patiently(where: place.Place, read_only: bool, patience: float) -> sqlite3.Connection:
    """Raises: CatalogueBusy, after so many seconds; UsageError."""
    end = time.monotonic() + patience
    while True:
        try:
            # One after the other: a Ctrl-C is heard only when SQLite's own wait is over.
            return _open(where, read_only, min(_SHORT, max(0.0, end - time.monotonic())))
        except errors.CatalogueBusy:
            if time.monotonic() >= end:
                raise


def _open(where: place.Place, read_only: bool, patience: float) -> sqlite3.Connection:
    """A connection to a database that has been seen to be ours."""
    try:
        try:
            return _connect(where, f"mode={'ro' if read_only else 'rw'}", patience)
        except sqlite3.OperationalError as cause:
            looking = read_only and (_is(cause, sqlite3.SQLITE_READONLY) or _is(cause, sqlite3.SQLITE_CANTOPEN))
            if not looking or os.path.exists(where.path + "-wal"):
                raise
            # Nobody works on it, and we may not make the files that looking needs: then it is as still as a stone.
            return _connect(where, "mode=ro&immutable=1", patience)
    except sqlite3.Error as cause:
        error = errors.CatalogueBusy if _is(cause, sqlite3.SQLITE_BUSY) else errors.UsageError
        raise error(_plain(where.path, cause)) from cause


def _connect(where: place.Place, mode: str, patience: float) -> sqlite3.Connection:
    name = where.path.replace("%", "%25").replace("?", "%3f").replace("#", "%23")
    connection = sqlite3.connect(
        f"file:{name}?{mode}", uri=True, isolation_level=None, timeout=patience, check_same_thread=False
    )
    try:
        connection.execute("PRAGMA foreign_keys = ON")
        connection.execute("PRAGMA recursive_triggers = ON")  # bases of bases
        connection.execute("PRAGMA synchronous = FULL")
        _check(where.path, connection)
    except BaseException:
        connection.close()
        raise
    return connection


def _check(path: str, connection: sqlite3.Connection) -> None:
    application, version = (
        connection.execute(f"PRAGMA {pragma}").fetchone()[0] for pragma in ("application_id", "user_version")
    )
    if application != APPLICATION_ID:
        tables = {row[0] for row in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
        if "productions" in tables or any(name.endswith("datasets") for name in tables):
            raise errors.UsageError(
                f"{path} is a database of the old scripts; bring it over with: production import {path} NEW.db"
            )
        if os.path.getsize(path) == 0:
            raise errors.UsageError(f"{path} is empty, no database yet: remove it, then: production init {path}")
        raise errors.UsageError(f"{path} is not a production database; make one with: production init FILE")
    if not 1 <= version <= VERSION:
        raise errors.UsageError(
            f"{path} has schema version {version}, this program knows 1 to {VERSION}; update run_production"
        )


def _is(cause: sqlite3.Error, code: int) -> bool:
    """Primary result codes are the low byte of the extended ones."""
    return getattr(cause, "sqlite_errorcode", 0) & 0xFF == code


def _plain(path: str, cause: sqlite3.Error) -> str:
    longest = resource.getrlimit(resource.RLIMIT_FSIZE)[0]
    if _is(cause, sqlite3.SQLITE_IOERR) and longest != resource.RLIM_INFINITY:
        return f"{path}: {cause}; files may have {longest >> 10} kB here: raise ulimit -f"
    if _is(cause, sqlite3.SQLITE_CANTOPEN):
        return f"{path}: can't be opened; its directory must be writable: chmod g+rwxs '{os.path.dirname(path)}'"
    if _is(cause, sqlite3.SQLITE_READONLY):
        return f"{path}: may not be written by you; mend: chmod g+w '{path}'"
    if _is(cause, sqlite3.SQLITE_NOTADB) or _is(cause, sqlite3.SQLITE_CORRUPT):
        return f"{path}: {cause}; is it the right file? If so, restore it from a copy"
    if _is(cause, sqlite3.SQLITE_BUSY):
        return f"{path}: somebody else holds the database's lock"
    return f"{path}: {cause}"
