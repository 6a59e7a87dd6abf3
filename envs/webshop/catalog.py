"""A catalogue in upstream's files: found in a folder, read, checked, and turned into products.

Source of the rules: princeton-nlp/WebShop, `web_agent_site/engine/engine.py` (`load_products`). Left out: images,
reviews (upstream's public files hold none) and the keys that upstream drops too.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError

from envs.webshop.records import array_records, object_records, read_json
from sage_gym.errors import CatalogError, nearest

__all__ = ["Files", "HumanInstruction", "Product", "find_files", "product_from_fields", "read_products"]

M = TypeVar("M", bound=BaseModel)
UNPRICED = (100.0,)
NO_ATTRIBUTES = ("DUMMY_ATTR",)
MAX_ASIN_LENGTH = 10


@dataclass(frozen=True, slots=True)
class HumanInstruction:
    """One instruction that a person wrote for a product."""

    text: str
    attributes: tuple[str, ...]
    options: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Product:
    """One product, normalised as upstream normalises it.

    `pricing` holds one price or the two ends of a range, in dollars. `options` keeps upstream's order; names and
    values are lower-cased, `/` in a value is ` | `.
    """

    asin: str
    title: str
    description: str
    bullets: tuple[str, ...]
    pricing: tuple[float, ...]
    options: tuple[tuple[str, tuple[str, ...]], ...]
    attributes: tuple[str, ...]
    category: str
    query: str
    product_category: str
    instruction: str | None
    instruction_attributes: tuple[str, ...]
    human: tuple[HumanInstruction, ...]

    @property
    def price_tag(self) -> str:
        """The price as pages show it."""
        return f"${self.pricing[0]}" if len(self.pricing) == 1 else f"${self.pricing[0]} to ${self.pricing[1]}"

    @property
    def search_text(self) -> str:
        """What the search index holds of it."""
        options = ", and ".join(f"{name}: {', '.join(values)}" for name, values in self.options)
        first = self.bullets[0] if self.bullets else ""
        return f"{self.title} {self.description} {first} {options}".lower()


@dataclass(frozen=True, slots=True)
class Files:
    """The files of one catalogue. `splits` assigns products to splits; `instructions` hold attributes too."""

    products: Path
    instructions: Path
    human: Path | None
    splits: Path | None

    def present(self) -> tuple[Path, ...]:
        """List those that exist, in a fixed order."""
        return tuple(p for p in (self.products, self.instructions, self.human, self.splits) if p is not None)


class _RawOption(BaseModel):
    model_config = ConfigDict(frozen=True)
    value: str


class _RawProduct(BaseModel):
    """The keys that are read; upstream's files have more, which are ignored."""

    model_config = ConfigDict(frozen=True)
    asin: str
    name: str
    category: str
    query: str
    product_category: str
    full_description: str | None = ""
    small_description: list[str] | str | None = ""
    pricing: str | None = ""
    customization_options: dict[str, list[_RawOption] | None] | str | None = None


class _RawInstruction(BaseModel):
    model_config = ConfigDict(frozen=True)
    attributes: list[str] | None = None
    instruction: str | None = None
    instruction_attributes: list[str] | None = None


class _RawHuman(BaseModel):
    model_config = ConfigDict(frozen=True)
    instruction: str
    instruction_attributes: list[str]
    instruction_options: list[str]


def product_from_fields(values: list[Any]) -> Product:
    """Build a product from its fields as JSON gives them back (lists for tuples)."""
    asin, title, description, bullets, pricing, options, attributes, *kind, instruction, wanted, human = values
    category, query, product_category = kind
    return Product(
        asin,
        title,
        description,
        tuple(bullets),
        tuple(pricing),
        tuple((name, tuple(held)) for name, held in options),
        tuple(attributes),
        category,
        query,
        product_category,
        instruction,
        tuple(wanted),
        tuple(HumanInstruction(text, tuple(needed), tuple(chosen)) for text, needed, chosen in human),
    )


def find_files(source: Path) -> Files:
    """Find a catalogue's files: `source` is its folder, or its product file where a folder holds several.

    Raises:
        CatalogError: a file is missing, or several could be meant.
    """
    if not source.exists():
        near = nearest(source.name, (p.name for p in source.parent.iterdir())) if source.parent.is_dir() else ""
        raise CatalogError(
            f"{source}: expected a folder with items_shuffle_*.json and items_ins_v2_*.json; nothing is there{near}"
        )
    folder = source if source.is_dir() else source.parent
    products = source if source.is_file() else _only(folder, ("items_shuffle*.json*", "items*.json*"), exclude="_ins")
    suffix = products.name.partition("items_shuffle")[2]
    twin = folder / f"items_ins_v2{suffix}"
    instructions = twin if twin.is_file() else _only(folder, ("items_ins*.json*",), exclude="_human")
    human, splits = folder / "items_human_ins.json", folder / "splits.json"
    return Files(products, instructions, human if human.is_file() else None, splits if splits.is_file() else None)


def _only(folder: Path, patterns: tuple[str, ...], *, exclude: str) -> Path:
    for pattern in patterns:
        found = sorted(p for p in folder.glob(pattern) if exclude not in p.name)
        if len(found) == 1:
            return found[0]
        if found:
            names = ", ".join(p.name for p in found)
            raise CatalogError(f"{folder}: expected one file {patterns[0]}, got {names}; give the product file itself")
    held = ", ".join(sorted(p.name for p in folder.iterdir())[:8]) or "nothing"
    raise CatalogError(f"{folder}: expected a file {patterns[0]}, the folder holds {held}")


def read_products(files: Files) -> Iterator[Product]:
    """Yield the products in file order, without repeated asins and those that upstream skips.

    Raises:
        CatalogError: names the file, the record and what was expected.
    """
    instructions = {
        asin: _check(_RawInstruction, value, files.instructions, f"record {asin!r}")
        for asin, value in object_records(files.instructions)
    }
    human = _read_human(files.human) if files.human else {}
    seen: set[str] = set()
    for index, value in array_records(files.products):
        raw = _check(_RawProduct, value, files.products, f"record {index}")
        if raw.asin == "nan" or len(raw.asin) > MAX_ASIN_LENGTH or raw.asin in seen:
            continue
        if not raw.asin:
            raise CatalogError(f"{files.products}: record {index}: expected an asin, got an empty one")
        seen.add(raw.asin)
        where = f"{files.products}: record {index} ({raw.asin})"
        yield _normalise(raw, instructions.get(raw.asin, _RawInstruction()), human.get(raw.asin, ()), where)


def _check(model: type[M], value: Any, path: Path, where: str) -> M:
    try:
        return model.model_validate(value)
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(map(str, first["loc"])) or "the record"
        raise CatalogError(
            f"{path}: {where}: expected {place} to be there and well-formed, got: {first['msg']}"
        ) from error


def _read_human(path: Path) -> dict[str, tuple[HumanInstruction, ...]]:
    found = read_json(path)
    if not isinstance(found, dict):
        raise CatalogError(f"{path}: expected an object from asin to instructions, got {type(found).__name__}")
    out = {}
    for asin, values in found.items():
        if not isinstance(values, list):
            raise CatalogError(f"{path}: record {asin!r}: expected a list of instructions, got {type(values).__name__}")
        raws = [_check(_RawHuman, value, path, f"record {asin!r}") for value in values]
        out[asin] = tuple(
            HumanInstruction(r.instruction, tuple(r.instruction_attributes), tuple(r.instruction_options)) for r in raws
        )
    return out


def _normalise(raw: _RawProduct, extra: _RawInstruction, human: tuple[HumanInstruction, ...], where: str) -> Product:
    wanted = tuple(extra.instruction_attributes or ())
    if extra.instruction is not None and not wanted:
        raise CatalogError(f"{where}: expected instruction_attributes beside its instruction, got none")
    bullets = raw.small_description or ""
    return Product(
        asin=raw.asin,
        title=raw.name,
        description=raw.full_description or "",
        bullets=tuple(bullets) if isinstance(bullets, list) else (bullets,),
        pricing=_prices(raw.pricing, where),
        options=_options(raw.customization_options, where),
        attributes=NO_ATTRIBUTES if extra.attributes is None else tuple(extra.attributes),
        category=raw.category,
        query=raw.query.lower().strip(),
        product_category=raw.product_category,
        instruction=extra.instruction,
        instruction_attributes=wanted,
        human=human,
    )


def _prices(text: str | None, where: str) -> tuple[float, ...]:
    if not text:
        return UNPRICED
    parts = [re.sub(r"[^\d.]", "", part) for part in text.split("$")[1:]]
    try:
        prices = tuple(float(part) for part in parts)
    except ValueError as error:
        raise CatalogError(f"{where}: expected a price such as '$12.99' or '$5.00$9.50', got {text!r}") from error
    if not prices:
        raise CatalogError(f"{where}: expected a price such as '$12.99' or '$5.00$9.50', got {text!r}")
    return prices[:2]


def _options(
    raw: dict[str, list[_RawOption] | None] | str | None, where: str
) -> tuple[tuple[str, tuple[str, ...]], ...]:
    if not raw:
        return ()
    if isinstance(raw, str):
        raise CatalogError(f"{where}: expected customization_options to be an object or empty, got {raw!r}")
    found = {
        name.lower(): tuple(option.value.strip().replace("/", " | ").lower() for option in contents)
        for name, contents in raw.items()
        if contents is not None
    }
    return tuple(found.items())
