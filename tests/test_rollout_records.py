"""Trajectories as lines of JSON: nothing lost, damage named."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sage_gym.errors import RecordError
from sage_gym.rollout.records import decode, encode, fingerprint
from sage_gym.types import (
    Candidate,
    Decision,
    Failure,
    Ledger,
    Origin,
    StopReason,
    Task,
    Trajectory,
    Turn,
)
from tests.recorded_rollouts import full_trajectory

FLOATS = st.floats(allow_nan=False)

TEXT = st.text(st.characters(), max_size=8)

JSON = st.dictionaries(
    TEXT,
    st.recursive(
        st.none() | st.booleans() | st.integers() | FLOATS | TEXT,
        lambda inner: st.lists(inner, max_size=2) | st.dictionaries(TEXT, inner, max_size=2),
        max_leaves=4,
    ),
    max_size=2,
)

P = st.none() | FLOATS


@st.composite
def ledgers(draw: st.DrawFn) -> Ledger:
    n = draw(st.integers(0, 5))

    def row(of: st.SearchStrategy[Any]) -> Any:
        return tuple(draw(st.lists(of, min_size=n, max_size=n)))

    ids = st.lists(st.integers(0, 200_000), max_size=3).map(tuple)
    allowed = draw(st.booleans()) and row(st.none() | ids)
    return Ledger(
        draw(ids), row(st.integers(0, 9)), row(FLOATS), row(st.booleans()), allowed or (), draw(st.booleans()),
        draw(FLOATS),
    )  # fmt: skip


CANDIDATES = st.lists(st.builds(Candidate, TEXT, P, P, P), max_size=2).map(tuple)

STOPS = st.none() | st.sampled_from(StopReason)

DECISIONS = st.builds(
    Decision, TEXT, TEXT, TEXT, st.none() | ledgers(), P, P, P, CANDIDATES, st.sampled_from(Origin),
    st.integers(0, 3), STOPS, JSON,
)  # fmt: skip

TURNS = st.lists(st.builds(Turn, TEXT, DECISIONS, FLOATS, st.booleans(), FLOATS, JSON), max_size=3).map(tuple)

FAILURES = st.none() | st.builds(Failure, TEXT, TEXT, TEXT, st.integers(1, 3))

TASKS = st.builds(Task, TEXT, TEXT, TEXT, st.integers(), TEXT, TEXT, TEXT)

TRAJECTORIES = st.builds(
    Trajectory, TEXT, TASKS, TURNS, st.sampled_from(StopReason), FLOATS, st.booleans(), st.integers(), TEXT,
    st.integers(), st.integers(), TEXT, JSON, st.booleans(), FAILURES, FLOATS, st.lists(TEXT, max_size=2).map(tuple),
)  # fmt: skip


@given(TRAJECTORIES)
@settings(max_examples=150, deadline=None)
def test_a_trajectory_comes_back_from_its_line_as_it_was(trajectory: Trajectory) -> None:
    line = encode(trajectory)
    assert "\n" not in line
    assert decode(line) == trajectory


def test_every_field_of_the_contract_is_in_the_property() -> None:
    built = decode(encode(full_trajectory()))
    for thing in (built, built.task, built.turns[0], built.turns[0].decision, built.turns[0].decision.ledger):
        default = [name for name in thing.__slots__ if getattr(thing, name) in ((), {}, None, "", 0.0, False)]
        assert not default, f"fill {default} here and in TRAJECTORIES"


def test_what_a_policy_may_write_survives_even_where_utf8_cannot_hold_it() -> None:
    decision = Decision("\ud800 \n\u2028", "x", notes={"best": float("inf")})
    trajectory = replace(full_trajectory(), turns=(Turn("", decision, 0.0),))
    assert decode(encode(trajectory)) == trajectory


def test_notes_that_json_cannot_hold_are_refused_by_name() -> None:
    trajectory = replace(full_trajectory(), info={"handle": object()})
    with pytest.raises(TypeError, match="expected info and notes that JSON can hold, got object"):
        encode(trajectory)


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ('{"id": "x"', "expected one trajectory as JSON"),
        ('{"id": 3}', "id: Input should be a valid string; task: Field required"),
        (encode(full_trajectory()).replace("max_turns", "bored"), "stop_reason: Input should be 'terminated'"),
        (encode(full_trajectory()).replace("[-0.1,-0.2]", "[-0.1]"), "ledger holds 2 sampled ids"),
    ],
)
def test_a_bad_line_says_what_is_wrong(line: str, message: str) -> None:
    with pytest.raises(RecordError, match=message.replace("[", r"\[")):
        decode(line)


def test_a_fingerprint_leaves_out_the_clock_and_nothing_else() -> None:
    one = full_trajectory()
    turn = one.turns[0]
    same = replace(one, elapsed_s=9.0, failure=None, turns=(replace(turn, elapsed_s=7.0, info={"b": 2, "host": "h"}),))
    other = replace(one, turns=(replace(turn, decision=replace(turn.decision, p_fail=0.21)),))
    assert fingerprint(one) == fingerprint(same)
    assert fingerprint(one) != fingerprint(other)
    assert fingerprint(one) != fingerprint(replace(one, seed=4))
