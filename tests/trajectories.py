"""Trajectories made up for the tests of selection, evaluation and the report."""

from __future__ import annotations

from collections.abc import Sequence

from sage_gym.types import Decision, Failure, Group, Ledger, Origin, StopReason, Task, Trajectory, Turn


def make_task(key: str = "shop/0", instruction: str = "", family: str = "", environment: str = "shop") -> Task:
    return Task(key, instruction or f"buy {key}", "train", 0, f"hash of {key}", environment, family)


def make_turn(
    action: str = "click[buy]",
    *,
    observation: str = "a page",
    logprobs: Sequence[float] = (-0.5, -0.25),
    p_fail_before: float | None = None,
    p_fail: float | None = None,
    entropy: float | None = None,
    origin: Origin = Origin.POLICY,
    is_invalid: bool = False,
    reward: float = 0.0,
    denial: str = "",
) -> Turn:
    ids = tuple(range(len(logprobs)))
    ledger = Ledger((1, 2, 3), ids, tuple(logprobs), (True,) * len(ids))
    decision = Decision(
        action, action, ledger=ledger, p_fail_before=p_fail_before, p_fail=p_fail, entropy=entropy, origin=origin
    )
    return Turn(observation, decision, reward, is_invalid, info={"denial": denial} if denial else {})


def make_trajectory(
    task: Task | str = "shop/0",
    *,
    success: bool = True,
    reward: float | None = None,
    attempt: int = 0,
    turns: Sequence[Turn] = (),
    actions: Sequence[str] = (),
    stop: StopReason = StopReason.TERMINATED,
    identifier: str = "",
    is_intervened: bool = False,
) -> Trajectory:
    task = task if isinstance(task, Task) else make_task(task)
    steps = tuple(turns) or tuple(make_turn(action) for action in actions) or (make_turn(),)
    failure = (
        Failure("sandbox", "DeadlineError", "the container is gone") if stop is StopReason.INFRASTRUCTURE else None
    )
    return Trajectory(
        id=identifier or f"{task.key}#{attempt}",
        task=task,
        turns=steps,
        stop_reason=stop,
        reward=float(success) if reward is None else reward,
        success=success,
        seed=0,
        policy="scripted",
        attempt=attempt,
        is_intervened=is_intervened,
        failure=failure,
    )


def make_group(*trajectories: Trajectory) -> Group:
    return Group(trajectories[0].task, tuple(trajectories))
