"""The demo's laboratory: what an experiment has before anybody starts a production, all of it in one directory.

archive/raw/     the raw files, served by FTP          odb/            the runs' online databases
DAQ/             the DAQ software ($DAQdir)            calibration.csv, modules.txt
production.toml  the settings; netrc: the password     production.db, data/, plots/: what the demo makes
"""

from __future__ import annotations

import json
import os
import pathlib
import pwd
import shlex
import shutil
import sys

from demo import password, simulate

HERE = pathlib.Path(__file__).resolve().parent

SETTINGS = """\
# Written by `python -m demo`, anew each time: its FTP server has another port then.

database = "production.db"
data = "data"
batch = "{batch}"
nproc = {nproc}    # jobs at a time
pause = 1

[archive]
url = "{archive}"
netrc = "netrc"

[quota]
reader = "directory"
limit = "2G"

# alcapana and rootana are the experiment's, as shipped in production/settings/defaults.toml, with its job scripts.
# Only the DAQ software that the scripts call is the demo's.

[programs.alcapana]
environment = {{ DAQdir = {daq} }}
link = []    # DAQ/thisdaq.sh brings the online databases
retry.pause = 1

[programs.rootana]
environment = {{ DAQdir = {daq} }}
retry.pause = 1
"""

THISDAQ = """\
# Sourced by the job scripts: what the DAQ software needs of the environment.
export PATH={binaries}:"$PATH"
export OMP_NUM_THREADS=1 OPENBLAS_NUM_THREADS=1
# The job script looks for the run's online database in $HOME/data/odb; HOME is the attempt's own.
case $HOME in
    {data}/*) mkdir -p "$HOME/data" && ln -sfn {odb} "$HOME/data/odb" ;;
esac
"""

ODBEDIT = """\
#!/bin/sh
# odbedit -c "load FILE", odbedit -c "save FILE": as much of MIDAS's program as alcapana.sge needs.
[ "$1" = -c ] || exit 2
case $2 in
    "load "*) cat "${2#load }" >>"$MIDAS_DIR/online.odb" ;;
    "save "*) cp "$MIDAS_DIR/online.odb" "${2#save }" ;;
    *) exit 2 ;;
esac
"""

PROGRAM = """\
#!/bin/sh
# {name}, the demo's: {source}
PYTHONPATH={root} exec {python} -m demo.{name} "$@"
"""


def furnish(directory: pathlib.Path) -> None:
    """All but the raw files, the settings and the database. Modules that somebody changed stay as they are."""
    _install_software(directory / "DAQ", directory)
    (directory / "calibration.csv").write_text(
        "detector,gain\n" + "".join(f"{number},{gain}\n" for number, gain in enumerate(simulate.GAINS))
    )
    if not (directory / "modules.txt").exists():
        shutil.copyfile(HERE / "modules.txt", directory / "modules.txt")
    password.choose(directory / "netrc")


def write_settings(directory: pathlib.Path, archive: str, batch: str) -> None:
    """Write production.toml."""
    daq = json.dumps(str(directory / "DAQ"), ensure_ascii=False)
    nproc = max(2, os.cpu_count() or 2)
    (directory / "production.toml").write_text(
        SETTINGS.format(archive=archive, batch=batch, daq=daq, nproc=nproc), "utf-8"
    )


def _install_software(daq: pathlib.Path, directory: pathlib.Path) -> None:
    user = os.environ.get("USER") or pwd.getpwuid(os.getuid()).pw_name  # as alcapana.sge asks for it
    places = {"data": directory / "data", "odb": directory / "odb", "binaries": daq / "bin"}
    _script(daq / "thisdaq.sh", THISDAQ.format(**{name: shlex.quote(str(path)) for name, path in places.items()}))
    _script(daq / "bin" / "odbedit", ODBEDIT)
    for name, place in ("alcapana", f"analyzer/work/{user}"), ("rootana", "analyzer/rootana"):
        text = PROGRAM.format(
            name=name,
            source=HERE / f"{name}.py",
            root=shlex.quote(str(HERE.parent)),
            python=shlex.quote(sys.executable),
        )
        _script(daq / place / name, text)


def _script(path: pathlib.Path, text: str) -> None:
    """Written beside and renamed: a job may be reading the one that is there."""
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f".{path.name}.part")
    part.write_text(text, "utf-8")
    part.chmod(0o755)
    part.replace(path)
