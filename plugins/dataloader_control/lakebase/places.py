"""The two services behind Lakebase: their paths, what they answer, and when nobody can connect."""

from __future__ import annotations

import uuid
from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Any, ClassVar, Final
from urllib.parse import quote


class Place(ABC):
    """Where databases run: an instance or an endpoint, by its name there."""

    kind: ClassVar[str]
    credentials: ClassVar[str]
    """The path that gives tokens."""

    def __init__(self, name: str) -> None:
        self.name = name

    @property
    @abstractmethod
    def resource(self) -> str:
        """The path that describes it."""

    @abstractmethod
    def request(self) -> Mapping[str, Any]:
        """What a token is asked for with."""

    @abstractmethod
    def host(self, found: Mapping[str, Any]) -> str | None:
        """The host to connect to, from its description."""

    @abstractmethod
    def asleep(self, found: Mapping[str, Any]) -> str | None:
        """Why nobody can connect; None where it runs, or wakes up when somebody does."""


class Provisioned(Place):
    """A database instance."""

    kind = "instance"
    credentials = "/api/2.0/database/credentials"

    @property
    def resource(self) -> str:
        return f"/api/2.0/database/instances/{quote(self.name)}"

    def request(self) -> Mapping[str, Any]:
        return {"instance_names": [self.name], "request_id": str(uuid.uuid4())}

    def host(self, found: Mapping[str, Any]) -> str | None:
        return found.get("read_write_dns")

    def asleep(self, found: Mapping[str, Any]) -> str | None:
        state = str(found.get("state") or "AVAILABLE")
        if found.get("effective_stopped") or found.get("stopped") or state == "STOPPED":
            return "is stopped"
        return f"is {state.lower()}" if state in _NOT_YET else None


class Autoscaling(Place):
    """A compute endpoint of a project's branch. One that sleeps is woken by whoever connects."""

    kind = "endpoint"
    credentials = "/api/2.0/postgres/credentials"

    @property
    def resource(self) -> str:
        return f"/api/2.0/postgres/{quote(self.name)}"

    def request(self) -> Mapping[str, Any]:
        return {"endpoint": self.name}

    def host(self, found: Mapping[str, Any]) -> str | None:
        hosts = (found.get("status") or {}).get("hosts") or {}
        return hosts.get("host")

    def asleep(self, found: Mapping[str, Any]) -> str | None:
        return "is disabled" if (found.get("status") or {}).get("disabled") else None


_NOT_YET: Final = ("STARTING", "DELETING")
"""While it is updated or fails over, a connection is worth trying."""
