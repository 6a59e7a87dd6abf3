"""`--help` that teaches: how settings are given, every one of them, and examples."""

from __future__ import annotations

import json
import textwrap
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from pydantic import BaseModel

from sage_gym.config.arguments import parameters
from sage_gym.config.commands import Command
from sage_gym.config.layers import merge, read_layers
from sage_gym.config.listing import section_of, sections, settings, type_text
from sage_gym.config.sections import Component, Section
from sage_gym.config.words import SHORT_FORMS
from sage_gym.errors import SageGymError
from sage_gym.registry import Kind, known

__all__ = ["guide"]

WIDTH = 110
KINDS: Mapping[str, Kind] = {"env": "environment", "policy": "policy", "against": "policy", "critic": "reward"}


def guide(command: Command[Any], words: Sequence[str] = ()) -> str:
    """Return a command's help. With `env=NAME` among the words, values are that environment's and its keys are listed.

    A setting is shown as it would be typed, with the value that holds when it is not.
    """
    ignored: list[str] = []
    tree = merge(read_layers(command.model, words, ignored), list(command.targets), ignored)
    return "\n".join([*_opening(command), *_sections(command, tree), ""])


def _opening(command: Command[Any]) -> Iterator[str]:
    yield f"python -m {command.module} key=value …"
    yield from textwrap.wrap(command.summary, WIDTH)
    yield ""
    yield from textwrap.wrap(
        "Settings come from the command line, over files named by config=FILE (YAML), over the environment's own "
        "config.yaml, over the defaults. A list is [a,b], nothing is null, $NAME is a variable of the shell. All "
        "that is wrong is reported at once, before anything starts.",
        WIDTH,
    )
    yield ""
    known = [(short, path) for short, path in SHORT_FORMS.items() if path.partition(".")[0] in sections(command.model)]
    if known:
        yield "Short forms:"
        yield from (f"  {short}=… is {path}=…" for short, path in known)
        yield ""
    yield "Examples:"
    for example in command.examples:
        yield f"  python -m {command.module} {example}"


def _sections(command: Command[Any], tree: Mapping[str, Any]) -> Iterator[str]:
    plain: list[str] = []
    for name, field in command.model.model_fields.items():
        model = section_of(field)
        if model is None:
            plain.extend(_lines(command.model, tree, only=name))
            continue
        meaning = field.description or (model.__doc__ or "").splitlines()[0]
        yield ""
        yield f"{name}: {meaning}"
        if issubclass(model, Component):
            yield from _component_lines(command, name, tree.get(name))
        else:
            yield from _lines(model, tree.get(name), prefix=f"{name}.")
    if plain:
        yield ""
        yield from plain


def _lines(model: type[BaseModel], values: Any, prefix: str = "", only: str | None = None) -> Iterator[str]:
    for setting in settings(model):
        if only is None or setting.path == only:
            value = _look_up(values, setting.path, setting.default)
            yield from _entry(f"{prefix}{setting.path}", _written(value), setting.type, setting.meaning)


def _component_lines(command: Command[Any], group: str, values: Any) -> Iterator[str]:
    name = str(values.get("name")) if isinstance(values, Mapping) else ""
    yield from _entry(f"{group}.name", name or "null", ", ".join(sorted(known(KINDS[group]))), "")
    if not name:
        return
    try:
        target = command.targets[group](name)
    except (SageGymError, ImportError) as error:
        yield f"      (its keys cannot be listed: {error})"
        return
    for parameter in parameters(target):
        default = "…" if parameter.is_required else _written(values.get(parameter.name, parameter.default))
        yield from _entry(f"{group}.{parameter.name}", default, type_text(parameter.annotation), "")


def _entry(path: str, value: str, type_: str, meaning: str) -> Iterator[str]:
    yield f"  {f'{path}={value}':<48}  {type_}".rstrip()
    yield from textwrap.wrap(meaning, WIDTH, initial_indent=" " * 6, subsequent_indent=" " * 6)


def _look_up(values: Any, path: str, default: Any) -> Any:
    for part in path.split("."):
        if not isinstance(values, Mapping) or part not in values:
            return default
        values = values[part]
    return values


def _written(value: Any) -> str:
    """Write a value as it would be typed on the command line."""
    if isinstance(value, Section):
        value = value.model_dump(mode="json")
    if isinstance(value, list | tuple):
        return f"[{','.join(_written(item) for item in value)}]"
    if isinstance(value, str):
        return value
    return json.dumps(value, default=str, ensure_ascii=False)
