"""Loads that are killed at every step, and what is in their tables afterwards. ``make chaos KILLS=1000``."""
