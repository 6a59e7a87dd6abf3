"""What taking a part out changes, and what is said of a part that is not there."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from sage_gym.ablate import main
from sage_gym.config import ABLATE, PART_NAMES, TRAIN, AblateConfig, open_ablation, read
from sage_gym.config.saved import flatten
from sage_gym.errors import ConfigError
from sage_gym.evaluation.ablation.parts import PARTS
from sage_gym.evaluation.ablation.variants import plan
from sage_gym.selection import SelectionSettings

ENVS = Path(__file__).parent.parent / "envs"
SHIPPED = ("webshop", "tools")
RULES = {f"selection.{name}.enabled" for name in ("near_duplicates", "best_of_group", "score_weights", "task_weights")}
ORDER = "selection.best_of_group.order"
TAKEN_OUT = {
    "forecast": {
        "rounds.stages", "reinforce.lambda_forecast", "amplify.tau", "selection.task_weights.enabled",
    },
    "inverse": {"distil.lambda_inverse", "reinforce.eta_ics", ORDER, "selection.score_weights.coefficients.ics"},
    "critic": {"amplify.chooser", ORDER, "selection.score_weights.coefficients.critic"},
    "amplification": {"amplify.enabled"},
    "recovery": {"rollout.recovery_traces", "rollout.second_attempts"},
    "selection": RULES,
    "curriculum": {"rollout.pool"},
}  # fmt: skip
"""By part, the settings in which the run without it differs: nothing else may."""


def ablation(environment: str, *words: str) -> AblateConfig:
    return read(ABLATE, [f"env={environment}", *words])


def changed_keys(config: AblateConfig, variant: str) -> set[str]:
    full, other = (next(run.config for run in plan(config) if run.variant == name) for name in ("full", variant))
    a, b = (flatten(one.model_dump(mode="json")) for one in (full, other))
    return {key for key in a.keys() | b.keys() if a.get(key) != b.get(key)} - {"run.name"}


@pytest.mark.parametrize("environment", SHIPPED)
def test_every_part_is_on_in_the_shipped_configuration(environment: str) -> None:
    config = ablation(environment)
    assert {run.part for run in plan(config)} == {None, *PART_NAMES}
    assert set(PARTS) == set(PART_NAMES) == set(TAKEN_OUT)


@pytest.mark.parametrize("environment", SHIPPED)
@pytest.mark.parametrize("part", PART_NAMES)
def test_the_run_without_a_part_differs_in_that_parts_settings_alone(environment: str, part: str) -> None:
    assert changed_keys(ablation(environment), f"without-{part}") == TAKEN_OUT[part]


def test_everything_that_forecasts_do_is_taken_out_with_them() -> None:
    words = ["distil.lambda_forecast=0.5", "reinforce.baseline=turn"]
    found = changed_keys(ablation("webshop", *words), "without-forecast")
    assert found == TAKEN_OUT["forecast"] | {"distil.lambda_forecast", "reinforce.baseline"}


@pytest.mark.parametrize("environment", SHIPPED)
@pytest.mark.parametrize("part", PART_NAMES)
def test_a_part_that_was_taken_out_is_off(environment: str, part: str) -> None:
    config = next(run.config for run in plan(ablation(environment)) if run.part == part)
    assert not PARTS[part].is_on(config)  # type: ignore[index]
    others = [name for name in PART_NAMES if name != part and not PARTS[name].is_on(config)]
    assert others == []


@pytest.mark.parametrize("environment", SHIPPED)
def test_the_yardstick_is_the_environments_own_with_the_ablations_tasks_and_tokens(environment: str) -> None:
    given = yaml.safe_load((ENVS / environment / "yardstick.yaml").read_text("utf-8"))
    own = next(run.config for run in plan(ablation(environment)) if run.variant == "yardstick")
    rules = {name for name, rule in given.pop("selection").items() if rule is None}
    assert {name for name in rules if getattr(own.selection, name).enabled} == {"decontamination"}
    found = flatten(own.model_dump(mode="json"))
    # fewer tokens are passed over more often, in smaller steps
    smaller = {"distil.epochs": 2, "distil.batch_tokens": 8000}
    assert flatten(given) | smaller == {key: found[key] for key in flatten(given) | smaller}
    assert not any(part.is_on(own) for part in PARTS.values())


def test_a_run_is_of_its_seed_and_lies_in_the_ablations_folder() -> None:
    runs = plan(ablation("webshop", "run=parts", "run.seed=5", "seeds=2", "vary=critic"))
    assert [(run.name, run.config.run.seed) for run in runs] == [
        (f"{variant}-seed{seed}", seed) for seed in (5, 6) for variant in ("full", "yardstick", "without-critic")
    ]
    assert {run.config.run_folder.parent for run in runs} == {Path("runs/parts")}


def test_the_ablations_file_lies_over_the_environments_and_under_the_words() -> None:
    trained, config = read(TRAIN, ["env=webshop"]), ablation("webshop", "rounds.count=7")
    assert config.rounds.final_rate == trained.rounds.final_rate != 1.0
    assert (trained.amplify.enabled, config.amplify.enabled) == (False, True)
    assert config.rounds.count == 7


def test_a_part_that_is_off_is_refused_with_the_reason(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    off = ["amplify.enabled=false", "selection.best_of_group=null", "selection.score_weights=null"]
    assert main(["env=webshop", "vary=critic,amplification,recovery", *off]) == 2
    said = capsys.readouterr().err
    assert "2 problems" in said
    assert "critic is off in this configuration: removing it would compare a thing with itself" in said
    assert "amplification is off in this configuration" in said
    assert "on are forecast, inverse, recovery, selection, curriculum" in said
    assert not list(tmp_path.iterdir())


def test_a_part_whose_stage_is_not_trained_is_off() -> None:
    config = ablation("webshop", "stages=[reinforce]", "reinforce.eta_ics=0", "amplify.enabled=false", "rollout.pool=1")
    assert {run.part for run in plan(config)} == {None, "forecast"}


def test_a_part_that_does_not_exist_gets_the_nearest(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["env=webshop", "vary=critc,forecast"])
    said = capsys.readouterr().err
    assert "expected one of forecast, inverse, critic" in said
    assert "got 'critc'; did you mean 'critic'?" in said
    with pytest.raises(ConfigError, match="each once"):
        ablation("webshop", "vary=critic,critic")


def test_a_part_without_which_nothing_would_be_trained_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"without-forecast leaves no training: rounds.stages"):
        plan(ablation("webshop", "stages=[forecast]", "vary=forecast"))


def test_scores_that_no_rule_looks_at_are_not_named() -> None:
    assert SelectionSettings().score_names() == ("critic", "ics")
    assert SelectionSettings.yardstick().score_names() == ()
    names = {part: plan(ablation("webshop", f"vary={part}"))[2].config.selection.score_names() for part in TAKEN_OUT}
    assert (names["critic"], names["inverse"], names["selection"]) == (("ics",), ("critic",), ())


def test_an_ablation_takes_further_parts_and_seeds_and_refuses_other_settings(tmp_path: Path) -> None:
    words = [f"run.folder={tmp_path}", "run=parts"]
    open_ablation(ablation("webshop", *words, "vary=critic", "seeds=1"))
    open_ablation(ablation("webshop", *words, "vary=critic,inverse", "seeds=3"))
    with pytest.raises(ConfigError, match=r"rounds\.count: 3 when the run began, 4 now"):
        open_ablation(ablation("webshop", *words, "rounds.count=4"))
