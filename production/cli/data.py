"""The data directory at the door: is it there, may we write it, and is it our database's?"""

from __future__ import annotations

import contextlib
import errno
import os

from production import errors

_OF_DATABASE = ".run_production"
"""In the data directory: a symbolic link to nothing, but its text is the id of its database, and where that is."""


def real(data: str) -> str:
    """The real path of the data directory, which is there or can be made; makes nothing.

    Raises: UsageError.
    """
    there = data
    while not os.path.lexists(there):
        there = os.path.dirname(there)
    if not os.path.isdir(there):
        raise errors.UsageError(f"data {data}: {there} is not a directory")
    if not os.access(there, os.W_OK | os.X_OK):
        raise errors.UsageError(f"data {data}: {there} may not be written by you; mend: chmod g+rwx '{there}'")
    return os.path.realpath(data)


def check(data: str, catalogue: str) -> None:
    """A data directory is of one database: two would remove each other's inputs.

    Raises: UsageError.
    """
    link = os.path.join(data, _OF_DATABASE)
    try:
        owner, _, where = os.readlink(link).partition(" ")
    except FileNotFoundError:
        return
    except OSError as cause:
        what = "is not the mark of a database; move it away" if cause.errno == errno.EINVAL else cause.strerror
        raise errors.UsageError(f"data {data}: {link} {what}") from cause
    if owner != catalogue:
        raise errors.UsageError(
            f"data {data} belongs to another database, {where or owner}; give each database a data directory of its own, "
            f"or go on with that one: --database; if it is gone for good: rm '{link}'"
        )


def mark(data: str, catalogue: str, database: str) -> None:
    """The data directory is there, and ours. A link, because it is made and read in one go on any file system.

    Raises: UsageError.
    """
    try:
        os.makedirs(data, exist_ok=True)
        with contextlib.suppress(FileExistsError):
            os.symlink(f"{catalogue} {database}", os.path.join(data, _OF_DATABASE))
    except OSError as cause:
        raise errors.UsageError(f"data {data} can't be made: {cause.filename}: {cause.strerror}") from cause
    check(data, catalogue)
