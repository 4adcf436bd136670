"""Threads that ask the memory, so that nobody who looks at a screen waits for it. Each topic has its own, and its own connection.

A question is a call that gets a read-only ``Library``; its answer is handed over where ``deliver`` is called, which is
the screen's loop. Of a topic only the last question counts: one that is being answered is interrupted.
"""

from __future__ import annotations

import contextlib
import functools
import queue
import threading
from collections.abc import Callable
from typing import Generic, TypeVar

from production import errors, threads
from production.catalogue import library

Answer = TypeVar("Answer")

Say = Callable[[Answer], None]
"""What a question calls with an answer: as often as it likes, the last one is the whole."""
Question = Callable[[library.Library, Say[Answer]], None]
Trouble = Exception
"""What an answer may be instead."""

PATIENCE = 1.0
"""Seconds that threads are waited for at the end; a hanging disk is left behind."""


class Readers:
    """All of them."""

    def __init__(self, open_: Callable[[], library.Library], wake: Callable[[], None]) -> None:
        """``open_``: the memory, anew, to be closed; ``wake`` is called from any thread when ``deliver`` has something."""
        self._open = open_
        self._wake = wake
        self._answers: queue.SimpleQueue[Callable[[], None]] = queue.SimpleQueue()
        self._topics: dict[str, _Topic] = {}

    def ask(
        self, topic: str, question: Question[Answer], then: Say[Answer], sorry: Callable[[Trouble], None]
    ) -> None:  # fmt: skip
        """Ask; ``then`` gets the answers, ``sorry`` what went wrong. What was asked before under this topic is void."""
        self._topic(topic).ask(_Asked(question, then, sorry))

    def _topic(self, name: str) -> _Topic:
        if name not in self._topics:
            self._topics[name] = _Topic(name, self._open, self._hand_over)
        return self._topics[name]

    def _hand_over(self, call: Callable[[], None]) -> None:
        self._answers.put(call)
        self._wake()

    def busy(self, topic: str) -> bool:
        """Whether it has not answered yet."""
        return topic in self._topics and self._topics[topic].busy

    def asking(self, topic: str) -> Callable[[], bool]:
        """Whether what is asked next under this topic is still wanted: for questions that nobody can interrupt."""
        number = self._topic(topic).number + 1
        return lambda: self._topic(topic).number == number and self._topic(topic).busy

    def forget(self, topic: str) -> None:
        """Its answer is not wanted any more."""
        if topic in self._topics:
            self._topics[topic].forget()

    def deliver(self) -> None:
        """Hand over what has been answered."""
        while True:
            try:
                call = self._answers.get_nowait()
            except queue.Empty:
                return
            call()

    def close(self) -> None:
        """Interrupt everybody."""
        for topic in self._topics.values():
            topic.close()


class _Asked(Generic[Answer]):
    """A question, and whom to answer."""

    def __init__(
        self, question: Question[Answer], then: Say[Answer], sorry: Callable[[Trouble], None]
    ) -> None:  # fmt: skip
        self.question = question
        self.then = then
        self.sorry = sorry


class _Topic:
    """One thread, and the question that it has to answer."""

    def __init__(
        self,
        name: str,
        open_: Callable[[], library.Library],
        hand_over: Callable[[Callable[[], None]], None],
    ) -> None:
        self._open = open_
        self._hand_over = hand_over
        self._lock = threading.Lock()
        self._wanted: _Asked | None = None  # type: ignore[type-arg]  # answers of any kind
        self._begun: _Asked | None = None  # type: ignore[type-arg]
        self._library: library.Library | None = None
        self.number = 0
        """Questions so far."""
        self._crew = threads.Crew(f"reader-{name}", 1, lambda: None)

    @property
    def busy(self) -> bool:
        return self._wanted is not None

    def ask(self, asked: _Asked[Answer]) -> None:
        with self._lock:
            self.number += 1
            self._wanted = asked
            self._interrupt()
        self._crew.give(self._answer)

    def forget(self) -> None:
        with self._lock:
            self._wanted = None
            self._interrupt()

    def _interrupt(self) -> None:
        if self._library is not None:
            self._library.interrupt()

    def _answer(self) -> None:
        """In the thread: the last question, if it has not been begun. Interrupted though it is the last, it is asked again."""
        asked = self._wanted
        if asked is None or asked is self._begun:
            return
        self._begun = asked
        while self._still(asked):
            try:
                asked.question(self._opened(), lambda answer: self._say(asked, answer))
            except errors.Interrupted:
                continue
            except Exception as trouble:  # noqa: BLE001  whoever looks is told, whatever it was
                self._shut()
                self._hand_over(functools.partial(self._give, asked, asked.sorry, trouble, last=True))
            else:
                self._hand_over(lambda: self._over(asked))
            return

    def _opened(self) -> library.Library:
        if self._library is None:
            opened = self._open()
            with self._lock:
                self._library = opened
        self._library.check_place()
        return self._library

    def _shut(self) -> None:
        """What went wrong may have been its connection."""
        with self._lock:
            old, self._library = self._library, None
        if old is not None:
            with contextlib.suppress(errors.ProductionError):
                old.close()

    def _still(self, asked: _Asked[Answer]) -> bool:
        return self._wanted is asked

    def _say(self, asked: _Asked[Answer], answer: Answer) -> None:
        """Raises: Interrupted, if nobody wants to know any more."""
        if not self._still(asked) or self._crew.dismissed:
            raise errors.Interrupted("nobody wants to know any more")
        self._hand_over(lambda: self._give(asked, asked.then, answer))

    def _give(self, asked: _Asked[Answer], to: Callable[[Answer], None], answer: Answer, *, last: bool = False) -> None:
        """On the loop; what came too late is dropped."""
        if self._still(asked):
            if last:
                self._wanted = None
            to(answer)

    def _over(self, asked: _Asked[Answer]) -> None:
        if self._still(asked):
            self._wanted = None

    def close(self) -> None:
        self.forget()
        if self._crew.dismiss(PATIENCE):
            self._shut()
