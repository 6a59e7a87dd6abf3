"""Where chunks are played. Local here; one that spreads them over a cluster offers the same `map`."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import TypeVar

__all__ = ["LocalExecutor"]

T = TypeVar("T")
R = TypeVar("R")


class LocalExecutor:
    """Works in this process, one item after the other, each only when it is asked for."""

    def map(self, function: Callable[[T], R], items: Sequence[T]) -> Iterator[R]:
        """Apply `function` to each item lazily, giving results in order."""
        return map(function, items)
