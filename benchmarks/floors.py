"""What starting jobs costs without any bookkeeping: the floors under ``jobs``, each a process of its own.

``python -m benchmarks.floors spawn|wrapper|hyperqueue|table NUMBER WIDTH``
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence

TRUE = "/bin/true"

_WRAPPER = """witness=$1
shift
printf 'start %s\\n' "$$" >"$witness"
"$@"
printf 'end %s\\n' "$?" >>"$witness"
"""
"""Says in a file that it began and how it ended, with the shell's own builtins alone."""


def spawn(number: int, width: int) -> None:
    """So many ``true``, so many at a time."""
    _loop([[TRUE]] * number, width)


def wrapper(number: int, width: int) -> None:
    """The same behind a small ``sh`` that writes a witness."""
    script = os.path.abspath("wrapper.sh")
    with open(script, "w", encoding="utf-8") as file:
        file.write(_WRAPPER)
    os.mkdir("witnesses")
    _loop([["/bin/sh", script, f"witnesses/{one}", TRUE] for one in range(number)], width)
    assert len(os.listdir("witnesses")) == number


def hyperqueue(number: int, width: int) -> None:
    """HyperQueue's server and worker on loopback, from its own Python package."""
    from hyperqueue import Job  # type: ignore[import-not-found,unused-ignore]
    from hyperqueue.cluster import LocalCluster, WorkerConfig  # type: ignore[import-not-found,unused-ignore]

    with LocalCluster(os.path.abspath("."), worker_config=WorkerConfig(cores=width)) as cluster:
        client, job = cluster.client(), Job()
        for _ in range(number):
            job.program([TRUE], stdout=None, stderr=None)
        client.wait_for_jobs([client.submit(job)])


def table(number: int, _width: int) -> None:
    """The shortest table of a million runs that urwid shows: its rows are asked for as it is painted, and nothing is kept."""
    import sqlite3

    import urwid

    connection = sqlite3.connect("file:production.db?mode=ro", uri=True)
    query = "SELECT run, state, attempt, moved_at, why FROM production_run WHERE production = 1 AND run >= ? ORDER BY run LIMIT ?"

    class Table(urwid.Widget):
        _sizing = frozenset([urwid.Sizing.BOX])
        _selectable = True
        cursor = top = 1

        def render(self, size: tuple[int, int], focus: bool = False) -> urwid.Canvas:  # type: ignore[override]  # noqa: ARG002  urwid's
            columns, rows = size
            self.top = max(1, min(self.top, self.cursor), self.cursor - rows + 1)
            lines = []
            for run, state, attempt, at, why in connection.execute(query, (self.top, rows)):
                sign = ">" if run == self.cursor else " "
                lines.append(f"{sign} {run:7} {state:9} {attempt:3} {at:27} {why}"[:columns].ljust(columns).encode())
            lines += [b" " * columns] * (rows - len(lines))
            return urwid.TextCanvas(lines, maxcol=columns, check_width=False)

        def keypress(self, size: tuple[int, int], key: str) -> str | None:  # type: ignore[override]  # this one is a box
            if key == "q":
                raise urwid.ExitMainLoop
            steps = {"down": 1, "up": -1, "page down": size[1], "page up": -size[1], "end": number, "home": -number}
            self.cursor = max(1, min(number, self.cursor + steps.get(key, 0)))
            self._invalidate()
            return None

    urwid.MainLoop(Table()).run()


def _loop(jobs: Sequence[list[str]], width: int) -> None:
    environment, living = dict(os.environ), 0
    for argv in jobs:
        os.posix_spawn(argv[0], argv, environment)
        living += 1
        if living == width:
            _wait()
            living -= 1
    for _ in range(living):
        _wait()


def _wait() -> None:
    _pid, status = os.wait()
    assert status == 0


if __name__ == "__main__":
    what, number, width = sys.argv[1:]
    {"spawn": spawn, "wrapper": wrapper, "hyperqueue": hyperqueue, "table": table}[what](int(number), int(width))
