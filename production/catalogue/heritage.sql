-- What brings a database of the old scripts over: as queries.sql. Only old_tables and old_columns are asked of the old one.

-- old_tables --
-- What is in an old database.
SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite@_%' ESCAPE '@' ORDER BY rowid

-- old_columns --
-- The columns of a table, in their order.
SELECT name FROM pragma_table_info(:table) ORDER BY cid

-- bring_production --
-- A production as it was; its quality is known when its runs are.
INSERT INTO productions (id, program, version, tag, base, quality, user, start, stop, data)
  VALUES (:id, :program, :version, :tag, :base, 'gold', :user, :start, :stop, :data)

-- bring_manager --
-- Who worked on a production with the old scripts; gone since.
INSERT INTO manager (user, host, boot, pid, ticks, production, start, beat_at, stop)
  VALUES (:user, 'import', '', 0, 0, :production, :start, :now, :now)

-- bring_run --
-- – → what the old scripts had written down: as far as it had come.
INSERT INTO production_run (production, run, state, owner, attempt, moved_at, moved_by, why)
  VALUES (:production, :run, :state, :owner, :attempt, :at, :owner, :why)

-- bring_attempt --
-- The one attempt that is known of a run.
INSERT INTO attempt (production, run, attempt, manager, user, claimed_at, submitted_at, ended_at, cause, message, olog, elog, modules)
  VALUES (:production, :run, 1, :manager, :user, :claimed, :submitted, :ended, :cause, :message, :olog, :elog, :modules)

-- bring_output --
-- Where a run's output was said to be.
INSERT INTO output (production, run, name, attempt, temporary, path, bytes, checksum, recorded)
  VALUES (:production, :run, :name, 1, '', :path, :bytes, '', :recorded)

-- settle_run --
-- claimed, submitted → where it stands from now on; so it is in its history, too.
UPDATE production_run SET state = :state, owner = NULL, moved_at = :at, moved_by = NULL, why = :why
  WHERE production = :production AND run = :run

-- state_of --
-- How far a run of a production is.
SELECT state FROM production_run WHERE production = :production AND run = :run

-- qualities_of --
-- Of which quality the runs of a production are, that of most of them first.
SELECT d.quality, count(DISTINCT p.run) FROM production_run AS p JOIN datasets AS d ON d.run = p.run
  WHERE p.production = :production GROUP BY d.quality ORDER BY 2 DESC, d.quality <> 'gold', d.quality

-- set_quality --
-- Which runs enter a production from now on.
UPDATE productions SET quality = :quality WHERE id = :production

-- strangers --
-- Runs of a production that no dataset has in its quality: how many, and the lowest. By their runs: a quality has them all.
SELECT count(*), min(p.run) FROM production_run AS p JOIN productions AS me ON me.id = p.production
  WHERE p.production = :production
    AND NOT EXISTS (SELECT 1 FROM datasets AS d WHERE d.run = p.run AND +d.quality = me.quality)

-- absentees --
-- Runs of a production's quality that it doesn't have: how many, and the lowest.
SELECT count(DISTINCT d.run), min(d.run) FROM datasets AS d JOIN productions AS me ON me.quality = d.quality
  WHERE me.id = :production
    AND NOT EXISTS (SELECT 1 FROM production_run AS p WHERE p.production = me.id AND p.run = d.run)

-- datasets_there --
-- Datasets and how many runs each has.
SELECT dataset, count(*) FROM datasets GROUP BY dataset ORDER BY dataset
