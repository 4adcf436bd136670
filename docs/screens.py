"""Makes what docs/dashboard.md shows: screens of the dashboard during a demo, in tmux, and the table of keys. ``make screens``.

The prose is written in the page; below each ``<!-- screen NAME -->`` in it the screen of that name is put in its place, and the
keys between ``<!-- keys -->`` and the next heading. The demo is a real one, with two raw files that are damaged: so what a
screen shows was really seen; only people, machines, directories, processes and times are others, each as long as it was.
With ``--keys`` only the table is made, for which neither tmux nor time is needed.
"""

from __future__ import annotations

import contextlib
import datetime
import itertools
import os
import pathlib
import pwd
import re
import shlex
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence

from production.monitor.dashboard import keys

ROOT = pathlib.Path(__file__).resolve().parent.parent
PAGE = ROOT / "docs" / "dashboard.md"

NORMAL, WIDE, SMALL = (80, 24), (200, 60), (40, 10)
PATIENCE = 180.0
"""Seconds that a screen is waited for."""
LOOK = 0.1
"""Seconds between two looks at it: tmux can't tell when it shows something."""
DAMAGED = {"Al50": (2092, 2095)}
"""Raw files that end too early."""
ZONE = datetime.timezone(datetime.timedelta(hours=1))
BEGIN = datetime.datetime(2026, 11, 20, 21, 4, tzinfo=ZONE)
"""When the demo began, in the screens."""

VIEWED: Mapping[str, tuple[Sequence[str], str]] = {
    "failed": ((), r"> 2092 .* failed"),
    "why": (["Enter"], r"\n  next .*(?s:.*)history:"),
    "log": (["BSpace", "l"], r"stderr .*(?s:.*)truncated|stderr .*(?s:.*)alcapana returned"),
    "failures": (["2"], r"2 runs, cause program(?s:.*)suggestion"),
    "productions": (["5"], r"\[productions\](?s:.*)alcapana_v1 .*10/12"),
    "confirm": (["1", " ", " ", "r"], r"would be retried: 2 runs"),
    "columns": (["n", "BSpace", "c"], r"\[x\] run"),
    "help": (["BSpace", "?"], r"Space +mark the run"),
}  # fmt: skip
"""{screen: (keys that lead to it from the one before, what it shows then)}, after the first demo. Backspace goes back at once;
for an Esc a terminal waits whether more is coming."""
STATES = ("staging", "running", "managers", "messages", "failing", *VIEWED, "finished")
SCREENS = (*STATES, *(f"{name} wide" for name in STATES), "small", "lines")
"""All that the page has."""


# ── the terminals ──


class Tmux:
    """A server of its own, which has no settings of anybody."""

    def __init__(self, directory: pathlib.Path) -> None:
        self._directory = directory
        self._settings = directory / "tmux.conf"
        self._settings.write_text("set -g status off\nset -g default-terminal screen-256color\nset -g exit-empty off\n")
        self._environment = {
            "PATH": os.environ["PATH"], "HOME": str(directory), "PYTHONPATH": str(ROOT), "TMUX_TMPDIR": str(directory),
            "TERM": "xterm", "LC_ALL": "C.UTF-8", "TZ": "CET-1", "PAGER": "cat", "SHELL": "/bin/sh",
        }  # fmt: skip

    def say(self, *words: str) -> str:
        done = subprocess.run(
            ["tmux", "-f", str(self._settings), *words], cwd=self._directory, env=self._environment, text=True,
            stdin=subprocess.DEVNULL, capture_output=True, timeout=30, check=False,
        )  # fmt: skip
        if done.returncode:
            sys.exit(f"tmux {shlex.join(words)}: {done.stderr.strip()}")
        return done.stdout

    def run(self, *words: str) -> None:
        """A program that has nothing to show."""
        subprocess.run(words, cwd=self._directory, env=self._environment, stdout=subprocess.DEVNULL, check=True)

    def close(self) -> None:
        with contextlib.suppress(SystemExit):  # none was opened
            self.say("kill-server")


class Terminal:
    """One of them, with a program in it."""

    def __init__(self, tmux: Tmux, name: str, size: tuple[int, int], *words: str) -> None:
        self._tmux, self._name = tmux, name
        columns, rows = map(str, size)
        stays = f"{shlex.join(words)}; read -r _"
        tmux.say("new-session", "-d", "-s", name, "-x", columns, "-y", rows, stays)

    def type(self, *pressed: str) -> None:
        """As tmux names keys."""
        for key in pressed:
            self._tmux.say("send-keys", "-t", self._name, key)

    def resize(self, size: tuple[int, int]) -> None:
        columns, rows = map(str, size)
        self._tmux.say("resize-window", "-t", self._name, "-x", columns, "-y", rows)

    def screen(self, shows: str, without: str = r"looking …|asking …") -> str:
        """What it shows, once it shows that and is the same twice."""
        before, end = "", time.monotonic() + PATIENCE
        while time.monotonic() < end:
            now = self._tmux.say("capture-pane", "-p", "-t", self._name)
            if now == before and re.search(shows, now) and not re.search(without, now):
                return now
            before = now
            time.sleep(LOOK)
        sys.exit(f"{before}\n{self._name}: not seen in {PATIENCE:.0f} s: {shows}")

    def close(self) -> None:
        self._tmux.say("kill-session", "-t", self._name)


# ── what is played ──


def damage(tmux: Tmux, directory: pathlib.Path) -> list[pathlib.Path]:
    """Raw files that broke off; the demo keeps what it finds."""
    found = []
    for dataset, runs in DAMAGED.items():
        for run in runs:
            tmux.run(sys.executable, "-m", "demo.simulate", "archive/raw", "odb", str(run), f"--dataset={dataset}")
            found.append(directory / "archive" / "raw" / f"run{run:05d}.mid")
            os.truncate(found[-1], found[-1].stat().st_size // 2)
    return found


def demo(rate: float) -> Sequence[str]:
    """The command; MiB/s of each transfer."""
    return (sys.executable, "-m", "demo", "--directory=.", "--display", f"--rate={rate}")


WATCH = (sys.executable, "-m", "production", "watch")


def at_work(tmux: Tmux) -> Iterator[tuple[str, str]]:
    """(name, screen) while the demo works, on its own terminal and on another one beside it."""
    own = Terminal(tmux, "demo", NORMAL, *demo(rate=0.3))
    own.screen(r"0/12 finished")
    beside = Terminal(tmux, "beside", WIDE, *WATCH)
    beside.screen(r"/12 finished")
    for name, pressed, shows in (
        ("staging", (), r"[1-3]/12 finished(?s:.*)B/s(?s:.*)(claimed(?s:.*)){3}"),
        ("running", (), r"[3-9]/12 finished(?s:.*)[12] running(?s:.*)submitted"),
        ("managers", ("3",), r"\[managers\](?s:.*)at work +local"),
        ("messages", ("4",), r"\[messages\](?s:.*)→ finished"),
        ("failing", ("1",), r"/12 finished .*1 failed .*in hand(?s:.*)\[runs\]"),
    ):
        own.type(*pressed)
        beside.type(*pressed)
        yield name, own.screen(shows)
        yield f"{name} wide", beside.screen(shows)
        if name == "running":
            own.resize(SMALL)
            yield "small", own.screen(r"\A.*/12.*\n(?s:.*)run +state")
            own.resize(NORMAL)
    own.screen(r"did not finish")
    own.close()
    beside.close()


def looked_at(tmux: Tmux) -> Iterator[tuple[str, str]]:
    """The views, when it has ended; the same keys at both sizes."""
    for size, suffix in ((NORMAL, ""), (WIDE, " wide")):
        watch = Terminal(tmux, f"watch{suffix.strip()}", size, *WATCH)
        for name, (pressed, shows) in VIEWED.items():
            watch.type(*pressed)
            yield f"{name}{suffix}", watch.screen(shows)
        watch.close()


def mended(tmux: Tmux) -> Iterator[tuple[str, str]]:
    """The demo once more, with whole raw files: closed half-way, it goes on in lines; then it is finished."""
    own = Terminal(tmux, "mended", NORMAL, *demo(rate=2))
    own.screen(r"alcapana_v2(?s:.*)/12 finished")
    own.type("q")
    yield "lines", own.screen(r"Submitting(?s:.*)Finished run(?s:.*)in hand")
    own.screen(r"Finished: alcapana version 2, rootana")
    own.close()
    for size, suffix in ((NORMAL, ""), (WIDE, " wide")):
        watch = Terminal(tmux, f"finished{suffix.strip()}", size, *WATCH)
        yield f"finished{suffix}", watch.screen(r"12/12 finished(?s:.*)rootana|rootana(?s:.*)12/12 finished")
        watch.close()


def play() -> dict[str, str]:
    """{name: screen}, as others may see them."""
    if shutil.which("tmux") is None:
        sys.exit("make screens needs tmux: apt-get install tmux, dnf install tmux")
    with tempfile.TemporaryDirectory(prefix="demo-", ignore_cleanup_errors=True) as name:
        directory = pathlib.Path(name)
        tmux, replaced = Tmux(directory), Replaced(directory)
        found: dict[str, str] = {}
        try:
            broken = damage(tmux, directory)
            for story in (at_work, looked_at, mended):
                if story is mended:
                    for path in broken:
                        path.unlink()
                for screen, text in story(tmux):
                    print(screen, flush=True)  # noqa: T201  a person waits for minutes
                    found[screen] = short(replaced.all_of(text))
        finally:
            tmux.close()
    return found


# ── what is shown of it ──


class Replaced:
    """What would tell where and when the screens were made, and what stands there instead: as long, so that columns stay."""

    def __init__(self, directory: pathlib.Path) -> None:
        user, host = pwd.getpwuid(os.geteuid()).pw_name, socket.gethostname()
        self._host = host
        node = "node" if len(host) > 4 else "n"
        self._paths = {
            str(directory): "/shared/muon/alcap",
            str(ROOT): "/opt/production",
            sys.executable: "/usr/bin/python3",
        }
        self._words = {user: "muonist", host: node + "1".rjust(len(host) - len(node), "0")}
        now = datetime.datetime.now(ZONE).replace(second=0, microsecond=0)  # some are told without their seconds
        self._later = BEGIN - now
        self._today = f"{now:%Y-%m-%d}"
        self._numbers: dict[str, str] = {}
        self._next = itertools.count()

    def all_of(self, text: str) -> str:
        """A screen, as others may see it."""
        for path, other in self._paths.items():
            text = text.replace(path, _as_long(other, path))
        number = rf"(?<={re.escape(self._host)}:)\d+(?!\d|…)|(?<=127\.0\.0\.1:)\d+|(?<=job )\d+(?=\.\d+@)"
        text = re.sub(number, self._number, text)
        text = re.sub(r"(?<=\.)\d+@[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", self._serial, text)
        for word, other in self._words.items():
            text = re.sub(rf"(?<![\w.-]){re.escape(word)}(?![\w.-])", _as_long(other, word), text)
        time_ = r"(?<![\w:.])(\d{4}-\d\d-\d\d )?(\d\d:\d\d)(:\d\d)?(?![\w:])"
        text = re.sub(time_, self._instant, text)
        return text.replace(self._today, f"{BEGIN:%Y-%m-%d}")  # days alone

    def _number(self, found: re.Match[str]) -> str:
        """Of a process or a port; one has the same everywhere."""
        if found[0] not in self._numbers:
            first = int("4711047110"[: len(found[0])])
            self._numbers[found[0]] = str(first + next(self._next))
        return self._numbers[found[0]]

    def _serial(self, found: re.Match[str]) -> str:
        since, _, machine = found[0].partition("@")
        return f"{'4711047110'[: len(since)]}@{'0123abcd-4567-89ab-cdef-0123456789ab'[: len(machine)]}"

    def _instant(self, found: re.Match[str]) -> str:
        day, minute, second = found[1] or f"{BEGIN - self._later:%Y-%m-%d} ", found[2], found[3] or ":00"
        try:
            at = datetime.datetime.fromisoformat(f"{day}{minute}{second}") + self._later
        except ValueError:  # a share, a version, whatever it is
            return found[0]
        return at.strftime(("%Y-%m-%d " if found[1] else "") + "%H:%M" + (":%S" if found[3] else ""))


def _as_long(text: str, other: str) -> str:
    return text.ljust(len(other), text[-1])[: len(other)]


def short(text: str) -> str:
    """Without blanks at the ends of lines, and with one line for many that are empty."""
    lines = [line.rstrip() for line in text.rstrip().splitlines()]
    told: list[str] = []
    for empty, some in itertools.groupby(lines, key=lambda line: not line):
        rows = list(some)
        told += [f"⋮ {len(rows)} empty rows"] if empty and len(rows) > 3 else rows
    return "\n".join(told)


def table() -> str:
    """All keys, as ``keys.KEYS`` has them."""
    rows = ["| key | where | what it does |", "|---|---|---|"]
    for key in keys.KEYS:
        pressed = " ".join(f"`{one}`" for one in key.told.split())
        rows.append(f"| {pressed} | {where(key)} | {key.help.replace('|', chr(92) + '|').replace('>', '&gt;')} |")
    return "\n".join(rows)


def where(key: keys.Key) -> str:
    """In which views it works."""
    if key.views == keys.VIEWS:
        return "everywhere"
    if key.views == keys.BROWSING:
        return f"everywhere but in {keys.CONFIRM}"
    return ", ".join(key.views) + ("; not with `--read-only`" if key.changes else "")


def with_keys(page: str) -> str:
    """The page with the keys as they are now."""
    return re.sub(r"(?<=<!-- keys -->\n\n).*?(?=\n\n#)", lambda _: table(), page, count=1, flags=re.DOTALL)


def with_screens(page: str, screens: Mapping[str, str]) -> str:
    """The page with other screens."""
    for name, text in screens.items():
        page = _place(name).sub(lambda _, text=text: f"```text\n{text}\n```", page)
    return page


def check(page: str) -> None:
    """Before anybody waits for them: whether there is a place for each."""
    for name in SCREENS:
        if len(_place(name).findall(page)) != 1:
            sys.exit(
                f"docs/dashboard.md: needs one place for the screen {name}: <!-- screen {name} -->, and a block ```text"
            )


def _place(name: str) -> re.Pattern[str]:
    return re.compile(rf"(?<=<!-- screen {name} -->\n)```text\n.*?^```$", re.DOTALL | re.MULTILINE)


def main() -> None:
    """Make them."""
    check(PAGE.read_text(encoding="utf-8"))
    found = {} if sys.argv[1:] == ["--keys"] else play()
    page = PAGE.read_text(encoding="utf-8")  # somebody may have written on meanwhile
    PAGE.write_text(with_screens(with_keys(page), found), encoding="utf-8")


if __name__ == "__main__":
    main()
