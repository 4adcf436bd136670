"""The language of Grid Engine: qsub, qstat, qacct, qdel. Pure text; ``queue`` runs the commands.

Seen on Grid Engine 8.1.9. What shapes this:

* Plain qstat cuts names to ten characters, and says nothing at all of an empty queue: hence ``-xml``.
* An ended job is gone from the listing at once; how it ended only qacct knows, a moment later.
* Of qacct's record ``failed`` counts before ``exit_status``, which is 0 for jobs that never started.
* A job that couldn't start stays, in state Eqw, until it is deleted. Deleted while pending it leaves no record.
* Never ``qdel -f``: with the job's node away it has ended the qmaster.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import TypeAlias
from xml.etree import ElementTree

from production import errors
from production import run as runs
from production.batch import base, ranges, scheduler
from production.batch import witness as witness_

Cause: TypeAlias = runs.Cause
Phase: TypeAlias = base.Phase

NEAR = 0.9
"""A job that used so much of the memory it asked for was ended for that: programs often give up before the limit."""

_ANSWER = re.compile(r"([0-9]{1,12})(?:\.[0-9]{1,9}-[0-9]{1,9}:[0-9]{1,9})?")
_JOB = re.compile(r"([0-9]{1,12})\.([0-9]{1,9})")
_STATE = re.compile(r"[a-zA-Z]{1,8}")
_RECORD = re.compile(r"^={10,}\s*$", re.MULTILINE)
_FIELD = re.compile(r"^(\w{1,40})[ \t]+(.*?)[ \t]*$", re.MULTILINE)
_FAILED = re.compile(r"([0-9]{1,4})(?:\s*:\s*(.*))?")
_WAITS = re.compile(r"^scheduling info: +(.+)$", re.MULTILINE)
_REASON = re.compile(r"^error reason\s+([0-9]{1,9}):\s*(?:\S+ \S+ \[[0-9:]*\]:\s*)?(.*)$", re.MULTILINE)
_NUMBER = re.compile(r"^job_number:\s+([0-9]{1,12})\s*$", re.MULTILINE)
_ASKED = re.compile(r"\b(h_rt|h_cpu|h_vmem)=([0-9.]{1,20}[kKmMgG]?)")
_AMOUNT = re.compile(r"([0-9]{1,15}(?:\.[0-9]{1,9})?)\s*([kKmMgGtT]?)B?")

_LAUNCH = (26, 27, 28, 29, 30)
"""Opening its logs, its shell, its directory, its credentials, exit 100: it would fail anywhere."""
_LIMIT = 37
_RAN = (0, 12, 13, 14, 15, 16, 17, _LIMIT, 100)
"""The job's exit status is its own; whatever else went wrong, its witness speaks."""

_UNSURE = re.compile(
    r"commlib|unable to (?:send|contact|receive)|got send|can't get|timeout|timed out|failed receiving|connection|answer list|SGE_ROOT|act_qmaster",
    re.IGNORECASE,
)
_TOO_MANY = re.compile(r"only [0-9]+ jobs are allowed per (?:user|cluster)", re.IGNORECASE)
_ARRIVED = re.compile(
    r"has registered |has deleted |already in deletion|does not exist|unable to sync state|necessary privileges|^\s*$"
)


class GridEngine:
    """The Dialect of Grid Engine. ``parallel`` is the parallel environment for jobs of several cores on one host."""

    prefix = "#$"
    variables = ("JOB_ID", "SGE_TASK_ID")
    ledgers = 1
    tasks = 75_000
    """max_aj_tasks, as shipped."""

    def __init__(self, parallel: str = "smp") -> None:
        self._parallel = parallel

    def unwanted(self, words: Sequence[str]) -> bool:
        return any(word in ("-sync", "-verify", "-help", "-cwd", "-now", "-b", "-@") for word in words)

    def own_array(self, words: Sequence[str]) -> bool:
        return "-t" in words

    def submit_command(self, array: scheduler.Array) -> list[str]:
        command = [
            "qsub", "-terse", "-N", array.name, "-t", f"1-{array.size}", "-r", "n", "-S", "/bin/sh", "-wd", "/",
            "-o", "/dev/null", "-e", "/dev/null", "-j", "n", "-m", "n",
            "-b", "n", "-sync", "n", "-now", "n",  # whatever a site's sge_request says
            "-w", "e",  # what would not fit an empty cluster is refused, not kept for ever
        ]  # fmt: skip
        asked = array.resources
        wanted = []
        if asked.time is not None:
            wanted.append(f"h_rt={math.ceil(asked.time)}")
        if asked.memory is not None:
            wanted.append(f"h_vmem={math.ceil(asked.memory / asked.cores)}")  # counted by slot
        if wanted:
            command += ["-l", ",".join(wanted)]
        if array.excluded:  # softly: if there is no other host it waits for none
            command += ["-soft", "-l", f"h=!({'|'.join(array.excluded)})", "-hard"]
        if asked.cores > 1:
            command += ["-pe", self._parallel, str(asked.cores)]
        if array.niceness > 0:
            command += ["-p", str(-array.niceness)]
        return command

    def parse_submit(self, text: str) -> str:
        """Source: qsub(1), ``-terse``: ``215.1-6:2`` of an array. A site's own words may stand before it."""
        lines = [line.strip() for line in text.splitlines() if line.strip()]
        match = _ANSWER.fullmatch(lines[-1]) if lines else None
        if match is None:
            raise errors.BatchUnanswered(f"qsub answered {text.strip()[:200]!r}")
        return match[1]

    def job(self, array: str, index: int) -> str:
        return f"{array}.{index}"

    def split(self, job: str) -> tuple[str, int] | None:
        match = _JOB.fullmatch(job)
        return (match[1], int(match[2])) if match else None

    def query_command(self, users: Sequence[str]) -> list[str]:
        return ["qstat", "-xml", "-s", "prs", "-u", ",".join(users)]  # -s: a site's sge_qstat may hide some

    def parse_query(self, text: str) -> dict[str, scheduler.Seen]:
        """Source: qstat(1) of 8.1.9, ``-xml``; tests/data/gridengine-8.1.9/qstat*.xml."""
        # It has no document type; one that has may be made to grow without bound.
        if "<!DOCTYPE" in text or "<!ENTITY" in text:
            raise errors.BatchUnanswered("qstat answered XML with a document type")
        try:
            root = ElementTree.fromstring(text)  # noqa: S314 (see above; the reply's size is bounded)
        except (ElementTree.ParseError, ValueError) as cause:
            raise errors.BatchUnanswered(f"qstat's answer isn't XML: {cause}") from cause
        if root.tag != "job_info":
            raise errors.BatchUnanswered(f"qstat answered {root.tag[:60]!r}")
        found: dict[str, scheduler.Seen] = {}
        for job in root.iter("job_list"):
            for id, seen in _listed(job):
                found[id] = seen
                if len(found) > ranges.MOST:
                    raise errors.BatchUnanswered("qstat tells of more jobs than there can be")
        return found

    def why_command(self, arrays: Sequence[str]) -> list[str]:
        return ["qstat", "-j", ",".join(arrays)]

    def parse_why(self, text: str) -> dict[str, str]:
        """Source: qstat(1) of 8.1.9, ``-j``; tests/data/gridengine-8.1.9/qstat-j*.txt."""
        found = {}
        _, *jobs = _NUMBER.split(text)
        for number, said in zip(jobs[::2], jobs[1::2], strict=True):
            for index, reason in _REASON.findall(said):
                found[self.job(number, int(index))] = reason.removeprefix("error: ").strip()
            waits = _WAITS.search(said)
            if waits and not waits[1].startswith("("):  # "(Collecting of scheduler job information is turned off)"
                found[number] = waits[1].strip()
        return found

    def accounting_commands(self, jobs: Mapping[str, str], ledger: int) -> list[list[str]]:  # noqa: ARG002 (there is one)
        pairs = filter(None, map(self.split, jobs))
        return [["qacct", "-j", array] for array in sorted({array for array, _ in pairs}, key=int)]

    def named_commands(self, names: Sequence[str], ledger: int) -> list[list[str]]:  # noqa: ARG002
        return [["qacct", "-j", name] for name in names]

    def parse_accounting(self, text: str, ledger: int) -> dict[str, scheduler.Seen]:  # noqa: ARG002
        """Source: qacct(1), accounting(5) and sge_status(5) of 8.1.9; tests/data/gridengine-8.1.9/qacct*.txt.

        A record for each task and each time it was started, oldest first.
        """
        if not text.strip():
            return {}
        records = [dict(_FIELD.findall(record)) for record in _RECORD.split(text)[1:]]
        if not records:
            raise errors.BatchUnanswered(f"qacct answered {text.strip()[:100]!r}")
        found = {}
        for record in records:
            array, task = record.get("jobnumber", ""), record.get("taskid", "")
            failed = _FAILED.fullmatch(record.get("failed", ""))
            if not array.isdigit() or failed is None or "maxvmem" not in record:
                raise errors.BatchUnanswered(f"qacct broke off in the record of job {array[:20]!r}")
            id = self.job(array, int(task)) if task.isdecimal() and len(task) < 10 else array
            found[id] = scheduler.Seen(_ended(record, int(failed[1]), failed[2] or ""), record.get("jobname", ""))
        return found

    def no_ledger(self, reply: scheduler.Completed) -> bool:  # noqa: ARG002 (an accounting file may be made any moment)
        return False

    def cancel_commands(self, jobs: Sequence[str]) -> list[list[str]]:
        arrays: dict[str, list[int]] = {}
        for array, index in filter(None, map(self.split, jobs)):
            arrays.setdefault(array, []).append(index)
        words = [f"{array}.{part}" for array, indices in arrays.items() for part in ranges.text(indices)]
        return [["qdel", *group] for group in ranges.lines(words)]

    def uncancelled(self, reply: scheduler.Completed) -> bool:
        said = (reply.stdout + reply.stderr).splitlines()
        return reply.returncode != 0 and not (said and all(map(_ARRIVED.search, said)))

    def refusal(self, reply: scheduler.Completed) -> str:
        said = [line.strip() for line in reply.stderr.splitlines() if line.strip() not in ("", "Exiting.")]
        if reply.returncode == 0 or not said or _UNSURE.search(reply.stderr):
            return ""
        return " ".join(said)[:300].removeprefix("Unable to run job: ")

    def too_large(self, refusal: str) -> bool:
        """Source: sge_conf(5), ``max_aj_tasks``; tests/data/gridengine-8.1.9/qsub-array-too-large.err.txt."""
        return re.search(r"more than [0-9]+ tasks", refusal) is not None

    def full(self, refusal: str) -> bool:
        """Source: sge_conf(5), ``max_u_jobs`` and ``max_jobs``; tests/data/gridengine-8.1.9/qsub-too-many*.txt."""
        return _TOO_MANY.search(refusal) is not None

    def by_hand(self, job: str) -> str:
        found = self.split(job)
        return f"qdel {found[0]} -t {found[1]}" if found else f"qdel {job}"


def _listed(job: ElementTree.Element) -> Iterator[tuple[str, scheduler.Seen]]:
    """One element of the listing: a running job, or what is still pending of an array."""
    number, state = job.findtext("JB_job_number", "").strip(), job.findtext("state", "").strip()
    if not (number.isdecimal() and len(number) <= 12 and _STATE.fullmatch(state)):
        raise errors.BatchUnanswered(f"qstat tells of a job {number[:20]!r} in state {state[:20]!r}")
    if "z" in state:
        return  # it has ended: only the accounting knows how
    host = job.findtext("queue_name", "").rpartition("@")[2].strip() or None
    report = base.Report(_phase(state), host=host, reason=state, held="h" in state)
    seen = scheduler.Seen(report, job.findtext("JB_name", ""), hopeless=int("E" in state and "d" not in state))
    tasks = job.findtext("tasks", "").strip()
    if not tasks:
        yield number, seen
    for index in ranges.parse(tasks) if tasks else ():
        yield f"{number}.{index}", seen


def _phase(state: str) -> Phase:
    """Source: qstat(1): d(eletion), E(rror), h(old), r(unning), R(estarted), s, S, T (suspended), t(ransfer), w(ait)."""
    return Phase.PENDING if "w" in state or "q" in state else Phase.RUNNING


def _ended(record: Mapping[str, str], failed: int, words: str) -> base.Report:
    """How one start of a job ended."""
    code = re.match(r"[0-9]{1,5}", record.get("exit_status", ""))
    exit_, signal = witness_.status(int(code[0])) if code and failed in _RAN else (None, None)
    cause = _cause(record, failed, exit_ or signal)
    host = record.get("hostname", "")
    ran = record.get("start_time") != "-/-"
    return base.Report(
        Phase.GONE,
        exit_,
        signal,
        host if host not in ("", "unknown") else None,
        _number(record.get("cpu", "").removesuffix("s")) if ran else None,
        _amount(record["maxvmem"]) or None if ran else None,  # 0 of a job that nobody had a look at
        _told(words, failed),
        cause,
    )


def _told(words: str, failed: int) -> str:
    if failed == 100:
        return "a signal ended it: of qdel, of its node, or its own"  # Grid Engine says: assumedly after job
    return words or (f"failed {failed}" if failed else "")


def _cause(record: Mapping[str, str], failed: int, status: int | None) -> Cause | None:
    asked = dict(_ASKED.findall(record.get("category", "")))
    limit, used = _amount(asked.get("h_vmem", "")), _amount(record["maxvmem"])
    full = limit is not None and used is not None and used >= NEAR * limit * _slots(record)
    if failed == _LIMIT:
        return Cause.MEMORY if full else Cause.TIME
    if failed in _RAN:
        return Cause.MEMORY if full and status else None
    return Cause.LAUNCH if failed in _LAUNCH else Cause.NODE


def _slots(record: Mapping[str, str]) -> int:
    slots = record.get("slots", "")
    return int(slots) if slots.isdecimal() and len(slots) < 7 else 1


def _number(text: str) -> float | None:
    try:
        found = float(text)
    except ValueError:
        return None
    return found if 0 <= found < math.inf else None


def _amount(text: str) -> int | None:
    match = _AMOUNT.fullmatch(text.strip())
    return int(float(match[1]) * 1024 ** " KMGT".index(match[2].upper() or " ")) if match else None
