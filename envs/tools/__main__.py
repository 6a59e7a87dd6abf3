"""Check the generator at large: `python -m envs.tools [count]` plays so many tasks of each split, 1,000 by default.

For each split: the reference solution, doing nothing and a random policy over schema-valid calls, the latter's success
with its 95 % Wilson interval, steps of the reference solution, and how many combinations of tools were met.
"""

from __future__ import annotations

import argparse
import hashlib
import math
from collections.abc import Callable
from dataclasses import dataclass, field
from time import perf_counter
from typing import Any

from envs.tools.environment import Tools
from envs.tools.experts import expert
from envs.tools.random_calls import RandomCalls
from envs.tools.splits import SPLITS
from sage_gym.types import Task

__all__ = ["Tally", "main", "measure", "wilson"]

COUNT = 1_000
Z95 = 1.959964
HEAD = (
    "split", "tasks", "reference", "nothing", "random", "random 95 %", "steps", "most", "combinations", "shapes",
    "faults met/recovered",
)  # fmt: skip


@dataclass(slots=True)
class Tally:
    """What was measured on one split."""

    split: str
    tasks: int = 0
    reference: int = 0
    nothing: float = 0.0
    random: int = 0
    steps: list[int] = field(default_factory=list)
    families: set[str] = field(default_factory=set)
    shapes: set[str] = field(default_factory=set)
    met: int = 0
    recovered: int = 0
    hashes: list[str] = field(default_factory=list)
    instructions: set[str] = field(default_factory=set)

    def row(self) -> tuple[str, ...]:
        """Return the cells of its row."""
        low, high = wilson(self.random, self.tasks)
        return (
            self.split,
            str(self.tasks),
            f"{self.reference}/{self.tasks}",
            f"{self.nothing:g}",
            f"{self.random}/{self.tasks}",
            f"[{low:.2%}, {high:.2%}]",
            f"{sum(self.steps) / len(self.steps):.2f}",
            str(max(self.steps)),
            str(len(self.families)),
            str(len(self.shapes)),
            f"{self.met}/{self.recovered}",
        )


def wilson(successes: int, trials: int) -> tuple[float, float]:
    """Return the 95 % Wilson interval of a share."""
    share, z2 = successes / trials, Z95**2
    middle = (share + z2 / (2 * trials)) / (1 + z2 / trials)
    half = Z95 / (1 + z2 / trials) * math.sqrt(share * (1 - share) / trials + z2 / (4 * trials**2))
    return max(0.0, middle - half), min(1.0, middle + half)


def play(env: Tools, task: Task, action: Callable[[], str]) -> tuple[float, int, dict[str, Any]]:
    """Play an episode; return its reward, its steps and its last info."""
    env.reset(options={"task": task})
    steps, is_over, reward, info = 0, False, 0.0, dict[str, Any]()
    while not is_over:
        _, reward, ended, cut, info = env.step(action())
        steps, is_over = steps + 1, ended or cut
    return reward, steps, info


def measure(split: str, count: int, env: Tools | None = None) -> Tally:
    """Play the first tasks of a split with the reference, with nothing and at random."""
    env = env or Tools()
    tally = Tally(split)
    solver = expert(env)
    for number, task in enumerate(env.tasks(split)[:count]):
        reward, steps, info = play(env, task, solver.action)
        tally.tasks += 1
        tally.reference += bool(info["success"]) and math.isclose(reward, 1.0)
        tally.met += info["faults_met"]
        tally.recovered += info["faults_recovered"]
        tally.steps.append(steps)
        tally.families.add(task.family)
        tally.shapes.add(env.session.puzzle.plan.shape)
        tally.hashes.append(task.hash)
        tally.instructions.add(task.instruction)
        tally.nothing = max(tally.nothing, play(env, task, lambda: "done[]")[0])
        tally.random += bool(play(env, task, RandomCalls(env, number).action)[2]["success"])
    env.close()
    return tally


def main(arguments: list[str] | None = None) -> int:
    """Print the table."""
    parser = argparse.ArgumentParser(prog="python -m envs.tools", description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("count", nargs="?", type=int, default=COUNT, help="tasks of each split")
    count = parser.parse_args(arguments).count
    start = perf_counter()
    tallies = [measure(split, count) for split in SPLITS]
    rows = [HEAD, *(tally.row() for tally in tallies)]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        print("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())
    told = sum(len(tally.instructions) for tally in tallies)
    digest = hashlib.sha256("".join(value for tally in tallies for value in tally.hashes).encode()).hexdigest()[:16]
    print(f"\n{told} instructions differ; hash of all tasks {digest}; {perf_counter() - start:.0f} s")
    is_good = all(t.reference == t.tasks and t.nothing == 0 and t.random < 0.05 * t.tasks for t in tallies)
    return 0 if is_good else 1


if __name__ == "__main__":
    raise SystemExit(main())
