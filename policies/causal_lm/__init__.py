"""Any transformers causal model as a policy: prompts, restricted decoding, batched generation, the token ledger."""

from policies.causal_lm.load import LoraSettings, load_causal_lm
from policies.causal_lm.policy import CausalLM

__all__ = ["CausalLM", "LoraSettings", "load_causal_lm"]
