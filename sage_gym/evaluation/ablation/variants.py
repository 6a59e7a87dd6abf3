"""The runs of an ablation: one configuration, and the same with exactly one part taken out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pydantic import ValidationError

from sage_gym.config import AblateConfig, PartName, TrainConfig
from sage_gym.errors import ConfigError
from sage_gym.evaluation.ablation.parts import PARTS, YARDSTICK, Change

__all__ = ["FULL", "YARDSTICK_RUN", "Run", "apart", "parts_of", "plan"]

FULL, YARDSTICK_RUN = "full", "yardstick"


@dataclass(frozen=True, slots=True)
class Run:
    """One training of an ablation."""

    variant: str
    """`full`, `yardstick`, or `without-<part>`."""
    part: PartName | None
    """Which is taken out."""
    seed: int
    config: TrainConfig

    @property
    def name(self) -> str:
        """Of the run's folder."""
        return self.config.run_name


def parts_of(config: AblateConfig) -> tuple[PartName, ...]:
    """Return the parts to take out.

    Raises:
        ConfigError: one that is asked for is off in this configuration, or none is on.
    """
    on = tuple(name for name, part in PARTS.items() if part.is_on(config))
    if config.vary is None and not on:
        raise ConfigError(["vary: no part is on in this configuration, so there is nothing to take out"])
    problems = [
        f"vary: {name} is off in this configuration: removing it would compare a thing with itself; it would be on by "
        f"one of {', '.join(PARTS[name].uses)}; on are {', '.join(on) or 'none'}"
        for name in config.vary or ()
        if name not in on
    ]
    if problems:
        raise ConfigError(problems)
    return config.vary or on


def plan(config: AblateConfig) -> list[Run]:
    """List every run, a seed at a time and the full system's first, so that the others can take over what is alike.

    Raises:
        ConfigError: as `parts_of`; or a part without which nothing would be trained.
    """
    parts = parts_of(config)
    runs = []
    for seed in range(config.run.seed, config.run.seed + config.seeds):
        runs.append(Run(FULL, None, seed, config.training(f"{FULL}-seed{seed}", seed)))
        if config.yardstick:
            runs.append(_run(config, YARDSTICK_RUN, None, seed, YARDSTICK))
        runs += [_run(config, f"without-{part}", part, seed, PARTS[part].changes) for part in parts]
    return runs


def _run(config: AblateConfig, variant: str, part: PartName | None, seed: int, changes: Mapping[str, Change]) -> Run:
    try:
        return Run(variant, part, seed, apart(config.training(f"{variant}-seed{seed}", seed), changes))
    except ValidationError as error:
        found = error.errors()[0]
        where = ".".join(map(str, found["loc"]))
        raise ConfigError([f"vary: {variant} leaves no training: {where}: {found['msg']}"]) from error


def apart(config: TrainConfig, changes: Mapping[str, Change]) -> TrainConfig:
    """Return a configuration that differs in these keys alone."""
    tree = config.model_dump(mode="json")
    for key, change in changes.items():
        _change(tree, key.split("."), change)
    return TrainConfig.model_validate(tree)


def _change(tree: dict[str, Any], path: Sequence[str], change: Change) -> None:
    for name in path[:-1]:
        if tree[name] is None:  # a rule that is off altogether
            return
        tree = tree[name]
    tree[path[-1]] = change(tree[path[-1]])
