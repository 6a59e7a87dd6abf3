from __future__ import annotations

import gzip
import json
import shutil
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
import pytest
from gymnasium.error import ResetNeeded
from gymnasium.utils.env_checker import check_env
from hypothesis import given, settings
from hypothesis import strategies as st

import sage_gym  # noqa: F401
from envs.webshop import search
from envs.webshop.environment import WebShop
from envs.webshop.experts import expert
from envs.webshop.index import IndexBuilder, quantise_length
from envs.webshop.pages import visible
from envs.webshop.porter import stem
from envs.webshop.prepared import prepare
from envs.webshop.records import array_records
from envs.webshop.search import Index
from envs.webshop.store import open_store
from sage_gym.errors import CatalogError, ConfigError, TaskKeyError, UnknownNameError

SHIRT = {
    "asin": "B0SHIRT001",
    "name": "Plain Cotton Shirt",
    "full_description": "A shirt. Washable.",
    "small_description": ["Soft", ""],
    "pricing": "$12.50",
    "customization_options": {
        "Color": [{"value": "Red/White"}, {"value": "blue"}],
        "Size": [{"value": "small"}, {"value": "large"}],
    },
    "category": "fashion",
    "query": "Shirts",
    "product_category": "Clothing › Men › Shirts",
    "images": ["x.jpg"],
}
PAN = {
    "asin": "B0PAN00001",
    "name": "Iron Pan",
    "full_description": "",
    "small_description": "Heavy",
    "pricing": "$5.00$9.00",
    "customization_options": "",
    "category": "kitchen",
    "query": "pans",
    "product_category": "Kitchen › Cookware",
    "images": [],
}
WANTS = {
    "B0SHIRT001": {
        "attributes": ["washable"],
        "instruction": "Find me washable shirts",
        "instruction_attributes": ["washable"],
    },
    "B0PAN00001": {"attributes": ["iron"], "instruction": "Find me iron pans", "instruction_attributes": ["iron"]},
}
HUMAN = {
    "B0PAN00001": [{"instruction": "i need a pan.", "instruction_attributes": ["iron"], "instruction_options": []}]
}
SPLITS = {"train": ["B0SHIRT001"], "test": ["B0PAN00001"]}


@pytest.fixture(autouse=True)
def _own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SAGE_GYM_CACHE", str(tmp_path / "cache"))
    open_store.cache_clear()


@pytest.fixture
def catalog(tmp_path: Path) -> str:
    return str(write(tmp_path / "shop", [SHIRT, PAN]))


def write(folder: Path, products: Any, wants: Any = WANTS, splits: Any = SPLITS) -> Path:
    folder.mkdir(exist_ok=True)
    (folder / "items_shuffle_2.json").write_text(json.dumps(products), encoding="utf-8")
    (folder / "items_ins_v2_2.json").write_text(json.dumps(wants), encoding="utf-8")
    (folder / "items_human_ins.json").write_text(json.dumps(HUMAN), encoding="utf-8")
    if splits is not None:
        (folder / "splits.json").write_text(json.dumps(splits), encoding="utf-8")
    return folder


def shirt_key(env: WebShop, *values: str) -> str:
    """The task that wants the shirt with these option values."""
    for task in env.tasks("all"):
        goal = env.store.goal_of(task.key)
        if goal.asin == SHIRT["asin"] and tuple(v for _, v in goal.options) == values:
            return task.key
    raise LookupError(values)


def at_shirt(env: WebShop, *values: str) -> None:
    env.reset(options={"task": shirt_key(env, *values)})
    env.step("search[shirt]")
    env.step("click[b0shirt001]")


# The environment's contract


@pytest.mark.parametrize("mode", ["text", "text_rich"])
@pytest.mark.parametrize("rules", ["upstream", "fixed"])
def test_gymnasium_finds_nothing_to_complain_of(catalog: str, mode: str, rules: str) -> None:
    env = gymnasium.make("sage_gym/WebShop-v0", catalog=catalog, observation_mode=mode, rules=rules)
    check_env(env.unwrapped, skip_render_check=False)


def test_same_task_and_actions_give_the_same_episode(catalog: str) -> None:
    seen = []
    for _ in range(2):
        env = WebShop(catalog=catalog, split="all")
        first, info = env.reset(seed=11)
        seen.append([first, info["task"], env.step("search[pan]")[0], env.step("click[b0pan00001]")[0]])
    assert seen[0] == seen[1]


def test_reset_without_a_task_draws_within_the_split_only(catalog: str) -> None:
    env = WebShop(catalog=catalog, split="train")
    families = {task.key for task in env.tasks("train")}
    drawn = {env.reset(seed=3 if i == 0 else None)[1]["task"] for i in range(40)}
    assert drawn == families


def test_vector_environments_share_one_task_and_drop_it_at_autoreset(catalog: str) -> None:
    env = gymnasium.make_vec("sage_gym/WebShop-v0", num_envs=2, vectorization_mode="sync", catalog=catalog, split="all")
    key = "webshop/synthetic/00001"
    _, infos = env.reset(seed=5, options={"task": key})
    assert list(infos["task"]) == [key, key]
    env.step(("search[shirt]", "search[shirt]"))
    env.step(("click[b0shirt001]", "click[b0shirt001]"))
    _, _, terminated, _, _ = env.step(("click[buy now]", "click[buy now]"))
    assert terminated.all()
    later = {key}
    for _ in range(12):
        _, _, _, _, infos = env.step(("search[shirt]", "search[shirt]"))
        later |= set(infos["task"])
        env.step(("click[b0shirt001]", "click[b0shirt001]"))
        env.step(("click[buy now]", "click[buy now]"))
    assert len(later) > 1
    env.close()


def test_asynchronous_vector_environments_work_without_shared_memory(catalog: str) -> None:
    env = gymnasium.make_vec(
        "sage_gym/WebShop-v0",
        num_envs=2,
        vectorization_mode="async",
        vector_kwargs={"shared_memory": False},
        catalog=catalog,
    )
    observations, _ = env.reset(seed=1)
    assert all("WebShop [SEP] Instruction:" in text for text in observations)
    observations, *_ = env.step(("search[shirt]", "search[pan]"))
    assert "B0SHIRT001" in observations[0]
    env.close()


def test_doing_nothing_ends_at_the_turn_limit_with_nothing(catalog: str) -> None:
    env = WebShop(catalog=catalog, max_turns=3)
    env.reset(seed=0)
    steps = [env.step("") for _ in range(3)]
    assert [(reward, ended, cut) for _, reward, ended, cut, _ in steps] == [(0, False, False)] * 2 + [(0, False, True)]
    assert steps[-1][4]["stop_reason"] == "max_turns"
    assert not steps[-1][4]["success"]
    with pytest.raises(ResetNeeded, match="expected reset"):
        env.step("search[x]")


def test_unknown_arguments_are_all_reported_at_once(catalog: str) -> None:
    with pytest.raises(ConfigError) as caught:
        WebShop(catalog=catalog, observation_mode="html", rules="lax", max_turns=0)  # type: ignore[arg-type]
    assert len(caught.value.problems) == 3


def test_unknown_split_names_the_nearest(catalog: str) -> None:
    with pytest.raises(UnknownNameError, match="did you mean 'train'"):
        WebShop(catalog=catalog, split="trian")


@pytest.mark.parametrize("key", ["webshop/synthetic/00099", "webshop/human/-1", "other/synthetic/0", "webshop", ""])
def test_task_key_out_of_range_gives_the_valid_range(catalog: str, key: str) -> None:
    env = WebShop(catalog=catalog)
    with pytest.raises(TaskKeyError, match=r"webshop/synthetic/00000 to webshop/synthetic/00004"):
        env.reset(options={"task": key})


# Pages and rewards


def test_expert_solves_every_task_and_its_way_is_admissible(catalog: str) -> None:
    env = WebShop(catalog=catalog, split="all")
    for task in [*env.tasks("all"), *env.tasks("human")]:
        env.reset(options={"task": task})
        solver, reward = expert(env), 0.0
        for _ in range(15):
            _, reward, ended, _, info = env.step(solver.action())
            assert not info["invalid_action"]
            if ended:
                break
        assert reward == pytest.approx(1.0), task.key
        assert info["success"]
        assert info["reward_components"]["r_price"]


def test_buying_without_options_scores_the_other_parts(catalog: str) -> None:
    env = WebShop(catalog=catalog)
    at_shirt(env, "blue", "large")
    _, reward, ended, _, info = env.step("click[buy now]")
    assert ended
    assert reward == pytest.approx(2 / 4)  # the attribute and the price, of attribute, two options and price
    assert info["reward_components"]["r_option"] == 0
    assert not info["success"]


@pytest.mark.parametrize(
    ("action", "said"),
    [
        ("click[green]", "its buttons are back to search"),
        ("buy[shirt]", "expected search"),
        ("shirt", "expected search"),
        ("search[]", "expected search"),
        ("click[search]", "expected a button"),
    ],
)
def test_invalid_action_changes_nothing_and_is_answered_in_words(catalog: str, action: str, said: str) -> None:
    env = WebShop(catalog=catalog)
    at_shirt(env, "blue", "large")
    before, _, _, _, _ = env.step("click[large]")
    after, reward, _, _, info = env.step(action)
    assert (after, reward, info["invalid_action"]) == (before, 0.0, True)
    assert said in info["message"]
    assert env.view().news == "invalid"


def test_text_after_the_last_bracket_is_ignored_and_case_does_not_matter(catalog: str) -> None:
    env = WebShop(catalog=catalog)
    at_shirt(env, "blue", "large")
    _, _, _, _, info = env.step("click[LARGE] please")
    assert not info["invalid_action"]
    assert env.session.options == {"size": "large"}


def test_previous_clears_options_from_an_item_and_keeps_them_from_a_sub_page(catalog: str) -> None:
    env = WebShop(catalog=catalog)
    at_shirt(env, "blue", "large")
    env.step("click[large]")
    features, *_ = env.step("click[features]")
    assert features.endswith("Back to Search [SEP] < Prev [SEP] Soft [SEP] ")
    env.step("click[< prev]")
    assert env.session.options == {"size": "large"}
    env.step("click[< prev]")
    assert env.session.options == {}


def test_rich_mode_marks_chosen_options_and_visited_products(catalog: str) -> None:
    env = WebShop(catalog=catalog, observation_mode="text_rich")
    at_shirt(env, "blue", "large")
    text, *_ = env.step("click[red | white]")
    assert text.startswith("You have clicked red | white.\nInstruction:\n")
    assert "  [clicked button] red | white [clicked button_]\n  [button] blue [button_]\n" in text
    text, *_ = env.step("click[< prev]")
    assert "\n\n[clicked button] B0SHIRT001 [clicked button_]\nPlain Cotton Shirt\n$12.5\n" in text


def test_fixed_rules_show_choices_and_accept_the_named_value_only(catalog: str) -> None:
    env = WebShop(catalog=catalog, rules="fixed")
    at_shirt(env, "red | white", "small")
    env.step("click[red | white]")
    text, *_ = env.step("click[large]")
    assert text.endswith("Chosen [SEP] color: red | white [SEP] size: large")
    text, *_ = env.step("click[nothing]")
    assert "Invalid action: expected a button" in text
    _, reward, *_ = env.step("click[buy now]")
    assert reward == pytest.approx(3 / 4)


def test_upstreams_rules_cannot_match_a_colour_inside_a_value_and_fixed_ones_can(tmp_path: Path) -> None:
    options = {"Color": [{"value": "2005red"}, {"value": "plain"}]}
    folder = str(write(tmp_path / "shop", [{**SHIRT, "customization_options": options}, PAN]))
    rewards = {}
    for rules in ("upstream", "fixed"):
        env = WebShop(catalog=folder, rules=rules)
        at_shirt(env, "2005red")
        env.step("click[2005red]")
        rewards[rules] = env.step("click[buy now]")[1]
    assert rewards["upstream"] < 1.0
    assert rewards["fixed"] == pytest.approx(1.0)


def test_every_choice_of_a_view_is_accepted(catalog: str) -> None:
    env = WebShop(catalog=catalog, max_turns=None)
    paths = [(), ("search[shirt]",), ("search[shirt]", "click[next >]"), ("search[shirt]", "click[b0shirt001]")]
    paths += [(*paths[-1], "click[small]"), (*paths[-1], "click[description]")]
    for path in paths:
        env.reset(seed=1)
        for action in path:
            env.step(action)
        choices = env.view().choices
        for choice in choices:
            env.reset(seed=1)
            for action in path:
                env.step(action)
            assert not env.step(choice.action)[4]["invalid_action"], (path, choice)


def test_view_keeps_its_page_when_an_option_is_clicked_and_says_what_was_chosen(catalog: str) -> None:
    env = WebShop(catalog=catalog)
    env.reset(seed=0)
    assert (env.view().page, env.view().choices, env.view().free) == ("index", (), ("search[",))
    env.step("search[Cotton Shirt]")
    listed = env.view()
    assert (listed.page, listed.news) == ("results:cotton shirt:1", "page 1")
    assert [(c.action, c.text) for c in listed.choices] == [
        ("click[b0shirt001]", "Plain Cotton Shirt $12.5"),
        ("click[next >]", "next page"),
        ("click[back to search]", "back to search"),
    ]
    env.step("click[b0shirt001]")
    item = env.view()
    assert (item.page, item.news) == ("item:B0SHIRT001", "price $12.5")
    assert [c.text for c in item.choices] == [
        "buy now", "prev", "back to search", "description", "features", "reviews",
        "color: red | white", "color: blue", "size: small", "size: large",
    ]  # fmt: skip
    env.step("click[blue]")
    assert (env.view().page, env.view().news) == (item.page, "chosen color: blue")
    env.step("click[description]")
    assert (env.view().page, env.view().news) == ("sub:B0SHIRT001:description", "A shirt. Washable.")


def test_rendering_shows_the_page_and_what_can_be_done(catalog: str, capsys: pytest.CaptureFixture[str]) -> None:
    env = WebShop(catalog=catalog, render_mode="ansi")
    env.reset(seed=0)
    env.step("search[pan]")
    shown = env.render()
    assert shown is not None
    assert "Iron Pan" in shown
    assert "click[b0pan00001]" in shown
    human = WebShop(catalog=catalog, render_mode="human")
    human.reset(seed=0)
    assert "Instruction:" in capsys.readouterr().out


def test_attributes_page_is_shown_on_request(catalog: str) -> None:
    env = WebShop(catalog=catalog, show_attributes=True)
    at_shirt(env, "blue", "large")
    text, *_ = env.step("click[attributes]")
    assert text.endswith("washable [SEP] fashion [SEP] shirts [SEP] Clothing › Men › Shirts")


def test_category_and_query_marks_list_products(catalog: str) -> None:
    store = WebShop(catalog=catalog).store
    assert [store.products[p].asin for p in store.search("<c> kitchen")] == ["B0PAN00001"]
    assert [store.products[p].asin for p in store.search("<q> shirts")] == ["B0SHIRT001"]


@pytest.mark.parametrize(("text", "node"), [("", ()), ("  ", (" ",)), (" \n ", ()), (" a ", (" a ",))])
def test_blank_text_is_shown_as_upstreams_parser_shows_it(text: str, node: tuple[str, ...]) -> None:
    assert visible(text) == node


def test_bullets_of_blanks_are_shown_as_upstreams_parser_shows_them(tmp_path: Path) -> None:
    folder = str(write(tmp_path / "shop", [{**SHIRT, "small_description": ["Soft ", "", "\n", "Warm"]}, PAN]))
    env = WebShop(catalog=folder)
    at_shirt(env, "blue", "large")
    assert env.step("click[features]")[0].endswith("< Prev [SEP] Soft [SEP]  [SEP] Warm")


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
    with pytest.raises(CatalogError, match="expected a folder"):
        WebShop(catalog=str(tmp_path / "nowhere" / "deeper"))
    (tmp_path / "empty").mkdir()
    with pytest.raises(CatalogError, match=r"expected a file items_shuffle\*"):
        WebShop(catalog=str(tmp_path / "empty"))
    folder = write(tmp_path / "shop", [SHIRT])
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
@settings(max_examples=40, deadline=None)
def test_records_are_read_whole_whatever_the_chunk_size(tmp_path_factory: Any, records: Any, chunk: int) -> None:
    from envs.webshop import records as module

    path = tmp_path_factory.mktemp("records") / "file.json"
    path.write_text(json.dumps(records, ensure_ascii=False), encoding="utf-8")
    kept, module.CHUNK_CHARACTERS = module.CHUNK_CHARACTERS, chunk
    try:
        assert [value for _, value in array_records(path)] == records
    finally:
        module.CHUNK_CHARACTERS = kept


# Search


def test_bm25_of_one_term_is_what_the_formula_gives() -> None:
    builder = IndexBuilder()
    for text in ("red red pan", "red shoe shoe shoe", "blue shoe"):
        builder.add(text)
    postings = builder.finish(np.arange(3, dtype=np.int32))
    index = Index(postings)
    assert index.search("red") == [0, 1]
    idf, average = np.log(1 + (3 - 2 + 0.5) / (2 + 0.5)), 3.0
    wanted = [idf * f / (f + 0.9 * (0.6 + 0.4 * length / average)) for f, length in ((2, 3), (1, 4))]
    row = index._find_row("red")
    start, end = postings.starts[row], postings.starts[row + 1]
    assert postings.impacts[start:end].tolist() == pytest.approx(wanted, rel=1e-6)


@given(st.integers(0, 10_000))
@settings(max_examples=20, deadline=None)
def test_pruned_search_finds_what_full_search_finds(seed: int) -> None:
    generator = np.random.default_rng(seed)
    builder = IndexBuilder()
    size = int(generator.integers(60, 400))
    for _ in range(size):
        words = np.minimum(generator.zipf(1.4, size=int(generator.integers(1, 12))), 60)
        builder.add(" ".join(f"w{word}" for word in words))
    index = Index(builder.finish(generator.permutation(size).astype(np.int32)))
    for _ in range(5):
        query = " ".join(
            f"w{word}" for word in np.minimum(generator.zipf(1.3, size=int(generator.integers(1, 14))), 60)
        )
        full = index.search(query, 10)
        rows = index._query_rows(query)
        docs, scores = index._pruned(rows, 10) if rows else (np.empty(0, np.int64), np.empty(0))
        ranked = search._best(docs, scores.astype(np.float32), 10)
        assert index.postings.numbering[ranked].tolist() == full


@pytest.mark.parametrize(("length", "kept"), [(0, 0), (39, 39), (40, 40), (41, 40), (100, 96), (1000, 984)])
def test_lengths_are_quantised_as_lucene_does(length: int, kept: int) -> None:
    assert quantise_length(length) == kept


@pytest.mark.parametrize(
    ("word", "root"),
    [
        ("caresses", "caress"), ("ponies", "poni"), ("agreed", "agre"), ("plastered", "plaster"), ("motoring", "motor"),
        ("hopping", "hop"), ("filing", "file"), ("happy", "happi"), ("relational", "relat"), ("assembly", "assembl"),
        ("technology", "technolog"), ("adoption", "adopt"), ("probate", "probat"), ("controlling", "control"),
        ("is", "is"), ("y", "y"),
    ],
)  # fmt: skip
def test_porter_stems_its_authors_examples(word: str, root: str) -> None:
    assert stem(word) == root


# The benchmark


def test_benchmark_measures_steps_resets_and_the_catalogue(catalog: str) -> None:
    from envs.webshop.bench import run

    measured = run(catalog, steps=300)
    assert measured["products"] == 2
    speeds = [value for name, value in measured.items() if "a second" in name]
    assert len(speeds) == 2
    assert all(isinstance(speed, int) and speed > 0 for speed in speeds)
