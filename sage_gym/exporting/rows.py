"""Episodes as rows of TRL's forms: conversations in words, and prompts as they were fed with what was sampled.

A conversation says what any chat model could have been told: the task, observations, and the actions taken. A prompt
and its completion are the policy's own, spelled out by its tokenizer, special tokens included: a row a decision.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from sage_gym.distill.hints import without_hints
from sage_gym.types import Origin, Trajectory, Turn

__all__ = ["Decision", "conversation", "decisions", "origin_of"]

Decode = Callable[[Sequence[int]], str]


@dataclass(frozen=True, slots=True)
class Decision:
    """A decision as token ids: all that was fed before it, and what was sampled."""

    turn: int
    prompt_ids: tuple[int, ...]
    completion_ids: tuple[int, ...]


def origin_of(trajectory: Trajectory) -> dict[str, Any]:
    """Return the columns that every row has: where it comes from, and how the episode ended."""
    return {
        "episode": trajectory.id,
        "task": trajectory.task.key,
        "environment": trajectory.task.environment,
        "split": trajectory.task.split,
        "policy": trajectory.policy,
        "round": trajectory.round,
        "reward": trajectory.reward,
        "success": trajectory.success,
    }


def conversation(trajectory: Trajectory, *, is_compact: bool) -> dict[str, Any] | None:
    """Return an episode as `messages`; None where an action was forced, which nobody should imitate.

    Args:
        trajectory: of any policy.
        is_compact: the policy writes labels in the place of actions, so that actions are shown.
    """
    if any(turn.decision.origin is Origin.INJECTED for turn in trajectory.turns) or not trajectory.turns:
        return None
    messages = []
    for index, turn in enumerate(trajectory.turns):
        told = _told(turn, is_compact)
        if not index:
            told = f"Task: {trajectory.task.instruction}\n\n{told}"
        answer = turn.decision.action if is_compact else turn.decision.text
        messages += [{"role": "user", "content": told}, {"role": "assistant", "content": answer}]
    return {"messages": messages, **origin_of(trajectory)}


def decisions(trajectory: Trajectory) -> Iterator[Decision]:
    """Give an episode's decisions with what was fed before each, hints apart; forced ones, and those of no ledger, not.

    Raises:
        ValueError: hints that cannot be left out.
    """
    fed: tuple[int, ...] = ()
    for index, turn in enumerate(without_hints(trajectory).turns):
        ledger = turn.decision.ledger
        if ledger is None:
            fed = ()
            continue
        fed = (*fed, *ledger.prompt_ids) if ledger.is_continuation else ledger.prompt_ids
        if turn.decision.origin is not Origin.INJECTED:
            yield Decision(index, fed, ledger.sampled_ids)
        fed = (*fed, *ledger.sampled_ids)


def _told(turn: Turn, is_compact: bool) -> str:
    """Return what a chat policy was told at a turn, or else the environment's observation."""
    return str(turn.observation if is_compact else turn.decision.notes.get("message", turn.observation))
