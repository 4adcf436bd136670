"""The exam of a batch system: what ``steps`` may rely on, whoever computes.

A class for each implementation inherits ``BatchExam`` and says in ``make`` what is examined. Jobs must run on this
machine and see its files. Scripts tell the test how far they are through FIFOs, so that nothing is waited for longer
than it takes.
"""

from __future__ import annotations

import dataclasses
import os
import pathlib
import select
import shlex
import signal
import threading
import time
import uuid
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import pytest

from production import errors
from production import run as runs
from production.batch import base, process, witness

PATIENCE = 20.0
"""Seconds after which something will not happen any more."""


class Fifo:
    """A script's voice: it writes lines, the test hears them. Or its brake: it reads, and waits until it is let go."""

    def __init__(self, path: pathlib.Path) -> None:
        os.mkfifo(path)
        self.path = path
        self.descriptor = os.open(path, os.O_RDWR | os.O_NONBLOCK)

    def __str__(self) -> str:
        return shlex.quote(str(self.path))

    def hear(self, lines: int = 1) -> list[str]:
        """So many lines, as soon as they are there."""
        heard = b""
        while heard.count(b"\n") < lines:
            assert select.select([self.descriptor], [], [], PATIENCE)[0], f"heard only {heard!r}"
            heard += os.read(self.descriptor, 65536)
        return heard.decode().splitlines()

    def let_go(self, scripts: int = 1) -> None:
        os.write(self.descriptor, b"go\n" * scripts)


@dataclasses.dataclass
class Ground:
    """Where jobs of one test run, and the batch systems that were made for it."""

    path: pathlib.Path
    make: Callable[[], base.BatchSystem]
    made: list[base.BatchSystem] = dataclasses.field(default_factory=list)
    marks: set[str] = dataclasses.field(default_factory=set)
    production: str = dataclasses.field(default_factory=lambda: f"exam_v1-{uuid.uuid4().hex}")
    runs: int = 0

    def batch(self) -> base.BatchSystem:
        self.made.append(self.make())
        return self.made[-1]

    def fifo(self) -> Fifo:
        return Fifo(self.path / f"fifo {len(os.listdir(self.path))}")

    def script(self, text: str, mode: int = 0o755) -> str:
        path = self.path / f"script {len(os.listdir(self.path))}.sh"
        path.write_text(text)
        path.chmod(mode)
        return str(path)

    def task(self, script: str, *arguments: str, attempt: int = 1, run: int | None = None, **more: Any) -> base.Task:
        """A task that runs this text with sh."""
        return self.task_of((self.script("#!/bin/sh\n" + script), *arguments), attempt=attempt, run=run, **more)

    def task_of(self, argv: tuple[str, ...], attempt: int = 1, run: int | None = None, **more: Any) -> base.Task:
        if run is None:
            self.runs += 1
        number = self.runs if run is None else run
        directory = self.path / f"{number} {attempt}"
        directory.mkdir()
        (directory / "ticket").touch()
        mark = f"{self.production}-{number}-{attempt}"
        self.marks.add(mark)
        stdout, stderr, ticket, witness = (str(directory / name) for name in ("stdout", "stderr", "ticket", "witness"))
        task = base.Task(number, attempt, mark, argv, str(directory), stdout, stderr, ticket, witness)
        return dataclasses.replace(task, **more)

    def submission(self, *tasks: base.Task, niceness: int = 0) -> base.Submission:
        return base.Submission(f"{self.production}-s{tasks[0].run:06d}", tasks, niceness)

    def sought(self, *tasks: base.Task) -> dict[str, base.Sought]:
        """What a manager asks with that doesn't know their ids; all were submitted in one."""
        return {task.mark: base.Sought(f"{self.production}-s{tasks[0].run:06d}", task.witness) for task in tasks}

    def left(self) -> dict[int, list[str]]:
        """Processes with a mark of ours."""
        return {pid: process.arguments(pid) for pid, _ in process.marked(self.marks)}

    def clear(self) -> None:
        for batch in self.made:
            batch.close()
        for pid in self.left():
            os.kill(pid, signal.SIGKILL)


def until(condition: Callable[[], bool], batch: base.BatchSystem, patience: float = PATIENCE) -> None:
    """Ask again whenever a job may have ended, and now and then."""
    descriptor = getattr(batch, "fileno", None)
    watched = [descriptor()] if descriptor else []
    deadline = time.monotonic() + patience
    while not condition():
        assert time.monotonic() < deadline, "it doesn't happen"
        select.select(watched, [], [], 0.02)


def end(batch: base.BatchSystem, jobs: Mapping[str, str]) -> Mapping[str, base.Report]:
    """The reports, once all are gone."""
    reports: dict[str, base.Report] = {}

    def gone() -> bool:
        reports.update(batch.query(jobs))
        assert reports.keys() == jobs.keys()
        return all(report.phase is base.Phase.GONE for report in reports.values())

    until(gone, batch)
    return reports


def run(ground: Ground, task: base.Task) -> tuple[base.Report, witness.Witness | None]:
    """Submit it alone and see how it ends."""
    batch = ground.batch()
    jobs = batch.submit(ground.submission(task))
    assert jobs.keys() == {task.mark}
    return end(batch, jobs)[task.mark], witness.read(task.witness)


def text(path: str) -> str:
    return pathlib.Path(path).read_text()


class BatchExam:
    """Inherit, and define ``make``."""

    together = 21
    """So many jobs run at a time."""
    rounds = 40
    """Jobs that are raced with, one after the other."""
    many = 200
    """So many short jobs end before our patience does."""
    contains = False
    """The batch system itself ends everything that a job leaves, so that we needn't."""

    @pytest.fixture
    def make(self) -> Callable[[], base.BatchSystem]:
        raise NotImplementedError

    def told(self, report: base.Report, task: base.Task) -> tuple[int | None, int | None]:
        """Exit code and signal, as far as they must be known."""
        return report.exit, report.signal

    @pytest.fixture
    def ground(self, tmp_path: pathlib.Path, make: Callable[[], base.BatchSystem]) -> Iterator[Ground]:
        ground = Ground(tmp_path, make)
        yield ground
        ground.clear()

    # --- how a job ends -------------------------------------------------------------------------------------------

    def test_success(self, ground: Ground) -> None:
        task = ground.task("echo hello; echo woe >&2")
        report, seen = run(ground, task)
        assert self.told(report, task) == (0, None)
        assert report.host
        assert seen
        assert (seen.ended, seen.exit, seen.signal, seen.host) == (True, 0, None, report.host)
        assert seen.wall is not None
        assert 0 <= seen.wall < 10
        assert (text(task.stdout), text(task.stderr)) == ("hello\n", "woe\n")

    @pytest.mark.parametrize("code", [1, 3, 75, 98, 99, 100, 126])
    def test_exit_codes_are_told(self, ground: Ground, code: int) -> None:
        task = ground.task(f"exit {code}")
        report, seen = run(ground, task)
        assert self.told(report, task) == (code, None)
        assert seen
        assert (seen.ended, seen.exit, seen.signal) == (True, code, None)

    @pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL, signal.SIGSEGV])
    def test_signals_are_told(self, ground: Ground, number: signal.Signals) -> None:
        task = ground.task(f"kill -{number} $$")
        report, seen = run(ground, task)
        assert self.told(report, task) == (None, number)
        assert seen
        assert (seen.ended, seen.exit, seen.signal) == (True, None, number)

    def test_processor_time_is_told(self, ground: Ground) -> None:
        busy = "import time\nwhile time.process_time() < 0.3: pass"
        report, seen = run(ground, ground.task('python3 -c "$1"', busy))
        if report.cpu is not None or not self.contains:
            assert report.cpu is not None
            assert 0.25 <= report.cpu < 5
        assert seen
        assert seen.cpu is not None
        assert 0.25 <= seen.cpu < 5

    def test_it_is_told_again(self, ground: Ground) -> None:
        task, batch = ground.task("exit 4"), ground.batch()
        jobs = batch.submit(ground.submission(task))
        assert end(batch, jobs) == batch.query(jobs) == batch.query(jobs)

    def test_no_jobs_at_all(self, ground: Ground) -> None:
        batch = ground.batch()
        assert not batch.query({})
        assert not batch.find({})
        batch.cancel({})

    # --- what is run, and how -------------------------------------------------------------------------------------

    def test_a_missing_script(self, ground: Ground) -> None:
        task = ground.task_of((str(ground.path / "no such script"),))
        report, seen = run(ground, task)
        assert self.told(report, task)[0] == 127
        assert seen
        assert seen.exit == 127
        assert "no such script" in text(task.stderr)

    @pytest.mark.parametrize(
        ("content", "mode", "said"),
        [
            ("echo plain $1", 0o755, "plain a b"),
            ("echo plain $1", 0o644, "plain a b"),
            ("#!/bin/sh -f\necho * $1", 0o644, "* a b"),
            ("#! /usr/bin/env python3\nimport sys; print(sys.argv[1])", 0o644, "a b"),
            ("#!/usr/bin/env python3\nimport sys; print(sys.argv[1])", 0o755, "a b"),
        ],
    )
    def test_scripts_executable_or_not(self, ground: Ground, content: str, mode: int, said: str) -> None:
        task = ground.task_of((ground.script(content, mode), "a b"))
        report, _ = run(ground, task)
        assert report.exit == 0, text(task.stderr)
        assert text(task.stdout) == said + "\n"

    def test_arguments_arrive_as_they_are(self, ground: Ground) -> None:
        arguments = ["a b", "", "'", '"', "$HOME `id` \\", "two\nlines\n", "μ⁺ → e⁺", "*", "--", "-n", "end 0 1", ""]
        task = ground.task('for each; do printf "%s\\0" "$each"; done', *arguments)
        run(ground, task)
        assert text(task.stdout).split("\0")[:-1] == arguments

    def test_odd_paths(self, ground: Ground) -> None:
        directory = ground.path / "it's a $HOME\nof `μ` *"
        directory.mkdir()
        script = directory / "-n script;\n"
        script.write_text("#!/bin/sh\npwd")
        script.chmod(0o755)
        moved: dict[str, Any] = {
            name: str(directory / f" {name} '\n*") for name in ("ticket", "witness", "stdout", "stderr")
        }
        task = ground.task_of((str(script),), directory=str(directory), **moved)
        pathlib.Path(task.ticket).touch()
        report, seen = run(ground, task)
        assert report.exit == 0
        assert seen
        assert seen.exit == 0
        assert text(task.stdout) == f"{directory}\n"

    def test_environment_directory_and_input(self, ground: Ground) -> None:
        script = 'echo "$GREETING"; echo "$RUN_PRODUCTION_MARK"; pwd; cat; env | grep -c ^rp_'
        task = ground.task(script, environment=(("GREETING", "good 'day'\n$HOME"),))
        run(ground, task)
        assert text(task.stdout) == f"good 'day'\n$HOME\n{task.mark}\n{task.directory}\n0\n"

    def test_signals_have_their_usual_meaning(self, ground: Ground) -> None:
        """Python ignores PIPE and XFSZ, nohup HUP, and a shell's background INT and QUIT: none of it reaches a script."""
        task = ground.task("grep -E 'Sig(Ign|Blk)' /proc/self/status")
        run(ground, task)
        usual = (1 << 31) - 1  # 32 and 33 are glibc's own
        assert [int(line.split()[1], 16) & usual for line in text(task.stdout).splitlines()] == [0, 0]

    def test_one_log_for_both(self, ground: Ground) -> None:
        task = ground.task("echo one; echo two >&2; echo three")
        task = dataclasses.replace(task, stderr=task.stdout)
        run(ground, task)
        assert text(task.stdout) == "one\ntwo\nthree\n"

    def test_a_big_log(self, ground: Ground) -> None:
        task = ground.task("head -c 10000000 /dev/zero; echo end >&2")
        report, _ = run(ground, task)
        assert report.exit == 0
        assert os.path.getsize(task.stdout) == 10_000_000
        assert text(task.stderr) == "end\n"

    def test_scratch_directories_are_emptied(self, ground: Ground) -> None:
        full, empty = ground.path / "full of 'old'", ground.path / "empty"
        for name in ("plain", ".hidden", "..odd", "-f", "sub/deep"):
            (full / name).parent.mkdir(parents=True, exist_ok=True)
            (full / name).touch()
        (full / "link").symlink_to("nowhere")
        empty.mkdir()
        scratch = (str(full), str(empty), str(ground.path / "not there"))
        task = ground.task('ls -A "$1"; touch "$1/new"', str(full), scratch=scratch)
        report, _ = run(ground, task)
        assert report.exit == 0
        assert text(task.stdout) == ""
        assert os.listdir(full) == ["new"]

    def test_no_directory_to_run_in(self, ground: Ground) -> None:
        task = ground.task("echo no", directory=str(ground.path / "nowhere"))
        report, seen = run(ground, task)
        assert self.told(report, task)[0] == 126
        assert seen
        assert seen.exit == 126
        assert text(task.stdout) == ""
        assert "nowhere" in text(task.stderr)

    # --- once, and only with a ticket -----------------------------------------------------------------------------

    def test_no_ticket_no_job(self, ground: Ground) -> None:
        task = ground.task("echo ran")
        os.unlink(task.ticket)
        report, seen = run(ground, task)
        assert report.exit != 0
        assert seen is None
        assert text(task.stdout) == ""

    def test_a_ticket_taken_back_at_the_start(self, ground: Ground) -> None:
        """Whoever renames the ticket and then sees no witness can be sure that the script never runs."""
        batch = ground.batch()
        outcomes = set()
        wait = 0.01  # seconds from the call: later after a job that didn't run, earlier after one that did
        for attempt in range(1, self.rounds + 1):
            task = ground.task("echo ran", run=1, attempt=attempt)
            begun = []

            def take_back(task: base.Task = task, begun: list[bool] = begun) -> None:
                os.rename(task.ticket, task.ticket + ".revoked")
                begun.append(os.path.exists(task.witness))

            rival = threading.Timer(wait, take_back)
            rival.start()
            jobs = batch.submit(ground.submission(task))
            rival.join()
            end(batch, jobs)
            seen, ran = witness.read(task.witness), text(task.stdout) == "ran\n"
            assert begun == [True] or not ran
            assert seen is None or not (seen.revoked and ran)
            outcomes.add(ran)
            wait *= 0.7 if ran else 1.4
        assert False in outcomes

    def test_a_ticket_taken_back_later(self, ground: Ground) -> None:
        """The job goes on, but its word doesn't count any more."""
        voice, brake = ground.fifo(), ground.fifo()
        task, batch = ground.task(f"echo here >{voice}; read x <{brake}"), ground.batch()
        jobs = batch.submit(ground.submission(task))
        voice.hear()
        os.unlink(task.ticket)
        brake.let_go()
        assert self.told(end(batch, jobs)[task.mark], task)[0] != 0
        seen = witness.read(task.witness)
        assert seen
        assert not seen.ended

    def test_twice_the_same_mark_runs_once(self, ground: Ground) -> None:
        voice, brake = ground.fifo(), ground.fifo()
        task = ground.task(f"echo ran; echo here >{voice}; read x <{brake}; echo done")
        first, second = ground.batch(), ground.batch()
        jobs = first.submit(ground.submission(task))
        voice.hear()
        os.truncate(task.stdout, 0)
        end(second, second.submit(ground.submission(task)))
        for _ in range(3):
            second.query({})
        assert first.query(jobs)[task.mark].phase is base.Phase.RUNNING
        brake.let_go()
        assert self.told(end(first, jobs)[task.mark], task)[0] == 0
        assert text(task.stdout) == "done\n"

    def test_many_in_one_submission(self, ground: Ground) -> None:
        tasks = [ground.task_of(("/bin/sh", "-c", f"exit {number % 7}")) for number in range(self.many)]
        batch = ground.batch()
        jobs = batch.submit(ground.submission(*tasks))
        assert jobs.keys() == {task.mark for task in tasks}
        assert len(set(jobs.values())) == self.many
        reports = end(batch, jobs)
        assert [self.told(reports[task.mark], task)[0] for task in tasks] == [number % 7 for number in range(self.many)]

    def test_what_is_refused(self, ground: Ground) -> None:
        batch = ground.batch()
        bad = ground.task("echo", stdout=str(ground.path / "nowhere" / "log"))
        good = ground.task("exit 0")
        with pytest.raises(errors.SubmitRefused, match=r"run 1\b.*nowhere/log.*make its directory"):
            batch.submit(ground.submission(bad))
        jobs = batch.submit(ground.submission(bad, good))
        assert jobs.keys() == {good.mark}
        end(batch, jobs)
        with pytest.raises(errors.SubmitRefused, match="null"):
            batch.submit(ground.submission(ground.task("echo", "a\0b")))

    # --- the end of all ---------------------------------------------------------------------------------------------

    def test_cancel_many_in_one_go(self, ground: Ground) -> None:
        voice = ground.fifo()
        kinds = [
            f"echo up >{voice}; exec sleep 600",
            f"trap '' TERM HUP INT; echo up >{voice}; while :; do sleep 600; done",
            f"sleep 600 & sleep 601 & echo up >{voice}; wait",
            f'sh -c \'trap "" TERM; (sleep 600; :) & echo up >"$1"; wait\' sh {voice}; :',
            f"timeout 600 sh -c 'echo up >\"$1\"; sleep 600; :' sh {voice}",
            f"echo up >{voice}; kill -STOP $$",
            f'(setsid sh -c \'trap "" TERM; echo up >"$1"; sleep 600; :\' sh {voice} &); sleep 600',
        ]
        tasks = [ground.task(kinds[number % len(kinds)]) for number in range(self.together - 1)]
        other = ground.task(f"echo up >{voice}; exec sleep 600")
        batch = ground.batch()
        jobs = batch.submit(ground.submission(*tasks))
        spared = batch.submit(ground.submission(other))
        voice.hear(len(tasks) + 1)
        batch.cancel(jobs)
        reports = end(batch, jobs)
        assert all(report.exit != 0 for report in reports.values())
        assert process.arguments(next(iter(ground.left()), 0)), "the one that wasn't cancelled goes on"
        assert batch.query(spared)[other.mark].phase is base.Phase.RUNNING
        batch.cancel(spared)
        last = end(batch, spared)[other.mark]
        assert signal.SIGTERM in self.told(last, other) or last.cause is runs.Cause.CANCELLED
        assert not ground.left()

    def test_a_cancelled_script_may_clean_up(self, ground: Ground) -> None:
        voice = ground.fifo()
        task, batch = ground.task(f"trap 'echo bye; exit 7' TERM; echo up >{voice}; sleep 600 & wait"), ground.batch()
        jobs = batch.submit(ground.submission(task))
        voice.hear()
        batch.cancel(jobs)
        batch.cancel(jobs)
        assert self.told(end(batch, jobs)[task.mark], task)[0] == 7
        seen = witness.read(task.witness)
        assert seen
        assert (seen.ended, seen.exit) == (True, 7)
        assert text(task.stdout).startswith("bye\n")

    def test_cancel_what_has_ended(self, ground: Ground) -> None:
        task, batch = ground.task("exit 0"), ground.batch()
        jobs = batch.submit(ground.submission(task))
        end(batch, jobs)
        batch.cancel(jobs)
        assert self.told(end(batch, jobs)[task.mark], task)[0] == 0

    @pytest.mark.parametrize("deaf", ["", "trap '' TERM;"])
    def test_what_is_left_in_the_background_ends(self, ground: Ground, deaf: str) -> None:
        task = ground.task(f"sh -c '{deaf} sleep 600; :' & exit 5")
        report, _ = run(ground, task)
        assert self.told(report, task)[0] == 5
        assert not ground.left()

    def test_a_daemon_is_found_and_ended(self, ground: Ground) -> None:
        voice = ground.fifo()
        task = ground.task(
            f'(setsid sh -c \'trap "" TERM; echo up >"$1"; sleep 600; :\' sh {voice} &); read x <{voice}'
        )
        batch = ground.batch()
        jobs = batch.submit(ground.submission(task))
        assert self.told(end(batch, jobs)[task.mark], task)[0] == 0
        until(lambda: bool(batch.query({})) or not ground.left(), batch)

    def test_a_later_attempt_finds_nothing_of_the_earlier(self, ground: Ground) -> None:
        """Not even if nobody looked between the two."""
        voice = ground.fifo()
        daemon = f'(setsid sh -c \'trap "" TERM; echo up >"$1"; sleep 600; :\' sh {voice} &); read x <{voice}; exit 1'
        first = ground.task(daemon, run=1)
        batch = ground.batch()
        jobs = batch.submit(ground.submission(first))
        until(lambda: bool((seen := witness.read(first.witness)) and seen.ended), batch)
        assert ground.left() or self.contains
        second = ground.task("exit 0", run=1, attempt=2)
        later = batch.submit(ground.submission(second))
        if self.contains:  # it does so on its own, and takes its time
            until(lambda: not list(process.marked({first.mark})), batch)
        assert not list(process.marked({first.mark}))
        assert self.told(end(batch, {**jobs, **later})[second.mark], second)[0] == 0

    def test_the_wrapper_alone_is_killed(self, ground: Ground) -> None:
        voice = ground.fifo()
        task = ground.task(f"echo $$ >{voice}; kill -9 $PPID; sleep 600; :")
        report, seen = run(ground, task)
        assert report.exit is None
        assert seen
        assert not seen.ended
        assert not ground.left()

    # --- another manager --------------------------------------------------------------------------------------------

    def test_another_follows(self, ground: Ground) -> None:
        voice, brake = ground.fifo(), ground.fifo()
        task = ground.task(f"echo up >{voice}; read x <{brake}; exit 3")
        jobs = ground.batch().submit(ground.submission(task))
        voice.hear()
        second = ground.batch()
        assert second.query(jobs)[task.mark].phase is base.Phase.RUNNING
        assert second.find(ground.sought(task)) == jobs
        brake.let_go()
        report = end(second, jobs)[task.mark]
        assert report.exit in (None, 3)
        seen = witness.read(task.witness)
        assert seen
        assert (seen.ended, seen.exit) == (True, 3)
        third = ground.batch()
        assert third.find(ground.sought(task)) == jobs
        assert third.query(jobs)[task.mark].phase is base.Phase.GONE

    def test_another_cancels(self, ground: Ground) -> None:
        voice = ground.fifo()
        script = (
            f"trap '' TERM; (setsid sh -c 'echo up >\"$1\"; sleep 600; :' sh {voice} &); sleep 600 & wait; sleep 600; :"
        )
        task = ground.task(script)
        jobs = ground.batch().submit(ground.submission(task))
        voice.hear()
        second = ground.batch()
        second.cancel(jobs)
        end(second, jobs)
        assert not ground.left()

    def test_what_was_never_submitted_is_not_found(self, ground: Ground) -> None:
        task = ground.task("exit 0")
        assert not ground.batch().find(ground.sought(task))

    def test_close_lets_jobs_live(self, ground: Ground) -> None:
        voice, brake = ground.fifo(), ground.fifo()
        task, batch = ground.task(f"echo up >{voice}; read x <{brake}"), ground.make()
        jobs = batch.submit(ground.submission(task))
        voice.hear()
        batch.close()
        second = ground.batch()
        assert second.query(jobs)[task.mark].phase is base.Phase.RUNNING
        brake.let_go()
        end(second, jobs)
        seen = witness.read(task.witness)
        assert seen
        assert (seen.ended, seen.exit) == (True, 0)


class ClusterExam(BatchExam):
    """Of batch systems whose accounting may be late, or missing: there the witness says how a script ended."""

    contains = True
    asks = False
    """A job that is cancelled is asked to end before it is killed."""

    def told(self, report: base.Report, task: base.Task) -> tuple[int | None, int | None]:
        seen = witness.read(task.witness)
        return (seen.exit, seen.signal) if seen and seen.ended else (report.exit, report.signal)

    def test_a_cancelled_script_may_clean_up(self, ground: Ground) -> None:
        if self.asks:
            super().test_a_cancelled_script_may_clean_up(ground)
