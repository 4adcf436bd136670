"""The SQLite catalogue in an unkind world: odd places, other users, locks, full disks, damaged files."""

from __future__ import annotations

import contextlib
import datetime
import hashlib
import itertools
import os
import pathlib
import shutil
import signal
import sqlite3
import stat
import subprocess
import sys
import tempfile
import textwrap
import time
from collections.abc import Callable, Iterator

import pytest

from production import errors, process
from production import run as runs
from production.catalogue import base, place, sqlite
from tests.fakes import clock

NOW = clock.START
DATA = pathlib.Path(__file__).parent / "data"

ROOT = pathlib.Path(__file__).resolve().parent.parent

Need = Callable[[str, object], object]


@pytest.fixture
def path(tmp_path: pathlib.Path) -> str:
    """A new database."""
    path = str(tmp_path / "production.db")
    sqlite.create(path, NOW)
    return path


@pytest.fixture
def ends() -> Iterator[contextlib.ExitStack]:
    with contextlib.ExitStack() as stack:
        yield stack


def rows(*numbers: int) -> list[base.DatasetRow]:
    return [base.DatasetRow(run, "Al50") for run in numbers]


def add(database: sqlite.Database, *numbers: int) -> int:
    with database.write() as change:
        return change.add_runs(rows(*numbers))


def count(path: str) -> int:
    """Runs there are, as anybody else sees it."""
    with contextlib.closing(sqlite3.connect(path)) as connection:
        number: int = connection.execute("SELECT count(*) FROM datasets").fetchone()[0]
        return number


def opened(path: str | os.PathLike[str], **options: object) -> contextlib.closing[sqlite.Database]:
    return contextlib.closing(sqlite.Database(str(path), **options))  # type: ignore[arg-type]


def tree(directory: str | os.PathLike[str]) -> dict[str, str]:
    """Every file below, with a digest."""
    return {
        str(path.relative_to(directory)): hashlib.sha256(path.read_bytes()).hexdigest() if path.is_file() else ""
        for path in sorted(pathlib.Path(directory).rglob("*"))
    }


def one_line(error: pytest.ExceptionInfo[errors.ProductionError]) -> str:
    message = str(error.value)
    assert message
    assert message.isprintable()
    return message


# ── making one ────────────────────────────────────────────────────────────────────────────────────────────────────


def test_it_is_never_made_by_accident(tmp_path: pathlib.Path) -> None:
    for name in ("production.db", "no/such/directory/production.db"):
        for read_only in (False, True):
            with pytest.raises(errors.UsageError, match="is not there; is the path right") as error:
                sqlite.Database(str(tmp_path / name), read_only=read_only)
            assert name in one_line(error)
            assert ("is empty, no database yet: remove it" in one_line(error)) == (name == "empty")
    assert tree(tmp_path) == {}


@pytest.mark.feature("AC-01")
def test_a_new_one_is_empty_and_alone(path: str, tmp_path: pathlib.Path) -> None:
    assert os.listdir(tmp_path) == ["production.db"]
    with opened(path) as database:
        assert database.productions() == []
        assert database.selections() == (set(), set(), set())


def test_two_are_two(tmp_path: pathlib.Path) -> None:
    ids = set()
    for name in ("a.db", "b.db"):
        sqlite.create(str(tmp_path / name), NOW)
        with opened(tmp_path / name) as database:
            add(database, 1)
            with database.write() as change:
                ids.add(
                    change.open_production(base.Opening("a", "t", "gold", None, (), "/data", "alice"), NOW).catalogue
                )
    assert len(ids) == 2


def _file(path: pathlib.Path) -> None:
    path.write_bytes(b"")


def _database(path: pathlib.Path) -> None:
    sqlite.create(str(path), NOW)


def _dangling(path: pathlib.Path) -> None:
    path.symlink_to("nowhere.db")


def _linked(path: pathlib.Path) -> None:
    path.symlink_to(path.parent)


@pytest.mark.parametrize("make", [_file, _database, pathlib.Path.mkdir, os.mkfifo, _dangling, _linked])
def test_nothing_is_replaced_by_a_new_one(tmp_path: pathlib.Path, make: Callable[[pathlib.Path], None]) -> None:
    there = tmp_path / "production.db"
    make(there)
    before = {name: os.lstat(tmp_path / name) for name in os.listdir(tmp_path)}
    with pytest.raises(errors.UsageError, match="exists already; nothing was changed") as error:
        sqlite.create(str(there), NOW)
    one_line(error)
    after = {name: os.lstat(tmp_path / name) for name in os.listdir(tmp_path)}
    assert [(name, state.st_ino, state.st_size) for name, state in before.items()] == [
        (name, state.st_ino, state.st_size) for name, state in after.items()
    ]


@pytest.fixture
def nobody() -> Callable[[], contextlib.AbstractContextManager[None]]:
    """Be a user without rights for a while."""

    @contextlib.contextmanager
    def nobody() -> Iterator[None]:
        me = os.geteuid()
        os.seteuid(65534 if me == 0 else me)
        try:
            yield
        finally:
            os.seteuid(me)

    return nobody


@pytest.fixture
def public() -> Iterator[pathlib.Path]:
    """A directory that other users can get to; pytest's own they can't."""
    with tempfile.TemporaryDirectory(prefix="run_production-test-") as name:
        os.chmod(name, 0o755)
        yield pathlib.Path(name)


Nobody = Callable[[], contextlib.AbstractContextManager[None]]


def test_where_one_may_not_write_none_is_made(public: pathlib.Path, nobody: Nobody) -> None:
    public.chmod(0o555)
    with nobody(), pytest.raises(errors.UsageError, match=r"new\.db can't be made") as error:
        sqlite.create(str(public / "new.db"), NOW)
    one_line(error)
    assert tree(public) == {}
    public.chmod(0o755)


def test_without_its_directory_none_is_made(tmp_path: pathlib.Path) -> None:
    (tmp_path / "file").write_text("x")
    for name in ("none/new.db", "file/new.db"):
        with pytest.raises(errors.UsageError, match=r"new\.db can't be made") as error:
            sqlite.create(str(tmp_path / name), NOW)
        one_line(error)
    assert list(tree(tmp_path)) == ["file"]


@pytest.mark.parametrize(
    "name",
    ["a b.db", "100%.db", "%41.db", "a?mode=memory.db", "a#b.db", "μ⁺→e⁺.db", 'it\'s "it".db', "a;b&c=d.db", "-x.db"],
)
def test_any_name_will_do(tmp_path: pathlib.Path, name: str) -> None:
    directory = tmp_path / f"in {name}"
    directory.mkdir()
    path = str(directory / name)
    sqlite.create(path, NOW)
    assert os.listdir(directory) == [name]
    with opened(path) as database:
        assert add(database, 1, 2) == 2
        assert sorted(os.listdir(directory)) == sorted(name + end for end in ("", "-shm", "-wal", ".lock"))
        with opened(path, read_only=True) as reader:
            assert reader.selections() == ({"Al50"}, set(), {"gold"})
    assert sorted(os.listdir(directory)) == sorted([name, name + ".lock"])


def test_a_relative_name_will_do(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    sqlite.create("x.db", NOW)
    (tmp_path / "elsewhere").mkdir()
    with opened("x.db") as database:
        monkeypatch.chdir(tmp_path / "elsewhere")
        assert add(database, 1) == 1
    assert count(str(tmp_path / "x.db")) == 1


def test_behind_a_symbolic_link_all_stands_beside_the_real_file(path: str, tmp_path: pathlib.Path) -> None:
    for name, target in (("one", path), ("two", "../one/link.db")):
        (tmp_path / name).mkdir()
        (tmp_path / name / "link.db").symlink_to(target)
    with opened(tmp_path / "two" / "link.db", patience=0.2) as database:
        assert database.place.path == path
        with opened(path, patience=0.2) as direct, database.write() as change:
            change.add_runs(rows(1))
            with pytest.raises(errors.CatalogueBusy), direct.write():
                pytest.fail("two at a time")
        names = [name for name in os.listdir(tmp_path) if name.startswith("production.db")]
        assert sorted(names) == [f"production.db{end}" for end in ("", "-shm", "-wal", ".lock")]
    for name in ("one", "two"):
        assert os.listdir(tmp_path / name) == ["link.db"]


# ── what is not one ───────────────────────────────────────────────────────────────────────────────────────────────


def script(path: pathlib.Path, text: str) -> None:
    with contextlib.closing(sqlite3.connect(path)) as connection:
        connection.executescript(text)


def test_other_things_are_not_opened_and_not_changed(tmp_path: pathlib.Path) -> None:
    (tmp_path / "text").write_text("run,dataset\n2091,Al50\n" * 100)
    (tmp_path / "empty").write_bytes(b"")
    (tmp_path / "short").write_bytes(b"SQLite format 3\0")
    script(tmp_path / "other", "CREATE TABLE addresses (name); PRAGMA user_version = 1;")
    (tmp_path / "directory").mkdir()
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "dangling").symlink_to("nowhere")
    before = {name: os.lstat(tmp_path / name).st_size for name in os.listdir(tmp_path)}
    for name in before:
        for read_only in (False, True):
            with pytest.raises(errors.UsageError) as error:
                sqlite.Database(str(tmp_path / name), read_only=read_only)
            assert name in one_line(error)
    assert {name: os.lstat(tmp_path / name).st_size for name in os.listdir(tmp_path)} == before


@pytest.mark.parametrize(
    "schema",
    [
        "CREATE TABLE datasets (run, dataset, qual);",
        "CREATE TABLE R15bdatasets (run, dataset, tranche, quality, geometry);",
        "CREATE TABLE productions (type, version, software, start, stop, base); CREATE TABLE alcapana_v1 (run);",
    ],
)
def test_a_database_of_the_old_scripts_is_named(tmp_path: pathlib.Path, schema: str) -> None:
    old = tmp_path / "production.db"
    script(old, schema)
    before = tree(tmp_path)
    with pytest.raises(errors.UsageError, match=r"of the old scripts; bring it over with: production import .*db NEW"):
        sqlite.Database(str(old))
    assert tree(tmp_path) == before


def test_tables_that_are_not_ours_do_no_harm(path: str) -> None:
    script(pathlib.Path(path), "CREATE TABLE addresses (name); CREATE VIEW mine AS SELECT * FROM datasets;")
    with opened(path) as database:
        assert add(database, 1) == 1


def test_a_newer_schema_is_left_alone(path: str, tmp_path: pathlib.Path) -> None:
    script(pathlib.Path(path), f"PRAGMA user_version = {sqlite.VERSION + 1};")
    before = tree(tmp_path)
    with pytest.raises(errors.UsageError, match=r"has schema version 5, this program knows 1 to 4") as error:
        sqlite.Database(path)
    one_line(error)
    assert tree(tmp_path) == before


def _columns(connection: sqlite3.Connection) -> dict[str, set[str]]:
    tables = [row[0] for row in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
    return {
        table: {row[0] for row in connection.execute("SELECT name FROM pragma_table_info(?)", (table,))}
        for table in tables
    }


def _rest(connection: sqlite3.Connection) -> dict[str, str]:
    """Indexes and triggers, as they were written."""
    query = "SELECT name, sql FROM sqlite_master WHERE type IN ('index', 'trigger') AND sql IS NOT NULL"
    return {name: "\n".join(line.rstrip() for line in text.splitlines()) for name, text in connection.execute(query)}


OLD_MOVES = """
    INSERT INTO catalogue (id, created) VALUES ('c0ffee00', '2026-01-01T00:00:00.000000Z');
    INSERT INTO run (run) VALUES (1), (2), (3);
    INSERT INTO productions (id, program, version, tag, quality, user, start, data)
      VALUES (1, 'sim', 1, 't', 'gold', 'alice', '2026-01-01T00:00:00.000000Z', '/data');
    INSERT INTO production_run (production, run, state, moved_at) VALUES
      (1, 1, 'new', '2026-01-01T00:00:00.000000Z'), (1, 2, 'new', '2026-01-01T00:00:00.000000Z'),
      (1, 3, 'new', '2026-01-01T00:00:00.000000Z');
    UPDATE production_run SET state = 'held', moved_at = '2026-01-01T05:30:00.000000Z' WHERE run IN (1, 2);
    UPDATE production_run SET state = 'new', moved_at = '2026-01-01T06:10:00.000000Z' WHERE run = 1;
"""


@pytest.mark.parametrize("version", range(1, sqlite.VERSION))
def test_a_database_of_an_earlier_version_is_brought_up_to_this_one(
    version: int, path: str, tmp_path: pathlib.Path
) -> None:
    """By whoever writes first; who only looks changes nothing. What had been is known as if it had been written by this one."""
    old = tmp_path / "old.db"
    script(old, (DATA / f"schema-version-{version}.sql").read_text(encoding="utf-8") + OLD_MOVES)
    with contextlib.closing(sqlite3.connect(old)) as connection, contextlib.closing(sqlite3.connect(path)) as new:
        before = _columns(connection)
        with opened(str(old)) as database:
            assert database.counts(1)[runs.State.HELD] == 1
            assert _columns(connection) == before
            assert add(database, 4) == 1
            assert add(database, 5) == 1
            then = datetime.datetime(2026, 1, 1, 6, 0, tzinfo=datetime.UTC)
            assert {state.value: number for state, number in database.records.counts_at(1, then).items() if number} == {
                "new": 1,
                "held": 2,
            }
            assert database.records.counts_at(1, NOW) == database.counts(1)
        assert _columns(connection) == _columns(new)
        assert _rest(connection) == _rest(new)
        assert connection.execute("PRAGMA user_version").fetchone() == (sqlite.VERSION,)
        assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)


def use(path: str) -> None:
    """A little of everything."""
    with opened(path) as database:
        database.selections()
        for production in database.productions():
            database.counts(production.id)
            database.managers(production.id)
            database.next_runs(production.id, 1, runs.Wanted(), NOW)
        with database.write() as change:
            change.add_runs(rows(*range(100)))
            change.open_production(base.Opening("alcapana", "t", "gold", None, ("tree",), "/data", "alice"), NOW)


def test_a_damaged_database_is_one_line(path: str) -> None:
    """Cut anywhere, or a page of rubbish anywhere: it works or says so, and never without a word."""
    use(path)
    whole = pathlib.Path(path).read_bytes()
    said = set()
    for at in range(0, len(whole), 2 * 4096):
        for damaged in (whole[:at], whole[: at + 100], whole[:at] + b"\xa5" * 4096 + whole[at + 4096 :]):
            pathlib.Path(path).write_bytes(damaged)
            try:
                use(path)
            except errors.ProductionError as error:
                assert str(error).isprintable()
                assert not error.transient
                said.add(str(error).removeprefix(path))
    assert any("malformed" in each for each in said)
    assert any("not a database" in each for each in said)


# ── where it stands ───────────────────────────────────────────────────────────────────────────────────────────────

GROUP, OTHER_GROUP = 54321, 54322


@pytest.fixture
def root(need: Need) -> None:
    need("root", os.geteuid() == 0)


@pytest.mark.usefixtures("root")
@pytest.mark.parametrize(
    ("directory", "file", "groups", "journal"),
    [
        (0o0755, 0o644, (GROUP, GROUP), "WAL"),
        (0o0700, 0o600, (GROUP, GROUP), "WAL"),
        (0o2775, 0o664, (GROUP, GROUP), "WAL"),
        (0o2770, 0o660, (GROUP, GROUP), "WAL"),
        (0o0775, 0o664, (GROUP, GROUP), "TRUNCATE"),  # what one makes there has the maker's own group
        (0o2755, 0o664, (GROUP, GROUP), "TRUNCATE"),
        (0o0755, 0o664, (GROUP, GROUP), "TRUNCATE"),
        (0o2775, 0o664, (OTHER_GROUP, GROUP), "TRUNCATE"),
        (0o0777, 0o666, (GROUP, GROUP), "TRUNCATE"),
        (0o2777, 0o666, (GROUP, GROUP), "WAL"),
        (0o2775, 0o666, (GROUP, GROUP), "TRUNCATE"),
        (0o0755, 0o606, (GROUP, GROUP), "TRUNCATE"),
    ],
)
def test_the_journal_suits_all_who_may_write(
    path: str, tmp_path: pathlib.Path, directory: int, file: int, groups: tuple[int, int], journal: str
) -> None:
    os.chown(tmp_path, -1, groups[0])
    os.chown(path, -1, groups[1])
    os.chmod(tmp_path, directory)
    os.chmod(path, file)
    found = place.look(path)
    assert (found.journal == "WAL") == (journal == "WAL")
    if journal == "WAL":
        assert found.advice == ""
    else:
        assert f"chmod g+rwxs '{tmp_path}'" in found.advice
        assert found.advice.isprintable()
    with opened(path) as database:
        add(database, 1)
        with contextlib.closing(sqlite3.connect(path)) as connection:
            assert connection.execute("PRAGMA journal_mode").fetchone() == (
                "wal" if journal == "WAL" else "delete",  # TRUNCATE is the connection's own
            )
        for name in os.listdir(tmp_path):
            assert stat.S_IMODE(os.stat(tmp_path / name).st_mode) == file, name
    if journal == "TRUNCATE" and file & 0o020:
        os.chmod(tmp_path, 0o2777)  # the advice
        os.chown(tmp_path, -1, groups[1])
        assert place.look(path).journal == "WAL"


@pytest.mark.usefixtures("root")
@pytest.mark.parametrize("umask", [0o022, 0o077, 0o002])
def test_a_new_one_in_a_shared_directory_is_shared(tmp_path: pathlib.Path, umask: int) -> None:
    os.chown(tmp_path, -1, GROUP)
    os.chmod(tmp_path, 0o2775)
    before = os.umask(umask)
    try:
        sqlite.create(str(tmp_path / "new.db"), NOW)
        with opened(tmp_path / "new.db") as database:
            assert database.place.journal == "WAL"
            add(database, 1)
            for name in os.listdir(tmp_path):
                state = os.stat(tmp_path / name)
                assert (stat.S_IMODE(state.st_mode), state.st_gid) == (0o664, GROUP), name
    finally:
        os.umask(before)


@pytest.mark.parametrize(("umask", "mode"), [(0o022, 0o644), (0o077, 0o600)])
def test_a_new_one_elsewhere_is_as_the_umask_says(tmp_path: pathlib.Path, umask: int, mode: int) -> None:
    before = os.umask(umask)
    try:
        sqlite.create(str(tmp_path / "new.db"), NOW)
        with opened(tmp_path / "new.db") as database:
            add(database, 1)
            assert stat.S_IMODE(os.stat(tmp_path / "new.db").st_mode) == mode
            assert stat.S_IMODE(os.stat(tmp_path / "new.db.lock").st_mode) == mode
    finally:
        os.umask(before)


MOUNTS = r"""
/dev/sda1 / ext4 rw 0 0
server:/home /home nfs4 rw 0 0
/dev/sdb1 /home/alice/local xfs rw 0 0
tmpfs /tmp tmpfs rw 0 0
server:/with /mnt/with\040space nfs rw 0 0
server:/greek /mnt/μ\134x cifs rw 0 0
sshfs#host: /mnt/ssh fuse.sshfs rw 0 0
/dev/sdc1 /mnt/usb fuseblk rw 0 0
/etc/auto /auto autofs rw 0 0
server:/auto /auto/data lustre rw 0 0
/etc/auto2 /auto2 autofs rw 0 0
server:/auto2 /auto2 nfs rw 0 0
gpfs /gpfs gpfs rw 0 0
"""


@pytest.mark.parametrize(
    ("path", "network"),
    [
        ("/x.db", False),
        ("/home/x.db", True),
        ("/home", True),
        ("/homework/x.db", False),
        ("/home/alice/x.db", True),
        ("/home/alice/local/x.db", False),
        ("/home/alice/localities/x.db", True),
        ("/tmp/x.db", False),
        ("/mnt/with space/x.db", True),
        ("/mnt/with/x.db", False),
        ("/mnt/μ\\x/x.db", True),
        ("/mnt/ssh/x.db", True),
        ("/mnt/usb/x.db", False),
        ("/auto/data/x.db", True),
        ("/auto2/x.db", True),
        ("/gpfs/deep/er/x.db", True),
    ],
)
def test_a_network_file_system_is_known_by_the_longest_mount(tmp_path: pathlib.Path, path: str, network: bool) -> None:
    (tmp_path / "mounts").write_text(MOUNTS.lstrip(), encoding="utf-8")
    assert place.on_network(path, str(tmp_path / "mounts")) == network


def test_the_place_on_a_network_has_its_advice() -> None:
    there = place.Place("/home/x.db", network=True, inode=1, advice="on a network file system")
    assert there.journal == "TRUNCATE"


# ── several users ─────────────────────────────────────────────────────────────────────────────────────────────────

AS_USER = """
import os, sys
import encodings.idna, random, secrets  # what is imported later: these users may not read where our Python is
from production.catalogue import base, change, migration, sqlite
from tests.fakes import clock

user, group, umask, deed, path = int(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3], 8), sys.argv[4], sys.argv[5]
os.setgroups([group])
os.setgid(user)
os.setuid(user)
os.umask(umask)
if deed == "create":
    sqlite.create(path, clock.START)
else:
    database = sqlite.Database(path, read_only=deed == "look")
    if deed == "look":
        print(len(database.selections()[0]))
    else:
        with database.write() as change:
            print(change.add_runs([base.DatasetRow(int(run), "Al50") for run in deed.split(",")]))
    print("done", flush=True)
    sys.stdin.readline()
    database.close()
"""


@contextlib.contextmanager
def as_user(user: int, umask: int, deed: str, path: pathlib.Path) -> Iterator[str]:
    """Another user's process, which has done the deed and has the database open still."""
    argv = [sys.executable, "-c", AS_USER, str(user), str(GROUP), oct(umask), deed, str(path)]
    with subprocess.Popen(argv, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as child:
        assert child.stdout is not None
        said = list(itertools.takewhile("done\n".__ne__, child.stdout))
        try:
            yield "".join(said).strip()
        finally:
            child.communicate("\n")


@pytest.mark.usefixtures("root")
def test_two_users_with_different_umasks(public: pathlib.Path) -> None:
    os.chown(public, 60001, GROUP)
    public.chmod(0o2775)
    path = public / "production.db"
    with contextlib.ExitStack() as alone:
        with subprocess.Popen(
            [sys.executable, "-c", AS_USER, "60001", str(GROUP), "0o77", "create", str(path)], cwd=ROOT
        ) as child:
            pass
        assert child.returncode == 0
        assert alone.enter_context(as_user(60001, 0o077, "1,2", path)) == "2"
        assert alone.enter_context(as_user(60002, 0o022, "2,3", path)) == "1"
        assert alone.enter_context(as_user(60002, 0o077, "look", path)) == "1"
        assert alone.enter_context(as_user(60001, 0o022, "4", path)) == "1"
    with as_user(60002, 0o022, "5", path), as_user(60001, 0o077, "6", path):
        pass
    assert count(str(path)) == 6


@pytest.mark.usefixtures("root")
@pytest.mark.parametrize(
    ("directory", "file", "group"),
    [
        (0o755, 0o644, 60003),
        (0o1777, 0o644, 60003),
        (0o2777, 0o664, 60003),
        (0o2775, 0o664, GROUP),
        (0o2775, 0o644, GROUP),
    ],
)
def test_who_looks_does_not_hinder_who_works(public: pathlib.Path, directory: int, file: int, group: int) -> None:
    """``production status`` of a stranger, or a colleague, must not leave files that lock the owner out."""
    os.chown(public, 60001, GROUP)
    public.chmod(directory)
    path = public / "production.db"
    argv = [sys.executable, "-c", AS_USER, "60001", str(GROUP), "0o22", "create", str(path)]
    subprocess.run(argv, cwd=ROOT, check=True)
    path.chmod(file)
    with as_user(60001, 0o022, "1", path):
        pass
    argv = [sys.executable, "-c", AS_USER, "60003", str(group), "0o22", "look", str(path)]
    subprocess.run(argv, cwd=ROOT, check=False, stdin=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    with as_user(60001, 0o022, "2", path) as added:
        assert added == "1"


@pytest.mark.feature("AC-05")
@pytest.mark.usefixtures("root")
def test_a_stranger_may_look(public: pathlib.Path) -> None:
    """Who may read the file and nothing else sees how it goes."""
    os.chown(public, 60001, GROUP)
    path = public / "production.db"
    argv = [sys.executable, "-c", AS_USER, "60001", str(GROUP), "0o22", "create", str(path)]
    subprocess.run(argv, cwd=ROOT, check=True)
    with as_user(60001, 0o022, "1", path), as_user(60003, 0o022, "look", path) as seen:
        assert seen == "1"
    with as_user(60003, 0o022, "look", path) as seen:  # also while nobody works
        assert seen == "1"


def test_who_may_not_write_is_told_what_to_do(public: pathlib.Path, nobody: Nobody, need: Need) -> None:
    need("root", os.geteuid() == 0)
    path = public / "production.db"
    sqlite.create(str(path), NOW)
    with opened(path):
        pass
    before = tree(public)
    with nobody(), pytest.raises(errors.ProductionError, match=r"production\.db") as error:
        add(sqlite.Database(str(path)), 1)
    one_line(error)
    assert tree(public) == before


# ── looking ───────────────────────────────────────────────────────────────────────────────────────────────────────


def wal(path: str) -> None:
    """As it is."""


def truncate(path: str) -> None:
    os.chmod(path, 0o666)


@pytest.mark.parametrize("journal", [wal, truncate])
def test_who_reads_changes_nothing_and_stops_nobody(path: str, journal: Callable[[str], None]) -> None:
    journal(path)
    with opened(path, patience=0.2) as writer:
        add(writer, 1)
        before = pathlib.Path(path).read_bytes()
        with opened(path, read_only=True) as reader:
            assert reader.selections() == ({"Al50"}, set(), {"gold"})
            assert pathlib.Path(path).read_bytes() == before
            assert add(writer, 2) == 1
            with writer.write() as change:
                change.add_runs([base.DatasetRow(3, "Si16")])
                if journal is wal:
                    assert reader.selections() == ({"Al50"}, set(), {"gold"})  # not yet
            assert reader.selections() == ({"Al50", "Si16"}, set(), {"gold"})
            with pytest.raises(errors.CatalogueError), reader.write() as change:
                change.add_runs(rows(4))
    assert count(path) == 3


@pytest.mark.parametrize("journal", ["WAL", "TRUNCATE"])
def test_who_waits_to_be_asked_stops_nobody(path: str, journal: str) -> None:
    """Between two questions nothing is held."""
    if journal == "TRUNCATE":
        truncate(path)
    with opened(path, read_only=True) as reader, opened(path, patience=0.2) as writer:
        for number in range(5):
            reader.productions()
            reader.selections()
            reader.production("alcapana")
            assert add(writer, number) == 1


# ── transactions ──────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("mistake", [RuntimeError, KeyboardInterrupt, SystemExit, errors.UsageError, GeneratorExit])
def test_an_exception_rolls_back_and_lets_go(path: str, mistake: type[BaseException]) -> None:
    with opened(path, patience=0.2) as database, opened(path, patience=0.2) as other:

        def deed() -> None:
            with database.write() as change:
                assert change.add_runs(rows(1, 2)) == 2
                raise mistake

        with pytest.raises(mistake):
            deed()
        assert count(path) == 0
        assert add(other, 1) == 1
        assert add(database, 1, 2) == 1


def test_a_mistake_in_the_sql_is_one_line_and_rolls_back(path: str) -> None:
    with opened(path) as database:

        def deed() -> None:
            with database.write() as change:
                change.add_runs(rows(1))
                change.enter(process.myself(), 99, "local", 1, 1, NOW)

        with pytest.raises(errors.CatalogueError, match="FOREIGN KEY") as error:
            deed()
        assert "production.db" in one_line(error)
        assert count(path) == 0
        assert add(database, 1) == 1


def test_a_lost_lease_is_seen_inside_the_transaction(path: str) -> None:
    with opened(path) as database, opened(path) as other:
        add(database, 1)
        with database.write() as change:
            production = change.open_production(base.Opening("a", "t", "gold", None, (), "/data", "alice"), NOW)
            owner = change.enter(process.myself(), production.id, "local", 1, 1, NOW)
        with database.write(owner) as change:
            assert len(change.claim(production.id, 1, owner, runs.Wanted(), NOW)) == 1
        with other.write() as change:
            assert change.lapse(owner, NOW)
        with pytest.raises(errors.LostLease) as error, database.write(owner):
            pytest.fail("entered")
        one_line(error)
        assert add(other, 2) == 1  # and nothing is held


# ── locks ─────────────────────────────────────────────────────────────────────────────────────────────────────────

SHELL = """
import select, sqlite3, sys
connection = sqlite3.connect(sys.argv[1], isolation_level=None, timeout=10)
connection.execute("BEGIN EXCLUSIVE")
print("held", flush=True)
select.select([sys.stdin], [], [], float(sys.argv[2]))
connection.execute("ROLLBACK")
"""

INSIDE = """
import os, signal, sys
from production.catalogue import base, sqlite
database = sqlite.Database(sys.argv[1])
with database.write() as change:
    change.add_runs([base.DatasetRow(1, "child")])
    if sys.argv[2] == "ctrl-z":
        os.kill(os.getpid(), signal.SIGTSTP)
    print("inside", flush=True)
    sys.stdin.readline()
print("outside", flush=True)
sys.stdin.readline()
database.close()
"""


@contextlib.contextmanager
def child(code: str, *arguments: object) -> Iterator[subprocess.Popen[str]]:
    """A process that has said its first line; it ends with its input."""
    argv = [sys.executable, "-c", textwrap.dedent(code), *map(str, arguments)]
    # A group of its own, whose parent is in another: else the kernel takes nobody's Ctrl-Z for it.
    options = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True, "process_group": 0}
    with subprocess.Popen(argv, cwd=ROOT, **options) as running:  # type: ignore[call-overload]
        try:
            assert running.stdout.readline()
            yield running
        finally:
            running.send_signal(signal.SIGCONT)
            running.communicate()
    assert running.returncode == 0


@pytest.mark.feature("AC-31")
@pytest.mark.parametrize("journal", [wal, truncate])
def test_a_lock_of_somebody_else_is_waited_for_with_a_bound(path: str, journal: Callable[[str], None]) -> None:
    journal(path)
    with opened(path, patience=0.3) as database:
        with child(SHELL, path, 60):
            for _ in range(2):
                start = time.monotonic()
                with pytest.raises(errors.CatalogueBusy, match="somebody") as error:
                    add(database, 1)
                assert error.value.transient
                assert 0.25 < time.monotonic() - start < 10
                one_line(error)
        assert add(database, 1) == 1


@pytest.mark.feature("AC-31")
@pytest.mark.parametrize("journal", [wal, truncate])
def test_a_lock_that_is_let_go_was_only_a_wait(path: str, journal: Callable[[str], None]) -> None:
    journal(path)
    with opened(path) as database, child(SHELL, path, 0.5):
        assert add(database, 1) == 1


@pytest.mark.feature("AC-31")
def test_one_may_come_while_it_is_locked(path: str) -> None:
    """A manager that starts waits as one that runs does, also where looking has to wait, too."""
    truncate(path)
    with opened(path) as database:
        add(database, 1)
    with child(SHELL, path, 1.5), opened(path) as database:
        assert add(database, 2) == 1


@pytest.mark.feature("AC-31")
def test_who_comes_while_it_is_locked_for_long_may_come_again(path: str) -> None:
    truncate(path)
    with child(SHELL, path, 60), pytest.raises(errors.CatalogueBusy):
        add(sqlite.Database(path, patience=0.2), 1)


@pytest.mark.feature("AC-31")
def test_who_is_stopped_with_the_lock_is_waited_for(path: str) -> None:
    with opened(path, patience=0.3) as database:
        with child(INSIDE, path, "") as other:
            other.send_signal(signal.SIGSTOP)
            os.waitid(os.P_PID, other.pid, os.WSTOPPED)
            with pytest.raises(errors.CatalogueBusy):
                add(database, 2)
            assert database.selections() == (set(), set(), set())  # looking goes on
        assert add(database, 2) == 1
        assert database.selections()[0] == {"Al50", "child"}


def test_who_is_killed_with_the_lock_has_changed_nothing(path: str) -> None:
    with opened(path, patience=5) as database:
        argv = [sys.executable, "-c", INSIDE, path, ""]
        with subprocess.Popen(argv, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as other:
            assert other.stdout is not None
            assert other.stdout.readline() == b"inside\n"
            other.kill()
        assert add(database, 2) == 1
        assert database.selections()[0] == {"Al50"}


def test_a_ctrl_z_waits_for_the_end_of_the_transaction(path: str) -> None:
    with child(INSIDE, path, "ctrl-z") as other:  # it went on to say "inside"
        assert other.stdin is not None
        assert other.stdout is not None
        other.stdin.write("\n")
        other.stdin.flush()
        stopped = os.waitid(os.P_PID, other.pid, os.WSTOPPED)
        assert stopped is not None
        assert stopped.si_status == signal.SIGTSTP
        with opened(path, patience=0.3) as database:
            assert database.selections()[0] == {"child"}  # committed
            assert add(database, 2) == 1  # and let go
        other.send_signal(signal.SIGCONT)
        assert other.stdout.readline() == "outside\n"


def test_signals_are_as_they_were_after_a_transaction(path: str) -> None:
    before = signal.pthread_sigmask(signal.SIG_BLOCK, [])
    with opened(path) as database:
        with database.write():
            assert signal.SIGTSTP in signal.pthread_sigmask(signal.SIG_BLOCK, [])
        with contextlib.suppress(RuntimeError), database.write():
            raise RuntimeError
    assert signal.pthread_sigmask(signal.SIG_BLOCK, []) == before


# ── a full disk ───────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.fixture
def small_disk(tmp_path: pathlib.Path, need: Need) -> Iterator[pathlib.Path]:
    """A file system of three megabytes, one of them taken by ``ballast``."""
    path = tmp_path / "small"
    path.mkdir()
    mount = need("mount", shutil.which("mount"))
    done = subprocess.run(
        [str(mount), "-t", "tmpfs", "-o", "size=3m", "tmpfs", str(path)], check=False, capture_output=True
    )
    need("the right to mount a tmpfs", done.returncode == 0)
    (path / "ballast").write_bytes(bytes(1 << 20))
    yield path
    subprocess.run(["umount", str(path)], check=True)


@pytest.mark.parametrize("journal", [wal, truncate])
def test_a_full_disk_is_waited_out_and_nothing_is_lost(
    small_disk: pathlib.Path, journal: Callable[[str], None]
) -> None:
    path = str(small_disk / "production.db")
    sqlite.create(path, NOW)
    journal(path)
    with opened(path) as database:
        added = 0

        def fill() -> None:
            nonlocal added
            while True:
                added += add(database, *range(added, added + 1000))

        with pytest.raises(errors.CatalogueFull) as error:
            fill()
        assert error.value.transient
        assert path in one_line(error)
        assert added > 1000
        assert count(path) == added
        for _ in range(3):  # full still
            with pytest.raises(errors.CatalogueFull):
                add(database, *range(added, added + 1000))
        assert database.selections() == ({"Al50"}, set(), {"gold"})  # one may look
        (small_disk / "ballast").unlink()
        assert add(database, *range(added, added + 1000)) == 1000
    assert count(path) == added + 1000
    with contextlib.closing(sqlite3.connect(path)) as connection:
        assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)


# ── descriptors ───────────────────────────────────────────────────────────────────────────────────────────────────


def test_nothing_stays_open(path: str, tmp_path: pathlib.Path) -> None:
    before = set(os.listdir("/proc/self/fd"))
    with opened(path) as database:
        add(database, 1)
        lock = next(fd for fd in os.listdir("/proc/self/fd") if _target(fd) == path + ".lock")
        assert not os.get_inheritable(int(lock))
    script(tmp_path / "other", "CREATE TABLE addresses (name);")
    for name in ("other", "none"):
        with pytest.raises(errors.UsageError):
            sqlite.Database(str(tmp_path / name))
    os.unlink(path + ".lock")
    os.mkdir(path + ".lock")
    with opened(path) as database, pytest.raises(errors.CatalogueError, match=r"production\.db\.lock") as error:
        add(database, 2)
    one_line(error)
    del error
    assert set(os.listdir("/proc/self/fd")) == before


def _target(descriptor: str) -> str:
    try:
        return os.readlink(f"/proc/self/fd/{descriptor}")
    except OSError:
        return ""
