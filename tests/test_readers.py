"""Threads that ask, and a loop that is told: only what is still wanted arrives, whatever was asked before."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from typing import Any

import pytest

from production import errors
from production.monitor import readers

LONG = 30.0


class Memory:
    """Stands for a database's connection: it is interrupted, and closed."""

    def __init__(self) -> None:
        self.interrupted = threading.Event()
        self.closed = False

    def check_place(self) -> None:
        """It is where it was."""

    def interrupt(self) -> None:
        self.interrupted.set()

    def close(self) -> None:
        self.closed = True


class Loop:
    """Stands for that of the screen."""

    def __init__(self) -> None:
        self.memories: list[Memory] = []
        self.trouble: Exception | None = None
        """Why none can be opened."""
        self.told: list[Any] = []
        self._rung = threading.Semaphore(0)
        self.readers = readers.Readers(self._open, self._rung.release)  # type: ignore[arg-type]  # memories of its own

    def _open(self) -> Memory:
        if self.trouble is not None:
            raise self.trouble
        self.memories.append(Memory())
        return self.memories[-1]

    def ask(self, topic: str, question: Any) -> None:
        self.readers.ask(topic, question, self.told.append, self.told.append)

    def until(self, number: int) -> list[Any]:
        """Until so many answers were handed over."""
        while len(self.told) < number:
            assert self._rung.acquire(timeout=LONG), self.told
            self.readers.deliver()
        return self.told

    def until_idle(self, topic: str) -> None:
        while self.readers.busy(topic):
            assert self._rung.acquire(timeout=LONG)
            self.readers.deliver()


@pytest.fixture
def loop() -> Iterator[Loop]:
    made = Loop()
    yield made
    made.readers.close()


def test_an_answer_arrives_where_it_is_delivered(loop: Loop) -> None:
    loop.ask("a", lambda _memory, say: say(threading.current_thread().name))
    assert loop.readers.busy("a")
    assert loop.until(1) == ["reader-a-0"]
    loop.until_idle("a")
    loop.ask("a", lambda memory, say: say(memory))
    loop.ask("b", lambda memory, say: say(memory))
    _, *memories = loop.until(3)
    assert len({id(one) for one in memories}) == 2, "each has its own connection, and keeps it"
    assert len(loop.memories) == 2


def test_several_answers_to_one_question(loop: Loop) -> None:
    def question(_memory: object, say: Any) -> None:
        for number in range(3):
            say(number)

    loop.ask("a", question)
    assert loop.until(3) == [0, 1, 2]


class Slow:
    """A question that is being answered until somebody interrupts it."""

    def __init__(self) -> None:
        self.begun = threading.Event()
        self.over = threading.Event()

    def __call__(self, memory: Memory, say: Any) -> None:
        self.begun.set()
        assert memory.interrupted.wait(LONG)
        memory.interrupted.clear()
        self.over.set()
        raise errors.Interrupted("as asked")


def test_the_last_question_counts(loop: Loop) -> None:
    """The one that is being answered is interrupted, those between are never asked."""
    slow = Slow()
    loop.ask("a", slow)
    assert slow.begun.wait(LONG)
    for word in ("second", "third"):
        loop.ask("a", lambda _memory, say, word=word: say(word))
    assert loop.until(1) == ["third"]
    loop.until_idle("a")
    loop.ask("a", lambda _memory, say: say("end"))
    assert loop.until(2) == ["third", "end"]


def test_one_that_is_interrupted_for_another_is_asked_again(loop: Loop) -> None:
    """The interruption came too late for the one before, and hit the one behind it."""
    turns = []

    def question(_memory: Memory, say: Any) -> None:
        turns.append(1)
        if len(turns) == 1:
            raise errors.Interrupted("meant for another")
        say("answer")

    loop.ask("a", question)
    assert loop.until(1) == ["answer"]


def test_what_comes_too_late_is_dropped(loop: Loop) -> None:
    said, go_on = threading.Event(), threading.Event()
    late: list[type[Exception]] = []

    def question(_memory: Memory, say: Any) -> None:
        say("early")
        said.set()
        assert go_on.wait(LONG)
        try:
            say("late")
        except errors.Interrupted:
            late.append(errors.Interrupted)
            raise

    loop.ask("a", question)
    assert said.wait(LONG)
    loop.readers.forget("a")
    assert not loop.readers.busy("a")
    go_on.set()
    loop.ask("a", lambda _memory, say: say("new"))
    assert loop.until(1) == ["new"], "neither what was said before it was forgotten nor after"
    assert late == [errors.Interrupted], "who is not wanted any more ends"


def test_what_nobody_can_interrupt_asks_whether_it_is_wanted(loop: Loop) -> None:
    begun, go_on, found = threading.Event(), threading.Event(), []
    wanted = loop.readers.asking("a")

    def question(_memory: Memory, _say: Any) -> None:
        found.append(wanted())
        begun.set()
        assert go_on.wait(LONG)
        found.append(wanted())

    loop.ask("a", question)
    assert begun.wait(LONG)
    loop.readers.forget("a")
    go_on.set()
    loop.ask("a", lambda _memory, say: say("next"))
    loop.until(1)
    assert found == [True, False]


@pytest.mark.parametrize(
    "trouble", [errors.CatalogueBusy("locked"), ZeroDivisionError("nobody thought of it")], ids=repr
)
def test_what_goes_wrong_is_told_and_the_next_is_answered(loop: Loop, trouble: Exception) -> None:
    def question(_memory: Memory, _say: Any) -> None:
        raise trouble

    loop.ask("a", question)
    assert loop.until(1) == [trouble]
    assert not loop.readers.busy("a")
    assert loop.memories[0].closed, "what went wrong may have been its connection"
    loop.ask("a", lambda _memory, say: say("well again"))
    assert loop.until(2)[1] == "well again"
    assert len(loop.memories) == 2


def test_a_memory_that_can_not_be_opened(loop: Loop) -> None:
    loop.trouble = errors.CatalogueError("it is not there")
    loop.ask("a", lambda _memory, say: say("never"))
    assert loop.until(1) == [loop.trouble]
    loop.trouble = None
    loop.ask("a", lambda _memory, say: say("it is back"))
    assert loop.until(2)[1] == "it is back"


def test_closing_interrupts_and_closes(loop: Loop) -> None:
    slow = Slow()
    loop.ask("a", slow)
    assert slow.begun.wait(LONG)
    loop.readers.close()
    assert slow.over.is_set()
    assert loop.memories[0].closed
    loop.readers.deliver()
    assert loop.told == []


def test_closing_does_not_wait_for_one_that_hangs(loop: Loop) -> None:
    """A disk, say: nobody can interrupt that."""
    begun, go_on = threading.Event(), threading.Event()

    def question(_memory: Memory, _say: Any) -> None:
        begun.set()
        assert go_on.wait(LONG)

    loop.ask("a", question)
    assert begun.wait(LONG)
    loop.readers.close()
    assert not loop.memories[0].closed, "the thread still has it"
    go_on.set()
