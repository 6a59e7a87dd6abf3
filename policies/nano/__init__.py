"""sage-nano: a Qwen2 of a few million parameters that is shipped with the package, and what trained it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from sage_gym.errors import UnknownNameError

if TYPE_CHECKING:
    from policies.causal_lm import CausalLM

__all__ = ["ADAPTERS", "WEIGHTS", "load"]

WEIGHTS = Path(__file__).parent / "weights"
ADAPTERS = Path(__file__).parent / "adapters"


def load(
    weights: str | None = None,
    *,
    adapter: str | None = None,
    restricted: bool = True,
    temperature: float = 1.0,
    decode_dtype: str | None = None,
) -> CausalLM:
    """Load sage-nano with its meta-cognition head.

    Args:
        weights: a folder that holds it; None is the shipped one.
        adapter: what is added to the weights for a family of environments: a shipped one's name (`tools`) or a file;
            None for shops, which the weights themselves were trained on.
        restricted: whether only admissible actions may be sampled.
        temperature: of sampling; 0 takes the likeliest token.
        decode_dtype: decode with a copy of the weights in this type, e.g. `bfloat16`.

    Raises:
        CheckpointError: the folder holds no sage-nano, or the file no adapter of it.
        UnknownNameError: no adapter of that name is shipped; the nearest is given.
    """
    from policies.causal_lm import load_causal_lm
    from policies.metacognition import MetacognitionHead

    policy = load_causal_lm(
        Path(weights) if weights else WEIGHTS,
        prompt="compact",
        restricted=restricted,
        temperature=temperature,
        decode_dtype=decode_dtype,
        head=MetacognitionHead.load,
        name="sage-nano",
    )
    if adapter is not None:
        from policies.nano.adapter import merge

        merge(cast(Any, policy.model), _find_adapter(adapter))
    return policy


def _find_adapter(name: str) -> Path:
    """Return the file of a shipped adapter, or the one that is named by its path."""
    if name.endswith(".safetensors"):
        return Path(name)
    shipped = {path.stem: path for path in sorted(ADAPTERS.glob("*.safetensors"))}
    if name not in shipped:
        raise UnknownNameError("adapter of sage-nano", name, shipped)
    return shipped[name]
