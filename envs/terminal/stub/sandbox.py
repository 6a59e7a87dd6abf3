"""A stub sandbox with bash, and with what the environment itself asks of a sandbox: a start, and a look at files."""

from __future__ import annotations

import json
import posixpath
from collections.abc import Mapping
from io import BytesIO
from shlex import quote

from envs.terminal.inspection import LOOK, START
from envs.terminal.stub import archives, builtins, files, listing, processes, text
from envs.terminal.stub.awk.program import awk
from envs.terminal.stub.calls import Complaint, Done, Program, decoded, encoded
from envs.terminal.stub.conditions import condition
from envs.terminal.stub.find import find
from envs.terminal.stub.grep import grep
from envs.terminal.stub.redirections import Streams
from envs.terminal.stub.sed import sed
from envs.terminal.stub.shell import Shell
from envs.terminal.stub.sorting import sort
from envs.terminal.stub.state import Exit, Leave, OutOfTime, State
from sage_gym.sandbox import Limits
from sage_gym.sandbox.guard.syntax import text_of
from sage_gym.sandbox.stub import Said, StubCall, StubSandbox
from sage_gym.sandbox.tree import Tree

__all__ = ["PROGRAMS", "stub_sandbox"]

STATE, FOLDER = "state", "folder"
"""Where a shell leaves what the next one takes up, beside the start-up file that `BASH_ENV` names."""
ENDLESS_S = 1e9
NOT_RUN, NOT_FOUND = 126, 127
PROGRAMS: Mapping[str, Program] = {
    **archives.PROGRAMS,
    **builtins.PROGRAMS,
    **files.PROGRAMS,
    **listing.PROGRAMS,
    **processes.PROGRAMS,
    **text.PROGRAMS,
    **dict.fromkeys(("awk", "gawk", "mawk"), awk),
    **dict.fromkeys(("[", "[[", "test"), condition),
    **dict.fromkeys(("grep", "egrep", "fgrep"), grep),
    "find": find,
    "sed": sed,
    "sort": sort,
}


def stub_sandbox(limits: Limits | None = None) -> StubSandbox:
    """Return a stub sandbox that has this bash."""
    return StubSandbox({"bash": _shell, "sh": _shell, "python3": _python}, limits)


def _shell(call: StubCall) -> Said:
    """Run `bash -c TEXT …` or `sh FILE …`."""
    if call.argv[1:3] == ("-c", START):
        return Said(encoded(f"{processes.start_process(call.files, call.argv[4])}\n"))
    shell = Shell(call.files, PROGRAMS, builtins.BUILTINS)
    try:
        done = _run(shell, call)
    except OutOfTime:
        return Said(takes_s=ENDLESS_S)
    return Said(done.stdout, done.stderr, done.code, shell.slept_s)


def _run(shell: Shell, call: StubCall) -> Done:
    folder = call.files.find(call.cwd)
    if folder is None or folder.kind != "folder":
        return Done(stderr=encoded(f"{call.cwd}: No such file or directory\n"), code=NOT_RUN)
    env = {name: value for name, value in call.env.items() if name != "BASH_ENV"}
    state = State(call.cwd, dict(env), exported=set(env))
    streams = Streams(BytesIO(call.stdin), BytesIO(), BytesIO())
    if "BASH_ENV" in call.env and call.argv[1:2] == ("-c",):
        code = _carry_on(shell, call, state, streams)
    else:
        code = shell.call(call.argv, state, streams)
    return Done(streams.out.getvalue(), streams.errors.getvalue(), code)


def _carry_on(shell: Shell, call: StubCall, state: State, streams: Streams) -> int:
    """Run a text with the variables and functions that the last one left, and leave them for the next."""
    kept = posixpath.dirname(call.env["BASH_ENV"])
    before = call.files.find(f"{kept}/{STATE}")
    for source in ([decoded(before.content)] if before else []) + [call.argv[2]]:
        try:
            code = shell.run(source, state, streams)
        except Exit as end:
            code = end.code
        except (Complaint, Leave) as error:
            streams.errors.write(encoded(f"bash: {error}\n"))
            code = getattr(error, "code", 1)
    call.files[f"{kept}/{FOLDER}"] = encoded(state.cwd)
    call.files[f"{kept}/{STATE}"] = encoded(_left_behind(state))
    return code


def _left_behind(state: State) -> str:
    variables = [f"declare -x {name}={quote(value)}" for name, value in state.env.items()]
    functions = [f"{name} () {text_of(body)}" for name, body in state.functions.items()]
    return "".join(f"{line}\n" for line in (*variables, *functions))


def _python(call: StubCall) -> Said:
    """Look at paths as `LOOK` does, which is the one program of Python that is known."""
    if call.argv[1:5] != ("-I", "-S", "-c", LOOK):
        return Said(stderr=b"python3: the stub has no Python\n", exit_code=NOT_FOUND)
    return Said(json.dumps([_seen(call.files, call.path(path)) for path in call.argv[5:]]).encode())


def _seen(tree: Tree, path: str) -> tuple[str, int, str]:
    node = tree.find(path, is_followed=False)
    if node is None:
        return ("absent", 0, "")
    folder = posixpath.dirname(path)
    return (node.kind if tree.real(folder) == folder else "other", node.mode, node.target)
