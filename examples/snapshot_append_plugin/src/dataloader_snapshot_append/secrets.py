"""Secrets from an INI file: ``db_kv_scope`` is ``ini:<file>``, a secret's name is ``section.option``."""

from __future__ import annotations

import os
from configparser import ConfigParser, Error
from pathlib import Path
from typing import Final

from pydantic import SecretStr

from dataloader_core.errors import SecretError
from dataloader_core.interfaces.secrets import SecretBackend

ALLOWED_FILES: Final = "DATALOADER_INI_FILES"
"""Environment variable: the files that sources may name, separated as in PATH. Unset: none.

Whoever may edit a source must not thereby read any file of the machine.
"""


class IniSecrets(SecretBackend):
    """One INI file. The file is read anew for each secret, so a rotated password needs no restart."""

    name = "ini"

    def get(self, name: str) -> SecretStr:
        file = self._file()
        section, _, option = name.partition(".")
        # Neither interpolation nor DEFAULT: a value is what stands there, and stands in its own section.
        parser = ConfigParser(interpolation=None, default_section="")
        try:
            parser.read_string(file.read_text(encoding="utf-8"))
        except OSError as error:
            raise SecretError(
                f"The secrets file {file} cannot be read: {error.strerror}.", cure="Check its path and permissions."
            ) from None
        except (Error, UnicodeDecodeError):
            # Not chained: the parser's own message quotes the line, and the line is a secret.
            raise SecretError(f"{file} is no INI file.", cure="Write sections and `name = value`.") from None
        if not parser.has_option(section, option):
            raise SecretError(
                f"There is no secret {name!r} in {file}.", cure=f"Add {option or '<name>'!r} to [{section}]."
            )
        return SecretStr(parser.get(section, option))

    def _file(self) -> Path:
        if not self.scope:
            raise SecretError("db_kv_scope names no file.", cure="Write ini:/path/to/secrets.ini.")
        file = Path(self.scope).resolve()
        allowed = [Path(p).resolve() for p in os.environ.get(ALLOWED_FILES, "").split(os.pathsep) if p]
        if file not in allowed:
            raise SecretError(f"{file} may not be used for secrets.", cure=f"Let {ALLOWED_FILES} name it.")
        return file
