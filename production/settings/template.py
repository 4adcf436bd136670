"""Templates such as ``tree/v{version}/tree{run:05d}.root``: names in braces, and nothing cleverer."""

from __future__ import annotations

import glob
import re
import string
import types
from collections.abc import Collection, Iterator, Mapping

from production import errors

SAMPLE: Mapping[str, object] = {"run": 2091, "version": 4, "program": "alcapana", "attempt": 1}
"""The fields every template knows, with a value to try them on."""

_NUMBER = re.compile(r"0?[0-9]{0,2}[dxX]?")


def expand(template: str, fields: Mapping[str, object]) -> str:
    """The template with its fields filled in: ``tree{run:05d}.root`` becomes ``tree02091.root``.

    ``{name}`` and, for numbers, a width and ``d``, ``x`` or ``X``; no ``{run.real}``, ``{run[0]}`` or ``{run!r}``.

    Raises: UsageError: a field that isn't there, or a template that can't be read.
    """
    return "".join(_pieces(template, fields))


def check(template: str, names: Collection[str] = ()) -> None:
    """See that the template can be expanded with the fields of ``SAMPLE`` and those in ``names``.

    Raises: UsageError: saying what is wrong, without the template itself.
    """
    expand(template, {**dict.fromkeys(names, "text"), **SAMPLE})


def fields(template: str) -> frozenset[str]:
    """The names of the fields in the template."""
    return frozenset(name for _, name, _, _ in string.Formatter().parse(template) if name is not None)


def pattern(template: str, known: Mapping[str, object] = types.MappingProxyType({})) -> str:
    """The template as glob(7) finds it: what is known, else any number for a number, anything for another field."""
    found = ""
    for literal, name, form, _ in string.Formatter().parse(template):
        found += glob.escape(literal)
        if name is not None and name in known:
            found += glob.escape(_formatted(name, known[name], form or ""))
        elif name is not None:
            found += "[0-9]*" if isinstance(SAMPLE.get(name), int) else "*"
    return found


def _pieces(template: str, fields: Mapping[str, object]) -> Iterator[str]:
    try:
        parts = list(string.Formatter().parse(template))
    except ValueError:
        raise errors.UsageError("a brace without its partner; a brace itself is written {{ or }}") from None
    for literal, name, form, conversion in parts:
        yield literal
        if name is None:
            continue
        if name not in fields:
            known = " ".join(f"{{{field}}}" for field in sorted(fields))
            raise errors.UsageError(f"{{{name}}}: no such field; the fields are {known}")
        if conversion:
            raise errors.UsageError(f"{{{name}!{conversion}}}: cannot be converted; write {{{name}}}")
        yield _formatted(name, fields[name], form or "")


def _formatted(name: str, value: object, form: str) -> str:
    # Other forms are refused: widths of a billion fill the memory, and {run:n} differs from node to node.
    if not form:
        return str(value)
    if isinstance(value, int) and _NUMBER.fullmatch(form):
        return format(value, form)
    example = f"{{{name}:05d}}" if isinstance(value, int) else f"{{{name}}}"
    raise errors.UsageError(f"{{{name}:{form}}}: cannot be formatted; write e.g. {example}")
