"""The demo's analysis: it finds the lifetime that was put in, says so when there is none, and refuses a wrong one."""

from __future__ import annotations

import contextlib
import importlib.util
import pathlib
import re
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from typing import Any

import pytest

ROOT = pathlib.Path(__file__).resolve().parents[2]

Need = Callable[[str, object], object]


@pytest.fixture(autouse=True)
def packages(need: Need) -> None:
    for name in ("numpy", "uproot", "hist", "matplotlib"):
        need(name, importlib.util.find_spec(name))


def histogram(tau: float, hits: float, seed: int, background: float = 0.05) -> tuple[Any, Any]:
    """Middles of bins, and counts."""
    import numpy as np

    edges = np.linspace(0.1, 12.1, 301)
    time = (edges[1:] + edges[:-1]) / 2
    rate = np.exp(-time / tau) * (1 + 0.1 * np.cos(2 * np.pi * 1.355 * time + 1)) + background
    return time, np.random.default_rng(seed).poisson(rate * hits / rate.sum()).astype(float)


@pytest.mark.parametrize("tau", [0.88, 2.197, 5.0])
def test_the_fit_finds_what_was_put_in(tau: float) -> None:
    """Forty times: the pulls are those of honest errors."""
    import numpy as np

    from demo import fit

    fits = [fit.lifetime(*histogram(tau, 2e5, seed), precession=1.36) for seed in range(40)]
    pulls = np.array([(one.tau - tau) / one.error for one in fits])
    assert abs(pulls.mean()) < 3 / 40**0.5
    assert 0.6 < pulls.std() < 1.5
    assert 0.9 < np.mean([one.chi2 / one.ndf for one in fits]) < 1.1
    assert np.mean([one.parameters[5] for one in fits]) == pytest.approx(2 * np.pi * 1.355, rel=5e-3)


def test_few_hits_are_no_reason_for_a_bias() -> None:
    """Bins with one hit or none, where least squares are wrong."""
    import numpy as np

    from demo import fit

    fits = [fit.lifetime(*histogram(2.197, 2000, seed, background=0.005), precession=1.36) for seed in range(60)]
    pulls = np.array([(one.tau - 2.197) / one.error for one in fits])
    assert abs(pulls.mean()) < 4 / 60**0.5


def test_what_does_not_decay_has_no_lifetime() -> None:
    import numpy as np

    from demo import fit

    time, counts = histogram(2.197, 2e4, 1)
    with pytest.raises(fit.NoDecay):
        fit.lifetime(time, np.random.default_rng(1).poisson(np.full_like(time, 100.0)).astype(float), precession=1.36)
    with pytest.raises(fit.NoDecay, match="too few"):
        fit.lifetime(time, counts * 0, precession=1.36)


def produced(directory: pathlib.Path, tau: float) -> None:
    """What a production leaves, as far as the plots ask for it."""
    import hist

    from demo import fit, rootana

    (directory / "data").mkdir()
    with contextlib.closing(sqlite3.connect(directory / "production.db")) as connection, connection:
        connection.execute("CREATE TABLE rootana_v1 (run, status, out)")
        connection.execute("CREATE TABLE datasets (run, dataset)")
        for run, dataset in (2091, "Al50"), (2092, "Al50"), (2119, "SiR2"):
            time, counts = histogram(tau, 1e5, run)
            filled = hist.Hist(hist.axis.Regular(300, 0.1, 12.1))
            filled[...] = counts
            name = f"out{run}.root"
            rootana.write(str(directory / "data" / name), run, filled, fit.lifetime(time, counts, precession=1.36))
            connection.execute("INSERT INTO rootana_v1 VALUES (?, 'F', ?)", (run, name))
            connection.execute("INSERT INTO datasets VALUES (?, ?)", (run, dataset))
        connection.execute("INSERT INTO rootana_v1 VALUES (2120, 'E', NULL)")


def plots(directory: pathlib.Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "demo.plots", str(directory), "1"]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)


def test_plots_of_all_finished_runs(tmp_path: pathlib.Path) -> None:
    produced(tmp_path, 2.197)
    done = plots(tmp_path)
    assert done.returncode == 0, done.stderr
    assert re.search(
        r"^muon lifetime: 2\.\d{4} \+- 0\.0\d{3} us \(expected 2\.197\): within \d\.\d sigma$",
        done.stdout,
        re.MULTILINE,
    )
    for name in ("lifetime", "runs"):
        picture = (tmp_path / "plots/v1" / f"{name}.png").read_bytes()
        assert picture.startswith(b"\x89PNG\r\n\x1a\n")
        assert picture.endswith(b"IEND\xaeB`\x82")
        assert len(picture) > 10_000


def test_another_lifetime_is_refused(tmp_path: pathlib.Path) -> None:
    """Where the clock's tick is wrong, plots look well and jobs end well: the physics is checked."""
    produced(tmp_path, 4.3)
    done = plots(tmp_path)
    assert done.returncode == 1
    assert "that is not the muon's" in done.stderr


def test_no_production_no_plots(tmp_path: pathlib.Path) -> None:
    done = plots(tmp_path)
    assert done.returncode == 1
    assert done.stderr.startswith("plots: ")
    assert len(done.stderr.splitlines()) == 1
