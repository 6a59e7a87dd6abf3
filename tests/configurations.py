"""Scripted commands for the configuration's tests: an environment and two policies that import nothing heavy."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from sage_gym.config import TRAIN, Command, TrainConfig
from sage_gym.errors import UnknownNameError

if TYPE_CHECKING:
    from nowhere import Unknowable


class Shop:
    """Stands for an environment; constructing it is an error, since checking must not."""

    def __init__(
        self,
        catalog: str | Path | None = None,
        observation_mode: Literal["text", "text_rich"] = "text",
        max_turns: int = 15,
        splits: tuple[str, ...] = ("train",),
    ) -> None:
        raise AssertionError("checking arguments must construct nothing")


def load_small(folder: Path | None = None, *, hint: Unknowable = None) -> Any:
    raise AssertionError("checking arguments must load nothing")


def load_large(model: str, *, layers: int) -> Any:
    raise AssertionError("checking arguments must load nothing")


def find(kind: str, targets: dict[str, Any]) -> Any:
    def look_up(name: str) -> Any:
        if name not in targets:
            raise UnknownNameError(kind, name, targets)
        return targets[name]

    return look_up


SHOP: Command[TrainConfig] = dataclasses.replace(
    TRAIN,
    targets={
        "env": find("environment", {"webshop": Shop, "other": Shop}),
        "policy": find("policy", {"nano": load_small, "large": load_large}),
    },
)
