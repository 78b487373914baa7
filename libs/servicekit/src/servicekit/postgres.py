"""Postgres pools: one for each role, every wait bounded."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, TypeAlias
from uuid import UUID

import asyncpg

Connection: TypeAlias = "asyncpg.pool.PoolConnectionProxy[asyncpg.Record]"

ACQUIRE_SECONDS = 3.0
CONNECT_SECONDS = 3.0
STATEMENT_SECONDS = 10.0

STORE_ERRORS: tuple[type[BaseException], ...] = (
    asyncpg.PostgresConnectionError,
    asyncpg.InterfaceError,
    asyncpg.InternalClientError,  # what asyncpg trips over when a session was ended while nobody used it
    asyncpg.CannotConnectNowError,
    asyncpg.AdminShutdownError,
    asyncpg.CrashShutdownError,
    asyncpg.TooManyConnectionsError,
    asyncpg.DiskFullError,
    asyncpg.LockNotAvailableError,
    asyncpg.QueryCanceledError,
    ConnectionError,
    TimeoutError,
)
"""What a database that is away, restarting or overwhelmed looks like. The statement may or may not have happened."""


async def _keep_session(_: Connection) -> None:
    """Nothing to reset on release: sessions carry no state, since settings are made inside transactions only."""


class Database:
    """One pool of one role in one schema."""

    def __init__(self, pool: "asyncpg.Pool[asyncpg.Record]") -> None:
        self.pool = pool

    @asynccontextmanager
    async def transaction(self, person_id: UUID | None = None) -> AsyncIterator[Connection]:
        """A transaction, committed at the end and rolled back on any error.

        With a person, row level security admits that person's rows only: the setting lives inside the transaction and
        cannot leak to the next user of the connection.
        """
        async with self.pool.acquire(timeout=ACQUIRE_SECONDS) as connection:
            # One round trip: UUID.__str__ gives hex digits and dashes, nothing to quote.
            await connection.execute(f"BEGIN; SET LOCAL app.person_id = '{person_id}'" if person_id else "BEGIN")
            try:
                yield connection
            except BaseException:
                try:
                    await connection.execute("ROLLBACK")
                except BaseException:
                    connection.terminate()
                raise
            else:
                await connection.execute("COMMIT")

    @asynccontextmanager
    async def connection(self) -> AsyncIterator[Connection]:
        """A connection outside a transaction: each statement is its own."""
        async with self.pool.acquire(timeout=ACQUIRE_SECONDS) as connection:
            yield connection

    async def ping(self) -> None:
        async with self.connection() as connection:
            await connection.execute("SELECT 1")


@asynccontextmanager
async def open_database(
    dsn: str, schema: str, max_connections: int = 16, **connection_options: Any
) -> AsyncIterator[Database]:
    """A pool whose connections see `schema` only. It opens without a server and connects when it is first used."""
    pool = asyncpg.create_pool(
        dsn,
        min_size=0,
        max_size=max_connections,
        timeout=CONNECT_SECONDS,
        command_timeout=STATEMENT_SECONDS,
        max_inactive_connection_lifetime=300,
        reset=_keep_session,
        server_settings={
            "search_path": schema,
            "application_name": schema,
            "statement_timeout": f"{STATEMENT_SECONDS:.0f}s",
            "idle_in_transaction_session_timeout": "30s",
        },
        **connection_options,
    )
    await pool
    try:
        yield Database(pool)
    finally:
        try:
            await asyncio.wait_for(pool.close(), timeout=2)
        except TimeoutError:
            pool.terminate()
