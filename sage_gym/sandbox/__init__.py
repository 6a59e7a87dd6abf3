"""Isolation of what an agent runs: so far the guard, which decides before anything is run."""
