"""bash over files in memory: its text is parsed and its words expanded as the guard does it, and then really run.

Known are lists, pipelines, redirections, here-documents, variables, substitutions, patterns, `if`, `for`, `while`,
functions and `[ … ]`. What is not known is said, and nothing is passed over.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from io import BytesIO

from envs.terminal.stub.arithmetic import with_calls
from envs.terminal.stub.calls import Call, Complaint, Done, Program, decoded, encoded
from envs.terminal.stub.redirections import Streams
from envs.terminal.stub.state import Exit, Leave, OutOfTime, State
from envs.terminal.stub.statements import Statements
from sage_gym.sandbox.guard.syntax import parse
from sage_gym.sandbox.guard.words import brace_commands
from sage_gym.sandbox.tree import Tree

__all__ = ["Builtin", "Shell"]

MOST_COMMANDS = 2_000
MOST_BYTES = 4 << 20
"""Written by one command, and by all of a text."""
MOST_READ = 64 << 20
MOST_DEPTH = 20
NOT_FOUND, NOT_RUN = 127, 126

Builtin = Callable[["Shell", Call, State], Done]


class Shell:
    """Runs texts over the same files.

    Args:
        files: of the machine.
        programs: name → what it does.
        builtins: name → what it does with the shell itself.
    """

    def __init__(self, files: Tree, programs: Mapping[str, Program], builtins: Mapping[str, Builtin]) -> None:
        self.files, self.programs, self.builtins = files, programs, builtins
        self.slept_s = 0.0
        """How long commands would have slept."""
        self._statements = Statements(files, self.call, self._count)
        self._left, self._unread, self._depth = MOST_COMMANDS, MOST_READ, 0

    def run(self, text: str, state: State, streams: Streams) -> int:
        """Run a text; return its exit code.

        Raises:
            Complaint: there is something in it that is no bash, or that the stub does not know.
            Exit: the shell is to end.
            OutOfTime: it does not end.
        """
        self._depth += 1
        try:
            if self._depth > MOST_DEPTH:
                raise Complaint("nested more deeply than the stub goes", 2)
            root = parse(brace_commands(with_calls(self._statements.without_heredocs(text))))
            if root.has_error:
                raise Complaint("syntax error, or something that the stub's shell does not know", 2)
            return self._statements.run(root.children, state, streams)
        except RecursionError:
            raise Complaint("nested more deeply than the stub goes", 2) from None
        finally:
            self._depth -= 1

    def run_apart(self, text: str, words: Sequence[str], env: Mapping[str, str], call: Call) -> Done:
        """Run a text as a shell of its own does, with its name and arguments in `words`."""
        state = State(call.folder, dict(env), arguments=tuple(words[1:]), script=words[0], exported=set(env))
        streams = Streams(call.stdin, BytesIO(), BytesIO())
        try:
            code = self.run(text, state, streams)
        except Exit as end:
            code = end.code
        except (Complaint, Leave) as error:
            streams.errors.write(encoded(f"{words[0]}: {error}\n"))
            code = getattr(error, "code", 1)
        return Done(streams.out.getvalue(), streams.errors.getvalue(), code)

    def call(self, words: Sequence[str], state: State, streams: Streams) -> int:
        """Run one command, given by its words; return its exit code."""
        self._count(streams)
        name, call = words[0], self._call(words, state, streams)
        if name in state.functions:
            return self._function(words, state, streams)
        try:
            done = self._done(name, call, state)
        except Complaint as error:
            done = Done(stderr=encoded(f"{name}: {error}\n"), code=error.code)
        except OSError as error:
            done = Done(stderr=encoded(f"{name}: {error.filename}: {error.strerror}\n"), code=1)
        if len(done.stdout) > MOST_BYTES:
            raise OutOfTime
        streams.errors.write(done.stderr)  # where both go to one place, most programs complain first
        streams.out.write(done.stdout)
        return done.code

    def _done(self, name: str, call: Call, state: State) -> Done:
        builtin = self.builtins.get(name)
        if builtin is not None:
            return builtin(self, call, state)
        program = self.programs.get(name.rpartition("/")[2] if name.startswith(("/bin/", "/usr/bin/")) else name)
        if program is not None:
            return program(call)
        if "/" in name:
            return self._script(call)
        return Done(stderr=encoded(f"bash: {name}: command not found\n"), code=NOT_FOUND)

    def _call(self, words: Sequence[str], state: State, streams: Streams) -> Call:
        def run(inner: Sequence[str], stdin: bytes) -> Done:
            own = Streams(BytesIO(stdin), BytesIO(), BytesIO())
            code = self.call(inner, state.inner(), own)
            return Done(own.out.getvalue(), own.errors.getvalue(), code)

        return Call(words[0], tuple(words[1:]), streams.stdin, self.files, state.cwd, state.env, run, self._count_read)

    def _function(self, words: Sequence[str], state: State, streams: Streams) -> int:
        before, state.arguments = state.arguments, tuple(words[1:])
        try:
            return self._statements.one(state.functions[words[0]], state, streams)
        except Leave as leave:
            if leave.word != "return":
                raise
            return leave.code
        finally:
            state.arguments = before

    def _script(self, call: Call) -> Done:
        """Run a file by its path."""
        try:
            node = self.files.node(call.path(call.name))
            if node.kind == "folder" or not node.mode & 0o100:
                return Done(stderr=encoded(f"bash: {call.name}: Permission denied\n"), code=NOT_RUN)
            text = decoded(self.files.read(call.path(call.name)))
        except OSError as error:
            return Done(stderr=encoded(f"bash: {call.name}: {error.strerror}\n"), code=NOT_FOUND)
        return self.run_apart(text, (call.name, *call.words), call.env, call)

    def _count_read(self, size: int) -> None:
        self._unread -= size
        if self._unread < 0:
            raise OutOfTime

    def _count(self, streams: Streams) -> None:
        """Count a command.

        Raises:
            OutOfTime: there were too many, or they wrote too much.
        """
        self._left -= 1
        if self._left < 0 or streams.size() > MOST_BYTES:
            raise OutOfTime
