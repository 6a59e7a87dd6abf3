"""Every setting of a command with its dotted path, type, default and meaning: read off the pydantic models."""

from __future__ import annotations

import types
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, Union, get_args, get_origin

from pydantic import BaseModel
from pydantic.fields import FieldInfo

__all__ = ["Setting", "section_of", "sections", "settings", "type_text"]

_BOUNDS = {"ge": ">=", "gt": ">", "le": "<=", "lt": "<"}
_WORDS: dict[Any, str] = {str: "text", Path: "path", type(None): "null", Any: "anything"}


@dataclass(frozen=True, slots=True)
class Setting:
    """One line of the help text."""

    path: str
    type: str
    default: Any
    meaning: str


def settings(model: type[BaseModel], prefix: str = "") -> Iterator[Setting]:
    """Give every setting under a model, depth first, in the order of definition."""
    for name, field in model.model_fields.items():
        path, section = f"{prefix}{name}", section_of(field)
        if section is None:
            text = " ".join([type_text(field.annotation), *_bounds(field)])
            yield Setting(path, text, field.get_default(call_default_factory=True), field.description or "")
        else:
            yield from settings(section, f"{path}.")


def section_of(field: FieldInfo) -> type[BaseModel] | None:
    """Return the model that a field holds, None when it is a plain value."""
    for option in (field.annotation, *get_args(field.annotation)):
        if isinstance(option, type) and issubclass(option, BaseModel):
            return option
    return None


def sections(model: type[BaseModel]) -> list[str]:
    """Name the top-level fields that hold sections."""
    return [name for name, field in model.model_fields.items() if section_of(field) is not None]


def type_text(annotation: Any) -> str:
    """Name a type as a reader of the command line needs it: `text|text_rich`, `int or null`, `list of path`."""
    origin, options = get_origin(annotation), get_args(annotation)
    if origin is Literal:
        return "|".join(str(option) for option in options)
    if origin in (Union, types.UnionType):
        return " or ".join(dict.fromkeys(type_text(option) for option in options))
    if origin is not None and isinstance(origin, type) and issubclass(origin, dict):
        return f"{{name: {type_text(options[1])}}}"
    if origin is not None and options and hasattr(origin, "__iter__"):
        return f"list of {type_text(options[0])}"
    return _WORDS[annotation] if annotation in _WORDS else str(getattr(annotation, "__name__", annotation))


def _bounds(field: FieldInfo) -> Iterator[str]:
    for item in field.metadata:
        for attribute, sign in _BOUNDS.items():
            bound = getattr(item, attribute, None)
            if bound is not None:
                yield f"{sign} {bound}"
