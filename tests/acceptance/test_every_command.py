"""Every command of ``production`` where there is nothing, nothing yet, or nothing it can read: one clear line, never more."""

from __future__ import annotations

import contextlib
import json
import os
import pathlib
import shutil
import sqlite3
from collections.abc import Callable

import pytest

from docs import pages
from production.cli import production
from tests.acceptance.campaign import ROOT, Campaign

WORDS: dict[str, tuple[str, ...]] = {
    "init": ("init", "other.db"),
    "import": ("import", "old.db", "new.db"),
    "datasets add": ("datasets", "add", "1-3", "--dataset=Al50"),
    "doctor": ("doctor", "database", "locking"),
    "status": ("status",),
    "watch": ("watch",),
    "runs": ("runs", "state:failed"),
    "show": ("show", "1"),
    "log": ("log", "1"),
    "why": ("why", "1"),
    "failures": ("failures", "--suggest"),
    "estimate": ("estimate",),
    "managers": ("managers", "--all"),
    "productions": ("productions",),
    "audit": ("audit",),
    "retry": ("retry", "1"),
    "hold": ("hold", "1"),
    "release": ("release", "1"),
    "cancel": ("cancel", "1"),
    "priority": ("priority", "5", "1"),
    "reset": ("reset", "1"),
    "nproc": ("nproc", "5"),
    "close": ("close", "--production=sim"),
    "upgrade": ("upgrade",),
    "archive check": ("archive", "check"),
    "archive list": ("archive", "list"),
    "archive get": ("archive", "get", "1", "--production=sim"),
    "completion": ("completion", "bash"),
}
CHANGING = ("retry", "hold", "release", "cancel", "priority", "reset", "close")
WITHOUT_DATABASE = ("init", "import", "archive check", "archive list", "archive get", "completion", "doctor")

PROGRAM = """
[programs.sim]
script = "sim.sh"
arguments = ["{run}", "{input}", "{tree}"]
input = "run{run:05d}.mid"

[programs.sim.outputs.tree]
path = "tree/v{version}/{run}"
"""


def missing(campaign: Campaign) -> None:
    """No database at all."""


def empty(campaign: Campaign) -> None:
    campaign.ok("init")


def fresh(campaign: Campaign) -> None:
    """A production that nobody has worked on."""
    campaign.begin("1-3")
    campaign.script("sim.sh", "exec sleep 600")  # it may have begun when its manager is stopped, and is taken back
    manager = campaign.start("--production=sim", "--new=t", "--nproc=1")
    manager.wait_for("Opened production")
    manager.stop()


def garbage(campaign: Campaign) -> None:
    campaign.database.write_bytes(os.urandom(20_000))


def directory(campaign: Campaign) -> None:
    campaign.database.mkdir()


def everything(campaign: Campaign) -> list[str]:
    """All that is in the database."""
    with contextlib.closing(sqlite3.connect(campaign.database)) as connection:
        return list(connection.iterdump())


def schema_only(campaign: Campaign) -> None:
    """What somebody made with sqlite3 production.db <schema.sql."""
    with contextlib.closing(sqlite3.connect(campaign.database)) as connection:
        connection.executescript((ROOT / "schema.sql").read_text(encoding="utf-8"))


PLACES: tuple[Callable[[Campaign], None], ...] = (missing, empty, fresh, garbage, directory, schema_only)


def test_all_commands_are_tried_here() -> None:
    assert {name for name, _, _ in pages.commands(production.parser())} == set(WORDS)


@pytest.mark.parametrize("place", PLACES, ids=lambda place: place.__name__)
def test_nothing_there_is_said_in_one_line(campaign: Campaign, place: Callable[[Campaign], None]) -> None:
    campaign.settings(PROGRAM)
    campaign.raw(range(1, 4))
    place(campaign)
    before = everything(campaign) if place is empty else []
    for name, words in WORDS.items():
        for more in ((), ("--json",)):
            if (name == "datasets add" and place is not garbage) or (
                more and name in ("init", "datasets add", "completion")
            ):
                continue
            if more and name.startswith("archive"):
                continue
            for made in ("other.db", "new.db", "run00001.mid"):
                (campaign.directory / made).unlink(missing_ok=True)
            said = campaign.product(*words, *more)
            assert "Traceback" not in said.err + said.out, str(said)
            assert "unexpected" not in said.err, str(said)
            assert said.code in (0, 1, 2), str(said)
            if said.code == 2:
                assert said.err.startswith("production: "), str(said)
                assert said.err.count("\n") == 1, str(said)
            if more and said.code == 0:
                json.loads(said.out)
            if place in (missing, garbage, directory, schema_only) and name not in WITHOUT_DATABASE:
                assert said.code == 2, str(said)
    assert before == (everything(campaign) if place is empty else [])


@pytest.mark.parametrize("name", CHANGING)
def test_what_changes_something_says_first_what_it_would_do(campaign: Campaign, name: str) -> None:
    campaign.settings(PROGRAM)
    campaign.raw(range(1, 4))
    fresh(campaign)
    rows = campaign.rows("SELECT * FROM production_run"), campaign.rows("SELECT * FROM productions")
    said = campaign.product(*WORDS[name])
    assert ("would be" in said.out and "--yes" in said.out) or "left as they are" in said.out, str(said)
    assert (campaign.rows("SELECT * FROM production_run"), campaign.rows("SELECT * FROM productions")) == rows
    assert campaign.rows("SELECT count(*) FROM request") == [(0,)]


def test_who_may_only_read_can_look(campaign: Campaign, tmp_path: pathlib.Path) -> None:
    """A database in a directory that nobody writes, as it lies on a backup."""
    campaign.settings(PROGRAM)
    campaign.raw(range(1, 4))
    fresh(campaign)
    backup = tmp_path / "backup"
    backup.mkdir()
    shutil.copy(campaign.database, backup / "production.db")
    (backup / "production.db").chmod(0o444)
    backup.chmod(0o555)
    for name in ("status", "runs", "show", "why", "failures", "estimate", "managers", "productions"):
        said = campaign.product(*WORDS[name], f"--database={backup / 'production.db'}")
        assert said.code == 0, str(said)
    if os.geteuid() != 0:  # whom no mode keeps from making what SQLite would like to have beside it
        assert [path.name for path in backup.iterdir()] == ["production.db"]
    backup.chmod(0o755)


@pytest.mark.parametrize(
    "words",
    [
        ("runs", ">800000d"),
        ("runs", b"\xff"),
        ("runs", b"host:\xff"),
        ("runs", b"--production=\xff"),
        ("show", "1", b"--production=\xff"),
        ("retry", "text:", "--yes"),
        ("hold", "", "--yes"),
        ("reset", "state:", "--yes"),
    ],
)
def test_odd_words_are_refused(campaign: Campaign, words: tuple[str | bytes, ...]) -> None:
    campaign.settings(PROGRAM)
    campaign.raw(range(1, 4))
    fresh(campaign)
    said = campaign.product(*(os.fsdecode(word) for word in words))
    assert said.code == 2, str(said)
    assert said.err.count("\n") == 1, str(said)
    assert set(campaign.status("sim_v1").values()) == {"N"}
