from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from sage_gym.distill.batches import LENGTH_ROUND, MOST_CARRIED, PART_ROUND, TOGETHER, collate, plan_steps
from sage_gym.distill.rows import Example, Row, rows_of
from sage_gym.types import Decision, Ledger, StopReason, Trajectory, Turn
from tests.ledgers import TASK, trajectories

PAD = 0
"""No ledger of `trajectories` holds it."""


def one_token() -> Trajectory:
    turn = Turn("", Decision("", "", ledger=Ledger((1, 2), (3,), (-0.5,), (True,))), 0.0)
    return Trajectory("t", TASK, (turn,), StopReason.TERMINATED, 1.0, True, 0, "made")


def examples_of(found: list[Trajectory]) -> list[Example]:
    """Every row with a weight and advantages of its own, the shortest first, as batches have them."""
    rows = sorted((row for trajectory in found for row in rows_of(trajectory)), key=lambda row: len(row.ids_T))
    return [
        Example(row, 1.0 + i, np.arange(len(row.sampled_N), dtype=np.float32) - i, float(i % 2), 0.5 + i)
        for i, row in enumerate(rows)
    ]


def rows_of_one() -> Row:
    (row,) = rows_of(one_token())
    return row


TRAJECTORIES = st.lists(trajectories(min_turns=1, has_gaps=False), min_size=1, max_size=4)


@given(TRAJECTORIES)
def test_flat_indices_select_exactly_the_sampled_ids(found: list[Trajectory]) -> None:
    examples = examples_of(found)
    batch = collate(examples, pad=PAD)
    sampled = [i for e in examples for i in e.row.ids_T[e.row.sampled_N].tolist()]
    assert batch.labels_N.tolist() == sampled
    assert batch.ids_BT.flatten()[batch.before_N + 1].tolist() == sampled
    length = batch.ids_BT.shape[1]
    rows = [i for i, e in enumerate(examples) for _ in e.row.sampled_N]
    assert (batch.before_N // length).tolist() == rows
    assert batch.logprobs_N.tolist() == [v for e in examples for v in e.row.logprobs_N.tolist()]


@given(TRAJECTORIES)
def test_flat_indices_select_exactly_the_forced_ids_with_their_examples_weights(found: list[Trajectory]) -> None:
    examples = examples_of(found)
    batch = collate(examples, pad=PAD)
    forced = [i for e in examples for i in e.row.ids_T[e.row.forced_F].tolist()]
    assert batch.forced_F.tolist() == forced
    assert batch.ids_BT.flatten()[batch.before_forced_F + 1].tolist() == forced
    assert batch.forced_weights_F.tolist() == [e.weight for e in examples for _ in e.row.forced_F]


@given(TRAJECTORIES)
def test_each_sampled_id_has_its_examples_weight_its_own_advantage_and_open_ids(found: list[Trajectory]) -> None:
    examples = examples_of(found)
    batch = collate(examples, pad=PAD)
    assert batch.weights_N.tolist() == [e.weight for e in examples for _ in e.row.sampled_N]
    assert batch.advantages_N.tolist() == [float(a) for e in examples for a in e.advantage_N]  # type: ignore[union-attr]
    open_ids = [tuple(i for i in row if i >= 0) or None for row in batch.allowed_NA.tolist()]
    assert open_ids == [ids for e in examples for ids in e.row.allowed_N]


@given(TRAJECTORIES)
def test_forecast_places_point_at_their_tokens_and_padding_at_none(found: list[Trajectory]) -> None:
    examples = examples_of(found)
    batch = collate(examples, pad=PAD)
    length = batch.ids_BT.shape[1]
    assert length % LENGTH_ROUND == 0
    assert (batch.ids_BT != PAD).sum(1).tolist() == batch.lengths_B.tolist()
    for row, example in enumerate(examples):
        own = batch.row_M == row
        assert (batch.value_M[own] - row * length).tolist() == example.row.before_K.tolist()
        assert (batch.action_M[own] - row * length).tolist() == example.row.after_K.tolist()
        assert batch.ids_BT[row, : len(example.row.ids_T)].tolist() == example.row.ids_T.tolist()
    assert batch.failed_B.tolist() == [e.failed for e in examples]
    assert batch.forecast_weights_B.tolist() == [e.forecast_weight for e in examples]
    assert batch.token_count == sum(len(e.row.ids_T) for e in examples)


@given(TRAJECTORIES)
def test_without_advantages_they_are_zero(found: list[Trajectory]) -> None:
    examples = [replace(example, advantage_N=None) for example in examples_of(found)]
    assert not collate(examples, pad=PAD).advantages_N.any()


def of_tasks(tasks: list[str], weights: list[float]) -> list[Example]:
    """One row of three tokens for each."""
    return [Example(replace(rows_of_one(), task=task), weight) for task, weight in zip(tasks, weights, strict=True)]


DRAWN = st.lists(st.tuples(st.sampled_from("abcdefgh"), st.sampled_from([0.0, 1.0])), min_size=1, max_size=30)


@given(DRAWN, st.integers(1, 40), st.integers(0, 5))
def test_steps_hold_every_example_once_and_keep_some_of_a_task_together(
    drawn: list[tuple[str, float]], step_tokens: int, seed: int
) -> None:
    examples = of_tasks([task for task, _ in drawn], [weight for _, weight in drawn])
    steps = plan_steps(examples, step_tokens=step_tokens, seed=seed)
    assert all(steps)
    assert sorted(id(e) for step in steps for e in step) == sorted(map(id, examples))
    for task in {task for task, _ in drawn}:
        own = sum(name == task for name, _ in drawn)
        assert sum(any(e.row.task == task for e in step) for step in steps) <= -(-own // TOGETHER)
    again = plan_steps(examples, step_tokens=step_tokens, seed=seed)
    assert [[id(e) for e in step] for step in again] == [[id(e) for e in step] for step in steps]


def test_rows_that_are_most_alike_stay_together() -> None:
    kinds = ([1, 2, 9], [1, 5, 9], [1, 2, 3], [1, 5, 3]) * (TOGETHER // 2)
    ids = [np.array(row, dtype=np.int64) for row in kinds]
    examples = [Example(replace(rows_of_one(), task="t", ids_T=row)) for row in ids]
    steps = plan_steps(examples, step_tokens=3 * TOGETHER, seed=0)
    assert sorted(sorted({e.row.ids_T[1] for e in step}) for step in steps) == [[2], [5]]


def test_steps_are_of_so_many_tokens_that_move_the_policy_and_carry_the_rest() -> None:
    tasks = [f"{i}" for i in range(64)]
    counts = [
        len(plan_steps(of_tasks(tasks, [1.0] * n + [0.0] * (64 - n)), step_tokens=6, seed=0)) for n in (64, 32, 0)
    ]
    assert counts == [32, 16, 64 * 3 / (MOST_CARRIED * 6)]


def test_another_seed_orders_the_examples_otherwise() -> None:
    examples = of_tasks([f"{i}" for i in range(20)], [1.0 + i for i in range(20)])
    orders = {tuple(e.weight for step in plan_steps(examples, step_tokens=4, seed=s) for e in step) for s in range(3)}
    assert len(orders) == 3


def test_nothing_to_train_on_is_refused() -> None:
    with pytest.raises(ValueError, match="expected at least one example to train on, got none"):
        plan_steps([], step_tokens=10, seed=0)


def test_sampling_temperatures_do_not_mix() -> None:
    [row] = rows_of(one_token())
    with pytest.raises(ValueError, match=r"expected one sampling temperature in a batch, got \[0.7, 1.0\]"):
        collate([Example(row), Example(replace(row, temperature=0.7))], pad=PAD)


def test_a_batch_moves_to_another_device_whole() -> None:
    [row] = rows_of(one_token())
    batch = collate([Example(row)], pad=PAD)
    assert batch.to(torch.device("cpu")) is batch
    moved = batch.to(torch.device("meta"))
    assert {getattr(moved, name).device.type for name in ("ids_BT", "allowed_NA", "row_M", "failed_B")} == {"meta"}
    assert moved.temperature == batch.temperature


@given(st.lists(st.integers(3, 700), min_size=1, max_size=40))
def test_the_parts_of_a_batch_hold_every_row_once_and_all_of_its_ids(lengths: list[int]) -> None:
    made = [Example(replace(rows_of_one(), ids_T=np.ones(length, dtype=np.int64))) for length in lengths]
    batch = collate(made, pad=PAD)
    covered = [row for rows, _ in batch.parts() for row in range(len(lengths))[rows]]
    assert covered == list(range(len(lengths)))
    for rows, length in batch.parts():
        assert int(batch.lengths_B[rows].max()) <= length <= batch.ids_BT.shape[1]
        assert length - int(batch.lengths_B[rows].max()) < PART_ROUND
