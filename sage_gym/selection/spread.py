"""Draw tasks evenly, or over their families, so that a product with many goals does not stand for a whole shop."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Literal

import numpy as np

from sage_gym.types import Task

__all__ = ["Draw", "draw_tasks", "spread"]

Draw = Literal["families", "tasks"]

MOST_CANDIDATES = 20_000


def draw_tasks(tasks: Sequence[Task], count: int, rng: np.random.Generator, how: Draw) -> list[Task]:
    """Draw `count` distinct tasks (all, where there are fewer): spread over `families`, or each of `tasks` evenly."""
    if how == "families":
        return spread(tasks, count, rng)
    return [tasks[int(index)] for index in rng.choice(len(tasks), min(count, len(tasks)), replace=False)]


def spread(tasks: Sequence[Task], count: int, rng: np.random.Generator) -> list[Task]:
    """Draw `count` tasks (all, where there are fewer): one of each family, in random order, then a second, and so on.

    From a split of more than `MOST_CANDIDATES` tasks, so many are drawn evenly first.
    """
    order = rng.permutation(len(tasks)) if len(tasks) <= MOST_CANDIDATES else rng.choice(len(tasks), MOST_CANDIDATES)
    seen: Counter[str] = Counter()
    ranked: list[tuple[int, Task]] = []
    for task in {int(index): tasks[int(index)] for index in order}.values():
        ranked.append((seen[task.family], task))
        seen[task.family] += 1
    ranked.sort(key=lambda pair: pair[0])
    return [task for _, task in ranked[:count]]
