"""The compact prompt style: an episode is one append-only sequence, and a choice is one token.

    <task> instruction <obs> news  text <~2> <3>  text <=> <4> ...  <act> <4>
    <obs> news  text <3> ...  <act> <write> words to search <end>
    <obs> news <act> <3>

Each choice is written once, its label token *behind* its text, so that the label's hidden state has read the text
and can be compared with the instruction; deciding is then copying a label. Before the label stands how much of the choice
the instruction names: `<=>` all of it, `<~n>` n words (`overlap`). Labels run on from page to page, so that
a page shown before keeps its labels: while it stays, and when it is returned to, only the news is appended. Text is lower-cased; a choice's `group: ` that repeats its
predecessor's is left out. A small model decides with one forward pass a turn on its key-value cache, and a page is
read once an episode.

Left out: the observation's full text, except for environments without `view`, where it stands for the news.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING

from policies.causal_lm.overlap import MOST_WORDS, is_named, shared_words
from policies.causal_lm.prompt import Prompt, Reading
from sage_gym.types import Context, Turn, View

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

__all__ = ["LABEL_COUNT", "SPECIAL_TOKENS", "CompactRenderer", "LabelRestriction", "Vocabulary"]

LABEL_COUNT = 128
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
    "<=>",
    *(f"<~{count}>" for count in range(1, MOST_WORDS + 1)),
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
        self.named = ids["<=>"]
        self.shared = tuple(ids[f"<~{count}>"] for count in range(1, MOST_WORDS + 1))
        self.labels = tuple(ids[t] for t in SPECIAL_TOKENS[FIRST_LABEL:])
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

    def overlap(self, instruction: str, choice: str) -> tuple[int, ...]:
        """Return the token that says how much of a choice the instruction names; none where that is nothing."""
        if is_named(instruction, choice):
            return (self.named,)
        count = shared_words(instruction, choice)
        return (self.shared[count - 1],) if count else ()

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
    """A page as it was shown: its choices hold the labels from `offset` on, around the end."""

    key: str
    actions: tuple[str, ...]
    offset: int


@dataclass(slots=True)
class CompactRenderer:
    """Renders contexts to append-only label prompts; see the module's text.

    Args:
        vocabulary: of the policy's tokenizer.
        restricted: whether only present labels (and free text where admissible) may be sampled.
        max_context: a prompt that would outgrow it starts a new sequence with the instruction and the present page.
        first_label: labels start here; training draws it at random so that every label is learned.
    """

    vocabulary: Vocabulary
    restricted: bool = True
    max_context: int = 1536
    first_label: int = 0
    _restrictions: dict[tuple[int, int, bool], LabelRestriction] = field(default_factory=dict)

    def render(self, context: Context) -> Prompt:
        """Append the new page, or only its news where it was shown; start anew when the context would be outgrown."""
        view = context.view or View(page=f"turn {len(context.turns)}", news=context.observation)
        held, shown = _sequence_so_far(context.turns)
        ids, page = self._observe(view, shown, context.task.instruction)
        if held and held + len(ids) + context.turn_tokens < self.max_context:
            return self._prompt(context, view, page, ids, is_continuation=True)
        ids, page = self._observe(view, [], context.task.instruction)
        head = (self.vocabulary.task, *self.vocabulary.encode(context.task.instruction))
        hints = tuple(i for hint in context.hints for i in self.vocabulary.encode(hint)[: self.vocabulary.news_tokens])
        return self._prompt(context, view, page, head + hints + ids, is_continuation=False)

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

    def _observe(self, view: View, shown: Sequence[Page], instruction: str) -> tuple[tuple[int, ...], Page]:
        """Give the ids of an observation and the page whose labels hold."""
        vocabulary = self.vocabulary
        ids = [vocabulary.obs, *vocabulary.encode(view.news)[: vocabulary.news_tokens]]
        known = next((page for page in _alive(shown) if page.key == view.page), None)
        if known is not None:
            return (*ids, vocabulary.act), known
        offered = view.choices[:LABEL_COUNT]
        offset = (shown[-1].offset + len(shown[-1].actions)) % LABEL_COUNT if shown else self.first_label
        group = ""
        for index, choice in enumerate(offered):
            head, colon, rest = choice.text.partition(": ")
            ids += vocabulary.encode_choice(rest if colon and head == group else choice.text)
            ids += vocabulary.overlap(instruction, choice.text)
            ids.append(vocabulary.labels[(index + offset) % LABEL_COUNT])
            group = head if colon else ""
        return (*ids, vocabulary.act), Page(view.page, tuple(choice.action for choice in offered), offset)

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
            label = SPECIAL_TOKENS[FIRST_LABEL + vocabulary.label_index[sampled[0]]]
            return Reading(label, page.actions[index] if index < len(page.actions) else label)
        words = vocabulary.decode([i for i in sampled if i not in vocabulary.label_index])
        if sampled[0] != vocabulary.write:
            return Reading(words, words)
        return Reading(words, f"{free[0]}{words}]" if len(free) == 1 else f"{words}]")


def _sequence_so_far(turns: Sequence[Turn]) -> tuple[int, list[Page]]:
    """Return the length in tokens of the sequence that the last decision ended, and the pages shown in it, in order."""
    length, shown = 0, list[Page]()
    for turn in reversed(turns):
        ledger, notes = turn.decision.ledger, turn.decision.notes
        if ledger is None:
            return 0, []
        length += len(ledger.prompt_ids) + len(ledger.sampled_ids)
        shown.append(Page(str(notes["page"]), tuple(notes["actions"]), int(notes["offset"])))
        if not ledger.is_continuation:
            return length, _first_showings(reversed(shown))
    return 0, []


def _first_showings(pages: Iterable[Page]) -> list[Page]:
    """Leave out the turns on which a page was only returned to."""
    return list(dict.fromkeys(pages))


def _alive(shown: Sequence[Page]) -> list[Page]:
    """Return the pages whose labels no later page has taken over."""
    alive: list[Page] = []
    later = 0
    for page in reversed(shown):
        later += len(page.actions)
        if later > LABEL_COUNT:
            break
        alive.append(page)
    return alive
