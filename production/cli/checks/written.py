"""What was written before anything runs: the settings, the programs in them, and how many files may be open."""

from __future__ import annotations

import importlib.util
import os
import resource
import shutil

from production import settings
from production.cli import options
from production.cli.checks import finding

_OF_TRANSFER = 4
"""Descriptors: two connections, the file, and one to spare."""


def read_settings(patient: finding.Patient) -> list[finding.Finding]:
    """They can be read, and say nothing that isn't allowed."""
    patient.read = chosen = options.load_settings(patient.config, patient.flags)
    read = ", ".join(map(finding.near, chosen.files[1:])) or "no production.toml was found here: all as shipped"
    return [finding.Finding("settings", True, f"{read}; data in {finding.near(chosen.data)}")]


def open_files(patient: finding.Patient) -> list[finding.Finding]:
    """Enough for what the settings want to do at a time."""
    chosen = patient.chosen
    allowed, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    needed = options.LEAST_FILES + chosen.nproc + _OF_TRANSFER * chosen.archive.transfers
    if allowed == resource.RLIM_INFINITY:
        return [finding.Finding("files", True, "as many open files as one likes")]
    found = f"{allowed:,} open files allowed, {needed:,} needed at most (nproc = {chosen.nproc})"
    if allowed < needed:
        higher = most == resource.RLIM_INFINITY or most >= needed
        mend = f"ulimit -n {needed}" if higher else f"a lower nproc; the system allows no more than {most:,}"
        raise finding.Bad(found, mend)
    return [finding.Finding("files", True, found)]


def programs(patient: finding.Patient) -> list[finding.Finding]:
    """Each has its script, and what its outputs are checked by."""
    return [_program(patient.chosen, program) for program in patient.chosen.programs.values()]


def _program(chosen: settings.Settings, program: settings.Program) -> finding.Finding:
    from production import errors
    from production.cli import campaign

    try:
        campaign.check_script(program)
        _readable(program, program.script)
        if program.modules:
            _readable(program, program.modules)
        remarks = _check_outputs(program)
    except errors.ProductionError as bad:
        found, mend = finding.parted(str(bad), getattr(bad, "mend", "put it there, or say where it is"))
        return finding.Finding("program", False, found, mend)
    missing = [name for name in program.link if not os.path.exists(os.path.join(os.path.expanduser("~"), name))]
    if missing and program not in finding.own(chosen):
        lacks = " and ".join(f"~/{name}" for name in missing)
        return finding.Finding("program", None, f"{program.name}: as shipped; to use it you need {lacks} (its link)")
    if missing:
        path = os.path.join(os.path.expanduser("~"), missing[0])
        found = f"{program.name}: {path} is not there, and its jobs miss it (programs.{program.name}.link)"
        return finding.Finding("program", False, found, "make it, or take it out of link")
    said = "; ".join([f"{program.name}: {finding.near(program.script)}", *remarks])
    return finding.Finding("program", True, said)


def _readable(program: settings.Program, path: str) -> None:
    if not os.path.isfile(path):
        raise finding.Bad(
            f"{program.name}: {path} is not there", f"put it there, or set programs.{program.name}.modules"
        )
    if not os.access(path, os.R_OK):
        raise finding.Bad(f"{program.name}: {path} may not be read by you", f"chmod a+r '{path}'")


def _check_outputs(program: settings.Program) -> list[str]:
    """Remarks. Raises: Bad: the program that is to check one isn't there."""
    for output in program.outputs:
        if output.check == "command" and shutil.which(output.command[0]) is None:
            where = "" if "/" in output.command[0] else " on the PATH"
            raise finding.Bad(
                f"{program.name}: the check of its output {output.name}, {output.command[0]}, is no program{where}",
                f"put it there (chmod +x), or change programs.{program.name}.outputs.{output.name}.command",
            )
    if any(output.check == "root" for output in program.outputs) and importlib.util.find_spec("uproot") is None:
        return [
            "no uproot: of ROOT files only the ends are looked at, not the keys (pip install 'run_production[ROOT]')"
        ]
    return []
