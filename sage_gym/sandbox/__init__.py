"""Places to run commands in: containers, temporary folders, or scripts in memory, behind one protocol.

    with open_sandbox("docker") as sandbox:
        result = sandbox.exec(["sh", "-c", "echo hello > note && cat note"])
        print(result.text())

`docs/sandboxes.md` says what each backend keeps, and `sage_gym.sandbox.conformance` checks it.
"""

from sage_gym.sandbox.guarded import GuardedSandbox
from sage_gym.sandbox.opening import BACKENDS, BASE_IMAGE, open_sandbox
from sage_gym.sandbox.pool import SandboxPool
from sage_gym.sandbox.protocol import Limits, Result, Sandbox

__all__ = ["BACKENDS", "BASE_IMAGE", "GuardedSandbox", "Limits", "Result", "Sandbox", "SandboxPool", "open_sandbox"]
