#!/usr/bin/env python3
"""Carry every run of a production through its program: ``./run_production.py --help`` says how."""

import sys

if sys.version_info < (3, 11):  # noqa: UP036 - a login node's python3 may be older, and should be told so
    sys.exit("run_production needs Python 3.11 or newer, this is " + sys.version.split()[0])

from production.cli import door

if __name__ == "__main__":
    sys.exit(door.run_production())
