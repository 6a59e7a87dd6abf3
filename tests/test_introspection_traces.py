"""Turns in the sequence that was read, and sequences without them."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from sage_gym.evaluation.introspection.removal import closed_up, donors_of, knocked_out, replaced, shifted, whole
from sage_gym.evaluation.introspection.traces import obstacle, trace_all, trace_of
from sage_gym.types import Decision, Ledger, StopReason, Trajectory, Turn
from tests.trajectories import make_task, make_trajectory


def episode(
    *turns: tuple[tuple[int, ...], tuple[int, ...]], task: str = "shop/0", breaks: int | None = None
) -> Trajectory:
    """Make an episode of (prompt ids, sampled ids); at `breaks` a new sequence begins."""
    made = []
    for index, (prompt, sampled) in enumerate(turns):
        n = len(sampled)
        ledger = Ledger(prompt, sampled, (-0.1,) * n, (True,) * n, is_continuation=index not in (0, breaks))
        made.append(Turn(f"page {index}", Decision("x", f"do {sampled}", ledger=ledger), 0.0))
    return make_trajectory(make_task(task), turns=made)


FIVE = (((1, 2, 3), (10,)), ((4, 5), (11, 12)), ((6,), (13,)), ((7, 8), (14,)), ((9,), (15, 16)))


def test_a_turn_is_its_decision_and_the_answer_and_the_last_two_stay() -> None:
    trace = trace_of(episode(*FIVE))
    assert trace.ids_T.tolist() == [1, 2, 3, 10, 4, 5, 11, 12, 6, 13, 7, 8, 14, 9, 15, 16]
    parts = [trace.ids_T[start:stop].tolist() for start, stop in trace.spans_N]
    assert parts == [[10, 4, 5], [11, 12, 6], [13, 7, 8]]
    assert (trace.opening, trace.end, trace.lengths_N.tolist()) == (3, 15, [3, 3, 3])


def test_a_knocked_out_turn_leaves_everything_else_where_it_was() -> None:
    trace = trace_of(episode(*FIVE))
    without = knocked_out(trace, {1})
    assert without.ids_T.tolist() == [1, 2, 3, 10, 4, 5, 13, 7, 8, 14, 9, 15, 16]
    assert without.positions_T.tolist() == [0, 1, 2, 3, 4, 5, 9, 10, 11, 12, 13, 14, 15]
    assert whole(trace).positions_T.tolist() == list(range(16))


def test_closing_up_moves_what_follows_and_replacing_puts_anothers_turn_there() -> None:
    trace = trace_of(episode(*FIVE))
    assert closed_up(trace, {1}).ids_T.tolist() == knocked_out(trace, {1}).ids_T.tolist()
    assert closed_up(trace, {1}).positions_T.tolist() == list(range(13))
    other = trace_of(episode(*FIVE[:1], ((4, 5), (21, 22)), ((26, 27), (23,)), *FIVE[3:], task="shop/1"))
    mixed = replaced(trace, 1, other)
    assert mixed.ids_T.tolist() == [1, 2, 3, 10, 4, 5, 21, 22, 26, 27, 13, 7, 8, 14, 9, 15, 16]
    assert (mixed.positions_T.tolist(), mixed.opening) == (list(range(17)), 3)


def test_shifting_takes_nothing_away_and_moves_what_follows_by_the_turns_length() -> None:
    trace = trace_of(episode(*FIVE))
    moved = shifted(trace, 1)
    assert moved.ids_T.tolist() == trace.ids_T.tolist()
    assert moved.positions_T.tolist() == [0, 1, 2, 3, 4, 5, 6, 7, 8, 12, 13, 14, 15, 16, 17, 18]


def test_a_donor_is_of_another_task_has_another_turn_there_and_is_the_closest_in_length() -> None:
    longer = episode(((1,), (10,)), ((4,), (30, 31, 32, 33, 34, 35)), *FIVE[2:], task="shop/1")
    near = episode(((1,), (10,)), ((4,), (40, 41)), *FIVE[2:], task="shop/2")
    same_task = replace(episode(((1,), (10,)), ((4,), (50, 51)), *FIVE[2:]), id="shop/0#1")
    of_four = episode(*FIVE[1:], task="shop/3")
    traces = [trace_of(one) for one in (episode(*FIVE), longer, near, same_task, of_four)]
    donors = donors_of(traces, seed=0)
    assert donors[0][1] is traces[2]
    assert donors[0][2] is None  # all others have the very same turn there
    assert donors[4] == (None, None)  # nobody else has as few turns


@pytest.mark.parametrize(
    ("trajectory", "reason"),
    [
        (episode(*FIVE[:3]), "fewer than 4 turns"),
        (episode(*FIVE, breaks=2), "read in several sequences"),
        (replace(episode(*FIVE), stop_reason=StopReason.INFRASTRUCTURE), "lost to infrastructure"),
        (replace(episode(*FIVE), hints=("try again",)), "shown a critique"),
        (make_trajectory(turns=[Turn("", Decision("x", "x"), 0.0)] * 5), "without token ids"),
    ],
)
def test_what_cannot_be_looked_into_is_said_and_counted(trajectory: Trajectory, reason: str) -> None:
    assert reason in (obstacle(trajectory) or "")
    with pytest.raises(ValueError, match=reason):
        trace_of(trajectory)
    traced = trace_all([trajectory, episode(*FIVE), trajectory])
    assert len(traced.traces) == 1
    assert list(traced.left_out.values()) == [2]


def test_a_trajectory_that_is_too_long_is_left_out() -> None:
    assert obstacle(episode(*FIVE), longest=16) is None
    assert obstacle(episode(*FIVE), longest=15) == "more than 15 tokens"
    assert trace_all([episode(*FIVE)], longest=15).left_out == {"more than 15 tokens": 1}


def test_every_token_but_the_task_and_the_last_two_turns_belongs_to_exactly_one_turn() -> None:
    trace = trace_of(episode(*FIVE))
    covered = np.concatenate([np.arange(start, stop) for start, stop in trace.spans_N])
    assert covered.tolist() == list(range(trace.opening, 12 + 1 - 1))
