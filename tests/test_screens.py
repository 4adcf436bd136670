"""docs/dashboard.md: its keys are those there are, its screens are all there, and tell nothing of where they were made."""

from __future__ import annotations

import getpass
import re
import socket

import pytest

from docs import screens
from production.monitor.dashboard import keys

PAGE = screens.PAGE.read_text(encoding="utf-8")
SHOWN: dict[str, str] = dict(
    re.findall(r"<!-- screen ([\w ]+) -->\n```text\n(.*?)^```$", PAGE, flags=re.DOTALL | re.MULTILINE)
)


@pytest.mark.feature("AC-34")
def test_the_page_has_the_keys_that_there_are() -> None:
    """If it doesn't: python -m docs.screens --keys."""
    assert screens.with_keys(PAGE) == PAGE
    assert PAGE.count("<!-- keys -->") == 1
    _, _, rest = PAGE.partition("<!-- keys -->\n\n")
    rows = rest.partition("\n\n")[0].splitlines()[2:]
    assert len(rows) == len(keys.KEYS)
    for row, key in zip(rows, keys.KEYS, strict=True):
        assert all(f"`{one}`" in row for one in key.told.split())
        assert key.help.split(";")[0].replace(">", "&gt;") in row


def test_the_page_has_every_screen() -> None:
    """If it doesn't: make screens."""
    assert set(SHOWN) == set(screens.SCREENS)
    assert not [name for name, screen in SHOWN.items() if len(screen.splitlines()) < 5]


@pytest.mark.parametrize("name", screens.SCREENS)
def test_a_screen_is_as_large_as_it_says(name: str) -> None:
    columns, rows = screens.WIDE if name.endswith("wide") else screens.SMALL if name == "small" else screens.NORMAL
    lines = SHOWN[name].splitlines()
    assert len(lines) <= rows
    assert max(map(len, lines)) <= columns
    assert not [line for line in lines if line != line.rstrip()]


def test_what_is_replaced_is_as_long_as_it_was() -> None:
    directory = screens.ROOT / "demo-x"
    replaced = screens.Replaced(directory)
    user, host = getpass.getuser(), socket.gethostname()
    text = f"{user}@{host}:31962 at work\n{directory}/data/log  {screens.ROOT}/demo\n2026-01-02 03:04:05  end 03:05  45 % |"
    shown = replaced.all_of(text)
    assert [len(line) for line in shown.splitlines()] == [len(line) for line in text.splitlines()]
    assert not [word for word in (f"{user}@", "31962", str(screens.ROOT), "03:04:05") if word in shown]
    assert replaced.all_of(f"{host}:31962") == shown.split()[0].partition("@")[2], "one process has one number"


def test_empty_rows_are_counted() -> None:
    assert screens.short("a  \n\n\nb\n\n\n\n\nc\n\n") == "a\n\n\nb\n⋮ 4 empty rows\nc"
