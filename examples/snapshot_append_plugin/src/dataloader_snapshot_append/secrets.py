"""Secrets from an INI file: ``db_kv_scope`` is ``ini:<file>``, a secret's name is ``section.option``."""

from __future__ import annotations

from configparser import ConfigParser, Error
from pathlib import Path

from pydantic import SecretStr

from dataloader_core.errors import SecretError
from dataloader_core.interfaces.secrets import SecretBackend


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
        """The file of the scope. Which scopes a source may use, the core has checked before it asks a backend."""
        file = Path(self.scope or "")
        if not self.scope or not file.is_absolute():
            raise SecretError(f"{self.scope!r} is no absolute path.", cure="Write ini:/path/to/secrets.ini.")
        return file
