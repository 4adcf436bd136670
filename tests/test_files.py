"""Whole files to and from another machine, over a real sshd: they are whole or not there, whatever the line and the machine do."""

from __future__ import annotations

import concurrent.futures
import contextlib
import getpass
import hashlib
import os
import pathlib
import subprocess
import tempfile
import threading
import time
from collections.abc import Callable, Iterator

import pytest

from production import clock, errors
from production.batch import there
from production.ssh import config, connection, patience
from production.ssh import files as files_
from production.transfer import copy, porter, sftp
from tests.services import daemon, link, packages, sshd

pytestmark = pytest.mark.feature("AC-11", "AC-12")

MEGABYTE = 1 << 20
ODD = [
    "a b",
    "it's",
    '"x"',
    "line\nend",
    "end\n",
    "μ⁺ Läufe",
    "-rf",
    "$HOME",
    "`id`",
    "a\\b",
    "*",
    "%s",
    "~x",
    "a;b",
    "\x01",
]

Need = Callable[[str, object], object]


def content(size: int) -> bytes:
    return b"".join(number.to_bytes(8) for number in range(size // 8 + 1))[:size]


def nothing(_count: int) -> None:
    """A progress that nobody looks at."""


def names(directory: pathlib.Path) -> list[str]:
    return sorted(path.name for path in directory.iterdir())


class Stop(Exception):
    """What a caller throws out of ``progress``."""


class Bench:
    """A machine behind a line, a directory there and one here, and files in between."""

    def __init__(self, path: pathlib.Path, server: sshd.Sshd, line: link.Link, stack: contextlib.ExitStack) -> None:
        self.server = server
        self.line = line
        self.here, self.there, self.home = path / "here", path / "there", path / "home"
        for directory in (self.here, self.there, self.home):
            directory.mkdir()
        self._stack = stack
        self.now = 0.0
        server.introduce(self.home, getpass.getuser(), port=line.port)

    def way(self) -> connection.Connection:
        """Its clock stands still unless it is moved, so that nobody waits for the next try."""
        made = connection.Connection(config.find("login", str(self.home), str(self.home / "etc")), lambda: self.now)
        self._stack.callback(made.close)
        return made

    def files(self, stall: float = 10.0, leaving: Callable[[], bool] = files_.never) -> files_.Files:
        made = files_.Files(self.way(), stall, leaving)
        self._stack.callback(made.close)
        return made

    def put(self, name: str, size: int) -> tuple[str, str, bytes]:
        """A file there: its path, the one it is to have here, its bytes."""
        (self.there / name).write_bytes(content(size))
        return str(self.there / name), str(self.here / name), content(size)

    def own(self, name: str, size: int) -> tuple[str, str, bytes]:
        """A file here: its path, the one it is to have there, its bytes."""
        (self.here / name).write_bytes(content(size))
        return str(self.here / name), str(self.there / name), content(size)


@pytest.fixture(scope="session")
def place() -> Iterator[pathlib.Path]:
    with tempfile.TemporaryDirectory(prefix="rp-files-", dir="/tmp", ignore_cleanup_errors=True) as directory:
        path = pathlib.Path(directory)
        path.chmod(0o755)
        yield path


@pytest.fixture(scope="session")
def shared(place: pathlib.Path, need: Need) -> Iterator[sshd.Sshd]:
    """A server that nothing happens to."""
    reason = sshd.Sshd.unable()
    need(reason, not reason)
    with sshd.Sshd(place / "server") as one:
        yield one


Make = Callable[..., Bench]


@pytest.fixture
def make(tmp_path: pathlib.Path, shared: sshd.Sshd, place: pathlib.Path) -> Iterator[Make]:
    """Benches; with words for sshd_config, or variables, one with a server of its own."""
    before = set(threading.enumerate())
    numbers = iter(range(100))
    with (
        tempfile.TemporaryDirectory(dir=place, ignore_cleanup_errors=True) as directory,
        contextlib.ExitStack() as stack,
    ):
        pathlib.Path(directory).chmod(0o755)

        def made(*options: str, alone: bool = False, **environment: str) -> Bench:
            number = str(next(numbers))
            server = shared
            if alone or options or environment:
                server = stack.enter_context(sshd.Sshd(pathlib.Path(directory, number), environment, options))
            (tmp_path / number).mkdir()
            return Bench(tmp_path / number, server, stack.enter_context(link.to(server.port)), stack)

        yield made
    daemon.until("every thread has ended", lambda: set(threading.enumerate()) <= before)


@pytest.fixture
def bench(make: Make) -> Bench:
    return make()


def one_line(error: BaseException) -> str:
    assert str(error).isprintable()
    return str(error)


# --- whole files, both ways -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [0, 1, 1000, 32_767, 32_768, 261_120, 261_121, 3 * MEGABYTE + 7])
def test_a_file_goes_there_and_comes_back(bench: Bench, size: int) -> None:
    local, there, whole = bench.own("run02091.mid", size)
    files, seen = bench.files(), list[int]()
    assert files.send(local, there, seen.append) == size
    assert (bench.there / "run02091.mid").read_bytes() == whole
    assert names(bench.there) == ["run02091.mid"]
    assert seen == sorted(seen)
    assert not size or seen[-1] == size
    assert files.size(there) == size
    assert files.fetch(there, str(bench.here / "back"), nothing) == size
    assert (bench.here / "back").read_bytes() == whole
    files.remove([there, there])
    assert names(bench.there) == []


@pytest.mark.parametrize("name", ODD)
def test_any_name_will_do(bench: Bench, name: str, caplog: pytest.LogCaptureFixture) -> None:
    local, _, whole = bench.own("local", 100)
    files = bench.files()
    there = bench.there / name / "deep" / name
    assert files.send(local, str(there), nothing) == 100
    assert there.read_bytes() == whole
    assert [found for found, _ in files.listing(str(there.parent))] == [name]
    assert files.fetch(str(there), str(bench.here / name), nothing) == 100
    assert (bench.here / name).read_bytes() == whole
    assert not caplog.records  # the sum was taken there, too


def test_a_path_may_begin_where_a_login_does(bench: Bench, tmp_path: pathlib.Path) -> None:
    where = pathlib.Path(f"~{getpass.getuser()}").expanduser()
    name = f".rp-test-{os.getpid()}-{time.time_ns()}"
    local, _, whole = bench.own("local", 100)
    files = bench.files()
    try:
        assert files.send(local, f"{name}/x", nothing) == 100
        assert (where / name / "x").read_bytes() == whole
        assert files.fetch(f"{name}/x", str(tmp_path / "back"), nothing) == 100
    finally:
        files.remove([f"{name}/x"])
        with contextlib.suppress(FileNotFoundError):
            (where / name).rmdir()


def test_several_go_and_come_side_by_side(bench: Bench) -> None:
    files = bench.files()
    with concurrent.futures.ThreadPoolExecutor(12) as pool:
        going = [pool.submit(files.send, *bench.own(f"go{one}", one * 300_001)[:2], nothing) for one in range(6)]
        coming = [pool.submit(files.fetch, *bench.put(f"come{one}", one * 300_001)[:2], nothing) for one in range(6)]
        assert [one.result() for one in [*going, *coming]] == [one * 300_001 for one in range(6)] * 2
    for one in range(6):
        assert (bench.there / f"go{one}").read_bytes() == content(one * 300_001)
        assert (bench.here / f"come{one}").read_bytes() == content(one * 300_001)
    assert bench.server.logins() >= 1


def test_two_senders_of_one_file_never_write_into_each_other(bench: Bench) -> None:
    files, others = bench.files(), bench.files()
    local, there, whole = bench.own("run", 4 * MEGABYTE)
    both = threading.Barrier(2)
    parts: list[int] = []

    def meeting() -> Callable[[int], None]:
        """Each sender's, who may call it from any of its threads."""
        first = threading.Lock()

        def meet(count: int) -> None:
            if count and first.acquire(blocking=False):
                both.wait(10)
                parts.append(len([name for name in names(bench.there) if name.endswith(".part")]))
                both.wait(10)

        return meet

    with concurrent.futures.ThreadPoolExecutor(2) as pool:
        done = [pool.submit(one.send, local, there, meeting()) for one in (files, others)]
        troubles = [one.exception() for one in done]
    assert parts == [2, 2]
    assert sum(one is None for one in troubles) == 1
    assert any("File exists (it is there already, and isn't replaced)" in str(one) for one in troubles), troubles
    assert (bench.there / "run").read_bytes() == whole
    assert names(bench.there) == ["run"]


@pytest.mark.parametrize("when", ["before", "meanwhile"])
def test_a_file_that_is_there_already_stays(bench: Bench, when: str) -> None:
    local, there, _ = bench.own("run", 100)

    def appear(_: int = 0) -> None:
        (bench.there / "run").write_text("somebody else's")

    if when == "before":
        appear()
    with pytest.raises(errors.TransferError, match=r"login: .*/run: File exists \(it is there already") as caught:
        bench.files().send(local, there, appear if when == "meanwhile" else nothing)
    one_line(caught.value)
    assert (bench.there / "run").read_text() == "somebody else's"
    assert names(bench.there) == ["run"]


def test_what_a_caller_throws_ends_it_and_leaves_nothing(bench: Bench) -> None:
    def stop(count: int) -> None:
        if count >= MEGABYTE:
            raise Stop

    files = bench.files()
    there, local, _ = bench.put("come", 32 * MEGABYTE)
    with pytest.raises(Stop):
        files.fetch(there, local, stop)
    assert names(bench.here) == []
    local, there, _ = bench.own("go", 32 * MEGABYTE)
    with pytest.raises(Stop):
        files.send(local, there, stop)
    assert names(bench.there) == ["come"]


# --- the line, and the machine ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("down", [1, 21, 500, 2000, 2600, 3000, 3500, 4000, 5000, 40_000, 2 * MEGABYTE])
def test_cut_at_any_byte(bench: Bench, down: int) -> None:
    files = bench.files()
    there, local, whole = bench.put("come", 3 * MEGABYTE)
    bench.line.cut_after(down)
    with pytest.raises(errors.TransferWaits) as caught:
        files.fetch(there, local, nothing)
    assert "login" in one_line(caught.value)
    assert names(bench.here) in ([], ["come.part"])
    bench.now += 3600
    assert files.fetch(there, local, nothing) == len(whole)
    assert (bench.here / "come").read_bytes() == whole
    assert names(bench.here) == ["come"]


def test_what_broke_off_is_gone_on_with(bench: Bench) -> None:
    files = bench.files()
    there, local, whole = bench.put("come", 32 * MEGABYTE)
    begun: list[int] = []

    def cut(count: int) -> None:
        if count >= 8 * MEGABYTE and not begun:
            begun.append(count)
            bench.line.cut()

    with pytest.raises(errors.TransferWaits, match=r"login: .*/come: the connection broke"):
        files.fetch(there, local, cut)
    assert (bench.here / "come.part").stat().st_size >= begun[0]
    seen: list[int] = []
    assert files.fetch(there, local, seen.append) == len(whole)
    assert min(filter(None, seen)) >= begun[0]
    assert (bench.here / "come").read_bytes() == whole


def test_what_broke_off_on_its_way_there_is_gone_on_with(bench: Bench) -> None:
    files = bench.files()
    local, there, whole = bench.own("go", 48 * MEGABYTE)
    begun: list[int] = []

    def cut(count: int) -> None:
        if count >= 16 * MEGABYTE and not begun:
            begun.append(count)
            bench.line.cut()

    with pytest.raises(errors.TransferWaits, match=r"login: .*/go: the connection broke"):
        files.send(local, there, cut)
    assert [name.rpartition(".")[2] for name in names(bench.there)] == ["part"]
    seen: list[int] = []
    assert files.send(local, there, seen.append) == len(whole)
    assert min(filter(None, seen)) >= begun[0]
    assert (bench.there / "go").read_bytes() == whole
    assert names(bench.there) == ["go"]


def test_another_process_goes_on_with_the_part_of_an_attempt(bench: Bench) -> None:
    local, there, whole = bench.own("go", 3 * MEGABYTE)
    (bench.there / "go.a7.part").write_bytes(whole[:MEGABYTE])
    seen: list[int] = []
    assert bench.files().send(local, there, seen.append, suffix="a7") == len(whole)
    assert min(filter(None, seen)) >= MEGABYTE
    (bench.there / "go").unlink()
    (bench.there / "go.a7.part").write_bytes(b"x" * MEGABYTE)  # of another file: the sum says so
    assert bench.files().send(local, there, nothing, suffix="a7") == len(whole)
    assert (bench.there / "go").read_bytes() == whole
    assert names(bench.there) == ["go"]


def test_parts_that_nobody_goes_on_with_are_removed_at_the_end(bench: Bench) -> None:
    files = bench.files()
    bench.line.after(16 * MEGABYTE, bench.line.cut)
    with pytest.raises(errors.TransferWaits):
        files.send(*bench.own("go", 32 * MEGABYTE)[:2], nothing)
    [part] = names(bench.there)
    files.size(str(bench.there / part))  # the machine is back; who leaves waits only a moment for it
    files.close()
    assert names(bench.there) == []


def test_a_line_that_stands_still_is_noticed(bench: Bench) -> None:
    files = bench.files(stall=3)
    there, local, whole = bench.put("come", 32 * MEGABYTE)
    seen: list[int] = []

    def stall(count: int) -> None:
        seen.append(count)
        if count >= MEGABYTE:
            bench.line.stall()

    with pytest.raises(errors.TransferWaits, match=r"login: .*/come: no answer for 3 s"):
        files.fetch(there, local, stall)
    assert seen[-1] == seen[-2]  # told meanwhile, too
    bench.line.go_on()
    assert files.fetch(there, local, nothing) == len(whole)
    assert (bench.here / "come").read_bytes() == whole


def test_who_leaves_does_not_wait_for_the_line(bench: Bench) -> None:
    leave = threading.Event()
    files = bench.files(leaving=leave.is_set)
    there, local, _ = bench.put("come", 32 * MEGABYTE)
    left: list[float] = []

    def stall(count: int) -> None:
        if count >= MEGABYTE and not left:
            bench.line.stall()
            left.append(time.monotonic())
            threading.Timer(0.5, leave.set).start()

    with pytest.raises(errors.TransferWaits, match="the manager is leaving"):
        files.fetch(there, local, stall)
    assert time.monotonic() - left[0] < 5, "it would be given up after ten"
    bench.line.go_on()


@pytest.mark.parametrize("way", ["fetch", "send"])
def test_a_server_that_was_killed_and_came_back(make: Make, way: str) -> None:
    bench = make(alone=True)
    files = bench.files()
    one, other, whole = bench.put("x", 32 * MEGABYTE) if way == "fetch" else bench.own("x", 32 * MEGABYTE)
    deed = files.fetch if way == "fetch" else files.send
    killed: list[int] = []

    def kill(count: int) -> None:
        if count >= 8 * MEGABYTE and not killed:
            killed.append(count)
            bench.server.stop()

    with pytest.raises(errors.TransferWaits):
        deed(one, other, kill)
    for _ in range(2):
        with pytest.raises(errors.TransferWaits, match="no connection to login"):
            deed(one, other, nothing)
        bench.now += 3600
    bench.server.start()
    seen: list[int] = []
    assert deed(one, other, seen.append) == len(whole)
    assert min(filter(None, seen)) >= killed[0]  # it went on where it was
    assert pathlib.Path(other).read_bytes() == whole


def test_a_connection_that_breaks_before_the_first_reply_is_no_server_without_sftp(
    make: Make,
) -> None:
    """Nor is it a login that lets nothing run."""
    bench = make("ForceCommand kill -9 $PPID")
    with pytest.raises(errors.TransferWaits, match="broke"):
        bench.files().size("/etc/passwd")
    with pytest.raises(errors.BatchUnanswered, match="true: the connection to login broke"):
        there.There(bench.way()).run(["true"], timeout=20)


def test_few_channels_are_enough(make: Make) -> None:
    bench = make("MaxSessions 2")
    files = bench.files()
    with concurrent.futures.ThreadPoolExecutor(4) as pool:
        coming = [pool.submit(files.fetch, *bench.put(f"run{one}", 300_001)[:2], nothing) for one in range(8)]
        assert [one.result() for one in coming] == [300_001] * 8
    assert bench.server.logins() == 1


def test_a_command_finds_room_beside_files(make: Make) -> None:
    bench = make("MaxSessions 2")
    way = bench.way()
    files = files_.Files(way)
    there, local, _ = bench.put("run", 100)
    files.fetch(there, local, nothing)  # keeps its channels for the next
    for _ in range(2):
        with way.session("echo here", patience.of(5)) as channel:
            assert channel.makefile().read() == b"here\n"
    assert files.size(there) == 100
    files.close()


# --- what is there ----------------------------------------------------------------------------------------------------


def test_what_is_not_there_is_missing_for_good(bench: Bench) -> None:
    files = bench.files()
    for name in ("no", "no/such"):
        path = str(bench.there / name)
        for ask in (
            lambda path=path: files.size(path),
            lambda path=path: files.fetch(path, str(bench.here / "x"), nothing),
        ):
            with pytest.raises(errors.InputMissing, match=rf"login: .*{name} is missing there"):
                ask()
    assert names(bench.here) == []


def test_what_is_no_file_is_not_opened(bench: Bench) -> None:
    os.mkfifo(bench.there / "pipe")
    with pytest.raises(errors.TransferError, match="pipe is not a regular file but a pipe or device") as caught:
        bench.files().fetch(str(bench.there / "pipe"), str(bench.here / "x"), nothing)
    assert not caught.value.transient


@pytest.mark.feature("AC-25")
def test_a_command_there_that_says_another_sum(make: Make, tmp_path: pathlib.Path) -> None:
    programs = tmp_path / "programs"
    programs.mkdir()
    other = hashlib.sha256(b"other").hexdigest()
    for name, text in {"openssl": "exit 1", "sha256sum": f"echo '{other}  -'"}.items():
        (programs / name).write_text(f"#!/bin/sh\n{text}\n")
        (programs / name).chmod(0o755)
    bench = make(PATH=f"{programs}:{packages.PLACES}")
    there, local, whole = bench.put("come", MEGABYTE)
    ours = hashlib.sha256(whole).hexdigest()
    with pytest.raises(
        errors.TransferError, match=f"come is not what came: its SHA-256 is {other} there, {ours} here"
    ) as caught:
        bench.files().fetch(there, local, nothing)
    one_line(caught.value)
    assert names(bench.here) == []
    local, there, _ = bench.own("go", MEGABYTE)
    with pytest.raises(
        errors.TransferError, match=f"go is not what was sent: its SHA-256 is {other} there, {ours} here"
    ):
        bench.files().send(local, there, nothing)
    assert names(bench.there) == ["come"]


@pytest.mark.parametrize("why", ["files only", "no such command"])
def test_where_nobody_takes_sums_the_size_counts_and_the_log_says_so_once(
    make: Make, why: str, tmp_path: pathlib.Path, caplog: pytest.LogCaptureFixture
) -> None:
    empty = tmp_path / "empty"
    empty.mkdir()
    bench = make("ForceCommand internal-sftp") if why == "files only" else make(PATH=str(empty))
    files = bench.files()
    for one in range(3):
        there, local, whole = bench.put(f"come{one}", MEGABYTE)
        assert files.fetch(there, local, nothing) == len(whole)
        assert pathlib.Path(local).read_bytes() == whole
        assert files.send(local, there + " once more", nothing) == len(whole)
    assert len(caplog.records) == 1
    assert "login takes no checksums (" in caplog.text
    assert "files are compared by their size alone" in caplog.text


@pytest.fixture
def full(tmp_path: pathlib.Path, need: Need) -> Iterator[pathlib.Path]:
    """A disk of 4 MB."""
    path = tmp_path / "full"
    path.mkdir()
    need("root, for a small disk", os.geteuid() == 0)
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=4m", "none", path], check=False, capture_output=True)
    need("the right to mount", mounted.returncode == 0)
    yield path
    subprocess.run(["umount", path], check=True)


@pytest.mark.feature("AC-14")
def test_a_full_disk_there_is_waited_for(bench: Bench, full: pathlib.Path) -> None:
    files = bench.files()
    local, _, whole = bench.own("go", 6 * MEGABYTE)
    with pytest.raises(
        errors.TransferWaits, match=r"login can't write .*/go: its disk is full \([0-9,]+ bytes are free"
    ) as caught:
        files.send(local, str(full / "go"), nothing)
    one_line(caught.value)
    assert names(full) == []
    subprocess.run(["mount", "-o", "remount,size=40m", full], check=True)
    assert files.send(local, str(full / "go"), nothing) == len(whole)


def test_a_directory_that_may_not_be_written_is_nobodys_wait(make: Make, need: Need) -> None:
    need("root, for another account", os.geteuid() == 0)
    bench = make()
    account = sshd.account("rpdash", "/bin/sh")
    bench.server.introduce(bench.home, account, port=bench.line.port)
    with tempfile.TemporaryDirectory(prefix="rp-", dir="/tmp") as directory:
        pathlib.Path(directory).chmod(0o755)
        with pytest.raises(errors.TransferError, match="look at the permissions") as caught:
            bench.files().send(bench.own("go", 10)[0], f"{directory}/deep/go", nothing)
        assert not caught.value.transient


def test_another_host_key_and_no_login_end_it(make: Make) -> None:
    bench = make(alone=True)
    there, local, _ = bench.put("come", 10)
    bench.server.stop()
    bench.server.new_host_key()
    bench.server.start()
    with pytest.raises(errors.LoginRefused, match="host key"):
        bench.files().fetch(there, local, nothing)
    bench.server.introduce(bench.home, getpass.getuser(), port=bench.line.port)
    sshd.make_key(bench.home / "other")
    (bench.home / ".ssh/id_test").write_bytes((bench.home / "other").read_bytes())
    with pytest.raises(errors.LoginRefused, match=r"login doesn't let .* in"):
        bench.files().fetch(there, local, nothing)
    assert names(bench.here) == []


def test_a_server_without_sftp_says_so(make: Make) -> None:
    bench = make("ForceCommand echo hello, who are you?")
    with pytest.raises(errors.LoginRefused, match="login lets us in, but has no SFTP for us: what answers is no SFTP"):
        bench.files().size("/etc/passwd")
    bench = make("ForceCommand exit 0")
    with pytest.raises(errors.LoginRefused, match="login lets us in, but has no SFTP for us: it hung up at once"):
        bench.files().size("/etc/passwd")


def test_links_count_as_what_they_lead_to(bench: Bench) -> None:
    bench.put("file", 7)
    (bench.there / "directory").mkdir()
    (bench.there / "to file").symlink_to("file")
    (bench.there / "to directory").symlink_to("directory")
    (bench.there / "to nothing").symlink_to("nothing")
    found = {
        name: (one.directory, one.size if one.regular else None)
        for name, one in bench.files().listing(str(bench.there))
    }
    assert found == {
        "file": (False, 7),
        "directory": (True, None),
        "to file": (False, 7),
        "to directory": (True, None),
        "to nothing": (False, None),
    }


# --- from an archive to another machine -------------------------------------------------------------------------------


def relay(bench: Bench, files: files_.Files) -> sftp.Relay:
    (bench.home / "spool").mkdir(exist_ok=True)
    return sftp.Relay(copy.Copy(str(bench.here)), files, str(bench.home / "spool"))


@pytest.mark.parametrize("size", [0, 1, 2, 3 * MEGABYTE + 1])
def test_a_relay_counts_both_halves_and_keeps_nothing(bench: Bench, size: int) -> None:
    carrying, seen = relay(bench, bench.files()), list[int]()
    _, there, whole = bench.own("run", size)
    assert carrying.size("run") == size
    assert carrying.fetch("run", there, seen.append, size) == size
    assert (bench.there / "run").read_bytes() == whole
    assert seen == sorted(seen)
    assert not size or seen[-1] == size
    assert [one.name for one in carrying.listing("")] == ["run"]
    assert names(bench.home / "spool") == []


def test_a_relay_goes_on_from_the_spool_when_the_machine_is_back(bench: Bench) -> None:
    carrying = relay(bench, bench.files())
    _, there, whole = bench.own("run", 32 * MEGABYTE)
    bench.line.after(12 * MEGABYTE, bench.line.refuse)
    with pytest.raises(errors.TransferWaits, match="login"):
        carrying.fetch("run", there, nothing, len(whole))
    assert len(names(bench.home / "spool")) == 1
    (bench.here / "run").unlink()  # it isn't asked for once more
    bench.line.accept()
    bench.now += 3600
    assert carrying.fetch("run", there, nothing, len(whole)) == len(whole)
    assert (bench.there / "run").read_bytes() == whole
    assert names(bench.home / "spool") == []


@pytest.mark.parametrize("half", [1, 2])
def test_a_relay_that_is_told_to_end_leaves_nothing(bench: Bench, half: int) -> None:
    carrying = relay(bench, bench.files())
    _, there, _ = bench.own("run", 32 * MEGABYTE)

    def stop(count: int) -> None:
        if count > (half - 1) * 16 * MEGABYTE:
            raise Stop

    with pytest.raises(Stop):
        carrying.fetch("run", there, stop, 32 * MEGABYTE)
    assert names(bench.home / "spool") == []
    assert names(bench.there) == []


def test_a_relay_empties_its_spool_at_the_end(bench: Bench) -> None:
    carrying = relay(bench, bench.files())
    bench.own("run", 100)
    bench.line.refuse()
    with pytest.raises(errors.TransferWaits, match="no connection to login"):
        carrying.fetch("run", str(bench.there / "run"), nothing, 100)
    assert len(names(bench.home / "spool")) == 1
    carrying.close()
    assert names(bench.home / "spool") == []


@pytest.mark.feature("AC-14")
def test_a_porter_carries_by_it_and_waits_for_the_machine(bench: Bench) -> None:
    carrying = relay(bench, bench.files())
    ticking = clock.SystemClock()
    carrier = porter.Threads(carrying, ticking, 2, again=0.1)
    targets = [bench.own(f"run{one}", 300_001)[1] for one in range(6)]
    bench.line.refuse()
    for one in range(6):
        carrier.start(f"run{one}", targets[one])
    daemon.until("they wait", lambda: any("no connection to login" in one.waits for one in carrier.progress().values()))
    bench.now += 3600
    bench.line.accept()

    def came() -> bool:
        bench.now += 3600
        return all(one.done for one in carrier.progress().values())

    daemon.until("all came", came)
    assert [one.error for one in carrier.progress().values()] == [None] * 6
    assert all(pathlib.Path(one).stat().st_size == 300_001 for one in targets)
    carrier.close()
    ticking.close()
