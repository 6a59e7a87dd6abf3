"""The parts of the system: for each, the keys that taking it out sets, and when it is on. One table, `PARTS`.

What a part's keys do not name stays as it is: without `forecast` the critic and the curriculum still read the head,
which is then the one that the student began with. Decontamination is no part: it keeps results honest, in every run.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from sage_gym.config import PartName, TrainConfig
from sage_gym.selection import SelectionSettings

__all__ = ["PARTS", "YARDSTICK", "Change", "Part"]

Change = Callable[[Any], Any]
"""Gives a setting's value without the part, from its value with it."""


def _set(value: Any) -> Change:
    return lambda _: value


def _without(name: str, otherwise: Any = None) -> Change:
    """Take a name out of a list or a mapping; `otherwise` stands where nothing is left."""

    def change(value: Any) -> Any:
        if isinstance(value, Mapping):
            return {key: own for key, own in value.items() if key != name}
        return [own for own in value if own != name] or otherwise or []

    return change


def _group_in_place_of_forecasts(baseline: str) -> str:
    return "group" if baseline in ("forecast", "turn") else baseline


@dataclass(frozen=True, slots=True)
class Part:
    """A part, how it is taken out, and where it is at work.

    Args:
        name: see there.
        meaning: what it is, in words.
        changes: dotted key -> what becomes of its value; a key of a rule that is off altogether (null) stays off.
        uses: dotted key -> whether the part is at work there. With none it is off.
    """

    name: PartName
    meaning: str
    changes: Mapping[str, Change]
    uses: Mapping[str, Callable[[TrainConfig], bool]]

    def is_on(self, config: TrainConfig) -> bool:
        """Whether the part is at work anywhere."""
        return any(is_used(config) for is_used in self.uses.values())


def _distils(config: TrainConfig) -> bool:
    return "distil" in config.rounds.stages


def _reinforces(config: TrainConfig) -> bool:
    return "reinforce" in config.rounds.stages


def _orders_by(name: str) -> Callable[[TrainConfig], bool]:
    def is_used(config: TrainConfig) -> bool:
        rule = config.selection.best_of_group
        return _distils(config) and rule is not None and rule.enabled and name in rule.order

    return is_used


def _weighs_by(name: str) -> Callable[[TrainConfig], bool]:
    def is_used(config: TrainConfig) -> bool:
        rule = config.selection.score_weights
        return _distils(config) and rule is not None and rule.enabled and bool(rule.coefficients.get(name))

    return is_used


def _has_rule(name: str) -> Callable[[TrainConfig], bool]:
    def is_used(config: TrainConfig) -> bool:
        rule = getattr(config.selection, name)
        return _distils(config) and rule is not None and rule.enabled

    return is_used


ORDER, COEFFICIENTS = "selection.best_of_group.order", "selection.score_weights.coefficients"
BEYOND_SUCCESS = tuple(
    name
    for name in SelectionSettings.model_fields
    if name in SelectionSettings.yardstick().model_fields_set and name not in ("outcome", "decontamination")
)
"""The rules of selection that success-filtered fine-tuning does without, decontamination apart."""

PARTS: Mapping[PartName, Part] = {
    part.name: part
    for part in (
        Part(
            "forecast",
            "what failure forecasts do to training: the head's losses and its own stage, candidates dropped and "
            "planned again above tau, tasks weighed by how learnable they are, forecasts as baseline",
            {
                "rounds.stages": _without("forecast"),
                "distil.lambda_forecast": _set(0.0),
                "reinforce.lambda_forecast": _set(0.0),
                "reinforce.baseline": _group_in_place_of_forecasts,
                "amplify.tau": _set(1.0),
                "selection.task_weights.enabled": _set(False),
            },
            {
                "rounds.stages": lambda c: "forecast" in c.rounds.stages,
                "distil.lambda_forecast": lambda c: _distils(c) and c.distil.lambda_forecast > 0,
                "reinforce.lambda_forecast": lambda c: _reinforces(c) and c.reinforce.lambda_forecast > 0,
                "reinforce.baseline": lambda c: _reinforces(c) and c.reinforce.baseline in ("forecast", "turn"),
                "amplify.tau": lambda c: c.amplify.enabled and c.amplify.tau < 1,
                "selection.task_weights.enabled": _has_rule("task_weights"),
            },
        ),
        Part(
            "inverse",
            "the inverse head's loss, and the Inverse Consistency Score in the return and in selection",
            {
                "distil.lambda_inverse": _set(0.0),
                "reinforce.eta_ics": _set(0.0),
                ORDER: _without("ics", ["reward"]),
                COEFFICIENTS: _without("ics"),
            },
            {
                "distil.lambda_inverse": lambda c: _distils(c) and c.distil.lambda_inverse > 0,
                "reinforce.eta_ics": lambda c: _reinforces(c) and c.reinforce.eta_ics > 0,
                ORDER: _orders_by("ics"),
                COEFFICIENTS: _weighs_by("ics"),
            },
        ),
        Part(
            "critic",
            "the learned critic (credit Q - V of each turn) in selection, and its choice among candidates",
            {
                "amplify.chooser": _set("first"),
                ORDER: _without("critic", ["reward"]),
                COEFFICIENTS: _without("critic"),
            },
            {
                "amplify.chooser": lambda c: c.amplify.enabled and c.amplify.chooser == "critic",
                ORDER: _orders_by("critic"),
                COEFFICIENTS: _weighs_by("critic"),
            },
        ),
        Part(
            "amplification",
            "collecting with candidates and re-planning around the student, where the pilot lets it",
            {"amplify.enabled": _set(False)},
            {"amplify.enabled": lambda c: c.amplify.enabled},
        ),
        Part(
            "recovery",
            "successes played again with a forced mistake, and failures tried again with a critique",
            {"rollout.recovery_traces": _set(0.0), "rollout.second_attempts": _set(0.0)},
            {
                "rollout.recovery_traces": lambda c: _distils(c) and c.rollout.recovery_traces > 0,
                "rollout.second_attempts": lambda c: _distils(c) and c.rollout.second_attempts > 0,
            },
        ),
        Part(
            "selection",
            "every rule of selection beyond success alone, decontamination apart",
            {f"selection.{name}.enabled": _set(False) for name in BEYOND_SUCCESS},
            {f"selection.{name}.enabled": _has_rule(name) for name in BEYOND_SUCCESS},
        ),
        Part(
            "curriculum",
            "tasks drawn by how learnable the forecast says they are",
            {"rollout.pool": _set(1)},
            {"rollout.pool": lambda c: c.rollout.pool > 1},
        ),
    )
}

YARDSTICK: Mapping[str, Change] = {
    **{key: change for part in PARTS.values() for key, change in part.changes.items()},
    "rounds.stages": _set(["distil"]),
    "distil.lambda_kl": _set(0.0),
}
"""Success-filtered fine-tuning on the same tasks and as many tokens: no part at all, no policy gradient, no KL."""
