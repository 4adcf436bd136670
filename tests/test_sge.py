"""The language of Grid Engine: what its commands say, and what is asked of them."""

from __future__ import annotations

import contextlib
import pathlib

import hypothesis
import pytest
from hypothesis import strategies as st

from production import errors
from production import run as runs
from production.batch import base, scheduler, sge

DATA = pathlib.Path(__file__).parent / "data" / "gridengine-8.1.9"
SGE = sge.GridEngine()
Cause, Phase = runs.Cause, base.Phase

DOWN = (
    "error: commlib error: got select error (Connection refused)\n"
    'error: unable to send message to qmaster using port 26444 on host "vm": got send error\n'
)


def recorded(name: str) -> str:
    return (DATA / name).read_text()


def failed(stderr: str, code: int = 1, stdout: str = "") -> scheduler.Completed:
    return scheduler.Completed(stdout, stderr, code)


# ── submit ──


def test_what_is_asked_for_is_on_the_command_line() -> None:
    array = scheduler.Array("alcapana_v4-c0ffee-s000001", 1000, runs.Resources(5400.5, 2**31, 4), ("n01", "n02"), 7)
    line = " ".join(sge.GridEngine("mp").submit_command(array))
    assert line.startswith("qsub -terse -N alcapana_v4-c0ffee-s000001 -t 1-1000 -r n -S /bin/sh -wd / -o /dev/null ")
    assert "-l h_rt=5401,h_vmem=536870912 -soft -l h=!(n01|n02) -hard" in line  # memory is counted by slot
    assert "-pe mp 4" in line
    assert "-p -7" in line
    bare = SGE.submit_command(scheduler.Array("name", 1))
    assert not {"-l", "-pe", "-p"} & set(bare)


@pytest.mark.parametrize(
    ("said", "array"), [("208\n", "208"), ("215.1-6:2\n", "215"), ("site: please be nice\n\n208.1-1:1\n", "208")]
)
def test_the_reply_to_a_submission(said: str, array: str) -> None:
    assert SGE.parse_submit(said) == array


@pytest.mark.parametrize("name", ["qsub-too-many-jobs", "qsub-too-many-jobs-of-cluster"])
def test_too_many_jobs_is_a_refusal_that_passes(name: str) -> None:
    assert SGE.full(SGE.refusal(failed(recorded(f"{name}.err.txt"))))
    assert not SGE.full(SGE.refusal(failed(recorded("qsub-array-too-large.err.txt"))))


@pytest.mark.parametrize("said", ["", "\n", 'Your job 1 ("myjob") has been submitted\n', "215.1-", "x\n"])
def test_a_reply_that_is_none(said: str) -> None:
    with pytest.raises(errors.BatchUnanswered, match="qsub answered"):
        SGE.parse_submit(said)


@pytest.mark.feature("AC-19")
@pytest.mark.parametrize(
    ("stderr", "code", "refusal"),
    [
        (
            'Unable to run job: Job was rejected because job requests unknown queue "nope.q".\nExiting.\n',
            1,
            'Job was rejected because job requests unknown queue "nope.q".',
        ),
        ('Unable to run job: unknown resource "nope".\nExiting.\n', 1, 'unknown resource "nope".'),
        (
            "Unable to read script file because of error: error opening nonexist.sh: No such file or directory\n",
            14,
            "Unable to read script file because of error: error opening nonexist.sh: No such file or directory",
        ),
        (
            "Unable to run job: job rejected: your user id 0 is lower than minimum user id 1000 of cluster configuration\n",
            1,
            "job rejected: your user id 0 is lower than minimum user id 1000 of cluster configuration",
        ),
        (DOWN, 1, ""),
        ("", 1, ""),
    ],
)
def test_a_refusal_is_certain_or_none(stderr: str, code: int, refusal: str) -> None:
    assert SGE.refusal(failed(stderr, code)) == refusal


@pytest.mark.parametrize(
    ("line", "unwanted"),
    [
        ("-l h_rt=1:04:00", False),
        ("-q long.q", False),
        ("-V", False),
        ("-sync y", True),
        ("-verify", True),
        ("-cwd", True),
    ],
)
def test_option_lines_that_would_hurt(line: str, unwanted: bool) -> None:
    assert SGE.unwanted(line.split()) is unwanted


# ── the listing ──


@pytest.mark.feature("AC-20")
@pytest.mark.parametrize(
    ("job", "phase", "state", "hopeless"),
    [
        ("210", Phase.RUNNING, "r", 0),
        ("215.3", Phase.RUNNING, "t", 0),
        ("130", Phase.RUNNING, "dr", 0),
        ("215.5", Phase.PENDING, "qw", 0),
        ("207.1", Phase.PENDING, "qw", 0),
        ("207.1000", Phase.PENDING, "qw", 0),
        ("213", Phase.PENDING, "Eqw", 1),
        ("217", Phase.PENDING, "Rq", 0),
        ("219", Phase.PENDING, "hqw", 0),
    ],
)
def test_what_the_listing_says(job: str, phase: base.Phase, state: str, hopeless: int) -> None:
    seen = SGE.parse_query(recorded("as-asked-qstat.txt"))[job]
    assert (seen.report.phase, seen.report.reason, seen.hopeless) == (phase, state, hopeless)


def test_names_are_whole_and_hosts_are_told() -> None:
    listing = SGE.parse_query(recorded("as-asked-qstat.txt"))
    assert listing["207.500"].name == "alcapana_v4-0123456789abcdef-s000001"
    assert listing["215.3"].report.host == "vm"
    assert listing["215.5"].report.host is None
    assert len(listing) == 3 + 1 + 1000 + 3


def test_an_empty_queue() -> None:
    assert SGE.parse_query(recorded("qstat-xml-empty.txt")) == {}


@pytest.mark.parametrize(
    "text",
    [
        "",
        "\n",
        DOWN,
        "<html><body>Service Unavailable</body></html>",
        recorded("as-asked-qstat.txt")[:-100],
        recorded("as-asked-qstat.txt")[:200],
        recorded("as-asked-qstat.txt").replace("<state>r</state>", ""),
        recorded("as-asked-qstat.txt").replace("1-1000:1", "1-999999999:1"),
        recorded("as-asked-qstat.txt").replace("1-1000:1", "all"),
        '<!DOCTYPE a [<!ENTITY b "c">]><job_info>&b;</job_info>',
    ],
)
def test_what_is_no_listing_is_no_answer(text: str) -> None:
    with pytest.raises(errors.BatchUnanswered):
        SGE.parse_query(text)


@pytest.mark.parametrize(
    "name",
    sorted(path.name for path in DATA.glob("qstat-xml*.txt") if "-j-" not in path.name and ".err." not in path.name),
)
def test_recorded_listings_are_read(name: str) -> None:
    listing = SGE.parse_query(recorded(name))
    if name == "qstat-xml.txt":
        by_name = {seen.name: seen for seen in listing.values()}
        assert by_name["nocwd"].hopeless == 1
        assert "odd_name.with-+chars" in by_name


@pytest.mark.parametrize(
    "name", sorted(path.name for path in DATA.glob("qacct-*.txt") if not path.stem.endswith((".err", "-yet")))
)
def test_recorded_accountings_are_read(name: str) -> None:
    ends = {
        "qacct-deleted.txt": (None, 9, None),
        "qacct-exit3.txt": (3, None, None),
        "qacct-h_rt.txt": (None, 9, Cause.TIME),
        "qacct-h_vmem.txt": (1, None, None),  # nobody had looked how much it used
        "qacct-kill9.txt": (None, 9, None),
        "qacct-nocwd.txt": (None, None, Cause.LAUNCH),
        "qacct-nooutput.txt": (None, None, Cause.LAUNCH),
        "qacct-noshell.txt": (None, None, Cause.LAUNCH),
        "qacct-exit100.txt": (None, None, Cause.LAUNCH),
        "qacct-rescheduled.txt": (0, None, None),
        "qacct-ok.txt": (0, None, None),
    }
    found = [seen.report for seen in SGE.parse_accounting(recorded(name), 0).values()]
    if name in ends:
        assert [(report.exit, report.signal, report.cause) for report in found] == [ends[name]]


@pytest.mark.parametrize("name", sorted(path.name for path in DATA.glob("qsub-*.err.txt")))
def test_recorded_refusals(name: str) -> None:
    unsure = {"qsub-terse-qmaster-down.err.txt", "qsub-non-ascii-name.err.txt"}
    assert bool(SGE.refusal(failed(recorded(name)))) is (name not in unsure)


@pytest.mark.feature("AC-22")
def test_recorded_reasons() -> None:
    assert SGE.parse_why(recorded("qstat-j-eqw.txt")) == {
        "12.1": "can't chdir to /none/such: No such file or directory",
        "12": "Job is in error state",
    }
    assert SGE.parse_why(recorded("qstat-j-pending.txt")) == {
        "18": 'cannot run in PE "smp" because it only offers 0 slots'
    }
    assert set(SGE.parse_why(recorded("as-asked-qstat-j.txt"))) == {"213.1"}, "a site may not tell why a job waits"
    assert SGE.parse_why(recorded("qstat-j-some-unknown.txt")) == {}


@pytest.mark.parametrize("name", sorted(path.name for path in DATA.glob("qdel-*.txt")))
def test_recorded_cancellings(name: str) -> None:
    assert SGE.uncancelled(failed("", 1, recorded(name))) is ("qmaster-down" in name or name == "qdel-not-mine.err.txt")


def test_why_a_job_waits_in_error() -> None:
    reason = "can't chdir to /nonexist/dir: No such file or directory"
    assert SGE.parse_why(recorded("as-asked-qstat-j.txt")) == {"213.1": reason}
    two = recorded("as-asked-qstat-j.txt") + recorded("as-asked-qstat-j.txt").replace("213", "214").replace(
        "reason    1:", "reason    7:"
    )
    assert SGE.parse_why(two) == {"213.1": reason, "214.7": reason}
    assert SGE.parse_why("Following jobs do not exist: \n213\n") == {}
    assert SGE.why_command(["213", "214"]) == ["qstat", "-j", "213,214"]


def test_what_has_ended_is_in_no_listing_of_ours() -> None:
    """Also jobs that were deleted before they began stay as zombies for a while."""
    assert SGE.parse_query(recorded("qstat-xml-finished.txt")) == {}


# ── the accounting ──


@pytest.mark.feature("AC-19")
@pytest.mark.parametrize(
    ("job", "exit_", "signal", "cause", "reason"),
    [
        ("1", 3, None, None, ""),
        ("215.3", 0, None, None, ""),
        ("215.5", None, 9, None, "a signal ended it: of qdel, of its node, or its own"),
        ("216.1", None, 9, Cause.TIME, "qmaster enforced h_rt, h_cpu, or h_vmem limit"),
        ("218.1", None, None, Cause.LAUNCH, "opening input/output file"),  # though exit_status is 0
        ("217.1", 7, None, None, ""),  # the last of two records
        ("220.2", 1, None, Cause.MEMORY, ""),  # it gave up near its limit
    ],
)
def test_what_the_accounting_says(
    job: str, exit_: int | None, signal: int | None, cause: Cause | None, reason: str
) -> None:
    report = SGE.parse_accounting(recorded("as-asked-qacct.txt"), 0)[job].report
    assert report.phase is Phase.GONE
    assert (report.exit, report.signal, report.cause, report.reason) == (exit_, signal, cause, reason)


@pytest.mark.parametrize(
    ("code", "cause"),
    [(1, Cause.NODE), (8, Cause.NODE), (15, None), (21, Cause.NODE), (25, Cause.NODE), (28, Cause.LAUNCH)],
)
def test_what_failed_counts_before_the_exit_status(code: int, cause: Cause | None) -> None:
    text = recorded("as-asked-qacct.txt").replace("26  : opening input/output file", f"{code}  : some words")
    report = SGE.parse_accounting(text, 0)["218.1"].report
    assert (report.cause, report.reason) == (cause, "some words")


def test_memory_is_full_when_a_limit_was_enforced() -> None:
    text = recorded("as-asked-qacct.txt").replace("-l h_rt=5", "-l h_rt=3600,h_vmem=5M")
    assert SGE.parse_accounting(text, 0)["216.1"].report.cause is Cause.MEMORY


def test_what_was_used() -> None:
    found = SGE.parse_accounting(recorded("as-asked-qacct.txt"), 0)
    report = found["215.3"].report
    assert (report.host, report.cpu, report.memory) == ("vm", 0.014, int(5.039 * 2**20))
    assert found["215.3"].name == "arr"
    assert (found["218.1"].report.cpu, found["218.1"].report.memory) == (None, None)


@pytest.mark.parametrize("text", ["error: job id 99999 not found\n", recorded("as-asked-qacct.txt")[:-700], "x"])
def test_what_is_no_record_is_no_answer(text: str) -> None:
    with pytest.raises(errors.BatchUnanswered):
        SGE.parse_accounting(text, 0)


def test_one_call_an_array() -> None:
    jobs = dict.fromkeys(["215.1", "215.2", "9.4", "nonsense"], "")
    assert SGE.accounting_commands(jobs, 0) == [["qacct", "-j", "9"], ["qacct", "-j", "215"]]
    assert SGE.named_commands(["arr"], 0) == [["qacct", "-j", "arr"]]


# ── cancel ──


@pytest.mark.feature("AC-17")
def test_many_are_cancelled_in_one_call_and_never_by_force() -> None:
    jobs = [f"226.{index}" for index in range(1, 1001)] + ["227.5", "227.7", "nonsense"]
    assert SGE.cancel_commands(jobs) == [["qdel", "226.1-1000", "227.5", "227.7"]]


@pytest.mark.parametrize(
    ("said", "code", "vain"),
    [
        ("tbuser has registered the job-array task 226.2 for deletion\n", 0, False),
        ("tbuser has deleted job 211\n", 0, False),
        ('denied: job "99999" does not exist\n', 1, False),
        (DOWN, 1, True),
        ("something strange\n", 1, True),
    ],
)
def test_whether_it_arrived(said: str, code: int, vain: bool) -> None:
    assert SGE.uncancelled(failed("", code, said)) is vain
    assert SGE.uncancelled(failed(said, code)) is vain


# ── ids, and all the rest ──


def test_ids() -> None:
    assert SGE.split(SGE.job("11", 7)) == ("11", 7)
    assert [SGE.split(id) for id in ("11", "11_7", "", "11.", ".7", "11.7.8", "x")] == [None] * 7
    assert SGE.by_hand("11.7") == "qdel 11 -t 7"


PIECES = st.lists(
    st.sampled_from(
        [
            "<job_info>", "</job_info>", "<job_list>", "</job_list>", "<state>", "</state>", "r", "<tasks>", "</tasks>",
            "1-3", "<JB_job_number>", "</JB_job_number>", "7", "=" * 62, "\n", "jobnumber 7\n", "failed 0\n",
            "exit_status 1\n", "maxvmem 1.5MB\n", "taskid \u0661\n", "slots ²\n", "category -l h_vmem=1.2.3\n", "cpu nan\n",
        ]
    ),
    max_size=40,
).map("".join)  # fmt: skip


@hypothesis.given(st.one_of(st.text(), PIECES))
def test_no_text_breaks_a_parser(text: str) -> None:
    for parse in (SGE.parse_submit, SGE.parse_query, SGE.parse_why, lambda text: SGE.parse_accounting(text, 0)):
        with contextlib.suppress(errors.BatchUnanswered):
            parse(text)
