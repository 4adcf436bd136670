"""A login node: the system's sshd on loopback with a port, a host key and a directory of its own, and who may log in there.

``python -m tests.services.sshd start|stop DIRECTORY``. Login is by key only. Sessions get their variables from one SetEnv
line; their HOME, too, whatever the account's is. As root everybody may log in, else only ourselves.
"""

from __future__ import annotations

import argparse
import contextlib
import getpass
import os
import pathlib
import pwd
import re
import shutil
import signal
import subprocess
import sys
import types
from collections.abc import Iterator, Mapping
from typing import Self

from tests.services import daemon, packages

CONFIGURATION = """
ListenAddress 127.0.0.1
Port {port}
HostKey {directory}/host_key
PidFile none
AuthorizedKeysFile {directory}/authorized_keys
PubkeyAuthentication yes
PasswordAuthentication no
KbdInteractiveAuthentication no
PermitRootLogin prohibit-password
StrictModes no
UsePAM no
UseDNS no
PrintMotd no
LogLevel VERBOSE
Subsystem sftp internal-sftp
AllowTcpForwarding yes
SetEnv {variables}
{more}
"""

CLIENT = """
Host {name}
    HostName 127.0.0.1
    Port {port}
    User {user}
    IdentityFile {identity}
{more}
"""


class Sshd:
    """``options`` are lines of sshd_config that go before ours: ``MaxSessions 2``."""

    def __init__(
        self,
        directory: pathlib.Path,
        environment: Mapping[str, str] | None = None,
        options: tuple[str, ...] = (),
        home: pathlib.Path | None = None,
    ) -> None:
        self.directory = directory.resolve()
        self.options = options
        self.without = ""
        """How lines begin that its configuration is to lack."""
        self.home = home or self.directory / "home"
        self.port = 0
        self.variables = {"PATH": packages.PLACES, **(environment or {}), "HOME": str(self.home)}

    @classmethod
    def unable(cls) -> str:
        """Why it can't be had here; empty if it can."""
        return packages.unable(packages.SSH)

    @property
    def _daemon(self) -> daemon.Daemon:
        return daemon.Daemon("sshd", self.directory / "log")

    @property
    def identity(self) -> pathlib.Path:
        """The key that opens it."""
        return self.directory / "identity"

    def start(self) -> None:
        """It answers when this returns. A second start has the same port and host key, if there still is one."""
        packages.install(packages.SSH)
        self.directory.mkdir(parents=True, exist_ok=True)
        if not self.home.exists():
            self.home.mkdir()
            self.home.chmod(0o777)
        for name in ("host_key", "identity"):
            if not (self.directory / name).exists():
                make_key(self.directory / name)
        shutil.copy(self.identity.with_suffix(".pub"), self.directory / "authorized_keys")
        (self.directory / "authorized_keys").chmod(0o644)
        if os.geteuid() == 0:
            pathlib.Path("/run/sshd").mkdir(mode=0o755, exist_ok=True)
        self.port = self.port or daemon.free_ports(1)[0]
        variables = " ".join(f'"{name}={value}"' for name, value in self.variables.items())
        text = CONFIGURATION.format(port=self.port, directory=self.directory, variables=variables, more="")
        configuration = self.directory / "sshd_config"
        lines = [line for line in text.splitlines() if not self.without or not line.startswith(self.without)]
        configuration.write_text("\n".join((*self.options, *lines)) + "\n")
        self._daemon.start([shutil.which("sshd", path=packages.PLACES) or "sshd", "-D", "-e", "-f", configuration],
                           {"PATH": packages.PLACES}, getpass.getuser() if os.geteuid() else "root")  # fmt: skip
        self._daemon.until("sshd listens", lambda: self.log.count("Server listening") > self._starts)
        self._starts += 1

    _starts = 0

    def stop(self) -> None:
        """It, and everybody's connection, also one that comes just now; what they began goes on."""
        self._daemon.send(signal.SIGSTOP)
        daemon.until("nobody is let in any more", self._stands)
        self.sever()
        self._daemon.stop(signal.SIGKILL)

    def _stands(self) -> bool:
        pid = self._daemon.pid()
        return not pid or any(one == pid and state == "T" for one, _, _, state in sshds())

    def sever(self) -> None:
        """Every connection is gone at once, as if the machine had died; the next one is let in."""
        listener = self._daemon.pid()
        sessions = {pid for pid, parent, _, _ in sshds() if listener and parent == listener}

        def gone() -> bool:
            """One that logs in just now begins further processes meanwhile; one that was let in just now isn't a session yet."""
            left = [pid for pid, _, session, _ in sshds() if {pid, session} & sessions]
            for pid in left:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            return not left

        daemon.until("every connection is gone", gone)

    @property
    def log(self) -> str:
        try:
            return self._daemon.log.read_text(errors="replace")
        except FileNotFoundError:
            return ""

    def commands(self) -> int:
        """How many were asked for so far."""
        return len(re.findall(r"Starting session: command", self.log))

    def logins(self) -> int:
        """How many were let in so far."""
        return len(re.findall(r"^Accepted \S+ for ", self.log, re.MULTILINE))

    def new_host_key(self) -> None:
        """From its next start on it shows another."""
        for path in self.directory.glob("host_key*"):
            path.unlink()

    @property
    def known_host(self) -> str:
        """Its line in a known_hosts file."""
        kind, key, *_ = (self.directory / "host_key.pub").read_text().split()
        return f"[127.0.0.1]:{self.port} {kind} {key}"

    def introduce(self, home: pathlib.Path, user: str, name: str = "login", port: int = 0, more: str = "") -> None:
        """Write what a user of ``ssh`` has in HOME; whoever's the directory is. ``port``: of what stands before it."""
        place = home / ".ssh"
        place.mkdir(mode=0o700, exist_ok=True)
        shutil.copy(self.identity, place / "id_test")
        (place / "id_test").chmod(0o600)
        (place / "known_hosts").write_text(self.known_host.replace(f":{self.port}", f":{port or self.port}") + "\n")
        text = CLIENT.format(name=name, port=port or self.port, user=user, identity=place / "id_test", more=more)
        (place / "config").write_text(text)
        (place / "config").chmod(0o600)
        owner = home.stat()
        for path in (place, *place.iterdir()):
            os.chown(path, owner.st_uid, owner.st_gid)

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: types.TracebackType | None
    ) -> None:
        self.stop()


def sshds() -> Iterator[tuple[int, int, int, str]]:
    """Process, parent, session and state of everything that is called sshd; each connection is a session."""
    for place in pathlib.Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(FileNotFoundError, ProcessLookupError):
            name, _, rest = (place / "stat").read_text().partition("(")[2].rpartition(")")
            state, parent, _, session = rest.split()[:4]
            if name == "sshd" and state not in "ZX":
                yield int(place.name), int(parent), int(session), state


def make_key(path: pathlib.Path, passphrase: str = "", kind: str = "ed25519") -> None:
    """A new key and, beside it, its public half."""
    subprocess.run(
        ["ssh-keygen", "-q", "-t", kind, "-N", passphrase, "-C", "test", "-f", str(path)],
        check=True, capture_output=True, stdin=subprocess.DEVNULL,
    )  # fmt: skip


def account(name: str, shell: str) -> str:
    """An account with this login shell that may log in by key; made when lacking, and left. Needs root."""
    try:
        pwd.getpwnam(name)
    except KeyError:
        subprocess.run(["useradd", "-M", "-U", "-s", shell, name], check=True, capture_output=True)
    # a "!" in its place would be a locked account, which gets in by no key
    subprocess.run(["usermod", "-p", "*", "-s", shell, name], check=True, capture_output=True)
    return name


def main(words: list[str]) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=["start", "stop"])
    parser.add_argument("directory", type=pathlib.Path)
    said = parser.parse_args(words)
    one = Sshd(said.directory)
    if said.what == "stop":
        one.stop()
        return 0
    one.start()
    print(f"ssh -p {one.port} -i {one.identity} 127.0.0.1  # {one.known_host}")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
