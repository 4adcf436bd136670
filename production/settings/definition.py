"""Whether the programs in the settings make sense together: bases, templates, outputs in each other's way.

``settings`` hands in the merged tables, each value already good in itself; what is wrong here takes two values.
"""

from __future__ import annotations

import posixpath
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from production.settings import layer, template, toml_lines, values

Table = Mapping[str, Any]
Where = Callable[[toml_lines.Key], layer.Place]
"""Tells where the merged settings have a key from."""

ARGUMENT_FIELDS = ("input", "modules", "data", "calibdatabase")
"""What arguments know, beside the outputs' names and the fields that every template knows."""


def check(programs: Mapping[str, Table], where: Where) -> None:
    """See that every program can be used.

    Raises: UsageError: names file, line and key.
    """
    for name, program in programs.items():
        if not program.get("script"):
            near = values.similar(name, [one for one in programs if programs[one].get("script")])
            raise where(("programs", name)).wrong(f"no script{near if 'did you mean' in near else ''}")
        _check_outputs(("programs", name), program, where)
        _check_arguments(("programs", name), program, where)
        _check_told(("programs", name), program, where)
        _check_home(("programs", name), program, where)
        _check_scratch(("programs", name), program, where)
        _check_most(("programs", name), program, where)
        _check_base(name, programs, where)


def _check_outputs(at: toml_lines.Key, program: Table, where: Where) -> None:
    """Each has a path of its own for every run, and a check that can be made."""
    seen: dict[tuple[str, str], toml_lines.Key] = {}
    for key, path in _paths(at, program, where):
        kind = "written" if key[-1] == "written" else "path"
        where_it_is = posixpath.normpath(template.expand(path, template.SAMPLE))
        other = seen.setdefault((kind, where_it_is), key)
        if other != key:
            raise where(key).wrong(
                f"{layer.show(path)} is also {layer.key_text(other)}; one of them needs another path"
            )
    for name, output in program.get("outputs", {}).items():
        place = where((*at, "outputs", name))
        if not output.get("path"):
            raise place.wrong("no path")
        if "run" not in template.fields(output["path"]):
            raise place.inside("path").refuse(output["path"], "a path with {run}, or the runs overwrite each other")
        if "version" not in template.fields(output["path"]):
            rule = "a path with {version}, or the next version finds this one's file in its way"
            raise place.inside("path").refuse(output["path"], rule)
        if output.get("check") == "command" and not output.get("command"):
            raise place.inside("check").wrong("no command; which one checks the file?")


def _paths(at: toml_lines.Key, program: Table, where: Where) -> Iterator[tuple[toml_lines.Key, str]]:
    """Every path a run of the program needs, with its key; each a good template."""
    for key in ("input", "staged"):
        if program.get(key):
            values.checked(where((*at, key)), program[key])
    if program.get("input"):
        yield (*at, "staged"), program.get("staged") or f"raw/{program['input']}"
    for name, output in program.get("outputs", {}).items():
        for key in ("path", "written"):
            if output.get(key):
                full = (*at, "outputs", name, key)
                values.checked(where(full), output[key])
                yield full, output[key]


def _argument_keys(program: Table) -> Iterator[tuple[toml_lines.Key, str]]:
    for number, argument in enumerate(program.get("arguments", ())):
        yield ("arguments", number), argument
    for option, arguments in program.get("options", {}).items():
        for number, argument in enumerate(arguments):
            yield ("options", option, number), argument


def _check_arguments(at: toml_lines.Key, program: Table, where: Where) -> None:
    if program.get("input") and "run" not in template.fields(program["input"]):
        raise where((*at, "input")).refuse(program["input"], "a name with {run}, or all runs get the same file")
    names = (*ARGUMENT_FIELDS, *program.get("outputs", {}))
    for key, argument in _argument_keys(program):
        place = where(at + key)
        values.checked(place, argument, names)
        if "input" in template.fields(argument) and not program.get("input") and not program.get("base"):
            raise place.wrong("{input} is nothing: the program has neither input nor base")


def _check_told(at: toml_lines.Key, program: Table, where: Where) -> None:
    """Each output has a way to come into being; after the arguments, where a mistyped name is the reason."""
    told = {field for _, argument in _argument_keys(program) for field in template.fields(argument)}
    for name, output in program.get("outputs", {}).items():
        if not output.get("written") and name not in told:
            raise where((*at, "outputs", name)).wrong(
                f"nobody tells the script where; set written, or use {{{name}}} in arguments"
            )


def _check_home(at: toml_lines.Key, program: Table, where: Where) -> None:
    place = where((*at, "link"))
    # What a shipped program links is of no matter to whoever gives it another home.
    if program.get("link") and program.get("home", "shared") == "shared" and not place.layer.shipped:
        raise place.wrong('links are made into a private home only; add home = "private", or leave link out')


def _check_scratch(at: toml_lines.Key, program: Table, where: Where) -> None:
    for number, directory in enumerate(program.get("scratch", ())):
        place = where((*at, "scratch", number))
        values.checked(place, directory)
        # It is emptied: in a shared home that would be another run's, or the user's own.
        if program.get("home", "shared") == "shared" and "run" not in template.fields(directory):
            raise place.refuse(directory, 'a directory with {run}, or home = "private"')


def _check_most(at: toml_lines.Key, program: Table, where: Where) -> None:
    """No attempt may ask for more than retry allows, so neither may the first."""
    asked, most = program.get("resources", {}), program.get("retry", {})
    for key in ("time", "memory"):
        if asked.get(key) is not None and most.get(key) is not None and most[key] < asked[key]:
            raise where((*at, "retry", key)).wrong(f"less than resources.{key}, which the first attempt asks for")


def _check_base(name: str, programs: Mapping[str, Table], where: Where) -> None:
    wanted = programs[name].get("base")
    if not wanted:
        return
    place = where(("programs", name, "base"))
    if programs[name].get("input"):
        raise place.wrong("a program has an input or a base, not both")
    base, dot, output = wanted.partition(".")
    if not dot:
        raise place.refuse(wanted, 'a program and its output, as "alcapana.tree"')
    if base not in programs:
        raise place.wrong(f"no program {layer.show(base)}{values.similar(base, programs)}")
    outputs = programs[base].get("outputs", {})
    if output not in outputs:
        raise place.wrong(f"{base} has no output {layer.show(output)}{values.similar(output, outputs)}")
    _check_cycle(name, programs, place)


def _check_cycle(name: str, programs: Mapping[str, Table], place: layer.Place) -> None:
    way = [name]
    while base := programs.get(way[-1], {}).get("base", "").partition(".")[0]:
        if base in way:
            circle = " → ".join([*way[way.index(base) :], base])
            raise place.wrong(f"bases in a circle: {circle}")
        way.append(base)
