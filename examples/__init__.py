"""Examples: a demonstration on real data, and packages that an outsider could have written."""
