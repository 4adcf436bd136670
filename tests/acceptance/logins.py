"""A campaign here, a login node there: a real sshd, before it a line that breaks, behind it a fake or the real Slurm."""

from __future__ import annotations

import contextlib
import getpass
import os
import pathlib
import tempfile
from collections.abc import Callable, Iterator, Mapping

from tests.acceptance.campaign import Campaign, Manager, User, until
from tests.fakes import cluster as clusters
from tests.services import link, packages, sshd

Need = Callable[[str, object], object]

SIM = """
[programs.sim]
script = "sim.sh"
retry.pause = 0
"""

CLIENT = """#!/bin/sh
# the fake one; once, if a test wants it: its reply is kept back until the line is cut
if [ -e {place}/keep ]; then
    rm {place}/keep
    {real} "$@" >{place}/reply
    echo kept >{place}/kept
    read x <{place}/go
    exec cat {place}/reply
fi
exec {real} "$@"
"""


class Site:
    """A campaign here, a login node there, and the line between them."""

    def __init__(self, campaign: Campaign, server: sshd.Sshd, line: link.Link, account: str, user: User | None) -> None:
        self.campaign, self.server, self.line, self.user = campaign, server, line, user
        home = campaign.home / user.name if user else campaign.home
        home.mkdir(exist_ok=True)
        server.introduce(home, account, port=line.port)
        self.known_hosts = home / ".ssh/known_hosts"

    def begin(self, script: str, runs: str, **words: float) -> None:
        self.campaign.script("sim.sh", script)
        self.campaign.settings(SIM, **{"lease": 60, **words})
        self.campaign.ok("init", str(self.campaign.database), user=self.user)
        self.campaign.ok("datasets", "add", runs, "--dataset=Al50", user=self.user)

    def start(self, *arguments: str, batch: str = "slurm@login", pause: float = 0.5) -> Manager:
        how = ["--production=sim", f"--batch={batch}", f"--pause={pause}"]
        return self.campaign.start(*how, *arguments, user=self.user)

    def submitted(self, number: int) -> None:
        query = "SELECT count(*) FROM production_run WHERE state = 'submitted'"
        until(lambda: self.campaign.rows(query) == [(number,)], f"{number} runs are submitted")

    def words(self) -> list[str]:
        """What jobs said in ``@/began``."""
        path = self.campaign.directory / "began"
        return path.read_text().split() if path.exists() else []


class Login(contextlib.AbstractContextManager["Login"]):
    """What ``Site`` is made of."""

    def __init__(self, environment: Mapping[str, str], need: Need, home: pathlib.Path | None = None) -> None:
        reason = sshd.Sshd.unable()
        need(reason, not reason)
        self._stack = contextlib.ExitStack()
        directory = self._stack.enter_context(
            tempfile.TemporaryDirectory(prefix="rp-", dir="/tmp", ignore_cleanup_errors=True)
        )
        self.path = pathlib.Path(directory)
        self.path.chmod(0o755)
        self.server = sshd.Sshd(self.path / "sshd", environment, (), home)

    def __enter__(self) -> Login:
        self._stack.enter_context(self.server)
        self.line = self._stack.enter_context(link.to(self.server.port))
        return self

    def __exit__(self, *error: object) -> None:
        self._stack.close()


@contextlib.contextmanager
def behind(campaign: Campaign, cluster: clusters.Cluster, directory: pathlib.Path, need: Need) -> Iterator[Site]:
    """Before the fake: only the login node has its commands."""
    clients = directory / "clients"
    clients.mkdir()
    (clients / "sbatch").write_text(CLIENT.format(place=clients, real=clusters.BIN / "sbatch"))
    (clients / "sbatch").chmod(0o755)
    variables = {"PATH": f"{clients}:{clusters.BIN}:{packages.PLACES}", "FAKE_CLUSTER": str(cluster.path)}
    with Login(variables, need) as login:
        campaign.environment["PATH"] = ":".join(
            one for one in os.environ["PATH"].split(":") if not os.path.exists(f"{one}/sbatch") or one == "/usr/bin"
        )
        yield Site(campaign, login.server, login.line, getpass.getuser(), None)
