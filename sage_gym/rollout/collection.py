"""Many episodes, chunk by chunk, each chunk a pure function of its requests."""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence
from functools import partial
from typing import Any

from sage_gym.protocols import Executor, Policy
from sage_gym.rollout.deadlines import DEFAULT_DEADLINES, Deadlines
from sage_gym.rollout.episode import Episode
from sage_gym.rollout.executors import LocalExecutor
from sage_gym.rollout.failures import FailureTally
from sage_gym.rollout.lockstep import Lockstep
from sage_gym.rollout.pool import EnvironmentPool, MakeEnvironment, MakeExpert
from sage_gym.rollout.progress import Progress, SilentProgress
from sage_gym.rollout.requests import Request
from sage_gym.types import Budget, Failure, Trajectory

__all__ = ["ChunkPlayer", "chunks_of", "collect"]


def collect(
    make_environment: MakeEnvironment,
    policy: Policy,
    requests: Sequence[Request],
    *,
    budget: Budget,
    concurrency: int = 64,
    executor: Executor | None = None,
    retries: int = 1,
    max_failure_share: float = 0.1,
    deadlines: Deadlines | None = DEFAULT_DEADLINES,
    make_expert: MakeExpert | None = None,
    progress: Progress | None = None,
    round: int = 0,
) -> Generator[list[Trajectory], None, None]:
    """Play all requests, giving the trajectories of `concurrency` consecutive ones at a time, in order.

    A chunk is not given unless it is whole, so whoever stops after any chunk continues with
    `requests[chunks * concurrency:]` and gets what an uninterrupted collection would have given.

    Args:
        make_environment: makes one environment; `concurrency` of them are made at most, plus one for each failure.
        policy: decides, in batches.
        requests: what to play.
        budget: limits of each episode.
        concurrency: episodes in flight.
        executor: where chunks are played; None is this process.
        retries: how often an episode that fails for reasons outside the policy is played again, whole.
        max_failure_share: of episodes that may be lost so, judged from the tenth on.
        deadlines: of single calls; None makes all calls in the caller's thread, unwatched.
        make_expert: for requests with `expert_from`.
        progress: told of every finished episode.
        round: of the run, for the record.

    Raises:
        ValueError: `concurrency` below 1, or two requests for the same trajectory.
        TooManyFailuresError: more than `max_failure_share` of the episodes were lost; names the first cause.
        DeadlineError: the policy hangs in a call that cannot be interrupted.
    """
    chunks = chunks_of(requests, concurrency, round)
    progress = progress or SilentProgress()
    tally = FailureTally(max_failure_share)
    told: set[str] = set()

    def tell(trajectory: Trajectory) -> None:
        told.add(trajectory.id)
        progress.advance(trajectory)

    player = ChunkPlayer(
        make_environment, policy, budget=budget, retries=retries, deadlines=deadlines, make_expert=make_expert,
        round=round, on_finish=tell,
    )  # fmt: skip
    progress.begin(len(requests))
    try:
        for trajectories in (executor or LocalExecutor()).map(player, chunks):
            for trajectory in trajectories:
                if trajectory.id not in told:
                    progress.advance(trajectory)
            tally.add(trajectories)
            yield trajectories
    finally:
        player.close()
        progress.end()


def chunks_of(requests: Sequence[Request], concurrency: int, round: int = 0) -> list[Sequence[Request]]:
    """Cut the requests into chunks of `concurrency`.

    Raises:
        ValueError: `concurrency` below 1, or two requests for the same trajectory.
    """
    if concurrency < 1:
        raise ValueError(f"expected a concurrency of at least 1, got {concurrency}")
    seen: set[str] = set()
    for request in requests:
        name = request.trajectory_id(round)
        if name in seen:
            raise ValueError(f"expected each trajectory once, got {name!r} twice; give one of the requests a label")
        seen.add(name)
    return [requests[start : start + concurrency] for start in range(0, len(requests), concurrency)]


class ChunkPlayer:
    """Plays a chunk to its end, lost episodes again; keeps its environments for the next chunk.

    It can be sent to another process: what it holds open stays behind and is made anew there, and `on_finish` with it.
    """

    def __init__(
        self,
        make_environment: MakeEnvironment,
        policy: Policy,
        *,
        budget: Budget,
        retries: int = 1,
        deadlines: Deadlines | None = DEFAULT_DEADLINES,
        make_expert: MakeExpert | None = None,
        round: int = 0,
        on_finish: Callable[[Trajectory], None] | None = None,
    ) -> None:
        self._settings: dict[str, Any] = {
            "make_environment": make_environment, "policy": policy, "budget": budget, "retries": retries,
            "deadlines": deadlines, "make_expert": make_expert, "round": round,
        }  # fmt: skip
        self._budget, self._retries, self._round = budget, retries, round
        self._policy_name = policy.name
        self._on_finish = on_finish
        self._lockstep = Lockstep(policy, EnvironmentPool(make_environment, make_expert), deadlines)

    def __reduce__(self) -> tuple[Any, ...]:
        return partial(ChunkPlayer, **self._settings), ()

    def __call__(self, requests: Sequence[Request]) -> list[Trajectory]:
        """Play the requests; return their trajectories in the same order.

        Raises:
            DeadlineError: the policy hangs in a call that cannot be interrupted.
        """
        finished: dict[int, Trajectory] = {}
        failures: dict[int, Failure] = {}
        for attempts in range(1, self._retries + 2):

            def stop(index: int, episode: Episode) -> None:
                if episode.failure is not None and episode.attempts <= self._retries:
                    failures[index] = episode.failure
                    return
                finished[index] = trajectory = episode.trajectory(failures.get(index))
                if self._on_finish is not None:
                    self._on_finish(trajectory)

            pending = {
                index: Episode(request, self._budget, self._policy_name, self._round, attempts)
                for index, request in enumerate(requests)
                if index not in finished
            }
            self._lockstep.play(pending, stop)
        return [finished[index] for index in range(len(requests))]

    def close(self) -> None:
        """Close the environments."""
        self._lockstep.close()
