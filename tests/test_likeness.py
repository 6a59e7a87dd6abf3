"""From when on a training text repeats a held-out one, and what a shared beginning or a common phrase is not."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest

from sage_gym.selection import HeldOut, Library
from sage_gym.selection.library import SIZES
from sage_gym.selection.matching import Match, find_matches
from sage_gym.selection.passages import Part, Passage, in_chunks, passages_of
from sage_gym.selection.settings import Decontamination
from sage_gym.selection.similarity import ngrams, words
from tests.trajectories import make_task, make_trajectory, make_turn

QUESTION = "Natalia sold clips to 48 of her friends in April, and then she sold half as many clips in May."
SHORT = "Prove that $\\sqrt{2}$ is irrational"
NONE = np.zeros(0, np.uint64)


def matches(text: str, held_out: Sequence[str], part: Part = "instruction") -> list[Match]:
    library = Library([HeldOut("benchmark", held_out)])
    return list(find_matches([Passage(part, text, (0,))], library, Decontamination(), NONE))


def kinds(text: str, *held_out: str, part: Part = "instruction") -> list[str]:
    return [match.kind for match in matches(text, held_out or [QUESTION, SHORT], part)]


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        (QUESTION, "same"),
        (QUESTION.upper().replace(",", "").replace(" ", "\n"), "same"),
        (QUESTION.replace(" ", ""), "same"),
        ("Natalia sold clips to 48 of her friends", "inside"),
        (f"Please help me: {QUESTION} Thank you very much indeed.", "whole"),
        (f"I read somewhere {SHORT.lower()}, and do not see why", "whole"),
        ("We heard that she sold half as many clips in May, which is a lot.", "run"),
        (QUESTION.replace("friends", "enemies").replace("half", "twice"), "words"),
        (f"I need a box. {QUESTION.replace('April', 'June')} And a lid.", "words"),
    ],
)
def test_a_leak_is_found_however_it_was_changed(text: str, kind: str) -> None:
    assert kinds(text) == [kind]


@pytest.mark.parametrize(
    "text",
    [
        "Natalia bought red shoes for her friends in April",
        "buy a navy cotton shirt with long sleeves under 40 dollars",
        "sold half as many",
        "May",
        "",
        "--- !!! ---",
    ],
)
def test_other_text_is_not(text: str) -> None:
    assert kinds(text) == []


def test_a_short_text_is_found_as_a_whole_instruction_alone() -> None:
    assert kinds("Simplify √180!", "simplify √180") == []  # two words say nothing
    assert kinds("Find tan 60", "find tan 60.") == ["same"]
    assert kinds("Find tan 60", "find tan 60.", part="decisions") == []
    assert kinds("please find tan 60 for me", "find tan 60.") == []


def test_words_that_many_held_out_texts_have_in_a_row_are_no_leak() -> None:
    phrase = "which of the following is closest to the"
    texts = [f"{phrase} {word} number that there is in this old room" for word in "abcdefghijklmnopqrstuvwxyz"]
    clean = f"now say {phrase} truth about what we saw on the long way home"
    assert kinds(clean, *texts) == []
    assert kinds(clean, texts[0]) == ["run"]


def test_a_formula_that_repeats_itself_is_no_leak() -> None:
    held_out = "$5 \\cdot 4 \\cdot 3 \\cdot 2 \\cdot 1$ is called a factorial number"
    assert kinds("simplify \\cdot 5 \\cdot 4 \\cdot 3 \\cdot 2 \\cdot 7 for all of us", held_out) == []


def test_a_match_says_which_words_it_has_in_common() -> None:
    [match] = matches("We heard that she sold half as many clips in May, which is a lot.", [QUESTION])
    assert match.likeness is not None
    assert (match.likeness.words, match.likeness.in_order) == (8, 8)
    [near] = matches(QUESTION.replace("friends", "enemies").replace("half", "twice"), [QUESTION])
    assert near.likeness is not None
    assert near.likeness.of_words == pytest.approx(18 / 20)


def test_a_library_is_asked_on_the_shelves_that_are_named() -> None:
    library = Library([HeldOut("a", [QUESTION]), HeldOut("b", ["another text about nothing of that kind", QUESTION])])
    passage = Passage("instruction", f"{QUESTION} And so on.", (0,))
    for asked in ([0], [1], [0, 1]):
        found = find_matches([passage], library, Decontamination(), NONE, asked)
        assert [match.shelf for match in found] == asked
    assert {library.text(m.text) for m in find_matches([passage], library, Decontamination(), NONE)} == {QUESTION}


def test_an_empty_library_and_empty_texts_hold_nothing() -> None:
    assert kinds(QUESTION, "") == []
    assert list(find_matches([Passage("instruction", QUESTION, (0,))], Library([]), Decontamination(), NONE)) == []
    [shelf] = Library([HeldOut("b", ["", "a b", QUESTION, QUESTION])]).shelves
    assert (shelf.texts, shelf.short) == (["", "a b", QUESTION], 2)


@pytest.mark.parametrize("n", SIZES)
def test_n_grams_are_held_as_comparing_texts_one_by_one_finds(n: int) -> None:
    from sage_gym.selection.letters import Letters

    held_out = [QUESTION, "one two three four five six seven eight nine ten eleven twelve thirteen fourteen"]
    [shelf] = Library([HeldOut("b", held_out)]).shelves
    asked = f"{QUESTION} one two three four five six seven eight nine ten eleven twelve thirteen done"
    letters = Letters([asked])
    tokens = words(asked)
    held = {gram for text in held_out for gram in ngrams(words(text), n)}
    expected = [" ".join(tokens[i : i + n]) in held for i in range(len(tokens) - n + 1)]
    assert shelf.holds(n, letters.ngrams(n)[1]).tolist() == expected
    assert any(expected)
    assert not all(expected)


def test_a_passage_is_compared_once_for_all_trajectories_that_have_it() -> None:
    turn = make_turn("click[a]", observation="a page")
    trajectories = [make_trajectory(make_task(f"t/{i}", instruction="do it"), turns=(turn, turn)) for i in range(3)]
    found = passages_of(trajectories, ("instruction", "decisions", "observations"))
    assert [(p.part, p.text, p.holders) for p in found] == [
        ("instruction", "do it", (0, 1, 2)),
        ("decisions", "click[a]", (0, 1, 2)),
        ("observations", "a page", (0, 1, 2)),
    ]
    assert [p.part for p in passages_of(trajectories, ("observations",))] == ["observations"]


def test_very_much_text_is_compared_in_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sage_gym.selection.passages.CHUNK", 50)
    passages = [Passage("decisions", f"{i} {QUESTION}", (i,)) for i in range(4)]
    assert [len(chunk) for chunk in in_chunks(passages)] == [1, 1, 1, 1]
    library = Library([HeldOut("b", [QUESTION])])
    found = list(find_matches(passages, library, Decontamination(), NONE))
    assert [match.passage.holders for match in found] == [(0,), (1,), (2,), (3,)]
