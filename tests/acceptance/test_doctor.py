"""``production doctor``: all is well with a good campaign; each thing broken in turn is one bad line, with its mend."""

from __future__ import annotations

import contextlib
import json
import os
import pathlib
import re
import shutil
import signal
import sqlite3
import subprocess
import tempfile
from collections.abc import Callable, Iterator

import pytest

from production.catalogue import sqlite
from production.cli.checks import finding, ground
from production.cli.commands import doctor
from tests.acceptance import clusters as clusters_
from tests.acceptance.campaign import ROOT, Campaign, Result, User, until
from tests.fakes import cluster as clusters
from tests.services import ftp, hostile_ftp

Need = Callable[[str, object], object]
Break = Callable[[Campaign], object]

SIM = """
[programs.sim]
script = "sim.sh"
arguments = ["{input}", "{tree}"]
input = "run{run:05d}.mid"

[programs.sim.outputs.tree]
path = "tree/v{version}/tree{run:05d}.dat"
"""

CHECKS = [
    "settings", "files", "program", "program", "program", "database", "locking", "disk", "data", "clock", "quota",
    "netrc", "archive", "batch",
]  # fmt: skip
"""The names of all lines; every installation has three programs here: alcapana, rootana, sim."""

SHORT, LONG = "--patience=6", "--patience=60"
"""For one check that hangs, and where none does: the others start programs, for which a busy machine takes a second."""


@pytest.fixture
def good(campaign: Campaign) -> Campaign:
    """A little campaign whose first production is finished."""
    campaign.settings(SIM)
    campaign.script("sim.sh", 'cp "$1" "$2"')
    campaign.raw(range(1, 3))
    campaign.begin("1-2")
    assert campaign.run("--production=sim", "--new=v5").code == 0
    return campaign


def asked(campaign: Campaign, *arguments: str, user: User | None = None) -> list[dict[str, object]]:
    """What it finds, in order; its exit code says the same."""
    result = campaign.product("doctor", "--json", *arguments, user=user)
    assert result.err == "", str(result)
    found: list[dict[str, object]] = json.loads(result.out)
    assert not [one for one in found if ftp.PASSWORD in f"{one['found']} {one['mend']}"]
    assert result.code == int(any(one["ok"] is False for one in found))
    assert all(bool(one["mend"]) == (one["ok"] is False) and one["found"] for one in found), result.out
    return found


def states(found: list[dict[str, object]]) -> dict[str, object]:
    """{check: ok, bad or why it wasn't asked}; of several of one name what isn't ok."""
    words = {True: "ok", False: "bad"}
    return {
        str(one["check"]): words.get(one["ok"], one["found"])  # type: ignore[call-overload]
        for one in sorted(found, key=lambda one: one["ok"] is not True)[::-1]
        if not str(one["found"]).startswith("alcapana: as shipped")
    } | {str(one["check"]): "bad" for one in found if one["ok"] is False}


def only_bad(found: list[dict[str, object]], check: str, what: str, mend: str) -> None:
    """One line is bad, and says this; whatever isn't asked says that this comes first, or needs no asking."""
    bad = [one for one in found if one["ok"] is False]
    assert [one["check"] for one in bad] == [check], bad
    assert re.search(what, str(bad[0]["found"])), bad
    assert re.search(mend, str(bad[0]["mend"])), bad
    unasked = {str(one["found"]) for one in found if one["ok"] is None}
    allowed = {f"not asked: first mend {check}", "not asked: the archive is a directory, and needs no login"}
    assert {one for one in unasked if not one.startswith("alcapana: as shipped")} <= allowed


def tree(campaign: Campaign) -> dict[str, tuple[int, bytes]]:
    """Everything that is there, with its mode and content."""
    return {
        str(path): (path.lstat().st_mode, path.read_bytes() if path.is_file() else b"")
        for path in campaign.directory.rglob("*")
    }


def add(campaign: Campaign, text: str, *, top: bool = False) -> None:
    """A line more in the settings."""
    path = campaign.directory / "production.toml"
    before = path.read_text()
    path.write_text(f"{text}\n{before}" if top else f"{before}\n{text}\n")


def change(campaign: Campaign, before: str, after: str) -> None:
    path = campaign.directory / "production.toml"
    text = path.read_text()
    assert before in text
    path.write_text(text.replace(before, after))


# --- all is well ------------------------------------------------------------------------------------------------------


def test_a_good_campaign_is_all_ok_and_nothing_is_changed(good: Campaign) -> None:
    before = tree(good)
    found = asked(good)
    assert tree(good) == before
    assert [one["check"] for one in found] == CHECKS
    assert {name: state for name, state in states(found).items() if state != "ok"} == {
        "netrc": "not asked: the archive is a directory, and needs no login"
    }
    said = {str(one["check"]): str(one["found"]) for one in found}
    assert said["settings"] == "production.toml; data in data"
    assert re.fullmatch(
        rf"production\.db: schema {sqlite.VERSION}, [\d.]+ KiB, whole, WAL, on \w+; .* may write it", said["database"]
    )
    assert re.fullmatch(r"data is writable, no other database's, hard links", said["data"])
    assert re.fullmatch(rf"{good.archive} is there: 2 files, \d\.\d\d s", said["archive"])
    assert re.fullmatch(rf"local: a job ran `true` on {os.uname().nodename}: exit 0, seen after \S+ s", said["batch"])


def test_its_lines_are_for_people(good: Campaign) -> None:
    good.database.unlink()
    result = good.product("doctor")
    assert (result.code, result.err) == (1, "")
    lines = result.out.splitlines()
    assert lines[0] == "ok   settings  production.toml; data in data"
    at = next(at for at, line in enumerate(lines) if line.startswith("bad"))
    assert lines[at] == f"bad  database  {good.database} is not there (settings: {good.directory}/production.toml)"
    assert lines[at + 1].startswith(
        " " * 15 + "mend: are you in the right directory? A new one is made by: production init"
    )
    assert lines[at + 2] == "--   locking   not asked: first mend database"


def test_on_a_terminal_it_is_as_narrow_as_that() -> None:
    one = finding.Finding("data", False, "a long /path/that/is/never/broken " * 9, "chmod g+w '/some/where/else'")
    lines = doctor.lines(one, 80)
    assert max(map(len, lines)) <= 80
    assert lines[0].startswith("bad  data      a long")
    assert lines[1].startswith(" " * 15 + "/path") or lines[1].startswith(" " * 15)
    assert lines[-1] == " " * 15 + "mend: chmod g+w '/some/where/else'"


def test_before_the_database_is_made_all_else_is_looked_at(good: Campaign) -> None:
    good.database.unlink()
    shutil.rmtree(good.data)
    found = asked(good)
    only_bad(found, "database", "is not there", "production init")
    assert states(found)["data"] == states(found)["batch"] == "ok"
    assert not good.data.exists()


def test_it_may_look_while_managers_work(good: Campaign) -> None:
    go = good.pipe("go")
    good.script("sim.sh", 'read go <@/go; cp "$1" "$2"')
    manager = good.start("--production=sim", "--new=v6", "--nproc=2")
    manager.wait_for("Submitting run: ", times=2)
    assert "bad" not in states(asked(good)).values()
    go.give(2)
    result = manager.wait()
    assert (result.code, good.letters("sim_v2")) == (0, "FF"), str(result)


def test_one_may_ask_for_some(good: Campaign) -> None:
    assert [one["check"] for one in asked(good, "locking", "archive")] == ["locking", "archive"]
    good.database.unlink()
    assert states(asked(good, "locking")) == {"database": "bad", "locking": "not asked: first mend database"}


@pytest.mark.parametrize(
    ("message", "parts"),
    [
        ("data x: y may not be written by you; mend: chmod g+rwx 'y'", ("data x: y may not be written by you", "chmod g+rwx 'y'")),
        ("cannot write a: No space left (make room on it)", ("cannot write a: No space left", "make room on it")),
        ("f is missing: write `machine h` into it, then chmod 600 f", ("f is missing", "write `machine h` into it, then chmod 600 f")),
        ("the archive says: 550 (no (such) file)", ("the archive says: 550 (no (such) file)", "look")),
    ],
)  # fmt: skip
def test_a_message_is_parted_from_its_mend(message: str, parts: tuple[str, str]) -> None:
    assert finding.parted(message, "look") == parts


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["databse"], "databse: no such check; there are: settings, files, "),
        (["--patience=0"], "--patience=0: a whole number from 1"),
        (["--jsn"], "did you mean --json?"),
        (["--batch=pbs"], "--batch=pbs: no such system; there are: local, sge, slurm"),
    ],
)
def test_wrong_options_are_exit_2(good: Campaign, words: list[str], said: str) -> None:
    result = good.product("doctor", *words)
    assert (result.code, result.out) == (2, "")
    assert said in result.err


# --- what was written ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("break_", "what", "mend"),
    [
        (lambda one: add(one, "nprok = 3", top=True), "production.toml:1: nprok: no such key", "nproc"),
        (lambda one: add(one, "[programs.sim"), "production.toml:", "."),
        (lambda one: (one.directory / "production.toml").chmod(0) or os.remove(one.directory / "production.toml")
            or (one.directory / "production.toml").mkdir(), "production.toml: a directory", "move it away"),
    ],
)  # fmt: skip
def test_settings_that_cannot_be_read_are_a_line(good: Campaign, break_: Break, what: str, mend: str) -> None:
    break_(good)
    found = asked(good)
    only_bad(found, "settings", what, mend)
    assert {one["ok"] for one in found[1:]} == {None}


@pytest.mark.parametrize(
    ("break_", "what", "mend"),
    [
        (lambda one: (one.directory / "sim.sh").unlink(), r"sim\.sh is not there", "put it there"),
        (lambda one: (one.directory / "sim.sh").write_bytes(b"#!/bin/sh\r\ntrue\r\n"), "DOS line ends", r"sed -i"),
        (lambda one: add(one, 'check = "command"\ncommand = ["nothing_like_it"]'), "nothing_like_it, is no program on the PATH", "command"),
        (lambda one: add(one, 'check = "command"\ncommand = ["./sim.txt"]'), r"sim\.txt, is no program", r"chmod \+x"),
        (lambda one: change(one, "[programs.sim]", '[programs.sim]\nhome = "private"\nlink = ["data/odb"]'), r"home/data/odb is not there", "make it"),
        (lambda one: change(one, "[programs.sim]", '[programs.sim]\nmodules = "modules.txt"'), r"modules\.txt is not there", "modules"),
    ],
)  # fmt: skip
def test_a_program_that_cannot_run_is_a_line(good: Campaign, break_: Break, what: str, mend: str) -> None:
    break_(good)
    found = asked(good)
    only_bad(found, "program", f"sim.*{what}", mend)
    assert states(found)["batch"] == "ok"


def test_too_few_open_files(good: Campaign) -> None:
    command = f"ulimit -Hn 200; ulimit -Sn 80; exec {good.python} -m production doctor files"
    result = good.call(["sh", "-c", command])
    assert result.code == 1
    assert "bad  files     80 open files allowed, 86 needed at most (nproc = 10)\n" in result.out
    assert "mend: ulimit -n 86\n" in result.out


# --- the database ------------------------------------------------------------------------------------------------------


def sql(campaign: Campaign, *statements: str) -> None:
    with contextlib.closing(sqlite3.connect(campaign.database, isolation_level=None)) as connection:
        for statement in statements:
            connection.execute(statement)


def old(campaign: Campaign) -> None:
    campaign.database.unlink()
    sql(campaign, "CREATE TABLE productions (type TEXT)")


def damaged(campaign: Campaign) -> None:
    sql(campaign, "PRAGMA journal_mode = DELETE")
    content = bytearray(campaign.database.read_bytes())
    for page in range(3, len(content) // 4096, 5):
        content[page * 4096 : page * 4096 + 2000] = b"\xa5" * 2000
    campaign.database.write_bytes(content)


def open_to_all_but_its_directory(campaign: Campaign) -> None:
    campaign.database.chmod(0o666)
    campaign.directory.chmod(0o755)


@pytest.mark.parametrize(
    ("break_", "what", "mend"),
    [
        (lambda one: one.database.unlink(), "is not there", "production init"),
        (lambda one: one.database.unlink() or one.database.mkdir(), "is not a file", "production init"),
        (lambda one: one.database.write_bytes(b"no database at all" * 99), "not a database", "restore|right file"),
        (lambda one: sql(one, "PRAGMA application_id = 7"), "old scripts|not a production database", "production"),
        (old, "is a database of the old scripts", "production import"),
        (lambda one: sql(one, "PRAGMA user_version = 99"), "schema version 99, this program knows 1 to", "update run_production"),
        (damaged, "malformed|damaged", "restore it from a copy"),
        (open_to_all_but_its_directory, "others may write .* but not its directory", r"^chmod g\+rwxs"),
    ],
)  # fmt: skip
def test_a_database_that_will_not_do(good: Campaign, break_: Break, what: str, mend: str) -> None:
    break_(good)
    before = good.database.read_bytes() if good.database.is_file() else None
    found = asked(good)
    only_bad(found, "database", what, mend)
    assert states(found)["locking"] == "not asked: first mend database"
    assert states(found)["batch"] == states(found)["archive"] == "ok"
    assert before == (good.database.read_bytes() if good.database.is_file() else None)


def test_a_database_of_an_earlier_version_will_do(campaign: Campaign) -> None:
    campaign.settings(SIM)
    with contextlib.closing(sqlite3.connect(campaign.database)) as connection:
        connection.executescript((ROOT / "tests/data/schema-version-2.sql").read_text())
        connection.execute("INSERT INTO catalogue (id, created) VALUES ('0a1b2c3d', '2026-11-20T21:00:00.000000Z')")
        connection.commit()
    [found] = asked(campaign, "database")
    assert f": schema 2 ({sqlite.VERSION} after: production upgrade), " in str(found["found"])


@pytest.mark.parametrize(("how", "check"), [("IMMEDIATE", "locking"), ("EXCLUSIVE", "database")])
def test_somebody_who_holds_the_lock(good: Campaign, how: str, check: str) -> None:
    sql(good, "PRAGMA journal_mode = DELETE")
    with contextlib.closing(sqlite3.connect(good.database, isolation_level=None)) as somebody:
        somebody.execute(f"BEGIN {how}")
        found = asked(good, "--patience=9")
    only_bad(found, check, "somebody else holds the database's lock, for [34] s", f"fuser -v '{good.database}'")
    only = asked(good)
    assert "bad" not in states(only).values()


@pytest.fixture
def theirs(
    new_campaign: Callable[[pathlib.Path], Campaign], users: tuple[User, User], house: tuple[str, pathlib.Path]
) -> Iterator[Campaign]:
    """A campaign of the first of two people, where the second may look."""
    with tempfile.TemporaryDirectory(prefix="rp-doctor-", ignore_cleanup_errors=True) as made:
        pathlib.Path(made).chmod(0o755)
        campaign = new_campaign(pathlib.Path(made) / "campaign")
        campaign.python, campaign.root = house
        campaign.environment |= {"PYTHONPATH": str(house[1]), "PYTHONDONTWRITEBYTECODE": "1"}
        campaign.settings(SIM)
        campaign.script("sim.sh", 'cp "$1" "$2"')
        campaign.raw(range(1, 3))
        campaign.data.mkdir()
        for user in users:
            (campaign.home / user.name).mkdir()
            os.chown(campaign.home / user.name, user.uid, user.gid)
        for path in (campaign.directory, campaign.data, campaign.directory / "sim.sh"):
            os.chown(path, users[0].uid, users[0].gid)
        campaign.ok("init", str(campaign.database), user=users[0])
        yield campaign


def test_what_others_may_not_write(theirs: Campaign, users: tuple[User, User]) -> None:
    alice, bob = users
    assert "bad" not in states(asked(theirs, user=alice)).values()
    found = [one for one in asked(theirs, user=bob) if one["ok"] is False]
    assert [one["check"] for one in found] == ["database", "data"]
    assert found[0]["found"] == f"{theirs.database} may not be written by you"
    assert found[0]["mend"] == f"as its owner: chmod g+w '{theirs.database}'"
    assert found[1]["mend"] == f"chmod g+rwx '{theirs.data}'"
    theirs.database.chmod(0o666)
    found = [one for one in asked(theirs, user=bob) if one["ok"] is False]
    assert "the directory of" in str(found[0]["found"])
    assert found[0]["mend"] == f"as its owner: chmod g+rwxs '{theirs.directory}'"


def test_a_script_that_may_not_be_read(theirs: Campaign, users: tuple[User, User]) -> None:
    (theirs.directory / "sim.sh").chmod(0o300)
    only_bad(asked(theirs, user=users[0]), "program", r"sim: .*sim\.sh may not be read by you", r"chmod a\+r '")


# --- the disks --------------------------------------------------------------------------------------------------------


def of_another_database(campaign: Campaign) -> None:
    campaign.database.rename(campaign.directory / "other.db")
    campaign.begin("1-2")


def a_file(campaign: Campaign) -> None:
    shutil.rmtree(campaign.data)
    campaign.data.write_text("")


@pytest.mark.parametrize(
    ("break_", "what", "mend"),
    [
        (of_another_database, "belongs to another database", "give each database a data directory of its own"),
        (a_file, "is not a directory", "look at the directory"),
    ],
)
def test_a_data_directory_that_will_not_do(good: Campaign, break_: Break, what: str, mend: str) -> None:
    break_(good)
    found = asked(good)
    only_bad(found, "data", what, mend)
    assert states(found)["archive"] == "ok"


@pytest.mark.parametrize(
    ("options", "what", "mend"),
    [
        ("size=3m", r"under data: 3\.0 MiB of 3\.0 MiB free", "make room on it"),
        ("size=300m,nr_inodes=500", r"300\.0 MiB free, 4\d\d inodes", "remove small files"),
    ],
)
def test_a_full_disk(good: Campaign, need: Need, options: str, what: str, mend: str) -> None:
    mount = need("mount", shutil.which("mount"))
    shutil.rmtree(good.data)
    good.data.mkdir()
    argv = [str(mount), "-t", "tmpfs", "-o", options, "tmpfs", str(good.data)]
    need("the right to mount a tmpfs", subprocess.run(argv, check=False, capture_output=True).returncode == 0)
    try:
        found = asked(good)
    finally:
        subprocess.run(["umount", str(good.data)], check=True)
    bad = [one for one in found if one["ok"] is False]
    assert [one["check"] for one in bad] == ["disk"]
    assert re.search(what, str(bad[0]["found"])), bad
    assert str(bad[0]["mend"]).startswith(mend)
    assert [one["ok"] for one in found if one["check"] == "disk"] == [False, True]  # the database is elsewhere
    assert states(found)["batch"] == states(found)["clock"] == "not asked: first mend disk"


@pytest.mark.parametrize(("ahead", "ok", "said"), [
    (0.0, True, "agree"), (-1.5, True, "differ by 1.5 s"), (61.0, False, "61 s ahead of us"), (-3600.0, False, "3,600 s behind us"),
])  # fmt: skip
def test_the_clock_of_the_file_server_is_compared_with_ours(
    tmp_path: pathlib.Path, ahead: float, ok: bool, said: str
) -> None:
    def ours() -> float:
        path = tmp_path / "now"
        path.unlink(missing_ok=True)
        path.write_text("")
        return path.stat().st_mtime - ahead

    found = ground.compared(ground.ahead(str(tmp_path), ours))
    assert found.ok is ok
    assert found.found.endswith(said)
    assert bool(found.mend) is not ok


# --- who says how full it is ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("state", "what", "mend"),
    [
        ({"used": 95 << 30, "hard": 100 << 30}, r"95\.0 GiB of 100\.0 GiB used, 95 %; spacelim = 90 allows 90\.0 GiB", "remove something"),
        ({"lie": "exit"}, "mmlsquota -Y: exit 1: mmlsquota: 6027-533 the daemon is not running", "by hand"),
        ({"lie": "garbage"}, "mmlsquota -Y: ", "by hand"),
        ({"lie": "hang"}, "no answer for 6 s", "by hand"),
    ],
)  # fmt: skip
def test_a_quota_reader_that_fails(good: Campaign, state: dict[str, object], what: str, mend: str) -> None:
    add(good, '[quota]\nreader = "mmlsquota"')
    path = good.directory / "quota.json"
    good.environment |= {"PATH": f"{ROOT}/tests/fakes/bin:{os.environ['PATH']}", "FAKE_QUOTA": str(path)}
    path.write_text(json.dumps({"used": 10 << 30, "hard": 100 << 30}))
    assert "bad" not in states(asked(good)).values()
    path.write_text(json.dumps({"used": 10 << 30, "hard": 100 << 30, **state}))
    patience = SHORT if state.get("lie") == "hang" else LONG
    only_bad(asked(good, patience), "quota", what, mend)


def test_a_quota_reader_that_is_not_there(good: Campaign) -> None:
    add(good, '[quota]\nreader = "mmlsquota"')
    only_bad(asked(good), "quota", "mmlsquota is not on the PATH", "add its directory")


# --- the archive --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("break_", "what", "mend"),
    [
        (lambda one: shutil.rmtree(one.archive), "is not there", "mounted"),
        (lambda one: [path.unlink() for path in one.archive.iterdir()], "is empty or not there", "mounted"),
        (lambda one: change(one, 'archive = "archive"\n', ""), "sim has an input, but no archive is set", "write archive ="),
    ],
)  # fmt: skip
def test_a_mounted_archive_that_is_not(good: Campaign, break_: Break, what: str, mend: str) -> None:
    break_(good)
    found = asked(good)
    bad = next(one for one in found if one["ok"] is False)
    only_bad(found, str(bad["check"]), what, mend)
    assert bad["check"] in ("archive", "netrc")


@pytest.fixture
def server(good: Campaign) -> Iterator[hostile_ftp.Server]:
    """The good campaign's archive, behind FTP."""
    one = hostile_ftp.Server(good.archive)
    change(good, 'archive = "archive"', f'archive = {{ url = "{one.url()}", netrc = "netrc" }}')
    ftp.write_netrc(good.directory / "netrc")
    yield one
    one.close()


@pytest.mark.feature("AC-14")
def test_an_archive_behind_ftp(good: Campaign) -> None:
    one = ftp.Pyftpdlib(good.archive)
    change(good, 'archive = "archive"', f'archive = {{ url = "ftp://127.0.0.1:{one.port}/", netrc = "netrc" }}')
    ftp.write_netrc(good.directory / "netrc")
    found = asked(good)
    one.close()
    assert set(states(found).values()) == {"ok"}
    said = {str(one["check"]): str(one["found"]) for one in found}
    assert said["netrc"] == f"netrc: mode 600, has 127.0.0.1 for {ftp.USER}"
    assert re.fullmatch(
        rf"ftp://127\.0\.0\.1:\d+/ lets us in as {re.escape(ftp.USER)}: 2 files, \S+ s", said["archive"]
    )


@pytest.mark.feature("AC-14")
@pytest.mark.parametrize(
    ("break_", "what", "mend"),
    [
        (lambda path: path.unlink(), "is missing", "^write `machine 127.0.0.1 login … password …` into it, then chmod 600"),
        (lambda path: path.chmod(0o644), "may be read by others$", "^chmod 600 "),
        (lambda path: path.write_text(f"machine elsewhere login a password {ftp.PLAIN_USER}\n"), "has no entry for 127.0.0.1$", "^add `machine 127"),
        (lambda path: path.write_text("machine 127.0.0.1 login\n"), "has no login for 127.0.0.1$", "^write `machine 127"),
        (lambda path: path.write_text("machinery is what this is\n"), "line 1 can't be understood$", "^write `machine HOST"),
    ],
)  # fmt: skip
def test_a_netrc_that_will_not_do(
    good: Campaign, server: hostile_ftp.Server, break_: Callable[[pathlib.Path], object], what: str, mend: str
) -> None:
    break_(good.directory / "netrc")
    only_bad(asked(good), "netrc", what, mend)
    assert not server.heard


@pytest.mark.feature("AC-14")
@pytest.mark.parametrize(
    ("mood", "what", "mend"),
    [
        ({"login": lambda user, password: f"530 {user}, {password} is wrong"}, "refuses the login of .*: 530", r"^look at the user and password in .*netrc$"),
        ({"greeting": "421 come back later"}, "is away: 421 come back later", "production archive check"),
        ({"silent": "CONNECT"}, "no answer for 6 s", "production archive check"),
        ({"silent": "LIST"}, "no answer for 6 s", "production archive check"),
        ({"answers": {"LIST": "550 no such directory"}}, "550 no such directory", "production archive"),
    ],
)  # fmt: skip
def test_a_server_that_does_not_serve(
    good: Campaign, server: hostile_ftp.Server, mood: dict[str, object], what: str, mend: str
) -> None:
    server.mood = hostile_ftp.Mood(**mood)  # type: ignore[arg-type]
    only_bad(asked(good, SHORT if "silent" in mood else LONG), "archive", what, mend)
    assert server.count("PASS") <= 1
    for words in ([], ["--json"]):
        said = good.product("doctor", "netrc", "archive", "--patience=2", *words)
        assert ftp.PASSWORD not in said.out + said.err
        assert json.dumps(ftp.PASSWORD, ensure_ascii=False)[1:-1] not in said.out


def test_a_server_that_is_away(good: Campaign, server: hostile_ftp.Server) -> None:
    server.close()
    only_bad(asked(good), "archive", "is away: Connection refused", "production archive check")


@pytest.mark.feature("AC-08")
def test_a_real_cluster_runs_true(ground: clusters_.Ground) -> None:
    campaign = ground.campaign
    campaign.settings(SIM.replace('input = "run{run:05d}.mid"\n', "").replace('"{input}", ', ""))
    campaign.script("sim.sh", 'echo tree >"$1"')
    ground.begin("1-2")
    campaign.environment["PATH"] += f":{os.environ['PATH']}"
    change(campaign, 'archive = "archive"\n', "")
    found = asked(campaign, f"--batch={ground.system}", user=ground.user)
    [batch] = [one for one in found if one["check"] == "batch"]
    assert re.fullmatch(rf"{ground.system}: a job ran `true` on \S+: exit 0, seen after \S+ s", str(batch["found"])), (
        batch
    )
    assert "bad" not in states(found).values()
    ground.until_empty()
    assert not campaign.data.exists()
    assert not ground.calls()[ground.cancel]


# --- who computes ---------------------------------------------------------------------------------------------------------


def on_cluster(campaign: Campaign, system: str, **how: object) -> clusters.Cluster:
    cluster = clusters.Cluster(campaign.directory / "cluster.json", **how)
    change(campaign, 'archive = "archive"', f'archive = "archive"\nbatch = "{system}"')
    campaign.environment |= {
        "PATH": f"{ROOT}/tests/fakes/bin:{os.environ['PATH']}", "FAKE_CLUSTER": str(cluster.path)
    }  # fmt: skip
    return cluster


def living(cluster: clusters.Cluster) -> list[object]:
    with cluster.state() as known:
        return [job for job in known["jobs"] if job["state"] in ("PENDING", "RUNNING")]


@pytest.mark.parametrize("system", ["slurm", "sge"])
def test_a_cluster_runs_true(good: Campaign, system: str) -> None:
    prefix = {"slurm": "#SBATCH --account=mu", "sge": "#$ -P mu"}[system]
    good.script("sim.sh", f'{prefix}\ncp "$1" "$2"')
    cluster = on_cluster(good, system)
    found = asked(good)
    assert "bad" not in states(found).values()
    [said] = [str(one["found"]) for one in found if one["check"] == "batch"]
    assert re.fullmatch(rf"{system}: a job ran `true` on {os.uname().nodename}: exit 0, seen after \S+ s", said)
    [script] = list(good.directory.glob("cluster.json.*.sh"))
    assert prefix in script.read_text().splitlines()  # what the site wants of everybody
    assert len(cluster.calls("sbatch" if system == "slurm" else "qsub")) == 1
    assert not cluster.calls("scancel") + cluster.calls("qdel")
    assert living(cluster) == []
    assert not list(good.data.glob(".doctor*"))


@pytest.mark.parametrize("system", ["slurm", "sge"])
@pytest.mark.parametrize(
    ("how", "what", "mend"),
    [
        ({"hold": True}, r"job 11.1 of `true` is still pending after \d+ s.*; it was cancelled", "--patience=600"),
        ({"lies": {"sbatch": ["exit"], "qsub": ["exit"]}}, "something is wrong", "."),
        ({"lies": {"sbatch": ["hang"], "qsub": ["hang"]}}, "took longer than 2.5 s", "by hand"),
        ({"lies": {"sbatch": ["down"], "qsub": ["down"]}}, "Unable to contact|Connection refused", "."),
        ({"most": 0}, "was not taken: ", "wait until"),
        ({"lies": {"sbatch": ["lost"], "qsub": ["lost"]}, "hold": True}, "Socket timed out", "."),
    ],
)  # fmt: skip
def test_a_cluster_that_does_not_compute(
    good: Campaign, system: str, how: dict[str, object], what: str, mend: str
) -> None:
    cluster = on_cluster(good, system, **how)
    only_bad(asked(good, SHORT if "pending" in what else LONG), "batch", what, mend)
    assert living(cluster) == []
    assert not list(good.data.glob(".doctor*"))


def test_a_cluster_whose_commands_are_not_there(good: Campaign) -> None:
    change(good, 'archive = "archive"', 'archive = "archive"\nbatch = "slurm"')
    good.environment["PATH"] = "/bin:/usr/bin" if shutil.which("sbatch", path="/bin:/usr/bin") is None else "/nowhere"
    only_bad(asked(good), "batch", "sbatch is not on the PATH", "load the cluster's environment")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_ctrl_c_takes_the_job_away(good: Campaign, number: signal.Signals) -> None:
    cluster = on_cluster(good, "slurm", hold=True)
    manager = good.begun([good.python, "-m", "production", "doctor"])
    until(lambda: bool(living(cluster)), "its job is there")  # the cluster's file is all that says so
    result: Result = manager.stop(number)
    assert result.code == 130, str(result)
    assert "Traceback" not in result.err
    assert living(cluster) == []
    assert not list(good.data.glob(".doctor*"))


def test_a_ctrl_c_while_an_archive_hangs(good: Campaign, server: hostile_ftp.Server) -> None:
    server.mood = hostile_ftp.Mood(silent="CONNECT")
    manager = good.begun([good.python, "-m", "production", "doctor"])
    assert server.silence.acquire(timeout=30)
    result = manager.stop()
    assert result.code == 130, str(result)
    assert "ok   netrc" in result.out
    assert "Traceback" not in result.err
