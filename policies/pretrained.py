"""Any causal model as a student: loaded with the meta-cognition head that lies beside it, or with a new one."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from policies.causal_lm import CausalLM

__all__ = ["load"]


def load(
    name_or_folder: str,
    *,
    prompt: str | None = None,
    restricted: bool | None = None,
    temperature: float | None = None,
    dtype: str | None = None,
    decode_dtype: str | None = None,
    device: str | None = None,
    lora: dict[str, Any] | None = None,
    inverse_rank: int = 32,
) -> CausalLM:
    """Load a hub name, a folder or a GGUF file as a policy that can be trained.

    Args:
        name_or_folder: where the model lies.
        prompt: `plain`, `sage` or `compact`.
        restricted: whether only admissible actions may be sampled.
        temperature: of sampling; 0 takes the likeliest token.
        dtype: of the weights.
        decode_dtype: decode with a copy in this type.
        device: where to.
        lora: train low-rank adapters with these settings (rank, alpha, dropout, target_modules).
        inverse_rank: width of a new head's inverse adapter.

    Raises:
        CheckpointError: nothing is there, it is damaged, or of another architecture.
    """
    from policies.causal_lm import load_causal_lm
    from policies.metacognition import MetacognitionHead, hidden_size_of

    policy = load_causal_lm(
        name_or_folder,
        prompt=prompt,
        restricted=restricted,
        temperature=temperature,
        dtype=dtype,
        decode_dtype=decode_dtype,
        device=device,
        lora=lora,
        head=MetacognitionHead.load if (Path(name_or_folder) / "head.safetensors").is_file() else None,
    )
    if policy.head is None:
        policy.head = MetacognitionHead(hidden_size_of(policy.model), inverse_rank=inverse_rank)
    return policy
