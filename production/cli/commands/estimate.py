"""``production estimate``: when a production will be finished, as a range."""

from __future__ import annotations

import argparse
import datetime
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from production import journal, moment
from production import run as runs
from production.cli import asking, options

if TYPE_CHECKING:
    from production.monitor import outlook


def add_to(commands: argparse._SubParsersAction[options.Parser]) -> None:
    """Add the command to ``production``."""
    foretelling = commands.add_parser(
        "estimate",
        help="when it will be finished, as a range",
        description="When a production will be finished: half a chance by then, 90 % by then, from what its last runs took in staging, queue and running.",
        epilog="Failed and held runs are not counted; nor are runs, managers and slow hours that come later.",
    )
    asking.add_production(foretelling)
    asking.add_json(foretelling)
    asking.add_where(foretelling)
    foretelling.set_defaults(command=_estimate)


def _estimate(given: argparse.Namespace) -> int:
    from production.monitor import outlook

    chosen = asking.chosen(given)
    now = datetime.datetime.now(datetime.UTC)
    with asking.catalogue(options.database(chosen)) as catalogue:
        production = asking.looked_at(catalogue, given)
        found = outlook.look(catalogue, production, now, nproc=chosen.nproc, lease=max(300.0, chosen.lease))
    if given.json:
        asking.say_json(as_json(found, now))
    else:
        asking.say_folded(lines(found, now.astimezone()))
    return 0


def lines(found: outlook.Outlook, now: datetime.datetime) -> Iterator[str]:
    """For people, in the zone of ``now``."""
    yield f"{found.production}: {', '.join(_standing(found))}"
    yield from _when(found, now)
    if told := _took(found):
        yield told
    if any(found.hours.values()):
        from production.monitor import outlook

        yield (
            f"{outlook.last_hour(found.hours, now):,} finished in the last full hour,"
            f" {sum(found.hours.values()):,} in the last 24 h"
        )
    if excluded := ", ".join(_excluded(found)):
        yield f"not counted: {excluded}"
    if found.base:
        its = "its" if found.waiting == 1 else "their"
        yield f"{_count(found.waiting)} for {its} base, of which:"
        yield from (f"  {line}" for line in lines(found.base, now))


def _standing(found: outlook.Outlook) -> Iterator[str]:
    yield f"{journal.count(found.left)} left"
    if found.running:
        yield f"{found.running:,} with a job"
    if found.managers and found.left:
        yield (
            f"{journal.count(found.managers, 'manager')} at work with {journal.count(found.places, 'job')} at a time"
        )
        if found.used < 0.9 and found.forecast:
            yield f"{found.used * found.places:.1f} on average"


def _when(found: outlook.Outlook, now: datetime.datetime) -> Iterator[str]:
    if found.dead:
        are = "manager is" if found.dead == 1 else "managers are"
        yield f"{found.dead:,} {are} dead: production managers tells more"
    if found.silent:
        yield f"{found.silent} not heard of for a while: production managers tells more"
    if found.forecast is None:
        yield found.why
        if found.left and not found.managers:
            yield "nobody works on it"
        return
    median, ninety = found.forecast.median, found.forecast.ninety
    if found.managers:
        first, last = (moment.told(now + datetime.timedelta(seconds=end), now) for end in (median, ninety))
        yield f"half a chance by {first}, 90 % by {last}"
    else:
        yield (
            f"nobody works on it; if one manager with --nproc={found.places} did:"
            f" half a chance within {moment.span(median)}, 90 % within {moment.span(ninety)}"
        )
    if found.base and found.base.forecast is None:
        yield f"without the {found.waiting:,} that wait for {found.base.production}"


def _took(found: outlook.Outlook) -> str:
    known = {part: span for part, span in found.spans.items() if span is not None}
    if not known:
        return ""
    medians = ", ".join(f"{moment.span(span[0])} {part}" for part, span in known.items())
    most = ", ".join(moment.span(span[1]) for span in known.values())
    failing = f"; {100 * found.failing:.0f} % of the attempts failed" if found.failing else ""
    return f"a run takes {medians} (median; 90 %: {most}){failing}"


def _excluded(found: outlook.Outlook) -> Iterator[str]:
    stuck = [(found.counts[state], state.value) for state in (runs.State.FAILED, runs.State.HELD)]
    if told := ", ".join(f"{number:,} {state}" for number, state in stuck if number):
        yield f"{told} (production failures)"
    if found.in_vain:
        yield f"{_count(found.in_vain)} for a base run that failed or is held"


def _count(number: int) -> str:
    return "1 run waits" if number == 1 else f"{number:,} runs wait"


def as_json(found: outlook.Outlook, now: datetime.datetime) -> dict[str, Any]:
    """For programs: instants, seconds, shares."""
    forecast = found.forecast
    return {
        "production": found.production,
        "left": found.left, "with_job": found.running, "waiting": found.waiting, "waiting_in_vain": found.in_vain,
        "finished": found.counts[runs.State.FINISHED], "failed": found.counts[runs.State.FAILED],
        "held": found.counts[runs.State.HELD],
        "managers": found.managers, "silent_managers": found.silent, "dead_managers": found.dead, "places": found.places,
        "places_used": round(found.used, 4), "as_if_one_manager": found.managers == 0,
        "median": None if forecast is None else _end(forecast.median, now),
        "ninety": None if forecast is None else _end(forecast.ninety, now),
        "why_not": found.why or None,
        "takes": {
            part: span and {"median": round(span[0], 3), "ninety": round(span[1], 3)} for part, span in found.spans.items()
        },
        "failing": None if found.failing is None else round(found.failing, 4),
        "finished_by_hour": found.hours,
        "base": as_json(found.base, now) if found.base else None,
    }  # fmt: skip


def _end(seconds: float, now: datetime.datetime) -> dict[str, Any]:
    from production import clock

    return {"seconds": round(seconds), "at": clock.text(now + datetime.timedelta(seconds=seconds))}
