"""All that is measured of trajectories, one by one: signals, what removing turns does, curves of removal."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sage_gym.evaluation.introspection.attention import Course, read_trace
from sage_gym.evaluation.introspection.forecaster import Forecaster
from sage_gym.evaluation.introspection.naming import SIGNALS, Signal
from sage_gym.evaluation.introspection.places import PlacedFlows, beyond_place
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

__all__ = ["Curves", "Measured", "Watch", "measure_all"]

Floats = NDArray[np.float64]
Turns = frozenset[int]
Watch = Callable[[Iterable[Any], int, str], Iterable[Any]]
"""Passes on what is made one by one, given how many there are and what is done: for a progress bar."""
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
    course: Course
    log_odds: float
    p_fail: float
    effects_N: Floats
    without_N: Floats
    signals: Mapping[Signal, Floats]
    closed_N: Floats | None = None
    replaced_N: Floats | None = None
    shifted_N: Floats | None = None
    curves: Mapping[Signal, Curves] | None = None


@dataclass(frozen=True, slots=True)
class _Sketch:
    """A trajectory of which one pass was made."""

    trace: Trace
    course: Course
    signals: dict[Signal, Floats]


def measure_all(
    student: Student,
    traces: Sequence[Trace],
    others: Sequence[Trace] = (),
    *,
    seed: int = 0,
    is_whole_test: bool = True,
    step_tokens: int = 8192,
    watch: Watch = lambda items, count, doing: items,
) -> list[Measured]:
    """Measure trajectories.

    Args:
        student: with a meta-cognition head; its weights stay as they are.
        traces: the trajectories.
        others: trajectories that are only read, for what is usual at each place.
        seed: of the lots.
        is_whole_test: also the other ways of removal, and the curves: what the test of faithfulness needs.
        step_tokens: of one forward pass.
        watch: see there.
    """
    together = [*traces, *others]
    sketches = list(watch((_sketch(student, trace) for trace in together), len(together), "reading"))
    own = _with_unusual(sketches[: len(traces)], sketches[len(traces) :])
    forecaster = Forecaster(student, step_tokens=step_tokens)
    donors = donors_of(traces, seed) if is_whole_test else [()] * len(traces)

    def measure(index: int) -> Measured:
        found = _measure(forecaster, own[index], np.random.default_rng([seed, 19, index]))
        return _test_wholly(forecaster, found, donors[index]) if is_whole_test else found

    return list(watch(map(measure, range(len(traces))), len(traces), "taking turns away"))


def _sketch(student: Student, trace: Trace) -> _Sketch:
    reading = read_trace(student, trace)
    return _Sketch(trace, reading.course, signals_of(trace, reading))


def _with_unusual(own: Sequence[_Sketch], others: Sequence[_Sketch]) -> list[_Sketch]:
    """Add to each trajectory's signals the flow beyond what is usual at its turns' places."""
    if any("flow" not in sketch.signals for sketch in (*own, *others)):
        return list(own)
    flows, usual = ([PlacedFlows.of(s.trace, s.signals["flow"]) for s in part] for part in (own, others))
    beyond = beyond_place(flows, usual)
    return [replace(s, signals={**s.signals, "unusual": z_N}) for s, z_N in zip(own, beyond, strict=True)]


def _measure(forecaster: Forecaster, sketch: _Sketch, rng: np.random.Generator) -> Measured:
    trace, count = sketch.trace, len(sketch.trace.spans_N)
    found = forecaster.judge([whole(trace), *(knocked_out(trace, (turn,)) for turn in range(count))])
    effects_N = found.log_odds_M[1:] - found.log_odds_M[0]
    baselines: dict[Signal, Floats] = {"last": np.arange(count, dtype=float), "random": rng.random(count)}
    signals = {**sketch.signals, "leave_one_out": np.abs(effects_N), **baselines}
    return Measured(
        trace,
        sketch.course,
        log_odds=float(found.log_odds_M[0]),
        p_fail=float(found.p_fail_M[0]),
        effects_N=effects_N,
        without_N=found.p_fail_M[1:],
        signals={name: signals[name] for name in SIGNALS if name in signals},
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
