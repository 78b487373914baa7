"""The Postgres and Redis that tests use: one of each for a whole run, a database of its own for each test.

They are embedded unless PISMO_TEST_STORES=containers (PISMO_TEST_POSTGRES_IMAGE, PISMO_TEST_REDIS_IMAGE) or given by
PISMO_TEST_POSTGRES_URL (a superuser's) and PISMO_TEST_REDIS_URL. All workers of a run share them: this file, run as a
program, is their keeper, which ends them when nobody holds the run's lock any more, however the workers ended.
"""

import asyncio
import fcntl
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

import asyncpg
import pytest
import redis
from servicekit.migrations import migrate
from stack.postgres import EmbeddedPostgres
from stack.process import running
from stack.redis import EmbeddedRedis
from stack.roles import ROLES, bootstrap, database_url, role_url

PASSWORD = "pismo"
REDIS_DATABASES = 64
START_SECONDS = 110.0
MIGRATIONS = {
    "gateway": "services/bot-gateway/migrations",
    "generation": "services/generation/migrations",
    "billing": "services/billing/migrations",
    "analytics": "services/analytics/migrations",
}
ROOT = Path(__file__).resolve().parent.parent


@dataclass(frozen=True)
class Stores:
    """Where the servers of this run are."""

    postgres_url: str
    """A superuser's."""
    redis_url: str
    run: str
    """Prefix of every database this run makes."""
    folder: Path

    @contextmanager
    def alone(self, what: str) -> Iterator[None]:
        """One worker at a time."""
        with open(self.folder / f"{what}.lock", "w") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            yield


@dataclass(frozen=True)
class ServiceDatabase:
    """A database with one service's schema, migrated and empty, gone after the test."""

    service: str
    name: str
    server_url: str

    @property
    def requests_url(self) -> str:
        return role_url(self.server_url, f"{self.service}_requests", PASSWORD, self.name)

    @property
    def worker_url(self) -> str:
        return role_url(self.server_url, f"{self.service}_worker", PASSWORD, self.name)

    @property
    def owner_url(self) -> str:
        return role_url(self.server_url, f"{self.service}_owner", PASSWORD, self.name)

    @property
    def superuser_url(self) -> str:
        return database_url(self.server_url, self.name)


ServiceDatabaseFactory = Callable[[str], Awaitable[ServiceDatabase]]


@pytest.fixture(scope="session")
def stores(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stores]:
    """The servers of this run, started by whichever test needs them first."""
    folder = tmp_path_factory.getbasetemp()
    if "PYTEST_XDIST_WORKER" in os.environ:
        folder = folder.parent
    with open(folder / "stores.lock", "w") as in_use:
        # Waits while a keeper whose workers have all gone is still putting its servers away.
        fcntl.flock(in_use, fcntl.LOCK_SH)
        yield _find_or_start(folder)


def _find_or_start(folder: Path) -> Stores:
    answer = folder / "stores.json"
    with open(folder / "start.lock", "w") as starting:
        fcntl.flock(starting, fcntl.LOCK_EX)
        if not answer.exists():
            log = folder / "stores.log"
            with open(log, "w") as output:
                keeper = subprocess.Popen(
                    [sys.executable, __file__, str(folder)], stdout=output, stderr=output, start_new_session=True
                )
            deadline = time.monotonic() + START_SECONDS
            while not answer.exists():
                if keeper.poll() is not None or time.monotonic() > deadline:
                    keeper.kill()
                    raise RuntimeError(f"the stores of this test run did not start:\n{log.read_text()[-3000:]}")
                time.sleep(0.02)
    found = json.loads(answer.read_text())
    return Stores(found["postgres_url"], found["redis_url"], found["run"], folder)


@pytest.fixture
async def service_database(stores: Stores) -> AsyncIterator[ServiceDatabaseFactory]:
    """`await service_database("billing")`: a database with that service's schema."""
    made: list[str] = []

    async def make(service: str) -> ServiceDatabase:
        template = await _template(stores, service)
        name = f"{stores.run}_{uuid.uuid4().hex[:12]}"
        await _on_server(stores, f"CREATE DATABASE {name} TEMPLATE {template} STRATEGY = FILE_COPY")
        made.append(name)
        return ServiceDatabase(service, name, stores.postgres_url)

    yield make
    for name in made:
        await _on_server(stores, f"DROP DATABASE {name} WITH (FORCE)")


async def _template(stores: Stores, service: str) -> str:
    """The database that tests copy, made at the first call of a run."""
    name = f"{stores.run}_{service}"
    ready = stores.folder / f"{name}.ready"
    if not ready.exists():
        with stores.alone("templates"):
            if not ready.exists():
                await bootstrap(stores.postgres_url, dict.fromkeys(ROLES, PASSWORD), name)
                owner_url = role_url(stores.postgres_url, f"{service}_owner", PASSWORD, name)
                await migrate(owner_url, service, ROOT / MIGRATIONS[service])
                ready.touch()
    return name


async def _on_server(stores: Stores, statement: str) -> None:
    connection = await asyncpg.connect(stores.postgres_url, timeout=10)
    try:
        await connection.execute(statement)
    finally:
        await connection.close()


@pytest.fixture
def redis_url(stores: Stores) -> str:
    """An empty logical database of Redis that no other worker uses."""
    number = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw"))
    url = urlsplit(stores.redis_url)._replace(path=f"/{number}").geturl()
    with redis.Redis.from_url(url, socket_timeout=5) as client:
        client.flushdb()
    return url


async def keep(folder: Path) -> None:
    """Run the stores until nobody holds the run's lock."""
    run = f"t{uuid.uuid4().hex[:6]}"
    async with AsyncExitStack() as stack:
        postgres_url = await stack.enter_async_context(_postgres(folder))
        redis_url = await stack.enter_async_context(_redis(folder / f"redis-{run}"))
        answer = folder / "stores.json"
        fresh = folder / "stores.json.new"
        fresh.write_text(json.dumps({"postgres_url": postgres_url, "redis_url": redis_url, "run": run}))
        fresh.rename(answer)
        unused = await asyncio.to_thread(_when_unused, folder / "stores.lock")
        # Under the lock: who comes now waits, then finds no answer and starts a keeper of its own.
        answer.unlink()
        os.close(unused)
        if "PISMO_TEST_POSTGRES_URL" in os.environ:
            await _drop_databases(postgres_url, run)


def _when_unused(lock: Path) -> int:
    descriptor = os.open(lock, os.O_RDWR)
    fcntl.flock(descriptor, fcntl.LOCK_EX)
    return descriptor


@asynccontextmanager
async def _postgres(folder: Path) -> AsyncIterator[str]:
    if url := os.environ.get("PISMO_TEST_POSTGRES_URL"):
        yield url
    elif os.environ.get("PISMO_TEST_STORES") == "containers":
        from testcontainers.postgres import PostgresContainer

        image = os.environ.get("PISMO_TEST_POSTGRES_IMAGE", "postgres:18-alpine")
        container = PostgresContainer(image, username="postgres", password=PASSWORD, dbname="postgres", driver=None)
        # Options alone: the official image puts its program before them, and so does whatever stands in for it.
        container = container.with_command("-c fsync=off -c synchronous_commit=off -c max_connections=400")
        with container.with_env("PGDATA", "/dev/shm/pgdata").with_kwargs(shm_size="2g"):  # noqa: S108
            yield container.get_connection_url()
    else:
        with _scratch_folder(folder) as scratch:
            postgres = EmbeddedPostgres(scratch / "postgres", scratch=True)
            async with running(postgres.program(), on_output=_print):
                yield postgres.url


@contextmanager
def _scratch_folder(folder: Path) -> Iterator[Path]:
    """In memory where there is room: copying a template takes 11 ms there and 86 ms on a disk."""
    memory = Path("/dev/shm")  # noqa: S108
    roomy = memory.is_dir() and os.access(memory, os.W_OK) and shutil.disk_usage(memory).free > 1 << 30
    with tempfile.TemporaryDirectory(prefix="pismo-tests-", dir=memory if roomy else folder) as scratch:
        yield Path(scratch)


@asynccontextmanager
async def _redis(data_dir: Path) -> AsyncIterator[str]:
    if url := os.environ.get("PISMO_TEST_REDIS_URL"):
        yield url
    elif os.environ.get("PISMO_TEST_STORES") == "containers":
        from testcontainers.redis import RedisContainer

        image = os.environ.get("PISMO_TEST_REDIS_IMAGE", "redis:8-alpine")
        with RedisContainer(image).with_command(f"--databases {REDIS_DATABASES}") as container:
            yield f"redis://{container.get_container_host_ip()}:{container.get_exposed_port(6379)}"
    else:
        server = EmbeddedRedis(data_dir, databases=REDIS_DATABASES)
        async with running(server.program(), on_output=_print):
            yield server.url


async def _drop_databases(server_url: str, run: str) -> None:
    connection = await asyncpg.connect(server_url, timeout=10)
    try:
        for row in await connection.fetch("SELECT datname FROM pg_database WHERE starts_with(datname, $1)", f"{run}_"):
            await connection.execute(f"DROP DATABASE {row['datname']} WITH (FORCE)")
    finally:
        await connection.close()


def _print(name: str, line: bytes) -> None:
    print(name, line.decode(errors="replace"), flush=True)


if __name__ == "__main__":
    # Its own end, not ours, takes the containers away; the reaper's image may not be there.
    os.environ.setdefault("TESTCONTAINERS_RYUK_DISABLED", "true")
    asyncio.run(keep(Path(sys.argv[1])))
