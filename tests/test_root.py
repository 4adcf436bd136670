"""ROOT files, whole and otherwise: uproot's, and the smallest ones that could be, made by hand in both layouts."""

from __future__ import annotations

import contextlib
import importlib
import os
import pathlib
import struct
from collections.abc import Callable
from typing import Any

import hypothesis
import hypothesis.strategies as st
import pytest

from production.outputs import root


def look(path: pathlib.Path) -> str:
    """What our own look says; "" if all is well."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        root.check(descriptor, path.stat().st_size)
    except root.Broken as broken:
        assert str(broken).isprintable()
        return str(broken)
    finally:
        os.close(descriptor)
    return ""


def look_closer(path: pathlib.Path) -> str:
    """What uproot says; "" if all is well or it isn't here."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        root.read(descriptor)
    except root.Broken as broken:
        assert str(broken).isprintable()
        return str(broken)
    finally:
        os.close(descriptor)
    return ""


def key(place: int, kind: str, data: bytes, big: bool) -> bytes:
    """A record as TKey writes it."""
    strings = b"".join(bytes([len(text)]) + text.encode() for text in (kind, "name", ""))
    places = struct.pack(">qq" if big else ">ii", place, 100)
    length = 18 + len(places) + len(strings)
    head = struct.pack(">ihiIhh", length + len(data), 1004 if big else 4, len(data), 0, length, 1)
    return head + places + strings + data


def smallest(*, big: bool, kind: str = "TFile", keys: int = 1, closed: bool = True, tail: bytes = b"") -> bytes:
    """A ROOT file with one key and nothing in it."""

    def first(list_of_keys: tuple[int, int]) -> bytes:
        directory = struct.pack(">hIIii", 1005 if big else 5, 0, 0, list_of_keys[1], len(name) + 6)
        places = struct.pack(">qqq" if big else ">iii", 100, 0, list_of_keys[0])
        return key(100, kind, b"\x04name\x00" + directory + places + bytes(18), big)

    name = key(100, kind, b"", big)
    begin = 100 + len(first((0, 0)))
    list_of_keys = key(begin, kind, keys.to_bytes(4) + key(0, "TTree", b"", big), big) if closed else b""
    free_place = begin + len(list_of_keys)
    free = key(free_place, kind, bytes(10), big) if closed else b""
    end = free_place + len(free)
    header = struct.pack(
        ">4siiqqiiiBiqi" if big else ">4siiiiiiiBiii",
        *(b"root", 1062400 if big else 62400, 100, end, free_place if closed else 0, len(free), 1, len(name) + 6),
        *(8 if big else 4, 101, 0, 0),
    )
    where = (begin, len(list_of_keys)) if closed else (0, 0)
    return header.ljust(100, b"\0") + first(where) + list_of_keys + free + tail


class Whole(bytes):
    """A file's bytes, not to be printed when a test fails."""

    def __repr__(self) -> str:
        return f"<{len(self)} bytes>"


@pytest.fixture(scope="session")
def uproot(need: Callable[[str, object], Any]) -> Any:
    with contextlib.suppress(ImportError):
        return importlib.import_module("uproot")
    return need("uproot", None)


@pytest.fixture(scope="session")
def histograms(uproot: Any, tmp_path_factory: pytest.TempPathFactory) -> Whole:
    """A file as a program leaves it: a tree and a histogram in a directory."""
    import numpy

    path = tmp_path_factory.mktemp("root") / "tree02091.root"
    with uproot.recreate(path) as file:
        file["tree"] = {"time": numpy.arange(2000.0), "channel": numpy.arange(2000)}
        file["detector/hist"] = numpy.histogram(numpy.arange(100.0))
    return Whole(path.read_bytes())


@pytest.fixture
def path(tmp_path: pathlib.Path) -> pathlib.Path:
    return tmp_path / "tree02091.root"


def test_a_whole_file_is_whole(path: pathlib.Path, histograms: Whole) -> None:
    path.write_bytes(histograms)
    assert look(path) == ""
    assert look_closer(path) == ""


@pytest.mark.parametrize("big", [False, True])
def test_the_smallest_file(path: pathlib.Path, big: bool) -> None:
    path.write_bytes(smallest(big=big))
    assert look(path) == ""
    path.write_bytes(smallest(big=big, kind="TNetXNGFile"))  # written over the network
    assert look(path) == ""
    path.write_bytes(smallest(big=big, kind="TH1F"))
    assert look(path) == "is no whole ROOT file: its first record is a TH1F, not a TFile"


@pytest.mark.parametrize("big", [False, True])
def test_a_job_that_was_killed_leaves_a_file_that_was_not_closed(path: pathlib.Path, big: bool) -> None:
    path.write_bytes(smallest(big=big, closed=False))
    assert look(path) == "ROOT file was not closed: it has no list of keys"
    path.write_bytes(smallest(big=big, keys=0))
    assert look(path) == "ROOT file holds no keys"
    whole = smallest(big=big)
    basket = key(len(whole), "TBasket", bytes(1000), big)
    path.write_bytes(smallest(big=big, tail=basket))
    assert look(path) == f"ROOT file was not closed: {len(basket):,} bytes follow its last save"


@pytest.mark.parametrize("big", [False, True])
@pytest.mark.parametrize("tail", [b"\0", bytes(1000), struct.pack(">i", -1000) + bytes(996), b"\xff" * 1000])
def test_room_that_root_freed_at_the_end_does_no_harm(path: pathlib.Path, big: bool, tail: bytes) -> None:
    path.write_bytes(smallest(big=big, tail=tail))
    assert look(path) == ""


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (b"", "ROOT file is empty"),
        (bytes(20480), "is no ROOT file: it begins with zeros"),
        (b"Segmentation fault (core dumped)\n", "is no ROOT file: it begins with 'Segm'"),
        (b"\x89HDF\r\n", r"is no ROOT file: it begins with '\x89HDF'"),
        (b"root", "ROOT file is cut: 4 bytes, not even a header"),
        (b"root" + bytes(1000), "is no whole ROOT file: its header makes no sense"),
        (b"root" + b"\xff" * 1000, "is no whole ROOT file: its header makes no sense"),
    ],
)
def test_what_is_no_root_file(path: pathlib.Path, content: bytes, told: str) -> None:
    path.write_bytes(content)
    assert look(path) == told


def test_half_a_file(path: pathlib.Path, histograms: Whole) -> None:
    size = len(histograms)
    for kept in (size // 2, size - 1):
        path.write_bytes(histograms[:kept])
        assert look(path) == f"ROOT file is cut: {kept:,} of {size:,} bytes"


@hypothesis.given(st.integers(0, 20_000))
@hypothesis.settings(suppress_health_check=[hypothesis.HealthCheck.function_scoped_fixture])
def test_every_cut_and_every_zeroed_tail_is_told(path: pathlib.Path, histograms: Whole, lost: int) -> None:
    lost = min(lost + 1, len(histograms))
    path.write_bytes(histograms[:-lost])
    assert look(path)
    # of the last record we look at the key, not at the few numbers in it
    lost = max(lost, int.from_bytes(histograms[20:24]))
    path.write_bytes(histograms[:-lost] + bytes(lost))
    assert look(path)


@hypothesis.given(
    st.integers(0, 2),
    st.lists(st.tuples(st.integers(0, 400) | st.integers(0, 20_000), st.integers(0, 255)), min_size=1, max_size=4),
)
@hypothesis.settings(suppress_health_check=[hypothesis.HealthCheck.function_scoped_fixture])
def test_odd_bytes_are_told_or_taken_but_never_a_surprise(
    path: pathlib.Path, histograms: Whole, which: int, changes: list[tuple[int, int]]
) -> None:
    odd = bytearray([histograms, smallest(big=True), smallest(big=False)][which])
    for at, byte in changes:
        odd[at % len(odd)] = byte
    path.write_bytes(odd)
    look(path)
    look_closer(path)


def test_uproot_looks_closer(path: pathlib.Path, histograms: Whole) -> None:
    """A directory's own list of keys is none of the records that we look at."""
    keys = histograms.rindex(b"TDirectory") - 27
    damaged = histograms.replace(struct.pack(">i", keys), struct.pack(">i", 1 << 30))
    path.write_bytes(damaged)
    assert look(path) == ""
    assert look_closer(path).startswith("ROOT file can't be read: ")


def test_uproot_reads_odd_names(tmp_path: pathlib.Path, histograms: Whole) -> None:
    for name in ("run:tree.root", "tree*.root", "http:", os.fsdecode(b"\xff.root")):
        path = tmp_path / name
        path.write_bytes(histograms)
        assert look_closer(path) == ""
