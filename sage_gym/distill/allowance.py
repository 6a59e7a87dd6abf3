"""How many tokens a round trains on, where `rounds.round_tokens` limits them, and which rows make way.

Runs that differ in what they collect or select would else differ in how much they are trained, too.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np

from sage_gym.config import TrainConfig
from sage_gym.config.sections import Reinforce
from sage_gym.distill.hints import is_on_policy
from sage_gym.distill.returns import ReturnSettings, examples_for_distillation, examples_for_gradient, returns_of
from sage_gym.distill.rows import Example
from sage_gym.types import Trajectory

__all__ = ["allot", "keep_within", "return_settings_of", "tokens_of"]


def allot(
    allowance: int,
    config: TrainConfig,
    collected: Sequence[Trajectory],
    weights: Mapping[str, float],
    ics: Mapping[str, float],
) -> dict[str, int]:
    """Return how many tokens each stage may train on: of what it would train on, as large a share as every other.

    Args:
        allowance: of the round, in sampled tokens.
        config: of the run.
        collected: what the round trains on.
        weights: of what selection kept, by trajectory id.
        ics: Inverse Consistency Scores by trajectory id.
    """
    finished = [t for t in collected if not t.is_infrastructure]
    own = [t for t in finished if is_on_policy(t)]
    wanted: dict[str, int] = {}
    if "distil" in config.rounds.stages:
        wanted["distil"] = config.distil.epochs * tokens_of(examples_for_distillation(finished, weights))
    if "reinforce" in config.rounds.stages and own:
        examples = examples_for_gradient(own, returns_of(own, return_settings_of(config.reinforce), ics))
        wanted["reinforce"] = config.reinforce.epochs * tokens_of(examples)
    share = min(1.0, max(0, allowance) / max(1, sum(wanted.values())))
    return {stage: math.ceil(share * tokens) for stage, tokens in wanted.items()}


def return_settings_of(settings: Reinforce) -> ReturnSettings:
    """Return what an episode is worth in a run."""
    return ReturnSettings(settings.success_share, settings.eta_ics, settings.baseline)


def tokens_of(examples: Sequence[Example]) -> int:
    """Count the sampled tokens that carry weight."""
    return sum(len(example.row.sampled_N) for example in examples if example.weight > 0)


def keep_within(examples: Sequence[Example], tokens: int, seed: int) -> list[Example]:
    """Take the weight from rows, by lot, so that those that keep it hold at most so many sampled tokens.

    The others still train the forecast, as rows without weight do. A row that does not fit any more is passed over, so
    that what is left unused is shorter than the shortest of those.
    """
    kept, left = set(), tokens
    for index in np.random.default_rng([seed, 13]).permutation(len(examples)).tolist():
        size = len(examples[index].row.sampled_N)
        if examples[index].weight > 0 and size <= left:
            kept.add(index)
            left -= size
    return [e if index in kept or not e.weight else replace(e, weight=0.0) for index, e in enumerate(examples)]
