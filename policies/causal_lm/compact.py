"""The compact prompt style: an episode is one append-only sequence, and what need not be spelled out is one token.

    <task> word <w0> word <w1> ... <obs> news  long text <~2> <0>  long text <~1> <1> ... short text <or> ... <act> <0>
    <obs> news  named text <=0>  named text <=1>  short text <or> ...  <act> <=1>
    <obs> news  short text <or> ...  <act> short text <end>
    <obs> news <act> <quote> <w2> <w9> <end>        or        <write> words to search <end>

A long choice (a result's title) gets a label *behind* its text, so that the label's hidden state has read the text and
can be compared with the instruction; choosing it is copying the label. A choice that the instruction names in full
(`color: navy`) gets one of a few labels of its own, counted on each page. Any other short choice (an option, a button)
is written out; restricted decoding spells out only what distinguishes it. Behind either stands how many of its words
the instruction names: `<~n>` (`overlap`). Free text quotes spans of the instruction (`quotes`), or is written; where a
page has several prefixes for it (`bash[`, `answer[`), the last labels stand for them (`prefixes`). The others count the
choices of the present page. Where a page stays, or is returned to, only the news is appended, and its labels
anew where they changed or another page came between: `<obs> news <left> <~2> <0> <~3> <1> ... <act>`, choices not taken
yet first. A page of options ends with how much of what the instruction asks for as `group: value` it does not offer:
`<obs> news  color: navy <=0>  size: small <or> ... <left> <~1> <act>`. While it stays, that is said again, behind the
labels of what it does offer of it and was not chosen yet: `<obs> news <=1> <left> <~1> <act>`. Text is lower-cased; a
choice's `group: ` that repeats its predecessor's is left out. A page is read once an episode, on the key-value cache.

Left out: the observation's full text, except for environments without `view`, where it stands for the news.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from functools import partial

from policies.causal_lm.overlap import count_lacking, is_named
from policies.causal_lm.prefixes import PrefixRestriction
from policies.causal_lm.prompt import Prompt, Reading, Restriction
from policies.causal_lm.quotes import Quotes, words_of
from policies.causal_lm.vocabulary import LABEL_COUNT, Vocabulary
from sage_gym.types import Choice, Context, Turn, View

__all__ = ["ChoiceRestriction", "CompactRenderer", "Page"]

MOST_RESTRICTIONS = 20_000
LONGEST_WRITTEN = 14
"""Tokens; choices with longer texts are labelled."""


class ChoiceRestriction:
    """A label, a short choice's text, or (where free text is admissible) a quotation, or `<write>` and then anything.

    Args:
        texts: the ids of each choice, its end included.
        free: the id that opens free text and the ids of quoting with the instruction's count of words; None where no
            free text is admissible.
    """

    def __init__(self, texts: Iterable[tuple[int, ...]], free: tuple[int, Quotes, int] | None) -> None:
        following: dict[tuple[int, ...], set[int]] = {(): set()}
        if free is not None:
            following[()] |= {free[0], free[1].quote} if free[2] else {free[0]}
        for ids in texts:
            for place, token in enumerate(ids):
                following.setdefault(ids[:place], set()).add(token)
        self._free = free
        self._following = {prefix: tuple(sorted(found)) for prefix, found in following.items()}

    def allowed(self, sampled: tuple[int, ...]) -> tuple[int, ...] | None:
        """Return the ids left open; inside written text every id is."""
        if sampled and self._free is not None:
            write, quotes, words = self._free
            if sampled[0] == write:
                return None
            if sampled[0] == quotes.quote:
                return quotes.allowed(sampled, words)
        return self._following.get(sampled, ())


@dataclass(frozen=True, slots=True)
class Page:
    """A page as it is shown: the k-th label stands for the k-th of its long choices' actions."""

    key: str
    actions: tuple[str, ...]


@dataclass(slots=True)
class CompactRenderer:
    """Renders contexts to append-only label prompts; see the module's text.

    Args:
        vocabulary: of the policy's tokenizer.
        restricted: whether only present labels (and free text where admissible) may be sampled; a page that lists
            nothing restricts nothing.
        max_context: a prompt that would outgrow it starts a new sequence with the instruction and the present page.
    """

    vocabulary: Vocabulary
    restricted: bool = True
    max_context: int = 1536
    _restrictions: dict[tuple[object, ...], Restriction] = field(default_factory=dict)

    def render(self, context: Context) -> Prompt:
        """Append the new page, or only its news where it was shown; start anew when the context would be outgrown."""
        view = context.view or View(page=f"turn {len(context.turns)}", news=context.observation)
        held, shown = _sequence_so_far(context.turns)
        ids, page = self._observe(view, shown, context)
        if held and held + len(ids) + context.turn_tokens < self.max_context:
            return self._prompt(context, view, page, ids, is_continuation=True)
        ids, page = self._observe(view, [], context)
        head = (self.vocabulary.task, *self.vocabulary.encode_instruction(context.task.instruction))
        hints = tuple(i for hint in context.hints for i in self.vocabulary.encode(hint)[: self.vocabulary.news_tokens])
        return self._prompt(context, view, page, head + hints + ids, is_continuation=False)

    def _prompt(
        self, context: Context, view: View, page: Page, ids: tuple[int, ...], *, is_continuation: bool
    ) -> Prompt:
        is_listed = bool(view.choices or view.free)
        instruction = context.task.instruction
        return Prompt(
            ids=ids,
            is_continuation=is_continuation,
            restriction=self._restriction(page, view, instruction) if self.restricted and is_listed else None,
            stop_ids=self._stop_ids(view),
            max_tokens=context.turn_tokens,
            read=partial(self._read, page, view, instruction),
            notes={"page": page.key, "actions": page.actions},
        )

    def _stop_ids(self, view: View) -> frozenset[int]:
        prefixes = self.vocabulary.prefixes(view)
        stops = self.vocabulary.stop_labels | {self.vocabulary.end}
        return stops - set(prefixes.labels) if prefixes else stops

    def _observe(self, view: View, shown: Sequence[Page], context: Context) -> tuple[tuple[int, ...], Page]:
        """Give the ids of an observation and the page whose labels hold."""
        vocabulary, instruction = self.vocabulary, context.task.instruction
        ids = [vocabulary.obs, *vocabulary.encode(view.news)[: vocabulary.news_tokens]]
        known = next((page for page in reversed(shown) if page.key == view.page), None)
        if known is not None:
            page = _untaken_first(known, context.turns)
            is_stale = page != known or shown[-1].key != view.page
            listed = self._list(page, view, instruction) if is_stale and page.actions else ()
            return (*ids, *listed, *self._remaining(page, view, context), vocabulary.act), page
        named = self.named(view, instruction)
        labelled: list[str] = []
        room = LABEL_COUNT - (len(view.free) if len(view.free) > 1 else 0)
        group = ""
        for choice in view.choices:
            head, colon, rest = choice.text.partition(": ")
            text = rest if colon and head == group else choice.text
            label = named.get(choice.action)
            if label is not None:
                ids += (*vocabulary.encode_choice(text), label)
            elif self.is_written(choice):
                overlap = vocabulary.overlap(instruction, rest if colon else choice.text)
                ids += (*vocabulary.encode(text), *overlap, vocabulary.separator)
            elif len(labelled) < room:
                ids += (*vocabulary.encode_choice(choice.text), *vocabulary.overlap(instruction, choice.text))
                ids.append(vocabulary.labels[len(labelled)])
                labelled.append(choice.action)
                continue
            else:
                continue
            group = head if colon else ""
        page = Page(view.page, tuple(labelled))
        return (*ids, *self._lacking(page, view, instruction), vocabulary.act), page

    def _lacking(self, page: Page, view: View, instruction: str) -> tuple[int, ...]:
        """Say how much of what the instruction asks for as `group: value` the page lacks; nothing where nothing."""
        has_options = 2 * len(page.actions) <= len(view.choices)  # and buttons; a list of results is mostly labelled
        if not view.choices or not has_options:
            return ()
        count = count_lacking(instruction, (choice.text for choice in view.choices))
        return (self.vocabulary.left, self.vocabulary.shared[count - 1]) if count else ()

    def _remaining(self, page: Page, view: View, context: Context) -> tuple[int, ...]:
        """List the labels of what the instruction names and was not chosen since the page was come to, and the lack."""
        taken = _taken_here(view.page, context.turns)
        named = self.named(view, context.task.instruction)
        labels = tuple(label for action, label in named.items() if action not in taken)
        return (*labels, *self._lacking(page, view, context.task.instruction))

    def _list(self, page: Page, view: View, instruction: str) -> tuple[int, ...]:
        """List a page's labels anew, each behind what the instruction names of its choice."""
        texts = {choice.action: choice.text for choice in view.choices}
        ids = [self.vocabulary.left]
        for label, action in zip(self.vocabulary.labels, page.actions, strict=False):
            ids += (*self.vocabulary.overlap(instruction, texts.get(action, "")), label)
        return tuple(ids)

    def named(self, view: View, instruction: str) -> dict[str, int]:
        """Return the labels of the actions whose choices the instruction names in full, in the page's order."""
        actions = dict.fromkeys(choice.action for choice in view.choices if is_named(instruction, choice.text))
        return dict(zip(actions, self.vocabulary.named, strict=False))

    def is_written(self, choice: Choice) -> bool:
        """Whether a choice is short enough to be written out."""
        return len(self.vocabulary.encode(choice.text)) <= LONGEST_WRITTEN

    def spell(self, page: Page, view: View, instruction: str) -> dict[tuple[int, ...], str]:
        """Return what is to be sampled for each choice, its end included, and the action that it stands for."""
        named = self.named(view, instruction)
        spelled: dict[tuple[int, ...], str] = {(label,): action for action, label in named.items()}
        spelled |= {(label,): action for label, action in zip(self.vocabulary.labels, page.actions, strict=False)}
        for choice in view.choices:
            if choice.action not in named and self.is_written(choice):
                spelled.setdefault((*self.vocabulary.encode(choice.text), self.vocabulary.end), choice.action)
        return spelled

    def _restriction(self, page: Page, view: View, instruction: str) -> Restriction:
        named = tuple(self.named(view, instruction))
        words = len(words_of(instruction))
        key = (page.actions, view.choices, named, view.free, view.references, words)
        if key not in self._restrictions:
            if len(self._restrictions) > MOST_RESTRICTIONS:
                self._restrictions.clear()
            texts, prefixes = tuple(self.spell(page, view, instruction)), self.vocabulary.prefixes(view)
            free = (self.vocabulary.write, self.vocabulary.quotes, words) if view.free else None
            if prefixes is None:
                self._restrictions[key] = ChoiceRestriction(texts, free)
            else:
                marks, referring = prefixes.marks[:words], map(self.vocabulary.behind_sign, view.references)
                signs = self.vocabulary.signs
                self._restrictions[key] = PrefixRestriction(texts, prefixes.labels, marks, referring, signs)
        return self._restrictions[key]

    def _read(self, page: Page, view: View, instruction: str, sampled: tuple[int, ...]) -> Reading:
        vocabulary = self.vocabulary
        if not sampled:
            return Reading("", "")
        prefixes = vocabulary.prefixes(view)
        if prefixes is not None and sampled[0] in prefixes.labels:
            written = prefixes.read(sampled, instruction, vocabulary.decode)
            return Reading(written, written)
        action = self.spell(page, view, instruction).get(sampled)
        if sampled[0] in vocabulary.stop_labels:
            label = str(vocabulary.tokenizer.convert_ids_to_tokens(sampled[0]))
            return Reading(label, action or label)
        if sampled[0] == vocabulary.quotes.quote:
            words = vocabulary.quotes.read(sampled, instruction)
        else:
            words = vocabulary.decode(sampled)
        if sampled[0] not in (vocabulary.write, vocabulary.quotes.quote):
            return Reading(words, action or words)
        return Reading(words, f"{view.free[0] if view.free else ''}{words}]")


def _sequence_so_far(turns: Sequence[Turn]) -> tuple[int, list[Page]]:
    """Return the length in tokens of the sequence that the last decision ended, and the pages shown in it, in order."""
    length, shown = 0, list[Page]()
    for turn in reversed(turns):
        ledger, notes = turn.decision.ledger, turn.decision.notes
        if ledger is None:
            return 0, []
        length += len(ledger.prompt_ids) + len(ledger.sampled_ids)
        shown.append(Page(str(notes["page"]), tuple(notes["actions"])))
        if not ledger.is_continuation:
            return length, shown[::-1]
    return 0, []


def _taken_here(page: str, turns: Sequence[Turn]) -> set[str]:
    """Return the actions taken since a page was come to last."""
    taken = set()
    for turn in reversed(turns):
        if turn.decision.notes.get("page") != page:
            break
        taken.add(turn.decision.action)
    return taken


def _untaken_first(page: Page, turns: Sequence[Turn]) -> Page:
    """Put the choices already taken on a page behind the others, as the eye passes over visited links."""
    taken = {turn.decision.action for turn in turns if turn.decision.notes.get("page") == page.key}
    return Page(page.key, tuple(sorted(page.actions, key=taken.__contains__)))
