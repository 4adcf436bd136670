"""A cluster in one file: the fake qsub, sbatch and their kin in ``bin`` work on it, and a test may change it."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import pathlib
from collections.abc import Iterator, Sequence
from typing import Any

from production.batch import scheduler, shell

BIN = pathlib.Path(__file__).parent / "bin"


class Cluster:
    """Its state; and the Shell of a machine that has its commands."""

    def __init__(self, path: pathlib.Path, **how: Any) -> None:
        self.path = path
        path.write_text(json.dumps({"number": 10, "jobs": [], "lies": {}, **how}))
        self._here = shell.Here()

    def run(self, argv: Sequence[str], *, input: bytes = b"", timeout: float) -> scheduler.Completed:
        command = ["env", f"FAKE_CLUSTER={self.path}", str(BIN / argv[0]), *argv[1:]]
        return self._here.run(command, input=input, timeout=timeout)

    def close(self) -> None:
        self._here.close()

    @contextlib.contextmanager
    def state(self) -> Iterator[dict[str, Any]]:
        with open(f"{self.path}.lock", "a") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            known = json.loads(self.path.read_text())
            yield known
            new = self.path.with_suffix(".test")
            new.write_text(json.dumps(known))
            os.replace(new, self.path)

    def change(self, index: int, **fields: Any) -> None:
        """One job of the last array is otherwise now."""
        with self.state() as known:
            last = known["jobs"][-1]["array"]
            for job in known["jobs"]:
                if (job["array"], job["index"]) == (last, index):
                    job.update(fields)

    def set(self, **fields: Any) -> None:
        with self.state() as known:
            known.update(fields)

    def lie(self, program: str, *how: str) -> None:
        with self.state() as known:
            known["lies"][program] = list(how)

    def calls(self, program: str = "") -> list[list[str]]:
        """What was asked, of all programs or one."""
        try:
            lines = pathlib.Path(f"{self.path}.calls").read_text().splitlines()
        except FileNotFoundError:
            return []
        return [call for call in map(json.loads, lines) if program in ("", call[0])]
