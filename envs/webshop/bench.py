"""How fast the environment is, measured: steps and resets a second, memory of instances, search, a large catalogue.

Random walks mix what the recorded ones mix: free queries, the instruction, titles and product queries, clicks on
anything shown, now and then a button that is not there. Queries are fresh and no result is cached.
"""

from __future__ import annotations

import resource
import statistics
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np

from envs.webshop.catalog import find_files
from envs.webshop.environment import WebShop
from envs.webshop.prepared import prepare
from envs.webshop.store import open_store
from envs.webshop.worlds import locate

__all__ = ["run", "walk"]

INSTANCES, QUERIES = 1_000, 200
WARM_UP = 2_000
SEARCH_SHARE, INVALID_SHARE = 0.1, 0.02
BRACKETS = str.maketrans("[]", "  ")


def run(catalog: str | None = None, *, steps: int = 20_000) -> dict[str, float | int | str]:
    """Measure a catalogue on one core, in processor time; names give the unit, the target and upstream's figure.

    Args:
        catalog: as for `WebShop`; `world:embedded:0:1180000` has as many products as the full WebShop.
        steps: of the random walk; as many resets.
    """
    started = time.perf_counter()
    folder = prepare(find_files(locate(catalog)[0]))
    found: dict[str, float | int | str] = {"prepare, where it is not (s; 1.18 M products: < 1,200)": since(started)}
    open_store.cache_clear()
    started = time.perf_counter()
    env = WebShop(catalog, split="all")
    found |= {"load (s; < 5)": since(started), "products": len(env.store.products)}
    found["prepared form (MB)"] = round(sum(path.stat().st_size for path in folder.iterdir()) / 2**20)
    walk(env, min(WARM_UP, steps), seed=0)
    found["steps a second (≥ 5,000; upstream 54)"] = round(steps / cpu_time(lambda: walk(env, steps, seed=1)))
    found["resets a second (≥ 5,000; upstream 309)"] = round(steps / cpu_time(lambda: reset_often(env, steps)))
    queries = list(fresh_queries(env, QUERIES, seed=2))
    taken = [cpu_time(lambda query=query: env.store.search(query)) * 1e3 for query in queries]  # type: ignore[misc]
    found["search, median (ms; ≤ 10)"] = statistics.median(taken)
    found["search, 95th percentile (ms)"] = float(np.quantile(taken, 0.95))
    found[f"{INSTANCES:,} more instances (MB; < 50)"] = memory_of_instances(catalog)
    found["memory of the process (MB; upstream 516; 1.18 M products: ≤ 4,096)"] = round(resident_mib())
    return found


def memory_of_instances(catalog: str | None) -> float:
    """Give the MiB that a thousand more environments take, each in an episode with its results open.

    What these searches read of the catalogue, which all share, one environment has read before.
    """
    alone = WebShop(catalog, split="all")
    for number in range(INSTANCES):
        open_results(alone, number)
    before = resident_mib()
    more = [WebShop(catalog, split="all") for _ in range(INSTANCES)]
    for number, env in enumerate(more):
        open_results(env, number)
    return round(resident_mib() - before, 1)


def open_results(env: WebShop, seed: int) -> None:
    """Begin an episode and search for what its task says."""
    env.reset(seed=seed)
    env.step(f"search[{env.goal.instruction.translate(BRACKETS)}]")


def walk(env: WebShop, steps: int, *, seed: int) -> None:
    """Take so many random steps over as many episodes as that needs."""
    generator = np.random.default_rng(seed)
    queries = fresh_queries(env, steps, seed=seed)
    _, info = env.reset(seed=seed)
    for _ in range(steps):
        actions = info["admissible_actions"][:-1]
        lot = generator.random()
        if not actions or lot < SEARCH_SHARE:
            action = f"search[{next(queries)}]"
        elif lot < SEARCH_SHARE + INVALID_SHARE:
            action = "click[nonexistent]"
        else:
            action = actions[int(generator.integers(len(actions)))]
        _, _, is_over, is_cut, info = env.step(action)
        if is_over or is_cut:
            _, info = env.reset()


def reset_often(env: WebShop, count: int) -> None:
    """Begin so many episodes on drawn tasks."""
    for _ in range(count):
        env.reset()


def fresh_queries(env: WebShop, count: int, *, seed: int) -> Iterator[str]:
    """Yield queries none of which repeats: instructions, titles, product queries, runs of words; each salted."""
    generator = np.random.default_rng(seed)
    products, tasks = env.store.products, env.tasks("all")
    for number in range(count):
        product = products[int(generator.integers(len(products)))]
        texts = (tasks[int(generator.integers(len(tasks)))].instruction, product.title, product.query)
        words = texts[int(generator.integers(3))].translate(BRACKETS).split()
        generator.shuffle(words)
        yield " ".join([*words, f"q{number}"])


def since(started: float) -> float:
    """Give the seconds since `started`."""
    return round(time.perf_counter() - started, 2)


def cpu_time(action: Callable[[], object]) -> float:
    """Give the seconds of processor time that `action` takes in this process."""
    started = time.process_time()
    action()
    return time.process_time() - started


def resident_mib() -> float:
    """Give the memory that this process holds now, in MiB; where the system does not say, its peak."""
    status = Path("/proc/self/statm")
    if status.is_file():
        return int(status.read_text().split()[1]) * resource.getpagesize() / 2**20
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
