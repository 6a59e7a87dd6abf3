"""What every sandbox backend has to hold, one named check a promise; what a backend is known to lack is listed by name.

    for check in CHECKS:
        check(Subject("docker", lambda limits: DockerSandbox(limits=limits)))

`python -m sage_gym.sandbox check docker` runs them all.
"""

from sage_gym.sandbox.conformance import attacks, commands, confinement, files, lifetime
from sage_gym.sandbox.conformance.gaps import KNOWN_GAPS
from sage_gym.sandbox.conformance.subject import Check, Subject

__all__ = ["CHECKS", "KNOWN_GAPS", "Check", "Subject"]

CHECKS: tuple[Check, ...] = (*commands.CHECKS, *files.CHECKS, *confinement.CHECKS, *lifetime.CHECKS, *attacks.CHECKS)
