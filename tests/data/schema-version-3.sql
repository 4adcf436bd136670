-- The whole truth about a production database. Version 3; databases of earlier ones: migrations.sql.
--
-- A run's way through one production (production_run.state; the same as production/run.py):
--
--   waiting ─▶ new ─claim─▶ claimed ─stage─▶ staged ─submit─▶ submitting ─▶ submitted ─follow─▶ ended ─finish─▶ finished
--               ▲              │                │                  │             │                │
--               │              └── release ─────┘                  └── cause ────┴────────────────┤
--               └────── retry: failures + 1, not before T ◀───────────────────────────────────────┴─▶ failed, held
--
-- Instants are UTC text with six digits (2026-11-20T21:00:00.000000Z), sizes bytes, durations seconds.
-- Triggers have no clock of their own: who moves a run says when, who and why, and the triggers copy it.

PRAGMA application_id = 1919971430;
PRAGMA user_version = 3;

-- One row: which database this is. The id makes submission names unique between databases.
CREATE TABLE catalogue (
  id       TEXT NOT NULL PRIMARY KEY,
  created  TEXT NOT NULL
) WITHOUT ROWID;

-- ── what there is to do ──────────────────────────────────────────────────────────────────────────────────────────

-- A unit of work. The label is there for runs that are files or directories rather than numbers.
CREATE TABLE run (
  run    INTEGER PRIMARY KEY,
  label  TEXT UNIQUE
);

-- Named sets of runs. A run may be in several.
CREATE TABLE datasets (
  id        INTEGER PRIMARY KEY,
  run       INTEGER NOT NULL REFERENCES run,
  dataset   TEXT    NOT NULL,
  tranche   INTEGER,
  quality   TEXT    NOT NULL DEFAULT 'gold',
  geometry  TEXT,
  UNIQUE (run, dataset)
);
CREATE INDEX datasets_by_name ON datasets (dataset, tranche, run);
CREATE INDEX datasets_in_order ON datasets (dataset, run);
CREATE INDEX datasets_by_quality ON datasets (quality, id);

-- A program, a version, a software tag: one campaign over all runs of a quality.
CREATE TABLE productions (
  id       INTEGER PRIMARY KEY,
  program  TEXT    NOT NULL,
  version  INTEGER NOT NULL CHECK (version > 0),
  tag      TEXT    NOT NULL,
  base     INTEGER REFERENCES productions,
  quality  TEXT    NOT NULL,
  user     TEXT    NOT NULL,
  start    TEXT    NOT NULL,
  stop     TEXT,
  intake   INTEGER NOT NULL DEFAULT 0,  -- highest datasets.id taken in
  data     TEXT    NOT NULL,            -- real path of the directory its files are below
  largest  INTEGER NOT NULL DEFAULT 0,  -- bytes of the largest input seen: an unknown one counts as that
  closed_by   TEXT,                     -- who closed it though not all runs were finished; null: it is open, or done
  closed_why  TEXT,
  UNIQUE (program, version)
);
CREATE INDEX productions_by_base ON productions (base) WHERE base IS NOT NULL;

-- One run of one production: where it is on its way, and whose it is.
CREATE TABLE production_run (
  production  INTEGER NOT NULL REFERENCES productions,
  run         INTEGER NOT NULL REFERENCES run,
  state       TEXT    NOT NULL DEFAULT 'new' CHECK (state IN
                ('waiting', 'new', 'claimed', 'staged', 'submitting', 'submitted', 'ended', 'finished', 'failed', 'held')),
  priority    INTEGER NOT NULL DEFAULT 0,
  "group"     TEXT,
  owner       INTEGER REFERENCES manager,  -- set exactly while a manager has the run
  attempt     INTEGER NOT NULL DEFAULT 0,  -- the latest one
  failures    INTEGER NOT NULL DEFAULT 0,  -- attempts that count towards the limit
  not_before  TEXT,                        -- back-off: not claimed before
  moved_at    TEXT    NOT NULL,
  moved_by    INTEGER REFERENCES manager,
  why         TEXT    NOT NULL DEFAULT '',
  asked_by    TEXT,                        -- the person who asked for the last move; null: nobody did
  CHECK ((owner IS NOT NULL) = (state IN ('claimed', 'staged', 'submitting', 'submitted', 'ended'))),
  PRIMARY KEY (production, run)
) WITHOUT ROWID;
CREATE INDEX run_claimable ON production_run (production, priority DESC, run) WHERE state = 'new';
CREATE INDEX run_in_flight ON production_run (owner, state, run) WHERE owner IS NOT NULL;
CREATE INDEX run_by_state  ON production_run (production, state, run);

-- ── who works ────────────────────────────────────────────────────────────────────────────────────────────────────

-- One running run_production.py. It owns its claims while its beat goes on.
CREATE TABLE manager (
  id          INTEGER PRIMARY KEY,
  user        TEXT    NOT NULL,
  host        TEXT    NOT NULL,
  boot        TEXT    NOT NULL,
  pid         INTEGER NOT NULL,
  ticks       INTEGER NOT NULL,
  production  INTEGER REFERENCES productions,
  batch       TEXT    NOT NULL DEFAULT '',
  nproc       INTEGER,
  nprep       INTEGER,
  datasets    TEXT    NOT NULL DEFAULT '[]',   -- it takes runs of these only, JSON; empty: of all
  tranches    TEXT    NOT NULL DEFAULT '[]',
  start       TEXT    NOT NULL,
  beat        INTEGER NOT NULL DEFAULT 0,
  beat_at     TEXT    NOT NULL,            -- for people; leases never compare wall clocks
  stop        TEXT,                        -- it left by itself
  lapsed      TEXT,                        -- somebody saw it dead
  message     TEXT    NOT NULL DEFAULT ''  -- the last thing it said
);
CREATE INDEX manager_alive ON manager (production) WHERE stop IS NULL AND lapsed IS NULL;

-- One call that put one or many attempts into a batch system, written down before it was made.
CREATE TABLE submission (
  id          INTEGER PRIMARY KEY,
  name        TEXT    NOT NULL UNIQUE,     -- alcapana-v4-<catalogue id>-s000123
  production  INTEGER NOT NULL REFERENCES productions,
  manager     INTEGER NOT NULL REFERENCES manager,
  user        TEXT    NOT NULL,
  host        TEXT    NOT NULL,
  batch       TEXT    NOT NULL,
  digest      TEXT    NOT NULL DEFAULT '', -- of the manifest
  tasks       INTEGER NOT NULL,
  job         TEXT,                        -- the batch system's id, once it has told us
  at          TEXT    NOT NULL
);

-- One try at a run. A run has at most one that has not ended.
CREATE TABLE attempt (
  production    INTEGER NOT NULL,
  run           INTEGER NOT NULL,
  attempt       INTEGER NOT NULL,
  manager       INTEGER NOT NULL REFERENCES manager,
  user          TEXT    NOT NULL,          -- whose job it is
  host          TEXT,                      -- where it ran
  claimed_at    TEXT    NOT NULL,
  submitted_at  TEXT,
  ended_at      TEXT,                      -- when the job was seen gone, or the attempt given up
  submission    INTEGER REFERENCES submission,
  task          INTEGER,                   -- its place in the submission, from 1
  job           TEXT,
  resources     TEXT,                      -- asked for, JSON
  cause         TEXT,                      -- null: it succeeded, or goes on
  counted       INTEGER NOT NULL DEFAULT 0,
  exit          INTEGER,
  signal        INTEGER,
  wall          REAL,
  cpu           REAL,
  memory        INTEGER,
  message       TEXT,
  olog          TEXT,
  elog          TEXT,
  modules       TEXT REFERENCES modules,
  command       TEXT,                      -- the job's argv, JSON
  PRIMARY KEY (production, run, attempt),
  FOREIGN KEY (production, run) REFERENCES production_run
) WITHOUT ROWID;
CREATE INDEX attempt_ends ON attempt (manager, ended_at) WHERE ended_at IS NOT NULL;
CREATE INDEX attempt_by_submission ON attempt (submission, task) WHERE submission IS NOT NULL;
CREATE INDEX attempt_by_cause ON attempt (production, cause, run) WHERE cause IS NOT NULL;
CREATE INDEX attempt_by_host ON attempt (production, host, run) WHERE host IS NOT NULL;

-- ── what they work on ────────────────────────────────────────────────────────────────────────────────────────────

-- A run's need of a file on our disk. The file is removed with the last need of it, if it was staged by us.
CREATE TABLE input (
  production  INTEGER NOT NULL,
  run         INTEGER NOT NULL,
  path        TEXT    NOT NULL,
  source      TEXT    NOT NULL,            -- name in the archive, or the base production's table
  bytes       INTEGER,
  ours        INTEGER NOT NULL DEFAULT 0,  -- 1: we brought it, so we may remove it
  come        TEXT,                        -- when it was whole on our disk
  PRIMARY KEY (production, run, path),
  FOREIGN KEY (production, run) REFERENCES production_run
) WITHOUT ROWID;
CREATE INDEX input_by_path ON input (path);

CREATE TRIGGER input_seen AFTER INSERT ON input WHEN NEW.bytes IS NOT NULL BEGIN
  UPDATE productions SET largest = NEW.bytes WHERE id = NEW.production AND largest < NEW.bytes;
END;

-- A file that is on its way to our disk.
CREATE TABLE transfer (
  path     TEXT    NOT NULL PRIMARY KEY,
  source   TEXT    NOT NULL,
  manager  INTEGER NOT NULL REFERENCES manager,
  bytes    INTEGER NOT NULL DEFAULT 0,
  size     INTEGER,
  start    TEXT    NOT NULL
) WITHOUT ROWID;
CREATE INDEX transfer_by_manager ON transfer (manager);

-- What a run wrote. Intended (temporary, final, size, checksum) before it is moved, recorded after.
CREATE TABLE output (
  production  INTEGER NOT NULL,
  run         INTEGER NOT NULL,
  name        TEXT    NOT NULL,
  attempt     INTEGER NOT NULL,
  temporary   TEXT    NOT NULL,
  path        TEXT    NOT NULL,
  bytes       INTEGER NOT NULL,            -- -1: not known (imported, and the file wasn't there)
  checksum    TEXT    NOT NULL,            -- '': not known (imported)
  recorded    TEXT,                        -- instant; null: only intended
  deleted     TEXT,
  PRIMARY KEY (production, run, name),
  FOREIGN KEY (production, run) REFERENCES production_run
) WITHOUT ROWID;

-- An output that a reset took from its place. Intended before it is moved, done after.
CREATE TABLE aside (
  production  INTEGER NOT NULL,
  run         INTEGER NOT NULL,
  name        TEXT    NOT NULL,
  attempt     INTEGER NOT NULL,            -- that wrote it
  path        TEXT    NOT NULL,            -- where it was
  aside       TEXT    NOT NULL,            -- where it is
  bytes       INTEGER NOT NULL,
  checksum    TEXT    NOT NULL,
  done        TEXT,                        -- instant; null: only intended
  PRIMARY KEY (production, run, name, attempt),
  FOREIGN KEY (production, run) REFERENCES production_run
) WITHOUT ROWID;

-- The columns of a production's view, frozen when it was opened.
CREATE TABLE production_output (
  production  INTEGER NOT NULL REFERENCES productions,
  name        TEXT    NOT NULL,
  PRIMARY KEY (production, name)
) WITHOUT ROWID;

-- A fixed path that an old script writes to: one attempt at a time, until its job is seen gone.
CREATE TABLE fixed_path (
  path        TEXT    NOT NULL PRIMARY KEY,
  production  INTEGER NOT NULL,
  run         INTEGER NOT NULL,
  attempt     INTEGER NOT NULL,
  busy        INTEGER NOT NULL DEFAULT 1,  -- 0: the attempt has ended
  leftover    TEXT                         -- what it left there, by which that is known again; null: nothing
) WITHOUT ROWID;

CREATE INDEX fixed_path_busy ON fixed_path (production, run) WHERE busy = 1;

-- A run that nobody has uses its fixed paths no more: its job is gone, its outputs have been moved away.
CREATE TRIGGER run_leaves AFTER UPDATE OF owner ON production_run WHEN OLD.owner IS NOT NULL AND NEW.owner IS NULL BEGIN
  UPDATE fixed_path SET busy = 0 WHERE production = NEW.production AND run = NEW.run AND busy = 1;
END;

-- Nor does one that was not taken: it has no job.
CREATE TRIGGER run_steps_back AFTER UPDATE OF state ON production_run WHEN OLD.state = 'submitting' AND NEW.state = 'staged' BEGIN
  UPDATE fixed_path SET busy = 0 WHERE production = NEW.production AND run = NEW.run AND busy = 1;
END;

-- An attempt that failed has nothing to put in place.
CREATE TRIGGER attempt_fails AFTER UPDATE OF cause ON attempt WHEN NEW.cause IS NOT NULL BEGIN
  DELETE FROM output WHERE production = NEW.production AND run = NEW.run AND recorded IS NULL;
END;

-- Configuration texts, once each: provenance.
CREATE TABLE modules (
  digest  TEXT NOT NULL PRIMARY KEY,       -- sha256 of the text
  text    TEXT NOT NULL
) WITHOUT ROWID;

-- Something a person asks of a run that a manager owns.
CREATE TABLE request (
  id          INTEGER PRIMARY KEY,
  production  INTEGER NOT NULL,
  run         INTEGER NOT NULL,
  verb        TEXT    NOT NULL,            -- retry, hold, release, cancel, priority, reset
  argument    TEXT,
  user        TEXT    NOT NULL,
  why         TEXT    NOT NULL DEFAULT '',
  at          TEXT    NOT NULL,
  manager     INTEGER REFERENCES manager,  -- who answered
  answered    TEXT,
  answer      TEXT,
  FOREIGN KEY (production, run) REFERENCES production_run
);
CREATE INDEX request_open ON request (production, run) WHERE answered IS NULL;
CREATE INDEX request_by_run ON request (production, run, id);

-- ── what has been, and how many ──────────────────────────────────────────────────────────────────────────────────

-- History; written by triggers only, so no caller can forget it.
CREATE TABLE event (
  id          INTEGER PRIMARY KEY,
  at          TEXT    NOT NULL,
  production  INTEGER NOT NULL,
  run         INTEGER NOT NULL,
  attempt     INTEGER NOT NULL,
  from_state  TEXT    NOT NULL,
  to_state    TEXT    NOT NULL,
  manager     INTEGER,
  why         TEXT    NOT NULL,
  user        TEXT                         -- the person who asked for it; null: nobody did
);
CREATE INDEX event_by_run ON event (production, run, id);
CREATE INDEX event_by_time ON event (production, at);

-- Moves by the hour, and when runs entered: what was at an instant is summed from these and from the events of one hour.
CREATE TABLE moves (
  production  INTEGER NOT NULL,
  hour        TEXT    NOT NULL,            -- 2026-11-20T21
  from_state  TEXT    NOT NULL,
  to_state    TEXT    NOT NULL,
  runs        INTEGER NOT NULL,
  PRIMARY KEY (production, hour, from_state, to_state)
) WITHOUT ROWID;

CREATE TABLE entry (
  production  INTEGER NOT NULL,
  at          TEXT    NOT NULL,
  state       TEXT    NOT NULL,
  runs        INTEGER NOT NULL,
  PRIMARY KEY (production, at, state)
) WITHOUT ROWID;

-- Runs by state, kept by triggers: counting a million rows takes 0.2 s, reading ten rows nothing.
CREATE TABLE tally (
  production  INTEGER NOT NULL REFERENCES productions,
  state       TEXT    NOT NULL,
  runs        INTEGER NOT NULL DEFAULT 0,
  PRIMARY KEY (production, state)
) WITHOUT ROWID;

CREATE TRIGGER tally_opens AFTER INSERT ON productions BEGIN
  INSERT INTO tally (production, state) VALUES
    (NEW.id, 'waiting'), (NEW.id, 'new'), (NEW.id, 'claimed'), (NEW.id, 'staged'), (NEW.id, 'submitting'),
    (NEW.id, 'submitted'), (NEW.id, 'ended'), (NEW.id, 'finished'), (NEW.id, 'failed'), (NEW.id, 'held');
END;

-- Closed → so are those based on it, if all their runs are finished: no more will come.
CREATE TRIGGER base_closes AFTER UPDATE OF stop ON productions WHEN OLD.stop IS NULL AND NEW.stop IS NOT NULL BEGIN
  UPDATE productions SET stop = NEW.stop WHERE base = NEW.id AND stop IS NULL
    AND NOT EXISTS (SELECT 1 FROM tally WHERE production = productions.id AND state <> 'finished' AND runs > 0);
END;

CREATE TRIGGER run_enters AFTER INSERT ON production_run BEGIN
  UPDATE tally SET runs = runs + 1 WHERE production = NEW.production AND state = NEW.state;
  INSERT INTO entry (production, at, state, runs) VALUES (NEW.production, NEW.moved_at, NEW.state, 1)
    ON CONFLICT (production, at, state) DO UPDATE SET runs = runs + 1;
END;

CREATE TRIGGER run_moves AFTER UPDATE OF state ON production_run WHEN OLD.state <> NEW.state BEGIN
  UPDATE tally SET runs = runs + CASE state WHEN NEW.state THEN 1 ELSE -1 END
    WHERE production = NEW.production AND state IN (OLD.state, NEW.state);
  INSERT INTO event (at, production, run, attempt, from_state, to_state, manager, why, user)
    VALUES (NEW.moved_at, NEW.production, NEW.run, NEW.attempt, OLD.state, NEW.state, NEW.moved_by, NEW.why, NEW.asked_by);
  INSERT INTO moves (production, hour, from_state, to_state, runs)
    VALUES (NEW.production, substr(NEW.moved_at, 1, 13), OLD.state, NEW.state, 1)
    ON CONFLICT (production, hour, from_state, to_state) DO UPDATE SET runs = runs + 1;
END;

-- A production with a run that is not finished is not closed.
CREATE TRIGGER run_reopens AFTER UPDATE OF state ON production_run WHEN OLD.state = 'finished' AND NEW.state <> 'finished' BEGIN
  UPDATE productions SET stop = NULL WHERE id = NEW.production AND stop IS NOT NULL AND closed_by IS NULL;
END;

-- What was asked and moved nothing is history, too: a priority, a request that came too late.
CREATE TRIGGER request_answered AFTER UPDATE OF answered ON request
WHEN NEW.answered IS NOT NULL AND (NEW.verb = 'priority' OR NEW.answer LIKE 'no: %') BEGIN
  INSERT INTO event (at, production, run, attempt, from_state, to_state, manager, why, user)
    SELECT NEW.answered, NEW.production, NEW.run, attempt, state, state, NEW.manager,
           CASE NEW.verb WHEN 'priority' THEN '' ELSE NEW.verb || ': ' END || NEW.answer || CASE NEW.why WHEN '' THEN '' ELSE ' (' || NEW.why || ')' END,
           NEW.user
      FROM production_run WHERE production = NEW.production AND run = NEW.run;
END;

-- A run that enters a production enters the open ones based on it, if they want its quality.
CREATE TRIGGER base_enters AFTER INSERT ON production_run BEGIN
  INSERT OR IGNORE INTO production_run (production, run, state, moved_at, moved_by)
    SELECT id, NEW.run, 'waiting', NEW.moved_at, NEW.moved_by FROM productions AS based
    WHERE based.base = NEW.production AND based.stop IS NULL
      AND EXISTS (SELECT 1 FROM datasets WHERE datasets.run = NEW.run AND +datasets.quality = based.quality);
END;

-- waiting → new: the base run is finished, so its outputs are there.
CREATE TRIGGER base_finished AFTER UPDATE OF state ON production_run
WHEN NEW.state = 'finished' AND OLD.state <> 'finished' BEGIN
  UPDATE production_run
    SET state = 'new', moved_at = NEW.moved_at, moved_by = NEW.moved_by, why = 'its base run is finished', asked_by = NULL
    WHERE run = NEW.run AND state = 'waiting'
      AND production IN (SELECT id FROM productions WHERE base = NEW.production);
END;

-- A takeover is history too, though the state stays.
CREATE TRIGGER run_adopted AFTER UPDATE OF owner ON production_run
WHEN OLD.state = NEW.state AND OLD.owner <> NEW.owner BEGIN
  INSERT INTO event (at, production, run, attempt, from_state, to_state, manager, why)
    VALUES (NEW.moved_at, NEW.production, NEW.run, NEW.attempt, OLD.state, NEW.state, NEW.moved_by, NEW.why);
END;

CREATE TRIGGER run_stays BEFORE DELETE ON production_run BEGIN
  SELECT RAISE(ABORT, 'runs of a production are not deleted; hold them');
END;

CREATE TRIGGER event_stays BEFORE UPDATE ON event BEGIN
  SELECT RAISE(ABORT, 'history is not changed');
END;
