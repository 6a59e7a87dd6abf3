"""A small awk: patterns, fields, arithmetic, comparisons, arrays, `if`, `for (k in a)`, `print` and `printf`."""
