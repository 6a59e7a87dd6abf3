"""Quoting the instruction: what may be sampled, how it reads, and how a text is found in an instruction."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from policies.causal_lm.compact import CompactRenderer
from policies.causal_lm.prompt import Prompt
from policies.causal_lm.quotes import MARK_COUNT, MOST_SPANS, Quotes, span_of
from policies.causal_lm.vocabulary import Vocabulary
from sage_gym.types import Choice, View
from tests.nano_toys import TURN_TOKENS, follow, tiny_task, tiny_tokenizer, walk

QUOTES = Quotes(quote=7, marks=tuple(range(10, 10 + MARK_COUNT)), end=3)
VOCABULARY = Vocabulary(tiny_tokenizer())
RENDERED = VOCABULARY.quotes
PUNCTUATION = " ,;.:"
PAGE = View("home", "", (), ("search[",))

WORD = st.text("abcXYZé019$-'&.,;:", min_size=1, max_size=6)
WORDS = st.lists(WORD, min_size=1, max_size=20) | st.lists(WORD, min_size=MARK_COUNT - 2, max_size=MARK_COUNT + 20)
LOTS = st.lists(st.integers(0, 1000), min_size=1, max_size=12)
Span = tuple[int, int]


def bare(text: str) -> list[str]:
    """Give a text's words in lower case without the punctuation around them; words of nothing else are left out."""
    return [word for each in text.lower().split() if (word := each.strip(PUNCTUATION))]


def quoted(words: Sequence[str], spans: Sequence[Span]) -> list[str]:
    """Say what these spans name, a word at a time."""
    return [word for first, last in spans for place in range(first, last + 1) for word in bare(words[place])]


def quote_by_lot(lot: Sequence[int], words: int) -> tuple[int, ...]:
    """Sample a quotation, checking at each place what is left open."""
    sampled: tuple[int, ...] = (QUOTES.quote,)
    while sampled[-1] != QUOTES.end:
        allowed = QUOTES.allowed(sampled, words)
        assert allowed
        assert list(allowed) == sorted(set(allowed))
        assert set(allowed) <= {*QUOTES.marks[:words], QUOTES.end}
        sampled += (allowed[lot[len(sampled) % len(lot)] % len(allowed)],)
        assert len(sampled) <= 2 + 2 * MOST_SPANS
    return sampled


def spans_in(sampled: Sequence[int]) -> list[Span]:
    """Take the marks of an unbroken quotation in pairs."""
    places = [token - QUOTES.marks[0] for token in sampled[1:-1]]
    return list(zip(places[::2], places[1::2], strict=True))


@st.composite
def instructions_with_spans(draw: st.DrawFn) -> tuple[list[str], list[Span]]:
    words = draw(WORDS)
    places = st.integers(0, min(len(words), MARK_COUNT) - 1)
    pairs = draw(st.lists(st.tuples(places, places), min_size=1, max_size=MOST_SPANS))
    return words, [(min(pair), max(pair)) for pair in pairs]


@given(WORDS, LOTS)
def test_what_may_be_sampled_ends_and_reads_as_spans_of_the_instruction(words: list[str], lot: list[int]) -> None:
    sampled = quote_by_lot(lot, len(words))
    spans = spans_in(sampled)
    assert 1 <= len(spans) <= MOST_SPANS
    assert all(0 <= first <= last < min(len(words), MARK_COUNT) for first, last in spans)
    assert bare(QUOTES.read(sampled, " ".join(words))) == quoted(words, spans)


@given(instructions_with_spans())
def test_every_quotation_that_can_be_spelled_may_be_sampled_and_reads_as_its_spans(
    drawn: tuple[list[str], list[Span]],
) -> None:
    words, spans = drawn
    sampled = QUOTES.spell(spans)
    for place in range(1, len(sampled)):
        assert sampled[place] in QUOTES.allowed(sampled[:place], len(words))
    assert spans_in(sampled) == spans
    assert bare(QUOTES.read(sampled, " ".join(words))) == quoted(words, spans)


def test_a_quotation_that_never_ends_by_itself_ends_after_the_most_spans() -> None:
    sampled = quote_by_lot([-1], 9)
    assert sampled == (QUOTES.quote, *(QUOTES.marks[8],) * 2 * MOST_SPANS, QUOTES.end)
    assert QUOTES.allowed(sampled[:-1], 9) == (QUOTES.end,)


def test_a_span_is_closed_at_or_behind_the_word_that_opened_it_and_only_then_the_quotation() -> None:
    marks = QUOTES.marks
    assert QUOTES.allowed((QUOTES.quote,), 4) == marks[:4]
    assert QUOTES.allowed((QUOTES.quote, marks[1]), 4) == marks[1:4]
    assert QUOTES.allowed((QUOTES.quote, marks[1], marks[2]), 4) == (QUOTES.end, *marks[:4])


def test_a_reading_keeps_case_and_inner_punctuation_and_drops_what_stands_around_a_span() -> None:
    instruction = "Find me:  Red, Woollen\nscarf; size: XL, and price lower than 9.50 dollars."
    assert QUOTES.read(QUOTES.spell([(2, 4)]), instruction) == "Red, Woollen scarf"
    assert QUOTES.read(QUOTES.spell([(5, 6), (1, 1), (11, 12)]), instruction) == "size: XL me 9.50 dollars"


@given(WORDS, st.data())
def test_a_text_that_stands_in_the_instruction_is_found_and_reads_back(words: list[str], data: st.DataObject) -> None:
    first = data.draw(st.integers(0, min(len(words), MARK_COUNT) - 1))
    last = data.draw(st.integers(first, min(len(words), MARK_COUNT) - 1))
    text = " ".join(words[first : last + 1])
    text = data.draw(st.sampled_from([text, text.lower(), text.upper(), f"{text},", f" {text}."]))
    span = span_of(text, " ".join(words))
    assert span is not None
    assert 0 <= span[0] <= span[1] < MARK_COUNT
    assert span[0] <= first
    assert bare(QUOTES.read(QUOTES.spell([span]), " ".join(words))) == bare(text)


def test_the_first_of_several_places_is_quoted() -> None:
    assert span_of("Red scarf.", "a red hat, a red scarf: a red scarf") == (4, 5)


@pytest.mark.parametrize("text", ["", " ", "red hat", "scarf red", "a red scarf and more", "a red scar", "ared scarf"])
def test_a_text_that_does_not_stand_in_the_instruction_is_not_found(text: str) -> None:
    assert span_of(text, "a red scarf and hat") is None


@given(st.integers(MARK_COUNT, MARK_COUNT + 30), LOTS)
def test_words_behind_the_last_mark_are_neither_open_nor_found_and_those_before_it_are(
    count: int, lot: list[int]
) -> None:
    words = [f"word{index}" for index in range(count)]
    instruction = " ".join(words)
    assert QUOTES.allowed((QUOTES.quote,), count) == QUOTES.marks
    assert bare(QUOTES.read(quote_by_lot(lot, count), instruction))
    for place in range(count):
        assert span_of(words[place], instruction) == ((place, place) if place < MARK_COUNT else None)
    across = " ".join(words[MARK_COUNT - 1 : MARK_COUNT + 1])
    assert span_of(across, instruction) == (None if count > MARK_COUNT else (MARK_COUNT - 1, MARK_COUNT - 1))


@given(st.lists(st.text("ab.,", min_size=1, max_size=3), max_size=6), st.data())
def test_a_broken_quotation_raises_nothing_and_says_words_of_the_instruction_alone(
    words: list[str], data: st.DataObject
) -> None:
    anything = st.sampled_from([QUOTES.quote, QUOTES.end, 0, 999, *QUOTES.marks])
    sampled = data.draw(st.lists(anything, max_size=14))
    said = bare(QUOTES.read(sampled, " ".join(words)))
    assert set(said) <= {word for each in words for word in bare(each)}


@pytest.mark.parametrize(
    ("places", "said"),
    [
        ((), ""),
        ((2,), ""),
        ((3, 1), ""),
        ((8, 9), ""),
        ((3, 63), "four five"),
        ((0, 0, 4), "one"),
        ((3, 1, 0, 1), "one two"),
        ((9, 60, 1, 2), "two three"),
    ],
)
def test_a_span_that_is_not_closed_runs_backwards_or_lies_behind_the_end_says_nothing(
    places: tuple[int, ...], said: str
) -> None:
    instruction = "one two three four five"
    ids = (QUOTES.quote, *(QUOTES.marks[place] for place in places))
    assert QUOTES.read((*ids, QUOTES.end), instruction) == said
    assert QUOTES.read(ids, instruction) == said


def prompt_for(instruction: str, page: View = PAGE, *, restricted: bool = True) -> Prompt:
    task = replace(tiny_task(), instruction=instruction)
    [step] = follow(CompactRenderer(VOCABULARY, restricted=restricted), [page], lambda prompt: (), task=task)
    return step.prompt


def test_free_text_may_be_quoted_or_written_and_nothing_else_where_nothing_is_listed() -> None:
    restriction = prompt_for("Find me a red scarf").restriction
    assert restriction is not None
    assert set(restriction.allowed(()) or ()) == {RENDERED.quote, VOCABULARY.write}
    assert restriction.allowed((VOCABULARY.write,)) is None
    assert restriction.allowed((RENDERED.quote,)) == RENDERED.marks[:5]
    assert restriction.allowed(RENDERED.spell([(3, 4)])[:-1]) == (RENDERED.end, *RENDERED.marks[:5])


def test_a_page_without_free_text_offers_neither_quoting_nor_writing() -> None:
    restriction = prompt_for("find me a red scarf", View("p", "", (Choice("click[on]", "on"),))).restriction
    assert restriction is not None
    assert not {RENDERED.quote, VOCABULARY.write} & set(restriction.allowed(()) or ())
    assert restriction.allowed((RENDERED.quote,)) == ()


def test_one_renderer_restricts_each_instruction_to_its_own_words() -> None:
    renderer = CompactRenderer(VOCABULARY)
    for instruction in ("red", "a red scarf", "a red scarf", "hats"):
        task = replace(tiny_task(), instruction=instruction)
        [step] = follow(renderer, [PAGE], lambda prompt: (), task=task)
        assert step.prompt.restriction is not None
        count = len(instruction.split())
        assert step.prompt.restriction.allowed((RENDERED.quote,)) == RENDERED.marks[:count]
        assert step.prompt.read(RENDERED.spell([(0, count - 1)])).action == f"search[{instruction}]"


@given(WORDS, LOTS)
def test_a_quotation_that_the_renderer_lets_be_sampled_is_a_search_for_the_instructions_words(
    words: list[str], lot: list[int]
) -> None:
    prompt = prompt_for(" ".join(words))
    assert prompt.restriction is not None
    first = (prompt.restriction.allowed(()) or ()).index(RENDERED.quote)
    sampled = walk(prompt, [first, *lot])
    assert sampled[0] == RENDERED.quote
    assert sampled[-1] in prompt.stop_ids
    action = prompt.read(sampled).action
    assert action.startswith("search[")
    assert action.endswith("]")
    assert prompt.read(sampled).text == action[len("search[") : -1]
    assert set(bare(action[len("search[") : -1])) <= {word for each in words for word in bare(each)}


@given(st.lists(st.integers(0, len(VOCABULARY.tokenizer) - 1), max_size=TURN_TOKENS), st.booleans())
def test_whatever_an_unrestricted_model_samples_is_read(sampled: list[int], is_quoted: bool) -> None:
    choices = (Choice("click[on]", "on"), Choice("click[x]", "hue: red"))
    view = replace(PAGE, choices=choices)
    prompt = prompt_for("find me hue: red", view, restricted=False)
    assert prompt.restriction is None
    reading = prompt.read((*((RENDERED.quote,) if is_quoted else ()), *sampled))
    assert isinstance(reading.action, str)
    if is_quoted:
        assert reading.action.startswith("search[")


def test_marks_in_written_text_and_labels_at_its_end_are_left_out() -> None:
    prompt = prompt_for("find me a red scarf", restricted=False)
    red, scarf = VOCABULARY.encode("red"), VOCABULARY.encode("scarf")
    for last in (VOCABULARY.end, VOCABULARY.labels[3], VOCABULARY.named[0]):
        written = (VOCABULARY.write, *red, RENDERED.marks[2], VOCABULARY.shared[0], *scarf, last)
        assert prompt.read(written).action == "search[red scarf]"


def test_with_an_empty_instruction_free_text_is_written() -> None:
    restriction = prompt_for("").restriction
    assert restriction is not None
    assert restriction.allowed(()) == (VOCABULARY.write,)
