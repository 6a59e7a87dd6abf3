"""Second attempts as if they had been made without the critique, so that the student learns to do without it.

A hinted decision was sampled from P(. | prompt with hints). Distilled is P(. | the same prompt without): the sampled
ids stay, the prompt that begins a sequence is exchanged for the one that the policy noted beside it
(`policies.reflection.Reflective`); prompts that continue a sequence hold no hints. What the student would have given
those ids is not known, so their log-probabilities become NaN and their forecasts None: cross-entropy needs neither,
and whatever needs them fails loudly. `rows_of` goes through here, so no row can hold a hint.
"""

from __future__ import annotations

import math
from dataclasses import replace

from sage_gym.types import Ledger, Origin, Trajectory, Turn

__all__ = ["PROMPT_WITHOUT_HINTS", "has_own_end", "is_on_policy", "without_hints"]

PROMPT_WITHOUT_HINTS = "prompt_ids_without_hints"
"""Entry of `Decision.notes`: what would have been fed, hints apart, where a sequence begins."""


def without_hints(trajectory: Trajectory) -> Trajectory:
    """Return the trajectory with every prompt as it is without hints; itself where it had none.

    Raises:
        ValueError: a hinted decision whose policy did not note its prompt without them.
    """
    if not trajectory.hints:
        return trajectory
    turns = tuple(_without(turn, f"turn {index} of {trajectory.id}") for index, turn in enumerate(trajectory.turns))
    return replace(trajectory, turns=turns, hints=())


def is_on_policy(trajectory: Trajectory) -> bool:
    """Whether every action was drawn by the policy alone from the distribution on record: what policy gradient needs.

    Hinted and injected episodes are not, nor are amplified ones bar those that the lot left untouched. An amplified
    episode in which the choice happened to agree with the policy is not either: agreement selects.
    """
    decisions = [turn.decision for turn in trajectory.turns]
    has_chosen = any(d.origin is not Origin.POLICY or d.notes.get("is_untouched") is False for d in decisions)
    return not trajectory.hints and not trajectory.is_intervened and not has_chosen


def has_own_end(trajectory: Trajectory) -> bool:
    """Whether the episode's states, as training shows them, led to its end by themselves: what forecasts learn from.

    Not so with a hint, which training does not show, nor with a forced mistake, which no state before it foresees.
    """
    is_forced = any(turn.decision.origin in (Origin.INJECTED, Origin.EXPERT) for turn in trajectory.turns)
    return not trajectory.hints and not is_forced


def _without(turn: Turn, where: str) -> Turn:
    decision, ledger = turn.decision, turn.decision.ledger
    if ledger is None:
        return turn
    stripped = replace(
        ledger,
        prompt_ids=_prompt_ids(turn, ledger, where),
        logprobs=tuple(math.nan if is_sampled else 0.0 for is_sampled in ledger.mask),
    )
    return replace(turn, decision=replace(decision, ledger=stripped, p_fail_before=None, p_fail=None))


def _prompt_ids(turn: Turn, ledger: Ledger, where: str) -> tuple[int, ...]:
    if ledger.is_continuation:
        return ledger.prompt_ids
    noted = turn.decision.notes.get(PROMPT_WITHOUT_HINTS)
    if noted is None:
        raise ValueError(
            f"{where}: expected the prompt without hints in the decision's notes, got none; play hinted attempts with "
            "policies.reflection.Reflective around the policy"
        )
    return tuple(noted)
