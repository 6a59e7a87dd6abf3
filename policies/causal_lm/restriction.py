"""Decoding restricted to admissible actions: a trie over their tokens, free text inside `search[...]`.

A position with a single continuation is forced, so that only what distinguishes the actions is ever sampled.
In free text every id stays open (a list of nearly the whole vocabulary at each token would swamp the ledger), until
an id whose text holds `]`, or a special id; then the stop id is forced. A special id thus ends free text, and the
reader leaves it out.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

__all__ = ["ActionTrie", "AfterMarker", "Spelling"]

CACHE_SIZE = 4096


@dataclass(slots=True)
class _Node:
    children: dict[int, _Node] = field(default_factory=dict)
    open: tuple[int, ...] = ()
    is_free: bool = False

    def insert(self, ids: Sequence[int]) -> _Node:
        node = self
        for token in ids:
            node = node.children.setdefault(token, _Node())
        return node

    def close(self) -> None:
        self.open = tuple(sorted(self.children))
        for child in self.children.values():
            child.close()


@dataclass(frozen=True, slots=True)
class ActionTrie:
    """The token ids of admissible actions, each ended by the stop id; immutable once built.

    `closers` are the ids that end free text.
    """

    root: _Node
    stop_id: int
    closers: frozenset[int]

    @classmethod
    def build(
        cls, actions: Sequence[Sequence[int]], free: Sequence[Sequence[int]], stop_id: int, closers: frozenset[int]
    ) -> ActionTrie:
        """Build from the ids of whole actions and of the prefixes that free text follows.

        Raises:
            ValueError: nothing is admissible.
        """
        if not actions and not free:
            raise ValueError("expected an admissible action or a free-text prefix, got neither; do not restrict")
        root = _Node()
        for ids in actions:
            root.insert((*ids, stop_id))
        for ids in free:
            root.insert(ids).is_free = True
        root.close()
        return cls(root, stop_id, closers)

    def allowed(self, sampled: tuple[int, ...]) -> tuple[int, ...] | None:
        """Return the ids that continue an admissible action, sorted; None inside free text.

        Raises:
            ValueError: `sampled` has left the trie.
        """
        node = self.root
        for index, token in enumerate(sampled):
            if node.is_free:
                return (self.stop_id,) if self.closers.intersection(sampled[index:]) else None
            if token not in node.children:
                raise ValueError(f"expected one of {node.open} at position {index} of {sampled}, got {token}")
            node = node.children[token]
        return None if node.is_free else node.open


@dataclass(frozen=True, slots=True)
class AfterMarker:
    """Free text up to a marker (`</reasoning>`), then a restriction; the marker is forced after `most` ids.

    The stop id is open in the free text too: a decision that ends there has no action.
    """

    decode: Callable[[tuple[int, ...]], str]
    marker: str
    marker_ids: tuple[int, ...]
    most: int
    then: ActionTrie

    def allowed(self, sampled: tuple[int, ...]) -> tuple[int, ...] | None:
        """Return None before the marker, its next id when it is due, then what `then` leaves open."""
        written = sampled[: self.most]
        if self.marker in self.decode(written):
            return self.then.allowed(sampled[self._end(written) :])
        if len(sampled) < self.most:
            return None
        due = len(sampled) - self.most
        if due < len(self.marker_ids):
            return (self.marker_ids[due],)
        return self.then.allowed(sampled[self.most + len(self.marker_ids) :])

    def _end(self, written: tuple[int, ...]) -> int:
        """Find after how many ids the marker is complete, by bisection: it stays once it is there."""
        low, high = 0, len(written)
        while low < high:
            middle = (low + high) // 2
            if self.marker in self.decode(written[:middle]):
                high = middle
            else:
                low = middle + 1
        return low


class Spelling:
    """Spells actions in a tokenizer's ids; tries are cached by their actions.

    Args:
        tokenizer: whose ids.
        stop_id: the id that ends a decision.
        lead: text before each action.
    """

    def __init__(self, tokenizer: PreTrainedTokenizerBase, stop_id: int, *, lead: str = "") -> None:
        self.tokenizer, self.stop_id, self.lead = tokenizer, stop_id, lead
        ids = range(len(tokenizer))
        tokens = tokenizer.convert_ids_to_tokens(list(ids))
        brackets = {index for index, token in zip(ids, tokens, strict=True) if token is not None and "]" in token}
        self.closers = frozenset(brackets | set(tokenizer.all_special_ids))
        self._tries: dict[tuple[tuple[str, ...], tuple[str, ...]], ActionTrie] = {}
        self._spelled: dict[str, tuple[int, ...]] = {}

    def trie(self, actions: tuple[str, ...], free: tuple[str, ...] = ()) -> ActionTrie:
        """Return the trie of these actions and free-text prefixes; an action that a prefix covers adds nothing."""
        key = (actions, free)
        if key not in self._tries:
            if len(self._tries) >= CACHE_SIZE:
                self._tries.clear()
            fixed = [self._spell(action) for action in actions if not (free and action.startswith(free))]
            prefixes = [self._spell(prefix) for prefix in free]
            self._tries[key] = ActionTrie.build(fixed, prefixes, self.stop_id, self.closers)
        return self._tries[key]

    def _spell(self, text: str) -> tuple[int, ...]:
        if text not in self._spelled:
            if len(self._spelled) >= 64 * CACHE_SIZE:
                self._spelled.clear()
            self._spelled[text] = tuple(self.tokenizer.encode(self.lead + text, add_special_tokens=False))
        return self._spelled[text]
