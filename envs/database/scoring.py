"""How AgentBench judges: an answer against the recorded one, and the tables' final state by its hash.

Facts from THUDM/AgentBench, `src/server/tasks/dbbench/`: `rules="original"` is version 0.2 (`__init__.py` at 9b7a46c),
which the paper's and leaderboard's numbers come from; `"current"` is the rewritten task's `result_processor.py` at
5bf4eb2. Upstream evaluates an answer as Python code; here only literals are read, so that nothing an agent writes runs.
"""

from __future__ import annotations

import ast
import hashlib
import warnings
from collections.abc import Callable, Iterable, Sequence
from typing import Any, Literal

from envs.database.operators import text
from envs.database.tables import Row

__all__ = ["RULES", "Rules", "combined_hash", "is_right", "spelled", "state_hash"]

Rules = Literal["original", "current"]
GROUP_CONCAT_BYTES = 1024
"""MySQL's default `group_concat_max_len`, which upstream leaves: rows beyond the 170th by hash do not count."""
ROW_DIGITS = 5
TOLERANCE = 1e-2
NOTHING = frozenset({"", "none", "null", "undefined", "nan", "inf", "infinity", "-inf", "-infinity"})
MAX_ANSWER = 20_000


def state_hash(rows: Iterable[Row] | None) -> str | None:
    """Return the hash of a table's rows.

    md5 over the sorted first five hex digits of each row's md5, joined by commas and cut at 1,024 bytes; a row is its
    values joined by commas, NULL left out. None where there is no row, or no table.
    """
    if rows is None:
        return None
    parts = sorted(_digest(",".join(text(v) or "" for v in row if v is not None))[:ROW_DIGITS] for row in rows)
    return _digest(",".join(parts)[:GROUP_CONCAT_BYTES]) if parts else None


def combined_hash(hashes: Sequence[str | None]) -> str:
    """Return the hash of several tables: theirs, sorted and joined by `_`."""
    return "_".join(sorted(str(value) for value in hashes))


def is_right(answer: str, gold: Sequence[str], rules: Rules = "original") -> bool:
    """Whether an answer, as written, is the recorded one."""
    return len(answer) <= MAX_ANSWER and RULES[rules](answer, list(gold))


def spelled(rows: Iterable[Row]) -> str:
    """Write the first cell of each row as an answer: a list of texts, NULL as it is shown."""
    return str(["None" if row[0] is None else text(row[0]) for row in rows if row])


def _digest(value: str) -> str:
    return hashlib.md5(value.encode("utf-8", "surrogatepass"), usedforsecurity=False).hexdigest()


def _literal(written: str) -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # an agent's backslashes are no one's concern
        return ast.literal_eval(written.lstrip(" \t"))


UNREADABLE = (ValueError, SyntaxError, TypeError, MemoryError, RecursionError)


def _is_right_original(written: str, gold: list[str]) -> bool:
    """Equal as numbers or as texts where both are single, else equal as sets."""
    try:
        answer = list(_literal(written))
    except UNREADABLE:
        answer = [written]
    if len(answer) == 1 and len(gold) == 1:
        try:
            return float(answer[0]) == float(gold[0])
        except (ValueError, TypeError, OverflowError):
            return bool(answer[0] == gold[0])
    try:
        return set(answer) == set(gold)
    except TypeError:  # a list within the list
        return False


def _is_right_current(written: str, gold: list[str]) -> bool:
    """Equal within 0.01 where all are numbers, else equal as sets, after cleaning both."""
    answer, wanted = _cleaned(written), [_normal(value) for value in gold]
    if not answer:
        return not wanted
    numbers = [_float(value) for value in answer], [_float(value) for value in wanted]
    if None in numbers[0] or None in numbers[1]:
        return set(answer) == set(wanted)
    return _match(numbers[0], numbers[1])  # type: ignore[arg-type]


def _match(answer: list[float], wanted: list[float]) -> bool:
    """Pair each number with the first free one that is near, in order, as upstream does."""
    left = list(wanted)
    for value in answer:
        near = next((i for i, other in enumerate(left) if abs(value - other) <= TOLERANCE), None)
        if near is None:
            return False
        del left[near]
    return not left


def _cleaned(written: str) -> list[str]:
    stripped = written.strip()
    if not (stripped.startswith("[") and stripped.endswith("]")):
        return [_normal(stripped)]
    try:
        items = _literal(stripped)
    except UNREADABLE:
        items = _split(stripped[1:-1])
    if all(isinstance(item, tuple) for item in items):
        items = [item for item in items if len(item) == 1]  # rows as they were shown; wider ones do not count
    return [_normal(item[0] if isinstance(item, tuple) and len(item) == 1 else item) for item in items]


def _split(inside: str) -> list[str]:
    """Split at the commas outside quotes, which are dropped; empty parts too."""
    parts, is_quoted = [""], False
    for char in inside:
        if char in "\"'":
            is_quoted = not is_quoted
        elif char == "," and not is_quoted:
            parts.append("")
        else:
            parts[-1] += char
    return [part for part in parts if part]


def _normal(value: Any) -> str:
    """Drop a percent sign, else commas; what stands for nothing is `0`."""
    written = str(value).strip().strip("'\"").strip()
    if written.endswith("%"):
        return written[:-1].strip()
    if "," in written and not written.startswith("[") and not written.endswith("]"):
        written = written.replace(",", "")
    return "0" if written.lower() in NOTHING else written


def _float(value: str) -> float | None:
    try:
        return float(value)
    except ValueError:
        return None


RULES: dict[str, Callable[[str, list[str]], bool]] = {"original": _is_right_original, "current": _is_right_current}
