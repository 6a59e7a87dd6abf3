"""Whose a container is: which process on which machine started it, so that what a killed run left can be told."""

from __future__ import annotations

import os
from collections.abc import Mapping
from functools import cache
from pathlib import Path

__all__ = ["LABEL", "is_orphaned", "labels"]

LABEL = "sage-gym"
OWNER = "sage-gym.owner"
BOOT_ID = Path("/proc/sys/kernel/random/boot_id")


def labels() -> dict[str, str]:
    """Return the labels of what this process starts."""
    return {LABEL: "sandbox", OWNER: _owner(os.getpid())}


def is_orphaned(found: Mapping[str, str]) -> bool:
    """Whether the process that started a container is known to be gone: it ran here, and does no more."""
    owner = found.get(OWNER, "")
    place, _, process = owner.partition(" ")
    if place != _place():
        return False
    pid = int(process.partition(" ")[0])
    try:
        return _owner(pid) != owner
    except OSError:
        return True


def _owner(pid: int) -> str:
    """Name a process for good: machine, boot and process space, its id there, and when it started."""
    stat = Path(f"/proc/{pid}/stat").read_text()
    started = stat.rpartition(")")[2].split()[19]
    return f"{_place()} {pid} {started}"


@cache
def _place() -> str:
    space = os.stat("/proc/self/ns/pid").st_ino  # noqa: PTH116 (a link into nowhere: `Path.stat` follows it likewise)
    return f"{BOOT_ID.read_text().strip()}/{space}"
