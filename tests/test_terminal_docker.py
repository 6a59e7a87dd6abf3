"""The terminal environment in real containers: reference solutions, the shell, limits."""

from __future__ import annotations

import time
from collections.abc import Iterator
from itertools import islice

import pytest

from envs.terminal.environment import Terminal
from envs.terminal.experts import expert, play
from envs.terminal.shell import Shell
from envs.terminal.synthetic import KINDS, SPLITS
from sage_gym.errors import SandboxLostError
from sage_gym.sandbox import Sandbox, open_sandbox
from tests.sandbox_backends import require_engine
from tests.terminal_episodes import begin

pytestmark = pytest.mark.docker
A_KIND = 3


@pytest.fixture(scope="module", autouse=True)
def engine() -> None:
    require_engine()


@pytest.fixture(scope="module")
def env() -> Iterator[Terminal]:
    env = Terminal(size=200)
    yield env
    env.close()


@pytest.fixture
def sandbox() -> Iterator[Sandbox]:
    with open_sandbox("docker") as sandbox:
        yield sandbox


@pytest.mark.parametrize("kind", [kind.name for kind in KINDS])
def test_the_reference_scores_one_and_doing_nothing_zero(env: Terminal, kind: str) -> None:
    played = 0
    for split in SPLITS:
        for task in islice((task for task in env.tasks(split) if task.family == kind), A_KIND):
            env.reset(options={"task": task})
            assert play(env, expert(env).action)[0] == 1.0, task.key
            assert env.session.denials == 0
            for idle in ("done[]", "answer[]", "answer[0]"):
                env.reset(options={"task": task})
                assert env.step(idle)[1] == 0.0, task.key
            played += 1
    assert played >= A_KIND


def test_folder_variables_and_functions_carry_over(sandbox: Sandbox) -> None:
    shell = Shell(sandbox, is_guarded=True, timeout_s=5)
    shell.run("mkdir -p 'a b'; cd 'a b'; export WORD='two words'; greet() { echo \"hi $1\"; }")
    assert shell.run('pwd; echo "$WORD"; greet you').text() == "/workspace/a b\ntwo words\nhi you"
    assert shell.run("set -e; false").exit_code == 1
    assert shell.run("cd ..; rmdir 'a b'; exit 3").exit_code == 3
    assert shell.run("bash -c pwd; ls -A").text() == "/workspace"


def test_a_folder_that_went_away_is_left(sandbox: Sandbox) -> None:
    shell = Shell(sandbox, is_guarded=False, timeout_s=5)
    shell.run("mkdir gone; cd gone; (sleep 0.1; rmdir /workspace/gone) > /dev/null 2>&1 &")
    time.sleep(0.3)
    assert "No such file or directory" in shell.run("pwd").text()
    assert shell.run("pwd").text() == "/workspace"


def test_the_guard_knows_the_folder(sandbox: Sandbox) -> None:
    shell = Shell(sandbox, is_guarded=True, timeout_s=5)
    shell.run("cd /etc")
    assert "outside-deletion" in shell.run("rm hostname").denial
    shell.run("cd /tmp")
    assert shell.run("touch hostname; rm hostname").is_ok


def test_limits_are_outcomes_in_words() -> None:
    env = Terminal(size=8, guard=False, timeout_s=1)
    env.reset(seed=0)
    assert env.step("bash[sleep 60]")[0].startswith("[stopped after 1 s with all that it had started]")
    assert "out of memory" in env.step("bash[python3 -c 'x = bytearray(1 << 30)']")[0]
    assert len(env.step("bash[yes | head -c 1000000]")[0]) < 900
    assert "No such file" in env.step("bash[cat /nowhere]")[0]
    assert env.step("bash[\ud800]")[1] == 0.0
    assert env.step("bash[" + "x" * 300_000 + "]")[1] == 0.0
    env.close()


def test_a_container_that_is_killed_is_infrastructure(env: Terminal) -> None:
    begin(env, "count_lines")
    env.session.lease.sandbox.kill()
    with pytest.raises(SandboxLostError):
        env.step("bash[ls]")
    begin(env, "count_lines")
    assert play(env, expert(env).action)[0] == 1.0


def test_a_records_own_programs_live_while_it_is_judged(tmp_path_factory: pytest.TempPathFactory) -> None:
    folder = tmp_path_factory.mktemp("records")
    (folder / "mine.json").write_text(
        '{"description": "Is it running?", "start": "sleep 500 > /dev/null 2>&1 &",'
        ' "evaluation": {"check": [null, "[ $1 = $2 ]"], "example": "pgrep -c sleep || true"}}'
    )
    env = Terminal(records=str(folder), split="mine", guard=False)
    env.reset()
    assert env.step("answer[1]")[1] == 1.0
    env.reset()
    env.step("bash[setsid python3 -c 'import time; time.sleep(99)' > /dev/null 2>&1 &]")
    assert env.step("answer[0]")[1] == 1.0, "another process was left: all are ended"
    env.close()
