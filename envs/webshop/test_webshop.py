"""WebShop's contract, pages and rewards, on a shop of two products."""

from __future__ import annotations

from pathlib import Path

import gymnasium
import pytest
from gymnasium.error import ResetNeeded
from gymnasium.utils.env_checker import check_env

import sage_gym  # noqa: F401
from envs.webshop import bench
from envs.webshop.environment import WebShop
from envs.webshop.experts import expert
from envs.webshop.pages import visible
from sage_gym.errors import ConfigError, TaskKeyError, UnknownNameError
from tests.webshop_toys import PAN, SHIRT, at_shirt, write

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


# The benchmark


@pytest.mark.usefixtures("own_cache")
def test_benchmark_measures_steps_resets_and_the_catalogue(catalog: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bench, "INSTANCES", 50)
    measured = bench.run(catalog, steps=100)
    assert measured["products"] == 2
    speeds = [value for name, value in measured.items() if "a second" in name]
    assert len(speeds) == 2
    assert all(isinstance(speed, int) and speed > 0 for speed in speeds)
