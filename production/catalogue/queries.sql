-- Every query of the house. A name, one sentence saying which transition or question it is, the query with :named
-- parameters. SQLite 3.34 and later: nothing newer is used.

-- new_catalogue --
-- The one row of a new database.
INSERT INTO catalogue (id, created) VALUES (:id, :now)

-- identity --
-- Which database this is.
SELECT id FROM catalogue

-- ── datasets and productions ────────────────────────────────────────────────────────────────────────────────────

-- add_run --
-- A run is known; again changes nothing.
INSERT OR IGNORE INTO run (run) VALUES (:run)

-- add_dataset --
-- A run is in a dataset; again changes nothing.
INSERT OR IGNORE INTO datasets (run, dataset, tranche, quality, geometry)
  VALUES (:run, :dataset, :tranche, :quality, :geometry)

-- dataset_of_run --
-- What the database has of a run in a dataset already.
SELECT tranche, quality, geometry FROM datasets WHERE run = :run AND dataset = :dataset

-- selections --
-- What --dataset, --tranche and --quality may name.
SELECT DISTINCT dataset, tranche, quality FROM datasets ORDER BY dataset, tranche, quality

-- production --
-- One production, with its base.
SELECT p.id, p.program, p.version, p.tag, p.base, b.version, p.start, p.stop, p.quality, p.data,
       (SELECT id FROM catalogue)
  FROM productions AS p LEFT JOIN productions AS b ON b.id = p.base
  WHERE p.program = :program AND p.version = :version

-- latest_version --
-- The highest version of a program, null if it has none.
SELECT max(version) FROM productions WHERE program = :program

-- productions --
-- All of them, oldest first.
SELECT p.id, p.program, p.version, p.tag, p.base, b.version, p.start, p.stop, p.quality, p.data,
       (SELECT id FROM catalogue)
  FROM productions AS p LEFT JOIN productions AS b ON b.id = p.base ORDER BY p.id

-- open_production --
-- A new production.
INSERT INTO productions (program, version, tag, base, quality, data, largest, user, start)
  VALUES (:program, :version, :tag, :base, :quality, :data,
          (SELECT coalesce(max(largest), 0) FROM productions WHERE program = :program), :user, :now)

-- open_output --
-- A column of the new production's view.
INSERT INTO production_output (production, name) VALUES (:production, :name)

-- enter_runs --
-- – → new: runs of the wanted quality that no intake has seen yet enter a production without a base.
INSERT OR IGNORE INTO production_run (production, run, state, moved_at, moved_by)
  SELECT p.id, d.run, 'new', :now, :me FROM productions AS p JOIN datasets AS d ON d.quality = p.quality AND d.id > p.intake
  WHERE p.id = :production AND p.stop IS NULL AND p.base IS NULL

-- enter_based_runs --
-- – → new or waiting: the runs of the base production enter a production based on it. With the "+" they are found by run:
-- a quality may have a million.
INSERT OR IGNORE INTO production_run (production, run, state, moved_at, moved_by)
  SELECT p.id, r.run, CASE r.state WHEN 'finished' THEN 'new' ELSE 'waiting' END, :now, :me
  FROM productions AS p JOIN production_run AS r ON r.production = p.base
  WHERE p.id = :production
    AND EXISTS (SELECT 1 FROM datasets AS d WHERE d.run = r.run AND +d.quality = p.quality)

-- intake_done --
-- All datasets up to now have been looked at for this production.
UPDATE productions SET intake = coalesce((SELECT max(id) FROM datasets), 0) WHERE id = :production

-- intake_due --
-- Whether datasets came since.
SELECT 1 FROM productions AS p
  WHERE p.id = :production AND p.stop IS NULL AND p.base IS NULL AND EXISTS (SELECT 1 FROM datasets WHERE id > p.intake)

-- close_production --
-- Open → closed, once, when every run is finished and no more can come.
UPDATE productions SET stop = :now WHERE id = :production AND stop IS NULL
  AND CASE WHEN base IS NULL
    THEN NOT EXISTS (SELECT 1 FROM datasets AS d WHERE d.quality = productions.quality AND d.id > productions.intake)
    ELSE EXISTS (SELECT 1 FROM productions AS b WHERE b.id = productions.base AND b.stop IS NOT NULL) END
  AND NOT EXISTS (SELECT 1 FROM tally WHERE production = :production AND state <> 'finished' AND runs > 0)

-- counts --
-- Runs by state.
SELECT state, runs FROM tally WHERE production = :production

-- counts_wanted --
-- Runs of chosen datasets and tranches by state, found by way of the datasets.
SELECT state, count(*) FROM (
  SELECT DISTINCT p.run, p.state
    FROM json_each(CASE :datasets WHEN '[]' THEN (SELECT json_group_array(DISTINCT dataset) FROM datasets) ELSE :datasets END) AS chosen
    CROSS JOIN datasets AS d ON d.dataset = chosen.value
      AND (:tranches = '[]' OR d.tranche IN (SELECT value FROM json_each(:tranches)))
    CROSS JOIN production_run AS p ON p.production = :production AND p.run = d.run)
  GROUP BY state

-- ── managers and leases ─────────────────────────────────────────────────────────────────────────────────────────

-- enter_manager --
-- A manager starts.
INSERT INTO manager (user, host, boot, pid, ticks, production, batch, nproc, nprep, datasets, tranches, start, beat_at)
  VALUES (:user, :host, :boot, :pid, :ticks, :production, :batch, :nproc, :nprep, :datasets, :tranches, :now, :now)

-- alive --
-- Whether a manager still has its lease.
SELECT 1 FROM manager WHERE id = :owner AND stop IS NULL AND lapsed IS NULL

-- beat --
-- A manager lives; how full it found the disk, if it has looked.
UPDATE manager SET beat = beat + 1, beat_at = :now, quota_used = coalesce(:used, quota_used), quota_limit = coalesce(:limit, quota_limit),
    quota_allowed = coalesce(:allowed, quota_allowed), quota_at = coalesce(:at, quota_at)
  WHERE id = :owner

-- nproc --
-- How many jobs a manager has at a time.
SELECT nproc FROM manager WHERE id = :owner

-- set_nproc --
-- It has so many from now on.
UPDATE manager SET nproc = :nproc WHERE id = :owner

-- managers --
-- Who works on a production, or left without saying so; and whoever brings files, which we may want as well.
SELECT id, user, host, boot, pid, ticks, beat FROM manager
  WHERE (production = :production OR id IN (SELECT manager FROM transfer)) AND stop IS NULL AND lapsed IS NULL

-- managers_of_all --
-- Who works on any production, or left without saying so.
SELECT id, user, host, boot, pid, ticks, beat FROM manager WHERE stop IS NULL AND lapsed IS NULL

-- lapse --
-- A lease lapses, if the beat is still the one that was seen.
UPDATE manager SET lapsed = :now WHERE id = :owner AND beat = :beat AND stop IS NULL AND lapsed IS NULL

-- leave --
-- A manager ends.
UPDATE manager SET stop = :now, message = :message WHERE id = :owner AND stop IS NULL

-- last_words --
-- What the manager of a production that was started last said when it ended.
SELECT message FROM manager WHERE id = (SELECT max(id) FROM manager WHERE production = :production) AND stop IS NOT NULL

-- orphans --
-- Managers that are gone and still own something that keeps us: runs of our production, or files on their way. A job
-- can only be followed through the batch system that has it.
SELECT DISTINCT r.owner FROM manager AS m JOIN production_run AS r ON r.owner = m.id
  WHERE m.production = :production AND (m.stop IS NOT NULL OR m.lapsed IS NOT NULL)
    AND (r.state NOT IN ('submitting', 'submitted') OR m.batch = (SELECT batch FROM manager WHERE id = :me))
UNION
SELECT t.manager FROM transfer AS t JOIN manager AS m ON m.id = t.manager
  WHERE m.stop IS NOT NULL OR m.lapsed IS NOT NULL

-- adopt --
-- A run with a job changes hands; its state stays.
UPDATE production_run SET owner = :me, moved_at = :now, moved_by = :me, why = :why, asked_by = NULL
  WHERE owner = :owner AND production = :production
    AND (state = 'ended' OR state IN ('submitting', 'submitted')
      AND (SELECT batch FROM manager WHERE id = :owner) = (SELECT batch FROM manager WHERE id = :me))

-- elsewhere --
-- Runs of managers that are gone, whose jobs another batch system than ours has.
SELECT m.batch, count(*) FROM manager AS m JOIN production_run AS r ON r.owner = m.id
  WHERE m.production = :production AND (m.stop IS NOT NULL OR m.lapsed IS NOT NULL)
    AND r.state IN ('submitting', 'submitted') AND m.batch <> (SELECT batch FROM manager WHERE id = :me)
  GROUP BY m.batch

-- reclaim --
-- An ended run goes from a manager of another user to one of its own, who may touch what its job wrote.
UPDATE production_run SET owner = :me, moved_at = :now, moved_by = :me, asked_by = NULL,
    why = 'its files are ' || :user || '''s'
  WHERE state = 'ended' AND production = :production
    AND owner IN (SELECT id FROM manager WHERE production = :production AND user <> :user AND lapsed IS NULL)
    AND EXISTS (SELECT 1 FROM attempt AS a WHERE a.production = production_run.production AND a.run = production_run.run
                AND a.attempt = production_run.attempt AND a.user = :user)

-- transfers_of --
-- Files that a manager was bringing.
SELECT path FROM transfer WHERE manager = :owner

-- end_transfers_of --
-- The transfers of a manager that is gone are nobody's.
DELETE FROM transfer WHERE manager = :owner

-- holdings --
-- What other living managers hold: for the farewell and for knowing when to end.
SELECT m.id, m.user, m.host, m.pid, count(*) FROM manager AS m JOIN production_run AS r ON r.owner = m.id
  WHERE m.production = :production AND m.stop IS NULL AND m.lapsed IS NULL AND m.id <> :me GROUP BY m.id

-- ── a run's way ─────────────────────────────────────────────────────────────────────────────────────────────────

-- claimable --
-- New runs that may be taken now, the most important first; of a closed production none.
SELECT p.production, p.run, r.label, p.attempt, p.failures, p.moved_at FROM production_run AS p JOIN run AS r USING (run)
  WHERE p.production = :production AND p.state = 'new' AND (p.not_before IS NULL OR p.not_before <= :now)
    AND EXISTS (SELECT 1 FROM productions WHERE id = :production AND stop IS NULL)
  ORDER BY p.priority DESC, p.run LIMIT :number

-- claimable_near --
-- Of the first so many of them, those of chosen datasets and tranches (JSON lists; empty means any).
SELECT p.production, p.run, r.label, p.attempt, p.failures, p.moved_at FROM (
    SELECT * FROM production_run
      WHERE production = :production AND state = 'new' AND (not_before IS NULL OR not_before <= :now)
        AND EXISTS (SELECT 1 FROM productions WHERE id = :production AND stop IS NULL)
      ORDER BY priority DESC, run LIMIT :look) AS p JOIN run AS r USING (run)
  WHERE EXISTS (SELECT 1 FROM datasets AS d WHERE d.run = p.run
      AND (:datasets = '[]' OR d.dataset IN (SELECT value FROM json_each(:datasets)))
      AND (:tranches = '[]' OR d.tranche IN (SELECT value FROM json_each(:tranches))))
  ORDER BY p.priority DESC, p.run LIMIT :number

-- more_than_near --
-- Whether there are more.
SELECT 1 FROM production_run
  WHERE production = :production AND state = 'new' AND (not_before IS NULL OR not_before <= :now)
    AND EXISTS (SELECT 1 FROM productions WHERE id = :production AND stop IS NULL)
  LIMIT 1 OFFSET :look

-- claimable_wanted --
-- Of all new runs, those of chosen datasets and tranches: for when they come late, found by way of the datasets.
SELECT DISTINCT p.production, p.run, r.label, p.attempt, p.failures, p.moved_at
  FROM json_each(CASE :datasets WHEN '[]' THEN (SELECT json_group_array(DISTINCT dataset) FROM datasets) ELSE :datasets END) AS chosen
  CROSS JOIN datasets AS d ON d.dataset = chosen.value
    AND (:tranches = '[]' OR d.tranche IN (SELECT value FROM json_each(:tranches)))
  CROSS JOIN production_run AS p ON p.production = :production AND p.run = d.run
  JOIN run AS r ON r.run = p.run
  WHERE p.state = 'new' AND (p.not_before IS NULL OR p.not_before <= :now)
    AND EXISTS (SELECT 1 FROM productions WHERE id = :production AND stop IS NULL)
  ORDER BY p.priority DESC, p.run LIMIT :number

-- claim --
-- new → claimed.
UPDATE production_run
  SET state = 'claimed', owner = :owner, attempt = :attempt, not_before = NULL, moved_at = :now, moved_by = :owner, why = '',
      asked_by = NULL
  WHERE production = :production AND run = :run AND state = 'new'

-- begin_attempt --
-- The claim begins an attempt.
INSERT INTO attempt (production, run, attempt, manager, user, claimed_at)
  VALUES (:production, :run, :attempt, :owner, :user, :now)

-- move --
-- Any state → any other that run.MOVES allows, only by its owner and from the state that was seen.
UPDATE production_run
  SET state = :to, owner = :new_owner, failures = :failures, not_before = :not_before,
      moved_at = :now, moved_by = :by, why = :why, asked_by = :asked_by
  WHERE production = :production AND run = :run AND attempt = :attempt AND state = :state AND owner IS :owner

-- runs --
-- A manager's runs in one state.
SELECT p.production, p.run, r.label, p.state, p.owner, p.attempt, p.failures, p.moved_at, p.why,
       s.name, a.job,
       (SELECT min(i.path) FROM input AS i WHERE i.production = p.production AND i.run = p.run), a.user, a.submitted_at,
       a.resources, a.began_at
  FROM production_run AS p JOIN run AS r ON r.run = p.run
  LEFT JOIN attempt AS a ON a.production = p.production AND a.run = p.run AND a.attempt = p.attempt
  LEFT JOIN submission AS s ON s.id = a.submission
  WHERE p.owner = :owner AND p.state = :state ORDER BY p.run

-- living --
-- Attempts of a production that go on.
SELECT p.run, p.attempt FROM manager AS m JOIN production_run AS p ON p.owner = m.id WHERE p.production = :production

-- in_flight --
-- How many runs a manager has in each state.
SELECT state, count(*) FROM production_run WHERE owner = :owner GROUP BY state

-- last_waiting --
-- Whether a wanted run waits for a base run that may still finish.
SELECT 1 FROM production_run AS p JOIN productions AS me ON me.id = p.production
  JOIN productions AS base ON base.id = me.base AND base.stop IS NULL
  JOIN production_run AS b ON b.production = base.id AND b.run = p.run AND b.state NOT IN ('failed', 'held')
  WHERE p.production = :production AND p.state = 'waiting'
    AND (:datasets = '[]' AND :tranches = '[]' OR EXISTS (SELECT 1 FROM datasets AS d WHERE d.run = p.run
      AND (:datasets = '[]' OR d.dataset IN (SELECT value FROM json_each(:datasets)))
      AND (:tranches = '[]' OR d.tranche IN (SELECT value FROM json_each(:tranches)))))
  LIMIT 1

-- in_vain --
-- Runs that wait for a base run that failed or is held: how many, and the lowest.
SELECT count(*), min(p.run) FROM production_run AS p JOIN productions AS me ON me.id = p.production
  JOIN production_run AS b ON b.production = me.base AND b.run = p.run AND b.state IN ('failed', 'held')
  WHERE p.production = :production AND p.state = 'waiting'

-- last_ends --
-- How a manager's last attempts ended, newest first.
SELECT run, cause, coalesce(message, ''), coalesce(elog, '') FROM attempt WHERE manager = :owner AND ended_at IS NOT NULL AND cause IS NOT 'released'
  ORDER BY ended_at DESC LIMIT :number

-- causes --
-- Failed and held runs by cause, or by hand, with the lowest run of each and why it is so.
SELECT c.state, c.cause, c.runs, c.first, p.why FROM (
    SELECT p.state AS state, CASE WHEN p.asked_by IS NULL THEN coalesce(a.cause, '') ELSE 'by hand' END AS cause, count(*) AS runs, min(p.run) AS first FROM production_run AS p
      LEFT JOIN attempt AS a ON a.production = p.production AND a.run = p.run AND a.attempt = p.attempt
      WHERE p.production = :production AND p.state IN ('failed', 'held') GROUP BY 1, 2) AS c
  JOIN production_run AS p ON p.production = :production AND p.run = c.first
  ORDER BY c.state, c.runs DESC, c.cause

-- stuck --
-- The first failed or held runs, with cause and why.
SELECT p.run, CASE WHEN p.asked_by IS NULL THEN coalesce(a.cause, '') ELSE 'by hand' END, p.why
  FROM (SELECT run FROM production_run WHERE production = :production AND state = :state ORDER BY run LIMIT :look) AS s
  CROSS JOIN production_run AS p ON p.production = :production AND p.run = s.run
  LEFT JOIN attempt AS a ON a.production = p.production AND a.run = p.run AND a.attempt = p.attempt
  ORDER BY p.run

-- history --
-- What has happened to a run.
SELECT e.at, e.attempt, e.from_state, e.to_state, e.why, coalesce(m.user || '@' || m.host || ':' || m.pid, ''), coalesce(e.user, '')
  FROM event AS e LEFT JOIN manager AS m ON m.id = e.manager
  WHERE e.production = :production AND e.run = :run ORDER BY e.id

-- earlier --
-- A run's attempts before this one that ended for a cause, the oldest first.
SELECT cause, resources, host, wall, memory FROM attempt
  WHERE production = :production AND run = :run AND attempt < :attempt AND cause IS NOT NULL ORDER BY attempt

-- ── attempts and submissions ────────────────────────────────────────────────────────────────────────────────────

-- next_submission --
-- The number that the next submission's name ends in.
SELECT coalesce(max(id), 0) + 1 FROM submission

-- open_submission --
-- What will be sent is written down first.
INSERT INTO submission (id, name, production, manager, user, host, batch, digest, tasks, at)
  VALUES (:id, :name, :production, :manager, :user, :host, :batch, :digest, :tasks, :now)

-- submit_attempt --
-- An attempt's place in a submission.
UPDATE attempt SET submission = :submission, task = :task, user = :user, submitted_at = :now, resources = :resources,
    olog = :olog, elog = :elog, modules = :modules, command = :command
  WHERE production = :production AND run = :run AND attempt = :attempt

-- log_of --
-- Which earlier attempt of a run wrote a log.
SELECT attempt FROM attempt WHERE production = :production AND run = :run AND attempt < :attempt AND olog = :log

-- keep_log --
-- An earlier attempt's logs are kept under another name.
UPDATE attempt SET olog = :olog, elog = :elog WHERE production = :production AND run = :run AND attempt = :attempt

-- attempt_job --
-- The batch system has given the attempt's job an id.
UPDATE attempt SET job = :job WHERE production = :production AND run = :run AND attempt = :attempt

-- begin_job --
-- The attempt's job is seen to run for the first time.
UPDATE attempt SET began_at = :now, host = coalesce(:host, host)
  WHERE production = :production AND run = :run AND attempt = :attempt AND began_at IS NULL

-- end_attempt --
-- An attempt ends, with all that is known of it.
UPDATE attempt SET ended_at = :now, cause = :cause, counted = :counted, message = :message,
    host = coalesce(:host, host), exit = coalesce(:exit, exit), signal = coalesce(:signal, signal),
    wall = coalesce(:wall, wall), cpu = coalesce(:cpu, cpu), memory = coalesce(:memory, memory)
  WHERE production = :production AND run = :run AND attempt = :attempt

-- keep_modules --
-- A configuration text, once.
INSERT OR IGNORE INTO modules (digest, text) VALUES (:digest, :text)

-- ── inputs and transfers ────────────────────────────────────────────────────────────────────────────────────────

-- base_output --
-- Where the base run's output lies.
SELECT o.path, nullif(o.bytes, -1) FROM productions AS p
  JOIN output AS o ON o.production = p.base AND o.run = :run AND o.name = :name AND o.recorded IS NOT NULL AND o.deleted IS NULL
  WHERE p.id = :production

-- need_input --
-- A run needs a file on our disk; if another run's need of it is ours to remove, so is this one.
INSERT OR REPLACE INTO input (production, run, path, source, bytes, ours, come)
  VALUES (:production, :run, :path, :source,
          coalesce(:bytes, (SELECT bytes FROM input WHERE production = :production AND run = :run AND path = :path)),
          max(:ours, coalesce((SELECT max(ours) FROM input WHERE path = :path), 0)), :come)

-- input_needed --
-- Whether a run needs a file.
SELECT 1 FROM input WHERE path = :path LIMIT 1

-- inputs_of --
-- What a run needs.
SELECT path, ours FROM input WHERE production = :production AND run = :run

-- drop_inputs --
-- A run needs its files no more.
DELETE FROM input WHERE production = :production AND run = :run

-- size_of_input --
-- Bytes of a run's input, null if nobody knows.
SELECT bytes FROM input WHERE production = :production AND run = :run AND path = :path

-- largest_input --
-- Bytes of the largest input of a production, and whether its runs write anything.
SELECT largest, EXISTS (SELECT 1 FROM production_output WHERE production = id) FROM productions WHERE id = :production

-- ── what is promised ────────────────────────────────────────────────────────────────────────────────────────────

-- promised_ordered --
-- Bytes of files that are on their way to a data directory, or came since it was looked at how full it is.
SELECT coalesce(sum(bytes), 0) FROM (
  SELECT max(coalesce(i.bytes, t.size, p.largest)) AS bytes FROM input AS i
    JOIN productions AS p ON p.id = i.production LEFT JOIN transfer AS t ON t.path = i.path
    WHERE p.data = :data AND i.ours AND CASE WHEN i.come IS NULL THEN t.path IS NOT NULL ELSE i.come >= :since END
    GROUP BY i.path)

-- promised_known --
-- Claimed runs' files that nobody has ordered yet though their size is known, of one production: how many, bytes.
SELECT count(*), coalesce(sum(i.bytes), 0) FROM input AS i LEFT JOIN transfer AS t ON t.path = i.path
  WHERE i.production = :production AND i.come IS NULL AND t.path IS NULL

-- promised_ways --
-- Files on their way for one production: how many.
SELECT count(*) FROM input AS i JOIN transfer AS t ON t.path = i.path WHERE i.production = :production AND i.come IS NULL

-- at_work --
-- Productions of a data directory that have runs in flight: how many are claimed, how many in flight.
SELECT p.id, sum(CASE t.state WHEN 'claimed' THEN t.runs ELSE 0 END), sum(t.runs)
  FROM productions AS p JOIN tally AS t ON t.production = p.id
  WHERE p.data = :data AND t.state IN ('claimed', 'staged', 'submitting', 'submitted', 'ended')
  GROUP BY p.id HAVING sum(t.runs) > 0

-- computing --
-- How many runs of a data directory compute, or have just done so: they make room when they end.
SELECT coalesce(sum(t.runs), 0) FROM productions AS p JOIN tally AS t ON t.production = p.id
  WHERE p.data = :data AND t.state IN ('submitting', 'submitted', 'ended')

-- typical_outputs --
-- The median of what a run's outputs have in bytes, of its program's last runs that wrote some; of this version if it can be.
WITH sums AS (
  SELECT sum(bytes) AS bytes FROM output
    WHERE production = (
      SELECT max(p.id) FROM productions AS p JOIN productions AS me ON me.id = :production AND p.program = me.program
        WHERE p.id <= me.id AND EXISTS (SELECT 1 FROM output WHERE production = p.id AND recorded IS NOT NULL AND bytes >= 0))
      AND recorded IS NOT NULL AND bytes >= 0
    GROUP BY run ORDER BY run DESC LIMIT 99)
SELECT bytes FROM sums ORDER BY bytes LIMIT 1 OFFSET (SELECT count(*) / 2 FROM sums)

-- finished_since --
-- Runs below a data directory whose jobs ended well since: production, how many. Found by way of the managers at work, as
-- asked otherwise it reads all attempts there ever were.
SELECT p.id, count(*) FROM productions AS p CROSS JOIN manager AS m ON m.production = p.id AND m.stop IS NULL AND m.lapsed IS NULL
  CROSS JOIN attempt AS a ON a.manager = m.id AND a.ended_at >= :since AND a.cause IS NULL
  WHERE p.data = :data GROUP BY p.id

-- ── transfers ───────────────────────────────────────────────────────────────────────────────────────────────────

-- transfer_of --
-- Who is bringing a file.
SELECT manager FROM transfer WHERE path = :path

-- begin_transfer --
-- A file is on its way.
INSERT INTO transfer (path, source, manager, size, start) VALUES (:path, :source, :manager, :size, :now)

-- progress_transfer --
-- How far it is.
UPDATE transfer SET bytes = :bytes, size = coalesce(:size, size) WHERE path = :path AND manager = :manager

-- end_transfer --
-- It has come, or will not.
DELETE FROM transfer WHERE path = :path AND manager = :manager

-- ── outputs ─────────────────────────────────────────────────────────────────────────────────────────────────────

-- intend_output --
-- Where a checked output will be moved to.
INSERT OR REPLACE INTO output (production, run, name, attempt, temporary, path, bytes, checksum)
  VALUES (:production, :run, :name, :attempt, :temporary, :path, :bytes, :checksum)

-- intended --
-- What a run's attempt meant to put in place.
SELECT name, temporary, path, bytes, checksum FROM output
  WHERE production = :production AND run = :run AND attempt = :attempt AND recorded IS NULL ORDER BY name

-- record_outputs --
-- The run's outputs are in place.
UPDATE output SET recorded = :now WHERE production = :production AND run = :run AND attempt = :attempt

-- ── fixed paths ─────────────────────────────────────────────────────────────────────────────────────────────────

-- fixed_path --
-- Who uses a fixed path, or did last.
SELECT production, run, attempt, busy, leftover FROM fixed_path WHERE path = :path

-- take_path --
-- An attempt takes a fixed path.
INSERT OR REPLACE INTO fixed_path (path, production, run, attempt, busy) VALUES (:path, :production, :run, :attempt, 1)

-- taken_paths --
-- The fixed paths that an attempt has.
SELECT path FROM fixed_path WHERE production = :production AND run = :run AND attempt = :attempt AND busy = 1

-- leave_path --
-- What an attempt that ends leaves at a fixed path of its own.
UPDATE fixed_path SET leftover = :leftover
  WHERE path = :path AND production = :production AND run = :run AND attempt = :attempt

-- ── requests ────────────────────────────────────────────────────────────────────────────────────────────────────

-- asked --
-- Open requests for runs of a manager, and of nobody, the oldest first.
SELECT q.id, q.run, p.owner, q.verb, q.argument, q.user, q.why FROM request AS q
  JOIN production_run AS p ON p.production = q.production AND p.run = q.run
  WHERE q.production = :production AND q.answered IS NULL AND (p.owner IS NULL OR p.owner = :me)
  ORDER BY q.id LIMIT :number

-- ask --
-- A person asks something of a run.
INSERT INTO request (production, run, verb, argument, user, why, at)
  VALUES (:production, :run, :verb, :argument, :user, :why, :now)

-- is_open --
-- Whether a request has not been answered.
SELECT 1 FROM request WHERE id = :id AND answered IS NULL

-- answer --
-- A request is answered, once.
UPDATE request SET answered = :now, answer = :answer, manager = :owner WHERE id = :id AND answered IS NULL

-- asked_of_manager --
-- What is asked of a manager itself and not answered, the oldest first.
SELECT id, verb, argument, user, why FROM manager_request WHERE manager = :owner AND answered IS NULL ORDER BY id

-- ask_manager --
-- A person asks something of a manager that has not left.
INSERT INTO manager_request (manager, verb, argument, user, why, at)
  SELECT id, :verb, :argument, :user, :why, :now FROM manager WHERE id = :manager AND stop IS NULL AND lapsed IS NULL

-- answer_as_manager --
-- It answers, once.
UPDATE manager_request SET answered = :now, answer = :answer WHERE id = :id AND answered IS NULL

-- run_now --
-- One run as it is, as "runs" has it.
SELECT p.production, p.run, r.label, p.state, p.owner, p.attempt, p.failures, p.moved_at, p.why,
       s.name, a.job,
       (SELECT min(i.path) FROM input AS i WHERE i.production = p.production AND i.run = p.run), a.user, a.submitted_at,
       a.resources, a.began_at
  FROM production_run AS p JOIN run AS r ON r.run = p.run
  LEFT JOIN attempt AS a ON a.production = p.production AND a.run = p.run AND a.attempt = p.attempt
  LEFT JOIN submission AS s ON s.id = a.submission
  WHERE p.production = :production AND p.run = :run

-- base_unfinished --
-- Whether a run has a base run that is not finished.
SELECT 1 FROM productions AS p JOIN production_run AS b ON b.production = p.base AND b.run = :run AND b.state <> 'finished'
  WHERE p.id = :production

-- base_leaves --
-- Whether a run's base run is being reset, or was: its outputs are on their way aside, or it is not finished any more.
SELECT 1 FROM productions AS p JOIN production_run AS b ON b.production = p.base AND b.run = :run
  WHERE p.id = :production AND (b.state <> 'finished' OR EXISTS (
    SELECT 1 FROM aside AS a WHERE a.production = b.production AND a.run = b.run AND a.done IS NULL))

-- data_of --
-- Below which directory a production's files are.
SELECT data FROM productions WHERE id = :production

-- productions_based --
-- Productions that work on the outputs of one.
SELECT id FROM productions WHERE base = :production

-- prioritize --
-- A run is more important, or less; it stays where it is.
UPDATE production_run SET priority = :priority WHERE production = :production AND run = :run

-- hasten --
-- new, in back-off → new, at once.
UPDATE production_run SET not_before = NULL, failures = 0 WHERE production = :production AND run = :run AND state = 'new'

-- intend_aside --
-- Where a finished run's outputs will be put aside.
INSERT OR IGNORE INTO aside (production, run, name, attempt, path, aside, bytes, checksum)
  SELECT production, run, name, attempt, path, path || '.aside' || attempt, bytes, checksum FROM output
    WHERE production = :production AND run = :run AND recorded IS NOT NULL AND deleted IS NULL

-- intended_aside --
-- What is meant to be put aside.
SELECT path, aside FROM aside WHERE production = :production AND run = :run AND done IS NULL

-- forget_aside --
-- It isn't, after all.
DELETE FROM aside WHERE production = :production AND run = :run AND done IS NULL AND (:path IS NULL OR path = :path)

-- in_place --
-- Whether an output of a run is in its place, and nobody has written down where it is put aside.
SELECT 1 FROM output AS o WHERE o.production = :production AND o.run = :run AND o.recorded IS NOT NULL AND o.deleted IS NULL
  AND NOT EXISTS (SELECT 1 FROM aside AS a WHERE a.production = o.production AND a.run = o.run AND a.name = o.name
                  AND a.attempt = o.attempt AND a.done IS NULL)

-- asides_done --
-- A run's outputs have been put aside.
UPDATE aside SET done = :now WHERE production = :production AND run = :run AND done IS NULL

-- outputs_gone --
-- They are no outputs of it any more.
UPDATE output SET deleted = :now WHERE production = :production AND run = :run AND recorded IS NOT NULL AND deleted IS NULL

-- close_by_hand --
-- Open → closed, though not all runs are finished.
UPDATE productions SET stop = :now, closed_by = :user, closed_why = :why WHERE id = :production AND stop IS NULL

-- open_again --
-- Closed by hand → open.
UPDATE productions SET stop = NULL, closed_by = NULL, closed_why = NULL WHERE id = :production AND closed_by IS NOT NULL
