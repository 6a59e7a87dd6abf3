"""The resolved configuration in the run folder, and what may not change when a run goes on."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import yaml
from pydantic import BaseModel

from sage_gym.config.settings import TrainConfig
from sage_gym.errors import ConfigError

__all__ = ["CONFIG_FILE", "FREE_ON_RESUME", "check_run", "differences", "open_run", "save"]

CONFIG_FILE = "config.yaml"
FREE_ON_RESUME = ("run.folder", "run.resume", "run.name", "executor", "tracking")
"""Settings that say where and how long a run works, not what comes out: they may change when it goes on."""


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


def save(config: BaseModel, folder: Path) -> Path:
    """Write a configuration as YAML, all or nothing, and return the file."""
    folder.mkdir(parents=True, exist_ok=True)
    path, part = folder / CONFIG_FILE, folder / f"{CONFIG_FILE}.part"
    with part.open("w", encoding="utf-8") as file:
        yaml.safe_dump(config.model_dump(mode="json"), file, sort_keys=False, allow_unicode=True)
        file.flush()
        os.fsync(file.fileno())
    part.replace(path)
    return path


def differences(config: BaseModel, path: Path) -> list[str]:
    """Return a line for each setting that differs from a saved configuration, `FREE_ON_RESUME` excepted.

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
    before, now = dict(_flatten(saved)), dict(_flatten(config.model_dump(mode="json")))
    return [
        f"{key}: {_shown(before, key)} when the run began, {_shown(now, key)} now"
        for key in sorted(before.keys() | now.keys())
        if before.get(key, absent) != now.get(key, absent) and not _is_free(key)
    ]


def _is_free(key: str) -> bool:
    return any(key == free or key.startswith(f"{free}.") for free in FREE_ON_RESUME)


def _flatten(tree: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for key, value in tree.items():
        if isinstance(value, Mapping) and value:
            yield from _flatten(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", value


def _shown(tree: Mapping[str, Any], key: str) -> str:
    return repr(tree[key]) if key in tree else "absent"
