"""What a process gives up: every capability to come, its user, the runner's safety from the kernel's memory killer."""

from __future__ import annotations

import ctypes
import os
import signal

CAP_BSET_DROP = 24
LAST_CAPABILITY = 63
OOM_SCORE = 500
_libc = ctypes.CDLL(None, use_errno=True)


def bound() -> None:
    """Let no process that this one starts have a capability, whatever program it runs."""
    for capability in range(LAST_CAPABILITY + 1):
        if _libc.prctl(CAP_BSET_DROP, capability, 0, 0, 0):
            break


def offer_to_oom_killer(*, is_offered: bool) -> None:
    """Have this process, and what it starts from now on, be killed first when memory is short, or not."""
    try:
        with open("/proc/self/oom_score_adj", "w") as file:
            file.write(str(OOM_SCORE if is_offered else 0))
    except OSError:
        pass


def become(user: int | None) -> None:
    """Be a user without a way back.

    Args:
        user: its id, and that of its group; None keeps the present one.

    Raises:
        OSError: it could not be done.
    """
    signal.setitimer(signal.ITIMER_REAL, 0)
    signal.signal(signal.SIGALRM, signal.SIG_DFL)
    offer_to_oom_killer(is_offered=True)
    os.setsid()
    if user is not None:
        os.setgroups([])
        os.setresgid(user, user, user)
        os.setresuid(user, user, user)
