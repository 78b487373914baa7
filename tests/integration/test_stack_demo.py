"""The stores of the demo, each a process of its own as in a container."""

import asyncio
import os
import signal
import sys
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path

import asyncpg
import pytest
import redis.asyncio
from redis.exceptions import AuthenticationError
from stack.ports import free_port
from stack.roles import ROLES

# Another loopback address than 127.0.0.1: this stands for the network.
NETWORK = "127.0.0.2"
PASSWORDS = {f"{role.upper()}_PASSWORD": f"{role} '%$" for role in ROLES} | {"POSTGRES_PASSWORD": 'the "first"'}


@asynccontextmanager
async def store(
    name: str, data: Path, port: int, environ: Mapping[str, str]
) -> AsyncIterator[asyncio.subprocess.Process]:
    """One that starts; stopped in the end, as clean as the block left it."""
    command = (sys.executable, "-m", "stack", name, "--data", data, "--listen", NETWORK, "--port", str(port))
    process = await asyncio.create_subprocess_exec(
        *command, env=os.environ | environ, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT
    )
    try:
        yield process
    finally:
        if process.returncode is None:
            process.terminate()
        await process.communicate()


async def until_ready(process: asyncio.subprocess.Process) -> None:
    said = []
    assert process.stdout
    async for line in process.stdout:
        said.append(line.decode())
        if line.startswith(b"ready: "):
            return
    raise AssertionError("".join(said))


async def end(process: asyncio.subprocess.Process) -> tuple[int, str]:
    """Its exit code and last words, once it was asked to stop."""
    process.terminate()
    said, _ = await asyncio.wait_for(process.communicate(), 30)
    assert process.returncode is not None
    return process.returncode, said.decode()


async def execute(port: int, role: str, statement: str, password: str | None = None) -> object:
    connection = await asyncpg.connect(
        host=NETWORK,
        port=port,
        user=role,
        password=password or PASSWORDS[f"{role.upper()}_PASSWORD"],
        database="pismo",
        ssl=False,
    )
    try:
        return await connection.fetchval(statement)
    finally:
        await connection.close()


async def test_who_reaches_postgres_finds_the_roles_there(tmp_path: Path) -> None:
    port = free_port()
    async with store("postgres", tmp_path / "data", port, PASSWORDS) as process, asyncio.timeout(60):
        while True:  # from the very start, as a migration would
            try:
                await execute(port, "billing_owner", "CREATE TABLE billing.kept AS SELECT 42 AS number")
                break
            except (OSError, asyncpg.CannotConnectNowError):
                assert process.returncode is None
                await asyncio.sleep(0.02)
        for role in ROLES:
            assert await execute(port, role, "SELECT current_user") == role
        with pytest.raises(asyncpg.InvalidPasswordError):
            await execute(port, "billing_owner", "SELECT 1", password="wrong")
        code, said = await end(process)
        assert code == 0
        assert "database system is shut down" in said


async def test_postgres_comes_back_after_kill_9_with_its_data_and_todays_passwords_but_its_own_is_kept(
    tmp_path: Path,
) -> None:
    port = free_port()
    async with store("postgres", tmp_path / "data", port, PASSWORDS) as process:
        await until_ready(process)
        await execute(port, "billing_owner", "CREATE TABLE billing.kept AS SELECT 42 AS number")
        process.send_signal(signal.SIGKILL)
    # Left by a server of another container; its pid is by now the new one's parent, and the group may do too much.
    (tmp_path / "data" / "postmaster.pid").write_text(f"{os.getpid()}\n")
    (tmp_path / "data").chmod(0o2770)
    async with store("postgres", tmp_path / "data", port, PASSWORDS | {"BILLING_OWNER_PASSWORD": "new"}) as process:
        await until_ready(process)
        assert await execute(port, "billing_owner", "SELECT number FROM billing.kept", password="new") == 42
    async with store("postgres", tmp_path / "data", port, PASSWORDS | {"POSTGRES_PASSWORD": "other"}) as process:
        said, _ = await process.communicate()
    assert process.returncode == 1
    assert f"{tmp_path / 'data'} was made with another password" in said.decode()


async def test_redis_asks_for_its_password_and_stops_when_told(tmp_path: Path) -> None:
    port = free_port()
    async with store("redis", tmp_path / "data", port, {"REDIS_PASSWORD": 'a "password"'}) as process:
        await until_ready(process)
        async with redis.asyncio.Redis(host=NETWORK, port=port, password='a "password"') as client:
            assert await client.ping()
        async with redis.asyncio.Redis(host=NETWORK, port=port) as client:
            with pytest.raises(AuthenticationError):
                await client.ping()
        assert (await end(process))[0] == 0


@pytest.mark.parametrize(
    ("name", "missing"), [("postgres", ["POSTGRES_PASSWORD", "GATEWAY_OWNER_PASSWORD"]), ("redis", ["REDIS_PASSWORD"])]
)
async def test_a_store_without_passwords_does_not_start_and_names_what_is_missing(
    tmp_path: Path, name: str, missing: list[str]
) -> None:
    async with store(name, tmp_path / "data", free_port(), {}) as process:
        said, _ = await process.communicate()
    assert process.returncode == 1
    for variable in missing:
        assert f"{variable} or {variable}_FILE must be set" in said.decode()
    assert not (tmp_path / "data").exists()
