"""Sentences on a screen: folded, scrolled, searched; at any width."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from production.monitor.dashboard import line as lines
from production.monitor.dashboard import scroll

TEXTS = st.lists(st.text(st.sampled_from("ab 日\u0301-/"), max_size=60), max_size=30)


def of(*texts: str, choosing: bool = False, columns: int = 40, rows: int = 4) -> scroll.Scroll:
    made = scroll.Scroll(choosing=choosing)
    made.fit(columns, rows)
    made.put([scroll.Entry(text, target=text) for text in texts])
    return made


def shown(one: scroll.Scroll) -> list[str]:
    return [lines.text(line).rstrip() for line in one.shown()]


def letters(number: int, **how: bool) -> scroll.Scroll:
    return of(*(chr(ord("a") + place) for place in range(number)), **how)


def test_the_text_moves_and_stays_on_the_screen() -> None:
    text = letters(9)
    assert (shown(text), text.place()) == (["a", "b", "c", "d"], "lines 1-4 of 9")
    text.move(2)
    assert (shown(text), text.place()) == (["c", "d", "e", "f"], "lines 3-6 of 9")
    text.page(1)
    assert (shown(text), text.place()) == (["f", "g", "h", "i"], "lines 6-9 of 9")
    text.page(-1)
    assert shown(text) == ["c", "d", "e", "f"]
    text.move(-100)
    assert shown(text)[0] == "a"
    assert letters(4).place() == "", "all of it is there"


def test_a_cursor_takes_the_text_along() -> None:
    text = letters(9, choosing=True)
    text.move(5)
    assert shown(text) == ["c", "d", "e", "f"]
    assert text.target == "f"
    assert text.point(1)
    assert text.target == "d"
    assert not text.point(9)
    text.page(-1)
    assert text.target == "a"


def test_of_a_line_without_a_target_the_one_above_is_meant() -> None:
    text = scroll.Scroll(choosing=True)
    text.fit(40, 10)
    text.put(
        [
            scroll.Entry("heading"),
            scroll.Entry("one", target=1),
            scroll.Entry("more of it"),
            scroll.Entry("two", target=2),
        ]
    )
    found = []
    for _ in range(4):
        found.append(text.target)
        text.move(1)
    assert found == [1, 1, 1, 2]
    text.put([])
    assert text.target is None


def test_a_cursor_may_leap_from_one_thing_to_the_next() -> None:
    text = scroll.Scroll(choosing=True, leaping=True)
    text.fit(40, 4)
    rest = [scroll.Entry("more")] * 2
    text.put(
        [
            scroll.Entry("heading"),
            *(entry for name in "abc" for entry in (scroll.Entry(name, target=name), *rest)),
        ]
    )
    assert (text.target, shown(text)[0]) == ("a", "heading")
    text.move(1)
    assert text.target == "b"
    assert "".join(shown(text)).startswith("moreb"), "all that belongs to it is on the screen"
    text.move(5)
    assert text.target == "c"
    text.page(-1)
    assert text.target in ("a", "b")


def test_who_reads_the_end_goes_on_reading_it() -> None:
    text = letters(6, choosing=True)
    text.move(9)
    text.put([scroll.Entry(one) for one in "abcdefgh"], at_end=True)
    assert shown(text) == ["e", "f", "g", "h"]
    text.move(-1)
    text.put([scroll.Entry(one) for one in "abcdefghij"], at_end=True)
    assert shown(text) == ["e", "f", "g", "h"]


def test_searching() -> None:
    text = of("Alpha", "beta", "x", "y", "alpha beta", "z", columns=20, rows=3)
    assert text.search("alpha", 1, again=False)
    assert shown(text)[0] == "Alpha", "from here on"
    assert text.search("alpha", 1, again=True)
    assert "alpha beta" in shown(text)
    assert text.search("alpha", 1, again=True), "round the end"
    assert shown(text)[0] == "Alpha"
    assert text.search("alpha", -1, again=True)
    assert "alpha beta" in shown(text)
    assert not text.search("gamma", 1, again=True)
    assert not text.search("Beta", 1, again=False), "a capital is meant"
    assert ("found", "beta") not in [part for line in text.shown() for part in line]
    assert text.search("beta", 1, again=False)
    assert ("found", "beta") in [part for line in text.shown() for part in line]


@given(
    texts=TEXTS,
    choosing=st.booleans(),
    sizes=st.lists(st.tuples(st.integers(1, 90), st.integers(1, 20)), min_size=1, max_size=5),
    moves=st.lists(st.integers(-40, 40), max_size=5),
)
def test_any_text_on_any_screen(
    texts: list[str], choosing: bool, sizes: list[tuple[int, int]], moves: list[int]
) -> None:
    text = of(*texts, choosing=choosing)
    for columns, rows in sizes:
        text.fit(columns, rows)
        for number in moves:
            before = text.place()
            text.move(number)
            text.search("a", 1 if number > 0 else -1, again=True)
            text.page(1 if number > 0 else -1)
            assert bool(before) == bool(text.place())
            there = text.shown()
            assert len(there) <= rows
            if columns > 1:  # a wide character has no room in less
                assert all(lines.width(line) <= columns for line in there)
            if choosing and there:
                assert sum(any(role == "cursor" for role, _ in line) for line in there) == 1


@given(texts=TEXTS, wide=st.integers(4, 90))
def test_nothing_of_a_text_is_lost(texts: list[str], wide: int) -> None:
    """What doesn't fit, however long a word, goes on in the next line."""
    text = of(*texts, columns=wide, rows=10_000)
    said, there = ("".join("".join(some).split()) for some in (texts, shown(text)))
    assert said == there
