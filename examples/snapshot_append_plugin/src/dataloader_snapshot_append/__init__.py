"""A DataLoader plugin package: the strategy ``snapshot_append`` and the secret backend ``ini``."""
