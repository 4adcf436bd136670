"""A lifetime from a histogram of decay times, by maximum likelihood.

The curve is exp(-t/tau) (n + a cos(wt) + b sin(wt)) + c: muons whose spin precesses with w, and a flat background. Counts
are Poisson's, also where they are few. The steps are Fisher's: those of a least-squares fit whose errors come from the
curve, so they end where the likelihood is largest.
"""

from __future__ import annotations

import dataclasses

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float64]

PARAMETERS = ("n", "a", "b", "c", "tau", "w")
"""Counts a bin for the first four, us, and rad/us."""
STEPS = 60
ENOUGH = 1e-3
"""A step that brings less than this, in twice the logarithm of the likelihood, is the last: an error is 1."""


class NoDecay(Exception):
    """There is nothing to fit a lifetime to; the message says why in one line."""


@dataclasses.dataclass(frozen=True, slots=True)
class Fit:
    """The best curve."""

    parameters: Array
    errors: Array
    chi2: float
    """Twice the logarithm of the likelihood's distance from a perfect curve."""
    ndf: int

    @property
    def tau(self) -> float:
        return float(self.parameters[4])

    @property
    def error(self) -> float:
        """Of tau."""
        return float(self.errors[4])


def curve(parameters: Array, time: Array) -> Array:
    """Counts expected in bins with these middles."""
    n, a, b, c, tau, w = parameters
    return np.exp(-time / tau) * (n + a * np.cos(w * time) + b * np.sin(w * time)) + c


def lifetime(time: Array, counts: Array, precession: float, tau: float = 2.0) -> Fit:
    """Fit bins with these middles (us) and counts, from a frequency (MHz) and a lifetime (us) that are about right.

    Raises: NoDecay.
    """
    if len(time) < 2 * len(PARAMETERS) or counts.sum() < 500:
        raise NoDecay(f"{counts.sum():.0f} hits in {len(time)} bins are too few for a lifetime")
    parameters = _start(time, counts, tau, 2 * np.pi * precession)
    for free in 5, 6:  # the frequency only when the rest is right: it would run away
        parameters, distance = _descend(parameters, free, time, counts)
    return _checked(parameters, time, distance)


def _descend(parameters: Array, free: int, time: Array, counts: Array) -> tuple[Array, float]:
    """The likeliest curve with the first so many parameters free, and how far it is from a perfect one."""
    distance = _distance(parameters, time, counts)
    for _ in range(STEPS):
        step = _step(parameters, free, time, counts)
        # the whole step, or so much of it that the curve comes nearer
        trials = [parameters + step / 2**halved for halved in range(12)]
        nearer = [(_distance(trial, time, counts), trial) for trial in trials]
        found, parameters = next((each for each in nearer if each[0] <= distance), (distance, parameters))
        if distance - found < ENOUGH:
            return parameters, found
        distance = found
    raise NoDecay(f"no fit after {STEPS} steps; is the precession about right?")


def _start(time: Array, counts: Array, tau: float, w: float) -> Array:
    """All but tau and w is linear in the curve: least squares."""
    decay = np.exp(-time / tau)
    matrix = np.column_stack([decay, decay * np.cos(w * time), decay * np.sin(w * time), np.ones_like(time)])
    error = np.sqrt(np.maximum(counts, 1))
    linear = np.linalg.lstsq(matrix / error[:, None], counts / error, rcond=None)[0]
    linear[3] = max(linear[3], 0.1)
    return np.array([*linear, tau, w])


def _distance(parameters: Array, time: Array, counts: Array) -> float:
    """-2 ln of the likelihood, 0 for the curve that goes through every point; infinite where there is no such curve."""
    if not 0.05 < parameters[4] < 100:
        return float("inf")
    expected = curve(parameters, time)
    if expected.min() <= 0:
        return float("inf")
    logarithm = np.log(np.maximum(counts, 1) / expected)
    return float(2 * (expected - counts + counts * logarithm).sum())


def _step(parameters: Array, free: int, time: Array, counts: Array) -> Array:
    expected, slopes = curve(parameters, time), _slopes(parameters, time)[:, :free]
    weighted = slopes / expected[:, None]
    step = np.linalg.lstsq(weighted.T @ slopes, weighted.T @ (counts - expected), rcond=None)[0]
    return np.concatenate([step, np.zeros(len(parameters) - free)])


def _slopes(parameters: Array, time: Array) -> Array:
    """How the curve changes with each parameter."""
    n, a, b, _, tau, w = parameters
    decay, cosine, sine = np.exp(-time / tau), np.cos(w * time), np.sin(w * time)
    wave = n + a * cosine + b * sine
    columns = [
        decay,
        decay * cosine,
        decay * sine,
        np.ones_like(time),
        decay * wave * time / tau**2,
        decay * time * (b * cosine - a * sine),
    ]
    return np.column_stack(columns)


def _checked(parameters: Array, time: Array, distance: float) -> Fit:
    slopes = _slopes(parameters, time)
    information = slopes.T @ (slopes / curve(parameters, time)[:, None])
    errors = np.sqrt(np.maximum(np.diag(np.linalg.pinv(information, hermitian=True)), 0))
    fit = Fit(parameters, errors, distance, len(time) - len(parameters))
    if not 0 < fit.error < fit.tau:
        raise NoDecay(f"the hits don't decay: {fit.tau:.3f} +- {fit.error:.3f} us")
    return fit
