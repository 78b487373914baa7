"""Every SQL statement of billing, but for the functions of its migrations.

Each operation on allowance is one call of one function and so one round trip: the function sets the person for row
level security, takes the person's lock, and does the rest in one transaction.
"""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any
from uuid import UUID

import asyncpg
import orjson
from servicekit.postgres import Connection

from billing.allowance import Allowance, Reservation, ReservationState
from billing.catalogue import Plan
from billing.windows import Span, WindowKind


class Outcome(StrEnum):
    """How an operation ended."""

    DONE = "done"
    REPEATED = "repeated"
    """It had been done before; nothing was changed."""
    EXHAUSTED = "exhausted"
    MISMATCH = "mismatch"
    NOT_FOUND = "not_found"
    RESOLVED = "resolved"


@dataclass(frozen=True)
class Reply:
    """What an operation answers; the parts it does not speak of are None."""

    outcome: Outcome
    expired: int
    """How many of the person's holds had run out and were given back on the way."""
    goodwill: bool
    reservation: Reservation | None
    allowance: Allowance | None


async def _asked(connection: Connection, function: str, *arguments: object) -> Reply:
    try:
        row: Any = await connection.fetchrow(function, *arguments)
    except asyncpg.UniqueViolationError as error:
        if error.constraint_name != "requests_pkey":
            raise
        return Reply(Outcome.MISMATCH, expired=0, goodwill=False, reservation=None, allowance=None)
    return Reply(
        outcome=Outcome(row["outcome"]),
        expired=row["expired"],
        goodwill=bool(row["goodwill"]),
        reservation=_reservation(row) if row["reservation_id"] else None,
        allowance=_allowance(row) if row["plan_id"] else None,
    )


def _reservation(row: Any) -> Reservation:
    return Reservation(
        row["reservation_id"],
        row["letter_id"],
        ReservationState(row["state"]),
        row["expires_at"],
        row["held_under"],
        row["priority"],
    )


def _allowance(row: Any) -> Allowance:
    return Allowance(
        row["plan_id"],
        WindowKind(row["window_kind"]),
        row["allowance"],
        row["used"],
        row["reserved"],
        row["resets_at"],
    )


async def allowance_now(
    connection: Connection, person_id: UUID, now: datetime, day: Span, month: Span
) -> tuple[Allowance, int]:
    """What the person has left, and how many of their holds had run out and were given back on the way."""
    row = await connection.fetchrow(
        "SELECT * FROM allowance_now($1, $2, $3, $4, $5, $6)",
        person_id,
        now,
        day.starts_at,
        day.ends_at,
        month.starts_at,
        month.ends_at,
    )
    return _allowance(row), row["expired"]


async def reserve(
    connection: Connection,
    request_id: UUID,
    person_id: UUID,
    letter_id: UUID,
    reservation_id: UUID,
    now: datetime,
    expires_at: datetime,
    day: Span,
    month: Span,
) -> Reply:
    return await _asked(
        connection,
        "SELECT * FROM reserve($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)",
        request_id,
        person_id,
        letter_id,
        reservation_id,
        now,
        expires_at,
        day.starts_at,
        day.ends_at,
        month.starts_at,
        month.ends_at,
    )


async def commit(
    connection: Connection, request_id: UUID, person_id: UUID, reservation_id: UUID, now: datetime
) -> Reply:
    return await _asked(
        connection, "SELECT * FROM resolve('commit', $1, $2, $3, $4)", request_id, person_id, reservation_id, now
    )


async def release(
    connection: Connection, request_id: UUID, person_id: UUID, reservation_id: UUID, now: datetime
) -> Reply:
    return await _asked(
        connection, "SELECT * FROM resolve('release', $1, $2, $3, $4)", request_id, person_id, reservation_id, now
    )


async def expire_holds(connection: Connection, now: datetime, people: int) -> int:
    """Gives back the overdue holds of at most so many people. Returns how many holds there were."""
    expired: int = await connection.fetchval(
        """SELECT coalesce(sum(expire_holds(person_id, $1)), 0) FROM (
               SELECT DISTINCT person_id FROM reservations WHERE state = 'held' AND expires_at <= $1
               ORDER BY person_id LIMIT $2) due""",
        now,
        people,
    )
    return expired


async def forget_requests(connection: Connection, before: datetime) -> None:
    await connection.execute("DELETE FROM requests WHERE created_at < $1", before)


async def lock_catalogue(connection: Connection) -> None:
    await connection.execute("SELECT pg_advisory_xact_lock(hashtextextended('billing catalogue', 0))")


async def current_plans(connection: Connection) -> dict[str, tuple[int, Plan]]:
    """Each plan with the number of its current version."""
    rows = await connection.fetch(
        """SELECT v.* FROM plans p JOIN plan_versions v ON v.plan_id = p.plan_id AND v.version = p.current_version
           ORDER BY v.plan_id"""
    )
    return {
        row["plan_id"]: (
            row["version"],
            Plan(
                id=row["plan_id"],
                limit=row["allowance"],
                window=WindowKind(row["window_kind"]),
                priority=row["priority"],
                period_days=row["period_days"],
                prices=orjson.loads(row["prices"]),
            ),
        )
        for row in rows
    }


async def add_plan_version(connection: Connection, plan: Plan, version: int, now: datetime) -> None:
    """Makes the version the plan's current one."""
    await connection.execute(
        """INSERT INTO plan_versions
               (plan_id, version, allowance, window_kind, priority, period_days, prices, created_at)
           VALUES ($1, $2, $3, $4, $5, $6, $7, $8)""",
        plan.id,
        version,
        plan.limit,
        plan.window,
        plan.priority,
        plan.period_days,
        orjson.dumps(plan.prices).decode(),
        now,
    )
    await connection.execute(
        """INSERT INTO plans (plan_id, current_version) VALUES ($1, $2)
           ON CONFLICT (plan_id) DO UPDATE SET current_version = excluded.current_version""",
        plan.id,
        version,
    )


async def lock_person(connection: Connection, person_id: UUID) -> None:
    """Nothing else changes the person's subscriptions or allowance until the transaction ends."""
    await connection.execute("SELECT lock_person($1)", person_id)


async def subscribed_until(connection: Connection, person_id: UUID, plan_id: str, now: datetime) -> datetime | None:
    """When the last of the person's periods on the plan ends; None when none is running or to come."""
    until: datetime | None = await connection.fetchval(
        """SELECT max(ends_at) FROM subscriptions
           WHERE person_id = $1 AND plan_id = $2 AND status = 'active' AND ends_at > $3""",
        person_id,
        plan_id,
        now,
    )
    return until


async def add_subscription(
    connection: Connection,
    subscription_id: UUID,
    person_id: UUID,
    plan_id: str,
    plan_version: int,
    period: Span,
    source: str,
    now: datetime,
) -> None:
    await connection.execute(
        """INSERT INTO subscriptions
               (subscription_id, person_id, plan_id, plan_version, starts_at, ends_at, status, source, created_at)
           VALUES ($1, $2, $3, $4, $5, $6, 'active', $7, $8)""",
        subscription_id,
        person_id,
        plan_id,
        plan_version,
        period.starts_at,
        period.ends_at,
        source,
        now,
    )


# Each gives a row for each mismatch: what does not agree, and what was found.
_AUDITS = (
    # Windows are projections of the ledger: the balance of each account is what the window says.
    """WITH postings AS (
           SELECT window_id, credited AS account, amount FROM ledger_entries
           UNION ALL SELECT window_id, debited, -amount FROM ledger_entries
       ), balances AS (
           SELECT window_id,
               coalesce(sum(amount) FILTER (WHERE account = 'available'), 0) AS available,
               coalesce(sum(amount) FILTER (WHERE account = 'reserved'), 0) AS reserved,
               coalesce(sum(amount) FILTER (WHERE account = 'used'), 0) AS used,
               coalesce(sum(amount) FILTER (WHERE account = 'plan'), 0) AS plan
           FROM postings GROUP BY window_id
       )
       SELECT format('window %s', coalesce(w.window_id, b.window_id)) AS what,
           format('allowance=%s used=%s reserved=%s; by the ledger allowance=%s used=%s reserved=%s available=%s',
               w.allowance, w.used, w.reserved, -b.plan, b.used, b.reserved, b.available) AS found
       FROM allowance_windows w FULL JOIN balances b USING (window_id)
       WHERE (w.allowance, w.used, w.reserved, w.allowance - w.used - w.reserved) IS DISTINCT FROM
           (coalesce(-b.plan, 0), coalesce(b.used, 0), coalesce(b.reserved, 0), coalesce(b.available, 0))""",
    # A reservation is where its movements have brought it, and they follow one another as they may.
    """WITH histories AS (
           SELECT reservation_id, window_id, person_id, string_agg(movement::text, ' ' ORDER BY entry_id) AS history
           FROM ledger_entries WHERE reservation_id IS NOT NULL GROUP BY reservation_id, window_id, person_id
       )
       SELECT format('reservation %s', coalesce(r.reservation_id, h.reservation_id)) AS what,
           format('state=%s goodwill=%s; by the ledger: %s', r.state, r.goodwill, h.history) AS found
       FROM reservations r FULL JOIN histories h USING (reservation_id, window_id, person_id)
       WHERE coalesce(h.history, 'none') <> ALL (CASE
           WHEN r.state = 'held' THEN ARRAY['reserve']
           WHEN r.state = 'released' THEN ARRAY['reserve release']
           WHEN r.state = 'expired' THEN ARRAY['reserve expire']
           WHEN r.state = 'committed' AND r.goodwill THEN ARRAY['reserve expire give']
           WHEN r.state = 'committed' THEN ARRAY['reserve commit', 'reserve expire commit_late']
           ELSE ARRAY['no such reservation'] END)""",
    # What windows count is what reservations say.
    """SELECT format('window %s', window_id) AS what,
           format('used=%s reserved=%s; its reservations: used=%s reserved=%s', w.used, w.reserved,
               count(*) FILTER (WHERE r.state = 'committed' AND NOT r.goodwill),
               count(*) FILTER (WHERE r.state = 'held')) AS found
       FROM allowance_windows w LEFT JOIN reservations r USING (window_id)
       GROUP BY window_id
       HAVING w.used <> count(*) FILTER (WHERE r.state = 'committed' AND NOT r.goodwill)
           OR w.reserved <> count(*) FILTER (WHERE r.state = 'held')""",
    # Periods on one plan follow each other.
    """SELECT format('subscription %s', a.subscription_id) AS what,
           format('overlaps subscription %s', b.subscription_id) AS found
       FROM subscriptions a JOIN subscriptions b
           ON a.person_id = b.person_id AND a.plan_id = b.plan_id AND a.subscription_id < b.subscription_id
           AND a.starts_at < b.ends_at AND b.starts_at < a.ends_at
       WHERE a.status = 'active' AND b.status = 'active'""",
)


async def begin_snapshot(connection: Connection) -> None:
    """The transaction that has just begun reads one moment, and only reads."""
    await connection.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY")
    await connection.execute("SET LOCAL statement_timeout = 0")


async def mismatches(connection: Connection) -> list[tuple[str, str]]:
    """What the ledger, the windows and the reservations do not agree about: what, and what was found."""
    found = []
    for statement in _AUDITS:
        found += [(row["what"], row["found"]) for row in await connection.fetch(statement, timeout=3_600)]
    return found
