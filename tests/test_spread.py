from __future__ import annotations

from collections import Counter

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from sage_gym.selection.spread import MOST_CANDIDATES, spread
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
