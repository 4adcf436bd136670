"""Files from an FTP server on loopback: ours, with checksum, fsync and rename, against curl and lftp without."""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import json
import os
import pathlib
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Iterator, Mapping

from benchmarks import measure

HOST = "127.0.0.1"
MEGA = 10**6

_FLOOR, _OURS = "ftplib in a loop, nothing synced", "run_production's porter"


@dataclasses.dataclass(frozen=True, slots=True)
class Load:
    """What is brought."""

    name: str
    number: int
    bytes: int
    """Of each file."""
    connections: tuple[int, ...]

    @property
    def files(self) -> list[str]:
        return [f"run{number:05d}.mid" for number in range(self.number)]


@dataclasses.dataclass(frozen=True, slots=True)
class Server:
    """Where they are brought from."""

    program: str
    port: int
    files: pathlib.Path
    netrc: pathlib.Path


@dataclasses.dataclass(frozen=True, slots=True)
class Cost:
    """Of bringing all files of a load."""

    wall: float
    """Seconds."""
    cpu: float
    """Processor seconds, user and system, the server's not counted."""
    peak: int = 0
    """Bytes of memory; 0 if nobody looked."""


LARGE = (Load("large", 1, 1000 * MEGA, (1,)), Load("medium", 4, 250 * MEGA, (2, 4)))
SMALL = Load("small", 2000, MEGA // 10, (1, 2, 4))

Bring = Callable[[Server, Load, int, pathlib.Path], Cost]


def run(quick: bool) -> None:
    """Print the tables."""
    loads, rounds = (*LARGE, SMALL), 5
    if quick:
        loads, rounds = tuple(_smaller(load) for load in loads), 2
    with measure.workspace() as directory, _server(directory) as server:
        for load in loads:
            _make(server.files / load.name, load)
            found = measure.in_turn(_contenders(server, load, directory), rounds)
            _print(server, load, found)


def _smaller(load: Load) -> Load:
    return dataclasses.replace(load, number=min(load.number, 300), bytes=load.bytes // (5 if load.bytes > MEGA else 1))


def _contenders(server: Server, load: Load, directory: pathlib.Path) -> dict[str, Callable[[], Cost]]:
    bring: dict[str, Bring] = {
        "copy on this disk, each file synced": functools.partial(_python, "copy"),
        _FLOOR: functools.partial(_python, "bare"),
        **({"curl": _curl} if shutil.which("curl") else {}),
        **({"lftp": _lftp} if shutil.which("lftp") else {}),
        _OURS: functools.partial(_python, "ours"),
    }
    return {
        f"{width} × {name}": functools.partial(_brought, one, server, load, width, directory)
        for width in load.connections
        for name, one in bring.items()
    }


# --- who brings them ---


def _python(what: str, server: Server, load: Load, width: int, place: pathlib.Path) -> Cost:
    source = str(server.files / load.name) if what == "copy" else f"ftp://{HOST}:{server.port}/{load.name}"
    os.link(server.netrc, place / "netrc")
    (place / "got").mkdir()
    argv = measure.python("-m", "benchmarks.carriers", what, source, "got", str(width))
    measure.command(argv, place, "\n".join(load.files))
    return Cost(**json.loads((place / "said").read_text()))


def _curl(server: Server, load: Load, width: int, place: pathlib.Path) -> Cost:
    (place / "got").mkdir()
    lines = (f'url = "ftp://{HOST}:{server.port}/{load.name}/{name}"\noutput = "got/{name}"\n' for name in load.files)
    (place / "curl.conf").write_text("".join(lines))
    argv = ["curl", "--silent", "--show-error", "--netrc-file", str(server.netrc), "--config", "curl.conf"]
    if width > 1:
        argv += ["--parallel", "--parallel-max", str(width)]
    sample = measure.command(argv, place)
    return Cost(sample.wall, sample.cpu)


def _lftp(server: Server, load: Load, width: int, place: pathlib.Path) -> Cost:
    """``get`` of one file, ``mirror`` of several; its netrc has no quotes, so the environment has the password."""
    from tests.services import ftp as services

    (place / "got").mkdir()
    what = f"mirror --parallel={width} {load.name} got"
    if load.number == 1:
        what = f"get -O got {load.name}/{load.files[0]}"
    (place / "script").write_text(
        "set cmd:fail-exit yes\nset ftp:ssl-allow no\n"
        f"open --env-password -u {services.PLAIN_USER} -p {server.port} {HOST}\n{what}\n"
    )
    sample = measure.command(["lftp", "-f", "script"], place, LFTP_PASSWORD=services.PASSWORD)
    return Cost(sample.wall, sample.cpu)


def _brought(bring: Bring, server: Server, load: Load, width: int, directory: pathlib.Path) -> Cost:
    """Bring all, with nobody else's bytes still on their way to the disk; see that they came, and let them go."""
    place = pathlib.Path(tempfile.mkdtemp(dir=directory))
    os.sync()
    cost = bring(server, load, width, place)
    for name in load.files:
        assert (place / "got" / name).stat().st_size == load.bytes, name
        os.truncate(place / "got" / name, 0)  # not removed: see docs/performance.md, "ext4 and deleted files"
    assert len(os.listdir(place / "got")) == load.number
    return cost


# --- who serves them ---


def _make(directory: pathlib.Path, load: Load) -> None:
    """The files, in the page cache as after a first read: it isn't the server's disk that is measured."""
    measure.tell(f"making {load.number:,} files of {load.bytes:,} bytes")
    directory.mkdir()
    directory.chmod(0o755)
    block = os.urandom(MEGA // 10)
    for name in load.files:
        with open(directory / name, "wb") as file:
            file.writelines(block for _ in range(load.bytes // len(block)))


@contextlib.contextmanager
def _server(directory: pathlib.Path) -> Iterator[Server]:
    """vsftpd if it is there and we may start it, else pyftpdlib."""
    from tests.services import ftp as services  # only here: who measures something else doesn't need what it imports

    files, netrc = directory / "archive", directory / "netrc"
    files.mkdir(mode=0o755)
    services.write_netrc(netrc, services.PLAIN_USER)
    why = services.unable()
    with services.vsftpd(directory, files) if not why else _pyftpdlib(files) as port:
        yield Server(f"pyftpdlib ({why} is not here)" if why else "vsftpd", port, files, netrc)


@contextlib.contextmanager
def _pyftpdlib(files: pathlib.Path) -> Iterator[int]:
    argv = measure.python("-m", "benchmarks.carriers", "serve", str(files))
    with subprocess.Popen(
        argv, env=measure.surroundings(files.parent), stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    ) as process:
        assert process.stdout
        try:
            yield int(process.stdout.readline())
        finally:
            process.terminate()


# --- what came out ---


def _print(server: Server, load: Load, found: Mapping[str, list[Cost]]) -> None:
    """Each beside those with as many connections."""
    large = load.bytes > MEGA
    unit, number = ("MB", load.number * load.bytes / MEGA) if large else ("file", load.number)
    rows = []
    for name, costs in found.items():
        width = name.partition(" ")[0]
        rate, floor, ours = (
            [number / one.wall for one in found[who]] for who in (name, f"{width} × {_FLOOR}", f"{width} × {_OURS}")
        )
        cpu = measure.spread([1000 * one.cpu / number for one in costs], 2)
        peak = f"{max(one.peak for one in costs) / MEGA:.0f}" if costs[0].peak else ""
        rows.append([name, measure.spread(rate), measure.ratio(rate, floor), measure.ratio(ours, rate), cpu, peak])
    rows += [[name, "not here", "", "", "", ""] for name in ("curl", "lftp") if not shutil.which(name)]
    title = f"transfers: {load.number:,} × {load.bytes / MEGA:g} MB from {server.program} on loopback"
    heads = ["connections", "MB/s" if large else "files/s", "of ftplib", "ours of this", f"processor ms a {unit}"]
    measure.table(title, [*heads, "peak MB"], rows)
