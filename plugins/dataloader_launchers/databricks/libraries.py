"""What a submitted run installs: each library as the Jobs API wants it told, by what it looks like."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any, Final

from dataloader_core.settings import mask_url

_PLACE: Final = re.compile(r"(/(Workspace|Volumes)/|[a-z][a-z0-9]*:/).+")
"""Where libraries lie: the workspace's files, a Volume, an object store."""
_MAVEN: Final = re.compile(r"[\w.-]+:[\w.-]+:[\w.-]+")
# PEP 508 without markers and addresses: a name, extras, versions.
_VERSION: Final = r"(?:===|==|~=|!=|<=|>=|<|>)\s*[\w.*+!-]+"
_REQUIREMENT: Final = re.compile(
    rf"[A-Za-z0-9](?:[\w.-]*[A-Za-z0-9])?\s*(?:\[[\w\s.,-]+\])?\s*(?:{_VERSION}(?:\s*,\s*{_VERSION})*)?"
)
_FILES: Final[Mapping[str, Callable[[str], dict[str, Any]]]] = {
    ".whl": lambda path: {"whl": path},
    ".jar": lambda path: {"jar": path},
    "requirements.txt": lambda path: {"requirements": path},
}
KINDS: Final = (
    "a wheel (.whl), a .jar or a requirements.txt by its path in /Workspace, /Volumes or an object store, Maven "
    "coordinates (GROUP:ARTIFACT:VERSION), or a requirement such as dagster-pipes>=1.13"
)


def library(text: str) -> dict[str, Any]:
    """The Jobs API's ``Library``.

    Raises:
        ValueError: it is none.
    """
    for ending, made in _FILES.items():
        if text.endswith(ending) and _PLACE.fullmatch(text):
            return made(text)
    if _MAVEN.fullmatch(text):
        return {"maven": {"coordinates": text}}
    # A file's name passes for a package's.
    if _REQUIREMENT.fullmatch(text) and not text.endswith((*_FILES, ".egg", ".zip", ".tar.gz", ".py")):
        return {"pypi": {"package": text}}
    raise ValueError(f"{mask_url(text)!r} is no library; it must be {KINDS}")


def dependency(text: str) -> str:
    """The same as a line that serverless compute gives to pip.

    Raises:
        ValueError: it is none, or one for the JVM, where nobody can install any.
    """
    [kind] = library(text)
    if kind in ("jar", "maven"):
        raise ValueError(f"{text!r} is a library for the JVM, which serverless compute does not install")
    return f"-r {text}" if kind == "requirements" else text
