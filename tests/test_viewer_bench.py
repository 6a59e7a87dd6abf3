"""The viewer's own benchmark, on a run small enough for a test."""

from __future__ import annotations

import pytest

from sage_gym.bench import main
from sage_gym.evaluation.viewer import bench


def test_the_benchmark_measures_over_http_where_no_browser_is_wanted(capsys: pytest.CaptureFixture[str]) -> None:
    words = ["measure=view", "view.trajectories=200", "view.rounds=2", "view.browser=false"]
    assert main(words) == 0
    printed = capsys.readouterr().out
    for name in ("cold_list_shown_s", "warm_list_shown_s", "filter_text_ms", "sort_worst_ms"):
        assert name in printed


def test_without_a_browser_the_benchmark_says_what_is_missing(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def absent() -> None:
        raise bench.BrowserAbsentError("expected Playwright, got none")

    monkeypatch.setattr(bench, "open_browser", absent)
    assert main(["measure=view", "view.trajectories=200"]) == 2
    assert "expected Playwright, got none" in capsys.readouterr().err
