"""One frozen Settings from files and flags, checked once, at the door."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping


@dataclasses.dataclass(frozen=True, slots=True)
class Resources:
    """What one job asks for; None leaves it to the site."""

    time: float | None = None
    """Seconds of wall clock; in the file ``"1:30:00"`` or a number."""
    memory: int | None = None
    """Bytes; in the file ``"2G"`` or a number."""
    cores: int = 1


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
    resources: Resources = Resources()
    retry: Retry = Retry()


@dataclasses.dataclass(frozen=True, slots=True)
class Settings:
    """Everything that was said in files and flags."""

    database: str
    data: str
    """Directory under which inputs, outputs and logs live."""
    archive: str = ""
    """URL of the archive: ``file:/pnfs/raw``; empty: none."""
    transfers: int = 3
    """Files brought at a time."""
    batch: str = "local"
    pause: float = 5.0
    """Seconds; the longest wait between two cycles."""
    nproc: int = 10
    nprep: int = 5
    spacelim: float = 90.0
    """Per cent of the quota."""
    lease: float = 300.0
    """Seconds without a beat after which a manager's claims lapse."""
    niceness: int = 0
    """Of local jobs."""
    grace: float = 90.0
    """Seconds for a witness to be seen (network file systems are late)."""
    consecutive: int = 10
    """Failures of different runs in a row, with one cause, after which nothing more is claimed."""
    follow: bool = False
    modules: str = ""
    calib: bool = False
    calibdatabase: str = ""
    programs: Mapping[str, Program] = dataclasses.field(default_factory=dict)
    files: tuple[str, ...] = ()
    """The files that were read, lowest first."""
