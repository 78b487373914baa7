"""Plain SQL migrations: `0001_name.sql` …, forward only, each in a transaction, under an advisory lock.

They run while people chat: one that cannot have its lock at once lets everybody pass and tries again. A new version
must work beside the old one (expand, then contract), so a service is ready when its schema is at its version or later.
"""

import asyncio
import hashlib
import re
import time
from dataclasses import dataclass
from pathlib import Path

import asyncpg

from servicekit.postgres import STORE_ERRORS, Database

_NOT_YET_OURS = (
    asyncpg.InvalidCatalogNameError,
    asyncpg.InvalidAuthorizationSpecificationError,
    asyncpg.InsufficientPrivilegeError,
)
_NOT_THERE_YET: tuple[type[BaseException], ...] = (*STORE_ERRORS, OSError)  # its name may be unknown still
_FILE = re.compile(r"(\d{4})_[a-z0-9_]+\.sql")

LOCK_SECONDS = 2.0
"""A migration waits no longer for a lock: whoever wants the table meanwhile waits behind it."""
LOCK_PAUSE_SECONDS = 1.0
LOCK_TRIES = 60


class MigrationFault(Exception):
    """The files and the schema do not fit together."""


@dataclass(frozen=True)
class Migration:
    version: int
    name: str
    sql: str

    @property
    def checksum(self) -> str:
        return hashlib.sha256(self.sql.encode()).hexdigest()


def read_migrations(directory: Path) -> list[Migration]:
    """The migrations of a folder in order. Raises MigrationFault for gaps and for names of another form."""
    migrations = []
    for number, path in enumerate(sorted(directory.glob("*.sql")), start=1):
        match = _FILE.fullmatch(path.name)
        if match is None or int(match[1]) != number:
            raise MigrationFault(f"{path.name}: expected {number:04d}_<name>.sql")
        migrations.append(Migration(number, path.stem, path.read_text()))
    if not migrations:
        raise MigrationFault(f"no migrations in {directory}")
    return migrations


async def _connect(dsn: str, schema: str, wait_seconds: float) -> asyncpg.Connection:
    """Connects to a server that may be starting still: goes on trying for so long, then raises what it last met."""
    deadline = time.monotonic() + wait_seconds
    while True:
        try:
            return await asyncpg.connect(dsn, timeout=10, server_settings={"search_path": schema})
        except _NOT_THERE_YET:
            if time.monotonic() >= deadline:
                raise
            await asyncio.sleep(0.5)


async def migrate(dsn: str, schema: str, directory: Path, wait_seconds: float = 0) -> int:
    """Brings the schema to the newest version and returns it. Run as the schema's owner; safe to run twice at once.

    `wait_seconds` is how long the server may take to be there; raises OSError or TimeoutError when it is not.
    """
    migrations = read_migrations(directory)
    connection = await _connect(dsn, schema, wait_seconds)
    try:
        await connection.execute("SELECT pg_advisory_lock(hashtextextended($1, 0))", f"migrate {schema}")
        await connection.execute(
            """CREATE TABLE IF NOT EXISTS schema_migrations (
                   version int PRIMARY KEY, name text NOT NULL, checksum text NOT NULL,
                   applied_at timestamptz NOT NULL DEFAULT now())"""
        )
        for role in ("requests", "worker"):
            await connection.execute(f"GRANT SELECT ON schema_migrations TO {schema}_{role}")
        applied = {
            row["version"]: row["checksum"]
            for row in await connection.fetch("SELECT version, checksum FROM schema_migrations")
        }
        for migration in migrations:
            if migration.version in applied:
                if applied[migration.version] != migration.checksum:
                    raise MigrationFault(f"{migration.name} was changed after it was applied; add a new one instead")
                continue
            await _apply(connection, migration)
        return int(max([*applied, migrations[-1].version]))
    finally:
        await connection.close()


async def _apply(connection: asyncpg.Connection, migration: Migration) -> None:
    for _ in range(LOCK_TRIES):
        try:
            async with connection.transaction():
                await connection.execute(f"SET LOCAL lock_timeout = '{LOCK_SECONDS * 1000:.0f}ms'")
                await connection.execute(migration.sql)
                await connection.execute(
                    "INSERT INTO schema_migrations (version, name, checksum) VALUES ($1, $2, $3)",
                    migration.version,
                    migration.name,
                    migration.checksum,
                )
            return
        except asyncpg.LockNotAvailableError:
            await asyncio.sleep(LOCK_PAUSE_SECONDS)
    raise MigrationFault(f"{migration.name}: what it changes was in use each of the {LOCK_TRIES} times it was tried")


async def check_schema(database: Database, wanted: int) -> None:
    """Raises MigrationFault while the schema is older than `wanted`, and a store error while it cannot be asked."""
    try:
        async with database.connection() as connection:
            found = await connection.fetchval("SELECT max(version) FROM schema_migrations")
    except asyncpg.UndefinedTableError:
        found = None
    except _NOT_YET_OURS as error:
        # While a database is being restored it is missing, or lets nobody in: that ends, and so does waiting for it.
        raise MigrationFault(f"the database does not let us in ({type(error).__name__})") from None
    if (found or 0) < wanted:
        raise MigrationFault(f"the schema is at version {found or 0}, this program needs {wanted}: run `migrate`")
