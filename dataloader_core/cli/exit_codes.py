"""Exit codes: what a script may rely on."""

from __future__ import annotations

from enum import IntEnum

from dataloader_core.errors import (
    ClaimLostError,
    ConfigurationError,
    ControlUnavailableError,
    DataLoaderError,
    DestinationError,
    IllegalChangeError,
    LoadCancelledError,
    LossRefusedError,
    SchemaVersionError,
    SecretUnavailableError,
    SourceError,
)


class ExitCode(IntEnum):
    """``--help``, the docs and the tests read the meanings from here."""

    meaning: str

    def __new__(cls, value: int, meaning: str) -> ExitCode:
        member = int.__new__(cls, value)
        member._value_ = value
        member.meaning = meaning
        return member

    OK = 0, "everything asked for was done"
    FAILED = 1, "a load failed, or a check found something wrong"
    CONFIGURATION = 2, "wrong usage, setting, file, name or secret; nothing was changed"
    CONTROL_UNAVAILABLE = 3, "the control database cannot be reached or has another version; what happened is unknown"
    REFUSED = 4, "a rule forbids it: the table is claimed by somebody else, or the control database said no"
    SYSTEM = 5, "a source, a destination or a store of secrets refused or cannot be reached"
    INTERNAL = 70, "a defect of DataLoader; run it again with --debug"
    INTERRUPTED = 130, "interrupted; loads that ran are Failed (cancelled)"


_BY_CLASS: tuple[tuple[type[DataLoaderError], ExitCode], ...] = (
    (ControlUnavailableError, ExitCode.CONTROL_UNAVAILABLE),
    (SchemaVersionError, ExitCode.CONTROL_UNAVAILABLE),
    (IllegalChangeError, ExitCode.REFUSED),
    (ClaimLostError, ExitCode.REFUSED),
    (LossRefusedError, ExitCode.REFUSED),
    (LoadCancelledError, ExitCode.INTERRUPTED),
    (ConfigurationError, ExitCode.CONFIGURATION),
    (SecretUnavailableError, ExitCode.SYSTEM),
    (SourceError, ExitCode.SYSTEM),
    (DestinationError, ExitCode.SYSTEM),
)


def exit_code_of(error: DataLoaderError) -> ExitCode:
    return next((code for cls, code in _BY_CLASS if isinstance(error, cls)), ExitCode.FAILED)
