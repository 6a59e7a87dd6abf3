"""Trajectories as a Parquet table."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from sage_gym.rollout.tables import write_table
from tests.recorded_rollouts import full_trajectory, playing
from tests.scripted_rollouts import requests


def test_the_table_opens_in_datasets_and_holds_the_ledgers(tmp_path: Path) -> None:
    datasets = pytest.importorskip("datasets")
    chunks = [*playing(requests(6)), [full_trajectory(), replace(full_trajectory(), final_observation="\ud800")]]
    assert write_table(chunks, tmp_path / "t.parquet") == 8
    assert [path.name for path in tmp_path.iterdir()] == ["t.parquet"]
    table = datasets.load_dataset(
        "parquet", data_files=str(tmp_path / "t.parquet"), split="train", cache_dir=str(tmp_path / "cache")
    )
    first, full = chunks[0][0], table[6]
    assert table.num_rows == 8
    assert table[0]["id"] == first.id
    assert [turn["sampled_ids"] for turn in table[0]["turns"]] == [
        list(turn.decision.ledger.sampled_ids) for turn in first.turns if turn.decision.ledger
    ]
    assert full["turns"][0]["allowed"] == [None, [3, 4]]
    assert full["turns"][0]["logprobs"] == [-0.1, -0.2]
    assert (full["hints"], table[0]["hints"]) == (["try again"], [])
    assert full["failure"] == '{"where": "sandbox", "error": "E", "message": "m", "attempts": 2}'
    assert table[7]["final_observation"] == "?"


def test_a_table_that_fails_half_way_does_not_appear(tmp_path: Path) -> None:
    def chunks() -> Any:
        yield from playing(requests(4))
        raise RuntimeError("the disk is gone")

    with pytest.raises(RuntimeError, match="the disk is gone"):
        write_table(chunks(), tmp_path / "t.parquet")
    assert list(tmp_path.iterdir()) == []
