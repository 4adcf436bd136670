"""A database of a million runs, made in seconds with plain SQL: ``sim_v1``, with states, attempts and a history over days.

The triggers that count are away meanwhile: what they would have counted is put in afterwards, in one go.
"""

from __future__ import annotations

import contextlib
import datetime
import os
import sqlite3

from production.catalogue import base
from production.catalogue import sqlite as catalogue

BEGUN = datetime.datetime(2026, 11, 2, 8, tzinfo=datetime.UTC)
"""When the production was opened; a run is finished half a second after the one before."""
HELD, FAILED, FLYING = 50, 300, 400
"""How many runs are so; a failed one has three attempts."""
CAUSES = ("program", "memory", "output")
DATASETS = 5

_INSTANT = "strftime('%Y-%m-%dT%H:%M:%f000Z', julianday('2026-11-02 08:00:00') + (:delay + k.run * 0.5) / 86400)"

_NUMBERS = """
CREATE TEMP TABLE k (run INTEGER PRIMARY KEY, state TEXT NOT NULL, tries INTEGER NOT NULL);
INSERT INTO k WITH RECURSIVE n (run) AS (SELECT 1 UNION ALL SELECT run + 1 FROM n WHERE run < :runs)
  SELECT run, CASE WHEN run % (:runs / 300) = 0 THEN 'failed' WHEN run % (:runs / 50) = 7 THEN 'held'
                   WHEN run <= :runs * 6 / 10 THEN 'finished'
                   WHEN run <= :runs * 6 / 10 + 400 THEN 'submitted' ELSE 'new' END,
         0 FROM n;
UPDATE k SET tries = CASE state WHEN 'failed' THEN 3 WHEN 'new' THEN 0 ELSE 1 END;
"""

_RUNS = f"""
INSERT INTO run (run) SELECT run FROM k;
INSERT INTO datasets (run, dataset, tranche) SELECT run, 'Al' || (run % 5 * 50), run % 4 FROM k;
UPDATE productions SET intake = (SELECT max(id) FROM datasets);
INSERT INTO production_run (production, run, state, owner, attempt, failures, moved_at, moved_by, why)
  SELECT 1, run, state, CASE state WHEN 'submitted' THEN 1 END, tries, CASE state WHEN 'failed' THEN 3 ELSE 0 END,
         CASE state WHEN 'new' THEN :begun ELSE {_INSTANT.replace(":delay", "60")} END,
         CASE state WHEN 'new' THEN NULL ELSE 1 END,
         CASE state WHEN 'failed' THEN 'program: exit 9: bad magic in run ' || run WHEN 'held' THEN 'staging: no such file' ELSE '' END
    FROM k;
INSERT INTO attempt (production, run, attempt, manager, user, host, claimed_at, submitted_at, ended_at, job, cause, counted, exit,
                     wall, cpu, memory, message, olog, elog)
  SELECT 1, run, t.value, 1, 'anna', 'node' || (run % 200),
         {_INSTANT.replace(":delay", "0")}, {_INSTANT.replace(":delay", "1")},
         CASE state WHEN 'submitted' THEN NULL ELSE {_INSTANT.replace(":delay", "60")} END, '77' || run,
         CASE state WHEN 'failed' THEN CASE run / (:runs / 300) % 3 WHEN 0 THEN 'program' WHEN 1 THEN 'memory' ELSE 'output' END
                    WHEN 'held' THEN 'staging' END,
         state = 'failed', CASE state WHEN 'finished' THEN 0 WHEN 'failed' THEN 9 END, 58.5, 55.25, 300000000 + run,
         CASE state WHEN 'failed' THEN 'exit 9: bad magic in run ' || run WHEN 'held' THEN 'no such file' END,
         printf('/data/log/v1/sim.run%05d.out', run), printf('/data/log/v1/sim.run%05d.err', run)
    FROM k, json_each('[1,2,3]') AS t WHERE t.value <= tries;
INSERT INTO output (production, run, name, attempt, temporary, path, bytes, checksum, recorded)
  SELECT 1, run, 'tree', 1, '', printf('/data/tree/v1/tree%05d.root', run), 3000000 + run, 'adler32:00000000',
         {_INSTANT.replace(":delay", "60")} FROM k WHERE state = 'finished';
"""

_HISTORY = f"""
INSERT INTO event (at, production, run, attempt, from_state, to_state, manager, why)
  SELECT {_INSTANT.replace(":delay", "1")}, 1, run, 1, 'new', 'submitted', 1, '' FROM k WHERE state <> 'new';
INSERT INTO event (at, production, run, attempt, from_state, to_state, manager, why)
  SELECT {_INSTANT.replace(":delay", "60")}, 1, run, tries, 'submitted', state, 1, '' FROM k WHERE state NOT IN ('new', 'submitted');
INSERT INTO moves (production, hour, from_state, to_state, runs)
  SELECT 1, substr(at, 1, 13), from_state, to_state, count(*) FROM event GROUP BY 2, 3, 4;
INSERT INTO entry (production, at, state, runs) SELECT 1, :begun, 'new', count(*) FROM k;
UPDATE tally SET runs = (SELECT count(*) FROM k WHERE k.state = tally.state) WHERE production = 1;
DROP TABLE k;
"""


def build(path: str, number: int = 1_000_000) -> None:
    """Make the database, at rest: one file, in WAL mode, nobody at work in it but a manager that is not of this machine."""
    catalogue.create(path, BEGUN)
    begun = BEGUN.strftime("%Y-%m-%dT%H:%M:%S.%fZ")
    with contextlib.closing(catalogue.Database(path)) as opened, opened.write() as change:
        change.open_production(base.Opening("sim", "v5", "gold", None, ("tree",), "/data", "anna"), BEGUN)
    with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.execute("PRAGMA synchronous = OFF")
        connection.execute("PRAGMA cache_size = -200000")
        connection.execute("BEGIN")
        counting = connection.execute(
            "SELECT name, sql FROM sqlite_master WHERE type = 'trigger' AND tbl_name = 'production_run' AND name IN"
            " ('run_enters', 'base_enters')"
        ).fetchall()
        for name, _ in counting:
            connection.execute(f"DROP TRIGGER {name}")
        values = (f"INSERT INTO manager (id, user, host, boot, pid, ticks, production, batch, nproc, nprep, start, beat_at,"
                  f" quota_used, quota_limit, quota_allowed, quota_at) "
                  f"VALUES (1, 'anna', 'elsewhere', 'boot', 4711, 1, 1, 'slurm', 400, 50, '{begun}', '{begun}', 1, 3, 2, '2026-11-20T00:00:00.000000Z')")  # fmt: skip
        connection.execute(values)
        for text in (_NUMBERS, _RUNS, _HISTORY):
            for statement in text.split(";\n"):
                connection.execute(statement, {"runs": number, "begun": begun})
        for _, statement in counting:
            connection.execute(statement)
        connection.execute("COMMIT")
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    assert not os.path.exists(path + "-wal")
