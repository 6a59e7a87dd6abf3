"""The viewer in a real Chromium: nothing hostile runs, filters and keys work, links can be shared."""

from __future__ import annotations

import re
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from sage_gym.evaluation.viewer.bench import CHANGE, processor_s, serve
from sage_gym.evaluation.viewer.generated import write_run as generate
from sage_gym.evaluation.viewer.server import Server
from tests.chromium import chromium
from tests.test_viewer_pages import at, hostile_run
from tests.viewer_runs import HOSTILE, open_library, write_points, write_run

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

pytestmark = pytest.mark.browser

WATCH = """
window.broken = 0; window.refused = [];
document.addEventListener("securitypolicyviolation", (event) => window.refused.push(event.violatedDirective));
"""


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium() as opened:
        yield opened


@contextmanager
def served(*folders: Path) -> Iterator[str]:
    with open_library(*folders) as library, Server(library, 0) as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        yield server.link.rstrip("/")
        server.shutdown()
        thread.join()


@pytest.fixture(scope="module")
def link(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    folder = tmp_path_factory.mktemp("runs")
    run = write_run(folder / "demo", tasks=240, better=40)
    write_points(run, "one", trajectory="r1/shop/009#0", points=[{"turn": 1, "weight": 0.6, "why": "it bought"}])
    write_run(folder / "rival")
    with served(folder) as link:
        yield link


@contextmanager
def opened(browser: Browser, link: str, **context: Any) -> Iterator[Page]:
    """Open a page; whatever it complains of fails the test."""
    complaints: list[str] = []
    tab = browser.new_context(**context)
    tab.set_default_timeout(60_000)
    page = tab.new_page()
    page.on(
        "console", lambda message: complaints.append(message.text) if message.type in ("error", "warning") else None
    )
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.on("dialog", lambda dialog: complaints.append(f"dialog {dialog.message}"))
    page.on(
        "request", lambda request: complaints.append(request.url) if not request.url.startswith(link[:20]) else None
    )
    page.add_init_script(WATCH)
    page.goto(link)
    yield page
    tab.close()
    assert complaints == []


def count(page: Page) -> int:
    return int(page.get_attribute("#count", "data-count") or -1)


def until(page: Page, expression: str, timeout_s: float = 60) -> None:
    """Wait for something to be so; Playwright's own way to would need the page to allow `eval`."""
    limit = time.monotonic() + timeout_s
    while time.monotonic() < limit:
        with suppress(Exception):  # the page is being left for another
            if page.evaluate(expression):
                return
        time.sleep(0.05)
    raise AssertionError(expression)


def settle(page: Page, act: str, value: str | None = None) -> None:
    page.evaluate(CHANGE, [act, value])


def test_a_script_in_a_trajectory_runs_nothing(browser: Browser, tmp_path: Path) -> None:
    run = hostile_run(tmp_path)
    place = at(run.name, "rounds/000/collect.jsonl", f"r0/{HOSTILE}#0")
    with served(run) as link, opened(browser, f"{link}/trajectories?sort=-task") as page:
        assert "window.broken" in page.inner_text("#results")
        hrefs = page.eval_on_selector_all("a.cover", "all => all.slice(0, 3).map((one) => one.href)")
        pages = [f"{link}/", f"{link}/run", *hrefs]
        for other in pages:
            page.goto(other)
            assert page.evaluate("[window.broken, window.refused]") == [0, []], other
            assert page.locator("script").count() == 1
        assert page.url == hrefs[-1]
        page.goto(next(one for one in hrefs if "broken" in one))
        assert place.partition("|")[0] in page.inner_text(".crumbs")
        page.locator("details.ledger summary").first.click()
        page.wait_for_selector(".ledger-body")
        page.locator(".ledger-body details summary").last.click()
        assert "<script>window.broken = 1</script>" in page.inner_text("main")
        assert page.evaluate("[window.broken, window.refused]") == [0, []]


@pytest.mark.parametrize(
    "attempt",
    [
        "document.body.innerHTML = '<b>x</b>'",
        "document.body.setAttribute('onclick', 'window.broken = 1')",
        "document.createElement('script').text = 'window.broken = 1'",
        "new DOMParser().parseFromString('<b>x</b>', 'text/html')",
    ],
)
def test_no_text_can_become_a_part_of_a_page(browser: Browser, link: str, attempt: str) -> None:
    page = browser.new_page()
    page.add_init_script(WATCH)
    page.goto(f"{link}/")
    outcome = page.evaluate(f"(() => {{ try {{ {attempt}; return 'done' }} catch (error) {{ return error.name }} }})()")
    assert outcome == "TypeError"
    assert page.evaluate("[window.broken, window.refused]") == [0, ["require-trusted-types-for"]]
    page.close()


def test_filters_renew_the_list_in_place_and_the_link_can_be_shared(browser: Browser, link: str) -> None:
    with opened(browser, f"{link}/trajectories") as page:
        everything = count(page)
        settle(page, '[name="outcome"][value="succeeded"]')
        succeeded = count(page)
        assert 0 < succeeded < everything
        settle(page, '[name="text"]', "number 10")
        narrowed = count(page)
        assert 0 < narrowed < succeeded
        settle(page, '[name="score_min"]', "0.9")
        settle(page, ".c-score a")
        shared = page.url
        assert all(word in shared for word in ("outcome=succeeded", "text=number+10", "score_min=0.9", "sort=score"))
        facet = page.locator("label", has_text="did not succeed").locator("small").inner_text()
        tasks = page.locator("a.cover").all_inner_texts()
    with opened(browser, shared) as page:
        assert page.locator("a.cover").all_inner_texts() == tasks
        assert page.input_value('[name="text"]') == "number 10"
        assert page.is_checked('[name="outcome"][value="succeeded"]')
        assert page.locator("label", has_text="did not succeed").locator("small").inner_text() == facet


def test_pages_turn_and_the_way_back_leads_back(browser: Browser, link: str) -> None:
    with opened(browser, f"{link}/trajectories?run=demo") as page:
        first = page.locator("a.cover").first.inner_text()
        settle(page, '#results a[rel="next"]')
        assert "page=2" in page.url
        assert page.locator("a.cover").first.inner_text() != first
        page.go_back()
        until(page, "!location.search.includes('page') && document.readyState === 'complete'")
        assert page.locator("a.cover").first.inner_text() == first


def test_the_whole_of_it_can_be_used_by_keys(browser: Browser, link: str) -> None:
    with opened(browser, f"{link}/trajectories?run=demo&part=select&round_min=1") as page:
        for key in "jjj":
            page.keyboard.press(key)
        page.keyboard.press("k")
        second = page.locator("a.cover").nth(1).inner_text()
        assert page.locator("tr.at a.cover").inner_text() == second
        page.keyboard.press("Enter")
        page.wait_for_selector("article")
        assert second.partition("#")[0] in page.inner_text("h1")
        page.keyboard.press("n")
        until(page, "document.querySelector('h1').innerText.includes('shop/002')")
        page.keyboard.press("j")
        page.keyboard.press("j")
        assert page.url.endswith("#turn-2")
        page.keyboard.press("t")
        page.wait_for_selector("#turn-2 .ledger-body")
        assert page.locator("#turn-1 .ledger-body").count() == 0
        page.keyboard.press("c")
        page.wait_for_selector(".step")
        page.go_back()
        page.wait_for_selector("article")
        page.keyboard.press("?")
        assert page.is_visible("#help")
        page.keyboard.press("Escape")
        page.keyboard.press("u")
        page.wait_for_selector("ol.actions")
        page.keyboard.press("/")
        page.wait_for_selector("#filters")
        page.keyboard.press("/")
        page.keyboard.type("ketj")
        assert page.input_value('[name="text"]') == "ketj", "letters in a field are letters"


def test_decision_points_are_marked_and_found_by_a_key(browser: Browser, link: str) -> None:
    with opened(browser, f"{link}/trajectory?at=demo|rounds/001/select.jsonl|r1/shop/009%230") as page:
        assert page.locator("svg .point").count() == 1
        page.keyboard.press("d")
        assert page.url.endswith("#turn-2")
        assert "it bought" in page.inner_text("article.at")
        assert page.locator("svg.forecast a").first.get_attribute("href") == "#turn-1"


def test_two_are_chosen_and_stand_side_by_side(browser: Browser, link: str) -> None:
    with opened(browser, f"{link}/task?task=shop/009") as page:
        boxes = page.locator("[data-pick]")
        boxes.nth(0).check()
        boxes.nth(1).check()
        assert boxes.nth(2).is_disabled()
        page.get_by_role("button", name="Compare these two").click()
        page.wait_for_selector(".step")
        left, right = (box.bounding_box() for box in page.locator(".step .half").all()[:2])
        assert left and right  # noqa: PT018
        assert left["y"] == right["y"]
        assert left["x"] + left["width"] <= right["x"]
        page.locator("select").nth(1).select_option(index=3)
        until(page, "new URL(location.href).searchParams.getAll('at')[1]?.startsWith('rival')")


def test_two_runs_stand_side_by_side(browser: Browser, link: str) -> None:
    with opened(browser, f"{link}/") as page:
        for box in page.locator("[data-pick]").all():
            box.check()
        page.get_by_role("button", name="Compare these two").click()
        page.wait_for_selector(".tile")
        assert re.search(r"run=demo&run=rival", page.url)
        assert "points" in page.inner_text(".tiles")


@pytest.mark.parametrize("width", [360, 768, 1400])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_pages_fit_the_width_and_can_be_read_in_light_and_dark(
    browser: Browser, link: str, width: int, scheme: str
) -> None:
    size = {"width": width, "height": 800}
    paths = ("/", "/run?run=demo", "/trajectories", "/trajectory?at=demo|rounds/001/select.jsonl|r1/shop/009%230")
    with opened(browser, f"{link}/", viewport=size, color_scheme=scheme) as page:
        for path in (*paths, "/compare?at=demo|rounds/001/select.jsonl|r1/shop/009%230", "/paired?run=demo&run=rival"):
            page.goto(link + path)
            assert page.evaluate("document.documentElement.scrollWidth") <= width, path
            assert contrast(page, "body") > 7
            assert contrast(page, ".soft, small") > 4.5


def contrast(page: Page, selector: str) -> float:
    """WCAG's contrast of an element's text and the page."""
    colours = page.evaluate(
        """(selector) => [getComputedStyle(document.querySelector(selector)).color,
                          getComputedStyle(document.body).backgroundColor]""",
        selector,
    )

    def luminance(colour: str) -> float:
        parts = [int(part) / 255 for part in re.findall(r"\d+", colour)[:3]]
        r, g, b = (part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts)
        return 0.2126 * r + 0.7152 * g + 0.0722 * b

    light, dark = sorted(map(luminance, colours), reverse=True)
    return (light + 0.05) / (dark + 0.05)


def test_it_works_without_scripts(browser: Browser, link: str) -> None:
    with opened(browser, f"{link}/trajectories", java_script_enabled=False) as page:
        page.fill('[name="text"]', "number 10")
        page.get_by_role("button", name="Apply").click()
        assert "text=number+10" in page.url
        page.locator("a.cover").first.click()
        page.locator("details.ledger summary").first.click()
        page.get_by_role("link", name="open them on a page of their own").first.click()
        assert "Sampled" in page.inner_text("#ledger")


@pytest.mark.slow
def test_a_hundred_thousand_trajectories_open_and_are_filtered_at_once(browser: Browser, tmp_path: Path) -> None:
    """Seconds are the viewer's own processor seconds: what a busy machine adds is not ours to test."""
    generate(tmp_path / "runs/big", 100_000, observation_words=20, tables=False)
    with (
        serve(tmp_path / "runs", tmp_path / "cache") as serving,
        opened(browser, serving.link + "trajectories") as page,
    ):
        until(page, "document.querySelector('#count').dataset.count === '100000'", 150)
    with (
        serve(tmp_path / "runs", tmp_path / "cache") as serving,
        opened(browser, serving.link + "trajectories") as page,
    ):
        assert count(page) == 100_000
        assert processor_s(serving.pid) < 2.0
        for part, value in (('[name="text"]', "kettle"), ('[name="outcome"]', None), ('[name="forecast_max"]', "0.4")):
            before, left = processor_s(serving.pid), count(page)
            settle(page, part, value)
            assert processor_s(serving.pid) - before < 0.3
            assert 0 < count(page) < left
