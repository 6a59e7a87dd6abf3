"""Chromium for the tests that are marked `browser`: Debian's, driven by Playwright."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import pytest

from sage_gym.evaluation.viewer.bench import BrowserAbsentError, open_browser

if TYPE_CHECKING:
    from playwright.sync_api import Browser


@contextmanager
def chromium() -> Iterator[Browser]:
    """Give a browser; without one the test is skipped by name, and with CI=true it fails."""
    try:
        opened = open_browser()
        browser = opened.__enter__()
    except BrowserAbsentError as error:
        if os.environ.get("CI", "").lower() == "true":
            pytest.fail(str(error))
        pytest.skip(str(error))
    try:
        yield browser
    finally:
        opened.__exit__(None, None, None)
