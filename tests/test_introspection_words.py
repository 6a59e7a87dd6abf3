"""Decision points on record and in words, told by the template or by a language model that is held to the numbers."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import requests
from scipy.stats import norm

from sage_gym.evaluation.introspection.points import alternatives_of, introspect, probability_of
from sage_gym.evaluation.introspection.reading import Measured, measure_all
from sage_gym.evaluation.introspection.records import Introspection, introspection_path
from sage_gym.evaluation.introspection.telling import Teller, invented_numbers, tell
from sage_gym.evaluation.introspection.traces import trace_of
from sage_gym.evaluation.introspection.wording import say_why
from sage_gym.evaluation.manifest import write_manifest
from sage_gym.evaluation.viewer.introspection import Introspection as Marks
from sage_gym.types import Candidate, Decision, Ledger
from tests.nano_toys import play, tiny_student

TELLER = Teller("http://localhost:1/v1/", "toy", key_variable="TOY_KEY", timeout_s=3.0)


@pytest.fixture(scope="module")
def measured() -> Measured:
    student = tiny_student()
    others = [trace_of(one) for one in play(student, episodes=4, seed=1)[1:]]
    [found] = measure_all(student, [trace_of(play(student, episodes=1)[0])], others, is_whole_test=False)
    return found


@pytest.fixture
def record(measured: Measured) -> Introspection:
    return introspect(measured, signal="attention", file="test/some.jsonl", round=3)


def with_effects(measured: Measured, weights: list[float], effects: list[float]) -> Introspection:
    """The same episode with made-up numbers."""
    signals = {**measured.signals, "flow": np.array(weights), "leave_one_out": np.abs(effects)}
    made = replace(
        measured, effects_N=np.array(effects), without_N=np.array([0.9, 0.5, 0.1]), signals=signals, p_fail=0.5
    )
    return introspect(made, signal="flow", file="test/some.jsonl", round=3)


def test_every_turn_is_on_record_and_the_last_two_without_weight(measured: Measured, record: Introspection) -> None:
    assert [turn.turn for turn in record.turns] == [0, 1, 2, 3, 4]
    assert [turn.weight is None for turn in record.turns] == [False, False, False, True, True]
    cut_N = measured.signals["attention"]
    assert [turn.weight for turn in record.turns[:3]] == pytest.approx(cut_N / cut_N.sum())
    unusual = introspect(measured, signal="unusual", file="", round=3)
    assert [turn.weight for turn in unusual.turns[:3]] == pytest.approx(norm.cdf(measured.signals["unusual"]))
    ids = sum(len(turn.decision.ledger.prompt_ids + turn.decision.ledger.sampled_ids)
              for turn in measured.trace.trajectory.turns if turn.decision.ledger)  # fmt: skip
    assert sum(turn.tokens for turn in record.turns[:3]) == ids - measured.trace.opening - len(
        measured.trace.ids_T[measured.trace.spans_N[-1][1] :]
    )
    [point] = record.points
    assert point.weight == max(turn.weight or 0.0 for turn in record.turns)


def test_the_file_is_one_that_the_viewer_reads(record: Introspection, tmp_path: Any) -> None:
    path = introspection_path(tmp_path, record.trajectory, record.file)
    assert path.parent == tmp_path / "introspection"
    assert path.stem.endswith("-tiny-0-0")  # the id, with a dash for what is no letter, digit, dot or dash
    assert path != introspection_path(tmp_path, record.trajectory, "another.jsonl")
    write_manifest(path, record)
    marked, problems = Marks(tmp_path).points(record.trajectory, record.file, len(record.turns))
    assert problems == []
    assert [(m.turn, m.weight, m.why) for m in marked] == [(p.turn, p.weight, p.why) for p in record.points]
    assert Marks(tmp_path).points(record.trajectory, "another.jsonl", len(record.turns)) == ((), [])


def test_what_a_turn_speaks_for_is_read_off_the_forecast_without_it(measured: Measured) -> None:
    for_success = with_effects(measured, [3, 1, 1], [2.0, 0.0, 0.1])
    [point] = for_success.points
    assert point.why.startswith("60 % of the attention that flows back from the outcome")
    assert "evenly spread, it would be 33 %" in point.why
    assert "goes from 0.50 to 0.90 (log-odds +2.00): it speaks for success." in point.why
    assert "(log-odds −2.00): it speaks for failure." in with_effects(measured, [3, 1, 1], [-2.0, 0, 0]).points[0].why
    assert "hardly moves" in with_effects(measured, [3, 1, 1], [0.01, 0, 0]).points[0].why


def test_an_explanation_owns_up_where_leave_one_out_says_otherwise(measured: Measured) -> None:
    wrong = with_effects(measured, [3, 1, 1], [0.2, 0.0, -1.5])
    assert "Leaving out one turn after the other says otherwise: most hangs on turn 3" in wrong.explanation
    assert "log-odds of failure −1.50 without it" in wrong.explanation
    assert "otherwise" not in with_effects(measured, [3, 1, 1], [2.0, 0.0, -1.5]).explanation


def test_what_is_unusual_is_said_to_be_more_than_others_get_at_the_place(measured: Measured) -> None:
    [point] = introspect(measured, signal="unusual", file="", round=3).points
    assert (
        f"reaches it than {100 * point.weight:.0f} % of the turns that stand there in other tasks' episodes"
        in point.why
    )


def test_a_signal_that_is_not_to_be_had_is_named(measured: Measured) -> None:
    without = replace(measured, signals={"gradient": measured.signals["gradient"]})
    with pytest.raises(ValueError, match="expected the signal 'attention' of tiny/0#0, got gradient"):
        introspect(without, signal="attention", file="", round=0)


def decision(*candidates: tuple[str, float | None], logprobs: tuple[float, ...] = (-0.1, -0.2)) -> Decision:
    ledger = Ledger((1,), (2,) * len(logprobs), logprobs, tuple(logprob != 0.0 for logprob in logprobs))
    weighed = tuple(Candidate(action, logprob) for action, logprob in candidates)
    return Decision("", "search[red shoes]", ledger=ledger, candidates=weighed)


def test_equal_alternatives_are_one_and_the_chosen_is_none() -> None:
    found = alternatives_of(
        decision(
            ("search[]", math.log(0.5)),
            ("search[red shoes]", math.log(0.1)),
            ("click[a]", math.log(0.1)),
            ("click[b]", math.log(0.15)),
            ("click[a]", math.log(0.1)),
            ("click[c]", math.log(0.0001)),
        )
    )
    assert [(one.action, round(one.probability or 0, 6)) for one in found] == [("click[a]", 0.2), ("click[b]", 0.15)]


def test_the_probability_is_that_of_all_that_was_sampled() -> None:
    assert probability_of(decision(logprobs=(-0.1, 0.0, -0.2))) == pytest.approx(math.exp(-0.3))
    assert probability_of(decision(logprobs=(math.nan,))) is None
    assert probability_of(Decision("", "x")) is None
    assert probability_of(replace(decision(), notes={"is_greedy": True})) is None


def test_why_this_one_and_not_that_one(record: Introspection) -> None:
    turns = list(record.turns)
    weighed = alternatives_of(decision(("click[a]", math.log(0.2)), ("click[b]", math.log(0.1))))
    turns[1] = turns[1].model_copy(update={"probability": 0.7, "alternatives": weighed, "entropy": 0.8})
    assert (
        "The policy took it with probability 0.70, before click[a] (0.20), click[b] (0.10). Entropy there: 0.80 nats."
        in say_why(turns, 1, 0.5, "flow")
    )
    turns[1] = turns[1].model_copy(update={"probability": 0.05})
    assert "drawn against the odds, with probability 0.050: likelier was click[a] (0.20)" in say_why(
        turns, 1, 0.5, "flow"
    )
    foreseen = tuple(one.model_copy(update={"p_fail": 0.9}) for one in weighed)
    turns[1] = turns[1].model_copy(update={"alternatives": foreseen})
    assert "click[a] (0.20, forecast to fail 0.90)" in say_why(turns, 1, 0.5, "flow")


class Model:
    """Answers as told, and keeps what it was asked."""

    def __init__(self, text: str = "", error: Exception | None = None) -> None:
        self.text, self.error, self.asked = text, error, {}

    def __call__(self, address: str, body: Mapping[str, Any], headers: Mapping[str, str], timeout_s: float) -> Any:
        self.asked = {"address": address, "body": body, "headers": headers, "timeout_s": timeout_s}
        if self.error is not None:
            raise self.error
        return {"choices": [{"message": {"content": self.text}}]}


def test_a_model_retells_the_numbers(measured: Measured, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TOY_KEY", "secret")
    found = with_effects(measured, [3, 1, 1], [2.0, 0.0, 0.1])
    model = Model("It hinged on turn 1, which took 60 % of the attention; without it failure goes from 0.5 to 0.9.")
    told = tell(found, TELLER, model)
    assert (told.explanation, told.told_by, told.notes) == (model.text, "toy", ())
    assert model.asked["address"] == "http://localhost:1/v1/chat/completions"
    assert model.asked["headers"] == {"Authorization": "Bearer secret"}
    assert model.asked["timeout_s"] == 3.0
    assert found.explanation in model.asked["body"]["messages"][1]["content"]
    assert told.points == found.points


@pytest.mark.parametrize("text", ["It was 73 % likely to fail.", "The forecast was 0.512 before."])
def test_a_telling_with_numbers_that_nobody_measured_is_refused(measured: Measured, text: str) -> None:
    found = with_effects(measured, [3, 1, 1], [2.0, 0.0, 0.1])
    assert invented_numbers(text, found)
    told = tell(found, TELLER, Model(text))
    assert (told.explanation, told.told_by) == (found.explanation, "template")
    assert "numbers that were not measured" in told.notes[0]


@pytest.mark.parametrize(
    ("model", "said"),
    [
        (Model(error=requests.ConnectionError("refused")), "gave no explanation: ConnectionError: refused"),
        (Model(error=requests.HTTPError("500 Server Error")), "gave no explanation: HTTPError: 500"),
        (Model(""), "is not shown: it is empty"),
        (lambda *_: {"error": "no such model"}, "gave no explanation: KeyError"),
        (lambda *_: ["what"], "gave no explanation: TypeError"),
    ],
)
def test_a_model_that_does_not_answer_leaves_the_template_and_a_note(
    record: Introspection, model: Any, said: str
) -> None:
    told = tell(record, TELLER, model)
    assert (told.explanation, told.told_by) == (record.explanation, "template")
    assert said in told.notes[0]
