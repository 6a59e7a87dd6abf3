"""The generated shops: upstream's file shapes, splits and worlds that share nothing, the same bytes for a seed."""

from __future__ import annotations

import json
import re
import tracemalloc
from collections import Counter
from functools import cache
from pathlib import Path
from random import Random
from typing import Any, NamedTuple

import pytest

from envs.webshop.reward import normalise_color
from envs.webshop.shop import write_catalog
from envs.webshop.shop.catalog import Product, draw_product, item_record, open_world
from envs.webshop.shop.family import SHELVES, Shelf, World
from envs.webshop.shop.nano.words import invent, words_of
from envs.webshop.shop.product import asin_of, draw_draft, place_of, split_of
from sage_gym.errors import UnknownNameError

SIZE = 400
WORLDS = ("embedded", "nano")


world_of = cache(open_world)


class Shop(NamedTuple):
    """What the files of a shop say; none of the tests changes it."""

    products: list[dict[str, Any]]
    instructions: dict[str, Any]
    splits: dict[str, list[str]]
    people: dict[str, Any]


def read(folder: Path, size: int) -> Shop:
    names = (f"items_shuffle_{size}.json", f"items_ins_v2_{size}.json", "splits.json", "items_human_ins.json")
    return Shop(*(json.loads((folder / name).read_text("utf-8")) for name in names))


@pytest.fixture(scope="module", params=WORLDS)
def shop(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Shop:
    folder = tmp_path_factory.mktemp(request.param)
    write_catalog(folder, size=SIZE, world=request.param)
    return read(folder, SIZE)


@cache
def embedded_products() -> tuple[Product, ...]:
    return tuple(draw_product(world_of("embedded", seed=0, size=SIZE), index) for index in range(SIZE))


@pytest.mark.parametrize("world", WORLDS)
def test_the_same_arguments_write_the_same_bytes_and_another_seed_does_not(world: str, tmp_path: Path) -> None:
    for name, seed in (("first", 3), ("again", 3), ("other", 4)):
        write_catalog(tmp_path / name, size=60, seed=seed, world=world)
    names = sorted(path.name for path in (tmp_path / "first").iterdir())
    assert names == ["items_human_ins.json", "items_ins_v2_60.json", "items_shuffle_60.json", "splits.json"]
    for name in names:
        assert (tmp_path / "first" / name).read_bytes() == (tmp_path / "again" / name).read_bytes()
    assert (tmp_path / "first" / names[2]).read_bytes() != (tmp_path / "other" / names[2]).read_bytes()


def test_splits_hold_every_product_once(shop: Shop) -> None:
    products, instructions, splits, _ = shop
    listed = [asin for asins in splits.values() for asin in asins]
    assert list(splits) == ["train", "select", "test", "transfer"]
    assert len(listed) == len(set(listed)) == SIZE
    assert set(listed) == {product["asin"] for product in products} == set(instructions)
    assert all(len(asins) > SIZE / 20 for asins in splits.values())


def test_transfer_families_share_no_type_attribute_or_department_with_the_rest(shop: Shop) -> None:
    products, instructions, splits, _ = shop
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


def test_test_products_are_of_families_that_training_has(shop: Shop) -> None:
    products, _, splits, _ = shop
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


PRODUCT_KEYS = [
    *("name", "full_description", "pricing", "images", "product_category", "average_rating", "small_description"),
    *("customization_options", "asin", "category", "query", "page"),
]
VALUE_KEYS = ["is_selected", "url", "value", "price_string", "price", "image"]


def test_products_are_records_of_upstreams_shape(shop: Shop) -> None:
    products, instructions, _, people = shop
    assert people == {}
    for product in products:
        assert list(product) == PRODUCT_KEYS
        assert re.fullmatch(r"B0[0-9A-Z]{8}", product["asin"])
        assert re.fullmatch(r"\$\d+\.\d+( to \$\d+\.\d+)?", product["pricing"])
        assert all(isinstance(bullet, str) and bullet for bullet in product["small_description"])
        groups = product["customization_options"]
        assert groups == "" or (0 < len(groups) <= 4)
        for values in (groups or {}).values():
            assert values is None or all(list(value) == VALUE_KEYS and value["value"] for value in values)
    for record in instructions.values():
        assert list(record) in (["attributes"], ["attributes", "instruction", "instruction_attributes"])


def test_titles_options_and_instructions_have_the_public_sets_spread(shop: Shop) -> None:
    products, instructions, *_ = shop
    titles = sorted(len(product["name"]) for product in products)
    assert titles[SIZE // 20] > 60
    assert 85 < titles[SIZE // 2] < 130
    assert titles[-1] <= 200
    counts = [len(v) for p in products for v in (p["customization_options"] or {}).values() if v]
    assert max(counts) >= 15
    assert sorted(counts)[len(counts) // 2] <= 6
    assert any(None in (p["customization_options"] or {}).values() for p in products)
    asked = Counter(len(record.get("instruction_attributes", ())) for record in instructions.values())
    assert set(asked) == {0, 1, 2, 3, 4, 5, 6}
    asking = sorted(count for count in asked.elements() if count)
    assert asking[len(asking) // 2] in (2, 3)
    assert 0.15 < asked[0] / SIZE < 0.3


def test_an_instruction_names_its_attributes_around_the_product_type(shop: Shop) -> None:
    products, instructions, *_ = shop
    for product in products:
        record = instructions[product["asin"]]
        if "instruction" not in record:
            continue
        wanted = record["instruction_attributes"]
        assert set(wanted) <= set(record["attributes"])
        before, _, after = record["instruction"].partition(product["query"])
        assert before.startswith("Find me ")
        rest = re.split(", ", before.removeprefix("Find me ").strip()) if before != "Find me " else []
        for mark in (" with ", " for "):
            if after.startswith(mark):
                stated, _, after = after.removeprefix(mark).partition(" for ")
                after = f" for {after}" if after else ""
                rest += stated.split(", ")
        assert rest == wanted


def test_products_of_one_type_are_many_enough_to_fill_results(shop: Shop) -> None:
    shared = Counter(product["query"] for product in shop.products)
    assert sum(count >= 5 for count in shared.values()) / len(shared) > 0.9


@pytest.mark.parametrize("world", WORLDS)
def test_a_sibling_with_the_wanted_attributes_lacks_about_six_in_ten_of_the_options(world: str) -> None:
    drawn = world_of(world, seed=0, size=SIZE)
    drafts = [draw_draft(drawn, index) for index in range(SIZE)]
    held = lacking = 0
    for goal in (draft for draft in drafts if draft.wanted):
        wanted, options = set(goal.wanted), {value for offer in goal.offers for value in offer.values}
        for other in drafts:
            is_sibling = other is not goal and other.family is goal.family and other.brand == goal.brand
            if is_sibling and wanted <= set(other.attributes):
                held += len(options)
                lacking += len(options - {value for offer in other.offers for value in offer.values})
    assert held > 500
    assert 0.5 < lacking / held < 0.75


def test_the_worlds_share_no_type_attribute_brand_category_or_option_value() -> None:
    shared = vocabulary(world_of("embedded", seed=0, size=1000))
    for seed in range(3):
        other = vocabulary(world_of("nano", seed=seed, size=1000))
        for kind, texts in shared.items():
            assert texts
            assert not texts & other[kind], f"{kind}, seed {seed}"


def vocabulary(world: World) -> dict[str, set[str]]:
    families = world.families
    types = " ".join(text for f in families for text in (f.query, *f.nouns)).lower()
    return {
        "product type": {text.lower() for f in families for text in (f.query, *f.nouns)},
        "word of a product type": set(re.findall(r"[a-z]{2,}", types)),
        "attribute": {a.text.lower() for f in families for a in f.attributes},
        "brand": {brand.lower() for f in families for brand in f.brands},
        "category": {text.lower() for f in families for text in (f.department, f.path)},
        "option value": {value.lower() for f in families for group in f.options for value in group.values},
    }


def test_each_seed_of_nano_has_other_words() -> None:
    first, second = (vocabulary(world_of("nano", seed=seed, size=1000)) for seed in (0, 1))
    assert len(first["product type"] & second["product type"]) < 0.05 * len(first["product type"])
    assert len(first["attribute"] & second["attribute"]) < 0.1 * len(first["attribute"])
    assert len(first["brand"] & second["brand"]) < 0.05 * len(first["brand"])


@pytest.mark.parametrize("world", WORLDS)
def test_a_product_drawn_alone_is_the_one_in_the_file(world: str, tmp_path: Path) -> None:
    write_catalog(tmp_path, size=80, seed=5, world=world)
    products, instructions, splits, _ = read(tmp_path, 80)
    drawn = open_world(world, seed=5, size=80)
    for index in (79, 3, 41):
        product = draw_product(drawn, index)
        assert json.loads(json.dumps(item_record(product))) == products[index]
        assert product.draft.asin in splits[product.draft.split]
        assert instructions[product.draft.asin]["attributes"] == [a.text for a in product.draft.attributes]


def test_a_shop_is_streamed_and_never_held(tmp_path: Path) -> None:
    write_catalog(tmp_path, size=10)
    tracemalloc.start()
    write_catalog(tmp_path, size=250)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < (tmp_path / "items_shuffle_250.json").stat().st_size / 2


@pytest.mark.parametrize("world", WORLDS)
def test_five_thousand_products_have_as_many_identifiers(world: str) -> None:
    drawn = world_of(world, seed=0, size=1000)  # identifiers do not depend on how many families there are
    assert len({asin_of(drawn, index) for index in range(5000)}) == 5000


def test_hardly_two_products_have_one_title(shop: Shop) -> None:
    assert len({product["name"] for product in shop.products}) > 0.99 * SIZE


def test_a_failed_write_leaves_the_old_shop_as_it_was(tmp_path: Path) -> None:
    write_catalog(tmp_path, size=30)
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    blocked = tmp_path / "items_human_ins.json.part"
    blocked.mkdir()
    with pytest.raises(OSError, match="items_human_ins"):
        write_catalog(tmp_path, size=30, seed=1)
    blocked.rmdir()
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before


@pytest.mark.parametrize("world", WORLDS)
def test_siblings_of_a_line_are_in_one_split(world: str) -> None:
    drawn = world_of(world, seed=0, size=1000)
    lines: dict[tuple[int, int], list[str]] = {}
    for index in range(1000):
        place = place_of(drawn, index)
        lines.setdefault((place.family, place.line), []).append(split_of(drawn, index))
    assert sum(len(splits) > 1 for splits in lines.values()) > 100
    assert all(len(set(splits)) == 1 for splits in lines.values())


def test_splits_of_the_embedded_shop_have_like_shares_of_hard_and_easy_products() -> None:
    drawn = world_of("embedded", seed=0, size=1000)
    counts: dict[str, Counter[Shelf]] = {}
    families: dict[int, set[str]] = {}
    for index in range(1000):
        draft = draw_draft(drawn, index)
        if draft.wanted and draft.split != "transfer":
            counts.setdefault(draft.split, Counter())[draft.family.shelf] += 1
            families.setdefault(place_of(drawn, index).family, set()).add(draft.split)
    shares = {split: {shelf: n / count.total() for shelf, n in count.items()} for split, count in counts.items()}
    for shelf in SHELVES.values():
        found = [shares[split][shelf] for split in ("train", "select", "test")]
        assert max(found) - min(found) < 0.06, found
    assert counts["select"].total() > 140
    assert counts["test"].total() > 140
    assert sum(len(splits) == 3 for splits in families.values()) > 30


def test_no_option_value_of_the_embedded_shop_hides_a_colour_that_upstreams_reward_would_trip_over() -> None:
    for family in world_of("embedded", seed=0, size=1000).families:
        for value in (value.lower() for group in family.options for value in group.values):
            assert set(normalise_color(value).split()) <= set(value.split()), value


def test_a_large_nano_shop_still_keeps_its_transfer_families_apart() -> None:
    families = world_of("nano", seed=0, size=5000).families
    groups = [[f for f in families if f.is_transfer is is_transfer] for is_transfer in (True, False)]
    held_out, rest = ({a.text for f in group for a in f.attributes} for group in groups)
    assert len(held_out) > 500
    assert not held_out & rest
    held_out, rest = ({text.lower() for f in group for text in (f.query, f.nouns[0])} for group in groups)
    assert not held_out & rest


def test_no_invented_word_is_one_of_the_embedded_shops() -> None:
    families = world_of("embedded", seed=0, size=1000).families
    reserved = frozenset[str]().union(*map(words_of, families))
    rng = Random(0)
    assert not {invent(rng) for _ in range(20_000)} & reserved


def test_shelves_differ_in_how_alike_their_products_are() -> None:
    drafts = [product.draft for product in embedded_products()]
    offers: dict[str, list[float]] = {}
    wanted: dict[str, list[float]] = {}
    for name in ("calm", "mixed", "crowded"):
        own = [draft for draft in drafts if draft.family.shelf is SHELVES[name]]
        for goal in own:
            rivals = [other for other in own if other is not goal and other.family is goal.family]
            siblings = [other for other in rivals if other.brand == goal.brand] or rivals
            offers.setdefault(name, []).extend(float(other.offers == goal.offers) for other in siblings)
            if goal.wanted:
                held = [set(goal.wanted) <= set(other.attributes) for other in siblings]
                wanted.setdefault(name, []).extend(map(float, held))
    assert sum(offers["calm"]) == len(offers["calm"]) > 100  # the page says nothing; the title does
    assert sum(offers["mixed"]) / len(offers["mixed"]) < 0.3  # the page says which one it is
    assert sum(offers["crowded"]) / len(offers["crowded"]) > 0.6  # the page says nothing ...
    assert sum(wanted["crowded"]) / len(wanted["crowded"]) < 0.15  # ... and few have what is asked for


def test_calm_titles_name_what_crowded_ones_leave_out() -> None:
    named: dict[str, list[bool]] = {"calm": [], "crowded": []}
    for product in embedded_products():
        for name, found in named.items():
            if product.draft.family.shelf is SHELVES[name]:
                found += [attribute.text in product.listing.title.lower() for attribute in product.draft.wanted]
    assert sum(named["calm"]) / len(named["calm"]) > 0.6
    assert sum(named["crowded"]) / len(named["crowded"]) < 0.1
