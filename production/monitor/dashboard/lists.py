"""The views that are lists or texts: one run, what failed, who is at work, what was said."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence

from production import clock, errors, facts, moment, places
from production import filter as filters
from production import run as runs
from production.catalogue import library
from production.monitor import table
from production.monitor.dashboard import board, keys, logview, palettes, scroll, surroundings, view, words
from production.monitor.dashboard import line as lines

GUEST = 15.0
"""Seconds before a cluster is asked again why a run waits."""
SHARE = 20
"""What costs is asked again after so many times what it took."""
MESSAGES = 500
"""So many of the last are shown."""


class Run(view.Text):
    """One run: why it is where it is, then all that is known of it."""

    name = keys.RUN

    def __init__(self, stage: view.Stage, run: int) -> None:
        super().__init__(stage)
        self.run = run
        self.title = f"run {run}"
        self._why: list[scroll.Entry] = []
        self._known: list[scroll.Entry] = []
        self._wrong = {"known": "", "why": ""}
        """What is wrong with either half: when one is told, the other may still not be."""
        self._again = 0.0
        """When a cluster may be asked again; monotonic."""

    def news(self) -> None:
        production, run, answers = self.stage.production, self.run, self.stage.here.answers
        self.stage.readers.ask(
            self.name,
            lambda memory, say: say(answers.portray(memory, production, run)),
            self._portrayed,
            lambda trouble: self._amiss("known", trouble),
        )
        self._explain()

    def tick(self) -> None:
        if self._wrong["known"] and not self.stage.readers.busy(self.name):
            self.news()
        elif self.missed:
            self._explain()

    def _explain(self) -> None:
        """Apart from the rest: a cluster may be asked."""
        now = time.monotonic()
        self.missed = now < self._again or self.stage.readers.busy("why")
        if self.missed:
            return
        self._again = now + GUEST
        production, run, answers = self.stage.production, self.run, self.stage.here.answers
        self.stage.readers.ask(
            "why",
            lambda memory, say: say(answers.explain(memory, production, run)),
            self._explained,
            lambda trouble: self._amiss("why", trouble),
        )

    def left(self) -> None:
        super().left()
        if self.stage.readers.busy("why"):
            self._again = 0.0  # it was not told
        self.stage.readers.forget("why")

    def _explained(self, layers: Sequence[tuple[str, str]]) -> None:
        wide = max((len(layer) for layer, _ in layers), default=0)
        self._why = [scroll.Entry(text, head=f"  {layer:{wide}}  ") for layer, text in layers]
        self._wrong["why"] = ""
        self._fill()

    def _portrayed(self, told: Sequence[str]) -> None:
        self._known = [scroll.Entry(text, _role(text)) for text in told]
        self._wrong["known"] = ""
        self._fill()

    def _amiss(self, half: str, trouble: Exception) -> None:
        self._wrong[half] = view.told(trouble)
        self.sorry(trouble)

    def _fill(self) -> None:
        now = [scroll.Entry("now and next:", "name"), *(self._why or [scroll.Entry("  asking …", "dim")])]
        parts = [place for place, entry in enumerate(self._known) if not entry.text.startswith(" ")]
        below = parts[1] if len(parts) > 1 else len(self._known)
        self.put([*self._known[:below], *now, *self._known[below:]])
        self.trouble = self._wrong["known"] or self._wrong["why"]

    def meant(self) -> filters.Filter:
        return filters.Filter(runs=((self.run, self.run),))

    def do_log(self) -> None:
        self.stage.show(logview.Log(self.stage, self.run))


def _role(text: str) -> str:
    """Headings stand at the edge."""
    if not text.startswith(" "):
        return "name"
    return "bad" if "NOT THERE" in text or "INSTEAD" in text else ""


class Failures(view.Text):
    """What failed, by cause and by what the jobs said last."""

    name = keys.FAILURES
    choosing = leaping = True

    def __init__(self, stage: view.Stage) -> None:
        super().__init__(stage)
        self._begun = self._again = 0.0

    def news(self) -> None:
        now = time.monotonic()
        self.missed = now < self._again or self.stage.readers.busy(self.name)
        if not self.missed:
            self._begun, production, answers = now, self.stage.production, self.stage.here.answers
            self.ask(lambda memory: answers.failures(memory, production))

    def put(self, entries: Sequence[scroll.Entry]) -> None:
        now = time.monotonic()
        self._again = now + SHARE * (now - self._begun)
        super().put(entries)

    def meant(self) -> filters.Filter | None:
        if not isinstance(self.scroll.target, tuple):
            return None
        words_, _ = self.scroll.target
        return filters.parse(filters.split(words_))

    def do_open(self) -> None:
        if isinstance(self.scroll.target, tuple):
            words_, _ = self.scroll.target
            self.stage.show_runs(words_)

    def do_log(self) -> None:
        if isinstance(self.scroll.target, tuple):
            _, run = self.scroll.target
            self.stage.show(logview.Log(self.stage, run))


_COLUMNS = (
    table.Column("manager", least=table.WHOLE, rank=0),
    table.Column("standing", least=8, rank=0),
    table.Column("batch", rank=5),
    table.Column("nproc", rank=1, right=True),
    table.Column("jobs", rank=1, right=True),
    table.Column("runs", rank=2, right=True),
    table.Column("begun", least=7, rank=4, right=True),
    table.Column("heard of", least=7, rank=3, right=True),
    table.Column("takes", rank=6),
)


class Managers(view.Text):
    """Who is at work, and whether they are alive."""

    name = keys.MANAGERS
    choosing = leaping = True
    title = "managers"

    def paint(self, columns: int, rows: int) -> Sequence[lines.Line]:
        snap = self.stage.snapshot
        there = snap.managers if snap else ()
        cells = [self._cells(one) for one in there]
        told = list(table.lines(_COLUMNS, cells, columns)) or [
            f"nobody is at work; start: {board.start(self.stage.production)}"
        ]
        head = [scroll.Entry(told[0], "heading" if there else "")]
        self.scroll.put(
            [*head, *(scroll.Entry(text, self._role(one), one) for one, text in zip(there, told[1:], strict=False))]
        )
        return super().paint(columns, rows)

    def _role(self, one: facts.AtWork) -> str:
        return "bad" if self.stage.snapshot and one.id in self.stage.snapshot.trouble else ""

    def _cells(self, one: facts.AtWork) -> list[str]:
        now, snap = self.stage.now(), self.stage.snapshot
        trouble = snap.trouble.get(one.id, "at work") if snap else ""
        mine = " (this one)" if one.id == self.stage.here.manager else ""
        nproc = "" if one.nproc is None else str(one.nproc)
        if one.nproc_asked is not None:
            nproc += f", {one.nproc_asked} asked"
        jobs = str(snap.jobs_of(one)) if snap else ""
        ages = [f"{moment.age(instant, now)} ago" for instant in (one.start, one.beat)]
        return [f"{one}{mine}", trouble, one.batch, nproc, jobs, str(one.runs), *ages, _taken(one)]

    def do_open(self) -> None:
        if isinstance(one := self.scroll.target, facts.AtWork):
            self.stage.show_runs(f"user:{one.user} state:{','.join(runs.IN_FLIGHT)}")

    def do_nproc(self) -> None:
        one = self.scroll.target
        if not isinstance(one, facts.AtWork):
            self.stage.say("there is no manager to be told", wrong=True)
            return
        if one.user != self.stage.here.user:
            self.stage.say(f"{one} is of {one.user}, who alone may tell it", wrong=True)
            return
        self.stage.ask_person(f"jobs at a time of {one}: ", str(one.nproc or ""), lambda text: self._nproc(one, text))

    def _nproc(self, one: facts.AtWork, text: str) -> str:
        try:
            places.number(text)
        except errors.UsageError as wrong:
            return str(wrong)
        self.stage.wish(surroundings.Wish("nproc", self.stage.production, argument=text, manager=one.id))
        return ""


def _taken(one: facts.AtWork) -> str:
    return " ".join(filter(None, (one.datasets.strip("[]"), one.tranches.strip("[]"))))


class Productions(view.Text):
    """All there are, the newest first."""

    name = keys.PRODUCTIONS
    choosing = leaping = True

    def news(self) -> None:
        self.missed = self.stage.readers.busy(self.name)
        if not self.missed:
            self.ask(self._there)

    def _there(self, memory: library.Library) -> list[scroll.Entry]:
        every = sorted(memory.productions(), key=lambda one: -one.id)
        rows = [(one, _standing(one, memory.counts(one.id))) for one in every]
        wide = max(len(one.name) for one in every)
        here = self.stage.production.id
        return [
            scroll.Entry(text, target=one, head=f"{'*' if one.id == here else ' '} {one.name:{wide}}  ")
            for one, text in rows
        ]

    def do_open(self) -> None:
        if isinstance(self.scroll.target, runs.Production):
            self.stage.watch(self.scroll.target)


def _standing(one: runs.Production, counts: Mapping[runs.State, int]) -> str:
    finished, stuck = counts[runs.State.FINISHED], counts[runs.State.FAILED] + counts[runs.State.HELD]
    told = [f"{one.tag}, {one.quality}", f"{finished:,}/{sum(counts.values()):,} finished"]
    told += [f"{stuck:,} failed or held"] if stuck else []
    told.append(f"{'closed' if one.stop else 'open'} since {moment.briefly(one.stop or one.start)[:10]}")
    return "  ".join(told)


class Messages(view.Text):
    """What was said and what happened, the newest last."""

    name = keys.MESSAGES
    choosing = True

    def __init__(self, stage: view.Stage) -> None:
        super().__init__(stage)
        self._events: Sequence[facts.Happening] = ()

    def news(self) -> None:
        production = self.stage.production.id

        def question(memory: library.Library) -> Sequence[facts.Happening]:
            return memory.records.happenings(production, MESSAGES)

        self.stage.readers.ask(self.name, lambda memory, say: say(question(memory)), self._happened, self.sorry)

    def _happened(self, events: Sequence[facts.Happening]) -> None:
        self._events = events
        self.fill()

    def fill(self) -> None:
        """With what the manager said, too."""
        told = [(one.at, scroll.Entry(_event(one), palettes.STATES[one.after], one.run)) for one in self._events]
        told += [(at, scroll.Entry(text, words.role(text))) for at, text in self.stage.said()]
        told.sort(key=lambda one: one[0])
        self.scroll.put([entry for _, entry in told], at_end=True)
        self.stage.renew()

    def do_open(self) -> None:
        if isinstance(self.scroll.target, int):
            self.stage.show(Run(self.stage, self.scroll.target))

    def do_log(self) -> None:
        if isinstance(self.scroll.target, int):
            self.stage.show(logview.Log(self.stage, self.scroll.target))


def _event(one: facts.Happening) -> str:
    """A move of a run in one line."""
    at = clock.instant(one.at).astimezone()
    move = f"{one.before} → {one.after}" if one.before != one.after else one.after
    who = f"asked by {one.asked_by}" if one.asked_by and one.asked_by not in one.why else ""
    said = "; ".join(filter(None, (one.why, who)))
    return f"{at:%Y-%m-%d %H:%M:%S}  run {one}  {move}" + (f"  {said}" if said else "")
