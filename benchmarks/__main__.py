"""``python -m benchmarks [name …] [--quick]``."""

from __future__ import annotations

import argparse

from benchmarks import claims, cycle, dashboard, imports, jobs, looking, measure, remote, transfers

ALL = {
    "jobs": jobs.run,
    "claims": claims.run,
    "cycle": cycle.run,
    "import": imports.run,
    "looking": looking.run,
    "dashboard": dashboard.run,
    "transfers": transfers.run,
    "sftp": remote.run,
}


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description="Our speed, against floors and peers.")
    parser.add_argument("names", metavar="name", nargs="*", help=f"of {', '.join(ALL)}; none means all")
    parser.add_argument("--quick", action="store_true", help="smaller numbers: under a minute instead of under ten")
    given = parser.parse_args()
    for name in given.names:
        if name not in ALL:
            parser.error(f"no benchmark {name!r}; there are: {', '.join(ALL)}")
    print(measure.machine())
    print(
        "Medians of rounds in turn, with (least–most). Read the proportions; seconds are this machine's and this hour's."
    )
    for name in given.names or ALL:
        ALL[name](given.quick)


if __name__ == "__main__":
    main()
