"""``production import``: a database of the old scripts, brought over into a new one."""

from __future__ import annotations

import argparse
import os
import shlex
from typing import TYPE_CHECKING, Any

from production import clock, disk, process, settings
from production.cli import asking, door, options

if TYPE_CHECKING:
    from production.catalogue import heritage


def add_to(commands: argparse._SubParsersAction[options.Parser]) -> None:
    """Add the command to ``production``."""
    importing = commands.add_parser(
        "import",
        help="bring over a database of the old scripts",
        description="Bring over a database of the old scripts, whole, into a new file. The old one is only read.",
        epilog="Runs that are still marked C or R become new again: see that nobody works with the old scripts any more.",
    )
    importing.add_argument("old", metavar="OLD.db", help="the database of the old scripts")
    importing.add_argument("new", metavar="NEW.db", help="the file to make; an existing one is never touched")
    importing.add_argument(
        "--timezone", metavar="ZONE", help="of the lab's clock, e.g. Europe/Zurich (default: this machine's)"
    )
    importing.add_argument(
        "--data", metavar="DIR", help="below which the productions go on (default: data of the settings)"
    )
    asking.add_json(importing)
    asking.add_config(importing)
    importing.set_defaults(command=_import)


def _import(given: argparse.Namespace) -> int:
    from production.catalogue import heritage, old, sqlite, zone
    from production.cli import data

    chosen = options.load_settings(given.config, {"data": given.data})
    lab, by = zone.named(given.timezone, os.environ.get("TZ"))
    directory = data.real(chosen.data)
    data.check(directory, "")  # a new database has an id that none was marked with
    now = clock.SystemClock().now()
    terms = heritage.Terms(os.path.basename(given.old), lab, directory, process.user(), _programs(chosen), now)
    door.unwind()
    with old.opened(given.old) as there, sqlite.making(given.new, now) as connection:
        account = heritage.bring(there, connection, terms)
    if given.json:
        asking.say_json(_answer(account, given, lab.key, directory))
    else:
        _tell(account, given, f"{lab.key} ({by})", directory)
    return 0


def _programs(chosen: settings.Settings) -> dict[str, heritage.Program]:
    from production.catalogue import heritage

    return {
        name: heritage.Program(program.base.partition(".")[0], tuple(output.name for output in program.outputs))
        for name, program in chosen.programs.items()
    }


def _tell(account: heritage.Account, given: argparse.Namespace, zone: str, directory: str) -> None:
    from production.cli import terminal

    options.say(
        f"{disk.shown(given.new)}: all of {disk.shown(given.old)}, which stays as it is; its times are of {zone}"
    )
    names = ", ".join(f"{disk.printable(name)} {number}" for name, number in account.datasets.items())
    options.say(f"datasets, with their runs: {names or 'none'}")
    for production, counts in account.productions:
        base = f", on v{production.base_version} of its base" if production.base_version else ""
        state = "closed" if production.stop else "open"
        tag, quality = disk.printable(production.tag), disk.printable(production.quality)
        options.say(f"{production.name} ({tag}, {quality}{base}): {state}: {terminal.summary(counts)}")
    for odd in account.oddities:
        more = ", …" if odd.number > len(odd.examples) else ""
        options.say(f"  {odd.what}: {odd.number:,} ({disk.printable(', '.join(odd.examples))}{more})")
    for line in _next(account, given, directory):
        options.say(line)


def _next(account: heritage.Account, given: argparse.Namespace, directory: str) -> list[str]:
    """What to do now."""
    path = os.path.realpath(given.new)
    lines = [f'next: write database = "{path}" and data = "{directory}" into production.toml']
    return lines + [
        f"  go on: run_production --database={shlex.quote(path)} --production={one.program} --version={one.version}"
        for one, counts in account.productions
        if not one.stop and any(counts.values())
    ]


def _answer(account: heritage.Account, given: argparse.Namespace, zone: str, directory: str) -> dict[str, Any]:
    return {
        "old": os.path.realpath(given.old),
        "database": os.path.realpath(given.new),
        "timezone": zone,
        "data": directory,
        "datasets": account.datasets,
        "productions": [
            {
                "production": one.name,
                "tag": one.tag,
                "quality": one.quality,
                "base_version": one.base_version,
                "start": one.start,
                "stop": one.stop,
                "counts": {state.value: number for state, number in counts.items() if number},
            }
            for one, counts in account.productions
        ],
        "oddities": [
            {"what": odd.what, "number": odd.number, "examples": list(odd.examples)} for odd in account.oddities
        ],
    }
