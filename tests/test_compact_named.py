"""The compact style: choices named in full, marks, hints, and what a page lacks."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from policies.causal_lm.compact import CompactRenderer
from policies.causal_lm.overlap import MOST_WORDS, is_named, shared_words
from policies.causal_lm.quotes import MARK_COUNT
from policies.causal_lm.vocabulary import NAMED_COUNT, SPECIAL_TOKENS, Vocabulary
from sage_gym.types import Choice, Context, Decision, Ledger, Turn, View
from tests.causal_lm_toys import toy_tokenizer
from tests.compact_toys import (
    TASK,
    VOCABULARY,
    WANTED,
    WORD,
    long,
    make_page,
    named_among,
    short,
    wanted,
)
from tests.nano_toys import TURN_TOKENS, follow, tiny_task


def test_a_group_is_named_once_and_spelled_in_full() -> None:
    choices = tuple(short(text) for text in ("hue: red", "hue: blue", "fit: slim"))
    [step] = follow(CompactRenderer(VOCABULARY), [View("p", "", choices)], lambda prompt: ())
    assert VOCABULARY.decode(step.prompt.ids).count("hue:") == 1
    assert step.prompt.read((*VOCABULARY.encode("hue: blue"), VOCABULARY.end)).action == "click[hue: blue]"


def listing(*texts: str, instruction: str) -> tuple[int, ...]:
    """Show short choices; return what is written between the news, of which there are none, and the decision."""
    view = View("p", "", tuple(short(text) for text in texts))
    [step] = follow(
        CompactRenderer(VOCABULARY), [view], lambda prompt: (), task=replace(tiny_task(), instruction=instruction)
    )
    head = (VOCABULARY.task, *VOCABULARY.encode_instruction(instruction), VOCABULARY.obs)
    assert step.prompt.ids[: len(head)] == head
    assert step.prompt.ids[-1] == VOCABULARY.act
    return step.prompt.ids[len(head) : -1]


def test_a_group_is_named_once_whether_its_values_are_labelled_or_written() -> None:
    encode, separator, named = VOCABULARY.encode, VOCABULARY.separator, VOCABULARY.named
    shown = listing("hue: red", "hue: blue", "fit: slim", "fit: wide", instruction="a hat, hue: red, fit: wide")
    assert shown == (
        *encode("hue: red"), named[0], *encode("blue"), separator,
        *encode("fit: slim"), separator, *encode("wide"), named[1],
    )  # fmt: skip


def test_the_words_that_are_counted_behind_an_option_are_its_values_not_its_groups() -> None:
    encode, separator, shared = VOCABULARY.encode, VOCABULARY.separator, VOCABULARY.shared
    shown = listing("hue: red sky", "hue: sea", "buy now", instruction="a red hat in a hue to buy now")
    assert shown == (
        *encode("hue: red sky"), shared[0], separator, *encode("sea"), separator, *encode("buy now"), shared[1],
        separator,
    )  # fmt: skip


def test_hints_stand_behind_the_instruction_and_are_not_repeated() -> None:
    views = [make_page(0, 2), make_page(1, 2)]
    with_hints = follow(CompactRenderer(VOCABULARY), views, lambda prompt: (), ("look twice",))
    without = follow(CompactRenderer(VOCABULARY), views, lambda prompt: ())
    hint = VOCABULARY.encode("look twice")
    head = (VOCABULARY.task, *VOCABULARY.encode_instruction(tiny_task().instruction))
    assert with_hints[0].prompt.ids == head + hint + without[0].prompt.ids[len(head) :]
    assert with_hints[1].prompt.ids == without[1].prompt.ids


def test_notes_that_went_through_a_journal_continue_the_same_sequence() -> None:
    renderer, views = CompactRenderer(VOCABULARY), [make_page(0, 2), make_page(1, 2), make_page(0, 2)]
    steps = follow(renderer, views, lambda prompt: (VOCABULARY.labels[0],))
    turns = tuple(
        Turn("", Decision("", s.prompt.read(s.sampled).action, ledger=Ledger(s.prompt.ids, s.sampled, (0.0,), (True,),
             is_continuation=s.prompt.is_continuation), notes=json.loads(json.dumps(dict(s.prompt.notes)))), 0.0)
        for s in steps[:2]
    )  # fmt: skip
    assert VOCABULARY.left in steps[2].prompt.ids
    context = Context("e", tiny_task(), "", turns, 0, view=views[2], turn_tokens=TURN_TOKENS)
    assert renderer.render(context).ids == steps[2].prompt.ids


def test_after_a_turn_without_a_ledger_a_new_sequence_begins() -> None:
    renderer, view = CompactRenderer(VOCABULARY), make_page(0, 2)
    [step] = follow(renderer, [view], lambda prompt: ())
    forced = Turn("", Decision("go", "go"), 0.0)
    context = Context("e", tiny_task(), "", (forced,), 0, view=view, turn_tokens=TURN_TOKENS)
    again = renderer.render(context)
    assert not again.is_continuation
    assert again.ids == step.prompt.ids


def test_a_tokenizer_without_the_styles_tokens_is_refused() -> None:
    with pytest.raises(ValueError, match=rf"lacks {len(SPECIAL_TOKENS) - 1} of them, the first '<task>'; use prompt="):
        Vocabulary(toy_tokenizer())


def test_each_word_of_an_instruction_is_followed_by_its_mark() -> None:
    [step] = follow(CompactRenderer(VOCABULARY), [make_page(0, 1)], lambda prompt: (), task=tiny_task(7))
    words = ("find", "me", "red", "shoes", "number", "7")
    marked = [(*VOCABULARY.encode(word), VOCABULARY.quotes.marks[place]) for place, word in enumerate(words)]
    expected = (VOCABULARY.task, *(token for word in marked for token in word), VOCABULARY.obs)
    assert step.prompt.ids[: len(expected)] == expected


@given(st.integers(0, MARK_COUNT + 20).flatmap(lambda count: st.lists(WORD, min_size=count, max_size=count)))
def test_without_its_marks_an_instruction_is_encoded_as_any_text(words: list[str]) -> None:
    ids = VOCABULARY.encode_instruction(" ".join(words))
    marks = [token for token in ids if token in VOCABULARY.quotes.marks]
    assert marks == list(VOCABULARY.quotes.marks[: len(words)])
    assert tuple(token for token in ids if token not in VOCABULARY.quotes.marks) == VOCABULARY.encode(" ".join(words))


def test_a_choice_named_in_full_is_chosen_by_its_one_label_which_each_page_counts_anew() -> None:
    pages = [make_page(1, 2, 1, 3), make_page(2, 1, 0, 2), make_page(1, 2, 1, 3)]
    steps = follow(CompactRenderer(VOCABULARY), pages, lambda prompt: (VOCABULARY.named[0],), task=TASK)
    assert VOCABULARY.separator not in steps[2].prompt.ids
    assert [token for token in steps[2].prompt.ids if token in VOCABULARY.named] == list(VOCABULARY.named[:3])
    for step, page, count in zip(steps, (1, 2, 1), (3, 2, 3), strict=True):
        assert step.prompt.restriction is not None
        assert named_among(step.prompt.restriction.allowed(())) == set(VOCABULARY.named[:count])
        actions = [step.prompt.read((label,)).action for label in VOCABULARY.named[:count]]
        assert actions == [wanted(page, index).action for index in range(count)]
        assert set(VOCABULARY.named) <= step.prompt.stop_ids
        assert step.prompt.read((VOCABULARY.named[count],)).action == f"<={count}>"
        assert step.prompt.read((VOCABULARY.named[0],)).text == "<=0>"


def test_the_same_page_under_another_instruction_has_that_ones_labels() -> None:
    renderer, choices = CompactRenderer(VOCABULARY), tuple(short(text) for text in ("hue: red", "hue: sea"))
    for value, other in (("red", "sea"), ("sea", "red")):
        task = replace(tiny_task(), instruction=f"a hat, hue: {value}")
        [step] = follow(renderer, [View("p", "", choices)], lambda prompt: (), task=task)
        assert step.prompt.restriction is not None
        written = VOCABULARY.encode(f"hue: {other}")
        assert set(step.prompt.restriction.allowed(()) or ()) == {VOCABULARY.named[0], written[0]}
        assert step.prompt.restriction.allowed(written) == (VOCABULARY.end,)
        assert step.prompt.read((VOCABULARY.named[0],)).action == f"click[hue: {value}]"


def test_of_more_choices_named_in_full_than_labels_the_last_are_shown_as_any_other() -> None:
    [step] = follow(CompactRenderer(VOCABULARY), [make_page(0, 0, 0, len(WANTED))], lambda prompt: (), task=TASK)
    assert step.prompt.restriction is not None
    assert named_among(step.prompt.restriction.allowed(())) == set(VOCABULARY.named)
    for index in range(NAMED_COUNT, len(WANTED)):
        written = (*VOCABULARY.encode(WANTED[index]), VOCABULARY.end)
        assert step.prompt.read(written).action == wanted(0, index).action
    texts = [f"hue {i}: {'very ' * 5}deep blue" for i in range(NAMED_COUNT + 2)]
    choices = tuple(short(text) for text in texts)
    task = replace(tiny_task(), instruction=", ".join(texts))
    [step] = follow(CompactRenderer(VOCABULARY), [View("p", "", choices)], lambda prompt: (), task=task)
    assert step.prompt.restriction is not None
    assert set(step.prompt.restriction.allowed(()) or ()) == {*VOCABULARY.named, *VOCABULARY.labels[:2]}
    last = [step.prompt.read((label,)).action for label in VOCABULARY.labels[:2]]
    assert last == [choice.action for choice in choices[NAMED_COUNT:]]


@pytest.mark.parametrize("texts", [("h0: t0", "h1: t1"), ("h0: t0", "other: t0"), ("other: t0", "h0: t0")])
def test_choices_of_one_action_share_the_label_of_the_one_that_is_named(texts: tuple[str, str]) -> None:
    choices = (*(Choice("click[t0]", text) for text in texts), Choice("click[t2]", "h2: t2"))
    [step] = follow(CompactRenderer(VOCABULARY), [View("p", "", choices)], lambda prompt: (), task=TASK)
    first, second = VOCABULARY.named[:2]
    assert step.prompt.restriction is not None
    assert step.prompt.restriction.allowed(()) == (first, second)
    assert [step.prompt.read((label,)).action for label in (first, second)] == ["click[t0]", "click[t2]"]
    assert [token for token in step.prompt.ids if token in VOCABULARY.named] == [first, first, second]
    assert VOCABULARY.separator not in step.prompt.ids


def test_choices_of_one_action_that_are_not_named_can_each_be_taken() -> None:
    choices = (Choice("click[x]", "one"), Choice("click[x]", "two"), *(replace(long(0, i), action="y") for i in (0, 1)))
    [step] = follow(CompactRenderer(VOCABULARY), [View("p", "", choices)], lambda prompt: (), task=TASK)
    for text in ("one", "two"):
        assert step.prompt.read((*VOCABULARY.encode(text), VOCABULARY.end)).action == "click[x]"
    assert [step.prompt.read((label,)).action for label in VOCABULARY.labels[:2]] == ["y", "y"]


def test_a_special_tokens_name_in_a_text_is_text() -> None:
    choices = tuple(short(text) for text in ("<write> me", "<quote>", "press <0> now", "<=0>"))
    [step] = follow(CompactRenderer(VOCABULARY), [View("p", "<act>", choices)], lambda prompt: ())
    assert step.prompt.ids.count(VOCABULARY.act) == 1
    for choice in choices:
        ids = VOCABULARY.encode(choice.text)
        assert not step.prompt.stop_ids & set(ids)
        assert step.prompt.read((*ids, VOCABULARY.end)).action == choice.action
    marked = VOCABULARY.encode_instruction("find <w3> <task>")
    assert [token for token in marked if token < len(SPECIAL_TOKENS)] == list(VOCABULARY.quotes.marks[:3])


def test_shared_words_are_counted_without_glue_and_up_to_a_limit() -> None:
    assert shared_words("find me a red wool scarf", "Wool scarf, red, for the winter") == 3
    words = " ".join(f"word{i}" for i in range(20))
    assert shared_words(words, words) == MOST_WORDS
    assert shared_words("find me a lamp", "find the price of a chair") == 0


def test_a_value_is_named_only_as_a_whole() -> None:
    assert is_named("lamp with color: navy, and price lower than 9 dollars", "Color: navy")
    assert not is_named("lamp with color: navy blue, and price lower than 9 dollars", "color: navy")
    assert not is_named("a navy lamp", "navy")


def options_page(*texts: str) -> View:
    choices = (*(Choice(f"click[{text}]", text) for text in texts), Choice("click[buy now]", "buy now"))
    return View("item", "an item", choices, ("search[",))


@pytest.mark.parametrize(
    ("offered", "lacking"),
    [
        (("color: navy", "size: large"), 0),
        (("color: navy", "color: red"), 1),
        (("color: red",), 2),
        ((), 2),
    ],
)
def test_a_page_of_options_says_how_much_of_what_is_asked_for_it_lacks(offered: tuple[str, ...], lacking: int) -> None:
    task = replace(TASK, instruction="Find me a cap with color: navy, and size: large, and price lower than 30 dollars")
    context = Context("episode", task, "", (), 0, view=options_page(*offered))
    ids = CompactRenderer(VOCABULARY).render(context).ids
    said = (VOCABULARY.left, VOCABULARY.shared[lacking - 1], VOCABULARY.act)
    assert (ids[-3:] == said) == bool(lacking)
    assert (VOCABULARY.left in ids) == bool(lacking)


def test_a_page_that_stays_lists_what_was_not_chosen_yet_since_it_was_come_to() -> None:
    task = replace(TASK, instruction="Find me a cap with color: navy, and size: large, and fit: loose, and price lower")
    page, list_ = options_page("color: navy", "size: large", "size: small"), View("list", "a list")
    navy, large, act = VOCABULARY.named[0], VOCABULARY.named[1], VOCABULARY.act
    lack = (VOCABULARY.left, VOCABULARY.shared[0])
    chosen = iter([(), (navy,), (large,), (), (), (navy,)])
    views = [list_, page, page, page, list_, page, page]
    steps = follow(CompactRenderer(VOCABULARY), views, lambda _: next(chosen, ()), task=task)
    said = [step.prompt.ids[1 + len(VOCABULARY.encode(step.view.news)) :] for step in steps if step.view is page]
    assert said[1:3] == [(large, *lack, act), (*lack, act)]
    assert said[3] == (navy, large, *lack, act)  # come to again: options are chosen anew
    assert said[4] == (large, *lack, act)


def test_a_list_of_results_says_nothing_of_what_it_lacks() -> None:
    titles = tuple(
        Choice(f"click[b{i}]", " ".join(["a cap of a maker that nobody has heard of"] * 3)) for i in range(5)
    )
    task = replace(TASK, instruction="Find me a cap with color: navy")
    context = Context("episode", task, "", (), 0, view=View("results", "", (*titles, Choice("click[back]", "back"))))
    assert VOCABULARY.left not in CompactRenderer(VOCABULARY).render(context).ids
