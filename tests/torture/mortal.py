"""A manager that dies where it is told: ``run_production`` with audit hooks of the interpreter, and nothing else of ours.

    python -m tests.torture.mortal PLAN.json [ARGUMENT of run_production...]

The product isn't touched. Every external call of interest raises an audit event, and SQLite's trace shows each
``COMMIT``; both happen on the thread that makes the call, so the frames above say which step it is. That makes a
*point*::

    submit._submit:os.posix_spawn:before        of a call: the event itself comes before the call ...
    submit._submit:os.posix_spawn:after         ... and the thread's next event, whichever, after it
    keep.step:COMMIT(lapse):before              of a commit, by the first change of the transaction
    transfer.publish:os.link(part):after        in a thread, by its crew and function
    leave/release._give_back:COMMIT(move):after on the way out

The plan is JSON, see ``Plan``. What is done where is written down before it is done.
"""

from __future__ import annotations

import collections
import dataclasses
import fcntl
import fnmatch
import json
import os
import re
import signal
import sys
import threading
from collections.abc import Sequence
from types import FrameType
from typing import Any

from production.catalogue import sql
from production.cli import run_production

CALLS = frozenset(
    "open os.rename os.link os.symlink os.remove os.mkdir os.rmdir os.chmod os.truncate shutil.rmtree os.posix_spawn "
    "os.kill os.killpg".split()
)
"""Audit events (docs.python.org, "Audit events table") of calls that change the world. ``open`` only to write."""

_QUIET = frozenset(
    {"sys._getframe", "object.__getattr__", "object.__setattr__", "import", "compile", "exec", "fcntl.flock"}
)
"""Events that say nothing of what a thread has done since the last one; and the end of a commit's turn at the side
lock, so that who is stopped after a commit doesn't stop everybody."""

_KINDS = tuple(
    (kind, re.compile(pattern))
    for kind, pattern in {
        "revoked": r"\.(revoked|cancelled)$",
        "part": r"\.part$",
        "tickets": r"\.tickets$",
        "ticket": r"\.ticket$",
        "witness": r"\.witness$",
        "lock": r"\.lock$",
        "work": r"/data/work(/|$)",
        "jobs": r"/data/jobs(/|$)",
        "log": r"/data/log(/|$)",
        "raw": r"/data/raw(/|$)",
        "modules": r"/data/modules(/|$)",
        "fixed": r"/home/data/",
        "copy": r"/data/[a-z]+/v\d+/\.",
        "output": r"/data/(tree|hist|out)(/|$)",
    }.items()
)
"""What a path is, from its end; told in the point's name."""


@dataclasses.dataclass(frozen=True, slots=True)
class Deed:
    """One thing to do to ourselves."""

    signal: str
    """KILL, STOP, INT, TERM, HUP."""
    points: tuple[str, ...] | None = None
    """At one that is like one of these (``fnmatch``); None: at any, also one nobody knew of."""
    spare: tuple[str, ...] = ()
    """But at none of these."""
    skip: int = 0
    """So many that would do are let pass."""
    latest: int | None = None
    """Wherever we are, once so many points of any sort have been passed."""


@dataclasses.dataclass(frozen=True, slots=True)
class Plan:
    """What is to be done to one manager, in this order, and where to write it down."""

    report: str
    """File; lines ``SIGNAL POINT`` when something is done, ``COUNT NUMBER POINT`` at an ordinary end."""
    deeds: tuple[Deed, ...] = ()

    def text(self) -> str:
        return json.dumps(dataclasses.asdict(self))

    @classmethod
    def read(cls, text: str) -> Plan:
        values = json.loads(text)
        deeds = tuple(
            Deed(
                deed["signal"],
                None if deed["points"] is None else tuple(deed["points"]),
                tuple(deed["spare"]),
                deed["skip"],
                deed["latest"],
            )
            for deed in values["deeds"]
        )
        return cls(values["report"], deeds)


class Fate:
    """Sees every event of this process, names the points, and does the deeds."""

    def __init__(self, plan: Plan) -> None:
        self._report = os.open(plan.report, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o666)
        self._deeds = collections.deque(plan.deeds)
        self._skip = plan.deeds[0].skip if plan.deeds else 0
        self._passed = 0
        self._after: dict[int, str] = {}
        """{thread: the point whose call it was making}."""
        self._busy: set[int] = set()
        """Threads that are in here: what we do ourselves is no event."""
        self._transaction = ""
        self._locked = False
        """Whether the main thread holds the side lock, or is about to."""
        self._connections: list[Any] = []
        self.counts: collections.Counter[str] = collections.Counter()

    def hook(self, event: str, arguments: tuple[Any, ...]) -> None:
        """The audit hook."""
        thread = threading.get_ident()
        if event == "fcntl.flock" and thread == threading.main_thread().ident:  # others lock what they bring
            self._locked = arguments[1] & fcntl.LOCK_UN == 0
        if event in _QUIET or thread in self._busy:
            return
        if event == "sqlite3.connect/handle":
            self._connections.append(arguments[0])  # not ready yet: it is at its next event
            return
        self._busy.add(thread)
        try:
            self._settle(thread)
            while self._connections:
                self._connections.pop().set_trace_callback(self._statement)
            if event in CALLS and _matters(event, arguments):
                name = f"{_where(sys._getframe(1))}:{event}{_kind(event, arguments)}"
                self._pass(f"{name}:before")
                self._after[thread] = f"{name}:after"
        finally:
            self._busy.discard(thread)

    def _statement(self, statement: str) -> None:
        """SQLite's trace: a statement is about to be carried out."""
        thread = threading.get_ident()
        if thread in self._busy:
            return
        self._busy.add(thread)
        try:
            self._settle(thread)
            word = statement.split(None, 1)[0]
            if word == "BEGIN":
                self._transaction = ""
            elif word == "COMMIT":
                name = f"{_where(sys._getframe(1))}:COMMIT({self._transaction or 'nothing'})"
                self._pass(f"{name}:before")
                self._after[thread] = f"{name}:after"
            elif not self._transaction and word in ("INSERT", "UPDATE", "DELETE"):
                self._transaction = _query(statement)
        finally:
            self._busy.discard(thread)

    def _settle(self, thread: int) -> None:
        """Whatever this thread was doing, it has done."""
        done = self._after.pop(thread, None)
        if done is not None:
            self._pass(done)

    def _pass(self, point: str) -> None:
        self.counts[point] += 1
        if not self._deeds:
            return
        deed = self._deeds[0]
        self._passed += 1
        if deed.latest is None or self._passed <= deed.latest:
            if point in deed.spare or (deed.points is not None and not like(point, deed.points)):
                return
            if self._skip:
                self._skip -= 1
                return
        if deed.signal == "STOP" and self._locked and ":COMMIT(" not in point:
            return  # by chance within a transaction: it would stop everybody
        self._deeds.popleft()
        self._passed = 0
        self._skip = self._deeds[0].skip if self._deeds else 0
        os.write(self._report, f"{deed.signal} {point}\n".encode())
        os.kill(os.getpid(), signal.Signals[f"SIG{deed.signal}"])

    def tell(self) -> None:
        """An ordinary end: what we came by."""
        lines = "".join(f"COUNT {number} {point}\n" for point, number in sorted(self.counts.items()))
        os.write(self._report, lines.encode())


def like(point: str, patterns: Sequence[str]) -> bool:
    """Whether the point is meant by one of the patterns."""
    return any(fnmatch.fnmatchcase(point, pattern) for pattern in patterns)


def _matters(event: str, arguments: tuple[Any, ...]) -> bool:
    """Whether the call changes anything: looking at a file, or asking with signal 0, doesn't."""
    if event == "open":
        flags = arguments[2]
        writes = isinstance(flags, int) and bool(flags & (os.O_WRONLY | os.O_RDWR | os.O_CREAT))
        return writes and arguments[0] != os.devnull
    return not (event in ("os.kill", "os.killpg") and arguments[1] == 0)


def _kind(event: str, arguments: tuple[Any, ...]) -> str:
    if event in ("os.kill", "os.killpg", "os.posix_spawn"):
        return ""
    path = os.fsdecode(arguments[0]) if isinstance(arguments[0], str | bytes | os.PathLike) else ""
    if not path.startswith("/"):
        return "(rmtree)"  # relative to a directory's descriptor
    return next((f"({kind})" for kind, pattern in _KINDS if pattern.search(path)), "")


def _where(frame: FrameType | None) -> str:
    """``step.function``; on the way out ``leave/step.function``; in a thread ``crew.function``."""
    leaving, step, door, inner = "", "", "", ""
    while frame is not None:
        module, function = str(frame.f_globals.get("__name__", "")), frame.f_code.co_name
        if module.startswith("production.") and not function.startswith("<"):
            name = f"{module.rpartition('.')[2]}.{function}"
            inner = inner or name
            if not step and module.startswith("production.steps."):
                step = name
            if not door and module.startswith("production.cli."):
                door = name
            if name == "manager.leave":
                leaving = "leave/"
        frame = frame.f_back
    thread = threading.current_thread()
    if thread is not threading.main_thread():
        return f"{thread.name.rpartition('-')[0]}.{inner.rpartition('.')[2]}"
    return leaving + (step or door or "python")


_NAMES = sorted(
    ((text.partition(":")[0], name) for name, text in vars(sql.SQL).items()),
    key=lambda pair: len(pair[0]),
    reverse=True,
)
"""(text before the first parameter, name) of every query, the longest first: the trace shows parameters filled in."""


def _query(statement: str) -> str:
    return next((name for start, name in _NAMES if statement.startswith(start)), "other")


def main(arguments: Sequence[str]) -> int:
    """Carry out the plan in the first argument's file, and the command with the others."""
    with open(arguments[0], encoding="utf-8") as file:
        fate = Fate(Plan.read(file.read()))
    # The parts that would otherwise be imported on the way: an import's events are nobody's.
    import production.cli.campaign  # noqa: F401

    sys.addaudithook(fate.hook)
    code = run_production.main(arguments[1:])
    fate.tell()
    return code


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
