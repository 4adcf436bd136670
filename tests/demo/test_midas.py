"""MIDAS files: what is written comes back, and whatever isn't whole is told in one line."""

from __future__ import annotations

import bz2
import gzip
import importlib.util
import itertools
import pathlib
import struct
import tempfile
from collections.abc import Callable, Iterable

import hypothesis
import hypothesis.strategies as st
import pytest

from demo import midas

RUN = 2091
BEGIN = midas.Event(midas.BEGIN, midas.MARK, RUN, 1_372_000_000, b"[/Runinfo]\nRun number = INT : 2091\n\0")
END = midas.Event(midas.END, midas.MARK, RUN, 1_372_000_600, b"")

Need = Callable[[str, object], object]

names = st.text(st.characters(min_codepoint=33, max_codepoint=126), min_size=4, max_size=4)
some_banks = st.lists(st.builds(midas.Bank, names, st.integers(1, 14), st.binary(max_size=40)), max_size=5)


def data(serial: int, banks: Iterable[midas.Bank] = (), flags: int = 0x11) -> midas.Event:
    return midas.Event(1, 0, serial, 1_372_000_001, midas.banks(tuple(banks), flags))


def written(directory: pathlib.Path, *events: midas.Event) -> pathlib.Path:
    path = directory / "run02091.mid"
    midas.write(path, events)
    return path


def fault(path: pathlib.Path) -> str:
    """What is wrong with it, without its name."""
    with pytest.raises(midas.BadFile) as caught:
        list(midas.read(path))
    said = str(caught.value)
    assert said.startswith(f"{path}: ")
    assert said.isprintable()
    return said.removeprefix(f"{path}: ")


@hypothesis.given(st.lists(some_banks, max_size=4), st.sampled_from([0x1, 0x11]))
def test_a_run_comes_back_as_it_was_written(content: list[list[midas.Bank]], flags: int) -> None:
    events = [BEGIN, *(data(serial, banks, flags) for serial, banks in enumerate(content)), END]
    with tempfile.TemporaryDirectory() as directory:
        assert list(midas.read(written(pathlib.Path(directory), *events))) == events
    assert [list(event.banks()) for event in events[1:-1]] == content


def test_the_bytes_are_those_of_midas() -> None:
    """As the format is described, written out by hand."""
    found = midas.banks([midas.Bank("TIME", 6, struct.pack("<I", 7))])
    assert found == b"\x14\0\0\0\x11\0\0\0" + b"TIME\x06\0\0\0\x04\0\0\0" + b"\x07\0\0\0\0\0\0\0"
    short = midas.banks([midas.Bank("ADC0", 4, b"\x01\0")], flags=1)
    assert short == b"\x10\0\0\0\x01\0\0\0" + b"ADC0\x04\0\x02\0" + b"\x01\0\0\0\0\0\0\0"


def test_the_begin_of_a_run_has_its_online_database(tmp_path: pathlib.Path) -> None:
    first, last = midas.read(written(tmp_path, BEGIN, END))
    assert (first.serial, first.text) == (RUN, "[/Runinfo]\nRun number = INT : 2091\n")
    assert last.id == midas.END


@pytest.mark.parametrize(("ending", "compress"), [(".gz", gzip.compress), (".bz2", bz2.compress)])
def test_compressed_runs(tmp_path: pathlib.Path, ending: str, compress: Callable[[bytes], bytes]) -> None:
    whole = written(tmp_path, BEGIN, data(0), END).read_bytes()
    path = tmp_path / f"run02091.mid{ending}"
    path.write_bytes(compress(whole))
    assert len(list(midas.read(path))) == 3
    path.write_bytes(compress(whole)[:-12])
    assert fault(path).startswith("truncated")


def test_a_run_that_is_cut_anywhere_is_truncated_or_has_no_end(tmp_path: pathlib.Path) -> None:
    events = [BEGIN, data(0, [midas.Bank("TIME", 6, bytes(12))]), END]
    path = written(tmp_path, *events)
    raw = path.read_bytes()
    borders = set(itertools.accumulate(midas.HEADER.size + len(event.data) for event in events[:-1]))
    assert len(borders) == 2
    for size in range(1, len(raw)):
        path.write_bytes(raw[:size])
        expected = "no end of run: the run crashed, or the copy is short" if size in borders else "truncated: "
        assert fault(path).startswith(expected), size


def test_all_events_of_a_run_without_end_are_handed_out_first(tmp_path: pathlib.Path) -> None:
    reading = midas.read(written(tmp_path, BEGIN, data(0)))
    assert [next(reading).id, next(reading).id] == [midas.BEGIN, 1]
    with pytest.raises(midas.BadFile, match="no end of run"):
        next(reading)


@pytest.mark.parametrize(
    ("raw", "said"),
    [
        (b"", "no MIDAS file: it is empty"),
        (b"<html><body>no such file</body></html>", "no MIDAS file: it doesn't start with the begin of a run"),
        (midas.HEADER.pack(midas.BEGIN, midas.MARK, 1, 0, 1 << 31), "damaged: an event of 2147483648 bytes at byte 0"),
    ],
)
def test_other_files(tmp_path: pathlib.Path, raw: bytes, said: str) -> None:
    path = tmp_path / "run00001.mid"
    path.write_bytes(raw)
    assert fault(path) == said


def test_nothing_follows_the_end_of_a_run(tmp_path: pathlib.Path) -> None:
    assert fault(written(tmp_path, BEGIN, END, data(0))).startswith("something follows the end of the run, at byte ")


@pytest.mark.parametrize(
    ("broken", "said"),
    [
        (b"\0", "1 bytes are no banks"),
        (struct.pack("<2I", 0, 0x31), "banks with flags 0x31, known are 0x1 and 0x11"),
        (struct.pack("<2I", 100, 0x11), "100 bytes of banks in 8 bytes of data"),
        (struct.pack("<2I4s2I", 12, 0x11, b"TIME", 6, 4), "a bank goes beyond the end of its event"),
        (struct.pack("<2I", 4, 0x11) + b"TIME", "a bank goes beyond the end of its event"),
    ],
)
def test_broken_banks(broken: bytes, said: str) -> None:
    with pytest.raises(midas.BadFile, match=f"event 5: {said}"):
        list(midas.Event(1, 0, 5, 0, broken).banks())


def test_a_bank_is_an_array(need: Need) -> None:
    need("numpy", importlib.util.find_spec("numpy"))
    assert list(midas.Bank("TIME", 6, struct.pack("<3I", 1, 2, 3)).array) == [1, 2, 3]
    assert list(midas.Bank("TEMP", 9, struct.pack("<f", 0.5)).array) == [0.5]
    with pytest.raises(midas.BadFile, match="bank TIME: 3 bytes are no numbers of 4"):
        _ = midas.Bank("TIME", 6, b"\0\0\0").array
