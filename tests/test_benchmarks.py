"""Benchmarks' texts: read from whatever files they come in, indexed, and kept out of what is distilled."""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from sage_gym.config import TrainConfig
from sage_gym.config.sections import Rollout
from sage_gym.distill.arena import Arena
from sage_gym.distill.held_out import open_library
from sage_gym.errors import CatalogError
from sage_gym.evaluation.manifest import read_rounds
from sage_gym.selection import HeldOut, Library, find_contamination, read_benchmarks
from sage_gym.selection.settings import Decontamination
from sage_gym.types import Task
from tests.scripted_student import Doors, scripted_loop
from tests.trajectories import make_task, make_trajectory

LONG = "how many red doors are there in all"


def texts_of(folder: Path) -> dict[str, list[str]]:
    return {source.name: list(source.texts) for source in read_benchmarks(folder)}


def write_parquet(path: Path, rows: list[dict[str, Any]]) -> None:
    pq.write_table(pa.Table.from_pylist(rows), path)


def test_texts_are_read_from_every_kind_of_file_under_whatever_key(tmp_path: Path) -> None:
    deep = {"problem": f"{LONG} 1", "level": 3, "options": [f"{LONG} 2", "four"], "more": {"rubric": f"{LONG} 3"}}
    for name in ("a/inner", "b", "c"):
        (tmp_path / name).mkdir(parents=True)
    (tmp_path / "a" / "inner" / "test.json").write_text(json.dumps([deep]))
    lines = [{"q": f"{LONG}\u2028 line {i}"} for i in range(2)]
    (tmp_path / "b" / "test.jsonl").write_text("\n".join(json.dumps(line, ensure_ascii=False) for line in lines) + "\n")
    (tmp_path / "b" / "lines.json").write_text("\n".join(json.dumps(line) for line in lines))
    (tmp_path / "b" / "db.json.gz").write_bytes(gzip.compress(json.dumps({LONG: f"{LONG} 4"}).encode()))
    (tmp_path / "c" / "policy.md").write_text(f"# Policy\n\n{LONG}\nand so on\n\nshort\n")
    (tmp_path / "c" / "picture.png").write_bytes(b"\x89PNG")
    (tmp_path / "single.txt").write_text(LONG)
    (tmp_path / ".hidden").mkdir()
    assert texts_of(tmp_path) == {
        "a": [f"{LONG} 1", f"{LONG} 2", f"{LONG} 3"],
        "b": [f"{LONG} 4", *[line["q"] for line in lines]],
        "c": ["# Policy", f"{LONG}\nand so on"],
        "single.txt": [LONG],
    }
    assert {source.name: source.unread for source in read_benchmarks(tmp_path) if source.unread} == {
        "c": ("c/picture.png",)
    }


def test_tables_and_yaml_are_read_cell_by_cell(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text(f'question,answer\n"{LONG}, said ""he""\nand left",4\n')
    (tmp_path / "b.tsv").write_text(f"question\tanswer\n{LONG} b\t4\n")
    (tmp_path / "c.yaml").write_text(f"tasks:\n- intent: {LONG} c\n---\n{LONG} d\n")
    write_parquet(tmp_path / "e.parquet", [{"q": f"{LONG} e", "choices": [{"text": f"{LONG} f", "n": 1}], "n": 2}])
    (tmp_path / "g.csv.gz").write_bytes(gzip.compress(f"{LONG} g\n".encode()))
    assert texts_of(tmp_path) == {
        "a.csv": [f'{LONG}, said "he"\nand left'],
        "b.tsv": [f"{LONG} b"],
        "c.yaml": [f"{LONG} c", f"{LONG} d"],
        "e.parquet": [f"{LONG} e", f"{LONG} f"],
        "g.csv.gz": [f"{LONG} g"],
    }


def test_a_folder_that_is_missing_and_a_file_that_is_damaged_are_named(tmp_path: Path) -> None:
    with pytest.raises(CatalogError, match=r"nowhere: expected a folder of benchmarks, got none"):
        read_benchmarks(tmp_path / "nowhere")
    (tmp_path / "test.jsonl").write_text('{"a": ')
    with pytest.raises(CatalogError, match=r"test.jsonl: expected a benchmark's file, got Expecting value"):
        read_benchmarks(tmp_path)


@pytest.mark.parametrize("name", ["test.parquet", "test.json.gz", "test.yaml"])
def test_a_damaged_file_of_every_kind_is_named(name: str, tmp_path: Path) -> None:
    (tmp_path / name).write_bytes(b"\x1f\x8b [nothing: [that")
    with pytest.raises(CatalogError, match=rf"{name}: expected a benchmark's file, got"):
        read_benchmarks(tmp_path)


def test_the_real_benchmarks_texts_are_found_in_training_text(sage_gym_data: Path) -> None:
    sources = read_benchmarks(sage_gym_data / "data" / "benchmarks")
    assert {"gsm8k", "math500", "mmlu_pro", "webarena"} <= {source.name for source in sources}
    copied = {source.name: max(list(source.texts)[:50], key=len) for source in sources}
    train = [make_trajectory(make_task(name, instruction=text)) for name, text in copied.items()]
    clean = make_trajectory(
        make_task("clean", instruction="buy a navy cotton shirt with long sleeves under 40 dollars")
    )
    found = find_contamination([*train, clean], sources, Decontamination())
    assert set(found.dropped) == {t.id for t in train}
    assert all(overlap.dropped and overlap.overlapping_tasks for overlap in found.overlaps)


def test_what_is_distilled_leaves_out_benchmarks_and_reports_the_runs_own_splits(tmp_path: Path) -> None:
    held_out = [
        HeldOut("doors", [f"open door {i}" for i in range(10)]),
        HeldOut("doors test", ["open door 3"], "doors"),
    ]
    settings: dict[str, Any] = {"rounds": {"stages": ["distil"], "count": 1}, "rollout": {"tasks_per_round": 40}}
    loop = scripted_loop(tmp_path, {0: 1.0, 1: 1.0}, settings=settings, held_out=held_out)
    loop.run()
    record = read_rounds(loop.folder)[1].selection
    assert record is not None
    assert [(o.source, o.overlapping_tasks, o.training_tasks, o.dropped) for o in record.overlaps] == [
        ("doors", 10, 40, True),
        ("doors test", 1, 40, False),
    ]
    assert [row.dropped for row in record.rows if row.rule == "decontamination"] == [20]
    [material] = loop.materials
    assert material.selection is not None
    kept = {item.trajectory.task.instruction for item in material.selection.kept()}
    assert kept
    assert not kept & set(held_out[0].texts)


def sources_of(monkeypatch: pytest.MonkeyPatch, data: Path, stages: str = "distil", **selection: Any) -> list[str]:
    """The names of what a run would hold its training text against."""
    monkeypatch.setenv("SAGE_GYM_DATA", str(data))
    config = TrainConfig.model_validate({"rounds": {"stages": [stages]}, "selection": selection})
    library = open_library(config, Arena(Doors, config.rollout, 0, has_progress=False))
    return [shelf.source.name for shelf in library.shelves]


@pytest.mark.parametrize("stages", ["distil", "reinforce"])
def test_a_run_takes_the_benchmarks_that_are_there_and_its_environments_held_out_splits(
    stages: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    own = ["doors select", "doors test"]
    assert sources_of(monkeypatch, tmp_path, stages) == own
    (tmp_path / "data" / "benchmarks" / "gsm8k").mkdir(parents=True)
    (tmp_path / "elsewhere" / "mine").mkdir(parents=True)
    assert sources_of(monkeypatch, tmp_path, stages) == ["gsm8k", *own]
    assert sources_of(monkeypatch, tmp_path, stages, benchmarks=None) == own
    assert sources_of(monkeypatch, tmp_path, stages, benchmarks=tmp_path / "elsewhere") == ["mine", *own]


def test_a_damaged_benchmark_stops_a_run_before_it_starts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "damaged.json").write_text("{")
    with pytest.raises(CatalogError, match=r"damaged.json: expected a benchmark's file"):
        sources_of(monkeypatch, tmp_path, "reinforce", benchmarks=tmp_path)


class ManySplits(Doors):
    def splits(self) -> tuple[str, ...]:
        return ("train", "train_test", "test", "select", "test_far", "all")

    def tasks(self, split: str) -> list[Task]:
        return super().tasks(split.partition("_")[0] if split != "all" else "train")


def test_held_out_are_the_splits_that_something_is_judged_by_and_never_the_training_split() -> None:
    arena = Arena(ManySplits, Rollout(), 0, has_progress=False)
    assert arena.held_out_splits(("select", "all"), "train") == ["select", "all", "test", "test_far"]
    assert arena.held_out_splits(("select", "test"), "test") == ["select", "test_far"]


def test_a_splits_tasks_are_listed_at_the_first_comparison_and_once() -> None:
    asked: list[str] = []

    class Asked(Doors):
        def tasks(self, split: str) -> list[Task]:
            asked.append(split)
            return super().tasks(split)

    held_out = Arena(Asked, Rollout(), 0, has_progress=False).held_out("test")
    assert asked == ["test"]  # for the environment's name
    library = Library([held_out])
    [shelf] = library.shelves
    assert (sorted(shelf.texts)[:2], len(shelf.texts), len(shelf.tasks)) == (["open door 0", "open door 1"], 20, 20)
    assert library.shelves == (shelf,)
    assert asked == ["test", "test"]
