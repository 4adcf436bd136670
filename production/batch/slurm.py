"""The language of Slurm: sbatch, squeue, sacct, scancel. Pure text; ``queue`` runs the commands.

Seen on Slurm 22.05.8. What shapes this:

* A task of an array is ``ARRAY_INDEX`` to us; its own JobId, another number, is only needed for ``sacct -c``.
* Never ``--json``: with the controller away squeue prints a valid, empty list and exits 0.
* An ended job stays in the listing for MinJobAge (300 s), but without its exit code.
* A request that will never fit is accepted and waits for ever; only the reason in the listing tells.
* ``--no-requeue``: a job of a lost node may go on writing, so the next try gets directories of its own from us.
"""

from __future__ import annotations

import dataclasses
import math
import re
from collections.abc import Mapping, Sequence
from typing import TypeAlias

from production import errors
from production import run as runs
from production.batch import base, ranges, scheduler
from production.batch import witness as witness_

Cause: TypeAlias = runs.Cause
Phase: TypeAlias = base.Phase

LOOKS = 3
"""So many listings have to say that a job will never fit."""

_PENDING = frozenset("PENDING REQUEUED REQUEUE_FED REQUEUE_HOLD SPECIAL_EXIT RESV_DEL_HOLD".split())
_RUNNING = frozenset("RUNNING CONFIGURING COMPLETING SUSPENDED STOPPED STAGE_OUT SIGNALING RESIZING".split())
_CAUSES: dict[str, Cause | None] = {
    "COMPLETED": None,
    "FAILED": None,
    "CANCELLED": Cause.CANCELLED,
    "REVOKED": Cause.CANCELLED,
    "TIMEOUT": Cause.TIME,
    "DEADLINE": Cause.TIME,
    "OUT_OF_MEMORY": Cause.MEMORY,
    "NODE_FAIL": Cause.NODE,
    "BOOT_FAIL": Cause.NODE,
    "PREEMPTED": Cause.NODE,
}
_NEVER = frozenset(
    "PartitionConfig DependencyNeverSatisfied BadConstraints PartitionNodeLimit PartitionTimeLimit AccountNotAllowed QOSNotAllowed "
    "InvalidAccount InvalidQOS QOSMaxCpuPerJobLimit QOSMaxMemoryPerJob QOSMaxNodePerJobLimit "
    "QOSMaxWallDurationPerJobLimit QOSMinCpuNotSatisfied AssocMaxCpuPerJobLimit AssocMaxMemPerJob "
    "AssocMaxNodePerJobLimit AssocMaxWallDurationPerJobLimit".split()
)
_HELD = frozenset({"JobHeldUser", "JobHeldAdmin", "BeginTime", "JobHoldMaxRequeue"})
_LAUNCH_FAILURE = 53
"""The signal that Slurm tells of if it couldn't open the log or enter the directory."""

_JOB = re.compile(r"([0-9]{1,12})_([0-9]{1,9})")
_ARRAY = re.compile(r"([0-9]{1,12})(?:;[\w.-]{1,255})?")
_FOLDED = re.compile(r"([0-9]{1,12})_\[([0-9,:%-]+)\]")
_ROW = re.compile(r"([0-9]{1,12}(?:_[0-9]{1,9}|_\[[^\]|]*\])?)\|([A-Z_]{1,40})\|([^|]*)\|([^|]*)\|([0-9]{1,12})\|(.*)")
_CODE = re.compile(r"([0-9]{1,5}):([0-9]{1,5})")
_CLOCK = re.compile(r"(?:(?:([0-9]{1,5})-)?([0-9]{1,4}):)?([0-9]{1,4}):([0-9]{1,2}(?:\.[0-9]{1,9})?)")
_SIZE = re.compile(r"([0-9]{1,15}(?:\.[0-9]{1,9})?)([KMGTP]?)")
_UNSURE = re.compile(
    r"unable to contact|timed out|connect failure|connection|zero bytes|unexpected message|communication|"
    r"temporarily|not responding|shutdown|munge|credential|authentication|protocol|fatal",
    re.IGNORECASE,
)

_TOO_MANY = re.compile(r"(?:Max|Grp)SubmitJob|temporarily unable to accept job")

_FIELDS = "JobID,State,ExitCode,TotalCPU,MaxRSS,NodeList,JobName"
_FIELDS_OF_THE_LOG = "jobid,state,exitcode"
LATEST = "now-30days"
"""How far back sacct looks for a name; for ids it looks everywhere."""


class Slurm:
    """The Dialect of Slurm."""

    prefix = "#SBATCH"
    variables = ("SLURM_ARRAY_JOB_ID", "SLURM_ARRAY_TASK_ID")
    ledgers = 2
    """sacct of the database, and sacct of the completion log."""
    tasks = 1000
    """Below MaxArraySize, as shipped."""

    def unwanted(self, words: Sequence[str]) -> bool:
        return any(
            word in ("-W", "hetjob", "packjob") or (len(word) > 4 and "--test-only".startswith(word))
            or (len(word) > 4 and "--wait".startswith(word)) for word in words
        )  # fmt: skip

    def own_array(self, words: Sequence[str]) -> bool:
        return any(word.startswith(("-a", "--arr")) for word in words)

    def submit_command(self, array: scheduler.Array) -> list[str]:
        command = [
            "sbatch", "--parsable", f"--job-name={array.name}", f"--array=1-{array.size}", "--no-requeue",
            "--output=/dev/null", "--error=/dev/null", "--input=/dev/null", "--chdir=/", "--mail-type=NONE",
        ]  # fmt: skip
        asked = array.resources
        if asked.time is not None:
            command.append(f"--time={math.ceil(asked.time / 60)}")
        if asked.memory is not None:
            command.append(f"--mem={math.ceil(asked.memory / 1024)}K")
        if asked.cores > 1:
            command.append(f"--cpus-per-task={asked.cores}")
        if array.excluded:
            command.append(f"--exclude={','.join(array.excluded)}")
        if array.niceness:
            command.append(f"--nice={array.niceness}")
        return command

    def parse_submit(self, text: str) -> str:
        """Source: sbatch(1), ``--parsable``: the id, and the cluster's name behind a semicolon if there are several.

        A site's own words may stand before it.
        """
        found = [match for line in text.splitlines() if (match := _ARRAY.fullmatch(line.strip()))]
        if len(found) != 1:
            raise errors.BatchUnanswered(f"sbatch answered {text.strip()[:200]!r}")
        return found[0][1]

    def job(self, array: str, index: int) -> str:
        return f"{array}_{index}"

    def split(self, job: str) -> tuple[str, int] | None:
        match = _JOB.fullmatch(job)
        return (match[1], int(match[2])) if match else None

    def query_command(self, users: Sequence[str]) -> list[str]:
        return ["squeue", "-h", "-r", "-t", "all", "-u", ",".join(users), "-o", "%i|%T|%r|%N|%A|%j"]

    def parse_query(self, text: str) -> dict[str, scheduler.Seen]:
        """Source: squeue(1) of 22.05.8; tests/data/slurm-22.05.8/squeue*.txt."""
        if text and not text.endswith("\n"):
            raise errors.BatchUnanswered(f"squeue broke off: {text.splitlines()[-1][:100]!r}")
        found: dict[str, scheduler.Seen] = {}
        for line in text.split("\n")[:-1]:
            match = _ROW.fullmatch(line)
            if match is None:
                raise errors.BatchUnanswered(f"squeue answered {line[:100]!r}")
            job, state, reason, host, alias, name = match.groups()
            seen = scheduler.Seen(_listed(state, reason, host), name, alias, _hopeless(state, reason))
            for each in _unfolded(job):
                found[each] = seen
        return found

    def why_command(self, arrays: Sequence[str]) -> list[str]:  # noqa: ARG002 (the listing has said it)
        return []

    def parse_why(self, text: str) -> dict[str, str]:  # noqa: ARG002
        return {}

    def accounting_commands(self, jobs: Mapping[str, str], ledger: int) -> list[list[str]]:
        if ledger:
            known = [alias for alias in jobs.values() if alias]
            return [
                ["sacct", "-c", "-n", "-P", "-o", _FIELDS_OF_THE_LOG, "-j", ",".join(group)]
                for group in ranges.lines(known)
            ]
        return [["sacct", "-n", "-P", "-o", _FIELDS, "-j", ",".join(group)] for group in ranges.lines(jobs)]

    def named_commands(self, names: Sequence[str], ledger: int) -> list[list[str]]:
        if ledger:
            return []
        return [
            ["sacct", "-n", "-P", "-S", LATEST, "-o", _FIELDS, f"--name={','.join(group)}"]
            for group in ranges.lines(names)
        ]

    def parse_accounting(self, text: str, ledger: int) -> dict[str, scheduler.Seen]:
        """Source: sacct(1) of 22.05.8; tests/data/slurm-22.05.8/sacct*.txt. Steps stand behind their job."""
        width = (_FIELDS_OF_THE_LOG if ledger else _FIELDS).count(",")
        found: dict[str, scheduler.Seen] = {}
        for line in text.splitlines():
            fields = line.split("|", width)
            job, _, step = fields[0].partition(".")
            if len(fields) != width + 1 or not job[:1].isdigit():
                raise errors.BatchUnanswered(f"sacct answered {line[:100]!r}")
            if step:
                _add_step(found, job, fields)
            elif "[" not in job:  # a folded rest: it waits, as the listing says
                found[job] = _accounted(*fields[1:])
        return found

    def no_ledger(self, reply: scheduler.Completed) -> bool:
        return reply.returncode != 0 and (
            "is disabled" in reply.stderr or "Permission denied" in reply.stderr or "No such file" in reply.stderr
        )

    def cancel_commands(self, jobs: Sequence[str]) -> list[list[str]]:
        arrays: dict[str, list[int]] = {}
        for array, index in filter(None, map(self.split, jobs)):
            arrays.setdefault(array, []).append(index)
        words = [
            f"{array}_[{','.join(part)}]"
            for array, indices in arrays.items()
            for part in ranges.lines(ranges.text(indices))
        ]
        return [["scancel", *group] for group in ranges.lines(words)]

    def uncancelled(self, reply: scheduler.Completed) -> bool:
        return reply.returncode != 0 and "Invalid job id" not in reply.stderr

    def refusal(self, reply: scheduler.Completed) -> str:
        said = [line for line in reply.stderr.splitlines() if line.strip()]
        if reply.returncode == 0 or not said or _UNSURE.search(reply.stderr):
            return ""
        return "; ".join(line.removeprefix("sbatch: error: ").strip() for line in said[-2:])[:300]

    def too_large(self, refusal: str) -> bool:
        """Source: MaxArraySize; tests/data/slurm-22.05.8/sbatch-array-too-large.err.txt."""
        return "Invalid job array specification" in refusal

    def full(self, refusal: str) -> bool:
        """Source: Slurm's resource limits (MaxSubmitJobs, GrpSubmitJobs); tests/data/slurm-22.05.8/sbatch-too-many*.txt."""
        return _TOO_MANY.search(refusal) is not None

    def by_hand(self, job: str) -> str:
        return f"scancel {job}"


def _unfolded(job: str) -> list[str]:
    folded = _FOLDED.fullmatch(job)
    if folded is None:
        return [job]
    return [f"{folded[1]}_{index}" for index in ranges.parse(folded[2])]


def _phase(state: str) -> Phase:
    if state in _PENDING:
        return Phase.PENDING
    if state in _RUNNING:
        return Phase.RUNNING
    return Phase.GONE if state in _CAUSES else Phase.UNKNOWN


def _listed(state: str, reason: str, host: str) -> base.Report:
    phase = _phase(state)
    exit_ = 0 if state == "COMPLETED" else None
    told = "" if reason == "None" else reason
    if phase is Phase.GONE:
        told = " ".join(filter(None, (state, told and f"({told})"))) if state != "COMPLETED" else ""
    held = state == "PENDING" and reason in _HELD
    return base.Report(phase, exit=exit_, host=host or None, reason=told, cause=_CAUSES.get(state), held=held)


def _hopeless(state: str, reason: str) -> int:
    return LOOKS if state == "PENDING" and reason in _NEVER else 0


def _accounted(state: str, code: str, *rest: str) -> scheduler.Seen:
    cpu, _, host, name = (*rest, "", "", "", "")[:4]
    state_ = state.partition(" ")[0].rstrip("+")
    phase, cause = _phase(state_), _CAUSES.get(state_)
    exit_, signal = _ended(code) if state_ in ("COMPLETED", "FAILED") else (None, None)
    if state_ == "FAILED" and signal == _LAUNCH_FAILURE:
        cause, signal = Cause.LAUNCH, None
        state = "it couldn't be launched: is its directory there, may its log be written?"
    reason = "" if state_ == "COMPLETED" else state
    where = None if host in ("", "None assigned") else host
    report = base.Report(phase, exit_, signal, where, _seconds(cpu), None, reason, cause)
    return scheduler.Seen(report, name)


def _ended(code: str) -> tuple[int | None, int | None]:
    match = _CODE.fullmatch(code)
    if match is None:
        return None, None
    return (None, int(match[2])) if int(match[2]) else witness_.status(int(match[1]))


def _add_step(found: dict[str, scheduler.Seen], job: str, fields: Sequence[str]) -> None:
    """A step's peak memory is the job's, if it is the largest."""
    seen = found.get(job)
    size = _bytes(fields[4]) if len(fields) > 4 else None
    if seen is not None and size is not None:
        report = dataclasses.replace(seen.report, memory=max(size, seen.report.memory or 0))
        found[job] = dataclasses.replace(seen, report=report)


def _bytes(text: str) -> int | None:
    match = _SIZE.fullmatch(text)
    return int(float(match[1]) * 1024 ** " KMGTP".index(match[2] or " ")) if match else None


def _seconds(text: str) -> float | None:
    match = _CLOCK.fullmatch(text)
    if match is None:
        return None
    days, hours, minutes, seconds = match.groups()
    return 86400.0 * int(days or 0) + 3600 * int(hours or 0) + 60 * int(minutes) + float(seconds)
