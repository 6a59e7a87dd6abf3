"""The rows of files kept between sessions, so that a run is read from its beginning once.

An entry lies in the cache folder, not in the run: looking at a run changes nothing in it. It counts while its file has
the size and the modification time that it had; what nobody asked for in `KEPT_DAYS` goes.
"""

from __future__ import annotations

import json
import logging
import os
import tempfile
import time
from dataclasses import asdict
from hashlib import blake2b
from pathlib import Path

import platformdirs
import pyarrow as pa  # type: ignore[import-untyped]

from sage_gym.evaluation.viewer.reading import FileRows
from sage_gym.evaluation.viewer.summaries import SCHEMA
from sage_gym.rollout.journal import Damage

__all__ = ["Cache", "cache_folder"]

log = logging.getLogger(__name__)

FORMAT = 1
KEPT_DAYS = 60
MARK = b"sage_gym"


def cache_folder() -> Path:
    """Return where rows are kept (`$SAGE_GYM_CACHE` overrides the place)."""
    return Path(os.environ.get("SAGE_GYM_CACHE") or platformdirs.user_cache_dir("sage_gym", appauthor=False)) / "viewer"


class Cache:
    """Entries by the path of their file. One that cannot be written is no error: the file is read again next time."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._has_complained = False

    def load(self, path: Path) -> FileRows | None:
        """Return a file's rows, None where they are not kept or the file is another by now."""
        entry = self._entry(path)
        try:
            status = path.stat()
            with pa.memory_map(str(entry)) as source, pa.ipc.open_file(source) as reader:
                mark = json.loads((reader.schema.metadata or {}).get(MARK, b"{}"))
                is_current = (mark.get("format"), mark.get("bytes"), mark.get("mtime_ns")) == (
                    FORMAT,
                    status.st_size,
                    status.st_mtime_ns,
                )
                if not is_current or mark.get("path") != str(path) or not reader.schema.equals(SCHEMA):
                    return None
                rows = reader.read_all().replace_schema_metadata(None)
            os.utime(entry)
        except (OSError, ValueError, pa.ArrowException):
            return None
        damage = tuple(Damage(**one) for one in mark["damage"])
        return FileRows(rows, damage, mark["unfinished"], mark["bytes"], mark["mtime_ns"])

    def save(self, path: Path, found: FileRows) -> None:
        """Keep a file's rows, all or nothing."""
        mark = {
            "format": FORMAT,
            "path": str(path),
            "bytes": found.bytes,
            "mtime_ns": found.mtime_ns,
            "damage": [asdict(one) for one in found.damage],
            "unfinished": found.unfinished,
        }
        rows = found.rows.unify_dictionaries().combine_chunks().replace_schema_metadata({MARK: json.dumps(mark)})
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            handle, draft = tempfile.mkstemp(dir=self._folder, prefix=".draft-")
            try:
                with os.fdopen(handle, "wb") as file, pa.ipc.new_file(file, rows.schema) as writer:
                    writer.write_table(rows)
                Path(draft).replace(self._entry(path))
            finally:
                Path(draft).unlink(missing_ok=True)
        except OSError as error:
            if not self._has_complained:
                log.warning("%s: what was read cannot be kept (%s); it is read again next time", self._folder, error)
            self._has_complained = True

    def prune(self) -> None:
        """Remove what nobody asked for in a long time."""
        for entry in self._folder.glob("*.arrow"):
            try:
                if time.time() - entry.stat().st_mtime > KEPT_DAYS * 86_400:
                    entry.unlink()
            except OSError:
                continue  # another process was faster, or it is not ours to remove

    def _entry(self, path: Path) -> Path:
        return self._folder / f"{blake2b(os.fsencode(path), digest_size=16).hexdigest()}.arrow"
