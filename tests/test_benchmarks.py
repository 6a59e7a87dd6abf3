"""Benchmarks' texts: read from whatever files they come in, indexed, and kept out of what is distilled."""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sage_gym.config import TrainConfig
from sage_gym.distill.arena import Arena
from sage_gym.errors import CatalogError
from sage_gym.evaluation.manifest import read_rounds
from sage_gym.selection import HeldOut, find_contamination, read_benchmarks
from sage_gym.selection.fingerprints import SHINGLE, TextIndex, fingerprints
from sage_gym.selection.settings import Decontamination
from sage_gym.selection.similarity import jaccard, ngrams, shingles, words
from sage_gym.train import _held_out
from tests.scripted_student import Doors, scripted_loop
from tests.trajectories import make_task, make_trajectory

LONG = "how many red doors are there in all"


def texts_of(folder: Path) -> dict[str, list[str]]:
    return {source.name: list(source.texts) for source in read_benchmarks(folder)}


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
        "b": [f"{LONG} 4", *[line["q"] for line in lines] * 2],
        "c": [f"{LONG}\nand so on"],
        "single.txt": [LONG],
    }


def test_a_folder_that_is_missing_and_a_file_that_is_damaged_are_named(tmp_path: Path) -> None:
    with pytest.raises(CatalogError, match=r"nowhere: expected a folder of benchmarks, got none"):
        read_benchmarks(tmp_path / "nowhere")
    (tmp_path / "test.jsonl").write_text('{"a": ')
    with pytest.raises(CatalogError, match=r"test.jsonl: expected a benchmark's file, got Expecting value"):
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


word_lists = st.lists(st.sampled_from("abcd"), max_size=7).map(" ".join)


@given(st.lists(word_lists, max_size=8), word_lists, st.integers(2, 4), st.sampled_from([0.3, 0.6, 1.0]))
def test_the_index_knows_what_comparing_texts_one_by_one_finds(
    texts: list[str], query: str, n: int, threshold: float
) -> None:
    index = TextIndex(texts, n)
    held = {gram for text in texts for gram in ngrams(words(text), n)}
    asked = sorted(ngrams(words(query), n))
    assert index.holds(fingerprints(asked)).tolist() == [gram in held for gram in asked]
    own = shingles(query, SHINGLE)
    pairs = [(text, jaccard(own, shingles(text, SHINGLE))) for text in texts]
    near = [pair for pair in pairs if pair[1] >= threshold and own]
    assert list(index.near(fingerprints(own), threshold)) == [(text, pytest.approx(score)) for text, score in near]


def test_an_n_grams_fingerprint_depends_on_the_order_of_its_words() -> None:
    assert len(np.unique(fingerprints(["a b c", "b a c", "c b a", "a b", "a b d"]))) == 5


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
    return [source.name for source in _held_out(config, Arena(Doors, config.rollout, 0, has_progress=False))]


def test_a_run_takes_the_benchmarks_that_are_there_and_its_environments_held_out_splits(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    own = ["doors select", "doors test"]
    assert sources_of(monkeypatch, tmp_path) == own
    (tmp_path / "data" / "benchmarks" / "gsm8k").mkdir(parents=True)
    (tmp_path / "elsewhere" / "mine").mkdir(parents=True)
    assert sources_of(monkeypatch, tmp_path) == ["gsm8k", *own]
    assert sources_of(monkeypatch, tmp_path, benchmarks=None) == own
    assert sources_of(monkeypatch, tmp_path, benchmarks=tmp_path / "elsewhere") == ["mine", *own]


def test_nothing_is_read_where_nothing_would_be_dropped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "damaged.json").write_text("{")
    assert sources_of(monkeypatch, tmp_path, stages="reinforce", benchmarks=tmp_path) == []
    assert sources_of(monkeypatch, tmp_path, decontamination=None, benchmarks=tmp_path) == []
    assert sources_of(monkeypatch, tmp_path, decontamination={"enabled": False}, benchmarks=tmp_path) == []
    with pytest.raises(CatalogError, match=r"damaged.json: expected a benchmark's file"):
        sources_of(monkeypatch, tmp_path, benchmarks=tmp_path)
