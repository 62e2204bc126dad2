"""What Unity Catalog's REST API answers, told as DataLoader's errors with the grants that are missing."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from dataloader_core.errors import (
    ConfigurationError,
    DataLoaderError,
    DestinationError,
    DestinationRefusedError,
    DestinationUnavailableError,
)

_LOGIN = (
    "Renew DATABRICKS_TOKEN or the service principal's secret; tokens of a service principal are renewed by themselves."
)


@contextmanager
def catalog_errors(doing: str, *, grants: str) -> Iterator[None]:
    """Translate what goes wrong. ``doing`` ends "Unity Catalog refuses to ..."; ``grants`` are those that it takes.

    Raises:
        DestinationRefusedError: a grant, a login or what was asked for is wrong.
        DestinationUnavailableError: the workspace is out of reach, throttles, or fails on its side.
    """
    try:
        yield
    except DataLoaderError:
        raise
    # The SDK's own errors are OSErrors too, and so are those of requests below it.
    except OSError as error:
        raise _translated(doing, grants, error) from None
    except ValueError as error:  # what the SDK makes of a login that fails, and of an answer that is no JSON
        raise DestinationRefusedError(
            f"The workspace's answer cannot be used: {_sentence(error)}",
            cure="Check DATABRICKS_HOST, and the client's id and secret.",
        ) from None


def no_login() -> ConfigurationError:
    return ConfigurationError(
        "DATALOADER_UNITY_CATALOG is on, and no login to a Databricks workspace is set.",
        cure="Set DATABRICKS_HOST, and DATABRICKS_CLIENT_ID with DATABRICKS_CLIENT_SECRET or DATABRICKS_TOKEN.",
    )


def _translated(doing: str, grants: str, error: OSError) -> DestinationError:
    from databricks.sdk.errors import PermissionDenied, Unauthenticated
    from databricks.sdk.errors.base import DatabricksError

    said = _sentence(error)
    if isinstance(error, Unauthenticated) or (isinstance(error, PermissionDenied) and "access token" in said):
        return DestinationRefusedError(f"The workspace does not accept this login: {said}", cure=_LOGIN)
    if isinstance(error, PermissionDenied):
        return DestinationRefusedError(f"Unity Catalog refuses to {doing}: {said}", cure=f"It takes {grants}.")
    if unavailable := _unavailable(error):
        return DestinationUnavailableError(
            f"Unity Catalog could not {doing}: {unavailable}", cure="It is tried again by the next load."
        )
    assert isinstance(error, DatabricksError)
    return DestinationRefusedError(
        f"Unity Catalog refuses to {doing}: {said}", cure=f"Correct what it names; the call takes {grants}."
    )


def _unavailable(error: OSError) -> str | None:
    """Why trying again may help, or None. After the SDK's own retries a TimeoutError holds the last error."""
    from databricks.sdk.errors import DeadlineExceeded, InternalError, TemporarilyUnavailable, TooManyRequests
    from databricks.sdk.errors.base import DatabricksError

    last = error.__cause__ if isinstance(error, TimeoutError) and error.__cause__ else error
    if isinstance(last, TooManyRequests):
        return "it throttles (429), and went on to throttle."
    if not isinstance(last, DatabricksError):
        return f"the workspace does not answer ({type(last).__name__})."
    if isinstance(last, (InternalError, TemporarilyUnavailable, DeadlineExceeded)) or last is not error:
        return _sentence(last)
    return None


def _sentence(error: BaseException) -> str:
    """The answer's first line. It names people and securables, and holds no credentials."""
    text = str(error).strip().splitlines()
    first = text[0][:300].rstrip(".") if text else type(error).__name__
    return f"{first}."
