"""Where the batch system's commands are run: on this machine. In comes an argv, out comes what it said."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence

from production import child, errors
from production.batch import scheduler

LONGEST = 1 << 26
"""Bytes of a reply: a hundred thousand jobs in XML. Whoever says more isn't answering our question."""

ENGLISH = {"LC_ALL": "C", "SLURM_TIME_FORMAT": "%s"}
FILTERS = ("SQUEUE_", "SACCT_", "SCANCEL_", "SBATCH_WAIT", "SBATCH_ARRAY_INX")
"""How variables begin by which users see, or mean, only some of their jobs: we have to see all."""


class Here:
    """The Shell of this machine."""

    def __init__(self, leaving: Callable[[], bool] = lambda: False) -> None:
        """``leaving``: whether somebody wants to leave at once, whatever a command does."""
        self._leaving = leaving

    def run(self, argv: Sequence[str], *, input: bytes = b"", timeout: float) -> scheduler.Completed:
        try:
            variables = ENGLISH | {name: None for name in os.environ if name.startswith(FILTERS)}
            end = child.run(
                argv, timeout, self._leaving, apart=True, variables=variables, read=input, kept=LONGEST + 1
            )  # fmt: skip
        except FileNotFoundError as cause:
            raise errors.BatchError(
                f"{argv[0]} is not on the PATH; load the batch system's environment first"
            ) from cause
        except OSError as cause:
            raise errors.BatchUnanswered(f"{argv[0]} can't be run: {cause.strerror}") from cause
        if not end.ended:
            said = child.last_line(end.complained)
            told = child.problem(end, timeout, self._leaving)
            raise errors.BatchUnanswered(f"{argv[0]} {told}" + (f": {said}" if said else ""))
        if end.status is None or end.status < 0:
            raise errors.BatchUnanswered(f"{argv[0]} {child.problem(end, timeout, self._leaving)}")
        if len(end.said) > LONGEST:
            raise errors.BatchUnanswered(f"{argv[0]} said more than {LONGEST >> 20} MB")
        return scheduler.Completed(
            end.said.decode("utf-8", "replace"), end.complained.decode("utf-8", "replace"), end.status
        )

    def close(self) -> None:
        """Nothing is kept open."""
