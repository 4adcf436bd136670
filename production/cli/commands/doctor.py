"""``production doctor``: is all in order, and if not, what to do? Nothing is changed."""

from __future__ import annotations

import argparse
import dataclasses
from collections.abc import Sequence
from typing import TYPE_CHECKING

from production import disk, errors
from production.cli import asking, door, options, passing
from production.monitor import table

# Imported late otherwise: --help and a mistyped option shouldn't wait for all that is looked at.
if TYPE_CHECKING:
    from production.cli.checks import finding

PATIENCE = 60
"""Seconds that a check may take."""
_WORDS = {True: "ok", False: "bad", None: "--"}
_INDENT = 15


def add_to(commands: argparse._SubParsersAction[options.Parser]) -> None:
    """Add the command to ``production``."""
    doctor = commands.add_parser(
        "doctor",
        help="is all in order? what is not, and the mend",
        description="Looks at everything that a production needs, and changes nothing; a job that runs `true` is submitted."
        " A line a check: ok, bad with its mend, or -- and why it wasn't asked. Exit 1 if something is bad.",
    )
    doctor.add_argument("checks", metavar="CHECK", nargs="*", help="only these: the second word of their lines")
    doctor.add_argument(
        "--batch",
        metavar="SYSTEM",
        help="who is to compute: local, sge, slurm, or slurm@HOST over SSH (default: the settings')",
    )
    doctor.add_argument(
        "--patience", metavar="S", default=str(PATIENCE), help="seconds that a check may take (default %(default)s)"
    )
    asking.add_json(doctor)
    asking.add_where(doctor)
    doctor.set_defaults(command=_doctor)


def _doctor(given: argparse.Namespace) -> int:
    from production import settings
    from production.cli.checks import finding, rounds

    if given.batch is not None and given.batch.partition("@")[0] not in settings.BATCH_SYSTEMS:
        raise errors.UsageError(
            f"--batch={given.batch}: no such system; there are: {', '.join(settings.BATCH_SYSTEMS)}"
        )
    names = [check.name for check in rounds.CHECKS]
    unknown = [name for name in given.checks if name not in names]
    if unknown:
        raise errors.UsageError(f"{unknown[0]}: no such check; there are: {', '.join(names)}")
    patience = asking.whole(given.patience, "--patience", least=1)
    flags = {"database": given.database, "batch": given.batch}
    patient = finding.Patient(given.config, flags, float(patience or PATIENCE))
    found: list[finding.Finding] = []
    door.unwind()
    with passing.Line() as told:
        for one in rounds.go(patient, given.checks or names, lambda check: told.tell(f"...  {check}")):
            found.append(one)
            if not given.json:
                told.clear()
                _say(one)
    if given.json:
        asking.say_json([dataclasses.asdict(one) for one in found])
    return 1 if any(one.ok is False for one in found) else 0


def _say(one: finding.Finding) -> None:
    asking.say_lines(lines(one, table.terminal_width()))


def lines(one: finding.Finding, limit: int | None) -> Sequence[str]:
    """The finding as it is shown within so many characters; None: elsewhere than on a terminal, where a line is never broken."""
    first = f"{_WORDS[one.ok]:4} {one.check:9} "
    text = [first + disk.printable(one.found)]
    if one.mend:
        text.append(" " * _INDENT + "mend: " + disk.printable(one.mend))
    if limit is None:
        return text
    return [part for line in text for part in table.folded(line, limit, _INDENT)]
