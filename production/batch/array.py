"""The script of an array job, and its manifest: which attempt each of its jobs is.

In come the tasks of one array, out go a file beside their tickets and the text that is submitted. The text is, in this
order: option lines of the user's script, where the manifest is, ``array.sh``, ``wrapper.sh``.

The manifest has a line a job, the first for index 1, of words quoted for sh::

    MARK STDOUT STDERR [NAME=VALUE...] -- TICKET WITNESS DIRECTORY [SCRATCH...] -- SCRIPT [ARGUMENT...]
"""

from __future__ import annotations

import os
import re
import shlex
from collections.abc import Iterable

from production import disk, errors
from production.batch import base, scheduler

LONGEST = 1 << 16
"""Bytes at the beginning of a job script in which option lines are looked for."""

_HERE = os.path.dirname(os.path.abspath(__file__))
_PLAIN = re.compile(r"[\w.@%+=:,-]+", re.ASCII)
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")


def script(manifest: str, options: Iterable[str], dialect: scheduler.Dialect) -> bytes:
    """What is submitted. ``options`` are lines of ``options_of``."""
    array, index = dialect.variables
    # An id is the array's, a sign and the index; which sign the dialect says.
    join = dialect.job("", 1).removesuffix("1")
    known = f"rp_manifest={shlex.quote(manifest)} rp_array=${array} rp_index=${index} rp_join={shlex.quote(join)}"
    lines = ["#!/bin/sh", *options, known, text("array.sh"), text("wrapper.sh")]
    return os.fsencode("\n".join(lines))


def options_of(script: str, dialect: scheduler.Dialect) -> tuple[str, ...]:
    """Lines of a user's job script that are options to the batch system, without those that would hurt.

    They stand in the comments that it begins with. A script that can't be read has none: its job will say so.

    Raises: SubmitRefused: it takes its runs from the numbers of an array of its own.
    """
    try:
        with disk.reading(script) as (descriptor, _):
            text = os.fsdecode(os.read(descriptor, LONGEST))
    except (OSError, disk.Trouble):
        return ()
    found = []
    for line in text.split("\n"):
        if line.strip() and not line.startswith("#"):
            break
        if not line.startswith(dialect.prefix):
            continue
        words = _words(line.removeprefix(dialect.prefix))
        if dialect.own_array(words):
            raise errors.SubmitRefused(
                f"{disk.shown(script)} makes an array of its own ({line.strip()}), so its task numbers would not be the"
                " runs: take that line out, and the run from the arguments"
            )
        if not dialect.unwanted(words):
            found.append(line.rstrip())
    return tuple(found)


def manifest(lines: Iterable[str]) -> bytes:
    """The manifest of these lines of ``line``."""
    return os.fsencode("".join(each + "\n" for each in lines))


def line(task: base.Task) -> str:
    """What the manifest says of a task.

    Raises: SubmitRefused: sh couldn't read it.
    """
    variables = [f"{name}={value}" for name, value in task.environment]
    words = [
        task.mark, task.stdout, task.stderr, *variables, "--",
        task.ticket, task.witness, task.directory, *task.scratch, "--", *task.argv,
    ]  # fmt: skip
    if any("\0" in word for word in words):
        raise errors.SubmitRefused(f"run {task.run} can't be started: embedded null byte in its arguments or paths")
    wrong = [name for name, _ in task.environment if not _NAME.fullmatch(name)]
    if wrong or not _PLAIN.fullmatch(task.mark):
        raise errors.SubmitRefused(f"run {task.run} can't be started: {(wrong or [task.mark])[0]!r} is no name to sh")
    return " ".join(map(quoted, words))


def marks(manifest: Iterable[bytes]) -> list[str]:
    """The marks of a manifest's lines, index 1 first."""
    return [os.fsdecode(line.split(b" ", 1)[0]) for line in manifest]


def name(submission: str, number: int) -> str:
    """What the array of this number (from 1) of a submission is called."""
    return submission if number == 1 else f"{submission}.{number}"


def quoted(word: str) -> str:
    """One word for sh, on one line: a newline inside of the quotes leaves them for a moment."""
    return shlex.quote(word).replace("\n", "'\"$rp_newline\"'")


def _words(line: str) -> list[str]:
    try:
        return shlex.split(line, comments=True)
    except ValueError:
        return line.split()


def text(file: str) -> str:
    """A script of this room."""
    with open(os.path.join(_HERE, file), encoding="utf-8") as source:
        return source.read()
