"""docs/commands/: a page a command; what it shows is what the command says, now."""

from __future__ import annotations

import re
import sys

import pytest

from docs import pages
from production.cli import production
from tests.acceptance.campaign import ROOT


@pytest.fixture(scope="module")
def made() -> dict[str, str]:
    return pages.pages()


def masked(text: str) -> list[str]:
    """Without numbers, times, and what is otherwise on each machine."""
    text = re.sub(r"\b[0-9a-f]{8}(?:(?:-[0-9a-f]{4}){3}-[0-9a-f]{12})?\b", "#", text)
    text = re.sub(r"\b(?:today|yesterday|\d{4}-\d\d-\d\d|\d\d:\d\d(?::\d\d)?|[+-]\d{4}|CES?T)\b", "#", text)
    text = re.sub(r"\d[\d,.]*\s*(?:s|ms|min|h|d|[KMGT]iB|bytes?|kB|MB)\b", "#", text)
    text = re.sub(r"\d[\d,.:]*", "#", text)
    lines = (re.sub(r"[ #+:-]+", " ", line).strip() for line in text.splitlines())
    return [line for line in lines if line]


def test_every_command_has_its_page() -> None:
    names = {name for name, _, _ in pages.commands(production.parser())}
    assert names == set(pages.EXAMPLES)
    there = {path.name for path in (ROOT / "docs" / "commands").glob("*.md")}
    assert there == {f"{name.replace(' ', '-')}.md" for name in names} | {"README.md"}


ELSEWHERE = {"doctor.md"}
"""What it shows is of the machine it was made on."""


@pytest.mark.parametrize("file", sorted({f"{name.replace(' ', '-')}.md" for name in pages.EXAMPLES} | {"README.md"}))
def test_a_page_shows_what_is_so(file: str, made: dict[str, str]) -> None:
    """If it doesn't: make docs."""
    there = (ROOT / "docs" / "commands" / file).read_text(encoding="utf-8")
    usage, _, example = there.partition("For example:")
    usage_now, _, example_now = made[file].partition("For example:")
    if sys.version_info < (3, 13):  # whose argparse says short options otherwise
        assert usage == usage_now
    assert set(re.findall(r"--[\w-]+", usage)) == set(re.findall(r"--[\w-]+", usage_now))
    if file not in ELSEWHERE:
        assert masked(example) == masked(example_now)
    assert "Traceback" not in example
    assert "unexpected" not in example
