"""A saved policy's tokenizer splits text as the one that was trained with."""

from __future__ import annotations

from pathlib import Path

from policies.causal_lm import load_causal_lm
from policies.nano.model import build_model, build_tokenizer

TEXTS = ['find me a 28" x 28" navy-blue throw', "size: 6.5 lb, and price lower than 30.00 dollars"]


def test_a_tokenizer_comes_back_with_its_own_word_splitting_not_the_model_familys(tmp_path: Path) -> None:
    tokenizer = build_tokenizer(TEXTS * 3)
    build_model(0, hidden=32, layers=1, heads=1, vocab=len(tokenizer)).save_pretrained(tmp_path)
    tokenizer.save_pretrained(tmp_path)
    loaded = load_causal_lm(tmp_path, prompt="compact").tokenizer
    assert len(loaded) == len(tokenizer)
    for text in TEXTS:
        assert loaded.encode(text, add_special_tokens=False) == tokenizer.encode(text, add_special_tokens=False)
