r"""`python -m sage_gym.play env=webshop`: a person plays a task in the terminal.

Works with piped input as well (`printf '1\n' | python -m sage_gym.play`): what was read is echoed, and the session
ends where the input does.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from rich.console import Console

from sage_gym.config import PLAY, PlayConfig, make_environment, read_or_exit
from sage_gym.errors import SageGymError
from sage_gym.types import Task, View

__all__ = ["Outcome", "main", "pick_task", "play", "read_action"]

Ask = Callable[[], str | None]
"""Gives the next line of input, None at its end."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a session ended; `is_over` is False where the person left before the environment was done."""

    turns: int
    reward: float
    is_over: bool
    is_success: bool


def main(words: list[str] | None = None) -> int:
    """Play one task and return the process's exit status."""
    config = read_or_exit(PLAY, words)
    console = Console(highlight=False, markup=False, soft_wrap=not sys.stdout.isatty())
    try:
        environment = make_environment(config.env).unwrapped
        task = pick_task(environment, config)
        play(environment, task, config.seed, console, lambda: _ask(console))
    except SageGymError as error:
        print(error, file=sys.stderr)
        return 2
    return 0


def pick_task(environment: Any, config: PlayConfig) -> str:
    """Return the key of the task to play: the one that is named, else one drawn from the split by the seed.

    Raises:
        UnknownNameError: there is no such split.
    """
    if config.task is not None:
        return config.task
    tasks = environment.tasks(config.split)
    task: Task = tasks[int(np.random.default_rng(config.seed).integers(len(tasks)))]
    return task.key


def play(environment: Any, task: str, seed: int, console: Console, ask: Ask) -> Outcome:
    """Play one episode.

    Args:
        environment: offers `reset`, `step` and `view`.
        task: its key.
        seed: of the episode.
        console: where pages are shown.
        ask: gives lines of input: the number of a choice, an action, or `q`.

    Raises:
        TaskKeyError: the environment has no such task.
    """
    observation, info = environment.reset(seed=seed, options={"task": task})
    console.print(f"task {info['task']}", style="bold")
    turns, total, is_over = 0, 0.0, False
    while not is_over:
        view: View = environment.view()
        _show(console, observation, view)
        action = _next_action(console, view, ask)
        if action is None:
            break
        observation, reward, is_terminated, is_truncated, info = environment.step(action)
        turns, total, is_over = turns + 1, total + float(reward), is_terminated or is_truncated
        if info.get("invalid_action"):
            console.print(f"that changed nothing: {info.get('message') or 'no such action here'}", style="yellow")
    outcome = Outcome(turns, total, is_over, bool(info.get("success")))
    _show_end(console, outcome, info)
    return outcome


def read_action(line: str, view: View) -> str | None:
    """Return the action that a line of input means, None where it means none.

    `3` is the third choice; `search red shoes` is `search[red shoes]` where the view's `free` has `search[`; what
    ends in `]` is taken as an action already.
    """
    line = line.strip()
    if line.isascii() and line.isdigit():
        index = int(line) - 1
        return view.choices[index].action if 0 <= index < len(view.choices) else None
    if line.endswith("]"):
        return line
    for prefix in view.free:
        verb = prefix.rstrip("[")
        if line.startswith(f"{verb} ") and line[len(verb) :].strip():
            return f"{prefix}{line[len(verb) :].strip()}]"
    return None


def _next_action(console: Console, view: View, ask: Ask) -> str | None:
    while (line := ask()) is not None:
        if line.strip().lower() in ("q", "quit", "exit"):
            return None
        action = read_action(line, view)
        if action is not None:
            return action
        console.print(f"expected {_what_is_expected(view)}, got {line.strip()!r}", style="yellow")
    return None


def _what_is_expected(view: View) -> str:
    ways = [f"a number from 1 to {len(view.choices)}"] if view.choices else []
    return ", or ".join([*ways, *(f"{prefix.rstrip('[')} <words>" for prefix in view.free), "q to leave"])


def _show(console: Console, observation: str, view: View) -> None:
    console.print()
    console.print(observation, style="dim")
    for number, choice in enumerate(view.choices, start=1):
        console.print(f"{number:>4}  {choice.text}  {choice.action}")
    console.print(_what_is_expected(view), style="cyan")


def _show_end(console: Console, outcome: Outcome, info: dict[str, Any]) -> None:
    console.print()
    if not outcome.is_over:
        console.print(f"left after {outcome.turns} turns; reward so far {outcome.reward:.3f}")
        return
    word = "success" if outcome.is_success else "no success"
    console.print(f"{word} after {outcome.turns} turns; reward {outcome.reward:.3f}", style="bold")
    for name, value in dict(info.get("reward_components") or {}).items():
        console.print(f"      {name}: {value}")


def _ask(console: Console) -> str | None:
    try:
        line = input("> ")
    except (EOFError, KeyboardInterrupt):
        console.print()
        return None
    if not sys.stdin.isatty():
        console.print(line)
    return line


if __name__ == "__main__":
    raise SystemExit(main())
