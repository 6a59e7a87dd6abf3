"""Patterns of file names: which names a shell puts in their place."""

from __future__ import annotations

import posixpath
import re
from fnmatch import fnmatchcase

from sage_gym.sandbox.guard.places import is_glob, quoted, unquoted
from sage_gym.sandbox.tree import Tree

__all__ = ["is_like", "matches"]

SIGNS = {quoted(sign): f"[{sign}]" for sign in "*?["}
"""What is quoted, as a pattern that stands for nothing but itself."""


def is_like(name: str, pattern: str) -> bool:
    """Whether a name fits a pattern in which quoted signs are plain."""
    for sign, plain in SIGNS.items():
        pattern = pattern.replace(sign, plain)
    return fnmatchcase(name, unquoted(re.sub(r"\[\^", "[!", pattern)))


def matches(files: Tree, folder: str, pattern: str) -> list[str]:
    """Return the paths that fit a pattern, in order; relative ones where the pattern is."""
    parts = pattern.split("/")
    found = ["/"] if pattern.startswith("/") else [""]
    for at, part in enumerate(parts):
        if not part:
            continue
        is_last = at + 1 == len(parts)
        found = [path for start in found for path in _within(files, folder, start, part, is_last=is_last)]
    return found


def _within(files: Tree, folder: str, start: str, part: str, *, is_last: bool) -> list[str]:
    if not is_glob(part):
        path = start + unquoted(part)
        if files.find(posixpath.join(folder, path), is_followed=False) is None:
            return []
        return [path if is_last else f"{path}/"]
    here = posixpath.join(folder, start)
    node = files.find(here)
    if node is None or node.kind != "folder":
        return []
    names = [name for name in files.names(here) if is_like(name, part) and name.startswith(".") <= part.startswith(".")]
    return [start + name if is_last else f"{start}{name}/" for name in names]
