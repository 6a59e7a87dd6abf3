"""A bash text to the commands that would run, in the order of running; both ways of a condition count as taken."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from sage_gym.sandbox.guard.calls import MANY, Calls
from sage_gym.sandbox.guard.commands import BOMB, Command, Feed, Redirects
from sage_gym.sandbox.guard.places import UNKNOWN, Places, unquoted
from sage_gym.sandbox.guard.syntax import Node, descendants, parse, text_of, tokens
from sage_gym.sandbox.guard.words import MOST_FIELDS, Scope, brace_commands, expand, literal

__all__ = ["Reading", "read"]

MOST_ROUNDS = 12
"""So many values of a `for` are followed; what comes after them is unknown."""
STATEMENTS = frozenset(
    {
        "command", "pipeline", "list", "redirected_statement", "compound_statement", "subshell", "if_statement",
        "while_statement", "for_statement", "c_style_for_statement", "case_statement", "function_definition",
        "negated_command", "variable_assignment", "variable_assignments", "declaration_command", "unset_command",
        "test_command", "do_group", "elif_clause", "else_clause", "case_item", "ERROR",
    }
)  # fmt: skip
ENDLESS = re.compile(
    r"(while|until)\s+(true|:|false|sleep|\[\s*1\s*\]|\(\(\s*1\s*\)\)|\[\[?\s*1)|for\s*\(\(\s*;\s*;\s*\)\)"
)


@dataclass(frozen=True, slots=True)
class Reading:
    """Every command that a text may run, and whether all of it, scripts in it too, is bash as far as is known."""

    commands: tuple[Command, ...]
    is_whole: bool


def read(text: str, places: Places, cwd: str = "") -> Reading:
    """Read a bash text through quotes, variables, substitutions and functions."""
    known = {"HOME": places.home, "USER": "agent", "TMPDIR": places.scratch[0], "SHELL": "/bin/bash", "OLDPWD": UNKNOWN}
    walk = _Walk(places)
    walk.script(text, Scope(cwd or places.workspace, known), Feed())
    return Reading(tuple(walk.calls.found), walk.is_whole)


class _Walk:
    """Walks the tree. Methods return what is printed, None where that cannot be told."""

    def __init__(self, places: Places) -> None:
        self.calls = Calls(places, self.script, self.statement)
        self.is_whole = True
        self._substituted = Feed()
        """What the last process substitution gave."""

    def script(self, text: str, scope: Scope, feed: Feed) -> str | None:
        """Run a text in this scope."""
        with self.calls.deeper() as is_near:
            if not is_near:
                return None
            root = parse(brace_commands(unquoted(text)))
            self.is_whole &= not root.has_error
            return self.statements(root, scope, feed)

    def statements(self, node: Node, scope: Scope, feed: Feed) -> str | None:
        """Run a node's statements one after another."""
        return _joined(
            [self.statement(child, scope, feed) for child in node.named_children if child.type in STATEMENTS]
        )

    def statement(self, node: Node, scope: Scope, feed: Feed) -> str | None:
        """Run one statement."""
        kind = node.type
        if kind == "command":
            return self._command(node, scope, feed, Redirects())
        if kind == "pipeline":
            return self._pipeline(node.named_children, scope, feed)
        if kind == "redirected_statement":
            return self._redirected(node, scope, feed)
        if kind == "subshell":
            return self.statements(node, scope.inner(), feed)
        if kind in ("variable_assignment", "variable_assignments", "declaration_command"):
            return self._declare(node, scope)
        if kind == "function_definition":
            return self._define(node, scope)
        if kind in ("for_statement", "c_style_for_statement", "while_statement"):
            return self._loop(node, scope, feed)
        if kind in ("test_command", "case_statement"):
            self._inside(node, scope)
        return "" if kind == "test_command" else self.statements(node, scope, feed)

    def _inside(self, node: Node, scope: Scope) -> None:
        """Run what is substituted in the words of a node that is no command."""
        for child in node.named_children:
            if child.type in ("command_substitution", "process_substitution"):
                self._substitution(child, scope.inner())
            elif child.type not in STATEMENTS:
                self._inside(child, scope)

    def _substitution(self, node: Node, scope: Scope) -> str:
        inner = node.named_children
        if len(inner) == 1 and inner[0].type == "file_redirect":  # $(<file)
            path = " ".join(expand(inner[0].named_children[-1], scope, self._substitution))
            self.calls.emit(["cat", path], scope)
            return UNKNOWN
        start = len(self.calls.found)
        printed = self.statements(node, scope, Feed())
        ran = tuple(self.calls.found[start:])
        if ran and ran[-1].program == "yes":
            self.calls.note(BOMB)
        if node.type == "process_substitution":
            self._substituted = Feed(printed, ran)
        return UNKNOWN if printed is None else printed

    def _pipeline(self, parts: Sequence[Node], scope: Scope, feed: Feed) -> str | None:
        printed: str | None = None
        for part in parts:
            if part.type in STATEMENTS:
                start = len(self.calls.found)
                printed = self.statement(part, scope.inner() if len(parts) > 1 else scope, feed)
                feed = Feed(printed, tuple(self.calls.found[start:]) or feed.sources)
        return printed

    def _redirected(self, node: Node, scope: Scope, feed: Feed) -> str | None:
        body = node.child_by_field_name("body")
        redirects, rest = self._redirects(node, scope)
        start = len(self.calls.found)
        printed: str | None = ""
        if body is not None and body.type == "command":
            printed = self._command(body, scope, redirects.feed or feed, redirects)
        else:
            if body is not None:
                printed = self.statement(body, scope, redirects.feed or feed)
            # a list may have made links, or changed the folder, before its last command writes
            self.calls.touch(self._redirects(node, scope)[0] if redirects.writes else redirects, scope)
        later = Feed(printed, tuple(self.calls.found[start:]))
        for part in rest:
            printed = self._pipeline(part.named_children if part.type == "pipeline" else [part], scope, later)
        return "" if redirects.is_silent else printed

    def _redirects(self, node: Node, scope: Scope) -> tuple[Redirects, list[Node]]:
        """Return a node's redirects, and the statements that the parser puts inside a here-document's."""
        found, rest = Redirects(), list[Node]()
        for part in node.children:
            if part.type == "file_redirect":
                found |= self._file_redirect(part, scope)
            elif part.type == "herestring_redirect":
                text = unquoted(literal(part.named_children[-1], scope, self._substitution))
                found |= Redirects(feed=Feed(f"{text}\n"))
            elif part.type == "heredoc_redirect":
                inner, more = self._redirects(part, scope)
                found |= Redirects(feed=Feed(self._heredoc(part, scope))) | inner
                rest += [child for child in part.named_children if child.type in STATEMENTS] + more
        return found, rest

    def _file_redirect(self, node: Node, scope: Scope) -> Redirects:
        descriptors = [text_of(c) for c in node.named_children if c.type == "file_descriptor"]
        ends = [c for c in node.named_children if c.type != "file_descriptor"]
        operator = next((c.type for c in node.children if not c.is_named), "")
        words = [word for end in ends for word in expand(end, scope, self._substitution)]
        if operator in (">&", "<&") and all(word.isdecimal() or word == "-" for word in words):
            return Redirects()
        paths = tuple(self.calls.path(word, scope) for word in words)
        if not operator.startswith("<"):
            return Redirects(writes=paths, is_silent=descriptors in ([], ["1"]))
        is_substituted = any(end.type == "process_substitution" for end in ends)
        return Redirects(paths, paths if operator == "<>" else (), self._substituted if is_substituted else None)

    def _heredoc(self, node: Node, scope: Scope) -> str:
        start = next((c for c in node.named_children if c.type == "heredoc_start"), None)
        body = next((c for c in node.named_children if c.type == "heredoc_body"), None)
        if body is None:
            return ""
        if start is None or re.search(r"['\"\\]", text_of(start)) or not body.named_children:
            return text_of(body)
        return unquoted(literal(body, scope, self._substitution))

    def _declare(self, node: Node, scope: Scope) -> str:
        for child in [node] if node.type == "variable_assignment" else node.named_children:
            if child.type == "variable_assignment":
                self._assign(child, scope)
        words = text_of(node).split()
        if node.type == "declaration_command" and "-p" in words:
            self.calls.note(*words)
        return ""

    def _assign(self, node: Node, scope: Scope) -> None:
        name = re.split(r"[\[+=]", text_of(node), maxsplit=1)[0]
        value = node.child_by_field_name("value")
        text = "" if value is None else unquoted(literal(value, scope, self._substitution))
        is_more = "+=" in text_of(node)[: len(name) + 2]
        scope.variables[name] = scope.variables.get(name, "") + text if is_more else text

    def _define(self, node: Node, scope: Scope) -> str:
        named, body = node.child_by_field_name("name"), node.child_by_field_name("body")
        if named is not None and body is not None:
            name = text_of(named)
            scope.functions[name] = body
            own = [call for call in descendants(body, "command_name") if text_of(call) == name]
            if len(own) > 1 or (own and "&" in tokens(body)):
                self.calls.note(BOMB)
        return ""

    def _loop(self, node: Node, scope: Scope, feed: Feed) -> str | None:
        body = node.child_by_field_name("body")
        if body is None:
            return None
        if node.type == "while_statement":
            for child in node.named_children:
                if child.id != body.id and child.type in STATEMENTS:
                    self.statement(child, scope, feed)
        is_endless = _is_endless(node) or any(source.program == "yes" for source in feed.sources)
        if is_endless and "&" in tokens(body) and not re.search(r"\b(wait|break)\b", text_of(body)):
            self.calls.note(BOMB)
        return self._for(node, body, scope, feed) if node.type == "for_statement" else self.statement(body, scope, feed)

    def _for(self, node: Node, body: Node, scope: Scope, feed: Feed) -> str | None:
        named = node.child_by_field_name("variable")
        name = text_of(named) if named is not None else "_"
        own = {body.id, named.id if named is not None else -1}
        values = [w for c in node.named_children if c.id not in own for w in expand(c, scope, self._substitution)]
        values = values or list(scope.arguments) or [UNKNOWN]
        printed = []
        for value in [*values[:MOST_ROUNDS], *([UNKNOWN] if len(values) > MOST_ROUNDS else [])]:
            scope.variables[name] = value
            printed.append(self.statement(body, scope, feed))
        return None if len(values) > MOST_ROUNDS else _joined(printed)

    def _command(self, node: Node, scope: Scope, feed: Feed, around: Redirects) -> str | None:
        words: list[str] = []
        name, end = "", -1
        own = scope.inner() if any(child.type == "variable_assignment" for child in node.children) else scope
        for child in node.children:
            if child.type == "variable_assignment":
                self._assign(child, own)
                name, end = re.split(r"[\[+=]", text_of(child), maxsplit=1)[0], child.end_byte
            elif child.type == "command_name" and child.start_byte == end:
                more = "".join(expand(child, own, self._substitution))
                scope.variables[name] = own.variables[name] = own.variables.get(name, "") + more
            elif child.is_named and not child.type.endswith("_redirect"):
                fields = expand(child, own, self._substitution)
                if child.start_byte == end and words and fields:  # the parser parts what is quoted and what is escaped
                    words[-1] += fields.pop(0)
                words, end = words + fields, child.end_byte
                if child.type == "process_substitution":
                    text = self._substituted.text if feed.text is None else feed.text
                    feed = Feed(text, (*feed.sources, *self._substituted.sources))
        inner, _ = self._redirects(node, own)
        redirects = around | inner
        if not words:
            self.calls.touch(redirects, own)
            return ""
        printed = self.calls.emit(words[:MOST_FIELDS], own, inner.feed or feed, redirects)
        if printed is not None:
            self.calls.write(redirects.writes, printed, own)
        return "" if redirects.is_silent else printed


def _joined(printed: Sequence[str | None]) -> str | None:
    return None if None in printed else "".join(filter(None, printed))


def _is_endless(node: Node) -> bool:
    source = text_of(node)
    if ENDLESS.match(source):
        return True
    counts = [int(n) for n in re.findall(r"\d{3,}", source.split("do", 1)[0])]
    return source.startswith("for") and max(counts, default=0) >= MANY
