"""Trajectories as lines of JSON, without loss, and what two runs of the same episode have in common.

A line is an object with the dataclasses' own field names; fields at their default are left out. Validation is
pydantic's, over the dataclasses themselves, so a field added to them is on disk at once. ASCII with escapes, and the
standard library's encoder: it alone carries lone surrogates and infinities, which a policy can produce.
What JSON does not tell apart (a tuple and a list inside `info` or `notes`) is not told apart.
"""

from __future__ import annotations

import json
from hashlib import blake2b
from typing import Any, Literal

import numpy as np
from pydantic import BaseModel, ConfigDict, TypeAdapter, ValidationError

from sage_gym.errors import RecordError
from sage_gym.types import Trajectory

__all__ = ["ChunkMarker", "Header", "decode", "encode", "fingerprint", "from_json_able", "to_json_able"]

VOLATILE = frozenset({"elapsed_s", "latency_s", "latency_ms", "host", "started_at", "finished_at", "failure"})
"""Keys, at any depth, that a clock or a machine wrote; a failure that a retry made good is one of them."""

TRAJECTORY = TypeAdapter(Trajectory)


class Header(BaseModel):
    """First line of a file; the format is raised when a field is renamed, removed or changes its meaning."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    kind: Literal["header"] = "header"
    format: Literal[1] = 1


class ChunkMarker(BaseModel):
    """Line after a chunk's trajectories; without it, or with another digest, the chunk does not count."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    kind: Literal["chunk"] = "chunk"
    chunk: int
    episodes: int
    digest: str
    """BLAKE2b, 8 bytes, of the trajectories' lines."""


def encode(trajectory: Trajectory) -> str:
    """Write a trajectory as one line of JSON, without its line end.

    Raises:
        TypeError: `info` or `notes` hold something that JSON cannot.
    """
    return json.dumps(to_json_able(trajectory), separators=(",", ":"), default=_plain)


def decode(line: str | bytes) -> Trajectory:
    """Read what `encode` wrote.

    Raises:
        RecordError: not JSON, or not a trajectory.
    """
    try:
        return from_json_able(json.loads(line))
    except ValueError as error:
        if isinstance(error, RecordError):
            raise
        raise RecordError(f"expected one trajectory as JSON, got {line[:80]!r}: {error}") from error


def to_json_able(trajectory: Trajectory) -> dict[str, Any]:
    """Turn a trajectory into mappings, lists and plain values."""
    mapping: dict[str, Any] = TRAJECTORY.dump_python(trajectory, exclude_defaults=True)
    return mapping


def from_json_able(mapping: Any) -> Trajectory:
    """Turn `to_json_able`'s result into a trajectory again.

    Raises:
        RecordError: not a trajectory; every field that is wrong is named.
    """
    try:
        return TRAJECTORY.validate_python(mapping)
    except ValidationError as error:
        problems = "; ".join(f"{'.'.join(map(str, one['loc']))}: {one['msg']}" for one in error.errors())
        raise RecordError(f"expected a trajectory, got one where {problems}") from error


def fingerprint(trajectory: Trajectory) -> str:
    """Hash all that does not depend on clock and machine: equal for two runs of the same episode."""
    mapping = _without_volatile(json.loads(encode(trajectory)))
    text = json.dumps(mapping, sort_keys=True, separators=(",", ":"))
    return blake2b(text.encode(), digest_size=16).hexdigest()


def _without_volatile(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _without_volatile(entry) for key, entry in value.items() if key not in VOLATILE}
    if isinstance(value, list):
        return [_without_volatile(entry) for entry in value]
    return value


def _plain(value: Any) -> Any:
    if isinstance(value, np.generic):
        return value.item()
    raise TypeError(
        f"expected info and notes that JSON can hold, got {type(value).__name__}; turn it into plain values"
    )
