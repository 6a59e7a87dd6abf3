"""The wheel installs without the source tree, holds every data file and no test."""

from __future__ import annotations

import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from tests.imports import PACKAGES, ROOT

WEBSHOP = """
import gymnasium, sage_gym, sys
env = gymnasium.make("sage_gym/WebShop-v0")
env.reset(seed=0)
env.step("search[tea]")
print(*(module.__file__ for name, module in sorted(sys.modules.items())
        if name.split(".")[0] in {"sage_gym", "envs"} and getattr(module, "__file__", None)), sep="\\n")
"""


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("dist")
    argv = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(folder), str(ROOT)]
    built = subprocess.run(argv, cwd=ROOT, capture_output=True, text=True, timeout=120, check=False)
    assert built.returncode == 0, built.stdout[-2000:] + built.stderr[-2000:]
    (path,) = folder.glob("*.whl")
    return path


@pytest.fixture(scope="module")
def names(wheel: Path) -> set[str]:
    with zipfile.ZipFile(wheel) as archive:
        return set(archive.namelist())


def is_test(name: str) -> bool:
    file = name.rsplit("/", 1)[-1]
    return file.startswith("test_") or file == "conftest.py"


def tracked_files() -> set[str]:
    listing = subprocess.run(
        ["git", "ls-files", "--", *PACKAGES], cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout.splitlines()
    return {name for name in listing if (ROOT / name).is_file()}


def test_it_holds_every_source_and_data_file(names: set[str]) -> None:
    expected = {name for name in tracked_files() if not is_test(name)}
    assert {f"{package}/py.typed" for package in PACKAGES} <= expected
    assert expected - names == set()


def test_it_holds_no_test_and_nothing_but_the_packages(names: set[str]) -> None:
    assert [name for name in names if is_test(name)] == []
    assert {name.split("/")[0] for name in names if ".dist-info/" not in name} == set(PACKAGES)


def test_it_carries_the_licence_and_the_extras(wheel: Path, names: set[str]) -> None:
    assert any(name.endswith("licenses/LICENSE") for name in names)
    with zipfile.ZipFile(wheel) as archive:
        metadata = archive.read(next(name for name in names if name.endswith("METADATA"))).decode()
    for extra in ("cluster", "vllm", "browser", "dev"):
        assert f"Provides-Extra: {extra}\n" in metadata


def test_webshop_runs_from_the_wheel_alone(wheel: Path, tmp_path: Path) -> None:
    site = tmp_path / "site"
    install = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--no-index", "--target", str(site)]
    subprocess.run([*install, str(wheel)], check=True, capture_output=True, timeout=120)
    environment = {**os.environ, "PYTHONPATH": str(site)}
    result = subprocess.run(
        [sys.executable, "-c", WEBSHOP],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )
    assert result.returncode == 0, result.stderr[-2000:]
    files = result.stdout.split()
    assert any("envs" in file for file in files)
    assert [file for file in files if not file.startswith(str(site))] == []
