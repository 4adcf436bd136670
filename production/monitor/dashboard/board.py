"""The head of the screen: how a production stands, at a glance. Pure: a snapshot comes in, lines leave.

What is most important stands first in each line, and the most important lines are left when there are few.
"""

from __future__ import annotations

import dataclasses
import datetime
from collections.abc import Iterator, Sequence

from production import clock, facts, moment, room
from production import run as runs
from production.monitor import outlook as outlooks
from production.monitor import snapshot as snapshots
from production.monitor.dashboard import line as lines
from production.monitor.dashboard import palettes

State = runs.State

SPARKS = " ▁▂▃▄▅▆▇█"
ASCII_SPARKS = " .:-=+*%#"
NARROW = 60
"""Columns below which only words that can't be missed are said."""
WIDE = 100
"""Columns from which on there are words for everything."""
VERY_WIDE = 160
"""And from which on no word is short."""
ROOMY = 40
"""Rows from which on transfers have lines of their own."""


@dataclasses.dataclass(frozen=True, slots=True)
class Scene:
    """All that the head tells of."""

    now: datetime.datetime
    """In the zone of whoever looks."""
    version: str
    """Of this software."""
    database: str
    production: runs.Production
    snapshot: snapshots.Snapshot | None = None
    outlook: outlooks.Outlook | None = None
    machine: snapshots.Machine | None = None
    trouble: str = ""
    """Why the snapshot is old; empty: it is not."""
    leaving: bool = False
    """The manager whose screen it is was told to stop."""
    over: bool = False
    """It has ended."""
    read_only: bool = False
    ascii: bool = False
    """The terminal knows no other characters."""


def head(scene: Scene, columns: int, rows: int) -> list[lines.Line]:
    """As many lines as such a screen has room for."""
    if rows < 14:
        return list(_small(scene, columns))[: 3 if rows >= 9 else 1]
    found = [_title(scene, columns), _who(scene, columns)]
    if scene.trouble:
        found.append(lines.within(lines.plain(f" {_as_of(scene)} ", "error"), columns))
    if scene.snapshot is None:
        return found
    found += [_progress(scene.snapshot, columns), *_pace(scene, scene.snapshot, columns)]
    found.append(_meters(scene, scene.snapshot, columns))
    found += _coming(scene.snapshot, columns, rows // 5 if rows >= ROOMY else 1, alone=rows >= ROOMY)
    return [one for one in found if one]


def _small(scene: Scene, columns: int) -> Iterator[lines.Line]:
    """For a corner of a screen."""
    if scene.trouble:
        yield lines.within(lines.plain(_as_of(scene), "error"), columns)
    snap = scene.snapshot
    name = lines.plain(scene.production.name, "name")
    if snap is None:
        yield lines.within(name, columns)
        return
    told = _counts(snap)
    share = lines.plain(f"{snap.counts[State.FINISHED]:,}/{snap.whole:,}")
    yield lines.packed([name, share, *_alarm(scene), *_stuck(snap)], columns)
    yield lines.packed(told[1:], columns)
    yield bar(snap, columns)


def _as_of(scene: Scene) -> str:
    since = f"as of {scene.snapshot.at.astimezone():%H:%M:%S}: " if scene.snapshot else ""
    return f"{since}{scene.trouble}"


def _title(scene: Scene, columns: int) -> lines.Line:
    production = scene.production
    snap = scene.snapshot
    parts = [lines.plain(production.name, "name"), lines.plain(f"{production.tag}, {production.quality}")]
    if snap and snap.base:
        parts.append(lines.plain(f"on {snap.base}"))
    if snap and snap.datasets:
        parts.append(lines.plain(f"dataset {', '.join(snap.datasets)}"))
    if production.stop or (snap and snap.production.stop):
        parts.append(lines.plain("closed" if snap and snap.closed_by else "finished", "good"))
    if scene.over or scene.leaving:
        parts.insert(1, lines.plain(" over: q leaves " if scene.over else " stopping ", "error"))
    if scene.read_only:
        parts.append(lines.plain("read-only", "dim"))
    when = lines.plain(f"{scene.now:%Y-%m-%d %H:%M:%S %z}", "dim")
    if columns < NARROW:
        when = lines.plain(f"{scene.now:%H:%M:%S}", "dim")
    right = lines.joined([lines.plain(f"run_production {scene.version}", "dim"), when])
    left = lines.packed(parts, columns)
    whole = lines.apart(left, right, columns)
    return whole if lines.text(whole) != lines.text(left) else lines.apart(left, when, columns)


def _who(scene: Scene, columns: int) -> lines.Line:
    """The managers, and the database."""
    snap = scene.snapshot
    if snap is None:
        return lines.within(lines.plain(scene.database, "dim"), columns)
    found = [lines.plain(f"{one} {snap.trouble[one.id]}", "bad") for one in snap.managers if one.id in snap.trouble]
    found += [_manager(one, snap) for one in snap.managers if one.id not in snap.trouble]
    if not found:
        found = [_nobody(snap)]
    several = [lines.plain(f"{len(found)} managers:", "dim")] if len(found) > 1 else []
    told = lines.packed([*several, *found], columns)
    return lines.apart(told, lines.plain(scene.database, "dim"), columns)


def _manager(manager: facts.AtWork, snap: snapshots.Snapshot) -> lines.Line:
    jobs = f" {snap.jobs_of(manager)} of {manager.nproc} jobs" if manager.nproc is not None else ""
    return (("good", str(manager)), ("dim", jobs))


def _nobody(snap: snapshots.Snapshot) -> lines.Line:
    """Why nobody is at work, and what to type."""
    if snap.production.stop is not None or not snap.left:
        return lines.plain("no manager is at work", "dim")
    why = f"its last manager stopped: {snap.last_words}" if snap.last_words else "no manager is at work"
    return lines.plain(f"{why}; start: {start(snap.production)}", "bad")


def start(production: runs.Production) -> str:
    """The command that goes on with it."""
    return f"run_production --production={production.program} --version={production.version}"


def _alarm(scene: Scene) -> Iterator[lines.Line]:
    """What a small screen must not leave out."""
    snap = scene.snapshot
    if scene.leaving:
        yield lines.plain("stopping", "error")
    if snap and snap.trouble:
        yield lines.plain("manager!", "bad")
    elif snap and not snap.managers and snap.production.stop is None and snap.left:
        yield lines.plain("no manager", "bad")
    if snap and snap.quota and snap.quota.used >= snap.quota.allowed:
        yield lines.plain("disk full", "bad")


def _counts(snap: snapshots.Snapshot) -> list[lines.Line]:
    """How many are where; what is nothing is left out."""
    counts = snap.counts
    told = [lines.plain(f"{counts[State.FINISHED]:,}/{snap.whole:,} finished", "good")]
    told += _stuck(snap)
    told += [
        lines.plain(f"{number:,} {word}", role)
        for number, word, role in (
            (snap.in_hand, "in hand", "going"),
            (counts[State.NEW], "new", "new"),
            (counts[State.WAITING], "waiting", "waiting"),
        )
        if number
    ]
    return told


def _stuck(snap: snapshots.Snapshot) -> list[lines.Line]:
    return [
        lines.plain(f"{snap.counts[state]:,} {state}", palettes.STATES[state])
        for state in (State.FAILED, State.HELD)
        if snap.counts[state]
    ]


def _progress(snap: snapshots.Snapshot, columns: int) -> lines.Line:
    """A bar of the whole production, and its counts."""
    told = _counts(snap)
    if snap.whole and columns >= NARROW:
        told[0] = lines.joined([lines.plain(_share(snap.counts[State.FINISHED], snap.whole), "title"), told[0]])
    words = lines.packed(told, columns - 12 if columns >= NARROW else columns)
    room_ = columns - lines.width(words) - 2
    if room_ < 10:
        return words
    return lines.joined([bar(snap, min(room_, max(20, columns // 3))), words])


def _share(part: int, whole: int) -> str:
    """Never 100 % before the end, and never 0 % after the first."""
    return "< 1 %" if 0 < 100 * part < whole else f"{100 * part // whole} %"


def bar(snap: snapshots.Snapshot, wide: int) -> lines.Line:
    """``[#####>>xx!....]``: finished, in hand, failed, held, what is left; whatever there is has a place at least."""
    inner = wide - 2
    if inner < 4 or not snap.whole:
        return ()
    counts = snap.counts
    kinds = (
        (counts[State.FINISHED], "#", "good"),
        (snap.in_hand, ">", "going"),
        (counts[State.FAILED], "x", "bad"),
        (counts[State.HELD], "!", "held"),
        (counts[State.NEW] + counts[State.WAITING], ".", "dim"),
    )
    places = _places([number for number, _, _ in kinds], inner)
    parts = [(role, sign * wide_) for (_, sign, role), wide_ in zip(kinds, places, strict=True) if wide_]
    return (("dim", "["), *parts, ("dim", "]"))


def _places(numbers: Sequence[int], wide: int) -> list[int]:
    """The places of each; together so many; of what is there, one at least."""
    whole = sum(numbers)
    places = [max(1, wide * number // whole) if number else 0 for number in numbers]
    largest = max(range(len(numbers)), key=lambda place: numbers[place])
    places[largest] += wide - sum(places)
    return places


def spark(values: Sequence[int], *, ascii_: bool) -> str:
    """A column a value."""
    signs = ASCII_SPARKS if ascii_ else SPARKS
    most = max(values, default=0)
    if not most:
        return ""
    return "".join(signs[-(-(len(signs) - 1) * value // most)] for value in values)


def _pace(scene: Scene, snap: snapshots.Snapshot, columns: int) -> Iterator[lines.Line]:
    """What was finished in each hour, and when all will be."""
    hours = snapshots.hourly(snap.hours, scene.now)
    wide = columns >= WIDE
    told: list[lines.Line] = []
    if any(hours):
        shape = spark(hours[-24 if wide else -12 :], ascii_=scene.ascii)
        last = f" {hours[-1]:,} this hour, {hours[-2]:,} the last" if wide else f" {hours[-2] or hours[-1]:,}"
        told.append((("dim", "finished/h "), ("good", f"|{shape}|"), ("", last)))
    if when := _when(scene):
        told.append(lines.plain(when))
    if told:
        yield lines.packed(told, columns)


def _when(scene: Scene) -> str:
    found = scene.outlook
    if found is None or not found.left:
        return ""
    if found.forecast is None:
        return "end: can't be told yet" if found.managers else ""
    ends = [scene.now + datetime.timedelta(seconds=end) for end in (found.forecast.median, found.forecast.ninety)]
    first, last = (moment.told(end, scene.now) for end in ends)
    who = "" if found.managers else " if somebody worked on it"
    if first == last:
        return f"end {first}{who}"
    today = first.partition(" ")[0]
    return f"end {first} (50 %), {last.removeprefix(f'{today} ')} (90 %){who}"


def _meters(scene: Scene, snap: snapshots.Snapshot, columns: int) -> lines.Line:
    """Jobs, disk, this machine."""
    wide = columns >= WIDE
    told: list[lines.Line] = []
    if snap.jobs.running or snap.jobs.queued:
        told.append(lines.plain(f"jobs {snap.jobs.running:,} running {snap.jobs.queued:,} queued"))
    if snap.quota is not None:
        told.append(quota(snap.quota, 20 if wide else 10, short=not wide))
    if scene.machine is not None:
        cpu, memory = f"cpu {scene.machine.cpu:.0f} %", f"{scene.machine.memory:.0f} %"
        told.append(
            lines.plain(f"here: {cpu} memory {memory}" if columns >= VERY_WIDE else f"{cpu} mem {memory}", "dim")
        )
    return lines.packed(told, columns)


def quota(found: facts.Quota, wide: int, *, short: bool = False) -> lines.Line:
    """``disk [####+++...] 61 % used, 12 % promised of 1.8 TiB``: of what may be used."""
    most = max(1, found.allowed)
    used = min(wide, max(int(found.used > 0), round(wide * found.used / most)))
    promised = min(wide - used, max(int(found.promised > 0), round(wide * found.promised / most)))
    full = found.used >= found.allowed
    parts = (("bad" if full else "good", "#" * used), ("held", "+" * promised), ("dim", "." * (wide - used - promised)))
    share = f"{100 * found.used // most} %" + ("" if short else " used")
    share += f", {100 * found.promised // most} % promised" if found.promised and not short else ""
    limit = "" if short else f" (limit {room.shown(found.limit)})"
    said = f"] {share} of {room.shown(found.allowed)}{limit}" + (" FULL" if full else "")
    return (("", "disk ["), *(part for part in parts if part[1]), ("bad" if full else "", said))


def _coming(snap: snapshots.Snapshot, columns: int, most: int, *, alone: bool) -> Iterator[lines.Line]:
    """Files on their way; each in a line, or as many in one as there is room for."""
    told = [_transfer(one, snap) for one in snap.transfers]
    if not told:
        return
    if alone:
        yield from (lines.within(one, columns) for one in told[:most])
        if len(told) > most:
            yield lines.within(lines.plain(f"and {len(told) - most} more on their way", "dim"), columns)
        return
    head = lines.plain(f"{len(told)} on {'its' if len(told) == 1 else 'their'} way: ", "dim")
    yield lines.within((*head, *lines.packed(told, columns - lines.width(head), "; ")), columns)


def _transfer(one: facts.Coming, snap: snapshots.Snapshot) -> lines.Line:
    """``2107 43 % 12.1 MiB/s 1 min left``; of a second attempt, that."""
    rate = snap.rate(one.path)
    if not one.so_far:
        waits = (snap.at - clock.instant(one.begun)).total_seconds()
        how = f"ordered {moment.span(waits)} ago"
    else:
        share = f"{100 * one.so_far // max(1, one.size)} %" if one.size else room.shown(one.so_far)
        how = f"{share} {room.shown(rate)}/s" if rate else share
        if rate and one.size:
            how += f" {moment.span((one.size - one.so_far) / rate)} left"
    again = f" attempt {one.attempt}" if one.attempt > 1 else ""
    return (("name", str(one)), ("", f" {how}{again}"))
