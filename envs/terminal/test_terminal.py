"""The environment's contract, on the stub: no engine, no process."""

from __future__ import annotations

import json
from pathlib import Path

import gymnasium
import pytest
from gymnasium.error import ResetNeeded
from gymnasium.utils.env_checker import check_env
from hypothesis import given, settings
from hypothesis import strategies as st

from envs.terminal.environment import DONE, Terminal
from envs.terminal.experts import expert, play
from envs.terminal.pools import MOST, pool_of
from envs.terminal.synthetic import KINDS, SPLITS, kinds_of
from sage_gym.errors import ConfigError, EngineAbsentError, SandboxLostError, UnknownNameError
from sage_gym.types import View

FIRST = "terminal/train/00000"


@pytest.fixture
def env() -> Terminal:
    return Terminal(sandbox="stub", size=48)


def test_gymnasium_finds_nothing_to_complain_of() -> None:
    check_env(Terminal(sandbox="stub", render_mode="ansi"), skip_render_check=True)


def test_same_task_and_actions_give_the_same_episode() -> None:
    seen = []
    for _ in range(2):
        env = Terminal(sandbox="stub")
        first, info = env.reset(seed=11)
        seen.append([first, info["task"], env.step("bash[ls]"), env.step("answer[1]")])
    assert seen[0] == seen[1]


def test_reset_without_a_task_draws_within_the_split_only() -> None:
    env = Terminal(sandbox="stub", size=5, split="select")
    drawn = {env.reset(seed=3 if i == 0 else None)[1]["task"] for i in range(40)}
    assert drawn == {task.key for task in env.tasks("select")}


def test_info_carries_what_every_environment_gives(env: Terminal) -> None:
    _, info = env.reset(options={"task": FIRST})
    wanted = {"task", "admissible_actions", "invalid_action", "message", "denials", "denial", "success", "stop_reason"}
    assert set(info) == wanted
    assert (info["task"], info["admissible_actions"], info["denials"]) == (FIRST, None, 0)
    *_, info = env.step("answer[]")
    assert set(info) == {*wanted, "reward_components"}
    assert info["reward_components"] == {"answer": 0.0}
    assert json.loads(json.dumps(info)) == info


@pytest.mark.parametrize("kind", [kind.name for kind in KINDS])
def test_the_reference_scores_one_and_nothing_scores_zero(env: Terminal, kind: str) -> None:
    splits = [split for split in SPLITS if kind in {each.name for each in kinds_of(split)}]
    for split in splits:
        task = next(task for task in env.tasks(split) if task.family == kind)
        for end in ("done[]", "answer[]", "answer[0]"):
            env.reset(options={"task": task})
            _, reward, is_ended, _, info = env.step(end)
            assert (reward, is_ended, info["success"]) == (0.0, True, False), task.key
        env.reset(options={"task": task})
        assert play(env, expert(env).action)[0] == 1.0, task.key
        assert env.session.denials == 0


def test_doing_nothing_ends_at_the_turn_limit_with_nothing() -> None:
    env = Terminal(sandbox="stub", max_turns=3)
    env.reset(seed=0)
    steps = [env.step("") for _ in range(3)]
    assert [(reward, ended, cut) for _, reward, ended, cut, _ in steps] == [(0, False, False)] * 2 + [(0, False, True)]
    assert steps[-1][4]["stop_reason"] == "max_turns"
    with pytest.raises(ResetNeeded, match="expected reset"):
        env.step("bash[ls]")


def test_an_invalid_action_changes_nothing_and_says_what_was_expected(env: Terminal) -> None:
    env.reset(options={"task": FIRST})
    observation, reward, ended, _, info = env.step("please help")
    assert (reward, ended, info["invalid_action"]) == (0.0, False, True)
    assert "expected bash[command], answer[text] or done[]" in observation
    assert info["message"] in observation
    *_, info = env.step("bash[nosuchprogram]")
    assert not info["invalid_action"]
    assert env.session.commands == ["nosuchprogram"]


def test_a_denied_command_is_a_turn_that_can_be_recovered_from(env: Terminal) -> None:
    env.reset(options={"task": FIRST})
    observation, reward, ended, cut, info = env.step("bash[rm -rf /]")
    assert observation.startswith("[not run: deny (whole-deletion): this deletes a whole tree")
    assert (reward, ended, cut, info["denials"], info["invalid_action"]) == (0.0, False, False, 1, False)
    assert info["denial"].startswith("deny (whole-deletion)")
    assert env.session.commands == []
    assert env.step("bash[true]")[4]["denial"] == ""
    assert play(env, expert(env).action)[0] == 1.0
    assert env.session.denials == 1


def test_without_the_guard_nothing_is_denied() -> None:
    env = Terminal(sandbox="stub", guard=False)
    env.reset(options={"task": FIRST})
    observation, *_, info = env.step("bash[rm -rf /]")
    assert "not run" not in observation
    assert info["denials"] == 0


def test_each_episode_has_a_fresh_sandbox(env: Terminal) -> None:
    env.reset(options={"task": FIRST})
    env.step("bash[echo left > behind.txt]")
    assert env.step("bash[cat behind.txt]")[0] == "left"
    for _ in range(3):
        env.reset(options={"task": FIRST})
        assert "No such file" in env.step("bash[cat behind.txt]")[0]


def test_a_lost_sandbox_is_infrastructure(env: Terminal) -> None:
    env.reset(options={"task": FIRST})
    env.session.lease.sandbox.kill()
    with pytest.raises(SandboxLostError):
        env.step("bash[ls]")
    with pytest.raises(SandboxLostError):
        Terminal.step(env, "bash[ls]")
    assert env.reset(options={"task": FIRST})[1]["task"] == FIRST


def test_an_absent_engine_is_said_with_what_runs_without_it(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("DOCKER_HOST", f"unix://{tmp_path}/none.sock")
    env = Terminal(image="some/other:image")
    assert len(env.tasks("train")) == 1_000
    with pytest.raises(EngineAbsentError, match=r"env\.sandbox=local.*no security boundary"):
        env.reset(seed=0)


def test_the_sandbox_goes_back_when_the_episode_is_over_or_the_environment_closed(env: Terminal) -> None:
    for ending in (lambda: env.step("done[]"), env.close, env.close):
        env.reset(options={"task": FIRST})
        pool, sandbox = env.session.lease.pool, env.session.lease.sandbox
        assert id(sandbox) in pool._lent
        ending()
        assert id(sandbox) not in pool._lent


def test_what_an_environment_held_that_nobody_closed_goes_back_with_the_next() -> None:
    for _ in range(2 * MOST + 2):
        Terminal(sandbox="stub").reset(options={"task": FIRST})


def test_a_forked_process_does_not_give_back_what_its_parent_holds(
    env: Terminal, monkeypatch: pytest.MonkeyPatch
) -> None:
    env.reset(options={"task": FIRST})
    lease = env.session.lease
    with monkeypatch.context() as forked:
        forked.setattr("os.getpid", lambda: -1)
        lease.give_back()
    assert id(lease.sandbox) in lease.pool._lent
    lease.pool.give_back(lease.sandbox)


def test_environments_of_a_process_share_a_pool(env: Terminal) -> None:
    other = Terminal(sandbox="stub")
    for each in (env, other):
        each.reset(options={"task": FIRST})
    assert env.session.lease.pool is other.session.lease.pool
    assert env.session.lease.sandbox is not other.session.lease.sandbox
    assert pool_of("stub", "another:image", other.session.lease.sandbox.limits) is not env.session.lease.pool


def test_vector_environments_work_and_asynchronous_ones_without_shared_memory() -> None:
    own = Terminal(sandbox="stub")
    own.reset(options={"task": FIRST})  # so that there is a pool, whose threads a forked process does not have
    make = [lambda: Terminal(sandbox="stub")] * 2
    env = gymnasium.vector.AsyncVectorEnv(make, shared_memory=False, context="fork")
    try:
        _, infos = env.reset(options={"task": FIRST})
        assert list(infos["task"]) == [FIRST, FIRST]
        observations, *_ = env.step(("bash[pwd]", "bash[echo hello]"))
        assert observations == ("/workspace", "hello")
        assert own.step("bash[pwd]")[0] == "/workspace"
    finally:
        env.close()


def test_what_the_last_command_printed_is_passed_on(env: Terminal) -> None:
    env.reset(options={"task": FIRST})
    observation, _, ended, _, info = env.step("answer[$output]")
    assert (ended, info["invalid_action"]) == (False, True)
    assert "none has run yet" in observation
    for command in env.session.problem.solution:
        env.step(f"bash[{command}]")
    assert env.step("answer[ $OUTPUT ]")[1] == 1.0


@pytest.mark.parametrize("written", ["answer['$output']", "answer[$output.]", "Act: answer($output)"])
def test_what_only_looks_like_an_output_is_an_ordinary_answer(env: Terminal, written: str) -> None:
    env.reset(options={"task": FIRST})
    for command in env.session.problem.solution:
        env.step(f"bash[{command}]")
    _, reward, ended, *_ = env.step(written)
    assert (reward, ended) == (0.0, True)


def test_view_names_the_state_and_what_may_be_written(env: Terminal) -> None:
    env.reset(options={"task": FIRST})
    instruction = env.session.problem.instruction
    assert env.view() == View("start", instruction, (DONE,), ("bash[", "answer["))
    env.step("bash[echo hello]")
    assert env.view() == View("output", "hello", (DONE,), ("bash[", "answer["))
    env.step("done[]")
    assert env.view() == View("done", "The end is recorded.")


def test_render_shows_the_last_observation(env: Terminal) -> None:
    env.reset(options={"task": FIRST})
    env.step("bash[echo hello]")
    assert env.render() == f"{'-' * 80}\n{FIRST}, turn 1\nhello"


def test_arguments_that_are_wrong_are_reported_together() -> None:
    with pytest.raises(ConfigError) as caught:
        Terminal(sandbox="vm", max_turns=0, output_limit=0, timeout_s=0, render_mode="rgb")
    assert len(caught.value.problems) == 5
    assert "expected one of docker, local, stub, got 'vm'" in str(caught.value)
    with pytest.raises(UnknownNameError, match="did you mean 'train'"):
        Terminal(split="trian")


WORDS = st.sampled_from(
    [
        *"|;>(-5{}!&#*~\n", "&&", "||", "<<", "<<<", "$(", ")", "`", "$((", "))", "2>&1", "'", '"', "\\", "$x",
        "${x%y}", "x=y", "for", "in", "do", "done", "while", "if", "then", "fi", "[", "]", "[[", "cat", "grep", "cut",
        "sort", "head", "tail", "rm", "wc", "ls", "find", "-name", "-exec", "sed", "s/a/b/", "awk", "{print $1}", "tar",
        "-czf", "chmod", "mv", "xargs", "tr", "test", "read", "printf", "%s", "-f", "-n", "-d", "-c", "-x", "a.txt",
        "/etc/x", "*.txt", ".",
    ]
)  # fmt: skip
TEXTS = st.one_of(st.text(), st.lists(WORDS).map(" ".join), st.text(st.characters(categories=["Cs", "Ll"])))


@settings(max_examples=60)
@given(st.one_of(TEXTS, TEXTS.map("bash[{}]".format), TEXTS.map("Act: bash\n```bash\n{}\n```".format)))
def test_no_text_is_a_failure_of_the_environment(written: str) -> None:
    env = Terminal(sandbox="stub")
    env.reset(options={"task": FIRST})
    observation, reward, *_ = env.step(written)
    assert isinstance(observation, str)
    assert reward in (0.0, 1.0)
