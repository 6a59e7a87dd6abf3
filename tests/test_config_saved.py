from __future__ import annotations

from pathlib import Path

import pytest

from sage_gym.config import TrainConfig, open_run, read
from sage_gym.config.saved import CONFIG_FILE, differences
from sage_gym.errors import ConfigError
from tests.configurations import SHOP


def configured(folder: Path, *words: str) -> TrainConfig:
    return read(SHOP, [f"run.folder={folder}", "env.catalog=shop", "distil.learning_rate=3e-5", *words])


def test_a_run_is_named_after_environment_and_seed_unless_named() -> None:
    assert read(SHOP, ["env=other", "seed=3"]).run_folder == Path("runs/other-seed3")
    assert read(SHOP, ["run=mine"]).run_folder == Path("runs/mine")


def test_the_saved_configuration_reads_back_as_the_same(tmp_path: Path) -> None:
    config = configured(tmp_path, "selection.task_weights=null", "env.splits=[a,b]")
    folder = open_run(config)
    assert folder == tmp_path / "webshop-seed0"
    assert read(SHOP, [f"config={folder / CONFIG_FILE}"]) == config
    assert differences(config, folder / CONFIG_FILE) == []


def test_the_same_settings_go_on_and_others_are_refused_key_by_key(tmp_path: Path) -> None:
    folder = open_run(configured(tmp_path))
    before = (folder / CONFIG_FILE).read_bytes()
    assert open_run(configured(tmp_path)) == folder
    with pytest.raises(ConfigError) as caught:
        open_run(configured(tmp_path, "rollout.group_size=9", "env.catalog=else", "env.max_turns=3"))
    advice, *lines = caught.value.problems
    assert "give run=<another name>" in advice
    assert lines == [
        "env.catalog: 'shop' when the run began, 'else' now",
        "env.max_turns: absent when the run began, 3 now",
        "rollout.group_size: 8 when the run began, 9 now",
    ]
    assert (folder / CONFIG_FILE).read_bytes() == before


def test_where_and_how_long_a_run_works_may_change(tmp_path: Path) -> None:
    folder = open_run(configured(tmp_path))
    moved = tmp_path / "moved"
    moved.mkdir()
    folder.rename(moved / folder.name)
    changed = configured(moved, "tracking.wandb=off", "tracking.project=other")
    assert open_run(changed) == moved / folder.name


def test_without_resume_a_run_that_is_there_is_refused(tmp_path: Path) -> None:
    config = configured(tmp_path, "run.resume=false")
    open_run(config)
    with pytest.raises(ConfigError, match=r"run.resume=false, but .* holds a run"):
        open_run(config)


def test_a_folder_left_by_a_process_killed_before_saving_is_begun_anew(tmp_path: Path) -> None:
    config = configured(tmp_path)
    config.run_folder.mkdir(parents=True)
    (config.run_folder / f"{CONFIG_FILE}.part").write_text("env: {na")
    assert read(SHOP, [f"config={open_run(config) / CONFIG_FILE}"]) == config


@pytest.mark.parametrize("text", ["", "- 1", "a: [", "\x00"])
def test_a_damaged_saved_configuration_is_named(tmp_path: Path, text: str) -> None:
    config = configured(tmp_path)
    path = open_run(config) / CONFIG_FILE
    path.write_text(text)
    with pytest.raises(ConfigError, match=r"config\.yaml: expected the run's configuration"):
        open_run(config)
