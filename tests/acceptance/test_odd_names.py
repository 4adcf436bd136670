"""Names that people give to directories, datasets and scripts."""

from __future__ import annotations

import os
import pathlib
from collections.abc import Callable

import pytest

from tests.acceptance.campaign import Campaign

PROGRAM = """
[programs.odd]
script = "my script.sh"
arguments = ["{run}", "{input}", "{tree}"]
input = "run {run:05d}'s.mid"
home = "private"

[programs.odd.outputs.tree]
path = "my trees/v{version}/tree {run:05d}.txt"

[programs.odd.outputs.hist]
path = "hist/v{version}/hist{run:05d}.txt"
written = "data/it's hist/hist{run:05d}.txt"
"""

SCRIPT = """
mkdir -p "$HOME/data/it's hist"
test "$(pwd)" = "$HOME" || exit 9
cp "$2" "$3"
echo hist >"$HOME/data/it's hist/hist0000$1.txt"
"""

ODD = [
    "two words",
    "Größe µ 日本",
    'it\'s "quoted"',
    "$HOME $(touch pwned) `touch pwned`",
    "100%41 %s {run}",
    "-rf --help",
    "a#b?c=d&e;f|g>h*[i]!~",
    "back\\slash \\n",
    " leading and trailing ",
    "tab\there",
    "line\nend",
    os.fsdecode(b"latin-1 \xb5"),
]


@pytest.mark.parametrize("name", ODD, ids=ascii)
def test_a_campaign_in_an_odd_directory(
    new_campaign: Callable[[pathlib.Path], Campaign], tmp_path: pathlib.Path, name: str
) -> None:
    """It works, or is refused in one clear line."""
    campaign = new_campaign(tmp_path / name)
    campaign.script("my script.sh", SCRIPT)
    campaign.settings(PROGRAM)
    campaign.raw(range(1, 4), "run {:05d}'s.mid")
    campaign.product("init", str(campaign.database))
    added = campaign.product("datasets", "add", "1-3", "--dataset=Al 100")
    if added.code == 2:
        assert len(added.err.splitlines()) == 1, str(added)
        assert added.err.rstrip("\n").isprintable(), str(added)
        return
    result = campaign.run("--production=odd", "--new=t", "--dataset=Al 100", "--nproc=2")
    if result.code == 2:
        assert len(result.err.splitlines()) == 1, str(result)
        assert "unexpected" not in result.err
        assert campaign.rows("SELECT * FROM productions") == []
        return
    assert result.code == 0, str(result)
    assert campaign.letters("odd_v1") == "FFF"
    assert (campaign.data / "my trees/v1/tree 00002.txt").read_text() == "raw data of run 2\n"
    for tree, hist in campaign.rows("SELECT tree, hist FROM odd_v1"):
        assert pathlib.Path(str(tree)).exists()
        assert pathlib.Path(str(hist)).exists()
    assert not list(tmp_path.rglob("pwned"))
    assert all(line.isprintable() for line in result.err.splitlines())
    campaign.nothing_in_hands()


@pytest.mark.feature("AC-07", "AC-41")
@pytest.mark.parametrize("name", ["Al 100", "Größe µ", 'it\'s "it"', "$x; DROP TABLE run;--", "%s", "a,b", "--x"])
def test_odd_names_of_datasets(campaign: Campaign, name: str) -> None:
    campaign.script("sim.sh", "exec true")
    campaign.settings('[programs.sim]\nscript = "sim.sh"\n')
    campaign.ok("init", str(campaign.database))
    campaign.ok("datasets", "add", "1-3", f"--dataset={name}")
    campaign.ok("datasets", "add", "4", "--dataset=other")
    wrong = campaign.run("--production=sim", "--new=t", f"--dataset={name}x")
    assert wrong.code == 2
    assert name in wrong.err
    assert "other" in wrong.err
    assert len(wrong.err.splitlines()) == 1
    result = campaign.run("--production=sim", "--new=t", f"--dataset={name}")
    assert result.code == 0, str(result)
    assert campaign.letters("sim_v1") == "FFFN"


@pytest.mark.parametrize("name", ["", "  ", "a\nb", "a\x1b[31mb", os.fsdecode(b"a\xff")])
def test_names_that_no_dataset_should_have(campaign: Campaign, name: str) -> None:
    """Refused in one line, or a name that can be used and shown; never a traceback, never control codes on a screen."""
    campaign.script("sim.sh", "exec true")
    campaign.settings('[programs.sim]\nscript = "sim.sh"\n')
    campaign.ok("init", str(campaign.database))
    added = campaign.product("datasets", "add", "1", f"--dataset={name}")
    if added.code == 0:
        result = campaign.run("--production=sim", "--new=t", f"--dataset={name}x")
        assert result.code == 2, str(result)
        assert len(result.err.splitlines()) == 1
        assert result.err.rstrip("\n").isprintable(), str(result)
        assert campaign.run("--production=sim", "--new=t", f"--dataset={name}").code == 0
        return
    assert added.code == 2, str(added)
    assert len(added.err.splitlines()) == 1
    assert added.err.rstrip("\n").isprintable(), str(added)
    assert "unexpected" not in added.err, str(added)
