"""Who asks the vault, and why no token came: Azure's chain of credentials says "failed" of whatever happened.

Imported with the client only.
"""

from __future__ import annotations

from typing import Any, Final
from urllib.parse import urlsplit

from azure.core.exceptions import AzureError  # noqa: TID253  # imported with the client
from azure.core.pipeline.transport import RequestsTransport  # noqa: TID253  # likewise
from azure.identity import DefaultAzureCredential  # noqa: TID253  # likewise

_METADATA: Final = "169.254.169.254"
"""Where a virtual machine's own identity is asked for; elsewhere nobody is there, which is no failure."""
_BUSY: Final = frozenset({410, 429})
"""With 5xx, what passes; 410 is Azure's answer while its metadata service is being updated."""


class Identity(DefaultAzureCredential):
    """Azure's own choice of credentials. Its retries wait for as long as a provider says, so that the caller's are
    the only ones."""

    def __init__(self) -> None:
        self._provider = _Provider()
        super().__init__(transport=self._provider, retry_total=0)

    def trouble(self) -> str | None:
        """What the provider of tokens did when it was asked last; None where nothing was wrong with it."""
        return self._provider.trouble


class _Provider(RequestsTransport):  # type: ignore[misc]  # given by a lazy import, without its type
    """The way to whoever gives tokens, which remembers how its last request went. For all threads: msal repeats a
    bad answer to every one of them for a while, without asking again."""

    def __init__(self) -> None:
        super().__init__()
        self.trouble: str | None = None

    def send(self, request: Any, **options: Any) -> Any:
        self.trouble = None
        try:
            response = super().send(request, **options)
        except AzureError:
            if urlsplit(request.url).hostname != _METADATA:
                self.trouble = "cannot be reached"
            raise
        if response.status_code in _BUSY or response.status_code >= 500:
            throttles = response.status_code == 429
            self.trouble = "throttles requests" if throttles else f"fails (status {response.status_code})"
        return response
