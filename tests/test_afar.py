"""Logs on another machine, read by range with its commands: the same lines as here, and one line for what goes wrong."""

from __future__ import annotations

import contextlib
import getpass
import os
import pathlib
import shutil
import tempfile
import threading
import time
import urllib.parse
from collections.abc import Callable, Iterator, Sequence

import pytest

from production import child, disk, errors
from production.batch import there
from production.monitor import afar, logs, reach
from production.ssh import config, connection
from tests.services import link, sshd

pytestmark = pytest.mark.feature("AC-35", "PC-02")

GIGABYTE = 1 << 30
ACCOUNTS = {"rpbash": "bash", "rpdash": "dash", "rpzsh": "zsh", "rpfish": "fish", "rptcsh": "tcsh"}
"""{account: its login shell}"""
Need = Callable[[str, object], object]


def url(path: pathlib.Path, host: str = "login") -> str:
    """As the database has it."""
    return f"sftp://{host}{urllib.parse.quote(os.fsencode(path))}"


def always(_: int) -> bool:
    return True


def texts(page: logs.Page) -> list[str]:
    return [line.text for line in page.lines]


class Machine:
    """Another machine that is this one, with programs of its own; what it is asked is counted."""

    def __init__(self, *shell: str, path: str = os.environ["PATH"]) -> None:
        self._shell = shell or ("sh",)
        self._variables = {"LC_ALL": "C", "PATH": path}
        self.asked = 0
        self.said = 0
        """Bytes."""
        self.trouble: errors.ProductionError | None = None
        self.between: Callable[[], object] = lambda: None
        """Done after the next answer."""

    def hear(self, _host: str, argv: Sequence[str], seconds: float, leaving: Callable[[], bool]) -> child.End:
        self.asked += 1
        if self.trouble:
            raise self.trouble
        program = [*self._shell, *argv[1:]]
        end = child.run(program, seconds, leaving, apart=True, variables=self._variables, kept=1 << 24)
        self.said += len(end.said)
        self.between()
        return end

    @property
    def reach(self) -> reach.Reach:
        return reach.Reach(afar.Afar(self.hear))


@pytest.fixture(params=["dash", "bash", "ksh", "busybox"])
def machine(request: pytest.FixtureRequest, tmp_path: pathlib.Path, need: Need) -> Machine:
    """With this sh; with busybox, also the other programs are its."""
    program = str(need(request.param, shutil.which(request.param)))
    if request.param != "busybox":
        return Machine(program)
    applets = tmp_path / "applets"
    applets.mkdir()
    for name in ("sh", "ls", "dd", "tr", "grep"):
        (applets / name).symlink_to(program)
    return Machine(str(applets / "sh"), path=str(applets))


@pytest.fixture
def log(tmp_path: pathlib.Path) -> pathlib.Path:
    return tmp_path / "sim %41 'µ⁺' $(id).out"


# ── the same as here ──

CONTENTS = {
    "nothing": b"",
    "a word": b"word",
    "lines": b"".join(b"line %d\n" % number for number in range(30_000)),
    "no line ends": b"x" * 300_000,
    "one cell": b"y" * 4095 + b"\n",
    "bytes": bytes(range(256)) * 1000,
}


@pytest.mark.parametrize("name", CONTENTS)
def test_the_lines_are_those_that_are_there(machine: Machine, log: pathlib.Path, name: str) -> None:
    raw = CONTENTS[name]
    log.write_bytes(raw)
    for place in {0, 1, 4095, 4096, 70_000, len(raw) // 2, max(0, len(raw) - 1), len(raw), len(raw) + 9}:
        for number in (1, 300):
            for look in (logs.after, logs.before):
                seen, known = look(url(log), place, number, machine.reach), look(str(log), place, number)
                assert (seen.lines, seen.size) == (known.lines, known.size), (look, place, number)
    assert logs.last(url(log), 60, machine.reach).lines == logs.last(str(log), 60).lines


WORDS = [
    "needle",
    "Needle",
    "NEEDLE",
    "größe",
    "Größe",
    "--",
    "-e x",
    "[a",
    "a.c",
    "\\n",
    "'",
    "e",
    "ö",
    "not there",
    "事",
]


@pytest.mark.parametrize("word", WORDS)
def test_what_is_looked_for_is_found_where_it_is_here(machine: Machine, log: pathlib.Path, word: str) -> None:
    """Also beyond zero bytes, and across the ends of what is searched at a time."""
    said = ["NEEDLE in it", "needle", "a Needle", "GRÖSSE Größe", "x -- -e x [a a.c \\n it's", "事"]
    with log.open("wb") as file:
        for number, text in enumerate(said):
            file.seek(number * afar.SPAN - 5) if number else None
            file.write(b"\0\n"[number % 2 :][:1] + text.encode() + b"\0")
        file.truncate(6 * afar.SPAN + 77)
    for down in (True, False):
        places: list[list[int]] = []
        for path, hand in ((url(log), machine.reach), (str(log), reach.HERE)):
            found, at = [], 0 if down else log.stat().st_size
            while (place := logs.search(path, word, at, down=down, going_on=always, reach=hand)) is not None:
                found.append(place)
                at = logs.after(str(log), place, 1).lines[0].end if down else place
                if len(found) == 8:
                    break
            places.append(found)
        assert places[0] == places[1]


def test_a_search_ends_when_it_is_told_to(machine: Machine, log: pathlib.Path) -> None:
    log.touch()
    os.truncate(log, GIGABYTE)
    looked: list[int] = []

    def going_on(number: int) -> bool:
        looked.append(number)
        return len(looked) < 3

    assert logs.search(url(log), "needle", 0, down=True, going_on=going_on, reach=machine.reach) is None
    assert looked == [0, afar.TOGETHER * afar.SPAN, 2 * afar.TOGETHER * afar.SPAN]
    assert machine.said < 1000


def test_without_a_grep_everything_is_looked_through_here(tmp_path: pathlib.Path, log: pathlib.Path) -> None:
    places = tmp_path / "bin"
    places.mkdir()
    for name in ("ls", "dd", "tr"):
        (places / name).symlink_to(str(shutil.which(name)))
    log.write_bytes(b"x" * 3 * afar.SPAN + b"\nneedle")
    poor = Machine(str(shutil.which("sh")), path=str(places))
    assert logs.search(url(log), "needle", 0, down=True, going_on=always, reach=poor.reach) == 3 * afar.SPAN + 1


# ── how much is asked ──


def test_a_gigabyte_is_opened_at_its_end_with_one_question(machine: Machine, log: pathlib.Path) -> None:
    log.touch()
    os.truncate(log, GIGABYTE)
    with log.open("ab") as file:
        file.write(b"".join(b"\nend %d" % number for number in range(1000)))
    page = logs.last(url(log), 60, machine.reach)
    assert texts(page)[-1] == "end 999"
    assert (machine.asked, page.size) == (1, log.stat().st_size)
    assert machine.said < 100_000


def test_a_log_that_does_not_grow_is_not_brought_again(machine: Machine, log: pathlib.Path) -> None:
    log.write_text("line\n" * 100_000)
    hand = machine.reach
    first = logs.last(url(log), 60, hand)
    said = machine.said
    assert logs.last(url(log), 60, hand) == first
    assert machine.asked == 2
    assert machine.said - said < 200
    with log.open("a") as file:
        file.write("one more\n")
    assert texts(logs.last(url(log), 1, hand)) == ["one more"]
    assert machine.asked == 3


def test_one_that_is_written_anew_is_seen(machine: Machine, log: pathlib.Path) -> None:
    log.write_text("before\n")
    hand = machine.reach
    before = logs.last(url(log), 1, hand)
    other = log.with_name("other")
    other.write_text("behind\n")
    other.replace(log)
    after = logs.last(url(log), 1, hand)
    assert (texts(before), texts(after)) == (["before"], ["behind"])
    assert before.identity != after.identity


def test_one_that_is_cut_off_under_us(machine: Machine, log: pathlib.Path) -> None:
    """Nothing comes that is not of the log as it was found."""
    log.write_bytes(b"x" * 500_000)
    machine.between = lambda: os.truncate(log, 10)
    with machine.reach.open(url(log)) as file:
        assert file.size == 500_000
        assert file.read(0, 500_000) == b""


def test_no_look_brings_a_whole_log(machine: Machine, log: pathlib.Path) -> None:
    log.write_bytes(os.urandom(5 << 20))
    with machine.reach.open(url(log)) as file:
        machine.said = 0
        assert file.read(0, file.size) == log.read_bytes()
    assert machine.asked == 1 + 5


def test_a_copy_for_a_pager_is_bounded(machine: Machine, log: pathlib.Path) -> None:
    raw = os.urandom(3 << 20)
    log.write_bytes(raw)
    for most, left in ((1 << 30, 0), (1 << 20, 2 << 20)):
        with tempfile.NamedTemporaryFile() as to:
            assert logs.copy(url(log), to, most, always, machine.reach) == left
            assert pathlib.Path(to.name).read_bytes() == raw[left:]


# ── what goes wrong ──


def trouble(machine: Machine, log: pathlib.Path) -> disk.Trouble:
    with pytest.raises(disk.Trouble) as told:
        logs.last(url(log), 1, machine.reach)
    assert "\n" not in str(told.value)
    return told.value


def test_a_log_that_is_not_there(machine: Machine, log: pathlib.Path) -> None:
    told = trouble(machine, log)
    assert str(told) == f"cannot read {url(log)}: No such file or directory"
    assert told.missing
    assert trouble(machine, log / "below").missing
    log.touch()
    assert trouble(machine, log / "below").missing, "a file in place of a directory"


def test_what_is_no_file_is_not_opened(machine: Machine, log: pathlib.Path) -> None:
    os.mkfifo(log)
    assert str(trouble(machine, log)).endswith("not a regular file but a pipe")
    assert str(trouble(machine, log.parent)).endswith("not a regular file but a directory")
    assert str(trouble(machine, pathlib.Path("/dev/null"))).endswith("not a regular file but a device")


def test_a_name_with_a_line_end(machine: Machine, tmp_path: pathlib.Path) -> None:
    odd = tmp_path / "a\nb -n"
    odd.write_text("said\n")
    assert texts(logs.last(url(odd), 1, machine.reach)) == ["said"]


def test_a_machine_that_is_away_is_told_and_asked_again(machine: Machine, log: pathlib.Path) -> None:
    log.write_text("said\n")
    machine.trouble = errors.RemoteAway("no connection to login: Connection refused")
    told = trouble(machine, log)
    assert str(told) == f"cannot read {url(log)}: no connection to login: Connection refused"
    assert (told.transient, told.missing) == (True, False)
    machine.trouble = errors.RemoteRefused("login doesn't let alice in")
    assert not trouble(machine, log).transient
    machine.trouble = None
    assert texts(logs.last(url(log), 1, machine.reach)) == ["said"]


def test_nobody_reaches_it(log: pathlib.Path) -> None:
    with pytest.raises(disk.Trouble, match="it is on another machine, which nobody asks from here"):
        logs.last(url(log), 1)


@pytest.mark.parametrize(
    ("path", "host", "there"),
    [
        ("sftp://login/data/log/x.out", "login", "/data/log/x.out"),
        ("sftp://alice@login.cluster:2222/a%20b/%25", "alice@login.cluster:2222", "/a b/%"),
        ("sftp://[::1]:22/%FF%0A", "[::1]:22", "/\udcff\n"),
    ],
)
def test_a_path_is_taken_apart(path: str, host: str, there: str) -> None:
    assert reach.split(path) == (host, there)


# ── over a line ──


@pytest.fixture(scope="module")
def server(need: Need) -> Iterator[sshd.Sshd]:
    reason = sshd.Sshd.unable()
    need(reason, not reason)
    with tempfile.TemporaryDirectory(prefix="rp-", dir="/tmp", ignore_cleanup_errors=True) as directory:
        pathlib.Path(directory).chmod(0o755)
        with sshd.Sshd(pathlib.Path(directory) / "sshd") as one:
            yield one


@pytest.fixture
def distant(server: sshd.Sshd) -> pathlib.Path:
    """A log that everybody there may read."""
    path = server.directory / "sim.out"
    path.write_bytes(bytes(range(256)) * 2000 + b"\nlast line\n")
    path.chmod(0o644)
    return path


class Line:
    """Who runs commands there over one connection; its clock stands still unless it is moved."""

    def __init__(self, home: pathlib.Path) -> None:
        self.now = 0.0
        self.limit = 4.0
        """Seconds that a command may take."""
        self.way = connection.Connection(config.find("login", str(home), str(home / "etc")), lambda: self.now)
        self.reach = reach.Reach(afar.Afar(self._hear))

    def _hear(self, _host: str, argv: Sequence[str], seconds: float, leaving: Callable[[], bool]) -> child.End:
        return there.There(self.way, leaving).hear(argv, timeout=min(seconds, self.limit))


@contextlib.contextmanager
def line(server: sshd.Sshd, home: pathlib.Path, account: str = "", port: int = 0) -> Iterator[Line]:
    server.introduce(home, account or getpass.getuser(), port=port)
    one = Line(home)
    try:
        yield one
    finally:
        one.way.close()


@pytest.mark.parametrize("account", ACCOUNTS)
def test_whatever_the_login_shell_is(
    server: sshd.Sshd, distant: pathlib.Path, tmp_path: pathlib.Path, account: str, need: Need
) -> None:
    need("root, for accounts with other shells", os.geteuid() == 0)
    shell = str(need(ACCOUNTS[account], shutil.which(ACCOUNTS[account])))
    with line(server, tmp_path, sshd.account(account, shell)) as one:
        seen = logs.last(url(distant), 9, one.reach)
        assert seen.lines == logs.last(str(distant), 9).lines
        found = logs.search(url(distant), "last", 0, down=True, going_on=always, reach=one.reach)
        assert found == distant.stat().st_size - len("last line\n")


@pytest.mark.parametrize("how", ["cut", "stall"])
def test_a_line_that_breaks(server: sshd.Sshd, distant: pathlib.Path, tmp_path: pathlib.Path, how: str) -> None:
    with link.to(server.port) as wire, line(server, tmp_path, port=wire.port) as one:
        logs.last(url(distant), 1, one.reach)
        wire.after(200, wire.cut if how == "cut" else wire.stall)
        began = time.monotonic()
        with pytest.raises(reach.Away, match=r"broke|no answer in time|took longer") as told:
            logs.last(url(distant), 1, one.reach)
        assert told.value.transient
        assert time.monotonic() - began < 30
        wire.cut()
        wire.go_on()
        one.now += connection.PAUSES[1]
        assert texts(logs.last(url(distant), 1, one.reach)) == ["last line"]


def test_who_has_lost_interest_does_not_wait(server: sshd.Sshd, distant: pathlib.Path, tmp_path: pathlib.Path) -> None:
    with link.to(server.port) as wire, line(server, tmp_path, port=wire.port) as one:
        logs.last(url(distant), 1, one.reach)
        one.limit = afar.SECONDS
        wire.after(1000, wire.stall)  # in the middle of the question
        wanted = threading.Event()
        wanted.set()
        threading.Timer(0.3, wanted.clear).start()
        began = time.monotonic()
        with pytest.raises(reach.Away):
            logs.last(url(distant), 1, one.reach.wanting(wanted.is_set))
        assert time.monotonic() - began < afar.SECONDS - 5
        wire.go_on()


def test_who_has_lost_interest_leaves_the_line_to_the_others(
    server: sshd.Sshd, distant: pathlib.Path, tmp_path: pathlib.Path
) -> None:
    with line(server, tmp_path) as one:
        logs.last(url(distant), 1, one.reach)
        before = server.logins()
        with pytest.raises(reach.Away):
            logs.last(url(distant), 1, one.reach.wanting(lambda: False))
        assert texts(logs.last(url(distant), 1, one.reach)) == ["last line"]
        assert server.logins() == before
