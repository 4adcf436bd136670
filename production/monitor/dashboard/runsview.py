"""The table of runs: what is loaded of it is asked for here, row by row it becomes lines, and what its keys do."""

from __future__ import annotations

from collections.abc import Collection, Sequence

from production import errors
from production import filter as filters
from production.catalogue import library
from production.monitor import columns, readers
from production.monitor.dashboard import cells, keys, lists, logview, reading, scroll, view, window
from production.monitor.dashboard import line as lines

DEFAULT = ("run", "datasets", "state", "attempt", "host", "job", "since", "duration", "cause", "message")

TOPIC = "runs"


class Runs(view.View):
    """All runs, or those that a filter means."""

    name = keys.RUNS

    def __init__(self, stage: view.Stage, words: str = "") -> None:
        super().__init__(stage)
        self.words = ""
        self.trouble = ""
        self.shown = list(DEFAULT)
        """Columns."""
        self.marks: set[int] = set()
        self.everything = False
        """All that the filter means are marked."""
        self._choice = reading.Choice()
        self._sort = "state"
        self._down = False
        self._seen: Sequence[str] = DEFAULT
        """Columns that have room."""
        self._order: reading.Order | None = None
        self._window = window.Window()
        self._asked: window.Around | None = None
        self._cells = cells.Cells()
        self._anew = True
        """What stands in the columns is to be made anew."""
        self._above = 2
        """Lines above the rows."""
        if words:
            self.choose(words)

    # ── what is loaded ──

    def news(self) -> None:
        """Rows may be others now."""
        self.missed = self.stage.readers.busy(TOPIC)
        if not self.missed:
            self._load()

    def _load(self) -> None:
        production, choice, around = self.stage.production.id, self._choice, self._window.around()
        order, now = self._order, self.stage.now()

        def question(memory: library.Library, say: readers.Say[reading.Found]) -> None:
            for found in reading.read(memory, production, choice, around, order, now):
                say(found)

        self._asked = around
        self.stage.readers.ask(TOPIC, question, self._take, self._sorry)

    def _take(self, found: reading.Found) -> None:
        self.trouble = ""
        if found.order is not None:
            self._order = found.order
            self.missed = self.missed or found.old
        if not found.stretch.whole and self._window.stretch.whole:
            return  # what is there is more than what was found so far
        missing = self._window.take(found.stretch, reading.key(self._choice))
        if missing is not None:
            where = f"among: {self.words}" if self.words else "in this production"
            self.stage.say(f"run {missing} is not {where}; this is the next one", wrong=True)
        self._anew = True
        if found.stretch.whole and self._window.near_edge():
            self._load_later()
        self.stage.renew()

    def _load_later(self) -> None:
        """Once: what has no more would be asked for again and again."""
        if self._window.around() != self._asked:
            self._load()

    def _sorry(self, trouble: Exception) -> None:
        self.trouble, self.missed = view.told(trouble), True
        self.stage.renew()

    def left(self) -> None:
        self.stage.readers.forget(TOPIC)

    # ── what is shown ──

    def paint(self, columns_: int, rows: int) -> Sequence[lines.Line]:
        self._above = 2 if rows > 5 or self.words or self.trouble else 1
        self._window.fit(rows - self._above)
        if self._window.near_edge() and not self.stage.readers.busy(TOPIC):
            self._load_later()
        standing = [self._standing(columns_)] if self._above > 1 else []
        return [*standing, *self._table(columns_), *self._none()]

    def _standing(self, wide: int) -> lines.Line:
        """Which runs, how many of them, in which order."""
        if self.trouble:
            return lines.within(lines.plain(self.trouble, "error"), wide)
        told: list[lines.Line] = []
        if self.words:
            told.append((("dim", "filter "), ("name", self.words)))
        if self.everything or self.marks:
            marked = "all of them" if self.everything else f"{len(self.marks):,}"
            told.append(lines.plain(f"{marked} marked", "mark"))
        if self._choice != reading.Choice(self._choice.wanted):
            told.append(lines.plain(f"by {self._sort} {'down' if self._down else 'up'}", "dim"))
        if self._order and self._choice.key != "run" and self._order.cut:
            told.append(lines.plain(f"the first {reading.MOST:,} only", "held"))
        if self.stage.readers.busy(TOPIC) and not self._window.stretch.whole:
            told.append(lines.plain("looking …", "dim"))
        place = self._window.position()
        right = lines.plain(f"{place[0]:,} of {place[1]:,}" if place else "", "dim")
        room = wide - lines.width(lines.joined([*told, right])) - 2
        return lines.apart(lines.packed([view.tabs(self.name, room), *told], wide), right, wide)

    def _none(self) -> Sequence[lines.Line]:
        if self._window.rows or not self._window.stretch.whole:
            return []
        return [lines.plain(f"no run is meant by: {self.words}" if self.words else "there are no runs", "dim")]

    def _table(self, wide: int) -> list[lines.Line]:
        """The heading, and the rows that are shown."""
        seen = columns.Seen(self.stage.now(), self.stage.production.data, narrow=True)
        if self._anew:
            self._anew = False
            self._cells.fill(self._window.rows, tuple(self.shown), seen)
        first, rows = self._window.first, self._window.shown()
        self._cells.renew(first, first + len(rows), seen)
        heading = [self._named(name) for name in self.shown]
        widths = self._cells.widths(heading, wide - 2)
        self._seen = [self.shown[place] for place in widths]
        told = [lines.filled(lines.plain("  " + cells.joined(heading, widths, self.shown), "heading"), wide, "heading")]
        for place, row in enumerate(rows):
            at, marked = place == self._window.cursor, self.everything or row.run in self.marks
            told.append(self._cells.line(first + place, widths, wide, at=at, marked=marked))
        return told

    def tick(self) -> None:
        super().tick()
        self._cells.tick()

    def _named(self, name: str) -> str:
        """A heading; of the column that it is sorted by with a sign."""
        sign = ("v" if self._down else "^") if name == self._sort else ""
        return f"{columns.COLUMNS[name][0].name}{sign}"

    # ── keys ──

    def move(self, rows: int) -> None:
        self._window.move(rows)

    def point(self, row: int) -> bool:
        return self._window.point(row - self._above)

    def do_page_up(self) -> None:
        self._window.page(-1)

    def do_page_down(self) -> None:
        self._window.page(1)

    def do_first(self) -> None:
        self._go_to(window.FIRST)

    def do_last(self) -> None:
        self._go_to(window.LAST)

    def _go_to(self, run: int) -> None:
        self._window.go_to(run)
        self._load()

    def do_go_to(self) -> None:
        self.stage.ask_person("run: ", "", self._typed)

    def _typed(self, text: str) -> str:
        number = filters.number(text)
        if number is None:
            return f"{text}: a run's number"
        self._go_to(number)
        return ""

    def do_open(self) -> None:
        if row := self._window.current:
            self.stage.show(lists.Run(self.stage, row.run))

    def do_log(self) -> None:
        if row := self._window.current:
            self.stage.show(logview.Log(self.stage, row.run))

    def do_filter(self) -> None:
        self.stage.ask_person("filter (Ctrl-U empties it): ", self.words, self._filter)

    def begin_anew(self) -> None:
        """Of another production; columns and order stay."""
        self._filter("")
        self._go_to(window.FIRST)

    def choose(self, words: str) -> None:
        """These runs."""
        if wrong := self._filter(words):
            self.trouble = wrong

    def _filter(self, words: str) -> str:
        """What is wrong with it, or nothing."""
        try:
            wanted = filters.parse(filters.split(words))
        except errors.UsageError as wrong:
            return str(wrong)
        self.words, self.trouble = words, ""
        self.marks, self.everything = set(), False
        self._choose(reading.Choice(wanted, self._choice.key, self._choice.down))
        return ""

    def _choose(self, choice: reading.Choice) -> None:
        """Other runs, or another order; the cursor stays on its run, if that is there."""
        here = self._window.current
        anew = choice.wanted != self._choice.wanted
        self._choice = choice
        self._order, self._anew = None, True
        self._window.begin_anew(here.run if here and not anew else window.FIRST)
        self._load()

    def do_back(self) -> None:
        """First the marks go, then the filter."""
        if self.marks or self.everything:
            self.unmark()
        elif self.words:
            self._filter("")

    def do_sort(self) -> None:
        """By the next column on the screen that it can be sorted by."""
        names = [name for name in self._seen if name in columns.KEYS]
        place = names.index(self._sort) + 1 if self._sort in names else 0
        self.sort_by(names[place % len(names)], down=False)

    def do_reverse(self) -> None:
        self.sort_by(self._sort, down=not self._down)

    def sort_by(self, name: str, *, down: bool | None = None) -> None:
        """By a column; by the present one the other way round, unless that is said."""
        if name not in columns.KEYS:
            self.stage.say(f"{name}: a table can't be sorted by that", wrong=True)
            return
        self._down = (name == self._sort and not self._down) if down is None else down
        self._sort = name
        # what shows how long ago it was is sorted by that: the latest first
        latest_first = self._down != (name == "since")
        self._choose(reading.Choice(self._choice.wanted, name, latest_first))

    def show(self, names: Sequence[str]) -> None:
        """These columns."""
        self.shown, self._anew = list(names), True
        self.stage.renew()

    def do_columns(self) -> None:
        self.stage.show(Columns(self.stage, self))

    def do_mark(self) -> None:
        if row := self._window.current:
            self.everything = False
            self.marks ^= {row.run}
            self._window.move(1)

    def do_mark_all(self) -> None:
        self.marks, self.everything = set(), not self.everything

    def meant(self) -> filters.Filter | None:
        """The runs that something is asked of; None: there is none."""
        if self.everything:
            return self._choice.wanted
        numbers: Collection[int] = self.marks or ({self._window.current.run} if self._window.current else ())
        if not numbers:
            return None
        return filters.Filter(runs=filters.joined((number, number) for number in numbers))

    def unmark(self) -> None:
        """None is marked."""
        self.marks, self.everything = set(), False


class Columns(view.Text):
    """Which columns the table has, and by which it is sorted."""

    name = keys.COLUMNS
    choosing = True

    def __init__(self, stage: view.Stage, of: Runs) -> None:
        super().__init__(stage)
        self._of = of
        self.title = "columns: Space shows one, Enter sorts by it"
        self._fill()

    def _fill(self) -> None:
        self.scroll.put([scroll.Entry(self._said(name), target=name) for name in columns.COLUMNS])

    def _said(self, name: str) -> str:
        there = "x" if name in self._of.shown else " "
        return f"[{there}] {name}{'' if name in columns.KEYS else '  (not to be sorted by)'}"

    def do_toggle(self) -> None:
        name = str(self.scroll.target)
        shown = set(self._of.shown) ^ {name}
        if name != "run":  # without it nobody knows what a row is
            self._of.show([one for one in columns.COLUMNS if one in shown])
        self._fill()
        self.scroll.move(1)

    def do_open(self) -> None:
        self._of.sort_by(str(self.scroll.target))
        self.stage.back()
