"""Free text behind one of several prefixes: what is sampled is read as the action that was meant, quotations in it."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from policies.causal_lm.compact import CompactRenderer
from policies.causal_lm.prefixes import PrefixRestriction, join, quotable, quoted
from policies.causal_lm.vocabulary import LABEL_COUNT, Vocabulary
from policies.nano.writing import Habits, Writer, read_quotations, split_action
from sage_gym.types import Choice, Context, Task, View
from tests.nano_toys import tiny_tokenizer

FREE = ("mail[", "sql[", "answer[")
INSTRUCTION = 'Mail (a) 60 % of the Hand Truck\'s price to ada under "Round Mail"; then read budgets/Nova.txt.'
TASK = Task("office/0", INSTRUCTION, "train", 0, "hash", "office")
LIKELY = [
    ("mail[", "$email, for you, $amount"),
    ("mail[", "$email, quick note, $total"),
    ("sql[", "SELECT a FROM t WHERE name = 'Desk'"),
    ("sql[", "SELECT a FROM t WHERE name = 'Lamp'"),
]


@pytest.fixture(scope="module")
def vocabulary() -> Vocabulary:
    return Vocabulary(tiny_tokenizer())


def view(*choices: Choice) -> View:
    return View("office", "nothing new", choices, FREE)


def ask(vocabulary: Vocabulary, shown: View, *, restricted: bool = True):
    context = Context("e", TASK, "", (), 0, view=shown, turn_tokens=64)
    return CompactRenderer(vocabulary, restricted=restricted).render(context)


def written(vocabulary: Vocabulary, action: str) -> tuple[int, ...]:
    prefix, text = split_action(action, FREE)
    prefixes = vocabulary.prefixes(view())
    assert prefixes is not None
    return prefixes.spell(prefix, Writer(vocabulary, Habits(LIKELY), INSTRUCTION).write(prefix, text))


@pytest.mark.parametrize(
    "action",
    [
        "mail[$email, Round Mail, $3.price]",
        "mail[$email, Hand Truck, 60 and $price]",
        "sql[select a from t where name = 'Hand Truck']",
        "sql[update t set price = $price where name = 'Hand Truck' and paid = 'no']",
        "answer[budgets/Nova.txt]",
        "answer[]",
    ],
)
def test_what_is_written_is_read_as_the_action_with_the_instructions_own_letters(vocabulary, action):
    sampled = written(vocabulary, action)
    assert ask(vocabulary, view()).read(sampled).action == action


def test_what_the_instruction_names_takes_two_ids(vocabulary):
    marks = set(vocabulary.quotes.marks)
    sampled = written(vocabulary, "answer[budgets/Nova.txt]")
    assert len(sampled) == 4
    assert sampled[1] == sampled[2] == vocabulary.quotes.marks[16]
    assert len(marks & set(written(vocabulary, "sql[SELECT a FROM t WHERE name = 'Hand Truck']"))) == 2


def test_what_most_actions_have_at_a_place_is_written_although_the_instruction_names_it(vocabulary):
    habits = Habits([("sql[", "SELECT Mail FROM t")] * 3 + [("sql[", "SELECT price FROM t")] * 7)
    assert habits.usual("sql[", ["SELECT", "Mail", "FROM", "other"]) == [True, True, True, False]
    assert habits.usual("mail[", ["SELECT"]) == [False]


def test_a_span_named_twice_is_quoted_where_it_was_not_quoted_before(vocabulary):
    writer = Writer(vocabulary, Habits([]), "put 5 % of a and 5 % of b")
    marks = vocabulary.quotes.marks
    assert [writer.write("sql[", "5")[0] for _ in range(3)] == [(marks[1],) * 2, (marks[6],) * 2, (marks[1],) * 2]


def test_a_label_stands_for_a_prefix_and_does_not_end_the_decision(vocabulary):
    prompt = ask(vocabulary, view())
    labels = vocabulary.labels[LABEL_COUNT - 3 :]
    assert not prompt.stop_ids & set(labels)
    assert {vocabulary.end, vocabulary.labels[0]} <= prompt.stop_ids
    assert prompt.restriction is not None
    assert prompt.restriction.allowed(()) == tuple(sorted(labels))
    assert prompt.restriction.allowed((labels[0],)) is None


def test_choices_stay_beside_the_prefixes_and_long_ones_never_take_their_labels(vocabulary):
    many = [Choice(f"do[{n}]", f"number {n}, which is described at far greater length than fits") for n in range(80)]
    prompt = ask(vocabulary, view(Choice("done[]", "done"), *many))
    assert len(prompt.notes["actions"]) == LABEL_COUNT - 3
    assert prompt.restriction is not None
    assert set(vocabulary.labels) <= set(prompt.restriction.allowed(()) or ())
    done = (*vocabulary.encode("done"), vocabulary.end)
    assert prompt.read(done).action == "done[]"
    assert prompt.read((vocabulary.labels[LABEL_COUNT - 1], vocabulary.end)).action == "answer[]"


def test_one_prefix_is_as_before(vocabulary):
    shown = View("home", "welcome", (), ("search[",))
    assert vocabulary.prefixes(shown) is None
    prompt = ask(vocabulary, shown)
    assert prompt.restriction is not None
    assert prompt.restriction.allowed(()) == tuple(sorted((vocabulary.write, vocabulary.quotes.quote)))
    assert prompt.read(vocabulary.quotes.spell([(6, 9)])).action == "search[Hand Truck's price to]"


@pytest.mark.parametrize(
    ("words", "text"),
    [
        ("Hand Truck's", "Hand Truck"),
        ('"Round Mail";', "Round Mail"),
        ("(a)", "a"),
        ("budgets/Nova.txt.", "budgets/Nova.txt"),
    ],
)
def test_a_quotation_leaves_out_what_belongs_to_the_sentence(words, text):
    assert quoted(words.split()) == text
    assert dict(quotable(words, 64))[text][0] == 0


def test_pieces_are_joined_as_a_writer_would():
    text = ""
    for piece in ("select sum(", "amount", ") from t where name = '", "Kestrel Air", "' and n =", "5", ", 2"):
        text = join(text, piece)
    assert text == "select sum(amount) from t where name = 'Kestrel Air' and n = 5, 2"


@given(st.lists(st.integers(0, 2047), max_size=20), st.sampled_from(range(3)))
def test_whatever_is_sampled_is_an_action_of_the_prefix(ids, which):
    vocabulary = Vocabulary(tiny_tokenizer())
    label = vocabulary.labels[LABEL_COUNT - 3 + which]
    sampled = (label, *(i % len(vocabulary.tokenizer) for i in ids))
    action = ask(vocabulary, view()).read(sampled).action
    assert action.startswith(FREE[which])
    assert action.endswith("]")


def test_a_restriction_of_choices_alone_forces_their_ids():
    restriction = PrefixRestriction([(5, 6), (5, 7)], [9])
    assert [restriction.allowed(s) for s in ((), (5,), (9, 1), (5, 6))] == [(5, 9), (6, 7), None, ()]


def test_what_a_decision_quotes_is_found_in_the_instruction(vocabulary):
    marks, labels, end = vocabulary.quotes.marks, vocabulary.labels, vocabulary.end
    head = (vocabulary.task, 900, marks[0], 901, marks[1], 902, marks[2], vocabulary.act)
    ids = (*head, labels[61], 700, marks[1], marks[2], end, labels[63], marks[1], marks[1], end)
    first, last = 1 + 2 * 61, 2 + 2 * 61
    once = read_quotations(vocabulary, ids, [(8, 13)])
    assert once.roles == (-1, -1, 0, -1, first, -1, last, *(-1,) * 10)
    assert once.pointers == ((7, 4, 0), (9, 4, 0), (10, 6, 1))
    both = read_quotations(vocabulary, ids, [(8, 13), (13, 17)])
    assert both.roles == (-1, -1, 0, -1, 1 + 2 * 63, -1, last, *(-1,) * 10)
    assert both.pointers == (*once.pointers, (12, 4, 0), (13, 4, 0), (14, 4, 1))
    assert read_quotations(vocabulary, ids, [(7, 8)]).pointers == ()
