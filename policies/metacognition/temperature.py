"""Temperature scaling of a binary forecaster: one number, fitted by a bounded scalar search.

Source: Guo et al., arXiv 1706.04599. With b = 1/T the mean negative log-likelihood of sigmoid(b * logit) is convex
in b, so a golden-section search over log T within bounds finds the optimum without a step size.
Left out: a bias term (Platt scaling), since the head's own bias already fits the base rate.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

__all__ = ["TemperatureFit", "fit_temperature"]

MIN_TEMPERATURE, MAX_TEMPERATURE = 0.05, 20.0
GOLDEN = (math.sqrt(5) - 1) / 2


@dataclass(frozen=True, slots=True)
class TemperatureFit:
    """The temperature, and the mean negative log-likelihood (nats a forecast) before and after.

    `reason` is empty for an optimum within the bounds; otherwise it says what kept one from being found.
    """

    temperature: float
    nll_before: float
    nll_after: float
    reason: str = ""


def fit_temperature(logits_B: Tensor, failed_B: Tensor) -> TemperatureFit:
    """Fit T so that sigmoid(logit / T) is calibrated.

    With fewer than one failure or one success there is no optimum (T would go to a bound): T stays 1.0, and
    `reason` says so. The same holds for no forecasts at all, and for logits that are all zero.

    Args:
        logits_B: raw logits of p_fail.
        failed_B: 1 where the episode failed, 0 where it succeeded.

    Raises:
        ValueError: shapes that differ, logits that are not finite, or labels other than 0 and 1.
    """
    logits_B, failed_B = logits_B.detach().double().cpu(), failed_B.detach().double().cpu()
    _check(logits_B, failed_B)
    if len(logits_B) == 0:
        return TemperatureFit(1.0, math.nan, math.nan, "no forecasts to fit on; temperature left at 1.0")
    before = _nll(0.0, logits_B, failed_B)
    failures, count = int(failed_B.sum()), len(failed_B)
    if failures in (0, count):
        reason = f"{failures} of {count} episodes failed, so one class is absent; temperature left at 1.0"
        return TemperatureFit(1.0, before, before, reason)
    if not bool(logits_B.any()):
        return TemperatureFit(1.0, before, before, "every logit is 0; temperature left at 1.0")
    log_temperature = _golden_section(logits_B, failed_B)
    temperature = math.exp(log_temperature)
    return TemperatureFit(
        temperature, before, _nll(log_temperature, logits_B, failed_B), _explain_bound(temperature, count)
    )


def _check(logits_B: Tensor, failed_B: Tensor) -> None:
    if logits_B.ndim != 1 or logits_B.shape != failed_B.shape:
        raise ValueError(f"expected a label for each logit, got {tuple(failed_B.shape)} for {tuple(logits_B.shape)}")
    if not bool(torch.isfinite(logits_B).all()):
        raise ValueError("expected finite logits, got infinities or NaN; look at the head's training")
    if not bool(((failed_B == 0) | (failed_B == 1)).all()):
        raise ValueError("expected labels 0 (succeeded) or 1 (failed), got others")


def _nll(log_temperature: float, logits_B: Tensor, failed_B: Tensor) -> float:
    return float(functional.binary_cross_entropy_with_logits(logits_B * math.exp(-log_temperature), failed_B))


def _golden_section(logits_B: Tensor, failed_B: Tensor, tolerance: float = 1e-7) -> float:
    low, high = math.log(MIN_TEMPERATURE), math.log(MAX_TEMPERATURE)
    left, right = high - GOLDEN * (high - low), low + GOLDEN * (high - low)
    at_left, at_right = _nll(left, logits_B, failed_B), _nll(right, logits_B, failed_B)
    while high - low > tolerance:
        if at_left <= at_right:
            high, right, at_right = right, left, at_left
            left = high - GOLDEN * (high - low)
            at_left = _nll(left, logits_B, failed_B)
        else:
            low, left, at_left = left, right, at_right
            right = low + GOLDEN * (high - low)
            at_right = _nll(right, logits_B, failed_B)
    return (low + high) / 2


def _explain_bound(temperature: float, count: int) -> str:
    if temperature > MAX_TEMPERATURE * 0.999:
        return f"at the upper bound {MAX_TEMPERATURE}: on these {count} episodes the forecasts do not rank failures"
    if temperature < MIN_TEMPERATURE * 1.001:
        return f"at the lower bound {MIN_TEMPERATURE}: on these {count} episodes the forecasts separate the classes"
    return ""
