"""A service waits for its database, whatever is the matter with it, and says what it waits for; migrations do, too."""

import asyncio
import shutil
from asyncio import StreamReader, StreamWriter
from collections.abc import Awaitable, Callable
from pathlib import Path
from urllib.parse import urlsplit

import asyncpg
import pytest
from servicekit import migrations
from servicekit.migrations import MigrationFault, check_schema, migrate, read_migrations
from servicekit.postgres import open_database
from stack.ports import free_port
from stores import MIGRATIONS, ROOT, ServiceDatabase

Make = Callable[[str], Awaitable[ServiceDatabase]]


async def test_a_schema_that_is_there_or_newer_is_fine(service_database: Make) -> None:
    made = await service_database("billing")
    async with open_database(made.requests_url, "billing") as database:
        await check_schema(database, 1)


async def test_an_older_schema_is_named_with_what_to_do(service_database: Make) -> None:
    made = await service_database("billing")
    async with open_database(made.requests_url, "billing") as database:
        with pytest.raises(MigrationFault, match="needs 9999: run `migrate`"):
            await check_schema(database, 9_999)


@pytest.mark.parametrize("matter", ["missing", "closed", "wrong password"])
async def test_a_database_that_lets_nobody_in_is_waited_for(service_database: Make, matter: str) -> None:
    made = await service_database("billing")
    url = made.requests_url
    if matter == "missing":
        url = url.rpartition("/")[0] + "/nowhere"
    elif matter == "wrong password":
        url = url.replace("billing_requests", "nobody_we_know")
    else:
        server = await asyncpg.connect(made.superuser_url)
        name = await server.fetchval("SELECT current_database()")
        await server.execute(f'REVOKE CONNECT ON DATABASE "{name}" FROM billing_requests, PUBLIC')
        await server.close()
    async with open_database(url, "billing") as database:
        with pytest.raises(MigrationFault, match="does not let us in"):
            await check_schema(database, 1)


async def test_a_migration_waits_for_a_server_that_is_starting(service_database: Make) -> None:
    made = await service_database("billing")
    url = urlsplit(made.owner_url)

    async def pass_on(reader: StreamReader, writer: StreamWriter) -> None:
        while received := await reader.read(65_536):
            writer.write(received)
        writer.close()

    async def relay(reader: StreamReader, writer: StreamWriter) -> None:
        from_server, to_server = await asyncio.open_connection(url.hostname, url.port)
        await asyncio.gather(pass_on(reader, to_server), pass_on(from_server, writer))

    port = free_port()
    starting = url._replace(netloc=f"{url.username}:{url.password}@127.0.0.1:{port}").geturl()
    migrating = asyncio.create_task(migrate(starting, "billing", ROOT / MIGRATIONS["billing"], wait_seconds=20))
    await asyncio.sleep(0.2)
    async with await asyncio.start_server(relay, "127.0.0.1", port):
        assert await migrating >= 1


async def test_a_migration_gives_up_on_a_server_that_stays_away() -> None:
    with pytest.raises(ConnectionRefusedError):
        await migrate(
            f"postgresql://x:x@127.0.0.1:{free_port()}/x", "billing", ROOT / MIGRATIONS["billing"], wait_seconds=1
        )


async def test_a_migration_that_waits_for_a_table_keeps_nobody_else_waiting(
    service_database: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(migrations, "LOCK_SECONDS", 0.2)
    monkeypatch.setattr(migrations, "LOCK_PAUSE_SECONDS", 0.2)
    shutil.copytree(ROOT / MIGRATIONS["billing"], tmp_path, dirs_exist_ok=True)
    version = read_migrations(tmp_path)[-1].version + 1
    (tmp_path / f"{version:04d}_wider.sql").write_text("ALTER TABLE plans ADD COLUMN note text;")
    made = await service_database("billing")
    reader, other = [
        await asyncpg.connect(made.owner_url, server_settings={"search_path": "billing"}) for _ in range(2)
    ]
    reading = reader.transaction()
    await reading.start()
    await reader.fetch("SELECT * FROM plans")

    migrating = asyncio.create_task(migrate(made.owner_url, "billing", tmp_path))
    for _ in range(10):
        await asyncio.sleep(0.1)
        await other.fetch("SELECT * FROM plans", timeout=1)
    assert not migrating.done()

    await reading.commit()
    assert await migrating == version
    for connection in (reader, other):
        await connection.close()
