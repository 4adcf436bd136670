-- How a database of an earlier version of schema.sql becomes one of the next, by whoever writes first; while others may be
-- at work in it, so nothing that they need is taken away. "from_N" are the changes of tables; then the tables, indexes and
-- triggers of schema.sql that are missing, or were others, are made; "fill_N" puts into them what is known. All is one
-- transaction with that write.

-- from_1 --
-- What an attempt leaves at a fixed path is known again.
ALTER TABLE fixed_path ADD COLUMN leftover TEXT;

-- from_2 --
-- Who asked for a move; who closed a production; what a manager takes. One index of all states instead of some.
ALTER TABLE production_run ADD COLUMN asked_by TEXT;
ALTER TABLE event ADD COLUMN user TEXT;
ALTER TABLE productions ADD COLUMN closed_by TEXT;
ALTER TABLE productions ADD COLUMN closed_why TEXT;
ALTER TABLE manager ADD COLUMN datasets TEXT NOT NULL DEFAULT '[]';
ALTER TABLE manager ADD COLUMN tranches TEXT NOT NULL DEFAULT '[]';
DROP INDEX run_waiting;
DROP INDEX run_stuck;

-- fill_2 --
-- Moves by the hour; what the moves don't explain has entered at the start.
INSERT INTO moves (production, hour, from_state, to_state, runs)
  SELECT production, substr(at, 1, 13), from_state, to_state, count(*) FROM event
    WHERE from_state <> to_state GROUP BY 1, 2, 3, 4;
INSERT INTO entry (production, at, state, runs)
  SELECT p.id, p.start, t.state, t.runs
      - coalesce((SELECT sum(runs) FROM moves WHERE production = p.id AND to_state = t.state), 0)
      + coalesce((SELECT sum(runs) FROM moves WHERE production = p.id AND from_state = t.state), 0) AS entered
    FROM productions AS p JOIN tally AS t ON t.production = p.id WHERE entered > 0;

-- from_3 --
-- When a job began to run; how full a manager found the disk. What is asked of managers has a table of its own.
ALTER TABLE attempt ADD COLUMN began_at TEXT;
ALTER TABLE manager ADD COLUMN quota_used INTEGER;
ALTER TABLE manager ADD COLUMN quota_limit INTEGER;
ALTER TABLE manager ADD COLUMN quota_allowed INTEGER;
ALTER TABLE manager ADD COLUMN quota_at TEXT;
