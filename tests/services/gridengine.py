"""Grid Engine on this machine with an SGE_ROOT of its own: one qmaster, one execution host, the queue all.q, the environment smp.

``python -m tests.services.gridengine start|stop|status DIRECTORY``. Host names decide here who may do what, so the
execution host has this machine's name, whatever that is, and the qmaster listens on every address (it can't do
otherwise), though it takes jobs from this machine only.
"""

from __future__ import annotations

import pathlib
import pwd
import re
import shutil
import signal
import socket
from collections.abc import Iterator, Mapping
from typing import ClassVar

from tests.services import daemon, hosts, packages, service

PROGRAMS = pathlib.Path("/usr/lib/gridengine")
"""The real ones: those in /usr/bin are wrappers in sh, ten times as slow."""
SHARE = pathlib.Path("/usr/share/gridengine")
ADMIN = "sgeadmin"
SLOTS = 8
FOREGROUND = {"SGE_ND": "1"}

GLOBAL = {
    "execd_spool_dir": "{directory}/spool/execd",
    "mailer": "/bin/true",
    "administrator_mail": "none",
    "load_report_time": "00:00:02",
    "max_unheard": "00:00:10",
    "reporting_params": "accounting=true reporting=false flush_time=00:00:01 accounting_flush_time=00:00:00 joblog=false",
    # execd knows a job's processes by an extra group: those of two clusters on one machine must differ
    "gid_range": "{first}-{last}",
}

SCHEDULER = {
    "schedule_interval": "0:0:1",
    "flush_submit_sec": "1",
    "flush_finish_sec": "1",
    "job_load_adjustments": "NONE",
    "load_adjustment_decay_time": "0:0:0",
}

QUEUE = {
    "qname": "all.q",
    "hostlist": "{host}",
    "load_thresholds": "NONE",
    "pe_list": "smp",
    "slots": str(SLOTS),
    "shell": "/bin/sh",
    "tmpdir": "/tmp",
}

EXECUTION_HOST = """
hostname {host}
load_scaling NONE
complex_values NONE
user_lists NONE
xuser_lists NONE
projects NONE
xprojects NONE
usage_scaling NONE
report_variables NONE
"""

PARALLEL = """
pe_name smp
slots 999
user_lists NONE
xuser_lists NONE
start_proc_args NONE
stop_proc_args NONE
allocation_rule $pe_slots
control_slaves FALSE
job_is_first_task TRUE
urgency_slots min
accounting_summary FALSE
qsort_args NONE
"""


class GridEngine(service.Service):
    """``SGE_ROOT`` and its ports are what clients need, and the real programs first on ``PATH``."""

    programs: ClassVar[Mapping[str, str]] = packages.GRIDENGINE

    @property
    def root(self) -> pathlib.Path:
        return self.directory / "root"

    @property
    def _cell(self) -> pathlib.Path:
        return self.root / "default" / "common"

    def daemons(self) -> list[daemon.Daemon]:
        return [self._daemon("sge_execd"), self._daemon("sge_qmaster")]

    def _daemon(self, name: str) -> daemon.Daemon:
        return daemon.Daemon(name, self.directory / "log")

    def _begin(self) -> dict[str, str]:
        self._make_place()
        qmaster, execd = daemon.free_ports(2)
        environment = {
            "SGE_ROOT": str(self.root),
            "SGE_CELL": "default",
            "SGE_QMASTER_PORT": str(qmaster),
            "SGE_EXECD_PORT": str(execd),
            "PATH": f"{PROGRAMS}:{packages.PLACES}",
        }
        host = self._host(environment)
        new = not (self.directory / "spool" / "configured").exists()
        if new:
            self._lay_out(host, environment, first=1_000_000 + qmaster * 20)
        self._start_qmaster(environment)
        if new:
            self._introduce(host, environment)
            (self.directory / "spool" / "configured").touch()
        self._start_execd(environment)
        return environment

    def _host(self, environment: Mapping[str, str]) -> str:
        """This machine as Grid Engine calls it; one that has no address gets one."""
        name = socket.gethostname()
        try:
            socket.gethostbyname(name)
        except OSError:
            hosts.add([name], self.directory)
        return name.partition(".")[0]

    def _lay_out(self, host: str, environment: Mapping[str, str], first: int) -> None:
        """The tree of an installation, and the spool: what Debian's init_cluster does, here instead of in /var."""
        for name in ("root", "spool", "log"):
            shutil.rmtree(self.directory / name, ignore_errors=True)
            self._owned(name, ADMIN)
        for name in ("root/default", "root/default/common", "spool/qmaster", "spool/execd", "spool/db"):
            self._owned(name, ADMIN)
        (self.root / "util").symlink_to(SHARE / "util")
        for name in ("bin", "lib", "utilbin"):
            (self.root / name).mkdir()
            (self.root / name / "lx-amd64").symlink_to(PROGRAMS)
        spool = self.directory / "spool"
        paths = {"spooling_params": f"{spool}/db", "qmaster_spool_dir": f"{spool}/qmaster", "ignore_fqdn": "true"}
        paths["binary_path"] = str(PROGRAMS)
        (self._cell / "bootstrap").write_text(changed((SHARE / "default-bootstrap").read_text(), paths))
        (self._cell / "act_qmaster").write_text(f"{host}\n")
        shutil.chown(self._cell / "act_qmaster", ADMIN, ADMIN)
        # the address 127.0.0.1 says localhost when asked back, and the qmaster would wait for a host of that name
        (self._cell / "host_aliases").write_text(f"{host} localhost\n")
        said = {"directory": self.directory, "first": first, "last": first + 19}
        settings = {name: value.format(**said) for name, value in GLOBAL.items()}
        configuration = spool / "configuration"
        configuration.write_text(changed((SHARE / "default-configuration").read_text(), settings))
        self._admin(environment, "spoolinit", "berkeleydb", "libspoolb", f"{spool}/db", "init")
        resources = SHARE / "util" / "resources"
        for words in (
            ["configuration", configuration],
            ["complexes", resources / "centry"],
            ["usersets", resources / "usersets"],
            ["managers", ADMIN],
        ):
            self._admin(environment, "spooldefaults", *words)

    def _introduce(self, host: str, environment: Mapping[str, str]) -> None:
        """The host, the queue, the parallel environment and a scheduler in a hurry."""
        place = self.directory / "spool"

        def from_file(option: str, name: str, text: str) -> None:
            (place / name).write_text(text.lstrip())
            self._admin(environment, "qconf", option, place / name)

        queue = {name: value.format(host=host) for name, value in QUEUE.items()}
        self._admin(environment, "qconf", "-as", host)
        from_file("-Ae", "host", EXECUTION_HOST.format(host=host))
        from_file("-Ap", "pe", PARALLEL)
        from_file("-Aq", "queue", changed(self._admin(environment, "qconf", "-sq"), queue))
        from_file("-Msconf", "scheduler", changed(self._admin(environment, "qconf", "-ssconf"), SCHEDULER))

    def _admin(self, environment: Mapping[str, str], program: str, *words: str | pathlib.Path) -> str:
        return service.ask(PROGRAMS / program, *words, environment=environment, user=ADMIN)

    def _start_qmaster(self, environment: Mapping[str, str]) -> None:
        one = self._daemon("sge_qmaster")
        one.start([PROGRAMS / "sge_qmaster"], {**environment, **FOREGROUND})
        one.until("sge_qmaster answers", lambda: says(["qconf", "-sh"], environment), 30)

    def _start_execd(self, environment: Mapping[str, str]) -> None:
        one = self._daemon("sge_execd")
        one.start([PROGRAMS / "sge_execd"], {**environment, **FOREGROUND})
        one.until("the queue is open", lambda: self._open(environment), 30)

    def _open(self, environment: Mapping[str, str]) -> bool:
        """Its line of qstat -f has a load and no letter for a state."""
        said = service.ask(PROGRAMS / "qstat", "-f", environment=environment)
        (line,) = [line for line in said.splitlines() if line.startswith("all.q@")]
        return len(line.split()) == 5 and "-NA-" not in line

    def _end_jobs(self) -> None:
        if not all(self.status().values()):
            return
        environment = self.environment
        if says(["qstat", "-u", self.user], environment, empty=True):
            return
        says(["qdel", "-u", self.user], environment)
        daemon.waited(lambda: says(["qstat", "-u", self.user], environment, empty=True), 5)

    def _strays(self) -> Iterator[int]:
        yield from daemon.strays(f"SGE_ROOT={self.root}", ["sge_shepherd"], pwd.getpwnam(self.user).pw_uid)

    def discard(self) -> None:
        """The qmaster takes eight seconds and more over writing down what nobody will read: it is killed."""
        for each in self.daemons():
            each.stop(signal.SIGKILL)
        self.stop()

    def _end(self) -> None:
        super()._end()
        hosts.remove(self.directory)

    # --- faults -----------------------------------------------------------------------------------------------------

    def stop_controller(self) -> None:
        """It takes about eight seconds over it; then commands fail at once, and jobs go on."""
        self._daemon("sge_qmaster").stop()

    def start_controller(self) -> None:
        self._start_qmaster(self.environment)

    def kill_node(self, number: int = 1) -> None:
        """sge_execd dies at once; after ten seconds the queue is in state u. Jobs go on, and nobody hears of their end."""
        assert number == 1, "there is one execution host"
        self._daemon("sge_execd").stop(signal.SIGKILL)

    def start_node(self, number: int = 1) -> None:
        assert number == 1, "there is one execution host"
        self._start_execd(self.environment)


def changed(text: str, settings: Mapping[str, str]) -> str:
    """A file of Grid Engine's, names and values in columns, with these values; broken lines are joined first."""
    text = re.sub(r"\\\n\s*", " ", text)
    for name, value in settings.items():
        text, count = re.subn(rf"(?m)^{re.escape(name)}\s.*$", lambda _, line=f"{name} {value}": line, text)
        assert count == 1, f"{count} lines begin with {name}"
    return text


def says(argv: list[str], environment: Mapping[str, str], *, empty: bool = False) -> bool:
    """Whether that command works (and has nothing to say)."""
    try:
        said = service.ask(PROGRAMS / argv[0], *argv[1:], environment=environment)
    except AssertionError:
        return False
    return not (empty and said)


if __name__ == "__main__":
    service.exits(lambda said: GridEngine(said.directory))
