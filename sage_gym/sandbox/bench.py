"""What sandboxes cost, measured in one run: `python -m sage_gym.bench sandbox=docker`."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor

from rich.progress import track

from sage_gym.errors import SageGymError
from sage_gym.sandbox.opening import BACKENDS, open_sandbox
from sage_gym.sandbox.pool import SandboxPool
from sage_gym.sandbox.protocol import Sandbox

__all__ = ["run"]

Measured = dict[str, float | int | str]


def run(
    backend: str, *, commands: int = 500, starts: int = 10, takes: int = 50, episodes: int = 50
) -> Mapping[str, Measured]:
    """Measure a backend, and those that need less than it.

    Args:
        backend: the first of those that are measured, in the order of `BACKENDS`.
        commands: run one after the other in one sandbox.
        starts: of sandboxes, one after the other, without a pool.
        takes: from a pool that keeps some ready, each given back before the next.
        episodes: side by side, each with a sandbox of its own, ten commands and two files.

    Returns:
        Backend → what was measured, in ms unless the name says otherwise, medians unless it says otherwise.
    """
    measured = {}
    for name in track(BACKENDS[BACKENDS.index(backend) :], description="measuring sandboxes", transient=True):
        measured[name] = _measure(name, commands, starts, takes, episodes)
    return measured


def _measure(backend: str, commands: int, starts: int, takes: int, episodes: int) -> Measured:
    opened: list[Sandbox] = []
    found: Measured = {"cold start": _median_ms(lambda: opened.append(open_sandbox(backend)), starts)}
    found["close"] = _median_ms(lambda: opened.pop().close(), starts - 1)
    with opened.pop() as sandbox:
        times = _times_ms(lambda: sandbox.exec(["true"]), commands)
        found["command"] = statistics.median(times)
        found["command, 95th percentile"] = statistics.quantiles(times, n=20)[-1]
        found["command through the engine's own exec"] = _through_engine(sandbox)
        found["write and read 4 KiB"] = _median_ms(lambda: _write_and_read(sandbox), commands // 5)
        found["reset"] = _median_ms(sandbox.reset, takes)
    found["take from a warm pool"] = _take(backend, takes)
    found.update(_side_by_side(backend, episodes))
    return found


def _take(backend: str, takes: int) -> float:
    times = []
    with SandboxPool(lambda: open_sandbox(backend), ready=2, most=4) as pool:
        pool.give_back(pool.take())
        for _ in range(takes):
            started = time.perf_counter()
            sandbox = pool.take()
            times.append((time.perf_counter() - started) * 1e3)
            sandbox.exec(["true"])
            pool.give_back(sandbox)
    return statistics.median(times)


def _side_by_side(backend: str, episodes: int) -> Measured:
    """Play episodes that all hold a sandbox at the same time."""
    errors = []
    with SandboxPool(lambda: open_sandbox(backend), ready=episodes, most=episodes) as pool:
        started = time.perf_counter()
        sandboxes = [pool.take() for _ in range(episodes)]
        all_alive_s = time.perf_counter() - started

        def play(sandbox: Sandbox) -> None:
            try:
                _play(sandbox)
            except (SageGymError, AssertionError) as error:
                errors.append(error)

        started = time.perf_counter()
        with ThreadPoolExecutor(episodes) as threads:
            list(threads.map(play, sandboxes))
        played_s = time.perf_counter() - started
        for sandbox in sandboxes:
            pool.give_back(sandbox)
    return {
        f"{episodes} sandboxes alive, after s": all_alive_s,
        f"{episodes} episodes side by side, s": played_s,
        f"errors in {episodes} episodes": len(errors),
    }


def _play(sandbox: Sandbox) -> None:
    mark = str(id(sandbox)).encode()
    for number in range(10):
        sandbox.write(f"note-{number}", mark)
        assert sandbox.exec(["cat", f"note-{number}"]).stdout == mark
    assert sandbox.read("note-9") == mark


def _write_and_read(sandbox: Sandbox) -> None:
    sandbox.write("note", b"x" * 4096)
    sandbox.read("note")


def _through_engine(sandbox: Sandbox) -> float | str:
    if sandbox.backend != "docker":
        return "-"
    from sage_gym.sandbox.docker import DockerSandbox
    from sage_gym.sandbox.engine import connect

    assert isinstance(sandbox, DockerSandbox)
    return _median_ms(lambda: connect().exec(sandbox.id, ["true"]), 30)


def _median_ms(action: Callable[[], object], times: int) -> float:
    return statistics.median(_times_ms(action, times))


def _times_ms(action: Callable[[], object], times: int) -> list[float]:
    found = []
    for _ in range(times):
        started = time.perf_counter()
        action()
        found.append((time.perf_counter() - started) * 1e3)
    return found
