"""The log of a run's job, as it grows: a few screens of it around a place are loaded, of however many gigabytes."""

from __future__ import annotations

import bisect
import contextlib
import dataclasses
import os
import tempfile
import time
from collections.abc import Sequence

from production import disk, facts, room
from production.catalogue import library
from production.monitor import logs, readers, table
from production.monitor import reach as reaching
from production.monitor.dashboard import keys, scroll, view
from production.monitor.dashboard import line as lines

SCREENS = 2
"""Loaded before and behind the one that is shown."""
STEP = 20
"""Columns that it moves sideways."""
TOPIC, SEARCH, COPY = "log", "log search", "log copy"
MOST = 64 << 20
"""Bytes that are brought for a pager from another machine."""


@dataclasses.dataclass(frozen=True, slots=True)
class Piece:
    """What was read of a log."""

    attempts: Sequence[facts.Attempt]
    path: str
    """Empty: there is no log."""
    stream: str = "out"
    lines: Sequence[logs.Line] = ()
    size: int = 0
    file: tuple[int, int] = (0, 0)


@dataclasses.dataclass(frozen=True, slots=True)
class Copy:
    """A log that was brought for the pager."""

    file: tempfile._TemporaryFileWrapper[bytes]
    left_out: int
    """Bytes at its beginning."""


class Log(view.View):
    """One attempt's stdout or stderr."""

    name = keys.LOG

    def __init__(self, stage: view.Stage, run: int) -> None:
        super().__init__(stage)
        self.run = run
        self._attempt: int | None = None
        """None: the last one with a log."""
        self._stream = ""
        """Empty: the one that says more."""
        self._folded = True
        self._wide = 80
        self._following = True
        self._piece = Piece((), "")
        self._top = 0
        self._height = 20
        self._shift = 0
        self._trouble = ""
        self._found = ""
        self._goal: int | None = None
        """A byte that is to be shown, once it is loaded."""
        self._looked_at, self._pause = 0.0, 0.0
        """When the last answer came (monotonic), and how many seconds there are to be until the next question."""

    # ── what is loaded ──

    def news(self) -> None:
        """It was opened; the database says nothing of how a log grows, so ``tick`` looks."""
        self._load()

    def tick(self) -> None:
        due = time.monotonic() - self._looked_at >= self._pause
        if due and not self.stage.readers.busy(TOPIC):
            self._load()

    def _load(self) -> None:
        production, run, attempt, stream = self.stage.production.id, self.run, self._attempt, self._stream
        goal = None if self._following else self._goal if self._goal is not None else self._begin()
        height = self._height

        reach = self.stage.here.logs.wanting(self.stage.readers.asking(TOPIC))

        def question(memory: library.Library, say: readers.Say[Piece]) -> None:
            attempts = memory.records.attempts(production, run)
            say(_read(reach, attempts, attempt, stream, goal, height))

        self.stage.readers.ask(TOPIC, question, self._take, self._sorry)

    def _begin(self) -> int:
        """Byte of the first line on the screen."""
        rows = self._piece.lines
        return rows[min(self._top, len(rows) - 1)].begin if rows else 0

    def _take(self, piece: Piece) -> None:
        anew = self._piece.path == piece.path and (piece.file != self._piece.file or piece.size < self._piece.size)
        if anew and self._piece.size:
            self.stage.say("the log begins anew: it was cut off, or is another file")
        self._looked_at, self._pause = time.monotonic(), reaching.pause(piece.path)
        byte = self._begin() if self._goal is None else self._goal
        self._trouble, self._piece, self._goal = "", piece, None
        most = max(0, len(piece.lines) - self._height)
        above = bisect.bisect_right(piece.lines, byte, key=lambda one: one.begin) - 1
        self._top = most if self._following else max(0, above)
        self._stream = self._stream or (piece.stream if piece.size else "")
        self.stage.renew()

    def _sorry(self, trouble: Exception) -> None:
        self._looked_at = time.monotonic()
        self._trouble = view.told(trouble)
        if isinstance(trouble, reaching.Away):  # its path is long, and not what is wrong
            self._pause, self._trouble = reaching.PAUSE, f"the log can't be read: {trouble.why}"
        self.stage.renew()

    def left(self) -> None:
        self.stage.readers.forget(TOPIC)
        self.stage.readers.forget(SEARCH)
        self.stage.readers.forget(COPY)

    # ── what is shown ──

    def paint(self, columns: int, rows: int) -> Sequence[lines.Line]:
        grown, self._height, self._wide = rows - 1 > self._height, max(1, rows - 1), columns
        if grown:
            self._load()
        body = self._last_rows() if self._following else self._rows()
        return [self._heading(columns), *(body or [lines.plain(self._nothing(), "dim")])]

    def _last_rows(self) -> list[lines.Line]:
        """As many as the screen has."""
        body: list[lines.Line] = []
        for place in range(len(self._piece.lines) - 1, -1, -1):
            body = [*self._lines(self._piece.lines[place]), *body]
            self._top = place
            if len(body) >= self._height:
                break
        return body[-self._height :]

    def _rows(self) -> list[lines.Line]:
        """From the top on."""
        body: list[lines.Line] = []
        for one in self._piece.lines[self._top : self._top + self._height]:
            body += self._lines(one)
        return body[: self._height]

    def _ends(self, place: int) -> bool:
        """Whether all from a line on has room on the screen."""
        rest = self._piece.lines[place : place + self._height + 1]
        return len(rest) <= self._height and sum(len(self._lines(one)) for one in rest) <= self._height

    def _heading(self, columns: int) -> lines.Line:
        if self._trouble:
            return lines.within(lines.plain(self._trouble, "error"), columns)
        attempt = self._shown_attempt()
        said = f"run {self.run}" + (f", attempt {attempt.attempt}" if attempt else "") + f", std{self._piece.stream}"
        if self.stage.readers.busy(SEARCH):
            said += f"  looking for {self._found} …"
        over = attempt is not None and attempt.ended is not None
        right = [lines.plain("its end" if over else "following", "good")] if self._following else []
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
        if self._trouble:
            return ""
        if not self._piece.path:
            return "" if self.stage.readers.busy(TOPIC) else "no job of it was submitted yet, so there is no log"
        return f"nothing on std{self._piece.stream}; o: std{self._other()}"

    def _other(self) -> str:
        return "err" if self._piece.stream == "out" else "out"

    def _lines(self, one: logs.Line) -> list[lines.Line]:
        """As the screen has it: folded, or cut at its edges."""
        if self._folded:
            texts = list(lines.broken(one.text, self._wide, 0)) if one.text else [""]
        else:
            left = "<" if self._shift and one.text else ""
            texts = [table.within(left + one.text[self._shift :], self._wide)]
        return [lines.within(scroll.lighted(lines.plain(text), self._found), self._wide) for text in texts]

    # ── keys ──

    def point(self, row: int) -> bool:
        return row < self._height

    def move(self, rows: int) -> None:
        """Down beyond the last line it is followed."""
        if self._goal is not None:
            return  # what is on the screen is about to go
        number = len(self._piece.lines)
        at_end = bool(number) and self._piece.lines[-1].end >= self._piece.size
        self._top = max(0, min(self._top + rows, number - 1))
        self._following = rows > 0 and at_end and self._ends(self._top)
        if not self._following and not (self._height <= self._top <= number - 2 * self._height):
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
        self._stream = self._other()
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

    def do_fold(self) -> None:
        self._folded, self._shift = not self._folded, 0

    def do_right(self) -> None:
        self._folded = False
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
        self.stage.ask_person("search: ", "", self._search)

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

        reach = self.stage.here.logs.wanting(wanted)

        def question(_memory: library.Library, say: readers.Say[int | None]) -> None:
            say(logs.search(path, text, start, down=down, going_on=lambda _: wanted(), reach=reach))

        self.stage.readers.ask(SEARCH, question, lambda byte: self._looked(byte, down=down), self._sorry)

    def _looked(self, byte: int | None, *, down: bool) -> None:
        if byte is None:
            self.stage.say(f"{self._found}: not {'below' if down else 'above'}", wrong=True)
        else:
            self._show(byte)

    def do_back(self) -> None:
        """A search, or what is brought for the pager, ends first."""
        for topic in (SEARCH, COPY):
            if self.stage.readers.busy(topic):
                self.stage.readers.forget(topic)
                return
        super().do_back()

    def do_pager(self) -> None:
        if not self._piece.path:
            self.stage.say("there is no log yet", wrong=True)
        elif reaching.elsewhere(self._piece.path):
            self._bring(self._piece.path)
        else:
            self.stage.page(self._piece.path)

    def _bring(self, path: str) -> None:
        """A pager reads files of ours only."""
        self.stage.say(f"bringing {disk.shown(path)}; Esc ends it")
        wanted = self.stage.readers.asking(COPY)
        reach = self.stage.here.logs.wanting(wanted)

        def question(_memory: library.Library, say: readers.Say[Copy]) -> None:
            # removed when it is closed, or nobody holds it any more
            file = tempfile.NamedTemporaryFile(prefix="production-", suffix=os.path.basename(path))  # noqa: SIM115
            with contextlib.ExitStack() as failed:
                failed.callback(file.close)
                say(Copy(file, logs.copy(path, file, MOST, lambda _: wanted(), reach)))
                failed.pop_all()

        self.stage.readers.ask(
            COPY, question, self._brought, lambda trouble: self.stage.say(view.told(trouble), wrong=True)
        )

    def _brought(self, copy: Copy) -> None:
        with copy.file:
            self.stage.page(copy.file.name)
        if copy.left_out:
            self.stage.say(
                f"that was its last {room.shown(MOST)}; {room.shown(copy.left_out)} before them were left there"
            )


def _chosen(attempts: Sequence[facts.Attempt], number: int | None) -> facts.Attempt | None:
    """That attempt, or the last one with a log."""
    if number is not None:
        return next((one for one in attempts if one.attempt == number), None)
    with_log = [one for one in attempts if one.olog or one.elog]
    return with_log[-1] if with_log else None


def _read(
    reach: reaching.Reach,
    attempts: Sequence[facts.Attempt],
    number: int | None,
    stream: str,
    goal: int | None,
    height: int,
) -> Piece:
    """In a reader's thread: a few screens around a byte, or the last ones. Raises: disk.Trouble."""
    one = _chosen(attempts, number)
    if one is None or not (one.olog or one.elog):
        return Piece(attempts, "")
    stream = stream or _telling(one, reach)
    path = (one.olog if stream == "out" else one.elog) or ""
    try:
        return _around(reach, Piece(attempts, path, stream), goal, SCREENS * height, height)
    except disk.Trouble as trouble:
        if not trouble.missing:
            raise
        return Piece(attempts, path, stream)  # the job has not begun


def _telling(one: facts.Attempt, reach: reaching.Reach) -> str:
    """The stream that says more: of an attempt that failed stderr, if there is anything on it."""
    if not reach.size(one.elog):
        return "out"
    return "err" if one.cause is not None or not reach.size(one.olog) else "out"


def _around(reach: reaching.Reach, piece: Piece, goal: int | None, most: int, height: int) -> Piece:
    path = piece.path
    if goal is None:
        page = logs.last(path, most, reach)
        return dataclasses.replace(piece, lines=page.lines, size=page.size, file=page.identity)
    above, below = logs.before(path, goal, most, reach), logs.after(path, goal, most + height, reach)
    return dataclasses.replace(piece, lines=(*above.lines, *below.lines), size=below.size, file=below.identity)
