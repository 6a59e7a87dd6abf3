"""Where a training run keeps its students, so that one can be named by the run, the round or the checkpoint.

The manifests are read as plain JSON: what else they hold is not known here.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from sage_gym.errors import UnknownNameError

__all__ = ["find_run", "label_of", "last_promoted", "student_of"]


def find_run(name: str | Path) -> Path | None:
    """Return a run's folder, given as a path or by its name under `runs`; None where there is none."""
    return next((path for path in (Path(name), Path("runs") / name) if (path / "rounds").is_dir()), None)


def last_promoted(run: Path) -> int:
    """Return the last round whose student was promoted; round 0's is from the start.

    Raises:
        UnknownNameError: no round has been finished.
    """
    promoted = {}
    for path in sorted(run.glob("rounds/*/manifest.json")):
        manifest = json.loads(path.read_text(encoding="utf-8"))
        promoted[int(manifest["round"])] = _is_promoted(manifest)
    if not any(promoted.values()):
        raise UnknownNameError(f"finished round in {run}", "last promoted", map(str, promoted))
    return max(number for number, is_promoted in promoted.items() if is_promoted)


def student_of(place: str | Path, round: int | None = None) -> Path | None:
    """Return the folder of weights that a run, a round or a checkpoint means; None where `place` is none of these.

    Args:
        place: a run's folder, `rounds/<n>` in one, or that round's `checkpoint`.
        round: of a run; None is the last promoted.

    Raises:
        UnknownNameError: the run keeps no student of that round; those that it keeps are listed.
    """
    folder = Path(place)
    for student in (folder / "student", folder / "checkpoint" / "student"):
        if student.is_dir():
            return student
    if not (folder / "rounds").is_dir():
        return None
    number = last_promoted(folder) if round is None else round
    student = folder / "rounds" / f"{number:03d}" / "checkpoint" / "student"
    if not student.is_dir():
        kept = [str(int(path.parts[-3])) for path in folder.glob("rounds/*/checkpoint/student")]
        raise UnknownNameError(f"round of {folder} that keeps its student", str(number), kept)
    return student


def label_of(name: str) -> str:
    """Name a policy for a reader: `demo round 6` for a run's student, else the registered name or the last part."""
    parts = Path(name).parts
    if "rounds" in parts[1:-1]:
        at = parts.index("rounds", 1)
        if parts[at + 1].isdigit():
            return f"{parts[at - 1]} round {int(parts[at + 1])}"
    return name if "://" in name else Path(name).name or name


def _is_promoted(manifest: dict[str, Any]) -> bool:
    promotion = manifest.get("promotion")
    return bool(promotion["promoted"]) if promotion else manifest["round"] == 0
