"""What only FTP can do to us: every file comes whole, or its run hears why."""

from __future__ import annotations

import concurrent.futures
import datetime
import logging
import os
import pathlib
import resource
import socket
import threading
import traceback
import urllib.parse
from collections.abc import Callable, Iterator, Sequence

import hypothesis
import hypothesis.strategies as st
import pytest

from production import clock, errors
from production.transfer import ftp, porter
from tests.exams.transfer import MEGABYTE, Stop, content, left, nothing, one_line
from tests.services import ftp as services
from tests.services import hostile_ftp
from tests.services.hostile_ftp import Mood

LONG = 30.0
SIZE = 3 * MEGABYTE + 7
OLD = 1_700_000_000
"""Seconds since 1970: nobody writes such a file any more."""


@pytest.fixture
def server(tmp_path: pathlib.Path) -> Iterator[hostile_ftp.Server]:
    files = tmp_path / "archive"
    files.mkdir()
    one = hostile_ftp.Server(files)
    yield one
    one.close()


Open = Callable[..., ftp.Ftp]


@pytest.fixture
def open_ftp(server: hostile_ftp.Server, tmp_path: pathlib.Path) -> Iterator[Open]:
    opened: list[ftp.Ftp] = []

    def make(url: str = "", **options: object) -> ftp.Ftp:
        chosen = {"netrc": services.write_netrc(tmp_path / "netrc"), "stall": LONG, "first_byte": LONG} | options
        opened.append(ftp.Ftp(url or server.url(), ftp.Options(**chosen)))
        return opened[-1]

    yield make
    for each in opened:
        each.close()


@pytest.fixture
def disk(tmp_path: pathlib.Path) -> pathlib.Path:
    path = tmp_path / "our disk"
    path.mkdir()
    return path


def put(server: hostile_ftp.Server, name: str = "run.mid", size: int = SIZE) -> bytes:
    (server.files / name).write_bytes(content(size))
    os.utime(server.files / name, times=(OLD, OLD))
    return content(size)


def get(archive: ftp.Ftp, disk: pathlib.Path) -> bytes:
    (disk / "run.mid").unlink(missing_ok=True)
    archive.fetch("run.mid", str(disk / "run.mid"), nothing)
    assert left(disk) == ["run.mid"]
    return (disk / "run.mid").read_bytes()


# --- cut ------------------------------------------------------------------------------------------------------------


@pytest.mark.feature("AC-12")
@hypothesis.settings(max_examples=40, deadline=None)
@hypothesis.given(
    cuts=st.lists(
        st.tuples(st.integers(0, SIZE - 1), st.sampled_from(["426", "226", "close", "reset"])), min_size=1, max_size=4
    ),
    no_rest=st.booleans(),
)
def test_cut_at_any_byte(
    tmp_path_factory: pytest.TempPathFactory, cuts: list[tuple[int, str]], *, no_rest: bool
) -> None:
    place = tmp_path_factory.mktemp("cut")
    (place / "archive").mkdir()
    (place / "disk").mkdir()
    server = hostile_ftp.Server(place / "archive")
    archive = ftp.Ftp(server.url(), ftp.Options(netrc=services.write_netrc(place / "netrc"), stall=LONG))
    try:
        whole = put(server)
        for cut, how in cuts:
            server.mood = Mood(cut=cut, how=how, no_rest=no_rest)
            with pytest.raises(errors.TransferError) as caught:
                archive.fetch("run.mid", str(place / "disk" / "run.mid"), nothing)
            assert "run.mid" in one_line(caught.value)
            assert caught.value.transient
            assert "run.mid" not in left(place / "disk")
        server.mood = Mood(no_rest=no_rest)
        assert get(archive, place / "disk") == whole
    finally:
        archive.close()
        server.close()


@pytest.mark.feature("AC-12")
def test_what_has_come_does_not_come_again(server: hostile_ftp.Server, open_ftp: Open, disk: pathlib.Path) -> None:
    whole, archive, seen = put(server), open_ftp(), list[int]()
    server.mood = Mood(cut=2 * MEGABYTE)
    with pytest.raises(errors.TransferError):
        archive.fetch("run.mid", str(disk / "run.mid"), nothing)
    assert (disk / "run.mid.part").stat().st_size == 2 * MEGABYTE
    server.mood = Mood()
    archive.fetch("run.mid", str(disk / "run.mid"), seen.append)
    assert f"REST {2 * MEGABYTE - (64 << 10)}" in server.heard
    assert seen[0] > 2 * MEGABYTE
    assert (disk / "run.mid").read_bytes() == whole


def _touch(path: pathlib.Path) -> None:
    os.utime(path, times=(OLD + 1, OLD + 1))


def _replace(path: pathlib.Path) -> None:
    path.write_bytes(bytes(reversed(content(SIZE))))


def _grow(path: pathlib.Path) -> None:
    path.write_bytes(content(SIZE + 1))


@pytest.mark.parametrize("change", [_touch, _replace, _grow])
@pytest.mark.parametrize("features", [(), ("XCRC filename",)])
def test_another_file_under_the_name_is_not_joined_to_the_first(
    server: hostile_ftp.Server,
    open_ftp: Open,
    disk: pathlib.Path,
    change: Callable[[pathlib.Path], None],
    features: tuple[str, ...],
) -> None:
    archive = open_ftp()
    put(server)
    server.mood = Mood(cut=2 * MEGABYTE, features=features)
    with pytest.raises(errors.TransferError):
        archive.fetch("run.mid", str(disk / "run.mid"), nothing)
    change(server.files / "run.mid")
    server.mood = Mood(features=features)
    assert get(archive, disk) == (server.files / "run.mid").read_bytes()
    assert server.count("REST") == 0


@pytest.mark.parametrize("answers", [{"REST": "502 no"}, {"REST": "350 yes"}, {"MDTM": "502 no"}])
def test_a_server_that_cannot_go_on_begins_anew(
    server: hostile_ftp.Server, open_ftp: Open, disk: pathlib.Path, answers: dict[str, str]
) -> None:
    whole, archive = put(server), open_ftp()
    server.mood = Mood(cut=2 * MEGABYTE, answers=answers)
    with pytest.raises(errors.TransferError):
        archive.fetch("run.mid", str(disk / "run.mid"), nothing)
    server.mood = Mood(answers=answers)
    assert get(archive, disk) == whole


@pytest.mark.feature("AC-12")
@pytest.mark.parametrize(
    "answer", ["200 fine", "213 19700101000000", "213 20269999999999", "213 x", "213 20261120194848 or so", "now"]
)
def test_a_time_that_is_none_lets_nothing_be_glued(
    server: hostile_ftp.Server, open_ftp: Open, disk: pathlib.Path, answer: str
) -> None:
    answer = f"213 {datetime.datetime.now(datetime.UTC):%Y%m%d%H%M%S}.5" if answer == "now" else answer
    archive = open_ftp()
    put(server)
    server.mood = Mood(cut=2 * MEGABYTE, answers={"MDTM": answer})
    with pytest.raises(errors.TransferError):
        archive.fetch("run.mid", str(disk / "run.mid"), nothing)
    assert left(disk) == []
    _change_the_beginning(server.files / "run.mid")
    server.mood = Mood(answers={"MDTM": answer})
    assert get(archive, disk) == (server.files / "run.mid").read_bytes()
    assert server.count("REST") == 0


def _change_the_beginning(path: pathlib.Path) -> None:
    path.write_bytes(bytes(1000) + path.read_bytes()[1000:])


@pytest.mark.feature("AC-12")
def test_a_file_that_changes_while_it_is_gone_on_with_comes_anew(
    server: hostile_ftp.Server, open_ftp: Open, disk: pathlib.Path
) -> None:
    archive = open_ftp()
    put(server)
    server.mood = Mood(cut=2 * MEGABYTE)
    with pytest.raises(errors.TransferError):
        archive.fetch("run.mid", str(disk / "run.mid"), nothing)
    server.mood = Mood()

    def change(count: int) -> None:
        if count == SIZE and server.count("RETR") == 2:
            _change_the_beginning(server.files / "run.mid")

    archive.fetch("run.mid", str(disk / "run.mid"), change)
    assert server.count("REST") == 1
    assert (disk / "run.mid").read_bytes() == (server.files / "run.mid").read_bytes()


def test_somebody_elses_part_is_not_gone_on_with(
    server: hostile_ftp.Server, open_ftp: Open, disk: pathlib.Path
) -> None:
    whole, archive = put(server), open_ftp()
    server.mood = Mood(cut=2 * MEGABYTE)
    with pytest.raises(errors.TransferError):
        archive.fetch("run.mid", str(disk / "run.mid"), nothing)
    (disk / "run.mid.part").unlink()
    (disk / "run.mid.part").write_bytes(bytes(2 * MEGABYTE))
    server.mood = Mood()
    assert get(archive, disk) == whole
    assert server.count("REST") == 0


def test_what_nobody_went_on_with_is_removed_at_the_end(
    server: hostile_ftp.Server, open_ftp: Open, disk: pathlib.Path
) -> None:
    put(server)
    archive = open_ftp()
    server.mood = Mood(cut=2 * MEGABYTE)
    with pytest.raises(errors.TransferError):
        archive.fetch("run.mid", str(disk / "run.mid"), nothing)
    assert left(disk) == ["run.mid.part"]
    archive.close()
    assert left(disk) == []


# --- stalls ---------------------------------------------------------------------------------------------------------


@pytest.mark.feature("AC-11", "AC-12")
@pytest.mark.parametrize(("stall", "limits"), [(0, (2, LONG)), (1000, (LONG, 2)), (2 * MEGABYTE, (LONG, 2))])
def test_first_byte_and_later_ones_have_limits_of_their_own(
    server: hostile_ftp.Server, open_ftp: Open, disk: pathlib.Path, stall: int, limits: tuple[float, float]
) -> None:
    put(server)
    archive = open_ftp(first_byte=limits[0], stall=limits[1])
    server.mood = Mood(stall=stall)
    with pytest.raises(errors.TransferError, match=r"run\.mid broke off: no byte for"):
        archive.fetch("run.mid", str(disk / "run.mid"), nothing)
    server.mood.over.set()
    server.mood = Mood()
    assert get(archive, disk) == content(SIZE)


@pytest.mark.feature("AC-28")
@pytest.mark.parametrize("stall", [0, 2 * MEGABYTE])
def test_who_waits_for_a_byte_can_be_told_to_stop(
    server: hostile_ftp.Server, open_ftp: Open, disk: pathlib.Path, stall: int
) -> None:
    put(server)
    server.mood = Mood(stall=stall)
    seen: list[int] = []

    def stop(count: int) -> None:
        if count == stall and count in seen:  # told once more: nothing came for a second
            raise Stop
        seen.append(count)

    with pytest.raises(Stop):
        open_ftp().fetch("run.mid", str(disk / "run.mid"), stop)
    assert left(disk) == []


def bring(
    archive: ftp.Ftp, disk: pathlib.Path, names: list[str], recalls: Sequence[str] = (), again: float = 0.1
) -> tuple[dict[str, Exception | None], set[str]]:
    """With the porter, three at a time: how each ended, and what was told to be waited for."""
    bell, waits = clock.SystemClock(), set[str]()
    carrier = porter.Threads(archive, bell, 3, patience=LONG, again=again)
    carrier.recall(recalls)
    for name in names:
        carrier.start(name, str(disk / name))
    for _ in range(1000):
        progress = carrier.progress()
        waits |= {how.waits for how in progress.values()} - {""}
        if all(how.done for how in progress.values()):
            break
        bell.wait(LONG)
    carrier.close()
    bell.close()
    return {os.path.basename(local): how.error for local, how in progress.items()}, waits


@pytest.mark.feature("AC-11")
def test_a_server_that_lets_few_in_gives_as_much_as_it_can(
    server: hostile_ftp.Server, open_ftp: Open, disk: pathlib.Path
) -> None:
    names = [f"{number}.mid" for number in range(9)]
    for name in names:
        put(server, name)
    server.mood = Mood(most=1)
    ended, waits = bring(open_ftp(), disk, names)
    assert set(ended.values()) == {None}
    assert server.connections <= 8
    assert len(waits) <= 1  # before the first had begun
    assert all((disk / name).read_bytes() == content(SIZE) for name in names)


@pytest.mark.feature("AC-12")
def test_a_file_at_which_the_server_leaves_each_time_fails(
    server: hostile_ftp.Server, open_ftp: Open, disk: pathlib.Path
) -> None:
    names = [f"{number}.mid" for number in range(5)]
    for name in names:
        put(server, name)
    server.mood = Mood(killer="3.mid")
    ended, _ = bring(open_ftp(), disk, names, again=0.01)
    assert {name for name, error in ended.items() if error} == {"3.mid"}
    assert "3.mid: the archive leaves each time: 421" in str(ended["3.mid"])
    assert "RETR 3.mid" in server.heard
    assert server.heard.count("RETR 3.mid") == 3


@pytest.mark.feature("AC-10", "AC-11")
def test_files_come_before_recalls_where_one_is_let_in(
    server: hostile_ftp.Server, open_ftp: Open, disk: pathlib.Path
) -> None:
    put(server)
    asked = threading.Event()

    def hang() -> str:
        asked.set()
        over.wait(LONG)
        return "200 staged"

    server.mood = Mood(most=1, stage=hang)
    over = server.mood.over
    archive, bell = open_ftp(), clock.SystemClock()
    carrier = porter.Threads(archive, bell, 3, patience=LONG, again=0.1)
    carrier.recall(["a.mid", "b.mid"])
    assert asked.wait(LONG)
    carrier.start("run.mid", str(disk / "run.mid"))
    for _ in range(100):
        if carrier.progress()[str(disk / "run.mid")].done:
            break
        bell.wait(LONG)
        over.set()  # the session that hangs notices only now that nobody is there
    assert (disk / "run.mid").read_bytes() == content(SIZE)
    assert server.count("STAGE") == 1
    carrier.close()
    bell.close()


@pytest.mark.feature("AC-28")
@pytest.mark.parametrize("command", ["CONNECT", "USER", "PASS", "TYPE", "FEAT", "SIZE", "MDTM", "PASV", "RETR"])
def test_a_server_that_is_silent_can_be_left(
    server: hostile_ftp.Server, open_ftp: Open, disk: pathlib.Path, command: str
) -> None:
    """From the porter, as at Ctrl-C: nothing is left behind, and it doesn't take long."""
    put(server)
    bell = clock.SystemClock()
    carrier = porter.Threads(open_ftp(), bell, 1, patience=LONG)
    server.mood = Mood(silent=command)
    carrier.start("run.mid", str(disk / "run.mid"))
    assert server.silence.acquire(timeout=LONG)
    before = bell.boottime()
    carrier.stop()
    assert bell.boottime() - before < LONG / 2
    assert left(disk) == []
    bell.close()


@pytest.mark.feature("AC-12", "AC-28")
@pytest.mark.parametrize("command", ["FEAT", "SIZE", "RETR"])
def test_who_only_says_wait_is_not_waited_for_in_vain(
    server: hostile_ftp.Server, open_ftp: Open, disk: pathlib.Path, command: str
) -> None:
    put(server)
    server.mood = Mood(drip=command)

    def stop(_: int) -> None:
        raise Stop

    with pytest.raises(errors.TransferError, match=r"is away|broke off: no "):
        open_ftp(stall=0.3, first_byte=0.3, tries=1).fetch("run.mid", str(disk / "run.mid"), nothing)
    with pytest.raises(Stop):
        open_ftp().fetch("run.mid", str(disk / "run.mid"), stop)
    assert left(disk) == []


@pytest.mark.feature("AC-12")
def test_a_byte_now_and_then_is_a_stall(server: hostile_ftp.Server, open_ftp: Open, disk: pathlib.Path) -> None:
    whole = put(server, size=5000)
    archive = open_ftp(stall=2)
    server.mood = Mood(trickle=True)
    with pytest.raises(errors.TransferError, match=r"run\.mid broke off: \d+ bytes in "):
        archive.fetch("run.mid", str(disk / "run.mid"), nothing)
    server.mood.over.set()
    server.mood = Mood()
    assert get(archive, disk) == whole


@pytest.mark.parametrize("command", ["SIZE", "RETR"])
def test_an_answer_too_many_answers_nobody_else(
    server: hostile_ftp.Server, open_ftp: Open, disk: pathlib.Path, command: str
) -> None:
    archive = open_ftp()
    server.mood = Mood(doubled=command)
    for number in range(5):
        whole = put(server, size=1000 + number)
        size = archive.size("run.mid")
        assert size == 1000 + number
        assert archive.fetch("run.mid", str(disk / str(number)), nothing, size) == size
        assert (disk / str(number)).read_bytes() == whole


def test_a_port_that_cannot_be_breaks_off(server: hostile_ftp.Server, open_ftp: Open, disk: pathlib.Path) -> None:
    put(server)
    server.mood = Mood(answers={"PASV": "227 here (127,0,0,1,999,1)"})
    with pytest.raises(errors.TransferError, match="broke off: there is no port 255745"):
        open_ftp().fetch("run.mid", str(disk / "run.mid"), nothing)


@pytest.mark.parametrize("command", ["USER", "TYPE", "SIZE", "MDTM", "PASV", "RETR"])
def test_a_control_connection_that_closes_is_no_end(
    server: hostile_ftp.Server, open_ftp: Open, disk: pathlib.Path, command: str
) -> None:
    whole, archive = put(server), open_ftp()
    server.mood = Mood(hang_up_at=command)
    with pytest.raises(errors.TransferError, match="the server closed the connection"):
        archive.fetch("run.mid", str(disk / "run.mid"), nothing)
    server.mood = Mood()
    assert get(archive, disk) == whole


# --- away -----------------------------------------------------------------------------------------------------------


def test_an_archive_that_is_away_is_waited_for(server: hostile_ftp.Server, open_ftp: Open, disk: pathlib.Path) -> None:
    put(server)
    port = services.free_port()
    calls: list[tuple[ftp.Ftp, str]] = [
        (open_ftp(f"ftp://127.0.0.1:{port}"), f"127.0.0.1:{port} is away: Connection ref")
    ]
    for greeting in ("421 too many", "500 OOPS", "garbage"):
        server.mood = Mood(greeting=greeting)
        calls = [*calls[:1], (open_ftp(), f"is away: {greeting}")]
        for archive, words in calls:
            with pytest.raises(errors.TransferWaits, match=words) as caught:
                archive.fetch("run.mid", str(disk / "run.mid"), nothing)
            one_line(caught.value)
    assert left(disk) == []


def test_a_transfer_that_is_cut_by_a_server_that_goes_away_waits(
    server: hostile_ftp.Server, open_ftp: Open, disk: pathlib.Path
) -> None:
    whole, archive = put(server), open_ftp()
    archive.size("run.mid")
    server.mood = Mood(cut=2 * MEGABYTE, how="close", greeting="421 going down")
    with pytest.raises(errors.TransferWaits, match="is away: 421 going down"):
        archive.fetch("run.mid", str(disk / "run.mid"), nothing)
    assert left(disk) == ["run.mid.part"]
    server.mood = Mood()
    assert get(archive, disk) == whole
    assert server.count("REST") == 1


def test_a_kept_connection_that_was_closed_is_replaced_in_silence(
    server: hostile_ftp.Server, open_ftp: Open, disk: pathlib.Path
) -> None:
    whole, archive = put(server), open_ftp()
    for number in range(1, 4):
        assert get(archive, disk) == whole
        assert server.count("USER") == number
        server.hang_up()


def test_connections_are_kept(server: hostile_ftp.Server, open_ftp: Open, disk: pathlib.Path) -> None:
    put(server, size=1000)
    archive = open_ftp()
    for number in range(20):
        size = archive.size("run.mid")
        assert archive.fetch("run.mid", str(disk / str(number)), nothing, size) == 1000
    asked = {command: server.count(command) for command in ("USER", "TYPE", "FEAT", "SIZE", "PASV", "RETR", "CWD")}
    assert asked == {"USER": 1, "TYPE": 1, "FEAT": 1, "SIZE": 20, "PASV": 20, "RETR": 20, "CWD": 0}


# --- words ----------------------------------------------------------------------------------------------------------


def test_a_missing_file_is_told_in_the_servers_words(
    server: hostile_ftp.Server, open_ftp: Open, disk: pathlib.Path
) -> None:
    put(server, size=10)
    archive = open_ftp()
    with pytest.raises(errors.InputMissing, match=r"gone\.mid: the archive says: 550 no such file"):
        archive.size("gone.mid")
    with pytest.raises(errors.InputMissing, match=r": mu/raw/gone\.mid: the archive says: 550"):
        open_ftp(server.url("mu/raw")).size("gone.mid")
    server.mood = Mood(answers={"RETR": "550-Not on disk\r\n550 and not on tape"})
    with pytest.raises(errors.InputMissing, match="550-Not on disk 550 and not on tape"):
        archive.fetch("run.mid", str(disk / "run.mid"), nothing)
    server.mood = Mood(answers={"SIZE": "450 the catalogue is away"})
    with pytest.raises(errors.TransferError, match="450 the catalogue is away") as caught:
        archive.size("gone.mid")
    assert caught.value.transient


def test_a_size_need_not_be_known(server: hostile_ftp.Server, open_ftp: Open, disk: pathlib.Path) -> None:
    whole, archive = put(server), open_ftp()
    server.mood = Mood(answers={"SIZE": "502 not here"})
    assert archive.size("run.mid") is None
    assert get(archive, disk) == whole
    mlst = f"250-it is\r\n type=file;size={SIZE};modify=20261120194848; run.mid\r\n250 end"
    server.mood = Mood(answers={"SIZE": "502 not here", "MLST": mlst}, features=("MLST size*;", "UTF8"))
    assert open_ftp().size("run.mid") == SIZE


@pytest.mark.parametrize(
    "size", ["9999999999999999999", "9007199254740992", "9" * 5000, "-5", "foo", "1.5", "١٢", "0x10", ""]
)
def test_a_size_that_cannot_be_is_the_files_trouble(server: hostile_ftp.Server, open_ftp: Open, size: str) -> None:
    mlst = f"250-it is\r\n type=file;size={size}; run.mid\r\n250 end"
    for answers in ({"SIZE": f"213 {size}"}, {"SIZE": "502 not here", "MLST": mlst}):
        server.mood = Mood(answers=answers, features=("MLST size*;",))
        with pytest.raises(
            errors.TransferError, match=r"run\.mid: the archive says: no file has such a size"
        ) as caught:
            open_ftp().size("run.mid")
        assert len(one_line(caught.value)) < 700
        assert not isinstance(caught.value, errors.TransferWaits)


def test_a_listing_without_an_end_ends(server: hostile_ftp.Server, open_ftp: Open) -> None:
    server.mood = Mood(endless=True)
    with pytest.raises(errors.TransferError, match="a listing of more than 64 MB: name a smaller directory"):
        open_ftp().listing("")


def test_the_servers_checksum_counts(server: hostile_ftp.Server, open_ftp: Open, disk: pathlib.Path) -> None:
    whole = put(server)
    good = Mood(features=("XCRC filename;start;end",))
    server.mood = good
    archive = open_ftp()
    assert get(archive, disk) == whole
    assert server.count("XCRC") == 1
    (disk / "run.mid").unlink()
    server.mood = Mood(features=good.features, checksum=lambda _: "250 DEADBEEF")
    with pytest.raises(errors.TransferError, match=r"run\.mid is not what the server promised: its CRC32 .*DEADBEEF"):
        archive.fetch("run.mid", str(disk / "run.mid"), nothing)
    assert left(disk) == []
    for odd in (
        "500 what?",
        "250 done",
        "550 not for this file",
        "250 file is not a crc",
        "250 XCRC 5 of a",
        "250 run.mid",
    ):
        server.mood = Mood(features=good.features, checksum=lambda _, odd=odd: odd)
        assert get(archive, disk) == whole
    server.mood = good
    asked = server.count("XCRC")
    assert get(open_ftp(checksum=False), disk) == whole
    assert server.count("XCRC") == asked


def test_no_command_can_be_smuggled_in(server: hostile_ftp.Server, open_ftp: Open, disk: pathlib.Path) -> None:
    archive = open_ftp()
    for name in ("a\r\nDELE run.mid", "a\nDELE run.mid", "a\rb", "a\ud800b"):
        for call in (archive.size, archive.listing, lambda name: archive.recall(name, lambda: None)):
            with pytest.raises(errors.TransferError, match="rename it") as caught:
                call(name)
            one_line(caught.value)
            assert not caught.value.transient
    assert server.heard == []


# --- our own side ---------------------------------------------------------------------------------------------------


def test_a_full_disk_is_waited_for(server: hostile_ftp.Server, open_ftp: Open, small_disk: pathlib.Path) -> None:
    put(server)
    with pytest.raises(errors.TransferWaits, match=r"run\.mid\.part: No space left.*make room"):
        open_ftp().fetch("run.mid", str(small_disk / "run.mid"), nothing)
    assert left(small_disk) == []


def test_too_many_open_files_are_waited_out(server: hostile_ftp.Server, open_ftp: Open, disk: pathlib.Path) -> None:
    put(server)
    archive = open_ftp()
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    taken: list[socket.socket] = []
    resource.setrlimit(resource.RLIMIT_NOFILE, (128, before[1]))
    try:
        while True:
            try:
                taken.append(socket.socket())
            except OSError:
                break
        with pytest.raises(errors.TransferWaits, match="ulimit -n"):
            archive.fetch("run.mid", str(disk / "run.mid"), nothing)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, before)
        for one in taken:
            one.close()


# --- the login ------------------------------------------------------------------------------------------------------


def refuse(user: str, password: str) -> str:
    """As a careless server: it quotes."""
    return f"530 {user} may not enter with {password}"


@pytest.mark.feature("AC-13")
def test_a_login_is_refused_so_often_in_all(server: hostile_ftp.Server, open_ftp: Open, disk: pathlib.Path) -> None:
    put(server)
    server.mood = Mood(login=refuse)
    archive = open_ftp(tries=2)

    def attempt(number: int) -> str:
        with pytest.raises(errors.LoginRefused) as caught:
            archive.fetch("run.mid", str(disk / str(number)), nothing)
        assert not caught.value.transient
        return one_line(caught.value)

    with concurrent.futures.ThreadPoolExecutor(4) as pool:
        (words,) = set(pool.map(attempt, range(4)))
    assert "refuses the login of data taker µ⁺: 530 data taker µ⁺ may not enter" in words
    assert server.count("PASS") == 2


@pytest.mark.feature("AC-13")
def test_the_wait_between_two_logins_can_be_ended(
    server: hostile_ftp.Server, open_ftp: Open, disk: pathlib.Path
) -> None:
    server.mood = Mood(login=refuse)

    def stop(_: int) -> None:
        raise Stop

    with pytest.raises(Stop):
        open_ftp(tries=50).fetch("run.mid", str(disk / "run.mid"), stop)
    assert server.count("PASS") == 1


@pytest.mark.feature("AC-13")
def test_a_login_that_was_refused_once_may_pass_the_next_time(
    server: hostile_ftp.Server, open_ftp: Open, disk: pathlib.Path
) -> None:
    whole = put(server)
    answers = iter(["530 not now", "230 come in"])
    server.mood = Mood(login=lambda *_: next(answers))
    assert get(open_ftp(), disk) == whole


@pytest.mark.feature("AC-14")
def test_the_password_is_nowhere(
    server: hostile_ftp.Server,
    open_ftp: Open,
    disk: pathlib.Path,
    caplog: pytest.LogCaptureFixture,
    capfd: pytest.CaptureFixture[str],
) -> None:
    put(server)
    caplog.set_level(logging.DEBUG)
    archive = open_ftp(tries=1)
    server.mood = Mood(login=refuse)
    with pytest.raises(errors.LoginRefused) as caught:
        archive.size("run.mid")
    server.mood = Mood()
    good = open_ftp()
    good.size("run.mid")
    server.mood = Mood(answers={"RETR": f"451 {services.PASSWORD} is no good"})
    with pytest.raises(errors.TransferError) as told:
        good.fetch("run.mid", str(disk / "run.mid"), nothing)
    assert any(services.PASSWORD in line for line in server.heard)  # what we look for was there
    said = "".join("".join(traceback.format_exception(each.value)) for each in (caught, told))
    places = [said, caplog.text, *capfd.readouterr(), repr(vars(archive)), repr(archive._pool.__dict__)]
    places += [pathlib.Path(f"/proc/self/{name}").read_text(errors="replace") for name in ("cmdline", "environ")]
    assert not [place for place in places if services.PASSWORD in place]


@pytest.mark.feature("AC-14")
@pytest.mark.parametrize(
    "reply",
    [
        *("PASS {}: unknown", "150 your password {}", "650 {}", "{}", "{}: 530", "350 account? {}", "120 {}"),
        *("451 no {}", "430 {}", "530-no\r\n {}\r\n530 end"),
    ],
)
@pytest.mark.parametrize("form", [str, urllib.parse.quote, urllib.parse.quote_plus, str.upper, repr])
def test_whatever_repeats_the_password_is_not_repeated(
    server: hostile_ftp.Server, open_ftp: Open, reply: str, form: Callable[[str], str]
) -> None:
    """A login that is refused in any words counts, as one that is refused in the right ones does."""
    told = form(services.PASSWORD)
    server.mood = Mood(login=lambda _user, _password: reply.format(told))
    with pytest.raises(errors.LoginRefused) as caught:
        open_ftp(tries=1).size("run.mid")
    said = "".join(traceback.format_exception(caught.value))
    assert told.strip("'") not in said
    assert services.PASSWORD not in said
    assert server.count("PASS") == 1
    server.mood = Mood(answers={"SIZE": reply.format(told)}, greeting=f"220-hello\r\n {told}\r\n220 again")
    with pytest.raises(errors.TransferError) as caught_later:
        open_ftp(stall=0.2).size("run.mid")
    assert told.strip("'") not in "".join(traceback.format_exception(caught_later.value))


def test_a_password_of_digits_spoils_no_size(
    server: hostile_ftp.Server, tmp_path: pathlib.Path, disk: pathlib.Path
) -> None:
    whole = put(server, size=1234)
    netrc = services.write_netrc(tmp_path / "digits", password="1")
    archive = ftp.Ftp(server.url(), ftp.Options(netrc=netrc))
    assert get(archive, disk) == whole
    archive.close()


# --- tapes ----------------------------------------------------------------------------------------------------------


@pytest.mark.feature("AC-10")
def test_a_server_without_tape_is_asked_once(server: hostile_ftp.Server, open_ftp: Open) -> None:
    archive = open_ftp()
    server.mood = Mood(stage=lambda: "500 STAGE not understood")
    for number in range(3):
        archive.recall(f"run{number}.mid", lambda: None)
    assert server.count("STAGE") == 1


@pytest.mark.feature("AC-10")
def test_a_recall_may_take_its_time_and_can_be_withdrawn(server: hostile_ftp.Server, open_ftp: Open) -> None:
    asked, ready = threading.Event(), threading.Event()

    def slowly() -> str:
        asked.set()
        ready.wait(LONG)
        return "200 staged"

    server.mood = Mood(stage=slowly)
    archive = open_ftp(unstage="UNSTAGE {}", stall=0.5)

    def stop() -> None:
        if asked.is_set():
            raise Stop

    with pytest.raises(Stop):
        archive.recall("run 1.mid", stop)
    assert server.heard[-1] == "UNSTAGE run 1.mid"
    asked.clear()
    archive.recall("run 2.mid", ready.set)  # a second without an answer, and then it comes
    assert asked.is_set()


@pytest.mark.feature("AC-10")
def test_what_comes_next_is_recalled_while_the_first_one_comes(
    server: hostile_ftp.Server, open_ftp: Open, disk: pathlib.Path
) -> None:
    put(server)
    bell, staged = clock.SystemClock(), threading.Semaphore(0)

    def stage() -> str:
        staged.release()
        return "200 staged"

    server.mood = Mood(stall=1000, stage=stage)
    carrier = porter.Threads(open_ftp(), bell, 2)
    carrier.start("run.mid", str(disk / "run.mid"))
    carrier.recall(["run2.mid", "run3.mid"])
    assert staged.acquire(timeout=LONG)
    assert staged.acquire(timeout=LONG)
    assert not carrier.progress()[str(disk / "run.mid")].done
    server.mood.over.set()
    for _ in range(50):
        if carrier.progress()[str(disk / "run.mid")].done:
            break
        bell.wait(LONG)
    assert (disk / "run.mid").read_bytes() == content(SIZE)
    assert sorted(line for line in server.heard if line.startswith("STAGE")) == ["STAGE run2.mid", "STAGE run3.mid"]
    carrier.close()
    bell.close()


# --- the door -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("http://host/raw", "is not ftp://"),
        ("ftp:///raw", "is not ftp://"),
        ("ftp://host:port/raw", "is not ftp://"),
        ("ftp://[::1/raw", "is not ftp://"),
        ("ftp://user:secret@host/raw", "holds a password"),
        ("ftp://host/raw?x", "write %3F"),
        ("ftp://host/raw%0d%0aDELE%20x", "holds a line end"),
        ("ftp://us%0aer@127.0.0.1/raw", "another user|line end"),
    ],
)
def test_urls_that_will_not_do(open_ftp: Open, url: str, words: str) -> None:
    with pytest.raises(errors.UsageError, match=words) as caught:
        open_ftp(url)
    assert "secret" not in one_line(caught.value)


@pytest.mark.parametrize(
    ("directory", "asked"),
    [
        ("", "run.mid"),
        ("raw", "raw/run.mid"),
        ("raw/", "raw/run.mid"),
        ("R%C3%B6h%20data/2015", "Röh data/2015/run.mid"),
        ("/", "/run.mid"),
        ("/raw", "/raw/run.mid"),
        ("%2Fraw", "/raw/run.mid"),
        ("~raw", "./~raw/run.mid"),
    ],
)
def test_where_the_directory_begins(server: hostile_ftp.Server, open_ftp: Open, directory: str, asked: str) -> None:
    server.mood = Mood(answers={"SIZE": "213 5"})
    assert open_ftp(server.url(directory)).size("run.mid") == 5
    assert server.heard[-1] == f"SIZE {asked}"


@pytest.mark.feature("AC-14")
def test_a_certificate_is_looked_at(open_ftp: Open, server: hostile_ftp.Server, tmp_path: pathlib.Path) -> None:
    logging.getLogger("pyftpdlib").setLevel(logging.CRITICAL)
    secure = services.Pyftpdlib(server.files, services.certificate(tmp_path))
    with pytest.raises(
        errors.LoginRefused, match=r"its certificate is not trusted: self.signed certificate \(SSL_CERT_FI"
    ):
        open_ftp(f"ftps://127.0.0.1:{secure.port}").size("run.mid")
    secure.close()
    with pytest.raises(errors.LoginRefused, match="the server has no TLS: 500 AUTH"):
        open_ftp(f"ftps://127.0.0.1:{server.port}").size("run.mid")
    assert server.count("USER") == 0


@pytest.mark.feature("AC-14")
def test_a_certificate_is_looked_at_for_the_bytes_too(
    open_ftp: Open,
    server: hostile_ftp.Server,
    tmp_path: pathlib.Path,
    disk: pathlib.Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    logging.getLogger("pyftpdlib").setLevel(logging.CRITICAL)
    put(server)
    (tmp_path / "other").mkdir()
    pem, other = services.certificate(tmp_path), services.certificate(tmp_path / "other")
    monkeypatch.setenv("SSL_CERT_FILE", str(pem))
    secure = services.Pyftpdlib(server.files, pem, data_pem=other)
    with pytest.raises(errors.LoginRefused, match="its certificate is not trusted"):
        open_ftp(f"ftps://127.0.0.1:{secure.port}").fetch("run.mid", str(disk / "run.mid"), nothing)
    secure.close()
    assert left(disk) == []


def test_version_six_of_the_internet(
    open_ftp: Open, server: hostile_ftp.Server, tmp_path: pathlib.Path, disk: pathlib.Path, need: Callable[..., object]
) -> None:
    logging.getLogger("pyftpdlib").setLevel(logging.CRITICAL)
    need("IPv6", pathlib.Path("/proc/net/if_inet6").exists())
    whole = put(server)
    six = services.Pyftpdlib(server.files, host="::1")
    netrc = services.write_netrc(tmp_path / "netrc six", host="::1")
    assert get(open_ftp(f"ftp://[::1]:{six.port}", netrc=netrc), disk) == whole
    six.close()
