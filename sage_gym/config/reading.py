"""A command's settings, read and validated before anything starts; every problem is reported at once."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from typing import Any, NoReturn, TypeVar

from pydantic import ValidationError

from sage_gym.config.arguments import check_arguments
from sage_gym.config.commands import Command
from sage_gym.config.guide import guide
from sage_gym.config.layers import Layer, merge, read_layers
from sage_gym.config.problems import explain
from sage_gym.config.sections import Section
from sage_gym.config.words import SHORT_FORMS
from sage_gym.errors import ConfigError, UnknownNameError

__all__ = ["read", "read_or_exit"]

M = TypeVar("M", bound=Section)


def read(command: Command[M], words: Sequence[str]) -> M:
    """Return a command's settings.

    Args:
        command: which one (`TRAIN`, `EVALUATE`, `PLAY`, `BENCH`).
        words: `key=value` each.

    Raises:
        ConfigError: with every problem: words that are no settings, unknown keys and names (with the nearest valid
            one), values of a wrong type or range, arguments that the environment or the policy does not take.
    """
    problems: list[str] = []
    layers = read_layers(command.model, words, problems)
    tree = merge(layers, list(command.targets), problems)
    for group in command.targets:
        tree[group] = _check_component(command, group, tree.get(group), layers, problems)
    try:
        config = command.model.model_validate(tree)
    except ValidationError as error:
        found = explain(error, command.model, tuple(SHORT_FORMS))
        problems.extend(text + _source(path, layers) for path, text in found.items())
        raise ConfigError(problems) from error
    problems.extend(config.conflicts())
    if problems:
        raise ConfigError(problems)
    return config


def read_or_exit(command: Command[M], words: Sequence[str] | None = None) -> M:
    """Return a command's settings; print its help, or what is wrong with the words, and end the process.

    Raises:
        SystemExit: 0 after help, 2 after problems.
    """
    words = list(sys.argv[1:] if words is None else words)
    asked = {"-h", "--help", "help"} & set(words)
    if asked:
        print(guide(command, [word for word in words if word not in asked]))
        raise SystemExit(0)
    try:
        return read(command, words)
    except ConfigError as error:
        _refuse(command, error)


def _refuse(command: Command[Any], error: ConfigError) -> NoReturn:
    print(error, file=sys.stderr)
    print(f"\npython -m {command.module} --help lists every setting", file=sys.stderr)
    raise SystemExit(2) from error


def _check_component(
    command: Command[Any], group: str, section: Any, layers: Sequence[Layer], problems: list[str]
) -> Any:
    """Return a component's section with its arguments converted to what its signature states."""
    if not isinstance(section, Mapping) or section.get("name") is None:
        return section
    given = {str(key): value for key, value in section.items() if key != "name"}
    name = str(section["name"])
    found: list[str] = []
    try:
        converted = check_arguments(command.targets[group](name), given, group, found)
    except UnknownNameError as error:
        found.append(f"{group}: {error}")
        converted = given
    except ImportError as error:
        found.append(f"{group}={name}: {error}")
        converted = given
    problems.extend(text + _source(text.partition(":")[0], layers) for text in found)
    return {"name": section["name"], **converted}


def _source(path: str, layers: Sequence[Layer]) -> str:
    """Name the file that the uppermost value at a path stands in; the command line needs no naming."""
    top = next((layer for layer in reversed(layers) if layer.has(path)), None)
    return f" (in {top.source})" if top is not None and top.source else ""
