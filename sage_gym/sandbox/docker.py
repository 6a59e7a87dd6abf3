"""Commands in a container: no network, no capabilities, a read-only root, limits that the kernel keeps."""

from __future__ import annotations

import logging
import secrets
import threading

from sage_gym.errors import SandboxLostError
from sage_gym.sandbox import engine as engines
from sage_gym.sandbox.channel import Channel
from sage_gym.sandbox.engine import Engine
from sage_gym.sandbox.opening import BASE_IMAGE
from sage_gym.sandbox.ownership import labels
from sage_gym.sandbox.protocol import Limits
from sage_gym.sandbox.reaper import remove_orphans
from sage_gym.sandbox.resident import ResidentSandbox
from sage_gym.sandbox.shipping import runner_command

__all__ = ["WORKSPACE", "DockerSandbox"]

log = logging.getLogger(__name__)
WORKSPACE = "/workspace"
SCRATCH = {WORKSPACE: 0o755, "/tmp": 0o1777, "/var/tmp": 0o1777}
SHARED = {"/dev/shm": 0o1777}
USERS = range(1 << 20, 1 << 30)
"""Ids that belong to nobody: what the kernel counts by user, one container does not take from another."""
PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
ENV = {"PATH": PATH, "HOME": WORKSPACE, "USER": "agent", "LOGNAME": "agent", "LANG": "C.UTF-8", "TERM": "dumb"}
READY_S = 60.0
_swept = threading.Lock()


class DockerSandbox(ResidentSandbox):
    """A container with a resident runner, reached over the attach socket.

    When its owner ends in whatever way, the engine closes the runner's input; the runner ends, and the container
    removes itself. Should that fail, the time to live ends it, or `python -m sage_gym.sandbox cleanup`, or the next
    process that starts a sandbox here.

    Args:
        image: with Python 3.9 or later in its path.
        limits: kept for all of its commands together.
        has_network: whether its commands may reach a network.
        engine: by default the one that `sage_gym.sandbox.engine.connect` finds.

    Raises:
        EngineAbsentError: there is no engine.
        ImageError: the engine lacks the image.
        SandboxLostError: it did not start.
    """

    backend = "docker"

    def __init__(
        self,
        image: str = BASE_IMAGE,
        limits: Limits | None = None,
        *,
        has_network: bool = False,
        engine: Engine | None = None,
    ) -> None:
        limits = limits or Limits()
        self._engine = engine or engines.connect()
        if _swept.acquire(blocking=False):
            remove_orphans(self._engine)
        user = secrets.choice(USERS)
        options = {
            "user": user,
            "scratch": SCRATCH | SHARED,
            "readable": ["/"],
            "writable": list(SCRATCH),
            "output_bytes": limits.output_bytes,
            "file_bytes": limits.file_bytes,
            "rlimits": {},
            "ttl_s": limits.ttl_s,
            "delete": "",
        }
        self.id, attached = self._engine.start(
            image,
            runner_command("python3", options),
            limits=limits,
            scratch=SCRATCH,
            user=user,
            workspace=WORKSPACE,
            has_network=has_network,
            labels=labels(),
        )
        super().__init__(Channel(attached, f"the container {self.id[:12]}"), WORKSPACE, ENV, limits)
        try:
            self._channel.wait_ready(READY_S)
        except BaseException:
            self.close()
            raise

    def kill(self) -> None:
        """Remove the container."""
        self._engine.remove(self.id)

    def _dispose(self) -> None:
        try:
            self._engine.remove(self.id)
        except SandboxLostError as error:
            log.warning("the container %s could not be removed now; its time to live will: %s", self.id[:12], error)
