"""The compact style: labels, pages, restriction, budgets."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from policies.causal_lm.compact import CompactRenderer
from policies.causal_lm.vocabulary import LABEL_COUNT, NAMED_COUNT
from sage_gym.types import Context, View
from tests.compact_toys import (
    LOTS,
    MANY_SHARED,
    PAGES,
    TASK,
    VISITS,
    VOCABULARY,
    WANTED,
    labels_among,
    long,
    make_page,
    named_among,
    short,
    texts_before_labels,
    texts_before_named,
)
from tests.nano_toys import TURN_TOKENS, follow, tiny_task, walk


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
