"""Who may do what in Postgres: one database, a schema and three roles for each service.

`<service>_owner` owns the schema and migrates it, `<service>_requests` and `<service>_worker` run the service. The last
two can create nothing and see no other schema; what they may do with a table is granted by that table's migration.
"""

from collections.abc import Mapping
from urllib.parse import quote, urlsplit, urlunsplit

import asyncpg

SERVICES = ("gateway", "generation", "billing", "analytics")
KINDS = ("owner", "requests", "worker")
ROLES = tuple(f"{service}_{kind}" for service in SERVICES for kind in KINDS)
DATABASE = "pismo"

_CONNECT_SECONDS = 10.0
_ONE_AT_A_TIME = 7_105_116_271_5  # any number: the advisory lock under which roles change


def role_url(server_url: str, role: str, password: str, database: str = DATABASE) -> str:
    """The same server, another database and another role; what else the URL says stays."""
    url = urlsplit(server_url)
    address = url.netloc.rpartition("@")[2]
    return urlunsplit(url._replace(netloc=f"{role}:{quote(password, safe='')}@{address}", path=f"/{database}"))


def database_url(server_url: str, database: str) -> str:
    """The same server and role, another database."""
    return urlunsplit(urlsplit(server_url)._replace(path=f"/{database}"))


async def bootstrap(server_url: str, passwords: Mapping[str, str], database: str = DATABASE) -> None:
    """Make the database, roles and schemas where they are missing, and set the passwords (by role name).

    `server_url` is a superuser's, or one's that may create databases and roles. Safe to repeat and to run twice at
    once. Raises asyncpg.PostgresError and OSError.
    """
    server = await asyncpg.connect(server_url, timeout=_CONNECT_SECONDS)
    try:
        # Two that alter one role at once would fail with "tuple concurrently updated".
        await server.execute("SELECT pg_advisory_lock($1)", _ONE_AT_A_TIME)
        await _make_roles(server, passwords)
        if not await server.fetchval("SELECT EXISTS (SELECT FROM pg_database WHERE datname = $1)", database):
            await server.execute(
                await _format(server, "CREATE DATABASE %I TEMPLATE template0 ENCODING 'UTF8'", database)
            )
        await server.execute(await _format(server, "REVOKE ALL ON DATABASE %I FROM PUBLIC", database))
        inside = await asyncpg.connect(database_url(server_url, database), timeout=_CONNECT_SECONDS)
        try:
            await _make_schemas(inside, database)
        finally:
            await inside.close()
    finally:
        await server.close()


async def _make_roles(server: "asyncpg.Connection[asyncpg.Record]", passwords: Mapping[str, str]) -> None:
    existing = {row["rolname"] for row in await server.fetch("SELECT rolname FROM pg_roles")}
    superuser = await server.fetchval("SELECT rolsuper FROM pg_roles WHERE rolname = current_user")
    for role in ROLES:
        if role not in existing:
            await server.execute(await _format(server, "CREATE ROLE %I LOGIN NOINHERIT", role))
        await server.execute(await _format(server, "ALTER ROLE %I PASSWORD %L", role, passwords[role]))
        if not superuser and role.endswith("_owner"):
            # Only a member may make a schema for another.
            await server.execute(await _format(server, "GRANT %I TO CURRENT_USER", role))


async def _make_schemas(inside: "asyncpg.Connection[asyncpg.Record]", database: str) -> None:
    await inside.execute("REVOKE ALL ON SCHEMA public FROM PUBLIC")
    for service in SERVICES:
        owner, requests, worker = (f"{service}_{kind}" for kind in KINDS)
        await inside.execute(
            f"""CREATE SCHEMA IF NOT EXISTS {service} AUTHORIZATION {owner};
                GRANT USAGE ON SCHEMA {service} TO {requests}, {worker}"""
        )
        await inside.execute(
            await _format(inside, f"GRANT CONNECT ON DATABASE %I TO {owner}, {requests}, {worker}", database)
        )


async def _format(connection: "asyncpg.Connection[asyncpg.Record]", pattern: str, *values: str) -> str:
    """A statement with names and literals quoted by the server: statements like these take no parameters."""
    places = ", ".join(f"${number}::text" for number in range(2, len(values) + 2))
    statement: str = await connection.fetchval(f"SELECT format($1, {places})", pattern, *values)
    return statement
