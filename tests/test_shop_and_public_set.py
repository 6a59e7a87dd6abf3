"""What sage-nano is trained on shares no product type and no attribute with the public WebShop set."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from envs.webshop.shop.catalog import open_world


@pytest.mark.parametrize("seed", range(4))
def test_nanos_world_has_no_product_type_attribute_or_query_of_the_public_set(sage_gym_data: Path, seed: int) -> None:
    folder = sage_gym_data / "data" / "webshop"
    products = json.loads((folder / "items_shuffle_1000.json").read_text("utf-8"))
    records = json.loads((folder / "items_ins_v2_1000.json").read_text("utf-8"))
    families = open_world("nano", seed=seed, size=1000).families
    public_types = {product["query"].strip().lower() for product in products}
    public_attributes = {text.lower() for record in records.values() for text in record["attributes"]}
    assert len(public_types) > 200
    assert len(public_attributes) > 500
    assert not public_types & {text.lower() for family in families for text in (family.query, *family.nouns)}
    assert not public_attributes & {attribute.text for family in families for attribute in family.attributes}
