"""The compact prompt style: an episode is one append-only sequence, and what cannot be named in words is one token.

    <task> instruction <obs> news  long text <~2> <0>  long text <~1> <1> ... short text <=> <or> ... <act> <0>
    <obs> news  short text <=> <or>  short text <or> ...  <act> short text <end>
    <obs> news <act> <write> words to search <end>

A long choice (a result's title) gets a label *behind* its text, so that the label's hidden state has read the text and
can be compared with the instruction; choosing it is copying the label. A short choice (an option, a button) is written
out, which a model that has learned to copy can do from the instruction; restricted decoding spells out only what
distinguishes it. Behind a choice stands how much of it the instruction names: `<=>` all of it, `<~n>` n words
(`overlap`). Labels run on from page to page, so that a page shown before keeps its labels: while it stays, and when it
is returned to, only the news is appended. Text is lower-cased; a choice's `group: ` that repeats its predecessor's is
left out. A page is read once an episode, on the key-value cache.

Left out: the observation's full text, except for environments without `view`, where it stands for the news.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING

from policies.causal_lm.overlap import MOST_WORDS, is_named, shared_words
from policies.causal_lm.prompt import Prompt, Reading
from sage_gym.types import Choice, Context, Turn, View

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

__all__ = ["LABEL_COUNT", "SPECIAL_TOKENS", "ChoiceRestriction", "CompactRenderer", "Vocabulary"]

LABEL_COUNT = 64
"""Long choices beyond so many on one page are not offered."""

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
    "<or>",
    *(f"<{index}>" for index in range(LABEL_COUNT)),
)
FIRST_LABEL = len(SPECIAL_TOKENS) - LABEL_COUNT
MOST_RESTRICTIONS = 20_000
LONGEST_WRITTEN = 14
"""Tokens; choices with longer texts are labelled."""


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
        self.named, self.separator = ids["<=>"], ids["<or>"]
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


class ChoiceRestriction:
    """A label, a short choice's text, or (where free text is admissible) `<write>` and then anything.

    Args:
        texts: the ids of each choice, its end included.
        write: the id that opens free text, None where none is admissible.
    """

    def __init__(self, texts: Iterable[tuple[int, ...]], write: int | None) -> None:
        following: dict[tuple[int, ...], set[int]] = {(): set() if write is None else {write}}
        for ids in texts:
            for place, token in enumerate(ids):
                following.setdefault(ids[:place], set()).add(token)
        self._write = write
        self._following = {prefix: tuple(sorted(found)) for prefix, found in following.items()}

    def allowed(self, sampled: tuple[int, ...]) -> tuple[int, ...] | None:
        """Return the ids left open; inside free text every id is."""
        if sampled and sampled[0] == self._write:
            return None
        return self._following.get(sampled, ())


@dataclass(frozen=True, slots=True)
class Page:
    """A page as it was shown: its long choices hold the labels from `offset` on, around the end."""

    key: str
    actions: tuple[str, ...]
    offset: int


@dataclass(slots=True)
class CompactRenderer:
    """Renders contexts to append-only label prompts; see the module's text.

    Args:
        vocabulary: of the policy's tokenizer.
        restricted: whether only present labels (and free text where admissible) may be sampled; a page that lists
            nothing restricts nothing.
        max_context: a prompt that would outgrow it starts a new sequence with the instruction and the present page.
        first_label: labels start here; training draws it at random so that every label is learned.
    """

    vocabulary: Vocabulary
    restricted: bool = True
    max_context: int = 1536
    first_label: int = 0
    _restrictions: dict[tuple[object, ...], ChoiceRestriction] = field(default_factory=dict)

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
        is_listed = bool(view.choices or view.free)
        return Prompt(
            ids=ids,
            is_continuation=is_continuation,
            restriction=self._restriction(page, view) if self.restricted and is_listed else None,
            stop_ids=frozenset((self.vocabulary.end, *self.vocabulary.labels)),
            max_tokens=context.turn_tokens,
            read=partial(self._read, page, view),
            notes={"page": page.key, "actions": page.actions, "offset": page.offset},
        )

    def _observe(self, view: View, shown: Sequence[Page], instruction: str) -> tuple[tuple[int, ...], Page]:
        """Give the ids of an observation and the page whose labels hold."""
        vocabulary = self.vocabulary
        ids = [vocabulary.obs, *vocabulary.encode(view.news)[: vocabulary.news_tokens]]
        known = next((page for page in _alive(shown) if page.key == view.page), None)
        if known is not None:
            return (*ids, vocabulary.act), known
        offset = (shown[-1].offset + len(shown[-1].actions)) % LABEL_COUNT if shown else self.first_label
        labelled: list[str] = []
        group = ""
        for choice in view.choices:
            head, colon, rest = choice.text.partition(": ")
            if self.is_written(choice):
                ids += vocabulary.encode(rest if colon and head == group else choice.text)
                ids += (*vocabulary.overlap(instruction, choice.text), vocabulary.separator)
                group = head if colon else ""
            elif len(labelled) < LABEL_COUNT:
                ids += (*vocabulary.encode_choice(choice.text), *vocabulary.overlap(instruction, choice.text))
                ids.append(self.label(offset, len(labelled)))
                labelled.append(choice.action)
        return (*ids, vocabulary.act), Page(view.page, tuple(labelled), offset)

    def is_written(self, choice: Choice) -> bool:
        """Whether a choice is short enough to be written out."""
        return len(self.vocabulary.encode(choice.text)) <= LONGEST_WRITTEN

    def label(self, offset: int, place: int) -> int:
        """Return the label of the long choice at a place of its page."""
        return self.vocabulary.labels[(place + offset) % LABEL_COUNT]

    def spell(self, page: Page, view: View) -> dict[tuple[int, ...], str]:
        """Return what is to be sampled for each choice, its end included, and the action that it stands for."""
        spelled: dict[tuple[int, ...], str] = {
            (self.label(page.offset, place),): action for place, action in enumerate(page.actions)
        }
        for choice in view.choices:
            if self.is_written(choice):
                spelled.setdefault((*self.vocabulary.encode(choice.text), self.vocabulary.end), choice.action)
        return spelled

    def _restriction(self, page: Page, view: View) -> ChoiceRestriction:
        key = (page.offset, page.actions, view.choices, bool(view.free))
        if key not in self._restrictions:
            if len(self._restrictions) > MOST_RESTRICTIONS:
                self._restrictions.clear()
            write = self.vocabulary.write if view.free else None
            self._restrictions[key] = ChoiceRestriction(self.spell(page, view), write)
        return self._restrictions[key]

    def _read(self, page: Page, view: View, sampled: tuple[int, ...]) -> Reading:
        vocabulary = self.vocabulary
        if not sampled:
            return Reading("", "")
        action = self.spell(page, view).get(sampled)
        if sampled[0] in vocabulary.label_index:
            label = SPECIAL_TOKENS[FIRST_LABEL + vocabulary.label_index[sampled[0]]]
            return Reading(label, action or label)
        words = vocabulary.decode([i for i in sampled if i not in vocabulary.label_index])
        if sampled[0] != vocabulary.write:
            return Reading(words, action or words)
        return Reading(words, f"{view.free[0]}{words}]" if len(view.free) == 1 else f"{words}]")


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
    """Leave out the turns on which a page was only returned to; one whose labels were taken over was shown again."""
    shown: list[Page] = []
    for page in pages:
        if page not in _alive(shown):
            shown.append(page)
    return shown


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
