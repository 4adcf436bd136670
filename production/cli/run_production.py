"""``run_production.py``: the old command. Options in, exit code out; between them ``wiring`` and ``manager``."""

from __future__ import annotations

import argparse
import os
import textwrap
from collections.abc import Sequence

import production
from production import errors, settings
from production.cli import asking, options

_DESCRIPTION = """
Carry every run of a production through its program: claim runs in the shared database, stage their inputs, submit a job
for each, watch it, check and record what it wrote, until nothing is left. Several people may do so at once. Stop with
Ctrl-C: jobs are cancelled and claims given back; start again with the same options, but --new, to go on.
"""

_EXIT_CODES = """
exit codes:
  0    all that this manager could do is done
  1    an error; what was in its hands has been given back
  2    a bad option or setting; nothing was touched
  3    done, but runs failed or are held
  130  interrupted (Ctrl-C, TERM or HUP)
"""


def parser() -> options.Parser:
    """All options, for the command line and for whatever is made from them."""
    rules = settings.RANGES
    whole = options.Parser(
        prog="run_production",
        usage="run_production --production=TYPE [options]",
        description=textwrap.dedent(_DESCRIPTION),
        epilog=f"{_EXIT_CODES}\nThis is run_production {production.__version__}.",
        formatter_class=argparse.RawDescriptionHelpFormatter,
        add_help=False,
    )
    what = whole.add_argument_group("what to do")
    what.add_argument(
        "--production", metavar="TYPE", help="the program, as defined in the settings: alcapana, rootana, …"
    )
    what.add_argument(
        "--version", metavar="N", help="version to work on (default: the highest); with --new: of the base production"
    )
    what.add_argument("--new", metavar="TAG", help="open a new version first, for this software tag")
    what.add_argument("--quality", metavar="Q", help="with --new: quality of the runs that enter (default: gold)")
    what.add_argument(
        "--dataset", metavar="SET", action="append", default=[], help="only runs of this dataset; repeatable"
    )
    what.add_argument(
        "--tranche", metavar="N", action="append", default=[], help="only runs of this tranche; repeatable"
    )
    what.add_argument(
        "--modules", metavar="FILE", help="the program's configuration file; its text is kept with the runs"
    )
    what.add_argument("--calib", action="store_true", default=None, help="hand the program its calibration flag")
    what.add_argument("--calibdatabase", metavar="DB", help="hand the program this calibration database")
    how = whole.add_argument_group("how to do it")
    how.add_argument("--nproc", metavar="N", help=f"jobs at a time (default 10; {rules['nproc']})")
    how.add_argument("--nprep", metavar="N", help=f"runs staged beyond those (default 5; {rules['nprep']})")
    how.add_argument(
        "--pause", metavar="S", help=f"longest wait between two looks, seconds (default 5; {rules['pause']})"
    )
    how.add_argument(
        "--spacelim",
        metavar="P",
        help=f"stage nothing above this use of the disk's limit (default 90, without a [quota] 100; {rules['spacelim']})",
    )
    how.add_argument(
        "--batch", metavar="SYSTEM", help="who computes: local, sge, slurm, or slurm@HOST over SSH (default local)"
    )
    how.add_argument(
        "--follow", action="store_true", default=None, help="stay when no runs are left, and wait for new ones"
    )
    how.add_argument("--display", action="store_true", help="show the dashboard; q in it goes on in lines")
    where = whole.add_argument_group("where")
    where.add_argument("--database", metavar="DB", help="the shared database (default ~/data/production.db)")
    where.add_argument(
        "--config", metavar="FILE", help="settings, over those of the system, the user and this directory"
    )
    where.add_argument("-h", "--help", "--usage", action="store_true", dest="help", help="this text")
    return whole


def main(arguments: Sequence[str] | None = None) -> int:
    """The command; returns its exit code."""
    return options.ending("run_production", _command, arguments)


def _command(arguments: Sequence[str]) -> int:
    whole = parser()
    if not arguments:
        whole.print_help()
        return 0
    given = whole.parse_args(arguments)
    if given.help:
        whole.print_help()
        return 0
    if not given.production:
        raise errors.UsageError("--production=TYPE is missing; see run_production --help")
    flags = ("database", "batch", "pause", "nproc", "nprep", "spacelim", "modules", "calib", "calibdatabase", "follow")
    chosen = options.load_settings(given.config, {name: getattr(given, name) for name in flags})
    # Imported late: --help and a mistyped option shouldn't wait for the whole house.
    from production.cli import campaign

    order = campaign.Order(
        program=given.production,
        version=asking.whole(given.version, "--version", least=1),
        tag=given.new,
        quality=given.quality,
        datasets=tuple(given.dataset),
        tranches=tuple(asking.whole(tranche, "--tranche") or 0 for tranche in given.tranche),
        display=given.display,
        config=given.config,
        arguments=tuple(arguments),
    )
    os.umask(_group_mask())
    return campaign.run(chosen, order)


def _group_mask() -> int:
    """The user's umask, but our group may read and write: a production is worked on by several people."""
    mask = os.umask(0)
    os.umask(mask)
    return mask & ~0o070
