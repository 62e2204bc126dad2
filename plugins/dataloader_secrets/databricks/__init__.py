"""Secrets in Databricks secret scopes."""
