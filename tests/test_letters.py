"""Texts as one stream of letters: what is equal in it, and pieces of it found by their fingerprints."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sage_gym.selection.letters import Letters
from sage_gym.selection.similarity import words

WORDS = ["a", "b", "cc", "Dé", "x_y", "日本", "7", "\ud800", "-", "\n"]
texts = st.lists(st.sampled_from(WORDS), max_size=8).map(" ".join)


def spelled(letters: Letters, text: int) -> str:
    return "".join(map(chr, letters.of(text).tolist()))


def test_case_punctuation_and_white_space_are_gone() -> None:
    letters = Letters(["It's (a) TEST: x_1\tof\u00a0ﬁne, text!", "itsatestx1offinetext"])
    assert spelled(letters, 0) == spelled(letters, 1) == "itsatestx1offinetext"
    first, second = letters.wholes()
    assert first == second
    assert letters.word_counts.tolist() == [9, 1]


@pytest.mark.parametrize(("a", "b"), [("abc", "acb"), ("ab", "abb"), ("abc", "bc"), ("a1", "a2"), ("a", "")])
def test_other_letters_have_another_fingerprint(a: str, b: str) -> None:
    first, second = Letters([a, b]).wholes()
    assert first != second


def test_every_text_keeps_its_place_however_empty_it_is() -> None:
    letters = Letters(["", "a b", "--", "\n", "c\nd"])
    assert letters.sizes.tolist() == [0, 2, 0, 0, 2]
    assert letters.word_counts.tolist() == [0, 2, 0, 0, 2]
    assert [spelled(letters, text) for text in range(5)] == ["", "ab", "", "", "cd"]
    assert (len(Letters([])), len(Letters([]).codes)) == (0, 0)


def test_ideographs_are_words_of_their_own() -> None:
    begins, ends = Letters(["東京は abc"]).words(0)
    assert list(zip(begins.tolist(), ends.tolist(), strict=True)) == [(0, 1), (1, 2), (2, 3), (3, 6)]


@given(st.lists(texts, max_size=5), st.integers(1, 4))
def test_n_grams_are_equal_where_their_words_are(given_texts: list[str], n: int) -> None:
    letters = Letters(given_texts)
    first, found = letters.ngrams(n)
    begins, ends = letters.starts, letters.word_ends
    spelling = "".join(map(chr, letters.codes.tolist()))
    expected = []
    for text in range(len(letters)):
        own = np.flatnonzero(letters.owners == text)
        expected += ["".join(spelling[begins[i] : ends[i]] for i in own[k : k + n]) for k in range(len(own) - n + 1)]
    assert len(found) == len(first) == len(expected)
    for a, b in zip(*np.triu_indices(len(expected)), strict=True):
        assert (found[a] == found[b]) == (expected[a] == expected[b])


@given(st.lists(texts, min_size=1, max_size=5), st.integers(1, 5))
def test_windows_lie_within_one_text_and_are_equal_where_their_letters_are(given_texts: list[str], width: int) -> None:
    letters = Letters(given_texts)
    places, found = letters.windows(width)
    spelling = "".join(map(chr, letters.codes.tolist()))
    whole = [spelled(letters, text) for text in range(len(letters))]
    assert len(places) == sum(max(0, len(text) - width + 1) for text in whole)
    pieces = [spelling[place : place + width] for place in places.tolist()]
    again = Letters(pieces).wholes()
    assert found.tolist() == again.tolist()


@given(texts)
def test_words_are_those_that_similarity_knows(text: str) -> None:
    begins, ends = Letters([text]).words(0)
    spelling = spelled(Letters([text]), 0)
    found = [spelling[a:b] for a, b in zip(begins.tolist(), ends.tolist(), strict=True)]
    assert "".join(found) == "".join(words(text)).replace("_", "")
