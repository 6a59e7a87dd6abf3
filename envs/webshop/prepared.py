"""A catalogue's prepared form: flat arrays and one blob, memory-mapped, made once from the source files.

It lies in a folder `.sage_gym` beside the source where that can be written to, else in the cache folder. The folder
is named after the hash of the sources, is written under another name and then renamed, and never changes afterwards;
`current-….json` beside it says which hash the sources had at which size and modification time, so that opening a
large catalogue again does not read it.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import stat
import tempfile
from array import array
from collections.abc import Iterator
from dataclasses import astuple, dataclass, fields
from functools import reduce
from pathlib import Path
from random import Random
from typing import Any

import numpy as np
from numpy.typing import NDArray

from envs.webshop.catalog import Files, Product, product_from_fields, read_products
from envs.webshop.goals import DRAW_SEED, KINDS, Kind, Wanted, draw_bounds, draw_price, shuffled_order
from envs.webshop.index import IndexBuilder, Postings
from envs.webshop.splits import read_splits
from envs.webshop.worlds import cache_folder
from sage_gym.errors import CatalogError

__all__ = ["Prepared", "Products", "load_prepared", "prepare"]

FORMAT = 2
HASH_CHUNK = 1 << 22
RECENT = 4096


class Products:
    """The products, decoded from the blob when asked for; the last few thousand are kept."""

    def __init__(self, folder: Path) -> None:
        self._offsets: NDArray[np.int64] = np.load(folder / "offsets.npy", mmap_mode="r")
        self._blob = np.memmap(folder / "products.bin", np.uint8, "r")
        self._recent: dict[int, Product] = {}

    def __len__(self) -> int:
        return len(self._offsets) - 1

    def __getitem__(self, position: int) -> Product:
        product = self._recent.get(position)
        if product is None:
            if len(self._recent) >= RECENT:
                self._recent.clear()
            start, end = int(self._offsets[position]), int(self._offsets[position + 1])
            product = product_from_fields(json.loads(self._blob[start:end].tobytes()))
            self._recent[position] = product
        return product

    def __iter__(self) -> Iterator[Product]:
        return (self[position] for position in range(len(self)))


@dataclass(frozen=True, slots=True)
class Prepared:
    """What is mapped. `asins` are in catalogue order, `prices` as drawn at seed 0, in dollars.

    `wanted` says what the goals of a kind want, `bounds` their price bounds in dollars as drawn at seed 0; other
    prices need other bounds, drawn from the generator's `state` after the prices. `splits` are goal indices by split,
    where the source assigns products to splits.
    """

    products: Products
    asins: NDArray[np.bytes_]
    prices: NDArray[np.float64]
    postings: Postings
    wanted: dict[Kind, Wanted]
    bounds: dict[Kind, NDArray[np.float64]]
    splits: dict[str, NDArray[np.int64]] | None
    state: Any

    def find(self, asin: str) -> int:
        """Return the position of an asin, -1 where there is none."""
        numbering = self.postings.numbering
        at = int(np.searchsorted(self.asins, asin.encode(), sorter=numbering))
        if at < len(numbering) and self.asins[numbering[at]] == asin.encode():
            return int(numbering[at])
        return -1


def prepare(files: Files) -> Path:
    """Return the folder of the prepared form, making it where there is none for the sources as they are.

    Raises:
        CatalogError: a source is missing or bad; nothing half-made is left behind.
    """
    root = _root(files.products.parent)
    stamp = _stamp(files)
    note = root / f"current-{hashlib.sha256(str(files.products.name).encode()).hexdigest()[:12]}.json"
    known = _read_note(note)
    if known.get("stamp") == stamp and (root / str(known.get("digest"))).is_dir():
        return root / str(known["digest"])
    digest = _digest(files)
    folder = root / digest
    if not folder.is_dir():
        _make(files, folder)
    _write_note(note, {"stamp": stamp, "digest": digest})
    old = known.get("digest")
    if old and old != digest:
        shutil.rmtree(root / str(old), ignore_errors=True)
    return folder


def load_prepared(folder: Path) -> Prepared:
    """Map a prepared form; reads little more than the headers."""
    arrays = {path.stem: np.load(path, mmap_mode="r") for path in folder.glob("*.npy")}
    meta = json.loads((folder / "meta.json").read_text(encoding="utf-8"))
    splits = None if meta["splits"] is None else {n: arrays[f"split_{i}"] for i, n in enumerate(meta["splits"])}
    version, internal, gauss = meta["state"]
    return Prepared(
        products=Products(folder),
        asins=arrays["asins"],
        prices=arrays["prices"],
        postings=Postings(**{f.name: arrays[f.name] for f in fields(Postings)}),
        wanted={kind: Wanted(*(arrays[f"{kind}_{f.name}"] for f in fields(Wanted))) for kind in KINDS},
        bounds={kind: arrays[f"{kind}_bounds"] for kind in KINDS},
        splits=splits,
        state=(version, tuple(internal), gauss),
    )


def _root(folder: Path) -> Path:
    mode = folder.stat().st_mode
    if mode & (stat.S_IWUSR | stat.S_IWGRP | stat.S_IWOTH) and os.access(folder, os.W_OK):
        return folder / ".sage_gym"
    return cache_folder() / "prepared" / hashlib.sha256(str(folder.resolve()).encode()).hexdigest()[:16]


def _stamp(files: Files) -> list[list[Any]]:
    stats = [(path.name, path.stat()) for path in files.present()]
    return [["format", FORMAT], *([name, found.st_size, found.st_mtime_ns] for name, found in stats)]


def _digest(files: Files) -> str:
    digest = hashlib.blake2b(f"format {FORMAT}".encode(), digest_size=12)
    for path in files.present():
        digest.update(f"\0{path.name}\0".encode())
        with path.open("rb") as file:
            while chunk := file.read(HASH_CHUNK):
                digest.update(chunk)
    return digest.hexdigest()


def _read_note(path: Path) -> dict[str, Any]:
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, json.JSONDecodeError):
        return {}
    return found if isinstance(found, dict) else {}


def _write_note(path: Path, note: dict[str, Any]) -> None:
    draft = path.with_name(f"{path.name}.{os.getpid()}")
    draft.write_text(json.dumps(note), encoding="utf-8")
    draft.replace(path)


def _make(files: Files, folder: Path) -> None:
    folder.parent.mkdir(parents=True, exist_ok=True)
    draft = Path(tempfile.mkdtemp(prefix=".draft-", dir=folder.parent))
    try:
        _write(files, draft)
        draft.rename(folder)
    except OSError:
        if not folder.is_dir():  # else another process was quicker
            raise
    finally:
        shutil.rmtree(draft, ignore_errors=True)


@dataclass(slots=True)
class _Pass:
    """What one pass over the products collects."""

    asins: list[str]
    prices: array[float]
    offsets: array[int]
    synthetic: list[tuple[int, int]]
    human: list[tuple[int, int]]
    builder: IndexBuilder
    generator: Random


def _write(files: Files, folder: Path) -> None:
    found = _Pass([], array("d"), array("q", [0]), [], [], IndexBuilder(), Random(DRAW_SEED))
    with (folder / "products.bin").open("wb") as blob:
        for product in read_products(files):
            _collect(found, product)
            found.offsets.append(found.offsets[-1] + blob.write(_encode(product)))
    if not found.asins:
        raise CatalogError(f"{files.products}: expected at least one product, got none")
    asins = np.array([asin.encode() for asin in found.asins])
    postings = found.builder.finish(np.argsort(asins, kind="stable").astype(np.int32))
    arrays: dict[str, Any] = {f.name: getattr(postings, f.name) for f in fields(Postings)}
    arrays |= {"asins": asins, "prices": np.asarray(found.prices), "offsets": np.asarray(found.offsets)}
    synthetic, state = _expand(found.synthetic), found.generator.getstate()
    goals: dict[Kind, Wanted] = {"synthetic": synthetic, "human": _list(found.human)}
    for kind, wanted in goals.items():
        arrays |= {f"{kind}_{f.name}": getattr(wanted, f.name) for f in fields(Wanted)}
        arrays[f"{kind}_bounds"] = draw_bounds(wanted, arrays["prices"], state)
    names = None
    if files.splits is not None:
        by_product = read_splits(files.splits, found.asins)
        names = list(by_product)
        owners = synthetic.positions[synthetic.order]
        for i, positions in enumerate(by_product.values()):
            arrays[f"split_{i}"] = np.flatnonzero(np.isin(owners, positions))
    for name, values in arrays.items():
        np.save(folder / f"{name}.npy", values)
    meta = {"splits": names, "state": state}
    (folder / "meta.json").write_text(json.dumps(meta), encoding="utf-8")


def _collect(found: _Pass, product: Product) -> None:
    position = len(found.asins)
    found.asins.append(product.asin)
    found.prices.append(draw_price(product.pricing, found.generator))
    found.builder.add(product.search_text)
    if product.instruction is not None:
        found.synthetic.append((position, reduce(lambda n, option: n * len(option[1]), product.options, 1)))
    found.human.extend((position, number) for number, wanted in enumerate(product.human) if wanted.attributes)


def _encode(product: Product) -> bytes:
    return json.dumps(astuple(product), ensure_ascii=False, separators=(",", ":")).encode()


def _expand(rows: list[tuple[int, int]]) -> Wanted:
    """Number the combinations of each product's options: one goal each."""
    positions = np.array([position for position, _ in rows], np.int32)
    counts = np.array([count for _, count in rows], np.int64)
    owners = np.repeat(np.arange(len(rows), dtype=np.int32), counts)
    firsts = np.cumsum(counts) - counts
    numbers = np.arange(len(owners), dtype=np.int64) - np.repeat(firsts, counts)
    return Wanted(positions[owners], owners, numbers, shuffled_order(len(owners)))


def _list(rows: list[tuple[int, int]]) -> Wanted:
    positions = np.array([position for position, _ in rows], np.int32)
    numbers = np.array([number for _, number in rows], np.int64)
    return Wanted(positions, np.arange(len(rows), dtype=np.int32), numbers, shuffled_order(len(rows)))
