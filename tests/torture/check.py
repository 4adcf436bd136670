"""Afterwards: was everything done, once, and right; is anything left that shouldn't be?

Looks at the disk, the database, the ledger and /proc; asks nothing of the product but its table of moves.
"""

from __future__ import annotations

import collections
import os
import pathlib
import zlib
from collections.abc import Iterator

from production import run as runs
from tests.torture import production as productions

Production = productions.Production


def finished(production: Production) -> list[str]:
    """Everything that is wrong with a production whose runs should all be finished and whose managers have gone."""
    return [
        *_integrity(production),
        *_all_finished(production),
        *_outputs(production),
        *_ledger(production),
        *_attempts(production),
        *_events(production),
        *gone(production),
    ]


def gone(production: Production) -> list[str]:
    """What is wrong where no manager is at work any more, whether or not anything is finished."""
    return [
        *_integrity(production),
        *_tally(production),
        *_processes(production),
        *_files(production),
        *_rows(production),
    ]


def _integrity(production: Production) -> Iterator[str]:
    said = production.ask("PRAGMA integrity_check")
    if said != [("ok",)]:
        yield f"the database is damaged: {said[:3]}"
    if strangers := production.ask("PRAGMA foreign_key_check"):
        yield f"foreign keys lead nowhere: {strangers[:3]}"


def _all_finished(production: Production) -> Iterator[str]:
    for name, state, count in production.ask(
        f"SELECT {_NAME}, r.state, count(*) FROM productions AS p JOIN production_run AS r ON r.production = p.id "
        "GROUP BY 1, 2"
    ):
        if state != "finished":
            yield f"{name}: {count} runs are {state}"
        elif count != len(production.runs):
            yield f"{name}: {count} runs entered, not {len(production.runs)}"
    for name, stop in production.ask(f"SELECT {_NAME}, stop FROM productions AS p"):
        if stop is None:
            yield f"{name}: all is finished, and the production is still open"


_NAME = "p.program || '_v' || p.version"


def _outputs(production: Production) -> Iterator[str]:
    recorded: dict[tuple[str, int], dict[str, tuple[str, int, str]]] = collections.defaultdict(dict)
    for program, run, name, path, size, checksum in production.ask(
        f"SELECT {_NAME}, o.run, o.name, o.path, o.bytes, o.checksum FROM output AS o "
        "JOIN productions AS p ON p.id = o.production WHERE o.recorded IS NOT NULL AND o.deleted IS NULL"
    ):
        recorded[program, run][name] = (path, size, checksum)
    right = set()
    data = production.directory / "data"
    for program, version in production.ask("SELECT program, version FROM productions"):
        for run in production.runs:
            expected = production.expected(program, run)
            rows = recorded[f"{program}_v{version}", run]
            if set(rows) != set(expected):
                yield f"{program} {run}: recorded {sorted(rows)}, not {sorted(expected)}"
            for name, content in expected.items():
                path = data / name / f"v{version}" / f"{name}{run:05d}.dat"
                right.add(path)
                row = (str(path), len(content), f"adler32:{zlib.adler32(content):08x}")
                if name in rows and rows[name] != row:
                    yield f"{program} {run}: recorded {rows[name]}, right is {row}"
                if not path.exists():
                    yield f"{program} {run}: {path} is missing"
                elif path.read_bytes() != content:
                    yield f"{program} {run}: {path} has the wrong content"
    for name in ("tree", "hist", "out"):
        yield from (f"nobody's output: {path}" for path in data.glob(f"{name}/v*/*") if path not in right)


def _ledger(production: Production) -> Iterator[str]:
    lines = production.ledger()
    began = collections.Counter(mark for what, mark, *_ in lines if what == "begin")
    ended = {mark for what, mark, *_ in lines if what == "end"}
    yield from (f"{mark} ran {times} times" for mark, times in began.items() if times > 1)
    yield from (f"{mark} began while another of its run was at work" for what, mark, *_ in lines if what == "overlap")
    inode = os.stat(production.directory / "p.db").st_ino
    rows = production.ask(
        f"SELECT {_NAME} || '-' || (SELECT id FROM catalogue) || '.{inode:x}-' || a.run || '-' || a.attempt, a.cause, "
        "coalesce(a.message, ''), a.olog FROM attempt AS a JOIN productions AS p ON p.id = a.production"
    )
    for mark, cause, message, log in rows:
        if message in ("its job was never started", "its manager is gone") and mark in began:
            yield f"{mark} ran, and the database says: {message}"
        if cause is not None:
            continue
        if mark not in ended:
            yield f"{mark} is said to have succeeded, and never came to its end"
        said = pathlib.Path(log).read_text() if os.path.exists(log) else "(there is none)"
        if said != f"this is {mark}\n":
            yield f"the log of {mark} is: {said[:200]!r}"


def _attempts(production: Production) -> Iterator[str]:
    """Each finished run has one attempt that succeeded, its last; the others ended for a cause."""
    rows = production.ask(
        "SELECT p.id, a.run, count(*), sum(a.cause IS NULL), sum(a.ended_at IS NULL), "
        "max(CASE WHEN a.cause IS NULL THEN a.attempt END), max(a.attempt), sum(a.counted) "
        "FROM attempt AS a JOIN productions AS p ON p.id = a.production GROUP BY 1, 2"
    )
    for program, run, number, good, open_, last_good, last, counted in rows:
        if (good, open_, last_good, number) != (1, 0, last, last):
            yield f"{program} {run}: {number} attempts, {good} good (the last: {last_good}), {open_} open, highest {last}"
        if counted > 1:  # the job scripts fail once at most
            yield f"{program} {run}: {counted} attempts are counted as its failures"
    for program, run, attempt, cause, message in production.ask(
        "SELECT p.program, a.run, a.attempt, a.cause, a.message FROM attempt AS a JOIN productions AS p ON p.id = a.production "
        "WHERE a.cause NOT IN ('released', 'cancelled') AND NOT "
        "(p.program = 'first' AND (a.run % 10 = 7 AND a.cause = 'program' OR a.run % 10 = 3 AND a.cause = 'output'))"
    ):
        yield f"{program} {run}: attempt {attempt} failed for cause {cause}: {message}"


def _events(production: Production) -> Iterator[str]:
    """Each run's events are a way along the arrows."""
    ways = collections.defaultdict(list)
    for key, run, attempt, before, after in production.ask(
        "SELECT production, run, attempt, from_state, to_state FROM event ORDER BY id"
    ):
        ways[key, run].append((attempt, runs.State(before), runs.State(after)))
    for (_, run), way in ways.items():
        here, tried = way[0][1], 0
        if here not in (runs.State.NEW, runs.State.WAITING):
            yield f"{run}: its history begins as {here}"
        for attempt, before, after in way:
            if before != here or attempt < tried or (after not in runs.MOVES[before] and after is not before):
                yield f"{run}: {before} → {after} (attempt {attempt}) is no way on from {here} (attempt {tried})"
            here, tried = after, attempt
    for run, times in production.ask(
        "SELECT run, count(*) FROM event WHERE to_state = 'finished' GROUP BY production, run HAVING count(*) > 1"
    ):
        yield f"{run}: finished {times} times"


def _tally(production: Production) -> Iterator[str]:
    wrong = production.ask(
        "SELECT t.production, t.state, t.runs, (SELECT count(*) FROM production_run AS r WHERE r.production = t.production "
        "AND r.state = t.state) AS counted FROM tally AS t WHERE t.runs <> counted"
    )
    for key, state, told, counted in wrong:
        yield f"production {key}: the tally has {told} {state}, there are {counted}"


def _processes(production: Production) -> Iterator[str]:
    for pid, mark in processes(production):
        yield f"process {pid} of {mark} is still there"


def processes(production: Production) -> list[tuple[int, str]]:
    """Living processes that carry a mark of this database: (pid, mark)."""
    ours = f"-{production.catalogue()}.".encode()
    found = []
    for name in filter(str.isdigit, os.listdir("/proc")):
        try:
            environment = pathlib.Path(f"/proc/{name}/environ").read_bytes()
        except OSError:
            continue
        marks = [entry for entry in environment.split(b"\0") if entry.startswith(b"RUN_PRODUCTION_MARK=")]
        found += [(int(name), os.fsdecode(mark.partition(b"=")[2])) for mark in marks if ours in mark]
    return found


def _files(production: Production) -> Iterator[str]:
    data = production.directory / "data"
    for what, pattern in {
        "ticket, witness or such": "jobs/*/*",
        "work directory": "work/*/*",
        "staged input": "raw/**/*",
        "partial file": "**/*.part",
        "copy that was begun": "*/v*/.*",
        "text that was begun": "modules/*.*",
    }.items():
        for path in sorted(data.glob(pattern)):
            yield f"a {what} is left: {path.relative_to(data)}"
    for run in production.runs:
        if (production.directory / "archive" / f"run{run:05d}.mid").read_bytes() != production.raw(run):
            yield f"the archive's file of run {run} isn't what it was"


def _rows(production: Production) -> Iterator[str]:
    for what, query in {
        "runs have an owner": "SELECT run, state, owner FROM production_run WHERE owner IS NOT NULL",
        "managers neither stopped nor lapsed": "SELECT id, pid FROM manager WHERE stop IS NULL AND lapsed IS NULL",
        "transfers are under way": "SELECT path, manager FROM transfer",
        "inputs are needed": "SELECT run, path FROM input WHERE ours",
        "fixed paths are in use": "SELECT path, run, attempt FROM fixed_path WHERE busy",
        "outputs are intended": "SELECT run, name, attempt FROM output WHERE recorded IS NULL",
    }.items():
        if rows := production.ask(query):
            yield f"{len(rows)} {what}: {rows[:3]}"
