"""The log of a run's job, as it grows: a few screens of it around a place are loaded, of however many gigabytes."""

from __future__ import annotations

import bisect
import dataclasses
from collections.abc import Sequence

from production import disk, facts, room
from production.catalogue import library
from production.monitor import logs, readers, table
from production.monitor.dashboard import keys, scroll, view
from production.monitor.dashboard import line as lines

SCREENS = 2
"""Loaded before and behind the one that is shown."""
STEP = 20
"""Columns that it moves sideways."""
TOPIC, SEARCH = "log", "log search"


@dataclasses.dataclass(frozen=True, slots=True)
class Piece:
    """What was read of a log."""

    attempts: Sequence[facts.Attempt]
    path: str
    """Empty: there is no log."""
    lines: Sequence[logs.Line] = ()
    size: int = 0
    file: tuple[int, int] = (0, 0)


class Log(view.View):
    """One attempt's stdout or stderr."""

    name = keys.LOG

    def __init__(self, stage: view.Stage, run: int) -> None:
        super().__init__(stage)
        self.run = run
        self._attempt: int | None = None
        """None: the last one with a log."""
        self._stream = "out"
        self._following = True
        self._piece = Piece((), "")
        self._top = 0
        self._height = 20
        self._shift = 0
        self._trouble = ""
        self._found = ""
        self._goal: int | None = None
        """A byte that is to be shown, once it is loaded."""

    # ── what is loaded ──

    def news(self) -> None:
        """It was opened; the database says nothing of how a log grows, so ``tick`` looks."""
        self._load()

    def tick(self) -> None:
        if not self.stage.readers.busy(TOPIC):
            self._load()

    def _load(self) -> None:
        production, run, attempt, stream = self.stage.production.id, self.run, self._attempt, self._stream
        goal = None if self._following else self._goal if self._goal is not None else self._begin()
        height = self._height

        def question(memory: library.Library, say: readers.Say[Piece]) -> None:
            attempts = memory.records.attempts(production, run)
            say(_read(attempts, attempt, stream, goal, height))

        self.stage.readers.ask(TOPIC, question, self._take, self._sorry)

    def _begin(self) -> int:
        """Byte of the first line on the screen."""
        rows = self._piece.lines
        return rows[min(self._top, len(rows) - 1)].begin if rows else 0

    def _take(self, piece: Piece) -> None:
        anew = self._piece.path == piece.path and (piece.file != self._piece.file or piece.size < self._piece.size)
        if anew and self._piece.size:
            self.stage.say("the log begins anew: it was cut off, or is another file")
        byte = self._begin() if self._goal is None else self._goal
        self._trouble, self._piece, self._goal = "", piece, None
        most = max(0, len(piece.lines) - self._height)
        above = bisect.bisect_right(piece.lines, byte, key=lambda one: one.begin) - 1
        self._top = most if self._following else max(0, above)
        self.stage.renew()

    def _sorry(self, trouble: Exception) -> None:
        self._trouble = view.told(trouble)
        self.stage.renew()

    def left(self) -> None:
        self.stage.readers.forget(TOPIC)
        self.stage.readers.forget(SEARCH)

    # ── what is shown ──

    def paint(self, columns: int, rows: int) -> Sequence[lines.Line]:
        grown, self._height = rows - 1 > self._height, max(1, rows - 1)
        if grown:
            self._load()
        elif self._following:
            self._top = max(0, len(self._piece.lines) - self._height)
        body = [self._line(one, columns) for one in self._piece.lines[self._top : self._top + self._height]]
        return [self._heading(columns), *(body or [lines.plain(self._nothing(), "dim")])]

    def _heading(self, columns: int) -> lines.Line:
        if self._trouble:
            return lines.within(lines.plain(self._trouble, "error"), columns)
        attempt = self._shown_attempt()
        said = f"run {self.run}" + (f", attempt {attempt.attempt}" if attempt else "") + f", std{self._stream}"
        if self.stage.readers.busy(SEARCH):
            said += f"  looking for {self._found} …"
        right = [lines.plain("following", "good")] if self._following else []
        rows = self._piece.lines
        if rows and self._piece.size:
            last = rows[min(len(rows), self._top + self._height) - 1]
            right.append(
                lines.plain(f"{100 * last.end // self._piece.size} % of {room.shown(self._piece.size)}", "dim")
            )
        left = lines.packed([lines.plain(said, "heading"), lines.plain(self._piece.path, "dim")], columns - 30)
        return lines.apart(left, lines.joined(right), columns)

    def _shown_attempt(self) -> facts.Attempt | None:
        return _chosen(self._piece.attempts, self._attempt)

    def _nothing(self) -> str:
        if not self._piece.path:
            return "" if self.stage.readers.busy(TOPIC) else "no job of it was submitted yet, so there is no log"
        other = "err" if self._stream == "out" else "out"
        return f"nothing on std{self._stream}; o: std{other}"

    def _line(self, one: logs.Line, columns: int) -> lines.Line:
        text = one.text[self._shift :] if self._shift else one.text
        marked = "<" if self._shift and one.text else ""
        return lines.within(scroll.lighted(lines.plain(marked + table.within(text, columns)), self._found), columns)

    # ── keys ──

    def point(self, row: int) -> bool:
        return row < self._height

    def move(self, rows: int) -> None:
        """Down beyond the last line it is followed."""
        if self._goal is not None:
            return  # what is on the screen is about to go
        most = max(0, len(self._piece.lines) - self._height)
        at_end = bool(self._piece.lines) and self._piece.lines[-1].end >= self._piece.size
        goal = self._top + rows
        self._following = goal >= most and at_end and rows > 0
        self._top = max(0, min(goal, most))
        if not self._following and not (self._height <= self._top <= most - self._height):
            self._load()

    def do_page_up(self) -> None:
        self.move(-max(1, self._height - 1))

    def do_page_down(self) -> None:
        self.move(max(1, self._height - 1))

    def do_first(self) -> None:
        self._show(0)

    def do_last(self) -> None:
        self._following = True
        self._load()

    def _show(self, byte: int) -> None:
        self._following, self._goal = False, byte
        self._load()

    def do_follow(self) -> None:
        self._following = not self._following
        self._load()

    def do_stream(self) -> None:
        self._stream = "err" if self._stream == "out" else "out"
        self._anew()

    def _anew(self) -> None:
        """Another log."""
        self._piece, self._following, self._goal, self._top = Piece(self._piece.attempts, ""), True, None, 0
        self._load()

    def do_earlier(self) -> None:
        self._turn(-1)

    def do_later(self) -> None:
        self._turn(1)

    def _turn(self, step: int) -> None:
        numbers = [one.attempt for one in self._piece.attempts]
        here = self._shown_attempt()
        place = (numbers.index(here.attempt) if here else len(numbers)) + step
        if not 0 <= place < len(numbers):
            self.stage.say(f"there is no attempt {'before' if step < 0 else 'after'} that", wrong=True)
            return
        self._attempt = numbers[place]
        self._anew()

    def do_right(self) -> None:
        self._shift += STEP

    def do_left(self) -> None:
        self._shift = max(0, self._shift - STEP)

    def do_go_to(self) -> None:
        self.stage.ask_person("per cent: ", "", self._per_cent)

    def _per_cent(self, text: str) -> str:
        if not text.isdecimal() or int(text) > 100:
            return f"{text}: 0 to 100"
        self._show(self._piece.size * int(text) // 100)
        return ""

    def do_search(self) -> None:
        self.stage.ask_person("search: ", self._found, self._search)

    def _search(self, text: str) -> str:
        self._found = text
        if text:
            self._look(down=True, again=False)
        return ""

    def do_again(self) -> None:
        self._look(down=True, again=True)

    def do_before(self) -> None:
        self._look(down=False, again=True)

    def _look(self, *, down: bool, again: bool) -> None:
        """For the text, through all of the log, in a thread; Esc ends it."""
        rows, path, text = self._piece.lines, self._piece.path, self._found
        if not (rows and path and text):
            return
        here = rows[min(self._top, len(rows) - 1)]
        start = self._goal if self._goal is not None else here.end if down and again else here.begin
        wanted = self.stage.readers.asking(SEARCH)

        def question(_memory: library.Library, say: readers.Say[int | None]) -> None:
            say(logs.search(path, text, start, down=down, going_on=lambda _: wanted()))

        self.stage.readers.ask(SEARCH, question, lambda byte: self._looked(byte, down=down), self._sorry)

    def _looked(self, byte: int | None, *, down: bool) -> None:
        if byte is None:
            self.stage.say(f"{self._found}: not {'below' if down else 'above'}", wrong=True)
        else:
            self._show(byte)

    def do_back(self) -> None:
        """A search ends first."""
        if self.stage.readers.busy(SEARCH):
            self.stage.readers.forget(SEARCH)
        else:
            super().do_back()

    def do_pager(self) -> None:
        if self._piece.path:
            self.stage.page(self._piece.path)
        else:
            self.stage.say("there is no log yet", wrong=True)


def _chosen(attempts: Sequence[facts.Attempt], number: int | None) -> facts.Attempt | None:
    """That attempt, or the last one with a log."""
    if number is not None:
        return next((one for one in attempts if one.attempt == number), None)
    with_log = [one for one in attempts if one.olog or one.elog]
    return with_log[-1] if with_log else None


def _read(
    attempts: Sequence[facts.Attempt], number: int | None, stream: str, goal: int | None, height: int
) -> Piece:  # fmt: skip
    """In a reader's thread: a few screens around a byte, or the last ones. Raises: disk.Trouble."""
    one = _chosen(attempts, number)
    path = (one.olog if stream == "out" else one.elog) if one else None
    if not path:
        return Piece(attempts, "")
    try:
        return _around(attempts, path, goal, SCREENS * height, height)
    except disk.Trouble as trouble:
        if not trouble.missing:
            raise
        return Piece(attempts, path)  # the job has not begun


def _around(attempts: Sequence[facts.Attempt], path: str, goal: int | None, most: int, height: int) -> Piece:
    if goal is None:
        page = logs.last(path, most)
        return Piece(attempts, path, page.lines, page.size, page.identity)
    above, below = logs.before(path, goal, most), logs.after(path, goal, most + height)
    return Piece(attempts, path, (*above.lines, *below.lines), below.size, below.identity)
