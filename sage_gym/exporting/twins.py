"""A model of one architecture as the same function in another one's form.

Since version 5, transformers gives a `qwen2` model Qwen's own way of cutting text, whatever the tokenizer's files say.
A Qwen2 with a tokenizer of its own, such as sage-nano, would be fed other ids than it was trained on. Llama has the
same layers, and its tokenizers are read from their files; it has a bias at the attention's output as well, which is 0.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from transformers import AutoModelForCausalLM, LlamaConfig, LlamaForCausalLM, Qwen2Config

from sage_gym.errors import CheckpointError

__all__ = ["rewrite_as_llama"]

COMMON = (
    "vocab_size",
    "hidden_size",
    "intermediate_size",
    "num_hidden_layers",
    "num_attention_heads",
    "num_key_value_heads",
    "hidden_act",
    "max_position_embeddings",
    "initializer_range",
    "rms_norm_eps",
    "rope_parameters",
    "use_cache",
    "attention_dropout",
    "tie_word_embeddings",
    "pad_token_id",
    "bos_token_id",
    "eos_token_id",
    "dtype",
)
OUTPUT_BIAS = "self_attn.o_proj.bias"


def rewrite_as_llama(folder: Path) -> None:
    """Replace a folder's Qwen2 by the Llama that is the same function.

    Raises:
        CheckpointError: the model is no Qwen2, or attends within a sliding window, which Llama does not.
    """
    model: Any = AutoModelForCausalLM.from_pretrained(folder)
    config = model.config
    if not isinstance(config, Qwen2Config) or config.use_sliding_window:
        raise CheckpointError(f"{folder}: expected a Qwen2 without a sliding window, got {type(config).__name__}")
    given = {name: getattr(config, name) for name in COMMON}
    twin: Any = LlamaForCausalLM(LlamaConfig(**given, attention_bias=True, mlp_bias=False)).to(model.dtype)
    lacking = twin.load_state_dict(model.state_dict(), strict=False)
    extra = [name for name in lacking.missing_keys if not name.endswith(OUTPUT_BIAS)]
    if extra or lacking.unexpected_keys:
        raise CheckpointError(f"{folder}: expected Llama's weights in a Qwen2, got {extra or lacking.unexpected_keys}")
    with torch.no_grad():
        for name, parameter in twin.named_parameters():
            if name.endswith(OUTPUT_BIAS):
                parameter.zero_()
    twin.generation_config = model.generation_config
    for path in folder.glob("model*.safetensors*"):
        path.unlink()
    twin.save_pretrained(folder)
