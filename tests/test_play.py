from __future__ import annotations

import io
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import pytest
from rich.console import Console

from sage_gym.config import Component, PlayConfig
from sage_gym.errors import TaskKeyError
from sage_gym.play import Outcome, pick_task, play, read_action
from sage_gym.types import Choice, Task, View
from tests.imports import ROOT

VIEW = View("door", "", (Choice("click[left]", "left"), Choice("click[right]", "right")), ("search[",))


class Doors:
    """Two doors: the right one ends the episode with the reward, the left one is a wall."""

    def __init__(self) -> None:
        self.actions: list[str] = []

    def tasks(self, split: str) -> list[Task]:
        return [Task(f"doors/{split}/{i}", "leave", split, i, "", "doors") for i in range(50)]

    def reset(self, *, seed: int, options: dict[str, str]) -> tuple[str, dict[str, Any]]:
        if not options["task"].startswith("doors/"):
            raise TaskKeyError(f"no task {options['task']}")
        return "two doors [left] [right]", {"task": options["task"]}

    def view(self) -> View:
        return VIEW

    def step(self, action: str) -> tuple[str, float, bool, bool, dict[str, Any]]:
        self.actions.append(action)
        is_out = action == "click[right]"
        info = {
            "invalid_action": action == "click[left]",
            "message": "a wall",
            "success": is_out,
            "reward_components": {"r_door": 0.75} if is_out else None,
        }
        return "outside" if is_out else "two doors", 0.75 if is_out else 0.0, is_out, False, info


def played(*lines: str, task: str = "doors/train/0") -> tuple[Outcome, str, Doors]:
    environment, screen = Doors(), io.StringIO()
    remaining: Iterator[str] = iter(lines)
    console = Console(file=screen, highlight=False, markup=False, width=200)
    outcome = play(environment, task, 0, console, lambda: next(remaining, None))
    return outcome, screen.getvalue(), environment


@pytest.mark.parametrize(
    ("line", "action"),
    [
        ("1", "click[left]"),
        (" 2 ", "click[right]"),
        ("0", None),
        ("3", None),
        ("²", None),
        ("-1", None),
        ("", None),
        ("search red shoes", "search[red shoes]"),
        ("search", None),
        ("search  ", None),
        ("searching", None),
        ("click[left]", "click[left]"),
        ("search[a b]", "search[a b]"),
    ],
)
def test_a_line_of_input_means_a_choice_a_search_an_action_or_nothing(line: str, action: str | None) -> None:
    assert read_action(line, VIEW) == action


def test_an_episode_is_played_to_its_end_and_the_reward_is_shown() -> None:
    outcome, screen, environment = played("1", "search green door", "2", "1")
    assert environment.actions == ["click[left]", "search[green door]", "click[right]"]
    assert outcome == Outcome(turns=3, reward=0.75, is_over=True, is_success=True)
    assert "that changed nothing: a wall" in screen
    assert "success after 3 turns; reward 0.750" in screen
    assert "r_door: 0.75" in screen
    assert "[left] [right]" in screen


def test_input_that_means_nothing_is_asked_again_and_costs_no_turn() -> None:
    outcome, screen, _ = played("hello", "9", "2")
    assert outcome.turns == 1
    assert "expected a number from 1 to 2, or search <words>, or q to leave, got 'hello'" in screen


@pytest.mark.parametrize("lines", [(), ("1",), ("1", "q", "2"), ("1", "QUIT")])
def test_the_end_of_input_or_q_leaves_cleanly(lines: tuple[str, ...]) -> None:
    outcome, screen, _ = played(*lines)
    assert not outcome.is_over
    assert f"left after {outcome.turns} turns; reward so far 0.000" in screen


def test_a_named_task_is_played_and_else_one_is_drawn_by_the_seed() -> None:
    doors, env = Doors(), Component(name="doors")
    assert pick_task(doors, PlayConfig(env=env, task="doors/x")) == "doors/x"
    drawn = {pick_task(doors, PlayConfig(env=env, split="test", seed=seed)) for seed in range(20)}
    assert len(drawn) > 5
    assert all(key.startswith("doors/test/") for key in drawn)
    again = pick_task(doors, PlayConfig(env=env, split="test", seed=3))
    assert again == pick_task(doors, PlayConfig(env=env, split="test", seed=3))


def command(*words: str, lines: str) -> subprocess.CompletedProcess[str]:
    argv = [sys.executable, "-m", "sage_gym.play", *words]
    return subprocess.run(argv, cwd=ROOT, input=lines, capture_output=True, text=True, timeout=120, check=False)


def test_the_command_plays_webshop_from_a_pipe() -> None:
    result = command("env=webshop", "seed=1", lines="search tea\n1\n")
    assert result.returncode == 0, result.stderr
    assert "task webshop/" in result.stdout
    assert "buy now" in result.stdout
    assert "left after 2 turns" in result.stdout


def test_the_command_says_what_is_wrong_with_a_task_or_a_split() -> None:
    assert command("task=webshop/synthetic/99999999", lines="").returncode == 2
    result = command("split=tset", lines="")
    assert result.returncode == 2
    assert "did you mean 'test'" in result.stderr
    assert "Traceback" not in result.stderr
