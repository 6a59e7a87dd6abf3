"""Dependencies point one way: envs, policies and rewards know the engine's contracts, never each other."""

from __future__ import annotations

import subprocess
import sys

import pytest

from tests.imports import (
    COMMANDS,
    CONTRACTS,
    HEAVY,
    ONE_FILE_EACH,
    ROOT,
    imports,
    is_under,
    module_of,
    source_files,
    violations,
)

FOUND = {
    module_of(path): imports(path.read_text(encoding="utf-8"), module_of(path), path.name == "__init__.py")
    for path in source_files()
}


def modules_loaded_by(statement: str) -> set[str]:
    code = f"import sys; {statement}; print(*sys.modules)"
    result = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    return set(result.stdout.split())


def test_every_module_imports_only_what_its_layer_may() -> None:
    assert len(FOUND) > len(CONTRACTS)
    assert [problem for module, found in FOUND.items() for problem in violations(module, found)] == []


@pytest.mark.parametrize(
    ("module", "source", "is_forbidden"),
    [
        ("envs.webshop.search", "from sage_gym.types import Task", False),
        ("envs.webshop.search", "from envs.webshop.pages import Page", False),
        ("envs.webshop.search", "from sage_gym.sandbox import Result", False),
        ("envs.webshop.search", "from sage_gym.tasks import TaskList", False),
        ("sage_gym.tasks", "from sage_gym.types import Task", False),
        ("sage_gym.tasks", "from envs.webshop.search import Index", True),
        ("envs.webshop.search", "from envs.tools.calls import Call", True),
        ("envs.webshop.search", "from sage_gym.rollout import collect", True),
        ("envs.webshop.search", "from sage_gym import rollout", True),
        ("envs.webshop.search", "import policies.nano", True),
        ("envs.webshop.search", "def f():\n    import policies.nano", True),
        ("envs.webshop.search", "from ..tools import calls", True),
        ("envs.webshop.search", "from .pages import Page", False),
        ("envs", "import sage_gym.types", True),
        ("policies.nano.train", "import sage_gym", False),
        ("policies.nano.model", "from policies.causal_lm import CausalLM", False),
        ("policies.nano.model", "from sage_gym.distill import train", True),
        ("policies.nano.model", "from sage_gym.config import read", True),
        ("policies.nano.model", "if TYPE_CHECKING:\n    from envs.webshop import WebShop", True),
        ("rewards.critic", "from policies.nano import load", True),
        ("sage_gym.types", "from sage_gym.rollout import collect", True),
        ("sage_gym.rollout.episode", "from sage_gym.distill import train", True),
        ("sage_gym.selection.rules", "from sage_gym.rollout import collect", True),
        ("sage_gym.distill.loop", "from sage_gym.rollout import collect", False),
        ("sage_gym.distill.loop", "from envs.webshop import WebShop", True),
        ("sage_gym.train", "import envs.webshop", True),
        ("sage_gym.train", "import torch", False),
    ],
)
def test_the_rule_itself_catches_what_it_should(module: str, source: str, is_forbidden: bool) -> None:
    assert bool(violations(module, imports(source, module))) is is_forbidden


@pytest.mark.parametrize("module", [*CONTRACTS, "sage_gym"])
def test_contracts_import_nothing_heavy(module: str) -> None:
    heavy = [item for item in FOUND[module] if item.module.split(".")[0] in HEAVY and not item.is_for_checkers]
    assert heavy == []


def test_importing_the_engine_loads_no_model_library_and_no_environment() -> None:
    loaded = modules_loaded_by("import sage_gym, sage_gym.protocols, sage_gym.registry, sage_gym.spaces")
    assert "sage_gym.types" in loaded
    assert loaded & {*HEAVY, "envs", "policies", "rewards"} == set()


def test_reading_a_configuration_loads_no_model_library() -> None:
    assert modules_loaded_by("import sage_gym.config") & {*HEAVY, "envs", "policies", "rewards"} == set()


def test_importing_the_engine_registers_the_built_in_environments() -> None:
    code = (
        "import sage_gym, gymnasium; from sage_gym.registry import known\nfor name in known('environment'): print(name)"
    )
    run = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert "webshop" in run.stdout.split()


@pytest.mark.parametrize("dependency", ONE_FILE_EACH)
def test_an_optional_dependency_is_imported_by_one_file(dependency: str) -> None:
    users = {
        module
        for module, found in FOUND.items()
        if any(is_under(item.module, dependency) and not item.is_for_checkers for item in found)
    }
    assert len(users) <= 1, f"{dependency} is imported by {sorted(users)}; let one of them offer what the others need"


def test_commands_are_imported_by_nothing() -> None:
    for module, found in FOUND.items():
        for item in found:
            is_command = any(is_under(item.module, command) for command in COMMANDS)
            assert not is_command, f"{module} imports the command {item.module}"
