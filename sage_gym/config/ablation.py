"""The configuration of an ablation: that of a training in which every part is on, and what is taken out of it."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal, get_args

from pydantic import BeforeValidator, Field, field_validator
from pydantic_core import PydanticCustomError

from sage_gym.config.settings import TrainConfig

__all__ = ["ABLATION_FILE", "PART_NAMES", "AblateConfig", "PartName"]

ABLATION_FILE = "ablation.yaml"
"""Beside an environment: its training settings with every part on, small enough for an ablation's many runs."""

PartName = Literal["forecast", "inverse", "critic", "amplification", "recovery", "selection", "curriculum"]
PART_NAMES: tuple[PartName, ...] = get_args(PartName)


def _split_commas(value: object) -> object:
    """Take `a,b` for `[a,b]`."""
    return [part.strip() for part in value.split(",") if part.strip()] if isinstance(value, str) else value


class AblateConfig(TrainConfig):
    """Settings of `python -m sage_gym.ablate`: those of the full system's training, and these."""

    vary: Annotated[tuple[PartName, ...] | None, BeforeValidator(_split_commas)] = None
    """Parts to take out, one a run: a,b; null takes each that the configuration has on."""
    seeds: int = Field(default=3, ge=1, le=100)
    """Seeds of every run: `run.seed` and those after it."""
    yardstick: bool = True
    """Run success-filtered fine-tuning too, everything else alike: what the full system has to beat."""
    margin: float = Field(default=0.02, gt=0.0, lt=1.0)
    """A part whose interval ends below so large a gain (share of tasks) does not help."""
    share: bool = True
    """Take over from a finished run of the same seed what would be played again exactly; false plays everything."""

    @field_validator("vary")
    @classmethod
    def _is_a_list_of_parts(cls, vary: tuple[PartName, ...] | None) -> tuple[PartName, ...] | None:
        if vary is not None and (not vary or len(set(vary)) != len(vary)):
            raise PydanticCustomError("parts", "Input should be a list of parts, each once")
        return vary

    @property
    def run_name(self) -> str:
        """The ablation's name; its runs lie in the folder of that name."""
        return self.run.name or f"{self.env.name}-ablation"

    def training(self, name: str, seed: int) -> TrainConfig:
        """Return the full system's training as one of the ablation's runs."""
        tree: dict[str, Any] = {key: getattr(self, key) for key in TrainConfig.model_fields}
        run = self.run.model_copy(update={"name": name, "seed": seed, "folder": Path(self.run_folder)})
        return TrainConfig(**{**tree, "run": run})
