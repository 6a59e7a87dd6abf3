"""Decision points of a trajectory, where a file of the run names them.

Read are the files `introspection/**/*.json` of a run folder:

    {"trajectory": "r1/webshop/00042#0", "file": "rounds/001/collect.jsonl",
     "points": [{"turn": 3, "weight": 0.41, "why": "…"}]}

`turn` counts from 0, and what else stands there is passed over. A file is about the trajectory that it names; where it
names none, about the one whose id its own name is or ends in (`-` for whatever is no letter, digit, dot or dash).
`file` is only needed where trajectories of two files share an id.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from pydantic import AliasChoices, BaseModel, ConfigDict, Field, ValidationError

__all__ = ["DecisionPoint", "Introspection", "slug"]


class DecisionPoint(BaseModel):
    """A turn that mattered, how much, and why."""

    model_config = ConfigDict(frozen=True, extra="ignore", allow_inf_nan=False)

    turn: int = Field(ge=0)
    weight: float = 0.0
    why: str = ""


class _File(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore")

    trajectory: str | None = Field(None, validation_alias=AliasChoices("trajectory", "trajectory_id", "id"))
    file: str | None = None
    points: tuple[DecisionPoint, ...]


@dataclass(frozen=True, slots=True)
class _Folder:
    """What an introspection folder held when it had this stamp."""

    stamp: float
    files: Mapping[str, _File]
    problems: Mapping[str, str]


def slug(identifier: str) -> str:
    """Return an id as it can stand in a file's name."""
    return re.sub(r"[^A-Za-z0-9.-]+", "-", identifier).strip("-")


class Introspection:
    """The decision points of one run; a folder is read again when it changes."""

    def __init__(self, run_folder: Path) -> None:
        self._path = run_folder / "introspection"
        self._folder = _Folder(-1.0, {}, {})

    def points(self, identifier: str, file: str, turns: int) -> tuple[tuple[DecisionPoint, ...], list[str]]:
        """Return a trajectory's decision points by turn, and what is wrong with its files."""
        folder, name = self._read(), slug(identifier)
        problems = [problem for stem, problem in folder.problems.items() if _is_named(stem, name)]
        about = [
            one
            for stem, one in folder.files.items()
            if one.file in (None, file) and (one.trajectory == identifier if one.trajectory else _is_named(stem, name))
        ]
        points = {point.turn: point for one in about for point in one.points}
        problems += [f"turn {turn} is named as a decision point; there are {turns}" for turn in points if turn >= turns]
        return tuple(points[turn] for turn in sorted(points) if turn < turns), problems

    def _read(self) -> _Folder:
        paths = sorted(self._path.rglob("*.json")) if self._path.is_dir() else []
        try:
            stamp = max((path.stat().st_mtime for path in (self._path, *paths)), default=0.0) if paths else 0.0
        except OSError:
            return self._folder  # one of them is being written anew
        if stamp != self._folder.stamp or len(paths) != len(self._folder.files) + len(self._folder.problems):
            files, problems = {}, {}
            for path in paths:
                name = path.relative_to(self._path).with_suffix("").as_posix()
                try:
                    files[name] = _File.model_validate_json(path.read_bytes())
                except (OSError, ValidationError) as error:
                    problems[name] = f"{path.name}: {_first(error)}"
            self._folder = _Folder(stamp, files, problems)
        return self._folder


def _is_named(name: str, identifier: str) -> bool:
    stem = slug(name)
    return stem == identifier or stem.endswith(f"-{identifier}")


def _first(error: OSError | ValidationError) -> str:
    if isinstance(error, OSError):
        return str(error)
    one = error.errors()[0]
    return f"{'.'.join(map(str, one['loc'])) or 'the file'}: {one['msg']}"
