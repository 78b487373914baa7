"""A backup put back: roles and schemas are made, data is loaded, migrated by the services' own programs and audited."""

import asyncio
import os
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from typing import IO, cast
from urllib.parse import unquote, urlsplit

import asyncpg

from stack.backup import KEY_TABLES, KEYS, TEXTS, BackupFault, place, postgres_program
from stack.composition import DATABASE_NAMES
from stack.depots import Depot
from stack.roles import KINDS, SERVICES, bootstrap, database_url, role_url
from stack.sealing import Keys

_OLDEST_SERVER = 170_000
"""pg_restore speaks to it of settings that older ones do not know."""
_CONNECT_SECONDS = 10.0
_PROGRAM_SECONDS = 3_600.0

# No service can look there.
_AUDIT = {
    "letters that were accepted and hold no reservation at billing": """
        SELECT count(*) FROM generation.letter_versions v
        WHERE v.number = 0 AND v.settlement <> 'none'
            AND NOT EXISTS (SELECT FROM billing.reservations r WHERE r.letter_id = v.letter_id)""",
    "letters that generation counts as paid for and billing does not": """
        SELECT count(*) FROM generation.letter_versions v
        WHERE v.number = 0 AND v.settlement = 'committed' AND NOT EXISTS (
            SELECT FROM billing.reservations r WHERE r.letter_id = v.letter_id AND r.state = 'committed')""",
    "letters that came to nothing and are paid for": """
        SELECT count(*) FROM generation.letter_versions v
        WHERE v.number = 0 AND v.settlement = 'released' AND EXISTS (
            SELECT FROM billing.reservations r WHERE r.letter_id = v.letter_id AND r.state = 'committed')""",
    "deliveries under way of letters that are not there": """
        SELECT count(*) FROM gateway.deliveries d
        WHERE d.step NOT IN ('unsure', 'ended')
            AND NOT EXISTS (SELECT FROM generation.letters l WHERE l.letter_id = d.letter_id)""",
}


@dataclass(frozen=True)
class Target:
    """Where a backup goes: a server, on it each service's database, and the passwords its roles shall have."""

    server_url: str
    databases: dict[str, str]
    passwords: dict[str, str]

    @classmethod
    def of(cls, server_url: str, role_urls: Mapping[str, str]) -> "Target":
        """A superuser's server, with the databases and passwords of the URLs that the roles will come with."""
        parts = {role: urlsplit(url) for role, url in role_urls.items()}
        return cls(
            server_url,
            {service: parts[f"{service}_owner"].path.removeprefix("/") for service in SERVICES},
            {role: unquote(url.password or "") for role, url in parts.items()},
        )

    def url(self, service: str, kind: str) -> str:
        role = f"{service}_{kind}"
        return role_url(self.server_url, role, self.passwords[role], self.databases[service])


@dataclass(frozen=True)
class Restored:
    texts: str
    """The backup whose texts are there now."""
    keys: str
    """The one whose keys are."""
    left_out: int
    """Rows of people who were erased between the two: nobody could read them any more."""


async def load(depot: Depot, name: str | None, keys: Keys, target: Target) -> Restored:
    """Make roles and schemas and load a backup, by default the newest.

    Nothing is touched before every file has proved to be whole, and nothing that is there is overwritten: schemas must
    be empty. Services that run meanwhile are kept out until everything is there, and stay out of what failed halfway.
    Raises BackupFault, DepotFault, CannotOpen, OSError and asyncpg.PostgresError.
    """
    texts, newest_keys = _choose(depot, name)
    dumps = {service: _dumps(texts, newest_keys, service) for service in SERVICES}
    for dump in (dump for each in dumps.values() for dump in each):
        await asyncio.to_thread(_prove, _opened(depot, keys, dump))
    await _prepare(target)
    # Rules come after the rows: they hold only once the keys are there and erased people's rows are not.
    for section in ("pre-data", "data", "post-data"):
        for service in SERVICES:
            for number, dump in enumerate(dumps[service]):
                if number == 0 or section == "data":
                    options = ["--single-transaction", f"--schema={service}", f"--section={section}"]
                    pieces = _opened(depot, keys, dump)
                    await asyncio.to_thread(_restore, target.url(service, "owner"), options, pieces, place(*dump))
        if section == "data":
            left_out = sum([await _leave_out_erased(target, service, table) for service, table in KEY_TABLES.items()])
    for service in SERVICES:
        await _execute(target.url(service, "owner"), "ANALYZE")
    await _let_in(target)
    return Restored(texts, newest_keys, left_out)


def migrate(target: Target) -> None:
    """Bring what was loaded to the version of the services that are installed here. Raises BackupFault."""
    for service in SERVICES:
        _run(service, "migrate", {"MIGRATION_DATABASE_URL": target.url(service, "owner")})


def audit_billing(target: Target) -> list[str]:
    """What billing's own audit finds, in its words. Raises BackupFault."""
    urls = {DATABASE_NAMES[kind]: target.url("billing", kind) for kind in KINDS}
    found = _run("billing", "audit", urls, fails_with=1).splitlines()
    if not found or not found.pop().startswith("violations: "):
        raise BackupFault("python -m billing audit did not come to its end")
    return found


async def audit_between_services(target: Target) -> list[str]:
    """What the services say differently, in words; nothing where each has a database of its own."""
    if len(set(target.databases.values())) > 1:
        return []
    url = database_url(target.server_url, target.databases["billing"])
    async with _connected(url) as connection:
        counts = {what: await connection.fetchval(query) for what, query in _AUDIT.items()}
    return [f"{count} {what}" for what, count in counts.items() if count]


def _choose(depot: Depot, name: str | None) -> tuple[str, str]:
    texts, keys = depot.names(TEXTS), depot.names(KEYS)
    if not texts:
        raise BackupFault(f"there is no backup in {depot}")
    if name is not None and name not in texts:
        raise BackupFault(f"there is no backup {name} in {depot}; the oldest is {texts[0]}, the newest {texts[-1]}")
    chosen = name or texts[-1]
    if not keys or keys[-1] < chosen:
        raise BackupFault(f"no {KEYS} in {depot} are as new as {chosen}: letters since then could not be read")
    return chosen, keys[-1]


def _dumps(texts: str, keys: str, service: str) -> list[tuple[str, str, str]]:
    """The files of a service in the order of loading: kind, name and service."""
    found = [(TEXTS, texts), (KEYS, keys)] if service in KEY_TABLES else [(TEXTS, texts)]
    return [(kind, name, service) for kind, name in found]


def _opened(depot: Depot, keys: Keys, dump: tuple[str, str, str]) -> Iterator[bytes]:
    with depot.read(*dump) as file:
        yield from keys.unseal(file, place(*dump))


def _prove(pieces: Iterator[bytes]) -> None:
    for _ in pieces:
        pass


async def _prepare(target: Target) -> None:
    for database in sorted(set(target.databases.values())):
        await bootstrap(target.server_url, target.passwords, database)
    for service, database in target.databases.items():
        async with _connected(database_url(target.server_url, database)) as connection:
            if int(await connection.fetchval("SHOW server_version_num")) < _OLDEST_SERVER:
                raise BackupFault("a backup is restored into Postgres 17 or later")
            if await connection.fetchval("SELECT EXISTS (SELECT FROM pg_tables WHERE schemaname = $1)", service):
                raise BackupFault(f"the schema {service} is not empty: restore into an empty database")
    await _keep_out(target)


async def _keep_out(target: Target) -> None:
    """Keep the roles that services run as out of their databases, those inside already included."""
    for service, database in target.databases.items():
        await _execute(
            database_url(target.server_url, database),
            f"REVOKE CONNECT ON DATABASE {_quoted(database)} FROM {service}_requests, {service}_worker",
            f"""SELECT pg_terminate_backend(pid) FROM pg_stat_activity
                WHERE datname = current_database() AND usename IN ('{service}_requests', '{service}_worker')""",  # noqa: S608
        )


async def _let_in(target: Target) -> None:
    for service, database in target.databases.items():
        await _execute(
            database_url(target.server_url, database),
            f"GRANT CONNECT ON DATABASE {_quoted(database)} TO {service}_requests, {service}_worker",
        )


def _restore(url: str, options: Sequence[str], pieces: Iterator[bytes], what: str) -> None:
    with postgres_program("pg_restore", url, options, what) as restoring:
        stdin = cast(IO[bytes], restoring.stdin)
        with suppress(BrokenPipeError):  # it reads no further than it needs to, or has failed, which it says
            for piece in pieces:
                stdin.write(piece)
            stdin.close()


async def _leave_out_erased(target: Target, service: str, key_table: str) -> int:
    """Delete the rows of people without a key; gives how many there were."""
    async with _connected(target.url(service, "owner")) as connection:
        tables = await connection.fetch(
            """SELECT format('%I.%I', table_schema, table_name) AS name FROM information_schema.columns
               WHERE table_schema = $1 AND column_name = 'person_id' AND table_name <> $2""",
            service,
            key_table,
        )
        deleted = 0
        for table in tables:
            done = await connection.execute(
                f"""DELETE FROM {table["name"]} t
                    WHERE NOT EXISTS (SELECT FROM {service}.{key_table} k WHERE k.person_id = t.person_id)"""  # noqa: S608
            )
            deleted += int(done.removeprefix("DELETE "))
        return deleted


async def _execute(url: str, *statements: str) -> None:
    async with _connected(url) as connection:
        for statement in statements:
            await connection.execute(statement)


@asynccontextmanager
async def _connected(url: str) -> AsyncIterator[asyncpg.Connection]:
    connection = await asyncpg.connect(url, timeout=_CONNECT_SECONDS)
    try:
        yield connection
    finally:
        await connection.close()


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


def _run(service: str, command: str, urls: dict[str, str], fails_with: int = 0) -> str:
    """What a service's own command printed. Raises BackupFault unless it ends with 0 or `fails_with`."""
    inherited = {
        # The URLs of the servers that were, which would win over those of the target.
        name: value
        for name, value in os.environ.items()
        if not name.removesuffix("_FILE").endswith("DATABASE_URL")
    }
    done = subprocess.run(
        [sys.executable, "-m", service, command],
        env=inherited | urls,
        capture_output=True,
        text=True,
        timeout=_PROGRAM_SECONDS,
        check=False,
    )
    if done.returncode not in (0, fails_with):
        raise BackupFault(f"python -m {service} {command} failed: {done.stderr.strip().splitlines()[-1:]}")
    return str(done.stdout)
