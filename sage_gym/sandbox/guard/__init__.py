"""What is decided about a command before it is run: rules over what it would do, with a reason that the agent sees."""

from sage_gym.sandbox.guard.places import Places
from sage_gym.sandbox.guard.policy import Guard, Verdict
from sage_gym.sandbox.guard.rules import Match, Rule, read_rules

__all__ = ["Guard", "Match", "Places", "Rule", "Verdict", "read_rules"]
