"""The word pools that worlds are drawn from, read once a process and only to be read."""

from __future__ import annotations

import tomllib
from functools import lru_cache
from pathlib import Path
from types import MappingProxyType
from typing import Any

__all__ = ["names", "table"]


@lru_cache(maxsize=1)
def _pools() -> MappingProxyType[str, Any]:
    text = Path(__file__).with_name("pools.toml").read_text(encoding="utf-8")
    return MappingProxyType(tomllib.loads(text))


@lru_cache(maxsize=64)
def names(pool: str) -> tuple[str, ...]:
    """Return a list of words."""
    return tuple(_pools()[pool])


@lru_cache(maxsize=64)
def table(pool: str) -> MappingProxyType[str, Any]:
    """Return a table of words."""
    return MappingProxyType(_pools()[pool])
