"""Environments: one folder each. Kept free of logic; see `sage_gym.registry`."""
