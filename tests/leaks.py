"""Benchmark text planted in training text, changed in the ways that a leak is, and how often it is found.

`python -m tests.leaks` prints the rates for every benchmark under `$SAGE_GYM_DATA`.
"""

from __future__ import annotations

import os
import random
import re
import string
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from sage_gym.selection import Library, read_benchmarks
from sage_gym.selection.letters import Letters
from sage_gym.selection.matching import Match, find_matches
from sage_gym.selection.passages import Part, Passage
from sage_gym.selection.settings import Decontamination
from tests.conftest import DEFAULT_DATA

NOTHING_COMMON = np.zeros(0, np.uint64)
SHOP = (
    "Find me heavy duty table linens with care guide, lace trim, lifetime warranty for small kitchens with color: "
    "clear, and size: 60 by 102 inches, and price lower than 100.00 dollars",
    "i am looking for a queen sized bed that is easy to assemble and black, and price lower than 230.00 dollars",
    "i need a gluten free, low sugar snack that comes in a pack of twelve, and price lower than 40.00 dollars",
)


def verbatim(text: str, rng: random.Random) -> str:
    return text


def other_case(text: str, rng: random.Random) -> str:
    return rng.choice((str.upper, str.lower, str.title, str.swapcase))(text)


def without_punctuation(text: str, rng: random.Random) -> str:
    return text.translate(str.maketrans("", "", string.punctuation))


def other_punctuation(text: str, rng: random.Random) -> str:
    return re.sub(r"[^\w\s]", lambda _: rng.choice(".,;:!?-"), text)


def other_spaces(text: str, rng: random.Random) -> str:
    return rng.choice(("  ", "\n", "\t", " \u00a0", "\r\n", "")).join(text.split())


def first_half(text: str, rng: random.Random) -> str:
    words = text.split()
    return " ".join(words[: (len(words) + 1) // 2])


def last_half(text: str, rng: random.Random) -> str:
    words = text.split()
    return " ".join(words[len(words) // 2 :])


def first_words(count: int) -> Callable[[str, random.Random], str]:
    return lambda text, rng: " ".join(text.split()[:count])


def one_in_ten(text: str, rng: random.Random) -> str:
    """Replace one word in ten, at least one, by other benchmarks' words."""
    words = text.split()
    for place in rng.sample(range(len(words)), max(1, round(len(words) / 10))):
        words[place] = rng.choice(OTHER_WORDS)
    return " ".join(words)


OTHER_WORDS = re.findall(
    r"\w+",
    """river market seven doctor believe yellow machine often travel paper window number because garden simple metal
    teacher winter against finger problem history carry music green order street under village animal letter twelve""",
)
KINDS: dict[str, Callable[[str, random.Random], str]] = {
    "verbatim": verbatim,
    "case": other_case,
    "punctuation gone": without_punctuation,
    "punctuation other": other_punctuation,
    "spaces": other_spaces,
    "first half": first_half,
    "last half": last_half,
    "first 8 words": first_words(8),
    "first 13 words": first_words(13),
    "one word in ten": one_in_ten,
}
USUAL, SHORT = range(8, 10**6), range(5, 8)
LETTERS = {USUAL: 28, SHORT: 16}
CUT = ("first half", "last half", "first 8 words", "first 13 words")


@dataclass(frozen=True)
class Rate:
    benchmark: str
    kind: str
    place: str
    planted: int
    missed: tuple[str, ...]

    @property
    def found(self) -> float:
        return 1 - len(self.missed) / self.planted if self.planted else 1.0


def words_of(text: str) -> int:
    return len(Letters([text]).starts)


def letters_of(text: str) -> int:
    return len(Letters([text]).codes)


def is_above_floor(text: str, words: int, letters: int) -> bool:
    return words_of(text) >= words and letters_of(text) >= letters


def flagged(
    texts: Sequence[str], library: Library, shelves: Sequence[int] | None = None, part: Part = "instruction"
) -> dict[int, Match]:
    """The texts, by number, that repeat held-out text."""
    passages = [Passage(part, text, (number,)) for number, text in enumerate(texts)]
    matches = find_matches(passages, library, Decontamination(), NOTHING_COMMON, shelves)
    return {match.passage.holders[0]: match for match in matches}


def inside(leak: str, rng: random.Random) -> str:
    words = rng.choice(SHOP).split()
    place = rng.randrange(len(words) + 1)
    return " ".join([*words[:place], leak, *words[place:]])


def plant(library: Library, count: int, sizes: range = USUAL, seed: int = 0) -> Iterator[Rate]:
    """Plant `count` texts of each benchmark, of so many words, in each way, as a whole instruction and inside one."""
    rng = random.Random(seed)
    for shelf in library.shelves:
        drawn = rng.sample(shelf.texts, min(8 * count, len(shelf.texts)))
        usable = [text for text in drawn if words_of(text) in sizes and letters_of(text) >= LETTERS[sizes]][:count]
        for kind, change in KINDS.items():
            leaks = [change(text, rng) for text in usable]
            if kind in CUT:
                leaks = [leak for leak in leaks if is_above_floor(leak, 4, 16)]
            for place, texts in (("alone", leaks), ("inside", [inside(leak, rng) for leak in leaks])):
                found = flagged(texts, library)
                missed = tuple(leak for index, leak in enumerate(leaks) if index not in found)
                yield Rate(shelf.source.name, kind, place, len(leaks), missed)


def is_copy(match: Match) -> bool:
    """Whether the two texts are one and the same, which no wording of a rule can change."""
    return match.likeness is None or min(match.likeness.of_query, match.likeness.of_text) > 0.9


def clean(library: Library, count: int, seed: int = 0) -> Iterator[tuple[str, int, list[Match]]]:
    """Take each benchmark's texts as training text that the others must not claim; copies of theirs are left out."""
    rng = random.Random(seed)
    for number, shelf in enumerate(library.shelves):
        others = [other for other in range(len(library)) if other != number]
        drawn = rng.sample(shelf.texts, min(3 * count, len(shelf.texts)))
        usable = [text for text in drawn if is_above_floor(text, 5, 16)]
        found = flagged(usable[:count], library, others)
        copies = {index for index, match in found.items() if is_copy(match)}
        wrong = [match for index, match in found.items() if index not in copies]
        yield shelf.source.name, len(usable[:count]) - len(copies), wrong


def main() -> None:
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 100
    folder = Path(os.environ.get("SAGE_GYM_DATA") or DEFAULT_DATA)
    library = Library(read_benchmarks(folder / "data" / "benchmarks"))
    names = [shelf.source.name for shelf in library.shelves]
    for sizes, kinds in ((USUAL, tuple(KINDS)), (SHORT, ("verbatim", "case", "spaces", "one word in ten"))):
        rates = {(r.place, r.kind, r.benchmark): r for r in plant(library, count, sizes)}
        for place in ("alone", "inside"):
            print(f"\n| {place}, {sizes.start} words or more |", " | ".join(names), "|")
            print("|---" * (len(names) + 1) + "|")
            for kind in kinds:
                row = [rates[place, kind, name] for name in names]
                print(f"| {kind} |", " | ".join(f"{100 * r.found:.0f} ({r.planted})" for r in row), "|")
    for name, examined, wrong in clean(library, 10 * count):
        print(f"clean: {name}: {len(wrong)} of {examined} flagged ({100 * len(wrong) / examined:.2f} %)")
        for match in wrong[:3]:
            print("   ", match.kind, repr(match.passage.text[:100]), "|", repr(library.text(match.text)[:100]))


if __name__ == "__main__":
    main()
