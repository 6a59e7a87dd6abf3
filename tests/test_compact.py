from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from policies.causal_lm.compact import LABEL_COUNT, SPECIAL_TOKENS, CompactRenderer, Vocabulary
from policies.causal_lm.overlap import MOST_WORDS, is_named, shared_words
from policies.causal_lm.prompt import Prompt
from sage_gym.types import Choice, Context, Decision, Ledger, Turn, View
from tests.causal_lm_toys import toy_tokenizer
from tests.nano_toys import tiny_task, tiny_tokenizer

VOCABULARY = Vocabulary(tiny_tokenizer())
TURN_TOKENS = 16
Choose = Callable[[Prompt], tuple[int, ...]]


def short(text: str) -> Choice:
    return Choice(f"click[{text}]", text)


def long(page: int, index: int) -> Choice:
    return Choice(f"click[item {page} {index}]", f"{index} on {page}, which is described at rather great length here")


def make_page(number: int, longs: int, shorts: int = 0, *, free: bool = False) -> View:
    choices = (*(long(number, i) for i in range(longs)), *(short(f"to {number} {i}") for i in range(shorts)))
    return View(f"page {number}", f"news {number}", choices, ("search[",) if free else ())


@dataclass(frozen=True)
class Step:
    """A turn as it was asked and answered, and the ids of the sequence up to and with its prompt."""

    view: View
    prompt: Prompt
    sampled: tuple[int, ...]
    sequence: tuple[int, ...]


def follow(renderer: CompactRenderer, views: Iterable[View], choose: Choose, hints: tuple[str, ...] = ()) -> list[Step]:
    """Show the pages one after the other, deciding by `choose`."""
    turns: tuple[Turn, ...] = ()
    steps: list[Step] = []
    for view in views:
        context = Context("e", tiny_task(), view.news, turns, 0, view=view, turn_tokens=TURN_TOKENS, hints=hints)
        prompt = renderer.render(context)
        sampled = choose(prompt)
        before = steps[-1].sequence + steps[-1].sampled if prompt.is_continuation else ()
        steps.append(Step(view, prompt, sampled, before + prompt.ids))
        count = len(sampled)
        ledger = Ledger(prompt.ids, sampled, (0.0,) * count, (False,) * count, is_continuation=prompt.is_continuation)
        reading = prompt.read(sampled)
        decision = Decision(reading.text, reading.action, ledger=ledger, notes=prompt.notes)
        turns += (Turn(view.news, decision, 0.0),)
    return steps


def walk(prompt: Prompt, lot: Sequence[int]) -> tuple[int, ...]:
    """Sample what the restriction leaves open, by lot, to a stop or the limit."""
    sampled: tuple[int, ...] = ()
    while len(sampled) < prompt.max_tokens and not (sampled and sampled[-1] in prompt.stop_ids):
        allowed = prompt.restriction.allowed(sampled) if prompt.restriction is not None else (VOCABULARY.end,)
        number = lot[len(sampled) % len(lot)]
        sampled += (number % 100 + 100 if allowed is None else allowed[number % len(allowed)],)
    return sampled


def texts_before_labels(sequence: Sequence[int]) -> dict[int, tuple[int, ...]]:
    """Give for each label the ids before its last appearance behind a text."""
    found: dict[int, tuple[int, ...]] = {}
    text: list[int] = []
    for token in sequence:
        if token in VOCABULARY.label_index:
            if text:
                found[token] = tuple(text)
            text = []
        elif token in (VOCABULARY.obs, VOCABULARY.act, VOCABULARY.separator, VOCABULARY.end):
            text = []
        elif token != VOCABULARY.named and token not in VOCABULARY.shared:
            text.append(token)
    return found


def labels_among(ids: Iterable[int] | None) -> set[int]:
    return set(ids or ()) & set(VOCABULARY.labels)


PAGES = st.lists(st.tuples(st.integers(0, 40), st.integers(0, 3), st.booleans()), min_size=1, max_size=5).map(
    lambda sizes: [make_page(number, *size[:2], free=size[2]) for number, size in enumerate(sizes)]
)
VISITS = PAGES.flatmap(lambda pages: st.lists(st.sampled_from(pages), min_size=1, max_size=12))
LOTS = st.lists(st.integers(0, 1000), min_size=3, max_size=7)


@given(VISITS, LOTS, st.integers(0, LABEL_COUNT - 1), st.sampled_from([300, 900, 10**6]))
def test_a_label_stands_behind_the_choice_that_it_means_however_often_pages_change(
    views: list[View], lot: list[int], first_label: int, max_context: int
) -> None:
    renderer = CompactRenderer(VOCABULARY, max_context=max_context, first_label=first_label)
    for step in follow(renderer, views, lambda prompt: walk(prompt, lot)):
        if step.prompt.restriction is None:
            continue
        texts = texts_before_labels(step.sequence)
        meant = {choice.action: choice.text for choice in step.view.choices}
        present = labels_among(step.prompt.restriction.allowed(()))
        assert len(present) == sum(choice.text.endswith("here") for choice in step.view.choices)
        for label in present:
            wanted = VOCABULARY.encode_choice(meant[step.prompt.read((label,)).action])
            assert texts[label][-len(wanted) :] == wanted


@given(VISITS, LOTS, st.sampled_from([300, 900, 10**6]))
def test_a_sequence_only_grows_begins_with_the_task_and_ends_before_the_context_does(
    views: list[View], lot: list[int], max_context: int
) -> None:
    renderer = CompactRenderer(VOCABULARY, max_context=max_context)
    steps = follow(renderer, views, lambda prompt: walk(prompt, lot))
    head = (VOCABULARY.task, *VOCABULARY.encode(tiny_task().instruction), VOCABULARY.obs)
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
    for step in follow(CompactRenderer(VOCABULARY), views, lambda prompt: walk(prompt, lot)):
        if step.prompt.restriction is None:
            assert not step.view.choices
            assert not step.view.free
        elif step.sampled[0] == VOCABULARY.write:
            assert step.prompt.read(step.sampled).action.startswith("search[")
        else:
            assert step.prompt.read(step.sampled).action in {choice.action for choice in step.view.choices}


@given(PAGES)
def test_the_first_ids_open_are_the_present_labels_the_short_choices_beginnings_and_write(pages: list[View]) -> None:
    for view in pages:
        [step] = follow(CompactRenderer(VOCABULARY), [view], lambda prompt: (VOCABULARY.end,))
        longs = sum(choice.text.endswith("here") for choice in view.choices)
        expected = set(VOCABULARY.labels[:longs])
        expected |= {VOCABULARY.encode(c.text)[0] for c in view.choices if not c.text.endswith("here")}
        expected |= {VOCABULARY.write} if view.free else set()
        restriction = step.prompt.restriction
        assert set(restriction.allowed(()) or ()) == expected if restriction else not expected
        if view.free and restriction:
            assert restriction.allowed((VOCABULARY.write,)) is None
            assert restriction.allowed((VOCABULARY.write, 300, 301)) is None


def test_a_page_returned_to_is_not_listed_again_and_its_choices_hold() -> None:
    first, second = make_page(1, 3, 1), make_page(2, 4)
    steps = follow(CompactRenderer(VOCABULARY), [first, second, first], lambda prompt: (VOCABULARY.labels[0],))
    assert steps[2].prompt.ids == (VOCABULARY.obs, *VOCABULARY.encode("news 1"), VOCABULARY.act)
    labels = VOCABULARY.labels
    assert [steps[2].prompt.read((label,)).action for label in labels[:3]] == [c.action for c in first.choices[:3]]
    assert labels_among(steps[1].prompt.restriction.allowed(())) == set(labels[3:7])  # type: ignore[union-attr]


def test_a_page_whose_labels_were_taken_over_is_listed_again_and_then_is_the_latest() -> None:
    a, b, c, d = (make_page(number, LABEL_COUNT // 2) for number in range(4))
    steps = follow(CompactRenderer(VOCABULARY, max_context=10**6), [a, b, c, d, a, d, c], lambda prompt: ())
    half = LABEL_COUNT // 2
    assert [len(labels_among(step.prompt.ids)) for step in steps] == [half, half, half, half, half, 0, half]


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


def test_hints_stand_behind_the_instruction_and_are_not_repeated() -> None:
    views = [make_page(0, 2), make_page(1, 2)]
    with_hints = follow(CompactRenderer(VOCABULARY), views, lambda prompt: (), ("look twice",))
    without = follow(CompactRenderer(VOCABULARY), views, lambda prompt: ())
    hint = VOCABULARY.encode("look twice")
    head = (VOCABULARY.task, *VOCABULARY.encode(tiny_task().instruction))
    assert with_hints[0].prompt.ids == head + hint + without[0].prompt.ids[len(head) :]
    assert with_hints[1].prompt.ids == without[1].prompt.ids


def test_notes_that_went_through_a_journal_continue_the_same_sequence() -> None:
    renderer, views = CompactRenderer(VOCABULARY), [make_page(0, 2), make_page(1, 2), make_page(0, 2)]
    steps = follow(renderer, views, lambda prompt: (VOCABULARY.labels[0],))
    turns = tuple(
        Turn("", Decision("", "", ledger=Ledger(s.prompt.ids, s.sampled, (0.0,), (True,),
             is_continuation=s.prompt.is_continuation), notes=json.loads(json.dumps(dict(s.prompt.notes)))), 0.0)
        for s in steps[:2]
    )  # fmt: skip
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


def test_shared_words_are_counted_without_glue_and_up_to_a_limit() -> None:
    assert shared_words("find me a red wool scarf", "Wool scarf, red, for the winter") == 3
    words = " ".join(f"word{i}" for i in range(20))
    assert shared_words(words, words) == MOST_WORDS
    assert shared_words("find me a lamp", "find the price of a chair") == 0


def test_a_value_is_named_only_as_a_whole() -> None:
    assert is_named("lamp with color: navy, and price lower than 9 dollars", "Color: navy")
    assert not is_named("lamp with color: navy blue, and price lower than 9 dollars", "color: navy")
    assert not is_named("a navy lamp", "navy")
