from __future__ import annotations

from itertools import accumulate

import pytest
from hypothesis import given

from sage_gym.distill.rows import Row, rows_of
from sage_gym.types import Decision, Ledger, Origin, StopReason, Trajectory, Turn
from tests.ledgers import TASK, trajectories


def own_turns(row: Row, trajectory: Trajectory) -> list[tuple[int, Turn, Ledger]]:
    """The decisions of a row with their ledgers, in order."""
    found = []
    for index in row.turn_K.tolist():
        turn = trajectory.turns[index]
        assert turn.decision.ledger is not None
        found.append((index, turn, turn.decision.ledger))
    return found


@given(trajectories())
def test_rows_hold_every_ledger_once_in_order_and_begin_where_one_continues_nothing(trajectory: Trajectory) -> None:
    rows = list(rows_of(trajectory))
    ledgers = [turn.decision.ledger for turn in trajectory.turns if turn.decision.ledger is not None]
    assert [i for row in rows for i in row.ids_T.tolist()] == [
        i for ledger in ledgers for i in ledger.prompt_ids + ledger.sampled_ids
    ]
    assert len(rows) == sum(not ledger.is_continuation for ledger in ledgers)
    for row in rows:
        first, *others = (ledger for _, _, ledger in own_turns(row, trajectory))
        assert not first.is_continuation
        assert all(ledger.is_continuation for ledger in others)


@given(trajectories())
def test_loss_is_on_what_the_policy_sampled_and_on_nothing_else(trajectory: Trajectory) -> None:
    for row in rows_of(trajectory):
        expected = [
            (turn_index, token, logprob, ledger.allowed[place] if ledger.allowed else None)
            for turn_index, turn, ledger in own_turns(row, trajectory)
            if turn.decision.origin is not Origin.INJECTED
            for place, (token, logprob) in enumerate(zip(ledger.sampled_ids, ledger.logprobs, strict=True))
            if ledger.mask[place]
        ]
        got = zip(
            row.turn_N.tolist(), row.ids_T[row.sampled_N].tolist(), row.logprobs_N.tolist(), row.allowed_N, strict=True
        )
        assert list(got) == expected
        assert len(set(row.sampled_N.tolist())) == len(row.sampled_N)
        assert all(position >= 1 for position in row.sampled_N.tolist())


@given(trajectories())
def test_forced_ids_are_those_that_a_restriction_left_no_choice_about(trajectory: Trajectory) -> None:
    for row in rows_of(trajectory):
        expected = [
            token
            for _, turn, ledger in own_turns(row, trajectory)
            if turn.decision.origin is not Origin.INJECTED
            for place, token in enumerate(ledger.sampled_ids)
            if not ledger.mask[place] and ledger.allowed and ledger.allowed[place] is not None
        ]
        assert row.ids_T[row.forced_F].tolist() == expected
        assert not set(row.forced_F.tolist()) & set(row.sampled_N.tolist())


@given(trajectories())
def test_sampled_positions_lie_inside_their_own_decision(trajectory: Trajectory) -> None:
    for row in rows_of(trajectory):
        place_of = {turn: place for place, turn in enumerate(row.turn_K.tolist())}
        for position, turn in zip(row.sampled_N.tolist(), row.turn_N.tolist(), strict=True):
            place = place_of[turn]
            assert row.before_K[place] < position <= row.after_K[place]


@given(trajectories())
def test_forecasts_are_read_at_the_last_prompt_token_and_at_the_last_sampled_one(trajectory: Trajectory) -> None:
    for row in rows_of(trajectory):
        turns = own_turns(row, trajectory)
        ends = list(accumulate(len(ledger.prompt_ids + ledger.sampled_ids) for _, _, ledger in turns))
        starts = [0, *ends[:-1]]
        prompts = [len(ledger.prompt_ids) for _, _, ledger in turns]
        assert row.after_K.tolist() == [end - 1 for end in ends]
        assert row.before_K.tolist() == [start + size - 1 for start, size in zip(starts, prompts, strict=True)]


def test_an_injected_turn_is_read_but_carries_no_loss_and_the_recovery_does() -> None:
    injected = Ledger((1, 2), (3,), (-0.5,), (True,))
    recovery = Ledger((4,), (5, 6), (-0.1, -0.2), (True, True), is_continuation=True)
    turns = (
        Turn("", Decision("", "", ledger=injected, origin=Origin.INJECTED), 0.0),
        Turn("", Decision("", "", ledger=recovery), 0.0),
    )
    [row] = rows_of(Trajectory("t", TASK, turns, StopReason.TERMINATED, 1.0, True, 0, "made"))
    assert row.ids_T.tolist() == [1, 2, 3, 4, 5, 6]
    assert row.sampled_N.tolist() == [4, 5]
    assert row.turn_N.tolist() == [1, 1]


@pytest.mark.parametrize("has_gap", [False, True])
def test_a_decision_that_continues_nothing_is_refused(has_gap: bool) -> None:
    start = Turn("", Decision("", "", ledger=Ledger((1,), (2,), (-0.1,), (True,))), 0.0)
    gap = Turn("", Decision("go", "go"), 0.0)
    stray = Turn("", Decision("", "", ledger=Ledger((3,), (4,), (-0.1,), (True,), is_continuation=True)), 0.0)
    turns = (start, gap, stray) if has_gap else (stray,)
    trajectory = Trajectory("odd", TASK, turns, StopReason.TERMINATED, 0.0, False, 0, "made")
    with pytest.raises(ValueError, match=rf"turn {len(turns) - 1} of odd continues a sequence, but none was started"):
        list(rows_of(trajectory))
