"""One layer of the settings, a file or the flags, and the place in it that an error message names.

``settings`` reads the layers, ``values`` says of each value whether it may be, both complain through ``Place``.
"""

from __future__ import annotations

import dataclasses
import json
import os
import re
import stat
import tomllib
from collections.abc import Mapping, Sequence
from typing import Any

from production import errors
from production.settings import toml_errors, toml_lines

LONGEST = 4 * 1024 * 1024
"""Bytes; what is longer is no settings file."""

_MAY_HOLD_PASSWORD = ("archive", "database")


@dataclasses.dataclass(frozen=True, slots=True)
class Layer:
    """What one file, or the command line, says."""

    name: str
    """The file as the user is told of it; empty for the flags."""
    path: str
    """The file's own, absolute; for the flags where they were typed."""
    home: str
    table: Mapping[str, object]
    lines: Mapping[toml_lines.Key, int] = dataclasses.field(default_factory=dict)
    shipped: bool = False
    """The definitions that came with the product: their scripts stand in ``sge_scripts``."""

    @property
    def is_flags(self) -> bool:
        return not self.name

    @property
    def directory(self) -> str:
        """Where relative paths start."""
        return self.path if self.is_flags else os.path.dirname(self.path)


@dataclasses.dataclass(frozen=True, slots=True)
class Place:
    """A key in a layer; as text ``production.toml:12: programs.alcapana.script`` or ``--nproc=0``."""

    layer: Layer
    key: toml_lines.Key = ()

    def inside(self, part: str | int) -> Place:
        return Place(self.layer, (*self.key, part))

    def wrong(self, problem: str) -> errors.UsageError:
        """The error to raise when the key itself, or what it says, is wrong."""
        return errors.UsageError(f"{self}: {problem}")

    def refuse(self, value: object, rule: str) -> errors.UsageError:
        """The error to raise when the value is not what the rule says."""
        shown = "" if self.layer.is_flags else f"{show(value)} is "
        return self.wrong(f"{shown}not allowed; {rule}")

    def __str__(self) -> str:
        if self.layer.is_flags:
            return self._flag()
        line = next((self.layer.lines[key] for key in _upwards(self.key) if key in self.layer.lines), None)
        where = self.layer.name if line is None else f"{self.layer.name}:{line}"
        return f"{where}: {key_text(self.key)}"

    def _flag(self) -> str:
        name = str(self.key[0])
        value = self.layer.table.get(name)
        if isinstance(value, bool) or name in _MAY_HOLD_PASSWORD:
            return f"--{name}"
        text = str(value)
        return f"--{name}={text if text.isprintable() else show(text)}"


def _upwards(key: toml_lines.Key) -> list[toml_lines.Key]:
    return [key[:end] for end in range(len(key), 0, -1)]


def key_text(key: toml_lines.Key) -> str:
    """The key as it would be written in a file: ``programs.alcapana.arguments[2]``."""
    text = ""
    for part in key:
        if isinstance(part, int):
            text += f"[{part}]"
        else:
            bare = re.fullmatch(r"[A-Za-z0-9_-]+", part)
            text += ("." if text else "") + (part if bare else json.dumps(part, ensure_ascii=False))
    return text


def show(value: object) -> str:
    """A value for a message: short, on one line, as TOML writes it."""
    if isinstance(value, str | bool):
        text = json.dumps(value, ensure_ascii=False)
        return text if len(text) <= 60 else text[:56] + '..."'
    if isinstance(value, Mapping):
        return "a table"
    if isinstance(value, Sequence):
        return "an array"
    return str(value)


def read(path: str, name: str, home: str, *, required: bool = False, shipped: bool = False) -> Layer | None:
    """The layer in a file; None if there is no such file and it isn't required.

    Raises: UsageError: it can't be read, or isn't TOML; names the file, and the line.
    """
    content = _content(path, name, required)
    if content is None:
        return None
    if len(content) > LONGEST:
        raise errors.UsageError(
            f"{name}: too long for a settings file, more than {LONGEST} bytes; is it the right one?"
        )
    text = _decoded(content, name)
    table = _parsed(text, name)
    return Layer(name, path, home, table, toml_lines.find(text), shipped)


def _content(path: str, name: str, required: bool) -> bytes | None:
    """The file's bytes; None if there is none, and needn't be. Raises: UsageError."""
    try:
        # A pipe that nobody writes into would keep us for ever.
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC)
        with open(descriptor, "rb") as file:
            kind = os.fstat(descriptor).st_mode
            if not stat.S_ISREG(kind):
                what = "a directory" if stat.S_ISDIR(kind) else "no regular file"
                raise errors.UsageError(f"{name}: {what}; move it away, or write the settings there")
            return file.read(LONGEST + 1)
    except IsADirectoryError as error:
        raise errors.UsageError(f"{name}: a directory; move it away, or write the settings there") from error
    except (FileNotFoundError, NotADirectoryError) as error:
        if os.path.islink(path):
            raise errors.UsageError(
                f"{name}: a symbolic link to nothing ({os.readlink(path)}); mend or remove it"
            ) from error
        if not required:
            return None
        raise errors.UsageError(f"{name}: no such file") from error
    except PermissionError as error:
        raise errors.UsageError(f"{name}: may not be read by you; mend: chmod a+r {name}") from error
    except OSError as error:
        raise errors.UsageError(f"{name}: cannot be read: {error.strerror}; mend it or move it away") from error


def _decoded(content: bytes, name: str) -> str:
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise toml_errors.not_text(content, error, name) from error


def _parsed(text: str, name: str) -> dict[str, Any]:
    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise toml_errors.explained(error, text, name) from error
    except RecursionError as error:
        raise errors.UsageError(f"{name}: cannot be read: too many brackets in each other") from error
    except ValueError as error:
        raise errors.UsageError(f"{name}: cannot be read: {error}") from error


def merge(lower: Mapping[str, Any], upper: Mapping[str, Any]) -> dict[str, Any]:
    """Both, key by key; tables are merged, whatever else ``upper`` says replaces what ``lower`` said."""
    merged = dict(lower)
    for key, value in upper.items():
        below = merged.get(key)
        merged[key] = merge(below, value) if isinstance(below, dict) and isinstance(value, dict) else value
    return merged


def origin(layers: Sequence[Layer], key: toml_lines.Key) -> Place:
    """Where the merged settings have this key from; if it is nobody's, where they have its table from."""
    for shorter in _upwards(key):
        for layer in reversed(layers):
            if not layer.is_flags and _has(layer.table, shorter):
                return Place(layer, key)
    return Place(layers[0], key)


def _has(value: Any, key: toml_lines.Key) -> bool:
    for part in key:
        try:
            value = value[part]
        except (LookupError, TypeError):  # the table, or the array, ends here; or it is neither
            return False
    return True
