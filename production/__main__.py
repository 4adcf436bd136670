"""``python -m production`` is the command ``production``."""

import sys

from production.cli import door

if __name__ == "__main__":
    sys.exit(door.production())
