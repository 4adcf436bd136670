"""Which Debian packages the test services are made of, which are missing here, and how they get here without a daemon starting.

``python -m tests.services.packages install`` is what ``.ci/run`` does; it needs nothing but Python.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import pathlib
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping

SLURM = {"slurmctld": "slurmctld", "slurmd": "slurmd", "sbatch": "slurm-client", "munged": "munge"}
"""Programs, and the package each is in."""
ACCOUNTING = {"slurmdbd": "slurmdbd", "mariadbd": "mariadb-server"}
GRIDENGINE = {
    "sge_qmaster": "gridengine-master",
    "sge_execd": "gridengine-exec",
    "spoolinit": "gridengine-master",
    "qsub": "gridengine-client",
}
SSH = {"sshd": "openssh-server", "ssh-keygen": "openssh-client"}
ALL = SLURM | ACCOUNTING | GRIDENGINE | SSH

PLACES = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin:/usr/lib/gridengine"
LONG = 900
"""Seconds for apt-get, with a slow mirror."""
LOCK = pathlib.Path("/run/lock/run-production-test-packages")
POLICY = pathlib.Path("/usr/sbin/policy-rc.d")
NO_DAEMONS = "#!/bin/sh\n# put here by run_production's tests while they install packages\nexit 101\n"


def missing(programs: Mapping[str, str] = ALL) -> list[str]:
    """The packages that aren't here, as their programs aren't."""
    return sorted({package for program, package in programs.items() if not shutil.which(program, path=PLACES)})


def unable(programs: Mapping[str, str] = ALL) -> str:
    """Why these can neither be found nor installed here; empty if they can."""
    lacking = missing(programs)
    if not lacking:
        return ""
    if os.geteuid() != 0:
        return f"{', '.join(lacking)} (only root can install them)"
    return "" if shutil.which("apt-get") else f"{', '.join(lacking)} (no apt-get to install them with)"


def install(programs: Mapping[str, str] = ALL) -> None:
    """Fetch what is missing; nobody else's daemon is started by it. One at a time, whoever asks."""
    if not missing(programs):
        return
    LOCK.parent.mkdir(parents=True, exist_ok=True)
    with LOCK.open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if lacking := missing(programs):
            with _no_daemons():
                _apt_get("update")
                _apt_get("install", "-y", "--no-install-recommends", *lacking)
    assert not missing(programs), f"installed, and still without {missing(programs)}"


def _apt_get(*words: str) -> None:
    argv = ["apt-get", "-qq", "-o", "DPkg::Lock::Timeout=300", *words]
    environment = os.environ | {"DEBIAN_FRONTEND": "noninteractive"}
    done = subprocess.run(
        argv, env=environment, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=LONG, check=False
    )
    assert done.returncode == 0, f"{' '.join(argv)}: {done.stderr.strip()}"


@contextlib.contextmanager
def _no_daemons() -> Iterator[None]:
    """Packages ask policy-rc.d whether they may start what they brought; it is as it was afterwards."""
    before = POLICY.read_bytes() if POLICY.exists() else None
    mode = POLICY.stat().st_mode & 0o7777 if before is not None else 0o755
    try:
        POLICY.write_text(NO_DAEMONS)
        POLICY.chmod(0o755)
        yield
    finally:
        if before is None:
            POLICY.unlink()
        else:
            POLICY.write_bytes(before)
            POLICY.chmod(mode)


def main(words: list[str]) -> int:
    if words == ["missing"]:
        print(*missing(), sep="\n")
        return 0
    if words != ["install"]:
        print("usage: python -m tests.services.packages missing | install", file=sys.stderr)
        return 2
    if reason := unable():
        print(f"missing: {reason}", file=sys.stderr)
        return 1
    install()
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
