"""All that is measured of trajectories, one by one: signals, what removing turns does, curves of removal."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from sage_gym.evaluation.introspection.attention import Reading, read_trace
from sage_gym.evaluation.introspection.forecaster import Forecaster
from sage_gym.evaluation.introspection.naming import Signal
from sage_gym.evaluation.introspection.removal import (
    Variant,
    closed_up,
    donors_of,
    knocked_out,
    replaced,
    shifted,
    whole,
)
from sage_gym.evaluation.introspection.signals import signals_of
from sage_gym.evaluation.introspection.traces import Trace
from sage_gym.protocols import Student

__all__ = ["Curves", "Measured", "measure_all"]

Floats = NDArray[np.float64]
Turns = frozenset[int]
SHARES = (0.0, 0.25, 0.5, 0.75, 1.0)
"""Of the turns, at which curves are measured: what a long trajectory costs does not grow with each turn's square."""


@dataclass(frozen=True, slots=True)
class Curves:
    """How far the log-odds lie from the whole trajectory's (nats), at M shares of the turns from 0 to 1.

    `deletion_M` after that share of the turns, those of largest weight, is knocked out; `insertion_M` with only those
    there.
    """

    share_M: Floats
    deletion_M: Floats
    insertion_M: Floats


@dataclass(frozen=True, slots=True)
class Measured:
    """One trajectory. N turns that can be taken away; effects are changes of the log-odds of failure, in nats.

    `p_fail` is of the whole trajectory; `without_N` is what it becomes when a turn is knocked out.
    `closed_N`, `replaced_N` and `shifted_N` are the effects of the other ways, None where they were not asked for; a
    turn that no other episode could replace is NaN.
    """

    trace: Trace
    reading: Reading
    log_odds: float
    p_fail: float
    effects_N: Floats
    without_N: Floats
    signals: Mapping[Signal, Floats]
    closed_N: Floats | None = None
    replaced_N: Floats | None = None
    shifted_N: Floats | None = None
    curves: Mapping[Signal, Curves] | None = None


def measure_all(
    student: Student,
    traces: Sequence[Trace],
    *,
    seed: int = 0,
    is_whole_test: bool = True,
    step_tokens: int = 8192,
) -> Iterator[Measured]:
    """Measure trajectories one after the other, in a memory that does not grow with their number.

    Args:
        student: with a meta-cognition head; its weights stay as they are.
        traces: the trajectories.
        seed: of the lots.
        is_whole_test: also the other ways of removal, and the curves: what the test of faithfulness needs.
        step_tokens: of one forward pass.
    """
    forecaster = Forecaster(student, step_tokens=step_tokens)
    donors = donors_of(traces, seed) if is_whole_test else []
    for index, trace in enumerate(traces):
        reading = read_trace(student, trace)
        first = _measure(forecaster, trace, reading, np.random.default_rng([seed, 19, index]))
        yield _test_wholly(forecaster, first, donors[index]) if is_whole_test else first


def _measure(forecaster: Forecaster, trace: Trace, reading: Reading, rng: np.random.Generator) -> Measured:
    turns = range(len(trace.spans_N))
    found = forecaster.judge([whole(trace), *(knocked_out(trace, (turn,)) for turn in turns)])
    effects_N = found.log_odds_M[1:] - found.log_odds_M[0]
    return Measured(
        trace,
        reading,
        log_odds=float(found.log_odds_M[0]),
        p_fail=float(found.p_fail_M[0]),
        effects_N=effects_N,
        without_N=found.p_fail_M[1:],
        signals=signals_of(trace, reading, effects_N, rng),
    )


def _test_wholly(forecaster: Forecaster, measured: Measured, donors: Sequence[Trace | None]) -> Measured:
    trace = measured.trace
    turns, able = range(len(trace.spans_N)), [turn for turn, donor in enumerate(donors) if donor is not None]
    subsets = _subsets(measured.signals.values())
    ways: list[Variant] = [knocked_out(trace, subset) for subset in subsets]
    ways += [closed_up(trace, (turn,)) for turn in turns] + [shifted(trace, turn) for turn in turns]
    ways += [replaced(trace, turn, donor) for turn, donor in enumerate(donors) if donor is not None]
    changes_M = forecaster.judge(ways).log_odds_M - measured.log_odds
    knocked_M, closed_N, shifted_N, lent_M = np.split(changes_M, np.cumsum([len(subsets), len(turns), len(turns)]))
    replaced_N = np.full(len(turns), np.nan)
    replaced_N[able] = lent_M
    distance = dict(zip(subsets, np.abs(knocked_M).tolist(), strict=True)).__getitem__
    return replace(
        measured,
        closed_N=closed_N,
        replaced_N=replaced_N,
        shifted_N=shifted_N,
        curves={name: _curves(weights_N, distance) for name, weights_N in measured.signals.items()},
    )


def _subsets(weights: Iterable[Floats]) -> list[Turns]:
    """Return the sets of turns that any curve takes away, each once."""
    found: dict[Turns, None] = {}
    for weights_N in weights:
        everything = frozenset(range(len(weights_N)))
        for turns in _prefixes(weights_N):
            found[turns] = found[everything - turns] = None
    return list(found)


def _curves(weights_N: Floats, distance: Callable[[Turns], float]) -> Curves:
    everything = frozenset(range(len(weights_N)))
    removed = _prefixes(weights_N)
    return Curves(
        share_M=np.array([len(turns) / len(everything) for turns in removed]),
        deletion_M=np.array([distance(turns) for turns in removed]),
        insertion_M=np.array([distance(everything - turns) for turns in removed]),
    )


def _prefixes(weights_N: Floats) -> list[Turns]:
    """Return growing sets of the turns of largest weight, from none to all: each of them, or a quarter at a time."""
    order = np.argsort(-weights_N, kind="stable").tolist()
    counts = sorted({round(share * len(order)) for share in SHARES})
    return [frozenset(order[:count]) for count in counts]
