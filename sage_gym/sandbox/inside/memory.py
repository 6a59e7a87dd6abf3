"""System V shared memory, semaphores and message queues: they outlive processes, so a reset removes them."""

from __future__ import annotations

import ctypes

REMOVE = 0
KINDS = (("shm", "shmid", "shmctl"), ("msg", "msqid", "msgctl"), ("sem", "semid", "semctl"))


def remove_shared() -> None:
    """Remove what this container's processes share and may remove."""
    libc = ctypes.CDLL(None)
    for kind, column, control in KINDS:
        try:
            with open(f"/proc/sysvipc/{kind}") as file:
                place = file.readline().split().index(column)
                found = [int(line.split()[place]) for line in file]
        except (OSError, ValueError):
            continue
        for identifier in found:
            arguments = (identifier, 0, REMOVE) if kind == "sem" else (identifier, REMOVE, None)
            getattr(libc, control)(*arguments)
