"""What the workspace answers, told as DataLoader's errors that name the setting to look at."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from dataloader_core.errors import ConfigurationError, DataLoaderError, TransientError
from dataloader_databricks import workspace
from dataloader_databricks.workspace import WorkspaceError


@dataclass(frozen=True)
class Subject:
    """What a call is about: its name for people, the variable that names it, and the right that the call takes.

    ``refused``: what to correct where the call itself was wrong, if not that variable.
    """

    name: str
    variable: str
    grant: str
    refused: str | None = None


@contextmanager
def explained(host: str, subject: Subject | None = None) -> Iterator[None]:
    """Translate the SDK's errors.

    Raises:
        ConfigurationError: the login, a right, or what a setting names is wrong.
        TransientError: the workspace is out of reach, throttles, or fails on its side.
    """
    try:
        yield
    except DataLoaderError:
        raise
    except WorkspaceError as error:
        raise _translated(error, subject) from None
    # The SDK's own errors are OSErrors, and so are those of requests below it and of logins; it means wrong arguments,
    # and answers that are no JSON, by ValueErrors.
    except (OSError, ValueError) as error:
        raise _translated(workspace.explained(error, host), subject) from None


def is_transient(error: BaseException) -> bool:
    """Whether the same call may succeed later."""
    return workspace.explained(error, "").transient


def may_pass(error: BaseException) -> bool:
    """Whether it may be over soon for whoever has a run to lose: a credential that is refused may be being renewed."""
    found = workspace.explained(error, "")
    return found.transient or found.kind == "unauthenticated"


def _translated(error: WorkspaceError, subject: Subject | None) -> DataLoaderError:
    problem = f"{error.problem} It was asked for {subject.name}." if subject else error.problem
    if error.transient:
        return TransientError(problem, cure=error.cure)
    cure = error.cure
    if subject is not None and error.kind == "forbidden":
        cure = f"{subject.variable} names it. It takes {subject.grant}, for an identity whose token is good."
    if subject is not None and error.kind in ("missing", "refused"):
        cure = f"Correct {(error.kind == 'refused' and subject.refused) or subject.variable}."
    return ConfigurationError(problem, cure=cure)
