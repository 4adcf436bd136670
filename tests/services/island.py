"""A network of its own, with nothing in it but loopback: from it nobody is reached, but over ports that were opened on purpose.

Its processes see our files; only ``nsenter`` leads in. Needs root, unshare(1), nsenter(1) and ip(8).
"""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
import types
from collections.abc import Sequence
from typing import Self

_OPEN = """
import socket, sys
listener = socket.create_server(("127.0.0.1", int(sys.argv[1])))
with socket.socket(fileno=int(sys.argv[2])) as test:
    socket.send_fds(test, [b"x"], [listener.fileno()])
"""


class Island:
    """The network, as long as somebody lives in it."""

    @classmethod
    def unable(cls) -> str:
        """Why it can't be had here; empty if it can."""
        if os.geteuid():
            return "the right to make a network (root)"
        lacking = [name for name in ("unshare", "nsenter", "ip") if not shutil.which(name)]
        if lacking:
            return ", ".join(lacking)
        tried = subprocess.run(["unshare", "-n", "ip", "link", "set", "lo", "up"], capture_output=True, check=False)
        return "" if tried.returncode == 0 else "the right to make a network"

    def __enter__(self) -> Self:
        life = 'ip link set lo up && echo up && exec sleep "$0"'
        self._inhabitant = subprocess.Popen(["unshare", "-n", "sh", "-c", life, "3600"], stdout=subprocess.PIPE)
        assert self._inhabitant.stdout
        assert self._inhabitant.stdout.readline() == b"up\n"
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: types.TracebackType | None
    ) -> None:
        self._inhabitant.kill()
        self._inhabitant.wait()
        assert self._inhabitant.stdout
        self._inhabitant.stdout.close()

    @property
    def before(self) -> list[str]:
        """The words before a command that is to run there."""
        return ["nsenter", "-t", str(self._inhabitant.pid), "-n", "--"]

    def say(self, *command: str) -> str:
        """What a command says there."""
        return subprocess.run([*self.before, *command], capture_output=True, text=True, check=True, timeout=60).stdout

    def open(self, port: int) -> socket.socket:
        """Who listens on a port of its loopback; whoever connects to it is in our hands."""
        ours, theirs = socket.socketpair()
        with ours, theirs:
            words: Sequence[str] = [sys.executable, "-c", _OPEN, str(port), str(theirs.fileno())]
            subprocess.run([*self.before, *words], pass_fds=[theirs.fileno()], check=True, timeout=60)
            _, [descriptor], _, _ = socket.recv_fds(ours, 1, 1)
        return socket.socket(fileno=descriptor)

    def reaches(self, address: str, port: int) -> str:
        """What a connection from there to an address comes to: empty if it is made, else why not."""
        code = "import socket, sys\ntry: socket.create_connection((sys.argv[1], int(sys.argv[2])), 5).close()\nexcept OSError as e: print(e)"
        return self.say(sys.executable, "-c", code, address, str(port)).strip()
