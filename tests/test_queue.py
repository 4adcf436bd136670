"""The queue of a cluster, over programs that answer late, wrongly or not at all: what is told, and what is asked."""

from __future__ import annotations

import dataclasses
import os
import pathlib
import shutil
import subprocess
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import pytest

from production import errors
from production import run as runs
from production.batch import array, base, far, queue, scheduler, sge, shell, slurm, witness
from tests.exams import batch as exam
from tests.fakes import clock as clocks
from tests.fakes import cluster as clusters

Cause, Phase = runs.Cause, base.Phase

POLICY = scheduler.Policy(poll=15.0, grace=90.0)
DIALECTS: dict[str, Callable[[], scheduler.Dialect]] = {"slurm": slurm.Slurm, "sge": sge.GridEngine}


@dataclasses.dataclass
class Bench:
    """One cluster, its queue, and tasks for it; time passes when the test says so."""

    ground: exam.Ground
    cluster: clusters.Cluster
    clock: clocks.FakeClock
    dialect: scheduler.Dialect

    def queue(self, policy: scheduler.Policy = POLICY) -> queue.Queue:
        return queue.Queue(self.dialect, self.cluster, "alice", self.clock, policy)

    @property
    def slurm(self) -> bool:
        return isinstance(self.dialect, slurm.Slurm)

    @property
    def programs(self) -> tuple[str, str, str, str]:
        """Those that submit, list, account and cancel."""
        return ("sbatch", "squeue", "sacct", "scancel") if self.slurm else ("qsub", "qstat", "qacct", "qdel")

    def later(self, asked: base.BatchSystem, jobs: dict[str, str], seconds: float = 17) -> base.Report:
        """The report of the only job, a poll later."""
        self.clock.advance(seconds)
        (report,) = asked.query(jobs).values()
        return report


@pytest.fixture(params=list(DIALECTS))
def bench(request: pytest.FixtureRequest, tmp_path: pathlib.Path) -> Iterator[Bench]:
    """A cluster on which nothing starts by itself."""
    place = tmp_path / "ground"
    place.mkdir()
    ground = exam.Ground(place, lambda: pytest.fail("not used"))
    yield Bench(
        ground, clusters.Cluster(tmp_path / "cluster.json", hold=True), clocks.FakeClock(), DIALECTS[request.param]()
    )
    ground.clear()


def one(bench: Bench, **more: Any) -> tuple[queue.Queue, dict[str, str], base.Task]:
    task = bench.ground.task("exit 0", **more)
    asked = bench.queue()
    return asked, asked.submit(bench.ground.submission(task)), task


# ── submit ──


@pytest.mark.feature("AC-17")
class Gone:
    """The Shell of a machine that can't be reached."""

    def run(self, argv: Sequence[str], *, input: bytes = b"", timeout: float) -> scheduler.Completed:
        raise errors.BatchUnasked("no connection to login")

    def close(self) -> None:
        pass


def test_where_nobody_can_be_asked_there_is_no_job(bench: Bench) -> None:
    """It is certain: the runs stay ready, nothing is looked for, and it is tried again a poll later."""
    asked = queue.Queue(bench.dialect, Gone(), "alice", bench.clock, POLICY)
    task = bench.ground.task("exit 0")
    assert asked.submit(bench.ground.submission(task)) == {}
    assert (asked.takes(), asked.full()) == (0, "no connection to login")
    assert not list(bench.ground.path.rglob("*" + base.MANIFEST))
    bench.clock.advance(POLICY.poll + 1)
    assert (asked.takes() > 0, asked.full()) == (True, "")
    with pytest.raises(errors.BatchUnanswered):
        asked.query({task.mark: bench.dialect.job("1", 1)})
    there = queue.Queue(bench.dialect, bench.cluster, "alice", bench.clock, POLICY, typed="ssh login ")
    assert there.by_hand(bench.dialect.job("4711", 3)).startswith("ssh login ")


def test_where_a_manifest_can_not_be_kept_there_is_no_job(bench: Bench) -> None:
    """Its machine is away: nobody was asked for a job, so the runs stay ready until the next poll."""
    gone = far.Far(Gone(), "/data", 5)
    asked = queue.Queue(bench.dialect, bench.cluster, "alice", bench.clock, POLICY, depot=gone)
    assert asked.submit(bench.ground.submission(bench.ground.task("exit 0"))) == {}
    assert (asked.takes(), asked.full()) == (0, "no connection to login")
    assert bench.cluster.calls() == []
    bench.clock.advance(POLICY.poll + 1)
    assert (asked.takes() > 0, asked.full()) == (True, "")


def test_a_thousand_runs_are_one_call(bench: Bench) -> None:
    script = bench.ground.script("exit 0")
    tasks = [bench.ground.task_of((script,)) for _ in range(1000)]
    asked = bench.queue()
    jobs = asked.submit(bench.ground.submission(*tasks))
    assert len(set(jobs.values())) == 1000
    assert len(bench.cluster.calls()) == 1
    asked.query(jobs)
    asked.cancel(jobs)
    assert len(bench.cluster.calls(bench.programs[1])) == 1
    assert len(bench.cluster.calls(bench.programs[3])) == 1


def test_what_needs_the_same_goes_together_as_many_as_may(bench: Bench) -> None:
    large = {"resources": runs.Resources(memory=2**30)}
    away = {"excluded": ("n01",)}
    tasks = [bench.ground.task("exit 0", **more) for more in ({}, large, {}, away, {}, large)]
    submission = bench.ground.submission(*tasks)
    jobs = bench.queue(dataclasses.replace(POLICY, tasks=2)).submit(submission)
    assert jobs.keys() == {task.mark for task in tasks}
    with bench.cluster.state() as known:
        arrays = [(job["name"].removeprefix(submission.name), job["index"]) for job in known["jobs"]]
    assert arrays == [("", 1), ("", 2), (".2", 1), (".3", 1), (".3", 2), (".4", 1)]
    assert jobs[tasks[2].mark].endswith("2")


def test_option_lines_of_the_script_are_carried_over(bench: Bench) -> None:
    lines = "#!/bin/bash\n# words\n\n#$ -l h_rt=1:04:00\n#$ -sync y\n#SBATCH --mem=1G\n#SBATCH --wait\n"
    script = bench.ground.script(lines + "exit 0\n#$ -q late\n#SBATCH -p late\n")
    bench.queue().submit(bench.ground.submission(bench.ground.task_of((script,))))
    (text,) = bench.cluster.path.parent.glob("cluster.json.*.sh")
    sent = [line for line in text.read_text().splitlines() if line.startswith(("#$", "#SBATCH"))]
    assert sent == (["#SBATCH --mem=1G"] if bench.slurm else ["#$ -l h_rt=1:04:00"])


@pytest.mark.parametrize("prefix", ["#$", "#SBATCH"])
def test_our_own_text_has_no_option_lines(prefix: str) -> None:
    for dialect in DIALECTS.values():
        text = os.fsdecode(array.script("/a/b", (), dialect()))
        assert not [line for line in text.splitlines() if line.startswith(prefix)]


def test_a_refusal_leaves_nothing(bench: Bench) -> None:
    bench.cluster.lie(bench.programs[0], "exit")
    task = bench.ground.task("exit 0")
    with pytest.raises(errors.SubmitRefused, match=f"{bench.programs[0]}: .*something is wrong"):
        bench.queue().submit(bench.ground.submission(task))
    assert not list(pathlib.Path(task.ticket).parent.glob("*.manifest"))


@pytest.mark.feature("AC-23", "AC-33")
def test_a_site_that_lets_no_more_in(bench: Bench) -> None:
    """Slurm counts the jobs of an array, so half of them may fit; Grid Engine counts arrays."""
    bench.cluster.set(most=3 if bench.slurm else 1)
    script = bench.ground.script("exit 0")
    tasks = [bench.ground.task_of((script,)) for _ in range(8)]
    asked, started, longest = bench.queue(), dict[str, str](), POLICY.poll * scheduler.SLOWEST + 1
    for number in range(6):
        waiting = [task for task in tasks if task.mark not in started]
        if waiting := waiting[: asked.takes()]:
            started |= asked.submit(base.Submission(f"sim-v1-c0ffee-s{number:06}", tuple(waiting)))
        bench.clock.advance(longest)
    assert len(started) == (3 if bench.slurm else 8)
    if bench.slurm:
        asked.submit(bench.ground.submission(*(task for task in tasks if task.mark not in started)))
        assert "MaxSubmitJobLimit" in asked.full()
        assert not (asked.query(started).keys() - started.keys())
    assert len(list(pathlib.Path(tasks[0].ticket).parent.glob("*.manifest"))) <= len(started)


@pytest.mark.feature("AC-23")
def test_a_site_whose_arrays_are_smaller(bench: Bench) -> None:
    """It is found out, and none of the runs is held responsible."""
    bench.cluster.set(array=3)
    script = bench.ground.script("exit 0")
    tasks = [bench.ground.task_of((script,)) for _ in range(8)]
    asked, started = bench.queue(), dict[str, str]()
    for number in range(8):
        waiting = [task for task in tasks if task.mark not in started][: asked.takes()]
        if waiting:
            started |= asked.submit(base.Submission(f"sim-v1-c0ffee-s{number:06}", tuple(waiting)))
        bench.clock.advance(16)
    assert started.keys() == {task.mark for task in tasks}


@pytest.mark.parametrize("line", ["#SBATCH --array=2091-2092", "#$ -t 2091-2092"])
def test_a_script_that_takes_its_run_from_an_array_of_its_own_is_refused(bench: Bench, line: str) -> None:
    """It would compute run 1 where 2091 is meant, and nobody would notice."""
    task = bench.ground.task_of((bench.ground.script(f"#!/bin/sh\n{line}\nexit 0\n"),))
    if line.startswith(bench.dialect.prefix + " "):
        with pytest.raises(errors.SubmitRefused, match="makes an array of its own"):
            bench.queue().submit(bench.ground.submission(task))
    else:
        assert bench.queue().submit(bench.ground.submission(task))


@pytest.mark.feature("AC-28")
def test_what_filters_the_users_own_view_is_not_for_us(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SQUEUE_PARTITION", "long")
    said = shell.Here().run(["sh", "-c", "echo ${SQUEUE_PARTITION-unset} $SLURM_TIME_FORMAT"], timeout=10)
    assert said.stdout == "unset %s\n"


def test_a_command_that_takes_too_long_is_told_with_its_words() -> None:
    with pytest.raises(errors.BatchUnanswered, match=r"sh took longer than 3 s: temporarily unable"):
        shell.Here().run(["sh", "-c", "echo temporarily unable >&2; sleep 60"], timeout=3)


def test_who_wants_to_leave_at_once_waits_for_no_command() -> None:
    with pytest.raises(errors.BatchUnanswered, match="the manager is leaving"):
        shell.Here(lambda: True).run(["sleep", "60"], timeout=30)


def test_a_lost_job_is_cancelled_before_another_is_sent(bench: Bench) -> None:
    """A listing may have been filtered by somebody."""
    asked, jobs, _ = one(bench)
    bench.cluster.set(late=True)
    bench.later(asked, jobs)
    bench.cluster.change(1, state="RUNNING", host="n01")
    bench.later(asked, jobs)
    with bench.cluster.state() as known:
        known["jobs"].clear()
    report = [bench.later(asked, jobs) for _ in range(12)][-1]
    assert report.cause is Cause.LOST
    assert len(bench.cluster.calls(bench.programs[3])) == 1


@pytest.mark.parametrize("how", ["down", "lost"])
def test_nobody_can_tell(bench: Bench, how: str) -> None:
    bench.cluster.lie(bench.programs[0], how)
    with pytest.raises(errors.BatchUnanswered):
        bench.queue().submit(bench.ground.submission(bench.ground.task("exit 0")))


def test_a_client_that_hangs_is_ended(bench: Bench) -> None:
    bench.cluster.lie(bench.programs[0], "hang")
    with pytest.raises(errors.BatchUnanswered, match=r"longer than 0\.5 s"):
        bench.queue(dataclasses.replace(POLICY, timeout=0.5)).submit(
            bench.ground.submission(bench.ground.task("exit 0"))
        )


def test_a_client_that_is_not_there() -> None:
    with pytest.raises(errors.BatchError, match="no-such-qsub is not on the PATH"):
        shell.Here().run(["no-such-qsub"], timeout=5)


def test_what_a_command_reads_and_says() -> None:
    big = b"\xff\n" * 1_000_000
    done = shell.Here().run(["sh", "-c", "cat; echo woe >&2; exit 3"], input=big, timeout=20)
    assert (len(done.stdout), done.stderr, done.returncode) == (2_000_000, "woe\n", 3)
    with pytest.raises(errors.BatchUnanswered, match="killed by SIGKILL"):
        shell.Here().run(["sh", "-c", "kill -9 $$"], timeout=20)


# ── the manifest ──


def test_a_manifest_is_read_by_sh_as_it_was_meant(tmp_path: pathlib.Path) -> None:
    odd = ["a b", "", "'", '"', "$HOME `id` \\", "two\n\nlines'\n", "µ\udcff", "*", "--"]
    task = base.Task(1, 1, "mark-1-1", tuple(odd), "/d", "/o", "/e", "/t", "/w", (("NAME", "x\n'y'"),), ("/s 1",))
    line = array.line(task)
    assert "\n" not in line
    script = f"rp_newline='\n'\nset -- {line}\n" + 'for each; do printf "%s\\0" "$each"; done'
    path = tmp_path / "script"
    path.write_bytes(os.fsencode(script))
    told = subprocess.run(["sh", str(path)], capture_output=True, check=True).stdout
    words = ["mark-1-1", "/o", "/e", "NAME=x\n'y'", "--", "/t", "/w", "/d", "/s 1", "--", *odd]
    assert os.fsdecode(told).split("\0")[:-1] == words


@pytest.mark.parametrize("kind", ["dash", "bash --posix", "busybox sh"])
@pytest.mark.parametrize(("body", "code"), [("exit 7", 7), ("trap 'exit 9' TERM; kill -TERM $PPID; sleep 9 & wait", 9)])
def test_the_text_of_a_job_in_any_shell(tmp_path: pathlib.Path, kind: str, body: str, code: int) -> None:
    """A signal to the first process alone reaches the script; the witness knows the job's id."""
    if shutil.which(kind.partition(" ")[0]) is None:
        pytest.skip(f"no {kind}")
    ground = exam.Ground(tmp_path, lambda: pytest.fail("not used"))
    task = ground.task(body)
    (tmp_path / "x.manifest").write_bytes(array.manifest([array.line(task)]))
    text = tmp_path / "job"
    text.write_bytes(array.script(str(tmp_path / "x.manifest"), (), slurm.Slurm()))
    variables = {"SLURM_ARRAY_JOB_ID": "11", "SLURM_ARRAY_TASK_ID": "1"}
    done = subprocess.run([*kind.split(), str(text)], env=os.environ | variables, check=False)
    seen = witness.read(task.witness)
    assert seen
    assert (done.returncode, seen.exit, seen.job) == (code, code, "11_1")


@pytest.mark.parametrize(
    "task",
    [{"argv": ("a\0b",)}, {"environment": (("NO NAME", "x"),)}, {"environment": (("x;id", "x"),)}, {"mark": "a b"}],
)
def test_what_sh_could_not_read_is_refused(task: dict[str, Any]) -> None:
    plain = base.Task(1, 1, "mark-1-1", ("s",), "/d", "/o", "/e", "/t", "/w")
    with pytest.raises(errors.SubmitRefused, match="run 1 can't be started"):
        array.line(dataclasses.replace(plain, **task))


def test_whose_manifest_it_is() -> None:
    name = "alcapana_v4-c0ffee-s000123"
    assert base.submission_of(array.name(name, 1) + base.MANIFEST) == name
    assert base.submission_of(array.name(name, 12) + base.MANIFEST) == name
    assert base.submission_of("02091.1.ticket") is None


def test_a_manifest_is_removed_with_its_last_job(bench: Bench) -> None:
    tasks = [bench.ground.task("exit 0") for _ in range(2)]
    asked = bench.queue()
    jobs = asked.submit(bench.ground.submission(*tasks))
    manifest = pathlib.Path(tasks[0].ticket).parent / (bench.ground.submission(*tasks).name + base.MANIFEST)
    for left in (2, 1):
        asked.query(dict(list(jobs.items())[:left]))
        assert manifest.exists()
    asked.query({})
    assert not manifest.exists()


# ── following ──


def test_one_listing_a_poll_for_everything(bench: Bench) -> None:
    asked, jobs, _ = one(bench)
    other = asked.submit(bench.ground.submission(bench.ground.task("exit 0")))
    for _ in range(20):
        assert {report.phase for report in asked.query(jobs | other).values()} == {Phase.PENDING}
        bench.clock.advance(0.5)
    assert len(bench.cluster.calls(bench.programs[1])) == 1
    assert bench.later(asked, jobs).phase is Phase.PENDING
    assert len(bench.cluster.calls(bench.programs[1])) == 2
    assert not bench.cluster.calls(bench.programs[2])


def test_nothing_is_asked_for_no_jobs(bench: Bench) -> None:
    asked = bench.queue()
    assert asked.query({}) == {}
    assert asked.find({}) == {}
    asked.cancel({})
    assert not bench.cluster.calls()


@pytest.mark.feature("AC-20")
@pytest.mark.parametrize("how", ["down", "exit", "garbage", "half"])
def test_a_listing_that_fails_is_no_answer_and_backs_off(bench: Bench, how: str) -> None:
    asked, jobs, _ = one(bench)
    assert bench.later(asked, jobs).phase is Phase.PENDING
    bench.cluster.lie(bench.programs[1], how, how)
    for pause in (17, 5):  # the second is too early to ask again
        bench.clock.advance(pause)
        with pytest.raises(errors.BatchUnanswered):
            asked.query(jobs)
    assert len(bench.cluster.calls(bench.programs[1])) == 2
    bench.clock.advance(35)
    with pytest.raises(errors.BatchUnanswered):
        asked.query(jobs)
    assert bench.later(asked, jobs, 70).phase is Phase.PENDING
    assert len(bench.cluster.calls(bench.programs[1])) == 4


@pytest.mark.feature("AC-20", "AC-21")
def test_absence_is_no_answer_until_the_accounting_speaks(bench: Bench) -> None:
    asked, jobs, _ = one(bench)
    bench.cluster.set(late=True, forget=True)
    bench.cluster.change(1, state="FAILED", code=3, host="n07", cpu=1.5, rss=2048)
    assert bench.later(asked, jobs).phase is Phase.UNKNOWN
    bench.cluster.set(late=False)
    report = bench.later(asked, jobs)
    assert (report.phase, report.exit, report.host, report.cpu) == (Phase.GONE, 3, "n07", 1.5)
    assert report.memory == 2048 * 1024
    assert report.cause is None
    calls = len(bench.cluster.calls())
    assert bench.later(asked, jobs) == report
    assert len(bench.cluster.calls()) == calls  # nothing more will be known


@pytest.mark.feature("AC-30")
def test_another_users_jobs_are_listed_with_ours(bench: Bench) -> None:
    asked, jobs, task = one(bench)
    asked.query(jobs, {task.mark: "bob"})
    assert any("alice,bob" in call for call in bench.cluster.calls(bench.programs[1]))


@pytest.mark.feature("AC-30")
def test_another_users_job_that_is_hidden_from_us_is_not_lost(bench: Bench) -> None:
    """It was never listed to us: sites hide the jobs of others."""
    first, jobs, task = one(bench)
    first.close()
    with bench.cluster.state() as known:
        known["jobs"].clear()
    asked = bench.queue()
    for _ in range(12):
        (report,) = asked.query(jobs, {task.mark: "bob"}).values()
        bench.clock.advance(17)
        assert report.phase is Phase.UNKNOWN


@pytest.mark.feature("AC-22")
def test_what_was_waiting_and_is_there_no_more_was_deleted(bench: Bench) -> None:
    """Neither cluster writes down the end of what never began."""
    asked, jobs, _ = one(bench)
    assert bench.later(asked, jobs).phase is Phase.PENDING
    with bench.cluster.state() as known:
        known["jobs"].clear()
    report = [bench.later(asked, jobs) for _ in range(12)][-1]
    assert (report.phase, report.cause, report.began) == (Phase.GONE, Cause.CANCELLED, False)


@pytest.mark.feature("AC-22")
@pytest.mark.parametrize("bench", ["slurm"], indirect=True)
def test_slurm_has_one_record_for_all_of_an_array_that_never_began(bench: Bench) -> None:
    bench.cluster.set(ledger="none")
    asked, jobs, _ = one(bench)
    with bench.cluster.state() as known:
        for job in known["jobs"]:
            job.update(state="CANCELLED", reason="None", whole=True)
    reports = [bench.later(asked, jobs) for _ in range(2)]
    assert (reports[-1].cause, reports[-1].began) == (Cause.CANCELLED, False)


@pytest.mark.feature("AC-21")
def test_what_nobody_speaks_of_is_lost_after_the_grace(bench: Bench) -> None:
    asked, jobs, _ = one(bench)
    with bench.cluster.state() as known:
        known["jobs"].clear()
    reports = [bench.later(asked, jobs) for _ in range(12)]
    phases = [report.phase for report in reports]
    assert phases[:5] == [Phase.UNKNOWN] * 5
    assert (reports[-1].phase, reports[-1].cause) == (Phase.GONE, Cause.LOST)
    assert len(bench.cluster.calls(bench.programs[2])) <= 5  # asked less and less often


def test_a_job_that_was_hidden_for_a_while_goes_on(bench: Bench) -> None:
    asked, jobs, _ = one(bench)
    bench.cluster.change(1, hidden=True)
    assert bench.later(asked, jobs).phase is Phase.UNKNOWN
    bench.cluster.change(1, hidden=False)
    assert bench.later(asked, jobs).phase is Phase.PENDING
    bench.cluster.change(1, hidden=True)
    assert [bench.later(asked, jobs).phase for _ in range(4)] == [Phase.UNKNOWN] * 4  # the grace began anew


@pytest.mark.feature("AC-19")
def test_a_requeue_is_followed(bench: Bench) -> None:
    asked, jobs, _ = one(bench)
    bench.cluster.change(1, state="RUNNING", host="n01")
    assert bench.later(asked, jobs).phase is Phase.RUNNING
    bench.cluster.change(1, state="PENDING" if bench.slurm else "Rq", reason="BeginTime", host="")
    assert bench.later(asked, jobs).phase is Phase.PENDING
    bench.cluster.change(1, state="RUNNING", host="n02")
    assert bench.later(asked, jobs).host == "n02"


def test_a_lost_node_with_exit_0(bench: Bench) -> None:
    asked, jobs, _ = one(bench)
    if bench.slurm:
        bench.cluster.change(1, state="NODE_FAIL", code=0, host="n01")
    else:
        bench.cluster.change(1, state="FAILED", failed="19  : before writing exit_status", host="n01")
    report = bench.later(asked, jobs)
    assert (report.phase, report.exit, report.cause, report.host) == (Phase.GONE, None, Cause.NODE, "n01")


@pytest.mark.feature("AC-22")
def test_a_job_that_will_never_start_is_deleted_and_its_reason_kept(bench: Bench) -> None:
    asked, jobs, _ = one(bench)
    if bench.slurm:
        bench.cluster.change(1, reason="PartitionConfig")
        assert bench.later(asked, jobs).phase is Phase.PENDING
        assert bench.later(asked, jobs).phase is Phase.PENDING
        assert not bench.cluster.calls("scancel")
        why = "it would never start: PartitionConfig"
    else:
        why = "can't chdir to /nonexist: No such file or directory"
        bench.cluster.change(1, state="Eqw", reason=why)
    bench.later(asked, jobs)
    assert len(bench.cluster.calls(bench.programs[3])) == 1
    bench.cluster.change(1, state="CANCELLED by 1" if bench.slurm else "DELETED")
    report = bench.later(asked, jobs)
    assert (report.phase, report.cause, report.reason) == (Phase.GONE, Cause.LAUNCH, why)


@pytest.mark.feature("AC-08")
def test_foreign_jobs_neither_count_nor_confuse(bench: Bench) -> None:
    asked, jobs, _ = one(bench)
    with bench.cluster.state() as known:
        foreign = {
            "array": 99,
            "index": 1,
            "own": 99,
            "name": "mine|too",
            "state": "RUNNING",
            "reason": "None",
            "host": "n01",
        }
        known["jobs"].append(foreign | {"name": "mine too" if not bench.slurm else "mine|too"})
    assert bench.later(asked, jobs).phase is Phase.PENDING


def test_an_id_of_another_batch_system(bench: Bench) -> None:
    asked = bench.queue()
    report = asked.query({"mark": "4711:12:boot:host"})["mark"]
    assert report.phase is Phase.UNKNOWN
    assert "no id" in report.reason


@pytest.mark.parametrize(("ledger", "exit_"), [("database", 3), ("log", 3), ("none", None)])
def test_which_accounting_there_is_is_found_out_once(tmp_path: pathlib.Path, ledger: str, exit_: int | None) -> None:
    ground = exam.Ground(tmp_path, lambda: pytest.fail("not used"))
    bench = Bench(
        ground, clusters.Cluster(tmp_path / "cluster.json", hold=True, ledger=ledger), clocks.FakeClock(), slurm.Slurm()
    )
    asked = bench.queue()
    first, second = (asked.submit(ground.submission(ground.task("exit 3"))) for _ in range(2))
    asked.query(first | second)
    for index in range(2):
        with bench.cluster.state() as known:
            known["jobs"][index] |= {"state": "FAILED", "code": 3}
        bench.clock.advance(17)
        report = asked.query(first | second)[list(first | second)[index]]
        assert (report.phase, report.exit) == (Phase.GONE, exit_)
    log = [call for call in bench.cluster.calls("sacct") if "-c" in call]
    assert len(bench.cluster.calls("sacct")) == {"database": 2, "log": 3, "none": 2}[ledger]
    assert len(log) == {"database": 0, "log": 2, "none": 1}[ledger]


# ── find ──


@pytest.mark.feature("AC-29")
def test_jobs_whose_id_got_lost_are_found_by_name(bench: Bench) -> None:
    tasks = [bench.ground.task("exit 0") for _ in range(3)]
    manifest = bench.ground.path / "manifests"
    manifest.mkdir()
    tasks = [
        dataclasses.replace(
            task, ticket=str(manifest / f"{task.run}.ticket"), witness=str(manifest / f"{task.run}.witness")
        )
        for task in tasks
    ]
    bench.cluster.lie(bench.programs[0], "lost")
    with pytest.raises(errors.BatchUnanswered):
        bench.queue().submit(bench.ground.submission(*tasks))
    sought = {task.mark: base.Sought(bench.ground.submission(*tasks).name, task.witness) for task in tasks}
    second = bench.queue()
    found = second.find(sought)
    assert [bench.dialect.split(found[task.mark]) for task in tasks] == [("11", 1), ("11", 2), ("11", 3)]
    # one of them ends without a word
    bench.cluster.set(forget=True)
    bench.cluster.change(2, state="FAILED", code=1)
    assert bench.queue().find(sought) == found


def test_what_was_never_submitted_is_not_found(bench: Bench) -> None:
    bench.cluster.lie(bench.programs[0], "void")
    _, _, task = one(bench)
    again = bench.queue()
    assert again.find(bench.ground.sought(task)) == {}
    assert again.find(bench.ground.sought(task)) == {}
    assert len(bench.cluster.calls(bench.programs[2])) == 1  # once a poll


# ── cancel ──


@pytest.mark.feature("AC-28")
def test_a_cancelled_job_that_leaves_no_record_is_gone_when_it_is_not_listed(bench: Bench) -> None:
    asked, jobs, _ = one(bench)
    asked.query(jobs)
    bench.cluster.set(forget=True, late=True)
    asked.cancel(jobs)
    report = bench.later(asked, jobs, 1)  # sooner than a poll
    assert (report.phase, report.cause) == (Phase.GONE, Cause.CANCELLED)


def test_a_cancelling_that_does_not_arrive(bench: Bench) -> None:
    asked, jobs, _ = one(bench)
    bench.cluster.lie(bench.programs[3], "down")
    with pytest.raises(errors.BatchUnanswered):
        asked.cancel(jobs)
    assert bench.later(asked, jobs).phase is Phase.PENDING
    (job,) = jobs.values()
    assert asked.by_hand(job).startswith(bench.programs[3])
