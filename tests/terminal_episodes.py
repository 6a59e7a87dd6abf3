"""Episodes of the terminal environment on a task of a wanted kind."""

from __future__ import annotations

from envs.terminal.environment import Terminal
from envs.terminal.problems import Problem
from envs.terminal.synthetic import SPLITS, kinds_of


def begin(env: Terminal, kind: str) -> Problem:
    split = next(split for split in SPLITS if kind in {each.name for each in kinds_of(split)})
    env.reset(options={"task": next(task for task in env.tasks(split) if task.family == kind)})
    return env.session.problem


def ended(env: Terminal, *commands: str, end: str = "done[]") -> float:
    for command in commands:
        env.step(f"bash[{command}]")
    return float(env.step(end)[1])
