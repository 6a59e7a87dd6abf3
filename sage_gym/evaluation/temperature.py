"""One temperature for forecasts, fitted on a split and applied to another: sigmoid(logit(p) / T) (arXiv 1706.04599).

It is fitted to forecasts as they were recorded, whatever scaling the head that gave them has of its own, so T = 1 means
that there was nothing left to mend. It moves no rank: AUROC and the risk-coverage curve stay as they are.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from pydantic import BaseModel, ConfigDict
from scipy.optimize import minimize_scalar
from scipy.special import expit, logit

from sage_gym.evaluation.intervals import Floats

__all__ = ["TemperatureFit", "at_temperature", "fit_temperature"]

LOWEST, HIGHEST = 0.05, 20.0
NEAREST = 1e-6
"""How near to 0 and 1 a forecast is taken at most: its logit must be finite."""
LEAST_GAIN = 1e-9
"""Nats a forecast; with less, as where every forecast is one half, the temperature stays 1."""


class TemperatureFit(BaseModel):
    """A temperature, and the mean negative log-likelihood (nats a forecast) of the split it was fitted on."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    temperature: float
    nll_before: float
    nll_after: float
    n: int
    reason: str = ""
    """Why there was nothing to fit; empty where there was."""


def fit_temperature(failed: Sequence[bool], forecasts: Sequence[float]) -> TemperatureFit:
    """Return the temperature that makes these forecasts likeliest: a convex problem in 1/T, searched in [0.05, 20].

    Args:
        failed: what happened.
        forecasts: p_fail in [0, 1].

    Raises:
        ValueError: lists of different lengths.
    """
    if len(failed) != len(forecasts):
        raise ValueError(f"expected one forecast a label, got {len(forecasts)} forecasts of {len(failed)} labels")
    y, p = np.asarray(failed, dtype=float), np.asarray(forecasts, dtype=float)
    failures, n = int(y.sum()), len(y)
    if failures in (0, n):
        what = "none failed" if failures == 0 else "all failed"
        reason = f"of the {n} episodes to fit on {what}" if n else "there are no episodes to fit on"
        return TemperatureFit(
            temperature=1.0, nll_before=_nll(1.0, y, p), nll_after=_nll(1.0, y, p), n=n, reason=reason
        )
    found = minimize_scalar(
        lambda log_t: _nll(math.exp(log_t), y, p), bounds=(math.log(LOWEST), math.log(HIGHEST)), method="bounded",
        options={"xatol": 1e-8},
    )  # fmt: skip
    before, after = _nll(1.0, y, p), float(found.fun)
    if before - after < LEAST_GAIN:
        return TemperatureFit(temperature=1.0, nll_before=before, nll_after=before, n=n)
    return TemperatureFit(temperature=math.exp(float(found.x)), nll_before=before, nll_after=after, n=n)


def at_temperature(forecasts: Sequence[float], temperature: float) -> list[float]:
    """Return the forecasts at a temperature.

    Raises:
        ValueError: a temperature of 0 or below.
    """
    if not temperature > 0:
        raise ValueError(f"expected a temperature above 0, got {temperature}")
    scaled: list[float] = expit(logit(_inside(np.asarray(forecasts, dtype=float))) / temperature).tolist()
    return scaled


def _nll(temperature: float, y: Floats, p: Floats) -> float:
    if not len(y):
        return 0.0
    # log(1 + exp(-s z)) with s = +1 for failures: stable at any temperature
    signed = np.where(y == 1, 1.0, -1.0) * logit(_inside(p)) / temperature
    return float(np.logaddexp(0.0, -signed).mean())


def _inside(p: Floats) -> Floats:
    return np.clip(p, NEAREST, 1.0 - NEAREST)
