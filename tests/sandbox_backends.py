"""The sandbox backends as subjects of the conformance suite, and what the docker one needs."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from sage_gym.errors import EngineAbsentError, ImageError
from sage_gym.sandbox.conformance import Subject
from sage_gym.sandbox.engine import Engine, connect
from sage_gym.sandbox.opening import BASE_IMAGE, open_sandbox


def require_engine() -> Engine:
    """Return the engine with the base image in it; skip without an engine, but fail in continuous integration."""
    try:
        engine = connect()
    except EngineAbsentError as error:
        if os.environ.get("CI") == "true":
            raise
        pytest.skip(f"no container engine: {error}")
    try:
        engine.require_image(BASE_IMAGE)
    except ImageError:
        subprocess.run([sys.executable, "-m", "sage_gym.sandbox", "image"], check=True)
    return engine


def subject(backend: str) -> Subject:
    """Return a backend to be checked."""
    if backend == "docker":
        require_engine()
    return Subject(backend, lambda limits: open_sandbox(backend, limits=limits))
