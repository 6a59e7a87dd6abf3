"""SAGE Gym: a gym and trainer for language-model agents. Importing it registers the built-ins and imports none."""

from __future__ import annotations

from sage_gym.registry import register

__version__ = "0.1.0"

register("environment", "database", "envs.database.environment:Database")
register("environment", "terminal", "envs.terminal.environment:Terminal")
register("environment", "tools", "envs.tools.environment:Tools")
register("environment", "webshop", "envs.webshop.environment:WebShop")
register("policy", "nano", "policies.nano:load")
register("policy", "causal_lm", "policies.pretrained:load")
register("policy", "amplified", "policies.amplified:Amplified")
register("policy", "reflective", "policies.reflection:Reflective")
register("policy", "random", "policies.scripted:RandomPolicy")
register("reward", "outcome", "rewards.outcome:Outcome")
register("reward", "critic", "rewards.critic:LearnedCritic")
register("reward", "rule", "rewards.critic:RuleCritic")
register("reward", "ics", "rewards.inverse:InverseConsistency")
register("reward", "calibration", "rewards.calibration:Calibration")


def _register_gymnasium() -> None:
    import gymnasium

    gymnasium.register(id="sage_gym/Database-v0", entry_point="envs.database.environment:Database")
    gymnasium.register(id="sage_gym/Terminal-v0", entry_point="envs.terminal.environment:Terminal")
    gymnasium.register(id="sage_gym/Tools-v0", entry_point="envs.tools.environment:Tools")
    gymnasium.register(id="sage_gym/WebShop-v0", entry_point="envs.webshop.environment:WebShop")


_register_gymnasium()
