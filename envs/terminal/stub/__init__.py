"""A shell with some seventy programs over files in memory: the terminal environment without an engine."""
