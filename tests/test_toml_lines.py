"""The line of every key, in every way TOML lets one write it."""

from __future__ import annotations

import json
import tomllib
from typing import Any

import hypothesis
import pytest
from hypothesis import strategies

from production.settings import toml_lines


def keys(value: Any, key: toml_lines.Key = ()) -> set[toml_lines.Key]:
    """Every key in parsed TOML, places in arrays included."""
    parts = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    below = [keys(one, (*key, part)) for part, one in parts]
    return set().union({key} if key else set(), *below)


@pytest.mark.parametrize(
    ("text", "lines"),
    [
        ("", {}),
        ("# only = 'a comment'\n", {}),
        ("a = 1\n\n# b = 1\nb = 2", {("a",): 1, ("b",): 4}),
        ("\r\na = 1\r\nb = 2\r\n", {("a",): 2, ("b",): 3}),
        ("[t]\nx = 1\n[ t . u ]\ny = 2", {("t",): 1, ("t", "x"): 2, ("t", "u"): 3, ("t", "u", "y"): 4}),
        ("[t.u]\n[t]\nx = 1", {("t",): 2, ("t", "u"): 1, ("t", "x"): 3}),
        ("a.b . c = 1\na.d = 2", {("a",): 1, ("a", "b"): 1, ("a", "b", "c"): 1, ("a", "d"): 2}),
        ('"a.b".\'c d\' = 1', {("a.b",): 1, ("a.b", "c d"): 1}),
        ('"\\u00b5\\"" = 1', {('µ"',): 1}),
        ('["#]"]\nx = 1', {("#]",): 1, ("#]", "x"): 2}),
        ("a = { b = 1, c.d = [2,\n 3] }", {("a",): 1, ("a", "b"): 1, ("a", "c"): 1, ("a", "c", "d"): 1, ("a", "c", "d", 0): 1, ("a", "c", "d", 1): 2}),
        ("a = [\n  # one\n  'x', # two\n\n  'y'\n]\nb = 1", {("a",): 1, ("a", 0): 3, ("a", 1): 5, ("b",): 7}),
        ("a = [[1],\n[2, { b = 3 }]]", {("a",): 1, ("a", 0): 1, ("a", 0, 0): 1, ("a", 1): 2, ("a", 1, 0): 2, ("a", 1, 1): 2, ("a", 1, 1, "b"): 2}),
        ('a = """x\n"quoted" \\""" b = 1\n"""\nb = 1', {("a",): 1, ("b",): 4}),
        ('a = """x\n""two"" and ends"""""\nb = 1', {("a",): 1, ("b",): 3}),
        ("a = '''x\n# ''two'' b = 1'''\nb = 1", {("a",): 1, ("b",): 3}),
        ("a = ''\nb = \"\"\nc = ''''''\nd = \"\"\"\"\"\"\ne = 1", {("a",): 1, ("b",): 2, ("c",): 3, ("d",): 4, ("e",): 5}),
        ('a = "\\\\" # "\nb = "]}#"', {("a",): 1, ("b",): 2}),
        ("a = 1979-05-27 07:32:00\nb = 1979-05-27T00:32:00-07:00\nc = -inf\nd = +1_0.5e-3", {("a",): 1, ("b",): 2, ("c",): 3, ("d",): 4}),
        ("[[t]]\nx = 1\n[[t]]\nx = 2", {("t",): 3, ("t", "x"): 2}),
    ],
)  # fmt: skip
def test_lines(text: str, lines: dict[toml_lines.Key, int]) -> None:
    assert toml_lines.find(text) == lines
    if "[[t]]" not in text:
        assert keys(tomllib.loads(text)) == set(lines)


class Writer:
    """Writes nested tables as TOML in a way that is drawn, and notes where it put what."""

    def __init__(self, draw: strategies.DrawFn) -> None:
        self.draw = draw
        self.text = ""
        self.lines: dict[toml_lines.Key, int] = {}

    def write(self, text: str) -> None:
        self.text += text

    def note(self, key: toml_lines.Key) -> None:
        self.lines.setdefault(key, self.text.count("\n") + 1)

    def any(self, *texts: str) -> str:
        return self.draw(strategies.sampled_from(texts))

    def part(self, part: str) -> str:
        ways = [json.dumps(part, ensure_ascii=False).replace("\x7f", "\\u007f")]
        if part.isascii() and part.replace("-", "").replace("_", "").isalnum():
            ways.append(part)
        if part.isprintable() and "'" not in part:
            ways.append(f"'{part}'")
        return self.any("", " ") + self.any(*ways) + self.any("", "\t")

    def table(self, key: toml_lines.Key, table: dict[str, Any]) -> None:
        later = []
        for part, value in table.items():
            if value and isinstance(value, dict) and self.draw(strategies.booleans()):
                later.append((part, value))
            else:
                self.entry(key, part, value)
                self.write(self.any("\n", " # [no] = 'key\n", "\r\n\n", "\n  "))
        for part, value in later:
            self.note((*key, part))
            self.write("[" + ".".join(self.part(str(one)) for one in (*key, part)) + "]" + self.any("\n", " #]\n"))
            self.table((*key, part), value)

    def entry(self, key: toml_lines.Key, part: str, value: Any) -> None:
        self.note((*key, part))
        self.write(self.part(part))
        while isinstance(value, dict) and len(value) == 1 and self.draw(strategies.booleans()):
            ((below, value),) = value.items()
            key, part = (*key, part), below
            self.note((*key, part))
            self.write("." + self.part(part))
        self.write("=" + self.any("", " "))
        self.value((*key, part), value)

    def value(self, key: toml_lines.Key, value: Any) -> None:
        if isinstance(value, dict):
            self.write("{")
            for number, (part, one) in enumerate(value.items()):
                self.write(", " if number else " ")
                self.entry(key, part, one)
            self.write("}")
        elif isinstance(value, list):
            self.write("[" + self.any("", "\n", "# ]\n"))
            for number, one in enumerate(value):
                self.note((*key, number))
                self.value((*key, number), one)
                self.write(self.any(",", ",\n", " , # '''\n\n"))
            self.write(self.any("", "\n") + "]")
        else:
            self.scalar(value)

    def scalar(self, value: Any) -> None:
        if not isinstance(value, str):
            self.write(json.dumps(value))
            return
        escaped = json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
        ways = [escaped, f'""{escaped}""', f'"""\n{escaped[1:-1]}"""']
        if value.isprintable() and "'" not in value:
            ways += [f"'{value}'", f"'''\n{value}'''"]
        self.write(self.any(*ways))


NAMES = strategies.one_of(
    strategies.sampled_from(["a", "b-c", "1", "a.b", "#", "'", '"', "[", "="]), strategies.text(max_size=4)
)
SCALARS = strategies.one_of(
    strategies.integers(-9, 9999), strategies.booleans(), strategies.floats(0, 9).filter(lambda one: "." in repr(one)),
    strategies.text(max_size=8), strategies.sampled_from(["''", "#", "]", '"', "\\", "a = 1\n[b]"]),
)  # fmt: skip
TREES = strategies.recursive(
    SCALARS,
    lambda below: strategies.lists(below, max_size=3) | strategies.dictionaries(NAMES, below, max_size=3),
    max_leaves=12,
)


@strategies.composite
def documents(draw: strategies.DrawFn) -> tuple[str, dict[str, Any], dict[toml_lines.Key, int]]:
    tree = draw(strategies.dictionaries(NAMES, TREES, max_size=4))
    writer = Writer(draw)
    writer.table((), tree)
    return writer.text, tree, writer.lines


def is_toml(text: str) -> bool:
    try:
        tomllib.loads(text)
    except tomllib.TOMLDecodeError:
        return False
    return True


@hypothesis.given(documents())
def test_every_key_of_any_document_is_found_on_its_line(
    document: tuple[str, dict[str, Any], dict[toml_lines.Key, int]],
) -> None:
    text, tree, lines = document
    assert tomllib.loads(text) == tree
    found = toml_lines.find(text)
    assert found == lines
    assert keys(tomllib.loads(text)) == set(found)


@hypothesis.given(strategies.text(alphabet="ab=.[]{}\"'\\#,\n 1"))
def test_it_never_fails_on_anything(text: str) -> None:
    found = toml_lines.find(text)
    if is_toml(text) and "[[" not in text:
        assert keys(tomllib.loads(text)) == set(found)
