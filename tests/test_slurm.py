"""The language of Slurm: what its commands say, and what is asked of them."""

from __future__ import annotations

import contextlib
import pathlib

import hypothesis
import pytest
from hypothesis import strategies as st

from production import errors
from production import run as runs
from production.batch import base, ranges, scheduler, slurm

DATA = pathlib.Path(__file__).parent / "data" / "slurm-22.05.8"
SLURM = slurm.Slurm()
Cause, Phase = runs.Cause, base.Phase


def recorded(name: str) -> str:
    return (DATA / name).read_text()


def said(name: str) -> str:
    return recorded(f"{name}.err.txt")


def failed(stderr: str, code: int = 1) -> scheduler.Completed:
    return scheduler.Completed("", stderr, code)


# ── submit ──


def test_what_is_asked_for_is_on_the_command_line() -> None:
    array = scheduler.Array(
        "alcapana_v4-c0ffee-s000001", 1000, runs.Resources(5400.5, 2_000_000_001, 4), ("n01", "n02"), niceness=7
    )
    command = SLURM.submit_command(array)
    assert command[:3] == ["sbatch", "--parsable", "--job-name=alcapana_v4-c0ffee-s000001"]
    assert {
        "--array=1-1000", "--no-requeue", "--output=/dev/null", "--error=/dev/null", "--chdir=/", "--mail-type=NONE",
        "--time=91", "--mem=1953126K", "--cpus-per-task=4", "--exclude=n01,n02", "--nice=7",
    } <= set(command)  # fmt: skip
    bare = SLURM.submit_command(scheduler.Array("name", 1))
    assert not [word for word in bare if word.startswith(("--time", "--mem", "--cpus", "--exclude", "--nice"))]


@pytest.mark.parametrize(("said", "array"), [("2\n", "2"), ("11", "11"), ("17;cluster1\n", "17")])
def test_the_reply_to_a_submission(said: str, array: str) -> None:
    assert SLURM.parse_submit(said) == array


def test_a_banner_may_stand_before_the_reply() -> None:
    assert SLURM.parse_submit("*** Welcome to the cluster\n\n4711;main\n") == "4711"


@pytest.mark.parametrize("line", ["-a 1-9", "--array=2091-2092", "--arra 3"])
def test_a_script_with_an_array_of_its_own(line: str) -> None:
    assert SLURM.own_array(line.split())
    assert not SLURM.own_array(["--account=mu", "--acctg-freq=30", "-A", "mu"])


@pytest.mark.parametrize("said", ["", "\n", "Submitted batch job 2\n", "2\n3\n", "sbatch: error: 5", "2 3"])
def test_a_reply_that_is_none(said: str) -> None:
    with pytest.raises(errors.BatchUnanswered, match="sbatch answered"):
        SLURM.parse_submit(said)


@pytest.mark.parametrize("name", ["sbatch-too-many-jobs", "sbatch-too-many-jobs-of-account"])
def test_too_many_jobs_is_a_refusal_that_passes(name: str) -> None:
    refusal = SLURM.refusal(failed(said(name)))
    assert SLURM.full(refusal)
    assert not SLURM.full(SLURM.refusal(failed(said("sbatch-bad-partition"))))


@pytest.mark.feature("AC-19")
@pytest.mark.parametrize(
    ("stderr", "refusal"),
    [
        (
            said("sbatch-bad-partition"),
            "invalid partition specified: nope; Batch job submission failed: Invalid partition name specified",
        ),
        ("sbatch: error: This does not look like a batch script. ...\n", "This does not look like a batch script. ..."),
        # nobody can tell whether the controller has it
        ("sbatch: error: Batch job submission failed: Unable to contact slurm controller (connect failure)\n", ""),
        ("sbatch: error: Batch job submission failed: Socket timed out on send/recv operation\n", ""),
        ("sbatch: error: Batch job submission failed: Zero Bytes were transmitted or received\n", ""),
        ("", ""),
    ],
)
def test_a_refusal_is_certain_or_none(stderr: str, refusal: str) -> None:
    assert SLURM.refusal(failed(stderr)) == refusal


@pytest.mark.parametrize(
    ("line", "unwanted"),
    [
        ("--time=1:00:00", False), ("-p long", False), ("--wait", True), ("-W", True), ("--test-only", True),
        ("hetjob", True), ("--mail-user=me", False),
    ],
)  # fmt: skip
def test_option_lines_that_would_hurt(line: str, unwanted: bool) -> None:
    assert SLURM.unwanted(line.split()) is unwanted


# ── the listing ──


def test_it_is_one_listing_of_all_jobs_in_columns() -> None:
    command = SLURM.query_command(["alice"])
    assert command[:6] == ["squeue", "-h", "-r", "-t", "all", "-u"]
    assert "alice" in command
    assert not [word for word in command if "json" in word]


@pytest.mark.feature("AC-20")
@pytest.mark.parametrize(
    ("job", "phase", "cause", "reason", "hopeless"),
    [
        ("11_2", Phase.PENDING, None, "JobArrayTaskLimit", 0),
        ("14", Phase.PENDING, None, "PartitionConfig", slurm.LOOKS),
        ("5", Phase.PENDING, None, "JobHeldUser", 0),
        ("12", Phase.PENDING, None, "Resources", 0),
        ("10", Phase.PENDING, None, "BeginTime", 0),  # a requeue: it is followed
        ("2", Phase.RUNNING, None, "", 0),
        ("17", Phase.GONE, Cause.CANCELLED, "CANCELLED", 0),
        ("11_0", Phase.GONE, None, "", 0),
        ("11_1", Phase.GONE, None, "FAILED (NonZeroExitCode)", 0),
        ("15", Phase.GONE, None, "FAILED (JobLaunchFailure)", 0),  # or killed by -9: only the exit code tells
        ("1347", Phase.GONE, Cause.MEMORY, "OUT_OF_MEMORY (OutOfMemory)", 0),
        ("6", Phase.GONE, Cause.TIME, "TIMEOUT (TimeLimit)", 0),
        ("9", Phase.GONE, Cause.NODE, "NODE_FAIL (NodeDown)", 0),
    ],
)
def test_what_the_listing_says(job: str, phase: base.Phase, cause: Cause | None, reason: str, hopeless: int) -> None:
    seen = SLURM.parse_query(recorded("as-asked-squeue.txt"))[job]
    assert (seen.report.phase, seen.report.cause, seen.report.reason) == (phase, cause, reason)
    assert seen.hopeless == hopeless


def test_names_hosts_and_own_numbers() -> None:
    listing = SLURM.parse_query(recorded("as-asked-squeue.txt") + "21_4|RUNNING|None|n03|33|a|b\n")
    assert (listing["11_0"].name, listing["11_0"].alias, listing["11_0"].report.host) == ("arr", "18", "n01")
    assert listing["11_0"].report.exit == 0
    assert listing["11_1"].report.exit is None
    assert listing["14"].report.host is None
    assert listing["21_4"].name == "a|b"


def in_our_columns(text: str) -> str:
    """Recorded replies have more columns, in another order; a name may hold their separator."""
    rows = [line.rsplit("|", 3)[0].split("|", 8) for line in text.splitlines()]
    return "".join(f"{i}|{t}|{r}|{n}|{a}|{j}\n" for i, t, _, r, a, _, _, n, j in rows)


@pytest.mark.parametrize("name", sorted(path.name for path in DATA.glob("squeue-*.txt") if ".err." not in path.name))
def test_recorded_listings_are_read(name: str) -> None:
    listing = SLURM.parse_query(in_our_columns(recorded(name)))
    assert all(seen.report.phase is not Phase.UNKNOWN for seen in listing.values())
    assert listing or not recorded(name)
    names = {seen.name: seen for seen in listing.values()}
    if name == "squeue-all.txt":
        assert names["never"].hopeless == names["toobig"].hopeless == slurm.LOOKS
        assert (names["oom"].report.cause, listing["15_4"].alias) == (Cause.MEMORY, "15")
        assert [one for one in names if one.startswith("odd")] == ["odd | na me µ'\"x"]


@pytest.mark.parametrize("name", sorted(path.name for path in DATA.glob("*.err.txt") if path.name.startswith("sbatch")))
def test_recorded_refusals(name: str) -> None:
    refusal = SLURM.refusal(failed(recorded(name)))
    assert bool(refusal) is (name != "sbatch-controller-down.err.txt")
    assert "\n" not in refusal


def test_recorded_cancellings() -> None:
    vain = {path.name: SLURM.uncancelled(failed(path.read_text())) for path in DATA.glob("scancel-*.err.txt")}
    assert vain == {
        "scancel-bad-id.err.txt": False,
        "scancel-controller-down.err.txt": True,
        "scancel-finished-verbose.err.txt": True,  # but it ends with 0
    }


def test_recorded_accountings() -> None:
    assert SLURM.no_ledger(failed(said("sacct-disabled")))
    assert SLURM.no_ledger(failed(said("sacct-completion-with-accounting")))
    assert not SLURM.no_ledger(failed(said("sacct-database-down")))
    for name in ("one", "empty", "running", "node-failed", "array"):
        SLURM.parse_accounting(recorded(f"sacct-completion-{name}.txt"), 1)
    for line in recorded("sacct.txt").splitlines()[1:]:
        fields = line.split("|")
        head, tail = fields[:2], fields[-11:]
        ours = "|".join([head[0], tail[1], tail[2], tail[9], tail[8], tail[7], "name"])
        for seen in SLURM.parse_accounting(ours + "\n", 0).values():
            assert seen.report.phase is not Phase.UNKNOWN


def test_a_folded_array_is_unfolded() -> None:
    listing = SLURM.parse_query("11_[2-3,7%2]|PENDING|JobArrayTaskLimit||11|arr\n")
    assert list(listing) == ["11_2", "11_3", "11_7"]


def test_an_empty_queue() -> None:
    assert SLURM.parse_query("") == {}


@pytest.mark.parametrize(
    "text",
    [
        "slurm_load_jobs error: Unable to contact slurm controller (connect failure)\n",
        "JOBID PARTITION NAME\n",
        '{"jobs": [ ], "errors": [{"description": "Failed while looking for jobs"}]}\n',
        "11_2|PENDING|JobArrayTaskLimit||11|arr\n11_3|PEND",
        "11_2|PENDING|JobArrayTaskLimit||11|ar",
        "\n",
        "11_[1-999999999]|PENDING|Priority||11|arr\n",
    ],
)
def test_what_is_no_listing_is_no_answer(text: str) -> None:
    with pytest.raises(errors.BatchUnanswered):
        SLURM.parse_query(text)


# ── the accounting ──


@pytest.mark.feature("AC-19")
@pytest.mark.parametrize(
    ("job", "phase", "exit_", "signal", "cause"),
    [
        ("1337", Phase.GONE, None, 9, None),
        ("1338", Phase.GONE, 3, None, None),
        ("1340_0", Phase.GONE, 0, None, None),
        ("1340_2", Phase.GONE, 2, None, None),
        ("1341", Phase.GONE, None, None, Cause.CANCELLED),
        ("1342", Phase.GONE, None, None, Cause.CANCELLED),
        ("1343", Phase.PENDING, None, None, None),
        ("1344", Phase.RUNNING, None, None, None),
        ("1347", Phase.GONE, None, None, Cause.MEMORY),
        ("1350_7", Phase.GONE, None, None, Cause.LAUNCH),
        ("1351_1", Phase.GONE, None, None, Cause.NODE),  # with exit code 0:0
        ("1352_1", Phase.GONE, None, None, Cause.TIME),
    ],
)
def test_what_the_accounting_says(
    job: str, phase: base.Phase, exit_: int | None, signal: int | None, cause: Cause | None
) -> None:
    report = SLURM.parse_accounting(recorded("as-asked-sacct.txt"), 0)[job].report
    assert (report.phase, report.exit, report.signal, report.cause) == (phase, exit_, signal, cause)


def test_what_was_used() -> None:
    found = SLURM.parse_accounting(recorded("as-asked-sacct.txt"), 0)
    assert (found["1337"].report.memory, found["1337"].report.cpu) == (316720 * 1024, 0.014)
    assert (found["1340_0"].report.host, found["1340_0"].name) == ("n01", "arr")
    assert found["1342"].report.host is None
    assert found["1351_1"].report.cpu == 86400 + 2 * 3600 + 3 * 60 + 4


def test_the_completion_log_knows_own_numbers_only() -> None:
    found = SLURM.parse_accounting(recorded("as-asked-sacct-c.txt"), 1)
    assert {job: (seen.report.exit, seen.report.cause) for job, seen in found.items()} == {
        "1": (0, None), "2": (3, None), "3": (None, Cause.CANCELLED), "4": (None, Cause.TIME),
    }  # fmt: skip
    assert SLURM.accounting_commands({"11_0": "18", "11_2": "11", "11_3": ""}, 1)[0][-1] == "18,11"
    assert SLURM.named_commands(["arr"], 1) == []


@pytest.mark.parametrize(
    ("stderr", "code", "none"),
    [
        ("Slurm accounting storage is disabled\n", 1, True),
        ("sacct: fatal: open /var/log/slurm/jobcomp: Permission denied\n", 1, True),
        ("sacct: error: slurm_persist_conn_open_without_init: failed to open persistent connection\n", 1, False),
        ("sacct: error: Unknown type ArrayJobId: 3\n", 0, False),
    ],
)
def test_whether_there_is_an_accounting(stderr: str, code: int, none: bool) -> None:
    assert SLURM.no_ledger(failed(stderr, code)) is none


def test_an_unknown_job_is_no_record() -> None:
    assert SLURM.parse_accounting("", 0) == {}


# ── cancel ──


def test_many_are_cancelled_in_one_call() -> None:
    jobs = [f"11_{index}" for index in range(1, 1001)] + ["12_5", "12_7", "nonsense"]
    assert SLURM.cancel_commands(jobs) == [["scancel", "11_[1-1000]", "12_[5,7]"]]
    odd = SLURM.cancel_commands([f"11_{index}" for index in range(1, 75001, 2)])
    assert len(odd) <= 8
    assert all(len(" ".join(command)) < 2 * ranges.LONGEST for command in odd)


@pytest.mark.parametrize(
    ("stderr", "code", "vain"),
    [
        ("", 0, False),
        ("scancel: error: Kill job error on job id 2: Job/step already completing or completed\n", 0, False),
        ("scancel: error: Invalid job id abc\n", 1, False),
        ("scancel: error: Kill job error on job id 8: Unable to contact slurm controller (connect failure)\n", 8, True),
    ],
)
def test_whether_it_arrived(stderr: str, code: int, vain: bool) -> None:
    assert SLURM.uncancelled(failed(stderr, code)) is vain


# ── ids, and all the rest ──


def test_ids() -> None:
    assert SLURM.split(SLURM.job("11", 7)) == ("11", 7)
    assert [SLURM.split(id) for id in ("11", "11.7", "", "11_", "_7", "11_7_8", "x")] == [None] * 7
    assert SLURM.by_hand("11_7") == "scancel 11_7"


LINE = st.lists(
    st.sampled_from(["11", "11_2", "11_[1-3]", "RUNNING", "FAILED", "0:9", "n01", "", "|", "1.batch", "\n"]),
    max_size=30,
).map("|".join)


@hypothesis.given(st.one_of(st.text(), LINE, LINE.map(lambda line: line + "\n")))
def test_no_text_breaks_a_parser(text: str) -> None:
    for parse in (
        SLURM.parse_submit,
        SLURM.parse_query,
        SLURM.parse_why,
        lambda text: SLURM.parse_accounting(text, 0),
        lambda text: SLURM.parse_accounting(text, 1),
    ):
        with contextlib.suppress(errors.BatchUnanswered):
            parse(text)


@hypothesis.given(st.sets(st.integers(1, 999_999_999), max_size=50))
def test_ranges_are_read_as_they_are_written(indices: set[int]) -> None:
    assert [index for part in ranges.text(indices) for index in ranges.parse(part)] == sorted(indices)
    assert ranges.parse("1-9:4,20%3") == [1, 5, 9, 20]
