"""Every statement the gateway makes. Leases go by the database's clock; what people see goes by the caller's."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

import asyncpg
from servicekit.events import add_events
from servicekit.postgres import Connection

from gateway.conversation import CONSENT_VERSION, Chat, Person
from gateway.errors import Overtaken
from gateway.unit_of_work import UnitOfWork
from gateway.updates import Receipt, Waiting

# --- inbox ------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Arrival:
    """An update to be put into the inbox."""

    receipt: Receipt
    body: bytes
    traceparent: str
    quiet: timedelta


@dataclass(frozen=True)
class Leased:
    """An update that this process handles until its lease ends, with who it is of and where the chat stands."""

    update_id: int
    telegram_id: int
    lease_number: int
    part_characters: int | None
    failures: int
    postponements: int
    body: bytes
    traceparent: str
    person: Person | None
    chat: Chat | None


async def add_updates(connection: Connection, bot_id: int, now: datetime, arrivals: Sequence[Arrival]) -> None:
    """Keeps updates; one that was kept before, done or not, is left as it is."""
    await connection.execute(
        """INSERT INTO inbox (bot_id, update_id, telegram_id, body, part_characters, traceparent, received_at,
                              available_at)
           SELECT $1, update_id, telegram_id, body, part_characters, traceparent, $2, clock_timestamp() + quiet
           FROM unnest($3::bigint[], $4::bigint[], $5::bytea[], $6::int[], $7::text[], $8::interval[])
               AS t (update_id, telegram_id, body, part_characters, traceparent, quiet)
           ON CONFLICT DO NOTHING""",
        bot_id,
        now,
        [each.receipt.update_id for each in arrivals],
        [each.receipt.telegram_id for each in arrivals],
        [each.body for each in arrivals],
        [each.receipt.part_characters for each in arrivals],
        [each.traceparent for each in arrivals],
        [each.quiet for each in arrivals],
    )


async def lease_updates(connection: Connection, bot_id: int, holder: str, limit: int, seconds: float) -> list[Leased]:
    """Takes the oldest waiting update of up to `limit` people of whom none is being handled."""
    rows = await connection.fetch(
        """WITH heads AS (
               SELECT bot_id, update_id FROM inbox AS head
               WHERE bot_id = $1 AND done_at IS NULL AND available_at <= clock_timestamp()
                 AND (leased_until IS NULL OR leased_until < clock_timestamp())
                 AND NOT EXISTS (
                     SELECT FROM inbox AS other
                     WHERE other.bot_id = head.bot_id AND other.telegram_id = head.telegram_id
                       AND other.done_at IS NULL AND other.update_id <> head.update_id
                       AND (other.update_id < head.update_id OR other.leased_until >= clock_timestamp()))
               ORDER BY update_id LIMIT $2 FOR UPDATE SKIP LOCKED),
           leased AS (
               UPDATE inbox SET leased_until = clock_timestamp() + make_interval(secs => $3),
                                leased_by = $4, lease_number = lease_number + 1
               FROM heads WHERE inbox.bot_id = heads.bot_id AND inbox.update_id = heads.update_id
               RETURNING inbox.*)
           SELECT leased.update_id, leased.telegram_id, lease_number, part_characters, failures, postponements, body,
                  traceparent, people.person_id, username, first_name, last_name, language_code, language, consents,
                  stage, details, revision
           FROM leased LEFT JOIN people USING (telegram_id)
               -- A private chat has the id of its person.
               LEFT JOIN chats ON chats.bot_id = leased.bot_id AND chats.chat_id = leased.telegram_id
           ORDER BY leased.update_id""",
        bot_id,
        limit,
        seconds,
        holder,
    )
    return [_leased(row) for row in rows]


async def reclaim_updates(connection: Connection, bot_id: int, holder: str) -> None:
    """Ends the leases that an earlier process of this name held."""
    await connection.execute(
        "UPDATE inbox SET leased_until = NULL WHERE bot_id = $1 AND leased_by = $2 AND done_at IS NULL", bot_id, holder
    )


def _leased(row: "asyncpg.Record") -> Leased:
    person = chat = None
    if row["person_id"] is not None:
        person = Person(
            person_id=row["person_id"],
            telegram_id=row["telegram_id"],
            username=row["username"],
            first_name=row["first_name"],
            last_name=row["last_name"],
            language_code=row["language_code"],
            language=row["language"],
            consents=json.loads(row["consents"]),
        )
    if row["stage"] is not None:
        chat = Chat.restored(row["telegram_id"], row["stage"], json.loads(row["details"]), row["revision"])
    return Leased(
        update_id=row["update_id"],
        telegram_id=row["telegram_id"],
        lease_number=row["lease_number"],
        part_characters=row["part_characters"],
        failures=row["failures"],
        postponements=row["postponements"],
        body=row["body"],
        traceparent=row["traceparent"],
        person=person,
        chat=chat,
    )


async def waiting_updates(connection: Connection, bot_id: int, telegram_id: int, limit: int) -> list[Waiting]:
    """A person's oldest updates that are not done."""
    rows = await connection.fetch(
        """SELECT update_id, part_characters, available_at <= clock_timestamp() AS settled
           FROM inbox WHERE bot_id = $1 AND telegram_id = $2 AND done_at IS NULL ORDER BY update_id LIMIT $3""",
        bot_id,
        telegram_id,
        limit,
    )
    return [Waiting(row["update_id"], row["part_characters"], row["settled"]) for row in rows]


async def update_bodies(connection: Connection, bot_id: int, update_ids: Sequence[int]) -> list[tuple[int, bytes]]:
    rows = await connection.fetch(
        """SELECT update_id, body FROM inbox
           WHERE bot_id = $1 AND update_id = ANY($2) AND done_at IS NULL ORDER BY update_id""",
        bot_id,
        list(update_ids),
    )
    return [(row["update_id"], row["body"]) for row in rows]


async def postpone_update(
    connection: Connection, bot_id: int, leased: Leased, seconds: float, *, failed: bool, counted: bool
) -> None:
    """Gives an update back, to be taken again in a while. Nothing if the lease was lost."""
    await connection.execute(
        """UPDATE inbox SET leased_until = NULL, available_at = clock_timestamp() + make_interval(secs => $4),
                            failures = failures + $5::int, postponements = postponements + $6::int
           WHERE bot_id = $1 AND update_id = $2 AND lease_number = $3 AND done_at IS NULL""",
        bot_id,
        leased.update_id,
        leased.lease_number,
        seconds,
        int(failed),
        int(counted),
    )


async def forget_updates(connection: Connection, before: datetime) -> None:
    await connection.execute("DELETE FROM inbox WHERE done_at < $1", before)


# --- a unit of work ---------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class SealedCall:
    method: str
    body: bytes


async def commit_work(
    connection: Connection,
    work: UnitOfWork,
    leased: Leased,
    update_ids: Sequence[int],
    calls: Sequence[SealedCall],
    traceparent: str,
    *,
    parked: bool,
) -> None:
    """Makes everything of a unit of work true, inside the caller's transaction. Raises Overtaken."""
    await _finish_updates(connection, work, leased, update_ids, parked)
    if work.remembers:
        await _keep_person(connection, work)
        await _keep_chat(connection, work)
    if work.consents:
        await connection.executemany(
            "INSERT INTO consents (person_id, kind, version, given, answered_at) VALUES ($1, $2, $3, $4, $5)",
            [(work.person.person_id, kind.value, CONSENT_VERSION, given, work.now) for kind, given in work.consents],
        )
    if work.origin:
        await connection.execute(
            """INSERT INTO acquisition_channels (person_id, payload, referral, conversion_stage, created_at, utm_source,
                   utm_medium, utm_campaign, utm_term, utm_content, landing_page)
               SELECT $1, $2, $3, 'started', $4, utm_source, utm_medium, utm_campaign, utm_term, utm_content,
                      landing_page
               FROM (SELECT $2::text AS code) AS payload LEFT JOIN campaigns USING (code)
               ON CONFLICT DO NOTHING""",
            work.person.person_id,
            work.origin.payload,
            work.origin.referral,
            work.now,
        )
    if work.conversion:
        await connection.execute(
            "UPDATE acquisition_channels SET conversion_stage = $2 WHERE person_id = $1",
            work.person.person_id,
            work.conversion,
        )
    for delivery in work.deliveries:
        await connection.execute(
            """INSERT INTO deliveries (letter_id, version, bot_id, chat_id, person_id, step, traceparent, created_at)
               VALUES ($1, $2, $3, $4, $5, $6, $7, $8)
               ON CONFLICT (letter_id, version) DO UPDATE
               SET step = excluded.step, outcome = NULL, ended_at = NULL, traceparent = excluded.traceparent,
                   created_at = excluded.created_at,
                   message_id = CASE WHEN deliveries.step = 'unsure' THEN deliveries.message_id END
               WHERE deliveries.step = 'unsure'
                  -- A revision that was stopped or failed gives its number to the next one.
                  OR deliveries.step = 'ended' AND deliveries.outcome <> 'completed'""",
            delivery.letter_id,
            delivery.version,
            work.bot_id,
            work.chat.chat_id,
            work.person.person_id,
            "unsure" if delivery.unsure else "following",
            traceparent,
            work.now,
        )
    if calls:
        await connection.execute(
            """INSERT INTO outgoing (bot_id, chat_id, person_id, method, body, traceparent, created_at)
               SELECT $1, $2, $3, method, body, $4, $5
               FROM unnest($6::text[], $7::bytea[]) WITH ORDINALITY AS t (method, body, place) ORDER BY place""",
            work.bot_id,
            work.chat.chat_id,
            work.person.person_id,
            traceparent,
            work.now,
            [call.method for call in calls],
            [call.body for call in calls],
        )
    await add_events(connection, work.events)


async def _finish_updates(
    connection: Connection, work: UnitOfWork, leased: Leased, update_ids: Sequence[int], parked: bool
) -> None:
    done = await connection.fetch(
        """UPDATE inbox SET done_at = $5, body = NULL, leased_until = NULL, parked = $6
           WHERE bot_id = $1 AND update_id = ANY($2) AND done_at IS NULL
             AND (update_id <> $3 OR lease_number = $4) RETURNING update_id""",
        work.bot_id,
        list(update_ids),
        leased.update_id,
        leased.lease_number,
        work.now,
        parked,
    )
    if len(done) != len(update_ids):
        raise Overtaken("the update is another process's now")


async def _keep_person(connection: Connection, work: UnitOfWork) -> None:
    person = work.person
    values = (
        person.person_id,
        person.username,
        person.first_name,
        person.last_name,
        person.language_code,
        person.language,
        json.dumps(person.consents),
        work.now if work.blocked else None,
        work.now,
    )
    if not person.new:
        await connection.execute(
            """UPDATE people SET username = $2, first_name = $3, last_name = $4, language_code = $5, language = $6,
                                 consents = $7, blocked_at = $8, last_activity_at = $9 WHERE person_id = $1""",
            *values,
        )
        return
    try:
        await connection.execute(
            """INSERT INTO people (person_id, username, first_name, last_name, language_code, language, consents,
                                   blocked_at, last_activity_at, created_at, telegram_id)
               VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $9, $10)""",
            *values,
            person.telegram_id,
        )
    except asyncpg.UniqueViolationError:
        raise Overtaken("the person was met by another update") from None


async def _keep_chat(connection: Connection, work: UnitOfWork) -> None:
    chat = work.chat
    values = (work.bot_id, chat.chat_id, chat.stage.value, json.dumps(chat.details()), work.now)
    if chat.revision is None:
        kept = await connection.fetchval(
            """INSERT INTO chats (bot_id, chat_id, stage, details, updated_at, person_id)
               VALUES ($1, $2, $3, $4, $5, $6) ON CONFLICT DO NOTHING RETURNING true""",
            *values,
            work.person.person_id,
        )
    else:
        kept = await connection.fetchval(
            """UPDATE chats SET stage = $3, details = $4, updated_at = $5, revision = revision + 1
               WHERE bot_id = $1 AND chat_id = $2 AND revision = $6 RETURNING true""",
            *values,
            chat.revision,
        )
    if not kept:
        raise Overtaken("the chat has moved")


# --- outgoing ---------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Outgoing:
    outgoing_id: int
    chat_id: int
    person_id: UUID
    method: str
    body: bytes
    traceparent: str
    created_at: datetime


async def waiting_calls(connection: Connection, bot_id: int, in_hand: Sequence[int], limit: int) -> list[Outgoing]:
    """Calls that wait, without those in hand, oldest first."""
    rows = await connection.fetch(
        """SELECT outgoing_id, chat_id, person_id, method, body, traceparent, created_at FROM outgoing
           WHERE bot_id = $1 AND outgoing_id <> ALL($2::bigint[]) ORDER BY outgoing_id LIMIT $3""",
        bot_id,
        in_hand,
        limit,
    )
    return [Outgoing(**dict(row)) for row in rows]


async def remove_call(connection: Connection, outgoing_id: int) -> None:
    await connection.execute("DELETE FROM outgoing WHERE outgoing_id = $1", outgoing_id)


async def block_person(connection: Connection, bot_id: int, chat_id: int, person_id: UUID, now: datetime) -> None:
    """Notes that the person blocked the bot (a group that did is nobody), and drops what waits for the chat."""
    await connection.execute(
        "UPDATE people SET blocked_at = $3 WHERE person_id = $1 AND telegram_id = $2", person_id, chat_id, now
    )
    await connection.execute("DELETE FROM outgoing WHERE bot_id = $1 AND chat_id = $2", bot_id, chat_id)


# --- deliveries -------------------------------------------------------------------------------------------------------


@dataclass
class Delivery:
    letter_id: UUID
    version: int
    chat_id: int
    person_id: UUID
    step: str
    message_id: int | None
    traceparent: str
    created_at: datetime
    language: str


async def open_deliveries(connection: Connection, bot_id: int, known: Sequence[tuple[UUID, int]]) -> list[Delivery]:
    """Deliveries that have not ended, without the known ones, oldest first."""
    rows = await connection.fetch(
        """SELECT letter_id, version, chat_id, person_id, step, message_id, traceparent, deliveries.created_at, language
           FROM deliveries JOIN people USING (person_id)
           WHERE bot_id = $1 AND step <> 'ended' AND (letter_id, version) NOT IN (
               SELECT * FROM unnest($2::uuid[], $3::int[]))
           ORDER BY deliveries.created_at LIMIT 1000""",
        bot_id,
        [letter_id for letter_id, _ in known],
        [version for _, version in known],
    )
    return [Delivery(**dict(row)) for row in rows]


async def keep_placeholder(connection: Connection, delivery: Delivery) -> None:
    await connection.execute(
        "UPDATE deliveries SET message_id = $3 WHERE letter_id = $1 AND version = $2",
        delivery.letter_id,
        delivery.version,
        delivery.message_id,
    )


async def keep_step(
    connection: Connection, delivery: Delivery, step: str, now: datetime, outcome: str | None = None
) -> None:
    """Moves a delivery on from the step it is known to be at. Raises Overtaken when it is not there any more."""
    moved = await connection.fetchval(
        """UPDATE deliveries SET step = $4, outcome = coalesce($5, outcome),
                                 ended_at = CASE WHEN $4 = 'ended' THEN $6::timestamptz END
           WHERE letter_id = $1 AND version = $2 AND step = $3 RETURNING true""",
        delivery.letter_id,
        delivery.version,
        delivery.step,
        step,
        outcome,
        now,
    )
    if not moved:
        raise Overtaken("the delivery has moved")


async def release_chat(connection: Connection, bot_id: int, delivery: Delivery, now: datetime) -> None:
    """The chat no longer waits for this version; nothing if it waits for something else."""
    await connection.execute(
        """UPDATE chats SET stage = 'ready', revision = revision + 1, updated_at = $5
           WHERE bot_id = $1 AND chat_id = $2 AND stage = 'writing' AND details->>'letter_id' = $3
             AND (details->>'version')::int = $4""",
        bot_id,
        delivery.chat_id,
        str(delivery.letter_id),
        delivery.version,
        now,
    )


async def hold_chat(connection: Connection, bot_id: int, delivery: Delivery, now: datetime) -> None:
    """The chat waits for this version after all, if it still waits for what makes it."""
    await connection.execute(
        """UPDATE chats SET stage = 'writing', revision = revision + 1, updated_at = $5,
                            details = jsonb_set(details, '{version}', to_jsonb($4::int))
           WHERE bot_id = $1 AND chat_id = $2 AND stage = CASE WHEN $4 = 0 THEN 'resume' ELSE 'wish' END
             AND details->>'letter_id' = $3""",
        bot_id,
        delivery.chat_id,
        str(delivery.letter_id),
        delivery.version,
        now,
    )


async def forget_deliveries(connection: Connection, before: datetime) -> None:
    await connection.execute("DELETE FROM deliveries WHERE step = 'ended' AND ended_at < $1", before)


# --- backlog ----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Oldest:
    """Since when the oldest of each has waited; None where nothing waits."""

    update: datetime | None
    call: datetime | None
    delivery: datetime | None


async def oldest_waiting(connection: Connection, bot_id: int) -> Oldest:
    row = await connection.fetchrow(
        """SELECT (SELECT received_at FROM inbox WHERE bot_id = $1 AND done_at IS NULL ORDER BY update_id LIMIT 1)
                      AS update,
                  (SELECT created_at FROM outgoing WHERE bot_id = $1 ORDER BY outgoing_id LIMIT 1) AS call,
                  (SELECT min(created_at) FROM deliveries WHERE bot_id = $1 AND step <> 'ended') AS delivery""",
        bot_id,
    )
    return Oldest(**row)


# --- leadership -------------------------------------------------------------------------------------------------------


async def hold_bot(connection: Connection, bot_id: int, holder: str, seconds: float) -> bool:
    """Takes or keeps the bot. A process that came back under its old name takes over at once."""
    held = await connection.fetchval(
        """INSERT INTO bot_leases (bot_id, holder, expires_at)
           VALUES ($1, $2, clock_timestamp() + make_interval(secs => $3))
           ON CONFLICT (bot_id) DO UPDATE SET holder = excluded.holder, expires_at = excluded.expires_at
           WHERE bot_leases.holder = excluded.holder OR bot_leases.expires_at < clock_timestamp()
           RETURNING true""",
        bot_id,
        holder,
        seconds,
    )
    return bool(held)


async def release_bot(connection: Connection, bot_id: int, holder: str) -> None:
    await connection.execute(
        "UPDATE bot_leases SET expires_at = '-infinity' WHERE bot_id = $1 AND holder = $2", bot_id, holder
    )
