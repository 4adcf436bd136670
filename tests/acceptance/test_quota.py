"""The disk's limit, tried with the commands that people type: full, filling, unread, shared, and too small for a file."""

from __future__ import annotations

import contextlib
import json
import os
import pathlib
import threading

import pytest

from production import room
from tests.acceptance.campaign import ROOT, Campaign

KB = 1000
INPUT, OUTPUT = 400 * KB, 100 * KB

SIM = """
[programs.sim]
script = "sim.sh"
arguments = ["{input}", "{tree}"]
input = "run{run:05d}.mid"

[programs.sim.outputs.tree]
path = "tree/v{version}/tree{run:05d}.dat"
"""


class Disk:
    """What ``mmlsquota`` says."""

    def __init__(self, campaign: Campaign) -> None:
        self._path = campaign.directory / "quota.json"
        campaign.environment |= {"PATH": f"{ROOT}/tests/fakes/bin:{os.environ['PATH']}", "FAKE_QUOTA": str(self._path)}

    def says(self, **state: object) -> None:
        making = self._path.with_suffix(".making")
        making.write_text(json.dumps({"hard": 100_000 * KB, **state}))
        making.replace(self._path)


@pytest.fixture
def disk(campaign: Campaign) -> Disk:
    return Disk(campaign)


def begin(campaign: Campaign, quota: str, runs: int = 6, **words: float) -> None:
    """Runs whose inputs have 400 kB and whose outputs 100."""
    campaign.settings(SIM, **words)
    with (campaign.directory / "production.toml").open("a") as file:
        file.write(f"\n[quota]\n{quota}\n")
    campaign.script("sim.sh", f'head -c {OUTPUT} "$1" >"$2"')
    for run in range(1, runs + 1):
        (campaign.archive / f"run{run:05d}.mid").write_bytes(os.urandom(INPUT))
    campaign.begin(f"1-{runs}")


@pytest.mark.feature("AC-15")
def test_full_at_the_start_it_waits_and_goes_on_with_room(campaign: Campaign, disk: Disk) -> None:
    begin(campaign, 'reader = "mmlsquota"')
    disk.says(used=95_000 * KB)
    manager = campaign.start("--production=sim", "--new=v5")
    manager.wait_for("No room under")
    assert campaign.rows("SELECT path FROM transfer") == []
    disk.says(used=50_000 * KB)
    result = manager.wait()
    assert result.code == 0, str(result)
    told = [line for line in result.messages if "room under" in line]
    figures = "(90.6 MiB of 95.4 MiB used, 95 %, --spacelim=90 allows 85.8 MiB)"
    assert told == [
        f"No room under {campaign.data}: nothing new is staged or submitted; {room.MEND} {figures}",
        f"There is room under {campaign.data} again: 47.7 MiB of 95.4 MiB used, 50 %; staging goes on",
    ]
    assert campaign.letters("sim_v1") == "FFFFFF"


@pytest.mark.feature("AC-16")
def test_full_in_the_middle_running_work_goes_on(campaign: Campaign, disk: Disk) -> None:
    begin(campaign, 'reader = "mmlsquota"\ninterval = 1', runs=40, nproc=2, nprep=1)
    campaign.script("sim.sh", f'test -e @/told || sleep 1; head -c {OUTPUT} "$1" >"$2"')
    disk.says(used=0)
    manager = campaign.start("--production=sim", "--new=v5")
    manager.wait_for("Finished run: 1")
    disk.says(used=99_000 * KB)
    manager.wait_for("nothing new is staged")
    (campaign.directory / "told").touch()
    manager.wait_for("Finished run: ", times=manager.said.count("Submitting run: "))  # these have ended well
    assert set(campaign.letters("sim_v1")) <= {"F", "N", "C"}  # what was staged waits
    disk.says(used=0)
    result = manager.wait()
    assert result.code == 0, str(result)
    assert campaign.letters("sim_v1") == "F" * 40
    assert campaign.one("SELECT max(attempt) FROM production_run") == 1


@pytest.mark.feature("AC-15")
def test_a_reader_that_fails_stops_staging_and_is_told_once(campaign: Campaign, disk: Disk) -> None:
    begin(campaign, 'reader = "mmlsquota"\narguments = ["gpfs0"]')
    disk.says(lie="exit")
    manager = campaign.start("--production=sim", "--new=v5")
    manager.wait_for("mmlsquota -Y gpfs0: exit 1")
    assert "Claimed" not in manager.said
    disk.says(used=0)
    result = manager.wait()
    assert result.code == 0, str(result)
    assert sum("exit 1" in line for line in result.messages) == 1
    assert result.said("The quota can be read again")


def test_an_input_larger_than_the_limit_is_held(campaign: Campaign) -> None:
    begin(campaign, 'reader = "directory"\nlimit = "3M"')
    (campaign.archive / "run00002.mid").write_bytes(os.urandom(4000 * KB))
    result = campaign.run("--production=sim", "--new=v5")
    assert result.code == 3
    assert campaign.letters("sim_v1") == "FHFFFF"
    assert result.said("Held run: 2 (its input has 3.8 MiB, more than the 2.7 MiB that quota and spacelim allow)")
    campaign.nothing_in_hands()


class Watch:
    """How much a directory held at most, looked at all the time."""

    def __init__(self, directory: pathlib.Path) -> None:
        self.most = 0
        self._directory = directory
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._look)
        self._thread.start()

    def _look(self) -> None:
        while not self._over.wait(0.005):
            self.most = max(self.most, self._sum(str(self._directory)))

    def _sum(self, directory: str) -> int:
        sizes: dict[int, int] = {}  # by inode: while a file is put in place it has two names
        for where, _, files in os.walk(directory):
            for file in files:
                with contextlib.suppress(FileNotFoundError):
                    status = os.stat(os.path.join(where, file), follow_symlinks=False)
                    sizes[status.st_ino] = status.st_size
        return sum(sizes.values())

    def end(self) -> int:
        self._over.set()
        self._thread.join()
        return self.most


@pytest.mark.feature("AC-15")
@pytest.mark.parametrize("managers", [1, 2])
@pytest.mark.parametrize("output", [OUTPUT, 3 * INPUT])
def test_the_limit_is_never_passed_by_more_than_one_runs_outputs(
    campaign: Campaign, managers: int, output: int
) -> None:
    runs = 40 if output < INPUT else 4
    begin(campaign, 'reader = "directory"\nlimit = "8M"', runs=runs, pause=0.2)
    campaign.script("sim.sh", f'head -c {output} /dev/zero >"$2"; sleep 0.05')
    watch = Watch(campaign.data)
    first = campaign.start("--production=sim", "--new=v5", "--spacelim=75")
    first.wait_for("Opened production")
    others = [campaign.start("--production=sim", "--spacelim=75") for _ in range(managers - 1)]
    results = [one.wait(120) for one in (first, *others)]
    most = watch.end()
    assert [result.code for result in results] == [0] * managers, "\n".join(map(str, results))
    assert campaign.letters("sim_v1") == "F" * runs
    assert most <= 0.75 * 8 * (1 << 20) + output
    assert most > 0.5 * 0.75 * 8 * (1 << 20)  # what may be used is used


@pytest.mark.parametrize("managers", [1, 2])
def test_also_where_there_is_no_input_to_tell_how_large_a_run_is(campaign: Campaign, managers: int) -> None:
    begin(campaign, 'reader = "directory"\nlimit = "4M"', runs=20, pause=0.2)
    settings = campaign.directory / "production.toml"
    settings.write_text(settings.read_text().replace('input = "run{run:05d}.mid"\n', "").replace('"{input}", ', ""))
    campaign.script("sim.sh", 'head -c 1000000 /dev/zero >"$1"; sleep 0.05')
    watch = Watch(campaign.data)
    first = campaign.start("--production=sim", "--new=v5")
    first.wait_for("Opened production")
    others = [campaign.start("--production=sim") for _ in range(managers - 1)]
    first.wait_for("nothing new is staged or submitted")  # then somebody has to make room
    for one in (first, *others):
        assert one.stop().code == 130
    assert watch.end() <= 0.9 * 4 * (1 << 20) + 1_000_000
    campaign.nothing_in_hands()


def test_a_file_that_only_fits_alone_comes_alone(campaign: Campaign) -> None:
    """Its size was learnt while there was less room; together with what the others wrote it would never fit."""
    begin(campaign, 'reader = "directory"\nlimit = "3M"', runs=3, pause=0.2)
    (campaign.archive / "run00003.mid").write_bytes(os.urandom(1700 * KB))
    campaign.script("sim.sh", 'sleep 0.2; head -c 500000 /dev/zero >"$2"')
    result = campaign.run("--production=sim", "--new=v5")
    assert result.code == 0, str(result)
    assert campaign.letters("sim_v1") == "FFF"
    assert any(line.split()[2] == "INFO" and "room for few runs at a time" in line for line in result.err.splitlines())
    assert "WARNING" not in result.err, "it goes as it should"
