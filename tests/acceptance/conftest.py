"""What the acceptance tests find: a campaign of their own."""

from __future__ import annotations

import contextlib
import pathlib
from collections.abc import Callable, Iterator

import pytest

from tests.acceptance import campaign as campaigns


@pytest.fixture
def new_campaign() -> Iterator[Callable[[pathlib.Path], campaigns.Campaign]]:
    """Makes campaigns; afterwards what still runs of them is killed."""
    with contextlib.ExitStack() as stack:

        def make(directory: pathlib.Path) -> campaigns.Campaign:
            made = campaigns.Campaign(directory)
            stack.callback(made.close)
            return made

        yield make


@pytest.fixture
def campaign(new_campaign: Callable[[pathlib.Path], campaigns.Campaign], tmp_path: pathlib.Path) -> campaigns.Campaign:
    """An empty campaign."""
    return new_campaign(tmp_path / "campaign")
