"""Restriction to admissible actions: every walk spells one, and only what distinguishes is left open."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from policies.causal_lm.restriction import ActionTrie, AfterMarker, Spelling
from tests.causal_lm_toys import toy_tokenizer

STOP = 7
actions = st.lists(st.text("abc[] é", min_size=1, max_size=8), min_size=1, max_size=6, unique=True)


def _spelling(lead: str = "") -> Spelling:
    return Spelling(toy_tokenizer(), STOP, lead=lead)


@settings(max_examples=60, deadline=None)
@given(actions, st.integers(0, 2**32))
def test_every_walk_through_a_trie_spells_an_admissible_action(texts: list[str], seed: int) -> None:
    trie = _spelling().trie(tuple(texts))
    walked: tuple[int, ...] = ()
    while not walked or walked[-1] != STOP:
        open_ids = trie.allowed(walked)
        assert open_ids
        assert list(open_ids) == sorted(set(open_ids))
        walked += (open_ids[seed % len(open_ids)],)
        seed //= 3
    assert toy_tokenizer().decode(walked[:-1]) in texts


@settings(max_examples=30, deadline=None)
@given(actions)
def test_every_admissible_action_can_be_spelled(texts: list[str]) -> None:
    trie = _spelling().trie(tuple(texts))
    for text in texts:
        ids = (*toy_tokenizer().encode(text, add_special_tokens=False), STOP)
        assert all(ids[i] in (trie.allowed(ids[:i]) or ()) for i in range(len(ids)))


def test_only_what_distinguishes_is_left_open() -> None:
    trie = ActionTrie.build([(1, 2, 3), (1, 2, 4, 5)], [], STOP, frozenset())
    assert [trie.allowed(ids) for ids in ((), (1,), (1, 2), (1, 2, 3), (1, 2, 4))] == [
        (1,),
        (2,),
        (3, 4),
        (STOP,),
        (5,),
    ]


def test_free_text_is_open_until_a_bracket_or_a_special_id_and_then_stops() -> None:
    spelling = _spelling()
    trie = spelling.trie(("click[back]", "search[your words]"), ("search[",))
    tokenizer = toy_tokenizer()
    begun = tuple(tokenizer.encode("search[", add_special_tokens=False))
    words = tuple(tokenizer.encode("red shoes", add_special_tokens=False))
    close, start = (tokenizer.convert_tokens_to_ids(token) for token in ("]", "<|im_start|>"))
    assert trie.allowed(begun) is None
    assert trie.allowed(begun + words) is None
    assert trie.allowed((*begun, *words, close)) == (STOP,)
    assert trie.allowed((*begun, start)) == (STOP,)
    assert len(trie.allowed(()) or ()) == 2


def test_a_trie_is_built_once_for_the_same_actions() -> None:
    spelling = _spelling()
    assert spelling.trie(("a", "b")) is spelling.trie(("a", "b"))
    assert spelling.trie(("a", "b")) is not spelling.trie(("a", "c"))


def test_leaving_the_trie_and_an_empty_trie_are_errors() -> None:
    trie = ActionTrie.build([(1, 2)], [], STOP, frozenset())
    with pytest.raises(ValueError, match=r"expected one of \(2,\) at position 1"):
        trie.allowed((1, 3))
    with pytest.raises(ValueError, match="expected an admissible action or a free-text prefix, got neither"):
        ActionTrie.build([], [], STOP, frozenset())


@pytest.mark.parametrize("early", [True, False])
def test_reasoning_is_free_until_its_marker_which_is_forced_when_due(early: bool) -> None:
    tokenizer = toy_tokenizer()
    trie = _spelling("\n").trie(("click[back]",))
    marker_ids = tuple(tokenizer.encode("</reasoning>", add_special_tokens=False))
    restriction = AfterMarker(tokenizer.decode, "</reasoning>", marker_ids, 20, trie)
    thought = tuple(tokenizer.encode("the price", add_special_tokens=False))
    written = (thought + marker_ids if early else thought * 20)[:20]
    for i in range(len(written)):
        assert restriction.allowed(written[:i]) is None
    while written[-1] != STOP:
        open_ids = restriction.allowed(written)
        assert open_ids is not None
        assert len(open_ids) == 1
        written += open_ids
    assert tokenizer.decode(written[:-1]).endswith("</reasoning>\nclick[back]")
