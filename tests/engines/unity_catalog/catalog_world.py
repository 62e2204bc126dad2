"""The table of these tests, and what a load of it says."""

from __future__ import annotations

from typing import Final

from tests.databricks.workspace import Workspace
from tests.support.deployment import Deployment

TABLE: Final = "crm.public.orders"
FULL: Final = "bronze.crm.orders"
PATH: Final = f"tables/{FULL}"


def says_when_it_fails(deployment: Deployment, workspace: Workspace) -> str:
    """The text of a load that must fail; it never holds the token."""
    result = deployment.run("load", TABLE)
    assert result.exit_code != 0, result.output
    assert workspace.token not in result.output
    return " ".join(result.output.split())
