"""``production failures``: what failed, by cause and by what the jobs said last; and which setting would help."""

from __future__ import annotations

import argparse
import datetime
import itertools
import os
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

from production import disk, errors, journal, moment
from production import filter as filters
from production import run as runs
from production.cli import asking, options

if TYPE_CHECKING:
    from production import settings as settings_
    from production.catalogue import library
    from production.monitor import advice, failures, reach

LOOKED = 100_000
"""Attempts that are looked at."""
SHOWN = 10
"""Groups that are shown to people."""
SAMPLED = 2000
"""Runs of a group that are asked for their datasets."""
TAIL = 4096
"""Bytes at the end of a log."""
LINES = 4
"""Of them people are shown."""


def add_to(commands: argparse._SubParsersAction[options.Parser]) -> None:
    """Add the command to ``production``."""
    failing = commands.add_parser(
        "failures",
        help="what failed, by cause and last words",
        description="Runs that are failed, held or tried again, in groups of one cause whose jobs said the same last.",
    )
    asking.add_filter(failing)
    asking.add_production(failing)
    failing.add_argument("--suggest", action="store_true", help="name the setting that would help each group")
    failing.add_argument("--all", action="store_true", help="all attempts that ever failed")
    asking.add_json(failing)
    asking.add_where(failing)
    failing.set_defaults(command=_failures)


def _failures(given: argparse.Namespace) -> int:
    from production.cli import remote

    wanted = filters.parse(given.filter)
    _check(wanted, ever=given.all)
    chosen = asking.chosen(given)
    with asking.catalogue(options.database(chosen)) as catalogue:
        production = asking.looked_at(catalogue, given)
        answer = Answer(catalogue, production, chosen, remote.logs(), suggest=given.suggest)
        answer.find(wanted, ever=given.all)
        if given.json:
            asking.say_json(answer.as_json())
        else:
            asking.say_folded(answer.lines())
    return 0


def _check(wanted: filters.Filter, *, ever: bool) -> None:
    failing = (runs.State.FAILED, runs.State.HELD, runs.State.NEW)
    if not ever and wanted.states and not set(wanted.states) & set(failing):
        raise errors.UsageError(
            f"state:{','.join(wanted.states)}: these have not failed; for earlier attempts of theirs add --all"
        )
    if runs.Cause.RELEASED in wanted.causes:
        raise errors.UsageError("cause:released is no failure: the run is simply done later")


class Answer:
    """What failed, for people and for programs."""

    def __init__(
        self,
        catalogue: library.Library,
        production: runs.Production,
        chosen: settings_.Settings,
        logs: reach.Reach,
        *,
        suggest: bool,
    ) -> None:
        """``logs`` opens those of the jobs."""
        self._records = catalogue.records
        self._production = production
        self._chosen = chosen
        self._logs = logs
        self._suggest = suggest
        self.groups: list[failures.Group] = []
        """The largest first."""
        self._ever = False
        self._cut = False
        """Whether there are more than were looked at."""

    def find(self, wanted: filters.Filter, *, ever: bool) -> None:
        """Look at what failed, and into a few logs."""
        from production.monitor import failures

        self._ever = ever
        now = datetime.datetime.now(datetime.UTC)
        found = self._records.failures(self._production.id, wanted, now, ever=ever)
        self.groups = failures.look_into(failures.groups(itertools.islice(found, LOOKED)), Ends(self._logs))
        self._cut = next(found, None) is not None

    def as_json(self) -> dict[str, Any]:
        """All groups."""
        return {
            "production": self._production.name,
            "attempts": sum(len(group.failures) for group in self.groups),
            "all_looked_at": not self._cut,
            "groups": [self._group_json(group) for group in self.groups],
        }

    def _group_json(self, group: failures.Group) -> dict[str, Any]:

        first, last = group.times or (None, None)
        example = group.example
        return {
            "cause": group.cause, "exit": group.exit, "signal": group.signal, "message": group.form,
            "runs": len(group.numbers), "attempts": len(group.failures), "ranges": group.ranges,
            "states": group.states, "hosts": group.hosts, "datasets": self._datasets(group), "first": first, "last": last,
            "example": {
                "run": example.run, "attempt": example.attempt, "message": example.message,
                "olog": example.olog, "elog": example.elog, "lines": list(group.lines),
            },
            "logs_differ": group.unlike,
            "suggestion": self._advice_json(group) if self._suggest else None,
        }  # fmt: skip

    def _advice_json(self, group: failures.Group) -> dict[str, Any]:
        found = self._advice(group)
        settings = {".".join(key): value for key, value in found.settings.items()}
        return {"text": found.text, "settings": settings, "toml": found.toml}

    def lines(self) -> Iterator[str]:
        """For people: the largest groups."""
        yield self.summary()
        for group in self.groups[:SHOWN]:
            yield ""
            yield from self.told(group)
        if more := self.groups[SHOWN:]:
            yield ""
            yield f"and {len(more):,} smaller groups, {journal.count(sum(len(group.numbers) for group in more))}; all of them: --json"
        if self._cut:
            yield f"Only the first {LOOKED:,} failed attempts were looked at; narrow it, e.g. cause:program 2091-2103"

    def summary(self) -> str:
        """How many failed."""
        which = f", in {len(self.groups):,} groups" if len(self.groups) > 1 else ""
        if self._ever and self.groups:
            attempts = sum(len(group.failures) for group in self.groups)
            number = len({run for group in self.groups for run in group.numbers})
            return f"{self._production.name}: {journal.count(attempts, 'attempt')} failed, of {journal.count(number)}{which}"
        states: dict[str, int] = {}
        for state, number in ((state, number) for group in self.groups for state, number in group.states.items()):
            states[state] = states.get(state, 0) + number
        words = {runs.State.FAILED: "failed", runs.State.HELD: "held", runs.State.NEW: "to be tried again"}
        told = [f"{number:,} {words.get(runs.State(state), state)}" for state, number in states.items()]
        return f"{self._production.name}: {', '.join(told) or 'nothing failed'}{which}"

    def told(self, group: failures.Group) -> Iterator[str]:
        """One group."""
        yield f"{journal.count(len(group.numbers))}, {_heading(group)}"
        yield f"  runs {filters.ranges(group.numbers)}"
        yield f"  {'; '.join(self._where(group))}"
        example = group.example
        log = next((path for path in (example.elog, example.olog) if path and _there(path)), None)
        yield f"  e.g. run {example.run}" + (f": {log}" if log else f": {example.message}" if example.message else "")
        yield from (f"    | {line}" for line in group.lines[-LINES:])
        if group.unlike:
            others = [str(group.failures[place].run) for place in group.logs][1:]
            yield f"  their logs differ before that line: see run {' and '.join(others)}, too"
        stuck = runs.State.FAILED in group.states or runs.State.HELD in group.states
        verb = "release" if group.cause is None else "retry"
        of = f"--production={self._production.name}"
        yield f"  further: production show {of} {example.run}"
        if stuck:
            yield f"  once mended: production {verb} {of} {_again(group, self.groups)}"
        if self._suggest:
            found = self._advice(group)
            yield f"  suggestion: {found.text}"
            yield from (f"    {line}" for line in found.toml.splitlines())

    def _where(self, group: failures.Group) -> Iterator[str]:
        """What its runs have in common, and when it was."""
        from production import clock
        from production.monitor import failures

        number = len(group.failures)
        host = failures.concentrated(group.hosts, number)
        if host and self._records.other_host(self._production.id, host[0]):
            yield f"{host[1]:,} of {number:,} on {host[0]}"
        sample = group.numbers[:: max(1, len(group.numbers) // SAMPLED)]
        dataset = failures.concentrated(self._datasets(group), len(sample))
        if dataset and self._records.other_dataset(dataset[0]):
            share = f"{dataset[1]:,} of {len(sample):,}" if dataset[1] < len(sample) else "all"
            yield f"{share} in {dataset[0]}"
        if number > len(group.numbers):
            yield f"{number:,} attempts"
        if group.times:
            now = datetime.datetime.now().astimezone()
            first, last = (moment.told(clock.instant(instant), now) for instant in group.times)
            yield first if first == last else f"{first} to {last}"
        else:
            yield "no attempt of theirs failed"

    def _datasets(self, group: failures.Group) -> dict[str, int]:
        """Of its runs, or of some that are spread over them."""
        every = group.numbers
        return self._records.datasets_of(every[:: max(1, len(every) // SAMPLED)])

    def _advice(self, group: failures.Group) -> advice.Advice:
        from production.monitor import advice

        return advice.advise(group, self._production.program, self._chosen)


def _heading(group: failures.Group) -> str:
    """``cause program (exit 9): run<N>.mid: bad magic <X>``."""
    if group.cause is None:
        return f"held by a person: {group.form}" if group.form else "held by a person"
    how = f" (exit {group.exit})" if group.exit else f" (signal {group.signal})" if group.signal else ""
    return f"cause {group.cause}{how}" + (f": {group.form}" if group.form else "")


def _again(group: failures.Group, every: Sequence[failures.Group]) -> str:
    """A filter that means these runs; where they are too many to be named, and others have their cause, those too."""
    if len(group.ranges) <= 6 or group.cause is None:
        return filters.ranges(group.numbers, len(group.ranges))
    others = sum(other.cause == group.cause for other in every) - 1
    told = {0: "", 1: " (another group has it, too)"}.get(others, f" ({others} other groups have it, too)")
    return f"cause:{group.cause}{told}"


def _there(path: str) -> bool:
    """Whether the log is worth naming; of one on another machine nobody knows."""
    from production.monitor import reach

    return reach.elsewhere(path) or os.path.exists(path)


class Ends:
    """The last lines of logs with something on them, printable; none of one that can't be read."""

    def __init__(self, logs: reach.Reach) -> None:
        self._logs = logs
        self._away = False
        """A machine doesn't answer: the other logs there are not waited for, either."""

    def __call__(self, path: str) -> list[str]:
        text, begin = self._end(path)
        lines = text.decode("utf-8", "replace").splitlines()[1 if begin else 0 :]  # the first is cut
        return [disk.printable(line.rstrip().expandtabs())[:500] for line in lines if line.strip()][-12:]

    def _end(self, path: str) -> tuple[bytes, int]:
        """What stands at the end, and from which byte on."""
        from production.monitor import reach

        try:
            if reach.elsewhere(path):
                return (b"", 0) if self._away else self._there(path)
            with disk.reading(path, follow=False) as (descriptor, state):
                begin = max(0, state.st_size - TAIL)
                return os.pread(descriptor, TAIL, begin), begin
        except (OSError, disk.Trouble) as trouble:
            self._away |= isinstance(trouble, reach.Away)
        return b"", 0

    def _there(self, path: str) -> tuple[bytes, int]:
        with self._logs.open(path, -TAIL) as log:
            begin = max(0, log.size - TAIL)
            return log.read(begin, log.size), begin
