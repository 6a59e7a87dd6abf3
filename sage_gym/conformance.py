"""What an environment and a reward have to hold for the engine, one named check a promise: for tests of your own.

    @pytest.mark.parametrize("check", ENVIRONMENT_CHECKS, ids=lambda check: check.__name__)
    def test_mine_holds(check):
        check(EnvironmentSubject(Mine, expert=MyExpert))

A backend of sandboxes has a suite of its own, `sage_gym.sandbox.conformance`.
"""

from __future__ import annotations

import json
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Any

from gymnasium.error import ResetNeeded
from gymnasium.utils.env_checker import check_env

from sage_gym.errors import TaskKeyError, UnknownNameError
from sage_gym.protocols import Expert, Reward
from sage_gym.rollout.answers import recorded_info
from sage_gym.types import StopReason, Task, Trajectory

__all__ = ["ENVIRONMENT_CHECKS", "REWARD_CHECKS", "EnvironmentSubject", "RewardSubject"]

NONSENSE = "\N{REPLACEMENT CHARACTER} this is no action"
MOST_TURNS = 200
MOST_TASKS = 500
APART = ("train", "select", "test")
"""Splits that share no task, where an environment has them."""


@dataclass(frozen=True, slots=True)
class EnvironmentSubject:
    """An environment to be checked.

    Args:
        make: its constructor; called without arguments.
        expert: makes the scripted solution of the episode that has begun.
        unattainable: the tasks of a split that no solution can bring to 1, with the reason.
        tasks: so many of each split are played, spread over it.
    """

    make: Callable[[], Any]
    expert: Callable[[Any], Expert]
    unattainable: Callable[[Any, str], Mapping[str, str]] = lambda env, split: {}
    tasks: int = 8

    def sample(self, env: Any) -> Iterator[Task]:
        """Give some tasks of each split."""
        for split in env.splits():
            yield from _spread(env.tasks(split), self.tasks)

    def solve(self, env: Any, task: Task) -> list[tuple[Any, ...]]:
        """Let the expert play a task; return every five-tuple."""
        env.reset(seed=task.seed, options={"task": task.key})
        expert, steps = self.expert(env), list[tuple[Any, ...]]()
        while not steps or not (steps[-1][2] or steps[-1][3]):
            _expect(len(steps) < MOST_TURNS, f"an end within {MOST_TURNS} turns of {task.key}", len(steps))
            steps.append(env.step(expert.action()))
        return steps


def gymnasium_has_nothing_to_complain_of(subject: EnvironmentSubject) -> None:
    """Gymnasium's own checker passes, without a warning."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        check_env(subject.make(), skip_render_check=True)


def tasks_are_the_same_each_time(subject: EnvironmentSubject) -> None:
    """Two environments list the same tasks, and say all that a task has to say."""
    first, second = subject.make(), subject.make()
    for one, other in zip(subject.sample(first), subject.sample(second), strict=True):
        _expect(one == other, f"the same task {one.key}", other)
        _expect(bool(one.hash and one.instruction and one.environment), "hash, instruction and environment", one)
        _expect(one.key.split("/")[0] == one.environment, f"a key that opens with {one.environment}/", one.key)


def splits_share_no_task(subject: EnvironmentSubject) -> None:
    """Train, select and test have no task in common, neither by key nor by content, as far as is looked."""
    env = subject.make()
    found = {split: _spread(env.tasks(split), MOST_TASKS) for split in APART if split in env.splits()}
    for name in ("key", "hash"):
        values = {split: {getattr(task, name) for task in tasks} for split, tasks in found.items()}
        for one, other in combinations(found, 2):
            shared = sorted(values[one] & values[other])
            _expect(not shared, f"no {name} in both {one} and {other}", shared[:3])


def reset_begins_the_task_asked_for(subject: EnvironmentSubject) -> None:
    """A task can be asked for, and `info` says which it is."""
    env = subject.make()
    for task in subject.sample(env):
        observation, info = env.reset(options={"task": task.key})
        _expect(info["task"] == task.key, task.key, info["task"])
        _expect(isinstance(observation, str) and bool(observation), "a text to begin with", observation)


def reset_draws_within_the_split(subject: EnvironmentSubject) -> None:
    """Without a task, one of the environment's split is drawn, the same one for the same seed."""
    env = subject.make()
    env.split = min(env.splits(), key=lambda split: len(env.tasks(split)))
    keys = {task.key for task in env.tasks(env.split)}
    drawn = [env.reset(seed=seed)[1]["task"] for seed in (*range(10), *range(10))]
    _expect(set(drawn) <= keys, f"tasks of {env.split}", set(drawn) - keys)
    _expect(drawn[:10] == drawn[10:], "the same for the same seed", drawn)


def same_task_and_actions_give_the_same_episode(subject: EnvironmentSubject) -> None:
    """An episode depends on its task, seed and actions alone, whatever else was played before."""
    env, other = subject.make(), subject.make()
    for task in list(subject.sample(env))[:4]:
        one = subject.solve(env, task)
        other.reset(seed=1)
        other.step(NONSENSE)
        again = subject.solve(other, task)
        _expect(
            [step[:4] for step in one] == [step[:4] for step in again], f"the same episode of {task.key}", "another"
        )


def info_has_what_the_engine_reads(subject: EnvironmentSubject) -> None:
    """Every `info` has the five entries, and can be written down."""
    env = subject.make()
    task = next(subject.sample(env))
    infos = [env.reset(options={"task": task.key})[1], *(step[4] for step in subject.solve(env, task))]
    for info in infos:
        missing = {"task", "admissible_actions", "invalid_action", "success", "stop_reason"} - set(info)
        _expect(not missing, "all five entries", missing)
        _expect("left_out" not in recorded_info(info), "plain values", recorded_info(info).get("left_out"))
        json.dumps(recorded_info(info))
    _expect(all(info["stop_reason"] is None for info in infos[:-1]), "no stop reason before the end", infos[0])
    _expect(infos[-1]["stop_reason"] == StopReason.TERMINATED, "terminated", infos[-1]["stop_reason"])


def experts_reach_one(subject: EnvironmentSubject) -> None:
    """Every task has a solution that scores 1, or is listed as unattainable with the reason."""
    env = subject.make()
    known = {split: subject.unattainable(env, split) for split in env.splits()}
    for task in subject.sample(env):
        if task.key in known[task.split]:
            _expect(bool(known[task.split][task.key]), f"a reason for {task.key}", "none")
            continue
        steps = subject.solve(env, task)
        rewards = [step[1] for step in steps]
        _expect(abs(sum(rewards) - 1.0) < 1e-6 and steps[-1][4]["success"], f"1 and success for {task.key}", rewards)


def doing_nothing_is_worth_nothing(subject: EnvironmentSubject) -> None:
    """An episode of nonsense ends at the turn limit with 0, and every turn of it is answered in words."""
    env = subject.make()
    for task in list(subject.sample(env))[:8]:
        env.reset(options={"task": task.key})
        for _ in range(MOST_TURNS):
            observation, reward, is_terminated, is_truncated, info = env.step(NONSENSE)
            _expect(reward == 0 and not info["success"] and not is_terminated, f"nothing for {task.key}", reward)
            _expect(info["invalid_action"] and bool(observation), "an invalid action, said in words", observation)
            if is_truncated:
                break
        _expect(is_truncated and info["stop_reason"] == StopReason.MAX_TURNS, "the turn limit", info["stop_reason"])


def steps_after_the_end_are_refused(subject: EnvironmentSubject) -> None:
    """Neither an episode that is over nor one that has not begun can go on."""
    env = subject.make()
    for is_begun in (False, True):
        if is_begun:
            subject.solve(env, next(subject.sample(env)))
        with _ExpectedError(ResetNeeded, "a step without an episode"):
            env.step(NONSENSE)


def names_that_do_not_exist_are_said(subject: EnvironmentSubject) -> None:
    """A task or a split that does not exist is an error of its own kind."""
    env = subject.make()
    key = next(subject.sample(env)).key
    for wrong in (f"{key}999999", "elsewhere/1", ""):
        with _ExpectedError(TaskKeyError, repr(wrong)):
            env.reset(options={"task": wrong})
    with _ExpectedError(UnknownNameError, "a split"):
        env.tasks("no such split")


def views_offer_what_is_accepted(subject: EnvironmentSubject) -> None:
    """Every choice of a view is an action that counts as valid, and a look changes nothing."""
    env = subject.make()
    for task in list(subject.sample(env))[:4]:
        env.reset(options={"task": task.key})
        view = env.view()
        _expect(env.view() == view and bool(view.page), "the same view twice", env.view())
        _expect(bool(view.choices or view.free), "something to do", view)
        for choice in view.choices[:20]:
            env.reset(options={"task": task.key})
            _expect(not env.step(choice.action)[4]["invalid_action"], "a valid action", choice.action)


def closing_twice_does_no_harm(subject: EnvironmentSubject) -> None:
    """An environment may be closed before it was used, and again."""
    env = subject.make()
    env.close()
    env.close()


ENVIRONMENT_CHECKS: tuple[Callable[[EnvironmentSubject], None], ...] = (
    gymnasium_has_nothing_to_complain_of,
    tasks_are_the_same_each_time,
    splits_share_no_task,
    reset_begins_the_task_asked_for,
    reset_draws_within_the_split,
    same_task_and_actions_give_the_same_episode,
    info_has_what_the_engine_reads,
    experts_reach_one,
    doing_nothing_is_worth_nothing,
    steps_after_the_end_are_refused,
    names_that_do_not_exist_are_said,
    views_offer_what_is_accepted,
    closing_twice_does_no_harm,
)


@dataclass(frozen=True, slots=True)
class RewardSubject:
    """A reward to be checked.

    Args:
        reward: itself.
        trajectories: some that it can score; at least two.
    """

    reward: Reward
    trajectories: tuple[Trajectory, ...]


def one_score_for_each_in_order(subject: RewardSubject) -> None:
    """There are as many scores as trajectories, each under the reward's name, and none for none."""
    scores = subject.reward.score(subject.trajectories)
    _expect(len(scores) == len(subject.trajectories), f"{len(subject.trajectories)} scores", len(scores))
    _expect({score.name for score in scores} == {subject.reward.name}, subject.reward.name, scores)
    _expect(subject.reward.score(()) == [], "no scores for no trajectories", "some")
    turned = subject.reward.score(subject.trajectories[::-1])
    _expect(turned == scores[::-1], "the same scores in the other order", turned)


def scoring_again_gives_the_same(subject: RewardSubject) -> None:
    """A reward is pure: what it scored before does not matter."""
    first = subject.reward.score(subject.trajectories)
    _expect(subject.reward.score(subject.trajectories) == first, "the same scores", "others")


def a_batch_is_no_more_than_its_parts(subject: RewardSubject) -> None:
    """What a trajectory scores does not depend on which others are scored with it."""
    together = subject.reward.score(subject.trajectories)
    alone = [subject.reward.score((trajectory,))[0] for trajectory in subject.trajectories]
    _expect(alone == together, "the same scores alone", alone)


def turns_are_scored_each_or_not_at_all(subject: RewardSubject) -> None:
    """Where a score speaks of turns, it has one number for each."""
    for score, trajectory in zip(subject.reward.score(subject.trajectories), subject.trajectories, strict=True):
        _expect(len(score.per_turn) in (0, len(trajectory.turns)), f"0 or {len(trajectory.turns)} numbers", score)


REWARD_CHECKS: tuple[Callable[[RewardSubject], None], ...] = (
    one_score_for_each_in_order,
    scoring_again_gives_the_same,
    a_batch_is_no_more_than_its_parts,
    turns_are_scored_each_or_not_at_all,
)


def _spread(tasks: Sequence[Task], most: int) -> list[Task]:
    """Take about so many, evenly over all of them."""
    return [tasks[i] for i in range(0, len(tasks), -(-len(tasks) // most))]


def _expect(is_so: bool, what: str, got: object) -> None:
    if not is_so:
        raise AssertionError(f"expected {what}, got {got!r}")


class _ExpectedError:
    """Expect an exception of a kind."""

    def __init__(self, kind: type[Exception], what: str) -> None:
        self.kind, self.what = kind, what

    def __enter__(self) -> None:
        pass

    def __exit__(self, kind: type[BaseException] | None, *rest: object) -> bool:
        if kind is None:
            raise AssertionError(f"expected {self.kind.__name__} for {self.what}, got nothing")
        return issubclass(kind, self.kind)
