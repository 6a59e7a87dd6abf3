"""Commands in a temporary folder of this machine, with resource limits. This is no security boundary.

For development, and for environments whose tools are trusted. What it lacks is in `conformance.KNOWN_GAPS`.
"""

from __future__ import annotations

import os
import resource
import select
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from sage_gym.sandbox.channel import SEND_S, Channel
from sage_gym.sandbox.inside.files import delete_tree
from sage_gym.sandbox.protocol import Limits
from sage_gym.sandbox.resident import ResidentSandbox
from sage_gym.sandbox.shipping import runner_command

__all__ = ["LocalSandbox"]

READY_S = 30.0
END_S = 5.0
CHUNK_BYTES = 1 << 16


class LocalSandbox(ResidentSandbox):
    """A sandbox of processes beside this one, under the same user.

    Args:
        limits: `memory_mib` holds for each process, not for all together; `scratch_mib` for each file; `cpus`,
            `processes` (the system counts all of a user's) and `scratch_files` are not kept.
    """

    backend = "local"

    def __init__(self, limits: Limits | None = None) -> None:
        limits = limits or Limits()
        self._folder = Path(tempfile.mkdtemp(prefix="sage-gym-")).resolve()
        workspace, scratch = self._folder / "workspace", self._folder / "tmp"
        workspace.mkdir()
        scratch.mkdir()
        options = {
            "user": None,
            "scratch": {str(workspace): 0o755, str(scratch): 0o700},
            "readable": [str(workspace), str(scratch)],
            "writable": [str(workspace), str(scratch)],
            "output_bytes": limits.output_bytes,
            "file_bytes": limits.file_bytes,
            "rlimits": _rlimits(limits),
            "ttl_s": limits.ttl_s,
            "delete": str(self._folder),
        }
        self._process = subprocess.Popen(
            runner_command(sys.executable, options),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            cwd=workspace,
            start_new_session=True,
            bufsize=0,
        )
        path = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
        env = {"PATH": path, "HOME": str(workspace), "TMPDIR": str(scratch), "LANG": "C.UTF-8", "TERM": "dumb"}
        super().__init__(Channel(_Pipes(self._process), "the local sandbox"), str(workspace), env, limits)
        try:
            self._channel.wait_ready(READY_S)
        except BaseException:
            self.close()
            raise

    def kill(self) -> None:
        """Kill the runner; what it had started lives on until `close`."""
        self._process.kill()

    def _dispose(self) -> None:
        try:
            self._process.wait(END_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        if self._folder.exists():
            delete_tree(str(self._folder))


class _Pipes:
    """A child's standard streams."""

    def __init__(self, process: subprocess.Popen[bytes]) -> None:
        assert process.stdin is not None
        assert process.stdout is not None
        self._stdin, self._stdout = process.stdin, process.stdout
        os.set_blocking(self._stdin.fileno(), False)

    def send(self, message: bytes) -> None:
        left, until = memoryview(message), time.monotonic() + SEND_S
        while left:
            if not select.select([], [self._stdin], [], max(0.0, until - time.monotonic()))[1]:
                raise TimeoutError("the runner takes nothing")
            left = left[self._stdin.write(left) or 0 :]

    def receive(self) -> Iterator[tuple[bool, bytes]]:
        while received := self._stdout.read(CHUNK_BYTES):
            yield False, received

    def close(self) -> None:
        self._stdin.close()


def _rlimits(limits: Limits) -> dict[str, int]:
    """Return the limits that the system keeps for a process, no larger than what this process may have itself."""
    asked = {
        "RLIMIT_AS": limits.memory_mib << 20,
        "RLIMIT_FSIZE": limits.scratch_mib << 20,
        "RLIMIT_CORE": 0,
    }
    found = {}
    for name, value in asked.items():
        hard = resource.getrlimit(getattr(resource, name))[1]
        found[name] = value if hard == resource.RLIM_INFINITY else min(value, hard)
    return found
