from __future__ import annotations

from collections import Counter

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from sage_gym.selection.spread import MOST_CANDIDATES, draw_tasks, spread
from sage_gym.types import Task


def tasks_of(sizes: list[int]) -> list[Task]:
    keys = [(family, place) for family, size in enumerate(sizes) for place in range(size)]
    return [Task(f"t/{i}", "", "train", i, str(i), "toy", family=f"f{family}") for i, (family, _) in enumerate(keys)]


@given(st.lists(st.integers(1, 30), min_size=1, max_size=8), st.integers(0, 60), st.integers(0, 5))
def test_no_family_has_a_second_task_more_than_another_that_has_any_left(
    sizes: list[int], count: int, seed: int
) -> None:
    drawn = spread(tasks_of(sizes), count, np.random.default_rng(seed))
    assert len(drawn) == len({task.key for task in drawn}) == min(count, sum(sizes))
    counts = Counter(task.family for task in drawn)
    most = max(counts.values(), default=0)
    for family, size in enumerate(sizes):
        assert counts[f"f{family}"] >= min(size, most - 1)


def test_the_draw_is_the_generators() -> None:
    tasks = tasks_of([40, 3, 7])
    first = [task.key for task in spread(tasks, 10, np.random.default_rng(1))]
    assert first == [task.key for task in spread(tasks, 10, np.random.default_rng(1))]
    assert first != [task.key for task in spread(tasks, 10, np.random.default_rng(2))]


def test_of_very_many_tasks_only_some_are_looked_at() -> None:
    class Counted(list[Task]):
        looked = 0

        def __getitem__(self, index):  # type: ignore[no-untyped-def]
            self.looked += 1
            return super().__getitem__(index)

    tasks = Counted(tasks_of([3 * MOST_CANDIDATES]))
    assert len(spread(tasks, 5, np.random.default_rng(0))) == 5
    assert tasks.looked <= 2 * MOST_CANDIDATES


def test_tasks_drawn_evenly_have_the_shares_of_their_families() -> None:
    tasks, rng = tasks_of([300, 30, 3]), np.random.default_rng(0)
    drawn = [draw_tasks(tasks, 60, rng, "tasks") for _ in range(20)]
    assert all(len({task.key for task in found}) == 60 for found in drawn)
    counts = Counter(task.family for found in drawn for task in found)
    assert abs(counts["f0"] / 1200 - 300 / 333) < 0.03
    assert len(draw_tasks(tasks, 1000, rng, "tasks")) == 333


def test_tasks_drawn_by_family_are_spread() -> None:
    tasks = tasks_of([300, 30, 3])
    spread_out = spread(tasks, 9, np.random.default_rng(5))
    assert draw_tasks(tasks, 9, np.random.default_rng(5), "families") == spread_out
    assert Counter(task.family for task in spread_out) == {"f0": 3, "f1": 3, "f2": 3}
