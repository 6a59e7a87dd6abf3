from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from sage_gym import registry
from sage_gym.bench import main

RUN = """
def run(steps: int = 1):
    return {"steps_per_s": steps * 1234.5678, "search": "none", "n": 12345}
"""


@pytest.fixture
def mill(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A third party's environment with a benchmark of its own, and one without."""
    for name, files in {"mill": ("__init__", "mill", "bench"), "pond": ("__init__", "pond")}.items():
        folder = tmp_path / f"{name}_environment"
        folder.mkdir()
        for file in files:
            (folder / f"{file}.py").write_text(RUN)
        monkeypatch.setitem(registry._builtin["environment"], name, f"{name}_environment.{name}:Mill")
    monkeypatch.syspath_prepend(str(tmp_path))
    yield
    for name in [name for name in sys.modules if name.endswith("_environment") or "_environment." in name]:
        del sys.modules[name]


@pytest.mark.usefixtures("mill")
def test_the_environments_own_benchmark_is_run_with_its_arguments(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["env=mill", "env.steps=2"]) == 0
    printed = capsys.readouterr().out
    for text in ("mill on", "steps_per_s", "2,469.0", "search", "none", "12,345"):
        assert text in printed


@pytest.mark.usefixtures("mill")
def test_an_argument_the_benchmark_does_not_take_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["env=mill", "env.step=2"])
    assert "did you mean 'env.steps'?; known: env.steps" in capsys.readouterr().err


@pytest.mark.usefixtures("mill")
def test_an_environment_without_a_benchmark_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["env=pond"])
    assert "expected a benchmark of 'pond' in pond_environment.bench, got no such module" in capsys.readouterr().err
