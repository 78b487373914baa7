"""Backups: what every service's schema holds, sealed, with people's keys apart from their texts.

A backup is two folders named after its time: `texts/<time>/<service>.dump`, each a pg_dump without people's keys, and
`keys/<time>/<service>.dump`, those keys alone. Texts are kept longer than keys, and whichever texts are restored, it is
with the newest keys. So once a person is erased, and with them their key, the last dump that could read their texts is
gone when the keys' time is up, while everybody else's texts can be restored from any backup that is left.
"""

import asyncio
import fcntl
import os
import shutil
import subprocess
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import IO, cast
from urllib.parse import unquote, urlsplit, urlunsplit

import asyncpg

from stack.composition import DATABASE_NAMES, given
from stack.postgres import binaries
from stack.roles import KINDS, SERVICES, role_url
from stack.sealing import Keys

KEY_TABLES = {"generation": "person_keys"}
"""By service: the table that holds people's keys, and without which their texts cannot be read."""
TEXTS, KEYS = "texts", "keys"

_NAME = "%Y%m%dT%H%M%SZ"
_UNFINISHED = ".unfinished"
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


def names(folder: Path) -> list[str]:
    """The backups in a `texts` or `keys` folder, oldest first."""
    return sorted(each.name for each in folder.glob("*") if _time(each.name))


async def back_up(owner_urls: Mapping[str, str], keys: Keys, folder: Path, now: datetime) -> str:
    """Dump every service's schema as its owner; gives the backup's name.

    Schemas of one database are read as of one moment; those of different databases one after another. A backup is there
    whole or not at all. Raises BackupFault, OSError and asyncpg.PostgresError.
    """
    name = now.astimezone(UTC).strftime(_NAME)
    with _alone(folder):
        made = {kind: folder / kind / (name + _UNFINISHED) for kind in (TEXTS, KEYS)}
        for kind, unfinished in made.items():
            for left_behind in (folder / kind).glob(f"*{_UNFINISHED}"):
                shutil.rmtree(left_behind)
            if (folder / kind / name).exists():
                raise BackupFault(f"{folder / kind / name} is there already")
            unfinished.mkdir(mode=0o700, parents=True)
        async with _snapshots(owner_urls) as snapshots:
            for service, url in owner_urls.items():
                options = [f"--schema={service}", f"--snapshot={snapshots[service]}"]
                if key_table := KEY_TABLES.get(service):
                    options.append(f"--exclude-table-data={service}.{key_table}")
                    only_keys = [f"--table={service}.{key_table}", "--data-only", options[1]]
                    file = made[KEYS] / f"{service}.dump"
                    await asyncio.to_thread(_dump, url, only_keys, keys, file, place(KEYS, name, service))
                file = made[TEXTS] / f"{service}.dump"
                await asyncio.to_thread(_dump, url, options, keys, file, place(TEXTS, name, service))
        # Keys first: texts are never there without keys that are as new.
        for kind in (KEYS, TEXTS):
            made[kind].rename(folder / kind / name)
            _sync(folder / kind)
    return name


def expire(folder: Path, retention: Retention, now: datetime) -> list[str]:
    """Delete what was kept long enough, never the newest; gives what was deleted, as `<kind>/<name>`."""
    deleted = []
    with _alone(folder):
        for kind, kept in ((TEXTS, retention.texts), (KEYS, retention.keys)):
            for name in names(folder / kind)[:-1]:
                if cast(datetime, _time(name)) < now - kept:
                    shutil.rmtree(folder / kind / name)
                    deleted.append(f"{kind}/{name}")
    return deleted


def run_postgres_program(program: str, url: str, options: Sequence[str]) -> subprocess.Popen[bytes]:
    """pg_dump or pg_restore at work on a database, its three streams open. No password is on its command line."""
    parts = urlsplit(url)
    account, _, address = parts.netloc.rpartition("@")
    user, _, password = account.partition(":")
    database = urlunsplit(parts._replace(netloc=f"{user}@{address}"))
    return subprocess.Popen(
        [binaries() / program, *options, "--no-password", f"--dbname={database}"],
        env=os.environ | {"PGPASSWORD": unquote(password), "PGCONNECT_TIMEOUT": f"{_CONNECT_SECONDS:.0f}"},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )


def complaint(stderr: bytes) -> str:
    """What such a program says of itself. What it quotes, in further lines, can be a person's row."""
    lines = stderr.decode(errors="replace").splitlines()
    return "; ".join(line for line in lines if line.startswith("pg_")) or "no reason given"


def _dump(url: str, options: Sequence[str], keys: Keys, file: Path, bound_to: str) -> None:
    # Most of it is texts that are encrypted already: a higher level takes twice the time and saves a thirtieth.
    with run_postgres_program("pg_dump", url, ["--format=custom", "--compress=gzip:1", *options]) as dumping:
        try:
            keys.seal(cast(IO[bytes], dumping.stdout), file, bound_to)
        except BaseException:
            dumping.kill()
            raise
        stderr = cast(IO[bytes], dumping.stderr).read()
    if dumping.returncode:
        raise BackupFault(f"{bound_to}: {complaint(stderr)}")


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


@contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """One backup at a time; the kernel lets go of the lock however its holder ends."""
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    with open(folder / ".lock", "w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise BackupFault(f"another backup is at work in {folder}") from None
        yield


def _sync(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _time(name: str) -> datetime | None:
    try:
        return datetime.strptime(name, _NAME).replace(tzinfo=UTC)
    except ValueError:
        return None
