"""What the workspace answers, told as DataLoader's errors that name the setting to look at."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from dataloader_core.errors import ConfigurationError, DataLoaderError, TransientError
from dataloader_core.redaction import redact_known

if TYPE_CHECKING:
    from databricks.sdk.errors.base import DatabricksError

_LOGIN: Final = (
    "Renew DATABRICKS_TOKEN, or set DATABRICKS_CLIENT_ID and DATABRICKS_CLIENT_SECRET: tokens of a service principal "
    "are renewed by themselves."
)


@dataclass(frozen=True)
class Subject:
    """What a call is about: its name for people, the variable that names it, and the right that the call takes."""

    name: str
    variable: str
    grant: str


@contextmanager
def explained(host: str, subject: Subject) -> Iterator[None]:
    """Translate the SDK's errors.

    Raises:
        ConfigurationError: the login, a right, or what a setting names is wrong.
        TransientError: the workspace is out of reach, throttles, or fails on its side.
    """
    try:
        yield
    except DataLoaderError:
        raise
    # The SDK's own errors are OSErrors too, and so are those of requests below it.
    except OSError as error:
        raise _translated(host, subject, error) from None
    except ValueError as error:
        raise no_login(host, error) from None


def no_login(host: str | None, error: ValueError) -> ConfigurationError:
    """The SDK raises ValueError where it finds no login, or where a login fails. Its text may list settings."""
    where = f" to {host}" if host else ""
    return ConfigurationError(
        f"There is no login{where} that works ({_sentence(error)}).",
        cure="Set DATABRICKS_HOST, and DATABRICKS_CLIENT_ID with DATABRICKS_CLIENT_SECRET or DATABRICKS_TOKEN.",
    )


def is_transient(error: BaseException) -> bool:
    """Whether the same call may succeed later. After the SDK's own retries a TimeoutError holds the last error."""
    from databricks.sdk.errors import DeadlineExceeded, InternalError, TemporarilyUnavailable, TooManyRequests
    from databricks.sdk.errors.base import DatabricksError

    passing = (DeadlineExceeded, InternalError, TemporarilyUnavailable, TooManyRequests)
    return isinstance(error, OSError) and (isinstance(error, passing) or not isinstance(error, DatabricksError))


def _translated(host: str, subject: Subject, error: OSError) -> DataLoaderError:
    from databricks.sdk.errors import PermissionDenied, Unauthenticated
    from databricks.sdk.errors.base import DatabricksError

    if is_transient(error):
        return TransientError(
            f"The workspace {host} could not be used for {subject.name}: {_why(error)}.",
            cure="Check DATABRICKS_HOST and the network if this goes on.",
        )
    assert isinstance(error, DatabricksError)
    said = _sentence(error)
    if isinstance(error, Unauthenticated) or (isinstance(error, PermissionDenied) and "access token" in said):
        return ConfigurationError(f"The workspace {host} does not accept this login: {said}.", cure=_LOGIN)
    if isinstance(error, PermissionDenied):
        return ConfigurationError(
            f"The workspace {host} refuses {subject.name}: {said}.",
            cure=f"It takes {subject.grant}; {subject.variable} names it.",
        )
    return ConfigurationError(
        f"The workspace {host} refuses {subject.name}: {said}.", cure=f"Correct {subject.variable}."
    )


def _why(error: OSError) -> str:
    from databricks.sdk.errors import TooManyRequests
    from databricks.sdk.errors.base import DatabricksError

    last = error.__cause__ if isinstance(error, TimeoutError) and error.__cause__ else error
    if isinstance(last, TooManyRequests):
        return "it throttles (429), and went on to throttle"
    if isinstance(last, DatabricksError):
        return _sentence(last)
    # The texts of requests name hosts, paths and their own classes; the kind says as much.
    return f"it does not answer ({type(last).__name__})"


def _sentence(error: BaseException | DatabricksError) -> str:
    first = redact_known(str(error)).strip().splitlines()
    return first[0].rstrip(". ")[:300] if first else type(error).__name__
