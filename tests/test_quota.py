"""The disk's limit: what quota programs print, who reads how full it is, how old a reading may be."""

from __future__ import annotations

import contextlib
import getpass
import json
import os
import pathlib
import re
import shutil
import signal
import subprocess
import tempfile
import threading
from collections.abc import Callable, Iterator, Sequence

import hypothesis
import pytest
from hypothesis import strategies

from production import child, errors, settings
from production.cli import depots, remote
from production.transfer import base, quota, replies, usage
from tests.fakes import clock
from tests.services import packages, sshd

DATA = pathlib.Path(__file__).resolve().parent / "data" / "quota"
BIN = pathlib.Path(__file__).resolve().parent / "fakes" / "bin"
KB = 1024
PARSERS = {"mmlsquota": replies.parse_mmlsquota, "lfs": replies.parse_lfs, "quota": replies.parse_quota}


def stays() -> bool:
    """The manager doesn't want to leave."""
    return False


# --- what the programs print ------------------------------------------------------------------------------------------


def parse(name: str, text: str | None = None) -> replies.Usage:
    return PARSERS[name.partition("-")[0]]((DATA / f"{name}.txt").read_text("utf-8") if text is None else text)


@pytest.mark.parametrize(
    ("name", "used", "limit"),
    [
        ("mmlsquota-5.1-fileset", 83873808 + 489408, 209715200),
        ("mmlsquota-5.1-user", 2000000, 2097152),
        ("mmlsquota-5.1-soft-only", 1024 + 512, 4096),
        ("mmlsquota-4.2-user", 107, 200),
        ("lfs-2.15-user", 5242880, 6291456),
        ("lfs-2.12-wrapped", 10240, 102400),
        ("lfs-2.15-loud", 3072, 3072),
        ("quota-4.06-user", 24364, 61440),
        ("quota-4.06-wrapped", 6094452, 2147483648),
    ],
)
def test_what_the_programs_print(name: str, used: int, limit: int) -> None:
    """In doubt is used; the hard limit, else the soft one; of several the one with the least room."""
    assert parse(name) == (used * KB, limit * KB)


def test_a_reply_without_a_limit() -> None:
    assert parse("lfs-2.15-no-limit") == (1234 * KB, None)


@pytest.mark.parametrize(
    ("name", "problem"),
    [
        ("mmlsquota-5.1-none", "no quota in what it said: mmlsquota::HEADER:"),
        ("lfs-2.15-inaccurate", "some of Lustre's servers don't answer"),
        ("quota-4.06-none", r"no quota in what it said: Disk quotas for user alcap \(uid 1000\): none$"),
        ("quota-4.06-no-quota-here", "no quota in what it said$"),
    ],
)
def test_replies_that_say_nothing(name: str, problem: str) -> None:
    with pytest.raises(errors.QuotaUnread, match=problem):
        parse(name)


@pytest.mark.parametrize("name", sorted(path.stem for path in DATA.glob("*.txt")))
def test_half_a_reply_is_no_reply(name: str) -> None:
    """Cut anywhere, it is an error or what its whole rows say: never a number that was cut."""
    text = (DATA / f"{name}.txt").read_text("utf-8")
    rows = {parse_or_none(name, "".join(text.splitlines(keepends=True)[:end])) for end in range(text.count("\n") + 1)}
    for end in range(len(text)):
        if text[end - 1 : end + 1].isdigit():  # in the middle of a number
            assert parse_or_none(name, text[:end]) in rows | {None}


def parse_or_none(name: str, text: str) -> replies.Usage | None:
    try:
        return parse(name, text)
    except errors.QuotaUnread:
        return None


@pytest.mark.parametrize(
    ("parser", "text"),
    [
        ("lfs", "/lustre 1.5T 2T 3T - 7 0 0 -\n"),
        ("lfs", "/lustre 10 20 30\n"),
        ("lfs", "        10 20 30 - 1 0 0 -\n"),
        ("lfs", "/a\n/b\n   10 20 30 - 1 0 0 -\n"),
        ("lfs", "/a\n/b 10 20 30 - 1 0 0 -\n"),
        ("lfs", "/a -10 20 30 - 1 0 0 -\n"),
        ("lfs", "/a ٣ 20 30 - 1 0 0 -\n"),
        ("quota", "      /dev/sda3   24364   51200   61440              17       0       0        \n"),
        ("quota", "quota: error while getting quota from server:/home for alcap (id 1000): Connection refused\n"),
        ("mmlsquota", "mmlsquota::0:1:::gpfs0:USR:1000:alcap:1:2:3:0:none:1:0:0:0:none:e:on:off:::\n"),
        ("mmlsquota", "mmlsquota::HEADER:version:blockUsage\nmmlsquota::0:1:5\n"),
        ("mmlsquota", "                         Block Limits\nFilesystem type KB quota limit\ngpfs0 USR 1 2 3\n"),
    ],
)
def test_what_is_not_understood_is_an_error(parser: str, text: str) -> None:
    with pytest.raises(errors.QuotaUnread) as caught:
        PARSERS[parser](text)
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 200


WORDS = strategies.sampled_from(
    "mmlsquota HEADER : :: blockUsage blockQuota blockLimit blockInDoubt 0 1 17* 4096 - none /lustre gpfs0 * [ %3A \n \n "
    "Disk quotas for Filesystem uid is using default".split(" ")
)  # fmt: skip


@hypothesis.given(
    strategies.text() | strategies.lists(WORDS, max_size=60).map(" ".join), strategies.sampled_from(sorted(PARSERS))
)
def test_no_text_makes_a_parser_stumble(text: str, parser: str) -> None:
    with contextlib.suppress(errors.QuotaUnread):
        used, limit = PARSERS[parser](text)
        assert used >= 0
        assert limit is None or limit > 0


@hypothesis.given(
    strategies.lists(strategies.tuples(*[strategies.integers(0, 10**12)] * 3), min_size=1, max_size=4),
    strategies.sampled_from(["/lustre", "server:/a/long/name of it", "/disk 2"]),
    strategies.booleans(),
)
def test_every_whole_reply_is_read(rows: list[tuple[int, int, int]], name: str, wrapped: bool) -> None:
    text = "".join(
        f"{name}{chr(10) if wrapped else ''} {used}{'*' * (used > soft)} {soft} {hard} 0 9 0 0 0\n" for used, soft, hard in rows
    )  # fmt: skip
    used, limit = replies.parse_quota(text)
    limited = [(used, hard or soft) for used, soft, hard in rows if hard or soft]
    if limited:
        assert limit is not None
        assert limit - used == min(limit - used for used, limit in limited) * KB
    else:
        assert (used, limit) == (max(used for used, _, _ in rows) * KB, None)


# --- the programs themselves ------------------------------------------------------------------------------------------


class Site:
    """What the fake programs say; see tests/fakes/bin/quota."""

    def __init__(self, directory: pathlib.Path) -> None:
        self._state = directory / "quota.json"
        self.data = directory / "data"
        self.data.mkdir()

    def says(self, **state: object) -> None:
        self._state.write_text(json.dumps(state))

    @property
    def calls(self) -> list[list[str]]:
        return [json.loads(line) for line in (self._state.with_name("quota.json.calls")).read_text().splitlines()]

    def read(self, program: str, *arguments: str, seconds: float = 30.0) -> replies.Usage:
        over = program == "quota"
        return usage.Command(
            [program, *arguments], PARSERS[program], run=usage.Here("").run, over=over, seconds=seconds
        )(stays)

    def refusal(self, program: str, seconds: float = 30.0) -> str:
        with pytest.raises(errors.QuotaUnread) as caught:
            self.read(program, "-x", seconds=seconds)
        assert "\n" not in str(caught.value)
        return str(caught.value)


@pytest.fixture
def site(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> Site:
    monkeypatch.setenv("FAKE_QUOTA", str(tmp_path / "quota.json"))
    monkeypatch.setenv("PATH", f"{BIN}:{os.environ['PATH']}")
    return Site(tmp_path)


@pytest.mark.parametrize("program", sorted(PARSERS))
def test_a_program_is_asked(site: Site, program: str) -> None:
    site.says(used=5 * KB, soft=8 * KB, hard=10 * KB)
    assert site.read(program, "-u", "al cap; rm") == (5 * KB, 10 * KB)
    assert site.calls == [[program, "-u", "al cap; rm"]]


def test_exit_1_of_an_exceeded_quota_is_an_answer(site: Site) -> None:
    """As quota(1) has it."""
    site.says(used=9 * KB, soft=8 * KB, hard=10 * KB)
    assert site.read("quota") == (9 * KB, 10 * KB)


def test_quota_where_there_is_none_says_nothing_and_exits_1(site: Site) -> None:
    """Recorded of linuxquota 4.06; see tests/data/quota/README.md."""
    site.says(lie="none here")
    assert site.refusal("quota") == "quota -x: no quota in what it said"


@pytest.mark.parametrize("program", sorted(PARSERS))
@pytest.mark.parametrize(
    ("lie", "problem"),
    [
        ("exit", r"^{} -x: exit 1: {}: 6027-533 the daemon is not running$"),
        ("garbage", r"^{} -x: (not understood|no quota in what it said)"),
        ("half", r"^{} -x: not understood: "),
        ("silent", r"^{} -x: no quota in what it said$"),
        ("flood", r"^{} -x: says far too much for a quota$"),
    ],
)
def test_a_program_that_lies_is_named(site: Site, program: str, lie: str, problem: str) -> None:
    site.says(used=KB, hard=10 * KB, lie=lie)
    assert re.search(problem.format(program, program), site.refusal(program))


def test_a_program_that_hangs_is_ended_with_its_children(site: Site) -> None:
    site.says(lie="hang")
    assert site.refusal("mmlsquota", seconds=1.0) == "mmlsquota -x: took longer than 1 s"
    seen = subprocess.run(["ps", "-eo", "args"], capture_output=True, text=True, check=True).stdout
    assert f"{BIN}/mmlsquota" not in seen


def test_servers_that_do_not_answer(site: Site) -> None:
    site.says(used=KB, hard=10 * KB, lie="inaccurate")
    assert site.refusal("lfs") == "lfs -x: some of Lustre's servers don't answer, so its numbers in [ ] are wrong"


def test_a_program_that_is_not_there(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    assert site.refusal("mmlsquota") == "cannot run mmlsquota -x: No such file or directory (is it on the PATH?)"


# --- a directory, a file system ---------------------------------------------------------------------------------------


def du(directory: pathlib.Path) -> int:
    """Bytes, as the program of that name says."""
    said = subprocess.run(["du", "-sx", "--block-size=1", directory], capture_output=True, text=True, check=True).stdout
    return int(said.split()[0])


def test_a_directory_is_added_up_as_du_does(tmp_path: pathlib.Path) -> None:
    """Allocated blocks, a file with several names once, no symbolic link followed, names that are no text."""
    tree = tmp_path / "data"
    (tree / "raw/deep/er").mkdir(parents=True)
    for number in range(30):
        (tree / f"raw/deep/run{number:05d}.mid").write_bytes(b"x" * 1000 * number)
    with open(tree / "sparse", "wb") as file:
        file.truncate(2**40)
    os.link(tree / "raw/deep/run00029.mid", tree / "again")
    os.link(tree / "raw/deep/run00029.mid", tree / "raw/deep/er/and again")
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere/big").write_bytes(b"x" * 10**6)
    (tree / "link").symlink_to(tmp_path / "elsewhere")
    (tree / "circle").symlink_to(tree)
    with open(os.fsencode(tree) + b"/\xff\n", "wb") as file:
        file.write(b"x" * 5000)
    used, limit = usage.Directory(str(tree))(stays)
    assert (used, limit) == (du(tree), None)
    assert used < 10**6
    (tmp_path / "data too").symlink_to(tree)
    assert usage.Directory(str(tmp_path / "data too"))(stays) == (used, None)


def test_a_directory_that_is_not_made_yet_holds_nothing(tmp_path: pathlib.Path) -> None:
    assert usage.Directory(str(tmp_path / "data"))(stays) == (0, None)


def test_files_that_go_while_it_is_added_up_are_passed_over(tmp_path: pathlib.Path) -> None:
    """A manager removes inputs all the time; here between two looks at ``leaving``."""
    for name in "abcdefgh":
        (tmp_path / "data" / name).mkdir(parents=True)
        (tmp_path / "data" / name / "file").write_bytes(b"x" * 10000)

    def leaving() -> bool:
        for name in "bdfh":
            if (tmp_path / "data" / name).exists():
                (tmp_path / "data" / name / "file").unlink(missing_ok=True)
                (tmp_path / "data" / name).rmdir()
        return False

    usage.Directory(str(tmp_path / "data"))(leaving)
    assert usage.Directory(str(tmp_path / "data"))(stays) == (du(tmp_path / "data"), None)


def test_adding_up_ends_when_the_manager_leaves(tmp_path: pathlib.Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(errors.QuotaUnread, match=r"^the manager is leaving$"):
        usage.Directory(str(tmp_path))(lambda: True)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_what_we_may_not_look_into_does_not_stop_us(tmp_path: pathlib.Path) -> None:
    (tmp_path / "ours").write_bytes(b"x" * 8192)
    (tmp_path / "theirs").mkdir(mode=0)
    used, _ = usage.Directory(str(tmp_path))(stays)
    assert used >= 8192


def test_a_disk_that_does_not_answer_is_not_taken_for_the_one_below(tmp_path: pathlib.Path) -> None:
    """What isn't there yet will be made; what can't be looked at may be a file server that is away."""
    (tmp_path / "data").touch()
    with pytest.raises(errors.QuotaUnread, match=r"^cannot look at .*data/x: Not a directory$"):
        usage.filesystem(f"{tmp_path}/data/x")


@pytest.fixture
def small_disk(tmp_path: pathlib.Path, need: Callable[[str, object], object]) -> Iterator[pathlib.Path]:
    """A file system of two megabytes, below the data directory."""
    path = tmp_path / "data" / "small"
    path.mkdir(parents=True)
    mount = need("mount", shutil.which("mount"))
    done = subprocess.run([str(mount), "-t", "tmpfs", "-o", "size=2m", "tmpfs", str(path)], check=False)
    need("the right to mount a tmpfs", done.returncode == 0)
    yield path
    subprocess.run(["umount", str(path)], check=True)


def test_another_file_system_below_is_not_added_up(small_disk: pathlib.Path) -> None:
    (small_disk / "file").write_bytes(b"x" * 2**20)
    (small_disk.parent / "ours").write_bytes(b"x" * 5000)
    used, _ = usage.Directory(str(small_disk.parent))(stays)
    assert used == du(small_disk.parent) < 2**20
    assert usage.mount_point(f"{small_disk}/not/yet") == str(small_disk)


@pytest.mark.feature("AC-15")
def test_a_quota_is_no_use_on_a_full_disk(small_disk: pathlib.Path) -> None:
    (small_disk / "file").write_bytes(b"x" * 2**19)
    time = Rung()
    with contextlib.closing(quota.of(settings.Quota("directory", limit=2**40), str(small_disk), time)) as there:
        time.until_rung()
        assert there.reading() == base.Reading(2**19, 2**21, clock.START)
    with contextlib.closing(quota.of(settings.Quota(), str(small_disk), time)) as there:
        assert there.reading() == base.Reading(2**19, 2**21, clock.START)


def df(path: pathlib.Path) -> tuple[int, int]:
    """Used, and what there is for users, as the program of that name says."""
    argv = ["df", "--block-size=1", "--output=used,avail", path]
    used, free = subprocess.run(argv, capture_output=True, text=True, check=True).stdout.splitlines()[1].split()
    return int(used), int(used) + int(free)


def test_the_file_system_is_read_as_df_does(tmp_path: pathlib.Path) -> None:
    """Others write there too: close enough is what may be asked."""
    for path in (tmp_path, tmp_path / "not" / "made" / "yet"):
        used, size = usage.filesystem(str(path))
        df_used, df_size = df(tmp_path)
        assert used == pytest.approx(df_used, abs=2**30)
        assert size == pytest.approx(df_size, abs=2**30)


# --- when it is read, and how old it may be ---------------------------------------------------------------------------


class Rung(clock.FakeClock):
    """A clock whose bell is waited for by the test."""

    def __init__(self) -> None:
        super().__init__()
        self._rings = threading.Semaphore(0)

    def wake(self) -> None:
        super().wake()
        self._rings.release()

    def until_rung(self) -> None:
        assert self._rings.acquire(timeout=30)

    @property
    def silent(self) -> bool:
        return not self._rings.acquire(blocking=False)


class Reader:
    """Says what the test says, when the test says so."""

    def __init__(self, time: clock.FakeClock) -> None:
        self._time = time
        self.go = threading.Semaphore(0)
        self.begun = threading.Semaphore(0)
        self.answer: tuple[int, int] | Exception = (10, 100)
        self.takes = 0.0
        self.count = 0

    def __call__(self, leaving: Callable[[], bool]) -> tuple[int, int]:
        self.count += 1
        self.begun.release()
        while not self.go.acquire(timeout=0.05):
            if leaving():
                raise errors.QuotaUnread("the manager is leaving")
        self._time.advance(self.takes)
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer


class Room:
    """A gauge, its reader and its clock."""

    def __init__(self, sparing: float = 2.0) -> None:
        self.ticking = Rung()
        self.reader = Reader(self.ticking)
        self.gauge = quota.Gauge(self.reader, self.ticking, 30.0, sparing)

    def read(self) -> None:
        """Let one reading come to its end."""
        self.reader.go.release()
        self.ticking.until_rung()

    def close(self) -> None:
        self.gauge.close()

    def refusal(self) -> str:
        with pytest.raises(errors.QuotaUnread) as caught:
            self.gauge.reading()
        assert caught.value.transient
        return str(caught.value)


@pytest.fixture
def room() -> Iterator[Room]:
    with contextlib.closing(Room()) as here:
        yield here


def test_it_is_read_at_once_and_the_clock_is_woken(room: Room) -> None:
    assert room.reader.begun.acquire(timeout=30)
    assert room.gauge.reading() is None
    assert room.ticking.silent
    began = room.ticking.now()
    room.reader.takes = 3.0
    room.read()
    assert room.gauge.reading() == base.Reading(10, 100, began)


def test_it_is_read_again_when_it_is_due_and_somebody_asks(room: Room) -> None:
    room.read()
    first = room.gauge.reading()
    room.ticking.advance(29.9)
    assert room.gauge.reading() is not first
    assert room.gauge.reading() == first
    assert room.reader.count == 1
    room.ticking.advance(0.2)
    began = room.ticking.now()
    assert room.gauge.reading() == first
    room.reader.answer = (90, 100)
    room.read()
    assert room.gauge.reading() == base.Reading(90, 100, began)
    assert room.reader.count == 2


def test_one_reading_at_a_time(room: Room) -> None:
    room.read()
    for _ in range(5):
        room.ticking.advance(31)
        room.gauge.reading()
    room.read()
    assert room.reader.count == 2


def test_a_reader_that_fails_says_why_until_it_can_again(room: Room) -> None:
    room.read()
    room.gauge.reading()
    room.ticking.advance(31)
    room.gauge.reading()
    room.reader.answer = errors.QuotaUnread("lfs quota: exit 1: cannot reach the MDS")
    room.read()
    assert room.refusal() == "lfs quota: exit 1: cannot reach the MDS"
    room.ticking.advance(31)
    assert room.refusal() == "lfs quota: exit 1: cannot reach the MDS"
    room.reader.answer = (10, 100)
    room.read()
    assert room.gauge.reading().used == 10


def test_a_reader_that_stumbles_is_told_in_one_line(room: Room) -> None:
    room.reader.answer = ZeroDivisionError("oh\nno")
    room.read()
    assert room.refusal() == "the quota can't be read: ZeroDivisionError: oh"


def test_after_a_long_time_the_next_reading_is_waited_for(room: Room) -> None:
    """Nobody asked while the jobs computed; the machine's sleep counts."""
    room.read()
    room.ticking.sleep(61)
    assert room.gauge.reading() is None
    room.ticking.sleep(540)
    assert room.gauge.reading() is None
    room.ticking.sleep(61)
    assert room.refusal() == "the quota has been read for 10 minutes without an answer"
    room.read()
    assert room.gauge.reading().used == 10


def test_the_wall_clock_is_not_what_makes_it_old(room: Room) -> None:
    room.read()
    room.ticking.step(86400)
    assert room.gauge.reading().used == 10
    assert room.reader.count == 1


def test_a_long_walk_is_made_seldom() -> None:
    """5 per cent of the time at most; and what is read so seldom may be older."""
    with contextlib.closing(Room(sparing=20.0)) as here:
        here.reader.takes = 60.0
        here.read()
        here.ticking.advance(20 * 60 - 61)
        assert here.gauge.reading().used == 10
        assert here.reader.count == 1
        here.ticking.advance(2)
        assert here.gauge.reading().used == 10
        assert here.reader.begun.acquire(timeout=30)
        assert here.reader.begun.acquire(timeout=30)
        here.ticking.advance(20 * 60)
        assert "without an answer" in here.refusal()


def test_closing_ends_the_reading(room: Room) -> None:
    assert room.reader.begun.acquire(timeout=30)
    room.gauge.close()
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("quota")]
    assert "manager is leaving" in room.refusal()


# --- the quota of the settings ----------------------------------------------------------------------------------------


def first(chosen: settings.Quota, site: Site) -> base.Reading:
    """The first reading of a quota."""
    time = Rung()
    with contextlib.closing(quota.of(chosen, str(site.data), time)) as there:
        if (reading := there.reading()) is None:
            time.until_rung()
            reading = there.reading()
        assert reading is not None
        return reading


@pytest.mark.feature("AC-15")
def test_each_reader_asks_for_our_own_on_this_disk(site: Site) -> None:
    site.says(used=KB, hard=10 * KB)
    where = site.data
    for reader in ("mmlsquota", "lfs", "quota"):
        assert first(settings.Quota(reader), site) == base.Reading(KB, 10 * KB, clock.START)
        first(settings.Quota(reader, arguments=("-j", "x")), site)
    mounted = usage.mount_point(str(where))
    assert os.path.ismount(mounted)
    assert site.calls == [
        ["mmlsquota", "-Y"],
        ["mmlsquota", "-Y", "-j", "x"],
        ["lfs", "quota", "-q", "-u", str(os.geteuid()), str(where)],
        ["lfs", "quota", "-q", "-j", "x"],
        ["quota", "-w", "-p", "-f", mounted],
        ["quota", "-w", "-p", "-j", "x"],
    ]


@pytest.mark.feature("AC-15")
def test_the_smallest_limit_holds(site: Site) -> None:
    """The reader's, the settings', and what still fits on the disk."""
    site.says(used=5 * KB, hard=10 * KB)
    assert first(settings.Quota("lfs", limit=8 * KB), site).limit == 8 * KB
    assert first(settings.Quota("lfs", limit=80 * KB), site).limit == 10 * KB
    site.says(used=5 * KB, hard=2**59)
    used, size = usage.filesystem(str(site.data))
    assert first(settings.Quota("lfs"), site).limit == pytest.approx(5 * KB + size - used, abs=2**30)
    assert first(settings.Quota("directory", limit=2**50), site).limit == pytest.approx(size - used, abs=2**30)
    assert first(settings.Quota(), site).limit == pytest.approx(size, abs=2**30)
    assert first(settings.Quota(limit=2**20), site).limit == 2**20


def test_without_any_limit_there_is_no_answer(site: Site) -> None:
    site.says(used=5 * KB)
    with pytest.raises(errors.QuotaUnread) as caught:
        first(settings.Quota("lfs", arguments=("-u", "me", "/lustre")), site)
    assert str(caught.value) == (
        'lfs quota -q -u me /lustre: there is no limit; say one in the settings, quota.limit = "2T"'
    )
    assert first(settings.Quota("lfs", limit=9 * KB), site).limit == 9 * KB


def test_a_directory_is_read(site: Site) -> None:
    (site.data / "raw").mkdir()
    (site.data / "raw" / "run.mid").write_bytes(b"x" * 100_000)
    assert first(settings.Quota("directory", limit=2**30), site) == base.Reading(du(site.data), 2**30, clock.START)


def test_children_get_the_signals_that_our_threads_hold_back(site: Site) -> None:
    """A program that a thread starts may be interrupted like any other."""
    site.says(used=0, hard=KB)
    seen = site.data / "signals"
    program = site.data / "lfs"
    program.write_text(f"#!/bin/sh\ngrep -E '^(SigBlk|SigIgn)' /proc/self/status > {seen}\nexec {BIN}/lfs \"$@\"\n")
    program.chmod(0o755)
    with pytest.MonkeyPatch.context() as environment:
        environment.setenv("PATH", f"{site.data}:{os.environ['PATH']}")
        assert first(settings.Quota("lfs"), site).limit == KB
    blocked = dict(line.split() for line in seen.read_text().splitlines())
    assert int(blocked["SigBlk:"], 16) == 0
    assert not int(blocked["SigIgn:"], 16) & 1 << (signal.SIGPIPE - 1)


def test_who_waits_for_room_has_it_read_again_soon(room: Room) -> None:
    room.read()
    room.ticking.advance(0.9)
    room.gauge.renew()
    assert room.reader.count == 1
    room.ticking.advance(0.2)
    began = room.ticking.now()
    room.gauge.renew()
    room.read()
    assert room.gauge.reading() == base.Reading(10, 100, began)


# --- on another machine -----------------------------------------------------------------------------------------------

TITLE = "Filesystem     1024-blocks      Used Available Capacity Mounted on\n"


@pytest.mark.parametrize(
    ("text", "used", "size", "mount"),
    [
        (f"{TITLE}/dev/sda1         102400     51200     40960      56% /data\n", 51200, 92160, "/data"),
        (f"{TITLE}server:/a b 1 c 1000 10 20 34% /mnt/a b/c 5% /d\n", 10, 30, "/mnt/a b/c 5% /d"),
        (f"{TITLE}/dev/full 1000 1010 -10 101% /\n", 1010, 1010, "/"),
        (f"{TITLE}none 0 0 0 - /proc\n", 0, 0, "/proc"),
    ],
)
def test_what_df_prints(text: str, used: int, size: int, mount: str) -> None:
    assert replies.parse_df(text) == (used * KB, size * KB, mount)


@pytest.mark.parametrize(
    "text",
    ["", TITLE, "/dev/sda1 102400 51200 40960 56% /data\n", f"{TITLE}/dev/sda1 1.0T 2G 5% /data\n", f"{TITLE}/dev/a\n"],
)
def test_what_df_does_not_print(text: str) -> None:
    with pytest.raises(errors.QuotaUnread, match=r"^not understood") as told:
        replies.parse_df(text)
    assert "\n" not in str(told.value)


@pytest.mark.parametrize(("text", "used"), [("0\t/data\n", 0), ("1234 /a b\n", 1234), ("77\n", 77)])
def test_what_du_prints(text: str, used: int) -> None:
    assert replies.parse_du(text) == used * KB


@pytest.mark.parametrize("text", ["", "\n", "/data\n", "1.5G /data\n", "-4 /data\n", "٣ /data\n"])
def test_what_du_does_not_print(text: str) -> None:
    with pytest.raises(errors.QuotaUnread, match=r"^not understood"):
        replies.parse_du(text)


def elsewhere(path: pathlib.Path, sh: str = "sh", places: str = "") -> usage.Elsewhere:
    """Another machine that is this one, with this shell, and programs in these places."""

    def run(argv: Sequence[str], seconds: float, leaving: Callable[[], bool]) -> child.End:
        variables = {"LC_ALL": "C", "PATH": places or os.environ["PATH"]}
        words = [sh, *argv[1:]] if argv[0] == "sh" else argv
        return child.run(words, seconds, leaving, apart=True, variables=variables)

    return usage.Elsewhere(str(path), "login", run)


@pytest.fixture(params=["dash", "busybox"])
def other(request: pytest.FixtureRequest, tmp_path: pathlib.Path, need: Callable[[str, object], object]) -> Iterator[Callable[[pathlib.Path], usage.Elsewhere]]:  # fmt: skip
    """Makes it."""
    program = str(need(request.param, shutil.which(request.param)))
    if request.param == "dash":
        yield lambda path: elsewhere(path, program)
        return
    with tempfile.TemporaryDirectory() as applets:
        for name in ("sh", "df", "du", "dirname", "id"):
            pathlib.Path(applets, name).symlink_to(program)
        yield lambda path: elsewhere(path, f"{applets}/sh", applets)


Other = Callable[[pathlib.Path], usage.Elsewhere]


def test_another_machine_says_what_this_one_does(other: Other, tmp_path: pathlib.Path) -> None:
    data = tmp_path / "a b '$(id)"
    (data / "raw").mkdir(parents=True)
    (data / "raw/file").write_bytes(b"x" * 100_000)
    os.link(data / "raw/file", data / "again")
    for path in (data, data / "not" / "yet"):
        place = other(path)
        assert place.standing(stays) == str(data)
        assert place.mount_point(stays) == usage.mount_point(str(path))
        assert place.user(stays) == str(os.geteuid())
        for seen, known in zip(place.filesystem(stays), usage.filesystem(str(path)), strict=True):
            assert seen == pytest.approx(known, abs=2**30)
        assert place.sum(stays) == usage.Directory(str(path))(stays)


def test_what_du_may_not_look_into_does_not_stop_it(tmp_path: pathlib.Path) -> None:
    def run(said: bytes, complained: str, status: int = 1) -> replies.Usage:
        ended = child.End(status, said, complained.encode())
        return usage.Elsewhere("/data", "login", lambda *_: ended).sum(stays)

    closed = "du: cannot read directory '/data/x': Permission denied\n"
    assert run(b"8 /data\n", closed) == (8 * KB, None)
    assert run(b"8 /data\n", f"{closed}du: cannot access '/data/y': No such file or directory\n") == (8 * KB, None)
    for complained in ("", f"{closed}du: /data/y: Input/output error\n"):
        with pytest.raises(errors.QuotaUnread, match=r"^/data on login: du: exit 1: "):
            run(b"8 /data\n", complained)
    with pytest.raises(errors.QuotaUnread, match=r"^/data on login: not understood"):
        run(b"", closed)


def test_a_machine_that_cannot_be_reached_says_nothing_of_its_disk() -> None:
    def run(*_: object) -> child.End:
        raise errors.RemoteAway("no connection to login: Connection refused")

    away, time = usage.Elsewhere("/data", "login", run), Rung()
    for chosen in (settings.Quota(), settings.Quota("directory", limit=KB), settings.Quota("mmlsquota")):
        with contextlib.closing(quota.of(chosen, "/nowhere", time, away)) as there:
            time.until_rung()
            with pytest.raises(errors.QuotaUnread, match=r"no connection to login: Connection refused$") as told:
                there.reading()
            assert "\n" not in str(told.value)


@pytest.mark.feature("AC-15", "PC-02")
def test_every_reader_is_asked_over_the_line(
    site: Site, tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch, need: Callable[[str, object], object]
) -> None:
    reason = sshd.Sshd.unable()
    need(reason, not reason)
    home = tmp_path / "home"
    home.mkdir()
    monkeypatch.setenv("HOME", str(home))
    variables = {"PATH": f"{BIN}:{packages.PLACES}", "FAKE_QUOTA": str(tmp_path / "quota.json")}
    chosen = settings.Batch("slurm", host="rp-quota")
    (site.data / "file").write_bytes(b"x" * 100_000)
    site.says(used=5 * KB, soft=0, hard=10 * KB)

    def reading(how: settings.Quota) -> base.Reading:
        time = Rung()
        with contextlib.closing(
            quota.of(
                how,
                "/nowhere",
                time,
                depots.place(chosen, str(site.data)),
            )
        ) as there:
            time.until_rung()
            found = there.reading()
            assert found
            return found

    with sshd.Sshd(tmp_path / "sshd", variables) as server:
        server.introduce(home, getpass.getuser(), "rp-quota")
        with contextlib.closing(remote.reached("rp-quota")):
            for reader in ("mmlsquota", "lfs", "quota"):
                found = reading(settings.Quota(reader))
                assert (found.used, found.limit) == (5 * KB, 10 * KB)
            assert [call[0] for call in site.calls] == ["mmlsquota", "lfs", "quota"]
            assert site.calls[1][-3:] == ["-u", str(os.geteuid()), str(site.data)]
            assert reading(settings.Quota("directory", limit=2**30)).used == du(site.data)
            assert reading(settings.Quota(limit=2**30)).limit == 2**30
            assert server.logins() == 1
            server.stop()
            with pytest.raises(errors.QuotaUnread, match=r"no connection to rp-quota|broke") as told:
                reading(settings.Quota("lfs"))
            assert "\n" not in str(told.value)
