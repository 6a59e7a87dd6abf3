"""The generated shops: upstream's file shapes, splits and worlds that share nothing, the same bytes for a seed."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from envs.webshop.shop import write_catalog
from sage_gym.errors import UnknownNameError

SIZE = 400
WORLDS = ("embedded", "nano")


def read(folder: Path, size: int = SIZE) -> tuple[list[dict[str, Any]], dict[str, Any], dict[str, list[str]]]:
    names = (f"items_shuffle_{size}.json", f"items_ins_v2_{size}.json", "splits.json")
    products, instructions, splits = (json.loads((folder / name).read_text("utf-8")) for name in names)
    return products, instructions, splits


@pytest.fixture(scope="module", params=WORLDS)
def shop(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp(request.param)
    write_catalog(folder, size=SIZE, world=request.param)
    return folder


@pytest.mark.parametrize("world", WORLDS)
def test_the_same_arguments_write_the_same_bytes_and_another_seed_does_not(world: str, tmp_path: Path) -> None:
    for name, seed in (("first", 3), ("again", 3), ("other", 4)):
        write_catalog(tmp_path / name, size=60, seed=seed, world=world)
    names = sorted(path.name for path in (tmp_path / "first").iterdir())
    assert names == ["items_human_ins.json", "items_ins_v2_60.json", "items_shuffle_60.json", "splits.json"]
    for name in names:
        assert (tmp_path / "first" / name).read_bytes() == (tmp_path / "again" / name).read_bytes()
    assert (tmp_path / "first" / names[2]).read_bytes() != (tmp_path / "other" / names[2]).read_bytes()


def test_splits_hold_every_product_once(shop: Path) -> None:
    products, instructions, splits = read(shop)
    listed = [asin for asins in splits.values() for asin in asins]
    assert list(splits) == ["train", "select", "test", "transfer"]
    assert len(listed) == len(set(listed)) == SIZE
    assert set(listed) == {product["asin"] for product in products} == set(instructions)
    assert all(len(asins) > SIZE / 20 for asins in splits.values())


def test_transfer_families_share_no_type_attribute_or_department_with_the_rest(shop: Path) -> None:
    products, instructions, splits = read(shop)
    transfer = set(splits["transfer"])
    for key in ("query", "category", "product_category"):
        inside = {product[key] for product in products if product["asin"] in transfer}
        outside = {product[key] for product in products if product["asin"] not in transfer}
        assert inside
        assert not inside & outside
    inside = {a for asin, record in instructions.items() if asin in transfer for a in record["attributes"]}
    outside = {a for asin, record in instructions.items() if asin not in transfer for a in record["attributes"]}
    assert inside
    assert not inside & outside


def test_test_products_are_of_families_that_training_has(shop: Path) -> None:
    products, _, splits = read(shop)
    query = {product["asin"]: product["query"] for product in products}
    trained = {query[asin] for asin in splits["train"]}
    held_out = [query[asin] in trained for asin in splits["test"] + splits["select"]]
    assert sum(held_out) / len(held_out) > 0.9


def test_an_unknown_world_is_answered_with_the_known_ones(tmp_path: Path) -> None:
    with pytest.raises(UnknownNameError, match=r"no shop world named 'nanno'; did you mean 'nano'\?"):
        write_catalog(tmp_path, world="nanno")
    with pytest.raises(ValueError, match="at least 1 product, got size=0"):
        write_catalog(tmp_path, size=0)
    assert not list(tmp_path.iterdir())
