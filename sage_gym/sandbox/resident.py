"""A sandbox whose commands are run by the resident runner: what the docker and the local backend share."""

from __future__ import annotations

import errno
import posixpath
import threading
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any, Self

from sage_gym.errors import SandboxClosedError, SandboxFileError, SandboxLostError
from sage_gym.sandbox.channel import Channel
from sage_gym.sandbox.protocol import Limits, Result

__all__ = ["ResidentSandbox"]

NOT_RUN = 126
LONGEST_S = 7 * 24 * 3600.0
PATIENCE_S = 10.0
"""How much later than a command's own time-out its answer may come."""
REQUEST_S = 30.0


class ResidentSandbox(ABC):
    """Speaks with a runner. See `sage_gym.sandbox.protocol.Sandbox` for what its methods promise."""

    backend = ""

    def __init__(self, channel: Channel, workspace: str, env: Mapping[str, str], limits: Limits) -> None:
        self.limits = limits
        self._channel = channel
        self._workspace = workspace
        self._env = dict(env)
        self._is_closed = False
        self._closing = threading.Lock()

    @property
    def workspace(self) -> str:
        """The folder that commands start in."""
        return self._workspace

    def exec(
        self,
        argv: Sequence[str],
        timeout_s: float | None = None,
        stdin: bytes = b"",
        *,
        cwd: str = "",
        env: Mapping[str, str] | None = None,
    ) -> Result:
        """Run a command to its end."""
        timeout_s = self.limits.timeout_s if timeout_s is None else timeout_s
        check_call(argv, timeout_s, stdin, env or {}, self.limits)
        request = {
            "op": "exec",
            "argv": list(argv),
            "cwd": self._absolute(cwd or "."),
            "env": {**self._env, **(env or {})},
            "timeout_s": timeout_s,
        }
        header, body = self._ask(request, stdin, timeout_s + PATIENCE_S)
        if "errno" in header:
            said = f"{argv[0]}: {header['error']}\n".encode(errors="backslashreplace")
            return Result(exit_code=NOT_RUN, stderr=said, stderr_bytes=len(said))
        cut = header.pop("stdout")
        del header["id"]
        return Result(stdout=body[:cut], stderr=body[cut:], **header)

    def write(self, path: str, content: bytes, mode: int = 0o644) -> None:
        """Write a file whole, and make the folders above it."""
        if len(content) > self.limits.file_bytes:
            raise SandboxFileError(errno.EFBIG, f"larger than {self.limits.file_bytes} bytes", path)
        self._ask_of_file({"op": "write", "path": self._absolute(path), "mode": mode}, content)

    def read(self, path: str) -> bytes:
        """Read a regular file."""
        return self._ask_of_file({"op": "read", "path": self._absolute(path)})

    def ping(self) -> None:
        """Return if the runner answers."""
        self._ask({"op": "ping"}, b"", REQUEST_S)

    def reset(self) -> None:
        """End every process and empty the scratch folders."""
        try:
            header, _ = self._ask({"op": "reset"}, b"", REQUEST_S)
        except SandboxLostError:
            self.close()
            raise
        if not header.get("is_clean"):
            self.close()
            raise SandboxLostError(f"the sandbox could not be made clean: {header.get('error', 'something is left')}")

    @abstractmethod
    def kill(self) -> None:
        """End it from outside."""

    def close(self) -> None:
        """End the runner and all that it started."""
        with self._closing:
            if self._is_closed:
                return
            self._is_closed = True
        self._channel.close()
        self._dispose()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    @abstractmethod
    def _dispose(self) -> None:
        """Remove what is left behind when the runner has been told to end."""

    def _absolute(self, path: str) -> str:
        return posixpath.normpath(posixpath.join(self._workspace, path))

    def _ask_of_file(self, request: dict[str, Any], body: bytes = b"") -> bytes:
        header, content = self._ask(request, body, REQUEST_S)
        if "errno" in header:
            raise SandboxFileError(header["errno"], header["error"], request["path"])
        return content

    def _ask(self, request: dict[str, Any], body: bytes, timeout_s: float) -> tuple[dict[str, Any], bytes]:
        if self._is_closed:
            raise SandboxClosedError("expected an open sandbox, got one that was closed")
        return self._channel.request(request, body, timeout_s)


def check_call(argv: Sequence[str], timeout_s: float, stdin: bytes, env: Mapping[str, str], limits: Limits) -> None:
    """Return if a command can be asked for.

    Raises:
        ValueError: it cannot; says why.
    """
    if not argv or isinstance(argv, str) or not all(isinstance(word, str) for word in argv):
        raise ValueError(f"expected a program and its arguments as a list of texts, got {argv!r}")
    if not all(isinstance(text, str) for pair in env.items() for text in pair):
        raise ValueError(f"expected variables as texts, got {env!r}")
    if not 0 < timeout_s <= LONGEST_S:
        raise ValueError(f"expected a time-out in (0, {LONGEST_S:.0f}] s, got {timeout_s}")
    if len(stdin) > limits.file_bytes:
        raise ValueError(f"expected at most {limits.file_bytes} bytes of input, got {len(stdin)}")
