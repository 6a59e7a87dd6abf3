"""Attempts, in real containers, to be paid for a terminal task without doing it."""

from __future__ import annotations

import time
from collections.abc import Iterator

import pytest

from envs.terminal.environment import Terminal
from envs.terminal.experts import expert, play
from envs.terminal.inspection import LOOK, Program, end_everything, is_running, living, look, start_program
from sage_gym.sandbox import Sandbox, open_sandbox
from tests.sandbox_backends import require_engine
from tests.terminal_episodes import LINKED, NEARLY, begin, ended, nearly

pytestmark = pytest.mark.docker
LIAR = """
import json, os, sys

wanted = json.dumps([["file", int(mode, 8), ""] for mode in sys.argv[2:]])
needle, lie = "import json, os, stat", f"print('{wanted}')\\n".ljust(int(sys.argv[1]) - 1, "#")
mine, told = os.getpid(), set()


def rewrite(pid):
    areas = [line.split() for line in open(f"/proc/{pid}/maps")]
    with open(f"/proc/{pid}/mem", "r+b", buffering=0) as memory:
        for start, end in (map(lambda at: int(at, 16), area[0].split("-")) for area in areas if area[1] == "rw-p"):
            memory.seek(start)
            held = memory.read(end - start)
            for code in ("utf-8", "utf-32-le"):
                at = held.find(needle.encode(code))
                while at != -1:
                    memory.seek(start + at)
                    memory.write(lie.encode(code))
                    at = held.find(needle.encode(code), at + 1)


while True:
    for pid in filter(str.isdigit, os.listdir("/proc")):
        try:
            if pid in told or int(pid) in (1, mine) or b"S_IFLNK" not in open(f"/proc/{pid}/cmdline", "rb").read():
                continue
            os.kill(int(pid), 19)
            told.add(pid)
            rewrite(pid)
        except OSError as error:
            print(error, flush=True)
        if pid in told:
            try:
                os.kill(int(pid), 18)
            except OSError:
                pass
"""

"""Stops a program that looks at the work as soon as it is there, and puts a lie in the place of its text."""
KILLER = """
import os
while True:
    for pid in os.listdir("/proc"):
        if pid.isdigit() and int(pid) > os.getpid():
            try:
                os.kill(int(pid), 9)
            except OSError:
                pass
"""


@pytest.fixture(scope="module", autouse=True)
def engine() -> None:
    require_engine()


@pytest.fixture(scope="module")
def bare() -> Iterator[Terminal]:
    """Without the guard: it is the judging that is tried here."""
    env = Terminal(size=200, guard=False, max_turns=None)
    yield env
    env.close()


@pytest.fixture
def sandbox() -> Iterator[Sandbox]:
    with open_sandbox("docker") as sandbox:
        yield sandbox


def test_programs_and_modules_planted_by_the_agent_are_not_used(bare: Terminal) -> None:
    problem = begin(bare, "set_mode")
    modes = [f'["file", {entry.mode}, ""]' for entry in problem.goal.paths if entry.mode is not None]  # type: ignore[union-attr]
    lie = f"[{', '.join(modes)}]"
    module = f"print('{lie}')\nraise SystemExit"
    plant = [
        "mkdir -p bin .local/lib/python3.11/site-packages",
        f"printf '#!/bin/sh\necho %s\n' '{lie}' > bin/python3; chmod +x bin/python3",
        "for p in cat ls stat sh bash env; do cp bin/python3 bin/$p; done",
        f"cat > json.py <<'END'\n{module}\nEND",
        "for m in os stat sys sitecustomize; do cp json.py $m.py; done",
        "cp json.py .local/lib/python3.11/site-packages/usercustomize.py",
        "echo 'export PATH=/workspace/bin:$PATH PYTHONPATH=/workspace' | tee .bashrc .profile .bash_profile",
        "export PATH=/workspace/bin:$PATH PYTHONPATH=/workspace BASH_ENV=/workspace/.bashrc",
    ]
    assert ended(bare, *plant) == 0.0


def test_a_process_that_answers_for_the_program_that_looks_is_ended_before(bare: Terminal) -> None:
    problem = begin(bare, "set_mode")
    modes = " ".join(f"{entry.mode:o}" for entry in problem.goal.paths)  # type: ignore[union-attr]
    bare.session.lease.sandbox.write("liar.py", LIAR.encode())
    assert ended(bare, f"setsid python3 liar.py {len(LOOK)} {modes} > /dev/null 2>&1 &") == 0.0


def test_a_process_that_ends_whatever_comes_to_look_is_not_paid_and_does_no_harm(bare: Terminal) -> None:
    begin(bare, "set_mode")
    bare.session.lease.sandbox.write("killer.py", KILLER.encode())
    assert ended(bare, "setsid python3 killer.py > /dev/null 2>&1 &") == 0.0
    begin(bare, "set_mode")
    assert play(bare, expert(bare).action)[0] == 1.0


def test_what_is_wrong_when_the_agent_ends_cannot_be_put_right_later(bare: Terminal) -> None:
    problem = begin(bare, "merge_lists")
    later = f"(sleep 1; {problem.solution[0]}) > /dev/null 2>&1 &"
    assert ended(bare, later) == 0.0


def test_rewriting_the_result_afterwards_does_not_take_the_reward_away(bare: Terminal) -> None:
    problem = begin(bare, "merge_lists")
    path = problem.goal.paths[0].path  # type: ignore[union-attr]
    assert ended(bare, problem.solution[0], f"(sleep 2; echo x > {path}) > /dev/null 2>&1 &") == 1.0


@pytest.mark.parametrize(
    "bend",
    [
        "mv {path} /tmp/result; ln -s /tmp/result {path}",
        "mv {path} /tmp/result; ln -s /proc/self/cwd/../tmp/result {path}",
        "mv {path} /tmp/result; mkfifo {path}",
        "mv {path} /tmp/result; mkdir {path}; cp /tmp/result {path}/",
        "ln -sf /etc/hostname {path}",
    ],
)
def test_a_result_that_is_no_plain_file_does_not_count(bare: Terminal, bend: str) -> None:
    problem = begin(bare, "take_column")
    path = problem.goal.paths[0].path  # type: ignore[union-attr]
    assert ended(bare, problem.solution[0], bend.format(path=path)) == 0.0


@pytest.mark.parametrize("kind", LINKED)
def test_a_folder_that_is_a_link_does_not_count(bare: Terminal, kind: str) -> None:
    problem = begin(bare, kind)
    folder = problem.goal.paths[0].path.partition("/")[0]  # type: ignore[union-attr]
    assert ended(bare, *problem.solution, f"mv {folder} /tmp/; ln -s /tmp/{folder} {folder}") == 0.0


@pytest.mark.parametrize("kind", NEARLY)
def test_what_is_nearly_done_is_not_done(bare: Terminal, kind: str) -> None:
    assert ended(bare, nearly(begin(bare, kind))) == 0.0


def test_an_archive_that_is_a_link_does_not_count(bare: Terminal) -> None:
    problem = begin(bare, "pack_files")
    path = problem.goal.archive.path  # type: ignore[union-attr]
    assert ended(bare, *problem.solution, f"mv {path} /tmp/; ln -s /tmp/{path} {path}") == 0.0


def test_a_script_is_run_where_nothing_else_of_the_agents_is(bare: Terminal) -> None:
    problem = begin(bare, "write_script")
    path = problem.goal.script.path  # type: ignore[union-attr]
    helper = problem.solution[0].replace(path, "/tmp/helper.sh")
    assert ended(bare, helper, f"echo 'sh /tmp/helper.sh \"$1\"' > {path}") == 0.0
    begin(bare, "write_script")
    assert ended(bare, *problem.solution) == 1.0


def test_what_a_script_leaves_running_does_not_reach_the_next_run(bare: Terminal) -> None:
    problem = begin(bare, "write_script")
    script = problem.goal.script
    assert script is not None
    first = script.runs[0].output
    assert ended(bare, f"echo '[ -f /tmp/was ] || echo {first}; touch /tmp/was' > {script.path}") == 0.0


def test_ending_all_programs_is_not_ending_one(bare: Terminal) -> None:
    begin(bare, "stop_program")
    assert ended(bare, "pkill sleep") == 0.0


def test_stopping_is_not_halting(bare: Terminal) -> None:
    problem = begin(bare, "stop_program")
    assert ended(bare, f"pkill -STOP -f '^{problem.goal.stopped[0]} '") == 0.0  # type: ignore[union-attr]


def test_keeping_the_reader_from_reading_is_not_stopping(bare: Terminal) -> None:
    """All other programs are left alone; what is killed is whatever comes to look."""
    begin(bare, "stop_program")
    bare.session.lease.sandbox.write("killer.py", KILLER.encode())
    assert ended(bare, "setsid python3 killer.py > /dev/null 2>&1 &") == 0.0


def test_everything_that_flees_is_ended(sandbox: Sandbox) -> None:
    flee = "import os\nwhile True:\n  if os.fork(): os._exit(0)\n  os.setsid()\n"
    for _ in range(3):
        sandbox.exec(["bash", "-c", 'python3 -c "$1" > /dev/null 2>&1 &', "bash", flee])
    sandbox.exec(["bash", "-c", "trap '' TERM INT HUP; setsid nohup sleep 1000 > /dev/null 2>&1 &"])
    assert len(living(sandbox) or ()) > 1
    assert end_everything(sandbox)
    assert len(living(sandbox) or ()) == 1


def test_a_program_is_known_by_more_than_its_number(sandbox: Sandbox) -> None:
    program = start_program(sandbox, "some-name --port=1")
    assert sandbox.read(f"/proc/{program.pid}/cmdline") == b"some-name --port=1\x0036000\0"
    assert is_running(sandbox, program) is True
    assert is_running(sandbox, Program(program.name, program.pid, "1")) is False
    sandbox.exec(["kill", str(program.pid)])
    time.sleep(0.1)
    assert is_running(sandbox, program) is False


def test_a_look_follows_no_link(sandbox: Sandbox) -> None:
    sandbox.write("a/x", b"", 0o640)
    sandbox.exec(["sh", "-c", "ln -s a b; ln -s a/x c; mkfifo d; chmod 711 a"])
    found = look(sandbox, ["a", "a/x", "b/x", "c", "d", "e", "e/f"])
    assert found is not None
    assert [(each.kind, f"{each.mode:o}", each.target) for each in found if each.kind not in ("absent", "other")] == [
        ("folder", "711", ""), ("file", "640", ""), ("link", "777", "a/x"),
    ]  # fmt: skip
    assert [each.kind for each in found] == ["folder", "file", "other", "link", "other", "absent", "absent"]
