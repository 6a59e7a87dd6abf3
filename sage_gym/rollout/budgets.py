"""The four limits of an episode, kept apart: turns, tokens a turn, tokens an episode, wall-clock.

Wall-clock counts what the episode waited for: its own environment's calls, and the policy's batches it was part of;
not the other episodes' environments. Tokens are sampled ones; prompts are not counted.
"""

from __future__ import annotations

from dataclasses import dataclass

from sage_gym.types import Budget, Decision, StopReason

__all__ = ["Spending"]


@dataclass(slots=True)
class Spending:
    """What an episode has used of its budget."""

    budget: Budget
    turns: int = 0
    tokens: int = 0
    elapsed_s: float = 0.0

    @property
    def tokens_left(self) -> int:
        """Tokens that the episode may still sample."""
        return max(0, self.budget.episode_tokens - self.tokens)

    def charge_decision(self, decision: Decision, elapsed_s: float) -> StopReason | None:
        """Book a decision; return the limit that forbids executing it, if one does.

        What the policy says itself (`Decision.stop`) comes first: it alone knows that it was cut off at the limit.
        A policy that samples more than it was allowed is stopped as well.

        Raises:
            ValueError: `Decision.stop` is not a budget.
        """
        sampled = len(decision.ledger.sampled_ids) if decision.ledger is not None else 0
        self.tokens += sampled
        self.elapsed_s += elapsed_s
        if decision.stop is not None:
            if not decision.stop.is_truncation:
                raise ValueError(f"expected Decision.stop to name a budget or be None, got {decision.stop.value!r}")
            return decision.stop
        if self.tokens > self.budget.episode_tokens:
            return StopReason.EPISODE_TOKENS
        if sampled > self.budget.turn_tokens:
            return StopReason.TURN_TOKENS
        return self._clock()

    def charge_answer(self, elapsed_s: float) -> StopReason | None:
        """Book a finished turn; return the limit that leaves no room for another, if one does."""
        self.turns += 1
        self.elapsed_s += elapsed_s
        if self.turns >= self.budget.max_turns:
            return StopReason.MAX_TURNS
        if self.tokens >= self.budget.episode_tokens:
            return StopReason.EPISODE_TOKENS
        return self._clock()

    def _clock(self) -> StopReason | None:
        return StopReason.WALL_CLOCK if self.elapsed_s > self.budget.wall_clock_s else None
