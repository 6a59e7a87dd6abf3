"""The vocabulary of failure. Each error is also a standard type, and says: expected, got, what to do.

A bad rollout is data, not a crash: only `InfrastructureError` (and what is wrapped in it) is left out of scores.
"""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches

__all__ = [
    "CatalogError",
    "CheckpointError",
    "ConfigError",
    "DeadlineError",
    "EngineAbsentError",
    "ImageError",
    "InfrastructureError",
    "RecordError",
    "SageGymError",
    "SandboxClosedError",
    "SandboxFileError",
    "SandboxLostError",
    "TaskKeyError",
    "TasksDifferError",
    "TooManyFailuresError",
    "UnknownNameError",
    "nearest",
]


class SageGymError(Exception):
    """Root of the tree."""


class UnknownNameError(SageGymError, LookupError):
    """A name that nothing is registered under."""

    def __init__(self, kind: str, name: str, known: Iterable[str]) -> None:
        super().__init__(kind, name, tuple(sorted(known)))
        self.kind, self.name, self.known = kind, name, tuple(sorted(known))

    def __str__(self) -> str:
        return f"no {self.kind} named {self.name!r}{nearest(self.name, self.known)}; known: {', '.join(self.known)}"


class ConfigError(SageGymError, ValueError):
    """Every problem of a configuration at once."""

    def __init__(self, problems: Iterable[str]) -> None:
        super().__init__(tuple(problems))
        self.problems: tuple[str, ...] = self.args[0]

    def __str__(self) -> str:
        count = len(self.problems)
        head = f"{count} problem{'s' if count != 1 else ''} in the configuration:"
        return "\n".join([head, *(f"  - {problem}" for problem in self.problems)])


class CatalogError(SageGymError, ValueError):
    """A catalogue file that is missing, truncated, not JSON, or holds a bad record."""


class TaskKeyError(SageGymError, KeyError):
    """A task key outside the environment's range."""

    def __str__(self) -> str:
        return str(self.args[0])


class CheckpointError(SageGymError, ValueError):
    """A checkpoint of another architecture, or damaged."""


class TasksDifferError(SageGymError, ValueError):
    """Two evaluations of different tasks: which keys are in one alone, and which have another content in each."""

    MOST_SHOWN = 5

    def __init__(self, what: str, only_a: Iterable[str], only_b: Iterable[str], changed: Iterable[str]) -> None:
        super().__init__(what, tuple(only_a), tuple(only_b), tuple(changed))
        self.what = what
        self.only_a: tuple[str, ...] = self.args[1]
        self.only_b: tuple[str, ...] = self.args[2]
        self.changed: tuple[str, ...] = self.args[3]

    def __str__(self) -> str:
        kinds = (
            ("in the first alone", self.only_a),
            ("in the second alone", self.only_b),
            ("with another content in each", self.changed),
        )
        differing = [f"  {len(keys)} {how}: {self._shown(keys)}" for how, keys in kinds if keys]
        return "\n".join(
            [f"{self.what}: expected both evaluations on the same tasks; evaluate both on one list", *differing]
        )

    def _shown(self, keys: tuple[str, ...]) -> str:
        more = f" and {len(keys) - self.MOST_SHOWN} more" if len(keys) > self.MOST_SHOWN else ""
        return ", ".join(keys[: self.MOST_SHOWN]) + more


class RecordError(SageGymError, ValueError):
    """A file of trajectories that holds something else than is asked of it."""


class InfrastructureError(SageGymError, RuntimeError):
    """What the policy could not have caused: retried, recorded, left out of scores and training."""


class DeadlineError(InfrastructureError, TimeoutError):
    """A wait that outlived its deadline."""


class SandboxLostError(InfrastructureError, ConnectionError):
    """A sandbox that ended, or stopped to answer, without having been asked to."""


class SandboxClosedError(SageGymError, ValueError):
    """A sandbox that is used after `close`."""


class SandboxFileError(SageGymError, OSError):
    """A file of a sandbox that is missing, out of bounds, a link, too large, or for which there is no room."""


class EngineAbsentError(SageGymError, ConnectionError):
    """No container engine answers, or it refuses; says what was tried."""


class ImageError(SageGymError, LookupError):
    """An image that the engine does not have; gives the commands that would make or pull it."""


class TooManyFailuresError(SageGymError, RuntimeError):
    """More than the stated share of episodes failed; names the first cause."""


def nearest(name: str, known: Iterable[str]) -> str:
    """Return `; did you mean 'x'?` for the closest known name, or the empty string."""
    close = get_close_matches(name, list(known), n=1, cutoff=0.5)
    return f"; did you mean {close[0]!r}?" if close else ""
