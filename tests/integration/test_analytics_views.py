"""A small story of three people, and what each of the six views must answer about it."""

import uuid
from collections.abc import AsyncIterator
from datetime import UTC, date, datetime
from decimal import Decimal
from uuid import UUID

import pytest
from analytics.catalogue import read_events
from analytics.operations import Ingestion, read_views
from google.protobuf.message import Message
from pismo.analytics.v1.analytics_pb2 import (
    AiRequest,
    Error,
    Event,
    Feedback,
    Iteration,
    LetterCancelled,
    LetterDelivered,
    LetterFailed,
    LetterGenerated,
    LetterSubmitted,
    LimitReached,
    StartCommand,
    VacancySent,
)
from servicekit.events import event
from servicekit.postgres import Database, open_database
from stores import ServiceDatabaseFactory

OCTOBER, SUNDAY, MONDAY, TUESDAY = date(2026, 10, 31), date(2026, 11, 22), date(2026, 11, 23), date(2026, 11, 24)
ANNA, BORIS, CLARA = (uuid.uuid4() for _ in range(3))


class EndOfNovember:
    def now(self) -> datetime:
        return datetime(2026, 11, 30, tzinfo=UTC)


@pytest.fixture
async def worker(service_database: ServiceDatabaseFactory) -> AsyncIterator[Database]:
    database = await service_database("analytics")
    async with open_database(database.requests_url, "analytics") as requests:
        await Ingestion(requests, EndOfNovember()).ingest(read_events(story()))
    async with open_database(database.worker_url, "analytics") as worker:
        yield worker


def story() -> list[Event]:
    told: list[Event] = []

    def tell(day: date, time: str, fact: Message, person: UUID | None = None, letter: UUID | None = None) -> None:
        at = datetime.fromisoformat(f"{day} {time}").replace(tzinfo=UTC)
        told.append(event("generation", at, fact, person_id=person, letter_id=letter))

    first, second, third, fourth, fifth, sixth = (uuid.uuid4() for _ in range(6))

    # Clara came in October, began a letter and left it.
    tell(OCTOBER, "23:59:59", StartCommand(first=True), CLARA)
    tell(OCTOBER, "23:59:59", VacancySent(characters=500), CLARA, fourth)

    # Anna came on Sunday; her letter was written before midnight. She liked it on Monday.
    tell(SUNDAY, "23:00", StartCommand(first=True), ANNA)
    tell(SUNDAY, "23:01", VacancySent(characters=900), ANNA, first)
    tell(SUNDAY, "23:02", LetterSubmitted(plan_id="free"), ANNA, first)
    tell(SUNDAY, "23:03", generated(0, "gpt", 4_000, 100, 1_800), ANNA, first)
    tell(MONDAY, "00:00", Feedback(version=0, liked=True), ANNA, first)

    # Boris's first letter failed; his second was not liked, its revision was in the end; another he stopped.
    tell(MONDAY, "10:00", StartCommand(first=True), BORIS)
    tell(MONDAY, "10:01", StartCommand(), BORIS)
    tell(MONDAY, "10:02", LetterSubmitted(plan_id="free"), BORIS, second)
    tell(MONDAY, "10:03", LetterFailed(version=0, reason="timed_out"), BORIS, second)
    tell(MONDAY, "10:04", LetterSubmitted(plan_id="free"), BORIS, third)
    tell(MONDAY, "10:05", generated(0, "claude", 6_000, 300, 2_000), BORIS, third)
    tell(MONDAY, "10:06", Feedback(version=0), BORIS, third)
    tell(MONDAY, "10:07", Iteration(version=1), BORIS, third)
    tell(MONDAY, "10:08", generated(1, "gpt", 2_000, 50, 1_500), BORIS, third)
    tell(MONDAY, "10:09", Feedback(version=1), BORIS, third)
    tell(MONDAY, "10:10", Feedback(version=1, liked=True), BORIS, third)
    tell(MONDAY, "10:11", Iteration(version=2), BORIS, third)
    tell(MONDAY, "10:12", LetterCancelled(version=2), BORIS, third)
    tell(MONDAY, "10:13", LetterSubmitted(plan_id="free"), BORIS, fifth)
    tell(MONDAY, "10:14", LetterCancelled(version=0), BORIS, fifth)
    tell(MONDAY, "10:15", LetterSubmitted(plan_id="free"), BORIS, sixth)
    tell(MONDAY, "10:16", LimitReached(plan_id="free"), BORIS)

    # On Tuesday a letter was brought to Anna, who did nothing herself; her revision had failed meanwhile.
    tell(TUESDAY, "09:00", LetterDelivered(version=0, delivery_ms=200), ANNA, first)
    tell(TUESDAY, "09:01", LetterFailed(version=1, reason="timed_out"), ANNA, first)

    tell(SUNDAY, "23:02", called("gpt", "openai", 4_000, 900), ANNA, first)
    tell(MONDAY, "10:05", called("claude", "anthropic", 6_000, 700), BORIS, third)
    for milliseconds in (1_000, 2_000, 3_000):
        tell(MONDAY, "10:08", called("gpt", "openai", milliseconds, milliseconds // 10), BORIS, third)
    failed = AiRequest(model="gpt", vendor="openai", response_time_ms=60_000, prompt_tokens=10, error="stalled")
    tell(MONDAY, "10:08", failed, BORIS, third)
    tell(MONDAY, "10:09", Error(error_type="ValueError", handler_name="sweep"))
    return told


def generated(version: int, model: str, generation_ms: int, queued_ms: int, characters: int) -> LetterGenerated:
    return LetterGenerated(
        version=version, model=model, generation_ms=generation_ms, queued_ms=queued_ms, characters=characters
    )


def called(model: str, vendor: str, response_time_ms: int, first_token_ms: int) -> AiRequest:
    return AiRequest(
        model=model,
        vendor=vendor,
        response_time_ms=response_time_ms,
        first_token_ms=first_token_ms,
        prompt_tokens=1_000,
        completion_tokens=400,
        cost_micro_usd=2_500,
        success=True,
    )


async def test_the_views_tell_the_story(worker: Database) -> None:
    tables = await read_views(worker)
    found = {table.name: [tuple(row) for row in table.rows] for table in tables}
    columns = {table.name: table.columns for table in tables}

    assert columns["user_stats"][2:] == (
        "active_people", "new_people", "letters_submitted", "letters_completed", "people_at_limit",
    )  # fmt: skip
    assert found["user_stats"] == [
        ("day", OCTOBER, 1, 1, 0, 0, 0),
        ("day", SUNDAY, 1, 1, 1, 1, 0),
        ("day", MONDAY, 2, 1, 4, 1, 1),
        ("day", TUESDAY, 0, 0, 0, 0, 0),
        ("month", date(2026, 10, 1), 1, 1, 0, 0, 0),
        ("month", date(2026, 11, 1), 2, 2, 5, 2, 1),
        ("week", date(2026, 10, 26), 1, 1, 0, 0, 0),
        ("week", date(2026, 11, 16), 1, 1, 1, 1, 0),
        ("week", MONDAY, 2, 1, 4, 1, 1),
    ]

    assert columns["session_stats"][3:] == ("mean_generation_ms", "mean_queued_ms", "mean_characters")
    assert found["session_stats"] == [
        ("cancelled", None, 1, None, None, None),
        ("completed", "claude", 1, 6_000, 300, 2_000),
        ("completed", "gpt", 1, 4_000, 100, 1_800),
        ("draft", None, 1, None, None, None),
        ("failed", None, 1, None, None, None),
        ("in_progress", None, 1, None, None, None),
    ]

    assert columns["user_activity"] == ("day", "name", "events", "people")
    assert [row for row in found["user_activity"] if row[0] == MONDAY] == [
        (MONDAY, "ai_request", 5, 1),
        (MONDAY, "error", 1, 0),
        (MONDAY, "feedback", 4, 2),
        (MONDAY, "iteration", 2, 1),
        (MONDAY, "letter_cancelled", 2, 1),
        (MONDAY, "letter_failed", 1, 1),
        (MONDAY, "letter_generated", 2, 1),
        (MONDAY, "letter_submitted", 4, 1),
        (MONDAY, "limit_reached", 1, 1),
        (MONDAY, "start_command", 2, 1),
    ]

    assert columns["ai_usage"][3:] == (
        "calls", "failures", "prompt_tokens", "completion_tokens", "cost_micro_usd",
        "p50_response_ms", "p95_response_ms", "p50_first_token_ms",
    )  # fmt: skip
    assert found["ai_usage"] == [
        (SUNDAY, "openai", "gpt", 1, 0, 1_000, 400, 2_500, 4_000, 4_000, 900),
        (MONDAY, "anthropic", "claude", 1, 0, 1_000, 400, 2_500, 6_000, 6_000, 700),
        (MONDAY, "openai", "gpt", 4, 1, 3_010, 1_200, 7_500, 2_000, 3_000, 200),
    ]

    assert columns["feedback_stats"] == ("model", "version", "likes", "dislikes", "like_rate")
    assert found["feedback_stats"] == [
        ("claude", 0, 0, 1, Decimal("0.000")),
        ("gpt", 0, 1, 0, Decimal("1.000")),
        ("gpt", 1, 1, 0, Decimal("1.000")),
    ]

    assert columns["iteration_stats"] == (
        "version", "requested", "completed", "failed", "cancelled", "mean_generation_ms",
    )  # fmt: skip
    assert found["iteration_stats"] == [(1, 2, 1, 1, 0, 2_000), (2, 1, 0, 0, 1, None)]


async def test_the_views_are_the_same_in_any_time_zone(worker: Database) -> None:
    async with worker.transaction() as connection:
        before = await connection.fetch("SELECT * FROM user_stats ORDER BY 1, 2")
        await connection.execute("SET LOCAL TIME ZONE 'Asia/Kamchatka'")
        assert await connection.fetch("SELECT * FROM user_stats ORDER BY 1, 2") == before


async def test_a_view_shows_no_more_than_its_reader_may_see(worker: Database) -> None:
    async with worker.connection() as connection:
        options = await connection.fetch(
            """SELECT relname, reloptions FROM pg_class
               WHERE relkind = 'v' AND relnamespace = 'analytics'::regnamespace"""
        )
    assert len(options) == 6
    assert all(row["reloptions"] == ["security_invoker=true"] for row in options)
