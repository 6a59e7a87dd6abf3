"""A component's keyword arguments, checked against its signature without constructing it."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from pydantic import ConfigDict, PydanticSchemaGenerationError, PydanticUserError, TypeAdapter, ValidationError

from sage_gym.config.listing import type_text
from sage_gym.config.problems import sentence
from sage_gym.errors import nearest

__all__ = ["Parameter", "check_arguments", "parameters"]


@dataclass(frozen=True, slots=True)
class Parameter:
    """One keyword argument; `default` is `inspect.Parameter.empty` where it must be given."""

    name: str
    annotation: Any
    default: Any

    @property
    def is_required(self) -> bool:
        """Whether it must be given."""
        return self.default is inspect.Parameter.empty


def parameters(target: Callable[..., Any]) -> Iterator[Parameter]:
    """Give the keyword arguments of a class or function, bound ones left out, in order."""
    scope = _scope(target)
    for parameter in inspect.signature(target).parameters.values():
        if parameter.kind in (parameter.POSITIONAL_OR_KEYWORD, parameter.KEYWORD_ONLY):
            yield Parameter(parameter.name, _resolve(parameter.annotation, scope), parameter.default)


def check_arguments(
    target: Callable[..., Any], given: Mapping[str, Any], group: str, problems: list[str]
) -> dict[str, Any]:
    """Return the arguments converted to the types that the signature states.

    Args:
        target: a class, function or `functools.partial`.
        given: name to plain value.
        group: what the keys stand under, for the problems (`env`).
        problems: every wrong, unknown or missing argument is added here.
    """
    wanted = {parameter.name: parameter for parameter in parameters(target)}
    takes_any = any(p.kind is p.VAR_KEYWORD for p in inspect.signature(target).parameters.values())
    converted: dict[str, Any] = {}
    for name, value in given.items():
        if name in wanted:
            converted[name] = _convert(wanted[name], value, f"{group}.{name}", problems)
        elif takes_any:
            converted[name] = value
        else:
            paths = [f"{group}.{known}" for known in wanted]
            listed = f"known: {', '.join(paths)}" if paths else "it takes none"
            problems.append(f"{group}.{name}: no such argument{nearest(f'{group}.{name}', paths)}; {listed}")
    for name, parameter in wanted.items():
        if parameter.is_required and name not in given:
            problems.append(f"{group}.{name}: expected {type_text(parameter.annotation)}, got none; it has no default")
    return converted


def _convert(parameter: Parameter, value: Any, path: str, problems: list[str]) -> Any:
    try:
        adapter = TypeAdapter(
            parameter.annotation, config=ConfigDict(arbitrary_types_allowed=True, coerce_numbers_to_str=True)
        )
    except PydanticUserError as error:
        if isinstance(error, PydanticSchemaGenerationError) or error.code != "type-adapter-config-unused":
            return value
        adapter = TypeAdapter(parameter.annotation)
    try:
        return adapter.validate_python(value)
    except ValidationError as error:
        details = error.errors(include_url=False)
        if len(details) == 1:
            problems.append(sentence(path, details[0]))
        else:
            problems.append(f"{path}: expected {type_text(parameter.annotation)}, got {value!r}")
        return value


def _scope(target: Callable[..., Any]) -> dict[str, Any]:
    function = target.func if isinstance(target, functools.partial) else target
    if inspect.isclass(function):
        function = inspect.unwrap(function.__init__)
    return getattr(inspect.unwrap(function), "__globals__", {})


def _resolve(annotation: Any, scope: Mapping[str, Any]) -> Any:
    """Evaluate a postponed annotation; one whose names only type checkers import accepts anything."""
    if annotation is inspect.Parameter.empty:
        return Any
    if not isinstance(annotation, str):
        return annotation
    try:
        return eval(annotation, dict(scope))
    except (NameError, AttributeError):
        return Any
