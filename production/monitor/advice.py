"""Which setting would help a group of failures, and to what it is to be set. Pure.

A group and the settings that are in force come in; an ``Advice`` leaves, with lines for production.toml where there is a
value to propose. It is a proposal: nobody sets it but a person.
"""

from __future__ import annotations

import dataclasses
import math
import re
import shlex
import signal
from collections.abc import Callable, Mapping

from production import retry
from production import run as runs
from production import settings as settings_
from production.monitor import failures

Value = str | int | float | bool
Key = tuple[str, ...]

_LARGEST_GRACE = 3600
"""What the settings allow; as the next two."""
_LONGEST_STALL = 3600
_LONGEST_FIRST_BYTE = 86400

_OUT_OF_MEMORY = re.compile(r"MemoryError|bad_alloc|cannot allocate memory|out of memory|oom[- ]kill", re.IGNORECASE)
_NO_SPACE = re.compile(r"no space left on device|disk quota exceeded", re.IGNORECASE)
_MISSING = re.compile(r"missing in the archive|symbolic link to nothing|the archive says", re.IGNORECASE)
_TOO_LARGE = re.compile(r"its input has ([0-9.]+) ([KMGT])iB, more than")
_OUTPUT = re.compile(r"output (\w+): ")
_TOO_SMALL = re.compile(r"only ([0-9,]+) bytes, less than its minimum")
_UNITS = {"K": 2**10, "M": 2**20, "G": 2**30, "T": 2**40}


@dataclasses.dataclass(frozen=True, slots=True)
class Advice:
    """What would help."""

    text: str
    settings: Mapping[Key, Value] = dataclasses.field(default_factory=dict)
    """{key: value}; empty: no setting would."""

    @property
    def toml(self) -> str:
        """Lines for production.toml."""
        tables: dict[Key, list[str]] = {}
        for key, value in sorted(self.settings.items()):
            tables.setdefault(key[:-1], []).append(f"{key[-1]} = {_written(value)}")
        return "\n".join(
            line for table, lines in tables.items() for line in ([f"[{'.'.join(table)}]"] if table else []) + lines
        )


def _written(value: Value) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    return f'"{value}"' if isinstance(value, str) else f"{value:g}" if isinstance(value, float) else str(value)


def advise(group: failures.Group, program: str, chosen: settings_.Settings) -> Advice:
    """What would help the runs of a group, as far as can be told from the outside."""
    return _BY_CAUSE[group.cause](group, program, chosen)


def _program(chosen: settings_.Settings, program: str) -> settings_.Program:
    return chosen.programs.get(program) or settings_.Program(program, "")


def _memory(group: failures.Group, program: str, chosen: settings_.Settings) -> Advice:
    known = [amount for amount in (group.asked.memory, group.used.memory) if amount]
    if not known:
        return Advice("more memory than the site gives to whoever asks for none: set resources.memory of the program")
    wanted = _size(retry.GROWTH * max(known))
    asked = f"they asked for {_size(group.asked.memory)}" if group.asked.memory else "they asked for none"
    peak = f", and used up to {_size(group.used.memory)}" if group.used.memory else ""
    return _more(f"more memory: {asked}{peak}", "memory", wanted, _bytes(wanted), program, chosen)


def _time(group: failures.Group, program: str, chosen: settings_.Settings) -> Advice:
    known = [amount for amount in (group.asked.time, group.used.time) if amount]
    if not known:
        return Advice("more time than the site gives to whoever asks for none: set resources.time of the program")
    seconds = 60 * math.ceil(retry.GROWTH * max(known) / 60)
    asked = f"they asked for {_duration(group.asked.time)}" if group.asked.time else "they asked for none"
    return _more(f"more time: {asked}", "time", _duration(seconds), seconds, program, chosen)


def _more(text: str, kind: str, wanted: str, amount: float, program: str, chosen: settings_.Settings) -> Advice:
    """More of a resource; and of what a retry may have at most, where that would be less."""
    most = getattr(_program(chosen, program).retry, kind)
    found: dict[Key, Value] = {("programs", program, "resources", kind): wanted}
    if most is not None and most < amount:
        found["programs", program, "retry", kind] = wanted
        text += f"; retry.{kind} allows no more than {_size(most) if kind == 'memory' else _duration(most)}"
    return Advice(text, found)


def _node(group: failures.Group, program: str, chosen: settings_.Settings) -> Advice:
    there = failures.concentrated(group.hosts, len(group.failures))
    if there:
        return Advice(
            f"{there[1]} of {len(group.failures)} on {there[0]}: tell its administrator; a retry avoids the hosts it lost"
        )
    pause = min(86400.0, max(600.0, 4 * _program(chosen, program).retry.pause))
    return Advice(
        "longer pauses between the attempts: several hosts are in trouble at a time",
        {("programs", program, "retry", "pause"): pause} | _longest(pause, program, chosen),
    )


def _longest(pause: float, program: str, chosen: settings_.Settings) -> dict[Key, Value]:
    """No pause is longer than retry.longest."""
    short = _program(chosen, program).retry.longest < pause
    return {("programs", program, "retry", "longest"): pause} if short else {}


def _launch(group: failures.Group, program: str, chosen: settings_.Settings) -> Advice:
    if re.search(r"job array|array.*(?:limit|large|size)", group.form, re.IGNORECASE):
        tasks = max(1, (chosen.batch.tasks or 1000) // 10)
        return Advice("smaller array jobs: the site refuses these", {("batch", "tasks"): tasks})
    script = _program(chosen, program).script or "the script"
    there = failures.concentrated(group.hosts, len(group.failures))
    where = f" on {there[0]}" if there else " where the jobs run"
    return Advice(
        f"see that {script} and the interpreter of its first line are there{where}, and may be run (programs.{program}.script)"
    )


def _staging(group: failures.Group, program: str, chosen: settings_.Settings) -> Advice:
    large = [_TOO_LARGE.search(one.message or "") for one in group.failures]
    if sizes := [float(found[1]) * _UNITS[found[2]] for found in large if found]:
        return _room(max(sizes), chosen)
    if "broke off" in group.form:
        stall = min(_LONGEST_STALL, round(2 * chosen.archive.stall))
        first = min(_LONGEST_FIRST_BYTE, round(2 * chosen.archive.first_byte))
        return Advice(
            "more patience with the archive, if it is only slow; try it by hand: production archive get",
            {("archive", "stall"): stall, ("archive", "first_byte"): first},
        )
    if group.form.startswith("base run"):
        return Advice("its base has lost the output: let the base run be done once more (production reset), then retry")
    if "batch.fetch (" in (group.example.message or ""):
        return _fetch(chosen.batch)
    if _MISSING.search(group.form):
        return Advice(
            f"look whether the files have another name there (production archive list; programs.{program}.input), or are not there yet"
        )
    return Advice("try the archive by hand: production archive check, production archive get")


def _fetch(batch: settings_.Batch) -> Advice:
    """A command on the login node that brings no input."""
    if not batch.fetch:  # the settings of who asks are not those of the manager
        return Advice("try batch.fetch by hand on the login node")
    words = [settings_.expand(word, {"input": "INPUT", "to": "TO"}) for word in batch.fetch]
    return Advice(f"try it by hand on {batch.host}: {shlex.join(words)}")


def _room(size: float, chosen: settings_.Settings) -> Advice:
    """An input that the quota can never hold."""
    limit = chosen.quota.limit
    if limit is not None and 0.9 * limit * chosen.spacelim / 100 <= size:
        wanted = _size(1.2 * size * 100 / chosen.spacelim)
        return Advice("a larger limit, if the disk has it: the input doesn't fit", {("quota", "limit"): wanted})
    if chosen.spacelim < 100:
        return Advice("more of the quota, if the input fits then", {("spacelim",): 100})
    return Advice("a larger quota, or another disk: the input doesn't fit (data)")


def _output(group: failures.Group, program: str, chosen: settings_.Settings) -> Advice:
    message = group.example.message or ""
    if "is there already" in message:
        return Advice("a file that is nobody's stands in the way: move it away, then retry; nothing is ever replaced")
    found = _OUTPUT.search(message)
    names = {one.name: one for one in _program(chosen, program).outputs}
    if found is None or (names and found[1] not in names):
        return Advice("look at the log: what the job left is not what the settings say it leaves")
    table = ("programs", program, "outputs", found[1])
    small = [_TOO_SMALL.search(one.message or "") for one in group.failures]
    if sizes := [int(one[1].replace(",", "")) for one in small if one]:
        return Advice(
            f"a smaller minimum for {found[1]}, if files of {min(sizes):,} bytes are good",
            {(*table, "minimum"): min(sizes)},
        )
    if "is missing" in message:
        how = "written" if found[1] in names and names[found[1]].written else "path"
        return Advice(
            f"see where the script writes {found[1]} ({'.'.join(table)}.{how}); if a run may be without it:",
            {(*table, "optional"): True},
        )
    if " check " in f" {message}":
        return Advice(f"try the check of {found[1]} by hand on one of the files ({'.'.join(table)}.command)")
    return Advice(f"the file is damaged, or its check is the wrong one ({'.'.join(table)}.check); look at the log")


def _program_failed(group: failures.Group, program: str, chosen: settings_.Settings) -> Advice:
    if _OUT_OF_MEMORY.search(group.form) or (group.signal == signal.SIGKILL and group.used.memory):
        return _memory(group, program, chosen)
    if group.signal == signal.SIGXCPU:
        return _time(group, program, chosen)
    if _NO_SPACE.search(group.form):
        return Advice("room on the disk where the job writes: its node's, or ours (quota.limit, spacelim)")
    if group.exit == 127:
        return Advice(f"the script calls a command that isn't there: see the PATH (programs.{program}.environment)")
    if group.exit == 126:
        return Advice("the script calls a command that may not be run: chmod +x")
    there = failures.concentrated(group.hosts, len(group.failures))
    where = f", and at {there[0]}, where {there[1]} of {len(group.failures)} were" if there else ""
    return Advice(f"no setting: the program says no; look at its log{where}")


def _lost(_group: failures.Group, _name: str, chosen: settings_.Settings) -> Advice:
    grace = min(_LARGEST_GRACE, round(max(300, 2 * chosen.grace)))
    return Advice(
        "more patience with the cluster's word and with a network file system, if the jobs did end well",
        {("grace",): grace},
    )


def _killed(group: failures.Group, program: str, chosen: settings_.Settings) -> Advice:
    asked, used = group.asked.memory, group.used.memory
    if used and (asked is None or used >= 0.9 * asked):
        return _memory(group, program, chosen)
    return Advice("somebody, or the kernel for want of memory, killed the jobs: ask on the host, then retry")


def _cancelled(_group: failures.Group, _name: str, _chosen: settings_.Settings) -> Advice:
    return Advice("no setting: somebody cancelled the jobs; ask why, then retry")


def _held(_group: failures.Group, _name: str, _chosen: settings_.Settings) -> Advice:
    return Advice("no setting: somebody holds the runs; production release lets them go")


_BY_CAUSE: dict[str | None, Callable[[failures.Group, str, settings_.Settings], Advice]] = {
    runs.Cause.PROGRAM: _program_failed,
    runs.Cause.TIME: _time,
    runs.Cause.MEMORY: _memory,
    runs.Cause.NODE: _node,
    runs.Cause.LAUNCH: _launch,
    runs.Cause.STAGING: _staging,
    runs.Cause.OUTPUT: _output,
    runs.Cause.CANCELLED: _cancelled,
    runs.Cause.KILLED: _killed,
    runs.Cause.LOST: _lost,
    None: _held,
}


def _size(size: float | None) -> str:
    """As settings have it, not less: ``3G``, ``1536M``."""
    megabytes = max(1, math.ceil((size or 0) / 2**20))
    if megabytes >= 4096 or megabytes % 1024 == 0:
        return f"{math.ceil(megabytes / 1024)}G"
    return f"{megabytes}M"


def _bytes(text: str) -> int:
    return int(text[:-1]) * _UNITS[text[-1]]


def _duration(seconds: float | None) -> str:
    """As settings have it: ``1:36:00``."""
    minutes, rest = divmod(round(seconds or 0), 60)
    return f"{minutes // 60}:{minutes % 60:02d}:{rest:02d}"
