"""The agent's shell: a new bash for each command, with the folder, exported variables and functions of the last."""

from __future__ import annotations

import posixpath
from functools import lru_cache

from sage_gym.errors import SandboxFileError
from sage_gym.sandbox import GuardedSandbox, Result, Sandbox
from sage_gym.sandbox.guard import Guard, Places

__all__ = ["Shell"]

KEPT = ".sage-shell"
STARTUP = """unset BASH_ENV
_sage_kept={folder}
[ -f "$_sage_kept/state" ] && . "$_sage_kept/state" 2>/dev/null
trap '{{ [ -d "$PWD" ] && printf %s "$PWD" > "$_sage_kept/folder"
{{ export -p; declare -f; }} > "$_sage_kept/state"; }} 2>/dev/null' EXIT
"""
"""Read by each bash before its command: takes up what the last one left, and leaves the same for the next."""
LONGEST_PATH = 4096


class Shell:
    """Runs an agent's commands in a sandbox.

    What carries over lies in the scratch folder, where an agent can change it, to its own harm only: whoever judges
    its work does not use it.

    Args:
        sandbox: where; fresh.
        is_guarded: whether a guard is asked before each command.
        timeout_s: of one.
    """

    def __init__(self, sandbox: Sandbox, *, is_guarded: bool, timeout_s: float) -> None:
        scratch = _scratch(sandbox)
        self._sandbox = _guarded(sandbox, scratch) if is_guarded else sandbox
        self._timeout_s = timeout_s
        self._kept = posixpath.join(scratch, KEPT)
        self.folder = sandbox.workspace
        sandbox.write(f"{self._kept}/startup", STARTUP.format(folder=f"'{self._kept}'").encode())

    def run(self, command: str) -> Result:
        """Run a command from the folder that the last one ended in.

        Raises:
            SandboxLostError: the sandbox is gone.
        """
        result = self._sandbox.exec(
            ["bash", "-c", command], self._timeout_s, cwd=self.folder, env={"BASH_ENV": f"{self._kept}/startup"}
        )
        if not result.denial:
            self.folder = self._next_folder(result)
        return result

    def _next_folder(self, result: Result) -> str:
        if result.exit_code == 126 and result.stderr.startswith(self.folder.encode() + b": "):
            return self._sandbox.workspace  # the folder is gone, and nothing was run
        try:
            folder = self._sandbox.read(f"{self._kept}/folder").decode()
        except (SandboxFileError, UnicodeDecodeError):
            return self.folder
        is_fit = folder.startswith("/") and "\0" not in folder and len(folder) <= LONGEST_PATH
        return folder if is_fit else self.folder


def _scratch(sandbox: Sandbox) -> str:
    """Return the folder for temporary files; the local backend has one for each sandbox."""
    if sandbox.backend != "local":
        return "/tmp"
    return posixpath.join(posixpath.dirname(sandbox.workspace), "tmp")


def _guarded(sandbox: Sandbox, scratch: str) -> Sandbox:
    return GuardedSandbox(sandbox, _guard(sandbox.workspace, scratch))


@lru_cache(maxsize=64)
def _guard(workspace: str, scratch: str) -> Guard:
    return Guard(Places(workspace=workspace, home=workspace, scratch=(scratch, "/var/tmp", "/dev/shm")))
