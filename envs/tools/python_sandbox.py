"""Where `run_python` runs: a sandbox that is opened when first needed, guarded, and fresh for each episode."""

from __future__ import annotations

from envs.tools.interpreter import PROGRAMS
from envs.tools.schema import ToolError
from sage_gym.errors import SandboxLostError
from sage_gym.sandbox.opening import open_sandbox
from sage_gym.sandbox.pool import SandboxPool
from sage_gym.sandbox.protocol import Limits, Sandbox
from sage_gym.sandbox.stub import StubSandbox

__all__ = ["PythonSandbox"]

LIMITS = Limits(timeout_s=10.0, memory_mib=256, processes=16, output_bytes=1 << 16)
LONGEST_SHOWN = 1_000


class PythonSandbox:
    """Runs programs; `renew` between episodes, `close` at the end.

    Args:
        backend: `stub`, `local` or `docker`; only read where there is no pool.
        pool: whose sandboxes are borrowed, one an episode that needs one; it stays its owner's to close.
    """

    def __init__(self, backend: str, pool: SandboxPool | None = None) -> None:
        self._backend, self._pool = backend, pool
        self._sandbox: Sandbox | None = None
        self._guarded: Sandbox
        self._is_used = False

    def run(self, code: str) -> str:
        """Return what a program prints.

        Raises:
            ToolError: it failed, or was not let run; says what came of it.
            InfrastructureError: the sandbox is gone, or none could be had in time.
            EngineAbsentError: `docker` is asked for, and no engine answers.
            ImageError: the engine lacks the image.
        """
        if "\0" in code:
            raise ToolError("the program holds a NUL character")
        sandbox = self._open()
        self._is_used = True
        result = sandbox.exec(["python3", "-c", code])
        if not result.is_ok:
            raise ToolError(result.text(LONGEST_SHOWN) or f"exit code {result.exit_code}")
        return result.text(LONGEST_SHOWN)

    def renew(self) -> None:
        """Make it as new for another episode; one that is lost is replaced when it is needed."""
        if self._sandbox is None:
            return
        if self._pool is not None:
            self._pool.give_back(self._sandbox)
            self._sandbox = None
        elif self._is_used:
            try:
                self._sandbox.reset()
            except SandboxLostError:
                self.close()
        self._is_used = False

    def close(self) -> None:
        """End it, or give it back; may be called again."""
        sandbox, self._sandbox = self._sandbox, None
        if sandbox is None:
            return
        if self._pool is not None:
            self._pool.give_back(sandbox)
        else:
            sandbox.close()

    def _open(self) -> Sandbox:
        if self._sandbox is None:
            self._sandbox = self._start()
            self._guarded = self._sandbox if self._sandbox.backend == "stub" else _guarded(self._sandbox)
        return self._guarded

    def _start(self) -> Sandbox:
        if self._pool is not None:
            return self._pool.take()
        if self._backend == "stub":
            return StubSandbox(PROGRAMS, LIMITS)
        return open_sandbox(self._backend, limits=LIMITS)


def _guarded(sandbox: Sandbox) -> Sandbox:
    from sage_gym.sandbox.guard import Guard
    from sage_gym.sandbox.guarded import GuardedSandbox

    return GuardedSandbox(sandbox, Guard())
