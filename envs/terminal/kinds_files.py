"""Kinds of tasks about files, their names, places, modes and archives."""

from __future__ import annotations

import hashlib
import io
import tarfile

from envs.terminal.drafts import Draft, Draw, Kind, lines
from envs.terminal.problems import Answer, Archive, File, Goal, Wanted

__all__ = ["KINDS"]

SUFFIXES = ("txt", "csv", "log", "cfg", "md")


def _text(draw: Draw) -> bytes:
    return lines(draw.prose(draw.rng.randint(1, 6)))


def _mixed(draw: Draw, folders: list[str], suffixes: list[str], each: int) -> list[File]:
    """Return files over folders: so many with the first suffix as `each` says, and some with the others."""
    names = draw.nouns(each + 4)
    chosen = [suffixes[0]] * each + draw.rng.choices(suffixes[1:], k=4)
    return [
        File(f"{draw.rng.choice(folders)}/{name}.{suffix}", _text(draw))
        for name, suffix in zip(names, chosen, strict=True)
    ]


def _kept(files: list[File]) -> tuple[Wanted, ...]:
    return tuple(Wanted(file.path, content=file.content) for file in files)


def _count_files(draw: Draw) -> Draft:
    top, *inner = draw.nouns(3)
    suffixes = draw.rng.sample(SUFFIXES, 3)
    count = draw.rng.randint(2, 7)
    files = _mixed(draw, [top, *(f"{top}/{name}" for name in inner)], suffixes, count)
    return Draft(
        {"folder": top, "suffix": suffixes[0]},
        Goal(Answer(str(count), "number")),
        [f"find {top} -type f -name '*.{suffixes[0]}' | wc -l"],
        files,
    )


def _largest_file(draw: Draw) -> Draft:
    folder, names = draw.noun(), draw.nouns(6)
    sizes = draw.numbers(6, 40, 4_000)
    files = [File(f"{folder}/{name}.dat", b"x" * size) for name, size in zip(names, sizes, strict=True)]
    return Draft(
        {"folder": folder},
        Goal(Answer(f"{folder}/{names[sizes.index(max(sizes))]}.dat", "path")),
        [f"ls -S {folder} | head -n 1"],
        files,
    )


def _rename_suffix(draw: Draw) -> Draft:
    folder, (old, new, other) = draw.noun(), draw.rng.sample(SUFFIXES, 3)
    files = _mixed(draw, [folder], [old, other], draw.rng.randint(3, 5))
    wanted = list[Wanted]()
    for file in files:
        stem, _, suffix = file.path.rpartition(".")
        wanted.append(Wanted(f"{stem}.{new if suffix == old else suffix}", content=file.content))
        wanted += [Wanted(file.path, "absent")] if suffix == old else []
    return Draft(
        {"folder": folder, "old": old, "new": new},
        Goal(paths=tuple(wanted)),
        [f'for f in {folder}/*.{old}; do mv "$f" "${{f%.{old}}}.{new}"; done'],
        files,
    )


def _delete_scratch(draw: Draw) -> Draft:
    top, inner = draw.nouns(2)
    suffix = draw.rng.choice(("tmp", "bak", "old"))
    files = _mixed(draw, [top, f"{top}/{inner}"], [suffix, *SUFFIXES], draw.rng.randint(3, 6))
    wanted = [Wanted(f.path, "absent") if f.path.endswith(suffix) else Wanted(f.path, content=f.content) for f in files]
    return Draft(
        {"folder": top, "suffix": suffix},
        Goal(paths=tuple(wanted)),
        [f"find {top} -type f -name '*.{suffix}' -exec rm {{}} +"],
        files,
    )


def _sort_into_folders(draw: Draw) -> Draft:
    folder, (one, two) = draw.noun(), draw.rng.sample(SUFFIXES, 2)
    files = [
        File(f"{folder}/{name}.{suffix}", _text(draw))
        for name, suffix in zip(draw.nouns(6), [one, two] * 3, strict=True)
    ]
    wanted = list[Wanted]()
    for file in files:
        name = file.path.rpartition("/")[2]
        moved = f"{folder}/{name.rpartition('.')[2]}/{name}"
        wanted += [Wanted(moved, content=file.content), Wanted(file.path, "absent")]
    moves = "; ".join(f"mkdir {folder}/{suffix}; mv {folder}/*.{suffix} {folder}/{suffix}/" for suffix in (one, two))
    return Draft({"folder": folder, "one": one, "two": two}, Goal(paths=tuple(wanted)), [moves], files)


def _make_link(draw: Draw) -> Draft:
    folder, link = draw.nouns(2)
    versions = [f"{folder}/{major}.{minor}" for major, minor in zip(draw.numbers(4, 1, 30), (1, 4, 0, 7), strict=True)]
    newest = max(versions, key=lambda version: int(version.rpartition("/")[2].partition(".")[0]))
    files = [File(f"{version}/notes.txt", _text(draw)) for version in versions]
    return Draft(
        {"folder": folder, "link": link},
        Goal(paths=(Wanted(link, "link", target=newest), *_kept(files))),
        [f'ln -s "{folder}/$(ls {folder} | sort -t . -n | tail -n 1)" {link}'],
        files,
    )


def _set_mode(draw: Draw) -> Draft:
    folder, mode = draw.noun(), draw.rng.choice((0o700, 0o750, 0o755, 0o500, 0o550))
    files = _mixed(draw, [folder], ["sh", "txt", "md"], draw.rng.randint(2, 4))
    wanted = [Wanted(f.path, content=f.content, mode=mode if f.path.endswith(".sh") else f.mode) for f in files]
    return Draft(
        {"folder": folder, "mode": f"{mode:o}"}, Goal(paths=tuple(wanted)), [f"chmod {mode:o} {folder}/*.sh"], files
    )


def _open_file(draw: Draw) -> Draft:
    top, inner, *names = draw.nouns(8)
    modes = [0o666, *draw.rng.choices((0o644, 0o600, 0o640, 0o664), k=5)]
    files = [
        File(f"{draw.rng.choice((top, f'{top}/{inner}'))}/{name}.txt", _text(draw), mode)
        for name, mode in zip(names, modes, strict=True)
    ]
    return Draft(
        {"folder": top}, Goal(Answer(files[0].path, "path")), [f"find {top} -type f -perm -o+w"], _by_path(files)
    )


def _by_path(files: list[File]) -> list[File]:
    """Return files by path, so that their order tells nothing."""
    return sorted(files, key=lambda file: file.path)


def _pack_files(draw: Draw) -> Draft:
    folder, out = draw.nouns(2)
    suffix, other = draw.rng.sample(SUFFIXES, 2)
    files = _mixed(draw, [folder], [suffix, other], draw.rng.randint(2, 5))
    chosen = tuple(file for file in files if file.path.endswith(f".{suffix}"))
    return Draft(
        {"folder": folder, "suffix": suffix, "out": f"{out}.tar.gz"},
        Goal(archive=Archive(f"{out}.tar.gz", chosen)),
        [f"tar -czf {out}.tar.gz {folder}/*.{suffix}"],
        files,
    )


def _packed(files: list[File]) -> bytes:
    """Write a tar archive, the same everywhere."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=tarfile.USTAR_FORMAT) as archive:
        for file in files:
            entry = tarfile.TarInfo(file.path)
            entry.size = len(file.content)
            archive.addfile(entry, io.BytesIO(file.content))
    return out.getvalue()


def _read_packed(draw: Draw) -> Draft:
    out, names = f"{draw.noun()}.tar", draw.nouns(4)
    counts = draw.numbers(4, 4, 60)
    files = [File(f"{name}.txt", lines(draw.prose(count))) for name, count in zip(names, counts, strict=True)]
    return Draft(
        {"path": out, "member": files[0].path},
        Goal(Answer(str(counts[0]), "number")),
        [f"tar -xOf {out} {files[0].path} | wc -l"],
        [File(out, _packed(_by_path(files)))],
    )


def _unpack_part(draw: Draw) -> Draft:
    path, folder = f"{draw.noun()}.tar", draw.noun()
    suffix, other = draw.rng.sample(SUFFIXES, 2)
    files = [File(f"{name}.{end}", _text(draw)) for name, end in zip(draw.nouns(6), [suffix, other] * 3, strict=True)]
    wanted = [
        Wanted(f"{folder}/{file.path}", content=file.content)
        if file.path.endswith(f".{suffix}")
        else Wanted(f"{folder}/{file.path}", "absent")
        for file in files
    ]
    return Draft(
        {"path": path, "folder": folder, "suffix": suffix},
        Goal(paths=tuple(wanted)),
        [f"mkdir {folder}; tar -xf {path} -C {folder} --wildcards '*.{suffix}'"],
        [File(path, _packed(files))],
    )


def _changed_file(draw: Draw) -> Draft:
    folder, names = draw.noun(), draw.nouns(6)
    files = [File(f"{folder}/{name}.dat", _text(draw)) for name in names]
    sums = lines([f"{hashlib.sha256(file.content).hexdigest()}  {file.path}" for file in _by_path(files)])
    at = draw.rng.randrange(6)
    changed = files[at].content.replace(b" ", b"  ", 1)
    files[at] = File(files[at].path, changed)
    return Draft(
        {"folder": folder, "sums": "SHA256SUMS"},
        Goal(Answer(files[at].path, "path")),
        ["sha256sum -c SHA256SUMS 2>/dev/null | grep FAILED | cut -d : -f 1"],
        [*files, File("SHA256SUMS", sums)],
    )


KINDS = (
    Kind("count_files", "seen", _count_files),
    Kind("largest_file", "seen", _largest_file),
    Kind("rename_suffix", "seen", _rename_suffix),
    Kind("delete_scratch", "seen", _delete_scratch),
    Kind("set_mode", "seen", _set_mode),
    Kind("pack_files", "seen", _pack_files),
    Kind("read_packed", "seen", _read_packed),
    Kind("sort_into_folders", "select_kinds", _sort_into_folders),
    Kind("make_link", "select_kinds", _make_link),
    Kind("open_file", "select_kinds", _open_file),
    Kind("unpack_part", "test_kinds", _unpack_part),
    Kind("changed_file", "test_kinds", _changed_file),
)
