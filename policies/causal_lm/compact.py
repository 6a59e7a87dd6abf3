"""The compact prompt style: an episode is one append-only sequence, and a choice is one token.

    <task> instruction <obs> news  text <3>  text <4> ...  <act> <4>
    <obs> news  text <3> ...  <act> <write> words to search <end>
    <obs> news <act> <3>

Each choice is written once, its label token *behind* its text, so that the label's hidden state has read the text
and can be compared with the instruction; deciding is then copying a label. While the page stays the same, only the
news is appended and the labels given before still hold. Text is lower-cased; a choice's `group: ` that repeats its
predecessor's is left out. A small model decides with one forward pass a turn on its key-value cache, and a page is
read once an episode.

Left out: the observation's full text, except for environments without `view`, where it stands for the news.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING

from policies.causal_lm.prompt import Prompt, Reading
from sage_gym.types import Context, Turn, View

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

__all__ = ["LABEL_COUNT", "SPECIAL_TOKENS", "CompactRenderer", "LabelRestriction", "Vocabulary"]

LABEL_COUNT = 96
"""Choices beyond so many on one page are not offered."""

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
    *(f"<{index}>" for index in range(LABEL_COUNT)),
)


class Vocabulary:
    """The ids that the compact style uses, and a cached encoder of texts.

    Args:
        tokenizer: one that has `SPECIAL_TOKENS`.
        choice_tokens: a choice's text is cut to so many tokens, its last ones kept (`$12.5` stands at the end).
        news_tokens: news are cut to so many tokens.
    """

    def __init__(self, tokenizer: PreTrainedTokenizerBase, *, choice_tokens: int = 40, news_tokens: int = 96) -> None:
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
        self.labels = tuple(ids[t] for t in SPECIAL_TOKENS[9:])
        self.label_index = {token_id: index for index, token_id in enumerate(self.labels)}
        self.choice_tokens, self.news_tokens = choice_tokens, news_tokens
        self._cache: dict[str, tuple[int, ...]] = {}

    def encode(self, text: str) -> tuple[int, ...]:
        """Encode lower-cased text without special tokens."""
        known = self._cache.get(text)
        if known is None:
            if len(self._cache) > 200_000:
                self._cache.clear()
            encoded = self.tokenizer.encode(text.lower(), add_special_tokens=False)
            known = self._cache[text] = tuple(encoded)
        return known

    def encode_choice(self, text: str) -> tuple[int, ...]:
        """Encode a choice's text, its middle cut out when too long."""
        ids = self.encode(text)
        if len(ids) <= self.choice_tokens:
            return ids
        tail = 8
        return ids[: self.choice_tokens - tail] + ids[-tail:]

    def decode(self, ids: Sequence[int]) -> str:
        """Decode ordinary ids to text."""
        return str(self.tokenizer.decode(list(ids), skip_special_tokens=True)).strip()


@dataclass(frozen=True, slots=True)
class LabelRestriction:
    """A present label, or (where free text is admissible) `<write>` and then anything."""

    first: tuple[int, ...]

    def allowed(self, sampled: tuple[int, ...]) -> tuple[int, ...] | None:
        """Return the first position's open ids; inside free text every id is open."""
        return None if sampled else self.first


@dataclass(frozen=True, slots=True)
class Page:
    """The choices whose labels hold at present."""

    key: str = ""
    actions: tuple[str, ...] = ()
    offset: int = 0


@dataclass(slots=True)
class CompactRenderer:
    """Renders contexts to append-only label prompts; see the module's text.

    Args:
        vocabulary: of the policy's tokenizer.
        restricted: whether only present labels (and free text where admissible) may be sampled.
        max_context: a prompt that would outgrow it starts a new sequence with the instruction and the present page.
        label_offset: labels start here; training draws it at random so that every label is learned.
    """

    vocabulary: Vocabulary
    restricted: bool = True
    max_context: int = 1536
    label_offset: int = 0
    _restrictions: dict[tuple[int, int, bool], LabelRestriction] = field(default_factory=dict)

    def render(self, context: Context) -> Prompt:
        """Append the new page or only its news; start anew when the context would be outgrown."""
        view = context.view or View(page=f"turn {len(context.turns)}", news=context.observation)
        last = context.turns[-1] if context.turns else None
        held = _length_held(context.turns)
        page = _page_of(last)
        fits = held > 0
        if fits:
            shown = page if page.key == view.page else None
            ids, page = self._observe(view, shown)
            fits = held + len(ids) + context.turn_tokens < self.max_context
        if not fits:
            body, page = self._observe(view, None)
            head = (self.vocabulary.task, *self.vocabulary.encode(context.task.instruction))
            hints = tuple(i for hint in context.hints for i in self.vocabulary.encode(hint)[: self.vocabulary.news_tokens])
            ids = head + hints + body
        return self._prompt(context, view, page, ids, is_continuation=fits)

    def _prompt(
        self, context: Context, view: View, page: Page, ids: tuple[int, ...], *, is_continuation: bool
    ) -> Prompt:
        return Prompt(
            ids=ids,
            is_continuation=is_continuation,
            restriction=self._restriction(page, bool(view.free)) if self.restricted else None,
            stop_ids=frozenset((self.vocabulary.end, *self.vocabulary.labels)),
            max_tokens=context.turn_tokens,
            read=partial(self._read, page, view.free),
            notes={"page": page.key, "actions": page.actions, "offset": page.offset},
        )

    def _observe(self, view: View, shown: Page | None) -> tuple[tuple[int, ...], Page]:
        vocabulary = self.vocabulary
        ids = [vocabulary.obs, *vocabulary.encode(view.news)[: vocabulary.news_tokens]]
        if shown is not None:
            return (*ids, vocabulary.act), shown
        group = ""
        offered = view.choices[:LABEL_COUNT]
        for index, choice in enumerate(offered):
            head, colon, rest = choice.text.partition(": ")
            ids += vocabulary.encode_choice(rest if colon and head == group else choice.text)
            ids.append(vocabulary.labels[(index + self.label_offset) % LABEL_COUNT])
            group = head if colon else ""
        page = Page(view.page, tuple(choice.action for choice in offered), self.label_offset)
        return (*ids, vocabulary.act), page

    def _restriction(self, page: Page, has_free: bool) -> LabelRestriction:
        key = (page.offset, len(page.actions), has_free)
        if key not in self._restrictions:
            labels = [self.vocabulary.labels[(i + page.offset) % LABEL_COUNT] for i in range(len(page.actions))]
            extra = [self.vocabulary.write] if has_free else []
            self._restrictions[key] = LabelRestriction(tuple(sorted(labels + extra)))
        return self._restrictions[key]

    def _read(self, page: Page, free: tuple[str, ...], sampled: tuple[int, ...]) -> Reading:
        vocabulary = self.vocabulary
        if not sampled:
            return Reading("", "")
        if sampled[0] in vocabulary.label_index:
            index = (vocabulary.label_index[sampled[0]] - page.offset) % LABEL_COUNT
            label = SPECIAL_TOKENS[9 + vocabulary.label_index[sampled[0]]]
            return Reading(label, page.actions[index] if index < len(page.actions) else label)
        words = vocabulary.decode([i for i in sampled if i not in vocabulary.label_index])
        if sampled[0] != vocabulary.write:
            return Reading(words, words)
        return Reading(words, f"{free[0]}{words}]" if len(free) == 1 else f"{words}]")


def _page_of(last: Turn | None) -> Page:
    if last is None:
        return Page()
    notes = last.decision.notes
    return Page(str(notes.get("page", "")), tuple(notes.get("actions", ())), int(notes.get("offset", 0)))


def _length_held(turns: Sequence[Turn]) -> int:
    """Count the tokens of the sequence that the last decision ended; 0 where there is none to continue."""
    total = 0
    for turn in reversed(turns):
        ledger = turn.decision.ledger
        if ledger is None:
            return 0
        total += len(ledger.prompt_ids) + len(ledger.sampled_ids)
        if not ledger.is_continuation:
            return total
    return 0
