"""The stub's file system beside the machine's own: the same paths, the same errors."""

from __future__ import annotations

import errno
import os
import posixpath
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from sage_gym.errors import SandboxFileError
from sage_gym.sandbox.stub import Said, StubSandbox
from sage_gym.sandbox.tree import Node, Tree


@pytest.fixture
def tree() -> Tree:
    tree = Tree(["/w", "/tmp"], room=100)
    tree["/w/a/b.txt"] = b"hello"
    tree.place("/w/link", Node("link", 0o777, target="a"))
    return tree


def number(act: Callable[[], object]) -> int:
    try:
        act()
    except OSError as error:
        return error.errno or -1
    return 0


def test_as_a_mapping_it_is_that_of_its_files(tree: Tree) -> None:
    assert dict(tree) == {"/w/a/b.txt": b"hello"}
    assert "/w/a" not in tree
    assert "/w/link/b.txt" not in tree
    del tree["/w/a/b.txt"]
    assert len(tree) == 0
    assert tree.node("/w/a").kind == "folder"
    tree.clear()
    assert tree.names("/") == ["tmp", "w"]


def test_links_are_followed_where_the_system_follows_them(tree: Tree) -> None:
    assert tree.read("/w/link/b.txt") == b"hello"
    assert tree.real("/w/link/../a/./b.txt") == "/w/a/b.txt"
    assert tree.real("/w/link", is_followed=False) == "/w/link"
    tree.put("/w/link/c.txt", b"new")
    assert tree["/w/a/c.txt"] == b"new"
    tree.move("/w/link", "/w/other")
    assert tree.node("/w/other", is_followed=False).kind == "link"


@pytest.mark.parametrize(
    ("act", "wanted"),
    [
        (lambda tree: tree.read("/w/none"), errno.ENOENT),
        (lambda tree: tree.read("/w/none/none"), errno.ENOENT),
        (lambda tree: tree.read("/w/a"), errno.EISDIR),
        (lambda tree: tree.read("/w/a/b.txt/c"), errno.ENOTDIR),
        (lambda tree: tree.names("/w/a/b.txt"), errno.ENOTDIR),
        (lambda tree: tree.put("/w/none/x", b""), errno.ENOENT),
        (lambda tree: tree.put("/w/a", b""), errno.EISDIR),
        (lambda tree: tree.put("/etc", b""), errno.EROFS),
        (lambda tree: tree.put("/w", b""), errno.EROFS),
        (lambda tree: tree.put("/w/link/../../etc", b""), errno.EROFS),
        (lambda tree: tree.put("/w/large", b"x" * 96), errno.ENOSPC),
        (lambda tree: tree.make_folder("/w/a"), errno.EEXIST),
        (lambda tree: tree.make_folder("/w/x/y"), errno.ENOENT),
        (lambda tree: tree.make_folders("/w/a/b.txt/c"), errno.ENOTDIR),
        (lambda tree: tree.remove("/w/a"), errno.ENOTEMPTY),
        (lambda tree: tree.remove("/w"), errno.EROFS),
        (lambda tree: tree.remove("/w/none"), errno.ENOENT),
        (lambda tree: tree.move("/w/a", "/w/a/inner"), errno.EINVAL),
        (lambda tree: tree.move("/w/a/b.txt", "/w/a"), errno.ENOTEMPTY),
        (lambda tree: tree.move("/w/a", "/etc"), errno.EROFS),
        (lambda tree: tree.place("/w/a", Node("link", 0o777)), errno.EISDIR),
    ],
)
def test_errors_are_those_of_the_system(tree: Tree, act: Callable[[Tree], object], wanted: int) -> None:
    before = dict(tree)
    assert number(lambda: act(tree)) == wanted
    assert dict(tree) == before


def test_links_that_go_round_in_a_circle_end(tree: Tree) -> None:
    tree.place("/w/one", Node("link", 0o777, target="two"))
    tree.place("/w/two", Node("link", 0o777, target="one"))
    assert number(lambda: tree.read("/w/one")) == errno.ELOOP
    assert tree.find("/w/one") is None


def test_modes_are_kept_and_minded(tree: Tree) -> None:
    tree.put("/w/new", b"x", 0o400)
    assert tree.node("/w/new").mode == 0o400
    assert number(lambda: tree.put("/w/new", b"y")) == errno.EACCES
    tree.node("/w/new").mode = 0o200
    assert number(lambda: tree.read("/w/new")) == errno.EACCES
    tree.put("/w/new", b"y", 0o777)
    assert tree.node("/w/new").mode == 0o200


def test_what_the_machine_itself_has_no_command_changes(tree: Tree) -> None:
    tree.plant("/proc/7/stat", b"S")
    assert tree.read("/proc/7/stat") == b"S"
    assert number(lambda: tree.remove("/proc/7/stat")) == errno.EROFS
    tree.uproot("/proc/7")
    assert tree.names("/proc") == []


NAMES = st.sampled_from(["a", "b", "a/b", "a/a", "b/../a", "a/./b", "c/a", "c"])
DEEDS = st.lists(
    st.one_of(
        st.tuples(st.just("put"), NAMES, st.binary(max_size=3)),
        st.tuples(st.just("folder"), NAMES),
        st.tuples(st.just("link"), NAMES, NAMES),
        st.tuples(st.just("remove"), NAMES),
        st.tuples(st.just("move"), NAMES, NAMES),
        st.tuples(st.just("read"), NAMES),
    ),
    max_size=12,
)


@settings(max_examples=200)
@example([("folder", "a"), ("put", "a/b", b""), ("move", "a/b", "a")])
@example([("folder", "a"), ("put", "b", b""), ("move", "a", "b")])
@given(DEEDS)
def test_whatever_is_done_ends_as_on_a_machine(tmp_path_factory: pytest.TempPathFactory, deeds: list[tuple]) -> None:
    root = str(tmp_path_factory.mktemp("w"))
    tree = Tree([root])
    for deed in deeds:
        assert number(lambda d=deed: in_tree(tree, root, *d)) == number(lambda d=deed: on_disk(root, *d)), deed
    assert seen_in(tree, root) == seen_on(root)


def in_tree(tree: Tree, root: str, deed: str, name: str, *more: object) -> None:
    path = posixpath.join(root, name)
    if deed == "put":
        tree.put(path, more[0])  # type: ignore[arg-type]
    elif deed == "folder":
        tree.make_folder(path)
    elif deed == "link":
        if tree.find(path, is_followed=False) is not None:
            raise FileExistsError(errno.EEXIST, "", path)
        tree.place(path, Node("link", 0o777, target=str(more[0])))
    elif deed == "remove":
        tree.remove(path)
    elif deed == "move":
        tree.move(path, posixpath.join(root, str(more[0])))
    else:
        tree.read(path)


def on_disk(root: str, deed: str, name: str, *more: object) -> None:
    path = Path(root) / name
    if deed == "put":
        path.write_bytes(more[0])  # type: ignore[arg-type]
    elif deed == "folder":
        path.mkdir()
    elif deed == "link":
        path.symlink_to(str(more[0]))
    elif deed == "remove":
        path.rmdir() if path.is_dir() and not path.is_symlink() else path.unlink()
    elif deed == "move":
        path.rename(Path(root) / str(more[0]))
    else:
        path.read_bytes()


def seen_in(tree: Tree, root: str) -> dict[str, object]:
    found: dict[str, object] = {}
    for name in tree.names(root):
        node = tree.node(f"{root}/{name}", is_followed=False)
        inner = seen_in(tree, f"{root}/{name}") if node.kind == "folder" else {}
        found[name] = {"file": node.content, "link": node.target, "folder": inner}[node.kind]
    return found


def seen_on(root: str) -> dict[str, object]:
    found: dict[str, object] = {}
    for path in Path(root).iterdir():
        if path.is_symlink():
            found[path.name] = os.readlink(path)  # noqa: PTH115 - as it was written
        else:
            found[path.name] = seen_on(str(path)) if path.is_dir() else path.read_bytes()
    return found


def test_a_stub_sandbox_keeps_modes_and_follows_no_link() -> None:
    def change(call):  # type: ignore[no-untyped-def]
        call.files.place("/workspace/link", Node("link", 0o777, target="/tmp"))
        call.files.place("/workspace/file", Node("link", 0o777, target="a"))
        return Said(f"{call.files.node('/workspace/a').mode:o}".encode())

    with StubSandbox({"change": change}) as sandbox:
        sandbox.write("a", b"kept", 0o640)
        assert sandbox.exec(["change"]).stdout == b"640"
        for path in ("link/x", "link/x/y"):
            with pytest.raises(SandboxFileError):
                sandbox.write(path, b"")
            with pytest.raises(SandboxFileError):
                sandbox.read(path)
        sandbox.write("file", b"new")
        assert (sandbox.read("a"), sandbox.read("file")) == (b"kept", b"new")
