"""Sandboxes by the name of their backend, so that only what is asked for is imported."""

from __future__ import annotations

from sage_gym.errors import UnknownNameError
from sage_gym.sandbox.protocol import Limits, Sandbox

__all__ = ["BACKENDS", "BASE_IMAGE", "open_sandbox"]

BACKENDS = ("docker", "local", "stub")
BASE_IMAGE = "sage-gym/base:1"


def open_sandbox(
    backend: str, *, image: str = BASE_IMAGE, limits: Limits | None = None, has_network: bool = False
) -> Sandbox:
    """Start a sandbox.

    Args:
        backend: one of `BACKENDS`.
        image: of a container; the other backends need none.
        limits: see `Limits`, and a backend's own words on which of them it keeps.
        has_network: whether a container may reach a network; the local backend always may, the stub never.

    Raises:
        UnknownNameError: there is no such backend.
        EngineAbsentError: `docker` is asked for, and no engine answers.
        ImageError: the engine lacks the image.
    """
    if backend == "docker":
        from sage_gym.sandbox.docker import DockerSandbox

        return DockerSandbox(image, limits, has_network=has_network)
    if backend == "local":
        from sage_gym.sandbox.local import LocalSandbox

        return LocalSandbox(limits)
    if backend == "stub":
        from sage_gym.sandbox.stub import StubSandbox

        return StubSandbox(limits=limits)
    raise UnknownNameError("sandbox backend", backend, BACKENDS)
