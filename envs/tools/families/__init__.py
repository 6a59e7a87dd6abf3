"""The tools, a family a file."""
