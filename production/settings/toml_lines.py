"""Where each key of a TOML text stands: ``tomllib`` reads the values, this finds the lines for the error messages.

It walks over a text that ``tomllib`` has already accepted, so it needs no grammar of values: only where strings,
comments and brackets end.
"""

from __future__ import annotations

import re
import tomllib

Key = tuple[str | int, ...]
"""``("programs", "alcapana", "arguments", 2)``; a number is a place in an array."""

_BLANK = re.compile(r"(?:[ \t\r\n]+|#[^\n]*)*")
_SPACE = re.compile(r"[ \t]*")
_BARE = re.compile(r"[A-Za-z0-9_-]+")
_STRING = re.compile(
    r'"""(?:\\.|[^\\])*?"{3,5}(?!")'
    r"|'''.*?'{3,5}(?!')"
    r'|"(?:\\.|[^"\\\n])*"'
    r"|'[^'\n]*'",
    re.DOTALL,
)
_SCALAR = re.compile(r"[^\s,\]}#]+(?: [0-9:.]+(?:Z|[+-][0-9:]+)?)?")  # a date and its time may be a space apart


class _Lost(Exception):
    """The walk met what it doesn't know; what was found until here stands."""


class _Walk:
    """One walk through a text, from key to key."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.position = 0
        self.line = 1
        self.lines: dict[Key, int] = {}

    def take(self, pattern: re.Pattern[str]) -> str:
        """Step over what the pattern matches here, counting its lines."""
        found = pattern.match(self.text, self.position)
        if found is None:
            raise _Lost
        self.position = found.end()
        self.line += found[0].count("\n")
        return found[0]

    def at(self, mark: str) -> bool:
        """Step over ``mark`` if it stands here."""
        if not self.text.startswith(mark, self.position):
            return False
        self.position += len(mark)
        return True

    def document(self) -> None:
        header: Key = ()
        self.take(_BLANK)
        while self.position < len(self.text):
            if self.at("["):
                self.at("[")
                line = self.line
                header = self.key()
                self.note(header, line)
                # The header is where people look for the table, also if a part of it stood somewhere before.
                self.lines[header] = line
                self.at("]")
                self.at("]")
            else:
                self.entry(header)
            self.take(_BLANK)

    def entry(self, table: Key) -> None:
        line = self.line
        key = table + self.key()
        self.note(key, line)
        if not self.at("="):
            raise _Lost
        self.take(_SPACE)
        self.value(key)

    def key(self) -> Key:
        parts = [self.part()]
        while self.at("."):
            parts.append(self.part())
        return tuple(parts)

    def part(self) -> str:
        self.take(_SPACE)
        if self.text[self.position : self.position + 1] in ('"', "'"):
            part = str(tomllib.loads("key = " + self.take(_STRING))["key"])
        else:
            part = self.take(_BARE)
        self.take(_SPACE)
        return part

    def value(self, key: Key) -> None:
        if self.at("["):
            self.array(key)
        elif self.at("{"):
            self.inline_table(key)
        elif self.text[self.position : self.position + 1] in ('"', "'"):
            self.take(_STRING)
        else:
            self.take(_SCALAR)

    def array(self, key: Key) -> None:
        number = 0
        self.take(_BLANK)
        while not self.at("]"):
            self.note((*key, number), self.line)
            self.value((*key, number))
            self.take(_BLANK)
            self.at(",")
            self.take(_BLANK)
            number += 1

    def inline_table(self, key: Key) -> None:
        self.take(_BLANK)
        while not self.at("}"):
            self.entry(key)
            self.take(_BLANK)
            self.at(",")
            self.take(_BLANK)

    def note(self, key: Key, line: int) -> None:
        """Remember the key, and its tables where they are first spoken of."""
        for end in range(1, len(key) + 1):
            self.lines.setdefault(key[:end], line)


def find(text: str) -> dict[Key, int]:
    """The line, from 1, of every key in a text that ``tomllib.loads`` accepts.

    Never fails: where it loses its way it ends with what it has.
    """
    walk = _Walk(text.replace("\r\n", "\n"))
    try:
        walk.document()
    except (_Lost, RecursionError, tomllib.TOMLDecodeError):
        pass  # a message with the table's line, or none, is better than no message
    return walk.lines
