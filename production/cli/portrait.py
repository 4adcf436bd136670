"""One run in words: what ``production show`` has read, for people."""

from __future__ import annotations

import datetime
import shlex
from collections.abc import Iterable, Iterator
from typing import Any

from production import journal, moment, room

Answer = dict[str, Any]
"""As ``production show --json`` has it."""


def lines(answer: Answer) -> Iterator[str]:
    """All of it; nothing that is empty."""
    for part in (_head, _history, _attempts, _inputs, _outputs, _asides, _requests, _settings, _modules):
        yield from part(answer)


def _head(answer: Answer) -> Iterator[str]:
    now = datetime.datetime.now(datetime.UTC)
    name = answer["label"] or answer["run"]
    since = f"{moment.shown(answer['since'])} ({moment.age(answer['since'], now)})"
    yield f"run {name} of {answer['production']}: {answer['state']} since {since}"
    if answer["why"]:
        asked = _asker(answer)
        yield f"  why: {answer['why']}" + (f", {asked}" if asked else "")
    sets = [
        one["dataset"] + (f" tranche {one['tranche']}" if one["tranche"] is not None else "") + f" ({one['quality']})"
        for one in answer["memberships"]
    ]
    yield f"  datasets: {', '.join(sets) or 'none'}"
    if answer["manager"]:
        yield f"  manager: {answer['manager']}"
    if answer["failures"]:
        yield f"  failures that count: {answer['failures']}"
    if answer["priority"]:
        yield f"  priority: {answer['priority']}"
    if answer["not_before"]:
        yield f"  not claimed before: {moment.shown(answer['not_before'])}"


def _asker(one: Answer) -> str:
    """Who asked for a move, unless its reason says so."""
    return f"asked by {one['asked_by']}" if one["asked_by"] and f" by {one['asked_by']}" not in one["why"] else ""


def _history(answer: Answer) -> Iterator[str]:
    if answer["history"]:
        yield "history:"
    for one in answer["history"]:
        move = f"{one['before']} → {one['after']}" if one["before"] != one["after"] else one["after"]
        who = _asker(one) if one["asked_by"] else one["who"]
        said = "; ".join(filter(None, (one["why"], who)))
        yield f"  {moment.shown(one['at'])}  attempt {one['attempt']}  {move}" + (f"  {said}" if said else "")


def _attempts(answer: Answer) -> Iterator[str]:
    for one in answer["attempts"]:
        yield f"attempt {one['attempt']}: {_ending(one)}"
        yield from _pairs(
            (
                ("where", _where(one)),
                ("asked for", _asked(one["resources"])),
                ("used", _used(one)),
                ("claimed", moment.shown(one["claimed"])),
                ("submitted", moment.shown(one["submitted"])),
                ("running since" if one["ended"] is None else "began", moment.shown(one["began"])),
                ("ended", moment.shown(one["ended"])),
                ("logs", " ".join(shlex.quote(path) for path in (one["olog"], one["elog"]) if path)),
                ("command", _command(one["command"])),
                ("modules", one["modules"] or ""),
            )
        )


def _pairs(pairs: Iterable[tuple[str, str]]) -> Iterator[str]:
    yield from (f"  {name}: {text}" for name, text in pairs if text)


def _ending(one: Answer) -> str:
    if one["ended"] is None:
        return "goes on"
    code = f"exit {one['exit']}" if one["exit"] is not None else ""
    code = code or (f"signal {one['signal']}" if one["signal"] is not None else "")
    if one["cause"] is None:
        return f"ended well ({code})" if code else "ended well"
    counted = "" if one["counted"] else ", not counted"
    said = one["message"] or ""
    code = "" if said.startswith(code) else f" ({code})"
    return f"{one['cause']}{counted}{code}" + (f": {said}" if said else "")


def _where(one: Answer) -> str:
    job = f"job {one['job']}" if one["job"] else ""
    if one["submission"]:
        job += f" ({one['batch']}, {one['submission']} task {one['task']})"
    return ", ".join(filter(None, (one["host"] or "", job.strip(), f"as {one['user']}")))


def _asked(resources: object) -> str:
    if not isinstance(resources, dict):
        return ""
    asked = [
        moment.span(resources.get("time")),
        "" if resources.get("memory") is None else room.shown(resources["memory"]),
    ]
    cores = resources.get("cores") or 1
    asked.append(f"{cores} cores" if cores != 1 else "")
    if resources.get("avoided"):
        asked.append(f"not on {' '.join(resources['avoided'])}")
    return ", ".join(filter(None, asked)) or "what the site gives"


def _used(one: Answer) -> str:
    used = [
        f"{moment.span(one['wall'])} of wall time" if one["wall"] is not None else "",
        f"{moment.span(one['cpu'])} of processor time" if one["cpu"] is not None else "",
        f"{room.shown(one['memory'])} of memory" if one["memory"] is not None else "",
    ]
    return ", ".join(filter(None, used))


def _command(command: object) -> str:
    return " ".join(shlex.quote(str(word)) for word in command) if isinstance(command, list) else str(command or "")


def _inputs(answer: Answer) -> Iterator[str]:
    if answer["inputs"]:
        yield "inputs:"
    for one in answer["inputs"]:
        if one["come"] is not None:
            state = f"came {moment.shown(one['come'])}" + ("" if one["there"] else ", NOT THERE NOW")
        elif one["begun"] is not None:
            state = f"being brought by {one['manager']}, {room.shown(one['so_far'] or 0)} so far"
        else:
            state = "not ordered yet"
        whose = "" if one["ours"] else ", not ours to remove"
        yield f"  {one['path']}: {_size(one['bytes'])}, {state}{whose}; from {one['source']}"


def _outputs(answer: Answer) -> Iterator[str]:
    if answer["outputs"]:
        yield "outputs:"
    for one in answer["outputs"]:
        if one["deleted"] is not None:
            state = f"deleted {moment.shown(one['deleted'])}"
        elif one["recorded"] is None:
            state = "on its way there"
        else:
            state = f"of attempt {one['attempt']}, {_now(one)}"
        yield f"  {one['name']}: {one['path']}: " + ", ".join(
            filter(None, (_size(one["bytes"]), state, one["checksum"]))
        )


def _asides(answer: Answer) -> Iterator[str]:
    if answer["asides"]:
        yield "put aside:"
    for one in answer["asides"]:
        state = "on its way there" if one["done"] is None else _now(one)
        yield f"  {one['name']} of attempt {one['attempt']}: {one['aside']}: {_size(one['bytes'])}, {state}"


def _now(one: Answer) -> str:
    if not one["there"]:
        return "NOT THERE NOW"
    return (
        "there"
        if one["bytes_there"] == one["bytes"] or one["bytes"] < 0
        else f"THERE WITH {one['bytes_there']:,} BYTES INSTEAD"
    )


def _size(size: int | None) -> str:
    if size is None or size < 0:
        return "size not known"
    return f"{room.shown(size)} ({size:,} bytes)" if size >= 1024 else room.shown(size)


def _requests(answer: Answer) -> Iterator[str]:
    if answer["requests"]:
        yield "requests:"
    for one in answer["requests"]:
        asked = " ".join(filter(None, (one["verb"], one["argument"])))
        answered = "open" if one["answered"] is None else f"{moment.shown(one['answered'])}: {one['answer'] or 'done'}"
        why = f" ({one['why']})" if one["why"] else ""
        yield f"  {moment.shown(one['at'])}  {one['user']}: {asked}{why}; {answered}"


def _settings(answer: Answer) -> Iterator[str]:
    program = answer["production"].rpartition("_v")[0]
    said = answer["settings"]
    if said is None:
        yield f"settings: here nothing is said of {program}"
        return
    retry, differs = said["retry"], said["last_attempt_had"]
    yield f"settings now for {program}:"
    yield f"  script: {said['script']}"
    yield f"  resources: {_asked(said['resources'])}"
    yield f"  retry: {journal.count(retry['limit'], 'attempt')}, {moment.span(retry['pause'])} before the second"
    if differs:
        shown = "; ".join(f"{name} {_difference(name, value)}" for name, value in differs.items())
        yield f"  its last attempt had: {shown}"


def _difference(name: str, value: Any) -> str:
    if value is None:
        return "as the site has it"
    return room.shown(value) if name == "memory" else moment.span(value) if name == "time" else str(value)


def _modules(answer: Answer) -> Iterator[str]:
    if "modules_text" in answer:
        text = answer["modules_text"]
        yield "modules: none" if text is None else "modules:"
        yield from (line.expandtabs() for line in (text or "").splitlines())
