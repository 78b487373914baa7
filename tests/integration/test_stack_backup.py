"""Backups of all four schemas and their restore, on real databases."""

import asyncio
import re
import subprocess
import uuid
from collections.abc import AsyncIterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import asyncpg
import pytest
from servicekit.migrations import migrate
from stack.backup import BackupFault, Retention, back_up, complaint, expire, names, place, role_urls
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


async def restore(folder: Path, into: House, name: str | None = None, keys: Keys = KEYS) -> int:
    """How many rows were left out."""
    return (await load(folder, name, keys, into.target)).left_out


def as_sql(dump: bytes) -> str:
    done = subprocess.run([binaries() / "pg_restore", "--file=-"], input=dump, capture_output=True, check=True)
    return done.stdout.decode()


def unsealed(folder: Path, kind: str, name: str, service: str) -> bytes:
    return b"".join(KEYS.unseal(folder / kind / name / f"{service}.dump", place(kind, name, service)))


async def test_a_restored_database_holds_every_row_and_rule_of_the_one_that_was(
    house: House, empty: House, tmp_path: Path
) -> None:
    await back_up(house.owner_urls, KEYS, tmp_path, NOON)
    rows, definition = await house.rows(), house.definition()
    assert await restore(tmp_path, empty) == 0
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


async def test_texts_and_keys_are_in_files_apart_and_nothing_is_in_the_clear(house: House, tmp_path: Path) -> None:
    name = await back_up(house.owner_urls, KEYS, tmp_path, NOON)
    files = dumps(tmp_path)
    assert len(files) == len(SERVICES) + 1
    for path in files:
        content = path.read_bytes()
        assert CANARY.encode() not in content
        assert WRAPPED not in content
        assert b"PGDMP" not in content  # the first bytes of a dump; what follows them is packed
    assert CANARY in as_sql(unsealed(tmp_path, "texts", name, "gateway"))
    texts, keys = (as_sql(unsealed(tmp_path, kind, name, "generation")) for kind in ("texts", "keys"))
    assert "COPY generation.letters " in texts
    assert "COPY generation.letters " not in keys
    assert WRAPPED.hex() not in texts
    assert WRAPPED.hex() in keys


async def test_whoever_was_erased_since_does_not_come_back(house: House, empty: House, tmp_path: Path) -> None:
    before = await back_up(house.owner_urls, KEYS, tmp_path, NOON)
    await house.execute("DELETE FROM generation.letters WHERE person_id = $1", ANNA)
    await house.execute("DELETE FROM generation.person_keys WHERE person_id = $1", ANNA)
    await back_up(house.owner_urls, KEYS, tmp_path, NOON + timedelta(hours=1))
    assert await restore(tmp_path, empty, before) == 2  # the letter and its version
    rows = await empty.rows()
    for table in ("person_keys", "letters", "letter_versions"):
        assert [str(ANNA) in row for row in rows[f"generation.{table}"]] == [False]


async def test_all_schemas_are_as_of_one_moment(house: House, empty: House, tmp_path: Path) -> None:
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
    await back_up(house.owner_urls, KEYS, tmp_path, NOON)
    writing.cancel()
    with suppress(asyncio.CancelledError):
        await writing
    await restore(tmp_path, empty)
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
    house: House, empty: House, tmp_path: Path
) -> None:
    await back_up(house.owner_urls, KEYS, tmp_path, NOON)
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
    await restore(tmp_path, empty)
    await asyncio.sleep(0.2)
    coming.cancel()
    with suppress(asyncio.CancelledError):
        await coming
    assert seen[-1]
    # An empty schema may be seen for a moment; never a table without its indexes, which are loaded last.
    assert all(each is None or "reservations_one_for_letter" in each for each in seen)


async def test_a_restore_overwrites_nothing(house: House, tmp_path: Path) -> None:
    await back_up(house.owner_urls, KEYS, tmp_path, NOON)
    rows = await house.rows()
    with pytest.raises(BackupFault, match="the schema gateway is not empty"):
        await restore(tmp_path, house)
    assert await house.rows() == rows


async def test_a_damaged_backup_is_refused_before_anything_is_touched(
    house: House, empty: House, tmp_path: Path
) -> None:
    name = await back_up(house.owner_urls, KEYS, tmp_path, NOON)
    path = tmp_path / "texts" / name / "analytics.dump"
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(CannotOpen, match=r"analytics\.dump was changed or cut short"):
        await restore(tmp_path, empty)
    with pytest.raises(CannotOpen, match="not among those given"):
        await restore(tmp_path, empty, keys=Keys({"other": bytes(32)}))
    with pytest.raises(asyncpg.InvalidCatalogNameError):
        await empty.connect()


async def test_texts_are_not_restored_with_keys_that_are_older(house: House, empty: House, tmp_path: Path) -> None:
    name = await back_up(house.owner_urls, KEYS, tmp_path, NOON)
    (tmp_path / "keys" / name).rename(tmp_path / "keys" / "20260301T115959Z")
    with pytest.raises(BackupFault, match=f"are as new as {name}"):
        await restore(tmp_path, empty)


async def test_a_backup_that_fails_says_why_and_is_none_and_the_next_one_clears_up(
    house: House, tmp_path: Path
) -> None:
    await house.execute("ALTER TABLE analytics.outbox OWNER TO postgres")
    with pytest.raises(BackupFault, match=r"texts/.*/analytics: pg_dump: error: .*permission denied for table outbox"):
        await back_up(house.owner_urls, KEYS, tmp_path, NOON)
    assert names(tmp_path / "texts") == names(tmp_path / "keys") == []
    assert dumps(tmp_path)
    await house.execute("ALTER TABLE analytics.outbox OWNER TO analytics_owner")
    name = await back_up(house.owner_urls, KEYS, tmp_path, NOON + timedelta(seconds=1))
    assert {path.parent.name for path in dumps(tmp_path)} == {name}


def test_a_complaint_quotes_no_row() -> None:
    stderr = f"pg_restore: error: COPY failed\nDETAIL:  Key (first_name)=({CANARY})\nCONTEXT:  COPY people, line 1"
    assert complaint(stderr.encode()) == "pg_restore: error: COPY failed"


def test_texts_go_after_a_month_keys_after_a_week_and_the_newest_never(tmp_path: Path) -> None:
    for kind in ("texts", "keys"):
        for days in range(0, 100, 5):
            (tmp_path / kind / (NOON - timedelta(days=days)).strftime("%Y%m%dT%H%M%SZ")).mkdir(parents=True)
        (tmp_path / kind / "a folder of somebody's").mkdir()
    expire(tmp_path, Retention(), NOON)
    assert len(names(tmp_path / "texts")) == 7  # of 0, 5, …, 30 days
    assert len(names(tmp_path / "keys")) == 2
    deleted = expire(tmp_path, Retention(), NOON + timedelta(days=365))
    assert len(deleted) == 7
    newest = NOON.strftime("%Y%m%dT%H%M%SZ")
    assert names(tmp_path / "texts") == names(tmp_path / "keys") == [newest]
    assert (tmp_path / "texts" / "a folder of somebody's").exists()


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
