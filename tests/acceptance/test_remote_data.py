"""Productions whose jobs have a disk that this machine doesn't see: inputs are sent there, outputs brought back."""

from __future__ import annotations

import pathlib
from collections.abc import Iterator

import pytest

from tests.acceptance import depots, logins
from tests.acceptance.campaign import Campaign
from tests.fakes import cluster as clusters


@pytest.fixture
def cluster(tmp_path: pathlib.Path) -> clusters.Cluster:
    """A fake Slurm."""
    return clusters.Cluster(tmp_path / "cluster.json")


@pytest.fixture
def far(
    campaign: Campaign, cluster: clusters.Cluster, tmp_path: pathlib.Path, need: logins.Need
) -> Iterator[depots.Far]:
    with depots.behind(campaign, cluster, tmp_path, need) as far:
        yield far


def test_a_chain_from_end_to_end(far: depots.Far) -> None:
    """What is read there are copies; what is left there are the logs and the scripts, here the outputs."""
    far.begin(depots.SIM, range(1, 5))
    result = far.start("--new=t").wait(120)
    assert result.code == 0, str(result)
    data = far.campaign.directory / "data"
    raw = {run: (far.campaign.directory / f"archive/run{run:05d}.mid").read_bytes() for run in range(1, 5)}
    for run, content in raw.items():
        assert (data / f"tree/v1/tree{run:05d}.root").read_bytes() == content
        assert (data / f"hist/v1/hist{run:05d}.root").read_text() == f"hist {run}\n"
    result = far.start("--new=t", "--version=1", program="fit").wait(120)
    assert result.code == 0, str(result)
    for run, content in raw.items():
        assert (data / f"fit/v1/fit{run:05d}.txt").read_bytes() == content.upper()
    logs = {
        f"log/v1/{name}.run{run:05d}.attempt1.{end}" for name in ("sim", "fit") for run in raw for end in ("out", "err")
    }
    left = [path for path in far.there() if path not in logs and not path.startswith("script/")]
    assert left == ["input/", "jobs/", "log/", "log/v1/", "work/"]
    assert logs <= set(far.there())
    assert sorted(path.name for path in data.iterdir() if not path.name.startswith(".")) == ["fit", "hist", "tree"]
    assert far.campaign.rows("SELECT count(*) FROM input") == [(0,)]
    far.campaign.nothing_in_hands()


def test_a_log_there_is_read_from_here(far: depots.Far) -> None:
    far.begin('echo "run $1 of $2"; echo "bad magic in run $1" >&2; exit 3', range(1, 2))
    result = far.start("--new=t").wait(120)
    assert result.code == 3, str(result)
    assert "bad magic in run 1" in result.err
    assert f"sftp://login{str(far.remote).replace(' ', '%20').replace('µ', '%C2%B5')}/log/v1/" in result.err
    said = far.campaign.ok("log", "1", "--production=sim")
    assert "bad magic in run 1" in said.out
    assert f"run 1 of {far.remote}/input/" in far.campaign.ok("log", "1", "--production=sim", "--out").out
