"""Carry out what people ask of us, and of runs: of ours, as only we may move them, and of those that nobody has.

What needs a job to end is asked of the batch system here, and answered by ``follow`` when the job is seen gone.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence

from production import attempt, places, request
from production import run as runs
from production import site as site_
from production.catalogue import base
from production.journal import log, once

State, Cause = runs.State, runs.Cause


def step(site: site_.Site) -> None:
    """Have as many jobs at a time as was asked; then see to the runs."""
    _obey(site)
    of_runs(site)


def _obey(site: site_.Site) -> None:
    """What is asked of us ourselves: other numbers. The steps read them from the database."""
    me, now = site.lease.owner, site.clock.now()
    for told in site.catalogue.asked_of(me):
        before, hands = attempt.places(site), site.catalogue.in_flight(me)
        answer = places.answer(int(told.argument), before, hands)
        with attempt.writing(site) as change:
            change.set_nproc(me, int(told.argument))
            change.answer_as_manager(told, answer, now)
        log.info("%s, asked by %s%s", answer, told.user, f" ({told.why})" if told.why else "")


def of_runs(site: site_.Site) -> None:
    """in flight → new, waiting, failed or held, as was asked; runs that nobody has likewise."""
    production, me = site.layout.production.id, site.lease.owner
    open_ = site.catalogue.asked(production, request.LOOK, me)
    ours = {asked.run: asked for asked in open_ if asked.owner == me.id}
    if len(ours) < len(open_):
        for asked, answer in request.settle_open(site.catalogue, production, site.clock.now(), me):
            log.info("Run %s, asked by %s: %s: %s", asked.run, asked.ask.user, asked.ask.verb, answer)
    if ours:
        states = (State.CLAIMED, State.STAGED, State.SUBMITTED)
        in_hand = [run for run in site.catalogue.owned(me, *states) if run.run in ours]
        in_hand = _answer_at_once(site, in_hand, ours)
        _give_up(site, [run for run in in_hand if run.state is not State.SUBMITTED], ours)
        _end_jobs(site, [run for run in in_hand if run.state is State.SUBMITTED], ours)


def _answer_at_once(site: site_.Site, in_hand: Sequence[runs.Run], ours: Mapping[int, base.Asked]) -> list[runs.Run]:
    """What can be answered while a run goes on: a priority, what makes no sense. The others."""
    left, now = [], site.clock.now()
    if all(ours[run.run].ask.verb in request.ENDS for run in in_hand):
        return list(in_hand)
    with attempt.writing(site) as change:
        for run in in_hand:
            asked = ours[run.run]
            if asked.ask.verb in request.ENDS:
                left.append(run)
            elif change.is_open(asked):
                change.answer(asked, request.settle(change, run, asked.ask, now), now, site.lease.owner)
    return left


def _give_up(site: site_.Site, before: Sequence[runs.Run], ours: Mapping[int, base.Asked]) -> None:
    """Runs without a job; nobody brings their input any more."""
    if not before:
        return
    staged = {run.run: site.layout.staged(run) for run in before} if site.layout.brings else {}
    site.porter.forget(list(staged.values()))
    now = site.clock.now()
    with attempt.writing(site) as change:
        for path in staged.values():
            change.end_transfer(path, site.lease.owner)
        ended = [
            run
            for run in before
            if change.is_open(ours[run.run])
            and attempt.end_as_asked(site, change, run, ours[run.run], base.Ending(Cause.CANCELLED), now)
        ]
    attempt.clear(site, ended)


def _end_jobs(site: site_.Site, submitted: Sequence[runs.Run], ours: Mapping[int, base.Asked]) -> None:
    """In one call, again in every cycle until they are gone; a job that has ended by itself meanwhile ends as it did."""
    ending, now = [], site.clock.now()
    for run in submitted:
        asked = ours[run.run]
        if run.user != site.lease.owner.user:
            no = f"{request.NO}its job is {run.user}'s, who alone can end it: {site.batch.by_hand(run.job or '')}"
            with attempt.writing(site) as change:
                change.answer(asked, f"{no}; once it has ended, ask again", now, site.lease.owner)
        else:
            said = f"Ending the job of run {run}: {asked.ask.verb} asked by {asked.ask.user}"
            once(f"request {asked.id}", said, logging.INFO)
            ending.append(run)
    if ending:
        attempt.begin_cancel(site, ending)
        site.batch.cancel({site.layout.mark(run): run.job or "" for run in ending})
