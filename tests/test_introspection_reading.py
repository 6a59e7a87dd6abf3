"""All that is measured of a trajectory: each number against one judged by itself."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from policies.causal_lm import CausalLM
from sage_gym.evaluation.introspection.attention import read_trace
from sage_gym.evaluation.introspection.forecaster import Forecaster
from sage_gym.evaluation.introspection.places import PlacedFlows, beyond_place
from sage_gym.evaluation.introspection.reading import Measured, measure_all
from sage_gym.evaluation.introspection.removal import Variant, closed_up, donors_of, knocked_out, replaced, shifted
from sage_gym.evaluation.introspection.traces import Trace, trace_of
from tests.nano_toys import play, tiny_student


@pytest.fixture(scope="module")
def student() -> CausalLM:
    return tiny_student()


@pytest.fixture(scope="module")
def traces(student: CausalLM) -> list[Trace]:
    return [trace_of(one) for one in play(student, episodes=3)]


@pytest.fixture(scope="module")
def measured(student: CausalLM, traces: list[Trace]) -> list[Measured]:
    return measure_all(student, traces)


def changes(student: CausalLM, one: Measured, make: Callable[[int], Variant]) -> np.ndarray:
    """Judge each turn's variant alone."""
    found = [Forecaster(student).judge([make(turn)]).log_odds_M[0] for turn in range(len(one.trace.spans_N))]
    return np.array(found) - one.log_odds


def test_each_effect_is_that_of_its_own_turn_and_way(
    student: CausalLM, measured: list[Measured], traces: list[Trace]
) -> None:
    donors = donors_of(traces, 0)
    for index, one in enumerate(measured):
        trace = one.trace
        effects = changes(student, one, lambda turn, trace=trace: knocked_out(trace, (turn,)))
        np.testing.assert_allclose(one.effects_N, effects, atol=1e-3)
        assert np.ptp(effects) > 0.1
        assert one.closed_N is not None
        closed = changes(student, one, lambda turn, trace=trace: closed_up(trace, (turn,)))
        np.testing.assert_allclose(one.closed_N, closed, atol=1e-3)
        assert one.shifted_N is not None
        moved = changes(student, one, lambda turn, trace=trace: shifted(trace, turn))
        np.testing.assert_allclose(one.shifted_N, moved, atol=1e-3)
        assert one.replaced_N is not None
        for turn, donor in enumerate(donors[index]):
            if donor is None:
                assert np.isnan(one.replaced_N[turn])
            else:
                lent = Forecaster(student).judge([replaced(trace, turn, donor)]).log_odds_M[0] - one.log_odds
                assert one.replaced_N[turn] == pytest.approx(lent, abs=1e-3)
    assert any(donor is not None for own in donors for donor in own)


def test_curves_begin_and_end_at_the_whole_and_at_nothing(student: CausalLM, measured: list[Measured]) -> None:
    for one in measured:
        assert one.curves is not None
        everything = range(len(one.trace.spans_N))
        bare = Forecaster(student).judge([knocked_out(one.trace, everything)]).log_odds_M[0] - one.log_odds
        for curves in one.curves.values():
            assert curves.share_M.tolist() == pytest.approx([0, 1 / 3, 2 / 3, 1])
            assert curves.deletion_M[0] == pytest.approx(0.0, abs=1e-3)
            assert curves.insertion_M[-1] == pytest.approx(0.0, abs=1e-3)
            assert curves.deletion_M[-1] == pytest.approx(abs(bare), abs=1e-3)
            assert curves.insertion_M[0] == pytest.approx(abs(bare), abs=1e-3)
        assert one.curves["leave_one_out"].deletion_M[1] == pytest.approx(np.abs(one.effects_N).max(), abs=1e-3)
        last = Forecaster(student).judge([knocked_out(one.trace, {2})]).log_odds_M[0] - one.log_odds
        assert one.curves["last"].deletion_M[1] == pytest.approx(abs(last), abs=1e-3)


def test_signals_are_means_over_a_turns_tokens_and_jumps_between_states(
    student: CausalLM, measured: list[Measured]
) -> None:
    one = measured[0]
    reading, (start, stop) = read_trace(student, one.trace), one.trace.spans_N[1]
    assert reading.flow_T is not None
    assert reading.cut_N is not None
    np.testing.assert_array_equal(one.signals["attention"], np.abs(reading.cut_N))
    assert one.signals["flow"][1] == pytest.approx(reading.flow_T["weighted"][start:stop].mean())
    assert one.signals["positive"][1] == pytest.approx(reading.flow_T["positive"][start:stop].mean())
    assert one.signals["rollout"][1] == pytest.approx(reading.flow_T["plain"][start:stop].mean())
    assert one.signals["gradient"][1] == pytest.approx(reading.gradient_T[start:stop].mean())
    before = one.course.log_odds_before_K
    assert one.signals["jump"][1] == pytest.approx(abs(before[2] - before[1]))
    assert one.signals["entropy"].tolist() == [turn.decision.entropy for turn in one.trace.trajectory.turns[:3]]
    assert one.signals["last"].tolist() == [0, 1, 2]
    np.testing.assert_array_equal(one.signals["leave_one_out"], np.abs(one.effects_N))


def test_unusual_is_the_flow_held_against_that_of_other_tasks(student: CausalLM, measured: list[Measured]) -> None:
    flows = [PlacedFlows.of(one.trace, one.signals["flow"]) for one in measured]
    for one, z_N in zip(measured, beyond_place(flows), strict=True):
        np.testing.assert_allclose(one.signals["unusual"], z_N)
    more = play(student, episodes=3, seed=1)
    [alone] = measure_all(student, [measured[0].trace], [trace_of(one) for one in more], is_whole_test=False)
    usual = [PlacedFlows.of(m.trace, m.signals["flow"]) for m in measure_all(student, [trace_of(one) for one in more])]
    np.testing.assert_allclose(alone.signals["unusual"], beyond_place(flows[:1], usual)[0], rtol=1e-3)


def test_a_model_without_attention_weights_is_measured_by_the_other_signals(traces: list[Trace]) -> None:
    student = tiny_student()
    student.model.config.attn_logit_softcapping = 30.0
    [one] = measure_all(student, traces[:1])
    assert list(one.signals) == ["gradient", "entropy", "jump", "leave_one_out", "last", "random"]


def test_one_trajectory_alone_is_measured_as_among_others(student: CausalLM, measured: list[Measured]) -> None:
    [alone] = measure_all(student, [measured[2].trace], is_whole_test=False)
    np.testing.assert_allclose(alone.effects_N, measured[2].effects_N, atol=1e-3)
    np.testing.assert_allclose(alone.signals["attention"], measured[2].signals["attention"], rtol=1e-3)
    np.testing.assert_allclose(alone.signals["flow"], measured[2].signals["flow"], rtol=1e-3)
    assert alone.curves is None
    assert alone.closed_N is None
