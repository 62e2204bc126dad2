"""`make demo`: the flights of New York in 2013, loaded by all six strategies, changed, loaded again, compared."""
