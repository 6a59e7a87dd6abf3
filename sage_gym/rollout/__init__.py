"""Rollouts: one episode, many episodes in lockstep, their records on disk."""

from sage_gym.rollout.collection import collect
from sage_gym.rollout.deadlines import Deadlines
from sage_gym.rollout.executors import LocalExecutor
from sage_gym.rollout.journal import Journal, read_trajectories
from sage_gym.rollout.progress import progress_for
from sage_gym.rollout.recording import recorded
from sage_gym.rollout.records import fingerprint
from sage_gym.rollout.recovery import (
    BorrowedActions,
    ReplayedChoices,
    forced_mistakes,
    recorded_candidates,
    recovery_requests,
)
from sage_gym.rollout.reflection import FactualCritique, second_attempts
from sage_gym.rollout.requests import Injection, Request, requests_for

__all__ = [
    "BorrowedActions",
    "Deadlines",
    "FactualCritique",
    "Injection",
    "Journal",
    "LocalExecutor",
    "ReplayedChoices",
    "Request",
    "collect",
    "fingerprint",
    "forced_mistakes",
    "progress_for",
    "read_trajectories",
    "recorded",
    "recorded_candidates",
    "recovery_requests",
    "requests_for",
    "second_attempts",
]
