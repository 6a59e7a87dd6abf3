"""What an environment answers to reset and step, checked, and brought into a form that can be recorded."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Any

import numpy as np

from sage_gym.errors import InfrastructureError
from sage_gym.types import StopReason, View

__all__ = ["Answer", "recorded_info", "truncation_reason", "turn_info"]

RESERVED = frozenset({"task", "admissible_actions", "invalid_action", "success", "stop_reason"})
"""Entries of `info` that have a field of their own in a trajectory."""
PLAIN = frozenset({str, int, float, bool, type(None)})


@dataclass(slots=True)
class Answer:
    """Gymnasium's five-tuple with names, and the environment's view where it has one."""

    observation: str
    info: Mapping[str, Any]
    view: View | None = None
    reward: float = 0.0
    is_terminated: bool = False
    is_truncated: bool = False

    @property
    def admissible_actions(self) -> tuple[str, ...] | None:
        """The actions that are open, or None where the environment does not list them."""
        actions = self.info.get("admissible_actions")
        return None if actions is None else tuple(actions)

    def check(self) -> None:
        """See that the answer is one that can be used.

        Raises:
            TypeError: the observation is not text.
            InfrastructureError: the environment says itself that something broke beneath it.
        """
        if not isinstance(self.observation, str):
            kind = type(self.observation).__name__
            raise TypeError(f"expected an observation of text, got {kind}; wrap the environment so that it gives str")
        if self.info.get("stop_reason") == StopReason.INFRASTRUCTURE:
            raise InfrastructureError(str(self.info.get("error", "the environment reports an infrastructure failure")))


def truncation_reason(info: Mapping[str, Any]) -> StopReason:
    """Say which budget the environment means by `truncated`; its turn limit, unless `info` names another.

    Raises:
        ValueError: `info["stop_reason"]` is no budget.
    """
    named = info.get("stop_reason") or StopReason.MAX_TURNS
    reason = StopReason(named)
    if not reason.is_truncation:
        raise ValueError(f"expected a truncated episode's stop_reason to be a budget, got {reason.value!r}")
    return reason


def turn_info(info: Mapping[str, Any]) -> dict[str, Any]:
    """Keep what is small: numbers, booleans, text and mappings of these. Lists (of clickables, say) are left out."""
    kept = {}
    for key, value in info.items():
        if key in RESERVED:
            continue
        if type(value) in PLAIN or isinstance(value, np.generic | Enum | Mapping):
            kept[key] = value if type(value) in PLAIN else _json_able(value)
    return kept


def recorded_info(info: Mapping[str, Any]) -> dict[str, Any]:
    """Keep all that JSON can hold; the names of what it cannot are listed under `left_out`."""
    kept: dict[str, Any] = {}
    left_out = []
    for key, value in info.items():
        if key in RESERVED:
            continue
        try:
            kept[key] = _json_able(value)
        except TypeError:
            left_out.append(key)
    return {**kept, "left_out": left_out} if left_out else kept


def _json_able(value: Any) -> Any:
    if type(value) in PLAIN:
        return value
    if isinstance(value, Enum):
        return _json_able(value.value)
    if isinstance(value, np.generic):
        return _json_able(value.item())
    if isinstance(value, Mapping):
        return {str(key): _json_able(entry) for key, entry in value.items()}
    if isinstance(value, list | tuple):
        return [_json_able(entry) for entry in value]
    raise TypeError(f"expected something that JSON can hold, got {type(value).__name__}")
