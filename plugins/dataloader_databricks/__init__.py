"""What the plugins for Databricks share: one client of the workspace's API, and its errors in plain words."""
