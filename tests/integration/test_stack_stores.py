"""The embedded stores, and the databases that tests are given."""

import asyncio
import os
import signal
from pathlib import Path

import asyncpg
import pytest
import redis.asyncio
from stack.postgres import EmbeddedPostgres
from stack.process import Process, running
from stack.redis import EmbeddedRedis
from stack.roles import ROLES, SERVICES, bootstrap, role_url
from stores import PASSWORD, ServiceDatabaseFactory, Stores

PASSWORDS = dict.fromkeys(ROLES, PASSWORD)


async def test_postgres_comes_back_after_kill_9_with_what_was_committed(tmp_path: Path) -> None:
    postgres = EmbeddedPostgres(tmp_path / "a folder" / "data", password="secret'%")
    async with running(postgres.program()) as process:
        connection = await asyncpg.connect(postgres.url)
        assert await connection.fetchval("SHOW listen_addresses") == "127.0.0.1"
        assert await connection.fetchval("SHOW server_encoding") == "UTF8"
        await connection.execute("CREATE TABLE kept AS SELECT 1 AS number")
        await _kill(process)
        connection.terminate()
        connection = await asyncpg.connect(postgres.url)
        assert await connection.fetchval("SELECT number FROM kept") == 1
        await connection.close()


async def test_a_password_is_asked_of_whoever_comes_by_the_network(tmp_path: Path) -> None:
    postgres = EmbeddedPostgres(tmp_path / "data", password="right")
    async with running(postgres.program()):
        with pytest.raises(asyncpg.InvalidPasswordError):
            await asyncpg.connect(role_url(postgres.url, "postgres", "wrong", "postgres"))


async def test_a_stale_pid_file_is_removed_and_a_living_server_is_left_alone(tmp_path: Path) -> None:
    postgres = EmbeddedPostgres(tmp_path / "data", scratch=True)
    async with running(postgres.program()):
        pid_file = postgres.data_dir / "postmaster.pid"
        lived_by = pid_file.read_text()
        postgres.program().prepare()
        assert pid_file.read_text() == lived_by
    # The pid of somebody else who lives: what a restart of the machine makes of a file that a kill left behind.
    pid_file.write_text(f"{os.getpid()}\n{postgres.data_dir}\n")
    async with running(postgres.program()):
        assert pid_file.read_text() != lived_by


async def test_redis_keeps_a_log_only_when_asked_and_takes_its_password(tmp_path: Path) -> None:
    for append_only in (True, False):
        server = EmbeddedRedis(tmp_path / str(append_only), password="secret", append_only=append_only)
        async with running(server.program()) as process:
            async with redis.asyncio.Redis.from_url(server.url) as client:
                await client.set("key", "value")
            await _kill(process)
            async with redis.asyncio.Redis.from_url(server.url) as client:
                assert await client.get("key") == (b"value" if append_only else None)


async def _kill(process: Process) -> None:
    """With no time to act; then wait for the next."""
    pid = process.pid
    assert pid
    os.kill(pid, signal.SIGKILL)
    while process.pid in (None, pid):  # noqa: ASYNC110
        await asyncio.sleep(0.01)
    await process.until_ready()


async def test_runtime_roles_create_nothing_and_see_no_other_schema(stores: Stores) -> None:
    name = f"{stores.run}_roles"
    await bootstrap(stores.postgres_url, PASSWORDS, name)
    refused = ["CREATE SCHEMA mine", "CREATE TABLE public.mine ()", "CREATE TEMPORARY TABLE mine ()"]
    for service in SERVICES:
        other = SERVICES[SERVICES.index(service) - 1]
        for kind in ("requests", "worker"):
            connection = await asyncpg.connect(role_url(stores.postgres_url, f"{service}_{kind}", PASSWORD, name))
            for statement in [*refused, f"CREATE TABLE {service}.mine ()", f"CREATE TABLE {other}.mine ()"]:
                with pytest.raises(asyncpg.InsufficientPrivilegeError):
                    await connection.execute(statement)
            assert await connection.fetchval("SELECT has_schema_privilege($1, 'USAGE')", service)
            assert not await connection.fetchval("SELECT has_schema_privilege($1, 'USAGE')", other)
            with pytest.raises(asyncpg.InsufficientPrivilegeError):
                await connection.execute(f"SET ROLE {service}_owner")
            await connection.close()


async def test_roles_can_be_made_again_and_by_two_at_once(stores: Stores) -> None:
    name = f"{stores.run}_twice"
    await asyncio.gather(*(bootstrap(stores.postgres_url, PASSWORDS, name) for _ in range(3)))
    connection = await asyncpg.connect(role_url(stores.postgres_url, "billing_owner", PASSWORD, name))
    await connection.execute("CREATE TABLE billing.kept ()")
    await connection.close()
    await bootstrap(stores.postgres_url, PASSWORDS, name)
    connection = await asyncpg.connect(role_url(stores.postgres_url, "billing_owner", PASSWORD, name))
    await connection.execute("SELECT FROM billing.kept")
    await connection.close()


@pytest.mark.parametrize("attempt", [1, 2])
async def test_each_test_has_a_migrated_database_of_its_own(
    service_database: ServiceDatabaseFactory, attempt: int
) -> None:
    database = await service_database("billing")
    owner = await asyncpg.connect(database.owner_url, server_settings={"search_path": "billing"})
    assert await owner.fetchval("SELECT max(version) FROM schema_migrations") >= 1
    await owner.execute("CREATE TABLE left_behind ()")  # fails where an earlier test's table can be seen
    await owner.close()


@pytest.mark.parametrize("attempt", [1, 2])
async def test_each_test_has_an_empty_redis(redis_url: str, attempt: int) -> None:
    async with redis.asyncio.Redis.from_url(redis_url) as client:
        assert await client.dbsize() == 0
        await client.set("left", "behind")
