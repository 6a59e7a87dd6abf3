"""Environments that are made once and played again: a seat each, closed at the end."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import gymnasium

from sage_gym.protocols import Expert
from sage_gym.rollout.answers import Answer
from sage_gym.rollout.requests import Request
from sage_gym.types import View

__all__ = ["EnvironmentPool", "MakeEnvironment", "MakeExpert", "Seat"]

MakeEnvironment = Callable[[], "gymnasium.Env[str, str]"]
MakeExpert = Callable[["gymnasium.Env[str, str]"], Expert]


class Seat:
    """One environment, made at its first reset; a failure replaces the whole seat."""

    __slots__ = ("_environment", "_expert", "_make", "_make_expert", "_view")

    def __init__(self, make: MakeEnvironment, make_expert: MakeExpert | None) -> None:
        self._make, self._make_expert = make, make_expert
        self._environment: gymnasium.Env[str, str] | None = None
        self._expert: Expert | None = None
        self._view: Callable[[], View] | None = None

    def reset(self, request: Request) -> Answer:
        """Begin the request's task with its seed."""
        environment = self._opened()
        observation, info = environment.reset(seed=request.seed, options={"task": request.task.key})
        return Answer(observation, info, self._view() if self._view else None)

    def step(self, action: str) -> Answer:
        """Execute an action; the view is taken while the episode goes on."""
        assert self._environment is not None
        observation, reward, terminated, truncated, info = self._environment.step(action)
        view = self._view() if self._view and not (terminated or truncated) else None
        return Answer(observation, info, view, float(reward), bool(terminated), bool(truncated))

    def ask_expert(self) -> str:
        """Give the expert's action for the present state.

        Raises:
            ValueError: no expert was given.
        """
        assert self._environment is not None
        if self._make_expert is None:
            raise ValueError("expected make_expert for a request with expert_from, got None; give collect() one")
        if self._expert is None:
            self._expert = self._make_expert(self._environment)
        return self._expert.action()

    def close(self) -> None:
        """Close the environment once, if there is one."""
        environment, self._environment = self._environment, None
        if environment is not None:
            environment.close()

    def _opened(self) -> gymnasium.Env[str, str]:
        self._expert = None
        if self._environment is None:
            self._environment = self._make()
            unwrapped: Any = self._environment.unwrapped
            self._view = getattr(unwrapped, "view", None)
        return self._environment


class EnvironmentPool:
    """As many seats as episodes were ever in flight.

    Args:
        make: makes one environment.
        make_expert: makes the expert of an environment; only for requests that ask for one.
    """

    def __init__(self, make: MakeEnvironment, make_expert: MakeExpert | None = None) -> None:
        self._make, self._make_expert = make, make_expert
        self._seats: list[Seat] = []

    def seat(self, index: int) -> Seat:
        """Return the seat of that number, setting up those that are missing."""
        while len(self._seats) <= index:
            self._seats.append(Seat(self._make, self._make_expert))
        return self._seats[index]

    def replace(self, index: int) -> Seat:
        """Put a new seat in the place of one that failed; return the old one, to be closed by the caller."""
        old = self._seats[index]
        self._seats[index] = Seat(self._make, self._make_expert)
        return old

    def empty(self) -> list[Seat]:
        """Give up all seats; return them, to be closed by the caller."""
        seats, self._seats = self._seats, []
        return seats
