"""Statements of bash, run one after another over the parser's tree."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from io import BytesIO

from envs.terminal.stub.calls import Complaint, decoded, encoded
from envs.terminal.stub.heredocs import FOLDER, Heredoc, body_of, take_out
from envs.terminal.stub.redirections import Refused, Streams, redirected
from envs.terminal.stub.state import Exit, Leave, State
from envs.terminal.stub.words import assign, check_whole, fields, text
from sage_gym.sandbox.guard.syntax import Node, text_of
from sage_gym.sandbox.guard.words import Scope
from sage_gym.sandbox.tree import Tree

__all__ = ["Statements"]

Caller = Callable[[Sequence[str], State, Streams], int]


class Statements:
    """Runs statements.

    Args:
        files: of the machine.
        call: runs one command, given by its words, and returns its code.
        count: counts a round of a loop, and raises where there were too many.
    """

    def __init__(self, files: Tree, call: Caller, count: Callable[[Streams], None]) -> None:
        self._files, self._call, self._count = files, call, count
        self._heredocs = list[Heredoc]()
        self._substituted = 0
        """Code of the present statement's last substitution, which is its own where it runs nothing else."""

    def without_heredocs(self, text: str) -> str:
        """Take the here-documents out of a text, and keep them."""
        rest, found = take_out(text, len(self._heredocs))
        self._heredocs += found
        return rest

    def run(self, nodes: Sequence[Node], state: State, streams: Streams) -> int:
        """Run statements one after another; return the last one's code."""
        code = 0
        if any(node.type == "&" for node in nodes):
            raise Complaint("the stub runs nothing in the background", 2)
        for node in nodes:
            if node.is_named and node.type != "comment":
                code = self.one(node, state, streams)
        return code

    def one(self, node: Node, state: State, streams: Streams) -> int:
        """Run one statement; return its code."""
        run = STATEMENTS.get(node.type)
        if run is None:
            raise Complaint(f"the stub's shell does not know this {node.type.replace('_', ' ')}", 2)
        check_whole(node)
        self._substituted = 0
        try:
            state.code = run(self, node, state, streams)
        except Refused as error:
            streams.errors.write(encoded(f"bash: {error}\n"))
            state.code = 1
        return state.code

    def _command(self, node: Node, state: State, streams: Streams) -> int:
        words, given = list[str](), list[Node]()
        for child in node.named_children:
            if child.type == "variable_assignment":
                given.append(child)
            elif not child.type.endswith("_redirect"):
                words += fields(child, state, self._files, self._substituting(streams))
        with self._redirections(node, state, streams) as inner, self._for_now(given, state, streams):
            return self._call(words, state, inner) if words else self._substituted

    @contextmanager
    def _for_now(self, given: Sequence[Node], state: State, streams: Streams) -> Iterator[None]:
        """Set variables for one command."""
        before, exported = dict(state.variables), set(state.exported)
        names = [assign(node, state, self._substituting(streams)) for node in given]
        state.exported |= set(names)
        try:
            yield
        finally:
            for name in names:
                state.variables.pop(name, None)
                state.variables |= {name: before[name]} if name in before else {}
            state.exported -= set(names) - exported

    def _list(self, node: Node, state: State, streams: Streams) -> int:
        left, operator, right = (child for child in node.children if child.type != "comment")
        code = self.one(left, state, streams)
        return self.one(right, state, streams) if (code == 0) is (operator.type == "&&") else code

    def _pipeline(self, node: Node, state: State, streams: Streams) -> int:
        *first, last = node.named_children
        return self._apart(last, state, Streams(self._piped(first, state, streams), streams.out, streams.errors))

    def _piped(self, nodes: Sequence[Node], state: State, streams: Streams) -> BytesIO:
        """Run statements, each fed with what the one before it wrote; return what the last one wrote."""
        stdin = streams.stdin
        for node in nodes:
            out = BytesIO()
            self._apart(node, state, Streams(stdin, out, streams.errors))
            stdin = BytesIO(out.getvalue())
        return stdin

    def _apart(self, node: Node, state: State, streams: Streams) -> int:
        """Run a statement in a shell of its own, so that it changes no variable here."""
        try:
            return self.one(node, state.inner(), streams)
        except Exit as end:
            return end.code

    def _negated(self, node: Node, state: State, streams: Streams) -> int:
        return int(self.one(node.named_children[0], state, streams) == 0)

    def _redirected(self, node: Node, state: State, streams: Streams) -> int:
        """Run a statement with redirections; the parser puts those of the last command of a list around all of it."""
        body = node.child_by_field_name("body")
        if body is None or body.type not in ("list", "pipeline", "negated_command"):
            with self._redirections(node, state, streams) as inner:
                return 0 if body is None else self.one(body, state, inner)
        *first, last = body.named_children
        if body.type == "pipeline":
            with self._redirections(node, state, streams) as inner:  # which are opened before anything runs
                piped = self._piped(first, state, streams)
                stdin = piped if inner.stdin is streams.stdin else inner.stdin
                return self._apart(last, state, Streams(stdin, inner.out, inner.errors))
        if body.type == "list":
            code = self.one(first[0], state, streams)
            if (code == 0) is not (body.children[1].type == "&&"):
                return code
        with self._redirections(node, state, streams) as inner:
            code = self.one(last, state, inner)
        return int(code == 0) if body.type == "negated_command" else code

    def _compound(self, node: Node, state: State, streams: Streams) -> int:
        if node.children[0].type != "{":
            raise Complaint(f"the stub's shell does not know {node.children[0].type}", 2)
        return self.run(node.children, state, streams)

    def _subshell(self, node: Node, state: State, streams: Streams) -> int:
        try:
            return self.run(node.children, state.inner(), streams)
        except Exit as end:
            return end.code

    def _if(self, node: Node, state: State, streams: Streams) -> int:
        """Run an `if`, or one of its further clauses; -1 where no condition of a clause holds."""
        nodes = node.children
        at = next((at for at, child in enumerate(nodes) if child.type == "then"), None)
        if at is None:  # else
            return self.run(nodes, state, streams)
        further = [child for child in nodes if child.type in ("elif_clause", "else_clause")]
        if self.run(nodes[:at], state, streams) == 0:
            return self.run([child for child in nodes[at:] if child not in further], state, streams)
        for clause in further:
            code = self._if(clause, state, streams)
            if code >= 0:
                return code
        return -1 if node.type == "elif_clause" else 0

    def _while(self, node: Node, state: State, streams: Streams) -> int:
        *condition, body = node.named_children
        is_until, code = node.children[0].type == "until", 0
        while (self.run(condition, state, streams) == 0) is not is_until:
            self._count(streams)
            code, is_over = self._round(body, state, streams)
            if is_over:
                break
        return code

    def _for(self, node: Node, state: State, streams: Streams) -> int:
        named, body = node.child_by_field_name("variable"), node.child_by_field_name("body")
        if named is None or body is None or node.children[0].type != "for":
            raise Complaint("the stub's shell does not know this loop", 2)
        words = [child for child in node.named_children if child.id not in (named.id, body.id)]
        has_words = any(child.type == "in" for child in node.children)
        values = [value for word in words for value in fields(word, state, self._files, self._substituting(streams))]
        code = 0
        for value in values if has_words else state.arguments:
            state.variables[text_of(named)] = value
            self._count(streams)
            code, is_over = self._round(body, state, streams)
            if is_over:
                break
        return code

    def _round(self, body: Node, state: State, streams: Streams) -> tuple[int, bool]:
        """Run a loop's body once; return its code, and whether the loop is left."""
        try:
            return self.run(body.children, state, streams), False
        except Leave as leave:
            if leave.word == "return":
                raise
            return leave.code, leave.word == "break"

    def _define(self, node: Node, state: State, streams: Streams) -> int:
        named, body = node.child_by_field_name("name"), node.child_by_field_name("body")
        if named is None or body is None:
            raise Complaint("the stub's shell does not know this function", 2)
        state.functions[text_of(named)] = body
        return 0

    def _test(self, node: Node, state: State, streams: Streams) -> int:
        is_double = node.children[0].type == "[["
        words = [word for child in node.children[1:-1] for word in self._tested(child, state, streams, is_double)]
        return self._call(["[[" if is_double else "[", *words], state, streams)

    def _tested(self, node: Node, state: State, streams: Streams, is_double: bool) -> list[str]:
        """Return the words of a condition."""
        if node.type.endswith("_expression") and node.type not in ("brace_expression",):
            return [word for child in node.children for word in self._tested(child, state, streams, is_double)]
        if not node.is_named or node.type == "test_operator":
            return [text_of(node)]
        if is_double:
            return [text(node, state, self._substituting(streams))]
        return fields(node, state, self._files, self._substituting(streams))

    def _declare(self, node: Node, state: State, streams: Streams) -> int:
        word = node.children[0].type if node.type == "declaration_command" else ""
        if word not in ("", "export", "declare", "local", "readonly", "typeset"):
            raise Complaint(f"the stub's shell does not know {word}", 2)
        is_exported = word == "export"
        for child in [node] if node.type == "variable_assignment" else node.named_children:
            if child.type == "variable_assignment":
                name = assign(child, state, self._substituting(streams))
            else:
                name = text_of(child)
                if name.startswith("-") and (name not in ("-x", "-r") or word == "export"):
                    raise Complaint(f"{word}: the stub does not know the option {name}", 2)
                is_exported |= name == "-x"
            if is_exported and not name.startswith("-"):
                state.exported.add(name)
        return 0 if word else self._substituted

    def _unset(self, node: Node, state: State, streams: Streams) -> int:
        for child in node.named_children:
            state.variables.pop(text_of(child), None)
            state.functions.pop(text_of(child), None)
        return 0

    def _substituting(self, streams: Streams) -> Callable[[Node, Scope], str]:
        def run(node: Node, scope: Scope) -> str:
            if node.type != "command_substitution" or not isinstance(scope, State):
                raise Complaint("the stub's shell does not know <(", 2)
            inner = Streams(BytesIO(), BytesIO(), streams.errors)
            try:
                code = self.run(node.children, scope, inner)
            except Exit as end:
                code = end.code
            self._substituted = code
            return decoded(inner.out.getvalue())

        return run

    def _redirections(self, node: Node, state: State, streams: Streams) -> AbstractContextManager[Streams]:
        def word(part: Node) -> str:
            return text(part, state, self._substituting(streams))

        def heredoc(path: str) -> bytes:
            number = path.removeprefix(FOLDER)
            if not number.isdecimal() or len(number) > 6 or int(number) >= len(self._heredocs):
                raise Complaint(f"the stub has no {path}", 2)
            document = self._heredocs[int(number)]
            if document.is_plain or not document.text:
                return encoded(document.text)
            return encoded(text(body_of(document.text), state, self._substituting(streams)))

        return redirected(node, streams, self._files, state.cwd, word, heredoc)


STATEMENTS: Mapping[str, Callable[[Statements, Node, State, Streams], int]] = {
    "command": Statements._command,
    "compound_statement": Statements._compound,
    "declaration_command": Statements._declare,
    "for_statement": Statements._for,
    "function_definition": Statements._define,
    "if_statement": Statements._if,
    "list": Statements._list,
    "negated_command": Statements._negated,
    "pipeline": Statements._pipeline,
    "redirected_statement": Statements._redirected,
    "subshell": Statements._subshell,
    "test_command": Statements._test,
    "unset_command": Statements._unset,
    "variable_assignment": Statements._declare,
    "variable_assignments": Statements._declare,
    "while_statement": Statements._while,
}
