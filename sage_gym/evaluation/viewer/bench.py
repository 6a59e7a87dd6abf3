"""How fast the viewer is, on a generated run: `python -m sage_gym.bench measure=view`.

The command itself is started, as a user would, and its page opened in Chromium by Playwright (the extra `browser`);
with `view.browser=false` the pages are asked for over HTTP alone. `cold` is the first time a run is looked at, `warm`
every other time. The files lie in the operating system's own cache both times: what a disk takes is not measured.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, Any

from sage_gym.errors import SageGymError
from sage_gym.evaluation.viewer.generated import write_run

if TYPE_CHECKING:
    from playwright.sync_api import Browser

__all__ = ["CHANGE", "BrowserAbsentError", "open_browser", "processor_s", "run", "serve"]

PATIENCE_S = 300.0
REPETITIONS = 5
TEXTS = ("amber", "linen marble", "00123", "kettle", "rustic garden")
LIST = "trajectories"
CHANGE = """([act, value]) => new Promise((done) => {
  const before = document.querySelector("#results"), start = performance.now();
  const seen = new MutationObserver(() => {
    if (document.querySelector("#results") === before) return;
    seen.disconnect();
    requestAnimationFrame(() => setTimeout(() => done(performance.now() - start), 0));
  });
  seen.observe(document.querySelector(".browse"), {childList: true, subtree: true});
  const part = document.querySelector(act);
  if (value === null) { part.click(); return; }
  part.value = value;
  part.dispatchEvent(new Event("input", {bubbles: true}));
})"""
"""Changes a filter and gives the milliseconds until its rows are painted, the wait for more keys included."""

Measured = dict[str, float | int | str]


class BrowserAbsentError(SageGymError, ImportError):
    """Playwright or Chromium is missing; says how to get it."""


@dataclass(frozen=True, slots=True)
class Serving:
    """The command, answering."""

    link: str
    pid: int
    started_at: float
    ready_s: float


@contextmanager
def serve(folder: Path, cache: Path) -> Iterator[Serving]:
    """Run the command on a folder until its page answers, and end it."""
    environment = {**os.environ, "SAGE_GYM_CACHE": str(cache)}
    argv = [sys.executable, "-m", "sage_gym.view", str(folder), "port=0"]
    started_at = time.perf_counter()
    with subprocess.Popen(argv, stdout=subprocess.PIPE, text=True, env=environment) as process:
        try:
            assert process.stdout is not None
            found = re.search(r"http://\S+", process.stdout.readline())
            if found is None:
                raise RuntimeError(f"the viewer did not start; its exit status is {process.wait(10)}")
            yield Serving(found[0], process.pid, started_at, time.perf_counter() - started_at)
        finally:
            process.terminate()


@contextmanager
def open_browser() -> Iterator[Browser]:
    """Start Chromium without a window.

    Raises:
        BrowserAbsentError: Playwright is not installed, or there is no Chromium.
    """
    try:
        from playwright.sync_api import Error, sync_playwright
    except ImportError as error:
        raise BrowserAbsentError("expected Playwright, got none: pip install 'sage-gym[browser]'") from error
    executable = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    with sync_playwright() as playwright:
        try:
            browser = playwright.chromium.launch(executable_path=executable)
        except Error as error:
            hint = "apt-get install chromium, or playwright install chromium"
            raise BrowserAbsentError(
                f"expected Chromium, got none: {hint} ({error.message.splitlines()[0]})"
            ) from error
        try:
            yield browser
        finally:
            browser.close()


def run(*, trajectories: int, rounds: int, browser: bool) -> Measured:
    """Generate a run and measure the viewer on it.

    Args:
        trajectories: of the run.
        rounds: of the run.
        browser: measure in Chromium; without it over HTTP.

    Raises:
        BrowserAbsentError: there is no browser to measure in.
    """
    with ExitStack() as stack:
        chromium = stack.enter_context(open_browser()) if browser else None
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="sage-gym-view-")))
        start = time.perf_counter()
        write_run(folder / "runs" / "generated", trajectories, rounds=rounds)
        measured: Measured = {
            "trajectories": trajectories,
            "files_mb": sum(path.stat().st_size for path in folder.rglob("*.jsonl")) / 1e6,
            "generate_s": time.perf_counter() - start,
        }
        for state in ("cold", "warm"):
            measured |= _open(chromium, folder, state, trajectories)
        with serve(folder / "runs", folder / "cache") as serving:
            _wait_until_read(serving.link)
            measured |= _use(chromium, serving) if chromium else _ask(serving)
        return measured


def processor_s(pid: int) -> float:
    """Return the processor time that a process has spent so far: a busy machine does not lengthen it."""
    spent = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[11:13]
    return sum(map(int, spent)) / os.sysconf("SC_CLK_TCK")


def _open(chromium: Browser | None, folder: Path, state: str, trajectories: int) -> Measured:
    """Measure from the start of the command to a page of rows, and until all has been read."""
    with serve(folder / "runs", folder / "cache") as serving:
        if chromium is None:
            body = _get(serving.link + LIST)
            shown = int(re.search(r'data-count="(\d+)"', body)[1])  # type: ignore[index]
        else:
            page = chromium.new_page()
            page.goto(serving.link + LIST)
            shown = int(page.get_attribute("#count", "data-count") or 0)
            page.close()
        opened, spent = time.perf_counter() - serving.started_at, processor_s(serving.pid)
        _wait_until_read(serving.link)
        return {
            f"{state}_server_ready_s": serving.ready_s,
            f"{state}_list_shown_s": opened,
            f"{state}_list_shown_processor_s": spent,
            f"{state}_rows_known_then": f"{shown / trajectories:.0%}",
            f"{state}_all_read_s": time.perf_counter() - serving.started_at,
        }


def _use(chromium: Browser, serving: Serving) -> Measured:
    """Measure what a reader does, in milliseconds until it is painted; medians and the worst."""
    page = chromium.new_page()
    page.goto(serving.link + LIST)
    act: Callable[[str, str | None], float] = lambda part, value: float(page.evaluate(CHANGE, [part, value]))  # noqa: E731
    spent = processor_s(serving.pid)
    filters = {
        "filter_text_ms": [act('[name="text"]', text) for text in (*TEXTS, "")],
        "filter_outcome_ms": [act('[name="outcome"]', None) for _ in range(REPETITIONS)],
        "filter_score_ms": [act('[name="score_min"]', f"0.{at}") for at in range(1, REPETITIONS)],
    }
    spent = processor_s(serving.pid) - spent
    links = page.eval_on_selector_all("a.cover", "all => all.map((one) => one.href)")[:REPETITIONS]
    others = {
        "sort_ms": [act(f".c-{name} a", None) for name in ("score", "forecast", "task")],
        "next_page_ms": [act('a[rel="next"]', None) for _ in range(REPETITIONS)],
        "trajectory_ms": [_timed(lambda one=one: page.goto(one)) for one in links],  # type: ignore[misc]
    }
    page.close()
    return _summary(filters, others, spent)


def _ask(serving: Serving) -> Measured:
    """Measure the same lists without a browser: milliseconds until the page has come."""
    ask: Callable[[str], float] = lambda words: _timed(lambda: _get(f"{serving.link}{LIST}?{words}"))  # noqa: E731
    spent = processor_s(serving.pid)
    filters = {
        "filter_text_ms": [ask(f"text={text.replace(' ', '+')}") for text in TEXTS],
        "filter_outcome_ms": [ask("outcome=succeeded"), ask("outcome=did+not+succeed")],
        "filter_score_ms": [ask(f"score_min=0.{at}") for at in range(1, REPETITIONS)],
    }
    spent = processor_s(serving.pid) - spent
    others = {
        "sort_ms": [ask(f"sort={name}") for name in ("score", "-forecast", "task")],
        "next_page_ms": [ask(f"page={number}") for number in range(2, 2 + REPETITIONS)],
    }
    return _summary(filters, others, spent)


def _summary(filters: Mapping[str, list[float]], others: Mapping[str, list[float]], spent_s: float) -> Measured:
    measured: Measured = {}
    for name, values in {**filters, **others}.items():
        measured |= {name: median(values), name.replace("_ms", "_worst_ms"): max(values)}
    return measured | {"a_filter_processor_ms": 1000 * spent_s / sum(map(len, filters.values()))}


def _timed(act: Callable[[], Any]) -> float:
    start = time.perf_counter()
    act()
    return 1000 * (time.perf_counter() - start)


def _wait_until_read(link: str) -> None:
    limit = time.monotonic() + PATIENCE_S
    while time.monotonic() < limit:
        state: Mapping[str, Any] = json.loads(_get(f"{link}status"))
        if not state["pending_files"]:
            return
        time.sleep(0.05)
    raise TimeoutError(f"expected the run to be read within {PATIENCE_S:.0f} s")


def _get(link: str) -> str:
    with urllib.request.urlopen(link, timeout=PATIENCE_S) as answer:
        body: str = answer.read().decode()
    return body
