"""tar, gzip and sums, over files in memory."""

from __future__ import annotations

import gzip
import hashlib
import io
import posixpath
import re
import tarfile
import zlib
from collections.abc import Iterator, Mapping

from envs.terminal.stub.calls import Call, Complaint, Done, Options, Program, encoded, joined, split_lines, told
from envs.terminal.stub.globs import is_like
from sage_gym.sandbox.tree import Node

__all__ = ["PROGRAMS"]

MOST_BYTES = 4 << 20
LONG = {
    "create": "c", "extract": "x", "get": "x", "list": "t", "file": "f", "gzip": "z", "verbose": "v", "directory": "C",
    "to-stdout": "O", "wildcards": "W",
}  # fmt: skip


def _tar(call: Call) -> Done:
    words = list(call.words)
    if words and re.fullmatch(r"[a-zA-Z]+", words[0]):
        words[0] = f"-{words[0]}"
    options = Options(words, "cxtzvpOW", "fC", LONG)
    if len(options.given.keys() & {"c", "x", "t"}) != 1 or "f" not in options:
        raise Complaint("the stub's tar needs one of -c, -x and -t, and -f with a file", 2)
    if len(options.given.get("C", ())) > 1:
        raise Complaint("the stub's tar changes the folder once", 2)
    folder = call.path(options.value("C", "."))
    if "c" in options:
        return _packed(call, options, folder)
    try:
        data = call.read(options.value("f"))
    except Complaint as error:
        raise Complaint(str(error), 2) from error
    try:
        with tarfile.open(fileobj=io.BytesIO(_plain(data))) as archive:
            return _unpacked(call, options, folder, archive)
    except (tarfile.TarError, EOFError, ValueError) as error:
        raise Complaint(f"this does not look like a tar archive: {error}", 2) from error


def _packed(call: Call, options: Options, folder: str) -> Done:
    if not options.names:
        raise Complaint("cowardly refusing to create an empty archive", 2)
    out, told_names, errors = io.BytesIO(), list[str](), list[str]()
    target = options.value("f")
    with tarfile.open(fileobj=out, mode="w", format=tarfile.GNU_FORMAT) as archive:
        for name in options.names:
            try:
                with told(name, 2):
                    for path, node in _walked(call, folder, name):
                        told_names.append(path)
                        _add(archive, path.lstrip("/"), node)
            except Complaint as error:
                errors.append(f"tar: {error}")
    data = gzip.compress(out.getvalue(), mtime=0) if "z" in options else out.getvalue()
    shown = joined(told_names) if "v" in options else b""
    if target == "-":
        return Done(data, joined(errors), 2 if errors else 0)
    with told(target, 2):
        call.files.put(call.path(target), data)
    return Done(shown, joined(errors), 2 if errors else 0)


def _walked(call: Call, folder: str, name: str) -> Iterator[tuple[str, Node]]:
    path = posixpath.join(folder, name)
    node = call.files.node(path, is_followed=False)
    yield (f"{name.rstrip('/')}/" if node.kind == "folder" else name), node
    call.count(len(node.content))
    for inner in call.files.names(path) if node.kind == "folder" else ():
        yield from _walked(call, folder, f"{name.rstrip('/')}/{inner}")


def _add(archive: tarfile.TarFile, name: str, node: Node) -> None:
    entry = tarfile.TarInfo(name)
    entry.mode, entry.size = node.mode, len(node.content)
    entry.type = {"file": tarfile.REGTYPE, "folder": tarfile.DIRTYPE, "link": tarfile.SYMTYPE}[node.kind]
    entry.linkname = node.target
    archive.addfile(entry, io.BytesIO(node.content))


def _unpacked(call: Call, options: Options, folder: str, archive: tarfile.TarFile) -> Done:
    """List or take out the members that are named, all where none is."""
    out, wanted = list[bytes](), dict.fromkeys(options.names, False)
    for member in archive:
        path = member.name + "/" * member.isdir()
        is_wanted = not wanted
        for name in wanted:
            fits = is_like(member.name, name) if "W" in options else f"{path}/".startswith(f"{name.rstrip('/')}/")
            wanted[name] |= fits
            is_wanted |= fits
        if not is_wanted:
            continue
        if "t" in options or "v" in options:
            out.append(encoded(f"{path}\n"))
        if "x" in options:
            out += _take(call, options, folder, archive, member)
    missing = [f"tar: {name}: Not found in archive" for name, is_found in wanted.items() if not is_found]
    return Done(b"".join(out), joined(missing), 2 if missing else 0)


def _take(call: Call, options: Options, folder: str, archive: tarfile.TarFile, member: tarfile.TarInfo) -> list[bytes]:
    if member.name.startswith("/") or ".." in member.name.split("/") or member.size > MOST_BYTES:
        raise Complaint(f"{member.name}: the stub takes out no such member", 2)
    stream = archive.extractfile(member) if member.isreg() else None
    if "O" in options:
        return [stream.read()] if stream else []
    path = posixpath.join(folder, member.name)
    with told(member.name, 2):
        call.files.node(folder)
        if member.isdir():
            call.files.make_folders(path)
            return []
        call.files.make_folders(posixpath.dirname(path))
        if member.issym():
            call.files.place(path, Node("link", 0o777, target=member.linkname))
        elif stream is not None:
            call.files.place(path, Node("file", member.mode & 0o755, stream.read()))
    return []


def _plain(data: bytes) -> bytes:
    """Return what gzip holds, or the bytes themselves where it is none.

    Raises:
        Complaint: it is cut, or too much.
    """
    if not data.startswith(b"\x1f\x8b"):
        return data
    inflate = zlib.decompressobj(wbits=31)
    try:
        plain = inflate.decompress(data, MOST_BYTES)
    except zlib.error as error:
        raise Complaint(f"not in gzip format: {error}") from error
    if not inflate.eof:
        raise Complaint("unexpected end of file, or more than the stub unpacks")
    return plain


def _gzip(call: Call) -> Done:
    options = Options(call.words, "cdkf", long={"decompress": "d", "stdout": "c", "keep": "k"})
    is_back = "d" in options or call.name in ("gunzip", "zcat")
    out = list[bytes]()
    for name in options.names or ["-"]:
        data = call.read(name)
        changed = _plain(data) if is_back else gzip.compress(data, mtime=0)
        if name == "-" or "c" in options or call.name == "zcat":
            out.append(changed)
            continue
        if is_back and not name.endswith(".gz"):
            raise Complaint(f"{name}: unknown suffix -- ignored", 2)
        with told(name):
            call.files.put(call.path(name.removesuffix(".gz") if is_back else f"{name}.gz"), changed)
            if "k" not in options:
                call.files.remove(call.path(name))
    return Done(b"".join(out))


def _sums(call: Call) -> Done:
    options = Options(call.words, "cbw", long={"check": "c", "quiet": "q", "status": "s"})
    if "c" in options:
        return _checked(call, options)
    names = options.names or ["-"]
    return Done(joined([f"{_sum(call.name, call.read(name))}  {name}" for name in names]))


def _sum(program: str, data: bytes) -> str:
    return hashlib.new(program.removesuffix("sum"), data, usedforsecurity=False).hexdigest()


def _checked(call: Call, options: Options) -> Done:
    out, failed = list[str](), 0
    for _, text in call.texts(options.names):
        for line in split_lines(text):
            found = re.fullmatch(r"([0-9a-f]+) [ *](.+)", line)
            if found is None:
                raise Complaint("no properly formatted checksum lines found")
            try:
                is_same = _sum(call.name, call.read(found[2])) == found[1]
                out.append(f"{found[2]}: {'OK' if is_same else 'FAILED'}")
            except Complaint:
                is_same = False
                out.append(f"{found[2]}: FAILED open or read")
            failed += not is_same
    warning = f"{call.name}: WARNING: {failed} computed checksum{'s' * (failed > 1)} did NOT match\n" if failed else ""
    return Done(joined(out), encoded(warning), int(bool(failed)))


PROGRAMS: Mapping[str, Program] = {
    "gunzip": _gzip,
    "gzip": _gzip,
    "md5sum": _sums,
    "sha1sum": _sums,
    "sha256sum": _sums,
    "tar": _tar,
    "zcat": _gzip,
}
