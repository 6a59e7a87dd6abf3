"""Files of a sandbox, reached without following a symbolic link, so that none leads out of where they belong."""

from __future__ import annotations

import errno
import os
import shutil
import stat


def write(path: str, content: bytes, mode: int, roots: list[str]) -> None:
    """Write a file whole, under a passing name first, and make the folders above it.

    Raises:
        OSError: it does not lie below one of `roots`, a part of its path is no folder, or there is no room.
    """
    folder, name = _open_folder(path, roots, is_made=True)
    passing = f".{name[:100]}.{os.getpid()}"
    try:
        file = os.open(passing, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW, mode, dir_fd=folder)
        try:
            with open(file, "wb") as stream:
                stream.write(content)
                os.fchmod(stream.fileno(), mode)
            os.rename(passing, name, src_dir_fd=folder, dst_dir_fd=folder)
        except OSError:
            os.unlink(passing, dir_fd=folder)
            raise
    finally:
        os.close(folder)


def read(path: str, limit_bytes: int, roots: list[str]) -> bytes:
    """Read a regular file.

    Raises:
        OSError: it does not lie below one of `roots`, is missing, no regular file, a link, or larger than the limit.
    """
    folder, name = _open_folder(path, roots, is_made=False)
    try:
        file = os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK, dir_fd=folder)
    finally:
        os.close(folder)
    with open(file, "rb") as stream:
        if not stat.S_ISREG(os.fstat(file).st_mode):
            raise OSError(errno.EINVAL, "not a regular file", path)
        content = stream.read(limit_bytes + 1)
    if len(content) > limit_bytes:
        raise OSError(errno.EFBIG, f"larger than {limit_bytes} bytes", path)
    return content


def empty(folder: str, mode: int) -> bool:
    """Delete everything in a folder, give it back its mode where it is ours, and say whether nothing is left."""
    is_ours = os.stat(folder).st_uid == os.geteuid()
    if is_ours:
        os.chmod(folder, 0o700)
    for entry in os.scandir(folder):
        if entry.is_dir(follow_symlinks=False):
            delete_tree(entry.path)
        else:
            os.unlink(entry.path)
    if is_ours:
        os.chmod(folder, mode)
    return not os.listdir(folder)


def delete_tree(path: str) -> None:
    """Delete a folder, also one that forbids it to its owner."""
    os.chmod(path, 0o700)
    for above, names, _ in os.walk(path):
        for name in names:
            inner = os.path.join(above, name)
            if not os.path.islink(inner):
                os.chmod(inner, 0o700)
    shutil.rmtree(path)


def _open_folder(path: str, roots: list[str], *, is_made: bool) -> tuple[int, str]:
    """Open the folder of a path step by step; return its descriptor and the file's name."""
    path = os.path.normpath(path)
    root = next((root for root in roots if path.startswith(root.rstrip("/") + "/")), None)
    if root is None:
        raise OSError(errno.EACCES, f"not below {' or '.join(roots)}", path)
    *parts, name = path[len(root.rstrip("/")) + 1 :].split("/")
    folder = os.open(root, os.O_RDONLY | os.O_DIRECTORY)
    for part in parts:
        try:
            if is_made:
                _make(part, folder)
            inner = os.open(part, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW, dir_fd=folder)
        finally:
            os.close(folder)
        folder = inner
    return folder, name


def _make(name: str, folder: int) -> None:
    try:
        os.mkdir(name, 0o755, dir_fd=folder)
    except FileExistsError:
        pass
