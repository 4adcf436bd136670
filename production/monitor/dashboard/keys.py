"""All keys, as data: which does what, where, in which words. The footer and the help are made of it."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator

RUNS, RUN, LOG, FAILURES, MANAGERS, MESSAGES, PRODUCTIONS, COLUMNS, HELP, CONFIRM = VIEWS = (
    "runs", "run", "log", "failures", "managers", "messages", "productions", "columns", "help", "confirm",
)  # fmt: skip
LISTS = (RUNS, FAILURES, MANAGERS, MESSAGES, PRODUCTIONS)
"""Those that a number opens."""
SEARCHED = (RUN, LOG, FAILURES, MANAGERS, MESSAGES, PRODUCTIONS, HELP)
CHANGING = (RUNS, RUN, FAILURES)
BROWSING = tuple(view for view in VIEWS if view != CONFIRM)


@dataclasses.dataclass(frozen=True, slots=True)
class Key:
    """What one key does."""

    command: str
    """The method ``do_…`` of a view, or of the app."""
    keys: tuple[str, ...]
    """As urwid names them; any of these."""
    told: str
    """As people call them."""
    word: str
    """For the footer; empty: it isn't there."""
    help: str
    views: tuple[str, ...] = BROWSING
    changes: bool = False
    """It asks for something: not there with --read-only."""


KEYS = (
    # what the footer has first stands first
    Key("confirm", ("y", "Y"), "y", "do it", "do it", (CONFIRM,)),
    Key("reason", ("w",), "w", "say why", "write down why, for the history", (CONFIRM,)),
    Key("back", ("n", "esc", "q"), "n Esc", "leave it", "leave everything as it is", (CONFIRM,)),
    Key("open", ("enter",), "Enter", "open", "the run: history, attempts, files, why it is where it is", (RUNS,)),
    Key("open", ("enter",), "Enter", "its runs", "the runs of the group under the cursor", (FAILURES,)),
    Key("open", ("enter",), "Enter", "its run", "the run of the line under the cursor", (MESSAGES,)),
    Key("open", ("enter",), "Enter", "its runs", "the runs that the manager under the cursor has", (MANAGERS,)),
    Key("open", ("enter",), "Enter", "watch it", "that production instead of this one", (PRODUCTIONS,)),
    Key("open", ("enter",), "Enter", "sort", "sort by this column; once more: the other way round", (COLUMNS,)),
    Key("toggle", (" ",), "Space", "show", "show this column, or don't", (COLUMNS,)),
    Key("log", ("l",), "l", "log", "what the run's job says, as it says it", (RUNS, RUN, MESSAGES)),
    Key("log", ("l",), "l", "a log", "what the job of one of its runs said", (FAILURES,)),
    Key("filter", ("/",), "/", "filter", "only some runs, e.g. state:failed dataset:Al50 host:n03 cause:memory >2h text", (RUNS,)),
    Key("search", ("/",), "/", "search", "look for a text, from here down", SEARCHED),
    Key("again", ("n",), "n", "", "the next line with the text", SEARCHED),
    Key("before", ("N",), "N", "", "the one before", SEARCHED),
    Key("mark", (" ",), "Space", "mark", "mark the run, or don't, and go on to the next; what is asked is asked of all marked ones", (RUNS,)),
    Key("mark_all", ("A",), "A", "", "mark all that the filter means, however many; once more: none", (RUNS,)),
    Key("retry", ("r",), "r", "retry", "failed and held runs once more", CHANGING, True),
    Key("hold", ("h",), "h", "hold", "stop runs until somebody releases them; jobs that run are ended", CHANGING, True),
    Key("release", ("e",), "e", "release", "held runs are new again; what is under way is given back", CHANGING, True),
    Key("cancel", ("x",), "x", "cancel", "end what is under way", CHANGING, True),
    Key("priority", ("p",), "p", "priority", "which runs go first: those with more", CHANGING, True),
    Key("nproc", ("p",), "p", "nproc", "how many jobs at a time a manager of yours has", (MANAGERS,), True),
    Key("follow", ("f",), "f", "follow", "go on with the log as it grows, or stay", (LOG,)),
    Key("stream", ("o",), "o", "out/err", "what the job said on stdout, on stderr", (LOG,)),
    Key("earlier", ("[",), "[", "attempt", "the attempt before", (LOG,)),
    Key("later", ("]",), "]", "", "the attempt after", (LOG,)),
    Key("right", ("right",), "→", "", "what is beyond the edge of the screen", (LOG,)),
    Key("left", ("left",), "←", "", "back from there", (LOG,)),
    Key("fold", ("w",), "w", "fold", "long lines folded, or cut at the edge", (LOG,)),
    Key("pager", ("v",), "v", "pager", "open the log in $PAGER", (LOG,)),
    Key("sort", ("s",), "s", "sort", "sort by the next column; S: the other way round", (RUNS,)),
    Key("reverse", ("S",), "S", "", "sort the other way round", (RUNS,)),
    Key("columns", ("c",), "c", "columns", "choose columns, and by which to sort", (RUNS,)),
    Key("go_to", ("g",), "g", "", "go to a run by its number; in a log to a per cent of it", (RUNS, LOG)),
    Key("back", ("esc", "backspace"), "Esc", "back", "back; in the table: no marks, then no filter", BROWSING),
    Key("view_1", ("1",), "1", "", "the runs"),
    Key("view_2", ("2",), "2", "", "what failed, by cause and by what the jobs said last"),
    Key("view_3", ("3",), "3", "", "who is at work, and whether they are alive"),
    Key("view_4", ("4",), "4", "", "what was said and what happened, the newest last"),
    Key("view_5", ("5",), "5", "", "all productions; to look at another one"),
    Key("next_view", ("tab",), "Tab", "", "the next of these", LISTS),
    Key("up", ("up", "k"), "↑ k", "", "one up", VIEWS),
    Key("down", ("down", "j"), "↓ j", "", "one down", VIEWS),
    Key("page_up", ("page up", "ctrl b"), "PgUp", "", "a page up", VIEWS),
    Key("page_down", ("page down", "ctrl f"), "PgDn", "", "a page down", VIEWS),
    Key("first", ("home", "<"), "Home <", "", "to the first", VIEWS),
    Key("last", ("end", ">", "G"), "End > G", "", "to the last; a log goes on from there", VIEWS),
    Key("palette", ("t",), "t", "", "other colours: dark, light, plain"),
    Key("redraw", ("ctrl l",), "Ctrl-L", "", "draw the screen anew", VIEWS),
    Key("help", ("?", "f1"), "?", "help", "these lines", BROWSING),
    Key("quit", ("q", "Q"), "q", "quit", "leave; a production that was begun with --display goes on in lines", BROWSING),
)  # fmt: skip


def find(view: str, pressed: str, *, read_only: bool) -> Key | None:
    """What a key does there."""
    return next((key for key in of(view, read_only=read_only) if pressed in key.keys), None)


def of(view: str, *, read_only: bool) -> Iterator[Key]:
    """All that work there."""
    return (key for key in KEYS if view in key.views and not (read_only and key.changes))
