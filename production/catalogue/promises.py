"""What is still to come to a disk: for whoever takes of its room, within a transaction, and for whoever looks on."""

from __future__ import annotations

import datetime

from production import clock
from production.catalogue import base, reading, sql


def sizes(ask: reading.Ask, production: int) -> base.Sizes:
    """See ``base.Change``."""
    largest, writes = ask(sql.SQL.largest_input, production=production)[0]
    if not writes:
        return base.Sizes(largest, 0)
    median = ask(sql.SQL.typical_outputs, production=production)
    return base.Sizes(largest, median[0][0] if median else max(base.UNSEEN, base.UNSEEN_SHARE * largest))


def promised(ask: reading.Ask, data: str, since: datetime.datetime) -> base.Promised:
    """See ``base.Change``."""
    [(ordered,)], claimed = ask(sql.SQL.promised_ordered, data=data, since=clock.text(since)), 0
    for id_, claims, flying in ask(sql.SQL.at_work, data=data):
        [(known, known_bytes)] = ask(sql.SQL.promised_known, production=id_)
        [(ways,)] = ask(sql.SQL.promised_ways, production=id_)
        unordered = max(0, claims - ways)
        each = sizes(ask, id_)
        ordered += each.outputs * (flying - unordered)
        claimed += each.outputs * unordered + known_bytes + each.input * max(0, unordered - known)
    # Who adds a directory up may miss what is put in place meanwhile: that is soon after its job's end.
    ended_at = clock.text(since - datetime.timedelta(seconds=10))
    for id_, ended in ask(sql.SQL.finished_since, data=data, since=ended_at):
        ordered += sizes(ask, id_).outputs * ended
    return base.Promised(ordered, claimed)
