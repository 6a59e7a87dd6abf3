"""Rollouts: one episode, many episodes in lockstep, their records on disk."""

from sage_gym.rollout.collection import collect
from sage_gym.rollout.deadlines import Deadlines
from sage_gym.rollout.executors import LocalExecutor
from sage_gym.rollout.requests import Injection, Request, requests_for

__all__ = ["Deadlines", "Injection", "LocalExecutor", "Request", "collect", "requests_for"]
