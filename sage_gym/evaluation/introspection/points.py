"""A measured trajectory as a record: every turn's numbers, the alternatives it weighed, and the decision points."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from scipy.stats import norm

from sage_gym.evaluation.introspection.naming import Signal, decision_points
from sage_gym.evaluation.introspection.reading import Measured
from sage_gym.evaluation.introspection.records import Alternative, DecisionPoint, Introspection, TurnReading
from sage_gym.evaluation.introspection.wording import explain, say_why
from sage_gym.selection.scoring import has_succeeded
from sage_gym.types import Decision

__all__ = ["alternatives_of", "introspect", "probability_of"]

Floats = NDArray[np.float64]
MOST_ALTERNATIVES = 3
LEAST_PROBABILITY = 0.001
LONGEST = 160
"""Characters of an action that are kept."""


def introspect(measured: Measured, *, signal: Signal, file: str, round: int) -> Introspection:
    """Put a trajectory's decision points on record, explained by the template.

    Args:
        measured: the trajectory.
        signal: which one names decision points.
        file: of trajectories, relative to the run folder.
        round: whose student forecasts.

    Raises:
        ValueError: the signal is not to be had of this trajectory.
    """
    if signal not in measured.signals:
        known = ", ".join(measured.signals)
        raise ValueError(f"expected the signal {signal!r} of {measured.trace.trajectory.id}, got {known}")
    trajectory, weights_N = measured.trace.trajectory, measured.signals[signal]
    shares = _shares(weights_N, signal)
    turns = _turns(measured, shares)
    named = decision_points(weights_N)
    reasons = [say_why(turns, turn, measured.p_fail, signal) for turn in named]
    points = [DecisionPoint(turn=t, weight=shares[t], why=why) for t, why in zip(named, reasons, strict=True)]
    found = Introspection(
        trajectory=trajectory.id,
        file=file,
        task=trajectory.task.key,
        instruction=_clean(trajectory.task.instruction, 4 * LONGEST),
        round=round,
        success=has_succeeded(trajectory),
        reward=trajectory.reward,
        p_fail=measured.p_fail,
        signal=signal,
        points=tuple(points),
        turns=turns,
        explanation="",
        told_by="template",
    )
    return found.model_copy(update={"explanation": explain(found)})


def _shares(weights_N: Floats, signal: Signal) -> list[float]:
    """Return weights from 0 to 1.

    Of `unusual` it is the share of turns at that place that z is above under a normal distribution, of any other
    signal the share of the trajectory's total.
    """
    if signal == "unusual":
        return [float(value) for value in norm.cdf(weights_N)]
    total = float(weights_N.sum())
    return [float(value) for value in (weights_N / total if total > 0 else np.full(len(weights_N), 1 / len(weights_N)))]


def probability_of(decision: Decision) -> float | None:
    """Return the probability of what was sampled, None where it is not known (injected, or no log-probabilities).

    It is 1 where nothing was left to choose.
    """
    ledger = decision.ledger
    if ledger is None or decision.notes.get("is_greedy"):
        return None
    total = sum(logprob for logprob, is_sampled in zip(ledger.logprobs, ledger.mask, strict=True) if is_sampled)
    return None if math.isnan(total) else math.exp(total)


def alternatives_of(decision: Decision) -> tuple[Alternative, ...]:
    """Return what else was weighed, the likeliest first; equal actions are one, with their probabilities added.

    An action that is a beginning of the chosen one (`search[]` of `search[red shoes]`) is the same choice, of which
    only the first token is known.
    """
    found: dict[str, Alternative] = {}
    for candidate in decision.candidates:
        if decision.action.startswith(candidate.action.rstrip("]")):
            continue
        probability = None if candidate.logprob is None else math.exp(candidate.logprob)
        before = found.get(candidate.action)
        if before is not None and before.probability is not None and probability is not None:
            probability += before.probability
        p_fail = candidate.p_fail if before is None or before.p_fail is None else before.p_fail
        found[candidate.action] = Alternative(
            action=_clean(candidate.action, LONGEST), probability=probability, p_fail=p_fail
        )
    likely = [one for one in found.values() if one.probability is None or one.probability >= LEAST_PROBABILITY]
    likely.sort(key=lambda one: -(one.probability or 0.0))
    return tuple(likely[:MOST_ALTERNATIVES])


def _turns(measured: Measured, shares: Sequence[float]) -> tuple[TurnReading, ...]:
    trace, course, count = measured.trace, measured.course, len(shares)
    ends = [int(end) for end in trace.after_K]
    starts = [0, *(end + 1 for end in ends[:-1])]
    return tuple(
        TurnReading(
            turn=index,
            action=_clean(turn.decision.action, LONGEST),
            tokens=int(trace.lengths_N[index]) if index < count else ends[index] - starts[index] + 1,
            weight=shares[index] if index < count else None,
            effect=float(measured.effects_N[index]) if index < count else None,
            p_fail_without=float(measured.without_N[index]) if index < count else None,
            p_fail_before=float(course.p_fail_before_K[index]),
            p_fail=float(course.p_fail_after_K[index]),
            entropy=turn.decision.entropy,
            probability=probability_of(turn.decision),
            alternatives=alternatives_of(turn.decision),
        )
        for index, turn in enumerate(trace.trajectory.turns)
    )


def _clean(text: str, most: int) -> str:
    # a lone surrogate cannot be written as UTF-8
    text = text.encode("utf-8", "backslashreplace").decode()
    return text if len(text) <= most else f"{text[:most]} …"
