"""Goals, prices, splits, bad catalogues and the prepared form."""

from __future__ import annotations

import gzip
import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import sage_gym  # noqa: F401
from envs.webshop.environment import WebShop
from envs.webshop.prepared import prepare
from envs.webshop.records import array_records
from envs.webshop.store import open_store
from sage_gym.errors import CatalogError
from tests.webshop_toys import PAN, SHIRT, write

pytestmark = pytest.mark.usefixtures("own_cache")


# Goals, prices and splits


def test_goals_and_prices_come_from_files_where_given(catalog: str, tmp_path: Path) -> None:
    goals, prices, nouns = tmp_path / "goals.json.gz", tmp_path / "prices.json", tmp_path / "nouns.json"
    goal = {
        "asin": "B0PAN00001", "instruction_text": "a pan", "attributes": ["iron"], "goal_options": {},
        "price_upper": 20.0, "name": "Iron Pan",
    }  # fmt: skip
    goals.write_bytes(gzip.compress(json.dumps([goal]).encode()))
    prices.write_text(json.dumps({"B0SHIRT001": 1.0, "B0PAN00001": 30.0}), encoding="utf-8")
    nouns.write_text(json.dumps({"B0SHIRT001": ["shirt"], "B0PAN00001": ["pan"]}), encoding="utf-8")
    env = WebShop(catalog=catalog, goals=str(goals), prices=str(prices), title_nouns=str(nouns), split="all")
    assert [task.instruction for task in env.tasks("all")] == ["a pan"]
    env.reset(options={"task": "webshop/synthetic/00000"})
    for action in ("search[pan]", "click[b0pan00001]"):
        env.step(action)
    _, reward, _, _, info = env.step("click[buy now]")
    assert reward == pytest.approx(1 / 2)
    assert not info["reward_components"]["r_price"]


def test_splits_of_a_catalogue_follow_its_products(catalog: str) -> None:
    env = WebShop(catalog=catalog)
    assert {task.family for task in env.tasks("train")} == {"B0SHIRT001"}
    assert {task.family for task in env.tasks("test")} == {"B0PAN00001"}
    assert len(env.tasks("all")) == 5
    assert [task.key for task in env.tasks("human")] == ["webshop/human/00000"]


def test_tasks_are_the_same_in_every_process_and_hashed_by_content(catalog: str) -> None:
    first = list(WebShop(catalog=catalog).tasks("all"))
    open_store.cache_clear()
    assert list(WebShop(catalog=catalog).tasks("all")) == first
    assert len({task.hash for task in first}) == 5


# Bad catalogues


@pytest.mark.parametrize(
    ("products", "said"),
    [
        ("not json", r"items_shuffle_2.json: start: expected '\['"),
        ("[" + json.dumps(SHIRT) + ', {"asin": "B0', r"record 1: expected a JSON value.*truncated"),
        ("[" + json.dumps(SHIRT), r"after the last whole record: expected ',' or '\]'.*truncated"),
        (json.dumps([SHIRT, {k: v for k, v in PAN.items() if k != "asin"}]), r"record 1: expected asin"),
        (json.dumps([{**SHIRT, "asin": ""}]), r"record 0: expected an asin"),
        (json.dumps([{**SHIRT, "pricing": "cheap"}]), r"record 0 \(B0SHIRT001\): expected a price"),
        (json.dumps([{**SHIRT, "customization_options": {"Size": [{}]}}]), r"record 0: expected customization_options"),
        (json.dumps([]), r"expected at least one product"),
        (json.dumps({"a": 1}), r"expected '\['"),
    ],
)
def test_bad_product_file_names_file_record_and_expectation(tmp_path: Path, products: str, said: str) -> None:
    folder = write(tmp_path / "shop", [SHIRT])
    (folder / "items_shuffle_2.json").write_text(products, encoding="utf-8")
    with pytest.raises(CatalogError, match=said):
        WebShop(catalog=str(folder))
    left = [path.name for path in folder.rglob("*") if path.is_file()]
    assert sorted(left) == ["items_human_ins.json", "items_ins_v2_2.json", "items_shuffle_2.json", "splits.json"]


def test_missing_files_are_named(tmp_path: Path) -> None:
    with pytest.raises(CatalogError, match=r"nowhere/deeper: expected a folder .* nothing is there$"):
        WebShop(catalog=str(tmp_path / "nowhere" / "deeper"))
    (tmp_path / "empty").mkdir()
    with pytest.raises(CatalogError, match=r"expected a file items_shuffle\*"):
        WebShop(catalog=str(tmp_path / "empty"))
    folder = write(tmp_path / "shop", [SHIRT])
    with pytest.raises(CatalogError, match=r"shpo: expected a folder .* nothing is there; did you mean 'shop'"):
        WebShop(catalog=str(tmp_path / "shpo"))
    (folder / "items_ins_v2_2.json").unlink()
    with pytest.raises(CatalogError, match="items_ins"):
        WebShop(catalog=str(folder))


def test_instruction_without_attributes_and_unknown_split_products_are_named(tmp_path: Path) -> None:
    folder = write(tmp_path / "a", [SHIRT], wants={"B0SHIRT001": {"instruction": "Find me shirts"}})
    with pytest.raises(CatalogError, match="expected instruction_attributes"):
        WebShop(catalog=str(folder))
    folder = write(tmp_path / "b", [SHIRT], splits={"train": ["B0NOWHERE0"]})
    with pytest.raises(CatalogError, match="split 'train': expected asins of the catalogue"):
        WebShop(catalog=str(folder))


def test_worlds_are_named_by_name_seed_and_size() -> None:
    for bad in ("world:", "world:nano:x", "world:nano:1:2:3"):
        with pytest.raises(CatalogError, match=r"world:<name>"):
            WebShop(catalog=bad)
    env = WebShop(catalog="world:nano:3:60", split="train")
    assert len(env.store.products) == 60
    assert env.tasks("train")


# The prepared form


def test_prepared_form_is_made_once_and_again_when_a_source_changes(tmp_path: Path) -> None:
    folder = write(tmp_path / "shop", [SHIRT, PAN])
    WebShop(catalog=str(folder))
    made = {path: path.stat().st_mtime_ns for path in (folder / ".sage_gym").glob("*/products.bin")}
    open_store.cache_clear()
    WebShop(catalog=str(folder))
    assert {path: path.stat().st_mtime_ns for path in (folder / ".sage_gym").glob("*/products.bin")} == made
    write(folder, [{**SHIRT, "name": "Wool Shirt"}, PAN])
    open_store.cache_clear()
    assert WebShop(catalog=str(folder)).store.products[0].title == "Wool Shirt"
    assert not set(made) & set((folder / ".sage_gym").glob("*/products.bin"))


def test_prepared_form_of_an_unwritable_source_lies_in_the_cache(tmp_path: Path) -> None:
    folder = write(tmp_path / "shop", [SHIRT, PAN])
    folder.chmod(0o555)
    WebShop(catalog=str(folder))
    folder.chmod(0o755)
    assert not (folder / ".sage_gym").exists()
    assert list((tmp_path / "cache" / "prepared").rglob("products.bin"))


def test_damaged_note_is_made_anew(tmp_path: Path) -> None:
    from envs.webshop.catalog import find_files

    folder = write(tmp_path / "shop", [SHIRT, PAN])
    first = prepare(find_files(folder))
    note = next((folder / ".sage_gym").glob("current-*.json"))
    note.write_text("{", encoding="utf-8")
    assert prepare(find_files(folder)) == first
    shutil.rmtree(first)
    assert (prepare(find_files(folder)) / "products.bin").is_file()


VALUES = st.integers() | st.text(max_size=12)
RECORDS = st.lists(VALUES | st.dictionaries(st.text(max_size=4), VALUES), max_size=6)


@given(RECORDS, st.integers(1, 9))
@settings(max_examples=40)
def test_records_are_read_whole_whatever_the_chunk_size(tmp_path_factory: Any, records: Any, chunk: int) -> None:
    from envs.webshop import records as module

    path = tmp_path_factory.mktemp("records") / "file.json"
    path.write_text(json.dumps(records, ensure_ascii=False), encoding="utf-8")
    kept, module.CHUNK_CHARACTERS = module.CHUNK_CHARACTERS, chunk
    try:
        assert [value for _, value in array_records(path)] == records
    finally:
        module.CHUNK_CHARACTERS = kept
