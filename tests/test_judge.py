"""How an attempt ended, from the batch system, the witness and the time together: a table of what matters."""

from __future__ import annotations

import dataclasses
import datetime
import itertools
import pathlib

import hypothesis
import pytest
from hypothesis import strategies as st

from production import clock
from production import run as runs
from production.batch import base as batch
from production.batch import depot
from production.batch import witness as witness_
from production.catalogue import base
from production.steps import follow
from tests.fakes import clock as fakes

Cause = runs.Cause
Phase = batch.Phase

NOW = fakes.START
LIMIT = 3600.0
GRACE = 90.0
LONG = LIMIT + GRACE

STARTED = witness_.Witness("node7", "boot", 4711, 99, 1000.0)
REVOKED = dataclasses.replace(STARTED, revoked=True)


def ended(exit_: int | None = 0, signal: int | None = None, wall: float | None = 12.0) -> witness_.Witness:
    return dataclasses.replace(STARTED, ended=True, exit=exit_, signal=signal, wall=wall, cpu=3.5)


def run(elapsed: float) -> runs.Run:
    """Submitted so many seconds ago."""
    submitted = clock.text(NOW - datetime.timedelta(seconds=elapsed))
    state = runs.State.SUBMITTED
    return runs.Run(1, 2091, None, state, 7, 1, 0, clock.text(NOW), "", "s", "4711", None, "alice", submitted)


def judge(
    report: batch.Report, witness: witness_.Witness | None, elapsed: float = 60, limit: float | None = LIMIT
) -> base.Ending | None:
    return follow.judge(run(elapsed), report, witness, limit, GRACE, NOW)


ALL = (None, STARTED, REVOKED, ended(), ended(3), ended(None, 11))


# ── it can't be told, or goes on ──


@pytest.mark.parametrize("phase", [Phase.PENDING, Phase.RUNNING])
@pytest.mark.parametrize("witness", ALL)
@pytest.mark.parametrize("elapsed", [0, 60, LONG + 1, 1e7])
def test_a_job_that_is_there_goes_on(phase: Phase, witness: witness_.Witness | None, elapsed: float) -> None:
    """Also with a witness: its children may be writing still."""
    assert judge(batch.Report(phase), witness, elapsed) is None


@pytest.mark.feature("AC-20", "AC-21")
@pytest.mark.parametrize("witness", [None, STARTED])
def test_absence_is_not_an_answer_until_its_time_is_long_over(witness: witness_.Witness | None) -> None:
    unknown = batch.Report(Phase.UNKNOWN)
    for elapsed in (0, LIMIT, LIMIT + 1, LONG):
        assert judge(unknown, witness, elapsed) is None
    lost = judge(unknown, witness, LONG + 0.001)
    assert lost is not None
    assert lost.cause is Cause.LOST
    assert "4711" in lost.message
    assert judge(unknown, witness, 1e9, limit=None) is None  # nobody has said how long it may take


@pytest.mark.feature("AC-20")
@pytest.mark.parametrize(
    ("witness", "cause"), [(ended(0), None), (ended(3), Cause.PROGRAM), (ended(None, 11), Cause.PROGRAM)]
)
@pytest.mark.parametrize("elapsed", [60, LONG + 1])
def test_the_witness_speaks_for_a_job_that_cannot_be_seen(
    witness: witness_.Witness, cause: Cause | None, elapsed: float
) -> None:
    ending = judge(batch.Report(Phase.UNKNOWN), witness, elapsed)
    assert ending is not None
    assert ending.cause is cause


def test_a_revoked_witness_is_the_last_word_of_a_job_that_cannot_be_seen() -> None:
    ending = judge(batch.Report(Phase.UNKNOWN), REVOKED)
    assert ending is not None
    assert ending.cause is Cause.RELEASED


# ── it is gone ──


@pytest.mark.feature("AC-19")
@pytest.mark.parametrize(
    ("report", "witness", "cause", "message"),
    [
        # the witness has said how the script ended
        (batch.Report(Phase.GONE), ended(0), None, ""),
        (batch.Report(Phase.GONE), ended(3), Cause.PROGRAM, "exit 3"),
        (batch.Report(Phase.GONE), ended(127), Cause.PROGRAM, "exit 127"),
        (batch.Report(Phase.GONE), ended(None, 11), Cause.PROGRAM, "signal 11"),
        # and the wrapper's own end doesn't matter then
        (batch.Report(Phase.GONE, exit=0), ended(3), Cause.PROGRAM, "exit 3"),
        (batch.Report(Phase.GONE, exit=1), ended(0), None, ""),
        (batch.Report(Phase.GONE, signal=9), ended(0), None, ""),
        (batch.Report(Phase.GONE, signal=9, reason="reason"), ended(None, 11), Cause.PROGRAM, "signal 11"),
        # it began, and did not say how it ended
        (batch.Report(Phase.GONE), STARTED, Cause.KILLED, "its job was killed"),
        (batch.Report(Phase.GONE, signal=9), STARTED, Cause.KILLED, "its job was killed"),
        (batch.Report(Phase.GONE, signal=9, reason="out of memory"), STARTED, Cause.KILLED, "out of memory"),
        (batch.Report(Phase.GONE, exit=3), STARTED, Cause.PROGRAM, "exit 3"),
        (batch.Report(Phase.GONE, exit=0), STARTED, None, ""),
        # it never began
        (batch.Report(Phase.GONE), None, Cause.LAUNCH, "its job left no witness: it never started, or removed it"),
        (
            batch.Report(Phase.GONE, exit=0),
            None,
            Cause.LAUNCH,
            "its job left no witness: it never started, or removed it",
        ),
        (batch.Report(Phase.GONE, exit=3, reason="no such file"), None, Cause.LAUNCH, "no such file"),
        # the batch system itself says why
        (batch.Report(Phase.GONE, cause=Cause.TIME, reason="TIMEOUT"), STARTED, Cause.TIME, "TIMEOUT"),
        (batch.Report(Phase.GONE, cause=Cause.TIME, reason="TIMEOUT"), ended(0), Cause.TIME, "TIMEOUT"),
        (
            batch.Report(Phase.GONE, cause=Cause.MEMORY, reason="OUT_OF_MEMORY"),
            ended(137),
            Cause.MEMORY,
            "OUT_OF_MEMORY",
        ),
        (batch.Report(Phase.GONE, cause=Cause.NODE, reason="NODE_FAIL"), STARTED, Cause.NODE, "NODE_FAIL"),
        (batch.Report(Phase.GONE, exit=0, cause=Cause.NODE, reason="NODE_FAIL"), None, Cause.NODE, "NODE_FAIL"),
        (batch.Report(Phase.GONE, cause=Cause.LAUNCH), None, Cause.LAUNCH, "says the batch system: launch"),
        (batch.Report(Phase.GONE, cause=Cause.CANCELLED, reason="cancelled"), ended(0), Cause.CANCELLED, "cancelled"),
        (batch.Report(Phase.GONE, cause=Cause.LOST, reason="unknown"), STARTED, Cause.LOST, "unknown"),
        # … unless the script had ended, and only its node or its record was lost
        (batch.Report(Phase.GONE, cause=Cause.NODE), ended(0), None, ""),
        (batch.Report(Phase.GONE, cause=Cause.LOST), ended(0), None, ""),
        (batch.Report(Phase.GONE, cause=Cause.LOST, reason="unknown"), ended(3), Cause.PROGRAM, "exit 3"),
        (batch.Report(Phase.GONE, cause=Cause.CANCELLED), REVOKED, Cause.RELEASED, "its ticket had been taken back"),
        # it was started again
        (
            batch.Report(Phase.GONE, exit=75),
            STARTED,
            Cause.NODE,
            "its job was started twice, which is not done, or its ticket was taken away",
        ),
        (batch.Report(Phase.GONE, exit=75), ended(75), Cause.PROGRAM, "exit 75"),
        # it wasn't allowed to
        (batch.Report(Phase.GONE), REVOKED, Cause.RELEASED, "its ticket had been taken back"),
        (batch.Report(Phase.GONE, exit=0), REVOKED, Cause.RELEASED, "its ticket had been taken back"),
        (batch.Report(Phase.GONE, signal=9), REVOKED, Cause.RELEASED, "its ticket had been taken back"),
    ],
)
def test_a_job_that_is_gone_ended_for_a_cause(
    report: batch.Report, witness: witness_.Witness | None, cause: Cause | None, message: str
) -> None:
    ending = judge(report, witness)
    assert ending is not None
    assert (ending.cause, ending.message) == (cause, message)
    assert ending.exit == (witness.exit if witness and witness.ended else report.exit)
    assert ending.signal == (witness.signal if witness and witness.ended else report.signal)
    assert not ending.counted  # that is the retry's to say


def test_all_that_is_known_is_told() -> None:
    report = batch.Report(Phase.GONE, exit=0, host="node8", cpu=9.0, memory=4096)
    known = judge(report, ended(3))
    assert known == base.Ending(
        Cause.PROGRAM, "exit 3", host="node8", exit=3, signal=None, wall=12.0, cpu=9.0, memory=4096
    )
    known = judge(batch.Report(Phase.GONE), ended(3))
    assert known is not None
    assert (known.host, known.cpu, known.memory) == ("node7", 3.5, None)
    known = judge(batch.Report(Phase.GONE), STARTED, elapsed=60)
    assert known is not None
    assert (known.wall, known.cpu) == (60, None)
    known = judge(batch.Report(Phase.GONE, cpu=0.0), ended(0))
    assert known is not None
    assert known.cpu == 0.0


# ── it took too long ──


@pytest.mark.feature("AC-23")
@pytest.mark.parametrize(
    ("witness", "elapsed", "cause"),
    [
        (ended(3, wall=LIMIT - 0.01), LIMIT, Cause.PROGRAM),
        (ended(3, wall=LIMIT), LIMIT, Cause.TIME),
        (ended(3, wall=LIMIT + 5), LIMIT, Cause.TIME),
        (ended(None, 24, wall=LIMIT), LIMIT, Cause.TIME),
        (ended(3, wall=None), LIMIT, Cause.TIME),
        (ended(3, wall=None), 60, Cause.PROGRAM),
        (STARTED, LIMIT - 0.01, Cause.KILLED),
        (STARTED, LIMIT, Cause.TIME),  # that is how we end it
        (ended(0, wall=LIMIT + 5), LIMIT + 5, None),  # late, but it is done
    ],
)
def test_longer_than_it_may_is_a_cause(witness: witness_.Witness, elapsed: float, cause: Cause | None) -> None:
    ending = judge(batch.Report(Phase.GONE), witness, elapsed)
    assert ending is not None
    assert ending.cause is cause
    if cause is Cause.TIME:
        assert ending.message == "it took longer than 3600 s"
    without = judge(batch.Report(Phase.GONE), witness, elapsed, limit=None)
    assert without is not None
    assert without.cause is not Cause.TIME


@pytest.mark.parametrize("wall", [0.0, 0.01, 5.0])
def test_a_short_job_that_was_looked_at_late_did_not_take_long(wall: float) -> None:
    """The manager was killed in the evening and started again in the morning."""
    ending = judge(batch.Report(Phase.GONE), ended(3, wall=wall), elapsed=12 * LIMIT)
    assert ending is not None
    assert (ending.cause, ending.message) == (Cause.PROGRAM, "exit 3")


@pytest.mark.parametrize(("witness", "cause"), [(None, Cause.LAUNCH), (REVOKED, Cause.RELEASED)])
def test_a_job_that_never_ran_did_not_take_long(witness: witness_.Witness | None, cause: Cause) -> None:
    ending = judge(batch.Report(Phase.GONE), witness, elapsed=12 * LIMIT)
    assert ending is not None
    assert ending.cause is cause


# ── always ──


def test_only_what_is_over_is_judged() -> None:
    """Over all combinations: an ending without a cause is exit 0, and only a lost one was not seen to end."""
    reports = [
        batch.Report(phase, exit=exit_, signal=signal)
        for phase in Phase
        for exit_, signal in ((None, None), (0, None), (3, None), (None, 9))
    ]
    for report, witness, elapsed, limit in itertools.product(reports, ALL, (0, 60, LONG + 1), (None, LIMIT)):
        ending = judge(report, witness, elapsed, limit)
        if ending is None:
            assert report.phase is not Phase.GONE
        elif ending.cause is None:
            assert ending.exit == 0
            assert ending.message == ""
        else:
            assert ending.message
            assert (ending.cause is Cause.LOST) <= (report.phase is Phase.UNKNOWN)


# ── the last words ──


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (b"", ""),
        (b"\n\n  \n", ""),
        (b"one\ntwo", "two"),
        (b"one\ntwo\n\n   \n", "two"),
        (b"one\r\ntwo\r\n", "two"),
        (b"Segmentation fault (core dumped)\n", "Segmentation fault (core dumped)"),
        (b"  indented \n", "indented"),
        (b"10 %\r50 %\r100 %\r", "100 %"),
        (b"\x1b[31mError\x1b[0m: no\ttree\n", "[31mError [0m: no tree"),
        (b"caf\xe9\n", "caf�"),
        ("µ⁺ decayed\n".encode(), "µ⁺ decayed"),
        (b"x" * 300 + b"\n", "x" * 200),
        (b"a\n" * 100_000 + b"last\n", "last"),
        (b"\xc3" + b"\xa9" * 5000, "�" * 200),
    ],
)
def test_the_last_line_of_a_log(tmp_path: pathlib.Path, text: bytes, expected: str) -> None:
    log = tmp_path / "log"
    log.write_bytes(text)
    assert depot.Here().last_words([str(log)]) == ({str(log): expected} if expected else {})


def test_no_log_is_no_last_line(tmp_path: pathlib.Path) -> None:
    assert depot.Here().last_words([str(tmp_path / "none"), str(tmp_path)]) == {}


@hypothesis.given(st.binary(max_size=3000))
def test_whatever_is_in_a_log_it_is_one_short_line(tmp_path_factory: pytest.TempPathFactory, text: bytes) -> None:
    log = tmp_path_factory.mktemp("log") / "log"
    log.write_bytes(text)
    line = depot.Here().last_words([str(log)]).get(str(log), "")
    assert len(line) <= 200
    assert line.isprintable() or not line
    assert line == line.strip()
