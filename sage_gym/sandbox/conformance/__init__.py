"""What every sandbox backend has to hold, one named check a promise; what a backend is known to lack is listed by name.

    for check in CHECKS:
        check(Subject("docker", lambda limits: DockerSandbox(limits=limits)))

`python -m sage_gym.sandbox check docker` runs them all.
"""

from sage_gym.sandbox.conformance import commands, confinement, files, lifetime, limits, links, streams, timeouts
from sage_gym.sandbox.conformance.gaps import KNOWN_GAPS
from sage_gym.sandbox.conformance.subject import Check, Subject

__all__ = ["CHECKS", "KNOWN_GAPS", "Check", "Subject"]

CHECKS: tuple[Check, ...] = (
    *commands.CHECKS, *streams.CHECKS, *timeouts.CHECKS, *files.CHECKS, *links.CHECKS, *confinement.CHECKS,
    *limits.CHECKS, *lifetime.CHECKS,
)  # fmt: skip
