"""The dashboard at work: urwid's loop, the views one upon another, the keys, and whom they are handed to.

It reads through ``readers`` and changes nothing by itself. Whatever happens in here, the terminal is restored.
"""

from __future__ import annotations

import contextlib
import curses
import datetime
import math
import os
import sys
import termios
import time
from collections.abc import Callable, Sequence
from typing import Any

import urwid

import production as software
from production import errors, request
from production import run as runs
from production.monitor import readers, snapshot
from production.monitor.dashboard import (
    board,
    keys,
    lists,
    pager,
    palettes,
    runsview,
    screen,
    sheet,
    surroundings,
    view,
    watcher,
    words,
)
from production.monitor.dashboard import line as lines

TICK = 1.0
"""Seconds between two looks at the memory."""
FLASH = 8.0
"""Seconds that a word stays beside the keys."""
WHEEL = 3
"""Rows."""

ESC = 0.03
"""Seconds after which an Esc is the key and not the begin of another one's name; over a slow line these come in one piece, too."""
DOUBLE = 0.5
"""Seconds between two presses of the mouse that are one."""
FEWEST = 8
"""Colours, below which none are used."""


def run(here: surroundings.Surroundings) -> None:
    """Until a person leaves, or the manager that shows itself so has ended.

    Raises: ProductionError; whatever went wrong in here, once the terminal is as it was.
    """
    App(here).run()


class App:
    """See ``view.Stage``."""

    def __init__(self, here: surroundings.Surroundings) -> None:
        self.here = here
        self._bell = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
        self.readers = readers.Readers(here.open, self._ring)
        self._watcher = watcher.Watcher(here, self.readers, self._news)
        self._words = words.Words(here.lines, here.production.id)
        self._flash: tuple[str, str, float] = ("", "", 0.0)
        """(role, text, until when; monotonic)."""
        self._prompt: sheet.Prompt | None = None
        self._key = -math.inf
        """When a key was pressed last; monotonic."""
        self._hearing: object = None
        self._pressed = (0, 0.0)
        """(row, when) the mouse was pressed last."""
        self._height = 0
        """Of the head, as it was painted."""
        self._palette = here.palette or _suited()
        self._runs = runsview.Runs(self, here.filter)
        self._views: list[view.View] = [self._runs]
        self._sheet = sheet.Sheet(self._paint, self._press, self._point)
        self._frame: urwid.Frame[Any, None, Any] = urwid.Frame(self._sheet)
        self._screen = screen.Screen()
        self._screen.set_input_timeouts(complete_wait=ESC)
        typed = screen.Paste(lambda: self._prompt is not None)
        self._loop = urwid.MainLoop(self._frame, sheet.colours(self._palette), self._screen, input_filter=typed)

    # ── the loop ──

    def run(self) -> None:
        """Raises: ProductionError, if the manager has gone without a word."""
        try:
            self._loop.watch_file(self._bell, self._deliver)
            if self.here.lines is not None:
                self._hearing = self._loop.watch_file(self.here.lines, self._hear)
            self._look(self._loop)
            self._runs.news()
            self._loop.run()
        except (OSError, termios.error):
            if not self._words.orphaned:
                raise  # else a shell has taken the terminal back, and put it right
        finally:
            self.readers.close()
            os.close(self._bell)
            with contextlib.suppress(OSError, termios.error):  # what was typed was not meant for a shell
                termios.tcflush(sys.stdin.fileno(), termios.TCIFLUSH)
        if self._words.orphaned:
            raise errors.ProductionError("the manager has gone without a word: was it killed? Start it again to go on")

    def _ring(self) -> None:
        """From a reader's thread."""
        with contextlib.suppress(OSError):  # it is over
            os.eventfd_write(self._bell, 1)

    def _deliver(self) -> None:
        with contextlib.suppress(BlockingIOError):
            os.eventfd_read(self._bell)
        self.readers.deliver()

    def _look(self, loop: urwid.MainLoop, _: object = None) -> None:
        """Once a second: ask for what is new, and show the time."""
        if self._words.over and not self._attended():
            raise urwid.ExitMainLoop
        loop.set_alarm_in(TICK, self._look)
        self._views[-1].tick()
        self._watcher.look()
        self.renew()

    def _attended(self) -> bool:
        """Whether somebody has pressed a key lately."""
        return time.monotonic() - self._key < surroundings.ATTENDED

    def _news(self, written: bool) -> None:
        if written:
            self._views[-1].news()
        self.renew()

    def _hear(self) -> None:
        if not self._words.hear():
            if self._words.orphaned or self._words.leaving or not self._attended():
                raise urwid.ExitMainLoop
            self._loop.remove_watch_file(self._hearing)
        if isinstance(top := self._views[-1], lists.Messages):
            top.fill()
        self.renew()

    @property
    def production(self) -> runs.Production:
        return self._watcher.production

    @property
    def snapshot(self) -> snapshot.Snapshot | None:
        return self._watcher.snapshot

    def said(self) -> Sequence[tuple[str, str]]:
        return self._words.said(self.production.id)

    def watch(self, production: runs.Production) -> None:
        self._watcher.turn_to(production)
        while len(self._views) > 1:
            self._views.pop().left()
        self._runs.begin_anew()
        self._watcher.look()

    # ── painting ──

    def now(self) -> datetime.datetime:
        return datetime.datetime.now().astimezone()

    def renew(self) -> None:
        self._sheet.renew()

    def _paint(self, columns: int, rows: int) -> Sequence[lines.Line]:
        head = board.head(self._scene(), columns, rows)
        told = self._last_words(columns, rows)
        footer = [] if self._prompt else [self._footer(columns)]
        self._height = len(head)
        body = self._views[-1].paint(columns, max(1, rows - len(head) - len(told) - len(footer)))
        missing = rows - len(head) - len(body) - len(told) - len(footer)
        return [*head, *body, *([()] * missing), *told, *footer]

    def _scene(self) -> board.Scene:
        return board.Scene(
            now=self.now(),
            version=software.__version__,
            database=self.here.database,
            production=self.production,
            snapshot=self.snapshot,
            outlook=self._watcher.outlook,
            machine=self._watcher.machine,
            trouble=self._watcher.trouble,
            leaving=self._words.leaving,
            over=self._words.over,
            read_only=self.here.read_only,
            ascii=not urwid.supports_unicode(),
        )

    def _last_words(self, columns: int, rows: int) -> list[lines.Line]:
        """The last lines of our manager, as many as there is room for."""
        number = 0 if rows < 16 else 1 if rows < board.ROOMY else 5
        if self._words.leaving and rows >= 16:
            number = max(number, rows // 4)
        return self._words.last(number, self.production.id, columns)

    def _footer(self, columns: int) -> lines.Line:
        role, text, until = self._flash
        if text and time.monotonic() < until:
            return lines.filled(lines.within(lines.plain(f" {text}", role), columns), columns, role)
        there = [key for key in keys.of(self._views[-1].name, read_only=self.here.read_only) if key.word]
        told: list[lines.Line] = [(("key", key.told), ("", f" {key.word}")) for key in there]
        last = told[-2:]  # help and quit are always there
        return lines.joined([lines.packed(told[:-2], columns - lines.width(lines.joined(last)) - 2), *last])

    def note(self, text: str) -> None:
        self._words.note(text, self.production.id, self.now())
        self.say(text)

    def say(self, text: str, *, wrong: bool = False) -> None:
        self._flash = ("error" if wrong else "told", text, time.monotonic() + FLASH)
        self.renew()

    # ── keys and the mouse ──

    def _press(self, pressed: str) -> bool:
        """Whether the key means anything here."""
        top = self._views[-1]
        self._key = time.monotonic()
        self._words.pressed()
        key = keys.find(top.name, pressed, read_only=self.here.read_only)
        if key is None:
            self._refuse(top.name, pressed)
            return False
        self._flash = ("", "", 0.0)
        deed: Callable[[], object] = getattr(top, f"do_{key.command}", None) or getattr(self, f"do_{key.command}")
        deed()
        self.renew()
        return True

    def _refuse(self, view_: str, pressed: str) -> None:
        """A key that does nothing here."""
        if keys.find(view_, pressed, read_only=False) is not None:
            self.say("nothing is asked for from here: --read-only", wrong=True)
        elif len(pressed) == 1:
            self.say(f"{pressed}: no key of this view; ? tells those there are", wrong=True)

    def _point(self, row: int, event: str, button: int) -> bool:
        """A press chooses a row, a second one on it opens it; the wheel scrolls."""
        top = self._views[-1]
        if event != "mouse press" or row < self._height or self._prompt:
            return False
        if button in (4, 5):
            top.move(WHEEL if button == 5 else -WHEEL)
        elif button == 1 and top.point(row - self._height):
            now, before = time.monotonic(), self._pressed
            self._pressed = (row, now)
            if before[0] == row and now - before[1] < DOUBLE:
                self._press("enter")
        self.renew()
        return True

    def ask_person(self, caption: str, text: str, done: Callable[[str], str]) -> None:
        def typed(said: str) -> None:
            wrong = done(said)
            if wrong:
                self._frame.footer = urwid.Pile([urwid.Text(("error", f" {wrong}")), prompt])
            else:
                self._end_prompt()

        prompt = self._prompt = sheet.Prompt(caption, text, typed, self._end_prompt)
        self._frame.footer = prompt
        self._frame.focus_position = "footer"
        self._sheet.allow(False)
        self.renew()

    def _end_prompt(self) -> None:
        self._sheet.allow(True)
        self._prompt = self._frame.footer = None
        self._frame.focus_position = "body"
        self.renew()

    # ── views ──

    def show(self, view_: view.View) -> None:
        self._views[-1].left()
        self._views.append(view_)
        view_.news()
        self.renew()

    def back(self) -> None:
        if len(self._views) > 1:
            self._views.pop().left()
            self._views[-1].news()
        self.renew()

    def close(self, view_: view.View) -> None:
        if self._views[-1] is view_:
            self.back()

    def show_runs(self, words: str) -> None:
        self._home()
        self._runs.choose(words)

    def _home(self) -> None:
        while len(self._views) > 1:
            self._views.pop().left()
        self._runs.news()

    def do_view_1(self) -> None:
        self._home()

    def do_view_2(self) -> None:
        self._turn_to(lists.Failures)

    def do_view_3(self) -> None:
        self._turn_to(lists.Managers)

    def do_view_4(self) -> None:
        self._turn_to(lists.Messages)

    def _turn_to(self, kind: type[view.View]) -> None:
        if not isinstance(self._views[-1], kind):
            self._home()
            self.show(kind(self))

    def do_view_5(self) -> None:
        self._turn_to(lists.Productions)

    def do_next_view(self) -> None:
        place = (keys.LISTS.index(self._views[-1].name) + 1) % len(keys.LISTS)
        getattr(self, f"do_view_{place + 1}")()

    def do_help(self) -> None:
        if not isinstance(self._views[-1], view.Help):
            self.show(view.Help(self, self._views[-1]))

    def do_palette(self) -> None:
        names = list(palettes.PALETTES)
        self._palette = names[(names.index(self._palette) + 1) % len(names)]
        self._screen.register_palette(sheet.colours(self._palette))
        self._screen.clear()
        self.say(f"colours: {self._palette}")

    def do_redraw(self) -> None:
        self._screen.clear()

    def do_quit(self) -> None:
        if self.readers.busy(view.WISH):
            self.say("something is being asked; wait for it, or withdraw it with Esc", wrong=True)
        else:
            raise urwid.ExitMainLoop

    # ── what is asked of runs ──

    def do_retry(self) -> None:
        self._ask_of_runs("retry")

    def do_hold(self) -> None:
        self._ask_of_runs("hold")

    def do_release(self) -> None:
        self._ask_of_runs("release")

    def do_cancel(self) -> None:
        self._ask_of_runs("cancel")

    def do_priority(self) -> None:
        self.ask_person("priority (more goes first; 0 is usual): ", "", self._priority)

    def _priority(self, text: str) -> str:
        try:
            number = request.priority(text)
        except errors.UsageError as wrong:
            return str(wrong)
        self._ask_of_runs("priority", str(number))
        return ""

    def _ask_of_runs(self, verb: str, argument: str = "") -> None:
        wanted = self._views[-1].meant()
        if wanted is not None:
            self.wish(surroundings.Wish(verb, self.production, wanted, argument))

    def wish(self, wish: surroundings.Wish) -> None:
        self.show(view.Confirm(self, wish))

    def wished(self) -> None:
        self._runs.unmark()

    # ── other programs ──

    def page(self, path: str) -> None:
        try:
            command = pager.command()
            self._loop.stop()
            try:
                code = pager.run([*command, path])
            finally:
                self._loop.start()
                self._screen.clear()
        except errors.UsageError as wrong:
            self.say(str(wrong), wrong=True)
            return
        if code:
            self.say(f"{command[0]} ended with exit {code}", wrong=True)


def _suited() -> str:
    """The palette that suits this terminal."""
    try:
        curses.setupterm()
        few = curses.tigetnum("colors") < FEWEST
    except curses.error:  # nobody knows this terminal
        few = False
    return "plain" if few else palettes.suited()
