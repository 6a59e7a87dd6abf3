"""What a renderer hands to the decoder: ids to feed, what may be sampled, and how the sampled ids are read."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

from sage_gym.types import Context

__all__ = ["Prompt", "Reading", "Renderer", "Restriction"]


class Restriction(Protocol):
    """Which token may come next, as a function of the ids sampled so far in this decision."""

    def allowed(self, sampled: tuple[int, ...]) -> tuple[int, ...] | None:
        """Return the ids left open, sorted; None where every id is. A single id is forced, not sampled."""
        ...


@dataclass(frozen=True, slots=True)
class Reading:
    """What the sampled ids say."""

    text: str
    action: str
    plan: str = ""


@dataclass(frozen=True, slots=True)
class Prompt:
    """One decision to be sampled.

    `ids` extends what the episode's key-value cache holds when `is_continuation`, else replaces it.
    Sampling ends at a `stop_ids` member (kept in the ledger) or after `max_tokens`.
    `notes` goes into `Decision.notes`, for the renderer to find in `context.turns[-1].decision.notes`.
    """

    ids: tuple[int, ...]
    is_continuation: bool
    restriction: Restriction | None
    stop_ids: frozenset[int]
    max_tokens: int
    read: Callable[[tuple[int, ...]], Reading]
    notes: Mapping[str, Any] = field(default_factory=dict)


class Renderer(Protocol):
    """A prompt style. Pure: the prompt is a function of the context (its turns' ledgers and notes included)."""

    def render(self, context: Context) -> Prompt:
        """Turn a context into ids and a restriction."""
        ...
