"""sage-nano's architecture and tokenizer: Qwen2, a few million parameters, byte-level BPE over lower-cased text."""

from __future__ import annotations

from collections.abc import Iterable

import torch
from tokenizers import Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, trainers
from transformers import PreTrainedTokenizerFast, Qwen2Config, Qwen2ForCausalLM

from policies.causal_lm.vocabulary import SPECIAL_TOKENS

__all__ = ["VOCABULARY_SIZE", "build_model", "build_tokenizer"]

VOCABULARY_SIZE = 2048
MAX_CONTEXT = 2048
WORD = r" ?\p{L}+| ?\d| ?[^\s\p{L}\d]+|\s+"
"""Words, single digits and runs of signs, each with the space before it."""


def build_tokenizer(texts: Iterable[str]) -> PreTrainedTokenizerFast:
    """Train the tokenizer: NFKC, lower case, single digits, byte-level BPE; a word has one spelling wherever it stands.

    A prefix space is added, so that the first word of a text is encoded as any other: copying and matching rest on it.
    """
    tokenizer = Tokenizer(models.BPE())
    tokenizer.normalizer = normalizers.Sequence(
        [normalizers.NFKC(), normalizers.Lowercase(), normalizers.Strip(), normalizers.Prepend(" ")]
    )
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(WORD), behavior="isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=VOCABULARY_SIZE,
        special_tokens=list(SPECIAL_TOKENS),
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(texts, trainer)
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, pad_token="<pad>", eos_token="<end>", clean_up_tokenization_spaces=False
    )


def build_model(
    seed: int, *, hidden: int = 192, layers: int = 4, heads: int = 6, vocab: int = VOCABULARY_SIZE
) -> Qwen2ForCausalLM:
    """Build the model with fresh weights drawn from `seed`."""
    torch.manual_seed(seed)
    config = Qwen2Config(
        vocab_size=vocab,
        hidden_size=hidden,
        intermediate_size=hidden * 8 // 3,
        num_hidden_layers=layers,
        num_attention_heads=heads,
        num_key_value_heads=heads,
        max_position_embeddings=MAX_CONTEXT,
        tie_word_embeddings=True,
        rope_parameters={"rope_type": "default", "rope_theta": 10_000.0},
        initializer_range=0.02,
        pad_token_id=0,
        bos_token_id=None,
        eos_token_id=5,
    )
    return Qwen2ForCausalLM(config)
