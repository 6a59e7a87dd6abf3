"""Many episodes in lockstep: in each turn every live one's context goes to the policy in one batch.

Finished episodes drop out and are not replaced, so what a batch is made of is a function of the chunk's requests alone,
and a chunk that was interrupted can be played again with the same result. The price is a shrinking batch towards a
chunk's end; it is small where episodes are of like length, and a larger chunk lessens it.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from functools import partial

from sage_gym.errors import DeadlineError
from sage_gym.protocols import Policy
from sage_gym.rollout.answers import Answer
from sage_gym.rollout.deadlines import Call, Calls, Deadlines, InlineCalls, Outcome, WatchedCalls
from sage_gym.rollout.episode import Episode
from sage_gym.rollout.failures import Side, describe
from sage_gym.rollout.pool import EnvironmentPool, Seat
from sage_gym.types import Context, Decision, Origin

__all__ = ["Lockstep"]

log = logging.getLogger(__name__)

STUCK_POLICY_GRACE_S = 5.0


class Lockstep:
    """Plays episodes side by side, each at the seat of its number.

    Args:
        policy: decides, in batches.
        pool: environments; emptied by `close`.
        deadlines: of single calls; None makes all calls in the caller's thread, unwatched.
    """

    def __init__(self, policy: Policy, pool: EnvironmentPool, deadlines: Deadlines | None) -> None:
        self._policy, self._pool = policy, pool
        self._limits = deadlines or Deadlines()
        self._environments: Calls = WatchedCalls("environment") if deadlines else InlineCalls()
        self._deciders: Calls = WatchedCalls(f"policy {policy.name}") if deadlines else InlineCalls()

    def play(self, episodes: Mapping[int, Episode], on_stop: Callable[[int, Episode], None]) -> None:
        """Play the episodes, keyed by seat, to their ends; `on_stop` is told of each as it stops.

        Raises:
            DeadlineError: the policy hangs in a call that cannot be interrupted, so it cannot be asked again.
        """
        self._reset(episodes)
        live = self._keep_live(episodes, on_stop)
        while live:
            self._decide(live)
            self._step({seat: episode for seat, episode in live.items() if episode.stop_reason is None})
            live = self._keep_live(live, on_stop)

    def close(self) -> None:
        """Close the environments; one that fails or hangs in closing is logged and left."""
        self._close_seats(self._pool.empty())
        self._environments.close()
        self._deciders.close()

    def _reset(self, episodes: Mapping[int, Episode]) -> None:
        calls = [
            Call(partial(seat.reset, episode.request), on_late=seat.close)
            for seat, episode in ((self._pool.seat(index), episode) for index, episode in episodes.items())
        ]
        outcomes = self._environments.run(calls, self._limits.reset_s)
        self._deliver(episodes, outcomes, Episode.begin)

    def _step(self, episodes: Mapping[int, Episode]) -> None:
        calls = []
        for index, episode in episodes.items():
            assert episode.decision is not None
            seat = self._pool.seat(index)
            calls.append(Call(partial(seat.step, episode.decision.action), on_late=seat.close))
        outcomes = self._environments.run(calls, self._limits.step_s)
        self._deliver(episodes, outcomes, Episode.answer)

    def _deliver(
        self,
        episodes: Mapping[int, Episode],
        outcomes: Sequence[Outcome[Answer]],
        take: Callable[[Episode, Answer, float], None],
    ) -> None:
        """Hand each environment's answer to its episode; what goes wrong is the environment's failure."""
        failed = []
        for (index, episode), outcome in zip(episodes.items(), outcomes, strict=True):
            error = outcome.error
            if error is None:
                assert outcome.value is not None
                error = _attempt(partial(take, episode, outcome.value, outcome.elapsed_s))
            if error is not None:
                self._fail(episode, error, "environment")
                seat = self._pool.replace(index)
                if not outcome.is_abandoned:
                    failed.append(seat)
        self._close_seats(failed)

    def _decide(self, live: Mapping[int, Episode]) -> None:
        asking = []
        for index, episode in live.items():
            if (forced := episode.injection) is not None:
                episode.decide(Decision(forced.action, forced.action, origin=forced.origin))
            elif episode.is_experts_turn:
                self._ask_expert(self._pool.seat(index), episode)
            else:
                asking.append(episode)
        if asking:
            self._ask_policy(asking)

    def _ask_expert(self, seat: Seat, episode: Episode) -> None:
        [outcome] = self._environments.run([Call(seat.ask_expert, on_late=seat.close)], self._limits.step_s)
        if outcome.error is not None:
            self._fail(episode, outcome.error, "environment")
        else:
            action = outcome.value or ""
            episode.decide(Decision(action, action, origin=Origin.EXPERT), outcome.elapsed_s)

    def _ask_policy(self, episodes: Sequence[Episode]) -> None:
        """Ask for all decisions at once; when that raises, one by one, to find whose context it is."""
        contexts = [episode.context() for episode in episodes]
        outcome = self._act(contexts)
        if outcome.is_abandoned:
            self._check_policy_is_free(outcome.error)
        if outcome.error is not None and not outcome.is_abandoned and len(episodes) > 1:
            log.warning(
                "policy %s raised %r for a batch of %d; asking one by one",
                self._policy.name, outcome.error, len(episodes),
            )  # fmt: skip
            self._release(episodes)
            for episode in episodes:
                self._ask_policy([episode])
            return
        for position, episode in enumerate(episodes):
            error = outcome.error
            if error is None:
                assert outcome.value is not None
                error = _attempt(partial(episode.decide, outcome.value[position], outcome.elapsed_s))
            if error is not None:
                self._fail(episode, error, "policy")

    def _act(self, contexts: Sequence[Context]) -> Outcome[list[Decision]]:
        def act() -> list[Decision]:
            decisions = self._policy.act(contexts)
            if len(decisions) != len(contexts):
                raise ValueError(f"expected {len(contexts)} decisions of {self._policy.name}, got {len(decisions)}")
            return decisions

        return self._deciders.run([Call(act)], self._limits.act_s)[0]

    def _check_policy_is_free(self, error: BaseException | None) -> None:
        if not self._deciders.has_settled(STUCK_POLICY_GRACE_S):
            raise DeadlineError(
                f"policy {self._policy.name} did not answer within {self._limits.act_s:g} s and cannot be interrupted, "
                "so it cannot be asked again; see what it waits for, and run the same command to continue"
            ) from error

    def _fail(self, episode: Episode, error: BaseException, side: Side) -> None:
        episode.fail(describe(error, side, episode.attempts))

    def _keep_live(
        self, episodes: Mapping[int, Episode], on_stop: Callable[[int, Episode], None]
    ) -> dict[int, Episode]:
        stopped = {index: episode for index, episode in episodes.items() if episode.stop_reason is not None}
        self._release(list(stopped.values()))
        for index, episode in stopped.items():
            on_stop(index, episode)
        return {index: episode for index, episode in episodes.items() if index not in stopped}

    def _release(self, episodes: Sequence[Episode]) -> None:
        if not episodes:
            return
        keys = [episode.key for episode in episodes]
        [outcome] = self._deciders.run([Call(partial(self._policy.release, keys))], self._limits.act_s)
        if outcome.error is not None:
            log.warning("policy %s could not release %d episodes: %r", self._policy.name, len(keys), outcome.error)
        if outcome.is_abandoned:
            self._check_policy_is_free(outcome.error)

    def _close_seats(self, seats: Sequence[Seat]) -> None:
        outcomes = self._environments.run([Call(seat.close) for seat in seats], self._limits.close_s)
        for outcome in outcomes:
            if outcome.error is not None:
                log.warning("an environment could not be closed: %r", outcome.error)


def _attempt(function: Callable[[], None]) -> Exception | None:
    try:
        function()
    except Exception as error:
        return error
    return None
