"""Manifests written and read, and the page that is made from them alone."""

from __future__ import annotations

import math
import re
from dataclasses import replace
from html.parser import HTMLParser

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sage_gym.evaluation.accounts import account_for_end, account_for_round
from sage_gym.evaluation.forecasts import judge_head
from sage_gym.evaluation.manifest import (
    final_path,
    list_tasks,
    pairs_between,
    read_final,
    read_rounds,
    round_path,
    write_manifest,
)
from sage_gym.evaluation.pilot import judge_pilot
from sage_gym.evaluation.promotion import promote
from sage_gym.evaluation.report import write_report
from sage_gym.evaluation.report.charts import Point, Series, line_chart, nice_ticks
from sage_gym.evaluation.report.wording import neutralise, p_value
from sage_gym.selection import HeldOut, SelectionSettings, select
from sage_gym.types import Candidate, Decision
from tests.trajectories import make_group, make_task, make_trajectory, make_turn

HOSTILE = '<script>alert(1)</script> \x1b[31mred\u202e & "quoted"'


def episodes(split, n, skill, seed=0, instruction="buy a red shoe"):
    """Episodes that succeed with probability `skill`, with a forecast that knows something."""
    generator = np.random.default_rng(seed)
    made = []
    for i in range(n):
        hardness = np.random.default_rng(10_000 + i).random()
        p_fail = float(np.clip(hardness * 2 * (1 - skill), 0.02, 0.98))
        turns = (
            make_turn(
                "search[red shoe]",
                observation="a search box",
                p_fail_before=0.5,
                p_fail=p_fail,
                logprobs=(-p_fail, -0.1),
            ),
            make_turn("click[buy now]", observation="a red shoe, 9 dollars", p_fail=p_fail, is_invalid=i % 9 == 0),
        )
        task = make_task(f"shop/{split}/{i:04d}", instruction=f"{instruction} number {i}", family=f"product {i // 2}")
        made.append(make_trajectory(task, success=bool(generator.random() > p_fail), turns=turns))
    return made


def write_run(folder, skills=(0.35, 0.45, 0.42, 0.6), n=40, instruction="buy a red shoe"):
    """A run as the round loop writes it: round 0, trained rounds, and the test at the end."""
    students = [episodes("select", n, skill, seed=k) for k, skill in enumerate(skills)]
    promoted = 0
    for k in range(len(skills)):
        manifest = account(folder.name, k, students, promoted, skills[k])
        write_manifest(round_path(folder, k), manifest)
        if manifest.promotion is not None and manifest.promotion.promoted:
            promoted = k
    before, after = episodes("test", 200, skills[0], 7, instruction), episodes("test", 200, skills[-1], 8, instruction)
    final = account_for_end(
        run=folder.name,
        environment="webshop",
        policy="sage-nano",
        seed=0,
        last_promoted=promoted,
        tests=[
            ("test", "restricted", before, after),
            ("test", "free", before, after[:150] + before[150:]),
            ("test_far", "restricted", episodes("far", 200, 0.1, 7), episodes("far", 200, 0.2, 8)),
        ],
        forecast=judge_head(after, episodes("select", n, 0.5, seed=98)),
        tokens_trained=360_000,
        elapsed_s=700.0,
    )
    write_manifest(final_path(folder), final)
    return final


def account(run, k, students, promoted, skill):
    """The manifest of a round, whose rival is the student that was promoted last."""
    student, n = students[k], len(students[k])
    collected = episodes("train", n, skill, seed=50 + k) if k else []
    rival = (f"round {promoted}", students[promoted])
    return account_for_round(
        run=run,
        number=k,
        stage="distil" if k else "start",
        policy="sage-nano",
        decoding="restricted to admissible actions, temperature 0",
        select=student,
        collected=collected,
        selection=selected(collected) if k else None,
        promotion=promote((f"round {k}", student), {"incumbent": rival, "best": rival}) if k else None,
        pilot=judge_pilot(students[0][:50], student[:50]) if k == 1 else None,
        forecast=judge_head(student, episodes("train", n, 0.5, seed=99)),
        seeds={"run": 0, "collect": 17 + k},
        files={f"rounds/{k:03d}/trajectories.jsonl": "0" * 64},
        metrics={"distil/loss": 1.0 / (k + 1)} if k else {},
        checkpoint=f"rounds/{k:03d}/checkpoint",
        tokens_trained=120_000 if k else 0,
        elapsed_s=61.0,
    )


def selected(collected):
    held_out = [HeldOut("shop test", ["buy a red shoe number 4 in blue at once please"], "shop")]
    return select([make_group(trajectory) for trajectory in collected], {}, SelectionSettings(), held_out)


class Page(HTMLParser):
    """Collects text and checks that every element that is opened is closed."""

    VOID = frozenset({"meta", "br"})

    def __init__(self, source):
        super().__init__()
        self.open, self.text, self.attributes, self.tags = [], [], [], []
        self.feed(source)
        assert self.open == []

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.attributes += attrs
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.tags.append(tag)
        self.attributes += attrs

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.text.append(data)

    def words(self):
        return re.sub("[ \n]+", " ", " ".join(self.text))


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    folder = tmp_path_factory.mktemp("runs") / "demo"
    final = write_run(folder)
    return folder, final


def test_manifests_come_back_as_they_were_written(run):
    folder, final = run
    rounds = read_rounds(folder)
    assert [m.round for m in rounds] == [0, 1, 2, 3]
    assert read_final(folder) == final
    assert rounds[1].promotion.rivals[0].role == "incumbent"
    assert rounds[0].promoted
    assert rounds[1].numbers()["select/success"] == rounds[1].select.success.value


def test_the_clock_is_no_part_of_what_runs_are_compared_by(run):
    manifest = read_rounds(run[0])[1]
    slower = manifest.model_copy(update={"elapsed_s": 99.0, "metrics": {**manifest.metrics, "collect/wall_s": 3.0}})
    assert slower != manifest
    assert slower.comparable() == manifest.comparable()
    worse = manifest.model_copy(update={"metrics": {"distil/loss": 9.0}})
    assert worse.comparable() != manifest.comparable()


def test_a_damaged_manifest_is_named(tmp_path):
    path = round_path(tmp_path, 0)
    path.parent.mkdir(parents=True)
    path.write_text('{"run": "x"')
    with pytest.raises(ValueError, match=r"000/manifest.json: expected a RoundManifest"):
        read_rounds(tmp_path)


def test_task_lists_differ_when_content_or_order_does():
    tasks = [make_task("shop/0"), make_task("shop/1")]
    assert list_tasks(tasks) == list_tasks(list(tasks))
    assert list_tasks(tasks) != list_tasks(tasks[::-1])
    assert list_tasks(tasks) != list_tasks([replace(tasks[0], hash="other"), tasks[1]])


def test_two_runs_are_paired_by_task_from_their_manifests(run):
    final = run[1]
    a, b = final.tests[1], final.tests[0]
    pairs = pairs_between(a, b)
    assert len(pairs.keys) == 200
    assert sum(pairs.success_b) == b.after.successes
    with pytest.raises(ValueError, match="none in common"):
        pairs_between(a.model_copy(update={"outcomes": ()}), b)


def test_the_page_is_well_formed_and_needs_nothing_from_outside(run):
    source = write_report(run[0]).read_text(encoding="utf-8")
    page = Page(source)
    assert "script" not in page.tags
    assert "link" not in page.tags
    assert "img" not in page.tags
    assert not [name for name, value in page.attributes if name == "src" or "://" in (value or "")]
    assert "url(" not in source
    assert "@import" not in source
    assert len(source) < 1_000_000
    assert not (run[0] / "report.html.partial").exists()


def test_the_page_says_what_the_manifests_hold(run):
    folder, final = run
    words = Page(write_report(folder).read_text(encoding="utf-8")).words()
    test = final.tests[0]
    assert f"{100 * test.before.success.value:.1f} %" in words
    assert f"{100 * test.after.success.value:.1f} %" in words
    assert f"{test.paired.gained} gained, {test.paired.lost} lost" in words
    assert "succeeds more often than round 0" in words
    assert f"{final.forecast.decision.auroc.value:.3f}" in words
    assert f"{final.forecast.decision.brier.uncertainty:.4f}" in words
    assert "logistic regression" in words
    assert "Risk over coverage" in words
    assert f"Area {final.forecast.decision.doubt.risk.area.value:.3f}" in words
    assert "Turn by turn" in words
    assert "near duplicates" in words
    assert "shop test" in words
    assert "Re-planning" in words
    assert "Gained: the last student" in words
    assert "click[buy now]" in words
    rounds = read_rounds(folder)
    for manifest in rounds:
        assert f"{100 * manifest.select.success.value:.1f} %" in words
    assert f"kept {rounds[-1].selection.kept} of {rounds[-1].selection.trajectories}" in words
    assert "No yardstick run was given" in words


def test_the_neighbouring_yardstick_run_is_found_and_tested_in_pairs(tmp_path):
    final = write_run(tmp_path / "demo")
    theirs = write_run(tmp_path / "demo-yardstick", skills=(0.35, 0.36))
    words = Page(write_report(tmp_path / "demo").read_text(encoding="utf-8")).words()
    pairs = pairs_between(theirs.tests[0], final.tests[0])
    assert f"{pairs.gained} / {pairs.lost}" in words
    assert "120\u202f000 there, 360\u202f000 here" in words
    assert "not equal, so this compares budgets as well as methods" in words
    assert f"{100 * theirs.tests[0].after.success.value:.1f} %" in words


def test_hostile_text_is_shown_and_does_nothing(tmp_path):
    write_run(tmp_path / "demo", skills=(0.4, 0.6), n=20, instruction=HOSTILE)
    source = write_report(tmp_path / "demo").read_text(encoding="utf-8")
    page = Page(source)
    assert "script" not in page.tags
    assert "\x1b" not in source
    assert "\u202e" not in source
    assert '<script>alert(1)</script> \u241b[31mred⟨U+202E⟩ & "quoted" number' in page.words()


def test_an_unfinished_run_has_a_page_that_says_so(tmp_path):
    write_run(tmp_path / "demo", skills=(0.4, 0.6), n=20)
    final_path(tmp_path / "demo").unlink()
    words = Page(write_report(tmp_path / "demo").read_text(encoding="utf-8")).words()
    assert "Unfinished" in words
    assert "test split is run once, at the end" in words


def test_a_bare_round_zero_has_a_page(tmp_path):
    manifest = account_for_round(
        run="bare", number=0, stage="start", policy="p", select=[make_trajectory(turns=(make_turn(),))]
    )
    write_manifest(round_path(tmp_path, 0), manifest)
    words = Page(write_report(tmp_path).read_text(encoding="utf-8")).words()
    assert "No round has selected anything yet" in words
    assert "No forecast was judged" in words


def test_what_a_guard_denied_is_a_number_beside_the_invalid_actions(tmp_path):
    select = [make_trajectory(turns=(make_turn(denial="deny (whole-deletion): no"), make_turn()))]
    write_manifest(
        round_path(tmp_path, 0), account_for_round(run="bare", number=0, stage="start", policy="p", select=select)
    )
    assert "50.0 % denied" in Page(write_report(tmp_path).read_text(encoding="utf-8")).words()


def test_a_folder_without_rounds_is_refused(tmp_path):
    with pytest.raises(ValueError, match=r"expected rounds/\*/manifest.json"):
        write_report(tmp_path)


def test_a_lone_surrogate_in_an_observation_does_not_break_the_manifest(tmp_path):
    odd = make_turn("click[\ud800]", observation="bad \ud800 page")
    before, after = [make_trajectory(success=False, turns=(odd,))], [make_trajectory(turns=(odd,))]
    final = account_for_end(
        run="r", environment="e", policy="p", seed=0, last_promoted=1, tests=[("test", "free", before, after)]
    )
    write_manifest(final_path(tmp_path), final)
    assert read_final(tmp_path).samples[0].turns[0].observation == "bad \\ud800 page"


def test_samples_show_what_was_weighed():
    decision = Decision("a", "a", candidates=(Candidate("a"), Candidate("b")))
    turn = replace(make_turn(), decision=decision)
    final = account_for_end(
        run="r",
        environment="e",
        policy="p",
        seed=0,
        last_promoted=1,
        tests=[("test", "free", [make_trajectory(success=False)], [make_trajectory(turns=(turn,))])],
    )
    assert final.samples[0].turns[0].candidates == ("a", "b")


@given(st.floats(-1e6, 1e6), st.floats(1e-6, 1e6))
def test_ticks_cover_the_values_and_are_few(low, width):
    ticks = nice_ticks(low, low + width)
    slack = 1e-6 * max(1.0, abs(low), width)
    assert ticks[0] <= low + slack
    assert ticks[-1] >= low + width - slack
    assert 2 <= len(ticks) <= 8


def test_a_value_that_is_not_finite_leaves_a_gap_and_no_nan_in_the_chart():
    line = Series("loss", (Point(0, 1.0), Point(1, math.nan), Point(2, 0.5)))
    svg = str(line_chart([line], str, "loss"))
    assert "nan" not in svg
    assert svg.count("<circle") == 2
    assert str(line_chart([Series("loss", (Point(0, math.inf),))], str, "loss")) == ""


def test_a_higher_value_is_drawn_higher():
    svg = str(line_chart([Series("s", (Point(0, 0.2), Point(1, 0.8)))], str, "s"))
    heights = [float(y) for y in re.findall(r'cy="([\d.]+)"', svg)]
    assert heights[1] < heights[0]


@given(st.text())
def test_neutralised_text_holds_no_control_or_format_characters(text):
    shown = neutralise(text)
    assert not re.search("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069\ud800-\udfff]", shown)
    assert neutralise("plain text\nfrom 漢 to é") == "plain text\nfrom 漢 to é"


def test_small_p_values_are_not_shown_as_zero():
    assert [p_value(p) for p in (1e-9, 0.0031, 0.0449, 1.0)] == ["< 0.0001", "0.0031", "0.04", "1.00"]


def test_the_gap_to_another_split_is_shown(tmp_path):
    final = write_run(tmp_path / "run")
    gap = final.gaps[0]
    page = Page(write_report(tmp_path / "run").read_text())
    shown = " ".join(" ".join(page.text).split())
    assert (gap.split, gap.other) == ("test", "test_far")
    assert f"test test_far {100 * gap.before.value:+.1f}" in shown
    assert "Newcombe" in shown
