"""A campaign on a real cluster: managers as the jobs' user, clients that count their calls and break when told to."""

from __future__ import annotations

import collections
import os
import pathlib
import pwd
import shlex

from tests.acceptance.campaign import Campaign, Manager, Result, User, until
from tests.services import gridengine, packages, service

CLIENTS = {
    "slurm": (pathlib.Path("/usr/bin"), ("sbatch", "squeue", "scancel", "sacct")),
    "sge": (gridengine.PROGRAMS, ("qsub", "qstat", "qdel", "qacct")),
}

CLIENT = """#!/bin/sh
# counts, then is the real one; or goes wrong as the file beside it says, once
echo {name} >>{calls}
if [ -e {fault} ] && read -r fault <{fault} && rm {fault}; then
    case $fault in
        before) kill -9 $PPID; exit 1 ;;
        after) {real} "$@"; kill -9 $PPID; exit 1 ;;
    esac
fi
exec {real} "$@"
"""


class Ground:
    """One campaign, one cluster."""

    def __init__(self, campaign: Campaign, cluster: service.Service, system: str) -> None:
        self.campaign, self.cluster, self.system = campaign, cluster, system
        who = pwd.getpwnam(cluster.user)
        self.user = User(cluster.user, who.pw_uid, who.pw_gid, (), 0o022)
        self.calls_file = campaign.directory / "calls"
        self.submit, self.list, self.cancel, self.account = CLIENTS[system][1]
        (campaign.home / self.user.name).mkdir()
        self._make_clients()
        for path in (campaign.directory, campaign.home / self.user.name):
            os.chown(path, who.pw_uid, who.pw_gid)
        campaign.environment |= cluster.environment
        campaign.environment["PATH"] = f"{campaign.directory}/clients:{packages.PLACES}"

    def _make_clients(self) -> None:
        place = self.campaign.directory / "clients"
        place.mkdir()
        where, names = CLIENTS[self.system]
        self.calls_file.touch(mode=0o666)
        self.calls_file.chmod(0o666)
        for name in names:
            paths = {"calls": self.calls_file, "fault": place / f"{name}.fault", "real": where / name}
            text = CLIENT.format(name=name, **{key: shlex.quote(str(path)) for key, path in paths.items()})
            (place / name).write_text(text)
            (place / name).chmod(0o755)
        os.chown(place, self.user.uid, self.user.gid)

    @property
    def began(self) -> pathlib.Path:
        """Where jobs of a test say that they began (``@/began``)."""
        return self.campaign.directory / "began"

    def words(self) -> list[str]:
        """What they said there."""
        return self.began.read_text().split()

    def fault(self, client: str, what: str) -> None:
        """The client's next call kills whoever called it: ``before`` the real one is asked, or ``after``."""
        (self.campaign.directory / "clients" / f"{client}.fault").write_text(what + "\n")

    def calls(self) -> collections.Counter[str]:
        """How often each client was called since the last time this was asked."""
        told = collections.Counter(self.calls_file.read_text().split())
        self.calls_file.write_text("")
        return told

    def begin(self, runs: str) -> None:
        """A database with these runs in it, of the jobs' user."""
        self.campaign.ok("init", str(self.campaign.database), user=self.user)
        self.campaign.ok("datasets", "add", *runs.split(), "--dataset=Al50", user=self.user)

    def start(self, *arguments: str, pause: float = 0.5, user: User | None = None) -> Manager:
        """``run_production.py`` on this cluster, asking it often."""
        how = [f"--batch={self.system}", f"--pause={pause}"]
        return self.campaign.start("--production=sim", *how, *arguments, user=user or self.user)

    def run(self, *arguments: str, seconds: float = 120, pause: float = 0.5) -> Result:
        return self.start(*arguments, pause=pause).wait(seconds)

    def queue(self, *options: str) -> list[str]:
        """Ids of the user's jobs that the cluster still has, pending or running."""
        if self.system == "slurm":
            said = self.cluster.run("squeue", "-h", "-r", "-u", self.user.name, "-o", "%i", *options).stdout
            return said.split()
        said = self.cluster.run("qstat", "-u", self.user.name, *options).stdout
        return [line.split()[0] for line in said.splitlines()[2:]]

    def until_empty(self, seconds: float = 30) -> None:
        """Nothing is left in the queue; a job's end shows there a moment late."""
        until(lambda: not self.queue(), "the queue is empty", seconds)

    def block(self) -> None:
        """A job of the user's own that fills the whole cluster, so that ours are pending."""
        whole = ["-N4", "--exclusive"] if self.system == "slurm" else ["-pe", "smp", str(gridengine.SLOTS)]
        self._theirs(*whole)
        query = ["-t", "running"] if self.system == "slurm" else ["-s", "r"]
        until(lambda: bool(self.queue(*query)), "the cluster is full")

    def hold(self) -> str:
        """A job of the user's own that waits; its id."""
        before = set(self.queue())
        self._theirs("--hold" if self.system == "slurm" else "-h")
        [id] = set(self.queue()) - before
        return id

    def _theirs(self, *options: str) -> None:
        if self.system == "slurm":
            self.cluster.run("sbatch", *options, input="#!/bin/sh\nsleep 600\n")
        else:
            self.cluster.run("qsub", "-S", "/bin/sh", *options, input="sleep 600\n")

    def delete(self, *ids: str) -> None:
        """By hand, from outside."""
        self.cluster.run("scancel" if self.system == "slurm" else "qdel", *ids)

    def attempts(self, columns: str, run: int | None = None) -> list[tuple[object, ...]]:
        """These columns of the attempts, in order. ``columns`` are the test's own words."""
        where = "" if run is None else f"WHERE run = {run:d}"
        return self.campaign.rows(f"SELECT {columns} FROM attempt {where} ORDER BY run, attempt")

    def submitted(self, number: int) -> None:
        """Until so many runs have a job, or are about to."""
        query = "SELECT count(*) FROM production_run WHERE state = 'submitted'"
        until(lambda: self.campaign.rows(query) == [(number,)], f"{number} runs are submitted")

    def clear(self) -> None:
        """End what a failed test left."""
        self.campaign.close()
        left = self.queue()
        if left:
            self.cluster.run(
                *(("scancel", "-u") if self.system == "slurm" else ("qdel", "-u")), self.user.name, check=False
            )
            self.until_empty(60)
