"""A log of any length and content, read from any place in it."""

from __future__ import annotations

import os
import pathlib
import re
import sys
from collections.abc import Callable, Iterator

import hypothesis
import pytest
from hypothesis import strategies

from production import disk
from production.monitor import logs

LONGEST = logs.LONGEST
SLACK = 4
"""Bytes of a character that a cut waits for, or of a line's end."""
Need = Callable[[str, bool], bool]


@pytest.fixture
def log(tmp_path: pathlib.Path) -> pathlib.Path:
    return tmp_path / "sim.run00007.out"


def always(_: int) -> bool:
    return True


def texts(page: logs.Page) -> list[str]:
    return [line.text for line in page.lines]


def shown(log: pathlib.Path, raw: bytes) -> list[str]:
    log.write_bytes(raw)
    return texts(logs.after(str(log), 0, 1000))


# ── what a line looks like ──


@pytest.mark.parametrize(
    ("raw", "expected"),
    [
        (b"", []),
        (b"\n", [""]),
        (b"one", ["one"]),
        (b"one\n", ["one"]),
        (b"one\n\ntwo", ["one", "", "two"]),
        (b"one\r\ntwo\r\r\n", ["one", "two"]),
        (b"a\tb\n", ["a       b"]),
        (b"\x1b[31mred\x1b[0m\n", ["\\x1b[31mred\\x1b[0m"]),
        (b"\x1b]0;title\x07\n", ["\\x1b]0;title\\x07"]),
        (b"\x00\x07\x08\x0b\x0c\x7f\n", ["\\x00\\x07\\x08\\x0b\\x0c\\x7f"]),
        (b"\xff\xfe \xe2\x82\n", ["\\xff\\xfe \\xe2\\x82"]),
        (b"\xc2\x9b31m \xc2\x85\n", ["\\x9b31m \\x85"]),
        ("\u2028 \u202eevil \ufeff\n".encode(), ["\\u2028 \\u202eevil \\ufeff"]),
        ("Größe 事件 e\u0301 😀\n".encode(), ["Größe 事件 e\u0301 😀"]),
    ],
)
def test_a_line_is_harmless(log: pathlib.Path, raw: bytes, expected: list[str]) -> None:
    assert shown(log, raw) == expected


@pytest.mark.parametrize(
    ("raw", "expected", "redrawn"),
    [
        (b"10%\r20%\r100%\n", "100%", True),
        (b"10%\r20%\r", "20%", True),
        (b"\r10%", "10%", True),
        (b"loading\r       \r\n", "loading", True),
        (b"   \r  \r\n", "", True),
        (b"   \r\n", "   ", False),
        (b"done\r\n", "done", False),
        (b"done\r\r\n", "done", False),
    ],
)
def test_of_a_progress_bar_its_last_state_is_shown(log: pathlib.Path, raw: bytes, expected: str, redrawn: bool) -> None:
    log.write_bytes(raw)
    assert logs.last(str(log), 9).lines == (logs.Line(0, len(raw), expected, redrawn),)


@hypothesis.given(strategies.text())
def test_harmless_text_steers_nothing(text: str) -> None:
    assert logs.harmless(text).replace("\t", "").isprintable()


# ── long lines ──


def test_a_line_up_to_so_many_bytes_is_whole(log: pathlib.Path) -> None:
    for size in (LONGEST - 1, LONGEST):
        for begin in range(0, 2 * LONGEST, 61):
            log.write_bytes(b"\n" * begin + b"x" * size + b"\nnext\n")
            page = logs.after(str(log), begin, 2)
            assert [(line.begin, len(line.text)) for line in page.lines] == [(begin, size), (begin + size + 1, 4)]


@pytest.mark.parametrize("sign", ["x", "é", "事", "😀"])
def test_a_longer_one_is_cut_between_two_characters(log: pathlib.Path, sign: str) -> None:
    for more in range(5):
        line = "x" * more + sign * LONGEST * 5
        page = shown(log, line.encode() + b"\n")
        assert "".join(page) == line
        assert len(page) > 4


def test_a_cut_leaves_no_empty_line(log: pathlib.Path) -> None:
    """Where the line would have been cut, it ends."""
    for end in (b"\n", b"\r\n"):
        assert shown(log, b"x" * LONGEST + end + b"y") == ["x" * LONGEST, "y"]
        assert shown(log, b"x" * (LONGEST - 1) + end + b"y") == ["x" * (LONGEST - 1), "y"]


def test_a_line_that_ends_just_where_it_would_be_cut_is_found_from_its_end(log: pathlib.Path) -> None:
    log.write_bytes(b"\n" + b"x" * (2 * LONGEST - 1) + b"\nnext")
    assert logs.near(str(log), 2 * LONGEST) == 1
    assert logs.near(str(log), 2 * LONGEST + 1) == 2 * LONGEST + 1


# ── from wherever one comes ──


@pytest.mark.parametrize("width", [1, 70, 3000, 9000])
def test_lines_come_once_each_however_many_blocks_they_are_in(log: pathlib.Path, width: int) -> None:
    lines = [f"{number:0{width}}" for number in range(5 * logs.BLOCK // width // 4)]
    log.write_text("\n".join(lines))
    pages = [logs.after(str(log), 0, 1_000_000), logs.last(str(log), 1_000_000)]
    for page in pages:
        assert "".join(texts(page)) == "".join(lines)
        assert len(page.lines) == len(lines) or width > LONGEST
    middle = len(pages[0].lines) // 2
    place = pages[0].lines[middle].begin
    assert logs.after(str(log), place, 7).lines == pages[0].lines[middle : middle + 7]
    assert logs.before(str(log), place, 7).lines == pages[0].lines[middle - 7 : middle]


PARTS = strategies.one_of(
    strategies.binary(max_size=40),
    strategies.sampled_from(
        [b"\n", b"\r\n", b"\r", b"x\r", b"\n\n\n", b"\x80", b"\xe4\xba\x8b", b"\xf0\x9f\x98\x80", b"\x1b[2J"]
    ),
)
TIMES = strategies.one_of(
    strategies.integers(1, 3),
    strategies.builds(
        lambda cells, more: max(1, cells * LONGEST + more), strategies.integers(1, 4), strategies.integers(-3, 3)
    ),
)


def repeated(parts: list[tuple[bytes, int]]) -> bytes:
    """Pieces of lines that are longer, shorter and just as long as one may be; a few cells of each at most."""
    return b"".join((part * times)[: 5 * LONGEST] for part, times in parts)


RAW = strategies.builds(repeated, strategies.lists(strategies.tuples(PARTS, TIMES), max_size=7))


def downward(path: str, number: int) -> Iterator[logs.Line]:
    at = 0
    while lines := logs.after(path, at, number).lines:
        yield from lines
        assert lines[-1].end > at
        at = lines[-1].end


def upward(path: str, number: int) -> Iterator[logs.Line]:
    at = os.path.getsize(path)
    while lines := logs.before(path, at, number).lines:
        yield from reversed(lines)
        assert lines[0].begin < at
        at = lines[0].begin


@hypothesis.given(RAW, strategies.integers(1, 50), strategies.data())
@hypothesis.settings(deadline=None, max_examples=50)
def test_up_and_down_are_the_same_lines(
    tmp_path_factory: pytest.TempPathFactory, raw: bytes, number: int, data: strategies.DataObject
) -> None:
    log = tmp_path_factory.mktemp("logs") / "log"
    log.write_bytes(raw)
    path = str(log)
    lines = list(downward(path, number + raw.count(b"\n") // 5))
    assert list(upward(path, number + raw.count(b"\n") // 4))[::-1] == lines
    assert [0, *(line.end for line in lines)] == [*(line.begin for line in lines), len(raw)]
    assert all(line.end - line.begin <= 2 * LONGEST + SLACK for line in lines)
    assert all(line.text.isprintable() for line in lines)
    assert logs.last(path, number).lines == tuple(lines[-number:])
    assert {match.end() for match in re.finditer(rb"\n(?!\Z)", raw)} <= {line.begin for line in lines}
    if lines:
        place = data.draw(strategies.integers(0, len(raw) - 1))
        [at] = [index for index, line in enumerate(lines) if line.begin <= place < line.end]
        assert logs.near(path, place) == lines[at].begin
        assert logs.after(path, place, number).lines == tuple(lines[at : at + number])
        assert logs.before(path, place, number).lines == tuple(lines[max(0, at - number) : at])


@hypothesis.given(RAW, strategies.data())
@hypothesis.settings(deadline=None)
def test_what_is_added_later_leaves_the_lines_before_as_they_are(
    tmp_path_factory: pytest.TempPathFactory, raw: bytes, data: strategies.DataObject
) -> None:
    log = tmp_path_factory.mktemp("logs") / "log"
    log.write_bytes(raw[: data.draw(strategies.integers(0, len(raw)))])
    some = logs.last(str(log), sys.maxsize).lines
    log.write_bytes(raw)
    assert logs.after(str(log), 0, len(some)).lines[:-1] == some[:-1]


@hypothesis.given(strategies.text(max_size=50), strategies.integers(1, 2000))
@hypothesis.settings(deadline=None)
def test_no_character_is_cut(tmp_path_factory: pytest.TempPathFactory, text: str, times: int) -> None:
    log = tmp_path_factory.mktemp("logs") / "log"
    raw = text.encode() * times
    log.write_bytes(raw)
    for line in logs.last(str(log), 1000).lines:
        raw[line.begin : line.end].decode()


@pytest.mark.parametrize("offset", [-5, 0, 3, 11, 12, 99, sys.maxsize])
def test_any_place_may_be_asked_for(log: pathlib.Path, offset: int) -> None:
    log.write_bytes(b"first\nsecond")
    begin = 0 if offset < 6 else 6
    assert logs.near(str(log), offset) == begin
    assert texts(logs.after(str(log), offset, 5)) == (
        [] if offset >= 12 else ["first", "second"] if not begin else ["second"]
    )
    assert texts(logs.before(str(log), offset, 5)) == (
        [] if not begin else ["first"] if offset < 12 else ["first", "second"]
    )


def test_no_lines_may_be_asked_for(log: pathlib.Path) -> None:
    log.write_bytes(b"first\nsecond")
    for page in (logs.after(str(log), 3, 0), logs.before(str(log), 9, 0), logs.last(str(log), 0)):
        assert (page.lines, page.size, page.identity) == ((), 12, (log.stat().st_dev, log.stat().st_ino))


# ── looking for a text ──


@pytest.mark.parametrize(
    ("text", "down", "up"),
    [
        ("error", "last error", " ERROR!"),
        ("Error", " Error", " Error"),
        ("ERROR", " ERROR!", " ERROR!"),
        ("[3]", "[3]", "[3]"),
        ("größe", "die Größe", "GRÖSSE GRÖßE    ÜBEL"),
        ("Größe", "die Größe", "die Größe"),
        ("größe\tübel", "GRÖSSE GRÖßE    ÜBEL", "GRÖSSE GRÖßE    ÜBEL"),
        ("ö", "die Größe", "GRÖSSE GRÖßE    ÜBEL"),
        ("7%", "9%", "9%"),
        ("事件", "事件", "事件"),
        (".*", None, None),
        ("end begin", None, None),
        ("", None, None),
        ("\udcff", None, None),
    ],
)
def test_a_text_is_found(log: pathlib.Path, text: str, down: str | None, up: str | None) -> None:
    log.write_text(
        "begin\nlast error\n Error\n ERROR!\n[3]\ndie Größe\nGRÖSSE GRÖßE\tÜBEL\n7%\r8%\r9%\n事件\nend\n", "utf-8"
    )
    for way, expected, offset in ((True, down, 0), (False, up, sys.maxsize)):
        found = logs.search(str(log), text, offset, down=way, going_on=always)
        assert (found if found is None else texts(logs.after(str(log), found, 1))) == (expected and [expected])


def test_one_after_the_other_is_found(log: pathlib.Path) -> None:
    """As a viewer asks: down from the end of a line, up from its begin."""
    log.write_bytes(b"error error\n\nerror\nno\n" + b"no" * LONGEST + b"error\n" + b"error")
    begins = [line.begin for line in logs.after(str(log), 0, 99).lines if "error" in line.text]
    assert len(begins) == 4
    for down in (True, False):
        found, at = [], 0 if down else sys.maxsize
        while (begin := logs.search(str(log), "error", at, down=down, going_on=always)) is not None:
            found.append(begin)
            at = logs.after(str(log), begin, 1).lines[0].end if down else begin
        assert found == (begins if down else begins[::-1])


def test_going_up_the_last_of_two_that_overlap_counts(log: pathlib.Path) -> None:
    log.write_bytes(b"x" * (LONGEST - 2) + b"ababab\n")
    assert logs.search(str(log), "abab", sys.maxsize, down=False, going_on=always) == LONGEST
    assert logs.search(str(log), "abab", LONGEST, down=False, going_on=always) == 0


@pytest.mark.parametrize("text", ["needle", "Needle", "nädel", "üö"])
def test_a_text_across_two_blocks_is_found(log: pathlib.Path, text: str) -> None:
    raw = text.encode()
    for before in range(len(raw) + 2):
        place = disk.BLOCK - before
        log.write_bytes(b"\n" + raw + b"\n")
        os.truncate(log, place)
        with log.open("ab") as file:
            file.write(raw)
        os.truncate(log, place + disk.BLOCK)
        begin = logs.near(str(log), place)
        assert logs.search(str(log), text, 2, down=True, going_on=always) == begin
        for offset in (place + 1, log.stat().st_size):
            assert logs.search(str(log), text, offset, down=False, going_on=always) == begin
        assert logs.search(str(log), text, place, down=False, going_on=always) == 1
        assert logs.search(str(log), text, place + 1, down=True, going_on=always) is None


@hypothesis.given(
    strategies.lists(strategies.sampled_from("a A b ä Ä ß é É \n \r\n aab aä".split(" ")), max_size=40),
    strategies.text("aAbäÄéÉ", min_size=1, max_size=4),
    strategies.integers(-1, 100),
    strategies.booleans(),
)
def test_a_slow_search_finds_the_same(
    tmp_path_factory: pytest.TempPathFactory, parts: list[str], text: str, offset: int, down: bool
) -> None:
    log = tmp_path_factory.mktemp("logs") / "log"
    raw = "".join(parts)
    log.write_bytes(raw.encode())
    within = raw.lower() if text == text.lower() else raw
    places = [len(raw[:at].encode()) for at in range(len(raw)) if within.startswith(text, at)]
    places = [place for place in places if (place >= offset if down else place < offset)]
    expected = logs.near(str(log), (min if down else max)(places)) if places else None
    assert logs.search(str(log), text, offset, down=down, going_on=always) == expected


@pytest.mark.parametrize("down", [True, False])
def test_a_search_is_ended_between_two_blocks(log: pathlib.Path, down: bool) -> None:
    log.touch()
    os.truncate(log, 10 * disk.BLOCK)
    asked: list[int] = []

    def thrice(looked_at: int) -> bool:
        asked.append(looked_at)
        return len(asked) < 4

    assert logs.search(str(log), "x", 0 if down else sys.maxsize, down=down, going_on=thrice) is None
    assert asked == [0, disk.BLOCK, 2 * disk.BLOCK, 3 * disk.BLOCK]


# ── long files ──

HUGE = 3 << 30


@pytest.fixture
def bytes_read(need: Need) -> Callable[[], int]:
    """What this process has read so far, as the kernel counts it."""
    io = pathlib.Path("/proc/self/io")
    need("/proc/self/io, where Linux counts what a process reads", io.is_file() and os.access(io, os.R_OK))
    return lambda: int(io.read_text().split()[1])


@pytest.mark.parametrize("feed", [b"\n", b""], ids=["lines", "one line"])
def test_of_a_huge_log_little_is_read(log: pathlib.Path, bytes_read: Callable[[], int], feed: bytes) -> None:
    """Holes need no disk; their NULs are one line of three gigabytes."""
    log.write_bytes(b"first" + feed)
    os.truncate(log, HUGE)
    with log.open("ab") as file:
        file.write(feed + b"nearly\nlast")
    path, size = str(log), log.stat().st_size
    for ask in (
        lambda: logs.after(path, 0, 50),
        lambda: logs.after(path, HUGE // 2 + 17, 50),
        lambda: logs.before(path, HUGE // 2 + 17, 50),
        lambda: logs.last(path, 50),
        lambda: logs.near(path, HUGE // 3),
        lambda: logs.search(path, "nearly", HUGE - disk.BLOCK // 2, down=True, going_on=always),
        lambda: logs.search(path, "first", 1000, down=False, going_on=always),
    ):
        before = bytes_read()
        found = ask()
        assert bytes_read() - before < (1 << 20)
        assert not isinstance(found, logs.Page) or (len(found.lines), found.size) == (50, size)
    end = logs.last(path, 3).lines
    assert [line.text for line in end[1:]] == ["nearly", "last"]
    assert logs.before(path, end[0].begin, 1).lines[0].end == end[0].begin


# ── files that change ──


def test_a_log_that_grows(log: pathlib.Path) -> None:
    log.write_bytes(b"one\ntw")
    page = logs.last(str(log), 9)
    assert texts(page) == ["one", "tw"]
    assert logs.after(str(log), page.size, 9).lines == ()
    with log.open("ab") as file:
        file.write(b"o\nthree\n")
    grown = logs.after(str(log), page.size, 9)
    assert texts(grown) == ["two", "three"]
    assert grown.lines[0].begin == page.lines[1].begin, "so that a viewer replaces it"
    assert (grown.size, grown.identity) == (14, page.identity)


def test_a_log_that_is_cut_off_or_replaced(log: pathlib.Path) -> None:
    log.write_bytes(b"one\ntwo\n")
    page = logs.last(str(log), 9)
    log.write_bytes(b"cut")
    cut = logs.after(str(log), page.size, 9)
    assert (cut.lines, cut.size, cut.identity) == ((), 3, page.identity)
    other = log.with_name("other")
    other.write_bytes(b"quite another")
    other.rename(log)
    assert texts(logs.last(str(log), 9)) == ["quite another"]
    assert logs.last(str(log), 9).identity != page.identity


def test_a_log_that_is_cut_off_during_a_search(log: pathlib.Path) -> None:
    def cut(_: int) -> bool:
        os.truncate(log, 9)
        return True

    for down in (True, False):
        log.write_bytes(b"x" * 3 * disk.BLOCK + b"text")
        assert logs.search(str(log), "text", 0 if down else sys.maxsize, down=down, going_on=cut) is None


def asked(path: str) -> Iterator[Callable[[], object]]:
    """All that can be asked of a log."""
    yield lambda: logs.after(path, 0, 9)
    yield lambda: logs.before(path, 9, 9)
    yield lambda: logs.last(path, 9)
    yield lambda: logs.near(path, 9)
    yield lambda: logs.search(path, "x", 0, down=True, going_on=always)


def trouble(log: pathlib.Path) -> disk.Trouble:
    for ask in asked(str(log)):
        with pytest.raises(disk.Trouble) as caught:
            ask()
    return caught.value


def test_a_log_that_vanishes_and_comes_back(log: pathlib.Path) -> None:
    assert trouble(log).missing
    log.write_bytes(b"back\n")
    assert texts(logs.last(str(log), 9)) == ["back"]
    log.unlink()
    assert trouble(log).missing


def test_what_is_no_log(log: pathlib.Path) -> None:
    os.mkfifo(log)
    assert "not a regular file but a pipe" in str(trouble(log))
    log.unlink()
    log.mkdir()
    assert "not a regular file but a directory" in str(trouble(log))
    log.rmdir()
    log.symlink_to(log)
    assert "a symbolic link leads nowhere" in str(trouble(log))
    assert "not a regular file but a device" in str(trouble(pathlib.Path("/dev/zero")))


def test_an_empty_log(log: pathlib.Path) -> None:
    log.touch()
    pages = [logs.after(str(log), 0, 9), logs.before(str(log), 7, 9), logs.last(str(log), 9)]
    assert {(page.lines, page.size) for page in pages} == {((), 0)}
    assert logs.near(str(log), 7) == 0
    assert logs.search(str(log), "x", 0, down=True, going_on=always) is None
