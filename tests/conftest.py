"""Fixtures that several test files share."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

IS_CI = os.environ.get("CI", "").lower() == "true"
DEFAULT_DATA = Path(__file__).resolve().parents[1] / ".." / "shared"


@pytest.fixture(scope="session")
def sage_gym_data() -> Path:
    """The folder with others' data sets and reference cases; the test is skipped where it is absent."""
    folder = Path(os.environ.get("SAGE_GYM_DATA") or DEFAULT_DATA)
    if (folder / "data").is_dir() and (folder / "golden").is_dir():
        return folder.resolve()
    message = f"no reference data: expected folders data and golden in {folder}; set SAGE_GYM_DATA"
    if IS_CI:
        pytest.fail(message)
    pytest.skip(message)


@pytest.fixture
def one_thread() -> None:
    """Sum in one order, so that two trainings can be compared to the last bit."""
    import torch

    torch.set_num_threads(1)
