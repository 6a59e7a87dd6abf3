"""The policies of an evaluation: loaded, set to decode as asked, named, and told apart by their weights."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from hashlib import blake2b
from pathlib import Path
from typing import Any

from sage_gym.config import Component, EvaluateConfig, make_policy
from sage_gym.config.runs import label_of, student_of
from sage_gym.errors import ConfigError
from sage_gym.protocols import Policy, Student
from sage_gym.registry import resolve

__all__ = ["Side", "check_weights", "in_words", "make_sides", "weights_digest"]

WEIGHTS_FILE = "weights.json"
MOST_HASHED = 4096
"""Numbers of a tensor that are hashed, evenly spread: a step of training moves nearly all of them."""


@dataclass(frozen=True, slots=True)
class Side:
    """One of the policies that are evaluated."""

    file: str
    """What its journals are called: `policy` or `against`."""
    label: str
    policy: Policy
    decoding: str
    """In words."""
    weights: str = ""
    """A hash over them; empty where it has none."""


def make_sides(config: EvaluateConfig) -> tuple[Side, ...]:
    """Load what is evaluated and, where there is one, what it is held against.

    Raises:
        ConfigError: re-planning on forecasts is asked for, and the policy has none.
        CheckpointError: the weights are missing or damaged.
    """
    side = _load("policy", config.policy, config)
    if config.against is not None:
        return _told_apart(side, _load("against", config.against, config))
    if not config.amplify.enabled:
        return (side,)
    if not isinstance(side.policy, Student) or side.policy.head is None:
        raise ConfigError([f"amplify.enabled: expected a policy with a meta-cognition head, got {side.label}"])
    settings = config.amplify
    amplified: Policy = resolve("policy", "amplified")(
        side.policy,
        candidates=settings.candidates,
        tau=settings.tau,
        replans=settings.replans,
        untouched_share=0.0,
        seed=config.seed,
    )
    return replace(side, label=f"{side.label} amplified", policy=amplified), replace(side, file="against")


def _load(file: str, component: Component, config: EvaluateConfig) -> Side:
    policy: Policy = make_policy(component)
    label = label_of(str(student_of(component.name) or component.name))
    if not isinstance(policy, Student):
        return Side(file, label, policy, "as the policy itself does")
    given = component.arguments
    temperature = float(given.get("temperature", config.temperature))
    restricted = bool(given.get("restricted", config.restricted))
    decoding = in_words(temperature, restricted)
    decoder = policy.with_decoding(temperature=temperature, restricted=restricted)
    return Side(file, label, decoder, decoding, weights_digest(policy))


def _told_apart(side: Side, other: Side) -> tuple[Side, Side]:
    """Give two policies of one name different labels: how they decode, else which side they are on."""
    if side.label != other.label:
        return side, other
    first, second = (side.decoding, other.decoding) if side.decoding != other.decoding else ("evaluated", "baseline")
    return replace(side, label=f"{side.label} ({first})"), replace(other, label=f"{other.label} ({second})")


def in_words(temperature: float, restricted: bool) -> str:
    """Say how a student decodes."""
    how = "the likeliest token" if temperature == 0 else f"sampled at temperature {temperature:g}"
    return f"{'restricted to admissible actions' if restricted else 'unrestricted'}, {how}"


def weights_digest(student: Student) -> str:
    """Hash the names, shapes and some numbers of every tensor of a student's model and head."""
    digest = blake2b(digest_size=16)
    parts: list[Any] = [part for part in (student.model, student.head) if part is not None]
    for part in parts:
        for name, tensor in sorted(part.state_dict().items()):
            numbers = tensor.detach().flatten()[:: max(1, tensor.numel() // MOST_HASHED)]
            digest.update(f"{name}{tuple(tensor.shape)}".encode())
            digest.update(numbers.float().cpu().numpy().tobytes())
    return digest.hexdigest()


def check_weights(folder: Path, sides: Sequence[Side]) -> None:
    """See that an evaluation that goes on has the weights it began with, and write them down where it begins.

    Raises:
        ConfigError: a side's weights are others now.
    """
    path, now = folder / WEIGHTS_FILE, {side.file: side.weights for side in sides}
    before = json.loads(path.read_text(encoding="utf-8")) if path.exists() else now
    problems = [
        f"{file}: other weights now than when {folder} began; give name=<another name>, or the weights it began with"
        for file, weights in now.items()
        if before.get(file, weights) != weights
    ]
    if problems:
        raise ConfigError(problems)
    if not path.exists():
        partial = path.with_name(f"{path.name}.partial")
        partial.write_text(json.dumps(now) + "\n", encoding="utf-8")
        partial.replace(path)
