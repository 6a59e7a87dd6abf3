"""Files of a sandbox, reached without following a symbolic link, so that none leads out of where they belong.

These run in a process of their own, under the commands' user, so that whatever is in their way, a limit included, is in
nobody else's.
"""

from __future__ import annotations

import errno
import fcntl
import os
import stat

TYPE_CHECKING = False  # importing `typing` takes time
if TYPE_CHECKING:
    from collections.abc import Sequence

    Roots = Sequence[tuple[str, int, int]]
    """Folders that files belong to: path, device and inode, so that one put in its place is told."""

OPEN_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW
SET_FLAGS = 0x40086602
"""FS_IOC_SETFLAGS."""


def identify(path: str) -> tuple[str, int, int]:
    """Return a root: its path, and which folder that is now."""
    found = os.stat(path, follow_symlinks=False)
    return path, found.st_dev, found.st_ino


def write(path: str, content: bytes, mode: int, roots: Roots) -> None:
    """Write a file whole, under a passing name first, and make the folders above it.

    Raises:
        OSError: it does not lie below one of `roots`, a part of its path is no folder, or there is no room.
    """
    folder, name = _open_parent(path, roots, is_made=True)
    passing = f".{os.urandom(8).hex()}"
    file = os.open(passing, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, mode, dir_fd=folder)
    try:
        with open(file, "wb") as stream:
            stream.write(content)
            os.fchmod(stream.fileno(), mode)
        os.rename(passing, name, src_dir_fd=folder, dst_dir_fd=folder)
    except OSError:
        os.unlink(passing, dir_fd=folder)
        raise


def read(path: str, limit_bytes: int, roots: Roots) -> bytes:
    """Read a regular file.

    Raises:
        OSError: it does not lie below one of `roots`, is missing, no regular file, a link, or larger than the limit.
    """
    folder, name = _open_parent(path, roots, is_made=False)
    file = os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK, dir_fd=folder)
    with open(file, "rb") as stream:
        found = os.fstat(file)
        if not stat.S_ISREG(found.st_mode):
            raise OSError(errno.EINVAL, "not a regular file", path)
        content = stream.read(limit_bytes + 1) if found.st_size <= limit_bytes else b""
    if max(len(content), found.st_size) > limit_bytes:
        raise OSError(errno.EFBIG, f"larger than {limit_bytes} bytes", path)
    return content


def empty(root: tuple[str, int, int], mode: int) -> bool:
    """Delete everything in a folder, make it as it was, and say whether nothing is left of what was done to it."""
    path, *_ = root
    is_ours = _unlock(root)
    folder = _open_root(root)
    if is_ours:
        _strip(folder)
    _delete_in(folder)
    if is_ours:
        os.fchmod(folder, mode)
    return not os.listdir(folder) and not os.listxattr(folder) and identify(path) == root


def _unlock(root: tuple[str, int, int]) -> bool:
    """Open a folder to its owner, who may have forbidden it to himself; say whether that is this process's user."""
    path, device, inode = root
    place = os.open(path, os.O_PATH | os.O_DIRECTORY | os.O_NOFOLLOW)
    try:
        found = os.fstat(place)
        is_ours = (found.st_dev, found.st_ino, found.st_uid) == (device, inode, os.geteuid())
        if is_ours:
            os.chmod(f"/proc/self/fd/{place}", 0o700)
    finally:
        os.close(place)
    return is_ours


def delete_tree(path: str) -> None:
    """Delete a folder, however deep it is."""
    folder = os.open(path, OPEN_FOLDER)
    _delete_in(folder)
    os.close(folder)
    os.rmdir(path)


def _delete_in(top: int) -> None:
    """Delete what a folder holds. Folders within its folders are moved up first, so that depth is no matter."""
    while names := os.listdir(top):
        for name in names:
            if _unlink(name, top):
                continue
            os.chmod(name, 0o700, dir_fd=top)
            inner = os.open(name, OPEN_FOLDER, dir_fd=top)
            for below in os.listdir(inner):
                if not _unlink(below, inner):
                    os.chmod(below, 0o700, dir_fd=inner)
                    os.rename(below, f".{os.urandom(8).hex()}", src_dir_fd=inner, dst_dir_fd=top)
            os.close(inner)
            os.rmdir(name, dir_fd=top)


def _unlink(name: str, folder: int) -> bool:
    """Delete a name that is no folder; say whether it was none."""
    try:
        os.unlink(name, dir_fd=folder)
    except IsADirectoryError:
        return False
    return True


def _strip(folder: int) -> None:
    """Take away flags, access lists and other attributes."""
    try:
        fcntl.ioctl(folder, SET_FLAGS, b"\0\0\0\0\0\0\0\0")
    except OSError:
        pass
    for name in os.listxattr(folder):
        os.removexattr(folder, name)


def _open_root(root: tuple[str, int, int]) -> int:
    path, device, inode = root
    folder = os.open(path, OPEN_FOLDER)
    found = os.fstat(folder)
    if (found.st_dev, found.st_ino) != (device, inode):
        raise OSError(errno.ESTALE, "another folder was put in its place", path)
    return folder


def _open_parent(path: str, roots: Roots, *, is_made: bool) -> tuple[int, str]:
    """Open the folder of a path step by step; return its descriptor and the file's name."""
    path = os.path.normpath(path)
    root = next((root for root in roots if path.startswith(root[0].rstrip("/") + "/")), None)
    if root is None:
        raise OSError(errno.EACCES, f"not below {' or '.join(root[0] for root in roots)}", path)
    *parts, name = path[len(root[0].rstrip("/")) + 1 :].split("/")
    folder = _open_root(root)
    for part in parts:
        if is_made:
            _make(part, folder)
        inner = os.open(part, OPEN_FOLDER, dir_fd=folder)
        os.close(folder)
        folder = inner
    return folder, name


def _make(name: str, folder: int) -> None:
    try:
        os.mkdir(name, 0o755, dir_fd=folder)
    except FileExistsError:
        pass
