"""A sandbox in memory, for tests without an engine: a tree of files, programs that are Python functions.

It runs no process. Programs beyond the few that come with it are given as functions of the call.
"""

from __future__ import annotations

import errno
import posixpath
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Self

from sage_gym.errors import SandboxClosedError, SandboxFileError, SandboxLostError
from sage_gym.sandbox.inside.capture import Capture
from sage_gym.sandbox.protocol import Limits, Result
from sage_gym.sandbox.resident import check_call
from sage_gym.sandbox.tree import Node, Tree

__all__ = ["Program", "Said", "StubCall", "StubSandbox"]

WORKSPACE = "/workspace"
SCRATCH = (WORKSPACE, "/tmp", "/var/tmp")
NOT_FOUND = 127
TIMED_OUT = 137


@dataclass(frozen=True, slots=True)
class Said:
    """What a scripted program answers. `takes_s` is how long it would have taken; it is not waited for."""

    stdout: bytes = b""
    stderr: bytes = b""
    exit_code: int = 0
    takes_s: float = 0.0


@dataclass(frozen=True, slots=True)
class StubCall:
    """A command as a scripted program sees it.

    `files` may be changed: a mapping from absolute path to content, and more (`sage_gym.sandbox.tree.Tree`).
    """

    argv: tuple[str, ...]
    stdin: bytes
    cwd: str
    env: Mapping[str, str]
    files: Tree = field(repr=False)

    def path(self, name: str) -> str:
        """Return a name as an absolute path."""
        return posixpath.normpath(posixpath.join(self.cwd, name))


Program = Callable[[StubCall], Said]


class StubSandbox:
    """Scripted commands over files in memory. See `sage_gym.sandbox.protocol.Sandbox` for what its methods promise.

    Args:
        programs: name → function of the call; they come before the few that are built in (`PROGRAMS`).
        limits: of output, files and time are kept, the others mean nothing here.
        env: variables of every command.
    """

    backend = "stub"

    def __init__(
        self,
        programs: Mapping[str, Program] | None = None,
        limits: Limits | None = None,
        env: Mapping[str, str] | None = None,
    ) -> None:
        self.limits = limits or Limits()
        self._programs = {**PROGRAMS, **(programs or {})}
        self._env = {"HOME": WORKSPACE, "LANG": "C.UTF-8", **(env or {})}
        self._files = Tree(SCRATCH, self.limits.scratch_mib << 20)
        self._lock = threading.Lock()
        self._is_closed = self._is_lost = False

    @property
    def workspace(self) -> str:
        """The folder that commands start in."""
        return WORKSPACE

    def exec(
        self,
        argv: Sequence[str],
        timeout_s: float | None = None,
        stdin: bytes = b"",
        *,
        cwd: str = "",
        env: Mapping[str, str] | None = None,
    ) -> Result:
        """Call a program's function."""
        self.ping()
        timeout_s = self.limits.timeout_s if timeout_s is None else timeout_s
        check_call(argv, timeout_s, stdin, env or {}, self.limits)
        program = self._programs.get(argv[0])
        if program is None:
            return self._result(Said(stderr=f"{argv[0]}: command not found\n".encode(), exit_code=NOT_FOUND))
        with self._lock:
            call = StubCall(tuple(argv), stdin, _absolute(cwd or "."), {**self._env, **(env or {})}, self._files)
            said = program(call)
        if said.takes_s > timeout_s:
            return Result(exit_code=TIMED_OUT, is_timed_out=True, elapsed_s=timeout_s)
        return self._result(said)

    def write(self, path: str, content: bytes, mode: int = 0o644) -> None:
        """Write a file."""
        self.ping()
        path = _absolute(path)
        if len(content) > self.limits.file_bytes:
            raise SandboxFileError(errno.EFBIG, f"larger than {self.limits.file_bytes} bytes", path)
        if not path.startswith(tuple(folder + "/" for folder in SCRATCH)):
            raise SandboxFileError(errno.EACCES, f"not below {' or '.join(SCRATCH)}", path)
        with self._lock:
            if len(self._files) >= self.limits.scratch_files:
                raise SandboxFileError(errno.ENOSPC, "no space left", path)
            folder = posixpath.dirname(path)
            try:
                self._files.make_folders(folder)
                if self._files.real(folder) != folder:
                    raise SandboxFileError(errno.ENOTDIR, "a part of the path is a link", path)
                self._files.place(path, Node("file", mode & 0o7777, bytes(content)))
            except OSError as error:
                raise SandboxFileError(error.errno, error.strerror, path) from error

    def read(self, path: str) -> bytes:
        """Read a file."""
        self.ping()
        path = _absolute(path)
        with self._lock:
            if path not in self._files:
                is_there = self._files.find(path, is_followed=False) is not None
                kind, text = (errno.EINVAL, "not a regular file") if is_there else (errno.ENOENT, "no such file")
                raise SandboxFileError(kind, text, path)
            return self._files[path]

    def ping(self) -> None:
        """Return if it is open and has not been lost."""
        if self._is_closed:
            raise SandboxClosedError("expected an open sandbox, got one that was closed")
        if self._is_lost:
            raise SandboxLostError("the stub sandbox ended without having been asked to")

    def reset(self) -> None:
        """Forget all files."""
        self.ping()
        with self._lock:
            self._files.clear()

    def kill(self) -> None:
        """Be as a container that was killed from outside."""
        self._is_lost = True

    def close(self) -> None:
        """Refuse all further use."""
        self._is_closed = True

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def _result(self, said: Said) -> Result:
        kept = []
        for stream in (said.stdout, said.stderr):
            capture = Capture(self.limits.output_bytes)
            capture.add(stream)
            kept.append(capture.kept())
        return Result(
            exit_code=said.exit_code,
            stdout=kept[0],
            stderr=kept[1],
            stdout_bytes=len(said.stdout),
            stderr_bytes=len(said.stderr),
            elapsed_s=said.takes_s,
        )


def _absolute(path: str) -> str:
    return posixpath.normpath(posixpath.join(WORKSPACE, path))


def _cat(call: StubCall) -> Said:
    names = call.argv[1:]
    if not names:
        return Said(call.stdin)
    missing = [name for name in names if call.path(name) not in call.files]
    if missing:
        return Said(stderr=f"cat: {missing[0]}: No such file or directory\n".encode(), exit_code=1)
    return Said(b"".join(call.files[call.path(name)] for name in names))


def _ls(call: StubCall) -> Said:
    name = call.argv[-1] if len(call.argv) > 1 else "."
    try:
        found = call.files.names(call.path(name))
    except OSError as error:
        return Said(stderr=f"ls: {name}: {error.strerror}\n".encode(), exit_code=2)
    return Said("".join(f"{each}\n" for each in found).encode())


def _rm(call: StubCall) -> Said:
    for name in call.argv[1:]:
        if call.files.pop(call.path(name), None) is None:
            return Said(stderr=f"rm: cannot remove '{name}': No such file or directory\n".encode(), exit_code=1)
    return Said()


def _tee(call: StubCall) -> Said:
    for name in call.argv[1:]:
        try:
            call.files.put(call.path(name), call.stdin)
        except OSError as error:
            return Said(call.stdin, f"tee: {name}: {error.strerror}\n".encode(), 1)
    return Said(call.stdin)


def _head(call: StubCall) -> Said:
    """`head -c COUNT /dev/zero`."""
    return Said(b"\0" * int(call.argv[2]))


PROGRAMS: Mapping[str, Program] = {
    "cat": _cat,
    "echo": lambda call: Said(" ".join(call.argv[1:]).encode(errors="surrogateescape") + b"\n"),
    "env": lambda call: Said("".join(f"{name}={value}\n" for name, value in call.env.items()).encode()),
    "false": lambda call: Said(exit_code=1),
    "head": _head,
    "ls": _ls,
    "pwd": lambda call: Said(call.cwd.encode() + b"\n"),
    "rm": _rm,
    "sleep": lambda call: Said(takes_s=float(call.argv[1])),
    "tee": _tee,
    "true": lambda call: Said(),
}
