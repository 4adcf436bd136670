"""One production keeps its files in one place, and a data directory is of one database."""

from __future__ import annotations

import os

import pytest

from tests.acceptance.campaign import Campaign

SIM = """
[programs.sim]
script = "sim.sh"
arguments = ["{tree}"]

[programs.sim.outputs.tree]
path = "tree/v{version}/tree{run:05d}.dat"
"""


@pytest.fixture
def begun(campaign: Campaign) -> Campaign:
    """A campaign whose first production is finished."""
    campaign.script("sim.sh", 'echo tree >"$1"')
    campaign.settings(SIM)
    campaign.begin("1-2")
    assert campaign.run("--production=sim", "--new=v5").code == 0
    return campaign


def test_a_production_goes_on_only_where_its_files_are(begun: Campaign) -> None:
    begun.ok("datasets", "add", "3", "--dataset=Al100")
    assert begun.run("--production=sim", "--new=v6").code == 0
    begun.ok("datasets", "add", "4", "--dataset=Al100")
    text = (begun.directory / "production.toml").read_text()
    (begun.directory / "production.toml").write_text(text.replace('data = "data"', 'data = "elsewhere"'))
    result = begun.run("--production=sim")
    assert result.code == 2
    assert f'sim_v2 keeps its files under {begun.data}; mend: data = "{begun.data}"' in result.err
    assert not (begun.directory / "elsewhere").exists()
    assert begun.run("--production=sim", "--new=v7").code == 0  # a new version may be elsewhere
    assert (begun.directory / "elsewhere/tree/v3/tree00004.dat").exists()


def test_the_same_directory_by_another_name_will_do(begun: Campaign) -> None:
    os.symlink(begun.data, begun.directory / "link")
    text = (begun.directory / "production.toml").read_text()
    (begun.directory / "production.toml").write_text(text.replace('data = "data"', 'data = "link"'))
    assert begun.run("--production=sim").code == 0


def test_two_databases_do_not_share_a_data_directory(begun: Campaign) -> None:
    other = begun.directory / "other.db"
    begun.ok("init", str(other))
    begun.ok("datasets", "add", "1", "--dataset=Al100", f"--database={other}")
    result = begun.run("--production=sim", "--new=v5", f"--database={other}")
    assert result.code == 2
    assert f"data {begun.data} belongs to another database, {begun.database}; " in result.err
    assert "give each database a data directory of its own" in result.err
    assert "no productions yet" in begun.ok("status", f"--database={other}").out
