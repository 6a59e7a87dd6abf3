"""Files, folders and links in memory, with modes: what a stub sandbox holds.

Errors are those of system calls, so that a program over it can say what a real one would.
"""

from __future__ import annotations

import errno
import os
import posixpath
from collections.abc import Iterator, MutableMapping, Sequence
from dataclasses import dataclass
from typing import Literal

__all__ = ["Node", "Tree"]

FILE_MODE, FOLDER_MODE, LINK_MODE = 0o644, 0o755, 0o777
MOST_LINKS = 40
Kind = Literal["file", "folder", "link"]


@dataclass(slots=True)
class Node:
    """A file with its content, a folder, or a link with its target."""

    kind: Kind
    mode: int
    content: bytes = b""
    target: str = ""


class Tree(MutableMapping[str, bytes]):
    """A file system. As a mapping it is that of its regular files: absolute path, without links, to content.

    Only what lies below one of `roots` can be changed; the rest is what the sandbox itself puts there with `plant`.

    Args:
        roots: folders that can be written in.
        room: bytes that all files together may have.
    """

    def __init__(self, roots: Sequence[str], room: int = 1 << 26) -> None:
        self.roots, self.room = tuple(roots), room
        self._nodes: dict[str, Node] = {}
        self.clear()

    # Regular files

    def __getitem__(self, path: str) -> bytes:
        node = self._nodes.get(path)
        if node is None or node.kind != "file":
            raise KeyError(path)
        return node.content

    def __setitem__(self, path: str, content: bytes) -> None:
        """Write a file, and make the folders above it; a file that is there keeps its mode."""
        self.make_folders(posixpath.dirname(path))
        self.put(path, content)

    def __delitem__(self, path: str) -> None:
        if path not in self:
            raise KeyError(path)
        del self._nodes[path]

    def __iter__(self) -> Iterator[str]:
        return (path for path, node in self._nodes.items() if node.kind == "file")

    def __len__(self) -> int:
        return sum(1 for _ in self)

    def clear(self) -> None:
        """Forget everything but the roots."""
        self._nodes = {"/": Node("folder", FOLDER_MODE)}
        for root in self.roots:
            self._plant_folders(root)

    # As the system has it

    def real(self, path: str, *, is_followed: bool = True) -> str:
        """Return a path without links and dots; its last part may be missing, and stays a link unless it is followed.

        Raises:
            OSError: a part before the last is missing or no folder, or links go round in a circle.
        """
        done, rest, links = "/", _parts(path), 0
        while rest:
            part = rest.pop(0)
            self._check_folder(done, path)
            here = posixpath.join(done, part) if part != ".." else posixpath.dirname(done)
            node = self._nodes.get(here)
            if node is None or node.kind != "link" or not (rest or is_followed):
                done = here
                continue
            links += 1
            if links > MOST_LINKS:
                raise _error(errno.ELOOP, path)
            done, rest = "/" if node.target.startswith("/") else done, _parts(node.target) + rest
        return done

    def node(self, path: str, *, is_followed: bool = True) -> Node:
        """Return what is at a path.

        Raises:
            OSError: there is nothing, or the way there is none.
        """
        found = self._nodes.get(self.real(path, is_followed=is_followed))
        if found is None:
            raise _error(errno.ENOENT, path)
        return found

    def find(self, path: str, *, is_followed: bool = True) -> Node | None:
        """Return what is at a path; None where that is nothing."""
        try:
            return self.node(path, is_followed=is_followed)
        except OSError:
            return None

    def read(self, path: str) -> bytes:
        """Read a file, through links.

        Raises:
            OSError: it is missing, a folder, or not to be read.
        """
        node = self.node(path)
        if node.kind == "folder":
            raise _error(errno.EISDIR, path)
        if not node.mode & 0o400:
            raise _error(errno.EACCES, path)
        return node.content

    def is_writable(self, path: str) -> bool:
        """Whether it lies where something can be changed."""
        real = self.real(path)
        return any(real.startswith(root + "/") for root in self.roots)

    def names(self, folder: str) -> list[str]:
        """Return what lies directly in a folder, in order.

        Raises:
            OSError: it is missing or no folder.
        """
        real = self.real(folder)
        self._check_folder(real, folder)
        start = real.rstrip("/") + "/"
        return sorted(path[len(start) :] for path in self._nodes if _is_in(path, start))

    def put(self, path: str, content: bytes, mode: int | None = None) -> None:
        """Write a file, through links; the folder must be there. A mode is given to a new one only.

        Raises:
            OSError: it is a folder, not to be written, or outside of what can be.
        """
        real = self.real(path)
        self._check_writable(real, path)
        self._check_room(real, len(content), path)
        node = self._nodes.get(real)
        if node is None:
            self._check_folder(posixpath.dirname(real), path)
            self._nodes[real] = Node("file", FILE_MODE if mode is None else mode, bytes(content))
        elif node.kind == "folder":
            raise _error(errno.EISDIR, path)
        elif not node.mode & 0o200:
            raise _error(errno.EACCES, path)
        else:
            node.content = bytes(content)

    def place(self, path: str, node: Node) -> None:
        """Put something in the place of what is there, a link too.

        Raises:
            OSError: a folder is there, or it is outside of what can be written.
        """
        real = self.real(path, is_followed=False)
        self._check_writable(real, path)
        self._check_room(real, len(node.content), path)
        self._check_folder(posixpath.dirname(real), path)
        if real in self._nodes and self._nodes[real].kind == "folder":
            raise _error(errno.EISDIR, path)
        self._nodes[real] = node

    def make_folder(self, path: str, mode: int = FOLDER_MODE) -> None:
        """Make a folder.

        Raises:
            OSError: something is there, the folder above is not, or it is outside of what can be written.
        """
        real = self.real(path, is_followed=False)
        if real in self._nodes:
            raise _error(errno.EEXIST, path)
        self._check_folder(posixpath.dirname(real), path)
        self._check_writable(real, path)
        self._nodes[real] = Node("folder", mode)

    def make_folders(self, path: str) -> None:
        """Make a folder and those above it, where they are missing.

        Raises:
            OSError: a part of the path is no folder, or it is outside of what can be written.
        """
        above = posixpath.dirname(path)
        if self.find(path, is_followed=False) is None:
            if above != path:
                self.make_folders(above)
            self.make_folder(path)
        self._check_folder(self.real(path), path)

    def remove(self, path: str) -> None:
        """Delete a file, a link, or an empty folder.

        Raises:
            OSError: it is missing, a folder with something in it, or outside of what can be written.
        """
        real = self.real(path, is_followed=False)
        node = self.node(path, is_followed=False)
        self._check_writable(real, path)
        if node.kind == "folder" and self.names(real):
            raise _error(errno.ENOTEMPTY, path)
        del self._nodes[real]

    def move(self, path: str, to: str) -> None:
        """Give something another name; a file that has it is replaced.

        Raises:
            OSError: it is missing, the name is taken by a folder or lies within it, or cannot be written.
        """
        old, new = self.real(path, is_followed=False), self.real(to, is_followed=False)
        node, taken = self.node(path, is_followed=False), self._nodes.get(new)
        self._check_writable(old, path)
        self._check_writable(new, to)
        self._check_folder(posixpath.dirname(new), to)
        if new == old:
            return
        if new.startswith(old + "/"):
            raise _error(errno.EINVAL, to)
        if old.startswith(new + "/"):
            raise _error(errno.ENOTEMPTY, to)
        if taken is not None:
            self._check_replaceable(node, taken, new, to)
        for name in [name for name in self._nodes if name == old or name.startswith(old + "/")]:
            self._nodes[new + name[len(old) :]] = self._nodes.pop(name)

    def _check_replaceable(self, node: Node, taken: Node, new: str, to: str) -> None:
        """Refuse to put a folder over anything but an empty one, and anything else over a folder."""
        if node.kind == "folder" and taken.kind != "folder":
            raise _error(errno.ENOTDIR, to)
        if node.kind != "folder" and taken.kind == "folder":
            raise _error(errno.EISDIR, to)
        if taken.kind == "folder" and self.names(new):
            raise _error(errno.ENOTEMPTY, to)

    def plant(self, path: str, content: bytes) -> None:
        """Put a file anywhere: what the machine itself has, and no command may change."""
        self._plant_folders(posixpath.dirname(path))
        self._nodes[path] = Node("file", 0o444, bytes(content))

    def uproot(self, folder: str) -> None:
        """Take away a folder with all that is in it, wherever it is."""
        for name in [name for name in self._nodes if name == folder or name.startswith(folder + "/")]:
            del self._nodes[name]

    def _plant_folders(self, path: str) -> None:
        if path not in self._nodes:
            self._plant_folders(posixpath.dirname(path))
            self._nodes[path] = Node("folder", FOLDER_MODE)

    def _check_folder(self, real: str, path: str) -> None:
        node = self._nodes.get(real)
        if node is None:
            raise _error(errno.ENOENT, path)
        if node.kind != "folder":
            raise _error(errno.ENOTDIR, path)

    def _check_room(self, real: str, size: int, path: str) -> None:
        if sum(len(node.content) for name, node in self._nodes.items() if name != real) + size > self.room:
            raise _error(errno.ENOSPC, path)

    def _check_writable(self, real: str, path: str) -> None:
        if not any(real.startswith(root + "/") for root in self.roots):
            raise _error(errno.EROFS, path)


def _parts(path: str) -> list[str]:
    return [part for part in path.split("/") if part not in ("", ".")]


def _is_in(path: str, start: str) -> bool:
    return path.startswith(start) and len(path) > len(start) and "/" not in path[len(start) :]


def _error(number: int, path: str) -> OSError:
    return OSError(number, os.strerror(number), path)
