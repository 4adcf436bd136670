"""A site whose disk this machine doesn't see: what is tried on it, what is on its way, and what is left there."""

from __future__ import annotations

import contextlib
import os
import pathlib
import re
import shutil
import threading
from collections.abc import Iterator

from tests.acceptance import logins
from tests.acceptance.campaign import PATIENCE, Campaign, Manager, Pipe, Result, until
from tests.fakes import cluster as clusters
from tests.services import link

PROGRAMS = """
[batch]
system = "{system}"
host = "login"
remote_data = "{remote}"
poll = 0.5
{batch}

[programs.sim]
script = "sim.sh"
arguments = ["{{run}}", "{{input}}", "{{tree}}", "{{hist}}"]
input = "run{{run:05d}}.mid"
staged = "raw/run{{run:05d}}.mid"
retry.pause = 0
outputs.tree = {{ path = "tree/v{{version}}/tree{{run:05d}}.root" }}
outputs.hist = {{ path = "hist/v{{version}}/hist{{run:05d}}.root" }}

[programs.bare]
script = "bare.sh"

[programs.fit]
script = "fit.sh"
arguments = ["{{input}}", "{{out}}"]
base = "sim.tree"
outputs.out = {{ path = "fit/v{{version}}/fit{{run:05d}}.txt" }}
"""

SIM = 'echo "run $1 of $2"; cat "$2" >"$3"; echo "hist $1" >"$4"'


class Far:
    """A site, and the disk there, on which a manager sees an empty one that can't be written."""

    def __init__(self, site: logins.Site, remote: pathlib.Path, system: str = "slurm") -> None:
        self.site, self.campaign, self.line, self.remote = site, site.campaign, site.line, remote
        self.system = system
        remote.mkdir()
        hide = 'mount -t tmpfs -o ro none "$0" && exec "$@"'
        self._before = ["unshare", "--mount", "sh", "-c", hide, str(remote)] if os.geteuid() == 0 else []

    def begin(self, script: str, runs: range, size: int = 0, batch: str = "", **numbers: float) -> None:
        """``size``: bytes of each raw file, of which no two are alike; ``batch``: more lines of that table."""
        self.campaign.script("sim.sh", script)
        self.campaign.script("bare.sh", "exit 0")
        self.campaign.script("fit.sh", 'tr a-z A-Z <"$1" >"$2"')
        programs = PROGRAMS.format(system=self.system, remote=self.remote, batch=batch)
        self.campaign.settings(programs, **{"lease": 60, **numbers})
        if size:
            for run in runs:
                (self.campaign.archive / f"run{run:05d}.mid").write_bytes(os.urandom(size))
        else:
            self.campaign.raw(runs)
        self.campaign.ok("init", str(self.campaign.database), user=self.site.user)
        if runs:
            self.campaign.ok("datasets", "add", f"{runs.start}-{runs.stop - 1}", "--dataset=Al50", user=self.site.user)

    def start(self, *arguments: str, program: str = "sim") -> Manager:
        how = [f"--production={program}", "--pause=0.2"]
        return self.campaign.start(*how, *arguments, before=self._before, user=self.site.user)

    def ask(self, *arguments: str) -> Result:
        """``production …``, where that disk can't be seen."""
        return self.campaign.call([*self._before, self.campaign.python, "-m", "production", *arguments])

    def there(self) -> list[str]:
        """What is on their disk, directories with a slash."""
        found = []
        for directory, names, files in os.walk(self.remote):
            below = os.path.relpath(directory, self.remote)
            found += [os.path.normpath(os.path.join(below, name)) for name in files]
            found += [os.path.normpath(os.path.join(below, name)) + "/" for name in names]
        return sorted(found)

    def left(self) -> list[str]:
        """What is on their disk and neither a log nor a script, nor a directory that attempts share."""
        return [one for one in self.there() if not re.match(r"(log|script|modules)/|(input|jobs|work)/([^/]*/)?$", one)]

    def raw(self, run: int) -> bytes:
        return (self.campaign.archive / f"run{run:05d}.mid").read_bytes()

    def tree(self, run: int) -> bytes:
        return (self.campaign.data / f"tree/v1/tree{run:05d}.root").read_bytes()

    def is_whole(self, runs: range, result: Result) -> None:
        """Everything is done, here as it was sent and there gone, and each was computed once."""
        assert result.code == 0, str(result)
        assert "Traceback" not in result.err
        self.is_in_place(runs)
        assert self.campaign.rows("SELECT count(*) FROM attempt") == [(len(runs),)], result.err

    def is_in_place(self, runs: range) -> None:
        assert self.campaign.letters("sim_v1") == "F" * len(runs)
        for run in runs:
            assert self.tree(run) == self.raw(run), f"run {run} is not what was computed"
            assert (self.campaign.data / f"hist/v1/hist{run:05d}.root").read_text() == f"hist {run}\n"
        assert self.left() == []
        assert self.campaign.rows("SELECT count(*) FROM input") == [(0,)]
        parts = [path for path in self.campaign.data.rglob("*") if path.name.endswith(".part")]
        assert parts == []
        self.campaign.nothing_in_hands()

    def submitted(self, number: int) -> None:
        self.site.submitted(number)


class Moment:
    """A moment in a production at which the line stands still, until the test has done what it wants."""

    def __init__(self, line: link.Link) -> None:
        self._line = line
        self._came = threading.Event()

    def __call__(self) -> None:
        self._line.stall()
        self._came.set()

    def wait(self, seconds: float = PATIENCE) -> None:
        assert self._came.wait(seconds), "the moment never came"


class Replies:
    """The replies of the fake's sbatch: one is kept back until the test gives it."""

    def __init__(self, directory: pathlib.Path) -> None:
        self._kept, self._go = (Pipe(directory / "clients" / name) for name in ("kept", "go"))
        (directory / "clients/keep").touch()

    def wait(self) -> None:
        """Until the jobs are submitted, and nobody knows."""
        self._kept.take(1)

    def give(self) -> None:
        self._go.give(1)
        for pipe in (self._kept, self._go):
            pipe.close()


@contextlib.contextmanager
def behind(campaign: Campaign, cluster: clusters.Cluster, directory: pathlib.Path, need: logins.Need) -> Iterator[Far]:
    """Before the fake."""
    if os.geteuid() == 0:
        need("unshare(1)", shutil.which("unshare"))
    with logins.behind(campaign, cluster, directory, need) as site:
        yield Far(site, directory / "their disk µ")


def began(far: Far, runs: int) -> None:
    """So many jobs have said so in ``@/began``."""
    until(lambda: len(far.site.words()) == runs, f"{runs} jobs run")
