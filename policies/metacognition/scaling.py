"""Scaling of a binary forecaster to its split: p = f + (c - f) sigmoid(logit / T + s).

Sources: temperature scaling, Guo et al., arXiv 1706.04599; the shift makes it Platt's scaling. A head that is trained
while its policy improves lags behind the failure rate, which no temperature mends. With b = 1/T the mean negative
log-likelihood is convex in (b, s), so its minimum over s is convex in b: a golden-section search over log T within
bounds finds the optimum without a step size, and Newton's method s for each T.

Floor f and ceiling c are the lower and upper asymptote of the four-parameter logistic model of item response theory
(Barton and Lord 1981, ETS RR-81-20): a student that samples fails now and then however easy the task, and succeeds now
and then however hard. From `LEAST_FOR_ENDS` forecasts on, all four are fitted together with a weak prior, from the
optimum of T and s; with fewer, f is 0 and c is 1.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import torch
from torch import Tensor
from torch.nn import functional

__all__ = ["ScalingFit", "fit_scaling"]

MIN_TEMPERATURE, MAX_TEMPERATURE = 0.05, 20.0
MOST_SHIFT = 20.0
"""Logits beyond those that would take the least (the greatest) forecast to one half."""
LEAST_FOR_ENDS = 100
HIGHEST_FLOOR, LOWEST_CEILING = 0.4, 0.8
PRIOR = 4.0
"""Weight, in forecasts, of the prior: log T and s around 0, floor and ceiling around a quarter of their ranges."""
GOLDEN = (math.sqrt(5) - 1) / 2


@dataclass(frozen=True, slots=True)
class ScalingFit:
    """Temperature, shift, floor and ceiling, and the mean negative log-likelihood (nats a forecast) before and after.

    `reason` is empty for an optimum within the bounds; otherwise it says what kept one from being found.
    """

    temperature: float
    shift: float
    nll_before: float
    nll_after: float
    reason: str = ""
    floor: float = 0.0
    ceiling: float = 1.0

    def scaled(self, logits_B: Tensor) -> Tensor:
        """Return calibrated probabilities of these raw logits."""
        return self.floor + (self.ceiling - self.floor) * torch.sigmoid(logits_B / self.temperature + self.shift)


def fit_scaling(logits_B: Tensor, failed_B: Tensor) -> ScalingFit:
    """Fit the scaling so that its probabilities are calibrated.

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
    fit = ScalingFit(temperature, shift, before, after, _explain_bound(temperature, count))
    return _with_ends(fit, logits_B, failed_B) if count >= LEAST_FOR_ENDS and not fit.reason else fit


def _with_ends(start: ScalingFit, logits_B: Tensor, failed_B: Tensor) -> ScalingFit:
    """Fit all four by L-BFGS, from an optimum of temperature and shift; that one stays where nothing is gained."""
    free_4 = torch.tensor(
        [-math.log(start.temperature), start.shift, -1.0, -1.0], dtype=torch.float64, requires_grad=True
    )
    prior_4 = torch.tensor([1.0, 0.1, 0.3, 0.3], dtype=torch.float64)
    middle_4 = torch.tensor([0.0, 0.0, -1.0, -1.0], dtype=torch.float64)
    optimizer = torch.optim.LBFGS([free_4], max_iter=200, line_search_fn="strong_wolfe")

    def shape() -> tuple[Tensor, Tensor, Tensor]:
        floor = HIGHEST_FLOOR * torch.sigmoid(free_4[2])
        ceiling = 1 - (1 - LOWEST_CEILING) * torch.sigmoid(free_4[3])
        return floor, ceiling, floor + (ceiling - floor) * torch.sigmoid(logits_B * free_4[0].exp() + free_4[1])

    def closure() -> Tensor:
        optimizer.zero_grad()
        prior = PRIOR / len(logits_B) * (prior_4 * (free_4 - middle_4).square()).sum()
        loss = functional.binary_cross_entropy(shape()[2], failed_B) + prior
        loss.backward()
        return loss

    optimizer.step(closure)
    with torch.no_grad():
        floor, ceiling, p_B = shape()
        after = float(functional.binary_cross_entropy(p_B, failed_B))
        temperature, shift = math.exp(-float(free_4[0])), float(free_4[1])
    if not math.isfinite(after) or after >= start.nll_after:
        return start
    return replace(
        start, temperature=temperature, shift=shift, floor=float(floor), ceiling=float(ceiling), nll_after=after
    )


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
