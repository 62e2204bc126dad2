"""Every error that DataLoader raises on purpose.

Two questions decide what an error is: may the same load succeed if it is simply tried again
(:class:`TransientError`), and who has to act if not (:class:`PermanentError`). Retry analyzers
read the class, people read the message: what was found, what is allowed, and the cure.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from difflib import get_close_matches


class DataLoaderError(Exception):
    """Root of all errors.

    Args:
        problem: One sentence that names the value at fault. Never a secret, never a row's value.
        cure: What to do about it, in one sentence.
        samples: Row values that help to find the fault. They are written to the control database
            and appear in no message, log or event.
    """

    transient = False

    def __init__(self, problem: str, *, cure: str | None = None, samples: Sequence[str] = ()) -> None:
        super().__init__(problem)
        self.problem = problem
        self.cure = cure
        self.samples = tuple(samples)

    def __str__(self) -> str:
        return f"{self.problem} {self.cure}" if self.cure else self.problem


class TransientError(DataLoaderError):
    """The same load may succeed later, with nothing changed."""

    transient = True


class PermanentError(DataLoaderError):
    """The same load fails again until somebody changes something."""


class ConfigurationError(PermanentError):
    """A setting, a row of the control database or a file is wrong."""


class UnknownNameError(ConfigurationError):
    """A name selects nothing; the message lists the names that exist."""

    def __init__(self, kind: str, name: str, known: Iterable[str], *, cure: str | None = None) -> None:
        names = sorted(known)
        near = get_close_matches(name, names, n=1)
        hint = f" Did you mean {near[0]!r}?" if near else ""
        listed = ", ".join(repr(n) for n in names[:30]) or "none"
        super().__init__(f"Unknown {kind} {name!r}; known: {listed}.{hint}", cure=cure)
        self.name = name
        self.known = tuple(names)


class PluginError(ConfigurationError):
    """A plugin cannot be used: it is broken, or two packages offer the same name."""


class MissingDriverError(ConfigurationError):
    """A plugin needs a package that is not installed; the cure names the extra."""


class SecretError(ConfigurationError):
    """A secret cannot be resolved or may not be used. Never holds the value."""


class SecretUnavailableError(TransientError):
    """The store of a secret is out of reach, throttles or cannot answer now."""


class ControlLoginError(ConfigurationError):
    """The login to the control database is refused. A credential may be being renewed just now: who has something to
    lose waits for a moment before it believes it."""


class ControlDatabaseError(DataLoaderError):
    """The control database refused or could not answer."""


class ControlUnavailableError(ControlDatabaseError, TransientError):
    """The control database is out of reach. What it would have said is unknown, never empty."""


class SchemaVersionError(ControlDatabaseError, PermanentError):
    """The control schema and this program are of different versions."""


class IllegalChangeError(ControlDatabaseError, PermanentError):
    """The control database's own rules forbid the change."""


class RowChangedError(ControlDatabaseError, TransientError):
    """Somebody changed the table's configuration or watermark while a load of it was beginning."""


class ClaimLostError(PermanentError):
    """The load no longer holds its claim: a monitor, a person or a newer claim ended it."""


class LoadCancelledError(PermanentError):
    """The load was asked to stop."""


class SourceError(DataLoaderError):
    """Something about the source."""


class SourceUnavailableError(SourceError, TransientError):
    """The source is out of reach, or went away in mid-stream."""


class SourceRefusedError(SourceError, PermanentError):
    """The source answered no: password, permission, a missing or changed table."""


class UnrepresentableValueError(SourceError, PermanentError):
    """A column holds a value that the target type cannot; names the column and the value's kind."""


class KeyValuesError(SourceError, PermanentError):
    """Key columns are NULL or doubled in what was read."""


class DestinationError(DataLoaderError):
    """Something about the destination table."""


class DestinationRefusedError(DestinationError, PermanentError):
    """The destination is not what this load may write to. Names both sides and the cure."""


class DestinationUnavailableError(DestinationError, TransientError):
    """The destination's storage is out of reach or full."""


class RivalCommitError(DestinationError, TransientError):
    """Somebody else committed to the table since the load looked at it."""


class SchemaChangeError(DestinationError, PermanentError):
    """The source's columns changed in a way that the table's schema policy does not allow."""


class LossRefusedError(PermanentError):
    """The load would delete or overwrite away more than the table's settings allow."""
