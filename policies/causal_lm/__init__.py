"""Any transformers causal model as a policy: prompts, restricted decoding, batched generation, the token ledger."""
