"""Names to classes, as strings until they are asked for; open to third parties through entry points.

`register("policy", "nano", "policies.nano:NanoPolicy")` imports nothing. Entry-point groups are
`sage_gym.environments`, `sage_gym.policies`, `sage_gym.rewards`.
"""

from __future__ import annotations

import importlib
from importlib.metadata import entry_points
from typing import Any, Literal

from sage_gym.errors import UnknownNameError

__all__ = ["Kind", "known", "locate", "register", "resolve"]

Kind = Literal["environment", "policy", "reward"]
GROUPS: dict[Kind, str] = {
    "environment": "sage_gym.environments",
    "policy": "sage_gym.policies",
    "reward": "sage_gym.rewards",
}
_builtin: dict[Kind, dict[str, str]] = {"environment": {}, "policy": {}, "reward": {}}


def register(kind: Kind, name: str, target: str) -> None:
    """Register `target`, an import string `package.module:attribute`, under `name`."""
    _builtin[kind][name] = target


def known(kind: Kind) -> dict[str, str]:
    """Return name → import string, third parties' included; built-in names win."""
    found = {point.name: point.value for point in entry_points(group=GROUPS[kind])}
    return {**found, **_builtin[kind]}


def locate(kind: Kind, name: str) -> str:
    """Return the import string of a name.

    Raises:
        UnknownNameError: nothing has that name; the nearest is given.
    """
    if name in _builtin[kind]:  # without looking for third parties' on disk, which an environment each would pay for
        return _builtin[kind][name]
    names = known(kind)
    if name not in names:
        raise UnknownNameError(kind, name, names)
    return names[name]


def resolve(kind: Kind, name: str) -> Any:
    """Import and return what is registered under `name`.

    Raises:
        UnknownNameError: nothing has that name, or its module lacks what is registered; the nearest is given.
        ImportError: another distribution's `envs` package hides ours, or a dependency is missing.
    """
    target = locate(kind, name)
    module_name, _, attribute = target.partition(":")
    try:
        module = importlib.import_module(module_name)
    except ModuleNotFoundError as error:
        raise _explain_shadow(module_name, error) from error
    if not hasattr(module, attribute):
        public = getattr(module, "__all__", [known for known in vars(module) if not known.startswith("_")])
        raise UnknownNameError(
            f"attribute of {module_name} ({kind} {name!r} is registered as {target!r})", attribute, public
        )
    return getattr(module, attribute)


def _explain_shadow(module_name: str, error: ModuleNotFoundError) -> ImportError:
    top = module_name.partition(".")[0]
    if error.name is None or not error.name.startswith(top):
        return ImportError(f"{module_name} needs the package {error.name!r}, which is not installed", name=error.name)
    package = importlib.import_module(top)
    return ImportError(
        f"expected {module_name!r} in SAGE Gym's package {top!r}, got the {top!r} at {package.__path__}; "
        f"another distribution shadows ours: uninstall it or put SAGE Gym first on sys.path",
        name=module_name,
    )
