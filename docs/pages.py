"""Makes docs/commands/: a page a command, from its --help and from what it prints in a small campaign. ``make docs``.

The campaign is made anew each time, so what a page shows was really printed; only names of people, machines and
directories are replaced, so that the pages don't tell where they were made.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import pathlib
import pwd
import re
import shlex
import socket
import sqlite3
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping

ROOT = pathlib.Path(__file__).resolve().parent.parent
PAGES = ROOT / "docs" / "commands"
COLUMNS = "100"

SETTINGS = """\
database = "production.db"
data = "data"
archive = "archive"

[programs.trees]
script = "trees.sh"
arguments = ["{run}", "{input}", "{tree}"]
input = "run{run:05d}.mid"
retry = { limit = 2, pause = 1 }

[programs.trees.outputs.tree]
path = "tree/v{version}/tree{run:05d}.root"

[programs.fits]
script = "fits.sh"
arguments = ["{run}", "{input}", "{fit}"]
base = "trees.tree"

[programs.fits.outputs.fit]
path = "fit/v{version}/fit{run:05d}.txt"
"""

TREES = """\
#!/bin/sh
here=${0%/*}
if [ -p "$here/gate$1" ]; then echo "$1" >"$here/began"; read -r go <"$here/gate$1"; fi
case $1 in
2095|2097) echo "run $1: bad magic 0x$1 at block 7" >&2; exit 9 ;;
esac
echo "run $1: 1000 events"
head -c 2000 "$2" >"$3"
"""

FITS = """\
#!/bin/sh
echo "2.197" >"$3"
"""

OLD = """
CREATE TABLE datasets (run INTEGER, dataset TEXT, qual TEXT);
CREATE TABLE productions (type TEXT, version INTEGER, software TEXT, start TIMESTAMP, stop TIMESTAMP, base INTEGER);
CREATE TABLE trees_v1 (run INTEGER, status TEXT, user TEXT, start TIMESTAMP, stop TIMESTAMP, tree TEXT, olog TEXT, elog TEXT,
                       modules TEXT);
INSERT INTO datasets VALUES (2091, 'Al50', 'gold'), (2092, 'Al50', 'gold');
INSERT INTO productions VALUES ('trees', 1, 'v5-1', '2014-02-01 10:00:00', NULL, NULL);
INSERT INTO trees_v1 VALUES
  (2091, 'F', 'mu', '2014-02-01 10:01:00', '2014-02-01 10:31:00', '/old/tree02091.root', NULL, NULL, NULL),
  (2092, 'R', 'mu', '2014-02-01 10:02:00', NULL, NULL, NULL, NULL, NULL);
"""
"""A database of the old scripts, for ``production import``."""

EXAMPLES: Mapping[str, tuple[str, ...]] = {
    "init": ("production init new.db",),
    "import": ("production import old.db imported.db --timezone=Europe/Zurich --data=old",),
    "datasets add": ("production datasets add 2103-2105 --dataset=Al100 --tranche=2",),
    "doctor": ("production doctor",),
    "status": ("production status", "production status --production=trees --at=2020-01-01"),
    "watch": ("production watch --production=trees",),
    "runs": ("production runs --production=trees state:failed,held", "production runs --production=trees 2091-2094 --json --limit=1"),
    "show": ("production show 2095 --production=trees",),
    "log": ("production log 2091 --production=trees", "production log 2095 --production=trees --err --attempt=1"),
    "why": ("production why 2095 --production=trees", "production why 2095 --production=fits"),
    "failures": ("production failures --production=trees --suggest",),
    "estimate": ("production estimate --production=trees",),
    "managers": ("production managers --all",),
    "productions": ("production productions",),
    "audit": ("production audit --production=trees", "rm data/tree/v1/tree02093.root", "production audit --production=trees"),
    "retry": ("production retry cause:program --production=trees", 'production retry cause:program --production=trees --yes --why="cable mended"'),
    "hold": ('production hold 2095 --production=trees --yes --why="ask the shift first"',),
    "release": ("production release state:held --production=trees --yes",),
    "cancel": ("production cancel 2091 --production=trees",),
    "priority": ("production priority 10 2097 --production=trees --yes",),
    "reset": ("production reset 2092 --production=trees --yes", "production status"),
    "close": ('production close --production=trees --yes --why="superseded by v2"', "production close --undo --production=trees --yes"),
    "upgrade": ("production upgrade",),
    "archive check": ("production archive check",),
    "archive list": ("production archive list",),
    "archive get": ("production archive get 2091 --production=trees --to=here.mid",),
    "completion": ("production completion bash | head -n 3",),
    "nproc": ("production nproc 3 --production=trees", 'production nproc 3 --production=trees --yes --wait=1min --why="a talk on Monday"'),
}  # fmt: skip
"""{command: what is typed, in this order: one page stands on the other's campaign}."""

AROUND: Mapping[str, tuple[str, str]] = {
    "nproc": (
        """\
mkfifo gate2098 began; production reset 2098 --production=trees --yes
run_production --production=trees >trees.log 2>&1 & read -r run <began""",
        "echo go >gate2098; while production managers | grep -q trees_v1; do sleep 0.2; done",
    )
}
"""{command: what is done before, and after, without being shown}: for this one a job runs meanwhile."""


class Campaign:
    """A directory with a campaign that has been worked on, in which the examples are run."""

    def __init__(self, directory: pathlib.Path) -> None:
        self._directory = directory
        (directory / "production.toml").write_text(SETTINGS)
        (directory / "archive").mkdir()
        (directory / "home").mkdir()
        for run in range(2091, 2099):
            (directory / "archive" / f"run{run:05d}.mid").write_bytes(bytes(3000 + run))
        for name, text in (("trees.sh", TREES), ("fits.sh", FITS)):
            (directory / name).write_text(text)
            (directory / name).chmod(0o755)
        self.run("production init")
        self.run("production datasets add 2091-2098 --dataset=Al50 --tranche=1")
        self.run("run_production --production=trees --new=v5-2")
        self.run("run_production --production=fits --new=w1 --version=1")
        with contextlib.closing(sqlite3.connect(directory / "old.db")) as old:
            old.executescript(OLD)

    def run(self, line: str) -> str:
        """What a line typed into a shell prints."""
        bin_ = self._directory / "bin"
        if not bin_.exists():
            bin_.mkdir()
            for name, words in (
                ("production", "-m production"),
                ("run_production", shlex.quote(str(ROOT / "run_production.py"))),
            ):
                (bin_ / name).write_text(f'#!/bin/sh\nexec {shlex.quote(sys.executable)} {words} "$@"\n')
                (bin_ / name).chmod(0o755)
        environment = {
            "PATH": f"{bin_}:{os.environ['PATH']}", "HOME": str(self._directory / "home"), "PYTHONPATH": str(ROOT),
            "COLUMNS": COLUMNS, "LC_ALL": "C.UTF-8", "TZ": "Europe/Zurich",
        }  # fmt: skip
        done = subprocess.run(
            ["sh", "-c", line], cwd=self._directory, env=environment, text=True, timeout=120, check=False,
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        )  # fmt: skip
        return self._anonymous(done.stdout)

    def _anonymous(self, text: str) -> str:
        user, host = pwd.getpwuid(os.geteuid()).pw_name, socket.gethostname()
        text = text.replace(str(self._directory / "home"), "/home/mu").replace(str(self._directory), "/shared/mu")
        for name, other in ((host, "node1"), (user, "mu")):
            text = re.sub(rf"(?<![\w.-]){re.escape(name)}(?![\w.-])", other, text)
        return text.replace(str(ROOT), "/opt/run_production").replace(sys.executable, "python3")


def commands(
    parser: argparse.ArgumentParser, name: str = "", about: str = ""
) -> Iterator[tuple[str, str, argparse.ArgumentParser]]:
    """(name, what it is for, parser) of each command that does something."""
    below = [action for action in parser._actions if isinstance(action, argparse._SubParsersAction)]
    if not below:
        yield name, about, parser
    for action in below:
        about_each = {one.dest: one.help or "" for one in action._choices_actions}
        for word, sub in action.choices.items():
            yield from commands(sub, f"{name} {word}".strip(), about_each.get(word, ""))


def _help(parser: argparse.ArgumentParser) -> str:
    """What --help says on a terminal of our width, which argparse reads from the environment."""
    before = os.environ.get("COLUMNS")
    os.environ["COLUMNS"] = COLUMNS
    try:
        return parser.format_help().rstrip()
    finally:
        if before is None:
            del os.environ["COLUMNS"]
        else:
            os.environ["COLUMNS"] = before


def page(name: str, parser: argparse.ArgumentParser, campaign: Campaign) -> str:
    """The text of one page."""
    before, after = AROUND.get(name, ("", ""))
    campaign.run(before)
    examples = "\n\n".join(f"$ {line}\n{campaign.run(line)}".rstrip() for line in EXAMPLES[name])
    campaign.run(after)
    return f"# production {name}\n\n```text\n{_help(parser)}\n```\n\nFor example:\n\n```console\n{examples}\n```\n"


def _file(name: str) -> str:
    return f"{name.replace(' ', '-')}.md"


def pages() -> dict[str, str]:
    """{file name: text} of all pages, and of the index."""
    from production.cli import production

    all_ = list(commands(production.parser()))
    made = {}
    with tempfile.TemporaryDirectory(prefix="pages-") as directory:
        campaign = Campaign(pathlib.Path(directory))
        for name in EXAMPLES:
            parser = next(parser for other, _, parser in all_ if other == name)
            made[_file(name)] = page(name, parser, campaign)
    lines = [f"- [production {name}]({_file(name)}): {about}" for name, about, _ in all_]
    made["README.md"] = (
        "# The commands of production\n\nMade by `make docs` from `--help` and from what the commands print.\n\n"
        "They end with 0: done, or there was nothing to do; 1: an error, nothing that was asked could be done, or (`audit`, `doctor`) "
        "something was found; 2: a wrong option or setting, nothing was touched; 130: interrupted.\n\n"
        + "\n".join(lines)
        + "\n"
    )
    return made


if __name__ == "__main__":
    for file, text in pages().items():
        (PAGES / file).write_text(text, encoding="utf-8")
