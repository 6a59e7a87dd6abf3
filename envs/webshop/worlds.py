"""Where a catalogue lies: a folder of the user's, or a generated shop kept in the cache folder.

`None` is the embedded shop; `world:<name>[:<seed>[:<size>]]` another of the same generator: `world:nano:7:1000`.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import tempfile
from pathlib import Path

import platformdirs

from sage_gym.errors import CatalogError

__all__ = ["cache_folder", "locate"]

DEFAULT_SIZE = 1000
PREFIX = "world:"


def locate(catalog: str | None) -> tuple[Path, bool]:
    """Return the catalogue's folder (or product file) and whether it is a generated one.

    Raises:
        CatalogError: a world's name, seed or size is not one.
    """
    if catalog is None:
        return _generated("embedded", 0, DEFAULT_SIZE), True
    if not catalog.startswith(PREFIX):
        return Path(catalog).expanduser(), False
    name, *numbers = catalog.removeprefix(PREFIX).split(":")
    if not name or len(numbers) > 2 or not all(n.isdigit() for n in numbers):
        raise CatalogError(f"expected world:<name>[:<seed>[:<size>]], got {catalog!r}")
    seed, size = (*map(int, numbers), *(0, DEFAULT_SIZE)[len(numbers) :])
    return _generated(name, seed, size), True


def cache_folder() -> Path:
    """Return the folder that generated shops and prepared catalogues are kept in (`$SAGE_GYM_CACHE` overrides it)."""
    return Path(os.environ.get("SAGE_GYM_CACHE") or platformdirs.user_cache_dir("sage_gym", appauthor=False))


def _generated(name: str, seed: int, size: int) -> Path:
    """Return the folder of a generated shop, writing it first where it is not there; all or nothing."""
    from envs.webshop.shop import write_catalog

    parent = cache_folder() / "worlds"
    folder = parent / f"{name}-{seed}-{size}-{_generator_hash()}"
    if folder.is_dir():
        return folder
    parent.mkdir(parents=True, exist_ok=True)
    draft = Path(tempfile.mkdtemp(prefix=".draft-", dir=parent))
    try:
        write_catalog(draft, size=size, seed=seed, world=name)
        draft.rename(folder)
    except OSError:
        if not folder.is_dir():
            raise
    finally:
        shutil.rmtree(draft, ignore_errors=True)
    return folder


def _generator_hash() -> str:
    """Hash the generator's files, so that a shop is written anew when its generator changes."""
    folder = Path(__file__).parent / "shop"
    digest = hashlib.sha256()
    for path in sorted(p for p in folder.rglob("*") if p.suffix in (".py", ".toml", ".json", ".txt")):
        digest.update(path.relative_to(folder).as_posix().encode() + b"\0" + path.read_bytes())
    return digest.hexdigest()[:12]
