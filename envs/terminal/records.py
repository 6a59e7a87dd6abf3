"""AgentBench's operating-system records: read from a folder, set up, and judged as its own harness does.

From THUDM/AgentBench, `src/server/tasks/os_interaction/task.py` at 02cf613: a file holds one record, a list of them, or
one a line; a script is a text (bash) or `{language, code | file}`, files below a folder of scripts; `match` is a text
(compared stripped) or `{answer | regex, strip}`; `check` is a script or a chain of them, each given the answer and what
those before it printed, all of which must end with 0; null in it stands for `example`. Programs in C and C++ need an
image with a compiler. `create.local`, a nickname of upstream's images, is not looked at, as upstream itself does not.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import replace
from functools import lru_cache
from itertools import pairwise
from pathlib import Path
from types import MappingProxyType
from typing import Any

from envs.terminal.problems import Code, Problem, Record
from sage_gym.errors import CatalogError
from sage_gym.tasks import KeyRange, Source

__all__ = ["LANGUAGES", "read_records"]

LANGUAGES = ("bash", "python", "c", "c++")
SCRIPTS = "scripts"


@lru_cache(maxsize=8)
def read_records(folder: str) -> Mapping[str, Source[Problem]]:
    """Read every `.json` and `.jsonl` of a folder; scripts are looked for in its `scripts/` and beside the file.

    Each file is a split, by its name.

    Raises:
        CatalogError: there are none, or a record is bad; names the file and the record.
    """
    root = Path(folder)
    paths = sorted(path for path in root.glob("*.json*") if path.suffix in (".json", ".jsonl"))
    if not paths:
        raise CatalogError(f"expected AgentBench's .json or .jsonl records in {folder}, got none")
    for one, other in pairwise(paths):
        if one.stem == other.stem:
            raise CatalogError(f"expected one file a split, got {one.name} and {other.name} in {folder}")
    return MappingProxyType({path.stem: _read(path) for path in paths})


def _read(path: Path) -> Source[Problem]:
    split, records = path.stem, [_record(raw, path, at) for at, raw in _raw(path)]
    keys = KeyRange(f"terminal/{split}", len(records))

    def problem(at: int) -> Problem:
        description, record, family = records[at]
        return Problem(keys.key(at), split, description, family, record)

    return Source(keys, problem)


def _raw(path: Path) -> list[tuple[int, Any]]:
    text = path.read_text(encoding="utf-8")
    try:
        if path.suffix == ".jsonl":
            lines = [line for line in text.splitlines() if line.strip()]
            return [(at, json.loads(line)) for at, line in enumerate(lines)]
        whole = json.loads(text)
    except ValueError as error:
        raise CatalogError(f"{path.name}: expected JSON, got {error}") from error
    return list(enumerate(whole if isinstance(whole, list) else [whole]))


def _record(raw: Any, path: Path, at: int) -> tuple[str, Record, str]:
    try:
        return _parsed(raw, path)
    except (KeyError, TypeError, ValueError, OSError, re.error) as error:
        what = f"misses {error}" if isinstance(error, KeyError) else str(error)
        raise CatalogError(f"{path.name}, record {at}: {what}") from error


def _parsed(raw: Any, path: Path) -> tuple[str, Record, str]:
    if not isinstance(raw, dict) or not isinstance(raw["description"], str):
        raise ValueError(f"expected an object with a description, got {str(raw)[:60]!r}")
    create = raw.get("create")
    create = create if isinstance(create, dict) else {}
    scripts = create.get("init", [])
    record = replace(
        _evaluation(raw["evaluation"], path),
        init=tuple(code for part in _listed(scripts) if (code := _code(part, path)) is not None),
        start=_code(raw.get("start"), path),
        image=str(create.get("image", "")),
    )
    return raw["description"], record, ",".join(map(str, raw.get("labels", ())))


def _evaluation(raw: dict[str, Any], path: Path) -> Record:
    """Read what is compared or run in the end; the rest of the record is left empty."""
    if "match" in raw:
        match: Any = {"answer": raw["match"], "strip": True} if isinstance(raw["match"], str) else raw["match"]
        if not {"answer", "regex"} & set(match):
            raise ValueError(f"expected answer or regex in match, got {sorted(match)}")
        pattern = match.get("regex") if match.get("answer") is None else None
        re.compile(pattern or "")
        return Record(answer=match.get("answer"), pattern=pattern, is_stripped=bool(match.get("strip")))
    if "check" not in raw:
        raise ValueError(f"expected match or check in evaluation, got {sorted(raw)}")
    chain = tuple(_code(part, path) for part in _listed(raw["check"]))
    example = _code(raw.get("example"), path)
    if None in chain and example is None:
        raise ValueError("expected an example, which null in check stands for")
    return Record(chain=chain, example=example)


def _listed(raw: Any) -> list[Any]:
    return raw if isinstance(raw, list) else [raw]


def _code(raw: Any, file: Path) -> Code | None:
    if raw is None:
        return None
    if isinstance(raw, str):
        return Code("bash", raw)
    language = raw.get("language", "bash")
    if language not in LANGUAGES:
        raise ValueError(f"expected a language of {', '.join(LANGUAGES)}, got {language!r}")
    if "code" in raw:
        return Code(language, raw["code"])
    return Code(language, _script(file, raw["file"]).read_text(encoding="utf-8"))


def _script(file: Path, name: str) -> Path:
    """Find a script: upstream keeps those of `data/1/x.json` in `scripts/1/`, and of `data/x.json` in `scripts/x/`."""
    folder = file.parent
    below = [folder.parent / SCRIPTS / file.stem, folder.parent.parent / SCRIPTS / folder.name]
    for root in (folder / SCRIPTS, folder, *below):
        path = (root / name).resolve()
        if path.is_relative_to(root.resolve()) and path.is_file():
            return path
    raise ValueError(f"expected the script {name!r} in {folder / SCRIPTS} or beside the file, got none")
