"""Selection of a round: rules that drop, in order, then rules that weigh; every decision with its reason."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from sage_gym.selection import rules
from sage_gym.selection.decontamination import Contamination, find_contamination
from sage_gym.selection.library import HeldOut, Library
from sage_gym.selection.scoring import Scores, Standing, standings
from sage_gym.selection.settings import BestOfGroup, ScoreWeights, SelectionSettings
from sage_gym.selection.verdicts import Overlap, Reason, RuleRow, Selection, Verdict
from sage_gym.types import Group, Trajectory

__all__ = ["select"]


@dataclass(slots=True)
class _Pool:
    """The trajectories still in, and what has been said about each."""

    alive: list[Trajectory]
    reasons: dict[str, list[Reason]]
    weights: dict[str, float]
    rows: list[RuleRow] = field(default_factory=list)

    def drop(self, rule: str, dropped: rules.Dropped, note: str = "") -> None:
        self.rows.append(
            RuleRow(rule=rule, enabled=True, examined=len(self.alive), dropped=len(dropped), note=note),
        )
        for identifier, detail in dropped.items():
            self.reasons[identifier].append(Reason(rule, detail))
        self.alive = [t for t in self.alive if t.id not in dropped]

    def weigh(self, rule: str, weights: rules.Weights, note: str = "") -> None:
        self.rows.append(RuleRow(rule=rule, enabled=True, examined=len(self.alive), dropped=0, note=note))
        for identifier, (factor, detail) in weights.items():
            self.weights[identifier] *= factor
            self.reasons[identifier].append(Reason(rule, f"weight {factor:.3f}: {detail}"))

    def skip(self, rule: str) -> None:
        self.rows.append(RuleRow(rule=rule, enabled=False, examined=len(self.alive), dropped=0))


def select(
    groups: Sequence[Group],
    scores: Scores,
    settings: SelectionSettings,
    held_out: Sequence[HeldOut] | Library | Contamination = (),
) -> Selection:
    """Decide which trajectories are distilled, and with what weight.

    Args:
        groups: a round's trajectories by task, infrastructure failures included.
        scores: from `apply_critics`; names that a rule asks for and that are missing count as unscored.
        settings: the rules.
        held_out: what training text must not overlap, or what has been found to overlap.

    Raises:
        ValueError: two trajectories share an id, or two groups a task.
    """
    everything = [t for group in groups for t in group.trajectories]
    _check_distinct("trajectory id", [t.id for t in everything])
    _check_distinct("task", [group.task.key for group in groups])
    pool = _Pool(everything, {t.id: [] for t in everything}, {t.id: 1.0 for t in everything})
    names = _names(settings)
    stands = standings(groups, scores, names)
    missing = [name for name in names if name != "reward" and name not in scores]
    pool.drop("infrastructure", rules.drop_infrastructure(everything))
    overlaps = _decontaminate(pool, settings, held_out)
    _drop(pool, settings, stands, missing)
    _weigh(pool, settings, stands, missing, rules.task_forecasts(everything))
    return Selection(_verdicts(pool, everything, settings), tuple(pool.rows), overlaps, tuple(groups))


def _decontaminate(
    pool: _Pool, settings: SelectionSettings, held_out: Sequence[HeldOut] | Library | Contamination
) -> tuple[Overlap, ...]:
    rule = settings.decontamination
    if rule is None or not rule.enabled:
        pool.skip("decontamination")
        return ()
    found = held_out if isinstance(held_out, Contamination) else find_contamination(pool.alive, held_out, rule)
    pool.drop("decontamination", dict(found.dropped), "" if found.overlaps else "no held-out text was given")
    return found.overlaps


def _drop(pool: _Pool, settings: SelectionSettings, stands: dict[str, Standing], missing: Sequence[str]) -> None:
    if (outcome := settings.outcome) is not None and outcome.enabled:
        pool.drop("outcome", rules.drop_outcomes(pool.alive, outcome))
    else:
        pool.skip("outcome")
    if (near := settings.near_duplicates) is not None and near.enabled:
        pool.drop("near_duplicates", rules.drop_near_duplicates(pool.alive, stands, near))
    else:
        pool.skip("near_duplicates")
    if (best := settings.best_of_group) is not None and best.enabled:
        pool.drop("best_of_group", rules.drop_all_but_best(pool.alive, stands, best), _unscored(missing, best.order))
    else:
        pool.skip("best_of_group")


def _weigh(
    pool: _Pool,
    settings: SelectionSettings,
    stands: dict[str, Standing],
    missing: Sequence[str],
    forecasts: dict[str, float],
) -> None:
    if (by_score := settings.score_weights) is not None and by_score.enabled:
        note = _unscored(missing, tuple(by_score.coefficients))
        pool.weigh("score_weights", rules.weigh_by_score(pool.alive, stands, by_score), note)
    else:
        pool.skip("score_weights")
    if (by_task := settings.task_weights) is not None and by_task.enabled:
        pool.weigh(
            "task_weights",
            rules.weigh_by_task(pool.alive, forecasts, by_task),
            "" if forecasts else "no task has a forecast: nothing was weighed",
        )
    else:
        pool.skip("task_weights")


def _verdicts(pool: _Pool, everything: Sequence[Trajectory], settings: SelectionSettings) -> tuple[Verdict, ...]:
    kept = {t.id for t in pool.alive}
    total = sum(pool.weights[identifier] for identifier in kept)
    scale = len(kept) / total if settings.normalise and total else 1.0
    return tuple(
        Verdict(
            trajectory_id=t.id,
            kept=t.id in kept,
            weight=pool.weights[t.id] * scale if t.id in kept else 0.0,
            reasons=tuple(pool.reasons[t.id]) or (Reason("kept", "no rule dropped or weighed it"),),
            turn_weights=rules.turn_weights(t),
        )
        for t in everything
    )


def _names(settings: SelectionSettings) -> tuple[str, ...]:
    """Every score that an enabled rule may look at, once each, in the order of their first mention."""
    best, by_score = settings.best_of_group or BestOfGroup(), settings.score_weights or ScoreWeights()
    return tuple(dict.fromkeys(("reward", *best.order, *by_score.coefficients)))


def _unscored(missing: Sequence[str], wanted: Sequence[str]) -> str:
    absent = [name for name in wanted if name in missing]
    return f"no scores named {', '.join(absent)}: every trajectory stands at the mean there" if absent else ""


def _check_distinct(what: str, keys: Sequence[str]) -> None:
    if len(set(keys)) != len(keys):
        first = next(key for index, key in enumerate(keys) if key in keys[:index])
        raise ValueError(f"expected each {what} once in a selection, got {first!r} more than once")
