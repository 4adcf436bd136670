"""The real clock's bell: rung once for many, and never in vain."""

from __future__ import annotations

import threading

from production import clock

LONG = 30.0
"""Seconds after which a test has failed; nothing here takes them."""


def test_rung_before_the_wait_ends_it_once() -> None:
    ticking = clock.SystemClock()
    for _ in range(3):
        ticking.wake()
    before = ticking.boottime()
    ticking.wait(LONG)
    assert ticking.boottime() - before < LONG / 2
    before = ticking.boottime()
    ticking.wait(0.05)
    assert ticking.boottime() - before >= 0.04  # three rings were one
    ticking.close()


def test_no_ring_is_lost() -> None:
    """Each of many threads' news is seen at the latest by the wait that its ring ends."""
    ticking, news, seen = clock.SystemClock(), list[int](), 0

    def ring() -> None:
        for number in range(200):
            news.append(number)
            ticking.wake()

    threads = [threading.Thread(target=ring) for _ in range(4)]
    for thread in threads:
        thread.start()
    while seen < 800:
        before = ticking.boottime()
        ticking.wait(LONG)
        assert ticking.boottime() - before < LONG / 2
        seen = len(news)
    for thread in threads:
        thread.join(LONG)
    ticking.close()
