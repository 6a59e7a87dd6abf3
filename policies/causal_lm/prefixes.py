"""Free text behind one of several prefixes (`send_mail[`, `bash[`, `answer[`): a label says which, then text follows.

    <47> $email, <w12> <w14>, $result <end>        send_mail[$email, for the board, $result]

In the text two marks quote the instruction's words from the one to the other, so that what a task names is pointed at
instead of copied. A prefix's label depends on its place among the prefixes alone, which an environment does not change.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass

from policies.causal_lm.quotes import words_of

__all__ = ["PrefixRestriction", "Prefixes", "join", "quotable", "quoted"]

AROUND = " ,;.:?!\"'()"
OPENING = frozenset("'\"(/._$-")
"""Nothing is put between these and what follows."""
CLOSING = frozenset("'\"),./;:]-")
Decode = Callable[[Sequence[int]], str]


def quoted(words: Sequence[str]) -> str:
    """Return what a span of words says: without the punctuation around it and a possessive `'s`."""
    text = " ".join(words).strip(AROUND)
    return text.removesuffix("'s").removesuffix("’s")


def quotable(instruction: str, most: int) -> Iterator[tuple[str, tuple[int, int]]]:
    """Yield what each span of the first `most` words says, with its first and last word (from 0)."""
    words = words_of(instruction)[:most]
    for first in range(len(words)):
        for last in range(first, len(words)):
            yield quoted(words[first : last + 1]), (first, last)


def join(left: str, right: str) -> str:
    """Put two pieces of an action's text together, with a space where a writer would have one."""
    is_tight = not left or not right or left[-1] in OPENING or right[0] in CLOSING
    return left + right if is_tight else f"{left} {right}"


class PrefixRestriction:
    """A choice's ids, or a prefix's label and then text: a quotation has two marks, a reference is one that there is.

    Args:
        texts: the ids of each choice, its end included.
        labels: of the prefixes.
        marks: of the instruction's words, as many as it has.
        references: for each reference its ids behind the sign that opens it.
        signs: the ids that may open a reference.
    """

    def __init__(
        self,
        texts: Iterable[tuple[int, ...]],
        labels: Sequence[int],
        marks: Sequence[int] = (),
        references: Iterable[tuple[int, ...]] = (),
        signs: Iterable[int] = (),
    ) -> None:
        self._labels, self._marks, self._signs = frozenset(labels), tuple(marks), frozenset(signs)
        self._following = _tree(texts)
        self._following[()] = tuple(sorted({*self._following.get((), ()), *labels}))
        whole = set(references)
        self._referring = {before: open_ for before, open_ in _tree(whole).items() if before not in whole}

    def allowed(self, sampled: tuple[int, ...]) -> tuple[int, ...] | None:
        """Return the ids left open; in text, behind neither a first mark nor the sign of a reference, every id is."""
        if not sampled or sampled[0] not in self._labels:
            return self._following.get(sampled, ())
        if sampled[-1] in self._marks and sum(token in self._marks for token in sampled) % 2:
            return self._marks[self._marks.index(sampled[-1]) :]
        for place in range(len(sampled) - 1, 0, -1):
            if sampled[place] in self._signs:
                return self._referring.get(sampled[place + 1 :])
        return None


def _tree(sequences: Iterable[tuple[int, ...]]) -> dict[tuple[int, ...], tuple[int, ...]]:
    """Return for every beginning of some sequence the ids that may follow it, sorted."""
    following: dict[tuple[int, ...], set[int]] = {}
    for ids in sequences:
        for place, token in enumerate(ids):
            following.setdefault(ids[:place], set()).add(token)
    return {before: tuple(sorted(found)) for before, found in following.items()}


@dataclass(frozen=True, slots=True)
class Prefixes:
    """The prefixes of a page, and the label of each.

    Attributes:
        texts: the prefixes.
        labels: as many ids.
        marks: `marks[k]` stands behind the instruction's k-th word.
        end: closes a decision.
    """

    texts: tuple[str, ...]
    labels: tuple[int, ...]
    marks: tuple[int, ...]
    end: int

    def read(self, sampled: Sequence[int], instruction: str, decode: Decode) -> str:
        """Return the action that ids which begin with a label stand for; a mark without its second says nothing."""
        words = words_of(instruction)
        text, run = "", list[int]()
        first: int | None = None
        for token in (*sampled[1:], self.end):
            if token not in self.marks and token != self.end:
                run.append(token)
                continue
            text, run = join(text, decode(run)), []
            if token == self.end:
                break
            place = self.marks.index(token)
            if first is None:
                first = place
            else:
                text, first = join(text, quoted(words[first : place + 1])), None
        return f"{self.texts[self.labels.index(sampled[0])]}{text}]"

    def spell(self, prefix: str, pieces: Sequence[tuple[int, ...] | tuple[int, int]]) -> tuple[int, ...]:
        """Return the ids of a prefix with these ids behind it, its end included."""
        return (self.labels[self.texts.index(prefix)], *(token for piece in pieces for token in piece), self.end)
