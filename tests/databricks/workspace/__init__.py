"""A stand-in for a Databricks workspace: its HTTP API on this machine, with tasks that really run. See README.md."""

from tests.databricks.workspace.routing import ApiError, Request, Response, route
from tests.databricks.workspace.server import Workspace

__all__ = ["ApiError", "Request", "Response", "Workspace", "route"]
