"""One episode's sandbox: taken from a pool, set up, worked in through a shell, judged, and given back."""

from __future__ import annotations

from envs.terminal.inspection import start_program
from envs.terminal.judging import judge
from envs.terminal.pools import Lease
from envs.terminal.problems import Problem, Record
from envs.terminal.record_judging import judge_record, set_up
from envs.terminal.shell import Shell
from sage_gym.sandbox import Result, SandboxPool

__all__ = ["Session"]


class Session:
    """Takes a sandbox at once; `close` gives it back.

    Args:
        problem: what is set up in it.
        pool: where it comes from.
        is_guarded: whether a guard is asked before each of the agent's commands.
        timeout_s: of one command.

    Raises:
        InfrastructureError: no sandbox could be had, or it was lost.
    """

    def __init__(self, problem: Problem, pool: SandboxPool, *, is_guarded: bool, timeout_s: float) -> None:
        self.problem = problem
        self.commands: list[str] = []
        """Those that ran, in order."""
        self.printed: str | None = None
        """What the last of them printed, without the spaces around it."""
        self.denials, self.denial = 0, ""
        """How often the guard did not let a command run, and why it did not the last one."""
        self.lease = Lease(pool)
        self._sandbox = self.lease.sandbox
        try:
            self._shell = Shell(self._sandbox, is_guarded=is_guarded, timeout_s=timeout_s)
            self._set_up()
        except BaseException:
            self.close()
            raise

    def run(self, command: str) -> Result:
        """Run one of the agent's commands.

        Raises:
            SandboxLostError: the sandbox is gone.
        """
        result = self._shell.run(command)
        self.denial = result.denial
        if result.denial:
            self.denials += 1
        else:
            self.commands.append(command)
            self.printed = result.stdout.decode(errors="replace").strip()
        return result

    def judge(self, answer: str | None) -> dict[str, float]:
        """Return 1 or 0 for each part of what is wanted; None is the end without an answer.

        Raises:
            SandboxLostError: the sandbox is gone.
        """
        goal = self.problem.goal
        if isinstance(goal, Record):
            return judge_record(goal, answer, self._sandbox, self._spared)
        return judge(goal, answer, self._sandbox, self._programs)

    def close(self) -> None:
        """Give the sandbox back; may be called again."""
        self.lease.give_back()

    def _set_up(self) -> None:
        goal = self.problem.goal
        for file in self.problem.files:
            self._sandbox.write(file.path, file.content, file.mode)
        self._programs = [start_program(self._sandbox, name) for name in self.problem.programs]
        self._spared = set_up(goal, self._sandbox) if isinstance(goal, Record) else frozenset[int]()
