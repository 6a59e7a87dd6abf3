"""What the packages import is what pyproject declares, and the constraints pin it."""

from __future__ import annotations

import re
import sys
import tomllib
from importlib.metadata import packages_distributions

from tests.imports import PACKAGES, ROOT, imports, module_of, source_files

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
COMES_WITH = {"pydantic-core": "pydantic"}
USED_BY_OTHERS = {"accelerate": "transformers' Trainer needs it", "gguf": "transformers reads GGUF files with it"}


def normalised(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def names(requirements: list[str]) -> set[str]:
    return {normalised(re.split(r"[\[<>=!~; ]", requirement)[0]) for requirement in requirements}


def imported() -> set[str]:
    modules = {
        item.module.split(".")[0]
        for path in source_files()
        for item in imports(path.read_text(encoding="utf-8"), module_of(path), path.stem == "__init__")
    }
    distributions = packages_distributions()
    outside = {module for module in modules if module and module not in sys.stdlib_module_names} - set(PACKAGES)
    return {
        normalised(distributions[module][0]) if module in distributions else normalised(module) for module in outside
    }


def pins() -> dict[str, str]:
    lines = (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines()
    return {
        normalised(name): pinned
        for name, _, pinned in (line.partition("==") for line in lines if line and not line.startswith("#"))
    }


def test_every_import_is_declared_and_every_dependency_imported() -> None:
    required = names(PROJECT["dependencies"])
    extras = set().union(*(names(extra) for extra in PROJECT["optional-dependencies"].values()))
    used = {COMES_WITH.get(name, name) for name in imported()}
    assert used - required - extras == set(), "imported, but declared neither as a dependency nor in an extra"
    assert required - used - set(USED_BY_OTHERS) == set(), "declared as a dependency, but imported nowhere"


def test_constraints_pin_every_dependency_to_one_plain_version() -> None:
    pinned = pins()
    assert names(PROJECT["dependencies"]) - set(pinned) == set()
    assert [name for name, exact in pinned.items() if not re.fullmatch(r"[0-9][0-9a-z.]*", exact)] == []
