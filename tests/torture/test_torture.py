"""Managers that are killed, stopped and interrupted where it could hurt; afterwards everything was done, once, and right.

The short form takes a sample of the points, the long one (``make torture``) all of them, many times.
"""

from __future__ import annotations

import argparse
import concurrent.futures
import contextlib
import itertools
import os
import pathlib
import random
import shutil
import signal
import subprocess
import tempfile
import threading
import time
from collections.abc import Callable, Iterator

import pytest

from tests.torture import __main__ as by_hand
from tests.torture import check, mortal, production, torment

Production = production.Production
Deed = mortal.Deed

SEED = 20261120

VARIANTS = by_hand.VARIANTS

STOPS = {
    "mid-submit, the intent is written, nothing is started": ("submit*:COMMIT(*):after", 2),
    "mid-submit, before a job is started": ("submit*:os.posix_spawn:before", 14),
    "mid-submit, after one was": ("submit*:os.posix_spawn:after", 14),
    "making an attempt's files": ("submit*:os.mkdir(work):before", 30),
    "an attempt's ticket is about to be made": ("submit*:os.link(*):before", 14),
    "outputs are intended": ("finish*:COMMIT(intend_output):after", 3),
    "between intent and link": ("finish*:os.link(*):before", 14),
    "linked, not recorded": ("finish*:os.link(*):after", 14),
    "recorded, its files are being removed": ("finish*:os.remove(ticket):before", 14),
    "recorded, not cleared": ("finish*:COMMIT(move):after", 3),
    "mid-transfer, before it begins": ("transfer.*:open(part):before", 14),
    "mid-transfer": ("transfer.*:open(part):after", 14),
    "mid-transfer, before the file has its name": ("transfer.*:os.link(part):before", 14),
    "claimed, not staged": ("claim*:COMMIT(claim):after", 1),
    "a transfer is written down, not begun": ("stage*:COMMIT(begin_transfer):after", 1),
    "staged": ("stage*:COMMIT(end_transfer):after", 1),
    "an end is written down": ("follow*:COMMIT(move):after", 3),
}
"""Where a manager is stopped for longer than its lease: (points, so many let pass)."""


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[[], pathlib.Path]]:
    """New directories: in memory if there is such a place, as we are after kills and not after power cuts."""
    memory = pathlib.Path("/dev/shm")
    numbers = itertools.count()
    if not os.access(memory, os.W_OK) or shutil.disk_usage(memory).free < 2**30:
        memory = tmp_path_factory.mktemp("torture")
    with tempfile.TemporaryDirectory(prefix="torture-", dir=memory) as directory:
        yield lambda: pathlib.Path(directory) / str(next(numbers))


@pytest.fixture(scope="module", autouse=True)
def naps(
    request: pytest.FixtureRequest, place: Callable[[], pathlib.Path]
) -> Iterator[dict[str, concurrent.futures.Future[list[str]]]]:
    """Managers that are asleep for longer than a lease, which takes ten seconds at least: while others are tortured."""
    wanted = {item.name for item in request.session.items}
    with concurrent.futures.ThreadPoolExecutor(len(NAPS)) as pool:
        yield {name: pool.submit(NAPS[name], place()) for name in sorted(NAPS.keys() & wanted)}


@pytest.fixture
def score() -> Iterator[torment.Score]:
    score = torment.Score()
    yield score
    print("; ".join(f"{number} × {what}" for what, number in sorted(score.done.items())))


# ── killed ──────────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("variant", VARIANTS, ids=["private home", "shared home", "with a base"])
def test_killed_at_a_sample_of_points(
    place: Callable[[], pathlib.Path], score: torment.Score, variant: dict[str, object]
) -> None:
    chance = random.Random(f"{SEED} {sorted(variant)}")
    choose = torment.kills_at_points(score, 1, chance)
    assert torment.torture(score, place(), 16, choose, 8, **variant) == []
    assert sum(score.hits("KILL").values()) >= 4


def test_undisturbed_it_comes_by_every_sort_of_point(place: Callable[[], pathlib.Path]) -> None:
    """A point that has another name since the product was changed would never be hit, and nobody would notice."""
    one = Production(place(), 20)
    (life,) = one.finish()
    assert life.code == 0
    assert check.finished(one) == []
    steps = {point.partition(".")[0] for point in life.counts}
    assert steps >= {"keep", "claim", "stage", "submit", "follow", "finish", "transfer", "campaign"}
    whats = {point.split(":")[1].partition("(")[0] for point in life.counts}
    assert whats >= {"COMMIT", "open", "os.link", "os.rename", "os.remove", "os.mkdir", "os.posix_spawn", "os.killpg"}
    patterns = {pattern for pattern, _ in STOPS.values()}
    like = {pattern for pattern in patterns for point in life.counts if mortal.like(point, (pattern,))}
    assert like == patterns


# Parts of minutes, as a test that takes longer than five is taken for one that hangs.


@pytest.fixture(scope="module")
def points() -> torment.Score:
    return torment.Score()


@pytest.mark.torture
@pytest.mark.parametrize("part", range(12))
def test_killed_at_every_point(place: Callable[[], pathlib.Path], points: torment.Score, part: int) -> None:
    if part < 2 or torment.to_go(points, 10):
        before = len(points.findings)
        by_hand.at_points(points, _made(place()), _order(part), time.monotonic() + 100)
        assert points.findings[before:] == []


@pytest.mark.torture
def test_killed_at_every_point_ten_times(points: torment.Score) -> None:
    by_hand.table(points)
    assert torment.to_go(points, 10) == {}


@pytest.mark.torture
@pytest.mark.parametrize("part", range(4))
def test_killed_at_random_times(place: Callable[[], pathlib.Path], score: torment.Score, part: int) -> None:
    by_hand.at_random(score, _made(place()), _order(part), time.monotonic() + 150)
    assert score.findings == []
    assert score.done["KILL random"] >= 50


def _order(part: int) -> argparse.Namespace:
    return argparse.Namespace(times=10, kills=50, runs=500, seed=f"{SEED} {part}", jobs=2)


def _made(directory: pathlib.Path) -> pathlib.Path:
    directory.mkdir(parents=True)
    return directory


# ── interrupted ─────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("name", ["INT", "TERM", "HUP"])
def test_told_to_stop(place: Callable[[], pathlib.Path], score: torment.Score, name: str) -> None:
    """No process, no claim, no partial file is left; exit 130; a later start finishes everything."""
    choose = torment.one_deed(name, random.Random(f"{SEED} {name}"), 80)
    assert torment.torture(score, place(), 16, choose, 3) == []
    assert sum(score.hits(name).values()) >= 2


@pytest.mark.torture
@pytest.mark.parametrize("name", ["INT", "TERM", "HUP"])
@pytest.mark.parametrize("variant", VARIANTS, ids=["private home", "shared home", "with a base"])
def test_told_to_stop_often(
    place: Callable[[], pathlib.Path], score: torment.Score, name: str, variant: dict[str, object]
) -> None:
    choose = torment.one_deed(name, random.Random(f"{SEED} {name} {sorted(variant)}"), 800)
    while sum(score.hits(name).values()) < 50:
        torment.torture(score, place(), 200, choose, 50, **variant)
    assert score.findings == []


def test_told_twice(place: Callable[[], pathlib.Path], score: torment.Score) -> None:
    """The second Ctrl-C leaves at once, and says what is left; the next manager takes it over."""
    one = Production(place(), 24)
    os.mkfifo(one.directory / "gate")
    running = one.start("first", [Deed("INT", ("submit*:os.posix_spawn:after",), (), 5), Deed("INT", ("leave/*",))])
    try:
        life = running.wait(20)
    finally:
        running.end()
    assert life.done, life.tail
    assert life.code == 130, life.tail
    assert "unexpected" not in life.said
    _open_gate(one)
    assert [life.code for life in one.finish()] == [0]
    assert check.finished(one) == []


@pytest.mark.torture
def test_told_twice_often(place: Callable[[], pathlib.Path], score: torment.Score) -> None:
    chance = random.Random(f"{SEED} twice")

    def choose() -> list[Deed]:
        first, second = int(chance.expovariate(1 / 500)), int(chance.expovariate(1 / 5))
        return [Deed("INT", None, (), first), Deed("INT", None, (), second)]

    while sum(score.hits("INT").values()) < 100:
        torment.torture(score, place(), 200, choose, 50)
    assert score.findings == []


def _open_gate(one: Production) -> None:
    """Jobs that wait there go on, those to come don't wait."""
    gate = one.directory / "gate"
    both_ends = os.open(gate, os.O_RDWR)
    gate.unlink()
    os.close(both_ends)


# ── several managers ────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("point", ["submit*:os.posix_spawn:after", "finish*:shutil.rmtree(work):before"])
def test_of_two_managers_one_is_killed(place: Callable[[], pathlib.Path], point: str) -> None:
    """The other doesn't wait for the lease, and does everything."""
    begun = time.monotonic()
    _one_of_two_dies(place(), 24, Deed("KILL", (point,), (), 5))
    assert time.monotonic() - begun < 50


@pytest.mark.torture
def test_of_two_managers_one_is_killed_often(place: Callable[[], pathlib.Path]) -> None:
    chance = random.Random(f"{SEED} two")
    for _ in range(40):
        _one_of_two_dies(place(), 60, Deed("KILL", None, (), int(chance.expovariate(1 / 500))))


def _one_of_two_dies(directory: pathlib.Path, runs: int, deed: Deed) -> None:
    one = Production(directory, runs, lease=60, pause=0.2)
    opened = one.live("first", [Deed("INT", ("claim*:COMMIT(claim):after",))])
    assert opened.code == 130
    other, victim = one.start(), one.start("first", [deed])
    try:
        died, stayed = victim.wait(), other.wait()
    finally:
        victim.end()
        other.end()
    assert died.code in (-signal.SIGKILL, 0), died.tail
    if stayed.code == 0 and not one.unfinished("first"):
        lives = [stayed]
    else:  # it may have ended first, with runs in the hands of one who was alive then
        assert stayed.code == 0, stayed.tail
        lives = one.finish()
    assert [torment.judge(life) for life in lives] == [[]] * len(lives)
    assert check.finished(one) == []


def test_a_dead_manager_of_another_production_was_bringing_the_file(place: Callable[[], pathlib.Path]) -> None:
    one = Production(place(), 12)
    assert one.live("first", [Deed("KILL", ("transfer.*:open(part):after",))]).code == -signal.SIGKILL
    later = one.live("first", more=production.NEW)
    assert later.code == 0, later.tail
    assert one.live("first", more=["--version=1"]).code == 0
    assert check.finished(one) == []


def test_a_witness_without_a_word(place: Callable[[], pathlib.Path]) -> None:
    """A full disk or a power cut left it empty, and nobody wrote down that the job was started: it never ran."""
    one = Production(place(), 3, nproc=1, nprep=0)
    os.mkfifo(one.directory / "gate")
    died = one.live("first", [Deed("KILL", ("submit*:COMMIT(move):before",), (), 1)])
    assert died.code == -signal.SIGKILL
    for pid, _ in check.processes(one):
        os.kill(pid, signal.SIGKILL)
    (one.directory / "gate").unlink()
    (one.directory / "ledger").unlink(missing_ok=True)
    for witness in (one.directory / "data" / "jobs").glob("*/*.witness"):
        os.truncate(witness, 0)
    assert one.live_for("first", 20).code == 0
    assert check.finished(one) == []


# ── stopped for longer than the lease ───────────────────────────────────────────────────────────────────────────────


Naps = dict[str, concurrent.futures.Future[list[str]]]


def test_asleep_mid_submit(naps: Naps) -> None:
    assert naps["test_asleep_mid_submit"].result() == []


def test_asleep_mid_finish(naps: Naps) -> None:
    assert naps["test_asleep_mid_finish"].result() == []


def test_asleep_mid_transfer(naps: Naps) -> None:
    assert naps["test_asleep_mid_transfer"].result() == []


def test_asleep_with_the_lock(naps: Naps) -> None:
    """Who is stopped within a transaction stops everybody; nobody takes over from him, and then all goes on."""
    assert naps["test_asleep_with_the_lock"].result() == []


def test_asleep_while_its_path_became_another_attempts(naps: Naps) -> None:
    """An old script's fixed path: who wakes up with yesterday's outputs in hand leaves today's alone."""
    assert naps["test_asleep_while_its_path_became_another_attempts"].result() == []


@pytest.mark.torture
@pytest.mark.parametrize("variant", VARIANTS[:2], ids=["private home", "shared home"])
def test_asleep_past_the_lease_everywhere(place: Callable[[], pathlib.Path], variant: dict[str, object]) -> None:
    # They sleep most of the time: three at once are no more work than one.
    with concurrent.futures.ThreadPoolExecutor(3) as pool:
        futures = {what: pool.submit(_asleep, place(), *STOPS[what], 60, variant) for what in STOPS}
    assert {what: found for what, future in futures.items() if (found := future.result())} == {}


def _asleep(directory: pathlib.Path, point: str, skip: int, runs: int, variant: dict[str, object]) -> list[str]:
    """One stops, another takes over and does everything, the first goes on; what is wrong."""
    one = Production(directory, runs, **variant)  # type: ignore[arg-type]
    sleeper = one.start("first", [Deed("STOP", (point,), (), skip)])
    try:
        if not sleeper.wait_stopped():
            return [f"never came to {point}"]
        other = one.live()
        sleeper.signal(signal.SIGCONT)
        woken = sleeper.wait()
    finally:
        sleeper.end()
    return torment.judge(other) + _left_with_nothing(woken) + check.finished(one)


def _asleep_with_the_lock(directory: pathlib.Path) -> list[str]:
    one = Production(directory, 16)
    sleeper = one.start("first", [Deed("STOP", ("claim*:COMMIT(claim):before",), (), 1)])
    other: production.Running | None = None
    try:
        if not sleeper.wait_stopped():
            return ["never came to a claim"]
        other = one.start()
        # Longer than the lease: it must be there still.
        with contextlib.suppress(subprocess.TimeoutExpired):
            other.process.wait(12)
        sleeper.signal(signal.SIGCONT)
        lives = [sleeper.wait(), other.wait()]
    finally:
        sleeper.end()
        if other is not None:
            other.end()
    return [finding for life in lives for finding in torment.judge(life)] + check.finished(one)


def _asleep_on_a_fixed_path(directory: pathlib.Path) -> list[str]:
    """Version 1's manager sleeps, another finishes; a job of version 2 writes at that path when the first wakes up."""
    one = Production(directory, 4, home="shared", nproc=1, nprep=0)
    sleeper = one.start("first", [Deed("STOP", ("finish*:os.remove(fixed):before", "finish*:os.link(fixed):before"))])
    later: production.Running | None = None
    try:
        if not sleeper.wait_stopped():
            return ["never came to its outputs"]
        lives = [one.live()]
        os.mkfifo(one.directory / "gate")
        later = one.start("first", more=production.NEW)
        impatience = threading.Timer(30, _open_gate, [one])
        impatience.start()
        gate = os.open(one.directory / "gate", os.O_WRONLY)  # opens when the first job of version 2 stands there
        impatience.cancel()
        sleeper.signal(signal.SIGCONT)
        woken = sleeper.wait()
        (one.directory / "gate").unlink()
        os.close(gate)
        lives.append(later.wait())
    finally:
        sleeper.end()
        if later is not None:
            later.end()
    findings = [finding for life in lives for finding in torment.judge(life)]
    return findings + _left_with_nothing(woken) + check.finished(one)


def _left_with_nothing(woken: production.Life) -> list[str]:
    if woken.code == 1 and production.LOST in woken.said and "unexpected" not in woken.said:
        return []
    return [f"who was stopped at {woken.done} ended with {woken.code}:\n{woken.tail}"]


NAPS: dict[str, Callable[[pathlib.Path], list[str]]] = {
    "test_asleep_mid_submit": lambda place: _asleep(place, "submit*:os.posix_spawn:before", 14, 24, {}),
    "test_asleep_mid_finish": lambda place: _asleep(place, "finish*:os.link(*):before", 8, 24, {"home": "shared"}),
    "test_asleep_mid_transfer": lambda place: _asleep(place, "transfer.*:open(part):after", 14, 24, {}),
    "test_asleep_with_the_lock": _asleep_with_the_lock,
    "test_asleep_while_its_path_became_another_attempts": _asleep_on_a_fixed_path,
}


def test_the_check_sees(place: Callable[[], pathlib.Path]) -> None:
    """Whoever always says that all is well would be believed."""
    one = Production(place(), 3)
    assert [life.code for life in one.finish()] == [0]
    assert check.finished(one) == []
    data = one.directory / "data"
    (data / "tree/v1/tree00001.dat").write_bytes(b"x")
    (data / "hist/v1/hist00002.dat").unlink()
    (data / "raw/run00003.mid.part").write_bytes(b"")
    with open(one.directory / "ledger", "a") as ledger:
        ledger.write(next(f"{' '.join(line)}\n" for line in one.ledger() if line[0] == "begin"))
    one.spoil("UPDATE tally SET runs = runs + 1 WHERE state = 'new'")
    one.spoil("UPDATE production_run SET state = 'new', moved_at = '' WHERE run = 3")
    mark = {"RUN_PRODUCTION_MARK": f"first_v1-{one.catalogue()}.1-1-1"}
    job = subprocess.Popen(["sleep", "60"], env=os.environ | mark)
    try:
        found = "\n".join(check.finished(one))
    finally:
        job.kill()
        job.wait()
    for what in ("wrong content", "missing", "partial file", "ran 2 times", "tally", "runs are new", "is still there"):
        assert what in found
