"""A PostgreSQL of our own, for machines that have none."""
