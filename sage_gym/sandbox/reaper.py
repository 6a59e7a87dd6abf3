"""Removes the containers that a killed run left behind."""

from __future__ import annotations

import logging

from sage_gym.errors import SandboxLostError
from sage_gym.sandbox.engine import Engine, Owned
from sage_gym.sandbox.ownership import LABEL, is_orphaned

__all__ = ["remove_all", "remove_orphans"]

log = logging.getLogger(__name__)


def remove_orphans(engine: Engine) -> list[Owned]:
    """Remove what has ended, and what belongs to a process of this machine that has; return it."""
    return _remove(engine, [each for each in engine.owned(LABEL) if each.state == "exited" or is_orphaned(each.labels)])


def remove_all(engine: Engine) -> list[Owned]:
    """Remove every container of ours on this engine, those in use and those of other machines included."""
    return _remove(engine, engine.owned(LABEL))


def _remove(engine: Engine, found: list[Owned]) -> list[Owned]:
    removed = []
    for each in found:
        try:
            engine.remove(each.id)
        except SandboxLostError as error:
            log.warning("the container %s could not be removed: %s", each.id[:12], error)
        else:
            removed.append(each)
    return removed
