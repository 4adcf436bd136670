"""The house rules that no other tool reads: sizes, names, old databases, true documents, a wheel that has everything."""

from __future__ import annotations

import ast
import os
import pathlib
import re
import shutil
import subprocess
import sys
import textwrap
import tomllib
from collections.abc import Iterator

import pytest

from production.cli import completion
from production.cli import production as command

ROOT = pathlib.Path(__file__).resolve().parent.parent
PRODUCTION = ROOT / "production"
TESTS = ROOT / "tests"

LONGEST_FUNCTION = 60
"""Lines, docstring included."""

PATCHES_AND_SLEEPS: dict[str, str] = {}
"""Files under tests/ that may patch or sleep, and why no clock, event or fake program would do."""

NAMES_IMPORTED = {
    "production.journal": "log.info and once, in every step, say where they come from",
}
"""Modules of ours whose names are imported, and why."""

NOT_OURS = {".git", ".venv", "build", "dist", "demo-data", "__pycache__"}
"""Directories that aren't the project's text; neither is any other hidden one, but for .ci and .github."""

SINCE = {
    "RETURNING": (r"\bRETURNING\b", "3.35"),
    "DROP COLUMN": (r"\bDROP\s+COLUMN\b", "3.35"),
    "MATERIALIZED": (r"\bMATERIALIZED\b", "3.35"),
    "mathematics": (r"\b(?:ceil|ceiling|floor|trunc|ln|log|log2|log10|exp|pow|power|sqrt|mod)\s*\(", "3.35"),
    "STRICT": (r"\)\s*(?:WITHOUT\s+ROWID\s*,\s*)?STRICT\b", "3.37"),
    "unixepoch()": (r"\bunixepoch\s*\(", "3.38"),
    "-> and ->>": (r"->", "3.38"),
    "format()": (r"\bformat\s*\(", "3.38"),
    "RIGHT and FULL JOIN": (r"\b(?:RIGHT|FULL)\s+(?:OUTER\s+)?JOIN\b", "3.39"),
    "IS DISTINCT FROM": (r"\bIS\s+(?:NOT\s+)?DISTINCT\s+FROM\b", "3.39"),
    "unhex()": (r"\bunhex\s*\(", "3.41"),
    "subsec": (r"'subsec(?:ond)?'", "3.42"),
    "timediff() and octet_length()": (r"\b(?:timediff|octet_length)\s*\(", "3.43"),
    "concat() and string_agg()": (r"\b(?:concat|concat_ws|string_agg)\s*\(", "3.44"),
}
"""What SQLite learned after 3.34, the version of Enterprise Linux 9, and when."""


def modules(*directories: str) -> list[pathlib.Path]:
    return sorted(
        path
        for directory in directories
        for path in (ROOT / directory).rglob("*.py")
        if "__pycache__" not in path.parts
    )


def tree(path: pathlib.Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"), filename=str(path))


def name(path: pathlib.Path) -> str:
    return path.relative_to(ROOT).as_posix()


def texts() -> Iterator[tuple[pathlib.Path, str]]:
    """Every text file of the project, as it would be committed."""
    for directory, directories, files in os.walk(ROOT):
        directories[:] = [
            each
            for each in directories
            if each not in NOT_OURS
            and not each.endswith(".egg-info")
            and (each[0] != "." or each in {".ci", ".github"})
        ]
        for file in files:
            path = pathlib.Path(directory, file)
            try:
                yield path, path.read_text(encoding="utf-8")
            except (UnicodeDecodeError, FileNotFoundError):
                continue  # data; or a symlink to what isn't made yet


# --- the code -------------------------------------------------------------------------------------------------------


def test_functions_are_short() -> None:
    long = [
        f"{name(path)}:{node.lineno} {node.name}: {length} lines"
        for path in [*modules("production"), ROOT / "run_production.py"]
        for node in ast.walk(tree(path))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        and (length := (node.end_lineno or node.lineno) - node.lineno + 1) > LONGEST_FUNCTION
    ]
    assert not long


class WithoutText(ast.NodeTransformer):
    """Takes docstrings away."""

    def visit_Expr(self, node: ast.Expr) -> ast.Expr | None:
        return None if isinstance(node.value, ast.Constant) and isinstance(node.value.value, str) else node


def lines_of_code(path: pathlib.Path) -> int:
    """Lines that something happens in, one a statement however it is broken; no comments, no docstrings."""
    return len(list(filter(str.strip, ast.unparse(WithoutText().visit(tree(path))).splitlines())))


def test_the_manager_is_the_smallest_room_of_the_corridor() -> None:
    rooms = ("cli", "steps", "catalogue", "batch", "transfer", "outputs")
    sizes = {room: sum(map(lines_of_code, modules(f"production/{room}"))) for room in rooms}
    sizes["manager"] = lines_of_code(PRODUCTION / "manager.py")
    assert min(sizes, key=lambda each: sizes[each]) == "manager", sizes


def test_modules_and_classes_are_named_for_what_they_are() -> None:
    nameless = re.compile(r"(?i)_*(utils?|helpers?|common|misc)\d*")
    assert not [name(path) for path in PRODUCTION.rglob("*") if nameless.fullmatch(path.stem)]
    assert not [
        f"{name(path)}: {node.name}"
        for path in modules("production")
        for node in ast.walk(tree(path))
        if isinstance(node, ast.ClassDef) and node.name.endswith("Manager")
    ], "a manager is one process"


def test_our_own_modules_are_imported_whole() -> None:
    """``from production import errors`` and ``errors.StaleRun``: where a name comes from is said where it is used."""
    names = [
        f"{name(path)}:{node.lineno} from {node.module} import {alias.name}"
        for path in modules("production")
        for node in ast.walk(tree(path))
        if isinstance(node, ast.ImportFrom) and (node.module or "").partition(".")[0] == "production"
        for alias in node.names
        if node.module not in NAMES_IMPORTED and not is_module(f"{node.module}.{alias.name}")
    ]
    assert not names


def is_module(dotted: str) -> bool:
    place = ROOT.joinpath(*dotted.split("."))
    return place.with_suffix(".py").is_file() or place.is_dir()


def test_the_commands_start_quickly() -> None:
    """``--help`` and ``status`` pay for argparse and sqlite3; the rest is imported where it is used."""
    heavy = {
        "urwid",
        "paramiko",
        "humanize",
        "psutil",
        "uproot",
        "awkward",
        "numpy",
        "asyncio",
        "concurrent.futures.process",
    }
    code = (
        "import sys, production.cli.run_production, production.cli.production\n"
        f"print(*sorted({heavy!r} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == []


def test_a_command_waits_for_no_other() -> None:
    """``production status`` imports the module of ``status``; which module has which commands is a table."""
    modules = {module: words for some in command.GROUPS.values() for module, words in some.items()}
    for module, words in modules.items():
        for word in words:
            [below] = [one for one in completion.commands(command.parser(word)) if not one.path]
            assert below.commands == words, module
    assert {one.stem for one in (PRODUCTION / "cli" / "commands").glob("[a-z]*.py")} == set(modules)
    code = (
        "import sys, production.cli.production as command\n"
        "command.parser('status')\n"
        "print(*(name for name in sys.modules if name.startswith('production.cli.commands.')))"
    )
    assert run(sys.executable, "-c", code, cwd=ROOT).split() == ["production.cli.commands.status"]


# --- the tests ------------------------------------------------------------------------------------------------------


def test_tests_neither_patch_nor_sleep() -> None:
    found = {name(path): lines for path in modules("tests") if (lines := list(patches_and_sleeps(tree(path))))}
    assert not {file: lines for file, lines in found.items() if file not in PATCHES_AND_SLEEPS}
    assert not set(PATCHES_AND_SLEEPS) - set(found), "these exceptions are no longer needed"


def patches_and_sleeps(module: ast.Module) -> Iterator[str]:
    for node in ast.walk(module):
        said = ""
        if isinstance(node, ast.Attribute):
            said = ast.unparse(node)
        elif isinstance(node, ast.ImportFrom):
            said = " ".join(f"{node.module}.{alias.name}" for alias in node.names)
        elif isinstance(node, ast.Import):
            said = " ".join(alias.name for alias in node.names)
        if re.search(
            r"\bunittest\.mock\b|\bmock\.patch\b|\bmocker\.|\bmonkeypatch\.setattr\b|\b(?:time|asyncio)\.sleep\b", said
        ):
            yield f"line {node.lineno}: {said}"


def test_the_rule_against_patching_finds_what_it_is_for() -> None:
    said = (
        "import unittest.mock\nfrom time import sleep\ntime.sleep(1)\nmonkeypatch.setattr(a, 'b', 1)\nclock.wait(1)\n"
    )
    assert [line.partition(":")[0] for line in patches_and_sleeps(ast.parse(said))] == [
        "line 1",
        "line 2",
        "line 3",
        "line 4",
    ]


# --- SQL --------------------------------------------------------------------------------------------------------------


def statements(text: str) -> str:
    """The SQL without its comments and the text in it, lines kept; ``'subsec'`` alone is more than text."""
    token = re.compile(r"--[^\n]*|/\*.*?\*/|'(?:[^']|'')*'", re.DOTALL)
    return token.sub(lambda match: match[0] if "subsec" in match[0] else "\n" * match[0].count("\n"), text)


def too_new(text: str) -> list[str]:
    bare = statements(text)
    return [
        f"line {bare.count(chr(10), 0, match.start()) + 1}: {what} is of SQLite {version}"
        for what, (pattern, version) in SINCE.items()
        for match in re.finditer(pattern, bare, re.IGNORECASE)
    ]


SQL = sorted(PRODUCTION.rglob("*.sql"))


def test_the_sql_is_in_one_room() -> None:
    names = "books heritage migrations queries questions schema"
    assert [name(path) for path in SQL] == [f"production/catalogue/{each}.sql" for each in names.split()]


@pytest.mark.parametrize("path", SQL, ids=name)
def test_sql_runs_on_sqlite_3_34(path: pathlib.Path) -> None:
    assert not too_new(path.read_text(encoding="utf-8"))


def test_the_rule_about_sqlite_finds_what_it_is_for() -> None:
    assert not too_new("-- new -> claimed, RETURNING\n/* STRICT */ SELECT '->', strict FROM run;")
    assert len(too_new("CREATE TABLE t (a) STRICT;")) == 1
    assert too_new("\nDELETE FROM run\nRETURNING run;") == ["line 3: RETURNING is of SQLite 3.35"]
    assert len(too_new("SELECT facts ->> 'host', unixepoch()")) == 2


def test_the_schema_stands_at_the_door() -> None:
    assert (ROOT / "schema.sql").samefile(PRODUCTION / "catalogue" / "schema.sql")


# --- the documents ----------------------------------------------------------------------------------------------------


def documents() -> list[pathlib.Path]:
    return sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")])


def blocks(text: str) -> Iterator[tuple[str, str]]:
    """The fenced blocks of a document: language and content."""
    for _, language, content in re.findall(r"^( *)```(\w+)[^\n]*\n(.*?)^\1```", text, re.DOTALL | re.MULTILINE):
        yield language, textwrap.dedent(content)


@pytest.mark.parametrize("path", documents(), ids=name)
def test_examples_can_be_read(path: pathlib.Path) -> None:
    for language, content in blocks(path.read_text(encoding="utf-8")):
        if language in {"python", "py"}:
            ast.parse(content)
        elif language == "toml":
            tomllib.loads(content)


@pytest.mark.parametrize("path", documents(), ids=name)
def test_links_lead_somewhere(path: pathlib.Path) -> None:
    links = re.findall(r"\]\((?!\w+:|#)([^)#\s]+)", path.read_text(encoding="utf-8"))
    assert not [link for link in links if not (path.parent / link).exists()]


def test_no_file_speaks_of_the_place_it_was_written_in() -> None:
    place = re.compile(r"(?<![\w$}.])/(?:work|Users)/[\w.]|(?<![\w*])\.library\b|/opt/(?:pypi|wheels)")
    found = [
        f"{name(path)}:{number} {line.strip()[:80]}"
        for path, text in texts()
        if path != pathlib.Path(__file__).resolve()
        for number, line in enumerate(text.splitlines(), 1)
        if place.search(line)
    ]
    assert not found


# --- the package ------------------------------------------------------------------------------------------------------

IN_THE_WHEEL = (
    "catalogue/schema.sql",
    "catalogue/queries.sql",
    "batch/array.sh",
    "batch/wrapper.sh",
    "settings/defaults.toml",
)
"""What an installed copy reads beside its modules, and the job scripts."""


def run(*argv: str | pathlib.Path, cwd: pathlib.Path) -> str:
    done = subprocess.run([str(each) for each in argv], cwd=cwd, capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"{argv}\n{done.stdout}\n{done.stderr}"
    return done.stdout


def package(python: pathlib.Path) -> pathlib.Path:
    """Where that Python has our package, asked as the code itself asks."""
    code = "import importlib.resources; print(importlib.resources.files('production'))"
    return pathlib.Path(run(python, "-I", "-c", code, cwd=python.parent).strip())


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    """The Python of an empty environment that has our wheel and nothing else; its directory is empty too."""
    source, place = tmp_path_factory.mktemp("source"), tmp_path_factory.mktemp("place")
    for each in ("setup.cfg", "pyproject.toml", "MANIFEST.in", "README.md", "LICENSE"):
        shutil.copy(ROOT / each, source)
    for each in ("production", "sge_scripts"):
        shutil.copytree(ROOT / each, source / each, ignore=shutil.ignore_patterns("__pycache__"))
    pip = (sys.executable, "-m", "pip", "--isolated", "--disable-pip-version-check", "--no-cache-dir", "-q")
    run(*pip, "wheel", "--no-deps", "--no-index", "--no-build-isolation", "-w", place, source, cwd=place)
    run(sys.executable, "-m", "venv", "--without-pip", place / "venv", cwd=place)
    python = place / "venv" / "bin" / "python"
    (wheel,) = place.glob("*.whl")
    run(*pip, "--python", python, "install", "--no-deps", "--no-index", wheel, cwd=place)
    return python


def test_an_installed_copy_has_its_files(installed: pathlib.Path) -> None:
    scripts = [f"sge_scripts/{path.name}" for path in (ROOT / "sge_scripts").glob("*.sge")]
    assert scripts
    where = package(installed)
    assert where.is_relative_to(installed.parent.parent)
    assert not [each for each in (*IN_THE_WHEEL, *scripts) if not (where / each).read_bytes()]
    assert not [each for each in scripts if not os.access(where / each, os.X_OK)]


def test_an_installed_copy_has_every_module(installed: pathlib.Path) -> None:
    where = package(installed)
    ours = {
        path.relative_to(PRODUCTION) for path in PRODUCTION.rglob("*") if path.suffix in {".py", ".sql", ".toml", ".sh"}
    }
    assert not ours - {path.relative_to(where) for path in where.rglob("*")}


@pytest.mark.feature("AC-41")
@pytest.mark.parametrize("command", ["run_production", "production"])
def test_an_installed_copy_has_its_commands(installed: pathlib.Path, command: str) -> None:
    """Even without its dependencies: they are imported where they are used."""
    assert "usage" in run(installed.parent / command, "--help", cwd=installed.parent).lower()


@pytest.mark.feature("AC-41")
def test_a_checkout_runs_without_being_installed(tmp_path: pathlib.Path) -> None:
    assert "usage" in run(sys.executable, "-S", ROOT / "run_production.py", "--help", cwd=tmp_path).lower()
