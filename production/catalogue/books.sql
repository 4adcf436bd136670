-- What an audit asks: as queries.sql. Nothing here changes anything; each is read in parts, so that no reader stands in
-- anybody's way.

-- numbers --
-- Runs of a production, in order, so many at a time.
SELECT run FROM production_run WHERE production = :production AND run > :after ORDER BY run LIMIT :number

-- states --
-- Where each of these runs (a JSON list) is, and whose.
SELECT p.run, r.label, p.state, p.owner FROM json_each(:runs) AS c
  CROSS JOIN production_run AS p ON p.production = :production AND p.run = c.value JOIN run AS r ON r.run = p.run

-- written --
-- What these runs wrote, in place or on its way there.
SELECT o.run, o.name, o.attempt, o.path, o.bytes, o.checksum, o.recorded, o.deleted FROM json_each(:runs) AS c
  CROSS JOIN output AS o ON o.production = :production AND o.run = c.value

-- put_aside --
-- What of it a reset took from its place.
SELECT a.run, a.name, a.attempt, a.path, a.aside, a.bytes, a.done FROM json_each(:runs) AS c
  CROSS JOIN aside AS a ON a.production = :production AND a.run = c.value

-- needs --
-- Which files these runs need on our disk.
SELECT i.run, i.path, i.source, i.bytes, i.ours, i.come, NULL, NULL, NULL FROM json_each(:runs) AS c
  CROSS JOIN input AS i ON i.production = :production AND i.run = c.value

-- busy --
-- Which fixed paths they have.
SELECT f.run, f.path FROM json_each(:runs) AS c
  CROSS JOIN fixed_path AS f ON f.production = :production AND f.run = c.value AND f.busy = 1

-- columns --
-- What every finished run of a production has, unless its program may leave it out.
SELECT name FROM production_output WHERE production = :production ORDER BY name

-- output_paths --
-- All places of outputs, of all productions, so many at a time.
SELECT production, run, name, path FROM output
  WHERE deleted IS NULL AND (production, run, name) > (:production, :run, :name) ORDER BY production, run, name LIMIT :number

-- aside_paths --
-- The same of what was put aside; and where it was, while it may still be there.
SELECT production, run, name, attempt, aside, CASE WHEN done IS NULL THEN path ELSE aside END FROM aside
  WHERE (production, run, name, attempt) > (:production, :run, :name, :attempt)
  ORDER BY production, run, name, attempt LIMIT :number

-- other_paths --
-- Files that are no outputs, and that somebody needs or brings.
SELECT path FROM input UNION ALL SELECT path FROM transfer UNION ALL SELECT path || '.part' FROM transfer

-- holders --
-- Managers that have runs, or bring files, whether they live or not: as all_managers of questions.sql.
SELECT m.id, m.user, m.host, m.pid, m.boot, m.ticks, p.program || '_v' || p.version, m.batch, m.nproc, m.nprep,
       m.datasets, m.tranches, m.start, m.beat_at, m.stop, m.lapsed, m.message, (SELECT count(*) FROM production_run WHERE owner = m.id)
  FROM manager AS m LEFT JOIN productions AS p ON p.id = m.production
  WHERE m.id IN (SELECT owner FROM production_run WHERE owner IS NOT NULL) OR m.id IN (SELECT manager FROM transfer)

-- transfers --
-- Files on their way, and who brings them.
SELECT path, manager FROM transfer ORDER BY path

-- stale --
-- Finished runs whose base run is not what they worked on: it was reset, and they were not.
SELECT p.run, b.state FROM productions AS me
  JOIN production_run AS p ON p.production = me.id AND p.state = 'finished'
  JOIN attempt AS a ON a.production = p.production AND a.run = p.run AND a.attempt = p.attempt
  JOIN production_run AS b ON b.production = me.base AND b.run = p.run
  WHERE me.id = :production AND (b.state <> 'finished' OR b.moved_at > a.submitted_at) ORDER BY p.run

-- uneven --
-- States of a production whose runs are not as many as were counted: state, counted, how many there are.
SELECT t.state, t.runs, c.runs FROM tally AS t
  JOIN (SELECT s.state, (SELECT count(*) FROM production_run WHERE production = :production AND state = s.state) AS runs
          FROM tally AS s WHERE s.production = :production) AS c ON c.state = t.state
  WHERE t.production = :production AND t.runs <> c.runs
