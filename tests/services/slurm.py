"""Slurm on this machine that looks like a cluster of four nodes, without a database or with slurmdbd and MariaDB.

``python -m tests.services.slurm start|stop|status DIRECTORY [--accounting]``. Each node is a slurmd with a host name of
its own (a UTS namespace); all listen on loopback only. Without accounting, ``sacct`` is disabled and ``sacct -c`` works.
"""

from __future__ import annotations

import argparse
import os
import pathlib
import pwd
import secrets
import shutil
import signal
import socket
import subprocess
from collections.abc import Iterator, Mapping
from typing import ClassVar

from tests.services import daemon, hosts, packages, service

NODES = 4
CGROUPS = pathlib.Path("/sys/fs/cgroup")

CONFIGURATION = """
ClusterName=rp
SlurmctldHost={host}(127.0.0.1)
SlurmctldPort={port}
SlurmUser=slurm
AuthType=auth/munge
AuthInfo=socket={munge}
CommunicationParameters=NoCtldInAddrAny,NoInAddrAny
StateSaveLocation={directory}/state
SlurmdSpoolDir={directory}/spool/%n
SlurmctldPidFile={directory}/state/slurmctld.pid
SlurmdPidFile={directory}/spool/%n.pid
SlurmctldLogFile={directory}/log/slurmctld.txt
SlurmdLogFile={directory}/log/%n.txt
SlurmdParameters=config_overrides
ReturnToService=2
SlurmdTimeout=10
KillWait=2
MpiDefault=none
SchedulerType=sched/backfill
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU_Memory
DefMemPerCPU=100
MailProg=/bin/true
JobAcctGatherType=jobacct_gather/linux
JobAcctGatherFrequency=1
# cgroups know a job by its number, so those of two clusters on one machine must differ
FirstJobId={first}
{memory}
{accounting}
NodeName=DEFAULT CPUs=8 RealMemory=4000 State=UNKNOWN
{nodes}
PartitionName=main Nodes=ALL Default=YES MaxTime=INFINITE DefaultTime=60 State=UP
PartitionName=long Nodes=ALL MaxTime=INFINITE State=UP
"""

LIMITED = "TaskPlugin=task/cgroup\nProctrackType=proctrack/cgroup"
WATCHED = "TaskPlugin=task/none\nProctrackType=proctrack/linuxproc\nJobAcctGatherParams=OverMemoryKill"

CGROUP = """
CgroupPlugin=cgroup/v1
CgroupMountpoint=/sys/fs/cgroup
ConstrainRAMSpace=yes
"""

DISABLED = """
AccountingStorageType=accounting_storage/none
JobCompType=jobcomp/filetxt
JobCompLoc={directory}/log/jobcomp.txt
"""

DATABASE = """
AccountingStorageType=accounting_storage/slurmdbd
AccountingStorageHost=127.0.0.1
AccountingStoragePort={port}
AccountingStoragePass={munge}
"""

SLURMDBD = """
AuthType=auth/munge
AuthInfo=socket={munge}
CommunicationParameters=NoInAddrAny
DbdHost={host}
DbdAddr=127.0.0.1
DbdPort={port}
SlurmUser=slurm
LogFile={directory}/log/slurmdbd.txt
PidFile={directory}/dbd/slurmdbd.pid
StorageType=accounting_storage/mysql
StorageHost=localhost
StorageUser=slurm
"""

MARIADB = """
[mariadbd]
datadir={directory}/mariadb/data
socket={directory}/mariadb/socket
pid-file={directory}/mariadb/server.pid
skip-networking
user=mysql
init-file={directory}/mariadb/init.sql
innodb-log-file-size=4M
innodb-buffer-pool-size=16M
innodb-flush-log-at-trx-commit=0
"""

INIT_SQL = """
CREATE USER IF NOT EXISTS slurm@localhost IDENTIFIED VIA unix_socket;
GRANT ALL ON slurm_acct_db.* TO slurm@localhost;
"""


def cgroups() -> bool:
    """Whether Slurm can limit memory here; otherwise it looks every second and ends what has too much."""
    return all((CGROUPS / name / "tasks").exists() for name in ("memory", "freezer", "cpuset")) and os.access(
        CGROUPS / "memory", os.W_OK
    )


class Slurm(service.Service):
    """Nodes n01 to n04, partitions main and long; ``SLURM_CONF`` is all that clients need."""

    programs: ClassVar[Mapping[str, str]] = packages.SLURM
    accounting = False

    def __init__(self, directory: pathlib.Path | str, *, settings: Mapping[str, str] | None = None) -> None:
        super().__init__(directory)
        self.settings = dict(settings or {})
        """What is to be otherwise in slurm.conf, for instance MinJobAge."""
        self.limited = cgroups()
        """Whether a job that has too much memory ends as OUT_OF_MEMORY; FAILED with signal 9 otherwise."""

    @classmethod
    def unable(cls) -> str:
        if reason := super().unable():
            return reason
        done = subprocess.run(["unshare", "--uts", "true"], capture_output=True, check=False)
        return "" if done.returncode == 0 else "the right to give a node its host name (unshare --uts)"

    @property
    def configuration(self) -> pathlib.Path:
        return self.directory / "slurm.conf"

    def daemons(self) -> list[daemon.Daemon]:
        names = [*map(node, range(1, NODES + 1)), "slurmctld"]
        if self.accounting or (self.directory / "mariadb").exists():
            names += ["slurmdbd", "mariadbd"]
        return [self._daemon(name) for name in (*names, "munged")]

    def _daemon(self, name: str) -> daemon.Daemon:
        return daemon.Daemon(name, self.directory / "log")

    def _begin(self) -> dict[str, str]:
        self._make_place()
        for name, user in {"log": "slurm", "state": "slurm", "dbd": "slurm", "spool": "root"}.items():
            self._owned(name, user)
        hosts.add([node(each) for each in range(1, NODES + 1)], self.directory)
        self._start_munged()
        self._configure()
        if self.accounting:
            self._start_mariadb()
            self._start_slurmdbd()
        self.start_controller()
        if self.accounting:
            self._introduce()
        for number in range(1, NODES + 1):
            self.start_node(number)
        daemon.until("every node is idle", lambda: self._idle() == NODES)
        return {"SLURM_CONF": str(self.configuration)}

    def _end(self) -> None:
        super()._end()
        hosts.remove(self.directory)

    @property
    def _munge(self) -> pathlib.Path:
        return self.directory / "munge" / "socket"

    def _start_munged(self) -> None:
        place = self._owned("munge", "munge")
        key = place / "key"
        if not key.exists():
            key.touch(mode=0o400)
            key.write_bytes(secrets.token_bytes(128))
            shutil.chown(key, "munge", "munge")
        options = {"socket": self._munge, "key-file": key, "log-file": place / "log", "pid-file": place / "pid"}
        options["seed-file"] = place / "seed"
        one = self._daemon("munged")
        argv = ["/usr/sbin/munged", "--foreground", "--force", *(f"--{name}={path}" for name, path in options.items())]
        one.start(argv, {"PATH": packages.PLACES}, user="munge")
        one.until("munged answers", lambda: daemon.listens(self._munge))

    def _configure(self) -> None:
        """New ports at every start; what the cluster remembers is in state/, by name."""
        host = socket.gethostname().partition(".")[0]
        port, dbd, *ports = daemon.free_ports(NODES + 2)
        said = {"directory": self.directory, "munge": self._munge, "host": host}
        nodes = [
            f"NodeName={node(each)} NodeHostname={node(each)} NodeAddr=127.0.0.1 Port={one}"
            for each, one in enumerate(ports, 1)
        ]
        text = CONFIGURATION.format(
            **said, port=port, first=port * 1000, nodes="\n".join(nodes), memory=LIMITED if self.limited else WATCHED,
            accounting=(DATABASE if self.accounting else DISABLED).format(**said, port=dbd),
        )  # fmt: skip
        lines = [line for line in text.strip().splitlines() if line.partition("=")[0] not in self.settings]
        lines[:0] = [f"{name}={value}" for name, value in self.settings.items()]
        self.configuration.write_text("\n".join(lines) + "\n")
        (self.directory / "cgroup.conf").write_text(CGROUP.lstrip())
        dbd_file = self.directory / "slurmdbd.conf"
        dbd_file.write_text(SLURMDBD.lstrip().format(**said, port=dbd))
        dbd_file.chmod(0o600)
        shutil.chown(dbd_file, "slurm", "slurm")

    def _start_mariadb(self) -> None:
        place = self._owned("mariadb", "mysql")
        configuration = place / "my.cnf"
        configuration.write_text(MARIADB.lstrip().format(directory=self.directory))
        (place / "init.sql").write_text(INIT_SQL.lstrip())
        environment = {"PATH": packages.PLACES}
        if not (place / "data" / "mysql").exists():
            shutil.rmtree(place / "data", ignore_errors=True)
            service.ask(
                "mariadb-install-db", f"--defaults-file={configuration}", "--user=mysql", "--skip-test-db",
                "--auth-root-authentication-method=socket", environment=environment,
            )  # fmt: skip
        one = self._daemon("mariadbd")
        one.start(["/usr/sbin/mariadbd", f"--defaults-file={configuration}"], environment)
        one.until("MariaDB answers", lambda: daemon.listens(place / "socket"))

    def _start_slurmdbd(self) -> None:
        one = self._daemon("slurmdbd")
        socket_of_database = str(self.directory / "mariadb" / "socket")
        one.start(["/usr/sbin/slurmdbd", "-D"], self._environment | {"MYSQL_UNIX_PORT": socket_of_database})
        one.until("slurmdbd answers", lambda: self._says("sacctmgr", "-n", "list", "cluster") is not None)

    def _introduce(self) -> None:
        """The cluster, an account and the user have to be known before jobs are counted as theirs."""
        for words in (["cluster", "rp"], ["account", "shift", "cluster=rp"], ["user", self.user, "account=shift"]):
            kind, name, *_ = words
            if self._says("sacctmgr", "-nP", "list", kind, name) == "":
                service.ask("sacctmgr", "-i", "add", *words, environment=self._environment)

    @property
    def _environment(self) -> dict[str, str]:
        return {"PATH": packages.PLACES, "SLURM_CONF": str(self.configuration)}

    def _says(self, *argv: str) -> str | None:
        """None if it fails."""
        try:
            return service.ask(*argv, environment=self._environment)
        except (AssertionError, subprocess.TimeoutExpired):
            return None

    def _idle(self) -> int:
        said = self._says("sinfo", "-h", "-p", "main", "-N", "-o", "%T")
        return len([state for state in (said or "").split() if state in {"idle", "mixed", "allocated"}])

    def _end_jobs(self) -> None:
        if not self._daemon("slurmctld").alive():
            return
        self._says("scancel", "-u", self.user)
        self._says("scancel", "-u", self.user, "--signal=KILL", "--full")
        daemon.waited(lambda: self._says("squeue", "-h", "-o", "%i") == "", 5)

    def _strays(self) -> Iterator[int]:
        yield from daemon.strays(f"SLURM_CONF={self.configuration}", ["slurmstepd"], pwd.getpwnam(self.user).pw_uid)

    # --- faults -----------------------------------------------------------------------------------------------------

    def stop_controller(self) -> None:
        """Commands now hang for nine seconds and fail; jobs go on."""
        self._daemon("slurmctld").stop()

    def start_controller(self) -> None:
        one = self._daemon("slurmctld")
        one.start(["/usr/sbin/slurmctld", "-D"], self._environment)
        one.until("slurmctld answers", lambda: "UP" in (self._says("scontrol", "ping") or ""))
        completed = self.directory / "log" / "jobcomp.txt"
        if completed.exists():
            # "sacct -c" opens it for append as whoever asks, and slurmctld takes that right away at each start
            completed.chmod(0o666)

    def kill_node(self, number: int) -> None:
        """Its slurmd dies at once; after ten seconds the controller calls the node down. The job's process lives on."""
        self._daemon(node(number)).stop(signal.SIGKILL)

    def start_node(self, number: int) -> None:
        name = node(number)
        self._owned("spool", "root")
        (self.directory / "spool" / name).mkdir(exist_ok=True)
        own_name = f"hostname {name} && exec /usr/sbin/slurmd -D -N {name}"
        self._daemon(name).start(["unshare", "--uts", "sh", "-c", own_name], self._environment)


def node(number: int) -> str:
    return f"n{number:02}"


class SlurmAccounting(Slurm):
    """The same with a database behind it: ``sacct`` knows every job."""

    programs = packages.SLURM | packages.ACCOUNTING
    accounting = True


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--accounting", action="store_true", help="with slurmdbd and MariaDB")
    service.exits(lambda said: SlurmAccounting(said.directory) if said.accounting else Slurm(said.directory), parser)
