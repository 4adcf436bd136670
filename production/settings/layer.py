"""One layer of the settings, a file or the flags, and the place in it that an error message names.

``settings`` reads the layers, ``values`` says of each value whether it may be, both complain through ``Place``.
"""

from __future__ import annotations

import dataclasses
import json
import os
import re
import tomllib
from collections.abc import Mapping, Sequence
from typing import Any

from production import errors
from production.settings import toml_lines

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
    try:
        with open(path, "rb") as file:
            content = file.read(LONGEST + 1)
    except (FileNotFoundError, NotADirectoryError) as error:
        if not required:
            return None
        raise errors.UsageError(f"{name}: no such file") from error
    except OSError as error:
        raise errors.UsageError(f"{name}: cannot be read: {error.strerror}") from error
    if len(content) > LONGEST:
        raise errors.UsageError(f"{name}: too long for a settings file, more than {LONGEST} bytes")
    text = _decoded(content, name)
    table = _parsed(text, name)
    return Layer(name, path, home, table, toml_lines.find(text), shipped)


def _decoded(content: bytes, name: str) -> str:
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise errors.UsageError(f"{name}:{line}: not UTF-8 text") from error


def _parsed(text: str, name: str) -> dict[str, Any]:
    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        problem, _, at = str(error).rpartition(" (at ")
        found = re.match(r"line (\d+), column (\d+)", at)
        line = found[1] if found else str(text.count("\n") + 1)
        column = f" (column {found[2]})" if found else " (end of the file)"
        raise errors.UsageError(f"{name}:{line}: {problem or error}{column}") from error
    except (ValueError, RecursionError) as error:
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
