from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from policies.causal_lm.compact import LABEL_COUNT, NAMED_COUNT, SPECIAL_TOKENS, CompactRenderer, Vocabulary
from policies.causal_lm.overlap import MOST_WORDS, is_named, shared_words
from policies.causal_lm.quotes import MARK_COUNT
from sage_gym.types import Choice, Context, Decision, Ledger, Turn, View
from tests.causal_lm_toys import toy_tokenizer
from tests.nano_toys import TURN_TOKENS, follow, tiny_task, tiny_tokenizer, walk

VOCABULARY = Vocabulary(tiny_tokenizer())
LABELS = {*VOCABULARY.labels, *VOCABULARY.named}
BETWEEN = {VOCABULARY.obs, VOCABULARY.act, VOCABULARY.left, VOCABULARY.separator, VOCABULARY.end, *VOCABULARY.named}
WANTED = [f"h{index}: t{index}" for index in range(NAMED_COUNT + 2)]
TASK = replace(tiny_task(), instruction=f"find me red shoes, {', '.join(WANTED)}, and price lower than 40 dollars")
"""Names more choices in full than there are labels for those."""
MANY_SHARED = replace(TASK, instruction=f"{TASK.instruction} 3 4 great 5 length")
"""Shares one word with some long choices and several with others."""


def short(text: str) -> Choice:
    return Choice(f"click[{text}]", text)


def long(page: int, index: int) -> Choice:
    return Choice(f"click[item {page} {index}]", f"{index} on {page}, which is described at rather great length here")


def wanted(page: int, index: int) -> Choice:
    return Choice(f"click[{page} {WANTED[index]}]", WANTED[index])


def make_page(number: int, longs: int, shorts: int = 0, named: int = 0, *, free: bool = False) -> View:
    choices = (
        *(long(number, i) for i in range(longs)),
        *(short(f"to {number} {i}") for i in range(shorts)),
        *(wanted(number, i) for i in range(named)),
    )
    return View(f"page {number}", f"news {number}", choices, ("search[",) if free else ())


def texts_before_labels(sequence: Sequence[int]) -> dict[int, tuple[int, ...]]:
    """Give for each label the ids before its last appearance behind a text."""
    found: dict[int, tuple[int, ...]] = {}
    text: list[int] = []
    for token in sequence:
        if token in VOCABULARY.label_index:
            if text:
                found[token] = tuple(text)
            text = []
        elif token in BETWEEN:
            text = []
        elif token not in VOCABULARY.shared:
            text.append(token)
    return found


def texts_before_named(listing: Sequence[int]) -> dict[int, tuple[int, ...]]:
    """Give for each label of a choice named in full the ids before it on the one page that is listed here."""
    found: dict[int, tuple[int, ...]] = {}
    begins = 0
    for place, token in enumerate(listing):
        if token in VOCABULARY.named:
            assert token not in found, "a label that stands twice on one page"
            found[token] = tuple(listing[begins:place])
        if token in (*VOCABULARY.named, *VOCABULARY.labels, VOCABULARY.separator):
            begins = place + 1
    return found


def labels_among(ids: Iterable[int] | None) -> set[int]:
    return set(ids or ()) & set(VOCABULARY.labels)


def named_among(ids: Iterable[int] | None) -> set[int]:
    return set(ids or ()) & set(VOCABULARY.named)


SIZES = st.tuples(st.integers(0, 40), st.integers(0, 3), st.integers(0, len(WANTED)), st.booleans())
PAGES = st.lists(SIZES, min_size=1, max_size=5).map(
    lambda sizes: [make_page(number, *size[:3], free=size[3]) for number, size in enumerate(sizes)]
)
VISITS = PAGES.flatmap(lambda pages: st.lists(st.sampled_from(pages), min_size=1, max_size=12))
LOTS = st.lists(st.integers(0, 1000), min_size=3, max_size=7)
WORD = st.text("abcz,.:$9-", min_size=1, max_size=4)


@given(VISITS, LOTS, st.sampled_from([300, 900, 10**6]))
def test_a_label_stands_behind_the_choice_that_it_means_and_those_taken_go_behind_the_others(
    views: list[View], lot: list[int], max_context: int
) -> None:
    order: dict[str, list[str]] = {}
    taken: dict[str, set[str]] = {view.page: set() for view in views}
    renderer = CompactRenderer(VOCABULARY, max_context=max_context)
    for step in follow(renderer, views, lambda prompt: walk(prompt, lot), task=MANY_SHARED):
        page, ids = step.view.page, step.prompt.ids
        meant = {choice.action: choice.text for choice in step.view.choices}
        order = order if step.prompt.is_continuation else {}
        if page not in order:
            order[page] = [action for action, text in meant.items() if text.endswith("here")]
            texts = texts_before_labels(ids)
            for label, action in zip(VOCABULARY.labels, order[page], strict=False):
                text = VOCABULARY.encode_choice(meant[action])
                assert texts[label][-len(text) :] == text
        else:
            before, order[page] = order[page], sorted(order[page], key=lambda action: action in taken[page])
            news, listed = (VOCABULARY.obs, *VOCABULARY.encode(step.view.news)), anew(order[page], meant)[:-1]
            behind = ids[len(news) :]
            assert behind[: len(listed)] == listed or before == order[page]
            assert not set(behind) & set(VOCABULARY.labels) or behind[: len(listed)] == listed
        if step.prompt.restriction is not None:
            count = len(order[page])
            assert labels_among(step.prompt.restriction.allowed(())) == set(VOCABULARY.labels[:count])
            assert [step.prompt.read((label,)).action for label in VOCABULARY.labels[:count]] == order[page]
        taken[page].add(step.prompt.read(step.sampled).action)


def anew(actions: Iterable[str], texts: dict[str, str]) -> tuple[int, ...]:
    """Write a page's labels without its texts, each behind what the instruction names of its choice."""
    labels = [
        token
        for label, action in zip(VOCABULARY.labels, actions, strict=False)
        for token in (*VOCABULARY.overlap(MANY_SHARED.instruction, texts[action]), label)
    ]
    return (VOCABULARY.left, *labels, VOCABULARY.act)


@given(VISITS, LOTS, st.sampled_from([300, 900, 10**6]))
def test_a_label_of_a_choice_named_in_full_stands_behind_it_where_its_page_was_listed_last(
    views: list[View], lot: list[int], max_context: int
) -> None:
    renderer = CompactRenderer(VOCABULARY, max_context=max_context)
    listed: dict[str, tuple[int, ...]] = {}
    for step in follow(renderer, views, lambda prompt: walk(prompt, lot), task=TASK):
        if step.prompt.restriction is None:
            continue
        listed = listed if step.prompt.is_continuation else {}
        listed.setdefault(step.view.page, step.prompt.ids)
        texts = texts_before_named(listed.get(step.view.page, ()))
        meant = {choice.action: choice.text for choice in step.view.choices}
        present = named_among(step.prompt.restriction.allowed(()))
        assert len(present) == min(NAMED_COUNT, sum(choice.text in WANTED for choice in step.view.choices))
        for label in present:
            text = VOCABULARY.encode(meant[step.prompt.read((label,)).action])
            assert texts[label][-len(text) :] == text


@given(VISITS, LOTS, st.sampled_from([300, 900, 10**6]))
def test_a_sequence_only_grows_begins_with_the_task_and_ends_before_the_context_does(
    views: list[View], lot: list[int], max_context: int
) -> None:
    renderer = CompactRenderer(VOCABULARY, max_context=max_context)
    steps = follow(renderer, views, lambda prompt: walk(prompt, lot), task=TASK)
    head = (VOCABULARY.task, *VOCABULARY.encode_instruction(TASK.instruction), VOCABULARY.obs)
    assert not steps[0].prompt.is_continuation
    for before, step in zip([None, *steps], steps, strict=False):
        assert step.sequence[: len(head)] == head
        assert step.sequence.count(VOCABULARY.task) == 1
        assert step.sequence[-1] == VOCABULARY.act
        if before is not None and step.prompt.is_continuation:
            assert len(step.sequence) + TURN_TOKENS < max_context
            assert step.sequence[: len(before.sequence)] == before.sequence
        elif before is not None:
            assert max_context < 10**6


@given(VISITS, LOTS)
def test_what_restricted_decoding_samples_is_a_present_action(views: list[View], lot: list[int]) -> None:
    for step in follow(CompactRenderer(VOCABULARY), views, lambda prompt: walk(prompt, lot), task=TASK):
        action = step.prompt.read(step.sampled).action
        if step.prompt.restriction is None:
            assert not step.view.choices
            assert not step.view.free
        elif step.sampled[0] in (VOCABULARY.write, VOCABULARY.quotes.quote):
            assert step.view.free
            assert action.startswith("search[")
            assert action.endswith("]")
        else:
            assert action in {choice.action for choice in step.view.choices}


@given(PAGES)
def test_whatever_is_sampled_first_every_choice_can_be_taken_and_in_one_way(pages: list[View]) -> None:
    for view in pages:
        [step] = follow(CompactRenderer(VOCABULARY), [view], lambda prompt: (), task=TASK)
        restriction = step.prompt.restriction
        taken: list[str] = []
        waiting: list[tuple[int, ...]] = [()] if restriction else []
        while waiting:
            sampled = waiting.pop()
            if sampled and sampled[-1] in step.prompt.stop_ids:
                taken.append(step.prompt.read(sampled).action)
            elif restriction and sampled[:1] not in [(VOCABULARY.write,), (VOCABULARY.quotes.quote,)]:
                waiting += [(*sampled, token) for token in restriction.allowed(sampled) or ()]
        assert sorted(taken) == sorted(choice.action for choice in view.choices)


@given(PAGES)
def test_the_first_ids_open_are_the_present_labels_the_short_choices_beginnings_write_and_quote(
    pages: list[View],
) -> None:
    for view in pages:
        [step] = follow(CompactRenderer(VOCABULARY), [view], lambda prompt: (VOCABULARY.end,), task=TASK)
        longs = sum(choice.text.endswith("here") for choice in view.choices)
        named = [choice for choice in view.choices if choice.text in WANTED][:NAMED_COUNT]
        expected = {*VOCABULARY.labels[:longs], *VOCABULARY.named[: len(named)]}
        written = [c for c in view.choices if not c.text.endswith("here") and c not in named]
        expected |= {VOCABULARY.encode(choice.text)[0] for choice in written}
        expected |= {VOCABULARY.write, VOCABULARY.quotes.quote} if view.free else set()
        restriction = step.prompt.restriction
        assert (restriction.allowed(()) or ()) == tuple(sorted(expected)) if restriction else not expected
        if view.free and restriction:
            assert restriction.allowed((VOCABULARY.write,)) is None
            assert restriction.allowed((VOCABULARY.write, 300, 301)) is None
            marks = VOCABULARY.quotes.marks[: len(TASK.instruction.split())]
            assert restriction.allowed((VOCABULARY.quotes.quote,)) == marks


def test_a_page_returned_to_is_not_listed_again_and_its_choices_hold() -> None:
    first, second, labels = make_page(1, 3, 1), make_page(2, 4), VOCABULARY.labels
    steps = follow(CompactRenderer(VOCABULARY), [first, second, first], lambda prompt: (labels[0],))
    left = (VOCABULARY.left, *labels[:2], VOCABULARY.shared[0], labels[2])  # the instruction names the last one's 0
    assert steps[2].prompt.ids == (VOCABULARY.obs, *VOCABULARY.encode("news 1"), *left, VOCABULARY.act)
    actions = [steps[2].prompt.read((label,)).action for label in labels[:3]]
    assert actions == [long(1, index).action for index in (1, 2, 0)]
    assert labels_among(steps[1].prompt.restriction.allowed(())) == set(labels[:4])  # type: ignore[union-attr]


def test_a_page_is_written_out_once_in_a_sequence_however_many_labels_come_between() -> None:
    a, b, c, d = (make_page(number, LABEL_COUNT // 2, 2, 2) for number in range(4))
    answers = iter([(VOCABULARY.labels[index % 5],) for index in range(9)])
    renderer = CompactRenderer(VOCABULARY, max_context=10**6)
    steps = follow(renderer, [a, b, c, d, a, d, c, c, a], lambda prompt: next(answers), task=TASK)
    for step in steps[4:]:
        news = (VOCABULARY.obs, *VOCABULARY.encode(step.view.news))
        assert step.prompt.ids[: len(news)] == news
        said = {VOCABULARY.left, VOCABULARY.act, *VOCABULARY.labels, *VOCABULARY.named, *VOCABULARY.shared}
        assert set(step.prompt.ids[len(news) :]) <= said


def test_the_labels_that_were_shown_last_are_those_of_the_present_page() -> None:
    """From one page of results to the next, and back."""
    first, second = make_page(1, 3, 1), make_page(2, 3, 1)
    onward = (*VOCABULARY.encode("to 1 0"), VOCABULARY.end)
    steps = follow(CompactRenderer(VOCABULARY), [first, second, first], lambda prompt: onward)
    assert labels_among(steps[2].prompt.ids) == set(VOCABULARY.labels[:3])


def test_a_label_that_the_page_does_not_have_is_not_taken_there() -> None:
    renderer, labels = CompactRenderer(VOCABULARY, restricted=False), VOCABULARY.labels
    answers = iter([(labels[9],), (labels[1],), ()])
    steps = follow(renderer, [make_page(1, 3)] * 3, lambda prompt: next(answers), task=TASK)
    news = (VOCABULARY.obs, *VOCABULARY.encode("news 1"))
    assert steps[1].prompt.ids == (*news, VOCABULARY.act)
    assert steps[2].prompt.ids == (*news, VOCABULARY.left, *labels[:3], VOCABULARY.act)
    assert [steps[2].prompt.read((label,)).action for label in labels[:3]] == [long(1, i).action for i in (0, 2, 1)]


def test_what_was_taken_on_another_page_is_not_taken_here() -> None:
    page, labels = make_page(1, 3), VOCABULARY.labels
    answers = iter([(labels[1],), (), ()])
    views = [replace(page, page="another search"), page, page]
    steps = follow(CompactRenderer(VOCABULARY), views, lambda prompt: next(answers))
    assert VOCABULARY.left not in steps[2].prompt.ids
    assert [steps[2].prompt.read((label,)).action for label in labels[:3]] == [c.action for c in page.choices]


def test_choices_beyond_the_labels_are_not_offered() -> None:
    [step] = follow(CompactRenderer(VOCABULARY), [make_page(0, LABEL_COUNT + 6, 2)], lambda prompt: ())
    assert step.prompt.restriction is not None
    assert labels_among(step.prompt.restriction.allowed(())) == set(VOCABULARY.labels)
    last = VOCABULARY.labels[-1]
    assert step.prompt.read((last,)).action == long(0, LABEL_COUNT - 1).action
    written = step.prompt.read((*VOCABULARY.encode("to 0 1"), VOCABULARY.end))
    assert written.action == "click[to 0 1]"


def test_unrestricted_a_label_that_is_not_there_or_a_text_cut_short_is_no_admissible_action() -> None:
    view = make_page(0, 3, 2)
    [step] = follow(CompactRenderer(VOCABULARY, restricted=False), [view], lambda prompt: ())
    prompt, actions = step.prompt, {choice.action for choice in view.choices}
    assert prompt.restriction is None
    assert prompt.read((VOCABULARY.labels[7],)).action == "<7>"
    assert prompt.read((VOCABULARY.labels[2],)).action in actions
    ids = VOCABULARY.encode("to 0 1")
    assert prompt.read((*ids, VOCABULARY.end)).action == "click[to 0 1]"
    assert prompt.read(ids).action == "to 0 1"
    assert prompt.read(()).action == ""
    assert prompt.read((VOCABULARY.write, *VOCABULARY.encode("red shoes"), VOCABULARY.end)).action not in actions


def test_free_text_is_closed_after_its_prefix() -> None:
    [step] = follow(CompactRenderer(VOCABULARY), [make_page(0, 0, free=True)], lambda prompt: ())
    written = (VOCABULARY.write, *VOCABULARY.encode("Red Shoes"), VOCABULARY.end)
    assert step.prompt.read(written).action == "search[red shoes]"


def test_the_same_page_with_other_choices_is_restricted_to_those() -> None:
    renderer = CompactRenderer(VOCABULARY)
    view = make_page(0, 0, 2)
    other = replace(view, choices=(short("yes"), short("no")))
    for shown in (view, other):
        [step] = follow(renderer, [shown], lambda prompt: walk(prompt, [0]))
        assert step.prompt.read(step.sampled).action in {choice.action for choice in shown.choices}


def test_an_environment_without_a_view_shows_its_observation_and_restricts_nothing() -> None:
    context = Context("e", tiny_task(), "You stand at a door.", (), 0, turn_tokens=TURN_TOKENS)
    prompt = CompactRenderer(VOCABULARY).render(context)
    assert prompt.restriction is None
    assert "you stand at a door." in VOCABULARY.decode(prompt.ids)
    assert prompt.read((*VOCABULARY.encode("open it"), VOCABULARY.end)).action == "open it"


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
