"""What is chosen by name in a configuration: environments, policies, critics, benchmarks.

A policy that nothing is registered under may be a hub name, a folder, a GGUF file, or a training run, round or
checkpoint (then `causal_lm` loads it), or an address (then `api` asks it); either takes it as its first argument.
"""

from __future__ import annotations

import functools
import importlib.util
import inspect
from collections.abc import Callable
from pathlib import Path
from typing import Any

from sage_gym.config.runs import student_of
from sage_gym.config.sections import Component
from sage_gym.registry import known, locate, resolve

__all__ = [
    "environment_file",
    "find_bench",
    "find_critic",
    "find_environment",
    "find_policy",
    "make_environment",
    "make_policy",
    "reads_model",
]


def find_environment(name: str) -> Callable[..., Any]:
    """Return an environment's constructor.

    Raises:
        UnknownNameError: nothing has that name.
        ImportError: what it needs is not installed.
    """
    constructor: Callable[..., Any] = resolve("environment", name)
    return constructor


def find_policy(name: str) -> Callable[..., Any]:
    """Return a policy's loader, with the place of its weights bound when `name` is one.

    Raises:
        UnknownNameError: nothing has that name, and it looks like no place; or it is a training run's folder, which
            does not keep the student that is asked for.
        ImportError: what it needs is not installed.
    """
    loader: Callable[..., Any]
    if name in known("policy") or not _is_place(name):
        loader = resolve("policy", name)
        return loader
    if "://" in name:
        return functools.partial(resolve("policy", "api"), name)
    return functools.partial(resolve("policy", "causal_lm"), str(student_of(name) or name))


def find_critic(name: str) -> Callable[..., Any]:
    """Return a reward's or a critic's constructor; what reads a model (`scorer`) is given to it when there is one.

    Raises:
        UnknownNameError: nothing has that name.
        ImportError: what it needs is not installed.
    """
    constructor: Callable[..., Any] = resolve("reward", name)
    return functools.partial(constructor, None) if reads_model(name) else constructor


def reads_model(name: str) -> bool:
    """Whether a reward reads trajectories with a model: its first argument is then `scorer`."""
    return next(iter(inspect.signature(resolve("reward", name)).parameters), "") == "scorer"


def find_bench(name: str) -> Callable[..., Any]:
    """Return the function `run` of an environment's own module `bench`.

    Raises:
        UnknownNameError: no environment has that name.
        ImportError: the environment has no benchmark.
    """
    module_name = f"{_package(name)}.bench"
    if importlib.util.find_spec(module_name) is None:
        raise ImportError(f"expected a benchmark of {name!r} in {module_name}, got no such module", name=module_name)
    run: Callable[..., Any] = importlib.import_module(module_name).run
    return run


def make_environment(component: Component) -> Any:
    """Construct the environment that a configuration names."""
    return find_environment(component.name)(**component.arguments)


def make_policy(component: Component) -> Any:
    """Load the policy that a configuration names."""
    return find_policy(component.name)(**component.arguments)


def environment_file(name: str, file: str = "config.yaml") -> Path | None:
    """Return a file beside an environment, None where it has none. Does not import the environment.

    Raises:
        UnknownNameError: nothing has that name.
    """
    spec = importlib.util.find_spec(_package(name))
    for folder in (spec.submodule_search_locations or ()) if spec else ():
        path = Path(folder) / file
        if path.is_file():
            return path
    return None


def _package(environment: str) -> str:
    module = locate("environment", environment).partition(":")[0]
    return module.rpartition(".")[0] or module


def _is_place(name: str) -> bool:
    return "/" in name or name.endswith(".gguf") or Path(name).exists()
