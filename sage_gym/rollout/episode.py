"""One episode as a state machine. It touches neither environment nor policy: it is told what they answered."""

from __future__ import annotations

import math
from typing import Any

from sage_gym.rollout.answers import Answer, recorded_info, truncation_reason, turn_info
from sage_gym.rollout.budgets import Spending
from sage_gym.rollout.requests import Injection, Request
from sage_gym.rollout.seeds import turn_seed
from sage_gym.types import Budget, Context, Decision, Failure, Origin, StopReason, Trajectory, Turn

__all__ = ["Episode"]

TOLERANCE = 1e-6


class Episode:
    """Goes begin → (context → decide → answer)* → trajectory; `stop_reason` is None while it goes on.

    Args:
        request: what to play.
        budget: its limits.
        policy: name, for the record.
        round: of the run.
        attempts: how often this episode was begun, this time included.
    """

    __slots__ = ("_answer", "_policy", "_round", "_spending", "_turns", "attempts", "decision", "failure", "id",
                 "request", "stop_reason")  # fmt: skip

    def __init__(self, request: Request, budget: Budget, policy: str, round: int = 0, attempts: int = 1) -> None:
        self.request = request
        self.id = request.trajectory_id(round)
        self.decision: Decision | None = None
        self.failure: Failure | None = None
        self.stop_reason: StopReason | None = None
        self.attempts = attempts
        self._policy, self._round = policy, round
        self._spending = Spending(budget)
        self._turns: tuple[Turn, ...] = ()
        self._answer = Answer("", {})

    @property
    def key(self) -> str:
        """What policies know the episode by: another for each time that it is begun."""
        return f"{self.id}~{self.attempts}"

    @property
    def injection(self) -> Injection | None:
        """The action forced at this turn, if any."""
        turn = len(self._turns)
        return next((forced for forced in self.request.prefix if forced.turn == turn), None)

    @property
    def is_experts_turn(self) -> bool:
        """Whether the expert has taken over."""
        start = self.request.expert_from
        return start is not None and len(self._turns) >= start

    def begin(self, answer: Answer, elapsed_s: float) -> None:
        """Take the answer to `reset`."""
        answer.check()
        self._answer = answer
        self._spending.elapsed_s += elapsed_s

    def context(self) -> Context:
        """Give what a policy decides on."""
        budget, answer, turns = self._spending.budget, self._answer, self._turns
        return Context(
            episode=self.key,
            task=self.request.task,
            observation=answer.observation,
            turns=turns,
            seed=turn_seed(self.request.seed, len(turns)),
            admissible_actions=answer.admissible_actions,
            view=answer.view,
            turn_tokens=budget.turn_tokens,
            episode_tokens_left=self._spending.tokens_left,
            hints=self.request.hints,
        )

    def decide(self, decision: Decision, elapsed_s: float = 0.0) -> None:
        """Take a decision; when a budget forbids executing it, the episode stops here with the turn on record.

        Raises:
            ValueError: the decision names a stop that is not a budget.
        """
        self.decision = decision
        self.stop_reason = self._spending.charge_decision(decision, elapsed_s)
        if self.stop_reason is not None:
            self._turns += (Turn(self._answer.observation, decision, 0.0, elapsed_s=elapsed_s),)

    def answer(self, answer: Answer, elapsed_s: float) -> None:
        """Take the environment's answer to the decision.

        Raises:
            TypeError: the observation is not text.
            ValueError: rewards that do not sum into [0, 1], or an end without `info["success"]`.
            InfrastructureError: the environment reports one.
        """
        assert self.decision is not None
        answer.check()
        info = answer.info
        is_invalid = bool(info.get("invalid_action", False))
        turn = Turn(self._answer.observation, self.decision, float(answer.reward), is_invalid, elapsed_s,
                    turn_info(info))  # fmt: skip
        self._turns += (turn,)
        self._answer, self.decision = answer, None
        limit = self._spending.charge_answer(elapsed_s)
        if answer.is_terminated:
            self._check_end(info)
            self.stop_reason = StopReason.TERMINATED
        elif answer.is_truncated:
            self.stop_reason = truncation_reason(info)
        else:
            self.stop_reason = limit
        if self.stop_reason is not None:
            self._check_reward()

    def fail(self, failure: Failure) -> None:
        """Stop for a reason that the policy could not have caused."""
        self.failure = failure
        self.stop_reason = StopReason.INFRASTRUCTURE

    def trajectory(self, earlier: Failure | None = None) -> Trajectory:
        """Freeze what happened; `earlier` is the failure of a previous try that this one made good."""
        assert self.stop_reason is not None
        is_lost = self.stop_reason is StopReason.INFRASTRUCTURE
        request, info = self.request, self._answer.info
        return Trajectory(
            id=self.id,
            task=request.task,
            turns=self._turns,
            stop_reason=self.stop_reason,
            reward=0.0 if is_lost else self._reward(),
            success=self.stop_reason is StopReason.TERMINATED and bool(info["success"]),
            seed=request.seed,
            policy=self._policy,
            round=self._round,
            attempt=request.attempt,
            final_observation=self._answer.observation,
            info=recorded_info(info),
            is_intervened=bool(request.hints or request.prefix) or any(map(_is_intervention, self._turns)),
            failure=self.failure or earlier,
            elapsed_s=self._spending.elapsed_s,
            hints=request.hints,
        )

    def _reward(self) -> float:
        return min(1.0, max(0.0, math.fsum(turn.reward for turn in self._turns)))

    def _check_reward(self) -> None:
        total = math.fsum(turn.reward for turn in self._turns)
        if not -TOLERANCE <= total <= 1 + TOLERANCE:
            raise ValueError(
                f"expected an episode's rewards to sum into [0, 1], got {total}; scale them in the environment"
            )

    def _check_end(self, info: Any) -> None:
        if "success" not in info:
            raise ValueError(
                f"expected info['success'] when an episode ends, got {sorted(map(str, info))}; "
                "have the environment say whether the task was done"
            )


def _is_intervention(turn: Turn) -> bool:
    """Whether someone other than the policy, left to itself, chose the action.

    A wrapper that changed what the student would have done says so by `replans` or by `notes["is_intervened"]`.
    """
    decision = turn.decision
    return decision.origin is not Origin.POLICY or decision.replans > 0 or bool(decision.notes.get("is_intervened"))
