"""What a source file imports, read with `ast`, and the rules of who may import whom."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PACKAGES = ("sage_gym", "envs", "policies", "rewards")
CONTRACTS = tuple(
    f"sage_gym.{name}" for name in ("types", "protocols", "errors", "registry", "spaces", "arguments", "tasks")
)
OPEN_TO_ALL = (*CONTRACTS, "sage_gym.sandbox", "sage_gym.blockwise")
COMMANDS = tuple(
    f"sage_gym.{name}" for name in ("train", "evaluate", "ablate", "card", "explain", "export", "view", "play", "bench")
)
HEAVY = (
    "torch",
    "transformers",
    "trl",
    "datasets",
    "accelerate",
    "peft",
    "sklearn",
    "pandas",
    "wandb",
    "docker",
    "ray",
)
ONE_FILE_EACH = ("docker", "ray", "tree_sitter", "trl", "vllm", "wandb")
ENGINE_RULES = {
    "sage_gym.sandbox": OPEN_TO_ALL,
    "sage_gym.rollout": (*OPEN_TO_ALL, "sage_gym.rollout"),
    "sage_gym.selection": (*OPEN_TO_ALL, "sage_gym.selection"),
    "sage_gym.config": (*OPEN_TO_ALL, "sage_gym.config", "sage_gym.selection"),
}
"""What the engine's earlier steps may import of this project: nothing of the later ones."""


@dataclass(frozen=True, slots=True)
class Import:
    """One imported module; a name taken out of a package counts as the package's module of that name as well."""

    module: str
    line: int
    is_for_checkers: bool
    """Whether it stands under `if TYPE_CHECKING:`."""


def is_under(module: str, package: str) -> bool:
    return module == package or module.startswith(f"{package}.")


def module_of(path: Path) -> str:
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def source_files() -> Iterator[Path]:
    for package in PACKAGES:
        for path in sorted((ROOT / package).rglob("*.py")):
            if not path.name.startswith("test_") and path.name != "conftest.py":
                yield path


def imports(source: str, module: str = "", is_package: bool = False) -> list[Import]:
    """Return every import of a source text, those inside functions included."""
    tree = ast.parse(source)
    for_checkers = {
        id(inner)
        for node in ast.walk(tree)
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.dump(node.test)
        for statement in node.body
        for inner in ast.walk(statement)
    }
    found = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            names = _origins(node, module, is_package)
        else:
            continue
        found.extend(Import(name, node.lineno, id(node) in for_checkers) for name in names)
    return found


def _origins(node: ast.ImportFrom, module: str, is_package: bool) -> list[str]:
    if not node.level:
        base = node.module or ""
    else:
        parts = module.split(".")
        kept = parts[: len(parts) - node.level + is_package]
        base = ".".join([*kept, *([node.module] if node.module else [])])
    return [f"{base}.{alias.name}" for alias in node.names] if base in PACKAGES else [base]


def violations(module: str, found: list[Import]) -> list[str]:
    """Return a sentence for each import of this project that the layers forbid to a module.

    `import sage_gym` alone is free to all: it registers the built-in names and loads nothing else.
    """
    allowed = _allowed(module)
    return [
        f"{module}:{item.line} imports {item.module}; it may import only {', '.join(allowed)}"
        for item in found
        if item.module.split(".")[0] in PACKAGES
        and item.module != "sage_gym"
        and not any(is_under(item.module, open_) for open_ in allowed)
    ]


def _allowed(module: str) -> tuple[str, ...]:
    parts = module.split(".")
    if parts[0] == "envs":
        return (*OPEN_TO_ALL, ".".join(parts[:2])) if len(parts) > 1 else ()
    if parts[0] in ("policies", "rewards"):
        return (*OPEN_TO_ALL, parts[0])
    if module in CONTRACTS:
        return CONTRACTS
    if module == "sage_gym":
        return CONTRACTS
    for package, open_ in ENGINE_RULES.items():
        if is_under(module, package):
            return (*open_, package)
    return ("sage_gym",)
