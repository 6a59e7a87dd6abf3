"""A small awk: patterns, fields, arithmetic, comparisons, arrays, `if`, `for`, `while`, `print` and `printf`."""
