"""The porter: several at a time, told how far, ended when asked, and never a hang."""

from __future__ import annotations

import errno
import logging
import pathlib
import threading
from collections.abc import Callable, Iterator, Mapping

import pytest

from production import clock, disk, errors
from production.transfer import base, copy, porter

LONG = 30.0
"""Seconds after which a test has failed; nothing here takes them."""

Callback = Callable[[int], None]


class Clock(clock.SystemClock):
    """The real one, which also counts."""

    def __init__(self) -> None:
        super().__init__()
        self.woken = 0
        self.closed = False

    def wake(self) -> None:
        assert not self.closed
        self.woken += 1
        super().wake()

    def close(self) -> None:
        self.closed = True
        super().close()


class Gates:
    """An archive in which each file waits at a gate after its first block."""

    def __init__(self) -> None:
        self.begun = {name: threading.Event() for name in "abcdef"}
        self.open = {name: threading.Event() for name in "abcdef"}
        self.left = {name: threading.Event() for name in "abcdef"}
        self.raises: dict[str, BaseException] = {}
        self.deaf: set[str] = set()
        """Files whose fetch never asks whether to go on."""

    def size(self, remote: str, waiting: Callable[[], None] = base.nobody) -> int:
        return 100

    def fetch(
        self,
        remote: str,
        local: str,
        progress: Callback,
        size: int | None = None,
        received: Callable[[], None] = base.nobody,
    ) -> int:
        try:
            progress(10)
            self.begun[remote].set()
            assert self.open[remote].wait(LONG)
            if remote in self.raises:
                raise self.raises[remote]
            if remote not in self.deaf:
                progress(100)
            return 100
        finally:
            self.left[remote].set()

    def recall(self, remote: str, waiting: Callable[[], None]) -> None: ...

    def listing(self, directory: str) -> list[base.Entry]:
        return []

    def close(self) -> None: ...


@pytest.fixture
def bell() -> Iterator[Clock]:
    one = Clock()
    yield one
    if not one.closed:
        one.close()


@pytest.fixture
def gates() -> Iterator[Gates]:
    one = Gates()
    yield one
    for gate in one.open.values():
        gate.set()


@pytest.fixture
def carrier(gates: Gates, bell: Clock) -> Iterator[porter.Threads]:
    one = porter.Threads(gates, bell, 2, patience=LONG)
    yield one
    for gate in gates.open.values():
        gate.set()
    one.close()


def until(bell: Clock, met: Callable[[], bool]) -> None:
    """Wait as the manager does: woken at each end, not by looking."""
    for _ in range(100):
        if met():
            return
        before = clock.SystemClock().boottime()
        bell.wait(LONG)
        assert clock.SystemClock().boottime() - before < LONG, "nobody woke us"
    raise AssertionError("woken a hundred times for nothing")


def ended(carrier: porter.Threads) -> Mapping[str, base.Progress]:
    return {local: how for local, how in carrier.progress().items() if how.done}


@pytest.mark.feature("AC-11")
def test_files_come_and_are_told_until_forgotten(tmp_path: pathlib.Path, bell: Clock) -> None:
    (tmp_path / "pnfs").mkdir()
    wanted = {str(tmp_path / "raw" / f"run{number}.mid"): number * 700_000 for number in range(5)}
    carrier = porter.Threads(copy.Copy(str(tmp_path / "pnfs")), bell, 3)
    for number, (local, size) in enumerate(wanted.items()):
        (tmp_path / "pnfs" / f"{number}").write_bytes(bytes(size))
        carrier.start(str(number), local)
    until(bell, lambda: len(ended(carrier)) == 5)
    assert carrier.progress() == {local: base.Progress(size, size, True) for local, size in wanted.items()}
    assert [(tmp_path / "raw" / f"run{number}.mid").stat().st_size for number in range(5)] == list(wanted.values())
    first, *rest = wanted
    carrier.forget([first, "never heard of"])
    assert set(carrier.progress()) == set(rest)
    carrier.close()


@pytest.mark.feature("AC-11")
def test_how_far_it_is(gates: Gates, bell: Clock, carrier: porter.Threads) -> None:
    for name in "abc":
        carrier.start(name, f"/{name}")
    assert gates.begun["a"].wait(LONG)
    assert gates.begun["b"].wait(LONG)
    under_way, queued = base.Progress(10, 100, False), base.Progress(0, None, False)
    assert carrier.progress() == {"/a": under_way, "/b": under_way, "/c": queued}  # two at a time
    assert bell.woken == 2  # their sizes became known; blocks are not worth a cycle
    gates.open["a"].set()
    assert gates.begun["c"].wait(LONG)
    until(bell, lambda: bool(ended(carrier)))
    assert ended(carrier) == {"/a": base.Progress(100, 100, True)}


def test_of_a_file_that_is_here_only_the_size_is_asked(gates: Gates, bell: Clock, carrier: porter.Threads) -> None:
    carrier.measure("a", "/a")
    until(bell, lambda: bool(ended(carrier)))
    assert ended(carrier) == {"/a": base.Progress(0, 100, True, measured=True)}
    assert not gates.begun["a"].is_set()


def test_one_that_is_under_way_is_not_started_again(gates: Gates, bell: Clock, carrier: porter.Threads) -> None:
    for _ in range(3):
        carrier.start("a", "/a")
    carrier.start("b", "/b")
    assert gates.begun["b"].wait(LONG)  # or the second thread would wait in "a"
    gates.open["a"].set()
    until(bell, lambda: "/a" in ended(carrier))
    carrier.start("a", "/a")
    assert not carrier.progress()["/a"].done


@pytest.mark.parametrize(
    ("raised", "told", "transient"),
    [
        (errors.TransferError("the server is away"), "the server is away", True),
        (errors.InputMissing("no such file"), "no such file", False),
        (errors.DiskFull("no room"), "no room", True),
        (ValueError("odd\nand more"), "/a: the transfer broke unexpectedly: ValueError: odd", True),
        (SystemExit(3), "/a: the transfer broke unexpectedly: SystemExit: 3", True),
    ],
)
def test_errors_are_told_not_lost(
    gates: Gates, bell: Clock, carrier: porter.Threads, raised: BaseException, told: str, transient: bool
) -> None:
    gates.raises["a"] = raised
    gates.open["a"].set()
    carrier.start("a", "/a")
    until(bell, lambda: bool(ended(carrier)))
    how = carrier.progress()["/a"]
    assert how.done
    assert isinstance(how.error, errors.ProductionError)
    assert (str(how.error), how.error.transient) == (told, transient)
    gates.open["b"].set()
    carrier.start("b", "/b")  # the thread is still good for others
    until(bell, lambda: len(ended(carrier)) == 2)
    assert carrier.progress()["/b"].error is None


def test_forgetting_ends_what_has_not_ended(gates: Gates, bell: Clock, carrier: porter.Threads) -> None:
    for name in "abcd":
        carrier.start(name, f"/{name}")
    assert gates.begun["a"].wait(LONG)
    carrier.forget(["/a", "/c"])
    assert set(carrier.progress()) == {"/b", "/d"}
    carrier.start("a", "/a")  # its .part is still being written
    assert isinstance(carrier.progress()["/a"].error, errors.TransferError)
    gates.open["a"].set()
    assert gates.left["a"].wait(LONG)
    assert gates.begun["d"].wait(LONG)
    assert not gates.begun["c"].is_set()
    carrier.start("a", "/a")
    gates.open["d"].set()
    until(bell, lambda: {"/a", "/d"} <= set(ended(carrier)))
    assert carrier.progress()["/a"] == base.Progress(100, 100, True)


class Slow(copy.Copy):
    """A mounted archive that never gets beyond the middle of a file; it does ask whether to go on."""

    def __init__(self, root: str) -> None:
        super().__init__(root)
        self.middle = threading.Event()

    def fetch(
        self,
        remote: str,
        local: str,
        progress: Callback,
        size: int | None = None,
        received: Callable[[], None] = base.nobody,
    ) -> int:
        def stay_in_the_middle(count: int) -> None:
            while count == 2 << 20:
                progress(count)
                self.middle.set()
            progress(count)

        return super().fetch(remote, local, stay_in_the_middle, size, received)


@pytest.mark.feature("AC-29")
def test_stop_leaves_nothing_partial(tmp_path: pathlib.Path, bell: Clock) -> None:
    (tmp_path / "pnfs").mkdir()
    (tmp_path / "raw").mkdir()
    (tmp_path / "pnfs" / "run.mid").write_bytes(bytes(8 << 20))
    archive = Slow(str(tmp_path / "pnfs"))
    carrier = porter.Threads(archive, bell, 1, patience=LONG)
    for name in ("first.mid", "second.mid"):
        carrier.start("run.mid", str(tmp_path / "raw" / name))
    assert archive.middle.wait(LONG)
    assert [path.name for path in (tmp_path / "raw").iterdir()] == ["first.mid.part"]
    carrier.stop()
    assert list((tmp_path / "raw").iterdir()) == []
    assert carrier.progress() == {}
    with pytest.raises(RuntimeError):
        carrier.start("run.mid", str(tmp_path / "raw" / "third.mid"))
    carrier.close()
    assert bell.woken == 1  # its size


def test_a_hanging_archive_cannot_hold_the_manager(gates: Gates, bell: Clock, caplog: pytest.LogCaptureFixture) -> None:
    carrier = porter.Threads(gates, bell, 1, patience=0.01)
    gates.deaf.add("a")
    carrier.start("a", "/data/raw/run1.mid")
    carrier.start("b", "/data/raw/run2.mid")
    assert gates.begun["a"].wait(LONG)
    with caplog.at_level(logging.WARNING):
        carrier.stop()
    assert "/data/raw/run1.mid" in caplog.text
    assert "run2" not in caplog.text
    assert carrier.progress() == {}
    bell.close()
    gates.open["a"].set()  # it comes back much later: nobody is disturbed, least of all a closed clock
    assert gates.left["a"].wait(LONG)
    assert not gates.begun["b"].is_set()


def test_a_second_wish_to_stop_is_heard(gates: Gates, bell: Clock, caplog: pytest.LogCaptureFixture) -> None:
    carrier = porter.Threads(gates, bell, 1, patience=LONG)
    gates.deaf.add("a")
    carrier.start("a", "/a")
    assert gates.begun["a"].wait(LONG)
    before = clock.SystemClock().boottime()
    asked = iter([False, False, True])
    with caplog.at_level(logging.WARNING):
        carrier.stop(lambda: next(asked))
    assert clock.SystemClock().boottime() - before < LONG / 2
    assert "left behind: /a" in caplog.text
    gates.open["a"].set()


class Behind(Gates):
    """An archive that is quicker than our disk, which takes each file when its gate opens."""

    def __init__(self) -> None:
        super().__init__()
        self.full: set[str] = set()
        """Files for which the disk has no room the first time."""

    def fetch(
        self,
        remote: str,
        local: str,
        progress: Callback,
        size: int | None = None,
        received: Callable[[], None] = base.nobody,
    ) -> int:
        assert size == 100
        self.begun[remote].set()
        progress(100)
        received()
        assert self.open[remote].wait(LONG)
        if remote in self.full:
            self.full.remove(remote)
            raise errors.TransferWaits("the disk is full")
        return 100


def test_another_file_comes_while_the_disk_takes_one(bell: Clock) -> None:
    archive = Behind()
    carrier = porter.Threads(archive, bell, 1, patience=LONG)
    for name in "abc":
        carrier.start(name, f"/{name}")
    assert archive.begun["a"].wait(LONG)
    assert archive.begun["b"].wait(LONG)
    assert not archive.begun["c"].is_set()  # a disk that is slow has its limit, too
    assert not ended(carrier)
    archive.open["b"].set()
    assert archive.begun["c"].wait(LONG)
    until(bell, lambda: set(ended(carrier)) == {"/b"})
    for name in "ac":
        archive.open[name].set()
    until(bell, lambda: len(ended(carrier)) == 3)
    carrier.close()


def test_a_disk_that_is_full_in_the_end_is_waited_for(bell: Clock) -> None:
    archive = Behind()
    archive.full = {"a", "b", "c"}
    carrier = porter.Threads(archive, bell, 1, patience=LONG, again=0.01)
    for name in "abc":
        archive.open[name].set()
        carrier.start(name, f"/{name}")
    until(bell, lambda: len(ended(carrier)) == 3)
    assert {how.error for how in carrier.progress().values()} == {None}
    carrier.close()


# --- what is waited out ---------------------------------------------------------------------------------------------


class Moody(Gates):
    """An archive that may be away, or not know sizes; tells when it was asked."""

    def __init__(self) -> None:
        super().__init__()
        self.away = ""
        self.asked = threading.Semaphore(0)
        self.looks = 0

    def fetch(
        self,
        remote: str,
        local: str,
        progress: Callback,
        size: int | None = None,
        received: Callable[[], None] = base.nobody,
    ) -> int:
        self.asked.release()
        if self.away:
            self.looks += 1
            raise errors.TransferWaits(self.away)
        progress(100)
        return 100


def test_an_archive_that_is_away_is_waited_for_and_said(bell: Clock) -> None:
    archive = Moody()
    archive.away = "ftp://archive:21 is away: Connection refused"
    carrier = porter.Threads(archive, bell, 4, again=0.01)
    for name in "abcd":
        carrier.start(name, f"/{name}")
    until(bell, lambda: all(how.waits == archive.away for how in carrier.progress().values()))
    assert not ended(carrier)
    for _ in range(6):
        assert archive.asked.acquire(timeout=LONG)
    archive.away = ""
    until(bell, lambda: len(ended(carrier)) == 4)
    assert set(carrier.progress().values()) == {base.Progress(100, 100, True)}
    carrier.close()


def test_one_looks_whether_the_archive_is_back_for_all(bell: Clock) -> None:
    archive = Moody()
    archive.away = "away"
    carrier = porter.Threads(archive, bell, 4, again=LONG)
    for name in "abcd":
        carrier.start(name, f"/{name}")
    until(bell, lambda: all(how.waits for how in carrier.progress().values()))
    assert archive.looks <= 4  # nobody a second time
    carrier.forget(["/a", "/b"])  # at once, not after the wait
    carrier.start("e", "/e")
    until(bell, lambda: bool(carrier.progress()["/e"].waits))
    carrier.stop()
    assert carrier.progress() == {}
    assert archive.looks <= 4


class Crowded(Moody):
    """An archive that lets nobody else in while "a" comes."""

    def fetch(
        self,
        remote: str,
        local: str,
        progress: Callback,
        size: int | None = None,
        received: Callable[[], None] = base.nobody,
    ) -> int:
        if remote != "a":
            self.asked.release()
        if remote != "a" and self.away:
            raise errors.TransferWaits(self.away)
        progress(10)
        self.begun[remote].set()
        while remote == "a" and not self.open["a"].wait(0.001):
            progress(10)
        progress(100)
        return 100


def test_who_is_not_let_in_beside_others_waits_for_one_of_them(bell: Clock) -> None:
    archive = Crowded()
    archive.away = "421 too many"
    carrier = porter.Threads(archive, bell, 3, patience=LONG, again=0.01)
    carrier.start("a", "/a")
    assert archive.begun["a"].wait(LONG)
    for name in "bcd":
        carrier.start(name, f"/{name}")
    for _ in "bc":
        assert archive.asked.acquire(timeout=LONG)
    assert not archive.asked.acquire(timeout=0.2)
    assert {how.waits for how in carrier.progress().values()} == {""}
    archive.away = ""
    archive.open["a"].set()
    until(bell, lambda: len(ended(carrier)) == 4)
    assert set(carrier.progress().values()) == {base.Progress(100, 100, True)}
    carrier.close()


def test_what_comes_to_one_does_not_call_the_others(bell: Clock) -> None:
    """Our disk is full for new files, and one still comes: it shows nothing about the others."""

    class Full(Crowded):
        def fetch(
            self,
            remote: str,
            local: str,
            progress: Callback,
            size: int | None = None,
            received: Callable[[], None] = base.nobody,
        ) -> int:
            try:
                return super().fetch(remote, local, progress, size, received)
            except errors.TransferWaits as waits:
                raise waits from disk.Trouble("write", local, OSError(errno.ENOSPC, "No space left"))

    archive = Full()
    archive.away = "the disk is full"
    carrier = porter.Threads(archive, bell, 3, patience=LONG, again=LONG)
    carrier.start("a", "/a")
    assert archive.begun["a"].wait(LONG)
    for name in "bcd":
        carrier.start(name, f"/{name}")
    until(bell, lambda: sum(bool(how.waits) for how in carrier.progress().values()) >= 2)
    asked = 0
    while archive.asked.acquire(timeout=0.2):
        asked += 1
    assert asked <= 2
    archive.open["a"].set()
    until(bell, lambda: "/a" in ended(carrier))
    assert not archive.asked.acquire(timeout=0.2)
    carrier.close()


def test_a_refused_login_ends_the_fetch(gates: Gates, bell: Clock, carrier: porter.Threads) -> None:
    gates.raises["a"] = errors.LoginRefused("no")
    gates.open["a"].set()
    carrier.start("a", "/a")
    until(bell, lambda: bool(ended(carrier)))
    assert isinstance(carrier.progress()["/a"].error, errors.LoginRefused)


def test_a_size_need_not_be_known(bell: Clock) -> None:
    class Sizeless(Moody):
        def size(self, remote: str, waiting: Callable[[], None] = base.nobody) -> None:  # type: ignore[override]
            return None

    carrier = porter.Threads(Sizeless(), bell, 1)
    carrier.start("a", "/a")
    until(bell, lambda: bool(ended(carrier)))
    assert carrier.progress()["/a"] == base.Progress(100, None, True)
    carrier.close()


# --- tapes ----------------------------------------------------------------------------------------------------------


class Tapes(Gates):
    """Each file is on a tape that comes when its gate is opened."""

    def __init__(self) -> None:
        super().__init__()
        self.order: list[str] = []
        self.withdrawn: list[str] = []

    def recall(self, remote: str, waiting: Callable[[], None]) -> None:
        self.order.append(remote)
        self.begun[remote].set()
        try:
            while not self.open[remote].wait(0.005):
                waiting()
        except BaseException:
            self.withdrawn.append(remote)
            raise
        finally:
            self.left[remote].set()


@pytest.mark.feature("AC-10")
def test_so_many_are_recalled_at_a_time_in_order_and_once(bell: Clock) -> None:
    tapes = Tapes()
    carrier = porter.Threads(tapes, bell, 1, patience=LONG, recalls=2)
    carrier.recall(["a", "b", "c", "d"])
    assert tapes.begun["a"].wait(LONG)
    assert tapes.begun["b"].wait(LONG)
    assert not tapes.begun["c"].is_set()
    carrier.recall(["a", "b", "d", "c"])  # the order has changed
    tapes.open["a"].set()
    assert tapes.begun["d"].wait(LONG)
    for _ in range(3):
        carrier.recall(["a", "b", "d", "c"])
    for gate in tapes.open.values():
        gate.set()
    assert tapes.left["c"].wait(LONG)
    carrier.close()
    assert sorted(tapes.order[:2]) == ["a", "b"]
    assert tapes.order[2:] == ["d", "c"]
    assert tapes.withdrawn == []


@pytest.mark.feature("AC-10", "AC-28")
def test_what_is_not_named_any_more_is_withdrawn(bell: Clock) -> None:
    tapes = Tapes()
    carrier = porter.Threads(tapes, bell, 1, patience=LONG, recalls=2)
    carrier.recall(["a", "b", "c"])
    assert tapes.begun["a"].wait(LONG)
    assert tapes.begun["b"].wait(LONG)
    carrier.start("a", "/a")  # a file that is fetched stays recalled
    carrier.recall(["d"])
    assert tapes.begun["d"].wait(LONG)
    assert tapes.withdrawn == ["b"]
    tapes.open["a"].set()
    carrier.stop()
    assert sorted(tapes.withdrawn) == ["b", "d"]
    assert not tapes.begun["c"].is_set()


def test_a_recall_that_fails_is_told_by_the_fetch(bell: Clock) -> None:
    class Broken(Tapes):
        def recall(self, remote: str, waiting: Callable[[], None]) -> None:
            self.begun[remote].set()
            raise errors.InputMissing("no such tape") if remote == "a" else ValueError("odd")

    tapes = Broken()
    carrier = porter.Threads(tapes, bell, 1, recalls=1)
    carrier.recall(["a", "b", "c"])
    assert tapes.begun["c"].wait(LONG)
    carrier.close()
