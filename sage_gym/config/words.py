"""The words of a command line, and the files under them, as nested plain dictionaries.

`group=value` is short for `group.name=value`. It is rewritten before OmegaConf sees it, since `from_dotlist` would let
one of `env=webshop env.catalog=x` swallow the other.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

__all__ = ["SHORT_FORMS", "expand_variables", "lengthen", "read_file", "read_words"]

SHORT_FORMS: Mapping[str, str] = {
    "env": "env.name",
    "policy": "policy.name",
    "against": "against.name",
    "critic": "critic.name",
    "executor": "executor.name",
    "run": "run.name",
    "seed": "run.seed",
    "stages": "rounds.stages",
}
VARIABLE_DEFAULTS: Mapping[str, str] = {"SAGE_GYM_DATA": "../shared"}
"""Variables that have a meaning unset. Data sets of others are looked for beside the project."""

_KEY = re.compile(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)*")
_VARIABLE = re.compile(r"\$(?:([A-Za-z_]\w*)|\{([A-Z_][A-Z0-9_]*)\})")


def read_words(words: Sequence[str], fields: Sequence[str], problems: list[str]) -> dict[str, Any]:
    """Return the nested settings that `key=value` words give; the last of equal keys wins.

    Args:
        words: of the command line.
        fields: the command's sections, which decide what short forms mean.
        problems: what cannot be read is added here.
    """
    settings: dict[str, str] = {}
    for word in words:
        key, equals, value = word.partition("=")
        if not equals or not _KEY.fullmatch(key):
            bare = word.lstrip("-")
            hint = f"; write {bare!r}" if bare != word and "=" in bare else ""
            problems.append(f"{word!r}: expected key=value, for example env=webshop{hint}")
            continue
        settings[_lengthen_key(key, value, fields)] = expand_variables(value, key, problems)
    tree: dict[str, Any] = {}
    for key, value in settings.items():
        inside = next((other for other in settings if other.startswith(f"{key}.")), None)
        if inside is not None:
            problems.append(f"{key}={value} and {inside}={settings[inside]} exclude each other; give one")
            continue
        _merge(tree, _parse(key, value, problems))
    return tree


def read_file(path: Path, fields: Sequence[str], problems: list[str]) -> dict[str, Any]:
    """Return the settings of a YAML file, short forms and variables resolved."""
    try:
        loaded = OmegaConf.load(path)
    except (OSError, yaml.YAMLError, OmegaConfBaseException) as error:
        problems.append(f"{path}: expected a YAML file of settings, got {_first_line(error)}")
        return {}
    if not isinstance(loaded, DictConfig):
        problems.append(f"{path}: expected keys with values, got a list")
        return {}
    tree = OmegaConf.to_container(loaded, resolve=False)
    assert isinstance(tree, dict)
    return lengthen(_expand_tree(tree, str(path), problems), fields)


def lengthen(tree: Mapping[str, Any], fields: Sequence[str]) -> dict[str, Any]:
    """Rewrite short forms at the top of a tree: `{"env": "webshop"}` to `{"env": {"name": "webshop"}}`."""
    result: dict[str, Any] = {}
    for key, value in tree.items():
        long_key = SHORT_FORMS.get(key, key)
        if isinstance(value, Mapping) or long_key.partition(".")[0] not in fields:
            long_key = key
        for part in reversed(long_key.split(".")):
            value = {part: value}
        _merge(result, value)
    return result


def expand_variables(text: str, where: str, problems: list[str]) -> str:
    """Replace `$NAME` and `${NAME}` by the environment's variables."""

    def replace(match: re.Match[str]) -> str:
        name = match[1] or match[2]
        value = os.environ.get(name) or VARIABLE_DEFAULTS.get(name)
        if value is None:
            problems.append(f"{where}: expected the variable ${name} to be set; export it, or write the value itself")
            return match[0]
        return value

    return _VARIABLE.sub(replace, text)


def _lengthen_key(key: str, value: str, fields: Sequence[str]) -> str:
    long_key = SHORT_FORMS.get(key, key)
    is_whole_section = value.lstrip().startswith("{")
    return key if is_whole_section or long_key.partition(".")[0] not in fields else long_key


def _parse(key: str, value: str, problems: list[str]) -> dict[str, Any]:
    try:
        tree = OmegaConf.to_container(OmegaConf.from_dotlist([f"{key}={value}"]), resolve=False)
    except (yaml.YAMLError, OmegaConfBaseException) as error:
        problems.append(f"{key}: expected a YAML value, got {value!r} ({_first_line(error)})")
        return {}
    assert isinstance(tree, dict)
    return {str(name): item for name, item in tree.items()}


def _expand_tree(node: Any, where: str, problems: list[str]) -> Any:
    if isinstance(node, dict):
        return {str(key): _expand_tree(value, where, problems) for key, value in node.items()}
    if isinstance(node, list):
        return [_expand_tree(value, where, problems) for value in node]
    return expand_variables(node, where, problems) if isinstance(node, str) else node


def _merge(into: dict[str, Any], other: Mapping[str, Any]) -> None:
    for key, value in other.items():
        if isinstance(value, Mapping) and isinstance(into.get(key), dict):
            _merge(into[key], value)
        else:
            into[key] = value


def _first_line(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0]
