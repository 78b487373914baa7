"""Backups of all four schemas and their restore, on real databases."""

import asyncio
import base64
import os
import re
import subprocess
import sys
import uuid
from collections.abc import AsyncIterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import asyncpg
import pytest
from s3_server import BUCKET, s3_server
from servicekit.migrations import migrate
from stack.backup import BackupFault, back_up, complaint, place, role_urls
from stack.depots import Depot, Folder
from stack.postgres import binaries
from stack.restore import Target, audit_between_services, audit_billing, load
from stack.restore import migrate as migrate_restored
from stack.roles import ROLES, SERVICES, bootstrap, database_url
from stack.sealing import CannotOpen, Keys
from stores import MIGRATIONS, PASSWORD, ROOT, Stores

KEYS = Keys({"test": bytes(range(32))})
NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
CANARY = "Канарейка-7719"
WRAPPED = bytes.fromhex("c0ffee" * 20)
OUTBOXES = tuple(f"{service}.outbox" for service in SERVICES)
ANNA, BORIS = uuid.UUID(int=1), uuid.UUID(int=2)


@dataclass(frozen=True)
class House:
    """A database with all four schemas, migrated."""

    target: Target
    name: str

    @property
    def owner_urls(self) -> dict[str, str]:
        return {service: self.target.url(service, "owner") for service in SERVICES}

    async def connect(self) -> "asyncpg.Connection[asyncpg.Record]":
        """As superuser."""
        return await asyncpg.connect(database_url(self.target.server_url, self.name))

    async def execute(self, statement: str, *values: object) -> None:
        connection = await self.connect()
        await connection.execute(statement, *values)
        await connection.close()

    async def rows(self) -> dict[str, list[str]]:
        """Every row of every table and view, as text."""
        connection = await self.connect()
        tables = await connection.fetch(
            """SELECT format('%I.%I', table_schema, table_name) AS name FROM information_schema.tables
               WHERE table_schema = ANY($1)""",
            SERVICES,
        )
        found = {}
        for name in (table["name"] for table in tables):
            rows = await connection.fetch(f"SELECT t::text AS row FROM {name} t ORDER BY 1")  # noqa: S608
            found[name] = [row["row"] for row in rows]
        await connection.close()
        return found

    def definition(self) -> list[str]:
        """All that is not rows: tables, constraints, functions, rights, policies, indexes.

        Without the text of views: Postgres words it anew when it reads it.
        """
        options = ["--schema-only", *(f"--schema={service}" for service in SERVICES)]
        url = database_url(self.target.server_url, self.name)
        done = subprocess.run([binaries() / "pg_dump", *options, url], capture_output=True, text=True, check=True)
        text = re.sub(r"^CREATE VIEW (\S+) .*?;$", r"\1", done.stdout, flags=re.MULTILINE | re.DOTALL)
        return [line for line in text.splitlines() if "restrict" not in line]  # a random word that guards a script


@pytest.fixture
async def empty(stores: Stores) -> AsyncIterator[House]:
    """A place to restore into; the database is not even there yet."""
    name = f"{stores.run}_{uuid.uuid4().hex[:12]}"
    target = Target(stores.postgres_url, dict.fromkeys(SERVICES, name), dict.fromkeys(ROLES, PASSWORD))
    yield House(target, name)
    await drop(stores, name)


@pytest.fixture
async def house(stores: Stores) -> AsyncIterator[House]:
    """Two people who have written letters, and something in every schema."""
    name = f"{stores.run}_{uuid.uuid4().hex[:12]}"
    await bootstrap(stores.postgres_url, dict.fromkeys(ROLES, PASSWORD), name)
    house = House(Target(stores.postgres_url, dict.fromkeys(SERVICES, name), dict.fromkeys(ROLES, PASSWORD)), name)
    await asyncio.gather(
        *(migrate(url, service, ROOT / MIGRATIONS[service]) for service, url in house.owner_urls.items())
    )
    await house.execute(
        """INSERT INTO billing.plan_versions VALUES ('free', 1, 3, 'calendar_month', 0, NULL, '{}', now());
           INSERT INTO billing.plans VALUES ('free', 1);
           SELECT analytics.make_month('2026-03-01')"""
    )
    await house.execute(
        """INSERT INTO analytics.user_events (event_id, name, occurred_at, service, data)
           VALUES (gen_random_uuid(), 'start_command', '2026-03-05', 'gateway', '{}')"""
    )
    for person in (ANNA, BORIS):
        await write_letter(house, person)
    yield house
    await drop(stores, name)


async def drop(stores: Stores, name: str) -> None:
    connection = await asyncpg.connect(stores.postgres_url)
    await connection.execute(f"DROP DATABASE IF EXISTS {name} WITH (FORCE)")
    await connection.close()


async def write_letter(house: House, person: uuid.UUID) -> None:
    """What the services write down for a person and their finished letter."""
    letter, reservation = uuid.uuid4(), uuid.uuid4()
    await house.execute(
        """INSERT INTO gateway.people (person_id, telegram_id, first_name, language, created_at, last_activity_at)
           VALUES ($1, $2, $3, 'ru', now(), now())""",
        person,
        person.int % 10**12,
        CANARY,
    )
    await house.execute(
        """INSERT INTO gateway.consents (person_id, kind, version, given, answered_at)
           VALUES ($1, 'processing', '1', true, now())""",
        person,
    )
    await house.execute("INSERT INTO generation.person_keys VALUES ($1, $2, now())", person, WRAPPED)
    await house.execute(
        """INSERT INTO generation.letters (letter_id, person_id, vacancy, title, created_at)
           VALUES ($1, $2, '\\x01', '\\x02', now())""",
        letter,
        person,
    )
    await house.execute(
        """INSERT INTO generation.letter_versions (letter_id, number, person_id, state, priority, allow_foreign_models,
               text, queued_at, deadline_at, traceparent, reservation_id, settlement)
           VALUES ($1, 0, $2, 'completed', 0, true, '\\x03', now(), now(), '', $3, 'committed')""",
        letter,
        person,
        reservation,
    )
    owner = await asyncpg.connect(house.target.url("billing", "owner"), server_settings={"search_path": "billing"})
    day, month = [NOON, NOON + timedelta(days=1)], [NOON, NOON + timedelta(days=31)]
    await owner.execute(
        "SELECT reserve($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)",
        *(uuid.uuid4(), person, letter, reservation, NOON, NOON + timedelta(minutes=30), *day, *month),
    )
    await owner.execute("SELECT resolve('commit', $1, $2, $3, $4)", uuid.uuid4(), person, reservation, NOON)
    await owner.close()


@pytest.fixture
def depot(tmp_path: Path) -> Folder:
    return Folder(tmp_path)


async def restore(depot: Depot, into: House, name: str | None = None, keys: Keys = KEYS) -> int:
    """How many rows were left out."""
    return (await load(depot, name, keys, into.target)).left_out


def as_sql(dump: bytes) -> str:
    done = subprocess.run([binaries() / "pg_restore", "--file=-"], input=dump, capture_output=True, check=True)
    return done.stdout.decode()


def unsealed(depot: Depot, kind: str, name: str, service: str) -> bytes:
    with depot.read(kind, name, service) as file:
        return b"".join(KEYS.unseal(file, place(kind, name, service)))


async def test_a_restored_database_holds_every_row_and_rule_of_the_one_that_was(
    house: House, empty: House, depot: Folder
) -> None:
    await back_up(house.owner_urls, KEYS, depot, NOON)
    rows, definition = await house.rows(), house.definition()
    assert await restore(depot, empty) == 0
    assert await empty.rows() == rows
    filled = {table for table, found in rows.items() if found and not table.endswith(".schema_migrations")}
    assert {table.partition(".")[0] for table in filled} == set(SERVICES)
    assert empty.definition() == definition
    await asyncio.to_thread(migrate_restored, empty.target)
    assert await audit_between_services(empty.target) == audit_billing(empty.target) == []
    # Where sequences stand is no row: the next one must not collide.
    await write_letter(empty, uuid.uuid4())


def dumps(folder: Path) -> list[Path]:
    return list(folder.rglob("*.dump"))


async def test_texts_and_keys_are_in_files_apart_and_nothing_is_in_the_clear(house: House, depot: Folder) -> None:
    name = await back_up(house.owner_urls, KEYS, depot, NOON)
    files = dumps(depot.path)
    assert len(files) == len(SERVICES) + 1
    for path in files:
        content = path.read_bytes()
        assert CANARY.encode() not in content
        assert WRAPPED not in content
        assert b"PGDMP" not in content  # the first bytes of a dump; what follows them is packed
    assert CANARY in as_sql(unsealed(depot, "texts", name, "gateway"))
    texts, keys = (as_sql(unsealed(depot, kind, name, "generation")) for kind in ("texts", "keys"))
    assert "COPY generation.letters " in texts
    assert "COPY generation.letters " not in keys
    assert WRAPPED.hex() not in texts
    assert WRAPPED.hex() in keys


async def test_whoever_was_erased_since_does_not_come_back(house: House, empty: House, depot: Folder) -> None:
    before = await back_up(house.owner_urls, KEYS, depot, NOON)
    await house.execute("DELETE FROM generation.letters WHERE person_id = $1", ANNA)
    await house.execute("DELETE FROM generation.person_keys WHERE person_id = $1", ANNA)
    await back_up(house.owner_urls, KEYS, depot, NOON + timedelta(hours=1))
    assert await restore(depot, empty, before) == 2  # the letter and its version
    rows = await empty.rows()
    for table in ("person_keys", "letters", "letter_versions"):
        assert [str(ANNA) in row for row in rows[f"generation.{table}"]] == [False]


async def test_all_schemas_are_as_of_one_moment(house: House, empty: House, depot: Folder) -> None:
    """Each transaction writes one event into every outbox: a backup has it in all of them or in none."""

    async def write() -> None:
        connection = await house.connect()
        while True:
            event = uuid.uuid4()
            async with connection.transaction():
                for outbox in OUTBOXES:
                    await connection.execute(f"INSERT INTO {outbox} VALUES ($1, '')", event)  # noqa: S608
            await asyncio.sleep(0)

    writing = asyncio.create_task(write())
    await asyncio.sleep(0.05)
    await back_up(house.owner_urls, KEYS, depot, NOON)
    writing.cancel()
    with suppress(asyncio.CancelledError):
        await writing
    await restore(depot, empty)
    restored = await empty.rows()
    events = [{row.partition(",")[0] for row in restored[outbox]} for outbox in OUTBOXES]
    assert events[0] == events[1] == events[2]
    assert 0 < len(events[0]) < len((await house.rows())[OUTBOXES[0]])


async def test_the_audit_says_what_does_not_hold_between_services(house: House) -> None:
    assert await audit_between_services(house.target) == []
    await house.execute("DELETE FROM billing.reservations WHERE person_id = $1", ANNA)
    assert await audit_between_services(house.target) == [
        "1 letters that were accepted and hold no reservation at billing",
        "1 letters that generation counts as paid for and billing does not",
    ]
    assert audit_billing(house.target)


async def test_services_that_run_meanwhile_come_in_when_all_of_it_is_there(
    house: House, empty: House, depot: Folder
) -> None:
    await back_up(house.owner_urls, KEYS, depot, NOON)
    seen = []

    async def come_in() -> None:
        while True:
            with suppress(asyncpg.PostgresError, OSError):
                connection = await asyncpg.connect(empty.target.url("billing", "worker"))
                seen.append(
                    await connection.fetchval(
                        "SELECT array_agg(relname) FROM pg_class WHERE relnamespace = 'billing'::regnamespace"
                    )
                )
                await connection.close()
            await asyncio.sleep(0.01)

    coming = asyncio.create_task(come_in())
    await restore(depot, empty)
    await asyncio.sleep(0.2)
    coming.cancel()
    with suppress(asyncio.CancelledError):
        await coming
    assert seen[-1]
    # An empty schema may be seen for a moment; never a table without its indexes, which are loaded last.
    assert all(each is None or "reservations_one_for_letter" in each for each in seen)


async def test_a_restore_overwrites_nothing(house: House, depot: Folder) -> None:
    await back_up(house.owner_urls, KEYS, depot, NOON)
    rows = await house.rows()
    with pytest.raises(BackupFault, match="the schema gateway is not empty"):
        await restore(depot, house)
    assert await house.rows() == rows


async def test_a_damaged_backup_is_refused_before_anything_is_touched(
    house: House, empty: House, depot: Folder
) -> None:
    name = await back_up(house.owner_urls, KEYS, depot, NOON)
    path = depot.path / "texts" / name / "analytics.dump"
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(CannotOpen, match=r"texts/.*/analytics was changed, cut short or moved"):
        await restore(depot, empty)
    with pytest.raises(CannotOpen, match="not among those given"):
        await restore(depot, empty, keys=Keys({"other": bytes(32)}))
    with pytest.raises(asyncpg.InvalidCatalogNameError):
        await empty.connect()


async def test_texts_are_not_restored_with_keys_that_are_older(house: House, empty: House, depot: Folder) -> None:
    name = await back_up(house.owner_urls, KEYS, depot, NOON)
    (depot.path / "keys" / name).rename(depot.path / "keys" / "20260301T115959Z")
    with pytest.raises(BackupFault, match=f"are as new as {name}"):
        await restore(depot, empty)


async def test_a_backup_that_fails_says_why_and_is_none_and_the_next_one_clears_up(house: House, depot: Folder) -> None:
    await house.execute("ALTER TABLE analytics.outbox OWNER TO postgres")
    with pytest.raises(BackupFault, match=r"texts/.*/analytics: pg_dump: error: .*permission denied for table outbox"):
        await back_up(house.owner_urls, KEYS, depot, NOON)
    assert depot.names("texts") == depot.names("keys") == []
    assert dumps(depot.path)
    await house.execute("ALTER TABLE analytics.outbox OWNER TO analytics_owner")
    name = await back_up(house.owner_urls, KEYS, depot, NOON + timedelta(seconds=1))
    assert {path.parent.name for path in dumps(depot.path)} == {name}


def stack(variables: Mapping[str, str], *arguments: str) -> subprocess.CompletedProcess[str]:
    """One of its commands, as an operator gives it."""
    command = [sys.executable, "-m", "stack", *arguments]
    return subprocess.run(command, env=os.environ | variables, capture_output=True, text=True, check=False)


async def test_an_operator_backs_up_into_a_bucket_and_restores_from_it(house: House, empty: House) -> None:
    def given(target: Target) -> dict[str, str]:
        kinds = {"requests": "", "worker": "WORKER_", "owner": "MIGRATION_"}
        return {
            f"{service}_{prefix}DATABASE_URL".upper(): target.url(service, kind)
            for service in SERVICES
            for kind, prefix in kinds.items()
        }

    rows = await house.rows()
    with s3_server() as s3:
        here = s3 | {"BACKUP_KEYS": f"test:{base64.b64encode(bytes(32)).decode()}"}
        there = f"s3://{BUCKET}/pismo"
        backup = await asyncio.to_thread(stack, here | given(house.target), "backup", "--to", there)
        assert re.fullmatch(r"backed up: \d{8}T\d{6}Z\n", backup.stdout), backup.stderr
        options = ["--from", there, "--to", empty.target.server_url, "--load-only"]
        restore = await asyncio.to_thread(stack, here | given(empty.target), "restore", *options)
        assert restore.stdout.endswith("violations: 0\n"), restore.stderr
        assert await empty.rows() == rows
        refused = await asyncio.to_thread(stack, here | given(house.target), "backup", "--to", "s3://no-such-bucket")
        assert (refused.returncode, refused.stdout) == (1, "")
        assert re.fullmatch(r"stack: s3://no-such-bucket at http://\S+: NoSuchBucket: .*\n", refused.stderr)


def test_a_complaint_quotes_no_row() -> None:
    stderr = f"pg_restore: error: COPY failed\nDETAIL:  Key (first_name)=({CANARY})\nCONTEXT:  COPY people, line 1"
    assert complaint(stderr.encode()) == "pg_restore: error: COPY failed"


def test_each_role_comes_with_the_url_its_service_would_use() -> None:
    environ = {
        f"{service.upper()}_DATABASE_URL": f"postgresql://{service}_requests:p%40ss@db:5432/pismo?sslmode=require"
        for service in SERVICES
    } | {"BILLING_WORKER_DATABASE_URL": "postgresql://billing_worker:other@db:5432/pismo"}
    urls = role_urls(environ)
    assert set(urls) == set(ROLES)
    assert urls["gateway_owner"] == "postgresql://gateway_owner:p%40ss@db:5432/pismo?sslmode=require"
    assert urls["billing_worker"] == environ["BILLING_WORKER_DATABASE_URL"]
    target = Target.of("postgresql://root:secret@new:6000/postgres", urls)
    assert target.url("billing", "worker") == "postgresql://billing_worker:other@new:6000/pismo"


@pytest.mark.parametrize("environ", [{}, {"GATEWAY_DATABASE_URL": "postgresql://a:b@c/d"}])
def test_every_url_that_is_missing_is_named(environ: Mapping[str, str]) -> None:
    with pytest.raises(BackupFault) as raised:
        role_urls(environ, ["owner"])
    missing = {line.partition(" ")[0] for line in str(raised.value).splitlines()}
    assert missing == {
        f"{service.upper()}_MIGRATION_DATABASE_URL" for service in SERVICES if not (environ and service == "gateway")
    }
