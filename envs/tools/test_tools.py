"""The environment's contract."""

from __future__ import annotations

import gymnasium
import pytest
from gymnasium.error import ResetNeeded
from gymnasium.utils.env_checker import check_env

from envs.tools.environment import Tools
from envs.tools.experts import Expert
from envs.tools.generator import make_puzzle
from envs.tools.random_calls import RandomCalls
from envs.tools.toolbox import CHANGING, TOOLS
from sage_gym.errors import ConfigError
from sage_gym.protocols import TaskEnvironment


def test_gymnasium_finds_nothing_to_complain_of() -> None:
    gymnasium.register(id="sage_gym/ToolsUnderTest-v0", entry_point="envs.tools.environment:Tools")
    env = gymnasium.make("sage_gym/ToolsUnderTest-v0").unwrapped
    assert isinstance(env, TaskEnvironment)
    check_env(env, skip_render_check=False)


def test_same_task_and_actions_give_the_same_episode_whatever_else_runs() -> None:
    seen = []
    for _ in range(2):
        env, other = Tools(faults=0.5), Tools(split="test")
        first, info = env.reset(seed=11)
        other.reset(seed=1)
        solver = Expert(env)
        seen.append([first, info["task"], *(env.step(solver.action())[0] for _ in range(2))])
    assert seen[0] == seen[1]


def test_doing_nothing_ends_at_the_turn_limit_with_nothing() -> None:
    env = Tools(max_turns=3)
    env.reset(seed=0)
    steps = [env.step("") for _ in range(3)]
    assert [(reward, ended, cut) for _, reward, ended, cut, _ in steps] == [(0, False, False)] * 2 + [(0, False, True)]
    assert steps[-1][4]["stop_reason"] == "max_turns"
    with pytest.raises(ResetNeeded, match="expected reset"):
        env.step("done[]")


def test_all_done_but_not_ended_is_no_success() -> None:
    env = Tools(faults=0.0, max_turns=len(make_puzzle("train", 0).plan.acts))
    env.reset(options={"task": "tools/train/00000"})
    solver, info = Expert(env), {}
    for _ in range(env.max_turns or 0):
        _, reward, _, cut, info = env.step(solver.action())
    assert (reward, cut, info["success"]) == (0.0, True, False)


def test_unknown_arguments_are_all_reported_at_once() -> None:
    with pytest.raises(ConfigError) as caught:
        Tools(faults=2.0, sandbox="jail", tools_shown="all", size=0, max_turns=0, render_mode="x")  # type: ignore[arg-type]
    assert len(caught.value.problems) == 6


def test_first_observation_shows_instruction_date_and_tools_as_asked() -> None:
    shown = {}
    for how in ("signatures", "schemas", "none"):
        env = Tools(tools_shown=how)
        shown[how] = env.reset(options={"task": "tools/train/00001"})[0]
        puzzle = env.session.puzzle
        assert puzzle.task.instruction in shown[how]
        assert puzzle.world.today in shown[how]
    assert "convert_units[value, from_unit, to_unit]" in shown["signatures"]
    assert '"parameters"' in shown["schemas"]
    assert "kv_get" not in shown["none"]
    assert len(Tools().schemas()) == len(TOOLS)


def test_view_offers_a_free_prefix_for_each_tool_and_tells_the_last_answer_in_brief() -> None:
    env = Tools(faults=0.0)
    env.reset(options={"task": "tools/train/00001"})
    assert env.view().news == f"today {env.session.puzzle.world.today}"
    assert set(env.view().free) == {*(f"{name}[" for name in TOOLS), "answer[", "done["}
    env.step("calculate[2 + 3]")
    assert env.view().news == "1 result 5"
    env.step("calculate[two]")
    assert env.view().news == "2 error refused, message name 'two' is not defined"
    env.step("calculate[]")
    assert env.view().news == "invalid calculate[expression]: misses 'expression' (string)"
    env.step("done[]")
    assert env.view().page == "done"


def test_rendering_shows_the_calls(capsys: pytest.CaptureFixture[str]) -> None:
    env = Tools(faults=0.0, render_mode="ansi")
    env.reset(seed=0)
    env.step("calculate[2 + 3]")
    shown = env.render()
    assert shown is not None
    assert '[1] calculate {"expression": "2 + 3"}' in shown
    human = Tools(render_mode="human")
    human.reset(seed=0)
    assert human.session.puzzle.task.instruction in capsys.readouterr().out
    human.close()
    human.close()


def test_vector_environments_work() -> None:
    gymnasium.register(id="sage_gym/ToolsVector-v0", entry_point="envs.tools.environment:Tools")
    env = gymnasium.make_vec("sage_gym/ToolsVector-v0", num_envs=2, vectorization_mode="sync")
    _, infos = env.reset(seed=5, options={"task": "tools/test/00003"})
    assert list(infos["task"]) == ["tools/test/00003"] * 2
    assert env.step(("done[]", "done[]"))[2].all()
    env.close()


@pytest.mark.parametrize(
    "disturb", ["calculate[1 + 1]", "nonsense", "find_contact[nobody]", "kv_get[]", "list_files[reports/sales]"]
)
def test_the_reference_goes_on_from_what_another_began(disturb: str) -> None:
    env = Tools()
    for index in range(6):
        env.reset(options={"task": f"tools/train/{index:05d}"})
        solver, is_over, reward = Expert(env), False, 0.0
        while not is_over:
            if env.session.log[-1:] and len(env.session.log) % 2:
                env.step(disturb)
            _, reward, is_over, _, _ = env.step(solver.action())
        assert reward == 1.0


def test_only_the_changing_tools_change_anything() -> None:
    env = Tools(faults=0.0, max_turns=None)
    env.reset(seed=3)
    chance, changed = RandomCalls(env, 5), set()
    before = env.session.company.changes()
    for _ in range(160):
        action = chance.action()
        if not action.startswith("call["):
            continue
        assert not env.step(action)[4]["invalid_action"]
        after = env.session.company.changes()
        if after != before:
            changed.add(env.session.log[-1].tool)
        before = after
    assert changed
    assert changed <= CHANGING


def test_a_policy_that_writes_in_lower_case_alone_is_understood() -> None:
    for index in range(25):
        key = f"tools/train/{index:05d}"
        actions: list[str] = []
        env = Tools(faults=0.0)
        env.reset(options={"task": key})
        solver = Expert(env)
        while not actions or not actions[-1].startswith(("answer[", "done[")):
            actions.append(solver.action())
            env.step(actions[-1])
        env.reset(options={"task": key})
        rewards = [env.step(action.lower())[1] for action in actions]
        assert rewards[-1] == 1.0, [entry for entry in env.session.log if entry.is_error]
