-- What people ask, for the commands and the dashboard: as queries.sql. Nothing here changes anything.

-- ── which runs ──────────────────────────────────────────────────────────────────────────────────────────────────
-- First candidates by one property, in order, through its index and so many at a time; then of_candidates looks at the rest.

-- by_key --
-- Runs of these ranges, which are in order and don't overlap: as they are walked through, they come in order.
SELECT p.run FROM json_each(:value) AS k
  CROSS JOIN production_run AS p ON p.production = :production
    AND p.run BETWEEN max(:after + 1, json_extract(k.value, '$[0]')) AND json_extract(k.value, '$[1]')
  LIMIT :number

-- by_key_down --
-- Runs of one range below a number, the highest first; so of all that end in "down".
SELECT run FROM production_run WHERE production = :production AND run >= :low AND run < :before ORDER BY run DESC LIMIT :number

-- by_state --
-- Runs in a state.
SELECT run FROM production_run WHERE production = :production AND state = :value AND run > :after ORDER BY run LIMIT :number

-- by_state_down --
-- The same downwards.
SELECT run FROM production_run WHERE production = :production AND state = :value AND run < :after ORDER BY run DESC LIMIT :number

-- by_dataset --
-- Runs of a dataset, of this production or not.
SELECT run FROM datasets WHERE dataset = :value AND run > :after ORDER BY run LIMIT :number

-- by_dataset_down --
-- The same downwards.
SELECT run FROM datasets WHERE dataset = :value AND run < :after ORDER BY run DESC LIMIT :number

-- by_cause --
-- Runs with an attempt that ended for a cause, perhaps not the last.
SELECT DISTINCT run FROM attempt WHERE production = :production AND cause = :value AND run > :after ORDER BY run LIMIT :number

-- by_cause_down --
-- The same downwards.
SELECT DISTINCT run FROM attempt WHERE production = :production AND cause = :value AND run < :after ORDER BY run DESC LIMIT :number

-- by_host --
-- Runs with an attempt on a host, perhaps not the last.
SELECT DISTINCT run FROM attempt WHERE production = :production AND host = :value AND run > :after ORDER BY run LIMIT :number

-- by_host_down --
-- The same downwards.
SELECT DISTINCT run FROM attempt WHERE production = :production AND host = :value AND run < :after ORDER BY run DESC LIMIT :number

-- of_candidates --
-- Of these runs, those that the whole filter means, with what is shown of them. JSON lists; empty means any.
-- A job of a machine of ours is process.ticks@boot/host, and shown as the process: that, too, finds it.
SELECT p.run, r.label, p.state, p.moved_at, p.attempt, p.failures, p.priority, p.not_before, p.why, p.asked_by,
       a.cause, a.message, a.host, a.job, coalesce(a.user, m.user), a.submitted_at, a.began_at, a.wall, s.batch,
       m.id, m.user || '@' || m.host || ':' || m.pid,
       (SELECT json_group_array(dataset) FROM datasets WHERE run = p.run)
  FROM json_each(:candidates) AS c
  CROSS JOIN production_run AS p ON p.production = :production AND p.run = c.value
  JOIN run AS r ON r.run = p.run
  LEFT JOIN attempt AS a ON a.production = p.production AND a.run = p.run AND a.attempt = p.attempt
  LEFT JOIN submission AS s ON s.id = a.submission
  LEFT JOIN manager AS m ON m.id = p.owner
  WHERE (:states = '[]' OR p.state IN (SELECT value FROM json_each(:states)))
    AND (:causes = '[]' OR a.cause IN (SELECT value FROM json_each(:causes)))
    AND (:hosts = '[]' OR a.host IN (SELECT value FROM json_each(:hosts)))
    AND (:users = '[]' OR coalesce(a.user, m.user) IN (SELECT value FROM json_each(:users)))
    AND (:jobs = '[]' OR a.job IN (SELECT value FROM json_each(:jobs))
      OR (a.job LIKE '%.%@%' AND substr(a.job, 1, instr(a.job, '.') - 1) IN (SELECT value FROM json_each(:jobs))))
    AND (:datasets = '[]' AND :tranches = '[]' AND :qualities = '[]' OR EXISTS (SELECT 1 FROM datasets AS d WHERE d.run = p.run
          AND (:datasets = '[]' OR d.dataset IN (SELECT value FROM json_each(:datasets)))
          AND (:tranches = '[]' OR d.tranche IN (SELECT value FROM json_each(:tranches)))
          AND (:qualities = '[]' OR d.quality IN (SELECT value FROM json_each(:qualities)))))
    AND (:until IS NULL OR p.moved_at <= :until) AND (:since IS NULL OR p.moved_at >= :since)
    AND (:texts = '[]' OR NOT EXISTS (SELECT 1 FROM json_each(:texts) AS t
          WHERE instr(lower(p.why || ' ' || coalesce(r.label, '') || ' ' || coalesce(a.message, '') || ' ' || coalesce(a.olog, '')
                            || ' ' || coalesce(p.asked_by, '')), t.value) = 0))
  ORDER BY p.run

-- in_order --
-- All runs by what stands in a column of the table, the same by number; a state by its place on a run's way. Only that
-- column is looked at.
SELECT p.run FROM production_run AS p WHERE p.production = :production ORDER BY CASE :key
    WHEN 'since' THEN p.moved_at
    WHEN 'state' THEN instr('waiting new claimed staged submitting submitted ended finished failed held', p.state)
    WHEN 'attempt' THEN p.attempt
    WHEN 'failures' THEN p.failures
    WHEN 'priority' THEN p.priority
    WHEN 'host' THEN coalesce((SELECT host FROM attempt AS a
      WHERE a.production = p.production AND a.run = p.run AND a.attempt = p.attempt), '')
    WHEN 'cause' THEN coalesce((SELECT cause FROM attempt AS a
      WHERE a.production = p.production AND a.run = p.run AND a.attempt = p.attempt), '')
    WHEN 'user' THEN coalesce((SELECT user FROM attempt AS a
      WHERE a.production = p.production AND a.run = p.run AND a.attempt = p.attempt), (SELECT user FROM manager WHERE id = p.owner), '')
    WHEN 'submitted' THEN coalesce((SELECT submitted_at FROM attempt AS a
      WHERE a.production = p.production AND a.run = p.run AND a.attempt = p.attempt), '')
    WHEN 'datasets' THEN coalesce((SELECT group_concat(dataset, char(1)) FROM (
      SELECT dataset FROM datasets WHERE run = p.run ORDER BY dataset)), '')
  END, p.run

-- in_order_down --
-- The same downwards; what is the same still by number.
SELECT p.run FROM production_run AS p WHERE p.production = :production ORDER BY CASE :key
    WHEN 'since' THEN p.moved_at
    WHEN 'state' THEN instr('waiting new claimed staged submitting submitted ended finished failed held', p.state)
    WHEN 'attempt' THEN p.attempt
    WHEN 'failures' THEN p.failures
    WHEN 'priority' THEN p.priority
    WHEN 'host' THEN coalesce((SELECT host FROM attempt AS a
      WHERE a.production = p.production AND a.run = p.run AND a.attempt = p.attempt), '')
    WHEN 'cause' THEN coalesce((SELECT cause FROM attempt AS a
      WHERE a.production = p.production AND a.run = p.run AND a.attempt = p.attempt), '')
    WHEN 'user' THEN coalesce((SELECT user FROM attempt AS a
      WHERE a.production = p.production AND a.run = p.run AND a.attempt = p.attempt), (SELECT user FROM manager WHERE id = p.owner), '')
    WHEN 'submitted' THEN coalesce((SELECT submitted_at FROM attempt AS a
      WHERE a.production = p.production AND a.run = p.run AND a.attempt = p.attempt), '')
    WHEN 'datasets' THEN coalesce((SELECT group_concat(dataset, char(1)) FROM (
      SELECT dataset FROM datasets WHERE run = p.run ORDER BY dataset)), '')
  END DESC, p.run

-- ── one run ─────────────────────────────────────────────────────────────────────────────────────────────────────

-- attempts --
-- All attempts at a run.
SELECT a.attempt, a.user, a.host, a.claimed_at, a.submitted_at, a.began_at, a.ended_at, s.name, a.task, a.job, s.batch, a.resources, a.cause,
       a.counted, a.exit, a.signal, a.wall, a.cpu, a.memory, a.message, a.olog, a.elog, a.modules, a.command
  FROM attempt AS a LEFT JOIN submission AS s ON s.id = a.submission
  WHERE a.production = :production AND a.run = :run ORDER BY a.attempt

-- inputs --
-- Files that a run needs on our disk, and how far they are.
SELECT i.path, i.source, coalesce(i.bytes, t.size), i.ours, i.come, t.bytes, t.start, m.user || '@' || m.host || ':' || m.pid FROM input AS i
  LEFT JOIN transfer AS t ON t.path = i.path LEFT JOIN manager AS m ON m.id = t.manager
  WHERE i.production = :production AND i.run = :run ORDER BY i.path

-- ordered_with --
-- Files that have not come of the manager that brings this one: path, whether the archive has answered.
SELECT o.path, o.size IS NOT NULL OR o.bytes > 0 FROM transfer AS t JOIN transfer AS o ON o.manager = t.manager
  WHERE t.path = :path ORDER BY o.path

-- outputs --
-- What a run wrote, in place or on its way there.
SELECT name, attempt, path, bytes, checksum, recorded, deleted FROM output
  WHERE production = :production AND run = :run ORDER BY name

-- asides --
-- What of it a reset took from its place.
SELECT name, attempt, path, aside, bytes, done FROM aside WHERE production = :production AND run = :run ORDER BY attempt, name

-- requests --
-- What was asked of a run's managers.
SELECT id, verb, argument, user, why, at, answered, answer FROM request
  WHERE production = :production AND run = :run ORDER BY id

-- answers --
-- What became of requests: JSON list of their ids.
SELECT q.id, q.run, q.answer FROM json_each(:ids) AS k CROSS JOIN request AS q ON q.id = k.value WHERE q.answered IS NOT NULL

-- modules_of --
-- A configuration text.
SELECT text FROM modules WHERE digest = :digest

-- other_productions --
-- Productions that have a run, and how it is there.
SELECT o.program || '_v' || o.version, p.state FROM productions AS o JOIN production_run AS p ON p.production = o.id AND p.run = :run
  ORDER BY o.id

-- based --
-- What becomes of runs of the productions based on one, and on these, if their base runs are reset; waiting and held ones stay.
WITH RECURSIVE chain (id) AS (
  SELECT id FROM productions WHERE base = :production
  UNION SELECT o.id FROM chain JOIN productions AS o ON o.base = chain.id)
SELECT o.program || '_v' || o.version, p.state, count(*)
  FROM chain JOIN productions AS o ON o.id = chain.id CROSS JOIN json_each(:candidates) AS c
  CROSS JOIN production_run AS p ON p.production = o.id AND p.run = c.value
  WHERE p.state NOT IN ('waiting', 'held') GROUP BY o.id, p.state ORDER BY o.id, p.state

-- datasets_of --
-- What is known of a run, whatever the production: datasets with tranche and quality.
SELECT dataset, tranche, quality FROM datasets WHERE run = :run ORDER BY dataset

-- dataset_names --
-- Names of all datasets: each is leapt to behind the one before, so runs are not read.
WITH RECURSIVE name (name) AS (
  SELECT min(dataset) FROM datasets
  UNION ALL SELECT (SELECT min(dataset) FROM datasets WHERE dataset > name.name) FROM name WHERE name.name IS NOT NULL)
SELECT name FROM name WHERE name IS NOT NULL

-- host_names --
-- Hosts of all attempts, leapt to in the same way.
WITH RECURSIVE name (name) AS (
  SELECT min(host) FROM attempt WHERE production = :production
  UNION ALL SELECT (SELECT min(host) FROM attempt WHERE production = :production AND host > name.name)
    FROM name WHERE name.name IS NOT NULL)
SELECT name FROM name WHERE name IS NOT NULL

-- ── a whole production ──────────────────────────────────────────────────────────────────────────────────────────

-- counts_at --
-- Runs by state at an instant: what had entered, and all moves of the hours before and of the begun hour.
SELECT state, sum(runs) FROM (
    SELECT state, runs FROM entry WHERE production = :production AND at <= :at
    UNION ALL SELECT to_state, runs FROM moves WHERE production = :production AND hour < :hour
    UNION ALL SELECT from_state, -runs FROM moves WHERE production = :production AND hour < :hour
    UNION ALL SELECT to_state, 1 FROM event WHERE production = :production AND at >= :hour AND at <= :at AND from_state <> to_state
    UNION ALL SELECT from_state, -1 FROM event WHERE production = :production AND at >= :hour AND at <= :at AND from_state <> to_state)
  GROUP BY state

-- all_managers --
-- Managers, the newest first: who, where, since, beat, and how many runs they have.
SELECT m.id, m.user, m.host, m.pid, m.boot, m.ticks, p.program || '_v' || p.version, m.batch, m.nproc, m.nprep,
       m.datasets, m.tranches, m.start, m.beat_at, m.stop, m.lapsed, m.message, (SELECT count(*) FROM production_run WHERE owner = m.id),
       (SELECT CAST(argument AS INTEGER) FROM manager_request WHERE manager = m.id AND answered IS NULL ORDER BY id DESC LIMIT 1)
  FROM manager AS m LEFT JOIN productions AS p ON p.id = m.production
  WHERE :all OR (m.stop IS NULL AND m.lapsed IS NULL)
  ORDER BY m.id DESC LIMIT :number

-- all_productions --
-- Who opened what, when.
SELECT p.id, p.user, p.closed_by, p.closed_why FROM productions AS p ORDER BY p.id

-- ahead --
-- New runs that are claimed before one with this priority and number by whoever takes these datasets and tranches (null:
-- any): how many, of how many that were looked at. No more than so many are, of either kind.
SELECT coalesce(sum((c.not_before IS NULL OR c.not_before <= :now) AND EXISTS (
    SELECT 1 FROM json_each(:choices) AS w WHERE w.value = '[null,null]' OR EXISTS (SELECT 1 FROM datasets AS d WHERE d.run = c.run
      AND d.dataset = coalesce(json_extract(w.value, '$[0]'), d.dataset)
      AND (json_extract(w.value, '$[1]') IS NULL OR d.tranche = json_extract(w.value, '$[1]'))))), 0), count(*)
  FROM (
    SELECT * FROM (SELECT run, not_before FROM production_run INDEXED BY run_claimable
      WHERE production = :production AND state = 'new' AND priority > :priority LIMIT :number)
    UNION ALL SELECT * FROM (SELECT run, not_before FROM production_run INDEXED BY run_claimable
      WHERE production = :production AND state = 'new' AND priority = :priority AND run < :run LIMIT :number)) AS c

-- hands --
-- What managers have: manager, state, how many.
SELECT p.owner, p.state, count(*) FROM manager AS m JOIN production_run AS p ON p.owner = m.id
  WHERE m.production = :production GROUP BY p.owner, p.state

-- stranded --
-- A run that none of these managers has, and that somebody should: the one in flight that moved the longest ago; or if
-- there are none of either, the new one that is claimed first.
SELECT coalesce(
  (SELECT run FROM production_run INDEXED BY run_by_state
    WHERE production = :production AND state IN ('claimed', 'staged', 'submitting', 'submitted', 'ended')
      AND owner NOT IN (SELECT value FROM json_each(:managers)) ORDER BY moved_at, run LIMIT 1),
  (SELECT run FROM production_run INDEXED BY run_claimable
    WHERE production = :production AND state = 'new' AND :managers = '[]' ORDER BY priority DESC, run LIMIT 1))

-- ── what goes on ────────────────────────────────────────────────────────────────────────────────────────────────

-- coming --
-- Files that are on their way for runs of a production: found by way of the files, which are few.
SELECT p.run, r.label, p.attempt, t.path, t.bytes, coalesce(t.size, i.bytes), t.start, m.user || '@' || m.host || ':' || m.pid, m.id
  FROM transfer AS t CROSS JOIN input AS i ON i.path = t.path AND i.production = :production AND i.come IS NULL
  CROSS JOIN production_run AS p ON p.production = i.production AND p.run = i.run
  JOIN run AS r ON r.run = p.run JOIN manager AS m ON m.id = t.manager
  ORDER BY p.run, t.path

-- happenings --
-- What has happened in a production, the latest first; or before one of these.
SELECT e.id, e.at, e.run, r.label, e.attempt, e.from_state, e.to_state, coalesce(m.user || '@' || m.host || ':' || m.pid, ''), e.why,
       coalesce(e.user, '')
  FROM event AS e INDEXED BY event_by_time
  LEFT JOIN run AS r ON r.run = e.run LEFT JOIN manager AS m ON m.id = e.manager
  WHERE e.production = :production
    AND (e.at, e.id) < (coalesce((SELECT at FROM event WHERE id = :before), '~'), coalesce(:before, 1 << 62))
  ORDER BY e.at DESC, e.id DESC LIMIT :number

-- jobs --
-- Runs that have a job, or are being given one: how many wait in a queue, how many run. On this machine they run at once.
SELECT count(*) - coalesce(sum(runs), 0), coalesce(sum(runs), 0) FROM (
  SELECT a.began_at IS NOT NULL OR coalesce(b.batch, '') = 'local' AS runs
    FROM (SELECT 'submitting' AS state UNION ALL SELECT 'submitted') AS s
    CROSS JOIN production_run AS p INDEXED BY run_by_state ON p.production = :production AND p.state = s.state
    LEFT JOIN attempt AS a ON a.production = p.production AND a.run = p.run AND a.attempt = p.attempt
    LEFT JOIN submission AS b ON b.id = a.submission)

-- again --
-- Runs under way that failed before.
SELECT count(*) FROM (SELECT 'claimed' AS state UNION ALL SELECT 'staged' UNION ALL SELECT 'submitting' UNION ALL SELECT 'submitted'
    UNION ALL SELECT 'ended') AS s
  CROSS JOIN production_run AS p INDEXED BY run_by_state ON p.production = :production AND p.state = s.state
  WHERE p.failures > 0

-- quota --
-- How full the disk below a production's data directory was, as the manager at work there knows that looked last.
SELECT p.data, m.quota_used, m.quota_allowed, m.quota_limit, m.quota_at
  FROM productions AS me JOIN productions AS p ON p.data = me.data
  JOIN manager AS m ON m.production = p.id AND m.stop IS NULL AND m.lapsed IS NULL
  WHERE me.id = :production AND m.quota_at IS NOT NULL ORDER BY m.quota_at DESC LIMIT 1

-- manager_answers --
-- What became of requests to managers: JSON list of their ids.
SELECT q.id, q.answer FROM json_each(:ids) AS k CROSS JOIN manager_request AS q ON q.id = k.value WHERE q.answered IS NOT NULL

-- ── what failed ─────────────────────────────────────────────────────────────────────────────────────────────────

-- by_retried --
-- New runs whose last attempt failed for a cause: they are tried again.
SELECT a.run FROM attempt AS a CROSS JOIN production_run AS p ON p.production = a.production AND p.run = a.run
  WHERE a.production = :production AND a.cause = :value AND a.run > :after AND p.state = 'new' AND p.attempt = a.attempt
  ORDER BY a.run LIMIT :number

-- failures_of --
-- Of these runs the last attempts, or all that failed; of a run that only a person holds, that.
SELECT p.run, r.label, p.state, p.why, p.asked_by, coalesce(a.attempt, p.attempt), a.cause, a.message, a.exit, a.signal,
       a.host, a.ended_at, a.wall, a.memory, a.resources, a.olog, a.elog
  FROM json_each(:candidates) AS c
  CROSS JOIN production_run AS p ON p.production = :production AND p.run = c.value
  JOIN run AS r ON r.run = p.run
  LEFT JOIN attempt AS a ON a.production = p.production AND a.run = p.run AND (:ever OR a.attempt = p.attempt)
    AND a.cause IS NOT NULL AND a.cause <> 'released'
  WHERE NOT :ever OR (a.cause IN (SELECT value FROM json_each(:causes))
    AND (:hosts = '[]' OR a.host IN (SELECT value FROM json_each(:hosts))))

-- datasets_among --
-- The datasets of these runs, and how many of them each has.
SELECT d.dataset, count(*) FROM json_each(:candidates) AS c CROSS JOIN datasets AS d ON d.run = c.value
  GROUP BY d.dataset ORDER BY count(*) DESC, d.dataset

-- other_dataset --
-- Whether there is another dataset.
SELECT EXISTS (SELECT 1 FROM datasets WHERE dataset < :dataset) OR EXISTS (SELECT 1 FROM datasets WHERE dataset > :dataset)

-- other_host --
-- Whether an attempt was on another host.
SELECT EXISTS (SELECT 1 FROM attempt WHERE production = :production AND host < :host)
  OR EXISTS (SELECT 1 FROM attempt WHERE production = :production AND host > :host)

-- ── how long it will take ───────────────────────────────────────────────────────────────────────────────────────

-- older_event --
-- The first event that is older than so many.
SELECT at FROM event WHERE production = :production ORDER BY at DESC LIMIT 1 OFFSET :events

-- took --
-- The last attempts with a job that are over, the latest first, later than that; what was given back says nothing.
SELECT e.at, e.to_state, a.claimed_at,
       (SELECT max(s.at) FROM event AS s INDEXED BY event_by_run WHERE s.production = e.production AND s.run = e.run
          AND s.to_state = 'staged' AND s.at >= a.claimed_at AND s.at <= a.submitted_at),
       a.submitted_at, a.ended_at, a.wall
  FROM event AS e INDEXED BY event_by_time
  CROSS JOIN attempt AS a ON a.production = e.production AND a.run = e.run AND a.attempt = e.attempt
  WHERE e.production = :production AND e.at > :after
    AND e.from_state IN ('submitted', 'ended') AND e.to_state IN ('finished', 'new', 'failed', 'held')
    AND a.submitted_at IS NOT NULL AND (a.cause IS NULL OR a.cause <> 'released')
  ORDER BY e.at DESC LIMIT :number

-- running --
-- Since when the runs that have a job have it.
SELECT a.submitted_at
  FROM (SELECT 'submitting' AS state UNION ALL SELECT 'submitted' UNION ALL SELECT 'ended') AS s
  CROSS JOIN production_run AS p INDEXED BY run_by_state ON p.production = :production AND p.state = s.state
  CROSS JOIN attempt AS a ON a.production = p.production AND a.run = p.run AND a.attempt = p.attempt
  WHERE a.submitted_at IS NOT NULL ORDER BY a.submitted_at LIMIT :number

-- finished_by_hour --
-- How many runs were finished in each hour.
SELECT hour, sum(runs) FROM moves WHERE production = :production AND hour >= :since AND to_state = 'finished'
  GROUP BY hour ORDER BY hour
