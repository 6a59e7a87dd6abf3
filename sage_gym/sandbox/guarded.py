"""A sandbox that asks a guard before each command."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Self

from sage_gym.sandbox.guard import Guard, Verdict
from sage_gym.sandbox.protocol import Result, Sandbox

__all__ = ["DENIED", "GuardedSandbox"]

DENIED = 126
"""Exit code of what was not run, as a shell has it for what may not be."""


class GuardedSandbox:
    """Runs what a guard allows. What it does not comes back as a result with the reason in `denial`.

    Args:
        sandbox: where commands run.
        guard: asked about each.
        approve: asked about what is neither allowed nor denied; None where there is nobody to ask: that is not run.

    Attributes:
        verdicts: what was decided about every command, in order.
    """

    def __init__(self, sandbox: Sandbox, guard: Guard, approve: Callable[[Verdict], bool] | None = None) -> None:
        self._sandbox, self._guard, self._approve = sandbox, guard, approve
        self.verdicts: list[Verdict] = []

    @property
    def backend(self) -> str:
        """The sandbox's own."""
        return self._sandbox.backend

    @property
    def workspace(self) -> str:
        """The sandbox's own."""
        return self._sandbox.workspace

    def exec(
        self,
        argv: Sequence[str],
        timeout_s: float | None = None,
        stdin: bytes = b"",
        *,
        cwd: str = "",
        env: Mapping[str, str] | None = None,
    ) -> Result:
        """Run a command that is allowed."""
        verdict = self._guard.judge(argv, cwd)
        self.verdicts.append(verdict)
        if not (verdict.is_allowed or self._is_approved(verdict)):
            return Result(exit_code=DENIED, denial=str(verdict))
        return self._sandbox.exec(argv, timeout_s, stdin, cwd=cwd, env=env)

    def write(self, path: str, content: bytes, mode: int = 0o644) -> None:
        """Write a file; the sandbox itself says where."""
        self._sandbox.write(path, content, mode)

    def read(self, path: str) -> bytes:
        """Read a file."""
        return self._sandbox.read(path)

    def ping(self) -> None:
        """Return if the sandbox answers."""
        self._sandbox.ping()

    def reset(self) -> None:
        """Make the sandbox fresh, and forget what was decided."""
        self._sandbox.reset()
        self.verdicts.clear()

    def kill(self) -> None:
        """End the sandbox from outside."""
        self._sandbox.kill()

    def close(self) -> None:
        """End the sandbox."""
        self._sandbox.close()

    def _is_approved(self, verdict: Verdict) -> bool:
        return verdict.action == "ask" and self._approve is not None and self._approve(verdict)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()
