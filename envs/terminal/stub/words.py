"""Words of a bash text to what they stand for: the guard's reading of them, with names of files put in for patterns."""

from __future__ import annotations

import re
from collections.abc import Callable
from itertools import pairwise

from envs.terminal.stub.calls import Complaint
from envs.terminal.stub.globs import matches
from envs.terminal.stub.state import State
from sage_gym.sandbox.guard.places import UNKNOWN, is_glob, quoted, unquoted
from sage_gym.sandbox.guard.syntax import Node, text_of
from sage_gym.sandbox.guard.words import MOST_FIELDS, Scope, expand, literal
from sage_gym.sandbox.tree import Tree

__all__ = ["assign", "check_whole", "fields", "text"]

ESCAPED = re.compile(r"\\(\n|.)", re.DOTALL)
HOME = re.compile(r"^~(?=/|$)")
ASSIGNED = re.compile(r"([A-Za-z_]\w*)(\+?)=")
MOST_CHARACTERS = 1 << 16
Run = Callable[[Node, Scope], str]
"""Gives what a substitution prints."""


def fields(node: Node, state: State, files: Tree, run: Run) -> list[str]:
    """Return the words that a word of the text becomes.

    Raises:
        Complaint: it has something in it that is not known.
    """
    source = text_of(node)
    if node.type == "word" and "\\" in source:
        found = [ESCAPED.sub(lambda sign: "" if sign[1] == "\n" else quoted(sign[1]), source)]
        found = [HOME.sub(state.variables.get("HOME", "~"), found[0])]
    else:
        found = expand(node, state, run)
    if len(found) >= MOST_FIELDS:
        raise Complaint(f"the stub's shell makes fewer than {MOST_FIELDS} words of one", 2)
    return [name for each in found for name in _named(each, state, files)]


def text(node: Node, state: State, run: Run) -> str:
    """Return a word as one text, as in an assignment.

    Raises:
        Complaint: it has something in it that is not known.
    """
    return _checked(literal(node, state, run))


def assign(node: Node, state: State, run: Run) -> str:
    """Set a variable; return its name.

    Raises:
        Complaint: it is an array, or the value has something in it that is not known.
    """
    found, value = ASSIGNED.match(text_of(node)), node.child_by_field_name("value")
    if found is None or (value is not None and value.type == "array"):
        raise Complaint("the stub's shell does not know arrays", 2)
    given = "" if value is None else text(value, state, run)
    given = state.variables.get(found[1], "") + given if found[2] else given
    if len(given) > MOST_CHARACTERS:
        raise Complaint(f"the stub's variables hold {MOST_CHARACTERS} characters at most", 2)
    state.variables[found[1]] = given
    return found[1]


def check_whole(node: Node) -> None:
    """Refuse what the parser has lost a word of, as it does of `cat - 2> x`.

    Raises:
        Complaint: there is something between a statement's parts.
    """
    for one, other in pairwise(node.children):
        between = (node.text or b"")[one.end_byte - node.start_byte : other.start_byte - node.start_byte]
        if between.strip(b" \t\n\\"):
            raise Complaint(f"the stub's shell misreads {text_of(node)!r}: write it otherwise", 2)


def _named(word: str, state: State, files: Tree) -> list[str]:
    names = matches(files, state.cwd, word) if is_glob(word) else []
    return names or [_checked(word)]


def _checked(written: str) -> str:
    if UNKNOWN in written:
        raise Complaint("the stub's shell does not know an expansion in this command", 2)
    return unquoted(written)
