"""The witness: what counts as an end, and that nothing else does."""

from __future__ import annotations

import pathlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from production.batch import witness

START = "start wn17.example.org b6bb759e-4c7e-4ef1-bcc2-c00407b32470 4711 158202 1582.03\n"
TIMES = "0m0.000000s 0m0.010000s\n1m2.500000s 0m0.250000s\n"
WHOLE = START + TIMES + "end 3 1592.53\n"

SECONDS = st.decimals(0, 10**6, places=2, allow_nan=False).map(str)


@st.composite
def wholes(draw: st.DrawFn) -> str:
    """What a job that ended has written, whatever the shell."""
    word = st.text("abcdefghijklmnopqrstuvwxyz0123456789.-_", min_size=1, max_size=30)
    host, boot = draw(word), draw(word)
    numbers = [draw(st.integers(1, 2**22)), draw(st.one_of(st.integers(0, 2**40), st.just("-")))]
    digits = draw(st.sampled_from([2, 3, 6]))
    times = [f"{draw(st.integers(0, 9999))}m{draw(st.integers(0, 59))}.{'0' * digits}s" for _ in range(4)]
    lines = [
        f"start {host} {boot} {numbers[0]} {numbers[1]} {draw(st.one_of(SECONDS, st.just('-')))}",
        f"{times[0]} {times[1]}",
        f"{times[2]} {times[3]}",
        f"end {draw(st.integers(0, 255))} {draw(st.one_of(SECONDS, st.just('-')))}",
    ]
    return "\n".join(lines) + "\n"


def test_whole() -> None:
    seen = witness.parse(WHOLE)
    assert seen == witness.Witness(
        host="wn17.example.org",
        boot="b6bb759e-4c7e-4ef1-bcc2-c00407b32470",
        pid=4711,
        ticks=158202,
        started=1582.03,
        ended=True,
        exit=3,
        wall=10.5,
        cpu=62.75,
    )


def test_begun() -> None:
    seen = witness.parse(START)
    assert seen
    assert (seen.pid, seen.ended, seen.revoked, seen.exit, seen.signal, seen.cpu) == (
        4711,
        False,
        False,
        None,
        None,
        None,
    )


def test_revoked() -> None:
    seen = witness.parse(START + "revoked\n")
    assert seen
    assert (seen.revoked, seen.ended) == (True, False)


@pytest.mark.parametrize(
    ("status", "exit_", "signal"), [(0, 0, None), (128, 128, None), (137, None, 9), (192, None, 64), (255, 255, None)]
)
def test_signals(status: int, exit_: int | None, signal: int | None) -> None:
    seen = witness.parse(f"{START}{TIMES}end {status} 1600.00\n")
    assert seen
    assert (seen.ended, seen.exit, seen.signal) == (True, exit_, signal)


def test_a_machine_without_proc() -> None:
    seen = witness.parse(f"start - - 12 - -\n{TIMES}end 0 -\n")
    assert seen == witness.Witness(None, None, 12, None, None, ended=True, exit=0, cpu=62.75)


def test_times_that_cannot_be_read() -> None:
    seen = witness.parse(START + "end 0 1583.03\n")
    assert seen
    assert (seen.ended, seen.exit, seen.cpu) == (True, 0, None)


@given(wholes())
def test_an_end_is_read(text: str) -> None:
    seen = witness.parse(text)
    assert seen
    assert seen.ended
    assert seen.cpu is not None


@given(wholes(), st.data())
def test_half_a_witness_is_no_end(text: str, data: st.DataObject) -> None:
    cut = text[: data.draw(st.integers(0, len(text) - 1))]
    seen = witness.parse(cut)
    assert seen is None or not seen.ended
    assert (seen is not None) == ("\n" in cut)


@given(st.one_of(st.text(), st.text("start end 0123456789.-m\n"), st.binary().map(lambda raw: raw.decode("latin-1"))))
def test_garbage_says_nothing(text: str) -> None:
    seen = witness.parse(text)
    assert seen is None or text.startswith("start ")


@given(st.text())
def test_garbage_behind_the_start_is_no_crash(text: str) -> None:
    assert witness.parse(START + text)


def test_reading(tmp_path: pathlib.Path) -> None:
    for name, content in {"1": WHOLE, "2": START, "3": "", "4": "x" * 100_000, "5": START + "\udcff\n"}.items():
        (tmp_path / name).write_bytes(content.encode("utf-8", "surrogateescape"))
    (tmp_path / "6").mkdir()
    names = ["1", "2", "3", "4", "5", "6", "7"]
    found = witness.read_directory(str(tmp_path), names)
    assert list(found) == ["1", "2", "5"]
    assert found == {name: seen for name in names if (seen := witness.read(str(tmp_path / name)))}
    assert witness.read_directory(str(tmp_path / "nowhere"), names) == {}
