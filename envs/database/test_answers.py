"""The action grammar and AgentBench's scoring."""

from __future__ import annotations

import hashlib
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from envs.database.actions import parse_action
from envs.database.scoring import combined_hash, is_right, state_hash

# Actions


@pytest.mark.parametrize(
    ("written", "kind", "content"),
    [
        ("sql[SELECT 1]", "sql", "SELECT 1"),
        (" SQL[SELECT [a] FROM t] and so on", "sql", "SELECT [a] FROM t"),
        ("sql[```sql\nSELECT 1\n```]", "sql", "SELECT 1"),
        ('answer[["a", "b"]]', "answer", '["a", "b"]'),
        ("answer[]", "answer", "[]"),
        ("Thought.\nAction: Operation\n```sql\nSELECT 1\nFROM t\n```\n", "sql", "SELECT 1 FROM t"),
        ('Action: Answer\nFinal Answer: ["a"]', "answer", ' ["a"]'),
        ('Thought.\nAction: Answer\nFinal Answer: ["a"]\nBye.', "answer", ' ["a"]'),
        ("Action: Operation\nSELECT 1", "invalid", "```sql"),
        ("Action: Answer\n[1]", "invalid", "Final Answer"),
        ("sql[ ]", "invalid", "expected a statement"),
        ("sql[SELECT 1", "invalid", "expected sql["),
        ("", "invalid", "expected sql["),
    ],
)
def test_actions_are_read(written: str, kind: str, content: str) -> None:
    action = parse_action(written)
    assert action.kind == kind
    assert content in action.content if kind == "invalid" else action.content == content


@given(st.text())
def test_any_text_is_an_action_or_gets_a_reason(written: str) -> None:
    action = parse_action(written)
    assert action.kind != "invalid" or action.content


@given(st.text(max_size=50))
def test_any_answer_can_be_written(content: str) -> None:
    assert parse_action(f"answer[{content}]").content == (content.strip() or "[]")


# Scoring


@pytest.mark.parametrize(
    ("answer", "gold", "original", "current"),
    [
        ('["Vienna"]', ["Vienna"], True, True),
        ("['Vienna']", ["Vienna"], True, True),
        ("Vienna", ["Vienna"], True, True),
        (" Vienna", ["Vienna"], False, True),
        ('["vienna"]', ["Vienna"], False, False),
        ("[12]", ["12.0"], True, True),
        ("12", ["12.0"], True, True),
        ("12.004", ["12.0"], False, True),
        ("12.02", ["12.0"], False, False),
        ('["b", "a"]', ["a", "b"], True, True),
        ('["a", "a", "b"]', ["b", "a"], True, True),
        ('["a"]', ["a", "b"], False, False),
        ('["a", "b"]', ["a"], False, False),
        ('["1.0", "2"]', ["2", "1"], False, True),
        ("[1, 2]", ["1", "2"], False, True),
        ('["1", "1", "2"]', ["1", "2"], True, False),
        ('["1,174"]', ["1174"], False, True),
        ('["23%"]', ["23"], False, True),
        ('["0"]', ["none"], False, True),
        ('["none"]', ["none"], True, True),
        ('"ab"', ["ab"], False, True),
        ("[Vienna, Oslo]", ["Vienna", "Oslo"], False, True),
        ("[('Vienna',), ('Oslo',)]", ["Vienna", "Oslo"], False, True),
        ("[('Vienna', 'Oslo')]", ["Vienna", "Oslo"], False, False),
        ("[[1], [2]]", ["1", "2"], False, False),
        ("", ["a"], False, False),
        ("[]", ["a"], False, False),
        ("__import__('os').system('false')", ["0"], False, False),
        ("[" * 5_000, ["a"], False, False),
        ("9" * 5_000, ["a"], False, False),
    ],
)
def test_answers_are_judged_as_agentbench_judges_them(
    answer: str, gold: list[str], original: bool, current: bool
) -> None:
    assert is_right(answer, gold, "original") is original
    assert is_right(answer, gold, "current") is current


@given(st.text(), st.lists(st.text(), min_size=1, max_size=3), st.sampled_from(["original", "current"]))
def test_any_answer_is_judged(answer: str, gold: list[str], rules: str) -> None:
    assert is_right(answer, gold, rules) in (True, False)  # type: ignore[arg-type]


def md5(text: str) -> str:
    return hashlib.md5(text.encode(), usedforsecurity=False).hexdigest()


def test_the_hash_of_a_state_is_the_md5_of_its_sorted_row_hashes() -> None:
    rows = [md5("a,1")[:5], md5("b,2")[:5]]
    assert state_hash([("b", 2), ("a", "1")]) == md5(",".join(sorted(rows)))
    assert state_hash([("a", None, "1"), (None, "b", "2")]) == md5(",".join(sorted(rows)))
    assert state_hash([("a", "", "1"), ("b", "2")]) != md5(",".join(sorted(rows)))
    assert state_hash([]) is None
    assert combined_hash(["b", "a"]) == "a_b"


def test_the_hash_sees_the_first_1024_bytes_of_the_joined_row_hashes() -> None:
    rows = sorted((str(i),) for i in range(400))
    joined = ",".join(sorted(md5(row[0])[:5] for row in rows))
    assert len(joined) > 1024
    assert state_hash(rows) == md5(joined[:1024])


@given(st.lists(st.tuples(st.text(max_size=5), st.text(max_size=5)), max_size=8), st.integers())
def test_the_hash_does_not_mind_the_order_of_rows(rows: list[tuple[str, str]], seed: int) -> None:
    assert state_hash(rows) == state_hash(Random(seed).sample(rows, len(rows)))
