"""Writes a shop into a folder, in upstream WebShop's own files, one product at a time."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Any

from envs.webshop.shop import embedded, nano
from envs.webshop.shop.family import SPLITS, Split, World
from envs.webshop.shop.product import Draft, Offer, asin_of, draw_draft, split_of
from envs.webshop.shop.wording import Listing, write_listing
from sage_gym.errors import UnknownNameError

__all__ = ["WORLDS", "Product", "draw_product", "open_world", "write_catalog"]

WORLDS = {"embedded": embedded.draw_world, "nano": nano.draw_world}


@dataclass(frozen=True, slots=True)
class Product:
    """A product and its texts."""

    draft: Draft
    listing: Listing


def open_world(name: str, *, seed: int, size: int) -> World:
    """Draw the families of a world.

    Args:
        name: `embedded` or `nano`.
        seed: embedded has fixed families and draws products; nano draws families too.
        size: products in the shop; nano has more families in a larger shop.

    Raises:
        UnknownNameError: no such world.
        ValueError: `size` is below 1.
    """
    if name not in WORLDS:
        raise UnknownNameError("shop world", name, WORLDS)
    if size < 1:
        raise ValueError(f"expected a shop of at least 1 product, got size={size}")
    return WORLDS[name](seed, size)


def draw_product(world: World, index: int) -> Product:
    """Draw product number `index`: a pure function of the world and the index."""
    draft = draw_draft(world, index)
    return Product(draft, write_listing(draft, world.phrasing, Random(f"{world.name}/{world.seed}/words/{index}")))


def write_catalog(folder: Path, *, size: int = 1000, seed: int = 0, world: str = "embedded") -> None:
    """Write `items_shuffle_<size>.json`, `items_ins_v2_<size>.json`, `items_human_ins.json` and `splits.json`.

    A pure function of its arguments. Products are streamed, so memory does not grow with `size`. Each file is
    complete or absent: it is written under another name first.

    Args:
        folder: made where it does not exist; files of these names in it are replaced.
        size: number of products.
        seed: of everything drawn.
        world: `embedded` (the shop of `env=webshop`) or `nano` (what sage-nano is trained on).

    Raises:
        UnknownNameError: no such world.
        ValueError: `size` is below 1.
    """
    drawn = open_world(world, seed=seed, size=size)
    folder.mkdir(parents=True, exist_ok=True)
    names = (f"items_shuffle_{size}.json", f"items_ins_v2_{size}.json", "items_human_ins.json", "splits.json")
    parts = [folder / f"{name}.part" for name in names]
    try:
        _write_products(drawn, size, parts[0], parts[1])
        parts[2].write_text("{}", encoding="utf-8")
        _write_splits(drawn, size, parts[3])
        for part in parts:
            part.replace(part.with_suffix(""))
    finally:
        for part in parts:
            part.unlink(missing_ok=True)


def _write_products(world: World, size: int, items: Path, instructions: Path) -> None:
    with ExitStack() as stack:
        item_file = stack.enter_context(items.open("w", encoding="utf-8"))
        instruction_file = stack.enter_context(instructions.open("w", encoding="utf-8"))
        item_file.write("[")
        instruction_file.write("{")
        for index in range(size):
            product = draw_product(world, index)
            mark = ",\n" if index else "\n"
            item_file.write(mark + json.dumps(item_record(product)))
            instruction_file.write(f"{mark}{json.dumps(product.draft.asin)}: {json.dumps(instruction_record(product))}")
        item_file.write("\n]\n")
        instruction_file.write("\n}\n")


def _write_splits(world: World, size: int, path: Path) -> None:
    with path.open("w", encoding="utf-8") as file:
        for at, split in enumerate(SPLITS):
            file.write(("{\n" if at == 0 else ",\n") + f'"{split}": [')
            file.writelines(_joined(json.dumps(asin) for asin in _members(world, size, split)))
            file.write("]")
        file.write("\n}\n")


def _members(world: World, size: int, split: Split) -> Iterator[str]:
    return (asin_of(world, index) for index in range(size) if split_of(world, index) == split)


def _joined(texts: Iterable[str]) -> Iterator[str]:
    for at, text in enumerate(texts):
        yield f",\n{text}" if at else text


def item_record(product: Product) -> dict[str, Any]:
    """Return a product as a record of upstream's `items_shuffle` file."""
    draft, listing = product.draft, product.listing
    rng = Random(f"{draft.asin}/listing")
    price = f"${draft.price_low}" + (f" to ${draft.price_high}" if draft.price_high > draft.price_low else "")
    return {
        "name": listing.title,
        "full_description": listing.description,
        "pricing": price,
        "images": [f"https://shop.invalid/{draft.asin}.jpg"],
        "product_category": draft.family.path,
        "average_rating": "" if rng.random() < 0.35 else round(min(5.0, rng.gauss(4.4, 0.4)), 1),
        "small_description": list(listing.bullets),
        "customization_options": {o.name: _option_records(o, draft, rng) for o in draft.offers} or "",
        "asin": draft.asin,
        "category": draft.family.department,
        "query": draft.family.query,
        "page": 1 + draft.index // 100,
    }


def _option_records(offer: Offer, draft: Draft, rng: Random) -> list[dict[str, Any]] | None:
    chosen = rng.randrange(len(offer.values)) if offer.values else -1
    return [
        {
            "is_selected": at == chosen,
            "url": None,
            "value": value,
            "price_string": f"${draft.price_low}" if at == chosen else "",
            "price": draft.price_low if at == chosen else 0,
            "image": None,
        }
        for at, value in enumerate(offer.values)
    ] or None


def instruction_record(product: Product) -> dict[str, Any]:
    """Return a product's record of upstream's `items_ins_v2` file; without instruction, the attributes alone."""
    record: dict[str, Any] = {"attributes": [attribute.text for attribute in product.draft.attributes]}
    if product.listing.instruction:
        record["instruction"] = product.listing.instruction
        record["instruction_attributes"] = [attribute.text for attribute in product.draft.wanted]
    return record
