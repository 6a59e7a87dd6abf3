"""Our WebShop against what upstream answered on the public set."""

from __future__ import annotations

import gzip
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from envs.webshop.analyzer import Analyzer
from envs.webshop.environment import WebShop
from envs.webshop.goals import Goal
from envs.webshop.nouns import spacy_nouns
from envs.webshop.reward import Purchase, score_purchase
from envs.webshop.store import Store

EPISODES, QUERIES, REWARDS = "trajectories_text_seed0", "bm25_top50_lucene_1k", "rewards_3000"


@pytest.fixture(scope="session")
def golden(sage_gym_data: Path) -> Path:
    return sage_gym_data / "golden" / "webshop"


@pytest.fixture(scope="session")
def public(sage_gym_data: Path, golden: Path) -> WebShop:
    return WebShop(
        catalog=str(sage_gym_data / "data" / "webshop"),
        goals=str(golden / "goals_synthetic_seed0.json.gz"),
        prices=str(golden / "product_prices_seed0.json.gz"),
        title_nouns=str(golden / "title_nouns_en_core_web_sm_3.8.0.json.gz"),
        max_turns=None,
    )


def read(folder: Path, name: str) -> Any:
    with gzip.open(folder / f"{name}.json.gz", "rt", encoding="utf-8") as file:
        return json.load(file)


def play(env: WebShop, episode: dict[str, Any]) -> list[str]:
    """Replay a recorded episode; list what differs."""
    problems = []
    for number, step in enumerate(episode["steps"]):
        reward, is_done = 0.0, False
        if number == 0:
            observation, info = env.reset(options={"task": f"webshop/synthetic/{episode['goal_idx']:05d}"})
        else:
            observation, reward, is_done, _, info = env.step(step["action"])
        if "info" in step and info["reward_components"] != step["info"]:
            problems.append(f"goal {episode['goal_idx']}: {info['reward_components']} is not {step['info']}")
        clickables = {"has_search_bar": info["has_search_bar"], "clickables": info["clickables"]}
        ours = (observation, clickables, env.session.address if number else None, is_done)
        theirs = (step["obs"], step["clickables"], step.get("url"), step.get("done", False))
        if ours != theirs or abs(reward - step.get("reward", 0.0)) > 1e-9:
            problems.append(f"goal {episode['goal_idx']}, step {number}: {ours} is not {theirs}")
    return problems


def test_recorded_episodes_replay_identically(public: WebShop, golden: Path) -> None:
    episodes = read(golden, EPISODES)
    assert len(episodes) >= 300
    assert [problem for episode in episodes for problem in play(public, episode)] == []


def test_analyser_gives_lucenes_terms(golden: Path) -> None:
    analyze = Analyzer()
    cases = read(golden, "analyzer_tokens")
    assert len(cases) >= 913
    assert [case["text"] for case in cases if analyze(case["text"]) != case["tokens"]] == []


def test_search_gives_lucenes_top_fifty_in_its_order(public: WebShop, golden: Path) -> None:
    cases = read(golden, QUERIES)
    assert len(cases) >= 913
    products = public.store.products
    differing = [
        case["q"]
        for case in cases
        if [products[p].asin for p in public.store.search(case["q"].lower())] != [asin for asin, _ in case["hits"]]
    ]
    assert differing == []


def test_goals_are_drawn_as_upstream_draws_them(sage_gym_data: Path, golden: Path) -> None:
    env = WebShop(catalog=str(sage_gym_data / "data" / "webshop"), prices=str(golden / "product_prices_seed0.json.gz"))
    theirs = read(golden, "goals_synthetic_seed0")
    tasks = env.tasks("all")
    assert len(tasks) == len(theirs) == 6910
    for index, wanted in enumerate(theirs):
        goal = env.store.goal("synthetic", index)
        ours = (goal.asin, goal.instruction, list(goal.attributes), goal.price_upper, dict(goal.options))
        assert ours == (
            wanted["asin"], wanted["instruction_text"], wanted["attributes"], wanted["price_upper"],
            wanted["goal_options"],
        )  # fmt: skip
        assert tasks[index].instruction == wanted["instruction_text"]


def test_prices_are_drawn_as_upstream_draws_them(sage_gym_data: Path, golden: Path) -> None:
    store = WebShop(catalog=str(sage_gym_data / "data" / "webshop")).store
    prices = read(golden, "product_prices_seed0")
    drawn = {product.asin: price for product, price in zip(store.products, store.prices.tolist(), strict=True)}
    assert drawn == prices


def score(store: Store, places: dict[str, int], case: dict[str, Any]) -> Purchase:
    wanted = case["goal"]
    goal = Goal(
        "synthetic", 0, places[wanted["asin"]], wanted["asin"], wanted["instruction_text"],
        tuple(wanted["attributes"]), tuple(wanted["goal_options"].items()), wanted["price_upper"],
    )  # fmt: skip
    bought, sought = store.products[places[case["asin"]]], store.products[places[wanted["asin"]]]
    nouns = (store.nouns(bought), store.nouns(sought))
    return score_purchase(bought, sought, goal, price=case["price"], options=case["options"], nouns=nouns)


def test_recorded_rewards_come_out_with_their_components(public: WebShop, golden: Path) -> None:
    store = public.store
    places = {product.asin: position for position, product in enumerate(store.products)}
    cases = read(golden, REWARDS)
    assert len(cases) >= 3000
    off_titles = 0
    for case in cases:
        purchase = score(store, places, case)
        ours, theirs = dict(purchase.components), dict(case["info"])
        off_titles += abs(ours.pop("title_score") - theirs.pop("title_score")) > 1e-9
        assert purchase.reward == pytest.approx(case["reward"], abs=1e-9)
        assert ours == theirs
    # The noun file holds each noun once; how often a repeated word is a noun is spaCy's judgement, estimated here.
    assert off_titles / len(cases) < 0.04


def test_public_splits_are_upstreams_and_the_disjoint_ones_share_no_product(public: WebShop) -> None:
    sizes = {split: len(public.tasks(split)) for split in public.splits()}
    expected = {"train": 5410, "select": 1000, "eval": 1000, "test": 500, "train_small": 6410, "train_disjoint": 745}
    assert {split: sizes[split] for split in expected} == expected
    families = {split: {task.family for task in public.tasks(split)} for split in public.splits()}
    assert not families["train_disjoint"] & families["test"]
    assert not families["select_disjoint"] & (families["test"] | families["train_disjoint_fit"])
    assert sizes["select_disjoint"] + sizes["train_disjoint_fit"] == 745


def test_spacy_gives_the_recorded_nouns_and_title_scores(public: WebShop, golden: Path) -> None:
    pytest.importorskip("spacy", reason="needs the extra `spacy`")
    pytest.importorskip("en_core_web_sm", reason="needs spaCy's model en_core_web_sm")
    nouns = spacy_nouns()
    recorded = read(golden, "title_nouns_en_core_web_sm_3.8.0")
    assert {p.asin: sorted(set(nouns(p))) for p in public.store.products} == recorded
    store = replace(public.store, nouns=nouns)
    places = {product.asin: position for position, product in enumerate(store.products)}
    for case in read(golden, REWARDS):
        assert dict(score(store, places, case).components) == case["info"]
