"""The login: where the instance is, who we are there, and the token of the hour."""

from __future__ import annotations

import re
import threading
from collections.abc import Mapping
from datetime import datetime
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, Any, Final

from pydantic import SecretStr

from dataloader_control.lakebase.address import parse
from dataloader_control.lakebase.places import Autoscaling, Provisioned
from dataloader_control.lakebase.tokens import Tokens
from dataloader_core.errors import ConfigurationError, ControlUnavailableError, DataLoaderError
from dataloader_core.interfaces.control_login import ControlLogin, Parameters
from dataloader_databricks.workspace import WorkspaceError, call

if TYPE_CHECKING:
    import psycopg

LONGEST_SECONDS: Final = 3600.0
"""What Databricks gives a database token; more than that is a wrong clock."""
_CERTIFICATE: Final = re.compile("certificate verify failed|does not match host name|root certificate|self.signed")
_ME: Final = "/api/2.0/preview/scim/v2/Me"


class Lakebase(ControlLogin):
    """Provisioned instances and endpoints of autoscaling projects, by the REST API of the workspace.

    The workspace and the identity come from the environment as the Databricks SDK reads it (``DATABRICKS_HOST``,
    ``DATABRICKS_CLIENT_ID`` ..., a profile, or the cluster's own).
    """

    name = "lakebase"

    def __init__(self, url: str) -> None:
        super().__init__(url)
        self._address = parse(url)
        self._place = (Autoscaling if self._address.autoscaling else Provisioned)(self._address.instance)
        self._tokens = Tokens(self._issue)
        self._lock = threading.Lock()
        self._host: str | None = self._address.parameters.get("host")
        self._user: str | None = self._address.parameters.get("user")

    @property
    def where(self) -> str:
        return f"{self._address.database} at the Lakebase {self._place.kind} {self._place.name}"

    def parameters(self) -> Parameters:
        with self._lock:
            self._host = self._host or self._find_host()
            self._user = self._user or self._find_user()
            place = {"host": self._host, "user": self._user, "dbname": self._address.database}
        return {**self._address.parameters, **place, "password": self._tokens.current()}

    def refused(self, parameters: Parameters, error: psycopg.OperationalError) -> bool:
        if error.pgconn is not None and error.pgconn.used_password:
            password = parameters["password"]
            assert isinstance(password, SecretStr)
            if self._tokens.replace(password):
                return True
            raise self._not_admitted(error)
        if _CERTIFICATE.search(str(error)):
            raise self._not_trusted(parameters, error)
        if "host" in self._address.parameters:
            return False
        try:
            host = self._find_host()
        except ControlUnavailableError as reason:
            # Stopped, starting: says more than "connection refused". That the workspace is out of reach does not.
            if isinstance(reason.__cause__, WorkspaceError):
                return False
            raise
        with self._lock:
            moved, self._host = host != self._host, host
        return moved

    def _find_host(self) -> str:
        found = self._call("GET", self._place.resource)
        if reason := self._place.asleep(found):
            raise ControlUnavailableError(
                f"The control database cannot be used: {self.where} {reason}.", cure="Start it, or wait until it runs."
            )
        if not (host := self._place.host(found)):
            raise ControlUnavailableError(f"{self.where} has no address yet.", cure="Wait until it runs.")
        return host

    def _find_user(self) -> str:
        """A person's e-mail address, a service principal's application id: so are the roles called."""
        name = self._call("GET", _ME).get("userName")
        if not name:
            raise ConfigurationError(
                "Databricks does not say who these credentials belong to.", cure="Add ?user=ROLE to the URL."
            )
        return str(name)

    def _issue(self) -> tuple[SecretStr, float]:
        answer = self._call("POST", self._place.credentials, self._place.request())
        token = answer.get("token")
        if not token:
            raise ControlUnavailableError(f"Databricks gave no token for {self.where}.", cure="Try again later.")
        return SecretStr(str(token)), _lifetime(answer)

    def _call(self, method: str, path: str, body: Mapping[str, Any] | None = None) -> dict[str, Any]:
        try:
            return call(method, path, body=body, headers=["date"])
        except WorkspaceError as error:
            raise self._translated(error, path) from error

    def _translated(self, error: WorkspaceError, path: str) -> DataLoaderError:
        if error.transient:
            return ControlUnavailableError(f"No login to {self.where}: {error.problem}", cure=error.cure)
        if path == _ME:
            return ConfigurationError(f"No login to {self.where}: {error.problem}", cure=error.cure)
        if error.kind == "missing":
            return ConfigurationError(
                f"There is no Lakebase {self._place.kind} {self._place.name!r}, or this identity may not see it.",
                cure="Correct DATALOADER_CONTROL_URL, or DATABRICKS_HOST if it is in another workspace.",
            )
        if error.kind == "forbidden":
            return ConfigurationError(
                f"No login to {self.where}: {error.problem}",
                cure="Grant the identity of the process 'Can use' on it, and see that its token is of this workspace.",
            )
        return ConfigurationError(f"No login to {self.where}: {error.problem}", cure=error.cure)

    def _not_trusted(self, parameters: Parameters, error: psycopg.OperationalError) -> ConfigurationError:
        return ConfigurationError(
            f"The certificate of {self.where} is not trusted: {_last_line(error)}.",
            cure=f"See that {parameters.get('sslrootcert', 'sslrootcert')} holds who signed it (a proxy that looks "
            "into TLS has an authority of its own), or name another file with ?sslrootcert=FILE or SSL_CERT_FILE. By "
            "another way than the host's own name, keep that in ?host= and put the address into ?hostaddr=.",
        )

    def _not_admitted(self, error: psycopg.OperationalError) -> ControlUnavailableError:
        return ControlUnavailableError(
            f"{self.where} refused {self._user} with a token that was just issued: {_last_line(error)}.",
            cure="See that this identity has a role of its name there (databricks_create_role) that may CONNECT to the "
            "database, or name another role with ?user=.",
        )


def _last_line(error: psycopg.OperationalError) -> str:
    """Without a full stop."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[-1].rstrip(".") if lines else "no reason given"


def _lifetime(answer: Mapping[str, Any]) -> float:
    """Seconds that a token is good for, by the workspace's own clock: this computer's may be wrong."""
    ends = answer.get("expiration_time") or answer.get("expire_time")
    if not ends:
        return LONGEST_SECONDS
    now = parsedate_to_datetime(answer["date"]) if answer.get("date") else datetime.now().astimezone()
    seconds = (datetime.fromisoformat(str(ends).replace("Z", "+00:00")) - now).total_seconds()
    return min(max(seconds, 0.0), LONGEST_SECONDS)
