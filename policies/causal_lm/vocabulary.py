"""The ids of the compact prompt style, and how texts become ids; what they are for is told in `compact`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from policies.causal_lm.overlap import MOST_WORDS, shared_words
from policies.causal_lm.prefixes import Prefixes
from policies.causal_lm.quotes import MARK_COUNT, Quotes, words_of
from sage_gym.types import View

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

__all__ = ["LABEL_COUNT", "SPECIAL_TOKENS", "Vocabulary"]

LABEL_COUNT = 64
"""Long choices beyond so many on one page are not offered."""
NAMED_COUNT = 8
"""Choices named in full beyond so many on one page are shown as any other."""

SPECIAL_TOKENS = (
    "<pad>",
    "<task>",
    "<obs>",
    "<act>",
    "<write>",
    "<end>",
    "<inverse>",
    "<success>",
    "<failure>",
    "<left>",
    "<quote>",
    *(f"<w{index}>" for index in range(MARK_COUNT)),
    *(f"<={index}>" for index in range(NAMED_COUNT)),
    *(f"<~{count}>" for count in range(1, MOST_WORDS + 1)),
    "<or>",
    *(f"<{index}>" for index in range(LABEL_COUNT)),
)
FIRST_LABEL = len(SPECIAL_TOKENS) - LABEL_COUNT


class Vocabulary:
    """The ids that the compact style uses, and a cached encoder of texts.

    Args:
        tokenizer: one that has `SPECIAL_TOKENS`.
        choice_tokens: a choice's text is cut to so many tokens, its last ones kept (`$12.5` stands at the end).
        news_tokens: news are cut to so many tokens.
    """

    def __init__(self, tokenizer: PreTrainedTokenizerBase, *, choice_tokens: int = 24, news_tokens: int = 96) -> None:
        missing = [token for token in SPECIAL_TOKENS if token not in tokenizer.get_vocab()]
        if missing:
            raise ValueError(
                f"the compact prompt style needs the tokens {', '.join(SPECIAL_TOKENS[:9])} and {LABEL_COUNT} labels; "
                f"this tokenizer lacks {len(missing)} of them, the first {missing[0]!r}; use prompt=plain"
            )
        self.tokenizer = tokenizer
        ids: dict[str, int] = tokenizer.get_vocab()
        self.pad, self.task, self.obs, self.act, self.write, self.end = (ids[t] for t in SPECIAL_TOKENS[:6])
        self.inverse, self.success, self.failure = (ids[t] for t in SPECIAL_TOKENS[6:9])
        marks = tuple(ids[f"<w{index}>"] for index in range(MARK_COUNT))
        self.quotes = Quotes(ids["<quote>"], marks, self.end)
        self.named = tuple(ids[f"<={index}>"] for index in range(NAMED_COUNT))
        self.separator, self.left = ids["<or>"], ids["<left>"]
        self.shared = tuple(ids[f"<~{count}>"] for count in range(1, MOST_WORDS + 1))
        self.labels = tuple(ids[t] for t in SPECIAL_TOKENS[FIRST_LABEL:])
        self.stop_labels = frozenset((*self.labels, *self.named))
        self.label_index = {token_id: index for index, token_id in enumerate(self.labels)}
        self.mark_index = {token_id: index for index, token_id in enumerate(marks)}
        self.signs = tuple(ids[sign] for sign in ("$", "Ġ$") if sign in ids)
        """What opens a reference: a dollar sign, and one with a space before it."""
        self.choice_tokens, self.news_tokens = choice_tokens, news_tokens
        self._cache: dict[str, tuple[int, ...]] = {}

    def encode(self, text: str) -> tuple[int, ...]:
        """Encode lower-cased text without special tokens."""
        known = self._cache.get(text)
        if known is None:
            if len(self._cache) > 200_000:
                self._cache.clear()
            encoded = self.tokenizer.encode(text.lower(), add_special_tokens=False, split_special_tokens=True)
            known = self._cache[text] = tuple(encoded)
        return known

    def encode_choice(self, text: str) -> tuple[int, ...]:
        """Encode a choice's text, its middle cut out when too long."""
        ids = self.encode(text)
        if len(ids) <= self.choice_tokens:
            return ids
        tail = 8
        return ids[: self.choice_tokens - tail] + ids[-tail:]

    def encode_instruction(self, text: str) -> tuple[int, ...]:
        """Encode an instruction with a mark behind each word, as far as there are marks."""
        words, marks = words_of(text), self.quotes.marks
        ids = [id_ for word, mark in zip(words, marks, strict=False) for id_ in (*self.encode(word), mark)]
        return (*ids, *self.encode(" ".join(words[len(marks) :])))

    def behind_sign(self, reference: str) -> tuple[int, ...]:
        """Encode a reference (`$email`) without the sign that it begins with."""
        ids = self.encode(reference)
        return ids[next((place + 1 for place, token in enumerate(ids) if token in self.signs), 0) :]

    def prefixes(self, view: View) -> Prefixes | None:
        """Return a page's prefixes of free text with their labels, the last ones; None where there are not several."""
        count = len(view.free)
        labels = self.labels[LABEL_COUNT - count :]
        return Prefixes(view.free, labels, self.quotes.marks, self.end) if count > 1 else None

    def overlap(self, instruction: str, choice: str) -> tuple[int, ...]:
        """Return the token that says how many of a choice's words the instruction names; nothing where none."""
        count = shared_words(instruction, choice)
        return (self.shared[count - 1],) if count else ()

    def decode(self, ids: Sequence[int]) -> str:
        """Decode ordinary ids to text."""
        return str(self.tokenizer.decode(list(ids), skip_special_tokens=True)).strip()
