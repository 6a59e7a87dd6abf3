"""Scripted rollouts on their way to disk, and a trajectory that fills every field."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from sage_gym.rollout import Request, collect
from sage_gym.rollout.recording import recorded
from sage_gym.rollout.records import fingerprint
from sage_gym.types import (
    Budget,
    Candidate,
    Decision,
    Failure,
    Ledger,
    Origin,
    StopReason,
    Task,
    Trajectory,
    Turn,
)
from tests.scripted_rollouts import CountingEnv, ScriptedPolicy, count_by_lot

BUDGET = Budget(max_turns=12)


def full_trajectory() -> Trajectory:
    ledger = Ledger((1,), (2, 3), (-0.1, -0.2), (True, False), (None, (3, 4)), True, 0.7)
    decision = Decision(
        "text", "act", "plan", ledger, 0.1, 0.2, 0.3, (Candidate("x", -1.0, 0.5, 0.25),), Origin.TEACHER, 1,
        StopReason.TURN_TOKENS, {"a": [1]},
    )  # fmt: skip
    task = Task("k", "i", "train", 1, "h", "e", "f")
    turn = Turn("obs", decision, 0.5, True, 0.1, {"b": 2})
    return Trajectory(
        "id", task, (turn,), StopReason.MAX_TURNS, 0.5, True, 3, "p", 4, 5, "end", {"c": None}, True,
        Failure("sandbox", "E", "m", 2), 0.25, ("try again",),
    )  # fmt: skip


def playing(wanted: Sequence[Request], **settings: Any) -> Any:
    return collect(
        CountingEnv, ScriptedPolicy(count_by_lot), wanted, **{"budget": BUDGET, "concurrency": 4, **settings}
    )


def prints(chunks: Any) -> list[list[str]]:
    return [[fingerprint(one) for one in chunk] for chunk in chunks]


def record_all(path: Path, wanted: Sequence[Request], play: Any = playing) -> list[list[str]]:
    return prints(recorded(path, wanted, play, concurrency=4))
