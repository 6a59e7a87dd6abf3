"""The stub: the same verdicts as a container's, and a plain word about whatever its shell does not know."""

from __future__ import annotations

import pytest

from envs.terminal.environment import Terminal
from envs.terminal.experts import demonstrator, play
from envs.terminal.inspection import is_running, look, start_program
from envs.terminal.shell import Shell
from envs.terminal.stub.sandbox import stub_sandbox
from sage_gym.sandbox import Result, Sandbox
from tests.terminal_episodes import LINKED, NEARLY, begin, ended, nearly


@pytest.fixture
def env() -> Terminal:
    return Terminal(sandbox="stub", size=48, max_turns=None)


@pytest.fixture
def sandbox() -> Sandbox:
    sandbox = stub_sandbox()
    sandbox.write("names.txt", b"ada\nben\nada\n")
    return sandbox


def run(sandbox: Sandbox, text: str) -> Result:
    return sandbox.exec(["bash", "-c", text])


# What is judged


@pytest.mark.parametrize("kind", NEARLY)
def test_what_is_nearly_done_is_not_done(env: Terminal, kind: str) -> None:
    assert ended(env, nearly(begin(env, kind))) == 0.0


@pytest.mark.parametrize("kind", LINKED)
def test_a_folder_that_is_a_link_does_not_count(env: Terminal, kind: str) -> None:
    problem = begin(env, kind)
    folder = problem.goal.paths[0].path.partition("/")[0]  # type: ignore[union-attr]
    assert ended(env, *problem.solution, f"mv {folder} /tmp/; ln -s /tmp/{folder} {folder}") == 0.0


def test_what_is_shown_for_imitation_can_be_done_here(env: Terminal) -> None:
    shown = [task for task in env.tasks("demonstrations") if int(task.key.rpartition("/")[2]) < 45]
    assert len({task.family for task in shown}) == 15
    for task in shown:
        env.reset(options={"task": task})
        assert play(env, demonstrator(env).action)[0] == 1.0, task.key


def test_a_halted_program_has_not_stopped(env: Terminal) -> None:
    problem = begin(env, "stop_program")
    assert ended(env, f"pkill -STOP -f '^{problem.goal.stopped[0]} '") == 0.0  # type: ignore[union-attr]


def test_a_script_is_run_where_nothing_else_is(env: Terminal) -> None:
    problem = begin(env, "write_script")
    path = problem.goal.script.path  # type: ignore[union-attr]
    helper = problem.solution[0].replace(path, "/tmp/helper.sh")
    assert ended(env, helper, f"echo 'sh /tmp/helper.sh \"$1\"' > {path}") == 0.0


def test_a_look_follows_no_link(sandbox: Sandbox) -> None:
    sandbox.write("a/x", b"", 0o640)
    assert run(sandbox, "ln -s a b; ln -s a/x c; chmod 711 a").is_ok
    found = look(sandbox, ["a", "a/x", "b/x", "c", "e", "e/f"])
    assert found is not None
    assert [(each.kind, f"{each.mode:o}", each.target) for each in found] == [
        ("folder", "711", ""), ("file", "640", ""), ("other", "640", ""), ("link", "777", "a/x"), ("absent", "0", ""),
        ("absent", "0", ""),
    ]  # fmt: skip


def test_programs_run_until_they_are_ended(sandbox: Sandbox) -> None:
    one, other = start_program(sandbox, "amber-12"), start_program(sandbox, "amber-server --port=4242")
    assert run(sandbox, "pgrep -a -f '^amber-s'").stdout == f"{other.pid} amber-server --port=4242 36000\n".encode()
    assert run(sandbox, f"kill {one.pid}; kill 7; rm -r /proc/{other.pid}").exit_code == 1
    assert (is_running(sandbox, one), is_running(sandbox, other)) == (False, True)
    sandbox.reset()
    assert is_running(sandbox, other) is False


# The shell


def test_folder_variables_and_functions_carry_over(sandbox: Sandbox) -> None:
    shell = Shell(sandbox, is_guarded=True, timeout_s=5)
    shell.run("mkdir -p 'a b'; cd 'a b'; export WORD=\"it's two words\"; greet() { echo \"hi $1\"; }; LOST=1")
    assert shell.run('pwd; echo "$WORD$LOST"; greet you').text() == "/workspace/a b\nit's two words\nhi you"
    assert shell.run("cd ..; rmdir 'a b'; exit 3").exit_code == 3
    assert shell.run("pwd; ls -A").text() == "/workspace\nnames.txt"
    shell.run("mkdir gone; cd gone; rmdir /workspace/gone")
    assert "No such file or directory" in shell.run("pwd").text()
    assert shell.run("pwd").text() == "/workspace"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("sort --shuffle names.txt", "sort: the stub does not know the option --shuffle"),
        ("cut -z names.txt", "cut: the stub does not know the option -z"),
        ("find . -newer names.txt", "find: the stub's find does not know '-newer'"),
        ("sed 'N;P;D' names.txt", "sed: the stub's sed does not know the command 'N'"),
        ("awk 'BEGIN { while (1) print }'", "awk: the stub stops a program that takes so long"),
        ("awk 'BEGIN { delete a }'", "awk: the stub's awk does not know 'delete'"),
        ("awk 'BEGIN { print sin(1) }'", "awk: the stub's awk does not know the function sin"),
        ("sleep 5 &", "the stub runs nothing in the background"),
        ("a=(1 2)", "the stub's shell does not know arrays"),
        ("echo ${#HOME}", "the stub's shell does not know an expansion in this command"),
        ("case x in x) echo;; esac", "the stub's shell does not know this case statement"),
        ("diff <(ls) names.txt", "the stub's shell does not know <("),
        ("python3 -c 'print(1)'", "python3: command not found"),
        ("nosuch", "nosuch: command not found"),
        ("cat - 2> x", "the stub's shell misreads 'cat - 2> x'"),
        ("if true; then", "syntax error"),
        ("grep '[' names.txt", "grep: invalid regular expression: unmatched ["),
        ("grep -E '(a*)*$(b' names.txt", "grep: invalid regular expression"),
        ("tar -xf names.txt", "tar: this does not look like a tar archive"),
        ("echo x > /etc/x", "No such file or directory"),
        ("mkdir /new", "Read-only file system"),
        ("rmdir /workspace; rm /var", "rm: cannot remove '/var': Is a directory"),
    ],
)
def test_what_it_cannot_do_it_says(sandbox: Sandbox, text: str, said: str) -> None:
    result = run(sandbox, text)
    assert not result.is_ok
    assert said in result.stderr.decode()
    assert sandbox.read("names.txt") == b"ada\nben\nada\n"


GROWING = "cat names.txt > a; while true; do cat a a a a > b; cat b b b b > a; done"
FULL = "seq 99999 > a; cat a a a a a a > b; for i in $(seq 30); do cp b c$i 2> /dev/null; done; cat b > z"
MANY = "seq 100000 > n; while read x; do echo $x; done < n"


@pytest.mark.parametrize(
    "text",
    [
        "while true; do :; done",
        "sleep 99",
        GROWING,
        "seq 100000 > n; while read x; do echo $x; done < n",
        "sh -c 'sleep 6'",
    ],
)
def test_what_never_ends_is_a_time_out(sandbox: Sandbox, text: str) -> None:
    assert sandbox.exec(["bash", "-c", text], 5.0).is_timed_out
    assert run(sandbox, "cat names.txt").stdout == b"ada\nben\nada\n"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("f() { f; }; f", "nested more deeply than the stub goes"),
        ("x=aaaaaaaaaaaaaaaa; for i in 1 2 3 4 5 6 7 8 9; do x=$x$x$x$x; done", "65536 characters at most"),
        ("seq 99999999", "more numbers than the stub counts"),
        (
            "sed 's/.*/&&&&&&&&/;s/.*/&&&&&&&&/;s/.*/&&&&&&&&/;s/.*/&&&&&&&&/;s/.*/&&&&&&&&/;s/.*/&&&&&&&&/' names.txt",
            "so long",
        ),
        ("seq 99 | awk '{ x = x x x \"aaaa\" }'", "the stub stops a text that grows so long"),
        ("echo " + "a" * 100_000 + " | grep -E '(a|aa)+$b'", "the regular expression takes too long"),
        ("seq 999 > n; sed 's/.*/x/' n > a; join a a", "more lines than the stub joins"),
        (FULL, "/workspace/z: No space left on device"),
        ("ln -s l l; cat l", "Too many levels of symbolic links"),
    ],
)
def test_what_grows_without_end_is_stopped_with_a_word(sandbox: Sandbox, text: str, said: str) -> None:
    result = run(sandbox, text)
    assert not result.is_ok
    assert said in result.stderr.decode()
