"""Whether removing what a signal names changes the forecast more than removing other turns.

Effects are |log-odds of failure without the turn - with it|, in nats. Tests are paired and two-sided (Wilcoxon's
signed ranks), with one value a family of tasks, p-values adjusted by Holm over the signals; intervals draw whole
families. Curves and areas after RISE (Petsiuk et al. 2018, arXiv 1806.07421), measured as the distance to the whole
trajectory's forecast, since a removed turn may move it either way.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from sage_gym.evaluation.intervals import Interval, cluster_mean
from sage_gym.evaluation.introspection.comparing import difference, place_rank, rank_correlation
from sage_gym.evaluation.introspection.matching import Placed, match
from sage_gym.evaluation.introspection.naming import BASELINES, SIGNALS, Signal, decision_points
from sage_gym.evaluation.introspection.reading import Curves, Measured
from sage_gym.evaluation.introspection.records import Difference, Faithfulness, PlaceRank, SignalTest, WayTest
from sage_gym.evaluation.significance import holm
from sage_gym.selection.scoring import has_succeeded

__all__ = ["Subject", "judge_faithfulness", "judge_signals"]

Floats = NDArray[np.float64]
GRID = np.linspace(0, 1, 11)
WAYS = ("knocked out", "closed up", "replaced", "shifted")
"""Of taking turns away; the first is the one that is judged by, the last takes nothing away."""


@dataclass(frozen=True, slots=True)
class Subject:
    """One trajectory as the tests see it: N turns that can be taken away, and the size of each one's effect.

    `ways` holds the effects of the other ways of taking turns away; NaN where one could not be.
    """

    task: str
    family: str
    lengths_N: NDArray[np.int64]
    effects_N: Floats
    signals: Mapping[Signal, Floats]
    curves: Mapping[Signal, Curves]
    ways: Mapping[str, Floats]

    @classmethod
    def of(cls, measured: Measured) -> Subject:
        """Take from a measured trajectory what the tests need.

        Raises:
            ValueError: it was not measured for them.
        """
        others = {"closed up": measured.closed_N, "replaced": measured.replaced_N, "shifted": measured.shifted_N}
        ways = {way: np.abs(effects_N) for way, effects_N in others.items() if effects_N is not None}
        if measured.curves is None or len(ways) < len(others):
            raise ValueError("expected trajectories measured for the whole test, got one measured without it")
        task = measured.trace.trajectory.task
        return cls(
            task.key,
            task.family or task.key,
            measured.trace.lengths_N,
            np.abs(measured.effects_N),
            measured.signals,
            measured.curves,
            ways,
        )


def judge_faithfulness(
    measured: Sequence[Measured],
    *,
    signal: Signal,
    run: str,
    round: int,
    files: Sequence[str],
    left_out: Mapping[str, int],
    notes: Sequence[str] = (),
    seed: int = 0,
) -> Faithfulness:
    """Test every signal that all trajectories have.

    Args:
        measured: the trajectories, for the whole test.
        signal: which one names decision points.
        run: the run's name, for the record.
        round: whose student forecasts.
        files: where the trajectories are from.
        left_out: trajectories that could not be looked into, by reason.
        notes: for the reader.
        seed: of the bootstraps.

    Raises:
        ValueError: no trajectory, or the chosen signal is not to be had.
    """
    subjects = [Subject.of(one) for one in measured]
    return Faithfulness(
        run=run,
        round=round,
        files=tuple(files),
        signal=signal,
        trajectories=len(subjects),
        families=len({subject.family for subject in subjects}),
        failures=sum(not has_succeeded(one.trace.trajectory) for one in measured),
        left_out=dict(left_out),
        recorded=_agreement(measured),
        signals=judge_signals(subjects, signal, seed),
        ways=tuple(_judge_way(subjects, signal, way, seed) for way in WAYS),
        turns=float(np.mean([len(subject.effects_N) for subject in subjects])),
        named_per_trajectory=float(np.mean([len(decision_points(s.signals[signal])) for s in subjects])),
        notes=tuple(notes),
    )


def judge_signals(subjects: Sequence[Subject], signal: Signal, seed: int) -> tuple[SignalTest, ...]:
    """Test every signal that all subjects have; p-values are adjusted over those that are no baselines.

    Raises:
        ValueError: no subject, or `signal` is not among them.
    """
    names = [name for name in SIGNALS if subjects and all(name in subject.signals for subject in subjects)]
    if signal not in names:
        raise ValueError(f"expected the signal {signal!r} of every trajectory, got {', '.join(names) or 'none'}")
    tests = [_judge_signal(subjects, name, seed) for name in names]
    for field in ("matched", "last", "deletion_lead"):
        tests = _adjust(tests, field)
    return tuple(tests)


def _judge_signal(subjects: Sequence[Subject], name: Signal, seed: int) -> SignalTest:
    named = [decision_points(subject.signals[name]) for subject in subjects]
    effects = [subject.effects_N for subject in subjects]
    matched, pairs = _against_matched(subjects, effects, named, seed)
    curves = [subject.curves[name] for subject in subjects]
    deletions, insertions = [c.deletion_M for c in curves], [c.insertion_M for c in curves]
    shares = [c.share_M for c in curves]
    ranks = [rank_correlation(s.signals[name], s.signals["leave_one_out"]) for s in subjects]
    tops = [s.signals[name].argmax() == s.effects_N.argmax() for s in subjects]
    is_rule = name == "last"
    leads = [_area(s.curves[name].deletion_M) - _area(s.curves["last"].deletion_M) for s in subjects]
    return SignalTest(
        name=name,
        title=SIGNALS[name],
        named=_mean(subjects, _of(effects, named), seed),
        others=_mean(subjects, _of(effects, [_rest(e, n) for e, n in zip(effects, named, strict=True)]), seed),
        matched=matched,
        pairs=pairs,
        last=None if is_rule else _against_last(subjects, effects, named, seed),
        deletion_area=_mean(subjects, map(_area, deletions), seed),
        insertion_area=_mean(subjects, map(_area, insertions), seed),
        deletion_lead=None if is_rule else difference(leads, [s.family for s in subjects], seed),
        deletion=_mean_curve(shares, deletions),
        insertion=_mean_curve(shares, insertions),
        rank=_mean(subjects, ranks, seed),
        rank_at_place=None if is_rule else _rank_at_place(subjects, name),
        top_shared=float(np.mean(tops)),
    )


def _judge_way(subjects: Sequence[Subject], signal: Signal, way: str, seed: int) -> WayTest:
    """Hold what the signal names against the others under one way; trajectories that it could not do are left out."""
    effects = [subject.ways.get(way, subject.effects_N) for subject in subjects]
    able = [index for index, effects_N in enumerate(effects) if np.isfinite(effects_N).all()]
    subjects, effects = [subjects[index] for index in able], [effects[index] for index in able]
    named = [decision_points(subject.signals[signal]) for subject in subjects]
    matched, pairs = _against_matched(subjects, effects, named, seed)
    return WayTest(
        way=way,
        trajectories=len(subjects),
        named=_mean(subjects, _of(effects, named), seed) if subjects else None,
        others=_mean(subjects, _of(effects, [_rest(e, n) for e, n in zip(effects, named, strict=True)]), seed)
        if subjects
        else None,
        matched=matched,
        pairs=pairs,
        last=_against_last(subjects, effects, named, seed),
    )


def _against_matched(
    subjects: Sequence[Subject], effects: Sequence[Floats], named: Sequence[Sequence[int]], seed: int
) -> tuple[Difference | None, int]:
    """Return named less matched, one value a trajectory that has a pair, and the count of pairs."""
    turns = [
        Placed(index, turn, subject.task, (turn, len(subject.effects_N)), int(length), turn in named[index])
        for index, subject in enumerate(subjects)
        for turn, length in enumerate(subject.lengths_N)
    ]
    pairs = match(turns)
    found: dict[int, list[float]] = defaultdict(list)
    for pair in pairs:
        of_named = effects[pair.named.episode][pair.named.turn]
        found[pair.named.episode].append(float(of_named - effects[pair.other.episode][pair.other.turn]))
    values = [float(np.mean(own)) for own in found.values()]
    return difference(values, [subjects[index].family for index in found], seed), len(pairs)


def _against_last(
    subjects: Sequence[Subject], effects: Sequence[Floats], named: Sequence[Sequence[int]], seed: int
) -> Difference | None:
    values = [float(e[list(own)].mean() - e[-len(own) :].mean()) for e, own in zip(effects, named, strict=True)]
    return difference(values, [subject.family for subject in subjects], seed)


def _rank_at_place(subjects: Sequence[Subject], name: Signal) -> PlaceRank | None:
    places: dict[tuple[int, int], list[tuple[float, float]]] = defaultdict(list)
    for subject in subjects:
        for turn, pair in enumerate(zip(subject.signals[name].tolist(), subject.effects_N.tolist(), strict=True)):
            places[turn, len(subject.effects_N)].append(pair)
    return place_rank(places)


def _adjust(tests: Sequence[SignalTest], field: str) -> list[SignalTest]:
    """Adjust the p-values of one comparison by Holm over the signals that are no baselines."""
    found: dict[str, Difference | None] = {test.name: getattr(test, field) for test in tests}
    raw = {name: one.p for name, one in found.items() if one and one.p is not None and name not in BASELINES}
    adjusted = holm(raw)
    return [
        test.model_copy(update={field: one.model_copy(update={"p_holm": adjusted[test.name]})})
        if (one := found[test.name]) is not None and test.name in adjusted
        else test
        for test in tests
    ]


def _agreement(measured: Sequence[Measured]) -> float | None:
    """Return the rank correlation of the last forecasts with those on record, None where these are too few or one."""
    decisions = [one.trace.trajectory.turns[-1].decision for one in measured]
    pairs = [(one.p_fail, d.p_fail) for one, d in zip(measured, decisions, strict=True) if d.p_fail is not None]
    if len({recorded for _, recorded in pairs}) < 3:
        return None
    return rank_correlation(*np.array(pairs).T)


def _of(effects: Sequence[Floats], turns: Sequence[Sequence[int]]) -> list[float]:
    return [float(effects_N[list(own)].mean()) for effects_N, own in zip(effects, turns, strict=True)]


def _rest(effects_N: Floats, named: Sequence[int]) -> list[int]:
    return [turn for turn in range(len(effects_N)) if turn not in named]


def _mean(subjects: Sequence[Subject], values: Iterable[float], seed: int) -> Interval:
    found = cluster_mean(list(values), [subject.family for subject in subjects], seed=seed)
    assert found is not None  # there are subjects
    return found


def _area(curve_M: Floats) -> float:
    """Return a curve's mean between its ends, which every order of removal shares."""
    return float(curve_M[1:-1].mean())


def _mean_curve(shares: Sequence[Floats], curves: Sequence[Floats]) -> tuple[float, ...]:
    on_grid = [np.interp(GRID, share_M, curve_M) for share_M, curve_M in zip(shares, curves, strict=True)]
    return tuple(np.mean(on_grid, axis=0).tolist())
