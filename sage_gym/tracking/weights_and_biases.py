"""Weights & Biases, in a thread of its own: training never waits for it, and goes on without it.

The only file that imports wandb. What it could not take is in `metrics.jsonl` anyway.
"""

from __future__ import annotations

import hashlib
import importlib.util
import netrc
import os
import queue
import threading
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Literal

__all__ = ["WandbSetting", "WandbTracker", "choose_mode", "open_wandb"]

WandbSetting = Literal["auto", "online", "offline", "off"]
INIT_TIMEOUT_S = 30.0
CLOSE_TIMEOUT_S = 60.0


def open_wandb(
    run_folder: Path,
    *,
    setting: WandbSetting,
    project: str,
    config: Mapping[str, Any],
    say: Callable[[str], None],
    environ: Mapping[str, str] | None = None,
) -> WandbTracker | None:
    """Start W&B in the background; None, with a word, where it is off or not installed."""
    environ = os.environ if environ is None else environ
    mode = choose_mode(setting, environ, Path(environ.get("NETRC", Path.home() / ".netrc")))
    if mode == "off":
        return None
    if importlib.util.find_spec("wandb") is None:
        say("wandb is not installed: metrics go to metrics.jsonl alone (`pip install wandb` for more)")
        return None
    if mode == "offline":
        say(f"wandb: offline; to upload later: wandb sync {run_folder / 'wandb'}/offline-run-*")
    arguments = {
        "dir": str(run_folder),
        "project": project,
        "name": run_folder.name,
        "id": hashlib.sha256(str(run_folder.resolve()).encode()).hexdigest()[:16],
        "resume": "allow",
        "config": dict(config),
    }
    return WandbTracker(lambda chosen: _start(chosen, arguments), mode, say)


def choose_mode(
    setting: WandbSetting, environ: Mapping[str, str], netrc_path: Path
) -> Literal["online", "offline", "off"]:
    """Decide: off stays off; WANDB_MODE wins over the rest; `auto` is online with a key and offline without.

    Raises:
        ValueError: WANDB_MODE holds a word that W&B does not know.
    """
    if setting == "off":
        return "off"
    words: dict[str, Literal["online", "offline", "off"]] = {
        "online": "online",
        "run": "online",
        "shared": "online",
        "offline": "offline",
        "dryrun": "offline",
        "disabled": "off",
    }
    if asked := environ.get("WANDB_MODE"):
        if asked not in words:
            raise ValueError(f"WANDB_MODE: expected one of {', '.join(words)}, got {asked!r}; unset or correct it")
        return words[asked]
    if setting != "auto":
        return setting
    return "online" if environ.get("WANDB_API_KEY") or _has_login(netrc_path, environ) else "offline"


def _has_login(path: Path, environ: Mapping[str, str]) -> bool:
    host = environ.get("WANDB_BASE_URL", "https://api.wandb.ai").split("//")[-1].split("/")[0]
    try:
        return netrc.netrc(path).authenticators(host) is not None
    except (OSError, netrc.NetrcParseError):
        return False


class WandbTracker:
    """Hands numbers to a thread that owns the W&B run.

    Args:
        start: begins a run in the given mode and returns an object with `log(dict)` and `finish()`.
        mode: what to begin with; an online run that cannot begin becomes an offline one.
        say: takes a word about what went wrong, once.
        close_timeout_s: how long `close` waits for the last numbers.
    """

    def __init__(
        self,
        start: Callable[[str], Any],
        mode: Literal["online", "offline"],
        say: Callable[[str], None],
        *,
        close_timeout_s: float = CLOSE_TIMEOUT_S,
    ) -> None:
        self._start, self._mode, self._say, self._close_timeout_s = start, mode, say, close_timeout_s
        self._queue: queue.SimpleQueue[dict[str, Any] | None] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._work, name="wandb", daemon=True)
        self._thread.start()

    def log(self, metrics: Mapping[str, Any], step: int) -> None:
        """Hand numbers over; returns at once."""
        self._queue.put({**metrics, "round": step})

    def close(self) -> None:
        """Finish the run, waiting a limited time."""
        self._queue.put(None)
        self._thread.join(self._close_timeout_s)
        if self._thread.is_alive():
            self._say(
                f"wandb did not finish within {self._close_timeout_s:.0f} s: "
                f"its copy may be incomplete; metrics.jsonl holds everything"
            )

    def _work(self) -> None:
        try:
            run = self._begin()
            while (numbers := self._queue.get()) is not None:
                run.log(numbers)
            run.finish()
        except Exception as error:  # foreign code on foreign servers; the run must not depend on it
            self._say(f"wandb stopped ({type(error).__name__}: {error}); metrics.jsonl holds everything")

    def _begin(self) -> Any:
        try:
            return self._start(self._mode)
        except Exception as error:
            if self._mode == "offline":
                raise
            self._say(f"wandb could not go online ({type(error).__name__}: {error}): goes on offline")
            return self._start("offline")


def _start(mode: str, arguments: Mapping[str, Any]) -> Any:
    import wandb

    settings = wandb.Settings(init_timeout=INIT_TIMEOUT_S, silent=True, console="off")
    run = wandb.init(mode=mode, settings=settings, **arguments)  # type: ignore[arg-type]
    run.define_metric("*", step_metric="round")
    return run
