from __future__ import annotations

import itertools
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import yaml
from hypothesis import given
from hypothesis import settings as effort
from hypothesis import strategies as st

from sage_gym import registry
from sage_gym.config import BENCH, EVALUATE, PLAY, TRAIN, TrainConfig, read, read_or_exit
from sage_gym.config.components import environment_file
from sage_gym.config.listing import settings
from sage_gym.config.words import lengthen, read_words
from sage_gym.errors import ConfigError
from tests.configurations import SHOP

FIELDS = list(TrainConfig.model_fields)
SHELF = replace(SHOP, targets={**SHOP.targets, "env": TRAIN.targets["env"]})


@pytest.fixture
def shelf(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A third party's environment, registered for the test; gives its folder."""
    folder = tmp_path / "shelf_environment"
    folder.mkdir()
    (folder / "__init__.py").touch()
    (folder / "shelf.py").write_text("class Shelf:\n    def __init__(self, width: int = 1) -> None: ...\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setitem(registry._builtin["environment"], "shelf", "shelf_environment.shelf:Shelf")
    yield folder
    for name in [name for name in sys.modules if name.startswith("shelf_environment")]:
        del sys.modules[name]


def problems_of(*words: str) -> tuple[str, ...]:
    with pytest.raises(ConfigError) as caught:
        read(SHOP, words)
    return caught.value.problems


def only_problem(*words: str) -> str:
    problems = problems_of(*words)
    assert len(problems) == 1, problems
    return problems[0]


@pytest.mark.parametrize(
    "words", list(itertools.permutations(["env=webshop", "env.catalog=x", "env.max_turns=7"])), ids=" ".join
)
def test_a_short_form_and_the_keys_of_its_group_hold_together_in_any_order(words: tuple[str, ...]) -> None:
    env = read(SHOP, words).env
    assert (env.name, env.arguments) == ("webshop", {"catalog": "x", "max_turns": 7})


def test_every_short_form_sets_what_it_is_short_for() -> None:
    config = read(SHOP, ["policy=large", "policy.model=m", "policy.layers=2", "run=2024", "seed=3", "stages=[distil]"])
    assert config.policy.name == "large"
    assert config.run.name == "2024"
    assert config.run.seed == 3
    assert config.rounds.stages == ("distil",)


def test_a_whole_section_may_be_given_at_once() -> None:
    assert read(SHOP, ["env={name: other, max_turns: 3}"]).env.arguments == {"max_turns": 3}


def test_the_last_of_equal_keys_wins() -> None:
    assert read(SHOP, ["run=a", "rollout.group_size=2", "run.name=b", "rollout.group_size=8"]).run_name == "b"
    assert read(SHOP, ["rollout.group_size=2", "rollout.group_size=8"]).rollout.group_size == 8


def test_without_words_the_defaults_hold_under_the_environments_own_file() -> None:
    file = environment_file("webshop")
    assert file is not None
    own = yaml.safe_load(file.read_text(encoding="utf-8"))
    found, defaults = read(SHOP, []).model_dump(mode="json"), TrainConfig().model_dump(mode="json")
    assert own["rounds"]["count"] != defaults["rounds"]["count"]
    for section, values in defaults.items():
        assert found[section] == {**values, **own.get(section, {})}, section


@pytest.mark.parametrize("name", ["public", "yardstick"])
def test_shipped_files_of_settings_hold_over_the_environments_own(name: str) -> None:
    folder = environment_file("webshop").parent  # type: ignore[union-attr]
    given = yaml.safe_load((folder / f"{name}.yaml").read_text(encoding="utf-8"))
    found = read(TRAIN, [f"config={folder / name}.yaml"]).model_dump(mode="json")
    assert {path.stem for path in folder.glob("*.yaml")} == {"ablation", "config", "public", "yardstick"}
    for section, values in given.items():
        for key, value in values.items():
            assert section == "env" or found[section][key] == value, f"{section}.{key}"
    assert ("catalog" in found["env"]) == (name == "public")


@effort(max_examples=25, deadline=None)
@given(
    st.fixed_dictionaries(
        {
            "rollout.tasks_per_round": st.integers(1, 10**6),
            "distil.learning_rate": st.floats(1e-9, 1.0),
            "amplify.enabled": st.booleans(),
            "run.seed": st.integers(0, 2**32 - 1),
        }
    )
)
def test_values_arrive_as_they_were_written(values: dict[str, object]) -> None:
    config = read(SHOP, [f"{key}={str(value).lower()}" for key, value in values.items()])
    for key, value in values.items():
        section, _, name = key.partition(".")
        assert getattr(getattr(config, section), name) == value


def test_an_unknown_key_gets_the_nearest_dotted_path_and_the_list() -> None:
    problem = only_problem("rollout.group_sze=4")
    assert problem.startswith("rollout.group_sze: no such setting; did you mean 'rollout.group_size'?")
    assert "rollout.max_turns" in problem


@pytest.mark.parametrize(
    ("word", "nearest"),
    [
        ("rolout.group_size=4", "'rollout'"),
        ("learning_rate=1", "'distil.learning_rate'"),
        ("polcy=nano", "'policy'"),
        ("selection.outcom.r_min=1", "'selection.outcome'"),
        ("selection.score_weights.capp=1", "'selection.score_weights.cap'"),
    ],
)
def test_unknown_keys_on_any_level_get_the_nearest(word: str, nearest: str) -> None:
    assert f"did you mean {nearest}" in only_problem(word)


def test_an_unknown_environment_gets_the_nearest_and_the_list() -> None:
    with pytest.raises(ConfigError, match=r"no environment named 'webshp'; did you mean 'webshop'\?; known: .*webshop"):
        read(PLAY, ["env=webshp"])


def test_an_unknown_policy_gets_the_nearest_and_the_list() -> None:
    with pytest.raises(ConfigError, match=r"no policy named 'nan'; did you mean 'nano'\?; known: .*causal_lm"):
        read(TRAIN, ["policy=nan"])


def test_arguments_are_checked_against_the_signature_and_nothing_is_constructed() -> None:
    env = read(SHOP, ["env.max_turns=3", "env.splits=[a,b]", "env.catalog=2024"]).env
    assert env.arguments == {"max_turns": 3, "splits": ("a", "b"), "catalog": "2024"}
    problem = only_problem("env.catalgo=x")
    assert problem.startswith("env.catalgo: no such argument; did you mean 'env.catalog'?; known: env.catalog, ")
    assert "did you mean 'text_rich'" in only_problem("env.observation_mode=rich")
    assert only_problem("env.max_turns=many").startswith("env.max_turns: expected a valid integer")


def test_a_required_argument_is_asked_for() -> None:
    assert problems_of("policy=large", "policy.model=m") == (
        "policy.layers: expected int, got none; it has no default",
    )


def test_a_type_known_to_checkers_alone_accepts_anything() -> None:
    assert read(SHOP, ["policy.hint=x"]).policy.arguments == {"hint": "x"}


def test_everything_wrong_is_reported_at_once() -> None:
    problems = problems_of(
        "env=webshp", "policy.foldr=x", "rollout.group_size=0", "stages=[distill]", "word", "lr=1", "run.name=../up",
        "distil.epochs=[1", "evaluate.temperature=nan", "amplify=3",
    )  # fmt: skip
    subjects = ("env", "policy.foldr", "rollout.group_size", "rounds.stages[0]", "'word'", "lr", "run.name",
                "distil.epochs", "evaluate.temperature", "amplify")  # fmt: skip
    assert sorted(problem.partition(":")[0] for problem in problems) == sorted(subjects)


@pytest.mark.parametrize(
    ("word", "text"),
    [
        ("rollout.group_size=0", "rollout.group_size: expected greater than or equal to 1, got 0"),
        ("rollout.group_size=two", "rollout.group_size: expected a valid integer"),
        ("stages=[distil,reinforcee]", "did you mean 'reinforce'"),
        ("stages=[]", "rounds.stages: expected it to have at least 1 item"),
        ("rollout=3", "rollout: expected a section with keys, got 3; known: rollout."),
        ("env=", "env.name: expected a valid string, got None"),
        ("--env=webshop", "'--env=webshop': expected key=value, for example env=webshop; write 'env=webshop'"),
        ("run.folder=${no.such}", "run.folder: Interpolation key 'no.such' not found"),
    ],
)
def test_each_mistake_says_what_was_expected_and_what_came(word: str, text: str) -> None:
    assert text in only_problem(word)


def test_a_section_and_a_key_inside_it_exclude_each_other() -> None:
    assert "exclude each other" in only_problem("rollout=3", "rollout.group_size=4")


def test_an_environments_own_file_lies_between_defaults_and_words(shelf: Path) -> None:
    (shelf / "config.yaml").write_text("rollout: {group_size: 8, max_turns: 9}\nenv: {width: 3}\npolicy: large\n")
    config = read(SHELF, ["env=shelf", "rollout.max_turns=4", "policy.model=m", "policy.layers=1"])
    assert (config.rollout.group_size, config.rollout.max_turns, config.policy.name) == (8, 4, "large")
    assert config.env.arguments == {"width": 3}


def test_an_environment_without_a_file_takes_the_defaults(shelf: Path) -> None:
    assert read(SHELF, ["env=shelf"]).rollout == TrainConfig().rollout


def test_a_problem_in_a_file_names_the_file(tmp_path: Path) -> None:
    file = tmp_path / "mine.yaml"
    file.write_text("rollout: {group_sze: 8}\nenv: {catalgo: x}\ndistil: {epochs: 0}\n")
    problems = problems_of(f"config={file}", "distil.epochs=-1")
    by_key = {problem.partition(":")[0]: problem for problem in problems}
    assert by_key["rollout.group_sze"].endswith(f"(in {file})")
    assert by_key["env.catalgo"].endswith(f"(in {file})")
    assert str(file) not in by_key["distil.epochs"]


def test_a_files_arguments_go_when_the_words_name_another_component(tmp_path: Path) -> None:
    file = tmp_path / "mine.yaml"
    file.write_text("policy: {name: nano, folder: here}\nenv: {max_turns: 3}\n")
    config = read(SHOP, [f"config={file}", "policy=large", "policy.model=m", "policy.layers=2"])
    assert config.policy.arguments == {"model": "m", "layers": 2}
    assert config.env.arguments == {"max_turns": 3}


@pytest.mark.parametrize("text", ["a: [1", "- 1\n- 2\n", None])
def test_a_file_that_is_missing_or_no_settings_is_named(tmp_path: Path, text: str | None) -> None:
    file = tmp_path / "mine.yaml"
    if text is not None:
        file.write_text(text)
    assert only_problem(f"config={file}").startswith(f"{file}: expected")


def test_variables_are_expanded_and_one_that_is_not_set_is_a_problem(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("SAGE_GYM_DATA", "/somewhere")
    monkeypatch.delenv("NO_SUCH_VARIABLE", raising=False)
    file = tmp_path / "mine.yaml"
    file.write_text("env: {catalog: '${SAGE_GYM_DATA}/b'}\n")
    assert read(SHOP, ["env.catalog=$SAGE_GYM_DATA/a"]).env.arguments == {"catalog": "/somewhere/a"}
    assert read(SHOP, [f"config={file}"]).env.arguments == {"catalog": "/somewhere/b"}
    assert "expected the variable $NO_SUCH_VARIABLE to be set" in only_problem("run.folder=$NO_SUCH_VARIABLE/x")
    monkeypatch.delenv("SAGE_GYM_DATA")
    assert read(SHOP, ["env.catalog=$SAGE_GYM_DATA/a"]).env.arguments == {"catalog": "../shared/a"}


def test_a_setting_may_refer_to_another() -> None:
    assert read(SHOP, ["distil.epochs=3", "reinforce.epochs=${distil.epochs}"]).reinforce.epochs == 3


def test_a_rule_of_selection_can_be_switched_off_alone() -> None:
    config = read(SHOP, ["selection.score_weights=null", "selection.task_weights.enabled=false"])
    assert config.selection.score_weights is None
    assert config.selection.task_weights is not None
    assert not config.selection.task_weights.enabled


def test_benchmarks_are_a_folder_the_usual_one_or_none(tmp_path: Path) -> None:
    assert read(SHOP, []).selection.benchmarks == "auto"
    assert read(SHOP, ["selection.benchmarks=null"]).selection.benchmarks is None
    assert read(SHOP, [f"selection.benchmarks={tmp_path}"]).selection.benchmarks == tmp_path
    problem = only_problem("selection.benchmarks=no/where")
    assert problem == "selection.benchmarks: expected a folder, got 'no/where'"


def test_help_lists_every_setting_with_its_value_and_ends_well(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as end:
        read_or_exit(SHOP, ["--help", "rollout.group_size=16"])
    text = capsys.readouterr().out
    assert end.value.code == 0
    for setting in settings(TrainConfig):
        assert f"\n  {setting.path}=" in text
        assert setting.meaning, f"{setting.path} has no help text"
    assert "rollout.group_size=16 " in text
    assert "env.observation_mode=text " in text
    assert "text|text_rich" in text
    assert "selection.benchmarks=auto" in text
    assert "What each score, standardised within its group, counts in the sum." in text


@pytest.mark.parametrize("command", [TRAIN, EVALUATE, PLAY, BENCH], ids=["train", "evaluate", "play", "bench"])
def test_the_examples_in_help_hold_no_unknown_key(command) -> None:
    fields = list(command.model.model_fields)
    for example in command.examples:
        problems: list[str] = []
        tree = read_words(
            [word for word in example.replace("'", "").split() if "config=" not in word], fields, problems
        )
        assert not problems
        assert set(tree) <= set(fields)


def test_bad_words_end_the_process_with_two_and_the_list_on_stderr(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as end:
        read_or_exit(SHOP, ["lr=1", "env=webshp"])
    assert end.value.code == 2
    assert "2 problems in the configuration" in capsys.readouterr().err


def test_short_forms_in_files_are_lengthened_only_where_the_command_has_the_section() -> None:
    assert lengthen({"env": "webshop", "seed": 3}, FIELDS) == {"env": {"name": "webshop"}, "run": {"seed": 3}}
    assert lengthen({"env": "webshop", "seed": 3}, ["env", "seed"]) == {"env": {"name": "webshop"}, "seed": 3}


def test_play_takes_the_environments_arguments_from_its_file_and_no_training_settings(shelf: Path) -> None:
    (shelf / "config.yaml").write_text("rollout: {group_size: 8}\nenv: {width: 3}\nseed: 9\n")
    config = read(PLAY, ["env=shelf", "split=test"])
    assert (config.env.arguments, config.split, config.seed) == ({"width": 3}, "test", 0)
    assert read(PLAY, ["env=shelf", "seed=7"]).seed == 7
