"""Bash text as a syntax tree: the one file that knows the parser.

The grammar's scanner asks the C library what kind of character it sees, which is undefined beyond a byte and ended the
process on some: whatever is not printable ASCII is written out in letters before, and read back after.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import lru_cache

import tree_sitter_bash
from tree_sitter import Language, Node, Parser

__all__ = ["Node", "descendants", "parse", "read_back", "text_of", "tokens"]

UNSAFE = re.compile(r"[^\t\n\x20-\x7e]")
WRITTEN = re.compile("Qz([0-9a-f]+)zQ")


@lru_cache(maxsize=1)
def _parser() -> Parser:
    return Parser(Language(tree_sitter_bash.language()))


def parse(source: str) -> Node:
    """Return the tree's root; where the text is no bash, it holds `ERROR` nodes around what could not be read."""
    safe = UNSAFE.sub(lambda match: f"Qz{ord(match.group()):x}zQ", source)
    return _parser().parse(safe.encode("ascii")).root_node


def read_back(data: bytes) -> str:
    """Return a piece of the source as it was."""
    return WRITTEN.sub(lambda match: chr(int(match.group(1), 16) % 0x110000), data.decode("ascii"))


def text_of(node: Node) -> str:
    """Return the source that a node covers."""
    return read_back(node.text or b"")


def descendants(node: Node, kind: str) -> Iterator[Node]:
    """Yield every node of a kind below a node."""
    for child in node.named_children:
        if child.type == kind:
            yield child
        yield from descendants(child, kind)


def tokens(node: Node) -> set[str]:
    """Return the signs and words of the grammar (`&`, `|`, `do`, ...) that occur in a node."""
    found = {child.type for child in node.children if not child.is_named}
    for child in node.named_children:
        found |= tokens(child)
    return found
