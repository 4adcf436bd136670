"""Colours, as data: what a role looks like on a dark terminal, on a light one, and on one without colours.

A state is never told by its colour alone: its word stands beside it, and bars have a sign for each.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import TypeAlias

Look: TypeAlias = tuple[str, str, str]
"""(colour of the text, of the ground: of the sixteen that every terminal has; without colours)."""

DARK: dict[str, Look] = {
    "title": ("white,bold", "default", "bold"),
    "name": ("light cyan", "default", "bold"),
    "dim": ("light gray", "default", "default"),
    "heading": ("light cyan,underline", "default", "underline"),
    "waiting": ("light gray", "default", "default"),
    "new": ("default", "default", "default"),
    "going": ("light blue", "default", "default"),
    "good": ("light green", "default", "default"),
    "bad": ("light red,bold", "default", "bold"),
    "held": ("yellow", "default", "bold"),
    "mark": ("yellow,bold", "default", "bold"),
    "cursor": ("black", "light cyan", "standout"),
    "cursor marked": ("black", "yellow", "standout,bold"),
    "found": ("black", "yellow", "standout"),
    "key": ("black", "light gray", "standout"),
    "error": ("white,bold", "dark red", "standout"),
    "told": ("black", "light green", "standout"),
    "prompt": ("default,bold", "default", "bold"),
}
LIGHT: dict[str, Look] = DARK | {
    "dim": ("dark gray", "default", "default"),
    "title": ("black,bold", "default", "bold"),
    "name": ("dark blue,bold", "default", "bold"),
    "heading": ("dark blue,underline", "default", "underline"),
    "waiting": ("dark gray", "default", "default"),
    "going": ("dark blue", "default", "default"),
    "good": ("dark green", "default", "default"),
    "bad": ("dark red,bold", "default", "bold"),
    "held": ("brown,bold", "default", "bold"),
    "mark": ("brown,bold", "default", "bold"),
    "cursor": ("white", "dark blue", "standout"),
    "cursor marked": ("black", "yellow", "standout,bold"),
    "key": ("white", "dark gray", "standout"),
}
PLAIN: dict[str, Look] = {
    role: ("default" if mono == "default" else f"default,{mono}", "default", mono)
    for role, (_, _, mono) in DARK.items()
}
"""No colours at all: https://no-color.org."""

PALETTES = {"dark": DARK, "light": LIGHT, "plain": PLAIN}
ROLES = frozenset(DARK)

STATES = {
    "waiting": "waiting", "new": "new", "claimed": "going", "staged": "going", "submitting": "going",
    "submitted": "going", "ended": "going", "finished": "good", "failed": "bad", "held": "held",
}  # fmt: skip
"""{state: its role}."""


def suited(environment: Mapping[str, str] = os.environ) -> str:
    """The palette that suits a terminal that says what it says."""
    if environment.get("NO_COLOR"):
        return "plain"
    ground = environment.get("COLORFGBG", "").rpartition(";")[2]  # rxvt, Konsole and others tell it so
    return "light" if ground in ("7", "15") else "dark"
