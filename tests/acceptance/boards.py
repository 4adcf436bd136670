"""A production that has something of everything for a dashboard to show, and where things stand on its screen."""

from __future__ import annotations

from collections.abc import Callable

from tests.acceptance.campaign import Campaign, Manager
from tests.acceptance.screen import Screen

Opened = Callable[..., Screen]
"""The fixtures ``show`` and ``watch``."""

PROGRAM = """
[programs.sim]
script = "sim.sh"
arguments = ["{run}", "{attempt}"]
retry = { limit = 2, pause = 0 }

[programs.old]
script = "old.sh"
"""

SCRIPT = """
seq -f "line %g of run $1 attempt $2" 200
echo "a $(printf '%0150d' 0) far"
echo "error of run $1" >&2
case $1 in
  5|6) echo "bad magic in run $1" >&2; exit 9 ;;
  3[0-9]) echo "$1" >@/started; read go <@/gate ;;
esac
"""

RUNS = 60


def begin(campaign: Campaign) -> None:
    """Sixty runs, of which 1 to 4 are finished, 5 and 6 failed twice, the others new."""
    campaign.script("sim.sh", SCRIPT)
    campaign.script("old.sh", "true")
    campaign.settings(PROGRAM)
    campaign.begin(f"1-{RUNS}")
    campaign.ok("datasets", "add", "1-6", "--dataset=Cu20")
    campaign.ok("datasets", "add", "31-32", "--dataset=Si16")
    result = campaign.run("--production=sim", "--new=v5", "--dataset=Cu20")
    assert result.code == 3, str(result)
    assert campaign.letters("sim_v1") == "FFFFEE" + "N" * (RUNS - 6)


def working(campaign: Campaign) -> Manager:
    """A manager at work on 31 and 32, whose jobs wait at the gate."""
    started = campaign.pipe("started")
    campaign.pipe("gate")
    manager = campaign.start("--production=sim", "--dataset=Si16", "--nproc=2")
    assert sorted(started.take(2)) == ["31", "32"]
    manager.wait_for("Submitting run: 32")
    return manager


def cursor(screen: Screen) -> str:
    """The line under the cursor, by its colour; nothing if there is none."""
    rows = [number for number in range(screen.emulated.lines - 1) if screen.style(number, 0).bg == "brightcyan"]
    return screen.lines[rows[0]] if len(rows) == 1 else ""


def at(run: int) -> Callable[[Screen], bool]:
    """Whether the cursor is on a run."""
    return lambda screen: cursor(screen).split()[1:2] == [str(run)]


def runs(screen: Screen) -> list[int]:
    """Those of the table that are on the screen, in its order."""
    head = next((number for number, line in enumerate(screen.lines) if line.startswith("  run")), -1)
    words = [line[2:].split() for line in screen.lines[head + 1 : -1] if head >= 0]
    return [int(some[0]) for some in words if some and some[0].isdigit()]
