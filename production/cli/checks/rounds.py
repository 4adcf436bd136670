"""The doctor's round: one check after the other, each bounded in time, none where an earlier one shows that it is in vain."""

from __future__ import annotations

import dataclasses
import threading
from collections.abc import Callable, Collection, Iterator

from production import errors, threads
from production.cli import options
from production.cli.checks import database, finding, ground, job, outside, written

_GOODBYE = 3.0
"""Seconds in which a check that is waited for no more may tidy up."""


@dataclasses.dataclass(frozen=True, slots=True)
class Check:
    """One of them."""

    name: str
    look: Callable[[finding.Patient], list[finding.Finding]]
    mend: str
    """What to do where what went wrong doesn't say it, or where no answer comes."""
    needs: tuple[str, ...] = ()
    """Checks without which it would find nothing new."""
    here: bool = False
    """In the main thread; bounds itself."""


CHECKS = (
    Check("settings", written.read_settings, "mend the settings; README: Your experiment, step by step"),
    Check("files", written.open_files, "raise ulimit -n", ("settings",)),
    Check("program", written.programs, "are the scripts on a file server that is away?", ("settings",)),
    Check("database", database.look, "is its file server away? see: df, dmesg", ("settings",)),
    Check(
        "locking", database.locking, "is the file server's lockd away? move it to a disk of this machine", ("database",)
    ),
    Check("disk", ground.left, "is its file server away? see: df, dmesg", ("settings",)),
    Check("data", ground.data_directory, "look at the directory and its file server", ("settings", "disk")),
    Check("clock", ground.clock, "look at the directory of the data and its file server", ("data",)),
    Check(
        "quota",
        outside.quota,
        "try the reader by hand, or give it longer: --patience=600; others: [quota] reader",
        ("settings", "data"),
    ),
    Check("netrc", outside.netrc, "look at the file", ("settings",)),
    Check(
        "archive", outside.archive, "is its server up, and reachable from here? production archive check", ("netrc",)
    ),
    Check("batch", job.batch, "try it by hand: is its controller up?", ("data",), here=True),
)


class _Late(Exception):
    """No answer."""


def go(patient: finding.Patient, wanted: Collection[str], begin: Callable[[str], None]) -> Iterator[finding.Finding]:
    """All findings in order, of all checks or the wanted ones; of those that they need only what is bad."""
    needed = _needed(wanted)
    bad: set[str] = set()
    for check in CHECKS:
        if check.name not in needed:
            continue
        first = next((need for need in check.needs if need in bad), "")
        begin(check.name)
        if first:
            found = [finding.Finding(check.name, None, f"not asked: first mend {_root(first, bad)}")]
        else:
            found = _looked(check, patient)
        if first or any(one.ok is False for one in found):
            bad.add(check.name)
        yield from (one for one in found if check.name in wanted or one.ok is False)


def _root(name: str, bad: Collection[str]) -> str:
    """The check that was bad itself."""
    needs = next(check.needs for check in CHECKS if check.name == name)
    return next((_root(need, bad) for need in needs if need in bad), name)


def _needed(wanted: Collection[str]) -> set[str]:
    """These checks, and what they need."""
    needed = set(wanted)
    for check in reversed(CHECKS):
        if check.name in needed:
            needed.update(check.needs)
    return needed


def _looked(check: Check, patient: finding.Patient) -> list[finding.Finding]:
    """What it found; whatever goes wrong is its finding."""
    try:
        return check.look(patient) if check.here else _bounded(check, patient)
    except finding.Unasked as why:
        return [finding.Finding(check.name, None, f"not asked: {why}")]
    except finding.Bad as bad:
        found, mend = str(bad), bad.mend
    except _Late:
        found, mend = f"no answer for {patient.patience:g} s", check.mend
    except errors.LoginRefused as refused:
        found, mend = outside.refused(refused)
    except errors.ProductionError as error:
        found, mend = finding.parted(str(error), check.mend)
    except OSError as error:
        where = f"{error.filename}: " if error.filename else ""
        found, mend = f"{where}{error.strerror or error}", check.mend
    except Exception as error:  # noqa: BLE001  the other checks are made all the same
        found, mend = options.unexpected(error), "report this"
    return [finding.Finding(check.name, False, found.removeprefix(f"{check.name} "), mend)]


def _bounded(check: Check, patient: finding.Patient) -> list[finding.Finding]:
    """In a thread of its own: one that hangs on a file server can't be ended, but left."""
    answers: list[list[finding.Finding] | Exception] = []
    done, patient.leave = threading.Event(), threading.Event()

    def look() -> None:
        try:
            answers.append(check.look(patient))
        except Exception as error:  # noqa: BLE001  told by who waits
            answers.append(error)

    crew = threads.Crew("doctor", 1, done.set)
    crew.give(look)
    try:
        if not done.wait(patient.patience):
            raise _Late
    finally:
        patient.leave.set()
        crew.dismiss(_GOODBYE)
    if isinstance(answers[0], Exception):
        raise answers[0]
    return answers[0]
