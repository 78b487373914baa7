"""Every SQL statement of generation. Texts come and go sealed.

`requests` functions run in a person's transaction, where row level security admits that person's rows only; `worker`
functions run on the worker role's connections and see everybody's.

Whoever writes to a version and its letter locks the letter's row first, or touches the version alone: no deadlocks.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from pismo.analytics.v1.analytics_pb2 import Event
from servicekit.postgres import Connection

from generation.letters import Failure, State

LEASE_SECONDS = 10.0
"""A worker that was silent for so long has died."""
SETTLE_LEASE_SECONDS = 10.0
"""Whoever took on to settle with billing has so long before another tries."""


@dataclass(frozen=True)
class Answered:
    """A request that had its effect."""

    call: str
    letter_id: UUID
    number: int


@dataclass(frozen=True)
class LetterRow:
    """A letter at its newest version; texts sealed. `number` and `state` of a draft are 0 and DRAFT."""

    letter_id: UUID
    person_id: UUID
    wrapped_key: bytes
    title: bytes
    vacancy: bytes
    resume: bytes | None
    priority: int | None
    created_at: datetime
    number: int
    state: State
    allow_foreign_models: bool | None
    wish: bytes | None
    liked: bool | None
    text_number: int
    text: bytes | None
    model: str


@dataclass(frozen=True)
class Submission:
    """What SubmitLetter adds to a draft."""

    letter_id: UUID
    person_id: UUID
    request_id: UUID
    resume: bytes
    allow_foreign_models: bool
    plan_id: str
    priority: int
    reservation_id: UUID
    traceparent: str


@dataclass(frozen=True)
class Revision:
    """What ReviseLetter adds to a letter."""

    letter_id: UUID
    number: int
    person_id: UUID
    wish: bytes
    allow_foreign_models: bool
    priority: int
    traceparent: str


@dataclass(frozen=True)
class Job:
    """A version that this process holds, with what is needed to write it; texts sealed."""

    letter_id: UUID
    number: int
    lease_number: int
    person_id: UUID
    wrapped_key: bytes
    vacancy: bytes
    resume: bytes
    wish: bytes | None
    previous_number: int | None
    previous_text: bytes | None
    allow_foreign_models: bool
    failures: int
    queued_at: datetime
    started_at: datetime
    deadline_at: datetime
    traceparent: str
    reservation_id: UUID | None

    @property
    def lease(self) -> "Lease":
        return (self.letter_id, self.number, self.lease_number)


Lease = tuple[UUID, int, int]
"""letter_id, number, lease_number: what a worker may write to as long as it holds."""


@dataclass(frozen=True)
class Due:
    """A reservation to resolve at billing: `settlement` is "commit" or "release"."""

    letter_id: UUID
    person_id: UUID
    reservation_id: UUID
    settlement: str
    traceparent: str


@dataclass(frozen=True)
class Watched:
    """How a watched version stands; texts sealed. `position` is 0 unless it is queued."""

    letter_id: UUID
    number: int
    state: State
    lease_number: int
    models_unavailable: bool
    failure_reason: str | None
    position: int
    live: bytes | None
    text: bytes | None
    model: str | None
    newest_number: int
    newest_state: State


@dataclass(frozen=True)
class QueueMeasure:
    """The queue in three numbers."""

    queued: int
    oldest_at: datetime | None
    writing: int


# --- requests: a person's own rows --------------------------------------------------------------------------------


async def wrapped_key(connection: Connection, person_id: UUID) -> bytes | None:
    found: bytes | None = await connection.fetchval("SELECT wrapped FROM person_keys WHERE person_id = $1", person_id)
    return found


async def add_key(connection: Connection, person_id: UUID, wrapped: bytes, at: datetime) -> bool:
    """False if the person has a key by now."""
    status = await connection.execute(
        "INSERT INTO person_keys (person_id, wrapped, created_at) VALUES ($1, $2, $3) ON CONFLICT DO NOTHING",
        person_id,
        wrapped,
        at,
    )
    return bool(status == "INSERT 0 1")


async def add_draft(
    connection: Connection, letter_id: UUID, person_id: UUID, vacancy: bytes, title: bytes, at: datetime
) -> bool:
    """False if there is a letter of that id, whoever's it is."""
    status = await connection.execute(
        """INSERT INTO letters (letter_id, person_id, vacancy, title, created_at) VALUES ($1, $2, $3, $4, $5)
           ON CONFLICT DO NOTHING""",
        letter_id,
        person_id,
        vacancy,
        title,
        at,
    )
    return bool(status == "INSERT 0 1")


_LETTER = """
    SELECT l.letter_id, l.person_id, k.wrapped AS wrapped_key, l.title, l.vacancy, l.resume, l.priority, l.created_at,
           coalesce(v.number, 0) AS number, coalesce(v.state, 'draft') AS state, v.allow_foreign_models, v.wish,
           f.liked, coalesce(t.number, 0) AS text_number, t.text, coalesce(t.model, '') AS model
    FROM letters l
    JOIN person_keys k USING (person_id)
    LEFT JOIN LATERAL (
        SELECT * FROM letter_versions WHERE letter_id = l.letter_id AND number <= $2 ORDER BY number DESC LIMIT 1
    ) v ON true
    LEFT JOIN LATERAL (
        SELECT * FROM letter_versions WHERE letter_id = l.letter_id AND number <= $2 AND state = 'completed'
        ORDER BY number DESC LIMIT 1
    ) t ON true
    LEFT JOIN feedback f ON f.letter_id = l.letter_id AND f.number = v.number
    WHERE l.letter_id = $1
"""


async def letter(connection: Connection, letter_id: UUID, up_to: int = 3) -> LetterRow | None:
    """The letter as if no version after `up_to` had been asked for."""
    row = await connection.fetchrow(_LETTER, letter_id, up_to)
    return None if row is None else _letter_row(row)


async def lock_letter(connection: Connection, letter_id: UUID) -> LetterRow | None:
    """The letter, which no other request changes until this transaction ends. Its version may still be written."""
    # Locked first and read second: the second statement sees what the one waited for has done.
    await connection.execute("SELECT FROM letters WHERE letter_id = $1 FOR NO KEY UPDATE", letter_id)
    return await letter(connection, letter_id)


def _letter_row(row: Any) -> LetterRow:
    values = dict(row)
    return LetterRow(**values | {"state": State(values["state"])})


async def answered(connection: Connection, person_id: UUID, request_id: UUID) -> Answered | None:
    row = await connection.fetchrow(
        "SELECT call, letter_id, number FROM answered_requests WHERE person_id = $1 AND request_id = $2",
        person_id,
        request_id,
    )
    return None if row is None else Answered(**row)


async def add_answered(connection: Connection, person_id: UUID, request_id: UUID, made: Answered) -> bool:
    """False if the request id was used in this very moment for another letter."""
    status = await connection.execute(
        """INSERT INTO answered_requests (person_id, request_id, call, letter_id, number) VALUES ($1, $2, $3, $4, $5)
           ON CONFLICT DO NOTHING""",
        person_id,
        request_id,
        made.call,
        made.letter_id,
        made.number,
    )
    return bool(status == "INSERT 0 1")


async def submit(
    connection: Connection, made: Submission, events: Sequence[Event], at: datetime, deadline_at: datetime
) -> bool:
    """Adds the résumé, version 0, its events and the answered request, all or nothing. False if submitted before."""
    found = await connection.fetchval(
        """WITH letter AS (
               UPDATE letters SET resume = $4, plan_id = $6, priority = $7, submitted_at = $10
               WHERE letter_id = $1 AND submitted_at IS NULL RETURNING letter_id),
           version AS (
               INSERT INTO letter_versions (letter_id, number, person_id, state, priority, allow_foreign_models,
                   queued_at, deadline_at, traceparent, reservation_id, settlement)
               SELECT letter_id, 0, $2, 'queued', $7, $5, $10, $11, $9, $8, 'held' FROM letter),
           request AS (
               INSERT INTO answered_requests (person_id, request_id, call, letter_id, number)
               SELECT $2, $3, 'submit', letter_id, 0 FROM letter),
           fact AS (
               INSERT INTO outbox (event_id, payload)
               SELECT event_id, payload FROM letter, unnest($12::uuid[], $13::bytea[]) AS e (event_id, payload)
               ON CONFLICT DO NOTHING)
           SELECT EXISTS (SELECT FROM letter)""",
        made.letter_id,
        made.person_id,
        made.request_id,
        made.resume,
        made.allow_foreign_models,
        made.plan_id,
        made.priority,
        made.reservation_id,
        made.traceparent,
        at,
        deadline_at,
        *_outbox_rows(events),
    )
    return bool(found)


async def revise(connection: Connection, made: Revision, at: datetime, deadline_at: datetime) -> None:
    """Queues a revision. It replaces the one of its number that failed or was stopped; the fencing token goes on."""
    await connection.execute(
        """INSERT INTO letter_versions AS v (letter_id, number, person_id, state, priority, allow_foreign_models, wish,
               queued_at, deadline_at, traceparent)
           VALUES ($1, $2, $3, 'queued', $4, $5, $6, $7, $8, $9)
           ON CONFLICT (letter_id, number) DO UPDATE SET
               state = 'queued', priority = $4, allow_foreign_models = $5, wish = $6, queued_at = $7, deadline_at = $8,
               traceparent = $9, lease_number = v.lease_number + 1, available_at = clock_timestamp(), failures = 0,
               models_unavailable = false, failure_reason = NULL, live = NULL, started_at = NULL, finished_at = NULL""",
        made.letter_id,
        made.number,
        made.person_id,
        made.priority,
        made.allow_foreign_models,
        made.wish,
        at,
        deadline_at,
        made.traceparent,
    )


async def cancel(connection: Connection, letter_id: UUID, number: int, at: datetime) -> bool:
    """Ends a version that has not ended, whoever writes it; its reservation is to be released. False if it had."""
    status = await connection.execute(
        """UPDATE letter_versions SET state = 'cancelled', lease_number = lease_number + 1, lease_owner = NULL,
               lease_expires_at = NULL, live = NULL, finished_at = $3,
               settlement = CASE WHEN number = 0 THEN 'release' ELSE settlement END,
               settle_after = CASE WHEN number = 0 THEN clock_timestamp() END
           WHERE letter_id = $1 AND number = $2 AND state IN ('queued', 'writing')""",
        letter_id,
        number,
        at,
    )
    return bool(status == "UPDATE 1")


async def rate(
    connection: Connection, letter_id: UUID, number: int, person_id: UUID, liked: bool, at: datetime
) -> bool:
    """False if that was the rating before."""
    status = await connection.execute(
        """INSERT INTO feedback AS f (letter_id, number, person_id, liked, rated_at) VALUES ($1, $2, $3, $4, $5)
           ON CONFLICT (letter_id, number) DO UPDATE SET liked = $4, rated_at = $5 WHERE f.liked <> $4""",
        letter_id,
        number,
        person_id,
        liked,
        at,
    )
    return bool(status == "INSERT 0 1")


async def version_state(connection: Connection, letter_id: UUID, number: int) -> State | None:
    found = await connection.fetchval(
        "SELECT state FROM letter_versions WHERE letter_id = $1 AND number = $2", letter_id, number
    )
    return None if found is None else State(found)


async def letters(
    connection: Connection, person_id: UUID, before: tuple[datetime, UUID] | None, limit: int
) -> list[LetterRow]:
    """The person's submitted letters, newest first, after the place `before`; without texts."""
    rows = await connection.fetch(
        """SELECT l.letter_id, l.person_id, k.wrapped AS wrapped_key, l.title, ''::bytea AS vacancy,
                  NULL::bytea AS resume, l.priority, l.created_at, v.number, v.state, v.allow_foreign_models,
                  NULL::bytea AS wish, f.liked, coalesce(t.number, 0) AS text_number, NULL::bytea AS text,
                  coalesce(t.model, '') AS model
           FROM letters l
           JOIN person_keys k USING (person_id)
           CROSS JOIN LATERAL (
               SELECT number, state, allow_foreign_models FROM letter_versions WHERE letter_id = l.letter_id
               ORDER BY number DESC LIMIT 1
           ) v
           LEFT JOIN LATERAL (
               SELECT number, model FROM letter_versions WHERE letter_id = l.letter_id AND state = 'completed'
               ORDER BY number DESC LIMIT 1
           ) t ON true
           LEFT JOIN feedback f ON f.letter_id = l.letter_id AND f.number = v.number
           WHERE l.person_id = $1 AND ($2::timestamptz IS NULL OR (l.created_at, l.letter_id) < ($2, $3::uuid))
           ORDER BY l.created_at DESC, l.letter_id DESC LIMIT $4""",
        person_id,
        *(before or (None, None)),
        limit,
    )
    return [_letter_row(row) for row in rows]


# --- worker: the queue --------------------------------------------------------------------------------------------

LEASE = f"""
    WITH next AS (
        SELECT letter_id, number FROM letter_versions
        WHERE state = 'queued' AND available_at <= clock_timestamp()
        ORDER BY priority DESC, queued_at, letter_id LIMIT $2 FOR UPDATE SKIP LOCKED),
    leased AS (
        UPDATE letter_versions v SET state = 'writing', lease_owner = $1, lease_number = v.lease_number + 1,
            lease_expires_at = clock_timestamp() + interval '{LEASE_SECONDS} s', started_at = $3, live = NULL
        FROM next WHERE v.letter_id = next.letter_id AND v.number = next.number
        RETURNING v.*)
    SELECT leased.letter_id, leased.number, leased.lease_number, leased.person_id, k.wrapped AS wrapped_key,
           l.vacancy, l.resume, leased.wish, p.number AS previous_number, p.text AS previous_text,
           leased.allow_foreign_models, leased.failures, leased.queued_at, leased.started_at, leased.deadline_at,
           leased.traceparent, leased.reservation_id
    FROM leased
    JOIN letters l USING (letter_id)
    JOIN person_keys k ON k.person_id = leased.person_id
    LEFT JOIN LATERAL (
        SELECT number, text FROM letter_versions
        WHERE letter_id = leased.letter_id AND number < leased.number AND state = 'completed'
        ORDER BY number DESC LIMIT 1
    ) p ON true
"""  # noqa: S608


async def lease(connection: Connection, owner: str, limit: int, now: datetime) -> list[Job]:
    """The next versions to write, highest priority first, then oldest; nobody else gets them while the lease holds."""
    return [Job(**row) for row in await connection.fetch(LEASE, owner, limit, now)]


async def still_held(connection: Connection, held: Sequence[Lease]) -> set[Lease]:
    """Those of `held` that nobody has cancelled, ended or taken."""
    rows = await connection.fetch(
        """SELECT v.letter_id, v.number, v.lease_number
           FROM unnest($1::uuid[], $2::smallint[], $3::int[]) AS held (letter_id, number, lease_number)
           JOIN letter_versions v USING (letter_id, number, lease_number) WHERE v.state = 'writing'""",
        *_columns(held),
    )
    return {tuple(row) for row in rows}


async def renew(connection: Connection, held: Sequence[Lease]) -> set[Lease]:
    """As still_held, and those are leased anew."""
    rows = await connection.fetch(
        f"""UPDATE letter_versions v SET lease_expires_at = clock_timestamp() + interval '{LEASE_SECONDS} s'
            FROM unnest($1::uuid[], $2::smallint[], $3::int[]) AS held (letter_id, number, lease_number)
            WHERE v.letter_id = held.letter_id AND v.number = held.number AND v.lease_number = held.lease_number
                AND v.state = 'writing'
            RETURNING v.letter_id, v.number, v.lease_number""",  # noqa: S608
        *_columns(held),
    )
    return {tuple(row) for row in rows}


async def hand_back(connection: Connection, held: Sequence[Lease]) -> None:
    """Puts unfinished versions back as they were: another worker may take them at once."""
    await connection.execute(
        """UPDATE letter_versions v SET state = 'queued', lease_owner = NULL, lease_expires_at = NULL
           FROM unnest($1::uuid[], $2::smallint[], $3::int[]) AS held (letter_id, number, lease_number)
           WHERE v.letter_id = held.letter_id AND v.number = held.number AND v.lease_number = held.lease_number
               AND v.state = 'writing'""",
        *_columns(held),
    )


async def free_leases(connection: Connection, owner: str) -> int:
    """Frees what a process of this name held before it died; how many versions."""
    status = await connection.execute(
        """UPDATE letter_versions SET state = 'queued', lease_owner = NULL, lease_expires_at = NULL
           WHERE state = 'writing' AND lease_owner = $1""",
        owner,
    )
    return int(status.rpartition(" ")[2])


async def free_expired_leases(connection: Connection) -> int:
    """Frees what dead processes hold; how many versions."""
    status = await connection.execute(
        """UPDATE letter_versions SET state = 'queued', lease_owner = NULL, lease_expires_at = NULL
           WHERE state = 'writing' AND lease_expires_at < clock_timestamp()"""
    )
    return int(status.rpartition(" ")[2])


async def try_again_later(
    connection: Connection, held: Lease, seconds: float, *, failed: bool, facts: Sequence[Event]
) -> bool:
    """Queues a version again, to be leased in `seconds`. False if the lease was lost; `facts` are kept either way."""
    found = await connection.fetchval(
        """WITH again AS (
               UPDATE letter_versions SET state = 'queued', lease_owner = NULL, lease_expires_at = NULL, live = NULL,
                   available_at = clock_timestamp() + make_interval(secs => $4), failures = failures + $5,
                   models_unavailable = true
               WHERE letter_id = $1 AND number = $2 AND lease_number = $3 AND state = 'writing'
               RETURNING letter_id),
           fact AS (
               INSERT INTO outbox (event_id, payload)
               SELECT event_id, payload FROM unnest($6::uuid[], $7::bytea[]) AS e (event_id, payload)
               ON CONFLICT DO NOTHING)
           SELECT EXISTS (SELECT FROM again)""",
        *held,
        seconds,
        int(failed),
        *_outbox_rows(facts),
    )
    return bool(found)


async def complete(
    connection: Connection,
    held: Lease,
    text: bytes,
    model: str,
    generation_ms: int,
    at: datetime,
    outcome: Event,
    facts: Sequence[Event],
) -> bool:
    """Gives a version its text; its reservation is to be committed. False if the lease was lost: then nothing but
    `facts` is kept, which are true whoever ends the version."""
    return await _end(connection, held, State.COMPLETED, "commit", at, outcome, facts, text, model, generation_ms)


async def fail(
    connection: Connection, held: Lease, reason: Failure, at: datetime, outcome: Event, facts: Sequence[Event]
) -> bool:
    """Gives a version up; its reservation is to be released. False as in `complete`."""
    return await _end(connection, held, State.FAILED, "release", at, outcome, facts, reason=reason)


async def _end(
    connection: Connection,
    held: Lease,
    state: State,
    settlement: str,
    at: datetime,
    outcome: Event,
    facts: Sequence[Event],
    text: bytes | None = None,
    model: str | None = None,
    generation_ms: int | None = None,
    reason: Failure | None = None,
) -> bool:
    found = await connection.fetchval(
        f"""WITH ended AS (
                UPDATE letter_versions SET state = $4, text = $7, model = $8, generation_ms = $9, failure_reason = $10,
                    finished_at = $6, live = NULL, lease_owner = NULL, lease_expires_at = NULL,
                    settlement = CASE WHEN number = 0 THEN $5 ELSE settlement END,
                    settle_after = CASE WHEN number = 0 THEN clock_timestamp() + interval '{SETTLE_LEASE_SECONDS} s' END
                WHERE letter_id = $1 AND number = $2 AND lease_number = $3 AND state = 'writing'
                RETURNING letter_id),
            fact AS (
                INSERT INTO outbox (event_id, payload)
                SELECT event_id, payload FROM unnest($13::uuid[], $14::bytea[]) AS e (event_id, payload)
                UNION ALL SELECT $11, $12 FROM ended
                ON CONFLICT DO NOTHING)
            SELECT EXISTS (SELECT FROM ended)""",  # noqa: S608
        *held,
        state,
        settlement,
        at,
        text,
        model,
        generation_ms,
        reason,
        UUID(outcome.event_id),
        outcome.SerializeToString(),
        *_outbox_rows(facts),
    )
    return bool(found)


async def time_out(connection: Connection, now: datetime, limit: int) -> list[tuple[UUID, int, UUID]]:
    """Gives up versions whose time is over, queued or writing: letter, number, person."""
    rows = await connection.fetch(
        """UPDATE letter_versions v SET state = 'failed', failure_reason = 'timed_out', finished_at = $1, live = NULL,
               lease_number = v.lease_number + 1, lease_owner = NULL, lease_expires_at = NULL,
               settlement = CASE WHEN v.number = 0 THEN 'release' ELSE v.settlement END,
               settle_after = CASE WHEN v.number = 0 THEN clock_timestamp() END
           FROM (SELECT letter_id, number FROM letter_versions
                 WHERE state IN ('queued', 'writing') AND deadline_at <= $1
                 ORDER BY deadline_at LIMIT $2 FOR UPDATE SKIP LOCKED) late
           WHERE v.letter_id = late.letter_id AND v.number = late.number
           RETURNING v.letter_id, v.number, v.person_id""",
        now,
        limit,
    )
    return [tuple(row) for row in rows]


async def measure_queue(connection: Connection) -> QueueMeasure:
    row = await connection.fetchrow(
        """SELECT count(*) FILTER (WHERE state = 'queued') AS queued,
                  min(queued_at) FILTER (WHERE state = 'queued') AS oldest_at,
                  count(*) FILTER (WHERE state = 'writing') AS writing
           FROM letter_versions WHERE state IN ('queued', 'writing')"""
    )
    return QueueMeasure(**row)


# --- worker: live text and watching -------------------------------------------------------------------------------


async def keep_live(connection: Connection, texts: Sequence[tuple[Lease, bytes]]) -> None:
    """Keeps the texts so far of versions that are still held."""
    await connection.execute(
        """UPDATE letter_versions v SET live = held.live
           FROM unnest($1::uuid[], $2::smallint[], $3::int[], $4::bytea[])
               AS held (letter_id, number, lease_number, live)
           WHERE v.letter_id = held.letter_id AND v.number = held.number AND v.lease_number = held.lease_number
               AND v.state = 'writing'""",
        *_columns([held for held, _ in texts]),
        [live for _, live in texts],
    )


async def watch(connection: Connection, versions: Sequence[tuple[UUID, int]]) -> list[Watched]:
    """How the versions stand. One that is gone is left out."""
    rows = await connection.fetch(
        """WITH place AS (
               SELECT letter_id, number, row_number() OVER (ORDER BY priority DESC, queued_at, letter_id) AS position
               FROM letter_versions WHERE state = 'queued')
           SELECT v.letter_id, v.number, v.state, v.lease_number, v.models_unavailable, v.failure_reason,
                  coalesce(place.position, 0) AS position, v.live, v.text, v.model,
                  newest.number AS newest_number, newest.state AS newest_state
           FROM unnest($1::uuid[], $2::smallint[]) AS watched (letter_id, number)
           JOIN letter_versions v USING (letter_id, number)
           CROSS JOIN LATERAL (
               SELECT number, state FROM letter_versions WHERE letter_id = v.letter_id ORDER BY number DESC LIMIT 1
           ) newest
           LEFT JOIN place ON place.letter_id = v.letter_id AND place.number = v.number""",
        [letter_id for letter_id, _ in versions],
        [number for _, number in versions],
    )
    return [
        Watched(**dict(row) | {"state": State(row["state"]), "newest_state": State(row["newest_state"])})
        for row in rows
    ]


# --- worker: settling with billing --------------------------------------------------------------------------------


async def due_settlements(connection: Connection, limit: int) -> list[Due]:
    """Reservations to resolve now; nobody else gets them for SETTLE_LEASE_SECONDS."""
    rows = await connection.fetch(
        f"""UPDATE letter_versions v SET settle_after = clock_timestamp() + interval '{SETTLE_LEASE_SECONDS} s'
            FROM (SELECT letter_id, number FROM letter_versions
                  WHERE settlement IN ('commit', 'release') AND settle_after <= clock_timestamp()
                  ORDER BY settle_after LIMIT $1 FOR UPDATE SKIP LOCKED) due
            WHERE v.letter_id = due.letter_id AND v.number = due.number
            RETURNING v.letter_id, v.person_id, v.reservation_id, v.settlement, v.traceparent""",  # noqa: S608
        limit,
    )
    return [Due(**row) for row in rows]


async def unsettled_since(connection: Connection) -> datetime | None:
    """When the first letter ended whose reservation is not resolved yet."""
    since: datetime | None = await connection.fetchval(
        "SELECT min(finished_at) FROM letter_versions WHERE settlement IN ('commit', 'release')"
    )
    return since


async def settle(connection: Connection, letter_ids: Sequence[UUID], settlements: Sequence[str]) -> None:
    """Notes how reservations were resolved."""
    await connection.execute(
        """UPDATE letter_versions v SET settlement = settled.settlement, settle_after = NULL
           FROM unnest($1::uuid[], $2::text[]) AS settled (letter_id, settlement)
           WHERE v.letter_id = settled.letter_id AND v.number = 0 AND v.settlement IN ('commit', 'release')""",
        letter_ids,
        settlements,
    )


async def settle_later(connection: Connection, letter_ids: Sequence[UUID], seconds: float) -> None:
    """Has reservations resolved in `seconds`."""
    await connection.execute(
        """UPDATE letter_versions SET settle_after = clock_timestamp() + make_interval(secs => $2)
           WHERE letter_id = ANY ($1) AND number = 0 AND settlement IN ('commit', 'release')""",
        letter_ids,
        seconds,
    )


# --- worker: retention --------------------------------------------------------------------------------------------


async def forget_drafts(connection: Connection, before: datetime) -> int:
    """Deletes drafts made before; how many."""
    status = await connection.execute("DELETE FROM letters WHERE submitted_at IS NULL AND created_at < $1", before)
    return int(status.rpartition(" ")[2])


async def forget_letters(connection: Connection, before: datetime) -> int:
    """Deletes letters made before, with all that belongs to them, but those not yet settled with billing; how many."""
    status = await connection.execute(
        """DELETE FROM letters l WHERE created_at < $1 AND NOT EXISTS (
               SELECT FROM letter_versions v WHERE v.letter_id = l.letter_id
                   AND (v.state IN ('queued', 'writing') OR v.settlement IN ('commit', 'release')))""",
        before,
    )
    return int(status.rpartition(" ")[2])


def _columns(held: Sequence[Lease]) -> tuple[list[UUID], list[int], list[int]]:
    return [each[0] for each in held], [each[1] for each in held], [each[2] for each in held]


def _outbox_rows(events: Sequence[Event]) -> tuple[list[UUID], list[bytes]]:
    return [UUID(each.event_id) for each in events], [each.SerializeToString() for each in events]
