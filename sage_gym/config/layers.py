"""Where settings come from, each layer over the one before: defaults, the environment's file, `config=FILE`, words.

An evaluation of a training run has the run's settings over the environment's.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException
from pydantic import BaseModel

from sage_gym.config.ablation import ABLATION_FILE, AblateConfig
from sage_gym.config.components import environment_file
from sage_gym.config.evaluation import EvaluateConfig, settings_of_training
from sage_gym.config.listing import sections
from sage_gym.config.runs import find_run, student_of
from sage_gym.config.settings import TrainConfig
from sage_gym.config.words import read_file, read_words
from sage_gym.errors import UnknownNameError

__all__ = ["Layer", "merge", "read_layers"]

LOADING = ("dtype", "decode_dtype", "device")
"""Arguments of a run's policy that say how its weights are loaded; all else is saved with them."""


@dataclass(frozen=True, slots=True)
class Layer:
    """Settings from one place; `source` is empty for the command line and for defaults."""

    source: str
    tree: Mapping[str, Any]

    def has(self, path: str) -> bool:
        """Whether this layer gives the setting at a dotted path, or something above it."""
        node: Any = self.tree
        for part in path.split("."):
            if not isinstance(node, Mapping):
                return True
            if part not in node:
                return False
            node = node[part]
        return True


def read_layers(model: type[BaseModel], words: Sequence[str], problems: list[str]) -> list[Layer]:
    """Return the layers of a command, lowest first.

    Args:
        model: the command's settings.
        words: of the command line; `config=FILE` may come several times, later ones over earlier ones.
        problems: what cannot be read is added here.
    """
    fields = sections(model)
    files = [word.partition("=")[2] for word in words if word.startswith("config=")]
    given = read_words([word for word in words if not word.startswith("config=")], fields, problems)
    defaults = Layer("", model().model_dump(mode="json"))
    above = [Layer(name, read_file(Path(name), fields, problems)) for name in files]
    above.append(Layer("", given))
    if model is EvaluateConfig:
        above = [*_run_layer(above, problems), *above]
    return [defaults, *_environment_layer(model, [defaults, *above], problems), *above]


def merge(layers: Sequence[Layer], components: Sequence[str], problems: list[str]) -> dict[str, Any]:
    """Return one tree, interpolations resolved.

    A layer that names another component than the ones below it also discards their arguments for it.
    """
    merged: Any = OmegaConf.create({})
    for layer in layers:
        for group in components:
            name, before = _name(layer.tree, group), _name(merged, group)
            if name is not None and before is not None and name != before:
                merged[group] = {}
        merged = OmegaConf.merge(merged, OmegaConf.create(dict(layer.tree)))
    try:
        tree = OmegaConf.to_container(merged, resolve=True)
    except OmegaConfBaseException as error:
        problems.append(f"{error.full_key}: {str(error).splitlines()[0]}; ${{…}} names another setting")
        tree = OmegaConf.to_container(merged, resolve=False)
    return {str(key): value for key, value in tree.items()} if isinstance(tree, dict) else {}


def _environment_layer(model: type[BaseModel], layers: Sequence[Layer], problems: list[str]) -> Iterator[Layer]:
    """Give the file beside the named environment. It is written for training; other commands read its `env` alone."""
    name = next((name for layer in reversed(layers) if (name := _name(layer.tree, "env")) is not None), None)
    if name is None:
        return
    try:
        path = environment_file(name)
    except UnknownNameError:
        return
    if path is not None:
        tree = read_file(path, sections(TrainConfig), problems)
        tree["env"] = {**(tree.get("env") or {}), "name": name}
        yield Layer(str(path), _for_command(model, tree))
    path = environment_file(name, ABLATION_FILE) if model is AblateConfig else None
    if path is not None:
        yield Layer(str(path), read_file(path, sections(TrainConfig), problems))


def _for_command(model: type[BaseModel], tree: dict[str, Any]) -> Mapping[str, Any]:
    """Keep what a command understands of settings that were written for training."""
    if issubclass(model, TrainConfig):
        return tree
    return settings_of_training(tree) if model is EvaluateConfig else {"env": tree["env"]}


def _run_layer(layers: Sequence[Layer], problems: list[str]) -> Iterator[Layer]:
    """Give the settings of the training run whose student is to be evaluated, and where that student lies."""
    given = {key: layer.tree[key] for layer in layers for key in ("run", "round") if layer.tree.get(key) is not None}
    if "run" not in given:
        return
    folder = find_run(str(given["run"]))
    if folder is None or not (folder / "config.yaml").is_file():
        problems.append(
            f"run: expected a training run's folder (with config.yaml and rounds/), or its name under runs, "
            f"got {str(given['run'])!r}"
        )
        return
    if any(_name(layer.tree, "policy") is not None for layer in layers):
        problems.append("run and policy exclude each other: the run's student is the policy; give one")
        return
    number = given.get("round")
    try:
        student = student_of(folder, number if isinstance(number, int) else None)
    except UnknownNameError as error:
        problems.append(f"round: {error}")
        return
    path = folder / "config.yaml"
    tree = read_file(path, sections(TrainConfig), problems)
    kept = {name: value for name, value in (tree.get("policy") or {}).items() if name in LOADING}
    policy = {"name": str(student), **kept}
    yield Layer(str(path), {**settings_of_training(tree), "run": str(folder), "policy": policy})


def _name(tree: Any, group: str) -> str | None:
    section = tree.get(group)
    name = section.get("name") if isinstance(section, Mapping) or hasattr(section, "items") else None
    return None if name is None else str(name)
