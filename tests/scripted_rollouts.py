"""A scripted environment and policies for the tests of the rollout engine."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from random import Random
from typing import Any

import gymnasium

from sage_gym.rollout import collect
from sage_gym.rollout.requests import Request, requests_for
from sage_gym.spaces import UnicodeText
from sage_gym.types import Budget, Choice, Context, Decision, Ledger, Task, Trajectory, View

Act = Callable[[Context], Decision]
BUDGET = Budget(max_turns=12)


def tasks(count: int) -> list[Task]:
    return [Task(f"count/{i:03d}", f"count to {i % 5 + 1}", "train", i, f"hash {i}", "count") for i in range(count)]


def requests(count: int, run_seed: int = 0, attempts: int = 1) -> Sequence[Request]:
    return requests_for(tasks(count), run_seed=run_seed, attempts=attempts)


class CountingEnv(gymnasium.Env[str, str]):
    """Say `add` as often as the task asks, then `stop`; `stop` too early ends without success.

    `trouble(task_key, turn)` is called before every reset (turn -1) and step, and may raise or block.
    """

    made = 0
    closed = 0

    def __init__(
        self, trouble: Callable[[str, int], Any] | None = None, extra: Mapping[str, Any] | None = None
    ) -> None:
        type(self).made += 1
        self.action_space = self.observation_space = UnicodeText()
        self.trouble = trouble or (lambda key, turn: None)
        self.extra = dict(extra or {})
        self.resets = 0

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[str, dict[str, Any]]:
        super().reset(seed=seed)
        self.key = str((options or {})["task"])
        self.goal = int(self.key.rpartition("/")[2]) % 5 + 1
        self.count = self.turn = 0
        self.resets += 1
        self.trouble(self.key, -1)
        return self._text(), {**self._info(), "noise": int(self.np_random.integers(1000))}

    def step(self, action: str) -> tuple[str, float, bool, bool, dict[str, Any]]:
        override = self.trouble(self.key, self.turn)
        self.turn += 1
        if action == "add":
            self.count += 1
        done = action == "stop"
        success = done and self.count == self.goal
        info = {**self._info(), "success": success, "invalid_action": action not in ("add", "stop")}
        if override is not None:
            return override(self._text(), info)
        return self._text(), float(success), done, False, info

    def view(self) -> View:
        return View("counter", f"at {self.count}", (Choice("add", "one more"), Choice("stop", "done")))

    def close(self) -> None:
        type(self).closed += 1

    def _text(self) -> str:
        return f"{self.count} of {self.goal}"

    def _info(self) -> dict[str, Any]:
        return {"task": self.key, "admissible_actions": ("add", "stop"), "count": self.count, **self.extra}


class ScriptedPolicy:
    """Plays by a function of the context; keeps what it was asked."""

    name = "scripted"

    def __init__(self, decide: Act) -> None:
        self.decide = decide
        self.batches: list[list[str]] = []
        self.contexts: list[Context] = []
        self.released: list[str] = []
        self.threads: set[int] = set()

    def act(self, contexts: Sequence[Context]) -> list[Decision]:
        self.threads.add(threading.get_ident())
        self.batches.append([context.task.key for context in contexts])
        self.contexts.extend(contexts)
        return [self.decide(context) for context in contexts]

    def release(self, episodes: Iterable[str]) -> None:
        self.released.extend(episodes)


def count_well(context: Context) -> Decision:
    """Count to the goal and stop."""
    count, goal = map(int, context.observation.split(" of "))
    return Decision("", "add" if count < goal else "stop", ledger=ledger_of(3))


def count_by_lot(context: Context) -> Decision:
    """Decide by the context's seed alone."""
    random = Random(context.seed)
    action = random.choice(["add", "add", "add", "stop", "jump"])
    logprob = -random.random()
    ledger = Ledger((1, len(context.turns)), (random.randrange(99),), (logprob,), (True,))
    return Decision(action, action, ledger=ledger, p_fail=random.random())


def never_stop(context: Context) -> Decision:
    return Decision("add", "add", ledger=ledger_of(3))


def ledger_of(tokens: int) -> Ledger:
    return Ledger((1, 2), (7,) * tokens, (-0.5,) * tokens, (True,) * tokens)


def play(
    wanted: Sequence[Request],
    decide: Callable[[Context], Decision] = count_well,
    make: Callable[[], CountingEnv] = CountingEnv,
    **settings: Any,
) -> list[Trajectory]:
    chunks = collect(make, ScriptedPolicy(decide), wanted, **{"budget": BUDGET, **settings})
    return [trajectory for chunk in chunks for trajectory in chunk]


def plain(trajectory: Trajectory) -> Trajectory:
    """Leave out what a clock wrote."""
    turns = tuple(replace(turn, elapsed_s=0.0) for turn in trajectory.turns)
    return replace(trajectory, turns=turns, elapsed_s=0.0)


def making(trouble: Callable[[str, int], Any], **settings: Any) -> Callable[[], CountingEnv]:
    return partial(CountingEnv, trouble, **settings)


class Once:
    """Does something at the first call for a key and turn, nothing afterwards."""

    def __init__(self, keys: Sequence[str], turn: int, what: Callable[[], Any]) -> None:
        self.left, self.turn, self.what = set(keys), turn, what

    def __call__(self, key: str, turn: int) -> Any:
        if turn == self.turn and key in self.left:
            self.left.remove(key)
            return self.what()
        return None


def breaking(message: str = "the shelf fell down") -> Any:
    raise RuntimeError(message)
