"""The report's section on introspection: its figures, its sentences, and its silence where nothing was tested."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from markupsafe import escape

from sage_gym.evaluation.accounts import account_for_round
from sage_gym.evaluation.introspection.faithfulness import Subject, judge_signals
from sage_gym.evaluation.introspection.records import (
    Faithfulness,
    Introspection,
    WayTest,
    faithfulness_path,
)
from sage_gym.evaluation.introspection.wording import find_test, verdict
from sage_gym.evaluation.manifest import round_path, write_manifest
from sage_gym.evaluation.report import write_report
from tests.test_introspection_faithfulness import subjects
from tests.trajectories import make_trajectory

HOSTILE = "<script>alert(1)</script>\x1b[31m.jsonl"
EXAMPLE = Introspection(
    trajectory="r2/shop/7#0", file=HOSTILE, task="shop/7", instruction=f"buy {HOSTILE}", round=2,
    success=False, reward=0.25, p_fail=0.8, signal="attention", points=(), turns=(),
    explanation=f"It failed.\nTurn 2, click[{HOSTILE}]: hm.", told_by="template",
)  # fmt: skip


def faithfulness_of(made: list[Subject]) -> Faithfulness:
    signals = judge_signals(made, "attention", 0)
    own = signals[0]
    assert own.last is not None
    ways = [
        WayTest(way=way, trajectories=len(made), named=own.named, others=own.others, matched=own.matched,
                pairs=own.pairs, last=own.last)
        for way in ("knocked out", "closed up", "replaced", "shifted")
    ]  # fmt: skip
    return Faithfulness(
        run="toy",
        round=2,
        files=(HOSTILE,),
        signal="attention",
        trajectories=len(made),
        families=len({one.family for one in made}),
        failures=3,
        turns=4.5,
        named_per_trajectory=1.5,
        left_out={"fewer than 4 turns": 7},
        recorded=1.0,
        signals=signals,
        ways=tuple(ways),
        examples=(EXAMPLE,),
    )


def page_of(folder: Path, found: Faithfulness | None) -> str:
    select = [make_trajectory(f"shop/{i}") for i in range(4)]
    write_manifest(
        round_path(folder, 0),
        account_for_round(run="toy", number=0, stage="start", policy="tiny", select=select),
    )
    if found is not None:
        write_manifest(faithfulness_path(folder), found)
    return write_report(folder).read_text("utf-8")


@pytest.fixture(scope="module")
def good() -> Faithfulness:
    return faithfulness_of(subjects(lambda e, rng: e + 0.3 * rng.random(len(e)), 60))


def test_the_section_shows_each_signal_curve_and_way(tmp_path: Path, good: Faithfulness) -> None:
    page = page_of(tmp_path, good)
    section = page[page.index('<section id="introspection">') :]
    section = section[: section.index("</section>")]
    assert '<a href="#introspection">' in page
    for test in good.signals:
        assert f"{test.named.value:.3f}" in section
        assert f"{test.insertion_area.value:.3f}" in section
    assert section.count("<polyline") == 8  # four lines in two charts
    assert "Left out: 7, fewer than 4 turns." in section
    assert section.count("<tr>") == 2 + len(good.signals) + len(good.ways)
    assert "r2/shop/7#0" in section
    assert "<p>It failed.</p>" in section
    for sentence in verdict(good):
        assert str(escape(sentence)) in section


def test_foreign_names_do_nothing_on_the_page(tmp_path: Path, good: Faithfulness) -> None:
    page = page_of(tmp_path, good)
    assert "<script" not in page
    assert "\x1b" not in page
    assert "&lt;script&gt;" in page


def test_nothing_is_claimed_where_nothing_was_tested(tmp_path: Path) -> None:
    page = page_of(tmp_path, None)
    assert "Not looked into." in page
    assert "Turns taken away" not in page


def test_a_faithful_signal_is_said_to_be_and_leave_one_out_to_do_better(good: Faithfulness) -> None:
    said = " ".join(verdict(good))
    assert re.search(r"Against turns of the same place and like length in other episodes: more \(\+", said)
    assert "Against as many turns at the end: more (+" in said
    assert re.search(r"Plain leave-one-out, .* does worse, by 0\.\d\d\.", said)


def test_an_unfaithful_signal_is_said_to_be() -> None:
    bad = faithfulness_of(subjects(lambda e, rng: -e, 60))
    said = " ".join(verdict(bad))
    assert "in other episodes: less (−" in said
    assert "at the end: less (−" in said


def test_leave_one_out_is_said_to_be_tested_on_itself(good: Faithfulness) -> None:
    said = verdict(good.model_copy(update={"signal": "leave_one_out"}))
    assert any("by construction and no evidence" in line for line in said)
    assert not any("by construction" in line for line in verdict(good))


def test_too_few_episodes_are_told_how_many_it_would_take() -> None:
    few = faithfulness_of(subjects(lambda e, rng: e + 3 * rng.random(len(e)), 14))
    own = find_test(few, "attention")
    assert own is not None
    assert own.last is not None
    assert own.last.needed is not None
    assert f"About {own.last.needed} families of tasks would show this difference" in " ".join(verdict(few))
