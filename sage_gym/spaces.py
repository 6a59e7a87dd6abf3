"""One Unicode text space: `gymnasium.spaces.Text` rejects spaces and accents by default."""

from __future__ import annotations

from typing import Any

import numpy as np
from gymnasium import Space

__all__ = ["UnicodeText"]

SAMPLE_ALPHABET = "abcdefghijklmnopqrstuvwxyz0123456789 []éß漢"


class UnicodeText(Space[str]):
    """All strings of at most `max_length` code points.

    Args:
        max_length: in code points.
        seed: for `sample`.
    """

    def __init__(self, max_length: int = 1_000_000, *, seed: int | np.random.Generator | None = None) -> None:
        super().__init__(shape=None, dtype=np.str_, seed=seed)
        self.max_length = max_length

    @property
    def is_np_flattenable(self) -> bool:
        """Text has no fixed-size array form."""
        return False

    def sample(self, mask: Any | None = None, probability: Any | None = None) -> str:
        """Draw up to 16 characters; masks are not supported."""
        if mask is not None or probability is not None:
            raise ValueError("UnicodeText.sample takes neither mask nor probability")
        length = int(self.np_random.integers(1, min(16, self.max_length) + 1))
        return "".join(self.np_random.choice(list(SAMPLE_ALPHABET), size=length))

    def contains(self, x: Any) -> bool:
        """Whether `x` is a string that is short enough."""
        return isinstance(x, str) and len(x) <= self.max_length

    def __repr__(self) -> str:
        return f"UnicodeText({self.max_length})"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, UnicodeText) and other.max_length == self.max_length
