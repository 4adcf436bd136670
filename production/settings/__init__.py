"""One frozen Settings from files and flags, checked once, at the door.

Files and flags come in as layers (``layer``), each value is read by its reader (``values``), the programs are
looked at together (``definition``). What leaves is absolute, in seconds and bytes, and never asked again.
"""

from __future__ import annotations

import dataclasses
import functools
import os
import stat
from collections.abc import Mapping
from typing import Any

from production import errors
from production import run as runs
from production.settings import definition, layer, template, values


@dataclasses.dataclass(frozen=True, slots=True)
class Retry:
    """How often, and after how long, a failed run is tried again."""

    limit: int = 3
    """Failed attempts (1 to 100) after which the run is failed."""
    pause: float = 30.0
    """Seconds before the second attempt; each further one waits ``factor`` times longer."""
    factor: float = 2.0
    longest: float = 3600.0
    """Seconds; no pause is longer."""
    time: float | None = None
    """Seconds; an attempt that follows one that had too little asks for half as much again, up to this."""
    memory: int | None = None
    """Bytes; the same for memory."""


@dataclasses.dataclass(frozen=True, slots=True)
class OutputSettings:
    """One output of a program. Templates know {run} {version} {program} {attempt}, e.g. ``{run:05d}``."""

    name: str
    path: str
    """Where it belongs, relative to ``data``: ``tree/v{version}/tree{run:05d}.root``."""
    written: str = ""
    """Where the script itself writes it, relative to HOME. Empty: the script is told, by ``{NAME}`` in arguments."""
    check: str = "exists"
    """``exists``, ``root`` or ``command``."""
    minimum: int = 1
    """Smallest plausible size, bytes."""
    command: tuple[str, ...] = ()
    optional: bool = False


@dataclasses.dataclass(frozen=True, slots=True)
class Program:
    """What processes a run. Paths are absolute here (relative ones in a file are relative to that file)."""

    name: str
    script: str
    arguments: tuple[str, ...] = ("{run}",)
    """Templates: {run} {version} {program} {attempt} {input} {modules} {data} {calibdatabase} and each output's name."""
    options: Mapping[str, tuple[str, ...]] = dataclasses.field(default_factory=dict)
    """Arguments added when a flag is given: ``calib`` and ``calibdatabase``."""
    input: str = ""
    """Name of the run's file in the archive, a template: ``run{run:05d}.mid``. Empty: no raw file."""
    staged: str = ""
    """Where it is staged, relative to ``data``: ``raw/run{run:05d}.mid``; default ``raw/`` + input."""
    base: str = ""
    """The program whose output is this one's input, and which: ``alcapana.tree``."""
    outputs: tuple[OutputSettings, ...] = ()
    home: str = "shared"
    """``private``: each attempt has its own HOME. ``shared``: the user's own."""
    link: tuple[str, ...] = ()
    """For a private home: what of the user's HOME is linked into it."""
    scratch: tuple[str, ...] = ()
    """Directories, templates, relative to HOME, that are emptied before and removed after an attempt."""
    environment: Mapping[str, str] = dataclasses.field(default_factory=dict)
    modules: str = ""
    """File with the program's configuration, kept as provenance; --modules overrides it. Empty: none."""
    resources: runs.Resources = runs.UNASKED
    retry: Retry = Retry()
    said: str = dataclasses.field(default="", compare=False)
    """Where ``script`` was set, for messages: ``production.toml:12: programs.alcapana.script``."""


@dataclasses.dataclass(frozen=True, slots=True)
class Archive:
    """Where the raw files come from, and how patiently."""

    url: str = ""
    """An absolute path (``/pnfs/raw``; a ``file:`` URL has become one) or a server's URL (``ftp://host/raw``); empty:
    none. Never with a password."""
    transfers: int = 3
    """Files brought at a time."""
    netrc: str = ""
    """The file with the password, absolute; ``load`` puts the user's ``~/.netrc`` here unless another was named."""
    recall: int = 20
    """Files asked for ahead from tape, at most."""
    first_byte: float = 1800.0
    """Seconds that a file may take to begin: a tape is fetched and wound."""
    stall: float = 60.0
    """Seconds without a byte, in the middle of a file, after which the transfer is broken."""
    tries: int = 3
    """Logins that may be refused, in all, before the manager gives up."""
    stage: str = "STAGE {}"
    """The server's command that asks for a file on tape; empty: it has none."""
    unstage: str = ""
    """The one that withdraws it; empty: it has none."""


@dataclasses.dataclass(frozen=True, slots=True)
class Quota:
    """Who says how full the disk under ``data`` is, and what limit it has."""

    reader: str = "filesystem"
    """One of ``QUOTA_READERS``."""
    limit: int | None = None
    """Bytes; holds beside what the reader says, the smaller of the two. In the file ``"2T"``."""
    arguments: tuple[str, ...] = ()
    """Handed to the reader's command: whose quota, on which file system."""
    interval: float = 30.0
    """Seconds between two readings."""


@dataclasses.dataclass(frozen=True, slots=True)
class Batch:
    """Who computes, and what its site is like."""

    system: str = "local"
    """One of ``BATCH_SYSTEMS``."""
    poll: float = 15.0
    """Seconds between two questions to a cluster; ``pause`` where only that was set."""
    tasks: int | None = None
    """Runs in one array job, at most; None: what clusters allow unless told otherwise, see ``Dialect.tasks``."""
    parallel: str = "smp"
    """Grid Engine's parallel environment for jobs of several cores."""
    host: str = ""
    """The machine that has the cluster's commands, as behind ``ssh``; empty: this one."""
    remote_data: str = ""
    """Directory there under which the jobs find their inputs and leave what they write; empty: ``data`` is seen there, too."""
    stage: str = "here"
    """One of ``STAGES``: over which machine inputs come to ``remote_data``."""
    fetch: tuple[str, ...] = ()
    """For ``stage = "remote"``: the command there, with ``{input}`` and ``{to}``."""

    @property
    def name(self) -> str:
        """What it is called in the database and behind ``--batch``. Two of them are two, and so are two disks of theirs.

        ``slurm``, ``slurm@login.cluster``, ``slurm@login.cluster:/scratch/mu``.
        """
        where = f"{self.host}:{self.remote_data}" if self.remote_data else self.host
        return f"{self.system}@{where}" if where else self.system

    @property
    def fetching(self) -> str:
        """What the command of ``fetch`` is called in messages: ``batch.fetch (dccp)``."""
        return f"batch.fetch ({self.fetch[0]})" if self.fetch else "batch.fetch"

    def called(self, name: str) -> Batch:
        """The one of that name, asked as this one is."""
        system, _, where = name.partition("@")
        host, remote_data = values.parted(where)
        return dataclasses.replace(self, system=system, host=host, remote_data=remote_data)


@dataclasses.dataclass(frozen=True, slots=True)
class Settings:
    """Everything that was said in files and flags."""

    database: str
    data: str
    """Directory under which inputs, outputs and logs live."""
    archive: Archive = Archive()
    quota: Quota = Quota()
    batch: Batch = Batch()
    pause: float = 5.0
    """Seconds; the longest wait between two cycles."""
    nproc: int = 10
    nprep: int = 5
    spacelim: float = 100.0
    """Per cent of the disk's limit that may be used. Unless said: 90 where there is a ``[quota]``, all of it where only
    what fits on the disk counts."""
    lease: float = 300.0
    """Seconds without a beat after which a manager's claims lapse."""
    niceness: int = 0
    """Of local jobs."""
    grace: float = 90.0
    """Seconds that a cluster's word, or a witness on a network file system, may be late. Not needed for local jobs."""
    consecutive: int = 10
    """Failures of different runs in a row, with one cause, after which nothing more is claimed."""
    follow: bool = False
    modules: str = ""
    calib: bool = False
    calibdatabase: str = ""
    programs: Mapping[str, Program] = dataclasses.field(default_factory=dict)
    files: tuple[str, ...] = ()
    """The files that were read, absolute, lowest first; the first is the shipped one."""


RANGES = values.RANGES
"""The numbers a user may set, by key; ``str(RANGES["nproc"])`` is the rule in words, for ``--help``."""

BATCH_SYSTEMS = ("local", "sge", "slurm")
STAGES = ("here", "remote")
"""Inputs come over this machine, or are fetched by a command on the cluster's."""
FETCH_FIELDS = {"input": "the name in the archive", "to": "the path there"}
"""The fields that ``batch.fetch`` knows, all of which it uses."""

QUOTA_COMMANDS = ("mmlsquota", "lfs", "quota")
"""Readers of a quota that are programs of the site."""

QUOTA_READERS = ("filesystem", "directory", *QUOTA_COMMANDS)

SYSTEM = "/etc/run_production/production.toml"

expand = template.expand

_ROOM = os.path.dirname(os.path.abspath(__file__))
_PACKAGE = os.path.dirname(_ROOM)

# fmt: off
RESERVED_PROGRAMS = frozenset({
    "run", "runs", "datasets", "productions", "production_run", "attempt", "submission", "input", "output", "transfer",
    "manager", "request", "modules", "tally", "event", "catalogue",
})
"""Names the database has for itself."""

RESERVED_OUTPUTS = frozenset({
    "run", "status", "user", "start", "stop", "olog", "elog", "modules",
    "version", "program", "attempt", "input", "data", "calibdatabase",
})
"""Columns that every production's table has, and fields of the templates."""
# fmt: on


def _archive(place: layer.Place, value: object) -> dict[str, Any]:
    """Read ``archive = "URL"`` and ``archive = { url = "URL", transfers = 3 }`` alike."""
    if isinstance(value, str):
        return {"url": values.archive(place, value)}
    found: dict[str, Any] = _ARCHIVE(place, value)
    return found


def _batch(place: layer.Place, value: object) -> dict[str, Any]:
    """Read ``batch = "slurm"`` and ``batch = { system = "slurm", tasks = 100 }`` alike; also as ``Batch.name`` has it."""
    if isinstance(value, str):
        system, at, where = value.partition("@")
        if at and (not where or system == "local"):
            raise place.refuse(value, '"slurm@login.cluster" or "sge@login.cluster"')
        host, remote_data = values.parted(where)
        said = {"system": _SYSTEM(place, system), "host": values.host(place, host)}
        return said | ({"remote_data": values.there(place, remote_data)} if remote_data else {})
    found: dict[str, Any] = _BATCH(place, value)
    return found


def _script(place: layer.Place, value: object) -> str:
    """Read a script's path; those of the shipped programs stand beside the package, or in it once installed."""
    if not place.layer.shipped:
        return values.path(place, value)
    name = values.text(place, value)
    installed = os.path.join(_PACKAGE, "sge_scripts", name)
    return installed if os.path.exists(installed) else os.path.join(os.path.dirname(_PACKAGE), "sge_scripts", name)


_TEXTS = values.array(values.text)
_INSIDE = values.array(values.inside)

_ARCHIVE = values.table(
    {
        "url": values.archive,
        "netrc": values.path,
        "stage": values.order,
        "unstage": values.order,
        **{key: values.number(f"archive.{key}") for key in ("transfers", "recall", "first_byte", "stall", "tries")},
    }
)

_SYSTEM = values.choice(*BATCH_SYSTEMS)

_BATCH = values.table(
    {
        "system": _SYSTEM,
        "poll": values.number("batch.poll"),
        "tasks": values.number("batch.tasks"),
        "parallel": values.word,
        "host": values.host,
        "remote_data": values.there,
        "stage": values.choice(*STAGES),
        "fetch": values.array(values.text),
    }
)

_QUOTA = values.table(
    {
        "reader": values.choice(*QUOTA_READERS),
        "limit": values.large,
        "arguments": _TEXTS,
        "interval": values.number("quota.interval"),
    }
)

_OUTPUT = values.table(
    {
        "path": values.inside,
        "written": values.inside,
        "check": values.choice("exists", "root", "command"),
        "minimum": values.size,
        "command": values.command,
        "optional": values.switch,
    }
)

_PROGRAM = values.table(
    {
        "script": _script,
        "arguments": _TEXTS,
        "options": values.table({"calib": _TEXTS, "calibdatabase": _TEXTS}),
        "input": values.inside,
        "staged": values.inside,
        "base": values.text,
        "outputs": values.named(_OUTPUT, values.identifier("an output", RESERVED_OUTPUTS)),
        "home": values.choice("private", "shared"),
        "link": _INSIDE,
        "scratch": _INSIDE,
        "environment": values.named(values.text, values.variable),
        "modules": values.path,
        "resources": values.table({"time": values.time, "memory": values.large, "cores": values.number("cores")}),
        "retry": values.table(
            {
                **{key: values.number(f"retry.{key}") for key in ("limit", "pause", "factor", "longest")},
                "time": values.time,
                "memory": values.large,
            }
        ),
    }
)

_NUMBERS = ("pause", "nproc", "nprep", "spacelim", "lease", "niceness", "grace", "consecutive")

_COMMON = {
    "database": values.database,
    "data": values.directory,
    "archive": _archive,
    "batch": _batch,
    **{key: values.number(key) for key in _NUMBERS},
}

_FILE = values.table(
    {
        **_COMMON,
        "quota": _QUOTA,
        "programs": values.named(_PROGRAM, values.identifier("a program", RESERVED_PROGRAMS)),
    }
)


def _modules(place: layer.Place, value: object) -> str:
    """Read ``--modules``: the file is needed now, so it is looked at now."""
    path = values.path(place, value)
    try:
        mode = os.stat(path).st_mode
    except OSError as error:
        raise place.wrong(f"cannot be read: {error.strerror}") from error
    if not stat.S_ISREG(mode):
        raise place.wrong("not a regular file")
    return path


_FLAGS = values.table(
    {
        **_COMMON,
        "modules": _modules,
        "calib": values.switch,
        "calibdatabase": values.path,
        "follow": values.switch,
    }
)


def load(
    *,
    config: str | None,
    flags: Mapping[str, object],
    environ: Mapping[str, str],
    cwd: str,
    home: str,
    system: str = SYSTEM,
) -> Settings:
    """What the shipped definitions, the files and the flags say, the later over the earlier, key by key.

    The files: ``system``, the user's (``$XDG_CONFIG_HOME/run_production/production.toml``), the working directory's,
    ``config``. All but ``config`` may be absent. Flags that are None weren't given; numbers may still be text.

    Raises: UsageError: one line with file, line and key, or the flag, and what is right.
    """
    files = _files(config, environ, cwd, home, system)
    given = {key: value for key, value in flags.items() if value is not None}
    layers = [*files, layer.Layer("", cwd, home, given)]
    read = [(_FLAGS if one.is_flags else _FILE)(layer.Place(one), one.table) for one in layers]
    merged: dict[str, Any] = functools.reduce(layer.merge, read, {})
    where = functools.partial(layer.origin, layers)
    programs = merged.pop("programs", {})
    definition.check(programs, where)
    quota = merged.pop("quota", None)
    merged.setdefault("spacelim", 100.0 if quota is None else 90.0)
    batch = merged.pop("batch", {})
    _check_batch(batch, where)
    if "pause" in merged:  # whoever says how long to wait means the cluster, too
        batch.setdefault("poll", merged["pause"])
    archive = merged.pop("archive", {})
    archive["netrc"] = archive.get("netrc") or os.path.join(home, ".netrc")
    return Settings(
        **merged,
        archive=Archive(**archive),
        batch=Batch(**batch),
        quota=_quota(quota or {}, where),
        programs={name: _program(name, table, where) for name, table in programs.items()},
        files=tuple(one.path for one in files),
    )


def _check_batch(batch: dict[str, Any], where: definition.Where) -> None:
    """What goes together. Raises: UsageError."""
    if batch.get("host") and batch.get("system", "local") == "local":
        raise where(("batch", "host")).wrong('jobs go there only with system = "slurm" or "sge"')
    if batch.get("host") == "":  # who says where the commands are in one word says that the disk is ours, too
        for key in ("remote_data", "stage", "fetch"):
            batch.pop(key, None)
    if batch.get("remote_data") and not batch.get("host"):
        raise where(("batch", "remote_data")).wrong("on which machine? say it with batch.host")
    _check_fetch(batch, where)


_REMOTE = {
    "remote_data": 'the directory there, as "/scratch/mu/production"',
    "fetch": 'a command there, as ["dccp", "{input}", "{to}"]',
}
"""{what stage = "remote" needs: what that is}."""


def _check_fetch(batch: Mapping[str, Any], where: definition.Where) -> None:
    """The command that brings inputs there. Raises: UsageError."""
    fetch = batch.get("fetch", ())
    if batch.get("stage") == "remote":
        for key, what in _REMOTE.items():
            if not batch.get(key):
                raise where(("batch", "stage")).wrong(f'"remote" needs batch.{key}, too: {what}')
    elif fetch:
        raise where(("batch", "fetch")).wrong('nobody would run it: set batch.stage = "remote", too')
    else:
        return
    try:
        for word in fetch:
            expand(word, FETCH_FIELDS)
    except errors.UsageError as wrong:
        raise where(("batch", "fetch")).wrong(str(wrong)) from None
    for field, what in FETCH_FIELDS.items():
        if not any(field in template.fields(word) for word in fetch):
            raise where(("batch", "fetch")).wrong(f"nothing in it is {{{field}}}, {what}")


def _files(config: str | None, environ: Mapping[str, str], cwd: str, home: str, system: str) -> list[layer.Layer]:
    """The layers that are files, lowest first."""
    user = environ.get("XDG_CONFIG_HOME", "")
    if not os.path.isabs(user):  # the specification: other than absolute is as good as unset
        user = os.path.join(home, ".config")
    paths = [system, os.path.join(user, "run_production", "production.toml"), os.path.join(cwd, "production.toml")]
    if config is not None:
        paths = [path for path in paths if path != _from(cwd, home, config)]
    shipped = os.path.join(_ROOM, "defaults.toml")
    found = [layer.read(shipped, shipped, home, required=True, shipped=True)]
    found += [layer.read(path, _shown(path, cwd, home), home) for path in paths]
    if config is not None:
        path = _from(cwd, home, config)
        found.append(layer.read(path, _shown(path, cwd, home), home, required=True))
    return [one for one in found if one is not None]


def _from(cwd: str, home: str, path: str) -> str:
    """``--config`` as an absolute path."""
    return values.absolute(layer.Place(layer.Layer("", cwd, home, {"config": path}), ("config",)), path)


def _shown(path: str, cwd: str, home: str) -> str:
    """The path as people know it: from where they stand, or from home."""
    for directory, before in ((cwd, ""), (home, "~/")):
        if path.startswith(directory.rstrip("/") + "/"):
            return before + path[len(directory.rstrip("/")) + 1 :]
    return path


def _quota(table: Mapping[str, Any], where: definition.Where) -> Quota:
    """The quota from its checked table. Raises: UsageError: its values don't go together."""
    quota = Quota(**table)
    if quota.arguments and quota.reader not in QUOTA_COMMANDS:
        raise where(("quota", "arguments")).wrong(f'reader = "{quota.reader}" is no command: leave the arguments out')
    if quota.reader == "directory" and quota.limit is None:
        raise where(("quota", "reader")).wrong('a directory has no limit of its own; say one, as limit = "2T"')
    return quota


def _program(name: str, table: Mapping[str, Any], where: definition.Where) -> Program:
    """A program from its checked table; keys it hasn't keep the defaults above."""
    parts = dict(table)
    if parts.get("input") and not parts.get("staged"):
        parts["staged"] = f"raw/{parts['input']}"
    if "outputs" in parts:
        parts["outputs"] = tuple(OutputSettings(name=key, **one) for key, one in parts["outputs"].items())
    if "resources" in parts:
        parts["resources"] = runs.Resources(**parts["resources"])
    if "retry" in parts:
        parts["retry"] = Retry(**parts["retry"])
    return Program(name=name, said=str(where(("programs", name, "script"))), **parts)


def needs(program: Program, field: str) -> bool:
    """Whether the program's arguments use ``{field}``: rootana needs ``modules``, so the user must name a file."""
    return any(field in template.fields(argument) for argument in program.arguments)
