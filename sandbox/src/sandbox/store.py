"""What survives a restart: one SQLite file, written as things happen; without a file, memory."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson

_SCHEMA = """
CREATE TABLE IF NOT EXISTS records (kind TEXT, key TEXT, body BLOB NOT NULL, PRIMARY KEY (kind, key)) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS files (
    file_id TEXT PRIMARY KEY, unique_id TEXT NOT NULL, number INTEGER NOT NULL,
    name TEXT NOT NULL, mime_type TEXT NOT NULL, size INTEGER NOT NULL, data BLOB NOT NULL
);
"""


@dataclass(frozen=True)
class StoredFile:
    file_id: str
    unique_id: str
    number: int
    name: str
    mime_type: str
    size: int

    @property
    def path(self) -> str:
        """The Bot API's `file_path`: keeps the extension, and nothing else of the name."""
        suffix = Path(self.name).suffix
        return f"documents/file_{self.number}{suffix if suffix.isascii() and len(suffix) <= 12 else ''}"


class Store:
    """Records are JSON documents by kind and key. A kill loses nothing; a power cut may lose the last moments."""

    def __init__(self, path: Path | None = None) -> None:
        self._db = sqlite3.connect(str(path) if path else ":memory:", isolation_level=None)
        self._db.execute("PRAGMA journal_mode = WAL")
        self._db.execute("PRAGMA synchronous = OFF")
        self._db.executescript(_SCHEMA)
        self._last_file = self._db.execute("SELECT coalesce(max(number), 0) FROM files").fetchone()[0]

    def close(self) -> None:
        self._db.close()

    def put(self, kind: str, key: object, body: dict[str, Any]) -> None:
        self._db.execute("INSERT OR REPLACE INTO records VALUES (?, ?, ?)", (kind, str(key), orjson.dumps(body)))

    def remove(self, kind: str, key: object) -> None:
        self._db.execute("DELETE FROM records WHERE kind = ? AND key = ?", (kind, str(key)))

    def all(self, kind: str) -> Iterator[dict[str, Any]]:
        for (body,) in self._db.execute("SELECT body FROM records WHERE kind = ?", (kind,)).fetchall():
            yield orjson.loads(body)

    def add_file(self, file_id: str, unique_id: str, name: str, mime_type: str, data: bytes) -> StoredFile:
        self._last_file += 1
        file = StoredFile(file_id, unique_id, self._last_file, name, mime_type, len(data))
        self._db.execute(
            "INSERT INTO files VALUES (?, ?, ?, ?, ?, ?, ?)",
            (file_id, unique_id, file.number, name, mime_type, file.size, data),
        )
        return file

    def file(self, file_id: str) -> StoredFile | None:
        row = self._db.execute(
            "SELECT file_id, unique_id, number, name, mime_type, size FROM files WHERE file_id = ?", (file_id,)
        ).fetchone()
        return StoredFile(*row) if row else None

    def file_by_number(self, number: int) -> StoredFile | None:
        row = self._db.execute(
            "SELECT file_id, unique_id, number, name, mime_type, size FROM files WHERE number = ?", (number,)
        ).fetchone()
        return StoredFile(*row) if row else None

    def data(self, file_id: str) -> bytes:
        row = self._db.execute("SELECT data FROM files WHERE file_id = ?", (file_id,)).fetchone()
        return bytes(row[0]) if row else b""
