"""The control database on Databricks Lakebase: OAuth tokens as passwords."""
