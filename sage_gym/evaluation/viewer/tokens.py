"""A decision's token ledger in words: each id as text, with its probability and its place in the loss."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from tokenizers import Tokenizer

from sage_gym.types import Ledger

__all__ = ["Token", "find_tokenizer", "prompt_tokens", "sampled_tokens"]


@dataclass(frozen=True, slots=True)
class Token:
    """One token as shown. `text` is empty where no tokenizer is at hand."""

    id: int
    text: str
    logprob: float | None = None
    is_sampled: bool = True
    """False where decoding left no choice, or it was injected: no loss."""
    allowed: int | None = None
    """How many ids restricted decoding left open; None where all were."""

    @property
    def probability(self) -> float | None:
        """Under the distribution that was sampled from."""
        return None if self.logprob is None else math.exp(min(0.0, self.logprob))

    @property
    def level(self) -> str:
        """A class for its shade: how likely it was."""
        if not self.is_sampled or self.probability is None:
            return "forced"
        return next(
            name
            for floor, name in ((0.9, "sure"), (0.5, "likely"), (0.1, "open"), (-1.0, "rare"))
            if self.probability >= floor
        )


def find_tokenizer(run_folder: Path) -> Tokenizer | None:
    """Return the tokenizer that lies with a checkpoint of the run; None where there is none that can be read."""
    for path in sorted(run_folder.glob("rounds/*/checkpoint/**/tokenizer.json"), reverse=True):
        try:
            return _load(path, path.stat().st_mtime_ns)
        except Exception:
            continue
    return None


def prompt_tokens(ledger: Ledger, tokenizer: Tokenizer | None) -> list[Token]:
    """Return what was fed before sampling."""
    return [Token(one, _text(one, tokenizer)) for one in ledger.prompt_ids]


def sampled_tokens(ledger: Ledger, tokenizer: Tokenizer | None) -> list[Token]:
    """Return what was sampled, or left no choice."""
    allowed = ledger.allowed or (None,) * len(ledger.sampled_ids)
    return [
        Token(one, _text(one, tokenizer), logprob, sampled, None if ids is None else len(ids))
        for one, logprob, sampled, ids in zip(ledger.sampled_ids, ledger.logprobs, ledger.mask, allowed, strict=True)
    ]


@lru_cache(maxsize=8)
def _load(path: Path, mtime_ns: int) -> Tokenizer:
    return Tokenizer.from_file(str(path))


def _text(one: int, tokenizer: Tokenizer | None) -> str:
    if tokenizer is None or one < 0:
        return ""
    return str(tokenizer.decode([one], skip_special_tokens=False)) or str(tokenizer.id_to_token(one) or "")
