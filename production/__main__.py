"""``python -m production`` is the command ``production``."""

import sys

from production.cli import production

if __name__ == "__main__":
    sys.exit(production.main())
