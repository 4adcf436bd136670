"""The crew of threads under porter and inspector."""

from __future__ import annotations

import signal
import threading

import pytest

from production import threads

LONG = 30.0


def nothing() -> None: ...


def hands(name: str) -> int:
    """So many threads has the crew of this name; others may be about to end."""
    return sum(thread.name.startswith(f"{name}-") for thread in threading.enumerate())


def test_threads_are_hired_when_there_is_work_and_no_more_than_the_width() -> None:
    crew = threads.Crew("width", 3, nothing)
    gate, entered = threading.Event(), threading.Semaphore(0)

    def wait() -> None:
        entered.release()
        assert gate.wait(LONG)

    for hired in (1, 2, 3, 3, 3):
        crew.give(wait)
        assert hands("width") == hired
    for _ in range(3):
        assert entered.acquire(timeout=LONG)
    assert not entered.acquire(blocking=False)
    gate.set()
    for _ in range(2):
        assert entered.acquire(timeout=LONG)
    assert crew.dismiss(LONG)
    assert hands("width") == 0


def test_an_idle_thread_is_used_again() -> None:
    done = threading.Semaphore(0)

    def wake() -> None:
        done.release()

    crew = threads.Crew("test", 8, wake)
    names = set()
    for _ in range(20):
        crew.give(lambda: names.add(threading.current_thread().name))
        assert done.acquire(timeout=LONG)
    assert names == {"test-0"}
    assert crew.dismiss(LONG)


def test_signals_are_for_the_main_thread() -> None:
    masks: list[set[int]] = []
    done = threading.Event()
    before = signal.pthread_sigmask(signal.SIG_BLOCK, [])
    crew = threads.Crew("test", 1, done.set)
    crew.give(lambda: masks.append(set(signal.pthread_sigmask(signal.SIG_BLOCK, []))))
    assert done.wait(LONG)
    assert {signal.SIGTSTP, signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGCHLD} <= masks[0]
    assert signal.SIGSEGV not in masks[0]
    assert signal.pthread_sigmask(signal.SIG_BLOCK, []) == before
    assert crew.dismiss(LONG)


def test_dismissed_drops_the_queue_and_leaves_who_hangs() -> None:
    woken, ran = threading.Event(), threading.Event()
    entered, gate, ended = threading.Event(), threading.Event(), threading.Event()

    def hang() -> None:
        entered.set()
        assert gate.wait(LONG)
        ended.set()

    crew = threads.Crew("test", 1, woken.set)
    crew.give(hang)
    crew.give(ran.set)
    assert entered.wait(LONG)
    assert not crew.dismiss(0.01)
    assert crew.dismissed
    with pytest.raises(RuntimeError, match="after the end"):
        crew.give(ran.set)
    gate.set()
    assert ended.wait(LONG)
    assert crew.dismiss(LONG)
    assert not ran.is_set()
    assert not woken.is_set()
