"""Commands on another machine, over a real sshd: what is said arrives as it is, and what goes wrong is told, never guessed."""

from __future__ import annotations

import contextlib
import getpass
import os
import pathlib
import shlex
import shutil
import signal
import subprocess
import tempfile
import threading
import time
from collections.abc import Callable, Iterator

import hypothesis
import pytest
from hypothesis import strategies

from production import errors
from production.batch import shell as shells
from production.batch import there
from production.ssh import config, connection
from production.ssh import patience as patience_
from tests.services import daemon, link, sshd

pytestmark = pytest.mark.feature("PC-02")

ODD = [
    "",
    " ",
    "a b",
    "'",
    '"',
    "\\",
    "$HOME",
    "`id`",
    "$(id)",
    "!",
    "!!",
    "x\ny",
    "\n",
    "\t",
    "%d %s",
    "*",
    "~",
    "-n",
    "#",
    "μ⁺",
    "\\n",
    "^a^b",
]
LOGINS = {"rpbash": "bash", "rpdash": "dash", "rpzsh": "zsh", "rpfish": "fish", "rptcsh": "tcsh"}
"""{account: its login shell}"""
RUNNING = f"rp-there-{os.getpid()}-{time.time_ns()}"


@pytest.fixture(scope="session")
def place() -> Iterator[pathlib.Path]:
    """A directory that other users can enter."""
    with tempfile.TemporaryDirectory(prefix="rp-ssh-", dir="/tmp", ignore_cleanup_errors=True) as directory:
        path = pathlib.Path(directory)
        path.chmod(0o755)
        yield path


@pytest.fixture(scope="session")
def server(place: pathlib.Path, need: Callable[[str, object], object]) -> Iterator[sshd.Sshd]:
    """One that nothing happens to."""
    reason = sshd.Sshd.unable()
    need(reason, not reason)
    with sshd.Sshd(place / "server") as one:
        yield one


@pytest.fixture
def user() -> str:
    """Somebody who may log in."""
    return sshd.account("rpdash", "/bin/sh") if os.geteuid() == 0 else getpass.getuser()


class Desk:
    """Where we sit: a HOME with what ssh needs."""

    def __init__(self, home: pathlib.Path, stack: contextlib.ExitStack) -> None:
        self.home = home
        self._stack = stack
        self.now = 0.0

    def connection(self, name: str = "login") -> connection.Connection:
        """Its clock stands still unless it is moved, so that nobody waits for the next try."""
        host = config.find(name, str(self.home), str(self.home / "etc"))
        made = connection.Connection(host, lambda: self.now)
        self._stack.callback(made.close)
        return made

    def there(self, name: str = "login", leaving: Callable[[], bool] = lambda: False) -> there.There:
        return there.There(self.connection(name), leaving)


@pytest.fixture
def desk(tmp_path: pathlib.Path) -> Iterator[Desk]:
    before = set(threading.enumerate())
    with contextlib.ExitStack() as stack:
        yield Desk(tmp_path, stack)
    daemon.until("every thread has ended", lambda: set(threading.enumerate()) <= before)


@pytest.fixture
def run(desk: Desk, server: sshd.Sshd, user: str) -> there.There:
    """A shell on the server."""
    server.introduce(desk.home, user)
    return desk.there()


@pytest.fixture
def own(place: pathlib.Path, server: sshd.Sshd) -> Iterator[Callable[..., sshd.Sshd]]:
    """Servers that a test does something to."""
    assert server.port
    with (
        tempfile.TemporaryDirectory(dir=place, ignore_cleanup_errors=True) as directory,
        contextlib.ExitStack() as stack,  # ends first: a server is known by a file in the directory
    ):
        pathlib.Path(directory).chmod(0o755)
        numbers = iter(range(100))

        def make(*options: str, **environment: str) -> sshd.Sshd:
            path = pathlib.Path(directory, str(next(numbers)))
            return stack.enter_context(sshd.Sshd(path, environment, options))

        yield make


# --- what goes there, and what comes ----------------------------------------------------------------------------------


@pytest.mark.parametrize("name", LOGINS)
def test_whatever_the_login_shell_is(
    name: str, desk: Desk, server: sshd.Sshd, need: Callable[[str, object], object]
) -> None:
    program = str(need(LOGINS[name], shutil.which(LOGINS[name])))
    need("root, for accounts with other shells", os.geteuid() == 0)
    server.introduce(desk.home, sshd.account(name, program))
    done = desk.there().run(["printf", "%s\\0", *ODD], timeout=20)
    assert (done.stdout.split("\0")[:-1], done.stderr, done.returncode) == (ODD, "", 0)


@hypothesis.settings(max_examples=60, suppress_health_check=[hypothesis.HealthCheck.function_scoped_fixture])
@hypothesis.given(
    strategies.lists(strategies.text(strategies.characters(exclude_characters="\0", exclude_categories=["Cs"])))
)
def test_every_word_arrives_as_it_is(run: there.There, words: list[str]) -> None:
    done = run.run(["printf", "%s\\0", "", *words], timeout=20)
    assert done.stdout.split("\0")[1:-1] == words


@pytest.mark.parametrize("program", ["dash", "bash", "busybox", "zsh", "ksh"])
@hypothesis.settings(max_examples=40, suppress_health_check=[hypothesis.HealthCheck.function_scoped_fixture])
@hypothesis.given(
    words=strategies.lists(strategies.binary(min_size=0).filter(lambda word: b"\0" not in word), max_size=5)
)
def test_any_sh_reads_the_line(
    program: str, tmp_path: pathlib.Path, need: Callable[[str, object], object], words: list[bytes]
) -> None:
    """Whatever /bin/sh is there. What comes behind the line is the command's."""
    place = tmp_path / "bin" / "sh"
    if not place.exists():
        place.parent.mkdir()
        place.symlink_to(str(need(program, shutil.which(program))))
    line = there.line(["printf", "%s\\0", "", *map(os.fsdecode, words)], "mark")
    argv = shlex.split(there.LOGIN.removeprefix("exec "))
    assert argv[0] == "/bin/sh"
    done = subprocess.run([str(place), *argv[1:]], input=line, capture_output=True, check=True)
    said = done.stdout.partition(b"\n")[2].partition(b"\n")[2]
    assert said == b"\0" + b"".join(word + b"\0" for word in words) + b"\nmark 0\n"


def test_input_output_and_exit_code(run: there.There) -> None:
    sent = bytes(range(256)) * 1000 + b"no line end"
    done = run.run(["sh", "-c", "cksum; echo woe >&2; exit 7"], input=sent, timeout=20)
    here = subprocess.run(["cksum"], input=sent, capture_output=True, check=True).stdout.decode()
    assert (done.stdout, done.stderr, done.returncode) == (here, "woe\n", 7)


def test_a_command_that_reads_nothing_of_much(run: there.There) -> None:
    assert run.run(["true"], input=b"x" * 20_000_000, timeout=20).returncode == 0


def test_a_long_command_line(run: there.There) -> None:
    words = [f"{number:060d}" for number in range(1000)]
    assert run.run(["printf", "%s\n", *words], timeout=20).stdout.split() == words


def test_much_is_said_on_both_streams(run: there.There) -> None:
    done = run.run(["sh", "-c", "head -c 9000000 /dev/zero & head -c 9000000 /dev/zero >&2; wait"], timeout=60)
    assert (len(done.stdout), len(done.stderr)) == (9_000_000, 9_000_000)


def test_too_much_is_said(run: there.There, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(errors.BatchUnanswered, match="said more than 64 MB on login"):
        run.run(["head", "-c", str(shells.LONGEST + (8 << 20)), "/dev/zero"], timeout=60)


@pytest.mark.parametrize("mine", [{}, {"SQUEUE_STATES": "R", "SACCT_X": "a b", "SLURM_CONF": "c", "LC_ALL": "de_DE"}])
def test_the_environment_is_as_here(desk: Desk, own: Callable[..., sshd.Sshd], user: str, mine: dict[str, str]) -> None:
    own(**mine).introduce(desk.home, user)
    said = desk.there().run(["env"], timeout=20).stdout.splitlines()
    assert {"LC_ALL=C", "SLURM_TIME_FORMAT=%s"} <= set(said)
    assert not [line for line in said if line.startswith(("SQUEUE_", "SACCT_"))]
    assert ("SLURM_CONF=c" in said) == bool(mine)


def test_a_command_that_is_not_there(run: there.There) -> None:
    with pytest.raises(errors.BatchError, match="squeueue is not on the PATH of login") as told:
        run.run(["squeueue"], timeout=20)
    assert not isinstance(told.value, errors.BatchUnanswered)
    assert run.missing(["sh", "squeueue", "ls"], 20) == ["squeueue"]


def test_a_command_that_is_killed(run: there.There) -> None:
    with pytest.raises(errors.BatchUnanswered, match="sh was killed by SIGKILL on login"):
        run.run(["sh", "-c", "kill -9 $$"], timeout=20)


# --- logins that have something to say --------------------------------------------------------------------------------

NOISE = {
    "bash": (".bashrc", "echo welcome; echo 'quota: 99 %' >&2\n"),
    "zsh": (".zshenv", "echo welcome; echo 'quota: 99 %' >&2\n"),
    "fish": (".config/fish/config.fish", "echo welcome; echo 'quota: 99 %' >&2\n"),
    "tcsh": (".tcshrc", "echo welcome\nsh -c 'echo quota >&2'\n"),
}


@pytest.mark.parametrize("program", NOISE)
def test_a_login_s_own_words_are_nobody_s_answer(
    program: str, desk: Desk, own: Callable[..., sshd.Sshd], need: Callable[[str, object], object]
) -> None:
    need("root, for accounts with other shells", os.geteuid() == 0)
    server = own()
    name, text = NOISE[program]
    (server.home / name).parent.mkdir(parents=True, exist_ok=True)
    (server.home / name).write_text(text + (f"touch {server.home}/was-read\n"))
    for path in server.home.rglob("*"):
        path.chmod(0o777)
    server.introduce(desk.home, sshd.account(f"rp{program}", str(need(program, shutil.which(program)))))
    shell = desk.there()
    done = shell.run(["sh", "-c", "printf out; printf err >&2; exit 3"], timeout=20)
    assert (done.stdout, done.stderr, done.returncode) == ("out", "err", 3)
    assert (server.home / "was-read").exists()
    with pytest.raises(errors.BatchError, match="is not on the PATH"):
        shell.run(["squeueue"], timeout=20)


def test_a_banner(desk: Desk, own: Callable[..., sshd.Sshd], user: str, tmp_path: pathlib.Path) -> None:
    (tmp_path / "banner").write_text("Authorised use only\n" * 50)
    own(f"Banner {tmp_path}/banner").introduce(desk.home, user)
    assert desk.there().run(["echo", "x"], timeout=20).stdout == "x\n"


def test_a_login_that_lets_nothing_run(desk: Desk, server: sshd.Sshd, need: Callable[[str, object], object]) -> None:
    need("root, for an account without a shell", os.geteuid() == 0)
    server.introduce(desk.home, sshd.account("rpnobody", "/usr/sbin/nologin"))
    with pytest.raises(errors.BatchUnanswered, match="the login on login ended before it was run: This account is"):
        desk.there().run(["true"], timeout=20)


# --- time -------------------------------------------------------------------------------------------------------------


def running(word: str) -> list[int]:
    """Processes that have the word in their command line."""
    found = []
    for path in pathlib.Path("/proc").glob("[0-9]*/cmdline"):
        with contextlib.suppress(OSError):
            if word.encode() in path.read_bytes().split(b"\0"):
                found.append(int(path.parent.name))
    return found


def test_a_command_that_takes_too_long_is_ended_there(run: there.There) -> None:
    run.run(["true"], timeout=20)  # to log in takes its time, too
    began = time.monotonic()
    with pytest.raises(errors.BatchUnanswered, match=r"sh took longer than 3 s on login"):
        run.run(["sh", "-c", "sleep 600 & sleep 600", RUNNING], timeout=3)
    assert time.monotonic() - began < 60
    daemon.until("it is gone", lambda: not running(RUNNING))
    assert run.run(["echo", "x"], timeout=20).stdout == "x\n"


def test_who_wants_to_leave_waits_for_no_command(desk: Desk, server: sshd.Sshd, user: str) -> None:
    server.introduce(desk.home, user)
    leaving = threading.Event()
    shell = desk.there(leaving=leaving.is_set)
    threading.Timer(0.5, leaving.set).start()
    began = time.monotonic()
    with pytest.raises(errors.BatchUnanswered, match="the manager is leaving"):
        shell.run(["sleep", "30"], timeout=60)
    assert time.monotonic() - began < 20


def test_what_a_command_leaves_behind_is_not_waited_for(run: there.There) -> None:
    assert run.run(["sh", "-c", "sleep 40 & echo x"], timeout=20).stdout == "x\n"


# --- many at once -----------------------------------------------------------------------------------------------------


def many(shell: there.There, number: int, seconds: str = "0.3") -> list[str]:
    """What so many commands side by side say."""
    said: list[str] = []

    def one(word: str) -> None:
        said.append(shell.run(["sh", "-c", f"sleep {seconds}; echo $0", word], timeout=60).stdout.strip())

    threads = [threading.Thread(target=one, args=(str(word),)) for word in range(number)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    return sorted(said, key=int)


def test_threads_share_one_connection(desk: Desk, own: Callable[..., sshd.Sshd], user: str) -> None:
    server = own()
    server.introduce(desk.home, user)
    assert many(desk.there(), 20) == [str(word) for word in range(20)]
    assert (server.logins(), server.commands()) == (1, 20)


@pytest.mark.parametrize("most", [1, 2])
def test_a_server_that_takes_few_at_a_time(desk: Desk, own: Callable[..., sshd.Sshd], user: str, most: int) -> None:
    server = own(f"MaxSessions {most}")
    server.introduce(desk.home, user)
    assert many(desk.there(), 6) == [str(word) for word in range(6)]
    assert (server.logins(), server.commands()) == (1, 6)


# --- who it is, who we are --------------------------------------------------------------------------------------------


def test_a_host_that_nobody_knows(desk: Desk, server: sshd.Sshd, user: str) -> None:
    server.introduce(desk.home, user)
    known = desk.home / ".ssh/known_hosts"
    known.write_text("")
    with pytest.raises(errors.RemoteRefused, match="its host key is not known") as told:
        desk.connection().greet(patience_.of(20))
    line = str(told.value).partition("then run: ")[2]
    assert line == f"ssh-keyscan -p {server.port} -t ed25519 127.0.0.1 >>{known}"
    assert known.read_text() == ""
    subprocess.run(["sh", "-c", line], check=True, capture_output=True)
    desk.connection().greet(patience_.of(20))


def test_a_host_that_has_changed_since(desk: Desk, own: Callable[..., sshd.Sshd], user: str) -> None:
    """Between two connections; the lines that it tells mend it."""
    server = own()
    server.introduce(desk.home, user)
    shell = desk.there()
    assert shell.run(["echo", "x"], timeout=20).stdout == "x\n"
    server.stop()
    server.new_host_key()
    server.start()
    with pytest.raises(errors.BatchUnanswered, match="host key CHANGED") as told:
        shell.run(["echo", "x"], timeout=20)
    first, second = str(told.value).partition("new one: ")[2].split(", then ")
    for line in (first, second):
        subprocess.run(["sh", "-c", line], check=True, capture_output=True)
    desk.now += connection.REFUSED_PAUSES[0]
    assert shell.run(["echo", "x"], timeout=20).stdout == "x\n"
    assert server.commands() == 2


def test_a_wrong_key(desk: Desk, server: sshd.Sshd, user: str) -> None:
    server.introduce(desk.home, user)
    identity = desk.home / ".ssh/id_test"
    identity.unlink()
    sshd.make_key(identity)
    with pytest.raises(errors.RemoteRefused, match=f"login doesn't let {user} in; it takes: publickey; make this work"):
        desk.connection().greet(patience_.of(20))


@pytest.mark.parametrize(
    ("what", "said"),
    [
        ("missing", "id_test is not there"),
        ("open", "id_test may be read by others: chmod 600 it"),
        ("junk", "id_test: is no key"),
    ],
)
def test_a_key_that_cannot_be_used(desk: Desk, server: sshd.Sshd, user: str, what: str, said: str) -> None:
    server.introduce(desk.home, user)
    identity = desk.home / ".ssh/id_test"
    {"missing": identity.unlink, "open": lambda: identity.chmod(0o644), "junk": lambda: identity.write_text("x")}[
        what
    ]()
    with pytest.raises(errors.RemoteRefused, match=said) as told:
        desk.connection().greet(patience_.of(20))
    assert "\n" not in str(told.value)


def test_a_key_with_a_passphrase(desk: Desk, own: Callable[..., sshd.Sshd], user: str) -> None:
    """Asked for once; when the connection breaks it is still known. Without anybody to ask there is a line that helps."""
    server = own()
    subprocess.run(["ssh-keygen", "-q", "-p", "-N", "secret word", "-f", str(server.identity)], check=True, stdin=subprocess.DEVNULL, capture_output=True)  # fmt: skip
    server.introduce(desk.home, user)
    with pytest.raises(
        errors.RemoteRefused, match=r"has a passphrase and nobody can be asked: ssh-add \S+id_test"
    ) as told:
        desk.connection().greet(patience_.of(20))
    assert "secret" not in str(told.value)
    asked = []

    def answer(question: str, seen: bool) -> str:
        asked.append((question, seen))
        return "secret word"

    way = desk.connection()
    way.greet(patience_.of(20), answer)
    server.sever()
    assert there.There(way).run(["echo", "x"], timeout=20).stdout == "x\n"
    assert asked == [(f"Passphrase of {desk.home}/.ssh/id_test: ", False)]
    wrong = desk.connection()
    with pytest.raises(errors.RemoteRefused, match="the passphrase is wrong"):
        wrong.greet(patience_.of(20), lambda *_: "another")


def test_a_key_that_only_the_agent_has(
    desk: Desk, server: sshd.Sshd, user: str, monkeypatch: pytest.MonkeyPatch, need: Callable[[str, object], object]
) -> None:
    server.introduce(desk.home, user)
    need("ssh-agent", shutil.which("ssh-agent"))
    identity = desk.home / ".ssh/id_test"
    place = str(desk.home / "agent")
    with subprocess.Popen(["ssh-agent", "-D", "-a", place], stdout=subprocess.DEVNULL) as agent:
        try:
            daemon.until("the agent listens", lambda: daemon.listens(pathlib.Path(place)))
            monkeypatch.setenv("SSH_AUTH_SOCK", place)
            subprocess.run(["ssh-add", "-q", str(identity)], check=True, capture_output=True)
            identity.unlink()
            desk.connection().greet(patience_.of(20))
        finally:
            agent.terminate()
    with pytest.raises(errors.RemoteRefused, match="doesn't let"):
        desk.connection().greet(patience_.of(20))


def test_a_password_is_asked_for_only_where_nothing_else_opens(
    desk: Desk, own: Callable[..., sshd.Sshd], need: Callable[[str, object], object]
) -> None:
    need("root, for an account with a password", os.geteuid() == 0)
    server = own("PasswordAuthentication yes")
    name = sshd.account("rpword", "/bin/sh")
    subprocess.run(["chpasswd"], input=f"{name}:tau and mu", text=True, check=True)
    server.introduce(desk.home, name)
    asked = []

    def answer(question: str, seen: bool) -> str:
        asked.append((question, seen))
        return "tau and mu"

    desk.connection().greet(patience_.of(20), answer)
    assert not asked
    (desk.home / ".ssh/id_test").unlink()
    way = desk.connection()
    way.greet(patience_.of(20), answer)
    server.sever()
    assert there.There(way).run(["id", "-un"], timeout=20).stdout == f"{name}\n"
    assert asked == [(f"Password of {name}@login: ", False)]
    with pytest.raises(errors.RemoteRefused, match="it takes: publickey, password") as told:
        desk.connection().greet(patience_.of(20))
    assert "tau" not in str(told.value)


def test_a_key_and_a_password(desk: Desk, own: Callable[..., sshd.Sshd], need: Callable[[str, object], object]) -> None:
    """Where the server wants one after the other."""
    need("root, for an account with a password", os.geteuid() == 0)
    server = own("PasswordAuthentication yes", "AuthenticationMethods publickey,password")
    name = sshd.account("rpword", "/bin/sh")
    subprocess.run(["chpasswd"], input=f"{name}:tau and mu", text=True, check=True)
    server.introduce(desk.home, name)
    with pytest.raises(errors.RemoteRefused, match="it takes: password"):
        desk.connection().greet(patience_.of(20))
    way = desk.connection()
    way.greet(patience_.of(20), lambda *_: "tau and mu")
    server.sever()
    assert there.There(way).run(["id", "-un"], timeout=20).stdout == f"{name}\n"


def test_more_keys_than_the_server_has_patience_for(
    desk: Desk,
    own: Callable[..., sshd.Sshd],
    user: str,
    monkeypatch: pytest.MonkeyPatch,
    need: Callable[[str, object], object],
) -> None:
    server = own("MaxAuthTries 4")
    server.introduce(desk.home, user)
    need("ssh-agent", shutil.which("ssh-agent"))
    (desk.home / ".ssh/id_test").unlink()
    place = str(desk.home / "agent")
    with subprocess.Popen(["ssh-agent", "-D", "-a", place], stdout=subprocess.DEVNULL) as agent:
        try:
            daemon.until("the agent listens", lambda: daemon.listens(pathlib.Path(place)))
            monkeypatch.setenv("SSH_AUTH_SOCK", place)
            for number in range(6):
                sshd.make_key(desk.home / f"key{number}")
                subprocess.run(["ssh-add", "-q", str(desk.home / f"key{number}")], check=True, capture_output=True)
            with pytest.raises(
                errors.RemoteRefused, match=r"broke off the login of \w+ after \d keys; name the right one"
            ):
                desk.connection().greet(patience_.of(20))
        finally:
            agent.terminate()


# --- lines that break -------------------------------------------------------------------------------------------------


def test_nobody_listens(desk: Desk, own: Callable[..., sshd.Sshd], user: str) -> None:
    server = own()
    server.introduce(desk.home, user)
    server.stop()
    shell = desk.there()
    with pytest.raises(
        errors.BatchUnanswered, match=r"^no connection to login \(127.0.0.1 port \d+\): Connection refused"
    ):
        shell.run(["true"], timeout=20)
    server.start()
    with pytest.raises(errors.BatchUnanswered, match="Connection refused"):  # not tried again so soon
        shell.run(["true"], timeout=20)
    desk.now += connection.PAUSES[0]
    assert shell.run(["true"], timeout=20).returncode == 0


def test_a_server_that_dies_in_the_middle(desk: Desk, own: Callable[..., sshd.Sshd], user: str) -> None:
    """What it ran may have been done, or not: nobody knows. The next command is answered by the one that comes after it."""
    server = own()
    server.introduce(desk.home, user)
    shell = desk.there()
    begun = server.home / "begun"

    def die() -> None:
        daemon.until("the command runs", begun.exists)
        server.stop()

    stopping = threading.Thread(target=die)
    stopping.start()
    with pytest.raises(errors.BatchUnanswered, match="sh: the connection to login broke"):
        shell.run(["sh", "-c", 'echo 4711; touch "$0"; sleep 40', str(begun)], timeout=30)
    stopping.join()
    server.start()
    assert shell.run(["echo", "x"], timeout=20).stdout == "x\n"


def test_a_connection_that_died_while_nobody_looked(desk: Desk, own: Callable[..., sshd.Sshd], user: str) -> None:
    server = own()
    server.introduce(desk.home, user)
    shell = desk.there()
    for number in range(1, 4):
        assert shell.run(["echo", "x"], timeout=20).stdout == "x\n"
        assert server.logins() == number
        server.sever()


def test_a_line_that_garbles_what_comes(desk: Desk, server: sshd.Sshd, user: str) -> None:
    """As one that breaks; if nothing was asked yet, the connection is made anew."""
    with link.to(server.port) as line:
        server.introduce(desk.home, user, port=line.port)
        shell = desk.there()
        assert shell.run(["true"], timeout=20).returncode == 0
        line.garble()
        assert shell.run(["echo", "x"], timeout=20).stdout == "x\n"
        line.after(400, line.garble)
        with pytest.raises(errors.BatchUnanswered, match=r"login.*broke"):
            shell.run(["sh", "-c", "sleep 1; echo 4711"], timeout=20)
        desk.now += connection.PAUSES[1]
        assert shell.run(["echo", "x"], timeout=20).stdout == "x\n"


@pytest.mark.parametrize("how", ["cut", "stall"])
def test_a_line_that_breaks_after_the_question(desk: Desk, server: sshd.Sshd, user: str, how: str) -> None:
    """The command was given, its answer is lost; a line that stands still is given up and made anew."""
    with link.to(server.port) as line:
        server.introduce(desk.home, user, port=line.port)
        shell = desk.there()
        assert shell.run(["true"], timeout=20).returncode == 0
        line.after(200, line.cut if how == "cut" else line.stall)
        began = time.monotonic()
        with pytest.raises(
            errors.BatchUnanswered, match="broke" if how == "cut" else "no answer in time|took longer|broke"
        ):
            shell.run(["sh", "-c", "sleep 1; echo 4711"], timeout=4)
        assert time.monotonic() - began < 30
        line.cut()
        line.go_on()
        desk.now += connection.PAUSES[1]
        assert shell.run(["echo", "x"], timeout=20).stdout == "x\n"


def test_a_line_that_stands_still_while_it_is_made(desk: Desk, server: sshd.Sshd, user: str) -> None:
    with link.to(server.port) as line:
        server.introduce(desk.home, user, port=line.port)
        line.stall()
        shell = desk.there()
        began = time.monotonic()
        with pytest.raises(errors.BatchUnanswered, match="no connection to login: no answer in time"):
            shell.run(["true"], timeout=2)
        assert time.monotonic() - began < connection.CONNECT


def test_somebody_else_listens_there(desk: Desk, server: sshd.Sshd, user: str) -> None:
    with link.to(server.port) as line:
        server.introduce(desk.home, user, port=line.port)
        line.refuse()
        with pytest.raises(errors.BatchUnanswered, match="no connection to login: "):
            desk.there().run(["true"], timeout=20)


def test_over_other_hosts(desk: Desk, server: sshd.Sshd, user: str) -> None:
    """The same server twice in a row, and then itself."""
    server.introduce(desk.home, user, "inner", more=f"    ProxyJump {user}@gate,door")
    text = (desk.home / ".ssh/config").read_text()
    more = sshd.CLIENT.format(
        name="gate door", port=server.port, user=user, identity=desk.home / ".ssh/id_test", more=""
    )
    (desk.home / ".ssh/config").write_text(text + more)
    before = server.logins()
    shell = desk.there("inner")
    assert shell.run(["echo", "x"], timeout=30).stdout == "x\n"
    assert server.logins() == before + 3
    server.sever()
    assert shell.run(["echo", "y"], timeout=30).stdout == "y\n"
    (desk.home / ".ssh/config").write_text(text.replace(",door", "") + more.replace(f"Port {server.port}", "Port 1"))
    with pytest.raises(errors.BatchUnanswered, match=r"no connection to \S+gate .*Connection refused"):
        desk.there("inner").run(["true"], timeout=20)


def test_nothing_is_logged_and_no_thread_stays(
    desk: Desk, server: sshd.Sshd, user: str, caplog: pytest.LogCaptureFixture
) -> None:
    before = set(threading.enumerate())
    server.introduce(desk.home, user)
    shell = desk.there()
    shell.run(["true"], timeout=20)
    server.sever()
    shell.run(["true"], timeout=20)
    shell.close()
    daemon.until("every thread has ended", lambda: set(threading.enumerate()) <= before)
    assert not caplog.records


def test_signals_are_for_the_main_thread_alone(run: there.There) -> None:
    """Else the kernel might give a Ctrl-C to a thread that can't answer it."""
    tasks = pathlib.Path("/proc/self/task")
    before = set(tasks.iterdir())
    run.run(["true"], timeout=20)
    new = set(tasks.iterdir()) - before
    assert new
    for task in new:
        with contextlib.suppress(FileNotFoundError, ProcessLookupError):
            blocked = next(line for line in (task / "status").read_text().splitlines() if line.startswith("SigBlk"))
            assert int(blocked.split()[1], 16) & (1 << (signal.SIGINT - 1)), (task / "comm").read_text()
