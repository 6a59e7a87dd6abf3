"""A tool as OpenAI function calling describes it: a name, words, and arguments that pydantic checks."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from functools import cached_property
from typing import Any, Generic, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError
from pydantic_core import ErrorDetails

from envs.tools.company import Company
from envs.tools.plan import fit

__all__ = ["Answer", "Arguments", "Refreshable", "Tool", "ToolError"]

Answer = dict[str, Any]
"""What a tool answers; JSON-able."""
LONGEST_SHOWN = 60


class ToolError(Exception):
    """What a tool answers instead of a result: nothing has changed."""


class Arguments(BaseModel):
    """A tool's arguments. The positional form takes required ones first. None is a list, since `]` ends a call."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


class Refreshable(Arguments):
    """Arguments of a tool that may answer from a cache."""

    refresh: bool = Field(default=False, description="ask the source itself instead of the cache")


A = TypeVar("A", bound=Arguments)


@dataclass(frozen=True)
class Tool(Generic[A]):
    """A function with its description and its arguments."""

    name: str
    description: str
    arguments: type[A]
    function: Callable[[Company, A], Answer]

    @cached_property
    def kinds(self) -> dict[str, str]:
        """Return the JSON type of each argument, in the positional order."""
        properties = self._parameters["properties"]
        order = [*self.required, *(name for name in properties if name not in self.required)]
        return {name: str(properties[name]["type"]) for name in order}

    @cached_property
    def required(self) -> tuple[str, ...]:
        """Name the arguments that cannot be left out."""
        return tuple(name for name, field in self.arguments.model_fields.items() if field.is_required())

    @property
    def is_refreshable(self) -> bool:
        """Whether it may answer from a cache."""
        return issubclass(self.arguments, Refreshable)

    @cached_property
    def signature(self) -> str:
        """Return `name[first, second, refresh=false]`."""
        optional = [f"{name}=false" for name in self.kinds if name not in self.required]
        return f"{self.name}[{', '.join([*self.required, *optional])}]"

    def read(self, name: str, value: Any) -> Any:
        """Bring an argument of the short form, or one put in by reference, into the type and spelling that it has."""
        if isinstance(value, str) and name in self._spellings:
            return self._spellings[name].get(value.strip().casefold(), value)
        return fit(value, self.kinds.get(name, "string"))

    def schema(self) -> dict[str, Any]:
        """Return the tool as OpenAI function calling takes it."""
        function = {"name": self.name, "description": self.description, "parameters": self._parameters}
        return {"type": "function", "function": function}

    def check(self, arguments: Mapping[str, Any]) -> list[str]:
        """Return every problem of these arguments, in words."""
        try:
            self.arguments.model_validate(dict(arguments))
        except ValidationError as error:
            return [self._explain(problem) for problem in error.errors()]
        return []

    def run(self, company: Company, arguments: Mapping[str, Any]) -> Answer:
        """Call it with arguments that were checked.

        Raises:
            ToolError: it answers with an error.
        """
        return self.function(company, self.arguments.model_validate(dict(arguments)))

    @cached_property
    def _spellings(self) -> dict[str, dict[str, str]]:
        properties = self._parameters["properties"].items()
        return {
            name: {str(word).casefold(): word for word in held["enum"]} for name, held in properties if "enum" in held
        }

    @cached_property
    def _parameters(self) -> dict[str, Any]:
        schema = self.arguments.model_json_schema()
        properties = {
            name: {key: value for key, value in described.items() if key != "title"}
            for name, described in schema["properties"].items()
        }
        return {
            "type": "object",
            "properties": {name: properties[name] for name in sorted(properties, key="refresh".__eq__)},
            "required": list(self.required),
            "additionalProperties": False,
        }

    def _explain(self, problem: ErrorDetails) -> str:
        name = ".".join(str(part) for part in problem["loc"])
        if problem["type"] == "missing":
            return f"misses {name!r} ({self.kinds[name]})"
        if problem["type"] == "extra_forbidden":
            close = get_close_matches(name, self.kinds, n=1)
            return f"has no argument {name!r}" + (f"; did you mean {close[0]!r}?" if close else "")
        said = problem["msg"].replace("Input should", "should")
        return f"{name!r} {said[0].lower()}{said[1:]}, got {_brief(problem['input'])}"


def _brief(value: Any) -> str:
    text = json.dumps(value, ensure_ascii=False, default=str)
    return text if len(text) <= LONGEST_SHOWN else f"{text[:LONGEST_SHOWN]}…"
