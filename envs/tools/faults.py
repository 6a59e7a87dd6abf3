"""Faults put into answers by seed, so that recovery is needed and can be measured.

Whether a call meets one depends on the task, the tool and the arguments alone, not on when it is made. A call that
timed out or failed has done nothing, and works when it is made again; a cached answer is marked by its `as_of` date
and by `cached`, and `refresh=true` asks the source; a field that comes under another name does so every time.
Left out on purpose: a time-out whose call was carried out all the same, which no tool here could tell apart.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date, timedelta
from enum import StrEnum
from typing import Any

from envs.tools.plan import show
from envs.tools.pools import table
from envs.tools.schema import Answer, Tool
from envs.tools.splits import draw

__all__ = ["Fault", "Faults", "call_key"]

SCALE = float(2**64)
OLDEST_DAYS = 9
SPREAD = 12
"""How far a cached number is off: 3 to 14 %."""


class Fault(StrEnum):
    """What can go wrong with a call."""

    TIMEOUT = "timeout"
    ERROR = "error"
    STALE = "stale"
    RENAMED = "renamed"


def call_key(tool: str, arguments: Mapping[str, Any]) -> str:
    """Return what identifies a call, however often and with whatever `refresh` it is made."""
    held = {name: show(value) for name, value in arguments.items() if name != "refresh"}
    return f"{tool} {json.dumps(held, sort_keys=True, ensure_ascii=False)}"


@dataclass(slots=True)
class Faults:
    """The faults of one episode.

    Args:
        seed: of the task and of the environment's `fault_seed`.
        rate: share of calls that meet one; a call whose answer holds nothing that could be stale or renamed is spared
            those two.
        today: the world's date.
    """

    seed: int
    rate: float
    today: str
    _over: set[str] = field(default_factory=set)

    def before(self, tool: Tool[Any], arguments: Mapping[str, Any]) -> Fault | None:
        """Return what a call meets; a time-out or an error only the first time."""
        key = call_key(tool.name, arguments)
        if draw("fault", self.seed, key) / SCALE >= self.rate:
            return None
        kinds = [Fault.TIMEOUT, Fault.ERROR, Fault.RENAMED, *((Fault.STALE,) if tool.is_refreshable else ())]
        kind = kinds[draw("kind", self.seed, key) % len(kinds)]
        if kind in (Fault.TIMEOUT, Fault.ERROR):
            if key in self._over:
                return None
            self._over.add(key)
        return None if kind is Fault.STALE and arguments.get("refresh") else kind

    def failure(self, kind: Fault, tool: str) -> Answer:
        """Return what a call that was not carried out is answered with."""
        if kind is Fault.TIMEOUT:
            return {"error": "timeout", "message": f"{tool} did not answer in time and did nothing; call it again"}
        return {"error": "unavailable", "message": f"{tool} failed for a moment (503) and did nothing; call it again"}

    def spoil(self, kind: Fault, key: str, answer: Answer) -> Answer | None:
        """Return an answer out of date or with a field renamed; None where it has nothing that could be."""
        return _renamed(answer) if kind is Fault.RENAMED else self._stale(key, answer)

    def _stale(self, key: str, answer: Answer) -> Answer | None:
        numbers = {
            name for name, held in answer.items() if isinstance(held, int | float) and not isinstance(held, bool)
        }
        if not numbers:
            return None
        share = draw("off", self.seed, key)
        factor = 1 + (share % SPREAD + 3) / 100 * (1 if share % 2 else -1)
        stale = {name: _off(held, factor) if name in numbers else held for name, held in answer.items()}
        age = timedelta(days=1 + share % OLDEST_DAYS)
        as_of = (date.fromisoformat(self.today) - age).isoformat()
        return {**stale, "as_of": as_of, "cached": "refresh=true asks the source"}


def _renamed(answer: Answer) -> Answer | None:
    others = table("renamed")
    first = next((name for name in answer if name in others), None)
    if first is None:
        return None
    return {others[name] if name == first else name: held for name, held in answer.items()}


def _off(value: float, factor: float) -> float:
    """Return another number with as many decimals."""
    places = len(str(value).partition(".")[2]) if isinstance(value, float) else None
    off = round(value * factor, places)
    return off if off != value else round(value + 10 ** -(places or 0), places)
