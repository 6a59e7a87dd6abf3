"""A reference solution that runs a problem's own commands, and the list of tasks that no solution can finish."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

from envs.terminal.actions import OUTPUT
from envs.terminal.demonstrations import GRAMMAR, demonstrated
from envs.terminal.environment import Terminal
from envs.terminal.problems import Code, Problem, Record
from envs.terminal.synthetic import SPLITS
from sage_gym.types import Task

__all__ = ["Expert", "Form", "demonstrator", "expert", "play", "unattainable"]

Form = Literal["plain", "reference"]

_reasons: dict[tuple[str, str, str, bool], str] = {}
"""What playing a record has shown: its hash, sandbox, image and guard → why it is unattainable, or nothing."""


class Expert:
    """Runs the solution's commands, each once, then answers what the last one printed, or says that all is done.

    A record's solution is its example; where it has none, what it is compared with is answered. What another has
    damaged in between it does not mend.

    Args:
        env: whose problem is read.
        form: `plain`, or `reference`, for generated tasks of training's kinds: commands that can be imitated
            (`envs.terminal.demonstrations`), and `answer[$output]`.
    """

    grammar = GRAMMAR

    def __init__(self, env: Terminal, form: Form = "plain") -> None:
        self._env, self._form = env, form

    def action(self) -> str:
        """Return the next action for the environment's present state."""
        session = self._env.session
        if self._form == "reference":
            return self._by_reference(session.problem)
        left = [command for command in solution(session.problem) if command.strip() not in session.commands]
        if left:
            return f"bash[{left[0]}]"
        return self._end(session.problem)

    def _by_reference(self, problem: Problem) -> str:
        command = demonstrated(problem)
        if self._env.session.commands[-1:] != [command]:
            return f"bash[{command}]"
        return f"answer[{OUTPUT}]" if not isinstance(problem.goal, Record) and problem.goal.answer else "done[]"

    def _end(self, problem: Problem) -> str:
        goal = problem.goal
        if isinstance(goal, Record):
            if goal.answer is not None:
                return f"answer[{goal.answer}]"
            return f"answer[{self._env.observation.strip()}]" if goal.pattern or None in goal.chain else "done[]"
        return f"answer[{self._env.observation.strip()}]" if goal.answer else "done[]"


def solution(problem: Problem) -> tuple[str, ...]:
    """Return the commands that do what a problem wants; none for a record that has no example."""
    if not isinstance(problem.goal, Record):
        return problem.solution
    example = problem.goal.example
    return (_as_bash(example),) if example is not None and example.language in ("bash", "python") else ()


def _as_bash(code: Code) -> str:
    return code.text if code.language == "bash" else f"python3 - <<'END_OF_PROGRAM'\n{code.text}\nEND_OF_PROGRAM"


def expert(env: Terminal) -> Expert:
    """Return the expert of an environment (`make(...).unwrapped`)."""
    return Expert(env)


def demonstrator(env: Terminal) -> Expert:
    """Return the expert as a small policy is to imitate it: what a command printed is passed on by reference."""
    return Expert(env, form="reference")


def unattainable(env: Terminal, split: str) -> dict[str, str]:
    """List the tasks of a split whose own reference solution scores 0, with the reason.

    Of generated splits there are none, and none is played: a task is made together with its solution, and
    `python -m envs.terminal` plays as many as one likes. A record is played when it is first asked for in a process
    with such a sandbox; some of AgentBench's need root, its images or a network, none of which a sandbox has.
    """
    if split in SPLITS:
        return {}
    reasons = {task.key: _reason(env, task) for task in env.tasks(split)}
    return {key: reason for key, reason in reasons.items() if reason}


def _reason(env: Terminal, task: Task) -> str:
    """Say why a task's own solution does not score 1; empty where it does."""
    known = (task.hash, env.backend, env.image, env.guard)
    if known not in _reasons:
        env.reset(options={"task": task})
        reward, seen = play(env, expert(env).action)
        _reasons[known] = "" if reward == 1.0 else f"its own solution scores {reward:g}; last output: {seen[:120]!r}"
    return _reasons[known]


def play(env: Terminal, action: Callable[[], str]) -> tuple[float, str]:
    """Play an episode that has begun to its end; return its reward and the last output before that."""
    reward, is_over, seen = 0.0, False, ""
    while not is_over:
        seen = env.observation
        _, reward, ended, cut, _ = env.step(action())
        is_over = ended or cut
    return reward, seen
