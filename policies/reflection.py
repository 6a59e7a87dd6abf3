"""Around a policy that is given hints: beside each prompt, what it would have been without them.

A second attempt is made with a critique of the first in its context, and distilled without it. At the time of the
decision everything that rendering needs is at hand (the view is not recorded), so that is when it is done.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Protocol

from policies.causal_lm.prompt import Prompt, Renderer
from sage_gym.protocols import Policy
from sage_gym.types import Context, Decision, Ledger

__all__ = ["Reflective", "RenderingPolicy"]


class RenderingPolicy(Policy, Protocol):
    """A policy whose prompts a renderer makes."""

    renderer: Renderer


@dataclass(frozen=True, slots=True)
class Reflective:
    """Notes the prompt without hints of each hinted decision that begins a sequence; decides nothing itself.

    Stands directly around the policy, within other wrappers: `Amplified(Reflective(policy))`. The renderer must show
    hints only in prompts that begin a sequence, and must read sampled ids alike with and without them.

    Args:
        policy: decides.
    """

    policy: RenderingPolicy

    @property
    def name(self) -> str:
        """The policy's own."""
        return self.policy.name

    def act(self, contexts: Sequence[Context]) -> list[Decision]:
        """Return the policy's decisions, hinted ones with `notes["prompt_ids_without_hints"]`.

        Raises:
            ValueError: the renderer makes the ids mean something else without hints.
        """
        decisions = self.policy.act(contexts)
        return [self._note(context, decision) for context, decision in zip(contexts, decisions, strict=True)]

    def release(self, episodes: Iterable[str]) -> None:
        """Forget what was kept for these episodes."""
        self.policy.release(episodes)

    def _note(self, context: Context, decision: Decision) -> Decision:
        ledger = decision.ledger
        if not context.hints or ledger is None or ledger.is_continuation:
            return decision
        prompt = self._without_hints(replace(context, hints=()), ledger)
        read = prompt.read(ledger.sampled_ids).action
        if prompt.is_continuation or read != decision.action:
            kind = "a continuation" if prompt.is_continuation else f"the action {read!r}"
            raise ValueError(
                f"expected the prompt without hints to begin a sequence in which the ids still mean "
                f"{decision.action!r}, got {kind}; its renderer cannot be used for second attempts"
            )
        return replace(decision, notes={**decision.notes, "prompt_ids_without_hints": list(prompt.ids)})

    def _without_hints(self, context: Context, ledger: Ledger) -> Prompt:
        """Render without hints, no longer than with them: a long conversation may have been begun anew."""
        renderer = self.policy.renderer
        prompt = renderer.render(context)
        restart = getattr(renderer, "restart", None)
        if len(prompt.ids) > len(ledger.prompt_ids) and restart is not None:
            return restart(context, len(ledger.prompt_ids)) or prompt
        return prompt
