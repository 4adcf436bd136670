"""A thousand requests of three people while a manager works and is killed twice: each answered once, none lost."""

from __future__ import annotations

import collections
import itertools
import json
import random

import pytest

from tests.acceptance.campaign import Campaign, until

PROGRAM = """
[programs.sim]
script = "sim.sh"
arguments = ["{run}", "{tree}"]

[programs.sim.outputs.tree]
path = "tree/v{version}/tree{run:05d}.txt"
"""

RUNS = 250
VERBS = ("retry", "hold", "release", "cancel", "priority", "reset")
PEOPLE = ("alice", "bob", "carol")

ASKING = """
import datetime, json, sys

from production.catalogue import base, sqlite
from production.cli import asking
path, user, wishes = sys.argv[1], sys.argv[2], json.loads(sys.argv[3])
with asking.catalogue(path, read_only=False) as catalogue:
    production = catalogue.productions()[0]
    for verb, run in wishes:
        ask = base.Ask(verb, "3" if verb == "priority" else None, user, "because")
        def wish():
            with catalogue.write() as change:
                return change.ask(change.run(production.id, run), ask, datetime.datetime.now(datetime.UTC))
        print(asking.patiently(wish), verb, run, flush=True)
"""
"""One person: whatever state a run is in, the request is written down, as if a manager had it."""


@pytest.mark.feature("AC-29", "PK-10")
def test_a_thousand_requests_and_two_kills(campaign: Campaign) -> None:
    chance = random.Random(20261121)
    campaign.script("sim.sh", 'sleep 0.0$(( $1 % 7 ))\necho tree >"$2"')
    campaign.settings(PROGRAM, pause=0.2, lease=10)
    campaign.begin(f"1-{RUNS}")
    manager = campaign.start("--production=sim", "--new=t", "--nproc=4", "--nprep=4", "--follow")
    manager.wait_for("Finished run", times=3)
    wishes = {name: [(chance.choice(VERBS), chance.randint(1, RUNS)) for _ in range(334)] for name in PEOPLE}
    asking = [
        campaign.begun([campaign.python, "-c", ASKING, str(campaign.database), name, json.dumps(some)])
        for name, some in wishes.items()
    ]
    for killed in (200, 700):
        until(
            lambda number=killed: int(str(campaign.one("SELECT count(*) FROM request"))) >= number, "so many are asked"
        )
        manager.kill()
        manager = campaign.start("--production=sim", "--nproc=4", "--nprep=4", "--follow")
    asked = [person.wait() for person in asking]
    assert [one.code for one in asked] == [0, 0, 0], str(asked)
    ids = [int(line.split()[0]) for one in asked for line in one.out.splitlines()]
    assert len(ids) == len(set(ids)) == 1002
    until(lambda: campaign.rows("SELECT 1 FROM request WHERE answered IS NULL") == [], "all are answered", 120)
    manager.stop()

    requests = campaign.rows("SELECT id, user, verb, answer FROM request ORDER BY id")
    assert sorted(ids) == [row[0] for row in requests]
    assert all(answer for *_, answer in requests)
    # what each person asked is what is written
    kept = collections.Counter((user, verb) for _, user, verb, _ in requests)
    assert kept == collections.Counter((name, verb) for name, some in wishes.items() for verb, _ in some)
    _every_move_is_told_once(campaign)
    campaign.nothing_in_hands()


def _every_move_is_told_once(campaign: Campaign) -> None:
    """A request that was carried out is one event in its person's name; one that was refused says no, in one event."""
    moves = collections.Counter(
        campaign.rows("SELECT run, user FROM event WHERE user IS NOT NULL AND from_state <> to_state")
    )
    done = collections.Counter(
        campaign.rows(
            "SELECT run, user FROM request WHERE answer NOT LIKE 'no: %' AND verb <> 'priority' AND answer <> 'it is tried again at once'"
        )
    )
    assert moves == done
    told = collections.Counter(
        campaign.rows("SELECT run, user FROM event WHERE user IS NOT NULL AND from_state = to_state")
    )
    rest = collections.Counter(
        campaign.rows("SELECT run, user FROM request WHERE answer LIKE 'no: %' OR verb = 'priority'")
    )
    assert told == rest
    for run, states in itertools.groupby(
        campaign.rows("SELECT run, from_state, to_state FROM event ORDER BY run, id"), key=lambda row: row[0]
    ):
        before = "new"
        for _, start, end in states:
            assert start == before, f"run {run}"
            before = str(end)
