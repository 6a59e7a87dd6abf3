"""How a demonstration writes an action: what the instruction names is quoted, what an action always has is written.

Both could be done with most words (`EUR` is named in many instructions), and a small model learns neither where they
are mixed. A word is written where it is what most actions have at that place: behind the same two words, behind the
same prefix. An expert may say instead which words are its language's: those are written, all others quoted.
"""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from policies.causal_lm.prefixes import quotable
from policies.causal_lm.vocabulary import Vocabulary

__all__ = ["Habits", "Reading", "Writer", "read_quotations", "split_action"]

WORD = re.compile(r"[^\s,()'\"\[\]]+")
USUAL = 0.3
"""A word is written where at least this share of the actions has it."""


def split_action(action: str, prefixes: Iterable[str]) -> tuple[str, str]:
    """Return an action's prefix and what stands between that and its last bracket.

    Raises:
        ValueError: it begins with none of the prefixes.
    """
    for prefix in prefixes:
        if action.startswith(prefix) and action.endswith("]"):
            return prefix, action[len(prefix) : -1]
    raise ValueError(f"expected one of {', '.join(prefixes)} and a bracket at the end, got {action!r}")


class Habits:
    """Counts which words stand where in actions.

    Args:
        actions: pairs of prefix and text.
        grammar: words that are always written, in small letters; where there are any, nothing else is usual.
        is_last_quoted: whether what the instruction says several times is quoted where it says so last.
    """

    def __init__(
        self,
        actions: Iterable[tuple[str, str]],
        *,
        grammar: frozenset[str] = frozenset(),
        is_last_quoted: bool = False,
    ) -> None:
        self.grammar, self.is_last_quoted = grammar, is_last_quoted
        self._counts: dict[tuple[str, str, str], Counter[str]] = defaultdict(Counter)
        for prefix, text in actions:
            words = [word.casefold() for word in WORD.findall(text)]
            for before, word in zip(_befores(prefix, words), words, strict=True):
                self._counts[before][word] += 1

    def usual(self, prefix: str, words: list[str]) -> list[bool]:
        """Say of each word whether it is usual at its place."""
        folded = [word.casefold() for word in words]
        if self.grammar:
            return [word in self.grammar for word in folded]
        found = []
        for before, word in zip(_befores(prefix, folded), folded, strict=True):
            counts = self._counts.get(before, Counter())
            found.append(counts[word] >= USUAL * counts.total() and counts[word] > 1)
        return found


def _befores(prefix: str, words: list[str]) -> list[tuple[str, str, str]]:
    """Give each word's prefix and the two words before it, numbers and references taken as alike."""
    alike = ["#" if word[0].isdigit() else "$" if word[0] == "$" else word for word in words]
    padded = ["", "", *alike]
    return [(prefix, padded[place], padded[place + 1]) for place in range(len(words))]


class Writer:
    """Writes the actions of one episode; a span that was quoted before is quoted again only where it stands once.

    Args:
        vocabulary: of the policy.
        habits: see there.
        instruction: of the task.
    """

    def __init__(self, vocabulary: Vocabulary, habits: Habits, instruction: str) -> None:
        self._vocabulary, self._habits = vocabulary, habits
        self._spans: dict[str, list[tuple[int, int]]] = defaultdict(list)
        for text, span in quotable(instruction, len(vocabulary.quotes.marks)):
            if text:
                self._spans[text.casefold()].append(span)
        self._taken: set[tuple[int, int]] = set()

    def write(self, prefix: str, text: str) -> list[tuple[int, ...]]:
        """Return the pieces of ids behind a prefix's label."""
        words = list(WORD.finditer(text))
        usual = self._habits.usual(prefix, [word[0] for word in words])
        pieces: list[tuple[int, ...]] = []
        done, at = 0, 0
        while at < len(words):
            found = None if usual[at] else self._longest(text, words[at : self._reach(words, at)])
            if found is None:
                at += 1
                continue
            span, count = found
            begin, end = words[at].start(), words[at + count - 1].end()
            pieces += [self._vocabulary.encode(text[done:begin]), self._marks(span)]
            done, at = end, at + count
        pieces.append(self._vocabulary.encode(text[done:]))
        return [piece for piece in pieces if piece]

    def _reach(self, words: list[re.Match[str]], at: int) -> int:
        """Return the place of the next word of the grammar, which no quotation has in it."""
        grammar = self._habits.grammar
        return next((place for place in range(at, len(words)) if words[place][0].casefold() in grammar), len(words))

    def _longest(self, text: str, words: list[re.Match[str]]) -> tuple[tuple[int, int], int] | None:
        for count in range(len(words), 0, -1):
            spans = self._spans.get(text[words[0].start() : words[count - 1].end()].casefold())
            if spans:
                first = next((span for span in spans if span not in self._taken), spans[0])
                span = spans[-1] if self._habits.is_last_quoted else first
                self._taken.add(span)
                return span, count
        return None

    def _marks(self, span: tuple[int, int]) -> tuple[int, ...]:
        marks = self._vocabulary.quotes.marks
        return marks[span[0]], marks[span[1]]


@dataclass(frozen=True, slots=True)
class Reading:
    """What an episode's decisions take from the instruction; see `Sequence_` for both."""

    roles: tuple[int, ...]
    pointers: tuple[tuple[int, int, int], ...]


def read_quotations(vocabulary: Vocabulary, ids: Sequence[int], decisions: Iterable[tuple[int, int]]) -> Reading:
    """Find which words of the instruction an episode's decisions quote.

    A word's role is 0 where nothing quotes it, 1 + 2·label where it is the first word that a decision with this label
    quotes, and 2 + 2·label where it is the last and not the first; where several do, the last decision counts. What is
    pointed at is each mark that a decision takes, and, where its label is chosen, the first one.

    Args:
        vocabulary: of the policy.
        ids: of the episode; the first sight of a mark is behind its word.
        decisions: begin and end of the ids of those that count; the first id is the label.
    """
    place_of: dict[int, int] = {}
    for place, token in enumerate(ids):
        if token in vocabulary.mark_index:
            place_of.setdefault(token, place)
    roles = [-1] * len(ids)
    for place in place_of.values():
        roles[place] = 0
    pointers: list[tuple[int, int, int]] = []
    for begin, end in decisions:
        label = vocabulary.label_index.get(ids[begin])
        if label is None:
            continue
        quoting = [at for at in range(begin, end) if ids[at] in place_of]
        pointers += [(begin - 1, place_of[ids[at]], 0) for at in quoting[:1]]
        pointers += [(at - 1, place_of[ids[at]], number % 2) for number, at in enumerate(quoting)]
        for number, at in reversed(list(enumerate(quoting))):
            roles[place_of[ids[at]]] = 1 + 2 * label + number % 2
    return Reading(tuple(roles), tuple(pointers))
