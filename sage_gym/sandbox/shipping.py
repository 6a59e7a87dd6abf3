"""How the runner gets into a sandbox: as the text of its modules on Python's command line; nothing is mounted."""

from __future__ import annotations

import json
from functools import cache
from importlib.resources import files
from typing import Any

__all__ = ["runner_command"]

MODULES = (
    "frames",
    "capture",
    "processes",
    "memory",
    "files",
    "identity",
    "place",
    "jobs",
    "commands",
    "filework",
    "runner",
)
"""Each after those that it imports."""
BOOT = """
import json, sys
from types import ModuleType
options = json.loads(sys.argv[2])
package = sys.modules["inside"] = ModuleType("inside")
package.__path__ = []
for name, text in json.loads(sys.argv[1]):
    module = sys.modules["inside." + name] = ModuleType("inside." + name)
    module.__package__ = "inside"
    setattr(package, name, module)
    exec(compile(text, name + ".py", "exec"), module.__dict__)
module.Runner(options).serve()
"""


def runner_command(python: str, options: dict[str, Any]) -> list[str]:
    """Return the command that starts the runner under an interpreter of version 3.9 or later."""
    return [python, "-I", "-S", "-c", BOOT, _sources(), json.dumps(options)]


@cache
def _sources() -> str:
    folder = files("sage_gym.sandbox.inside")
    return json.dumps([(name, folder.joinpath(f"{name}.py").read_text("utf-8")) for name in MODULES])
