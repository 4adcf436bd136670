"""What an audit finds, and in which words it is told. No I/O."""

from __future__ import annotations

import collections
import dataclasses
import enum


class Kind(enum.StrEnum):
    """What is not as it was written down."""

    AWAY = "away"
    MISSING = "missing"
    SIZE = "size"
    CHECKSUM = "checksum"
    NO_FILE = "no-file"
    UNREAD = "unread"
    CLOSED = "closed"
    INCOMPLETE = "incomplete"
    EARLY = "early"
    INTENDED = "intended"
    STRANGER = "stranger"
    ASIDE_HALF = "aside-half"
    ASIDE_GONE = "aside-gone"
    """As good as any: somebody made room."""
    ASIDE_CHANGED = "aside-changed"
    HELD = "held"
    TRANSFER = "transfer"
    FIXED = "fixed-path"
    INPUT_GONE = "input-gone"
    INPUT_LEFT = "input-left"
    STALE = "stale"
    TALLY = "tally"


_BACK = "put it back from a copy, or let the run be done again: production reset {run} --production={production}"
_START = "start a manager, which sees to it: run_production --production={program} --version={version}"

_WORDS: dict[Kind, tuple[str, str]] = {
    Kind.AWAY: ("data directories that are not there", "is the disk mounted? Its outputs were not looked at"),
    Kind.MISSING: ("missing outputs", _BACK),
    Kind.SIZE: ("outputs of another size", "find out who wrote it; then " + _BACK),
    Kind.CHECKSUM: ("outputs with another content", "find out who wrote it; then " + _BACK),
    Kind.NO_FILE: ("outputs that are no files", "move away what stands there; then " + _BACK),
    Kind.UNREAD: ("outputs that can't be read", "mend what the message says, and audit again"),
    Kind.CLOSED: (
        "places that can't be looked at",
        "let somebody audit who may look, or ask whose it is to open it (chmod g+rx)",
    ),
    Kind.INCOMPLETE: (
        "finished runs without an output",
        "let the run be done again: production reset {run} --production={production}",
    ),
    Kind.EARLY: (
        "outputs of runs that are not finished",
        "if the file is good, keep a copy elsewhere; then production reset {run} --production={production}",
    ),
    Kind.INTENDED: (
        "outputs half put in place, of runs that nobody has",
        "look at the run: production show {run} --production={production}; then move the file away",
    ),
    Kind.STRANGER: (
        "files that are not recorded",
        "find out whose it is, and move it away: the next run may want the name",
    ),
    Kind.ASIDE_HALF: (
        "outputs half put aside by a reset",
        "give the command again: production reset {run} --production={production}",
    ),
    Kind.ASIDE_GONE: ("outputs that were put aside and are gone", "nothing, if somebody removed it to make room"),
    Kind.ASIDE_CHANGED: (
        "outputs that were put aside and have changed since",
        "move it away, or let it be: nothing of ours reads it",
    ),
    Kind.HELD: ("runs held by managers that are gone", _START),
    Kind.TRANSFER: ("transfers of managers that are gone", _START),
    Kind.FIXED: (
        "fixed paths held for runs that nobody has",
        "see that no job writes there; then production retry {run} --production={production}",
    ),
    Kind.INPUT_GONE: (
        "inputs that are needed and gone",
        "put it back, or nothing: the run fails, and it is brought again",
    ),
    Kind.INPUT_LEFT: ("inputs kept for runs that nobody has", "remove it, if no other run needs it"),
    Kind.STALE: (
        "finished runs that worked on what their base run is no more",
        "let the run be done again: production reset {run} --production={production}",
    ),
    Kind.TALLY: (
        "counts that are not those of the runs",
        "restore the database from a copy, and tell us: this can't be",
    ),
}
"""{kind: (what all of them are, the mend of one)}."""


@dataclasses.dataclass(frozen=True, slots=True)
class Finding:
    """One thing that is not as it was written down."""

    kind: Kind
    production: str
    """Its name, ``alcapana_v4``; empty: of none."""
    run: int | None
    subject: str
    """What of the run it is about: an output's name, ``input``, …; with ``path`` the same again at a second look."""
    path: str
    what: str

    @property
    def key(self) -> tuple[str, int | None, str, str]:
        """By which it is known again, perhaps as another kind."""
        return self.production, self.run, self.subject, self.path

    @property
    def mend(self) -> str:
        program, _, version = self.production.rpartition("_v")
        run = "RUN" if self.run is None else self.run
        return _WORDS[self.kind][1].format(run=run, production=self.production, program=program, version=version)

    def __str__(self) -> str:
        of = " ".join(filter(None, (self.production, "" if self.run is None else f"run {self.run}")))
        return f"{of}: {self.what}" if of else self.what


def title(kind: Kind) -> str:
    """What all findings of a kind are."""
    return _WORDS[kind][0]


class Report:
    """What was found, and how much was looked at; of each kind only so many are kept."""

    def __init__(self, keep: int | None) -> None:
        """``keep`` None: all."""
        self._keep = keep
        self.kept: dict[Kind, list[Finding]] = {}
        self.counts: collections.Counter[Kind] = collections.Counter()
        self.closed: collections.Counter[str] = collections.Counter()
        """{a place that is shut: files that couldn't be looked at in it}."""
        self.productions: list[str] = []
        self.runs = 0
        self.having = 0
        """Runs with outputs."""
        self.outputs = 0
        """Recorded ones of finished runs."""
        self.bytes = 0
        """That they were recorded with."""
        self.vague = 0
        """Outputs of which no size, or with checksums no checksum, is known."""
        self.deleted = 0
        """Outputs that are recorded as removed."""
        self.harmless: list[str] = []
        self.once: list[Finding] = []
        """Seen, but not looked at a second time."""

        self.asides_gone = 0
        """Outputs that were put aside, and that somebody has removed since."""

    def add(self, finding: Finding) -> None:
        if finding.kind is Kind.ASIDE_GONE:
            self.asides_gone += 1
            return
        self.counts[finding.kind] += 1
        kept = self.kept.setdefault(finding.kind, [])
        if self._keep is None or len(kept) < self._keep:
            kept.append(finding)

    @property
    def found(self) -> int:
        """How many findings there are."""
        return self.counts.total()
