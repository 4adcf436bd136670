"""Seats: given one by one, first to those that had one before, and none forgotten."""

from __future__ import annotations

import threading
from collections.abc import Callable

from production.transfer import seats

LONG = 30.0
"""Seconds after which a test has failed; nothing here takes them."""


class Queue:
    """Threads that want a seat, and the order in which they had one."""

    def __init__(self, width: int) -> None:
        self.lock = threading.Lock()
        self.seats = seats.Seats(width, self.lock)
        self.had: list[str] = []
        self.unwanted: set[str] = set()
        self.threads: list[threading.Thread] = []

    def join(self, name: str, take: Callable[[Callable[[], object]], bool]) -> None:
        """Returns once the thread waits, or has its seat."""
        asked = threading.Event()

        def wanted() -> bool:
            asked.set()  # under the lock, which is let go only by who waits
            return name not in self.unwanted

        def sit() -> None:
            with self.lock:
                if take(wanted):
                    self.had.append(name)

        self.threads.append(threading.Thread(target=sit, daemon=True))
        self.threads[-1].start()
        assert asked.wait(LONG)
        with self.lock:
            pass

    def give(self) -> None:
        with self.lock:
            self.seats.give()

    def end(self) -> None:
        for thread in self.threads:
            thread.join(LONG)
            assert not thread.is_alive()


def test_who_was_put_off_goes_first() -> None:
    queue = Queue(1)
    queue.join("a", queue.seats.take)
    queue.join("new", queue.seats.take)
    queue.join("put off", queue.seats.take_again)
    queue.give()
    queue.threads[2].join(LONG)
    assert queue.had == ["a", "put off"]
    queue.give()
    queue.end()
    assert queue.had == ["a", "put off", "new"]


def test_who_goes_leaves_the_seat_to_the_next() -> None:
    queue = Queue(1)
    for name in "abc":
        queue.join(name, queue.seats.take)
    queue.unwanted.add("b")
    queue.give()  # wakes b, who doesn't want it any more
    queue.end()
    assert queue.had == ["a", "c"]


def test_all_who_are_unwanted_go() -> None:
    queue = Queue(1)
    for name in "abcd":
        queue.join(name, queue.seats.take)
    queue.unwanted.update("bcd")
    with queue.lock:
        queue.seats.notify()
    queue.end()
    assert queue.had == ["a"]


def test_a_seat_that_was_shut_is_there_again_when_all_are_reopened() -> None:
    queue = Queue(2)
    queue.join("a", queue.seats.take)
    queue.join("b", queue.seats.take)
    with queue.lock:
        queue.seats.shut()  # b's
    queue.join("c", queue.seats.take)
    assert queue.had == ["a", "b"]
    with queue.lock:
        queue.seats.reopen()
    queue.end()
    assert queue.had == ["a", "b", "c"]
