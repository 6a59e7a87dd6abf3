"""A case of overlap, cut to what can be read at a glance."""

from __future__ import annotations

from sage_gym.selection.letters import normalise
from sage_gym.selection.library import Library
from sage_gym.selection.matching import Match
from sage_gym.selection.verdicts import Specimen

__all__ = ["describe", "specimen_of"]

LONGEST = 240
"""Characters of a text that are shown."""


def describe(match: Match, library: Library) -> str:
    """Say in a line what overlaps."""
    text, found = library.text(match.text), match.likeness
    where = {"instruction": "instruction", "decisions": "decision", "observations": "observation"}[match.passage.part]
    if match.kind == "run" and found is not None:
        return f"shares {_stretch(match.passage.text, found.begin, found.end)!r}"
    if match.kind == "words" and found is not None:
        return f"{where} has {100 * found.of_words:.0f} % of the words of {_cut(text, 80)!r}, in order"
    how = {"same": "is the same as", "inside": "stands in", "whole": "holds all of"}[match.kind]
    return f"{where} {how} {_cut(text, 80)!r}"


def specimen_of(match: Match, library: Library, task: str) -> Specimen:
    """Show both texts, around what they share."""
    found, training = match.likeness, match.passage.text
    held_out = library.text(match.text)
    shared, of = _shared(match, library)
    if found is not None and len(training) > LONGEST and found.end:
        middle = _place(training, (found.begin + found.end) // 2)
        start = max(0, min(middle - LONGEST // 2, len(training) - LONGEST))
        training = ("…" if start else "") + training[start:]
    return Specimen(
        kind=match.kind,
        part=match.passage.part,
        task=task,
        training=_cut(training, LONGEST),
        held_out=_cut(held_out, LONGEST),
        words=shared,
        share=shared / of,
    )


def _shared(match: Match, library: Library) -> tuple[int, int]:
    """Return how many words the two have in common, and how many the held-out text has."""
    found = match.likeness
    if found is None:
        count = int(library.letters(match.text).word_counts[0])
        return count, count
    shared = {"inside": found.query_words, "whole": found.text_words, "words": found.in_order, "run": found.words}
    return min(shared[match.kind], found.text_words), found.text_words


def _cut(text: str, most: int) -> str:
    return text if len(text) <= most else text[: most - 1] + "…"


def _stretch(text: str, begin: int, end: int) -> str:
    """Return the text that some letters stand in, in lower case."""
    shown = normalise(text)
    places = [place for place, character in enumerate(shown) if character.isalnum()]
    return _cut(shown[places[begin] : places[end - 1] + 1], LONGEST)


def _place(text: str, letter: int) -> int:
    """Return about where in a text its so-manieth letter stands."""
    seen = -1
    for place, character in enumerate(normalise(text)):
        seen += character.isalnum()
        if seen == letter:
            return min(place, len(text))
    return 0
