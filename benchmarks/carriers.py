"""What brings files in ``transfers`` and ``remote``, and who serves them if vsftpd isn't there: each a process of its own.

``python -m benchmarks.carriers ours|bare|copy|get|put SOURCE DIRECTORY CONNECTIONS`` brings the files that its input names, one
a line, and prints what that cost, as JSON. ``python -m benchmarks.carriers serve DIRECTORY`` prints its port.
"""

from __future__ import annotations

import concurrent.futures
import ftplib
import importlib
import io
import json
import netrc
import os
import re
import sys
import time
import urllib.parse
from collections.abc import Callable, Sequence

from production import clock
from production.ssh import config, connection, files
from production.transfer import ftp, porter

BLOCK = 256 << 10
AHEAD = 20
"""Files ordered at a time, as with ``--nprep=20``."""


def ours(source: str, directory: str, connections: int, names: Sequence[str]) -> None:
    """As the manager does: some are ordered ahead, and each that has come makes room for another."""
    left, coming = list(reversed(names)), 0
    ticking, archive = clock.SystemClock(), ftp.Ftp(source, ftp.Options(netrc="netrc"))
    carrier = porter.Threads(archive, ticking, connections)
    while left or coming:
        while left and coming < AHEAD:
            name = left.pop()
            carrier.start(name, os.path.join(directory, name))
            coming += 1
        ticking.wait(1.0)
        done = {local: how.error for local, how in carrier.progress().items() if how.done}
        for error in filter(None, done.values()):
            raise error
        carrier.forget(list(done))
        coming -= len(done)
    carrier.close()
    archive.close()


def bare(source: str, directory: str, connections: int, names: Sequence[str]) -> None:
    """ftplib with a large buffer and a kept connection a thread: no size, no checksum, no sync, no rename."""
    url = urllib.parse.urlsplit(source)
    host, port, path = str(url.hostname), url.port or 21, url.path[1:]
    user, _, password = netrc.netrc("netrc").hosts[host]

    def bring(some: Sequence[str]) -> None:
        buffer = memoryview(bytearray(BLOCK))
        connection = ftplib.FTP(encoding="utf-8")  # noqa: S321 -- FTP is what we measure
        connection.connect(host, port)
        connection.login(user, password)
        connection.voidcmd("TYPE I")
        for name in some:
            with connection.transfercmd(f"RETR {path}/{name}") as data, _new(directory, name) as file:
                while count := data.recv_into(buffer):
                    file.write(buffer[:count])
            connection.voidresp()
        connection.quit()

    _side_by_side(bring, [names[each::connections] for each in range(connections)])


def copy(source: str, directory: str, connections: int, names: Sequence[str]) -> None:
    """From disk to disk, each file synced: what our disk takes."""

    def bring(some: Sequence[str]) -> None:
        buffer = memoryview(bytearray(BLOCK))
        for name in some:
            with open(os.path.join(source, name), "rb", buffering=0) as old, _new(directory, name) as new:
                while count := old.readinto(buffer):
                    new.write(buffer[:count])
                os.fsync(new.fileno())

    _side_by_side(bring, [names[each::connections] for each in range(connections)])


def _far(
    carry: Callable[[files.Files, str, str], object], names: Sequence[str], connections: int, *places: str
) -> None:
    """Over one connection, the login included."""
    way = connection.Connection(config.find("login", os.path.expanduser("~")))
    there = files.Files(way)

    def bring(some: Sequence[str]) -> None:
        for name in some:
            carry(there, *(os.path.join(place, name) for place in places))

    _side_by_side(bring, [names[each::connections] for each in range(connections)])
    there.close()
    way.close()


def get(source: str, directory: str, connections: int, names: Sequence[str]) -> None:
    """From the machine that ~/.ssh/config calls login: checksum, fsync, rename."""
    _far(lambda there, one, other: there.fetch(one, other, _nobody), names, connections, source, directory)


def put(source: str, directory: str, connections: int, names: Sequence[str]) -> None:
    """To it, as carefully."""
    _far(lambda there, one, other: there.send(one, other, _nobody), names, connections, source, directory)


def _nobody(_count: int) -> None:
    """Nobody wants to know how far it is."""


def _side_by_side(bring: Callable[[Sequence[str]], None], shares: Sequence[Sequence[str]]) -> None:
    with concurrent.futures.ThreadPoolExecutor(len(shares)) as threads:
        list(threads.map(bring, shares))


def _new(directory: str, name: str) -> io.FileIO:
    return io.FileIO(os.path.join(directory, name), "x")


def _most_memory() -> int:
    """Bytes, of this process since it began: the rusage would count its parent's, too."""
    with open("/proc/self/status", encoding="ascii") as file:
        match = re.search(r"VmHWM:\s+(\d+) kB", file.read())
    assert match
    return 1024 * int(match[1])


def _measured(bring: Callable[[str, str, int, Sequence[str]], None], words: Sequence[str]) -> None:
    """From here on: a manager has started long before it brings a file."""
    source, directory, connections = words
    names = sys.stdin.read().split()
    wall, cpu = time.perf_counter(), time.process_time()
    bring(source, directory, int(connections), names)
    wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
    print(json.dumps({"wall": wall, "cpu": cpu, "peak": _most_memory()}))


def serve(directory: str) -> None:
    """pyftpdlib, with the user of the tests' vsftpd; until it is ended."""
    from pyftpdlib import authorizers, handlers, servers

    from tests.services import ftp as services

    allowed = authorizers.DummyAuthorizer()
    allowed.add_user(services.PLAIN_USER, services.PASSWORD, directory)
    handler = type("Handler", (handlers.FTPHandler,), {"authorizer": allowed})
    server = servers.FTPServer(("127.0.0.1", 0), handler)
    print(server.address[1], flush=True)
    server.serve_forever(handle_exit=False)


if __name__ == "__main__":
    what, *words = sys.argv[1:]
    if what == "serve":
        serve(*words)
    else:
        if what in ("get", "put"):
            importlib.import_module("paramiko")  # 0.2 s, and none of the transfer
        _measured({"ours": ours, "bare": bare, "copy": copy, "get": get, "put": put}[what], words)
