"""The process's ``App``, opened for one command and closed after it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING

from dataloader_core.errors import UnknownNameError

if TYPE_CHECKING:
    from dataloader_core.app import App


@contextmanager
def opened() -> Iterator[App]:
    """Nothing is connected before it is used."""
    from dataloader_core.app import App
    from dataloader_core.redaction import install_redaction

    install_redaction()
    app = App.from_environment()
    try:
        yield app
    finally:
        app.close()


def known_tables(app: App, control_keys: Sequence[str]) -> None:
    """Refuse a misspelt table before anything happens to the others.

    Raises:
        UnknownNameError: names the tables that exist.
    """
    found = app.control.rows(list(control_keys))
    for key in control_keys:
        if key not in found:
            raise UnknownNameError("table", key, app.control.rows(), cure="`dataloader status` lists all tables.")
