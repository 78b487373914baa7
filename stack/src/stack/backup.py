"""Backups: what every service's schema holds, sealed, with people's keys apart from their texts.

A backup is two sets of files named after its time: `texts/<time>/<service>.dump`, each a pg_dump without people's keys,
and `keys/<time>/<service>.dump`, those keys alone. Texts are kept longer than keys, and whichever texts are restored,
it is with the newest keys. So once a person is erased, and with them their key, the last dump that could read their
texts is gone when the keys' time is up, while everybody else's texts can be restored from any backup that is left.
"""

import asyncio
import os
import subprocess
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import IO, cast
from urllib.parse import unquote, urlsplit, urlunsplit

import asyncpg

from stack.composition import DATABASE_NAMES, given
from stack.depots import Depot, name_of, time_of
from stack.postgres import binaries
from stack.roles import KINDS, SERVICES, role_url
from stack.sealing import Keys

KEY_TABLES = {"generation": "person_keys"}
"""By service: the table that holds people's keys, and without which their texts cannot be read."""
TEXTS, KEYS = "texts", "keys"

_CONNECT_SECONDS = 10.0


class BackupFault(Exception):
    """The backup, or the restore, cannot be made; says why, and quotes nothing that is stored."""


def role_urls(environ: Mapping[str, str], kinds: Sequence[str] = KINDS) -> dict[str, str]:
    """With which URL each role of each service comes: `BILLING_DATABASE_URL` and so on, by the services' own defaults.

    Raises BackupFault that names every variable that is missing.
    """
    found, missing = {}, []
    for service in SERVICES:
        requests = given(environ, f"{service.upper()}_{DATABASE_NAMES['requests']}")
        for kind in kinds:
            name, role = f"{service.upper()}_{DATABASE_NAMES[kind]}", f"{service}_{kind}"
            if url := given(environ, name):
                found[role] = url
            elif requests:
                parts = urlsplit(requests)
                found[role] = role_url(requests, role, unquote(parts.password or ""), parts.path.removeprefix("/"))
            else:
                missing.append(f"{name} or {name}_FILE must be set")
    if missing:
        raise BackupFault("\n".join(missing))
    return found


def keys_of(environ: Mapping[str, str]) -> Keys:
    """The keys of BACKUP_KEYS. Raises BackupFault."""
    try:
        return Keys.parse(given(environ, "BACKUP_KEYS") or "")
    except ValueError as error:
        raise BackupFault(f"BACKUP_KEYS: {error}") from None


@dataclass(frozen=True)
class Retention:
    """How long backups are kept. The newest is kept however old it is."""

    texts: timedelta = timedelta(days=30)
    keys: timedelta = timedelta(days=7)


def place(kind: str, name: str, service: str) -> str:
    """What a file is bound to: it opens as no other backup's, and no other service's."""
    return f"{kind}/{name}/{service}"


async def back_up(owner_urls: Mapping[str, str], keys: Keys, depot: Depot, now: datetime) -> str:
    """Dump every service's schema as its owner; gives the backup's name.

    Schemas of one database are read as of one moment; those of different databases one after another. A backup is there
    whole or not at all. Raises BackupFault, DepotFault, OSError and asyncpg.PostgresError.
    """
    name = name_of(now)
    with depot.alone():
        for kind in (TEXTS, KEYS):
            depot.begin(kind, name)
        async with _snapshots(owner_urls) as snapshots:
            for service, url in owner_urls.items():
                options = [f"--schema={service}", f"--snapshot={snapshots[service]}"]
                if key_table := KEY_TABLES.get(service):
                    options.append(f"--exclude-table-data={service}.{key_table}")
                    only_keys = [f"--table={service}.{key_table}", "--data-only", options[1]]
                    await asyncio.to_thread(_dump, url, only_keys, keys, depot, KEYS, name, service)
                await asyncio.to_thread(_dump, url, options, keys, depot, TEXTS, name, service)
        # Keys first: texts are never there without keys that are as new.
        for kind in (KEYS, TEXTS):
            depot.finish(kind, name)
    return name


def expire(depot: Depot, retention: Retention, now: datetime) -> list[str]:
    """Delete what was kept long enough, never the newest; gives what was deleted, as `<kind>/<name>`."""
    deleted = []
    with depot.alone():
        for kind, kept in ((TEXTS, retention.texts), (KEYS, retention.keys)):
            for name in depot.names(kind)[:-1]:
                if cast(datetime, time_of(name)) < now - kept:
                    depot.delete(kind, name)
                    deleted.append(f"{kind}/{name}")
    return deleted


@contextmanager
def postgres_program(program: str, url: str, options: Sequence[str], what: str) -> Iterator[subprocess.Popen[bytes]]:
    """pg_dump or pg_restore at work on a database, its three streams open. No password is on its command line.

    Raises BackupFault when the program has failed, with `what` it was at, and kills it when the block fails.
    """
    parts = urlsplit(url)
    account, _, address = parts.netloc.rpartition("@")
    user, _, password = account.partition(":")
    database = urlunsplit(parts._replace(netloc=f"{user}@{address}"))
    with subprocess.Popen(
        [binaries() / program, *options, "--no-password", f"--dbname={database}"],
        env=os.environ | {"PGPASSWORD": unquote(password), "PGCONNECT_TIMEOUT": f"{_CONNECT_SECONDS:.0f}"},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    ) as running:
        try:
            yield running
        except BaseException:
            running.kill()
            raise
        stderr = cast(IO[bytes], running.stderr).read()
    if running.returncode:
        raise BackupFault(f"{what}: {complaint(stderr)}")


def complaint(stderr: bytes) -> str:
    """What such a program says of itself. What it quotes, in further lines, can be a person's row."""
    lines = stderr.decode(errors="replace").splitlines()
    return "; ".join(line for line in lines if line.startswith("pg_")) or "no reason given"


def _dump(url: str, options: Sequence[str], keys: Keys, depot: Depot, kind: str, name: str, service: str) -> None:
    bound_to = place(kind, name, service)
    # Most of it is texts that are encrypted already: a higher level takes twice the time and saves a thirtieth.
    with postgres_program("pg_dump", url, ["--format=custom", "--compress=gzip:1", *options], bound_to) as dumping:
        depot.write(kind, name, service, keys.seal(cast(IO[bytes], dumping.stdout), bound_to))


@asynccontextmanager
async def _snapshots(urls: Mapping[str, str]) -> AsyncIterator[dict[str, str]]:
    """For each service the snapshot to dump; the same for all that share a database."""
    taken: dict[tuple[str | None, int | None, str], str] = {}
    found = {}
    async with AsyncExitStack() as held:
        for service, url in urls.items():
            parts = urlsplit(url)
            database = (parts.hostname, parts.port, parts.path)
            if database not in taken:
                # A snapshot lives as long as the transaction that exported it, which waits for all dumps.
                patient = {"idle_in_transaction_session_timeout": "0"}
                connection = await asyncpg.connect(url, timeout=_CONNECT_SECONDS, server_settings=patient)
                held.push_async_callback(connection.close)
                await connection.execute("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY")
                taken[database] = await connection.fetchval("SELECT pg_export_snapshot()")
            found[service] = taken[database]
        yield found
