"""Seeds as a stable hash of what they are for, so that an episode's randomness depends on nothing that runs beside it.

`hash()` is salted per process and `SeedSequence` takes integers only; BLAKE2b over a length-prefixed encoding is the
same on every machine and cheap enough to be taken every turn.
"""

from __future__ import annotations

from hashlib import blake2b

__all__ = ["derive_seed", "episode_seed", "turn_seed"]

BITS = 63
"""Fits a signed 64-bit integer: Parquet's int64, `torch.manual_seed`, NumPy's generators."""


def derive_seed(*parts: int | str) -> int:
    """Return a seed in [0, 2**63) that is a function of `parts` alone; `("a", "bc")` and `("ab", "c")` differ."""
    encoded = "".join(f"{type(part).__name__[0]}{len(text := str(part))}:{text}" for part in parts)
    return int.from_bytes(blake2b(encoded.encode(), digest_size=8).digest(), "little") >> (64 - BITS)


def episode_seed(run_seed: int, round: int, task_key: str, attempt: int) -> int:
    """Return the seed of one episode: the environment is reset with it, and each turn's seed comes from it."""
    return derive_seed("episode", run_seed, round, task_key, attempt)


def turn_seed(seed: int, turn: int) -> int:
    """Return the seed of a turn's decision, from the episode's seed."""
    digest = blake2b(b"turn%d:%d" % (seed, turn), digest_size=8).digest()
    return int.from_bytes(digest, "little") >> (64 - BITS)
