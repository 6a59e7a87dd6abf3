"""sage-nano: a Qwen2 of a few million parameters that is shipped with the package, and what trained it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from policies.causal_lm import CausalLM

__all__ = ["WEIGHTS", "load"]

WEIGHTS = Path(__file__).parent / "weights"


def load(
    weights: str | None = None, *, restricted: bool = True, temperature: float = 1.0, decode_dtype: str | None = None
) -> CausalLM:
    """Load sage-nano with its meta-cognition head.

    Args:
        weights: a folder that holds it; None is the shipped one.
        restricted: whether only admissible actions may be sampled.
        temperature: of sampling; 0 takes the likeliest token.
        decode_dtype: decode with a copy of the weights in this type, e.g. `bfloat16`.

    Raises:
        CheckpointError: the folder holds no sage-nano.
    """
    from policies.causal_lm import load_causal_lm
    from policies.metacognition import MetacognitionHead

    return load_causal_lm(
        Path(weights) if weights else WEIGHTS,
        prompt="compact",
        restricted=restricted,
        temperature=temperature,
        decode_dtype=decode_dtype,
        head=MetacognitionHead.load,
        name="sage-nano",
    )
