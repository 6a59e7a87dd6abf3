from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from sage_gym import registry
from sage_gym.config import TRAIN, read
from sage_gym.errors import ConfigError, UnknownNameError


@pytest.fixture
def mill(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """A third party's policy, registered under a name that its module does not have."""
    module = "mill_policy"
    (tmp_path / f"{module}.py").write_text("import os\n\n\ndef load(): ...\n\n\ndef _hidden(): ...\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setitem(registry._builtin["policy"], "mill", f"{module}:laod")
    yield module
    sys.modules.pop(module, None)


def test_a_registered_name_that_its_module_lacks_is_named_with_the_nearest(mill: str) -> None:
    with pytest.raises(UnknownNameError) as caught:
        registry.resolve("policy", "mill")
    assert str(caught.value) == (
        "no attribute of mill_policy (policy 'mill' is registered as 'mill_policy:laod') named 'laod'; "
        "did you mean 'load'?; known: load, os"
    )


def test_what_a_module_exports_is_what_is_offered(mill: str, tmp_path: Path) -> None:
    (tmp_path / f"{mill}.py").write_text('__all__ = ["open_mill"]\n')
    with pytest.raises(UnknownNameError, match=r"known: open_mill$"):
        registry.resolve("policy", "mill")


@pytest.mark.usefixtures("mill")
def test_a_configuration_that_asks_for_it_is_refused_with_those_words() -> None:
    with pytest.raises(ConfigError, match=r"policy: no attribute of mill_policy .* did you mean 'load'"):
        read(TRAIN, ["policy=mill"])
