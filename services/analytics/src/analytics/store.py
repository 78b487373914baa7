"""Every SQL statement of analytics."""

from collections.abc import Sequence
from datetime import datetime

import asyncpg
from servicekit.postgres import Connection

from analytics.catalogue import Fact
from analytics.report import Table

VIEWS = ("user_stats", "session_stats", "user_activity", "ai_usage", "feedback_stats", "iteration_stats")

_FORGET_SECONDS = 600


class NoMonth(Exception):
    """A fact lies in a month that has no partitions."""


async def add_facts(connection: Connection, facts: Sequence[Fact], now: datetime) -> int:
    """Stores those facts whose ids are new, durably, and gives their number. No id may be among `facts` twice.

    One statement, so that an id and its fact are there together or not at all. Ids are inserted in order: two callers
    with the same ids then wait for each other instead of locking each other out. Raises NoMonth; then nothing is kept.
    """
    try:
        stored: int = await connection.fetchval(
            """WITH sent AS MATERIALIZED (
                   SELECT * FROM unnest($2::uuid[], $3::text[], $4::timestamptz[], $5::text[], $6::uuid[], $7::uuid[],
                                        $8::text[], $9::jsonb[])
                       AS _ (event_id, name, occurred_at, service, person_id, letter_id, trace_id, data)
               ), kept AS (
                   INSERT INTO event_ids (event_id, kept_at) SELECT event_id, $1 FROM sent ORDER BY event_id
                   ON CONFLICT DO NOTHING RETURNING event_id
               ), fresh AS MATERIALIZED (
                   SELECT sent.* FROM sent JOIN kept USING (event_id)
               ), requests AS (
                   INSERT INTO ai_requests (
                       event_id, occurred_at, service, person_id, letter_id, trace_id, vendor, model, request_type,
                       prompt_tokens, completion_tokens, response_time_ms, first_token_ms, cost_micro_usd, success,
                       error)
                   SELECT event_id, occurred_at, service, person_id, letter_id, trace_id, fact.*
                   FROM fresh, jsonb_to_record(data) AS fact (
                       vendor text, model text, request_type text, prompt_tokens bigint, completion_tokens bigint,
                       response_time_ms bigint, first_token_ms bigint, cost_micro_usd bigint, success boolean,
                       error text)
                   WHERE name = 'ai_request'
               ), errors AS (
                   INSERT INTO error_logs (
                       event_id, occurred_at, service, person_id, letter_id, trace_id, error_type, message, stack_trace,
                       handler_name)
                   SELECT event_id, occurred_at, service, person_id, letter_id, trace_id, fact.*
                   FROM fresh, jsonb_to_record(data) AS fact (
                       error_type text, message text, stack_trace text, handler_name text)
                   WHERE name = 'error'
               ), events AS (
                   INSERT INTO user_events (
                       event_id, name, occurred_at, service, person_id, letter_id, trace_id, data)
                   SELECT event_id, name, occurred_at, service, person_id, letter_id, trace_id, data
                   FROM fresh WHERE name NOT IN ('ai_request', 'error')
               )
               SELECT count(*) FROM kept""",
            now,
            *zip(*facts, strict=True),
        )
    except asyncpg.CheckViolationError as error:
        # No table here has a CHECK of its own: what is violated is the bound of a partition.
        raise NoMonth from error
    return stored


async def make_month(connection: Connection, moment: datetime) -> None:
    """Makes the partitions of the month that `moment` lies in, where they are missing."""
    await connection.execute("SELECT make_month($1)", moment)


async def drop_months_before(connection: Connection, moment: datetime) -> int:
    """Drops the partitions of all months before the one that `moment` lies in; gives their number."""
    dropped: int = await connection.fetchval("SELECT drop_months_before($1)", moment)
    return dropped


async def forget_ids_before(connection: Connection, moment: datetime) -> None:
    """Forgets the ids of events that were stored before `moment`; inside a transaction, since it may take its time."""
    await connection.execute(f"SET LOCAL statement_timeout = '{_FORGET_SECONDS}s'")
    await connection.execute("DELETE FROM event_ids WHERE kept_at < $1", moment, timeout=_FORGET_SECONDS)


async def hold_moment(connection: Connection) -> None:
    """First in a transaction that only reads: lets all its statements see the same moment."""
    await connection.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY")


async def read_view(connection: Connection, name: str) -> Table:
    """All that one of VIEWS shows, in the order of its columns."""
    statement = await connection.prepare(f"SELECT * FROM {name} ORDER BY 1, 2")  # noqa: S608  # one of ours
    columns = tuple(attribute.name for attribute in statement.get_attributes())
    return Table(name, columns, await statement.fetch())
