"""A view: what is below the head of the screen. Each kind says what it shows, and what its keys do."""

from __future__ import annotations

import dataclasses
import datetime
from collections.abc import Callable, Sequence
from typing import Protocol

from production import disk, errors
from production import filter as filters
from production import run as runs
from production.catalogue import library
from production.monitor import readers, snapshot
from production.monitor.dashboard import keys, scroll, surroundings
from production.monitor.dashboard import line as lines

WISH = "wish"
"""The topic of what a person asks for."""


class Stage(Protocol):
    """What a view asks of the app."""

    here: surroundings.Surroundings
    readers: readers.Readers

    @property
    def production(self) -> runs.Production: ...

    @property
    def snapshot(self) -> snapshot.Snapshot | None: ...

    def now(self) -> datetime.datetime:
        """In local time."""
        ...

    def renew(self) -> None:
        """Show everything anew."""
        ...

    def show(self, view: View) -> None:
        """On top of the present one."""
        ...

    def show_runs(self, words: str) -> None:
        """The table, with this filter."""
        ...

    def back(self) -> None: ...

    def close(self, view: View) -> None:
        """Go back, if it is this that is shown."""
        ...

    def say(self, text: str, *, wrong: bool = False) -> None:
        """Beside the keys, for a while."""
        ...

    def note(self, text: str) -> None:
        """The same, and keep it among the messages."""
        ...

    def ask_person(self, caption: str, text: str, done: Callable[[str], str]) -> None:
        """Let a person type a line; ``done`` says what is wrong with it, or nothing."""
        ...

    def wish(self, wish: surroundings.Wish) -> None:
        """Say what would be done, and do it if the person says yes."""
        ...

    def watch(self, production: runs.Production) -> None:
        """Another production."""
        ...

    def wished(self) -> None:
        """It was done: marks have served."""
        ...

    def page(self, path: str) -> None:
        """Open a file in $PAGER."""
        ...

    def said(self) -> Sequence[tuple[str, str]]:
        """(instant, text) of what the manager has told; nothing if it isn't ours."""
        ...


def tabs(name: str, wide: int) -> lines.Line:
    """The lists, each with its key, that of this name in brackets; or only that, where they have no room."""
    own = ("heading", f"[{name}]")
    told = [
        (("key", str(place)), ("", " "), own if one == name else ("dim", one))
        for place, one in enumerate(keys.LISTS, 1)
    ]
    whole = lines.joined(told)
    return whole if name in keys.LISTS and lines.width(whole) <= wide else (own,)


def told(trouble: Exception) -> str:
    """In one line."""
    known = isinstance(trouble, errors.ProductionError | disk.Trouble)
    return str(trouble) if known else f"unexpected {type(trouble).__name__}: {trouble}; please report this"


class View:
    """What all kinds have in common."""

    name = ""
    """As ``keys`` has it."""

    def __init__(self, stage: Stage) -> None:
        self.stage = stage
        self.missed = False
        """Something was written, and it was too early to ask, or the answer was none: ``tick`` asks, as perhaps nothing more is written."""

    def paint(self, columns: int, rows: int) -> Sequence[lines.Line]:
        """What fits there, its heading first."""
        raise NotImplementedError

    def news(self) -> None:
        """It was opened, or something was written: ask anew."""

    def tick(self) -> None:
        """A second has passed."""
        if self.missed:
            self.news()

    def left(self) -> None:
        """It is not shown any more."""

    def meant(self) -> filters.Filter | None:
        """The runs that a key is about; None: there is none."""
        return None

    def do_back(self) -> None:
        self.stage.back()

    def point(self, row: int) -> bool:
        """The mouse was pressed on a row of it; whether something is there."""
        raise NotImplementedError

    def do_up(self) -> None:
        self.move(-1)

    def do_down(self) -> None:
        self.move(1)

    def move(self, rows: int) -> None:
        """So many down, or up."""
        raise NotImplementedError


class Text(View):
    """Sentences to read, perhaps with a cursor."""

    choosing = False
    leaping = False

    def __init__(self, stage: Stage) -> None:
        super().__init__(stage)
        self.scroll = scroll.Scroll(choosing=self.choosing, leaping=self.leaping)
        self.title = self.name
        self.trouble = ""

    def paint(self, columns: int, rows: int) -> Sequence[lines.Line]:
        self.scroll.fit(columns, max(1, rows - 1))
        return [self._heading(columns), *self.scroll.shown()]

    def _heading(self, columns: int) -> lines.Line:
        if self.trouble:
            return lines.within(lines.plain(f"{self.title}: {self.trouble}", "error"), columns)
        looking = not self.scroll.entries and self.stage.readers.busy(self.name)
        how = "looking …" if looking else self.scroll.place()
        title = tabs(self.name, columns) if self.title == self.name else lines.plain(self.title, "heading")
        return lines.apart(title, lines.plain(how, "dim"), columns)

    def ask(self, question: Callable[[library.Library], Sequence[scroll.Entry]]) -> None:
        """Fill it with what a reader brings."""
        self.stage.readers.ask(self.name, lambda memory, say: say(question(memory)), self.put, self.sorry)

    def put(self, entries: Sequence[scroll.Entry]) -> None:
        self.trouble = ""
        self.scroll.put(entries)
        self.stage.renew()

    def sorry(self, trouble: Exception) -> None:
        """What can't be told now; what was told before stays."""
        self.trouble, self.missed = told(trouble), True
        self.stage.renew()

    def left(self) -> None:
        self.stage.readers.forget(self.name)

    def move(self, rows: int) -> None:
        self.scroll.move(rows)

    def point(self, row: int) -> bool:
        return row > 0 and self.scroll.point(row - 1)

    def do_page_up(self) -> None:
        self.scroll.page(-1)

    def do_page_down(self) -> None:
        self.scroll.page(1)

    def do_first(self) -> None:
        self.scroll.move(-len(self.scroll.entries) * 1000)

    def do_last(self) -> None:
        self.scroll.move(len(self.scroll.entries) * 1000)

    def do_search(self) -> None:
        self.stage.ask_person("search: ", "", lambda text: self._search(text, 1, again=False))

    def do_again(self) -> None:
        self._tell(self._search(self.scroll.found, 1, again=True))

    def do_before(self) -> None:
        self._tell(self._search(self.scroll.found, -1, again=True))

    def _search(self, text: str, step: int, *, again: bool) -> str:
        if not text:
            self.scroll.found = ""
            return ""
        return "" if self.scroll.search(text, step, again=again) else f"{text}: not here"

    def _tell(self, trouble: str) -> None:
        if trouble:
            self.stage.say(trouble, wrong=True)


class Help(Text):
    """All keys of a view, from the table of keys."""

    name = keys.HELP

    def __init__(self, stage: Stage, of: View) -> None:
        super().__init__(stage)
        self.title = f"keys of: {of.name}"
        here = list(keys.of(of.name, read_only=stage.here.read_only))
        self.scroll.put([*self._keys(here), *self._words()])

    def _keys(self, here: Sequence[keys.Key]) -> list[scroll.Entry]:
        wide = max(len(key.told) for key in here)
        return [scroll.Entry(key.help, head=f"  {key.told:{wide}}  ") for key in here]

    def _words(self) -> list[scroll.Entry]:
        words = filters.HELP.strip("\n").splitlines()
        own = (
            "Ctrl-C stops the production: its jobs are cancelled, its claims given back"
            if self.stage.here.lines is not None
            else ""
        )
        return [scroll.Entry(""), *([scroll.Entry(own), scroll.Entry("")] if own else []), *map(scroll.Entry, words)]


class Confirm(Text):
    """What would be done, before it is."""

    name = keys.CONFIRM

    def __init__(self, stage: Stage, wish: surroundings.Wish) -> None:
        super().__init__(stage)
        self._wish = wish
        self._void = False
        """Nothing would be done."""
        self._seen = self._asked = False
        """The plan has been on the screen; it was said yes to."""
        self._refused = ""
        """Why what was said yes to was not done: it stays while the plan is made anew."""
        self.title = f"{wish.verb} {wish.argument}".strip() + "?"

    def news(self) -> None:
        self.missed = not self._asked and self.stage.readers.busy(self.name)
        if not self._asked and not self.missed:
            self.ask(self._plan)

    def _plan(self, memory: library.Library) -> list[scroll.Entry]:
        plan = self.stage.here.answers.plan(memory, self._wish)
        self._void = plan.void
        why = f"reason: {self._wish.why}" if self._wish.why else "no reason is given; w writes one down"
        return [*map(scroll.Entry, plan.lines), scroll.Entry(""), scroll.Entry(why, "dim")]

    def put(self, entries: Sequence[scroll.Entry]) -> None:
        super().put(entries)
        self.trouble = self._refused

    def do_reason(self) -> None:
        self.stage.ask_person("why: ", self._wish.why, self._because)

    def _because(self, text: str) -> str:
        self._wish = dataclasses.replace(self._wish, why=text)
        self.ask(self._plan)
        return ""

    def paint(self, columns: int, rows: int) -> Sequence[lines.Line]:
        self._seen = bool(self.scroll.entries)
        return super().paint(columns, rows)

    def do_confirm(self) -> None:
        """Once, and only what a person has seen."""
        if self._asked or not self._seen:
            return
        if self._void:
            self.stage.say("there is nothing to do; Esc goes back", wrong=True)
            return
        wish, self._asked, self.trouble, self._refused = self._wish, True, "", ""
        self.scroll.put([*self.scroll.entries, scroll.Entry(""), scroll.Entry("asking …", "title")])
        wanted = self.stage.readers.asking(WISH)
        self.stage.readers.ask(
            WISH,
            lambda _memory, say: say(self.stage.here.answers.tell(wish, wanted)),
            self._done,
            self._failed,
        )

    def do_back(self) -> None:
        if self._asked:
            self.stage.readers.forget(WISH)
            self.stage.say("no longer asked for; what was done until now is in the messages (4)", wrong=True)
        super().do_back()

    def _failed(self, trouble: Exception) -> None:
        self._asked, self._refused = False, told(trouble)
        self.news()
        self.sorry(trouble)

    def _done(self, told: Sequence[str]) -> None:
        self.stage.wished()
        self.stage.close(self)
        self.stage.note("; ".join(told))
