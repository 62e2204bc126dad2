"""A PostgreSQL of our own, for machines that have none: started on first use, gone soon after its last user.

It needs the extra ``embedded``. The pieces: ``cluster`` runs one PostgreSQL, ``keeper`` is the small process that
owns it, ``folder`` knows where everything lies, and ``users`` is what programs call.
"""

from __future__ import annotations

from dataloader_core.embedded.databases import create_database
from dataloader_core.embedded.folder import EmbeddedFolder, find_folder
from dataloader_core.embedded.users import embedded_url, init_embedded, stop

__all__ = ["EmbeddedFolder", "create_database", "embedded_url", "find_folder", "init_embedded", "stop"]
