"""The embedded shop's world: one file a department, read into families."""

from __future__ import annotations

import tomllib
from functools import lru_cache
from importlib.resources import files
from typing import Literal

from pydantic import BaseModel, ConfigDict

from envs.webshop.shop.family import LEVEL_MARK, SHELVES, Attribute, Family, OptionGroup, Phrasing, Role, Split, World

__all__ = ["draw_world"]

LINE_SPLITS: tuple[Split, ...] = ("train", "test", "train", "select", "train", "test", "train", "select")
"""A half of the lines to learn from, a quarter to choose and calibrate on, a quarter to report."""


class OptionRecord(BaseModel):
    """An option group: its values, or the name of a pool of `pools.toml` or of the department."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str
    pool: str = ""
    values: tuple[str, ...] = ()
    low: int = 2
    high: int = 60


class FamilyRecord(BaseModel):
    """A product type. Its attributes add to the department's; a shelf replaces the department's."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    query: str
    nouns: tuple[str, ...]
    path: str
    price: tuple[float, float]
    share: int = 1
    shelf: Literal["mixed", "calm", "crowded"] | None = None
    plain: tuple[str, ...] = ()
    having: tuple[str, ...] = ()
    suited: tuple[str, ...] = ()
    extras: tuple[str, ...]
    options: tuple[OptionRecord, ...] = ()


class DepartmentRecord(BaseModel):
    """One file of this folder."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str
    path: str
    is_transfer: bool = False
    shelf: Literal["mixed", "calm", "crowded"]
    brands: tuple[str, ...]
    plain: tuple[str, ...]
    having: tuple[str, ...]
    suited: tuple[str, ...]
    pools: dict[str, tuple[str, ...]] = {}
    family: tuple[FamilyRecord, ...]


class Shared(BaseModel):
    """`pools.toml`: what all departments share."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    pools: dict[str, tuple[str, ...]]
    phrasing: Phrasing


@lru_cache(maxsize=1)
def _families() -> tuple[Family, ...]:
    """Read every department, ordinary ones first."""
    shared = _shared()
    paths = sorted((path for path in files(__package__).iterdir() if path.name.endswith(".toml")), key=lambda p: p.name)
    texts = [path.read_text("utf-8") for path in paths if path.name != "pools.toml"]
    departments = [DepartmentRecord.model_validate(tomllib.loads(text)) for text in texts]
    departments.sort(key=lambda department: department.is_transfer)
    return tuple(_family(record, of, shared) for of in departments for record in of.family)


@lru_cache(maxsize=1)
def _shared() -> Shared:
    return Shared.model_validate(tomllib.loads(files(__package__).joinpath("pools.toml").read_text("utf-8")))


def _family(record: FamilyRecord, department: DepartmentRecord, shared: Shared) -> Family:
    pools = {**shared.pools, **department.pools}
    kinds: tuple[tuple[Role, tuple[str, ...]], ...] = (
        ("plain", record.plain + department.plain),
        ("with", record.having + department.having),
        ("for", record.suited + department.suited),
    )
    return Family(
        department=department.name,
        path=f"{department.path}{LEVEL_MARK}{record.path}",
        query=record.query,
        nouns=record.nouns,
        brands=department.brands,
        attributes=tuple(Attribute(text, role) for role, texts in kinds for text in texts),
        extras=record.extras,
        options=tuple(OptionGroup(o.name, o.values or pools[o.pool], o.low, o.high) for o in record.options),
        price_low=record.price[0],
        price_high=record.price[1],
        share=record.share,
        is_transfer=department.is_transfer,
        shelf=SHELVES[record.shelf or department.shelf],
    )


def draw_world(seed: int, size: int) -> World:
    """Return the embedded world: its families are the same for every seed and size, its products are drawn."""
    del size
    return World("embedded", seed, _families(), _shared().phrasing, LINE_SPLITS, is_dealt_by_shelf=True)
