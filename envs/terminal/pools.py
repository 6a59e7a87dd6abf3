"""The sandboxes of a process: a pool for each backend, image and set of limits, shared by all environments."""

from __future__ import annotations

import atexit
import os
import threading
import weakref
from collections import deque

from envs.terminal.stub.sandbox import stub_sandbox
from sage_gym.errors import EngineAbsentError
from sage_gym.sandbox import Limits, Sandbox, SandboxPool, open_sandbox

__all__ = ["Lease", "pool_of"]

MOST = 64
_lock = threading.Lock()
_pools: dict[tuple[int, str, str, Limits], SandboxPool] = {}
_forgotten: deque[tuple[int, SandboxPool, Sandbox]] = deque()


class Lease:
    """A sandbox that is lent by a pool until it is given back, or until nobody refers to the lease any more.

    What is forgotten is only noted when it is collected, which may be in the middle of anything, and goes back with
    the next lease.

    Raises:
        InfrastructureError: none could be had.
        EngineAbsentError: there is no engine.
        ImageError: the engine lacks the image.
    """

    def __init__(self, pool: SandboxPool) -> None:
        while _forgotten:
            _give_back(*_forgotten.popleft())
        self.pool, self.sandbox, self._owner = pool, pool.take(), os.getpid()
        self._forget = weakref.finalize(self, _forgotten.append, (self._owner, pool, self.sandbox))
        self._forget.atexit = False

    def give_back(self) -> None:
        """Let another have the sandbox; may be called again."""
        if self._forget.detach() is not None:
            _give_back(self._owner, self.pool, self.sandbox)


def pool_of(backend: str, image: str, limits: Limits) -> SandboxPool:
    """Return the pool of such sandboxes, made when first asked for, and closed when the process ends.

    A forked process gets one of its own: the threads and sockets of its parent's are of no use to it.
    """
    key = (os.getpid(), backend, image, limits)
    with _lock:
        if key not in _pools:
            _pools[key] = SandboxPool(lambda: _start(backend, image, limits), ready=0, most=MOST)
        return _pools[key]


def _give_back(owner: int, pool: SandboxPool, sandbox: Sandbox) -> None:
    if owner == os.getpid():  # else it is the parent's, which still uses it
        pool.give_back(sandbox)


def _start(backend: str, image: str, limits: Limits) -> Sandbox:
    if backend == "stub":
        return stub_sandbox(limits)
    try:
        return open_sandbox(backend, image=image, limits=limits)
    except EngineAbsentError as error:
        raise EngineAbsentError(
            f"{error}; or choose sandbox=local (env.sandbox=local), which runs what the agent writes as processes of "
            "this machine under your own user: no security boundary, so only for agents that you trust"
        ) from error


@atexit.register
def _close() -> None:
    for (owner, *_), pool in list(_pools.items()):
        if owner == os.getpid():
            pool.close()
