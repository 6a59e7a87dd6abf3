"""Fixtures of WebShop's tests."""

from __future__ import annotations

from pathlib import Path

import pytest

import sage_gym  # noqa: F401
from envs.webshop.store import open_store
from tests.webshop_toys import PAN, SHIRT, write


@pytest.fixture
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Keep what is prepared in a folder of the test's own."""
    monkeypatch.setenv("SAGE_GYM_CACHE", str(tmp_path / "cache"))
    open_store.cache_clear()


@pytest.fixture(scope="session")
def catalog(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Return a folder that holds a shop of two products; none of the tests changes it."""
    return str(write(tmp_path_factory.mktemp("catalog") / "shop", [SHIRT, PAN]))
