"""Databases of the old scripts: brought over whole, and gone on with."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import pathlib
import shutil
import sqlite3
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence

import pytest

from production.catalogue import base, sqlite
from tests.acceptance.campaign import Campaign, until

Need = Callable[[str, object], object]

PROGRAMS = """
[programs.alcapana]
script = "alcapana.sh"
outputs.tree.check = "exists"
outputs.hist.check = "exists"

[programs.rootana]
script = "rootana.sh"
arguments = ["{input}", "{out}"]
outputs.out.check = "exists"
"""
"""The two that are shipped, with scripts that make no ROOT files."""

FIRST, SECOND = "datasets", "R15bdatasets"
"""Both spellings."""
CREATE = {
    FIRST: "CREATE TABLE datasets (run INT, dataset TEXT, qual TEXT)",
    SECOND: "CREATE TABLE R15bdatasets (run INT, dataset TEXT, tranche INT, quality TEXT, geometry TEXT)",
}
PRODUCTIONS = """CREATE TABLE productions
    (type TEXT, version INT, software TEXT, start TIMESTAMP, stop TIMESTAMP, base INT)"""
COLUMNS = "run INTEGER, status TEXT, user TEXT, start TIMESTAMP, stop TIMESTAMP, {}, olog TEXT, elog TEXT, modules TEXT"
ALCAPANA, ROOTANA = COLUMNS.format("tree TEXT, hist TEXT, odb TEXT"), COLUMNS.format("out TEXT")

GOLD = (2091, 2092, 2093, 2094)


class Old:
    """An old database that is being made."""

    def __init__(self, campaign: Campaign) -> None:
        self.campaign = campaign
        self.path = campaign.directory / "old.db"
        self.connection = sqlite3.connect(self.path)

    def add(self, table: str, *rows: Sequence[object]) -> None:
        """Rows, as long as the table has columns or shorter."""
        for row in rows:
            number = len(self.connection.execute(f"PRAGMA table_info({table})").fetchall())
            marks = ", ".join("?" * number)
            self.connection.execute(f"INSERT INTO {table} VALUES ({marks})", [*row, *[None] * (number - len(row))])
        self.connection.commit()

    def paths(self, run: int) -> list[str]:
        """Where the old scripts put the outputs of a run; they are there."""
        found = []
        for kind in ("tree/tree{:05d}.root", "hist/hist{:05d}.root", "dump/dump{:05d}.odb"):
            path = self.campaign.home / "data" / kind.format(run)
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(f"{kind} of old\n")
            found.append(str(path))
        return found

    def trees(self, table: str = "alcapana_v3", column: str = "tree") -> list[tuple[object, ...]]:
        return self.connection.execute(f"SELECT run, {column} FROM {table} ORDER BY run").fetchall()


@pytest.fixture
def old(campaign: Campaign) -> Iterator[Old]:
    """No table yet."""
    campaign.script(
        "alcapana.sh",
        """
        echo $1 >>@/computed
        cd ~/data && mkdir -p tree hist dump
        for file in tree/tree0$1.root hist/hist0$1.root dump/dump0$1.odb; do echo new >$file; done
        """,
    )
    campaign.script("rootana.sh", 'echo "out of $(cat "$1")" >"$2"')
    campaign.settings(PROGRAMS)
    made = Old(campaign)
    with contextlib.closing(made.connection):
        yield made


def fill(old: Old, spelling: str = SECOND) -> None:
    """Four gold runs: one finished across the end of summer time, one long since R, one C, one new; rootana waits for them."""
    execute = old.connection.execute
    for statement in (
        CREATE[spelling],
        PRODUCTIONS,
        f"CREATE TABLE alcapana_v3 ({ALCAPANA})",
        f"CREATE TABLE rootana_v8 ({ROOTANA})",
    ):
        execute(statement)
    execute("CREATE TABLE shift_notes (what TEXT)")
    for run in GOLD:
        old.add(spelling, (run, "Al100", 1, "gold", "P2") if spelling == SECOND else (run, "Al100", "gold"))
    old.add(spelling, (2096, "Al100", 2, "silver", None) if spelling == SECOND else (2096, "Al100", "silver"))
    old.add(
        "productions",
        ("alcapana", 3, "v5-2", "2015-10-24 18:00:00.123456"),
        ("rootana", 8, "v5-3", "2015-11-01 08:00:00", None, 3),
    )
    old.add(
        "alcapana_v3",
        (
            2091,
            "F",
            "alice",
            "2015-10-25 02:50:00.500000",
            "2015-10-25 02:10:00",
            *old.paths(2091),
            "/l/o",
            "/l/e",
            "[one]",
        ),
        (2092, "R", "bob", "2015-10-25 04:00:00"),
        (2093, "C", "bob"),
        (2094, "N"),
    )
    old.add("rootana_v8", *((run, "N") for run in GOLD))
    old.campaign.raw(range(2091, 2097))


def bring(old: Old, *more: str) -> dict[str, object]:
    """Import it, and what was said for programs."""
    result = old.campaign.ok(
        "import", str(old.path), str(old.campaign.database), "--timezone=Europe/Zurich", "--json", *more
    )
    answer: dict[str, object] = json.loads(result.out)
    return answer


def odd(answer: dict[str, object]) -> dict[str, int]:
    oddities = answer["oddities"]
    assert isinstance(oddities, list)
    return {one["what"].split(",")[0]: one["number"] for one in oddities}


@pytest.mark.parametrize("spelling", [FIRST, SECOND])
def test_it_is_brought_over_and_gone_on_with(old: Old, campaign: Campaign, spelling: str) -> None:
    fill(old, spelling)
    trees, before = old.trees(), hashlib.sha256(old.path.read_bytes()).digest()
    told = campaign.ok("import", "old.db", "production.db", "--timezone=Europe/Zurich").out
    assert "Al100 5" in told
    assert "alcapana_v3 (v5-2, gold): open: 1 finished, 3 new" in told
    assert "rootana_v8 (v5-3, gold, on v3 of its base): open: 1 new, 3 waiting" in told
    assert "runs still marked C or R, new again: 2 (alcapana_v3 run 2092 by bob, alcapana_v3 run 2093 by bob)" in told
    assert "an hour that came twice" in told
    assert "its times are of Europe/Zurich (--timezone)" in told
    assert hashlib.sha256(old.path.read_bytes()).digest() == before
    assert campaign.rows("SELECT run, tree FROM alcapana_v3 ORDER BY run") == trees

    ended = campaign.run("--production=alcapana", "--version=3")
    assert ended.code == 0, str(ended)
    assert ended.said("Finished production: alcapana_v3")
    computed = (campaign.directory / "computed").read_text().split()
    assert sorted(computed) == ["2092", "2093", "2094"], "what was finished isn't done again, silver never was in it"
    assert campaign.letters("alcapana_v3") == "FFFF"
    new = dict(campaign.rows("SELECT run, tree FROM alcapana_v3"))
    assert new[2091] == dict(trees)[2091]
    assert pathlib.Path(str(new[2091])).read_text() == "tree/tree{:05d}.root of old\n"
    assert new[2092] == str(campaign.data / "tree/v3/tree02092.root")
    second = campaign.run("--production=rootana")
    assert second.code == 0, str(second)
    assert (campaign.data / "out/v8/out02091.root").read_text() == "out of tree/tree{:05d}.root of old\n"
    assert campaign.letters("rootana_v8") == "FFFF"
    campaign.nothing_in_hands()


def test_times_sizes_and_texts(old: Old, campaign: Campaign) -> None:
    fill(old)
    answer = bring(old)
    assert campaign.rows("SELECT user, start, stop, olog, elog, modules FROM alcapana_v3 WHERE run = 2091") == [
        ("alice", "2015-10-25T00:50:00.500000Z", "2015-10-25T01:10:00.000000Z", "/l/o", "/l/e", "[one]")
    ], "the first time the clock showed it, and the second: it ended after it began"
    assert campaign.one("SELECT start FROM productions WHERE id = 1") == "2015-10-24T16:00:00.123456Z"
    size = len("tree/tree{:05d}.root of old\n")
    assert campaign.one("SELECT bytes FROM output WHERE run = 2091 AND name = 'tree'") == size
    assert campaign.rows("SELECT run, tranche, quality, geometry FROM datasets WHERE run IN (2094, 2096)") == [
        (2094, 1, "gold", "P2"),
        (2096, 2, "silver", None),
    ]
    assert campaign.rows("SELECT from_state, to_state, why FROM event WHERE run = 2092") == [
        ("submitted", "new", "was still marked R by bob in old.db; its manager is gone")
    ]
    assert campaign.rows("SELECT user, cause, counted, submitted_at FROM attempt WHERE run = 2092") == [
        ("bob", "lost", 0, "2015-10-25T03:00:00.000000Z")
    ]
    assert answer["timezone"] == "Europe/Zurich"
    assert answer["datasets"] == {"Al100": 5}
    assert campaign.rows("PRAGMA foreign_key_check") == []
    counted = campaign.rows("SELECT production, state, count(*) FROM production_run GROUP BY 1, 2 ORDER BY 1, 2")
    assert campaign.rows("SELECT production, state, runs FROM tally WHERE runs ORDER BY 1, 2") == counted


def test_a_closed_production_stays_closed_and_data_may_be_said(old: Old, campaign: Campaign) -> None:
    fill(old)
    execute = old.connection.execute
    execute("UPDATE alcapana_v3 SET status = 'F'")
    execute("UPDATE productions SET stop = '2015-12-01 08:00:00' WHERE type = 'alcapana'")
    old.connection.commit()
    answer = bring(old, "--data=elsewhere")
    productions = answer["productions"]
    assert isinstance(productions, list)
    assert [(one["production"], one["stop"], one["base_version"], one["counts"]) for one in productions] == [
        ("alcapana_v3", "2015-12-01T07:00:00.000000Z", None, {"finished": 4}),
        ("rootana_v8", None, 3, {"new": 4}),
    ]
    assert answer["data"] == str(campaign.directory / "elsewhere")
    refused = campaign.run("--production=alcapana")
    assert refused.code == 2
    assert "elsewhere" in refused.err


def test_an_old_output_in_the_way_is_never_overwritten(old: Old, campaign: Campaign) -> None:
    fill(old)
    there = campaign.data / "tree/v3/tree02094.root"
    there.parent.mkdir(parents=True)
    there.write_text("somebody's")
    bring(old)
    ended = campaign.run("--production=alcapana")
    assert ended.code == 3, str(ended)
    assert campaign.letters("alcapana_v3") == "FFFH"
    assert there.read_text() == "somebody's"


def test_whatever_is_in_the_tables_is_brought_or_told(old: Old, campaign: Campaign) -> None:
    fill(old)
    execute = old.connection.execute
    execute("CREATE TABLE datasets (run, dataset, quality, tranche)")
    old.add(
        "datasets",
        (None, "Si"),
        ("run7", "Si", "gold"),
        (7, None, None, "two"),
        (2091, "Al100", "silver"),
        (2091, "Si", "gold"),
    )
    execute("ALTER TABLE alcapana_v3 ADD COLUMN comment TEXT")
    old.add(
        "alcapana_v3",
        (3001, "E", "eve"), (3002, None), (3003, "N", None, None, None, "/set/early.root"), (3004, "F"),
        (3005, "F", None, "then", 5, "", "two\nlines"), (3006, "F", None, None, None, b"/d/\xfc.root"),
        ("x", "F"), (-1, "F"), (2094, "F", "zoe", None, None, "/again.root"),
    )  # fmt: skip
    old.add("rootana_v8", (1, "N"), (3001, "N"))
    old.add("productions", ("rootana", 8, "again"), ("rootana", 9, "lost"), ("alcapana", 4, "4", None, None, 3))
    execute(f"CREATE TABLE alcapana_v4 ({ALCAPANA})")
    execute("CREATE TABLE alcapana_v6 (run INTEGER, status TEXT, dump TEXT)")
    execute(f"CREATE TABLE rootana_v1 ({ROOTANA})")
    old.add("rootana_v1", (2091, "N"), (2092, "F", None, None, None, "/o.root"))
    execute(f'CREATE TABLE "Bad; name_v1" ({ALCAPANA})')
    execute("CREATE TABLE alcapana_v7 (run INTEGER)")
    execute("CREATE TABLE alcapana_v03 (run INTEGER, status TEXT)")
    old.connection.commit()
    trees = dict(old.trees()) | {2094: "/again.root"}
    told = odd(bring(old))
    assert told == {
        "lines of datasets without a run's number": 2,
        "runs without a dataset": 1,
        "runs without a quality": 1,
        "tranches that are no number": 1,
        "lines of runs that their dataset had already": 1,
        "productions that are written down again": 1,
        "productions without a table of their runs": 1,
        "productions that the table productions doesn't have": 3,
        "tables that can't be a production's by their name (a-z": 1,
        "bases that mean nothing to the program": 1,
        "columns that are no output of the program in the settings": 1,
        "times of an hour that came twice": 2,
        "times that can't be read": 2,
        "outputs that aren't where they should be": 5,
        "outputs whose text stands in the place of a path": 1,
        "runs still marked C or R": 2,
        "runs with a status that says nothing": 2,
        "finished runs of which no output is written down": 1,
        "runs that are no number": 2,
        "lines of runs that were there already": 1,
        "runs of a production that no dataset has in its quality": 8,
        "runs of a production's quality that it never had": 10,
        "productions whose base isn't there": 1,
        "unfinished runs that the base doesn't have": 2,
    }
    for number in ("x", -1):
        trees.pop(number)
    assert dict(campaign.rows("SELECT run, tree FROM alcapana_v3")) == trees
    assert campaign.letters("alcapana_v3") == "FNNFHHNFFF"
    assert campaign.letters("rootana_v8") == "HNWWNW"
    assert campaign.letters("rootana_v1") == "HF"
    assert campaign.one("SELECT count(*) FROM production_output WHERE name = 'dump'") == 1
    status = campaign.ok("status").out
    assert "e.g. run 3001: its status was 'E' by eve in old.db: look what became of it" in status
    assert campaign.run("--production=alcapana", "--version=3").code == 3, "what is held wants a person"


@pytest.mark.parametrize(
    ("make", "said"),
    [
        ("", "is not there"),
        ("mkdir old.db", "is not a file"),
        ("echo not a database at all, but long enough >old.db", "is not an SQLite database"),
        (":> old.db", "has no tables of the old scripts"),
        ("python3 -c \"import sqlite3; sqlite3.connect('old.db').execute('CREATE TABLE mine (x)')\"", "has no tables"),
        ("@init old.db", "is a database of this program already"),
    ],
)
def test_what_is_no_old_database_is_said(campaign: Campaign, make: str, said: str) -> None:
    if make.startswith("@"):
        campaign.ok(*make[1:].split())
    else:
        assert campaign.call(["sh", "-c", make]).code == 0
    refused = campaign.product("import", "old.db", "new.db")
    assert refused.code == 2, str(refused)
    assert said in refused.err
    assert refused.err.count("\n") == 1
    assert not (campaign.directory / "new.db").exists()


def test_nothing_that_is_there_is_touched(old: Old, campaign: Campaign) -> None:
    fill(old)
    before = old.path.read_bytes()
    for new in ("old.db", "production.toml"):
        refused = campaign.product("import", "old.db", new)
        assert (refused.code, refused.err) == (2, f"production: {new} exists already; nothing was changed\n")
    assert "there is no directory" in campaign.product("import", "old.db", "none/new.db").err
    assert "no such time zone" in campaign.product("import", "old.db", "new.db", "--timezone=Mars/Base").err
    assert "is not a directory" in campaign.product("import", "old.db", "new.db", "--data=old.db").err
    assert old.path.read_bytes() == before
    assert not list(campaign.directory.glob("new.db*"))
    opened = campaign.product("status", "--database=old.db")
    assert "production import old.db NEW.db" in opened.err.replace(str(campaign.directory) + "/", "")


def test_a_damaged_database_leaves_nothing(old: Old, campaign: Campaign) -> None:
    fill(old)
    old.add("alcapana_v3", *((run, "N", "x" * 900) for run in range(4000, 4100)))
    old.connection.close()
    with old.path.open("r+b") as file:
        file.seek(os.path.getsize(old.path) - 8192)
        file.write(b"\xff" * 8192)
    refused = campaign.product("import", "old.db", "new.db")
    assert refused.code == 2
    assert "is damaged" in refused.err
    assert refused.err.count("\n") == 1
    assert not list(campaign.directory.glob("new.db*"))


def test_what_is_only_in_the_log_of_the_old_one_comes_too(old: Old, campaign: Campaign) -> None:
    old.connection.execute("PRAGMA journal_mode = WAL")
    fill(old)
    assert os.path.getsize(f"{old.path}-wal")
    bring(old)
    assert campaign.letters("alcapana_v3") == "FNNN"


def test_looking_leaves_nothing_beside_it(old: Old, campaign: Campaign) -> None:
    old.connection.execute("PRAGMA journal_mode = WAL")
    fill(old)
    old.connection.close()
    bring(old)
    assert campaign.letters("alcapana_v3") == "FNNN"
    assert [path.name for path in campaign.directory.glob("old.db*")] == ["old.db"]


def test_outputs_that_are_elsewhere_now_are_no_measure(old: Old, campaign: Campaign) -> None:
    fill(old)
    for path in (campaign.home / "data").rglob("*.*"):
        path.unlink()
    assert odd(bring(old))["outputs that aren't where they should be"] == 3
    assert campaign.rows("SELECT DISTINCT bytes, checksum FROM output") == [(-1, "")]
    with contextlib.closing(sqlite.Database(str(campaign.database))) as database, database.write() as change:
        assert change.sizes(1).outputs == base.UNSEEN, "a run's outputs are promised more than nothing"
    waiting = campaign.start("--production=rootana")  # for the runs that alcapana hasn't done yet
    waiting.wait_for(f"has no output tree at {campaign.home}/data/tree/tree02091.root")
    assert waiting.stop().code == 130
    assert campaign.letters("rootana_v8") == "HWWW"


AS_NOBODY = """
import os, sys
from production import errors
from production.catalogue import old
os.setegid(65534)
os.seteuid(65534)
for path in sys.argv[1:]:
    try:
        with old.opened(path) as there:
            print(len(list(there.datasets())))
    except errors.UsageError as error:
        print(error)
"""


def test_who_may_only_read_reads_what_can_be_read(old: Old, campaign: Campaign, need: Need) -> None:
    need("root, to look as somebody else", os.geteuid() == 0)
    fill(old)
    with tempfile.TemporaryDirectory() as made:
        names = ("plain.db", "still.db", "log.db", "closed.db")
        plain, still, log, closed = (pathlib.Path(made, name) for name in names)
        for copy in (plain, closed):
            shutil.copy(old.path, copy)
        old.connection.execute("PRAGMA journal_mode = WAL")
        old.add(SECOND, (2097, "Al100"))
        for end in ("", "-wal"):
            shutil.copy(f"{old.path}{end}", f"{log}{end}")
        old.connection.close()
        shutil.copy(old.path, still)
        closed.chmod(0o600)
        pathlib.Path(made).chmod(0o755)
        there = sorted(os.listdir(made))
        said = campaign.call([campaign.python, "-c", AS_NOBODY, *(str(path) for path in (plain, still, log, closed))])
        lines = said.out.splitlines()
        assert lines[:2] == ["5", "6"], str(said)
        assert lines[2].startswith(f"{log}: can't be read here"), "what is only in its log isn't left out"
        assert "copy it, and a -wal" in lines[2]
        assert lines[3] == f"{closed}: Permission denied"
        assert sorted(os.listdir(made)) == there


def test_a_data_directory_of_another_database_is_refused(old: Old, campaign: Campaign) -> None:
    fill(old)
    bring(old)
    assert campaign.run("--production=alcapana").code == 0
    refused = campaign.product("import", "old.db", "again.db")
    assert refused.code == 2
    assert "belongs to another database" in refused.err
    assert not (campaign.directory / "again.db").exists()


def test_a_writer_is_waited_for_and_one_that_stays_is_said(old: Old, campaign: Campaign) -> None:
    fill(old)
    old.connection.execute("BEGIN EXCLUSIVE")
    started = campaign.begun([campaign.python, "-m", "production", "import", "old.db", "new.db"])
    refused = started.wait()
    assert refused.code == 2
    assert "somebody is writing to it; stop the old scripts, then import" in refused.err
    assert not list(campaign.directory.glob("new.db*"))


def test_killed_on_the_way_it_leaves_no_database(old: Old, campaign: Campaign) -> None:
    fill(old)
    with old.connection:
        old.connection.executemany(
            "INSERT INTO alcapana_v3 (run, status) VALUES (?, 'R')", ((run,) for run in range(10_000, 60_000))
        )
    began = time.monotonic()
    importing = campaign.begun([campaign.python, "-m", "production", "import", "old.db", "production.db"])
    # It says nothing meanwhile: what it writes is all that is to be seen of it.
    until(lambda: bool(list(campaign.directory.glob("production.db.making-*"))), "the file it makes")
    importing.kill()
    assert not campaign.database.exists()
    assert time.monotonic() - began < 60
    bring(old)
    assert campaign.one("SELECT count(*) FROM alcapana_v3") == 50_004
