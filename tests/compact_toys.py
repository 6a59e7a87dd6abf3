"""Pages and choices for the compact style, and what stands before a label."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace

from hypothesis import strategies as st

from policies.causal_lm.vocabulary import NAMED_COUNT, Vocabulary
from sage_gym.types import Choice, View
from tests.nano_toys import tiny_task, tiny_tokenizer

VOCABULARY = Vocabulary(tiny_tokenizer())
LABELS = {*VOCABULARY.labels, *VOCABULARY.named}
BETWEEN = {VOCABULARY.obs, VOCABULARY.act, VOCABULARY.left, VOCABULARY.separator, VOCABULARY.end, *VOCABULARY.named}
WANTED = [f"h{index}: t{index}" for index in range(NAMED_COUNT + 2)]
TASK = replace(tiny_task(), instruction=f"find me red shoes, {', '.join(WANTED)}, and price lower than 40 dollars")
"""Names more choices in full than there are labels for those."""
MANY_SHARED = replace(TASK, instruction=f"{TASK.instruction} 3 4 great 5 length")
"""Shares one word with some long choices and several with others."""


def short(text: str) -> Choice:
    return Choice(f"click[{text}]", text)


def long(page: int, index: int) -> Choice:
    return Choice(f"click[item {page} {index}]", f"{index} on {page}, which is described at rather great length here")


def wanted(page: int, index: int) -> Choice:
    return Choice(f"click[{page} {WANTED[index]}]", WANTED[index])


def make_page(number: int, longs: int, shorts: int = 0, named: int = 0, *, free: bool = False) -> View:
    choices = (
        *(long(number, i) for i in range(longs)),
        *(short(f"to {number} {i}") for i in range(shorts)),
        *(wanted(number, i) for i in range(named)),
    )
    return View(f"page {number}", f"news {number}", choices, ("search[",) if free else ())


def texts_before_labels(sequence: Sequence[int]) -> dict[int, tuple[int, ...]]:
    """Give for each label the ids before its last appearance behind a text."""
    found: dict[int, tuple[int, ...]] = {}
    text: list[int] = []
    for token in sequence:
        if token in VOCABULARY.label_index:
            if text:
                found[token] = tuple(text)
            text = []
        elif token in BETWEEN:
            text = []
        elif token not in VOCABULARY.shared:
            text.append(token)
    return found


def texts_before_named(listing: Sequence[int]) -> dict[int, tuple[int, ...]]:
    """Give for each label of a choice named in full the ids before it on the one page that is listed here."""
    found: dict[int, tuple[int, ...]] = {}
    begins = 0
    for place, token in enumerate(listing):
        if token in VOCABULARY.named:
            assert token not in found, "a label that stands twice on one page"
            found[token] = tuple(listing[begins:place])
        if token in (*VOCABULARY.named, *VOCABULARY.labels, VOCABULARY.separator):
            begins = place + 1
    return found


def labels_among(ids: Iterable[int] | None) -> set[int]:
    return set(ids or ()) & set(VOCABULARY.labels)


def named_among(ids: Iterable[int] | None) -> set[int]:
    return set(ids or ()) & set(VOCABULARY.named)


SIZES = st.tuples(st.integers(0, 40), st.integers(0, 3), st.integers(0, len(WANTED)), st.booleans())
PAGES = st.lists(SIZES, min_size=1, max_size=5).map(
    lambda sizes: [make_page(number, *size[:3], free=size[3]) for number, size in enumerate(sizes)]
)
VISITS = PAGES.flatmap(lambda pages: st.lists(st.sampled_from(pages), min_size=1, max_size=12))
LOTS = st.lists(st.integers(0, 1000), min_size=3, max_size=7)
WORD = st.text("abcz,.:$9-", min_size=1, max_size=4)
