"""Pydantic's findings in sentences that say: expected, got, what to do."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from sage_gym.config.listing import section_of, settings
from sage_gym.errors import nearest

__all__ = ["explain", "sentence"]

_SHOULD_BE = re.compile(r"^\w+ should be ")
_SHOULD = re.compile(r"^\w+ should ")
_QUOTED = re.compile(r"'([^']*)'")


def explain(error: ValidationError, model: type[BaseModel], short_forms: Sequence[str] = ()) -> dict[str, str]:
    """Return dotted path → sentence, for every finding of a validation.

    Args:
        error: what pydantic raised.
        model: whose settings were validated; unknown keys are compared with its paths.
        short_forms: keys that the command line takes besides.
    """
    leaves = [setting.path for setting in settings(model)]
    sections = {path.rpartition(".")[0] for path in leaves} - {""}
    paths = [*leaves, *sorted(sections), *short_forms]
    found: dict[str, str] = {}
    for details in error.errors(include_url=False):
        path = _dotted(details["loc"])
        if details["type"] == "extra_forbidden":
            found[path] = f"{path}: no such setting{nearest(path, paths)}; {_known(path, model)}"
        elif details["type"] in ("model_type", "model_attributes_type"):
            found[path] = f"{path}: expected a section with keys, got {details['input']!r}; {_known(f'{path}.', model)}"
        else:
            found[path] = sentence(path, details)
    return {path: text for path, text in found.items() if not any(other.startswith(f"{path}[") for other in found)}


def sentence(path: str, details: ErrorDetails) -> str:
    """Put one finding about a value into words."""
    value = details["input"]
    if details["type"] == "missing":
        return f"{path}: expected a value, got none; give {path}=…"
    if details["type"] == "literal_error":
        options = _QUOTED.findall(str(details.get("ctx", {}).get("expected", "")))
        return f"{path}: expected one of {', '.join(options)}, got {value!r}{nearest(str(value), options)}"
    if details["type"] == "path_type":
        return f"{path}: expected a path, got {value!r}"
    wanted = _SHOULD.sub("expected it to ", _SHOULD_BE.sub("expected ", details["msg"]))
    return f"{path}: {wanted}, got {value!r}"


def _known(path: str, model: type[BaseModel]) -> str:
    section, prefix = model, ""
    for part in path.split(".")[:-1]:
        inner = section_of(section.model_fields[part]) if part in section.model_fields else None
        if inner is None:
            break
        section, prefix = inner, f"{prefix}{part}."
    return f"known: {', '.join(f'{prefix}{name}' for name in section.model_fields)}"


def _dotted(location: Sequence[Any]) -> str:
    text = ""
    for part in location:
        text += f"[{part}]" if isinstance(part, int) else f".{part}" if text else str(part)
    return text
