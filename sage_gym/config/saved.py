"""The resolved configuration in a folder of results, and what may not change when the work in it goes on."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml
from pydantic import BaseModel

from sage_gym.config.ablation import ABLATION_FILE, AblateConfig
from sage_gym.config.evaluation import EvaluateConfig
from sage_gym.config.settings import TrainConfig
from sage_gym.errors import ConfigError

__all__ = [
    "CONFIG_FILE",
    "FREE_ON_RESUME",
    "check_run",
    "differences",
    "flatten",
    "open_ablation",
    "open_evaluation",
    "open_run",
    "save",
]

CONFIG_FILE = "config.yaml"
FREE_ON_RESUME = ("run.folder", "run.resume", "run.name", "executor", "tracking")
"""Settings that say where and how long a run works, not what comes out: they may change when it goes on."""
FREE_IN_EVALUATION = ("name", "folder", "splits", "fit_split", "critic")
"""Settings that say which episodes are played and how they are scored, not how one is played: each kind of episode has
its own file, so an evaluation may be given further splits and another critic."""

FREE_IN_ABLATION = (*FREE_ON_RESUME, "vary", "seeds", "yardstick", "margin", "share")
"""Settings that say which runs there are and how they are judged: an ablation may be given further parts and seeds."""


def check_run(config: TrainConfig) -> None:
    """Find out whether the run's folder is free, or holds a run that may go on with these settings.

    Raises:
        ConfigError: the folder holds a run of other settings (each differing key is listed), a damaged
            `config.yaml`, or any run when `run.resume` is false.
    """
    folder = config.run_folder
    if not (folder / CONFIG_FILE).exists():
        return
    if not config.run.resume:
        raise ConfigError([f"run.resume=false, but {folder} holds a run; remove it or give run=<another name>"])
    changed = differences(config, folder / CONFIG_FILE)
    if changed:
        advice = f"{folder} holds a run of other settings: give run=<another name>, or the settings it began with"
        raise ConfigError([advice, *changed])


def open_run(config: TrainConfig) -> Path:
    """Create the run's folder with its configuration, or accept the one that is there.

    Returns:
        the folder; its `config.yaml` is the resolved configuration.

    Raises:
        ConfigError: as `check_run`.
    """
    check_run(config)
    if not (config.run_folder / CONFIG_FILE).exists():
        save(config, config.run_folder)
    return config.run_folder


def open_evaluation(config: EvaluateConfig) -> Path:
    """Create an evaluation's folder with its configuration, or accept the one that is there and save what is new.

    Raises:
        ConfigError: the folder holds an evaluation of other settings (each differing key is listed), or a damaged
            `config.yaml`.
    """
    folder = config.evaluation_folder
    changed = differences(config, folder / CONFIG_FILE, FREE_IN_EVALUATION) if (folder / CONFIG_FILE).exists() else []
    if changed:
        advice = (
            f"{folder} holds an evaluation of other settings: give name=<another name>, or the settings it began with"
        )
        raise ConfigError([advice, *changed])
    save(config, folder)
    return folder


def open_ablation(config: AblateConfig) -> Path:
    """Create an ablation's folder with its configuration, or accept the one that is there and save what is new.

    The file is `ablation.yaml`, since a folder with a `config.yaml` is a run's, and an ablation's holds run folders.

    Raises:
        ConfigError: the folder holds an ablation of other settings (each differing key is listed), or something else.
    """
    folder = config.run_folder
    path = folder / ABLATION_FILE
    changed = differences(config, path, FREE_IN_ABLATION) if path.exists() else []
    if changed or (path.exists() and not config.run.resume):
        advice = f"{folder} holds results of other settings: give run=<another name>, or the settings it began with"
        refused = f"run.resume=false, but {folder} holds an ablation; remove it or give run=<another name>"
        raise ConfigError([advice, *changed] if changed else [refused])
    save(config, folder, ABLATION_FILE)
    return folder


def save(config: BaseModel, folder: Path, name: str = CONFIG_FILE) -> Path:
    """Write a configuration as YAML, all or nothing, and return the file."""
    folder.mkdir(parents=True, exist_ok=True)
    path, part = folder / name, folder / f"{name}.part"
    with part.open("w", encoding="utf-8") as file:
        yaml.safe_dump(config.model_dump(mode="json"), file, sort_keys=False, allow_unicode=True)
        file.flush()
        os.fsync(file.fileno())
    part.replace(path)
    return path


def differences(config: BaseModel, path: Path, free: Sequence[str] = FREE_ON_RESUME) -> list[str]:
    """Return a line for each setting that differs from a saved configuration, those that are `free` excepted.

    Raises:
        ConfigError: the file is no configuration.
    """
    try:
        saved = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise ConfigError([f"{path}: expected the run's configuration, got {str(error).splitlines()[0]}"]) from error
    if not isinstance(saved, dict):
        raise ConfigError([f"{path}: expected the run's configuration, got {type(saved).__name__}"])
    absent = object()
    before, now = flatten(saved), flatten(config.model_dump(mode="json"))
    return [
        f"{key}: {_shown(before, key)} when the run began, {_shown(now, key)} now"
        for key in sorted(before.keys() | now.keys())
        if before.get(key, absent) != now.get(key, absent) and not _is_free(key, free)
    ]


def flatten(tree: Mapping[str, Any]) -> dict[str, Any]:
    """Return dotted path → value of nested settings."""
    return dict(_leaves(tree, ""))


def _leaves(tree: Mapping[str, Any], prefix: str) -> Iterator[tuple[str, Any]]:
    for key, value in tree.items():
        if isinstance(value, Mapping) and value:
            yield from _leaves(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", value


def _is_free(key: str, free: Sequence[str]) -> bool:
    return any(key == name or key.startswith(f"{name}.") for name in free)


def _shown(tree: Mapping[str, Any], key: str) -> str:
    return repr(tree[key]) if key in tree else "absent"
