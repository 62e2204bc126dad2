"""What sources remember from load to load, kept where every process finds it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

from psycopg.types.json import Jsonb

from dataloader_core.control.pool import Pool

KEPT: Final = 64

_REMEMBER: Final = """
INSERT INTO control.source_notes (db_config_key, note_key, note) VALUES (%(source)s, %(key)s, %(note)s)
"""
_FORGET: Final = """
DELETE FROM control.source_notes
WHERE db_config_key = %(source)s AND note_key = %(key)s AND note_id < (
    SELECT min(note_id) FROM (
        SELECT note_id FROM control.source_notes
        WHERE db_config_key = %(source)s AND note_key = %(key)s ORDER BY note_id DESC LIMIT %(kept)s) AS newest)
"""
_RECALL: Final = """
SELECT note FROM control.source_notes WHERE db_config_key = %(source)s AND note_key = %(key)s
ORDER BY note_id DESC LIMIT %(kept)s
"""


class ControlMemory:
    """Notes of one source. Implements :class:`dataloader_core.interfaces.source.SourceMemory`.

    Args:
        read_only: Nothing is noted (for ``plan``, which changes nothing).
    """

    def __init__(self, pool: Callable[[], Pool], db_config_key: str, *, read_only: bool) -> None:
        self._pool = pool
        self._source = db_config_key
        self._read_only = read_only

    def remember(self, key: str, note: Mapping[str, Any]) -> None:
        if self._read_only:
            return
        with self._pool().transaction() as connection:
            connection.execute(_REMEMBER, {**self._values(key), "note": Jsonb(dict(note))})
            connection.execute(_FORGET, self._values(key))

    def recall(self, key: str) -> Sequence[Mapping[str, Any]]:
        with self._pool().transaction() as connection:
            return [row["note"] for row in connection.execute(_RECALL, self._values(key)).fetchall()]

    def _values(self, key: str) -> dict[str, Any]:
        return {"source": self._source, "key": key, "kept": KEPT}
