"""Scaling of a binary forecaster to its split: a temperature and a shift, p = sigmoid(logit / T + s).

Sources: temperature scaling, Guo et al., arXiv 1706.04599; the shift makes it Platt's scaling. A head that is trained
while its policy improves lags behind the failure rate, which no temperature mends. With b = 1/T the mean negative
log-likelihood is convex in (b, s), so its minimum over s is convex in b: a golden-section search over log T within
bounds finds the optimum without a step size, and Newton's method s for each T.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

__all__ = ["ScalingFit", "fit_scaling"]

MIN_TEMPERATURE, MAX_TEMPERATURE = 0.05, 20.0
MOST_SHIFT = 20.0
"""Logits beyond those that would take the least (the greatest) forecast to one half."""
GOLDEN = (math.sqrt(5) - 1) / 2


@dataclass(frozen=True, slots=True)
class ScalingFit:
    """The temperature and the shift, and the mean negative log-likelihood (nats a forecast) before and after.

    `reason` is empty for an optimum within the bounds; otherwise it says what kept one from being found.
    """

    temperature: float
    shift: float
    nll_before: float
    nll_after: float
    reason: str = ""


def fit_scaling(logits_B: Tensor, failed_B: Tensor) -> ScalingFit:
    """Fit T and s so that sigmoid(logit / T + s) is calibrated.

    With fewer than one failure or one success there is no optimum: T stays 1 and s 0, and `reason` says so. The same
    holds for no forecasts at all. Where all logits are zero, s alone is fitted.

    Args:
        logits_B: raw logits of p_fail.
        failed_B: 1 where the episode failed, 0 where it succeeded.

    Raises:
        ValueError: shapes that differ, logits that are not finite, or labels other than 0 and 1.
    """
    logits_B, failed_B = logits_B.detach().double().cpu(), failed_B.detach().double().cpu()
    _check(logits_B, failed_B)
    if len(logits_B) == 0:
        return ScalingFit(1.0, 0.0, math.nan, math.nan, "no forecasts to fit on; left as they are")
    before = _nll(0.0, 0.0, logits_B, failed_B)
    failures, count = int(failed_B.sum()), len(failed_B)
    if failures in (0, count):
        reason = f"{failures} of {count} episodes failed, so one class is absent; forecasts left as they are"
        return ScalingFit(1.0, 0.0, before, before, reason)
    log_temperature = _golden_section(logits_B, failed_B) if bool(logits_B.any()) else 0.0
    shift = _best_shift(log_temperature, logits_B, failed_B)
    after = _nll(log_temperature, shift, logits_B, failed_B)
    temperature = math.exp(log_temperature)
    return ScalingFit(temperature, shift, before, after, _explain_bound(temperature, count))


def _check(logits_B: Tensor, failed_B: Tensor) -> None:
    if logits_B.ndim != 1 or logits_B.shape != failed_B.shape:
        raise ValueError(f"expected a label for each logit, got {tuple(failed_B.shape)} for {tuple(logits_B.shape)}")
    if not bool(torch.isfinite(logits_B).all()):
        raise ValueError("expected finite logits, got infinities or NaN; look at the head's training")
    if not bool(((failed_B == 0) | (failed_B == 1)).all()):
        raise ValueError("expected labels 0 (succeeded) or 1 (failed), got others")


def _nll(log_temperature: float, shift: float, logits_B: Tensor, failed_B: Tensor) -> float:
    scaled_B = logits_B * math.exp(-log_temperature) + shift
    return float(functional.binary_cross_entropy_with_logits(scaled_B, failed_B))


def _best_shift(log_temperature: float, logits_B: Tensor, failed_B: Tensor, tolerance: float = 1e-10) -> float:
    """Return the s at which the forecasts' mean is the share of failures: Newton's method, kept inside a bracket."""
    scaled_B = logits_B * math.exp(-log_temperature)
    low, high = float(-scaled_B.max()) - MOST_SHIFT, float(-scaled_B.min()) + MOST_SHIFT
    shift = (low + high) / 2
    for _ in range(200):
        p_B = torch.sigmoid(scaled_B + shift)
        excess, slope = float((p_B - failed_B).mean()), float((p_B * (1 - p_B)).mean())
        low, high = (low, shift) if excess > 0 else (shift, high)
        step = excess / slope if slope > 0 else math.inf
        proposed = shift - step if low < shift - step < high else (low + high) / 2
        if abs(proposed - shift) < tolerance:
            break
        shift = proposed
    return shift


def _profile(log_temperature: float, logits_B: Tensor, failed_B: Tensor) -> float:
    return _nll(log_temperature, _best_shift(log_temperature, logits_B, failed_B), logits_B, failed_B)


def _golden_section(logits_B: Tensor, failed_B: Tensor, tolerance: float = 1e-7) -> float:
    low, high = math.log(MIN_TEMPERATURE), math.log(MAX_TEMPERATURE)
    left, right = high - GOLDEN * (high - low), low + GOLDEN * (high - low)
    at_left, at_right = _profile(left, logits_B, failed_B), _profile(right, logits_B, failed_B)
    while high - low > tolerance:
        if at_left <= at_right:
            high, right, at_right = right, left, at_left
            left = high - GOLDEN * (high - low)
            at_left = _profile(left, logits_B, failed_B)
        else:
            low, left, at_left = left, right, at_right
            right = low + GOLDEN * (high - low)
            at_right = _profile(right, logits_B, failed_B)
    return (low + high) / 2


def _explain_bound(temperature: float, count: int) -> str:
    if temperature > MAX_TEMPERATURE * 0.999:
        return f"at the upper bound {MAX_TEMPERATURE}: on these {count} episodes the forecasts do not rank failures"
    if temperature < MIN_TEMPERATURE * 1.001:
        return f"at the lower bound {MIN_TEMPERATURE}: on these {count} episodes the forecasts separate the classes"
    return ""
