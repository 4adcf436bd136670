"""Files to and from a machine behind SSH, the real sshd on loopback: ours, with checksum and fsync, against OpenSSH's sftp without."""

from __future__ import annotations

import dataclasses
import functools
import getpass
import json
import os
import pathlib
import shutil
import tempfile
from collections.abc import Callable, Mapping

from benchmarks import measure

MEGA = 10**6

_PEER = {"get": "sftp get", "put": "sftp put"}


@dataclasses.dataclass(frozen=True, slots=True)
class Load:
    """What is carried."""

    name: str
    number: int
    bytes: int
    """Of each file."""
    widths: tuple[int, ...]
    """Files side by side; sftp carries one after the other."""

    @property
    def files(self) -> list[str]:
        return [f"run{number:05d}.mid" for number in range(self.number)]


@dataclasses.dataclass(frozen=True, slots=True)
class Cost:
    """Of carrying all files of a load, from before the login on."""

    wall: float
    """Seconds."""
    cpu: float
    """Processor seconds, user and system, the server's not counted."""
    peak: int = 0
    """Bytes of memory; 0 if nobody looked."""


LOADS = (Load("large", 1, 1000 * MEGA, (1,)), Load("small", 500, MEGA // 10, (1, 4)))


def run(quick: bool) -> None:
    """Print the tables."""
    from tests.services import sshd

    why = sshd.Sshd.unable()
    if why or not shutil.which("sftp"):
        print(f"\nremote: {why or 'sftp'} is not here\n")
        return
    rounds = 2 if quick else 5
    loads = [dataclasses.replace(one, bytes=one.bytes // 5) if one.number == 1 else one for one in LOADS]
    with measure.workspace() as directory:
        directory.chmod(0o755)
        home = directory / "home"
        home.mkdir()
        with sshd.Sshd(directory / "server") as server:
            server.introduce(home, getpass.getuser())
            for load in loads if quick else LOADS:
                _make(directory / load.name, load)
                _print(load, measure.in_turn(_contenders(load, directory), rounds))


def _contenders(load: Load, directory: pathlib.Path) -> dict[str, Callable[[], Cost]]:
    found: dict[str, Callable[[], Cost]] = {}
    for what in ("get", "put"):
        found[_PEER[what]] = functools.partial(_carried, _sftp, what, load, 1, directory)
        for width in load.widths:
            name = f"run_production {'fetch' if what == 'get' else 'send'}, {width} at a time"
            found[name] = functools.partial(_carried, _ours, what, load, width, directory)
    return found


Carry = Callable[[str, Load, int, pathlib.Path, pathlib.Path], Cost]


def _sftp(what: str, load: Load, _width: int, directory: pathlib.Path, place: pathlib.Path) -> Cost:
    source, home = directory / load.name, directory / "home"
    words = (f'{what} "{source}/{name}" "{place}/got/{name}"\n' for name in load.files)
    (place / "batch").write_text("".join(words))
    files = ["-F", f"{home}/.ssh/config", "-o", f"UserKnownHostsFile={home}/.ssh/known_hosts"]
    sample = measure.command(["sftp", "-q", *files, "-b", str(place / "batch"), "login"], place)
    return Cost(sample.wall, sample.cpu)


def _ours(what: str, load: Load, width: int, directory: pathlib.Path, place: pathlib.Path) -> Cost:
    argv = measure.python("-m", "benchmarks.carriers", what, str(directory / load.name), str(place / "got"), str(width))
    measure.command(argv, place, "\n".join(load.files), HOME=str(directory / "home"))
    return Cost(**json.loads((place / "said").read_text()))


def _carried(carry: Carry, what: str, load: Load, width: int, directory: pathlib.Path) -> Cost:
    """Carry all, with nobody else's bytes still on their way to the disk; see that they came, and let them go."""
    place = pathlib.Path(tempfile.mkdtemp(dir=directory))
    (place / "got").mkdir()
    os.sync()
    cost = carry(what, load, width, directory, place)
    for name in load.files:
        assert (place / "got" / name).stat().st_size == load.bytes, name
        os.truncate(place / "got" / name, 0)  # not removed: see docs/performance.md, "ext4 and deleted files"
    assert len(os.listdir(place / "got")) == load.number
    return cost


def _make(directory: pathlib.Path, load: Load) -> None:
    """The files, in the page cache as after a first read."""
    directory.mkdir()
    block = os.urandom(MEGA // 10)
    for name in load.files:
        with open(directory / name, "wb") as file:
            file.writelines(block for _ in range(load.bytes // len(block)))


def _print(load: Load, found: Mapping[str, list[Cost]]) -> None:
    large = load.bytes > MEGA
    unit, number = ("MB", load.number * load.bytes / MEGA) if large else ("file", load.number)
    rows = []
    for name, costs in found.items():
        peer = found[_PEER["put" if "put" in name or "send" in name else "get"]]
        rate, theirs = ([number / one.wall for one in some] for some in (costs, peer))
        cpu = measure.spread([1000 * one.cpu / number for one in costs], 2)
        peak = f"{max(one.peak for one in costs) / MEGA:.0f}" if costs[0].peak else ""
        rows.append([name, measure.spread(rate), measure.ratio(rate, theirs), cpu, peak])
    heads = ["", "MB/s" if large else "files/s", "of sftp", f"processor ms a {unit}", "peak MB"]
    measure.table(f"sftp: {load.number:,} × {load.bytes / MEGA:g} MB, sshd on loopback", heads, rows)
