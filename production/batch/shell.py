"""Where the batch system's commands are run: on this machine. In comes an argv, out comes what it said."""

from __future__ import annotations

from collections.abc import Sequence

from production import child, errors
from production.batch import scheduler

LONGEST = 1 << 26
"""Bytes of a reply: a hundred thousand jobs in XML. Whoever says more isn't answering our question."""

_ENGLISH = {"LC_ALL": "C", "SLURM_TIME_FORMAT": "%s"}


class Here:
    """The Shell of this machine."""

    def run(self, argv: Sequence[str], *, input: bytes = b"", timeout: float) -> scheduler.Completed:
        try:
            end = child.run(
                argv, timeout, _never, apart=True, variables=_ENGLISH, read=input, kept=LONGEST + 1
            )  # fmt: skip
        except FileNotFoundError as cause:
            raise errors.BatchError(
                f"{argv[0]} is not on the PATH; load the batch system's environment first"
            ) from cause
        except OSError as cause:
            raise errors.BatchUnanswered(f"{argv[0]} can't be run: {cause.strerror}") from cause
        if not end.ended:
            raise errors.BatchUnanswered(f"{argv[0]} took longer than {timeout:g} s")
        if end.status is None or end.status < 0:
            raise errors.BatchUnanswered(f"{argv[0]} {child.problem(end, timeout, _never)}")
        if len(end.said) > LONGEST:
            raise errors.BatchUnanswered(f"{argv[0]} said more than {LONGEST >> 20} MB")
        return scheduler.Completed(
            end.said.decode("utf-8", "replace"), end.complained.decode("utf-8", "replace"), end.status
        )

    def close(self) -> None:
        """Nothing is kept open."""


def _never() -> bool:
    return False
