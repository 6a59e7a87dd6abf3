"""What every sandbox offers, the limits it keeps, and what a command's run comes back as."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol, Self, runtime_checkable

from pydantic import BaseModel, ConfigDict, Field

from sage_gym.sandbox.text import clip, neutral

__all__ = ["Limits", "Result", "Sandbox"]


class Limits(BaseModel):
    """What a sandbox's commands may use, all together unless said otherwise.

    Args:
        timeout_s: wall-clock of a command for which no other is asked.
        memory_mib: memory of its processes; the room for scratch files, which lie in memory too, comes on top.
        cpus: processor time, in cores.
        processes: living at a time.
        output_bytes: kept of what a command writes, for each of stdout and stderr; the rest is counted.
        scratch_mib: of each scratch folder.
        scratch_files: in each scratch folder.
        file_bytes: the largest file that `read` returns and `write` takes, and the most that a command is fed.
        ttl_s: how long a sandbox lives after the last request; its own first process ends it then.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    timeout_s: float = Field(default=30.0, gt=0)
    memory_mib: int = Field(default=512, ge=32)
    cpus: float = Field(default=1.0, gt=0)
    processes: int = Field(default=64, ge=4)
    output_bytes: int = Field(default=1 << 20, ge=256)
    scratch_mib: int = Field(default=64, ge=1)
    scratch_files: int = Field(default=16_384, ge=64)
    file_bytes: int = Field(default=16 << 20, ge=1, le=128 << 20)
    ttl_s: float = Field(default=3600.0, gt=0)


class Result(BaseModel):
    """How a command ended.

    Attributes:
        exit_code: 128 + the signal's number where a signal ended it; 126 or 127 where it could not be run, as in a
            shell.
        stdout: what it wrote, with a notice in the middle where that was more than `Limits.output_bytes`.
        stderr: likewise.
        stdout_bytes: written in all.
        stderr_bytes: likewise.
        is_timed_out: whether its time was over; it and its children were killed.
        is_out_of_memory: whether something was killed for memory while it ran.
        denial: why a guard did not let it run; empty where it ran.
        elapsed_s: wall-clock, as measured beside the command.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    exit_code: int
    stdout: bytes = b""
    stderr: bytes = b""
    stdout_bytes: int = 0
    stderr_bytes: int = 0
    is_timed_out: bool = False
    is_out_of_memory: bool = False
    denial: str = ""
    elapsed_s: float = 0.0

    @property
    def is_ok(self) -> bool:
        """Whether it ran and ended with 0."""
        return self.exit_code == 0 and not self.is_timed_out and not self.denial

    def text(self, limit: int | None = None) -> str:
        """Return what an agent is shown: stdout, stderr and how it ended where that is not plain; no control codes.

        Args:
            limit: characters of stdout and stderr together; what is in the middle is left out with a notice.
        """
        if self.denial:
            return f"[not run: {self.denial}]"
        written = [neutral(stream.decode(errors="replace")) for stream in (self.stdout, self.stderr) if stream]
        parts = [clip("\n".join(part.removesuffix("\n") for part in written), limit)]
        if self.is_timed_out:
            parts.append(f"[stopped after {self.elapsed_s:.0f} s with all that it had started]")
        if self.is_out_of_memory:
            parts.append("[out of memory: a process was killed]")
        if self.exit_code and not self.is_timed_out:
            parts.append(f"[exit code {self.exit_code}]")
        return "\n".join(part for part in parts if part)


@runtime_checkable
class Sandbox(Protocol):
    """A place to run commands in. Used from several threads at once; a context manager that closes itself."""

    @property
    def backend(self) -> str:
        """`docker`, `local` or `stub`."""
        ...

    @property
    def workspace(self) -> str:
        """The folder that commands start in and relative paths belong to; absolute."""
        ...

    def exec(
        self,
        argv: Sequence[str],
        timeout_s: float | None = None,
        stdin: bytes = b"",
        *,
        cwd: str = "",
        env: Mapping[str, str] | None = None,
    ) -> Result:
        """Run a command to its end; what it left in the background lives on until `reset`, unless it timed out.

        Args:
            argv: the program and its arguments; no shell reads them.
            timeout_s: by default `Limits.timeout_s`.
            stdin: what it is fed.
            cwd: by default the workspace.
            env: added to the sandbox's own variables.

        Raises:
            ValueError: an argument is of no use; says which.
            SandboxLostError: the sandbox ended or did not answer.
            SandboxClosedError: it was closed before.
        """
        ...

    def write(self, path: str, content: bytes, mode: int = 0o644) -> None:
        """Write a file whole, and make the folders above it.

        Raises:
            SandboxFileError: it lies outside of the scratch folders or behind a link, or there is no room.
        """
        ...

    def read(self, path: str) -> bytes:
        """Read a regular file.

        Raises:
            SandboxFileError: it is missing, no regular file, a link, or larger than `Limits.file_bytes`.
        """
        ...

    def ping(self) -> None:
        """Return if the sandbox answers.

        Raises:
            SandboxLostError: it does not.
        """
        ...

    def reset(self) -> None:
        """End every process and make the file system as fresh as a new sandbox's.

        Raises:
            SandboxLostError: it could not be made clean; it is closed then.
        """
        ...

    def kill(self) -> None:
        """End it from outside, without its knowing: for what hangs, and for tests of what a loss leads to."""
        ...

    def close(self) -> None:
        """End it and all that runs in it; may be called again."""
        ...

    def __enter__(self) -> Self: ...

    def __exit__(self, *exception: object) -> None: ...
