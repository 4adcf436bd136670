"""What the shift reads: one line an event, through logging; a state of affairs is told when it begins and ends."""

from __future__ import annotations

import logging

log = logging.getLogger("production")

_told: dict[str, str] = {}


def once(topic: str, text: str) -> None:
    """Tell a state of affairs, unless it is what was told last under this topic."""
    if _told.get(topic) != text:
        _told[topic] = text
        log.warning(text)


def over(topic: str, text: str = "") -> None:
    """It is over; say so if it had been told."""
    if _told.pop(topic, None) is not None and text:
        log.info(text)
