"""Where tables and their rows lie, as a setting says it: a folder of this machine, or the URL of a store."""

from __future__ import annotations

import re
from typing import Final

_SCHEME: Final = re.compile(r"[A-Za-z][A-Za-z0-9+.-]+:/")
"""Of two letters at least: ``C:/data`` is a folder. Hadoop takes ``dbfs:/data`` for a URL."""
_FILE: Final = re.compile(r"file:(?://(?:localhost)?(?=/))?(?=/)", re.IGNORECASE)
_VOLUME: Final = re.compile(r"dbfs:/+(?=Volumes/)", re.IGNORECASE)
_PASSWORD: Final = re.compile(r"//[^/?#@]*:[^/?#]*@")
_SECRET: Final = re.compile(
    r"[?&;](?:[\w.-]*(?:token|password|passwd|pwd|secret|signature|credential|api_?key|account_?key)|sig|key)=",
    re.IGNORECASE,
)
"""Parameters that carry a credential: Azure's ``sig``, ``X-Amz-Signature``, Spark Connect's ``token``."""


def refuse_credentials(url: str) -> str:
    """The URL, which everybody may see.

    Raises:
        ValueError: it holds a credential; the message does not.
    """
    if _PASSWORD.search(url) or _SECRET.search(url):
        raise ValueError("holds credentials, which would be shown; they come from the environment")
    return url


def place(given: str) -> str:
    """One spelling for what means the same: a folder without ``file:``, a Volume as the folder that it is.

    Raises:
        ValueError: it holds a credential.
    """
    if _FILE.match(given):
        return "/" + _FILE.sub("", given, count=1).lstrip("/")
    return _VOLUME.sub("/", refuse_credentials(given), count=1)


def is_url(found: str) -> bool:
    """Whether a place is none of this machine's folders."""
    return _SCHEME.match(found) is not None
