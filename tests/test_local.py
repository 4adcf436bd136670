"""What only the local batch system has: its wrapper, its ids, its descriptors, its manners towards other processes."""

from __future__ import annotations

import contextlib
import dataclasses
import os
import pathlib
import resource
import select
import shutil
import signal
import subprocess
import sys
import textwrap
from collections.abc import Callable, Iterator

import pytest

from production import errors
from production import process as processes
from production.batch import base, local, process, witness
from tests.exams import batch as exam

ROOT = str(pathlib.Path(__file__).resolve().parent.parent)
GRACE = 0.3


@pytest.fixture
def ground(tmp_path: pathlib.Path) -> Iterator[exam.Ground]:
    ground = exam.Ground(tmp_path, lambda: local.Local(GRACE))
    yield ground
    ground.clear()


def python(code: str) -> str:
    """Another manager: a process of its own that does this with ``batch`` and says something."""
    lines = "import os, signal\nfrom production.batch import base, local\nbatch = local.Local()\n"
    done = subprocess.run(
        [sys.executable, "-c", lines + textwrap.dedent(code)],
        env={**os.environ, "PYTHONPATH": ROOT},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode in (0, -signal.SIGKILL), done.stderr
    return done.stdout


def as_nobody(deed: Callable[[], bool]) -> bool:
    """What another Unix user's manager finds true. Forked: nobody can't start a Python that lies in root's home."""
    pid = os.fork()
    if not pid:
        result = False
        try:
            os.setgroups([])
            os.setgid(65534)
            os.setuid(65534)
            result = deed()
        finally:
            os._exit(0 if result else 1)
    return os.waitpid(pid, 0)[1] == 0


@contextlib.contextmanager
def bystander(**environment: str) -> Iterator[subprocess.Popen[bytes]]:
    """A process that is nobody's job."""
    with subprocess.Popen(["sleep", "600"], env={**os.environ, **environment}, start_new_session=True) as one:
        try:
            yield one
        finally:
            one.kill()


# --- the wrapper ------------------------------------------------------------------------------------------------------


@pytest.fixture(params=["dash", "bash --posix"])
def shell(request: pytest.FixtureRequest, need: Callable[[str, str | None], str]) -> list[str]:
    words: list[str] = request.param.split()
    return [need(words[0], shutil.which(words[0])), *words[1:], local.WRAPPER]


def wrap(words: list[str], task: base.Task, **environment: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [*words, task.ticket, task.witness, task.directory, *task.scratch, "--", *task.argv],
        env={**os.environ, process.MARK: task.mark, **environment},
        start_new_session=True,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


@pytest.mark.parametrize(("code", "told"), [(0, 0), (3, 3), (75, 75), (99, 98), (100, 98)])
def test_wrapper_hands_on_the_code(ground: exam.Ground, shell: list[str], code: int, told: int) -> None:
    """Never 99 or 100, which mean something to Grid Engine. Without a PATH: it runs nothing but the script."""
    task = ground.task(f"exit {code}")
    with wrap(shell, task, PATH="") as wrapper:
        assert wrapper.communicate() == ("", "")
        identity = (processes.host(), processes.boot_id(), wrapper.pid)
    assert wrapper.returncode == told
    seen = witness.read(task.witness)
    assert seen
    assert (seen.ended, seen.exit, seen.host, seen.boot, seen.pid) == (True, code, *identity)
    assert seen.ticks is not None
    assert seen.cpu is not None
    assert seen.wall is not None


def test_wrapper_looks_for_its_ticket_again(ground: exam.Ground, shell: list[str]) -> None:
    """Taken back after the first look, and not seen to have begun."""
    task = ground.task("echo ran")
    meddle = f"$([ -e '{task.witness}' ] && rm -f '{task.ticket}')"  # before each command
    words = [*shell[:-1], "-c", 'PS4=$1; shift; set -x; . "$0"', local.WRAPPER, meddle]
    with wrap(words, task) as wrapper:
        assert wrapper.communicate()[0] == ""
    assert wrapper.returncode == 75
    seen = witness.read(task.witness)
    assert seen
    assert (seen.revoked, seen.ended) == (True, False)


def test_wrapper_leaves_anothers_witness_alone(ground: exam.Ground, shell: list[str]) -> None:
    task = ground.task("echo ran")
    pathlib.Path(task.witness).write_text("another's")
    with wrap(shell, task) as wrapper:
        assert wrapper.communicate()[0] == ""
    assert wrapper.returncode == 75
    assert exam.text(task.witness) == "another's"


@pytest.mark.parametrize("number", [signal.SIGHUP, signal.SIGINT, signal.SIGTERM, signal.SIGUSR1, signal.SIGXCPU])
def test_a_signal_to_the_group(ground: exam.Ground, shell: list[str], number: signal.Signals) -> None:
    """It ends the script, once; the wrapper lives to tell."""
    voice = ground.fifo()
    task = ground.task(f"trap 'echo caught; exit 9' {number}; sleep 600 >/dev/null 2>&1 & echo up >{voice}; wait")
    with wrap(shell, task) as wrapper:
        voice.hear()
        os.killpg(wrapper.pid, number)
        assert wrapper.communicate()[0].splitlines() == ["caught"]
    assert wrapper.returncode == 9
    seen = witness.read(task.witness)
    assert seen
    assert (seen.ended, seen.exit) == (True, 9)


def test_a_signal_to_the_wrapper_alone(ground: exam.Ground, shell: list[str]) -> None:
    """It doesn't touch the script, whose end is told as it was."""
    voice, brake = ground.fifo(), ground.fifo()
    task = ground.task(f"echo up >{voice}; read x <{brake}; exit 4")
    with wrap(shell, task) as wrapper:
        voice.hear()
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            os.kill(wrapper.pid, number)
        brake.let_go()
        wrapper.communicate()
    seen = witness.read(task.witness)
    assert seen
    assert (seen.ended, seen.exit) == (True, 4)


# --- ids --------------------------------------------------------------------------------------------------------------


def test_ids_are_read_as_they_are_written() -> None:
    identity = process.Identity(12, 345, "b6bb759e-4c7e", "wn-17.example.org")
    assert process.parse(str(identity)) == identity
    for text in ("", "12", "12.345@boot/", "-1.3@boot/host", "0.3@boot/host", "12.345@bo ot/host", "1.2@boot/host\n"):
        assert process.parse(text) is None


def test_jobs_of_elsewhere(ground: exam.Ground) -> None:
    boot, host, me = processes.boot_id(), processes.host(), os.getpid()
    ticks = processes.start_ticks(me)
    batch = ground.batch()
    jobs = {
        "before the restart": f"{me}.{ticks}@another-boot/{host}",
        "another host": f"{me}.{ticks}@another-boot/not-{host}",
        "no id": "4711",
        "used again": f"{me}.{(ticks or 0) + 1}@{boot}/{host}",
        "renamed host": f"{me}.{ticks}@{boot}/not-{host}",
    }
    phases = {name: report.phase.value for name, report in batch.query(jobs).items()}
    assert phases == {
        "before the restart": "gone",
        "another host": "unknown",
        "no id": "unknown",
        "used again": "gone",
        "renamed host": "running",
    }


def test_a_pid_that_is_used_again_is_left_alone(ground: exam.Ground) -> None:
    with bystander() as one:
        identity = process.identify(one.pid)
        assert identity
        batch = ground.batch()
        jobs = {"mark": str(dataclasses.replace(identity, ticks=identity.ticks - 1))}
        batch.cancel(jobs)
        exam.end(batch, jobs)
        assert one.poll() is None


def test_marks_are_compared_whole(ground: exam.Ground) -> None:
    """``…-1`` isn't ``…-11``, and a mark in another variable is none."""
    task = ground.task("exit 0")
    marks = ({process.MARK: task.mark + "1"}, {process.MARK: task.mark[:-1]}, {"OTHER_" + process.MARK: task.mark})
    with contextlib.ExitStack() as stack:
        others = [stack.enter_context(bystander(**mark)) for mark in marks]
        strays = [stack.enter_context(bystander(**{process.MARK: task.mark}))]
        batch = ground.batch()
        jobs = batch.submit(ground.submission(task))
        batch.cancel(jobs)
        exam.end(batch, jobs)
        assert [each.poll() for each in others] == [None, None, None]
        assert [each.wait() for each in strays] == [-signal.SIGTERM]


def test_a_process_in_the_middle_of_its_exec_has_its_mark(ground: exam.Ground) -> None:
    """It has no environment for a moment, and was taken for nobody's: a job's daemon lived on."""
    script = ground.script('#!/bin/sh\nexec "$0"')
    with subprocess.Popen([script], env={**os.environ, process.MARK: "mark"}, start_new_session=True) as restless:
        try:
            seen = [process.mark(restless.pid) for _ in range(20_000)]
        finally:
            restless.kill()
    assert len(seen) - seen.count("mark") <= 3, "of one that does nothing else, it was every twelfth look"


def test_a_living_mark_of_an_earlier_attempt_that_does_not_end(ground: exam.Ground) -> None:
    """Only a true KILL counts: it is sent, and waited for."""
    voice = ground.fifo()
    first = ground.task(f"trap '' TERM; echo up >{voice}; while :; do sleep 600; done", run=7)
    batch, other = ground.batch(), ground.batch()
    jobs = other.submit(ground.submission(first))
    voice.hear()
    second = ground.task("exit 0", run=7, attempt=2)
    later = batch.submit(ground.submission(second))
    assert exam.end(other, jobs)[first.mark].signal == signal.SIGKILL
    assert exam.end(batch, later)[second.mark].exit == 0


# --- other managers ---------------------------------------------------------------------------------------------------


def test_a_killed_manager_is_followed(ground: exam.Ground) -> None:
    voice, brake = ground.fifo(), ground.fifo()
    task = ground.task(f"echo up >{voice}; read x <{brake}; exit 3")
    code = f"""
        task = base.Task{dataclasses.astuple(task)!r}
        print(batch.submit(base.Submission("name", (task,)))[task.mark], flush=True)
        os.kill(os.getpid(), signal.SIGKILL)
    """
    jobs = {task.mark: python(code).strip()}
    voice.hear()
    batch = local.Local(GRACE)
    ground.made.append(batch)
    assert batch.find(ground.sought(task)) == jobs
    report = batch.query(jobs)[task.mark]
    assert (report.phase, report.host) == (base.Phase.RUNNING, processes.host())
    assert report.cpu is not None
    assert report.memory
    assert not select.select([batch.fileno()], [], [], 0)[0]
    brake.let_go()
    assert select.select([batch.fileno()], [], [], exam.PATIENCE)[0], "its end is noticed at once"
    assert exam.end(batch, jobs)[task.mark].exit is None
    seen = witness.read(task.witness)
    assert seen
    assert (seen.ended, seen.exit) == (True, 3)


def test_found_before_its_witness(ground: exam.Ground) -> None:
    """A shell that is about to begin the wrapper looks like one that has."""
    voice, brake = ground.fifo(), ground.fifo()
    task = ground.task("exit 6")
    words = ["/bin/sh", "-c", f'echo up >{voice}; read x <{brake}; . "$0"', local.WRAPPER]
    with wrap(words, task) as wrapper:
        voice.hear()
        assert not os.path.exists(task.witness)
        batch = ground.batch()
        jobs = batch.find({**ground.sought(task), task.mark + "1": base.Sought("none", task.witness + "1")})
        assert jobs == {task.mark: str(process.identify(wrapper.pid))}
        assert batch.query(jobs)[task.mark].phase is base.Phase.RUNNING
        brake.let_go()
        exam.end(batch, jobs)
    assert wrapper.returncode == 6
    assert ground.batch().find(ground.sought(task)) == jobs


@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")
def test_another_users_job_is_seen_and_cannot_be_cancelled(
    ground: exam.Ground, need: Callable[[str, bool], bool]
) -> None:
    need("root, to be somebody else", os.geteuid() == 0)
    voice, brake = ground.fifo(), ground.fifo()
    task = ground.task(f"echo up >{voice}; read x <{brake}")
    mine = ground.batch()
    jobs = mine.submit(ground.submission(task))
    voice.hear()

    def cancel() -> bool:
        batch = local.Local(grace=0)
        batch.cancel(jobs)
        return all(batch.query(jobs)[task.mark].phase is base.Phase.RUNNING for _ in range(5))

    assert as_nobody(cancel)
    brake.let_go()
    assert exam.end(mine, jobs)[task.mark].exit == 0


def test_a_manager_under_a_parent_that_ignores_its_children(ground: exam.Ground) -> None:
    """An ignored CHLD is inherited, and the kernel would then throw exit codes away."""
    task = ground.task("exit 3")
    code = f"""
        import select
        signal.signal(signal.SIGCHLD, signal.SIG_IGN)
        batch = local.Local()
        task = base.Task{dataclasses.astuple(task)!r}
        jobs = batch.submit(base.Submission("name", (task,)))
        while (report := batch.query(jobs)[task.mark]).phase != "gone":
            select.select([batch.fileno()], [], [], 1)
        print(report.exit)
    """
    assert python(code) == "3\n"


# --- descriptors, priority, memory ------------------------------------------------------------------------------------


def test_an_end_wakes_and_a_query_calms(ground: exam.Ground) -> None:
    voice, brake = ground.fifo(), ground.fifo()
    task = ground.task(f"echo up >{voice}; read x <{brake}")
    batch = local.Local(GRACE)
    ground.made.append(batch)
    batch.submit(ground.submission(task))
    voice.hear()
    assert not select.select([batch.fileno()], [], [], 0)[0]
    brake.let_go()
    assert select.select([batch.fileno()], [], [], exam.PATIENCE)[0]
    batch.query({})
    assert not select.select([batch.fileno()], [], [], 0)[0]


def test_no_descriptor_reaches_a_job(ground: exam.Ground) -> None:
    """Not even one that whoever started us had left open."""
    lock = os.open(ground.path, os.O_RDONLY)
    os.set_inheritable(lock, True)
    try:
        task = ground.task("ls /proc/$$/fd")
        exam.run(ground, task)
    finally:
        os.close(lock)
    # the shell reads its script through one of its own, from 10 on
    assert [number for number in exam.text(task.stdout).split() if int(number) < 10] == ["0", "1", "2"]
    assert str(lock) not in exam.text(task.stdout).split() or lock == 10


def test_more_jobs_than_descriptors(ground: exam.Ground) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    most = len(os.listdir("/proc/self/fd")) + 40  # other tests have services under way
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, hard))
    try:
        batch = ground.batch()
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    before = len(os.listdir("/proc/self/fd"))
    brake = ground.fifo()
    tasks = [ground.task_of(("/bin/sh", "-c", f"read x <{brake}")) for _ in range(most)]
    jobs = batch.submit(ground.submission(*tasks))
    assert {report.phase.value for report in batch.query(jobs).values()} == {"running"}
    assert len(os.listdir("/proc/self/fd")) - before <= most // 2 + 1
    brake.let_go(most)
    assert {report.exit for report in exam.end(batch, jobs).values()} == {0}


def test_niceness(ground: exam.Ground) -> None:
    brake = ground.fifo()
    batch, task = ground.batch(), ground.task(f"read x <{brake}; ps -o ni= -p $$,$PPID")
    jobs = batch.submit(ground.submission(task, niceness=7))
    brake.let_go()
    exam.end(batch, jobs)
    own = os.getpriority(os.PRIO_PROCESS, 0)
    assert exam.text(task.stdout).split() == [str(own + 7)] * 2


def test_memory_of_the_largest_process(ground: exam.Ground) -> None:
    size = max(300_000_000, 2048 * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
    task = ground.task_of((sys.executable, "-c", f"b'x' * {size}"))
    report, _ = exam.run(ground, task)
    assert report.memory is not None
    assert size <= report.memory < size + 100_000_000


def test_memory_too_small_to_be_seen_is_not_invented(ground: exam.Ground) -> None:
    """The kernel would say that ``true`` was as large as we are."""
    report, _ = exam.run(ground, ground.task_of(("/bin/true",)))
    assert report.memory is None or report.memory < 20_000_000


def test_the_reason_names_what_failed(ground: exam.Ground) -> None:
    task = ground.task("exit 0", stderr=str(ground.path))
    with pytest.raises(errors.SubmitRefused, match=r"its log .* can't be written: Is a directory"):
        ground.batch().submit(ground.submission(task))
    task = ground.task("exit 0", *["x" * 100_000] * 100)
    with pytest.raises(errors.SubmitRefused, match=r"Argument list too long"):
        ground.batch().submit(ground.submission(task))
