"""The stub's shell beside the machine's own: the same words, the same end, the same files."""

from __future__ import annotations

import hashlib
import shutil
import subprocess
from collections.abc import Iterator

import pytest

from envs.terminal.stub.sandbox import stub_sandbox
from sage_gym.sandbox import Sandbox
from sage_gym.sandbox.local import LocalSandbox
from tests.imports import ROOT

CASES = (ROOT / "tests" / "cases" / "shell_commands.txt").read_text(encoding="utf-8").split("%%\n")
FILES = {
    "names.txt": "ada\nben\ncleo\nada\nben\nada\n",
    "few.txt": "ben\neve\n",
    "numbers.txt": "10\n2\n33\n4\n",
    "table.csv": "name,city,amount\nada,Bergen,12\nben,Cadiz,7\ncleo,Bergen,30\n",
    "app.log": "08:00 INFO started port=80\n08:01 ERROR disk full\n08:02 WARN slow x=1 y=22\n08:03 ERROR no. 7 error\n",
    "options.txt": "# options\nlevel=3\n\nname: a --port=4242 -x  \nold_level=1\n",
    "paths.txt": "/usr/bin/a\n/opt/b\n",
    "brackets.txt": "[x]\naab\n(y)\nb\n*star\n",
    "one.csv": "1,a\n2,b\n4,d\n",
    "two.csv": "1,x\n3,y\n4,z\n",
    "mixed.csv": "4,q\n1,p\n3,r\n",
    "swapped.csv": "k,1\nl,4\n",
    "with space.txt": "spaced\n",
    "docs/a.txt": "hello a\n",
    "docs/b.md": "hello b, which is longer\n",
    "docs/c.txt": "bye\n",
    "docs/deep/d.txt": "hello d\n",
    "docs/.hidden": "h\n",
    "scripts/run.sh": "echo run $1\n",
}
LEFT = r"""find . -mindepth 1 -printf '%P %y %m %l\n' | LC_ALL=C sort
find . -type f ! -name '*.tar' ! -name '*.gz' -exec sha256sum {} + | LC_ALL=C sort"""


@pytest.fixture(scope="module")
def machine() -> Iterator[Sandbox]:
    is_gnu = shutil.which("sed") and b"GNU" in subprocess.run(["sed", "--version"], capture_output=True).stdout
    if not is_gnu:
        pytest.skip("this machine's programs are not GNU's, which the containers have")
    with LocalSandbox() as sandbox:
        yield sandbox


def ran(sandbox: Sandbox, command: str) -> tuple[str, int]:
    for path, content in FILES.items():
        sandbox.write(path, content.encode(), 0o755 if path.endswith(".sh") else 0o644)
    result = sandbox.exec(["bash", "-c", command], env={"LC_ALL": "C.UTF-8"})
    return result.stdout.decode(), result.exit_code


def left_by(machine: Sandbox) -> str:
    return machine.exec(["bash", "-c", LEFT]).stdout.decode()


def left_in(stub: Sandbox) -> str:
    """Write the stub's files as `LEFT` writes the machine's."""
    tree, start = stub._files, "/workspace/"  # type: ignore[attr-defined]
    kinds = {"file": "f", "folder": "d", "link": "l"}
    nodes = {path[len(start) :]: node for path, node in tree._nodes.items() if path.startswith(start)}
    listed = sorted(f"{path} {kinds[node.kind]} {node.mode:o} {node.target}" for path, node in nodes.items())
    plain = {path: node for path, node in nodes.items() if node.kind == "file" and not path.endswith((".tar", ".gz"))}
    sums = sorted(f"{hashlib.sha256(node.content).hexdigest()}  ./{path}" for path, node in plain.items())
    return "".join(f"{line}\n" for line in (*listed, *sums))


@pytest.mark.parametrize("command", CASES, ids=lambda command: command.split("\n")[0][:50])
def test_a_command_does_what_it_does_on_a_machine(machine: Sandbox, command: str) -> None:
    machine.reset()
    stub = stub_sandbox()
    assert ran(stub, command) == ran(machine, command)
    assert left_in(stub) == left_by(machine)
