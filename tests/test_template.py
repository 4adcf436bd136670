"""Templates: what they may say, and that nothing else gets through."""

from __future__ import annotations

import hypothesis
import pytest
from hypothesis import strategies

from production import errors
from production.settings import template

FIELDS = {"run": 2091, "version": 4, "tree": "/data/a b/tree.root"}


@pytest.mark.parametrize(
    ("pattern", "expanded"),
    [
        ("", ""),
        ("raw/run{run:05d}.mid", "raw/run02091.mid"),
        ("{run}{version}", "20914"),
        ("{run:}", "2091"),
        ("{run:7}|{run:x}", "   2091|82b"),
        ("{tree}", "/data/a b/tree.root"),
        ("{{run}} 100 % {run}", "{run} 100 % 2091"),
        ("µ {run}", "µ 2091"),
    ],
)
def test_expand(pattern: str, expanded: str) -> None:
    assert template.expand(pattern, FIELDS) == expanded


@pytest.mark.parametrize(
    ("pattern", "problem"),
    [
        ("{rnu}", "{rnu}: no such field; the fields are {run} {tree} {version}"),
        ("{}", "{}: no such field; the fields are {run} {tree} {version}"),
        ("{0}", "{0}: no such field; the fields are {run} {tree} {version}"),
        ("{run.real}", "{run.real}: no such field; the fields are {run} {tree} {version}"),
        ("{tree[0]}", "{tree[0]}: no such field; the fields are {run} {tree} {version}"),
        ("{run!r}", "{run!r}: cannot be converted; write {run}"),
        ("{run:zz}", "{run:zz}: cannot be formatted; write e.g. {run:05d}"),
        ("{run:{version}}", "{run:{version}}: cannot be formatted; write e.g. {run:05d}"),
        ("{run:0999999999d}", "{run:0999999999d}: cannot be formatted; write e.g. {run:05d}"),
        ("{run:n}", "{run:n}: cannot be formatted; write e.g. {run:05d}"),
        ("{tree:5}", "{tree:5}: cannot be formatted; write e.g. {tree}"),
        ("{run", "a brace without its partner; a brace itself is written {{ or }}"),
        ("run}", "a brace without its partner; a brace itself is written {{ or }}"),
    ],
)
def test_what_cannot_be_expanded(pattern: str, problem: str) -> None:
    with pytest.raises(errors.UsageError) as caught:
        template.expand(pattern, FIELDS)
    assert str(caught.value) == problem


@hypothesis.given(strategies.text(alphabet="{}run:05d!.[]x 'é", max_size=30))
def test_whatever_is_written_there_is_an_answer_or_one_clear_error(pattern: str) -> None:
    try:
        expanded = template.expand(pattern, FIELDS)
    except errors.UsageError as error:
        assert "\n" not in str(error)
    else:
        # The whole alphabet stands for fields; what can be expanded is what str.format makes of it.
        assert expanded == pattern.format(**FIELDS)


@hypothesis.given(strategies.text())
def test_braces_can_be_escaped(text: str) -> None:
    assert template.expand(text.replace("{", "{{").replace("}", "}}"), {}) == text


def test_files_of_a_template_are_found() -> None:
    assert template.pattern("raw [1]/run{run:05d}_{program}.mid") == "raw [[]1]/run[0-9]*_*.mid"
    assert template.pattern("") == ""
    assert template.pattern("v{version:03d}/{run}[x]", {"version": 4}) == "v004/[0-9]*[[]x]"


def test_the_fields_of_a_template() -> None:
    assert template.fields("{run:05d}-{{version}}-{tree}") == {"run", "tree"}
